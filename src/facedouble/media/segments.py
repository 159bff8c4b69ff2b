"""A film in the making: its encoded packets on disk, segment by segment, so that work that was stopped goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from ..project import atomic_file


class Segment:
    """The packets of some frames, written as they come from an encoder; whole once its index is there, which `finish`
    writes last.

    Used as a context manager; one that ends without `finish` counts for nothing. Raises OSError where writing fails.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._index = _index_file(folder, number)
        self._data = _data_file(folder, number).open("wb")
        self._rows: list[tuple[int, int, bool]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._data.close()

    def add(self, packet: Any) -> None:
        self._data.write(bytes(packet))
        self._rows.append((packet.pts, packet.size, packet.is_keyframe))

    def finish(self) -> None:
        self._data.flush()
        os.fsync(self._data.fileno())
        with atomic_file(self._index) as temporary, temporary.open("wb") as file:
            np.save(file, np.array(self._rows, np.int64).reshape(-1, 3), allow_pickle=False)


def finished(folder: Path) -> int:
    """How many segments are whole, from the first on."""
    count = 0
    while _index_file(folder, count).is_file():
        count += 1
    return count


def packets(folder: Path, durations: dict[int, int]) -> Iterator[Any]:
    """The packets of all whole segments as av.Packets in the order of decoding. Times and `durations` (of each frame
    by its time) are in the encoder's unit.

    Every encoder counts decoding times from its own first frame, so where segments meet they may run backwards if
    the frame rate varies. They are counted anew: the times of all frames in the order they are shown, late by as many
    frames as any is held back (H.264, ISO/IEC 14496-10, C.4.5.2: a decoder needs no more).
    """
    tables = [np.load(_index_file(folder, number), allow_pickle=False) for number in range(finished(folder))]
    shown = np.concatenate([table[:, 0] for table in tables])
    decoding = _decoding_times(shown)
    place = 0
    for number, table in enumerate(tables):
        with _data_file(folder, number).open("rb") as data:
            for pts, size, is_key in table.tolist():
                packet = av.Packet(data.read(size))
                packet.pts, packet.dts, packet.duration = pts, int(decoding[place]), durations[pts]
                packet.is_keyframe = bool(is_key)
                yield packet
                place += 1


def _decoding_times(shown: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ascending times, none later than the one in `shown` (n,), the times of packets in the order of decoding."""
    ascending = np.sort(shown)
    late = int((np.arange(len(shown)) - np.searchsorted(ascending, shown)).max())
    if not late:
        return ascending
    return np.concatenate([ascending[:late] - (ascending[late] - ascending[0]), ascending[:-late]])


def _data_file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.packets"


def _index_file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npy"
