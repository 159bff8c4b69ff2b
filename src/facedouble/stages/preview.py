"""A few frames of a clip as stills: the original beside the swap, for one choice of settings or several."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..device import Device
from ..errors import FaceError, InputError
from ..events import Event, Finished
from ..faces import SAME_PERSON, Faces
from ..find.finder import to_8_bit
from ..find.identity import Identity, distance
from ..find.landmarks import Landmarker
from ..footage import Clip, Frame
from ..geometry import box_around
from ..learn.checkpoint import Trained
from ..media.reader import frame_at, probe
from ..project import output_errors, save_png
from ..provenance.content import ContentCheck
from ..provenance.mark import Marker
from ..recipes import ConvertRecipe
from .casting import known_faces
from .conversion import smaller
from .opening import Opened
from .signing import mark_of, sign

_MOST_PEOPLE = 4
_AROUND = 0.3
"""how far beyond the face a still reaches on each side, in face sizes"""
_MOST_PX, _LINE_PX, _GAP_PX, _TEXT_PX = 480, 22, 4, 14

Picture = NDArray[np.uint8]


def preview(
    clip_path: Path,
    model: Path,
    moments: Sequence[int | Fraction],
    recipes: Mapping[str, ConvertRecipe],
    out: Path,
    device: Device,
) -> Generator[Event, None, Path]:
    """Write one PNG, signed as all that is made: a row a moment, the original and a column for each of the recipes,
    under its name.

    Raises FaceError where A is not seen at a moment, InputError for a moment beyond the clip's end.
    """
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: a preview is a PNG. Give it a name that ends in .png.")
    opened = Opened.of(model, device, next(iter(recipes.values())).checkpoint)
    clip = probe(clip_path)
    frames = [frame_at(clip, clip.index_at(moment)) for moment in moments]
    check = ContentCheck()
    check.refuse_explicit(((frame.index, to_8_bit(frame.pixels)) for frame in frames), clip_path.name)
    yield from opened.unlearned(next(iter(recipes.values())))
    torch.set_num_threads(device.threads)
    faces = _faces_of_a(clip, frames, opened.trained)
    marker = Marker(mark_of(clip, [opened]))
    columns = [_column(clip, frames, faces, lambda frame, *_: frame.pixels)]
    for recipe in recipes.values():
        less, (few,), _ = smaller(clip, [faces], recipe.face_px) if recipe.fit == "reduce" else (clip, [faces], None)
        shown = frames if less is clip else [frame_at(less, frame.index) for frame in frames]
        swapper = opened.swapper(recipe, marker, list(zip(shown, few.points, few.acting(), strict=True)))
        columns.append(_column(less, shown, few, lambda frame, *face, swap=swapper: swap(frame.pixels, *face)[0]))
    titles = [f"{float(clip.time(frame.index)):.2f} s, frame {frame.index}" for frame in frames]
    sheet = _sheet(["original", *recipes], list(zip(titles, zip(*columns, strict=True), strict=True)))
    check.refuse_explicit([(0, sheet)], out.name)
    unsigned = out.with_name(f".{out.stem}.unsigned.png")
    try:
        with output_errors(out):
            save_png(unsigned, sheet)
            sign(unsigned, out, clip, [(opened, faces)], next(iter(recipes.values())))
    finally:
        unsigned.unlink(missing_ok=True)
    yield Finished(out, f"{len(frames)} frames of {clip.path.name}, {len(recipes)} choices of settings")
    return out


def _column(
    clip: Clip, frames: Sequence[Frame], faces: Faces, made: Callable[[Frame, NDArray[Any], NDArray[Any]], NDArray[Any]]
) -> list[Picture]:
    """What is `made` of each frame and its face, around the face; as large as it was filmed, if it was made smaller."""
    import cv2

    acting, stills = faces.acting(), []
    scale = clip.filmed[1] / clip.size[1] if clip.filmed else 1.0
    for row, frame in enumerate(frames):
        still = to_8_bit(made(frame, faces.points[row], acting[row]))[_window(faces.points[row], clip.size)]
        if scale != 1:
            still = np.asarray(cv2.resize(still, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
        stills.append(still)
    return stills


def _faces_of_a(clip: Clip, frames: Sequence[Frame], trained: Trained) -> Faces:
    """A's face in each frame: from A's face set where it knows the clip, else found in the frame alone. Raises
    FaceError where there is none."""
    known = known_faces(clip, trained)
    if known is None:
        found = _found_alone(frames, np.array(trained.identity["a"], np.float32))
    else:
        found = [known[known.frame == frame.index] for frame in frames]
    for frame, face in zip(frames, found, strict=True):
        if not len(face):
            raise FaceError(
                f"{clip.path}: {trained.people['a']} is not seen in frame {frame.index}. Choose another --at."
            )
    return Faces.join(found)


def _found_alone(frames: Sequence[Frame], wanted: NDArray[np.float32]) -> list[Faces]:
    """Of each frame the face that is most like the `wanted` descriptor (128,), or none."""
    found, identity = [], Identity()
    with Landmarker(video=False, max_people=_MOST_PEOPLE) as landmarker:
        for frame in frames:
            pixels = to_8_bit(frame.pixels)
            seen = landmarker(pixels, frame.index)
            away = [float(distance(identity(pixels, points), wanted)[0]) for points in seen.points]
            alike = bool(away) and min(away) <= SAME_PERSON
            found.append(seen[[int(np.argmin(away))]] if alike else Faces.empty())
    return found


def _window(points: NDArray[Any], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the frame that a still shows."""
    x0, y0, x1, y1 = (float(value) for value in box_around(points))
    reach = _AROUND * max(x1 - x0, y1 - y0)
    left, top = max(0, round(x0 - reach)), max(0, round(y0 - reach))
    return slice(top, min(size[1], round(y1 + reach))), slice(left, min(size[0], round(x1 + reach)))


def _sheet(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[Picture]]]) -> Picture:
    from PIL import Image, ImageDraw, ImageFont

    stills = [[_fitted(still) for still in row] for _, row in rows]
    width = max(still.shape[1] for row in stills for still in row) + _GAP_PX
    heights = [row[0].shape[0] + _LINE_PX for row in stills]
    paper = Image.new("RGB", (width * len(titles) + _GAP_PX, _LINE_PX + sum(heights)), "white")
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(_TEXT_PX)
    for column, title in enumerate(titles):
        draw.text((_GAP_PX + column * width, 2), title, "black", font)
    top = _LINE_PX
    for (name, _), row, height in zip(rows, stills, heights, strict=True):
        for column, still in enumerate(row):
            paper.paste(Image.fromarray(still), (_GAP_PX + column * width, top))
        draw.text((_GAP_PX, top + height - _LINE_PX + 2), name, "black", font)
        top += height
    return np.asarray(paper, np.uint8)


def _fitted(still: Picture) -> Picture:
    """As filmed, or smaller where it is larger than a screen has room for."""
    import cv2

    if max(still.shape[:2]) <= _MOST_PX:
        return still
    scale = _MOST_PX / max(still.shape[:2])
    return np.asarray(cv2.resize(still, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
