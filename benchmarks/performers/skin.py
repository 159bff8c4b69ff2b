"""Skin, painted: noise, blushes, freckles, stubble, lips and pores, as functions of the place on the unshaped head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from head import BODY, JOINTS, Array, Base, Indices, azimuth, ramp
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

Colour = tuple[float, float, float]
"""sRGB, 0..1"""

TEXTURE_PX = 2048
NECKLINE = 1.9
"""dm under the neck's joint, down to which there is skin"""
SHOULDER_WIDTH = 2.6
"""dm to either side, as far as there is skin"""


@dataclass(frozen=True)
class Complexion:
    """What tells one skin from another; factors multiply the colour under them."""

    base: Colour
    blush: float
    shadow_under_eyes: float
    freckles: int
    moles: tuple[tuple[float, float, float, float], ...]
    """(x, y over the eyes, radius in dm, strength)"""
    stubble: float
    lips: Colour
    lids: Colour
    """how much darker in red, green, blue"""
    roughness: float


@dataclass
class Paint:
    """One value a texel: colour (N, 3), roughness, height and scalp (N,), all 0..1."""

    colour: Array
    roughness: Array
    height: Array
    scalp: Array

    def mixed(self, other: Paint, share: Array) -> Paint:
        """This paint, giving way to `other` by `share` (N,)."""

        def mix(mine: Array, theirs: Array) -> Array:
            weight = share[:, None] if mine.ndim == 2 else share
            return mine + (theirs - mine) * weight

        return Paint(
            mix(self.colour, other.colour),
            mix(self.roughness, other.roughness),
            mix(self.height, other.height),
            mix(self.scalp, other.scalp),
        )


class Canvas:
    """The texels that carry skin: their `points` (N, 3) on the base figure and the painted masks there."""

    def __init__(self, base: Base) -> None:
        neck = base.vertices[JOINTS["neck"]].mean(0)
        low = base.vertices[base.faces][..., 1].min(1) > neck[1] - NECKLINE
        narrow = abs(base.vertices[base.faces][..., 0]).max(1) < SHOULDER_WIDTH
        skin = low & narrow & (base.faces.max(1) < BODY.stop)
        self.base = base
        self.faces: Indices = base.faces[skin]
        self.uv: Array = base.uv[skin]
        corners, weights, self._rows, self._columns = _rasterised(self.faces, self.uv)
        self.points = (base.vertices[corners] * weights[..., None]).sum(1).astype(np.float32)
        place = np.stack([(self._columns + 0.5) / TEXTURE_PX, 1 - (self._rows + 0.5) / TEXTURE_PX], 1)
        self.lips = base.mask("lips", place)
        self.lids = base.mask("eyelids", place)
        self.ears = base.mask("ears", place)
        self.mouth = base.mask("inside-mouth", place)

    def of_vertices(self, mask: str) -> Array:
        """(V,) one of MakeHuman's masks at the skin's vertices, 0 elsewhere."""
        values = np.zeros(len(self.base.vertices))
        values[self.faces.ravel()] = self.base.mask(mask, self.uv.reshape(-1, 2))
        return values

    def picture(self, values: Array, ground: Colour) -> NDArray[np.float32]:
        """(TEXTURE_PX, TEXTURE_PX, 3), its first row the top, of one value (N, 3) a texel."""
        picture = np.empty((TEXTURE_PX, TEXTURE_PX, 3), np.float32)
        picture[:] = ground
        picture[self._rows, self._columns] = np.clip(values, 0, 1)
        return picture


def paint(skin: Complexion, seed: int, canvas: Canvas, scalp: Array, hair: Colour, density: float) -> Paint:
    """The skin of one performer; `scalp` (N,) is where hair of colour `hair` grows, and `density` how much it hides."""
    base, points = canvas.base, canvas.points
    x, y, z = points.T
    side, over_eyes = abs(x), y - base.eye[1]
    front = ramp(z, 0.6, 1.0)
    nose_y = base.nose[1]
    coarse, middle = fractal(points, 0.35, 1), fractal(points, 0.08, 11)
    fine, finest = fractal(points, 0.018, 21, 2), noise(points, 0.008, 31)
    lips = ramp(canvas.lips, 0.25, 0.75)

    colour = np.ones((len(points), 3)) * skin.base
    red = 0.62 * front * _spot(side - 0.43, over_eyes + 0.38, 0.19)  # cheeks
    red += 0.42 * front * _spot(x, y - nose_y, 0.10)  # tip of the nose
    red += 0.35 * front * _spot(side - 0.17, y - nose_y + 0.04, 0.06)  # its wings
    red += 0.50 * front * _spot(x, y - base.chin[1], 0.14)
    red += 0.70 * canvas.ears + 0.55 * canvas.lids + 0.25 * front * _spot(x, over_eyes - 0.12, 0.12)
    red += 0.35 * ramp(-over_eyes, 1.2, 1.6)  # neck and chest
    red = red * (1 + 0.5 * middle + 0.3 * coarse) * skin.blush + 0.22 * np.clip(coarse, 0, 1) + 0.10 * middle
    colour *= 1 + red[:, None] * (0.045, -0.135, -0.125)
    yellow = 0.5 * front * _spot(x, over_eyes - 0.55, 0.3) - 0.3 * coarse
    colour *= 1 + yellow[:, None] * (0.02, 0.01, -0.06)
    below_eye = front * _spot((side - 0.27) / 1.5, over_eyes + 0.17, 0.065)
    corner = front * _spot(side - 0.13, over_eyes + 0.02, 0.055)
    colour *= 1 - (skin.shadow_under_eyes * below_eye + 0.12 * corner)[:, None] * (0.55, 0.75, 0.55)
    colour *= (1 + 0.050 * middle + 0.060 * fine + 0.045 * finest + 0.03 * coarse)[:, None]
    _add_freckles(colour, skin, seed, x, over_eyes, front, fine)
    if skin.stubble:
        shade = skin.stubble * _beard(canvas, lips, middle, front)
        dots = np.clip(noise(points, 0.0085, 77) * 1.6 - 0.15, 0, 1)
        colour *= 1 - (shade * (0.35 + 0.65 * dots))[:, None] * (0.62, 0.55, 0.46)

    lip_y = y[canvas.lips > 0.6].mean()
    streaks = fractal(points * (1, 0.25, 0.25), 0.02, 41, 2)
    red_lips = np.array(skin.lips) * (1 + 0.10 * streaks + 0.06 * middle)[:, None]
    red_lips *= 1 - 0.12 * _spot(y - lip_y, 0, 0.03)[:, None]
    colour += (red_lips - colour) * 0.8 * lips[:, None]
    colour += ((0.52, 0.22, 0.20) - colour) * canvas.mouth[:, None]
    colour *= 1 - ramp(canvas.lids, 0.2, 0.8)[:, None] * skin.lids
    colour += (np.array(hair) * 0.8 - colour) * density * scalp[:, None]

    shine = 0.8 * _spot(x, y - nose_y, 0.12) + 0.5 * _spot(x, over_eyes - 0.5, 0.3)
    shine += 0.35 * _spot(side - 0.4, over_eyes + 0.25, 0.15)
    roughness = skin.roughness - 0.10 * shine * front + 0.05 * (middle + fine) - 0.17 * lips - 0.25 * canvas.mouth
    pores = -abs(noise(points, 0.011, 51)) * (0.5 + 0.5 * noise(points, 0.1, 52))
    lines = fractal(points * (0.3, 1, 1), 0.05, 81, 2) * front * ramp(over_eyes, 0.3, 0.5)
    height = 0.5 + 0.20 * fractal(points, 0.03, 61) + 0.25 * pores * (1 - lips) + 0.18 * lines
    height += 0.30 * lips * fractal(points * (1, 0.22, 0.22), 0.022, 71, 2)
    return Paint(colour, roughness, height, scalp)


def scalp(canvas: Canvas, hairline: Array) -> Array:
    """(N,) where hair grows, 0..1, of the hairline's table (K, 2); see `above_hairline`."""
    patchy = 0.05 * fractal(canvas.points, 0.08, 11)
    above = above_hairline(canvas.points, canvas.base, hairline) + patchy
    return ramp(above, -0.03, 0.14) * (1 - ramp(canvas.ears, 0.05, 0.3))


def above_hairline(points: Array, base: Base, hairline: Array) -> Array:
    """(N,) dm above the hairline, a table (K, 2) of degrees from the front and height over the eyes in dm."""
    return points[:, 1] - base.eye[1] - np.interp(azimuth(points), *hairline.T)


def face_share(points: Array, base: Base, hairline: Array, mouth: Array) -> Array:
    """(N,) how much a place belongs to the face: 1 inside, 0 from the hairline, the ears and the neck on.

    `points` (N, 3) lie on the base figure and `mouth` (N,) is MakeHuman's mask of the mouth's inside.
    """
    jaw_y = base.eye[1] - 1.12 + 0.30 * (1.40 - points[:, 2])  # a line from under the chin to the jaw's angle
    below_jaw = ramp(jaw_y - points[:, 1], 0, 0.2)
    beside = ramp(azimuth(points), 52, 80)
    above = ramp(above_hairline(points, base, hairline), -0.22, -0.02)
    return np.maximum((1 - below_jaw) * (1 - beside) * (1 - above), ramp(mouth, 0.3, 0.7))


def noise(points: Array, scale: float, seed: int) -> Array:
    """(N,) value noise with features of `scale` dm, about -1..1."""
    cells = (points / scale).T + 1000.37
    within = cells - np.floor(cells)
    smooth = np.floor(cells) + within * within * (3 - 2 * within)
    return map_coordinates(_lattice(seed), smooth % 48, order=1, mode="grid-wrap")


def fractal(points: Array, scale: float, seed: int, octaves: int = 3) -> Array:
    """(N,) noise of several scales, each half the last and weaker."""
    weights = 0.6 ** np.arange(octaves)
    layers = [weight * noise(points, scale / 2**k, seed + k) for k, weight in enumerate(weights)]
    return sum(layers) / weights.sum()


@cache
def _lattice(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (48, 48, 48)).astype(np.float32)


def _spot(x: Array, y: Array | float, radius: float) -> Array:
    return np.exp(-(x * x + y * y) / (2 * radius * radius))


def _add_freckles(
    colour: Array, skin: Complexion, seed: int, x: Array, over_eyes: Array, front: Array, ragged: Array
) -> None:
    """Darken `colour` (N, 3), in place, by freckles strewn over nose and cheeks, and by the moles."""
    rng = np.random.default_rng(seed)
    count = skin.freckles
    across, up = rng.normal(0, 0.42, count * 4), rng.normal(0, 0.27, count * 4) - 0.3
    face = np.nonzero((front > 0.5) & (over_eyes > -0.9) & (over_eyes < 0.8))[0]
    tree = cKDTree(np.stack([x[face], over_eyes[face]], 1))
    for k in range(count):
        radius = rng.uniform(0.0025, 0.0065) if rng.random() < 0.9 else rng.uniform(0.0065, 0.010)
        strength = rng.uniform(0.10, 0.38)
        near = face[tree.query_ball_point([across[k], up[k]], radius * 2.6)]
        edge = np.sqrt(1 + 0.6 * ragged[near])
        spot = strength * _spot((x[near] - across[k]) * edge, (over_eyes[near] - up[k]) * edge, radius)
        colour[near] *= 1 - spot[:, None] * (0.45, 0.75, 0.95)
    for mole_x, mole_y, radius, strength in skin.moles:
        near = face[tree.query_ball_point([mole_x, mole_y], 0.1)]
        away = np.hypot(x[near] - mole_x, over_eyes[near] - mole_y) * (1 + 0.15 * ragged[near])
        colour[near] *= 1 - strength * ramp(radius * 1.3 - away, 0, radius * 0.7)[:, None] * (0.6, 0.8, 0.9)


def _beard(canvas: Canvas, lips: Array, middle: Array, front: Array) -> Array:
    """(N,) where a beard would grow, 0..1."""
    x, y, z = canvas.points.T
    side = abs(x)
    lip_y = y[canvas.lips > 0.6].mean()
    above_throat = ramp(y, lip_y - 0.85, lip_y - 0.6)
    below_cheek = ramp(lip_y + 0.10 + 0.55 * np.clip(side - 0.28, 0, 1) - y, -0.05, 0.08)
    around_mouth = np.maximum(ramp(side, 0.2, 0.34), ramp(lip_y - 0.10 - y, -0.03, 0.04))
    jaw = ramp(z, 0.35, 0.75) * below_cheek * above_throat * around_mouth
    moustache = ramp(canvas.base.nose[1] - 0.12 - y, -0.015, 0.03) * ramp(0.36 - side, -0.05, 0.06)
    moustache *= ramp(y, lip_y - 0.1, lip_y)
    bare = 1 - ramp(canvas.lips, 0.1, 0.5)
    return np.clip(np.maximum(jaw, moustache) * front, 0, 1) * bare * np.clip(0.75 + 0.5 * middle, 0, 1)


def _rasterised(faces: Indices, uv: Array) -> tuple[Indices, Array, Indices, Indices]:
    """For each texel a face covers (with a seam of 1-2 texels): its triangle's corners (N, 3) and their weights (N, 3),
    its row and column (N,)."""
    corners = np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])
    places = np.concatenate([uv[:, [0, 1, 2]], uv[:, [0, 2, 3]]]) * TEXTURE_PX
    places[..., 1] = TEXTURE_PX - places[..., 1]
    owner = np.full((TEXTURE_PX, TEXTURE_PX), -1)
    shares = np.zeros((TEXTURE_PX, TEXTURE_PX, 2))
    for index, (a, b, c) in enumerate(places):
        left, top = np.maximum(np.floor(places[index].min(0)).astype(int) - 2, 0)
        right, bottom = np.minimum(np.ceil(places[index].max(0)).astype(int) + 3, TEXTURE_PX)
        area = (b[1] - c[1]) * (a[0] - c[0]) + (c[0] - b[0]) * (a[1] - c[1])
        if abs(area) < 1e-9:
            continue
        x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
        first = ((b[1] - c[1]) * (x - c[0]) + (c[0] - b[0]) * (y - c[1])) / area
        second = ((c[1] - a[1]) * (x - c[0]) + (a[0] - c[0]) * (y - c[1])) / area
        least = np.minimum(np.minimum(first, second), 1 - first - second)
        window = (slice(top, bottom), slice(left, right))
        seam = (least >= -1.6 / np.sqrt(abs(area) + 1)) & (owner[window] < 0)
        covered = (least >= -1e-4) | seam
        owner[window][covered] = index
        shares[window][covered] = np.stack([first, second], -1)[covered]
    rows, columns = np.nonzero(owner >= 0)
    pair = shares[rows, columns]
    return corners[owner[rows, columns]], np.column_stack([pair, 1 - pair.sum(1)]), rows, columns
