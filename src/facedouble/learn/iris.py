"""A person's irises against the skin: their colour, which a coarse network cannot keep, as it draws an iris of a few
pixels, and the red of the lids mixes with it; and how light they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..find.mask import bare_skin, iris_mask
from ..footage import LUMINANCE

_PUPIL, _RIM = 0.35, 0.75
"""of an iris's radius: within is the pupil, beyond it mixes with the white"""
_INNER = 0.5
"""of that, which has the pupil, and highlights, as few px show them"""
_LEAST = 0.75
"""of both irises that must be seen between the lids"""
_LEAST_PX = 6
_DARK = 0.01
"""added to both lights, as a ratio of what is nearly black says nothing"""
UNKNOWN = np.zeros(3, np.float32)
Pictures = Iterable[tuple[NDArray[Any], NDArray[np.float32]]]
"""(H, W, 3) 0..1, of faces with landmarks (478, 2)"""


def to_skin(faces: Pictures) -> NDArray[np.float32]:
    """(3,) light of the irises by that of the skin, RGB: the middle of all `faces` whose eyes are open; UNKNOWN where
    there is none. Of an iris it is the middle as well, as highlights have no colour of it."""
    ratios = []
    for picture, points, seen, skin in _open(faces, _RIM):
        iris = seen - iris_mask(points, (picture.shape[1], picture.shape[0]), _PUPIL)[0] > 0.5
        if np.count_nonzero(iris) >= _LEAST_PX:
            ratios.append(np.median(picture[iris], axis=0) / np.maximum(skin, _DARK))
    return np.asarray(np.median(ratios, axis=0), np.float32) if ratios else UNKNOWN


def light_to_skin(faces: Pictures) -> float:
    """How light the middle of irises is by the skin, as in `to_skin`; 0 where none is seen."""
    ratios = [
        ((picture * seen[..., None]).sum((0, 1)) / seen.sum() + _DARK) / (skin + _DARK)
        for picture, _, seen, skin in _open(faces, _INNER)
    ]
    return float(np.median(ratios, axis=0) @ LUMINANCE) if ratios else 0.0


def _open(
    faces: Pictures, part: float
) -> Iterator[tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32], NDArray[Any]]]:
    """Of each face whose eyes are open: picture, landmarks, where irises up to `part` of their radius are seen (H, W)
    0..1, and the skin (3,)."""
    for picture, points in faces:
        size = (picture.shape[1], picture.shape[0])
        (seen, whole), skin = iris_mask(points, size, part), bare_skin(points, size)
        if seen.sum() >= max(_LEAST * whole, _LEAST_PX) and skin.any():
            yield picture, points, seen, np.median(picture[skin], axis=0)
