"""A face as the network drew it, which all that follows is measured on and laid over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..find.surface import SkinMap
from .outline import Outline


@dataclass(frozen=True, eq=False)
class Drawn:
    """A face as the network drew it, in a part of the frame."""

    face: NDArray[np.float32]
    """(h, w, 3) 0..1"""
    plate: NDArray[np.float32]
    """(h, w, 3) 0..1, what the frame shows there, moved as the outline is"""
    points: NDArray[np.float32]
    """(478, 2) A's landmarks, moved alike"""
    points_b: NDArray[np.float32]
    """(478, 2) those of the face that was drawn"""
    square_px: float
    """width of a face square here"""
    pixel: float
    """of the network's picture, in px here"""
    outline: Outline | None = None
    """how the frame was moved, where it was"""

    @cached_property
    def skin(self) -> SkinMap:
        """Of the face that was drawn."""
        return SkinMap.of(self.points_b, (self.face.shape[1], self.face.shape[0]))
