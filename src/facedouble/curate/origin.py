"""From a row of a face set back to the footage it was cut from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..find.finder import to_8_bit
from ..footage import Clip
from ..media.reader import probe, read
from .faceset import FaceSet, Source

_BEFORE, _AFTER = 4, 4


def source_of(faces: FaceSet, row: int) -> Source:
    """Which footage the face of a row is of."""
    return faces.sources[int(faces.source[row])]


def rows_at(faces: FaceSet, row: int, index: int) -> list[int]:
    """The rows that are of one frame of the footage of a row's face."""
    return np.flatnonzero((faces.source == faces.source[row]) & (faces.faces.frame == index)).tolist()


def clip_of(source: Source) -> Clip:
    """The footage itself. Raises InputError where it is no longer there, or is another by now (told by its hash)."""
    path = Path(source.path)
    if not path.exists():
        raise InputError(
            f"{path}: is no longer there, and the faces were cut from it. Put the clip back under that name."
        )
    clip = probe(path)
    if clip.sha256 != source.sha256:
        raise InputError(
            f"{path}: has changed since the faces were cut from it. Put the old clip back, or extract again."
        )
    return clip


class Origin:
    """Frames that the faces of a set were cut from. Their neighbours in time are decoded along and held, 8 in all: to
    reach a frame costs more than the frame."""

    def __init__(self) -> None:
        self._clips: dict[Source, Clip] = {}
        self._held: dict[tuple[Source, int], NDArray[np.uint8]] = {}

    def clip(self, faces: FaceSet, row: int) -> Clip:
        """The clip of a row's face; raises InputError as `clip_of`, which is asked once for each clip."""
        source = source_of(faces, row)
        if source not in self._clips:
            self._clips[source] = clip_of(source)
        return self._clips[source]

    def index(self, faces: FaceSet, row: int, step: int = 0) -> int:
        """Which frame of its clip a row's face is of, or the one `step` frames after it is. Raises InputError where the
        clip is not as it was, or has no such frame."""
        clip, index = self.clip(faces, row), int(faces.faces.frame[row]) + step
        if not 0 <= index < clip.count:
            raise InputError(f"{clip.path.name}: has frames 0 to {clip.count - 1}, and no frame {index}.")
        return index

    def frame(self, faces: FaceSet, row: int, step: int = 0) -> NDArray[np.uint8]:
        """The pixels (H, W, 3) of that frame. Raises InputError as `index`, and where the clip is damaged there."""
        index, clip, source = self.index(faces, row, step), self.clip(faces, row), source_of(faces, row)
        if (source, index) not in self._held:
            first = max(0, index - _BEFORE)
            run = read(clip, first, index + _AFTER)
            self._held = {(source, frame.index): to_8_bit(frame.pixels) for frame in run}
        return self._held[source, index]
