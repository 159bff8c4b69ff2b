"""What the crops of a face set show beyond quality.Quality: light, skin, detail at a network's scale, compression.

Light is read off the face itself: the canonical mesh, turned by the measured pose, says where each piece of skin looks,
the picture says how bright it is. Basri & Jacobs, "Lambertian reflectance and linear subspaces", IEEE TPAMI 25(2),
2003, and Ramamoorthi & Hanrahan, "An efficient representation for irradiance environment maps", SIGGRAPH 2001, show
that spherical harmonics up to the second order hold all but a few percent of the brightness of a matt surface. A camera
sees only the half of them that looks its way, which leaves their nine free coefficients undetermined (a simulated lamp
45 degrees aside is then read up to 55 degrees wrong). So what is fitted is one lamp in an even light: these harmonics
of a single direction, three numbers a face.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..events import Progress
from ..find.crop import lab
from ..find.mask import face_mask, skin_mask
from ..find.mesh import Mesh, rotation
from ..footage import LUMINANCE, spread
from ..geometry import (
    FACE_OVAL,
    LEFT_BROW,
    LEFT_EYE,
    LIPS,
    NOSTRILS,
    RIGHT_BROW,
    RIGHT_EYE,
    apply,
    compose,
    invert,
    scale_of,
    square_to_crop,
)
from ..media.flow import ordered_map
from ..recipes import TrainRecipe
from .faceset import FaceSet

MOST_FACES = 2000
_SEEN = 0.25
"""cosine under which a piece of skin looks too far aside to be read"""
_SMOOTH = 0.04
"""of a face square: what is finer is skin's own texture, not light"""
_LIT = (60, 90)
"""percentiles of skin's lightness between which it is neither in shadow nor shining"""
_BLOCK_PX = 8
_PATCH_PX = 160
_TRUE_SCALE = 0.7
"""crop px a frame px under which the crop has lost what happens from one px to the next"""
_LINEAR = np.where(
    np.arange(256) <= 0.04045 * 255, np.arange(256) / 255 / 12.92, ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4
).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Appearance:
    """A row a face."""

    row: NDArray[np.int64]
    """(n,) in the set's table"""
    light: NDArray[np.float32]
    """(n, 3) towards the lamp (x right, y up, z to the camera), as long as the lamp's share of the light where it falls
    straight: 0 even light, 1 the lamp alone"""
    skin: NDArray[np.float32]
    """(n, 3) CIELAB of the skin that is lit, neither shadowed nor shining"""
    detail: NDArray[np.float32]
    """(n,) what is in the face's finest octave at the model's scale, against the octave above; even light or strong"""
    blocks: NDArray[np.float32]
    """(n,) steps of brightness at every 8th px of the frame against the steps between; nan where that is lost"""
    surface: NDArray[np.float16]
    """(n, t, 3) CIELAB at the mesh's pieces of skin, the fitted light taken out; nan where turned away"""

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(cls, faces: list[Self]) -> Self:
        """The rows of all parts, in order."""
        return cls(
            **{field.name: np.concatenate([getattr(face, field.name) for face in faces]) for field in fields(cls)}
        )


def sampled_rows(faces: FaceSet, most: int = MOST_FACES) -> NDArray[np.int64]:
    """At most `most` of the rows whose crop is there, spread evenly over the set."""
    rows = faces.rows_with_crops()
    return rows[spread(len(rows), most)]


def look_at(
    faces: FaceSet, rows: NDArray[np.int64], recipe: TrainRecipe, workers: int
) -> Generator[Progress, None, Appearance]:
    """Read these rows' crops (at least one). Raises FaceError for a crop that cannot be read."""
    reader = Reader(recipe)
    seen: list[Appearance] = []
    for face in ordered_map(rows.tolist(), lambda row: reader(faces, row), workers=workers, ahead=4 * workers):
        seen.append(face)
        if len(seen) % 50 == 0 or len(seen) == len(rows):
            yield Progress(f"looking at {faces.path.name}", len(seen), len(rows), "faces")
    return Appearance.of(seen)


class Reader:
    """One face after another, at the scale of a recipe's network. May be called from several threads."""

    def __init__(self, recipe: TrainRecipe) -> None:
        self._square_px = recipe.size_px / recipe.coverage
        self._mesh = Mesh.load()
        self._skin = skin_pieces(self._mesh)

    def __call__(self, faces: FaceSet, row: int) -> Appearance:
        import cv2

        crop, shown = faces.read_crop(row), faces.recipe.coverage
        side = round(self._square_px * shown)
        to_small = compose(square_to_crop(side, shown), invert(square_to_crop(len(crop), shown)))
        kind = cv2.INTER_AREA if side < len(crop) else cv2.INTER_CUBIC
        small = np.asarray(cv2.resize(crop, (side, side), interpolation=kind), np.uint8)
        points = apply(compose(to_small, faces.transform[row]), faces.faces.points[row])
        face = face_mask(points, (side, side))
        skin = skin_mask(points, (side, side), face) > 127
        colours = lab(small)
        light, surface = self._light(small, skin, points, rotation(faces.faces.pose[row]))
        return Appearance(
            row=np.array([row]),
            light=light[None],
            skin=_lit_skin(colours, skin)[None],
            detail=np.array([detail(colours[..., 0], face > 127)], np.float32),
            blocks=np.array([blocks(crop, faces.transform[row], faces.faces.points[row])], np.float32),
            surface=surface[None].astype(np.float16),
        )

    def _light(
        self,
        small: NDArray[np.uint8],
        skin: NDArray[np.bool_],
        points: NDArray[np.float32],
        turned: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The lamp (3,), and the colours (t, 3) of the mesh's skin without it."""
        import cv2

        normals = self._mesh.normals[self._skin] @ turned.T
        places = np.rint(self._mesh.centres(points)[self._skin]).astype(int)
        inside = ((places >= 0) & (places < len(small))).all(1)
        x, y = np.clip(places, 0, len(small) - 1).T
        # Only skin is averaged: a dark brow beside a piece of skin is no shadow on it.
        linear, sigma = _LINEAR[small] * skin[..., None], _SMOOTH * self._square_px
        near = cv2.GaussianBlur(skin.astype(np.float32), (0, 0), sigma)
        colour = cv2.GaussianBlur(linear, (0, 0), sigma)[y, x] / np.maximum(near[y, x], 1e-3)[:, None]
        known = inside & (near[y, x] > 0.3) & (normals[:, 2] > _SEEN)
        surface = np.full((len(self._skin), 3), np.nan, np.float32)
        if known.sum() < 30:
            return np.full(3, np.nan, np.float32), surface
        lamp = fit_lamp(normals[known], colour[known] @ LUMINANCE, self._mesh.areas[self._skin][known])
        even = colour[known] / np.maximum(shading(lamp, normals[known]), 0.05)[:, None]
        srgb = np.where(even <= 0.0031308, 12.92 * even, 1.055 * np.maximum(even, 1e-6) ** (1 / 2.4) - 0.055)
        surface[known] = cv2.cvtColor(srgb[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
        return lamp, surface


def skin_pieces(mesh: Mesh) -> NDArray[np.int64]:
    """(t,) the triangles that touch neither eyes, brows, lips and nostrils nor the border of the face."""
    parts = np.concatenate([LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW, LIPS, NOSTRILS, FACE_OVAL])
    return np.nonzero(~np.isin(mesh.triangles, parts).any(1))[0]


def _half_cosine(cosine: NDArray[Any]) -> NDArray[Any]:
    """Brightness under one lamp by the cosine to it, 1 at 1, to the second order of spherical harmonics."""
    return np.asarray((0.25 + 0.5 * cosine + 0.15625 * (3 * cosine**2 - 1)) / 1.0625)


def _directions(count: int = 1200) -> NDArray[np.float64]:
    """Even over the sphere (a spiral), without those behind the head, whose light no visible skin receives."""
    number = np.arange(count)
    z, turn = 1 - 2 * (number + 0.5) / count, np.pi * (1 + 5**0.5) * number
    around = np.sqrt(1 - z**2)
    return np.stack([around * np.cos(turn), around * np.sin(turn), z], 1)[z > -0.35]


_LAMPS = _directions()


def fit_lamp(normals: NDArray[Any], brightness: NDArray[Any], weight: NDArray[Any]) -> NDArray[np.float32]:
    """(3,) the lamp in an even light that explains linear `brightness` (k,) on `normals` (k, 3) best; see Appearance.

    Every direction is tried, with its best lamp and even light, neither of them negative; a second time with less
    weight on what did not fit, which is a mole, a beard or a shadow rather than light.
    """
    weight = weight / weight.sum()
    brightness = brightness / max(float((weight * brightness).sum()), 1e-6)
    # By moments, and in single precision: a copy of every direction centred takes ten times as long. By einsum, as this
    # is called from several threads, and those of a matrix product would wait for each other.
    shape = _half_cosine(np.einsum("ki,ni->kn", normals.astype(np.float32), _LAMPS.astype(np.float32)))
    square, trust = shape**2, np.ones_like(brightness)
    for _ in range(2):
        part = weight * trust / (weight * trust).sum()
        mean = float(part @ brightness)
        weights = np.stack([part, part * brightness]).astype(np.float32)
        middle, both = (weights @ shape).astype(np.float64)
        common, variance = both - mean * middle, np.maximum(weights[0] @ square - middle**2, 0)
        strength = np.clip(common / (variance + 1e-4), 0, mean / np.maximum(middle, 1e-6))
        best = int((strength**2 * variance - 2 * strength * common).argmin())
        off = np.abs(brightness - mean - strength[best] * (shape[:, best] - middle[best]))
        trust = np.minimum(1, 1.5 * max(float(np.median(off)), 0.01) / np.maximum(off, 1e-6))
    even = max(mean - strength[best] * middle[best], 0.0)
    return np.asarray(_LAMPS[best] * strength[best] / max(strength[best] + even, 1e-6), np.float32)


def shading(lamp: NDArray[Any], normals: NDArray[Any]) -> NDArray[Any]:
    """(..., k) linear brightness of `normals` (k, 3) under lamps (..., 3), 1 where a lamp falls straight."""
    share = np.linalg.norm(lamp, axis=-1, keepdims=True)
    cosine = lamp / np.maximum(share, 1e-6) @ normals.T
    return np.asarray(1 - share + share * np.maximum(_half_cosine(cosine), 0))


def _lit_skin(picture: NDArray[np.float32], skin: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(3,) mean CIELAB of skin between the 60th and the 90th percentile of its lightness."""
    colours = picture[skin]
    if len(colours) < 50:
        return np.full(3, np.nan, np.float32)
    low, high = np.percentile(colours[:, 0], _LIT)
    return np.asarray(colours[(colours[:, 0] >= low) & (colours[:, 0] <= high)].mean(0), np.float32)


def detail(lightness: NDArray[np.float32], area: NDArray[np.bool_]) -> float:
    """Spread of the finest octave over that of the next, in an area of a picture (h, w): what blur takes away first.

    Octaves are those of Burt & Adelson's Laplacian pyramid (IEEE Trans. Communications 31(4), 1983). A natural picture
    has about as much in each (Field, JOSA A 4(12), 1987); contrast and exposure cancel.
    """
    import cv2

    if area.sum() < 50:
        return float("nan")
    fine, level = [], lightness
    for _ in range(2):
        lower = cv2.pyrDown(level)
        fine.append(level - cv2.pyrUp(lower, dstsize=level.shape[::-1]))
        level = lower
    half = cv2.resize(area.astype(np.uint8), fine[1].shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    return float(fine[0][area].std() / max(float(fine[1][half].std()), 1e-6))


def blocks(crop: NDArray[np.uint8], transform: NDArray[np.float64], points: NDArray[np.float32]) -> float:
    """Mean step of brightness across the borders of 8 px blocks of the frame, over that inside them.

    After Wang, Bovik & Evans, "Blind measurement of blocking artifacts in images", ICIP 2000. The crop is laid back
    into the frame's px; a decoder that smooths blocks, or footage that was scaled since, shows none.
    """
    import cv2

    if scale_of(transform) < _TRUE_SCALE:
        return float("nan")
    x0, y0 = ((np.floor(points[FACE_OVAL].mean(0)) - _PATCH_PX // 2) // _BLOCK_PX * _BLOCK_PX).astype(int)
    to_patch = compose(np.array([[1.0, 0, -x0], [0, 1, -y0]]), invert(transform))
    grey, size = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (_PATCH_PX, _PATCH_PX)
    patch = cv2.warpAffine(grey.astype(np.float32), to_patch, size, flags=cv2.INTER_CUBIC, borderValue=0)
    face = face_mask(points - [x0, y0], size) > 127
    at_border, inside = [], []
    for picture, area in ((patch, face), (patch.T, face.T)):
        step, both = np.abs(np.diff(picture, axis=1)), area[:, 1:] & area[:, :-1]
        border = np.arange(1, _PATCH_PX) % _BLOCK_PX == 0
        at_border.append(step[:, border][both[:, border]])
        inside.append(step[:, ~border][both[:, ~border]])
    steps = np.concatenate(at_border), np.concatenate(inside)
    if min(len(part) for part in steps) < 100:
        return float("nan")
    return float(steps[0].mean() / max(float(steps[1].mean()), 1e-3))
