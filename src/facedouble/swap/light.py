"""The light of the scene on the new face.

A network knows the light that its source stood in, and draws another lamp's shadow as a stain or not at all. But the
plate shows what that lamp does to a face in the same pose: A's skin over what it usually looks like is light
(learn.usual), and is laid on B's, place by place of the skin, so that a shadow ends at the same side of another nose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..find.surface import Surface
from ..footage import LUMINANCE
from ..geometry import LEFT_EYE, RIGHT_EYE
from ..learn.usual import SIDE_PX, UsualFaces, beside, beside_brows, logarithm, relit
from .blend import plain
from .drawn import Drawn

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
_EDGE, _HARD = 0.0035, 0.4
"""over which the edge of a hard shadow is told at first, and how strong, as a logarithm, light and shadow are at one"""
_LIDS_PX, _BROWS_PX = 5, 3
"""of the flat face, around eyes and brows: skin that folds there, as in a wink, may be as light or dark as a lamp makes
it, and is taken for lit as far as the rest of the skin is"""
_GRADUAL_PX = 1.5
"""the spread of the blur between the two"""
_MOST = 1.6
_ENOUGH = 0.125
"""of what is near, that must be skin for the light to be told so finely"""
_FACE = 0.8
"""the flat face's width, of the side"""
_SMOOTH_PX = 2.5
"""of a blur's spread, that are enough to carry it"""
_LEAST = 0.004
"""of the flat picture, that must be seen skin"""
_SHOWN = 0.3
"""of the px that places have in the picture on the mean, from which on one tells all it can"""
_SQUARE_PX = 64
"""of a face square, that are enough to lay light on a face"""
_STEEP, _MANY = 0.12, 0.04
"""how much, as a logarithm, light with hard edges changes from one px of the flat face to the next, and in what part of
these (soft lamps: 0 to 0.016; a hard one: 0.11 to 0.17)"""
_TIMES = 2
"""as large is the flat face that shows such edges"""
_MIDDLE_PX, _MIDDLES = 5, 3
"""of that: a middle value over so many px a side, so many times, has edges but no freckles, moles and hairs"""
# Of a face square.
_TORN, _BEYOND, _SOFT = 0.0025, 0.1, 0.02
"""over what light is smoothed on the face; from how far away it is carried on to where no skin is known; and over what
it fades into that"""


@dataclass(frozen=True, eq=False)
class Light:
    """Lays the plate's light on faces that a network drew. Threads may share it."""

    usual: UsualFaces
    surface: Surface
    finer: Surface
    """for light with hard edges"""
    even: NDArray[np.float32]
    """(128, 128) 0..1: where skin lies flat, whatever a face does"""

    @classmethod
    def of(cls, usual: UsualFaces) -> Self:
        import cv2

        surface = Surface(SIDE_PX)
        places = surface.places
        even = np.minimum(beside(places, _LIDS_PX, LEFT_EYE, RIGHT_EYE), beside_brows(places, _BROWS_PX))
        return cls(usual, surface, Surface(_TIMES * SIDE_PX), cv2.GaussianBlur(even, (0, 0), _GRADUAL_PX))

    def __call__(self, face: NDArray[np.float32], drawn: Drawn, bare: NDArray[np.float32]) -> NDArray[np.float32]:
        """`face` (h, w, 3) 0..1, as `drawn` but for its detail, in the light of the plate, of which `bare` (h, w) 0..1
        says where nothing stands before it. Where hardly any skin is seen, as it was."""
        flat = self.read(face, drawn, bare)
        if flat is None:
            return face
        return relit(face, _laid(flat, drawn))

    def read(self, face: NDArray[np.float32], drawn: Drawn, bare: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """(k, k, 3) on the flat skin: what is to be added to the logarithm of the face's light; k is 128, or 256 where
        it has hard edges."""
        import cv2

        apart, weight = _apart(self.surface, self.usual.skin, face, drawn, bare)
        if weight.mean() < _LEAST:
            return None
        broad, _ = _near(_weighted(apart, weight), _BROAD)
        # What is nearer than that differs by what the two are as well, but that is known.
        unlike = _weighted(apart - self.usual.ratio, weight)
        base, _ = _near(unlike, _BROAD)
        fine = coarse = base
        for spread in _FINER:
            there, known = _near(unlike, spread)
            fine = plain(there, fine, known)
            if spread >= _COLOUR:
                coarse = fine
        fine, coarse = fine - base, coarse - base
        tint = coarse - cv2.merge([_luminance(coarse)] * 3)
        squares = _luminance(fine) ** 2
        strength, _ = _near(_weighted(squares, weight), _AROUND)
        around, _ = _near(_weighted(squares, weight * self.even), _BROAD)
        strength += (1 - self.even) * np.minimum(around - strength, 0)
        layers = [broad + cv2.merge([self.usual.contrast] * 3), base, fine, tint]
        layers += [_above(strength, limit) for limit in (_FEATURES, _HARD)]
        light = _with_edges(unlike, _EDGE, *layers)
        grey = _luminance(light)
        steep = np.abs(np.diff(grey, axis=0)[:, :-1]) + np.abs(np.diff(grey, axis=1)[:-1]) > _STEEP
        if steep.mean() < _MANY:
            return light
        apart, weight = _apart(self.finer, _larger(self.usual.skin), face, drawn, bare, _MIDDLES)
        unlike = _weighted(apart - _larger(self.usual.ratio), weight)
        return _with_edges(unlike, _EDGE / _TIMES, *(_larger(layer) for layer in layers))


def _apart(
    surface: Surface,
    skin: NDArray[np.float32],
    face: NDArray[np.float32],
    drawn: Drawn,
    bare: NDArray[np.float32],
    middles: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(k, k, 3) on the flat skin of k px: the logarithm of the plate's light less that of the face's, of both the
    middles of a few px, so many times; and (k, k) 0..1 how far light can be told by it, where it is `skin` (k, k)."""
    import cv2

    seen = surface.flattened(cv2.merge([*cv2.split(drawn.plate), bare]), drawn.points)
    own, weight = surface.flattened(face, drawn.points_b), skin * seen[..., 3]
    for points in (drawn.points, drawn.points_b):
        facing = surface.facing(points)
        usual = float(facing.sum()) / max(int(np.count_nonzero(facing)), 1)
        weight = weight * np.clip(facing / max(_SHOWN * usual, 1e-6), 0, 1)
    plate = np.ascontiguousarray(seen[..., :3])
    for _ in range(middles):
        plate, own = (cv2.medianBlur(part, _MIDDLE_PX) for part in (plate, own))
    return logarithm(plate) - logarithm(own), weight


def _with_edges(
    unlike: NDArray[np.float32],
    spread: float,
    broad: NDArray[np.float32],
    base: NDArray[np.float32],
    fine: NDArray[np.float32],
    tint: NDArray[np.float32],
    lit: NDArray[np.float32],
    hard: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(k, k, 3): all of the light: `broad`, and upon it what is `fine` as far as a place is `lit` (k, k) 0..1, else its
    `tint`; as fine as `spread` where it is `hard`, by what is `unlike`, weighted, less its `base`."""
    there, known = _near(unlike, spread)
    light = broad + plain(plain(there - base, fine, known * hard), tint, lit)
    return np.asarray(np.clip(light, -_MOST, _MOST), np.float32)


def _larger(flat: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.resize(flat, None, fx=_TIMES, fy=_TIMES, interpolation=cv2.INTER_LINEAR), np.float32)


def _laid(flat: NDArray[np.float32], drawn: Drawn) -> NDArray[np.float32]:
    """(h, w, 3): `flat` on the drawn face, and carried on around it."""
    import cv2

    # As smooth as it is it needs no more pixels.
    finer = flat.shape[0] // SIDE_PX
    shrink = max(1, int(drawn.square_px / (_SQUARE_PX * finer**2)))
    laid = drawn.skin.every(shrink).laid(_weighted(flat, np.ones(flat.shape[:2], np.float32)), edges=finer > 1)
    inside = np.asarray(laid[..., 3] > 0.99, np.float32)
    seen = _weighted(laid[..., :3], inside)
    # Where the face turns away from itself, as beside a nose, its skin is torn.
    (whole, _), (beyond, _) = (_mean(seen, spread * drawn.square_px / shrink) for spread in (_TORN / finer, _BEYOND))
    soft = cv2.GaussianBlur(inside, (0, 0), max(_SOFT * drawn.square_px / shrink, 0.5))
    mixed = plain(whole, beyond, inside * np.clip(2 * soft - 1, 0, 1))
    large = cv2.resize(mixed, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large[: drawn.face.shape[0], : drawn.face.shape[1]])


def _above(strength: NDArray[np.float32], limit: float) -> NDArray[np.float32]:
    """0..1: how far mean squares (h, w) are above that of `limit`."""
    times = (strength / np.float32(limit**2)) ** 2
    return np.asarray(times / (1 + times), np.float32)


def _luminance(ratio: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) of (h, w, 3)."""
    import cv2

    return np.asarray(cv2.transform(ratio, LUMINANCE[None]), np.float32)


def _weighted(values: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, c + 1): values (h, w, c), or (h, w), times weights (h, w), and these."""
    import cv2

    return np.asarray(cv2.merge([*(part * weight for part in cv2.split(values)), weight]), np.float32)


def _near(flat: NDArray[np.float32], spread: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`_mean` over about `spread` of the flat face's width, and how far (h, w) 0..1 enough of it is known there."""
    mean, weight = _mean(flat, spread * _FACE * flat.shape[0])
    return mean, np.clip(weight / np.float32(_ENOUGH), 0, 1)


def _mean(weighted: NDArray[np.float32], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mean of what is near (h, w, c), or (h, w) of one channel, and the mean weight (h, w), of what is `_weighted`:
    Knutsson, Westin, "Normalized and differential convolution", CVPR 1993."""
    import cv2

    size, shrink = weighted.shape[1::-1], max(1, int(sigma / _SMOOTH_PX))
    if shrink > 1:
        few = (-(-size[0] // shrink), -(-size[1] // shrink))
        weighted = np.asarray(cv2.resize(weighted, few, interpolation=cv2.INTER_AREA), np.float32)
    *parts, weight = cv2.split(cv2.GaussianBlur(weighted, (0, 0), sigma / shrink, borderType=cv2.BORDER_CONSTANT))
    mean = cv2.merge([part / np.maximum(weight, 1e-4) for part in parts])
    if shrink > 1:
        mean, weight = (cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) for part in (mean, weight))
    return mean, weight
