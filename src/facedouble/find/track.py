"""Which faces of different frames are one person's: cuts, tracks, bridged gaps, and smoothing that looks both ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..faces import Faces
from ..geometry import box_around
from .finder import CUT, change

_GAP_S = 0.5
_SMOOTH_S = 0.23


def cuts(thumbs: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(n,) True where frame i begins a new shot, from thumbnails (n, 16, 16, 3). The first frame does.

    A cut is a change of the whole picture of more than 2%, and more than twice any of the eight before it and the eight
    after it but one, which may be a cut itself (an adaptive threshold over a window, as in "rolling average" shot
    detectors). Measured: two people before one backdrop differ by 2.5%; quick motion exceeds the second largest change
    around it by 1.8 times at most, cuts by 2.5 times at least.
    """
    n = len(thumbs)
    begins = np.zeros(n, bool)
    if not n:
        return begins
    begins[0] = True
    changes = change(thumbs)
    for i, value in enumerate(changes):
        around = np.sort(np.concatenate([changes[max(0, i - 8) : i], changes[i + 1 : i + 9]]))
        usual = float(around[-2:][0]) if len(around) else 0.0
        begins[i + 1] = value > max(CUT, 2 * usual)
    return begins


def track(faces: Faces, begins: NDArray[np.bool_], rate: float) -> Faces:
    """`faces` in frame order with their tracks numbered and short gaps bridged.

    A face continues the track of the same shot that comes nearest by going on as it went, if that is within half a face
    width (grown with the gap) and the track's last face at most half a second before. Missing frames inside a track are
    filled in between their neighbours, with score 0. A face found in one frame alone loses its identity: nothing
    confirms it, and a single descriptor of a face that is turned or blurred may lie as near to strangers as to itself.
    """
    from scipy.optimize import linear_sum_assignment

    if not len(faces):
        return faces
    shot = np.cumsum(begins)
    gap = max(1, round(_GAP_S * rate))
    faces = faces[np.argsort(faces.frame, kind="stable")]
    tracks = np.full(len(faces), -1, np.int64)
    centres = (faces.box[:, :2] + faces.box[:, 2:]) / 2
    widths = np.maximum(faces.box[:, 2] - faces.box[:, 0], faces.box[:, 3] - faces.box[:, 1])
    # px a frame: people who cross go on their ways.
    speed = np.zeros_like(centres)
    open_rows: list[int] = []
    made = 0
    frames, starts = np.unique(faces.frame, return_index=True)
    for frame, rows in zip(frames, np.split(np.arange(len(faces)), starts[1:]), strict=True):
        open_rows = [r for r in open_rows if frame - faces.frame[r] <= gap and shot[faces.frame[r]] == shot[frame]]
        if open_rows:
            # Distance in face widths, and a face does not change its size at once.
            passed = (frame - faces.frame[open_rows]).astype(np.float64)[:, None]
            expected = centres[open_rows] + passed * speed[open_rows]
            away = np.linalg.norm(expected[:, None] - centres[rows][None], axis=-1) / widths[open_rows][:, None]
            grown = np.abs(np.log(widths[rows][None] / widths[open_rows][:, None]))
            cost = (away + grown) / np.sqrt(passed)
            for a, b in zip(*linear_sum_assignment(cost), strict=True):
                if cost[a, b] < 0.5:
                    tracks[rows[b]] = tracks[open_rows[a]]
                    speed[rows[b]] = (centres[rows[b]] - centres[open_rows[a]]) / passed[a]
        for row in rows:
            if tracks[row] < 0:
                tracks[row], made = made, made + 1
        renewed = set(tracks[rows].tolist())
        open_rows = [r for r in open_rows if int(tracks[r]) not in renewed] + [int(r) for r in rows]
    alone = np.bincount(tracks)[tracks] == 1
    embedding = np.where(alone[:, None], np.float32(np.nan), faces.embedding)
    return _bridge(replace(faces, track=tracks, embedding=embedding))


def _bridge(faces: Faces) -> Faces:
    parts = [faces]
    for number in np.unique(faces.track):
        rows = faces[faces.track == number]
        for before, after in zip(range(len(rows) - 1), range(1, len(rows)), strict=True):
            missing = np.arange(rows.frame[before] + 1, rows.frame[after])
            if not len(missing):
                continue
            part = (missing - rows.frame[before]) / (rows.frame[after] - rows.frame[before])
            bridged = Faces.empty(len(missing))
            bridged.frame[:], bridged.track[:] = missing, number
            for name in ("points", "pose", "expression"):
                column = rows.columns()[name]
                weight = part.reshape(-1, *([1] * (column.ndim - 1)))
                bridged.columns()[name][:] = (1 - weight) * column[before] + weight * column[after]
            bridged.box[:] = [box_around(points) for points in bridged.points]
            parts.append(bridged)
    joined = Faces.join(parts)
    return joined[np.lexsort((joined.track, joined.frame))]


def smooth(faces: Faces, rate: float) -> Faces:
    """Landmarks, angles and expressions with the finder's noise taken off, track by track, without lag.

    A Savitzky-Golay filter (second order over about 0.23 s, symmetric in time; Savitzky, Golay, Analytical Chemistry
    36(8), 1964) takes off what is no larger than the track's usual noise. What is far larger - a blink lasts two or
    three frames - is no noise and stays whole ("coring"). Tracks end at cuts, so nothing is carried across them.
    """
    points, boxes = faces.points.copy(), faces.box.copy()
    pose, expression = faces.pose.copy(), faces.expression.copy()
    window = max(5, 2 * round(_SMOOTH_S * rate / 2) + 1)
    for number in np.unique(faces.track):
        rows = np.nonzero(faces.track == number)[0]
        length = min(window, len(rows) - 1 + len(rows) % 2)
        if length >= 3 + (length > 3):
            points[rows] = _cored(points[rows], length)
            boxes[rows] = [box_around(face) for face in points[rows]]
            pose[rows] = _cored(np.unwrap(pose[rows], axis=0), length)
            expression[rows] = _cored(expression[rows], length)
    return replace(faces, points=points, box=boxes, pose=_wrapped(pose), expression=np.clip(expression, 0, 1))


def _cored(course: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """`course` (n, ...) smoothed over `length` samples, but as it was where it is over 4 times its noise away."""
    from scipy.signal import savgol_filter

    even = savgol_filter(course, length, 2, axis=0, mode="interp")
    away = course - even
    # The median tells the noise (as a normal distribution's deviation) even where a tenth of the frames are blinks.
    noise = 1.4826 * np.median(np.abs(away), axis=0) + 1e-6
    return np.asarray(even + away * np.clip(np.abs(away) / noise / 2 - 1, 0, 1), np.float32)


def _wrapped(angles: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((angles + np.pi) % (2 * np.pi) - np.pi, np.float32)
