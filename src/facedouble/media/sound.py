"""The sound of a file, packet by packet, without decoding it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av


def sound_packets(path: Path) -> Iterator[tuple[int, Fraction | None, str]]:
    """Of each packet of each audio track, in the file's order: the track's number, its time in s, its bytes' sha256."""
    if path.is_dir():
        return
    with av.open(str(path.absolute())) as container:
        tracks = {stream.index: number for number, stream in enumerate(container.streams.audio)}
        for packet in container.demux(container.streams.audio) if tracks else ():
            if packet.size:
                time = None if packet.pts is None else packet.pts * packet.time_base
                yield tracks[packet.stream.index], time, hashlib.sha256(bytes(packet)).hexdigest()
