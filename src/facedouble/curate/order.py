"""Faces in an order, and crops named so that a file manager shows them in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import FaceError
from ..project import output_errors
from .faceset import FaceSet
from .quality import MEASURES, Quality
from .similar import leaders, unlikeness

ORDERS = ("frame", *MEASURES, "similarity", "duplicates")
# What one looks for in these is the most of it; in all others the least: the blurred, the small, the dark.
_MOST_FIRST = ("away", "contrast", "expression", "mouth-open", "eyes-closed")
_DIGITS = 5


@dataclass(frozen=True, eq=False)
class Order:
    rows: NDArray[np.int64]
    """(m,) those with a picture, in order"""
    labels: Sequence[str]
    """(m,) what puts each where it is, such as yaw-031; "" where ordered by frame"""


def order(faces: FaceSet, quality: Quality, by: str, to: str | None, duplicate: float) -> Order:
    """The faces of a set by one of ORDERS; unknown values come last.

    `to` names the picture that the others are compared to (similarity); `duplicate` is how unlike two pictures of one
    group may be (duplicates; the largest groups come first, each with its sharpest face first). Raises FaceError where
    `to` is not in the set.
    """
    rows = quality.rows()
    if by == "frame":
        return Order(rows, [""] * len(rows))
    if by == "duplicates":
        return _by_group(rows, quality, duplicate)
    if by == "similarity":
        values = unlikeness(quality.fingerprint[rows], quality.fingerprint[row_of(faces, to or "")])
        form = "{:.3f}"
    else:
        values, form = quality.column(by)[rows], MEASURES[by].form
    places = np.argsort(-values if by in _MOST_FIRST else values, kind="stable")  # NaN goes last
    return Order(rows[places], [f"{by}{said(form, float(values[place]))}" for place in places])


def said(form: str, value: float) -> str:
    """A value as text, for file names too."""
    text = "-unknown" if np.isnan(value) else form.format(value)
    return text.replace("-", "+", 1) if text.startswith("-") and not text.strip("-0.") else text  # no minus nought


def row_of(faces: FaceSet, picture: str) -> int:
    """The row of a picture given by its present name, or by the one the set's table gives it."""
    name = Path(picture).name
    for row, present in faces.pictures().items():
        if name in (present, faces.crop[row]):
            return row
    raise FaceError(f"{faces.path}: has no picture {name or '(none was named)'}. Name one that is in its folder crops.")


def _by_group(rows: NDArray[np.int64], quality: Quality, limit: float) -> Order:
    leader, apart = leaders(quality.fingerprint[rows], quality.sharpness[rows], limit)
    sizes = np.bincount(leader, minlength=len(rows))[leader]
    places = np.lexsort((apart, leader != np.arange(len(rows)), leader, -sizes))
    number = np.cumsum(np.diff(leader[places], prepend=-1) != 0)
    labels = [
        f"group{group:04d}-of-{size}" if size > 1 else "alone"
        for group, size in zip(number, sizes[places], strict=True)
    ]
    return Order(rows[places], labels)


def rename(faces: FaceSet, found: Order) -> int:
    """Rename the crops so that they sort by name as `found`, or to their plain names where it is by frame; how many
    were renamed.

    Only what is before the last underscore changes, so it may be stopped at any point: the set is the same all along.
    Raises FaceError where two pictures are of one face: which one counts would change.
    """
    names, folder = faces.picture_names(), faces.path / "crops"
    for one, *others in names.values():
        if others:
            raise FaceError(f"{folder}: {one} and {others[0]} are of one face. Delete one of them.")
    digits = max(_DIGITS, len(str(len(found.rows))))
    done = 0
    with output_errors(folder):
        for place, (row, label) in enumerate(zip(found.rows, found.labels, strict=True)):
            plain, present = faces.crop[row], names[int(row)][0]
            name = f"{place:0{digits}d}_{label}_{plain}" if label else plain
            if name != present:
                (folder / present).rename(folder / name)
                done += 1
    return done
