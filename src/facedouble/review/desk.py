"""A face set on the desk: what a person looking through it may see and do, row by row, and undo.

Knows nothing of the web. One lock lets one change happen at a time; looking at crops needs none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..curate import aside, give, nudge
from ..curate.aside import NOT_THEM
from ..curate.collect import png
from ..curate.faceset import FaceSet, plain_name
from ..curate.nudge import Nudge
from ..curate.order import ORDERS, order
from ..curate.origin import Origin, rows_at
from ..curate.part import orientations
from ..curate.prune import REASONS, choose
from ..curate.quality import MEASURES, Looks, Quality, in_crop, quality_of
from ..curate.similar import DUPLICATE
from ..errors import FacedoubleError, FaceError, InputError, OutputError
from ..geometry import (
    FACE_OVAL,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE,
    LEFT_IRIS,
    LIPS,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_IRIS,
    Array,
    apply,
    compose,
    invert,
    square_to_crop,
)

DROPPED = "review"
"""reasons under which pictures are put aside here"""
_DRAWN = (
    FACE_OVAL, LIPS, INNER_LIPS, LEFT_BROW, LEFT_EYE, LEFT_IRIS, RIGHT_BROW, RIGHT_EYE, RIGHT_IRIS,
)  # fmt: skip
_UNDOABLE = 200


@dataclass(frozen=True)
class Change:
    """What was done, in words, and to which rows."""

    text: str
    rows: Sequence[int]
    recut: bool = False
    """whether their pictures are others now"""
    anew: bool = False
    """whether rows have come or gone, so that all are numbered anew"""


@dataclass(frozen=True)
class _Undo:
    change: Change
    how: Callable[[], None]


class Desk:
    """Raises FaceError where a picture is gone or cannot be read, InputError for what cannot be asked, OutputError
    where the set cannot be written; the set is then as it was."""

    def __init__(self, faces: FaceSet, others: Sequence[FaceSet] = ()) -> None:
        """`others` are sets that faces may be given to."""
        self._others = others
        self._origin, self._footage = Origin(), Lock()
        self._changing = Lock()
        self._done: deque[_Undo] = deque(maxlen=_UNDOABLE)
        self._take(faces)

    def _take(self, faces: FaceSet) -> None:
        self._faces, self._looks = faces, Looks.load(faces)
        self._table = _signature(faces)
        self._files = _files(faces)
        # Of those aside too, so that they can be looked through in the same orders.
        self._rows = np.array(sorted(self._files), np.int64)
        self._quality: Quality | None = None

    def __len__(self) -> int:
        return len(self._faces)

    # --- looking ----------------------------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """Whose set it is, and of each row that has a picture, here or aside: frame, track, orientation and state."""
        faces, rows = self._faces, self._rows
        looking = np.zeros(len(faces), np.int64)
        parts = orientations(self._measures())
        for number, part in enumerate(parts.values()):
            looking[part] = number
        return {
            "person": faces.person,
            "name": faces.path.name,
            "consent": faces.consent.id,
            "size_px": faces.recipe.size_px,
            "rows": rows.tolist(),
            "frames": faces.faces.frame[rows].tolist(),
            "tracks": faces.faces.track[rows].tolist(),
            "orientations": list(parts),
            "orientation": looking[rows].tolist(),
            "states": self.states(rows.tolist()),
            "orders": [name for name in ORDERS if name != "similarity"],
            "measures": {name: f"{known.text}{known.unit and f', {known.unit}'}" for name, known in MEASURES.items()},
            "doubts": list(REASONS),
            "others": [f"{other.person}: {other.path.name}" for other in self._others],
        }

    def states(self, rows: Sequence[int]) -> list[str | None]:
        """Of each row: "" in the set, the reason it is aside for, or None where its picture is gone."""
        return [_state(self._files.get(row)) for row in rows]

    def column(self, measure: str) -> list[float | None]:
        """A measure of quality.MEASURES of `about`'s rows; None where it is not known."""
        if measure not in MEASURES:
            raise InputError(f"there is no measure {measure!r}. Expected one of {', '.join(MEASURES)}.")
        values = self._measures().column(measure)[self._rows].astype(float)
        return [None if np.isnan(value) else round(value, 4) for value in values.tolist()]

    def order(self, by: str, to: int | None) -> tuple[list[int], list[str]]:
        """`about`'s rows in one of the orders of curate.order, and what puts each there; `to` is a row (similarity)."""
        if by not in ORDERS or (by == "similarity") != (to is not None):
            raise InputError(f"there is no order {by!r}, or it was not said to which face.")
        found = order(self._faces, self._measures(), by, None if to is None else self._faces.crop[to], DUPLICATE)
        return found.rows.tolist(), [label.removeprefix(by) for label in found.labels]

    def doubts(self) -> dict[str, list[int]]:
        """Reason of curate.prune, each at its usual limit -> rows that are in the set and it would put aside."""
        present = np.array([row for row in self._rows.tolist() if _state(self._files.get(row)) == ""], np.int64)
        quality = quality_of(self._faces, self._looks, present)
        return {reason: doomed.rows.tolist() for reason, doomed in choose(quality, dict.fromkeys(REASONS)).items()}

    def picture(self, row: int) -> NDArray[np.uint8]:
        """(S, S, 3), in the set or aside."""
        for file in self._files.get(row, ()):
            try:
                return self._faces.read_picture(self._faces.path / file)
            except FileNotFoundError:  # moved or deleted by another program
                self._files = _files(self._faces)
        raise FaceError(f"{self._faces.crop[row] or f'row {row}'}: its picture is gone. Load this page again.")

    def frame(self, row: int, step: int) -> NDArray[np.uint8]:
        """(H, W, 3): the source's frame of a row's face, or one that many frames after it."""
        with self._footage:
            return self._origin.frame(self._faces, row, step)

    def seen(self, row: int, step: int) -> dict[str, Any]:
        """Of the same frame: number, count, seconds, size, and the faces that the set has in it, in its px."""
        with self._footage:
            clip, index = self._origin.clip(self._faces, row), self._origin.index(self._faces, row, step)
        there = rows_at(self._faces, row, index)
        return {
            "index": index,
            "count": clip.count,
            "seconds": float(clip.time(index)),
            "size": clip.size,
            "faces": [{"row": other, "state": _state(self._files.get(other)), **self._drawn(other)} for other in there],
        }

    def outlines(self, row: int) -> list[list[list[float]]]:
        """The landmarks of a row as outlines of the face's parts, in px of its crop."""
        return _outlines(in_crop(self._faces, row))

    def preview(self, row: int, by: Nudge) -> NDArray[np.uint8]:
        """(S, S, 3): the crop as `nudge` would make it."""
        return nudge.cut(self._faces, row, self.frame(row, 0), by)

    # --- changing ---------------------------------------------------------------------------------------------------

    def drop(self, rows: Collection[int], reason: str) -> Change:
        """Put the pictures of these rows aside, for DROPPED or NOT_THEM; those that are aside already stay there."""
        if reason not in (DROPPED, NOT_THEM):
            raise InputError(f"{reason!r} is no reason here. Expected {DROPPED} or {NOT_THEM}.")
        with self._changing:
            self._files = _files(self._faces)
            mine = self._in_state(rows, present=True)
            names = [file.name for row in mine for file in self._files[row]]
            self._put_aside({reason: names})
            change = Change(f"{_faces_text(len(mine))} {_DONE[reason]}", mine)
            self._done.append(_Undo(change, lambda: self._restore([Path("aside", reason, name) for name in names])))
            return change

    def restore(self, rows: Collection[int]) -> Change:
        """Put the pictures of these rows back into the set."""
        with self._changing:
            self._files = _files(self._faces)
            mine = self._in_state(rows, present=False)
            # Of pictures of one name, put aside for different reasons, only one has room.
            files = [file for row in mine for file in {file.name: file for file in self._files[row]}.values()]
            self._restore(files)
            names: dict[str, list[str]] = {}
            for file in files:
                names.setdefault(file.parent.name, []).append(file.name)
            change = Change(f"{_faces_text(len(mine))} put back", mine)
            self._done.append(_Undo(change, lambda: self._put_aside(names)))
            return change

    def nudge(self, row: int, by: Nudge) -> Change:
        """Correct the alignment of a row: recut its crop, move its landmarks; see curate.nudge."""
        with self._changing:
            self._files = _files(self._faces)
            self._in_state([row], present=True)
            before, columns = self._faces, self._faces.faces.columns()
            old = {name: columns[name][row].copy() for name in ("points", "box", "pose")}
            transform = before.transform[row].copy()
            picture = (before.path / self._files[row][0]).read_bytes()
            self._keep(nudge.nudged(before, row, by), row, png(self.preview(row, by)))
            change = Change("alignment corrected", [row], recut=True)

            def back() -> None:
                self._keep(nudge.with_row(self._faces, row, old, transform), row, picture)

            self._done.append(_Undo(change, back))
            return change

    def give(self, rows: Collection[int], to: int) -> Change:
        """Move the faces of these rows into one of the other sets, its number; see curate.give."""
        if not 0 <= to < len(self._others):
            raise InputError(f"there is no other set {to}; {len(self._others)} were named when this was started.")
        with self._changing:
            self._files = _files(self._faces)
            mine = self._in_state(rows, present=True)
            self._check_table()
            other = FaceSet.load(self._others[to].path)
            give.check(self._faces, mine, other)
            keys = give.keys(self._faces, mine)
            give.give(self._faces, mine, other)
            self._take(FaceSet.load(self._faces.path))
            change = Change(f"{_faces_text(len(mine))} moved to {other.person}", mine, anew=True)
            self._done.append(_Undo(change, lambda: self._take_back(other.path, keys)))
            return change

    def undo(self) -> Change:
        """Take back the last change that was made here and not taken back yet."""
        with self._changing:
            if not self._done:
                raise InputError("there is nothing to undo.")
            last = self._done.pop()
            try:
                last.how()
            except OutputError:  # once there is room on the disk it can be done
                self._done.append(last)
                raise
            except FacedoubleError:
                if last.change.anew:  # what was done before it is of rows with other numbers
                    self._done.clear()
                raise
            return Change(f"undone: {last.change.text}", last.change.rows, last.change.recut, last.change.anew)

    # --- within -----------------------------------------------------------------------------------------------------

    def _measures(self) -> Quality:
        if self._quality is None:
            self._quality = quality_of(self._faces, self._looks, self._rows)
        return self._quality

    def _drawn(self, row: int) -> dict[str, Any]:
        size, coverage = self._faces.recipe.size_px, self._faces.recipe.coverage
        to_frame = invert(self._faces.transform[row])
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
        square = apply(compose(to_frame, square_to_crop(size, coverage)), corners)
        crop = apply(to_frame, corners * size - 0.5)
        return {
            "square": _rounded(square), "crop": _rounded(crop), "lines": _outlines(self._faces.faces.points[row])
        }  # fmt: skip

    def _in_state(self, rows: Collection[int], present: bool) -> list[int]:
        mine = [row for row in rows if row in self._files and (_state(self._files[row]) == "") == present]
        if not mine:
            raise InputError(f"none of these faces is {'in the set' if present else 'aside'}.")
        return mine

    def _put_aside(self, names: dict[str, list[str]]) -> None:
        try:
            aside.put_aside(self._faces.path, names)
        finally:
            self._files = _files(self._faces)

    def _restore(self, files: Collection[Path]) -> None:
        try:
            aside.restore(self._faces.path, only=set(files))
        finally:
            self._files = _files(self._faces)

    def _take_back(self, path: Path, keys: set[tuple[str, int]]) -> None:
        self._check_table()
        other = FaceSet.load(path)
        rows = [row for row in range(len(other)) if give.keys(other, [row]) <= keys]
        if len(rows) < len(keys):
            raise FaceError(f"{path}: has only {len(rows)} of the {len(keys)} faces that were moved there.")
        give.give(other, rows, self._faces)
        self._take(FaceSet.load(self._faces.path))

    def _check_table(self) -> None:
        if _signature(self._faces) != self._table:
            raise FaceError(f"{self._faces.path}: was changed by another program. End this review, and start it again.")

    def _keep(self, faces: FaceSet, row: int, picture: bytes) -> None:
        self._check_table()
        self._faces = nudge.keep(faces, row, picture, self._looks)
        self._table, self._quality = _signature(faces), None


_DONE = {DROPPED: "dropped", NOT_THEM: "put aside as not this person"}


def _files(faces: FaceSet) -> dict[int, list[Path]]:
    """Row -> its pictures below the set's folder: those in crops/, or, where there are none, those aside."""
    found = {row: [Path("crops", name) for name in names] for row, names in faces.picture_names().items()}
    row_of = {name: row for row, name in enumerate(faces.crop) if name and row not in found}
    for file in aside.pictures(faces.path):
        if (row := row_of.get(plain_name(file.name))) is not None:
            found.setdefault(row, []).append(file)
    return found


def _state(files: Sequence[Path] | None) -> str | None:
    if not files:
        return None
    return "" if files[0].parts[0] == "crops" else files[0].parent.name


def _signature(faces: FaceSet) -> tuple[int, int, int]:
    found = (faces.path / "faces.parquet").stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _outlines(points: Array) -> list[list[list[float]]]:
    return [_rounded(points[part]) for part in _DRAWN]


def _rounded(points: Array) -> list[list[float]]:
    return [[round(x, 2), round(y, 2)] for x, y in points.tolist()]


def _faces_text(count: int) -> str:
    return "1 face" if count == 1 else f"{count} faces"
