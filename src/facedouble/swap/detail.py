"""B's skin detail (learn.skin) on the faces of a clip: what a network leaves out of it, as strong as it is on B."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..find.surface import FLAT_PX, SkinMap, Surface
from ..learn.skin import COARSEST, SkinDetail, fine
from .drawn import Drawn

_FLAT_SQUARE_PX = 400
"""about how many px of the flat skin a face square has"""
_OCTAVES = (1.5, 3.0, 6.0)
"""flat px, spreads of the blurs between which detail is told apart"""
_NEARBY_PX = 40
_SURE = 1e-7
_SMALLEST_PX = FLAT_PX // 16
_TRIED = 4
"""faces on which it is tried how much is lost in laying"""
_ROUNDS = 3
_USUAL = 2**0.5
"""px of a level that one px of a face shows: from one to two"""
_FACING = 0.1
"""px shown to a flat px, of as many as the face has on the mean, under which a place tells nothing"""


@dataclass(frozen=True, eq=False)
class Looked:
    """What a drawn face has of skin detail by itself."""

    fine: NDArray[np.float32]
    """(512, 512, 3) as in learn.skin, on the flat skin"""
    weight: NDArray[np.float32]
    """(512, 512) how well it is seen"""
    points: NDArray[np.float32]
    """(478, 2) landmarks, in face squares, the leftmost and the topmost at 0"""

    @classmethod
    def of(cls, drawn: Drawn, surface: Surface) -> Self:
        ratio, skin = fine(drawn.face, drawn.points_b, COARSEST * drawn.square_px)
        weight = surface.flattened(skin, drawn.points_b) * surface.facing(drawn.points_b)
        points = (drawn.points_b - drawn.points_b.min(0)) / np.float32(drawn.square_px)
        return cls(surface.flattened(ratio, drawn.points_b), weight, points)


@dataclass(frozen=True, eq=False)
class Detail:
    """Lays skin detail on drawn faces. Threads may share it."""

    levels: tuple[NDArray[np.float32], ...]
    """as in learn.skin, of 512 px, 256 px and so on"""

    @classmethod
    def of(cls, detail: SkinDetail, looked: Sequence[Looked], surface: Surface) -> Self:
        """What faces like those `looked` at lack of B's `detail`."""
        lacking = _lacking(detail.ratio, looked)
        points = [one.points for one in looked[:: max(1, len(looked) // _TRIED)][:_TRIED]]
        tried = list(zip(points, _shares(points, surface), strict=True))
        sides = range((FLAT_PX // _SMALLEST_PX).bit_length())
        return cls(tuple(_made_up(lacking, FLAT_PX >> halved, tried, surface) for halved in sides))

    def __call__(self, face: NDArray[np.float32], drawn: Drawn) -> NDArray[np.float32]:
        """`face` (h, w, 3), as `drawn`, with it."""
        # The level of which a px here shows one or two px.
        level = int(np.clip(np.log2(_FLAT_SQUARE_PX / drawn.square_px), 0, len(self.levels) - 1))
        return np.asarray(face * np.exp(drawn.skin.laid(self.levels[level])), np.float32)


def _lacking(ratio: NDArray[np.float32], looked: Sequence[Looked]) -> NDArray[np.float32]:
    """`ratio` (512, 512, 3) less what the mean of the drawn faces has of it already: by regression, place by place, so
    that what it has besides - A's light, a crease - counts for nothing; and octave by octave, as a network draws the
    shade beside a nose, and none of the freckles in it."""
    import cv2

    if not looked:
        return ratio
    total = np.maximum(np.sum([one.weight for one in looked], axis=0), 1e-6)[..., None]
    mean = np.sum([one.fine * one.weight[..., None] for one in looked], axis=0) / total
    lacking = np.zeros_like(ratio)
    for drawn, own in zip(_octaves(np.asarray(mean, np.float32)), _octaves(ratio), strict=True):
        both, all_of_it = (cv2.GaussianBlur((part * own).sum(2), (0, 0), _NEARBY_PX) for part in (drawn, own))
        lacking += own * (1 - np.clip(both / (all_of_it + _SURE), 0, 1))[..., None]
    return lacking


def _octaves(flat: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    import cv2

    soft = [flat, *(cv2.GaussianBlur(flat, (0, 0), spread) for spread in _OCTAVES)]
    return [*(finer - coarser for finer, coarser in pairwise(soft)), soft[-1]]


def _shares(faces: Sequence[NDArray[np.float32]], surface: Surface) -> list[NDArray[np.float32]]:
    """(512, 512) of each face with landmarks (478, 2), in face squares: how much it tells of a place beside the others;
    all of them 0 where none shows it."""
    told = []
    for points in faces:
        facing = surface.facing(points * np.float32(_FLAT_SQUARE_PX))
        told.append(facing * (facing > _FACING * facing[facing > 0].mean()))
    total = np.maximum(np.sum(told, axis=0), 1e-6)
    return [one / total for one in told]


def _made_up(
    flat: NDArray[np.float32],
    side_px: int,
    tried: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    surface: Surface,
) -> NDArray[np.float32]:
    """(side_px, side_px, 3): what, laid on the faces `tried` (landmarks and `_shares`) at a size for which it is meant,
    and taken off again, is `flat` (512, 512, 3), as far as that many px can hold it.

    By adding what is missing, a few times: van Cittert, Zeitschrift für Physik 69, 1931. Sampled between px twice, what
    is as fine as freckles would be half as strong.
    """
    import cv2

    level = cv2.resize(flat, (side_px, side_px), interpolation=cv2.INTER_AREA)
    if not tried:
        return np.asarray(level, np.float32)
    square_px = np.float32(_FLAT_SQUARE_PX * side_px / FLAT_PX / _USUAL)
    faces = [(points * square_px, share[..., None]) for points, share in tried]
    skins = [SkinMap.of(placed, tuple((np.ceil(placed.max(0)).astype(int) + 1).tolist())) for placed, _ in faces]
    shown = np.any([share > 0 for _, share in faces], axis=0)
    for _ in range(_ROUNDS):
        again = np.zeros_like(flat)
        for skin, (placed, share) in zip(skins, faces, strict=True):
            again += surface.flattened(skin.laid(level), placed) * share
        missing = np.asarray((flat - again) * shown, np.float32)
        level = level + cv2.resize(missing, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(level, np.float32)
