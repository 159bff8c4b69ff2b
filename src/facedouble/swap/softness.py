"""How soft a clip is, and a new face as soft.

B's own eyes, brows, nose, lips and freckles may come from a finer camera than A's plate: laid as they are, they look
cut out of another film. What a person looks like tells little of a camera, but eyes and brows have edges of all
finenesses on every face, so the finest against coarser ones do: between people and clips that are as sharp this differs
by a tenth, and a blur of one px makes several of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..find.mask import look_mask
from ..geometry import face_width
from ..learn.features import fine_light
from .drawn import Drawn

_FINE_PX, _COARSE, _COARSE_PX, _DRAWN = 1.0, 0.02, 2.0, 1.5
"""spreads of the blurs that tell edges apart: the finest; and coarser ones, as a part of the face's width, at least,
and in px of the network, which is soft itself below"""
_TRIED_PX = (0.0, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
_ALIKE = 0.2
"""by how much, as a logarithm, faces may differ that are as soft: people do by up to 0.1, and a drawn face, whose
coarser edges are weak, by as much"""
_LEAST_PX, _LEAST_WIDTH_PX = 100, 50
"""of eyes and brows, and of a face whose coarser edges are not its finest"""


def crisper(face: NDArray[np.float32], drawn: Drawn) -> NDArray[np.float64] | None:
    """(k,): by how much, as a logarithm, the eyes and brows of `face` (h, w, 3) 0..1, as `drawn`, are crisper than the
    plate's, after each of the blurs that are tried. None where they are too small to tell."""
    import cv2

    width = face_width(drawn.points)
    if width < _LEAST_WIDTH_PX:
        return None
    coarse_px = max(_COARSE * width, _COARSE_PX, _DRAWN * drawn.pixel)
    own, wanted = _seen(face, drawn.points_b, coarse_px), _seen(drawn.plate, drawn.points, coarse_px)
    if own is None or wanted is None:
        return None
    part, area = own
    soft = (np.asarray(cv2.GaussianBlur(part, (0, 0), spread), np.float32) for spread in _TRIED_PX[1:])
    after = [_edges(picture, area, coarse_px) for picture in (part, *soft)]
    return np.array(after) - _edges(*wanted, coarse_px)


def blur_px(looked: Sequence[NDArray[np.float64]]) -> float:
    """The spread of the blur after which faces looked at (k,) each, as above, are as crisp as their plates, but for
    what faces differ by; 0 where they are anyway."""
    if not looked:
        return 0.0
    left = np.minimum.accumulate(np.median(looked, axis=0)) - _ALIKE
    # Spreads add as squares.
    return float(np.sqrt(np.interp(0, -left, np.square(_TRIED_PX))))


def _seen(
    picture: NDArray[np.float32], points: NDArray[Any], coarse_px: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """The part of a picture with eyes and brows, and what reaches into them when it is blurred, and where they are in
    it; None where hardly any of them are seen."""
    area = look_mask(points, (picture.shape[1], picture.shape[0])) > 127
    if area.sum() < _LEAST_PX:
        return None
    margin, (rows, columns) = math.ceil(6 * coarse_px), np.nonzero(area)
    part = tuple(slice(max(at.min() - margin, 0), at.max() + margin + 1) for at in (rows, columns))
    return picture[part], area[part]


def _edges(picture: NDArray[np.float32], area: NDArray[np.bool_], coarse_px: float) -> float:
    """Logarithm of the strength of the finest edges there against that of coarser ones."""
    coarse = fine_light(picture, 2 * coarse_px) - fine_light(picture, coarse_px)
    return math.log(max(fine_light(picture, _FINE_PX)[area].std(), 1e-6) / max(coarse[area].std(), 1e-6))
