"""Things that come before a face, made up: hands, arms, strands of hair, microphones, odd objects.

They are laid over the faces of a face set to teach a network which pixels are face and which are not
(learn.occlusion). Nothing here is a picture of anything: shapes are capsules and polygons, shaded as if lit, so
nobody's rights are in them. After Nirkin et al., "On Face Segmentation, Face Swapping, and Face Perception", FG 2018,
who put pictures of hands and things over faces for the same purpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE_PX = 192
_SKINS = np.array([[0.80, 0.60, 0.50], [0.45, 0.30, 0.22], [0.90, 0.75, 0.68], [0.25, 0.16, 0.12]])
_HAIR = np.array([[0.05, 0.04, 0.03], [0.20, 0.12, 0.07], [0.45, 0.32, 0.18], [0.70, 0.68, 0.65], [0.30, 0.12, 0.06]])
_FINGERS = (2.3, 2.8, 2.6, 2.0)

Vector = NDArray[np.float32]
Picture = NDArray[np.float32]
Capsule = tuple[Vector, Vector, float, float]
"""from, to, and the radius at either, in px"""


def bank(count: int, skins: NDArray[Any], rng: np.random.Generator) -> Picture:
    """(count, 4, 192, 192) 0..1: colour and how much it covers. `skins` (n, 3) are RGB 0..1 of the faces they will lie
    on, as a hand mostly has its owner's colour; others are added."""
    skins = np.concatenate([skins, _SKINS])
    kinds = rng.choice(len(_KINDS), count, p=[share for _, share in _KINDS])
    pictures = [_softened(*_KINDS[kind][0](rng, skins), rng) for kind in kinds]
    return np.stack(pictures).transpose(0, 3, 1, 2)


def _hand(rng: np.random.Generator, skins: NDArray[Any]) -> tuple[Picture, Picture]:
    return _skin_of(_height(_fingers_up(rng)), rng, skins)


def _arm(rng: np.random.Generator, skins: NDArray[Any]) -> tuple[Picture, Picture]:
    ends = (rng.uniform(0.1, 0.9, (2, 2)) * SIDE_PX).astype(np.float32)
    radii = rng.uniform(0.04, 0.16, 2) * SIDE_PX
    return _skin_of(_height([(ends[0], ends[1], radii[0], radii[1])]), rng, skins)


def _strands(rng: np.random.Generator, skins: NDArray[Any]) -> tuple[Picture, Picture]:
    import cv2

    cover = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    root, width = rng.uniform(0, 1, 2) * SIDE_PX * [1, 0.3], rng.uniform(0.02, 0.3) * SIDE_PX
    along = rng.normal(size=2)
    along, sway = along / np.linalg.norm(along), rng.normal(size=2) * 0.4
    part, length = np.linspace(0, 1, 16)[:, None], rng.uniform(0.4, 1.1) * SIDE_PX
    for _ in range(rng.integers(4, 70)):
        bent = (sway + rng.normal(size=2) * 0.08) * part**2 + along * part
        line = root + rng.normal(size=2) * width * 0.4 + bent * length
        shade = int(rng.uniform(120, 255))
        cv2.polylines(cover, [_sixteenths(line)], False, shade, int(rng.integers(1, 3)), cv2.LINE_AA, 4)
    colour = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.6, 1.4)
    return colour * np.exp(0.3 * _noise(rng, 4) + 0.3 * _noise(rng, 16))[..., None], _unit(cover)


def _microphone(rng: np.random.Generator, skins: NDArray[Any]) -> tuple[Picture, Picture]:
    head = (np.array([0.5, 0.35]) * SIDE_PX).astype(np.float32)
    radius = SIDE_PX * rng.uniform(0.1, 0.2)
    foot = head + np.array([rng.normal(0, 10), SIDE_PX], np.float32)
    below = head + np.array([0, radius * 0.3], np.float32)
    height = _height([(head, below, radius, radius), (head, foot, radius * 0.5, radius * 0.4)])
    base = np.full(3, rng.uniform(0.02, 0.3)) if rng.random() < 0.7 else rng.uniform(0, 1, 3)
    return _stuff(height, base, rng), (height > 0).astype(np.float32)


def _object(rng: np.random.Generator, skins: NDArray[Any]) -> tuple[Picture, Picture]:
    import cv2

    corners = rng.integers(3, 9)
    angle, reach = np.sort(rng.uniform(0, 2 * np.pi, corners)), rng.uniform(0.12, 0.45, corners) * SIDE_PX
    outline = SIDE_PX / 2 + np.stack([reach * np.cos(angle), reach * np.sin(angle)], 1)
    drawn = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    cv2.fillPoly(drawn, [_sixteenths(outline)], 255, cv2.LINE_AA, 4)
    cover = _unit(drawn)
    if rng.random() < 0.5:
        cover = (cv2.GaussianBlur(cover, (0, 0), 0.03 * SIDE_PX) > 0.5).astype(np.float32)
    return _stuff(cover * 10 * (1 + 0.5 * _noise(rng, 32)), rng.uniform(0, 1, 3) ** 1.5, rng), cover


_KINDS = ((_hand, 0.45), (_arm, 0.12), (_strands, 0.15), (_object, 0.20), (_microphone, 0.08))
"""and how often each is made"""


def _fingers_up(rng: np.random.Generator) -> list[Capsule]:
    """A hand from below: fingers, palm, thumb and wrist, spread or closed, straight or curled."""
    unit = SIDE_PX / 8
    centre, width = np.array([4 * unit, 4.6 * unit], np.float32), unit * rng.uniform(1.1, 1.5)
    spread, curl, closed = rng.uniform(0.0, 0.42), rng.uniform(-0.25, 0.25), rng.random() < 0.25
    capsules: list[Capsule] = []
    for finger in range(4):
        aside = finger - 1.5
        knuckle = centre + np.array([aside * width * 0.62, -width * 0.9 + abs(aside) * 0.12 * unit], np.float32)
        shown = rng.uniform(0.3, 0.6) if closed else rng.uniform(0.4, 1) if rng.random() < 0.2 else 1.0
        length, radius = unit * _FINGERS[finger] * rng.uniform(0.85, 1.1) * shown, width * 0.26 * rng.uniform(0.9, 1.1)
        place, angle = knuckle, aside * spread + rng.normal(0, 0.06)
        for bone, share in enumerate((0.48, 0.3, 0.22)):
            end = place + _upwards(length * share, angle)
            capsules.append((place, end, radius * (1 - 0.08 * bone), radius * (1 - 0.08 * (bone + 1))))
            place, angle = end, angle + curl * rng.uniform(0, 1)
        palm = centre + np.array([aside * width * 0.42, width * 1.1], np.float32)
        capsules.append((palm, knuckle, width * 0.42, radius * 1.15))
    side = rng.choice([-1, 1])
    place, angle = centre + np.array([side * width * 0.7, width * 0.9], np.float32), side * rng.uniform(0.3, 1.1)
    for length in (1.4, 1.0):
        end = place + _upwards(unit * length, angle)
        capsules.append((place, end, width * 0.36, width * 0.29))
        place, angle = end, angle - side * rng.uniform(0, 0.4)
    wrist = centre + np.array([0, width * 1.3], np.float32)
    arm = centre + np.array([rng.uniform(-1, 1) * unit, 6 * unit], np.float32)
    return [*capsules, (wrist, arm, width * 0.78, width * 0.8)]


def _upwards(length: float, angle: float) -> Vector:
    return np.array([length * np.sin(angle), -length * np.cos(angle)], np.float32)


def _height(capsules: list[Capsule]) -> Picture:
    """How far the highest of the capsules, cut in half by the picture, stands out of it, in px."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    height = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for start, end, first, last in capsules:
        way = end - start
        part = ((x - start[0]) * way[0] + (y - start[1]) * way[1]) / max(float(way @ way), 1e-6)
        part = np.clip(part, 0, 1)
        away = (x - start[0] - part * way[0]) ** 2 + (y - start[1] - part * way[1]) ** 2
        height = np.maximum(height, np.sqrt(np.maximum((first + (last - first) * part) ** 2 - away, 0)))
    return height


def _skin_of(height: Picture, rng: np.random.Generator, skins: NDArray[Any]) -> tuple[Picture, Picture]:
    off = rng.choice([0.3, 1.0])
    tone = skins[rng.integers(len(skins))] * np.exp(off * rng.normal(0, 0.18)) * np.exp(off * rng.normal(0, 0.05, 3))
    colour = tone * _lit(height, rng, rng.uniform(0.1, 0.8))[..., None]
    colour = colour * np.exp(0.04 * _noise(rng, 12) + 0.03 * _noise(rng, 3))[..., None]
    colour[..., 0] *= 1 + 0.05 * _noise(rng, 24)
    return colour, (height > 0).astype(np.float32)


def _stuff(height: Picture, base: NDArray[Any], rng: np.random.Generator) -> Picture:
    """Any material: rough or smooth, plain or striped."""
    rough = rng.uniform(0, 0.3) * _noise(rng, int(rng.integers(2, 30)))
    colour = base * _lit(height, rng, rng.uniform(0.1, 0.7))[..., None] * np.exp(rough)[..., None]
    if rng.random() < 0.3:
        y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
        density, angle = rng.uniform(0.1, 1), rng.uniform(0, np.pi)
        colour = colour * (1 + 0.5 * np.sign(np.sin(density * (x * np.cos(angle) + y * np.sin(angle)))))[..., None]
    return np.asarray(colour)


def _lit(height: Picture, rng: np.random.Generator, strength: float) -> Picture:
    """Lambert's shading of a height field by one lamp, `strength` of it; the rest is light from everywhere."""
    import cv2

    smooth = cv2.GaussianBlur(height.astype(np.float32), (0, 0), rng.uniform(1.5, 4))
    x, y = (cv2.Sobel(smooth, cv2.CV_32F, *axis, scale=0.125) for axis in ((1, 0), (0, 1)))
    normal = np.stack([-x, -y, np.full_like(x, rng.uniform(0.7, 1.5))], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    lamp = rng.normal(size=3)
    lamp[2] = abs(lamp[2]) + 0.7
    towards = normal @ (lamp / np.linalg.norm(lamp)).astype(np.float32)
    return np.asarray(1 - strength + 1.3 * strength * np.clip(towards, 0, 1))


def _softened(colour: Picture, cover: Picture, rng: np.random.Generator) -> Picture:
    """(S, S, 4), in or out of focus. The colour goes on beyond the edge, so that no dark fringe tells it."""
    import cv2

    sigma = rng.choice([0.7, 1.0, 1.6, 3.0], p=[0.4, 0.3, 0.2, 0.1])
    wide = cv2.GaussianBlur(cover, (0, 0), 2 * sigma)[..., None]
    spread = cv2.GaussianBlur((colour * cover[..., None]).astype(np.float32), (0, 0), 2 * sigma)
    colour = np.where(cover[..., None] > 0.9, colour, spread / np.maximum(wide, 1e-3)).astype(np.float32)
    if sigma > 1:
        colour = cv2.GaussianBlur(colour, (0, 0), sigma)
    soft = cv2.GaussianBlur(cover, (0, 0), sigma)
    return np.concatenate([np.clip(colour, 0, 1), soft[..., None]], -1).astype(np.float32)


def _noise(rng: np.random.Generator, cell_px: int) -> Picture:
    import cv2

    knots = rng.normal(size=(max(2, SIDE_PX // cell_px),) * 2).astype(np.float32)
    return np.asarray(cv2.resize(knots, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC))


def _sixteenths(points: NDArray[Any]) -> NDArray[np.int32]:
    return np.round(points * 16).astype(np.int32)


def _unit(mask: NDArray[np.uint8]) -> Picture:
    return np.asarray(mask / np.float32(255))
