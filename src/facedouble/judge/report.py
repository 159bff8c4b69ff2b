"""What a person reads of a swap: verdicts in words, a contact sheet, one HTML page and the same as JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..project import atomic_file, save_json
from .measure import Measures


@dataclass(frozen=True)
class Line:
    """One measure in words. `good` is None where there is no goal to hold it against."""

    name: str
    value: str
    goal: str
    good: bool | None


def lines(found: Measures) -> list[Line]:
    """The goals are those of this project's real pair (see benchmarks/README.md); 0.6 is dlib's own line."""
    sound = [Line("sound packets unchanged", _yes(found.same_sound), "all", found.same_sound)]
    truth = (
        []
        if math.isnan(found.truth_psnr)
        else [Line("face against the known answer", f"{found.truth_psnr:.1f} dB", "", None)]
    )
    return [
        Line("frames of A converted", f"{found.found} of {found.faces}", "all", found.found == found.faces),
        Line(
            "nearer to B than to A",
            f"{100 * found.nearer_to_b:.1f}% of frames",
            "90% or more",
            found.nearer_to_b >= 0.9,
        ),
        Line(
            "identity distance to B (to A)",
            f"{found.identity_to_b:.2f} ({found.identity_to_a:.2f})",
            "under 0.60",
            found.identity_to_b < 0.6,
        ),
        Line("pose error", f"{found.pose_error:.1f} degrees", "under 3", found.pose_error < 3),
        Line("expression correlation", f"{found.expression:.2f}", "over 0.80", found.expression > 0.8),
        Line("landmark jitter against the original", f"{found.jitter:.2f}x", "under 1.10x", found.jitter < 1.1),
        Line("background", f"{found.background_psnr:.1f} dB", "over 45 dB", found.background_psnr > 45),
        Line("frame count", _yes(found.same_count), "same", found.same_count),
        Line("timestamps", _yes(found.same_times), "same", found.same_times),
        *sound,
        *truth,
    ]


def _yes(same: bool) -> str:
    return "same" if same else "differ"


def sheet(rows: Iterable[Sequence[NDArray[np.uint8]]], titles: Sequence[str], width_px: int = 360) -> NDArray[np.uint8]:
    """(H, W, 3): pictures in rows, each column titled, all reduced to `width_px`."""
    import cv2

    made = []
    for row in rows:
        scale = width_px / row[0].shape[1]
        size = (width_px, max(1, round(row[0].shape[0] * scale)))
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        made.append(np.hstack([cv2.resize(picture, size, interpolation=kind) for picture in row]))
    head = np.full((28, width_px * len(titles), 3), 255, np.uint8)
    for number, title in enumerate(titles):
        cv2.putText(
            head, title, (number * width_px + 8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20), 1, cv2.LINE_AA
        )
    return np.vstack([head, *made])


def save_picture(file: Path, picture: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) RGB as a picture, atomically. Raises OutputError."""
    from PIL import Image

    with atomic_file(file) as temporary:
        Image.fromarray(picture).save(temporary)


def write(folder: Path, found: Measures, about: dict[str, Any], picture: Path) -> Path:
    """report.html (self-contained, with the contact sheet in it) and report.json in `folder`; returns the page."""
    import jinja2

    loader = jinja2.PackageLoader("facedouble", "judge")
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("report.html")
    page = template.render(lines=lines(found), about=about, sheet=base64.b64encode(picture.read_bytes()).decode())
    values = {
        name: None if isinstance(value, float) and math.isnan(value) else value for name, value in asdict(found).items()
    }
    save_json(folder / "report.json", {"measures": values, "about": about})
    with atomic_file(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return folder / "report.html"
