"""A finished swap against the footage it was made from, frame by frame: who it is, what the face does, how it sits in
the picture, and what else changed."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FaceError, InputError
from ..events import Progress
from ..faces import EXPRESSIONS, IDENTITY, Faces
from ..find.acting import between, correlation, moves
from ..find.crop import lab
from ..find.finder import to_8_bit
from ..find.identity import Identity, distance
from ..find.landmarks import Landmarker, is_far
from ..find.mask import face_mask
from ..footage import Clip, spread
from ..geometry import ALIGNMENT_POINTS, face_width, overlap
from ..media.flow import ordered_map
from ..media.reader import read
from .container import same_sound, same_tags, same_times
from .picture import (
    Areas,
    bare_neck,
    border_gradient,
    colour_difference,
    gaze,
    likeness,
    mean_colour,
    mouth_opening,
    sharpness,
)

_STRETCH = 150
_IDENTITIES = 60


@dataclass(frozen=True)
class Measures:
    """What was measured, over all frames. nan where there was nothing to measure."""

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
    place_error: float
    """mean distance between the skull landmarks' centres in swap and original, percent of the face's width"""
    expression: float
    """mean Pearson correlation over time of the blendshapes that move in the original"""
    expression_error: float
    """mean absolute difference of those blendshapes, each 0..1"""
    gaze_error: float
    """mean distance of the irises' places between the corners of the eyes, percent of an eye's width"""
    mouth_error: float
    """mean difference of the gap between the lips, percent of the nose's length"""
    jitter: float
    """mean second difference of skull landmarks over time, swap over original"""
    flicker: float
    """mean second difference over time of the face's mean colour (CIELAB), swap less original"""
    seam: float
    """mean slope of lightness across the face's border, swap over original"""
    sharpness: float
    """mean absolute Laplacian of lightness in the face, swap over original"""
    sharpness_in_place: float
    """the same, in the face over around the face, swap over original"""
    skin_difference: float
    """CIEDE2000 between the face's skin and that of neck and forehead, swap less original"""
    background_psnr: float
    """dB outside the face, over all frames together"""
    same_times: bool
    same_sound: bool
    same_tags: bool
    truth_psnr: float = math.nan
    """dB inside the face against the known answer, where there is one"""
    truth_ssim: float = math.nan


@dataclass(frozen=True, eq=False)
class Judgement:
    measures: Measures
    frame: NDArray[np.int64]
    """(n,) frames in which A is seen"""
    course: dict[str, NDArray[np.float32]]
    """measure -> (n,) its value at each of these frames; nan where there is none"""


@dataclass
class _Stretch:
    """Sums over a stretch of frames, and a row for each in which A is seen."""

    rows: list[dict[str, NDArray[np.float32] | float]] = field(default_factory=list)
    frame: list[int] = field(default_factory=list)
    outside_error: float = 0.0
    outside: float = 0.0
    truth_error: float = 0.0
    inside: float = 0.0


# What a row holds, in the swap and ("before_...") in the original.
_ROW = {
    "skull": (len(ALIGNMENT_POINTS), 2), "pose": (3,), "expression": (EXPRESSIONS,), "gaze": (2,), "mouth": (),
    "width": (), "colour": (3,), "sharpness": (), "around": (), "slope": (), "skin": (),
}  # fmt: skip
_COLUMNS = {**_ROW, **{f"before_{name}": shape for name, shape in _ROW.items()},
            "identity": (IDENTITY,), "ssim": (), "afresh": ()}  # fmt: skip


def measure(
    target: Clip,
    swap: Clip,
    faces: Faces,
    mean_a: NDArray[np.float32],
    mean_b: NDArray[np.float32],
    truth: Clip | None,
    workers: int,
    others: Sequence[Faces] = (),
) -> Generator[Progress, None, Judgement]:
    """Yields progress, returns a Judgement. `faces` are A's in the target; `mean_a`, `mean_b` identities (128,);
    `others` are further people's faces that were replaced as well, and so are no background.

    Raises InputError where the clips differ in size or number of frames, FaceError where the swap shows no face.
    """
    for other in (swap, truth):
        if other is not None and (other.size != target.size or other.count != target.count):
            raise InputError(
                f"{other.path}: {other.count} frames of {other.size[0]}x{other.size[1]} px, expected the "
                f"{target.count} of {target.size[0]}x{target.size[1]} px of {target.path}."
            )
    row_of = {int(frame): row for row, frame in enumerate(faces.frame)}
    replaced: dict[int, list[NDArray[np.float32]]] = {}
    for someone in (faces, *others):
        for frame, points in zip(someone.frame.tolist(), someone.points, strict=True):
            replaced.setdefault(frame, []).append(points)
    sampled = set(faces.frame[spread(len(faces), _IDENTITIES)].tolist())
    identity = Identity()

    def look(start: int) -> _Stretch:
        seen = _Stretch()
        stop = min(start + _STRETCH, target.count)
        clips = [clip for clip in (target, swap, truth) if clip is not None]
        still = Landmarker(video=False, max_people=1)
        with still, Landmarker(video=True) as original, Landmarker(video=True) as changed:
            for frames in zip(*(read(clip, start, stop) for clip in clips), strict=True):
                index = frames[0].index
                pixels = [to_8_bit(frame.pixels) for frame in frames]
                row = row_of.get(index)
                _outside(seen, pixels, replaced.get(index, []))
                if row is None:
                    continue
                if truth is not None:
                    _against_truth(seen, pixels, faces.points[row])
                found = _face(pixels, faces, row, (original, changed), still)
                if index in sampled and "place" in found:
                    found["identity"] = identity(pixels[1], found.pop("place"))
                seen.rows.append({name: value for name, value in found.items() if name in _COLUMNS})
                seen.frame.append(index)
        return seen

    parts: list[_Stretch] = []
    for number, part in enumerate(
        ordered_map(range(0, target.count, _STRETCH), look, workers=workers, ahead=2 * workers), 1
    ):
        parts.append(part)
        yield Progress("judging", min(number * _STRETCH, target.count), target.count)
    return _judgement(parts, target, swap, mean_a, mean_b, truth is not None)


def _outside(seen: _Stretch, pixels: list[NDArray[np.uint8]], replaced: list[NDArray[np.float32]]) -> None:
    before, after = pixels[:2]
    outside = np.ones(before.shape[:2], bool)
    for points in replaced:
        outside &= _grown(points, before.shape[1::-1]) == 0
    seen.outside_error += _square_error(before[outside], after[outside])
    seen.outside += 3 * float(outside.sum())


def _against_truth(seen: _Stretch, pixels: list[NDArray[np.uint8]], points: NDArray[np.float32]) -> None:
    _, after, truth = pixels
    area = face_mask(points, after.shape[1::-1]) > 127
    seen.truth_error += _square_error(truth[area], after[area])
    seen.inside += 3 * float(area.sum())


def _face(
    pixels: list[NDArray[np.uint8]],
    faces: Faces,
    row: int,
    landmarkers: tuple[Landmarker, Landmarker],
    still: Landmarker,
) -> dict[str, Any]:
    """One row; "place" are the swapped face's landmarks."""
    found: dict[str, Any] = {}
    box = faces.box[row]
    far = is_far(box, pixels[0])
    looks = [None if far else _at(look(picture), box) for look, picture in zip(landmarkers, pixels, strict=False)]
    if afresh := None in looks:  # a closer look at both, so that they are measured alike
        looks = [_at(still.at(picture, box), box) for picture in pixels[:2]]
    for face, prefix in zip(looks, ("before_", ""), strict=True):
        if face is not None:
            found[prefix + "skull"] = face.points[0, ALIGNMENT_POINTS]
            found[prefix + "pose"], found[prefix + "expression"] = face.pose[0], face.expression[0]
            found[prefix + "gaze"], found[prefix + "mouth"] = gaze(face.points)[0], mouth_opening(face.points)[0]
            found[prefix + "width"] = face_width(face.points[0])
    if looks[1] is not None:
        found["place"] = looks[1].points[0]
    found["afresh"] = float(afresh)
    areas = Areas.of(faces.points[row], pixels[0].shape[1::-1])
    windows = [picture[areas.window] for picture in pixels]
    colours = [lab(window) for window in windows[:2]]
    neck = bare_neck(colours[0], areas)
    for colour, prefix in zip(colours, ("before_", ""), strict=True):
        lightness = np.ascontiguousarray(colour[..., 0])
        found[prefix + "colour"] = mean_colour(colour, areas.face)
        found[prefix + "sharpness"] = sharpness(lightness, areas.face)
        found[prefix + "around"] = sharpness(lightness, areas.around)
        found[prefix + "slope"] = border_gradient(lightness, areas)
        found[prefix + "skin"] = colour_difference(mean_colour(colour, areas.skin), mean_colour(colour, neck))
    if len(windows) > 2:
        found["ssim"] = likeness(windows[2], windows[1], areas.face)
    return found


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


def _judgement(
    parts: list[_Stretch],
    target: Clip,
    swap: Clip,
    mean_a: NDArray[np.float32],
    mean_b: NDArray[np.float32],
    truth: bool,
) -> Judgement:
    rows = [row for part in parts for row in part.rows]
    frame = np.array([index for part in parts for index in part.frame], np.int64)

    def column(name: str) -> NDArray[np.float32]:
        shape = _COLUMNS[name]
        return np.array([row.get(name, np.full(shape, np.nan)) for row in rows], np.float32).reshape(-1, *shape)

    def pair(name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return column(name), column(f"before_{name}")

    both = ~np.isnan(column("mouth")) & ~np.isnan(column("before_mouth"))
    if not both.any():
        raise FaceError(
            f"{swap.path}: no face found where {target.path} shows one. Expected a swap of that clip; check the files."
        )
    after, before = pair("expression")
    moving = moves(before[both])
    skull, skull_before = pair("skull")
    course = {
        "identity_to_b": distance(column("identity"), mean_b),
        "identity_to_a": distance(column("identity"), mean_a),
        "pose_error": _where(both, lambda rows: np.degrees(between(*(poses[rows] for poses in pair("pose"))))),
        "place_error": 100 * np.linalg.norm((skull - skull_before).mean(1), axis=-1) / column("before_width"),
        "expression_error": np.abs(after - before)[:, moving].mean(1) if len(moving) else np.full(len(both), np.nan),
        "gaze_error": 100 * np.linalg.norm(np.subtract(*pair("gaze")), axis=-1),
        "mouth_error": 100 * np.abs(np.subtract(*pair("mouth"))),
        "flicker": np.subtract(*(second_difference(frame, colour[:, None]) for colour in pair("colour"))),
        "seam": np.divide(*pair("slope")),
        "sharpness": np.divide(*pair("sharpness")),
        "sharpness_in_place": np.divide(*pair("sharpness")) / np.divide(*pair("around")),
        "skin_difference": np.subtract(*pair("skin")),
    }
    named = ~np.isnan(course["identity_to_b"])
    means = {name: mean(values) for name, values in course.items()}
    found = Measures(
        frames=target.count,
        faces=len(frame),
        found=int((~np.isnan(column("mouth"))).sum()),
        nearer_to_b=mean((course["identity_to_b"] < course["identity_to_a"])[named]),
        expression=correlation(after[both], before[both]),
        jitter=jitter(frame, skull, skull_before, column("afresh")),
        background_psnr=psnr(sum(part.outside_error for part in parts), sum(part.outside for part in parts)),
        same_times=same_times(target, swap),
        same_sound=same_sound(target, swap),
        same_tags=same_tags(target, swap),
        truth_psnr=psnr(sum(part.truth_error for part in parts), sum(part.inside for part in parts)),
        truth_ssim=mean(column("ssim")) if truth else math.nan,
        **means,
    )
    return Judgement(found, frame, {name: np.asarray(values, np.float32) for name, values in course.items()})


def _where(rows: NDArray[np.bool_], values: Any) -> NDArray[np.float32]:
    result = np.full(len(rows), np.nan, np.float32)
    result[rows] = values(rows)
    return result


def mean(values: NDArray[Any]) -> float:
    """Of what is not nan."""
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return float(np.mean(known)) if len(known) else math.nan


def jitter(
    frame: NDArray[np.int64], skull: NDArray[np.float32], before: NDArray[np.float32], afresh: NDArray[np.float32]
) -> float:
    """Of skull landmarks (n, k, 2), after over before. Followed and looked at afresh a face is not found at quite the
    same place, which is no movement: only frames of one way are held against each other."""
    # Of ones and noughts the second difference is nothing where all three are the same.
    one_way = second_difference(frame, afresh[:, None, None]) == 0
    return mean(second_difference(frame, skull)[one_way]) / max(mean(second_difference(frame, before)[one_way]), 1e-9)


def second_difference(frame: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) mean length of the second difference over time of k vectors (n, k, d), where three frames follow each other;
    else nan. Stands at the middle frame."""
    result = np.full(len(frame), np.nan, np.float32)
    if len(frame) > 2:
        runs = np.nonzero((np.diff(frame[:-1]) == 1) & (np.diff(frame[1:]) == 1))[0]
        second = values[runs] - 2 * values[runs + 1] + values[runs + 2]
        result[runs + 1] = np.linalg.norm(second, axis=-1).mean(-1)
    return result


def psnr(square_error: float, values: float) -> float:
    """dB, for a sum of squared differences of `values` 8-bit values; 100 where they are equal."""
    if not values:
        return math.nan
    return min(100.0, 10 * math.log10(255**2 / max(square_error / values, 1e-12)))
