"""All faces of one frame that are to be replaced, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .face import Box, Layer, Swapper
from .label import around
from .steady import REACH, Glimpse, steady

Who = tuple[int, int]
"""the same for one face from frame to frame: which of the swappers, and its track"""
Glimpses = dict[Who, Glimpse]
"""what stands before the faces of one frame"""


@dataclass(frozen=True, eq=False)
class Swap:
    """One face of one frame that is to be replaced."""

    who: Who
    points: NDArray[np.float32]
    """(478, 2) its landmarks"""
    acting: NDArray[np.float32]
    """(54,) what it does"""


@dataclass(frozen=True, eq=False)
class Swapped:
    """What became of a frame."""

    box: Box | None
    """half-open px, in which it is new; None where it is as it was"""
    pixels: NDArray[Any]
    """(h, w, 3) what stands in the box"""
    layers: Sequence[Layer]

    def laid(self, pixels: NDArray[Any]) -> NDArray[Any] | None:
        """The frame (H, W, 3) as it is now; None where it is as it was."""
        if self.box is None:
            return None
        x0, y0, x1, y1 = self.box
        result = pixels.copy()
        result[y0:y1, x0:x1] = self.pixels
        return result


def look(swappers: Sequence[Swapper], pixels: NDArray[Any], swaps: Sequence[Swap]) -> Glimpses:
    """What stands before each face of a frame (H, W, 3), as this frame alone tells; nothing of those to be covered."""
    seen = {swap.who: swappers[swap.who[0]].glimpse(pixels, swap.points) for swap in swaps}
    return {who: glimpse for who, glimpse in seen.items() if glimpse is not None}


def swapped(
    swappers: Sequence[Swapper],
    pixels: NDArray[Any],
    swaps: Sequence[Swap],
    glimpses: Sequence[Glimpses | None],
    layers: bool,
) -> Swapped:
    """A frame (H, W, 3) with its faces replaced. `glimpses`: of the REACH frames before it, its own, and of as many
    after it, None beyond the ends. The `layers` are large: told only where they are asked for."""
    box: Box | None = None
    made, laid, own = pixels, [], glimpses[REACH]
    for swap in swaps:
        known = None
        if own is not None and swap.who in own:
            known = steady([None if seen is None else seen.get(swap.who) for seen in glimpses])
        made, layer = swappers[swap.who[0]](made, swap.points, swap.acting, known)
        if layer is not None:
            laid.append(layer)
            box = around(box, layer.box)
    x0, y0, x1, y1 = box or (0, 0, 0, 0)
    return Swapped(box, np.ascontiguousarray(made[y0:y1, x0:x1]), laid if layers else ())
