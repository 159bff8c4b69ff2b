"""A finished swap against the footage it was made from, frame by frame: who it is, what the face does, what else
changed."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..events import Progress
from ..faces import Faces
from ..find.finder import to_8_bit
from ..find.identity import Identity, distance
from ..find.landmarks import Landmarker
from ..find.mask import face_mask
from ..footage import Clip, Frame
from ..geometry import ALIGNMENT_POINTS, overlap
from ..media.flow import ordered_map
from ..media.reader import read
from ..media.sound import sound_packets

_STRETCH = 150
_IDENTITIES = 60
# Blendshapes whose spread in the original is below this hardly move, and their correlation would be noise.
_MOVES = 0.03


@dataclass(frozen=True)
class Measures:
    """What was measured. Counts are frames; nan where there was nothing to measure."""

    frames: int
    faces: int
    """frames in which A's person is seen"""
    found: int
    """of those, frames of the swap in which a face is found at that place"""
    identity_to_b: float
    """mean distance of the swapped face's descriptor to B's mean (dlib; same person under 0.6)"""
    identity_to_a: float
    nearer_to_b: float
    """share of sampled frames nearer to B's mean than to A's ("ID retrieval", Li et al., FaceShifter,
    arXiv:1912.13457)"""
    pose_error: float
    """mean angle between the head's directions in swap and original, degrees"""
    expression: float
    """mean Pearson correlation over time of the blendshapes that move in the original"""
    jitter: float
    """mean second difference of skull landmarks over time, swap over original"""
    background_psnr: float
    """dB outside the face, over all frames together"""
    same_count: bool
    same_times: bool
    same_sound: bool
    """all sound packets of the original are in the swap, byte for byte and at the same times"""
    truth_psnr: float = math.nan
    """dB inside the face against the known answer, where there is one"""


@dataclass
class _Seen:
    """Of a stretch; columns have a row for each of its frames in which A is seen."""

    frame: list[int] = field(default_factory=list)
    points: list[NDArray[np.float32]] = field(default_factory=list)
    points_before: list[NDArray[np.float32]] = field(default_factory=list)
    pose: list[NDArray[np.float32]] = field(default_factory=list)
    pose_before: list[NDArray[np.float32]] = field(default_factory=list)
    expression: list[NDArray[np.float32]] = field(default_factory=list)
    expression_before: list[NDArray[np.float32]] = field(default_factory=list)
    embedding: list[NDArray[np.float32]] = field(default_factory=list)
    outside_error: float = 0.0
    outside: float = 0.0
    truth_error: float = 0.0
    inside: float = 0.0
    seen: int = 0


def measure(
    target: Clip,
    swap: Clip,
    faces: Faces,
    mean_a: NDArray[np.float32],
    mean_b: NDArray[np.float32],
    truth: Clip | None,
    workers: int,
) -> Generator[Progress, None, Measures]:
    """Yields progress, returns Measures. `faces` are A's in the target; `mean_a`, `mean_b` identity descriptors (128,).

    Raises InputError where the clips differ in size or number of frames.
    """
    for other in (swap, truth):
        if other is not None and (other.size != target.size or other.count != target.count):
            raise InputError(
                f"{other.path}: {other.count} frames of {other.size[0]}x{other.size[1]} px, expected the "
                f"{target.count} of {target.size[0]}x{target.size[1]} px of {target.path}."
            )
    row_of = {int(frame): row for row, frame in enumerate(faces.frame)}
    sampled = {
        int(faces.frame[i]) for i in np.linspace(0, len(faces) - 1, min(_IDENTITIES, len(faces))).round().astype(int)
    }
    identity = Identity()

    def look(start: int) -> _Seen:
        seen = _Seen()
        stop = min(start + _STRETCH, target.count)
        clips = [clip for clip in (target, swap, truth) if clip is not None]
        with Landmarker(video=True) as original, Landmarker(video=True) as changed:
            for frames in zip(*(read(clip, start, stop) for clip in clips), strict=True):
                _compare(seen, frames, faces, row_of.get(frames[0].index), original, changed)
                if seen.frame and seen.frame[-1] == frames[1].index and frames[1].index in sampled:
                    seen.embedding.append(identity(to_8_bit(frames[1].pixels), seen.points[-1]))
        return seen

    starts = range(0, target.count, _STRETCH)
    parts: list[_Seen] = []
    for number, part in enumerate(ordered_map(starts, look, workers=workers, ahead=2 * workers), 1):
        parts.append(part)
        yield Progress("judging", min(number * _STRETCH, target.count), target.count)
    return _summary(parts, target, swap, mean_a, mean_b, truth is not None)


def _compare(
    seen: _Seen, frames: tuple[Frame, ...], faces: Faces, row: int | None, original: Landmarker, changed: Landmarker
) -> None:
    before, after = to_8_bit(frames[0].pixels), to_8_bit(frames[1].pixels)
    size = before.shape[1::-1]
    inside = np.zeros(before.shape[:2], bool)
    if row is not None:
        seen.seen += 1
        inside = _grown(faces.points[row], size) > 0
        now = _at(original(before), faces.box[row])
        then = _at(changed(after), faces.box[row])
        if now is not None and then is not None:
            seen.frame.append(frames[0].index)
            for face, ending in ((then, ""), (now, "_before")):
                for name in ("points", "pose", "expression"):
                    getattr(seen, name + ending).append(face.columns()[name][0])
        if len(frames) > 2:
            area = face_mask(faces.points[row], size) > 127
            seen.truth_error += _square_error(to_8_bit(frames[2].pixels)[area], after[area])
            seen.inside += 3 * float(area.sum())
    seen.outside_error += _square_error(before[~inside], after[~inside])
    seen.outside += 3 * float((~inside).sum())


def _at(found: Faces, box: NDArray[np.float32]) -> Faces | None:
    """The found face that lies at `box`."""
    if not len(found):
        return None
    shared = overlap(box[None], found.box)[0]
    best = int(shared.argmax())
    return found[best : best + 1] if shared[best] > 0.3 else None


def _grown(points: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The face with a margin of a twentieth of its width, which codecs smear changes over."""
    import cv2

    margin = max(4, round(0.05 * float(np.ptp(points[:, 0]))))
    return np.asarray(cv2.dilate(face_mask(points, size), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)))


def _square_error(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    difference = first.astype(np.int16) - second
    return float((difference.astype(np.float32) ** 2).sum())


def _summary(
    parts: list[_Seen], target: Clip, swap: Clip, mean_a: NDArray[np.float32], mean_b: NDArray[np.float32], truth: bool
) -> Measures:
    def column(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        rows = [row for part in parts for row in getattr(part, name)]
        return np.array(rows, np.float32).reshape(-1, *shape)

    frame = np.array([index for part in parts for index in part.frame], np.int64)
    embedding = column("embedding", (128,))
    to_a, to_b = distance(embedding, mean_a), distance(embedding, mean_b)
    inside = sum(part.inside for part in parts)
    return Measures(
        frames=target.count,
        faces=sum(part.seen for part in parts),
        found=len(frame),
        identity_to_b=_mean(to_b),
        identity_to_a=_mean(to_a),
        nearer_to_b=_mean(to_b < to_a),
        pose_error=_mean(np.degrees(between(column("pose", (3,)), column("pose_before", (3,))))),
        expression=correlation(column("expression", (52,)), column("expression_before", (52,))),
        jitter=_jitter(frame, column("points", (478, 2)))
        / max(_jitter(frame, column("points_before", (478, 2))), 1e-9),
        background_psnr=psnr(sum(part.outside_error for part in parts), sum(part.outside for part in parts)),
        same_count=target.count == swap.count,
        same_times=_same_times(_times(target), _times(swap), swap),
        same_sound=_same_sound(target, swap),
        truth_psnr=psnr(sum(part.truth_error for part in parts), inside) if truth else math.nan,
    )


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def between(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) angle in radians of the rotation that takes poses (n, 3) into each other."""
    from scipy.spatial.transform import Rotation

    if not len(first):
        return np.zeros(0, np.float32)
    turns = [Rotation.from_euler("YXZ", pose) for pose in (first, second)]
    return np.asarray((turns[0].inv() * turns[1]).magnitude(), np.float32)


def correlation(after: NDArray[np.float32], before: NDArray[np.float32]) -> float:
    """Mean Pearson r over the columns of (n, 52) whose standard deviation in `before` is over 0.03; nan if none
    moves."""
    moving: NDArray[np.intp] = np.nonzero(before.std(0) > _MOVES)[0] if len(before) > 2 else np.zeros(0, np.intp)
    values = [float(np.corrcoef(after[:, i], before[:, i])[0, 1]) if after[:, i].std() > 1e-6 else 0.0 for i in moving]
    return float(np.mean(values)) if values else math.nan


def _jitter(frame: NDArray[np.int64], points: NDArray[np.float32]) -> float:
    """Mean length of the second difference of the skull's landmarks, over runs of three successive frames, in px."""
    runs = np.nonzero((np.diff(frame[:-1]) == 1) & (np.diff(frame[1:]) == 1))[0] if len(frame) > 2 else np.zeros(0, int)
    skull = points[:, ALIGNMENT_POINTS]
    second = skull[runs] - 2 * skull[runs + 1] + skull[runs + 2]
    return _mean(np.linalg.norm(second, axis=-1).reshape(-1))


def psnr(square_error: float, values: float) -> float:
    """dB, for a sum of squared differences of `values` 8-bit values; 100 where they are equal."""
    if not values:
        return math.nan
    return min(100.0, 10 * math.log10(255**2 / max(square_error / values, 1e-12)))


def _times(clip: Clip) -> list[Fraction | None]:
    return [int(pts) * clip.time_base for pts in clip.pts]


def _same_times(first: Sequence[Fraction | None], second: Sequence[Fraction | None], swap: Clip) -> bool:
    # Matroska knows milliseconds only; every other container keeps times exactly.
    slack = Fraction(1, 1000) if swap.path.suffix == ".mkv" else Fraction(0)
    return len(first) == len(second) and all(
        a == b or (a is not None and b is not None and abs(a - b) <= slack) for a, b in zip(first, second, strict=True)
    )


def _same_sound(target: Clip, swap: Clip) -> bool:
    tracks: list[dict[int, list[tuple[Fraction | None, str]]]] = []
    for clip in (target, swap):
        packets: dict[int, list[tuple[Fraction | None, str]]] = {}
        for track, time, content in sound_packets(clip.path):
            packets.setdefault(track, []).append((time, content))
        tracks.append(packets)
    before, after = tracks
    return before.keys() == after.keys() and all(
        [content for _, content in before[track]] == [content for _, content in after[track]]
        and _same_times([time for time, _ in before[track]], [time for time, _ in after[track]], swap)
        for track in before
    )


def contact_frames(clip: Clip, indices: list[int]) -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) uint8 pictures of a few frames, in order."""
    for index in indices:
        yield to_8_bit(next(read(clip, index, index + 1)).pixels)
