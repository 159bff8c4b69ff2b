"""How soft the plate is in a frame, by focus or by movement, and the new face made as soft.

A network draws every face in focus and at rest. Where the camera loses focus for a while, or a head moves while the
shutter is open, the plate is softer than the clip mostly is, all over or along one direction. How much softer is told
from the plate alone: from the strength of its finest edges against that of coarser ones, in four directions, on the
face and around it, compared with what known blurs would make of the clip's own frames. A face that closes its eyes, or
turns from the lamp, has fewer fine edges as well, but hair and ears do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..find.mask import hull_mask, inner_mask
from ..footage import LUMINANCE
from ..geometry import FACE_OVAL, face_width

_WIDTH_PX = 200
"""of a face, as it is looked at; smaller ones as they are"""
_FINE_PX, _COARSE = 1.0, 0.025
"""blurs before edges are measured: the finer in px, the coarser a part of the face's width"""
_RIM, _AROUND = 0.05, 0.2
"""of the face's width, that is left to what is around it along its border; and of its size, by which that reaches
beyond it"""
_OUT_OF_FOCUS_PX = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""standard deviations"""
_MOVED_PX = (4, 6, 9, 14, 20, 28)
_WAYS, _DIRECTIONS = 8, 4
_TELLS = 0.085
"""standard deviation of a direction's softness from frame to frame that is mere chance"""
_DOUBT = 0.16
"""squared softness that expressions alone may look like"""
_HARDLY = 0.9
"""how sure it is that nothing is soft, for nothing to be done"""
_AS_LARGE = 0.25
"""how far, as a logarithm, a face may be from the clip's usual size: fewer px for a face make it softer as well"""
_LEAST_PX = 30


@dataclass(frozen=True, eq=False)
class Focus:
    """How soft a clip mostly is, and how blurs would look in it. Threads may share it."""

    width: float
    """of its faces, in px as they are looked at"""
    usual: NDArray[np.float64]
    """(8,) as `_Look.edges`"""
    softer: NDArray[np.float64]
    """(k, 8): what each blur adds to these, the first none"""

    @classmethod
    def measured(cls, plates: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Self | None:
        """From parts of some frames (h, w, 3) 0..1 with landmarks (478, 2) of a face; None where the faces are too
        small to tell."""
        seen = [look for plate, points in plates if (look := _Look.at(plate, points)) is not None]
        if not seen:
            return None
        edges = np.array([look.edges() for look in seen])
        usual = np.median(edges, 0)
        some = np.argsort(np.abs(edges - usual).sum(1))[: max(3, len(seen) // 4)]
        softer = [np.mean([seen[k].edges(blur) - edges[k] for k in some], 0) for blur in _blurs()]
        return cls(float(np.median([look.width for look in seen])), usual, np.array([np.zeros_like(usual), *softer]))

    def __call__(
        self,
        face: NDArray[np.float32],
        plate: NDArray[np.float32],
        points: NDArray[np.float32],
        bare: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """`face` as soft as the `plate` around it, both (h, w, 3) 0..1, is at landmarks (478, 2) of A, where nothing
        stands before it (`bare` (h, w) 0..1)."""
        import cv2

        look = _Look.at(plate, points, bare)
        if look is None or abs(math.log(look.width / self.width)) > _AS_LARGE:
            return face
        off = ((self.softer - (look.edges() - self.usual)) ** 2).sum(1)
        off[0] -= _DOUBT
        # Not the likeliest blur but the mean of the likely ones, so that it comes and goes without a jump.
        likely = np.exp((off.min() - off) / (2 * _TELLS**2))
        sharp, *shares = (likely / likely.sum()).tolist()
        if sharp > _HARDLY:
            return face
        blur = _together(shares)
        if look.part < 1:
            side = 2 * round(len(blur) / look.part / 2) + 1
            blur = cv2.resize(blur, (side, side), interpolation=cv2.INTER_LINEAR)
        soft = cv2.filter2D(face, -1, blur / blur.sum(), borderType=cv2.BORDER_REPLICATE)
        return np.asarray(sharp * face + (1 - sharp) * soft, np.float32)


@dataclass(frozen=True, eq=False)
class _Look:
    """A face in a frame, as its softness is told."""

    grey: NDArray[np.float32]
    """(h, w) luminance"""
    weights: NDArray[np.float32]
    """(2, h, w) 0..1, of the face, and of what is around it"""
    width: float
    """of the face, in px here"""
    part: float
    """of the size it has in the frame"""

    @classmethod
    def at(
        cls, plate: NDArray[np.float32], points: NDArray[np.float32], bare: NDArray[np.float32] | None = None
    ) -> Self | None:
        """None where the face is hardly seen. Arguments as of Focus."""
        import cv2

        width = face_width(points)
        part = min(1.0, _WIDTH_PX / max(width, 1.0))
        size = (max(1, round(part * plate.shape[1])), max(1, round(part * plate.shape[0])))
        grey = cv2.transform(plate, LUMINANCE[None])
        points = (points + 0.5) * part - 0.5
        oval = points[FACE_OVAL]
        face = inner_mask(points, size, _RIM)
        around = hull_mask(oval + _AROUND * (oval - oval.mean(0)), size) - face
        weights = np.stack([face, around]) / np.float32(255)
        if part < 1:
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        if bare is not None and not bare.all():
            weights = weights * cv2.erode(cv2.resize(bare, size), np.ones((7, 7), np.uint8))
        if weights.sum((1, 2)).min() < _LEAST_PX**2:
            return None
        return cls(grey, weights.astype(np.float32), part * width, part)

    def edges(self, blur: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """(8,): logarithm of the strength of fine edges against that of coarse ones, across 0, 45, 90 and 135 degrees,
        of the face and around it; with a `blur` (k, k), as they would be after it."""
        import cv2

        grey, strengths = self.grey if blur is None else cv2.filter2D(self.grey, -1, blur), []
        for sigma in (_FINE_PX, _COARSE * self.width):
            soft = cv2.GaussianBlur(grey, (0, 0), sigma)
            x, y = (cv2.Sobel(soft, cv2.CV_32F, *axis, scale=0.125) for axis in ((1, 0), (0, 1)))
            # The structure tensor (Bigun, Granlund, ICCV 1987) tells all directions.
            xx, xy, yy = (np.tensordot(self.weights, product, 2)[:, None] for product in (x * x, x * y, y * y))
            angle = np.arange(_DIRECTIONS) * math.pi / _DIRECTIONS
            strengths.append((np.cos(angle) ** 2 * xx + np.sin(2 * angle) * xy + np.sin(angle) ** 2 * yy).ravel())
        return np.asarray(0.5 * np.log(np.maximum(strengths[0], 1e-9) / np.maximum(strengths[1], 1e-9)))


def _together(shares: list[float]) -> NDArray[np.float32]:
    """(k, k): the blurs, each with its share, without the rim that has next to nothing."""
    largest = max(len(blur) for blur in _blurs())
    total = np.zeros((largest, largest), np.float32)
    for share, blur in zip(shares, _blurs(), strict=True):
        rim = (largest - len(blur)) // 2
        total[rim : largest - rim, rim : largest - rim] += share * blur
    while len(total) > 3 and total[1:-1, 1:-1].sum() > 0.998 * total.sum():
        total = total[1:-1, 1:-1]
    return total


@cache
def _blurs() -> tuple[NDArray[np.float32], ...]:
    """Kernels (k, k): Gaussians for what is out of focus, lines for what moved."""
    return tuple(_gaussian(sigma) for sigma in _OUT_OF_FOCUS_PX) + tuple(
        _line(length, way * math.pi / _WAYS) for length in _MOVED_PX for way in range(_WAYS)
    )


def _gaussian(sigma: float) -> NDArray[np.float32]:
    import cv2

    profile = cv2.getGaussianKernel(2 * math.ceil(3 * sigma) + 1, sigma, cv2.CV_32F)
    return np.asarray(profile @ profile.T, np.float32)


def _line(length: float, angle: float) -> NDArray[np.float32]:
    side = 2 * math.ceil(length / 2) + 3
    drawn = np.zeros((side, side), np.float32)
    along = np.linspace(-length / 2, length / 2, 8 * round(length))
    x, y = (side // 2 + along * way for way in (math.cos(angle), math.sin(angle)))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    for right, down in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.abs(1 - right - (x - column)) * np.abs(1 - down - (y - row))
        np.add.at(drawn, (row + down, column + right), share)
    return np.asarray(drawn / drawn.sum(), np.float32)
