"""What a video is, without decoding it: Clip and Frame.

Pixels are RGB `(H, W, 3)`, uint8, or uint16 (full 0..65535) where the file has more than 8 bits. Time is pts (int)
times
time_base (a Fraction of a second); there is no float frame rate anywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""(3,) of red, green and blue, ITU-R BT.709"""


@dataclass(frozen=True)
class Colour:
    """Colour tags as FFmpeg's integer codes (ITU-T H.273): primaries, transfer, matrix, and 1 limited / 2 full
    range."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


@dataclass(frozen=True)
class Mastering:
    """What an HDR clip says of the screen it was made on (SMPTE ST 2086) and of its brightest pictures (CTA-861.3)."""

    display: tuple[int, ...] = ()
    """x, y of red, green, blue and white in 1/50000, then the least and the most light in 1/10000 cd/m2"""
    light: tuple[int, ...] = ()
    """MaxCLL and MaxFALL in cd/m2"""


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
    sizes_differ: bool = False
    """of a folder's pictures; `size` is then the widest and the tallest of them"""
    filmed: tuple[int, int] | None = None
    """the size of the pictures in the file, where they are to be read at another; see media.reader.reduced"""
    mastering: Mastering = Mastering()

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

    def stretches(self, ranges: Sequence[str]) -> list[tuple[int, int]]:
        """The frames of `ranges` (see `parse_range`; none: all) as ascending, disjoint, half-open stretches.

        A time means the first frame that starts at it or later. Raises InputError where the clip has none of them.
        """
        found: list[tuple[int, int]] = []
        for start, stop in sorted((self._index(a), self._index(b)) for a, b in map(parse_range, ranges or ("0-",))):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(stop, found[-1][1]))
            elif start < stop:
                found.append((start, stop))
        if not found:
            raise InputError(
                f"{self.path}: has no frame in --range {', '.join(ranges)}: it has {self.count} frames, "
                f"{self.seconds:.1f} s."
            )
        return found

    def index_at(self, moment: int | Fraction) -> int:
        """The frame of a frame number or a time, see `parse_moment`. Raises InputError beyond the end."""
        index = self._index(moment)
        if index >= self.count:
            where = f"{float(moment):.2f} s" if isinstance(moment, Fraction) else f"frame {moment}"
            raise InputError(f"{self.path}: --at {where} lies beyond its {self.count} frames, {self.seconds:.1f} s.")
        return index

    def _index(self, moment: int | Fraction | None) -> int:
        """The frame of a frame number, or of seconds from the first frame's start; None is the end."""
        if isinstance(moment, Fraction):
            return int(np.searchsorted(self.pts - self.pts[0], math.ceil(moment / self.time_base)))
        return self.count if moment is None else min(moment, self.count)


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a clip."""

    index: int
    pts: int
    pixels: NDArray[Any]
    """(H, W, 3) RGB, uint8 or uint16; of an HDR clip in the tones of SDR, see media.tone"""
    native: Any = None
    """the decoder's own picture, opaque outside media/: lets a writer pass what was not changed through exactly"""


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` places evenly spread over 0 .. count - 1, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)) if count else np.arange(0)


def parse_range(text: str) -> tuple[int | Fraction, int | Fraction | None]:
    """`START-END`, half-open, both frame numbers (`100-500`) or both times from the first frame on (`00:03.2-00:07`,
    `1:02:03-1:05:00`; then as Fractions of seconds); no END is the clip's end. Raises InputError."""
    start, dash, end = text.strip().partition("-")
    first, last = _moment(start), _moment(end) if end.strip() else None
    alike = last is None or type(first) is type(last)
    if not dash or first is None or (last is None and end.strip()) or not alike or (last is not None and first >= last):
        raise InputError(
            f"--range {text!r}: expected START-END with START before END, in frames (100-500) or in minutes and "
            "seconds (00:03.2-00:07)."
        )
    return first, last


def parse_moment(text: str) -> int | Fraction:
    """A frame number, or a time from the first frame on (`00:03.2`), then as a Fraction of seconds. Raises
    InputError."""
    if (moment := _moment(text)) is None:
        raise InputError(f"--at {text!r}: expected a frame (100) or minutes and seconds (00:03.2).")
    return moment


def _moment(text: str) -> int | Fraction | None:
    if re.fullmatch(r"[0-9]{1,12}", text.strip()):
        return int(text)
    if time := re.fullmatch(r"(?:([0-9]{1,4}):)?([0-9]{1,4}):([0-9]{1,2}(?:\.[0-9]{1,9})?)", text.strip()):
        hours, minutes, seconds = time.groups()
        return Fraction(seconds) + 60 * int(minutes) + 3600 * int(hours or 0)
    return None
