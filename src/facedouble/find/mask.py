"""Which pixels are face, from landmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import (
    FACE_OVAL,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE,
    LEFT_IRIS,
    LIPS,
    NOSTRILS,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_IRIS,
    face_width,
)

# Parts of the face's width.
_MARGIN = 0.04
_OVER_BROWS, _BESIDE_BROWS = 0.22, 0.14
_RIGHT_EDGE, _LEFT_EDGE, _BRIDGE = 127, 356, 168
_TURNED_AWAY = (0.1, 0.4)
"""one half of a face's width as a part of the other, where beside it nothing is left of the head (at some 30 degrees),
and where enough is (20)"""


def face_mask(points: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) 0 or 255: the convex hull of the face oval of landmarks (478, 2), in a picture of `size` (width,
    height)."""
    return _fill(points, size, FACE_OVAL)


def inner_mask(points: NDArray[Any], size: tuple[int, int], rim: float) -> NDArray[np.uint8]:
    """(H, W) 0 or 255: `face_mask` without a rim of this part of the face's width."""
    import cv2

    rim_px = max(1, round(rim * face_width(points)))
    return np.asarray(cv2.erode(face_mask(points, size), np.ones((2 * rim_px + 1,) * 2, np.uint8)), np.uint8)


def cover_mask(points: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) 0 or 255: what a swap must cover: the face, and the brows with room around them, however high they are
    raised. The face oval runs close by the brows' outer ends, and a border there would leave half of them."""
    up = points[10] - points[152]
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    aside = np.array([-up[1], up[0]])
    width = face_width(points)
    over, beside = _OVER_BROWS * width * up, _BESIDE_BROWS * width * aside
    right, left = _room_beside(points, aside)
    outside = np.concatenate([points[RIGHT_BROW] + right * (over - beside), points[LEFT_BROW] + left * (over + beside)])
    return hull_mask(np.concatenate([points[FACE_OVAL], outside]), size)


def _room_beside(points: NDArray[Any], aside: NDArray[Any]) -> NDArray[Any]:
    """(2,) 0..1: whether there is head beyond the right brow, and beyond the left. Of a head turned far the one brow
    lies on its outline, and beside it there is background."""
    halves = ((points[[_RIGHT_EDGE, _LEFT_EDGE]] - points[_BRIDGE]) @ aside) * (-1, 1)
    least, most = _TURNED_AWAY
    return np.asarray(np.clip((halves / np.maximum(halves[::-1], 1e-6) - least) / (most - least), 0, 1))


def feature_mask(points: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) 0 or 255: eyes, brows and mouth, which carry the expression, with a margin of 4% of the face's width."""
    return _features(points, size, (LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW, LIPS), _MARGIN)


def look_mask(points: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) 0 or 255: eyes and brows alone, with the same margin."""
    return _features(points, size, (LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW), _MARGIN)


def outline_mask(points: NDArray[Any], size: tuple[int, int], ring: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W) 0 or 255: what landmarks `ring` of (478, 2) enclose, which need not be convex."""
    import cv2

    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(mask, [np.round(points[ring] * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask


def drawing(points: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(3, H, W) 0..255: what landmarks (478, 2) say of a face, drawn: the face; eyes, brows and lips; and inside these
    irises, the open mouth, and the nostrils."""
    face = face_mask(points, size)
    features, inner = np.zeros_like(face), np.zeros_like(face)
    for part in (RIGHT_EYE, LEFT_EYE, RIGHT_BROW, LEFT_BROW, LIPS):
        features = np.maximum(features, outline_mask(points, size, part))
    for disc, opening in _irises(points, size, 1.0):
        inner = np.maximum(inner, np.minimum(disc, opening))
    inner = np.maximum(inner, outline_mask(points, size, INNER_LIPS))
    return np.stack([face, features, np.maximum(inner, _fill(points, size, NOSTRILS))])


def iris_mask(points: NDArray[Any], size: tuple[int, int], part: float) -> tuple[NDArray[np.float32], float]:
    """(H, W) 0..1: the middle of both irises, up to `part` of their radius, as far as lids leave it to be seen; and how
    many px it would be if they left all of it."""
    seen, whole = np.zeros(size[::-1], np.float32), 0.0
    for disc, opening in _irises(points, size, part):
        seen += np.minimum(disc, opening) / np.float32(255)
        whole += float(disc.sum()) / 255
    return np.minimum(seen, 1), whole


def white_mask(points: NDArray[Any], size: tuple[int, int], part: float = 1.0, rim: float = 0.0) -> NDArray[np.float32]:
    """(H, W) 0..1: the white of both eyes, which is what is beyond `part` of the iris's radius; without a `rim` of so
    many radii along lids and iris."""
    import cv2

    seen, rim_px = np.zeros(size[::-1], np.float32), round(rim * iris_radius(points) / 2)
    for disc, opening in _irises(points, size, part + rim):
        inside = cv2.erode(opening, np.ones((2 * rim_px + 1, 2 * rim_px + 1), np.uint8))
        seen += np.minimum(inside, 255 - disc) / np.float32(255)
    return np.minimum(seen, 1)


def iris_radius(points: NDArray[Any]) -> float:
    """Of both irises together, in px."""
    return (_radius(points[RIGHT_IRIS]) + _radius(points[LEFT_IRIS])) / 2


def _radius(ring: NDArray[Any]) -> float:
    return float(np.linalg.norm(ring - ring.mean(0), axis=1).mean())


def _irises(
    points: NDArray[Any], size: tuple[int, int], part: float
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Of each eye a disc of `part` of the iris's radius, and the opening between the lids; both (H, W) 0..255."""
    import cv2

    for iris, eye in ((RIGHT_IRIS, RIGHT_EYE), (LEFT_IRIS, LEFT_EYE)):
        ring, disc = points[iris], np.zeros(size[::-1], np.uint8)
        radius = part * _radius(ring)
        centre = np.round(ring.mean(0) * 16).astype(int).tolist()
        cv2.circle(disc, centre, round(radius * 16), 255, -1, cv2.LINE_AA, 4)
        yield disc, outline_mask(points, size, eye)


def skin_mask(
    points: NDArray[Any], size: tuple[int, int], face: NDArray[np.uint8], margin: float = _MARGIN
) -> NDArray[np.uint8]:
    """(H, W) 0 or 255: `face` without eyes, brows, lips and nostrils, each with a `margin` of the face's width."""
    holes = _features(points, size, (LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW, LIPS, NOSTRILS), margin)
    return np.where(holes > 0, np.uint8(0), face).astype(np.uint8)


def bare_skin(points: NDArray[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) where landmarks (478, 2) have skin, away from eyes, brows, lips and nostrils; `size` is the picture's
    (width, height)."""
    return np.asarray(skin_mask(points, size, face_mask(points, size)) > 127)


def _features(
    points: NDArray[Any], size: tuple[int, int], parts: Sequence[NDArray[Any]], margin: float
) -> NDArray[np.uint8]:
    import cv2

    mask = np.zeros(size[::-1], np.uint8)
    for part in parts:
        mask |= _fill(points, size, part)
    around = max(1, round(margin * face_width(points)))
    return np.asarray(cv2.dilate(mask, np.ones((2 * around + 1, 2 * around + 1), np.uint8)))


def _fill(points: NDArray[Any], size: tuple[int, int], indices: NDArray[Any]) -> NDArray[np.uint8]:
    return hull_mask(points[indices], size)


def hull_mask(points: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) 0 or 255: the convex hull of points (n, 2), in a picture of `size` (width, height)."""
    import cv2

    mask = np.zeros(size[::-1], np.uint8)
    hull = cv2.convexHull(points.astype(np.float32))
    # Sixteenths of a pixel, so that the mask moves as smoothly as the landmarks.
    cv2.fillConvexPoly(mask, np.round(hull * 16).astype(np.int32), 255, lineType=cv2.LINE_AA, shift=4)
    return mask
