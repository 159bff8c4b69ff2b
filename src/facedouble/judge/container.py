"""What a file is besides its pictures: times, sound packets, colour tags."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ..footage import Clip
from ..media.sound import sound_packets


def same_times(target: Clip, swap: Clip) -> bool:
    """Whether every frame is shown when the original's is."""
    return _equal(_times(target), _times(swap), swap)


def same_sound(target: Clip, swap: Clip) -> bool:
    """Whether all sound packets of the original are in the swap, byte for byte and at the same times, and no others."""
    tracks: list[dict[int, list[tuple[Fraction | None, str]]]] = []
    for clip in (target, swap):
        packets: dict[int, list[tuple[Fraction | None, str]]] = {}
        for track, time, content in sound_packets(clip.path):
            packets.setdefault(track, []).append((time, content))
        tracks.append(packets)
    before, after = tracks
    return before.keys() == after.keys() and all(
        [content for _, content in before[track]] == [content for _, content in after[track]]
        and _equal([time for time, _ in before[track]], [time for time, _ in after[track]], swap)
        for track in before
    )


def same_tags(target: Clip, swap: Clip) -> bool:
    """Whether primaries, transfer, matrix and range, and the pixel's shape, are said to be what they were."""
    return target.colour == swap.colour and target.sample_aspect == swap.sample_aspect


def _times(clip: Clip) -> list[Fraction | None]:
    return [int(pts) * clip.time_base for pts in clip.pts]


def _equal(first: Sequence[Fraction | None], second: Sequence[Fraction | None], swap: Clip) -> bool:
    # Matroska knows milliseconds only; every other container keeps times exactly.
    slack = Fraction(1, 1000) if swap.path.suffix == ".mkv" else Fraction(0)
    return len(first) == len(second) and all(
        a == b or (a is not None and b is not None and abs(a - b) <= slack) for a, b in zip(first, second, strict=True)
    )
