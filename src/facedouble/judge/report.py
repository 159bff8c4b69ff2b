"""What a person reads of a swap: one HTML page with verdicts, plots over time and pictures, and the same as JSON."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..faces import Faces
from ..find.finder import to_8_bit
from ..footage import Clip, spread
from ..geometry import FACE_OVAL, box_around
from ..media.reader import frames_at
from ..project import atomic_file, save_json, save_png, without_nan
from .measure import Judgement
from .verdict import GOALS, Goal, lines

_EVEN, _WORST = 6, 3
"""frames of the contact sheet, and of each measure"""
_APART_S = 0.5
_HEAD_PX = 28

Picture = NDArray[np.uint8]


def write(
    folder: Path, found: Judgement, clips: dict[str, Clip], faces: Faces, about: dict[str, Any]
) -> tuple[Path, Path]:
    """Write report.html (self-contained), report.json, contact-sheet.png and worst-frames.png into `folder`; returns
    the page and the contact sheet.

    `clips` are titled "A", "swap" and perhaps "known answer", in this order; `faces` are A's. Raises OutputError.
    """
    import jinja2

    even = found.frame[spread(len(found.frame), _EVEN)].tolist()
    rows = zip(*([to_8_bit(frame.pixels) for frame in frames_at(clip, even)] for clip in clips.values()), strict=True)
    contact, worst = folder / "contact-sheet.png", folder / "worst-frames.png"
    save_png(contact, sheet(rows, list(clips)))
    save_png(worst, _worst_sheet(found, clips, faces))
    loader = jinja2.PackageLoader("facedouble", "judge")
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("report.html")
    page = template.render(
        lines=lines(found.measures),
        about=about,
        titles=" | ".join(clips),
        plots=base64.b64encode(_plots(found, clips["A"])).decode(),
        contact=base64.b64encode(contact.read_bytes()).decode(),
        worst=base64.b64encode(worst.read_bytes()).decode(),
    )
    record = {
        "about": about,
        "measures": asdict(found.measures),
        "verdicts": [asdict(line) for line in lines(found.measures)],
        "frame": found.frame.tolist(),
        "course": {name: values.tolist() for name, values in found.course.items()},
    }
    save_json(folder / "report.json", without_nan(record))
    with atomic_file(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return folder / "report.html", contact


def sheet(rows: Iterable[Sequence[Picture]], titles: Sequence[str], width_px: int = 360) -> Picture:
    """(H, W, 3): pictures in rows, each column titled, all reduced to `width_px`."""
    import cv2

    made = []
    for row in rows:
        scale = width_px / row[0].shape[1]
        size = (width_px, max(1, round(row[0].shape[0] * scale)))
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        made.append(np.hstack([cv2.resize(picture, size, interpolation=kind) for picture in row]))
    head = np.hstack([_label(title, width_px) for title in titles])
    return np.vstack([head, *made])


def _label(text: str, width_px: int) -> Picture:
    import cv2

    strip = np.full((_HEAD_PX, width_px, 3), 255, np.uint8)
    cv2.putText(strip, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    return strip


def _worst_sheet(found: Judgement, clips: dict[str, Clip], faces: Faces, width_px: int = 200) -> Picture:
    """A row for each measure: its worst frames, A beside the swap beside the known answer, cut to the face."""
    row_of = {int(frame): row for row, frame in enumerate(faces.frame)}
    apart = round(_APART_S * float(clips["A"].rate))
    shown = {
        goal: worst(found.course[goal.measure], found.frame, goal, apart)
        for goal in GOALS
        if goal.measure in found.course
    }
    indices = sorted({int(found.frame[place]) for chosen in shown.values() for place in chosen})
    cut = {
        (title, frame.index): _cut(to_8_bit(frame.pixels), faces.points[row_of[frame.index]], width_px)
        for title, clip in clips.items()
        for frame in frames_at(clip, indices)
    }
    width = _WORST * len(clips) * width_px
    made = [_label(f"worst frames of each measure: {' | '.join(clips)}", width)]
    for goal, chosen in shown.items():
        pictures: list[Picture] = []
        text = []
        for place in chosen:
            index = int(found.frame[place])
            text.append(f"frame {index}: {goal.form.format(found.course[goal.measure][place])}")
            pictures += [cut[title, index] for title in clips]
        if pictures:
            pictures += [np.full_like(pictures[0], 255)] * (_WORST * len(clips) - len(pictures))
            made += [_label(f"{goal.name}   {',   '.join(text)}", width), np.hstack(pictures)]
    return np.vstack(made)


def worst(values: NDArray[np.float32], frame: NDArray[np.int64], goal: Goal, apart: int) -> list[int]:
    """Up to three rows with the values furthest on the goal's wrong side, their frames at least `apart` apart."""
    bad = np.abs(np.log(np.maximum(values, 1e-6))) if goal.low_good is not None else values.astype(np.float64)
    bad = np.where(np.isnan(bad), -np.inf, -bad if goal.good > goal.visible else bad)
    chosen: list[int] = []
    for row in np.argsort(-bad, kind="stable"):
        if len(chosen) == _WORST or not np.isfinite(bad[row]):
            break
        if all(abs(int(frame[row] - frame[other])) >= apart for other in chosen):
            chosen.append(int(row))
    return chosen


def _cut(picture: Picture, points: NDArray[np.float32], side_px: int) -> Picture:
    """The face with half a face around it, square; what lies outside the frame is white."""
    import cv2

    x0, y0, x1, y1 = box_around(points[FACE_OVAL])
    scale = side_px / (1.6 * max(x1 - x0, y1 - y0))
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    matrix = np.hstack([scale * np.eye(2), (side_px / 2 - scale * middle)[:, None]])
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(
        cv2.warpAffine(picture, matrix, (side_px, side_px), flags=kind, borderValue=(255, 255, 255)), np.uint8
    )


def _plots(found: Judgement, clip: Clip) -> bytes:
    """Each course over time, with the bound of what is good, as a PNG."""
    from matplotlib.figure import Figure

    shown = [goal for goal in GOALS if goal.measure in found.course]
    figure = Figure(figsize=(10, 1.25 * len(shown)), layout="constrained")
    time = [float(clip.time(int(index))) for index in found.frame]
    for axes, goal in zip(figure.subplots(len(shown), 1, sharex=True), shown, strict=True):
        values = found.course[goal.measure]
        known = ~np.isnan(values)
        # Identity is sampled, so its line joins samples.
        axes.plot(np.array(time)[known], values[known], linewidth=0.9, color="#1f4e79")
        for bound in (goal.good, goal.low_good):
            if bound is not None:
                axes.axhline(bound, linewidth=0.7, linestyle="--", color="#176b2c")
        axes.set_ylabel(goal.name.replace(" against", "\nagainst"), fontsize=6, rotation=0, ha="right", va="center")
        axes.tick_params(labelsize=6)
    axes.set_xlabel("seconds", fontsize=7)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


__all__ = ["sheet", "worst", "write"]
