"""The colour of B's irises against that of B's skin, which a coarse network cannot keep: it draws an iris of a few
pixels, and the red of the lids mixes with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..find.mask import bare_skin, iris_mask

_WITHIN = 0.5
"""of an iris's radius: its rim mixes with the white, the more so in few px"""
_LEAST = 0.75
"""of both irises that must be seen between the lids"""
_LEAST_PX = 6
_DARK = 0.01
"""added to both, as a ratio of what is nearly black says nothing"""
UNKNOWN = np.zeros(3, np.float32)


def to_skin(faces: Iterable[tuple[NDArray[Any], NDArray[np.float32]]]) -> NDArray[np.float32]:
    """(3,) light of the irises by that of the skin, RGB: the middle of all `faces`, pictures (H, W, 3) 0..1 with
    landmarks (478, 2), whose eyes are open; UNKNOWN where there is none."""
    ratios = []
    for picture, points in faces:
        size = (picture.shape[1], picture.shape[0])
        seen, whole = iris_mask(points, size, _WITHIN)
        if seen.sum() < max(_LEAST * whole, _LEAST_PX):
            continue
        skin = bare_skin(points, size)
        if not skin.any():
            continue
        iris = (picture * seen[..., None]).sum((0, 1)) / seen.sum()
        ratios.append((iris + _DARK) / (np.median(picture[skin], axis=0) + _DARK))
    return np.asarray(np.median(ratios, axis=0), np.float32) if ratios else UNKNOWN
