"""B's own eyes, brows, nose and lips, where a network drew them soft: from the few of B's pictures that show each of
them most nearly as it was drawn, bent the rest of the way.

By example, as Freeman, Jones and Pasztor, "Example-based super-resolution", IEEE CG&A 22(2), 2002; but examples are
found by landmarks, so that an eye is always an eye that looks the same way, and they move as steadily as landmarks do.
Only fine light is taken: where all lies, its colour and its shades are what the network drew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..find.mask import hull_mask, outline_mask
from ..geometry import LEFT_BROW, RIGHT_BROW, every_px
from ..learn.features import EVEN, PARTS, STEPS, FeatureDetail, fine_light

_NEAREST = 3
"""more are blurred by one another, one alone changes at once"""
_OTHER = (0.3, 0.6)
"""how far the landmarks of the nearest lie from where they were drawn, of how far those lie from their middle: where B
is hardly known to look like that, and where B is not, so that nothing is laid"""
# Of a face square.
_MARGIN, _SOFT = 0.045, 0.015
"""around a part, laid with it, and over how much it fades"""
_BESIDE = 0.13
"""how far from a part landmarks bend it; with those of the lid not among them, brows brought the line of a wider open
eye along"""
_REACH, _RIDGE = 0.12, 0.05
"""of bending, as in learn.bend; landmarks err by more than their ridge there"""
_EVERY = 0.06
"""between the places for which the bending is computed"""
_ASTRAY, _FARTHEST = 0.01, 0.025
"""of a face square: how far from its landmarks a network draws a brow, as a spread, and at most"""
_LOOKS = 3
"""at where it is drawn, each from where the one before left off"""
_COARSEST = 3
"""halvings of the pictures, for faces that are small in the frame"""


@dataclass(frozen=True, eq=False)
class _Part:
    """What is known of an eye, a brow, the nose or the mouth in B's pictures. Points are complex numbers, as a turn
    with a change of size is one."""

    own: NDArray[np.int64]
    """the landmarks by which it is found"""
    bent_by: NDArray[np.int64]
    """and those by which it is bent"""
    middles: NDArray[np.complex128]
    """(k,) of the former in each of k pictures, px"""
    shapes: NDArray[np.complex128]
    """(k, n) and where they lie around it"""
    lengths: NDArray[np.float64]
    """(k,) squared, of the shapes"""
    around: NDArray[np.complex128]
    """(k, m) the latter around the middle of the former, px"""
    bowed: bool
    """a brow: what it goes around, as a bow, is the lid, and none of it"""

    @classmethod
    def of(cls, own: NDArray[np.int64], detail: FeatureDetail) -> Self:
        usual = detail.points.mean(0) / detail.square_px
        away = np.linalg.norm(usual[:, None] - usual[None, own], axis=2).min(1)
        bent_by, points = np.flatnonzero(away < _BESIDE), _complex(detail.points)
        middles = points[:, own].mean(1)
        shapes, around = points[:, own] - middles[:, None], points[:, bent_by] - middles[:, None]
        bowed = any(np.array_equal(own, brow) for brow in (RIGHT_BROW, LEFT_BROW))
        return cls(own, bent_by, middles, shapes, (np.abs(shapes) ** 2).sum(1), around, bowed)

    def nearest(self, shape: NDArray[np.complex128], size: float) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The pictures that show it most nearly as in `shape` (n,), about its middle, `size` times as large as there:
        their rows, what turns and enlarges `shape` to each, and how much of each is to be taken, none of one that is
        about to be replaced by another.

        What the best turn leaves: Umeyama, as in geometry.similarity.
        """
        alike, length = self.shapes @ shape.conj(), float((np.abs(shape) ** 2).sum())
        away = np.maximum(length + size**2 * self.lengths - 2 * size * np.abs(alike), 0)
        rows = np.argsort(away, kind="stable")[: _NEAREST + 1]
        share = np.maximum(1 - away[rows] / max(away[rows[-1]], 1e-12), 0) ** 2
        share = share / share.sum() if share.sum() > 0 else np.eye(1, len(rows))[0]
        rows, share = rows[share > 0], share[share > 0]
        few, many = _OTHER
        known = np.clip((many - math.sqrt(away[rows[0]] / max(length, 1e-12))) / (many - few), 0, 1)
        return rows, alike[rows] / max(length, 1e-12), share * known


@dataclass(frozen=True, eq=False)
class Features:
    """B's eyes, brows, nose and lips, ready to be laid. Threads may share it."""

    levels: tuple[NDArray[np.uint8], ...]
    """FeatureDetail.light, and each half as large as the one before"""
    square_px: float
    """in the first of them"""
    coarse: float
    """what the detail is finer than, in face squares"""
    parts: tuple[_Part, ...]

    @classmethod
    def of(cls, detail: FeatureDetail) -> Self:
        import cv2

        levels = [detail.light]
        while len(levels) <= _COARSEST:
            levels.append(np.stack([cv2.pyrDown(picture) for picture in levels[-1]]))
        return cls(tuple(levels), detail.square_px, detail.coarse, tuple(_Part.of(own, detail) for own in PARTS))

    def __call__(self, face: NDArray[np.float32], points: NDArray[np.float32], square_px: float) -> NDArray[np.float32]:
        """`face` (h, w, 3) 0..1 with landmarks (478, 2), of which a face square is `square_px` wide, with the fine
        light of B's own eyes, brows, nose and lips in place of its own."""
        import cv2

        margin, size = (_MARGIN + 3 * _SOFT + _FARTHEST) * square_px, face.shape[1::-1]
        boxes = [(part, *_box(points[part.own], margin, size)) for part in self.parts]
        boxes = [(part, low, high) for part, low, high in boxes if (high - low > 1).all()]
        if not boxes:
            return face
        begin, end = np.min([low for _, low, _ in boxes], axis=0), np.max([high for _, _, high in boxes], axis=0)
        there = (slice(begin[1], end[1]), slice(begin[0], end[0]))
        coarse_px = max(self.coarse * square_px, 0.3)
        own, shown = fine_light(face[there], coarse_px), _complex(points)
        wanted, known = np.zeros((2, *own.shape), np.float32)
        for part, low, high in boxes:
            into = tuple(slice(*ends) for ends in zip((low - begin)[::-1], (high - begin)[::-1], strict=True))
            detail, sure = self._detail(part, shown, square_px, low, high)
            alpha = _alpha(part, points - low, high - low, square_px)
            if part.bowed and sure:
                astray = _astray(detail / sure, own[into], alpha, coarse_px, square_px)
                detail = _moved(detail, astray, cv2.INTER_CUBIC)
                alpha = _alpha(part, points - low + astray, high - low, square_px)
            wanted[into] += alpha * detail
            known[into] += alpha * sure
        # Where two parts meet they share.
        gain = np.exp((wanted - known * own) / np.maximum(known, 1))
        result = face.copy()
        result[there] = np.clip(cv2.multiply(result[there], cv2.merge([gain] * 3)), 0, 1)
        return result

    def _detail(
        self, part: _Part, shown: NDArray[np.complex128], square_px: float, low: NDArray[Any], high: NDArray[Any]
    ) -> tuple[NDArray[np.float32], float]:
        """(h, w) over the box from `low` to `high`: the logarithm of the light over that around it, of a face with
        landmarks `shown` (478,), as far as B is known to look like that; and how far that is, 0..1."""
        import cv2

        middle = shown[part.own].mean()
        rows, turns, shares = part.nearest(shown[part.own] - middle, square_px / self.square_px)
        goal, own = shown[part.bent_by] - middle, part.around[rows].T
        reach, every = _REACH * square_px, max(1, round(_EVERY * square_px))
        inside = _alike(goal, goal, reach) + _RIDGE * np.eye(len(goal))
        # As pairs of real numbers, as what is inside is real.
        missing = np.ascontiguousarray(own - goal[:, None] * turns).view(np.float64)
        pull = np.linalg.solve(inside, missing).view(np.complex128)
        x, y = (every_px(side, every) for side in high - low)
        places = (x + 1j * y[:, None]).ravel() + complex(*low) - middle
        level = int(np.clip(math.log2(self.square_px / square_px), 0, len(self.levels) - 1))
        where = places[:, None] * turns + _alike(places, goal, reach) @ pull + part.middles[rows]
        fields = np.ascontiguousarray(where.T / 2**level, np.complex64).view(np.float32)
        fields = fields.reshape(len(rows), len(y), len(x), 2)
        width, height = high - low
        total = np.zeros((height, width), np.float32)
        for row, field, share in zip(rows, fields, shares, strict=True):
            fine = cv2.resize(field, (len(x) * every, len(y) * every), interpolation=cv2.INTER_CUBIC)[:height, :width]
            light = cv2.remap(self.levels[level][row], fine, None, cv2.INTER_CUBIC, borderValue=EVEN)
            cv2.scaleAdd(light.astype(np.float32), share, total, total)
        sure = float(shares.sum())
        return np.asarray((total - sure * EVEN) / STEPS, np.float32), sure


def _astray(
    wanted: NDArray[np.float32],
    own: NDArray[np.float32],
    alpha: NDArray[np.float32],
    coarse_px: float,
    square_px: float,
) -> NDArray[np.float32]:
    """(2,) px: how far from where its landmarks say a part was drawn, `own`; `wanted` is what it is to look like there,
    all (h, w). Moved after what was drawn, the one's dark hairs lie on the other's shade of them, not beside it.

    Lucas, Kanade, "An iterative image registration technique", IJCAI 1981; of shifts that say nothing, the smallest.
    """
    import cv2

    soft_px = max(coarse_px / 2, 0.5)  # about that of the drawn one
    soft, seen = cv2.GaussianBlur(wanted, (0, 0), soft_px), cv2.GaussianBlur(own, (0, 0), soft_px / 2)
    shift, likely_px, px_alike = np.zeros(2), _ASTRAY * square_px, math.pi * (2 * soft_px) ** 2
    for _ in range(_LOOKS):
        moved = _moved(soft, shift, cv2.INTER_LINEAR)
        strength = float((alpha * moved * seen).sum()) / max(float((alpha * moved**2).sum()), 1e-6)
        if strength <= 0:
            break
        slopes = np.stack([cv2.Sobel(moved, cv2.CV_32F, *axes, scale=-strength / 8) for axes in ((1, 0), (0, 1))])
        weighted, left = (alpha * slopes).reshape(2, -1), (seen - strength * moved).ravel()
        noise = px_alike * float((alpha.ravel() * left**2).sum()) / max(float(alpha.sum()), 1.0)
        ridge = max(noise, 1e-9) / likely_px**2
        pull = weighted @ left - ridge * shift
        shift = shift + np.linalg.solve(weighted @ slopes.reshape(2, -1).T + ridge * np.eye(2), pull)
        shift = shift * min(1, _FARTHEST * square_px / max(float(np.linalg.norm(shift)), 1e-9))
    return shift.astype(np.float32)


def _moved(picture: NDArray[np.float32], shift: NDArray[Any], method: int) -> NDArray[np.float32]:
    import cv2

    to = np.column_stack([np.eye(2), shift])
    moved = cv2.warpAffine(picture, to, picture.shape[1::-1], flags=method, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _complex(points: NDArray[Any]) -> NDArray[np.complex128]:
    return np.asarray(points[..., 0] + 1j * points[..., 1].astype(np.float64))


def _alike(first: NDArray[np.complex128], second: NDArray[np.complex128], reach: float) -> NDArray[np.float64]:
    away = np.abs(first[:, None] - second) / reach
    return np.asarray((1 + away) * np.exp(-away))


def _box(points: NDArray[Any], margin: float, size: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Its first px and the one after its last, within a picture of `size`."""
    low = np.maximum(np.floor(points.min(0) - margin).astype(np.int64), 0)
    high = np.minimum(np.ceil(points.max(0) + margin).astype(np.int64) + 1, size)
    return low, high


def _alpha(part: _Part, points: NDArray[Any], size: NDArray[Any], square_px: float) -> NDArray[np.float32]:
    """(h, w) 0..1 in a picture of `size` (width, height) with landmarks (478, 2): the part, and around it, fading."""
    import cv2

    around, (width, height) = max(1, round(_MARGIN * square_px)), size.tolist()
    if part.bowed:
        within = outline_mask(points, (width, height), part.own)
    else:
        within = hull_mask(points[part.own], (width, height))
    mask = cv2.dilate(within, np.ones((2 * around + 1, 2 * around + 1), np.uint8))
    soft = cv2.GaussianBlur(mask, (0, 0), max(_SOFT * square_px, 0.5))
    return np.asarray(soft / np.float32(255), np.float32)
