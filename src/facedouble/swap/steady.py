"""What stands before a face, steady over time: the masks of neighbouring frames, moved along with what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..learn.occlusion import SIZE_PX, Occlusion

REACH = 1
"""frames before and after that have a say"""
COVERED = 0.4
"""from how much on something stands before a face: a hand with a hole in it is worse than one that is a little wide"""
_FASTEST_PX = 7
"""how far a thing may come over a face from one frame to the next, besides what flow tells of it"""


@dataclass(frozen=True, eq=False)
class Glimpse:
    """One frame's answer."""

    covered: NDArray[np.float32]
    """(128, 128) 0..1: how much something covers the face here"""
    to_crop: NDArray[Any]
    """(2, 3) from frame px to that mask"""
    grey: NDArray[np.uint8]
    """(128, 128) what the frame shows there"""

    @classmethod
    def of(cls, occlusion: Occlusion, pixels: NDArray[Any], points: NDArray[np.float32]) -> Glimpse:
        import cv2

        covered, to_crop, crop = occlusion.covered(pixels, points)
        return cls(covered, to_crop, np.round(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).clip(0, 1) * 255).astype(np.uint8))


def steady(glimpses: Sequence[Glimpse | None]) -> Glimpse:
    """The middle one of 2 * REACH + 1 glimpses of one track, its mask the mean of all that are there, weighted by
    nearness (2 1), after the picture of each was moved onto the middle one's by dense optical flow. What no other of
    them has anywhere near is not there: things do not come for a single frame.

    Flow: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", arXiv:1603.03590.
    """
    import cv2

    middle = glimpses[REACH]
    assert middle is not None
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX].astype(np.float32)
    masks, weights = [], []
    for place, other in enumerate(glimpses):
        if other is None or place == REACH:
            continue
        moved = flow.calc(middle.grey, other.grey, None)
        masks.append(
            cv2.remap(
                other.covered, x + moved[..., 0], y + moved[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        )
        weights.append(REACH + 1.0 - abs(place - REACH))
    if not masks:
        return middle
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _FASTEST_PX + 1,) * 2)
    own = np.minimum(middle.covered, cv2.dilate(np.max(masks, 0), near))
    covered = np.average([own, *masks], 0, [REACH + 1.0, *weights])
    return Glimpse(np.asarray(covered, np.float32), middle.to_crop, middle.grey)
