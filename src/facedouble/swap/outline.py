"""The head around the new face brought to the outline that B's face has.

A face laid into another head keeps that head's jaw, cheeks and forehead, which are a good part of who somebody is; and
where B's face is the wider one, A's outline cuts its cheeks. So before a face is laid, what the frame shows is moved:
at the outline of A's face by how B's differs from it, fading within a narrow band around it and in its rim. Nothing is
painted: ears, hair and collar are A's own pixels, a little aside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..geometry import FACE_OVAL, every_px

# Of the face's width.
_FARTHEST, _AROUND, _WITHIN = 0.035, 0.05, 0.1
"""that an outline is moved at most; how far from where it was, and within where it is, nothing moves any more"""
_EVERY = 0.03
"""between the places for which moves are computed"""
_NEAR = 0.02
"""how near an outline's landmark must be to decide alone"""
_ROUNDS, _ROW_PX = 4, 256
_SLOPE = math.radians(75)
"""how far skin at the outline of a face that looks straight ahead is turned from the viewer"""
_FACING, _HIDDEN = (0.12, 0.62), (-0.45, -0.3)
"""cosines of that angle: from where on skin is seen too well to be an outline, and too little to be seen at all"""


@dataclass(frozen=True, eq=False)
class Outline:
    """How a part of a frame is moved."""

    shift: NDArray[np.float32]
    """(h, w, 2) px: how far from its place each pixel is taken"""

    @classmethod
    def of(cls, points: NDArray[np.float32], points_b: NDArray[Any], yaw: float, size: tuple[int, int]) -> Self:
        """Of a picture of `size` (width, height), a part of a frame, in which A's landmarks are `points` and those of
        the face that was drawn `points_b` (478, 2), of a head turned by `yaw`.

        Each place moves as the landmarks around it, by 1 / distance^4 (Shepard, "A two-dimensional interpolation
        function for irregularly-spaced data", ACM 1968).
        """
        import cv2

        own = points[FACE_OVAL]
        width = max(float(np.ptp(own[:, 0])), 1.0)
        away = _away(own, points_b[FACE_OVAL], yaw, _FARTHEST * width)
        goal, every = own + away, max(1, round(_EVERY * width))
        x, y = (every_px(side, every).astype(np.float32) for side in size)
        places = np.stack(np.meshgrid(x, y), -1)
        outside, left = _outside(places, goal), _AROUND * width - _outside(places, own)
        # Between what it is now and where nothing moves, a picture is stretched or pressed evenly, and never folds.
        around, within = left / np.maximum(outside + left, 1e-6), 1 + outside / (_WITHIN * width)
        fades = np.where(left < 0, 0, np.where(outside > 0, around, within))
        # Nor at the picture's sides, beyond which the frame goes on or ends.
        sides = (np.minimum(where, side - 1 - where) - every for where, side in zip((x, y), size, strict=True))
        across, down = (np.clip(side / (_WITHIN * width), 0, 1) for side in sides)
        fades = fades * np.minimum(across, down[:, None])
        moved = fades > 0
        weight = (((places[moved][:, None] - goal) ** 2).sum(2) + (_NEAR * width) ** 2) ** -2
        field = np.zeros_like(places)
        field[moved] = -fades[moved][:, None] * (weight @ away) / weight.sum(1, keepdims=True)
        shift = cv2.resize(field, (len(x) * every, len(y) * every), interpolation=cv2.INTER_LINEAR)
        return cls(np.ascontiguousarray(shift[: size[1], : size[0]]))

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """(h, w): what is moved."""
        return np.logical_or(self.shift[..., 0], self.shift[..., 1])

    @cached_property
    def _taken(self) -> NDArray[np.float32]:
        """(k, 256, 2): x and y from where each px of what is moved is taken, and some more."""
        y, x = np.nonzero(self.there)
        where = np.column_stack([x, y]).astype(np.float32) + self.shift[y, x]
        return np.pad(where, ((0, -len(where) % _ROW_PX), (0, 0))).reshape(-1, _ROW_PX, 2)

    def __call__(self, picture: NDArray[Any]) -> NDArray[Any]:
        """A picture (h, w) or (h, w, 3) moved, of the same type."""
        import cv2

        result = picture.copy()
        if len(self._taken):
            taken = cv2.remap(picture, self._taken, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            result[self.there] = taken.reshape(-1, *picture.shape[2:])[: np.count_nonzero(self.there)]
        return result

    def moved(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Landmarks (n, 2) where they are in a moved picture."""
        import cv2

        result = points
        for _ in range(_ROUNDS):  # a pixel tells whence it comes, not where it goes
            there = cv2.remap(self.shift, result[:, None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            result = points - there[:, 0]
        return np.asarray(result, np.float32)


def _away(own: NDArray[np.float32], of_b: NDArray[Any], yaw: float, farthest: float) -> NDArray[np.float32]:
    """(36, 2): how far the landmarks of A's face oval are moved, at most `farthest`, towards those of B's.

    Not where all of B's lies aside of A's: a face that is read as raised by some degrees has its features lower in its
    outline, and no other head. Nor where the oval runs over a cheek before the ear: of a turned head, landmarks of all
    faces are found at the same place there (on the rendered performers, B's against A's: 0.75 of the difference to be
    expected on both sides at 0 degrees, at 8 degrees 0.4 on the near side and 0.9 on the far one, at 16 degrees 0.15
    and 1, beyond 24 none on the near side).
    """
    away = of_b - own
    away = _sideways(yaw)[:, None] * (away - away.mean(0))
    return np.asarray(away * min(1, farthest / max(float(np.linalg.norm(away, axis=1).max()), 1e-6)), np.float32)


def _sideways(yaw: float) -> NDArray[np.float64]:
    """(36,) 0..1: how much landmarks of the face oval, which goes from its top clockwise, are the head's outline."""
    aside = np.sin(np.linspace(0, 2 * math.pi, len(FACE_OVAL), endpoint=False))
    facing = math.cos(_SLOPE) * math.cos(yaw) - math.sin(_SLOPE) * math.sin(yaw) * aside
    (outline, skin), (hidden, seen) = _FACING, _HIDDEN
    return np.clip((skin - facing) / (skin - outline), 0, 1) * np.clip((facing - hidden) / (seen - hidden), 0, 1)


def _outside(places: NDArray[np.float32], outline: NDArray[np.float32]) -> NDArray[np.float32]:
    """(...): how far places (..., 2) lie outside the convex hull of an outline (n, 2), in px; less than 0 inside."""
    import cv2

    hull = cv2.convexHull(outline)[:, 0]
    along = np.roll(hull, -1, 0) - hull
    outwards = np.column_stack([along[:, 1], -along[:, 0]]) / np.maximum(np.linalg.norm(along, axis=1)[:, None], 1e-6)
    beyond = outwards @ places.reshape(-1, 2).T - (hull * outwards).sum(1)[:, None]
    return np.asarray(beyond.max(0).reshape(places.shape[:-1]), np.float32)
