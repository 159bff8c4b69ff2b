"""The light of the scene on the new face.

A network knows the light that its source stood in, and draws another lamp's shadow as a stain or not at all. But the
plate shows what that lamp does to a face in the same pose: A's skin over what it usually looks like is light
(learn.usual), and is laid on B's, place by place of the skin, so that a shadow ends at the same side of another nose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..find.surface import Surface
from ..footage import LUMINANCE
from ..learn.usual import SIDE_PX, UsualFaces, logarithm, relit
from .fit import Drawn

# Parts of the flat face's width, spreads of blurs.
_BROAD = 0.3
"""over which the plate's light and colour are taken as they are, so that face and neck agree"""
_FINER = (0.12, 0.05, 0.02, 0.012)
_COLOUR = 0.05
"""down to which the colour of light is taken wherever it falls"""
_AROUND = 0.06
"""over which it is asked how strong light and shadow are"""
_FEATURES = 0.2
"""how far, as a logarithm, two faces in the same light differ by their folds and hollows, which are to stay B's; a
lamp's shadow is several times as dark"""
_MOST = 1.6
_ENOUGH = 0.125
"""of what is near, that must be skin for the light to be told so finely"""
_FACE = 0.8
"""the flat face's width, of the side"""
_SMOOTH_PX = 3
"""of a blur's spread, that are enough to carry it"""
_LEAST = 0.004
"""of the flat picture, that must be seen skin"""
_SHOWN = 0.3
"""of the px that places have in the picture on the mean, from which on one tells all it can"""
_SQUARE_PX = 64
"""of a face square, that are enough to lay light on a face"""
# Of a face square.
_TORN, _BEYOND, _SOFT = 0.01, 0.1, 0.02
"""over what light is smoothed on the face; from how far away it is carried on to where no skin is known; and over what
it fades into that"""


@dataclass(frozen=True, eq=False)
class Light:
    """Lays the plate's light on faces that a network drew. Threads may share it."""

    usual: UsualFaces
    surface: Surface

    @classmethod
    def of(cls, usual: UsualFaces) -> Self:
        return cls(usual, Surface(SIDE_PX))

    def __call__(self, face: NDArray[np.float32], drawn: Drawn, bare: NDArray[np.float32]) -> NDArray[np.float32]:
        """`face` (h, w, 3) 0..1, as `drawn` but for its detail, in the light of the plate, of which `bare` (h, w) 0..1
        says where nothing stands before it. Where hardly any skin is seen, as it was."""
        flat = self.read(face, drawn, bare)
        if flat is None:
            return face
        return relit(face, self._laid(flat, drawn.points_b, drawn.square_px, face.shape[1::-1]))

    def read(self, face: NDArray[np.float32], drawn: Drawn, bare: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """(128, 128, 3) on the flat skin: what is to be added to the logarithm of the face's light."""
        weight = self.usual.skin * self.surface.flattened(bare, drawn.points)
        for points in (drawn.points, drawn.points_b):
            facing = self.surface.facing(points)
            usual = float(facing.sum()) / max(int(np.count_nonzero(facing)), 1)
            weight = weight * np.clip(facing / max(_SHOWN * usual, 1e-6), 0, 1)
        if weight.mean() < _LEAST:
            return None
        plate, own = (
            logarithm(self.surface.flattened(*seen)) for seen in ((drawn.plate, drawn.points), (face, drawn.points_b))
        )
        apart = plate - own
        broad, _ = _near(_weighted(apart, weight), _BROAD)
        # What is nearer than that differs by what the two are as well, but that is known.
        light = _weighted(apart - self.usual.ratio, weight)
        base, _ = _near(light, _BROAD)
        fine = coarse = base
        for spread in _FINER:
            there, share = _near(light, spread)
            fine = fine + np.clip(share / _ENOUGH, 0, 1) * (there - fine)
            if spread >= _COLOUR:
                coarse = fine
        fine, coarse = fine - base, coarse - base
        tint = coarse - _luminance(coarse)
        strength, _ = _near(_weighted(_luminance(fine) ** 2, weight), _AROUND)
        strength = (strength / _FEATURES**2) ** 2
        return np.asarray(np.clip(broad + tint + strength / (1 + strength) * (fine - tint), -_MOST, _MOST), np.float32)

    def _laid(
        self, flat: NDArray[np.float32], points: NDArray[np.float32], square_px: float, size: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """(h, w, 3) in a picture of `size` (width, height): `flat` on the face with landmarks (478, 2), and carried on
        around it."""
        import cv2

        # As smooth as it is it needs no more pixels.
        shrink = max(1, int(square_px / _SQUARE_PX))
        few = tuple(-(-side // shrink) for side in size)
        there = np.asarray((points + 0.5) / shrink - 0.5, np.float32)
        laid = self.surface.laid(_weighted(flat, np.ones(flat.shape[:2], np.float32)), there, (few[0], few[1]))
        inside = np.asarray(laid[..., 3] > 0.99, np.float32)
        seen = _weighted(laid[..., :3], inside)
        # Where the face turns away from itself, as beside a nose, its skin is torn.
        (whole, _), (beyond, _) = (_mean(seen, spread * square_px / shrink) for spread in (_TORN, _BEYOND))
        soft = cv2.GaussianBlur(inside, (0, 0), max(_SOFT * square_px / shrink, 0.5))
        soft = (inside * np.clip(2 * soft - 1, 0, 1))[..., None]
        large = cv2.resize(beyond + soft * (whole - beyond), None, fx=shrink, fy=shrink, interpolation=cv2.INTER_LINEAR)
        return np.asarray(large[: size[1], : size[0]])


def _luminance(ratio: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, 1) of (h, w, 3)."""
    import cv2

    return np.asarray(cv2.transform(ratio, np.array([LUMINANCE], np.float32)), np.float32)[..., None]


def _weighted(values: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, c + 1): values (h, w, c) times weights (h, w), and these."""
    import cv2

    return np.asarray(cv2.merge([*cv2.split(values * weight[..., None]), weight]), np.float32)


def _near(flat: NDArray[np.float32], spread: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """`_mean` over about `spread` of the flat face's width."""
    return _mean(flat, spread * _FACE * SIDE_PX)


def _mean(weighted: NDArray[np.float32], sigma: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """The mean of what is near (h, w, c), and the mean weight (h, w, 1), of what is `_weighted`: Knutsson, Westin,
    "Normalized and differential convolution", CVPR 1993."""
    import cv2

    size, shrink = weighted.shape[1::-1], max(1, int(sigma / _SMOOTH_PX))
    if shrink > 1:
        few = (-(-size[0] // shrink), -(-size[1] // shrink))
        weighted = np.asarray(cv2.resize(weighted, few, interpolation=cv2.INTER_AREA), np.float32)
    soft = cv2.GaussianBlur(weighted, (0, 0), sigma / shrink, borderType=cv2.BORDER_CONSTANT)
    soft[..., :-1] /= np.maximum(soft[..., -1:], 1e-4)
    if shrink > 1:
        soft = cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR)
    return soft[..., :-1], soft[..., -1:]
