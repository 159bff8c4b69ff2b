"""What a video is, without decoding it: Clip and Frame.

Pixels are RGB `(H, W, 3)`, uint8, or uint16 (full 0..65535) where the file has more than 8 bits. Time is pts (int)
times
time_base (a Fraction of a second); there is no float frame rate anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Colour:
    """Colour tags as FFmpeg's integer codes (ITU-T H.273): primaries, transfer, matrix, and 1 limited / 2 full
    range."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


@dataclass(frozen=True, eq=False)
class Clip:
    """A video file, or a folder of pictures, as it is to be shown (rotation metadata already applied to `size`)."""

    path: Path
    sha256: str
    size: tuple[int, int]
    """(width, height) in px, upright"""
    pts: NDArray[np.int64]
    """(count,) presentation times in units of time_base, ascending"""
    time_base: Fraction
    rate: Fraction
    """nominal frames per second; for advice and encoder hints only"""
    pixel_format: str
    """FFmpeg's name of the stored pixel format, e.g. yuv420p10le"""
    colour: Colour
    sample_aspect: Fraction
    """width of a pixel over its height; 1 where the file does not say"""
    rotation: int
    """degrees counter-clockwise that the decoder's pictures must be turned to stand upright: 0, 90, 180 or 270"""
    audio_tracks: int
    is_folder: bool = False

    @property
    def count(self) -> int:
        return len(self.pts)

    @property
    def seconds(self) -> float:
        """From the first frame's start to the last frame's end, the last lasting as long as the one before it."""
        if self.count < 2:
            return float(1 / self.rate)
        last = int(self.pts[-1] - self.pts[-2])
        return float((int(self.pts[-1]) + last - int(self.pts[0])) * self.time_base)

    def time(self, index: int) -> Fraction:
        """Seconds from the first frame's start to the start of frame `index`."""
        return (int(self.pts[index]) - int(self.pts[0])) * self.time_base


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a clip."""

    index: int
    pts: int
    pixels: NDArray[Any]
    """(H, W, 3) RGB, uint8 or uint16"""
    native: Any = None
    """the decoder's own picture, opaque outside media/: lets a writer pass what was not changed through exactly"""


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` places evenly spread over 0 .. count - 1, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)) if count else np.arange(0)
