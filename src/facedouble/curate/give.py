"""Faces that are another person's after all, given to that person's set: out of one, into the other, or neither.

FACES/.giving.json   a journal in the giver's folder, there only while faces are given: to whom, and of which frames
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConsentError, FaceError, InputError
from ..faces import Faces
from ..find.identity import mean_embedding
from ..project import output_errors, save_json
from ..provenance import consent
from . import change
from .faceset import FaceSet, crop_name, plain_name
from .origin import source_of
from .quality import Looks
from .subset import link

JOURNAL = ".giving.json"
_COLUMNS = ("faces", "source", "pts", "sharpness", "transform")


def check(faces: FaceSet, rows: Sequence[int], to: FaceSet) -> None:
    """Raise where `rows` of a set may not be given to another.

    InputError where that is no set of another person, or not made of the same clip in the same way (then a face's
    alignment and track mean the same in both); FaceError where it has a face in those frames, or nobody would be left
    that is known; ConsentError where the other person's record does not hold, or is bound to another face.
    """
    consent.check(to.consent, dt.date.today())
    if to.person == faces.person or to.consent.id == faces.consent.id:
        raise InputError(f"{to.path}: is {to.person}'s too. Give the set of another person, with a record of its own.")
    if {source_of(faces, row).sha256 for row in rows} - {source.sha256 for source in to.sources}:
        raise InputError(f"{to.path}: its faces are of other footage. Give the other person's set of the same clip.")
    if to.recipe != faces.recipe:
        raise InputError(f"{to.path}: was extracted with other settings. Extract it again with those of {faces.path}.")
    there = sorted(frame for _, frame in keys(faces, rows) & keys(to, range(len(to))))
    if there:
        raise FaceError(
            f"{to.path}: has a face of {to.person} in {len(there)} of these frames already, the first {there[0]}. "
            "Leave those out, or drop them."
        )
    known = ~np.isnan(faces.faces.embedding[:, 0])
    given = known[list(rows)]
    if known.sum() == given.sum():
        raise FaceError(f"{faces.path}: without these no face would be left by which {faces.person} is known.")
    if to.consent.likeness and not given.any():
        raise ConsentError(
            f"{to.path}: the record of {to.person} is bound to a face, and of none of these the identity was measured. "
            "Select more of their track."
        )
    if to.consent.likeness:
        embedding = mean_embedding(faces.faces.embedding[list(rows)])
        consent.check_likeness(to.consent, embedding, f"these {len(rows)} faces")


def give(faces: FaceSet, rows: Sequence[int], to: FaceSet) -> None:
    """Move `rows`, with their pictures, out of a set into another that `check` found fit. Both folders hold it then;
    the two objects are of before.

    Raises FaceError where a row has not one picture, or its name is taken there; OutputError. After an error or a kill
    before the other set has them nothing has happened; after it, `recover` does the rest.
    """
    for folder in (faces.path, to.path):
        if (folder / JOURNAL).exists():
            raise FaceError(f"{folder}: an earlier giving was cut short. End this, and start it again: that mends it.")
    names = faces.picture_names()
    for row in rows:
        if len(found := names.get(row, [])) != 1:
            raise FaceError(f"{faces.path}: {faces.crop[row] or f'row {row}'} has {len(found)} pictures, expected one.")
    part = _renamed(_rows(faces, np.array(rows, np.int64)), to)
    for name in part.crop:
        if (to.path / "crops" / name).exists():
            raise FaceError(f"{to.path}: has a picture {name} that is in no table. Look at it, and delete it.")
    both = _joined(to, part)
    order = np.lexsort((both.faces.frame, both.source))
    looks = Looks.join([Looks.load(to), Looks.load(faces)[np.array(rows, np.int64)]])
    save_json(faces.path / JOURNAL, {"to": str(to.path.resolve()), "faces": sorted(keys(faces, rows))})
    try:
        with change.changing(to.path) as work:
            for row, name in zip(rows, part.crop, strict=True):
                link(faces.path / "crops" / names[row][0], work / "crops" / name)
            change.write_table(_rows(both, order), looks[order], work)
    finally:
        recover(faces.path)


def recover(folder: Path) -> bool:
    """Bring what was begun with the set in `folder` to its end: a change of its table, and the giving of faces, where
    the other set has them; whether there was anything. Raises FaceError where the other set is not to be found."""
    begun = change.recover(folder)
    journal = folder / JOURNAL
    if not journal.is_file():
        return begun
    receiver, given = _read(journal)
    change.recover(receiver)
    try:
        to = FaceSet.load(receiver)
    except FaceError as error:
        raise FaceError(f"{folder}: its faces were being given to {receiver}. Put that set back there.") from error
    if given <= keys(to, range(len(to))):
        faces = FaceSet.load(folder)
        stay = np.array([row for row in range(len(faces)) if not keys(faces, [row]) <= given], np.int64)
        if len(stay) < len(faces):
            looks = Looks.load(faces)[stay]
            with change.changing(folder) as work:
                change.write_table(_rows(faces, stay), looks, work)
        # The other set has them by now, and no row of this one means them.
        number = {source.sha256: number for number, source in enumerate(faces.sources)}
        taken = {crop_name(number[sha256], frame) for sha256, frame in given if sha256 in number}
        with output_errors(folder):
            for file in (folder / "crops").glob("*.png"):
                if plain_name(file.name) in taken and not file.name.startswith("."):
                    file.unlink()
    journal.unlink()
    return True


def _read(journal: Path) -> tuple[Path, set[tuple[str, int]]]:
    try:
        told = json.loads(journal.read_text())
        receiver, given = Path(told["to"]), {(str(sha256), int(frame)) for sha256, frame in told["faces"]}
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise FaceError(f"{journal}: not a list of given faces by this program. Look at it, and delete it.") from error
    if not given:
        raise FaceError(f"{journal}: names no faces. Look at it, and delete it.")
    return receiver, given


def keys(faces: FaceSet, rows: Iterable[int]) -> set[tuple[str, int]]:
    """Which face is which in any set: the hash of its footage, and the frame."""
    return {(source_of(faces, row).sha256, int(faces.faces.frame[row])) for row in rows}


def _renamed(part: FaceSet, to: FaceSet) -> FaceSet:
    """With the numbers that the other set gives the footage, the crops named after them, and the tracks where there are
    several clips: those are numbered through each set."""
    place = {source.sha256: number for number, source in enumerate(to.sources)}
    source = np.array([place[source_of(part, row).sha256] for row in range(len(part))], np.int64)
    crop = [crop_name(number, frame) for number, frame in zip(source.tolist(), part.faces.frame.tolist(), strict=True)]
    track = part.faces.track
    if len(part.sources) > 1 or len(to.sources) > 1:
        track = np.unique(track, return_inverse=True)[1] + to.faces.track.max(initial=-1) + 1
    return replace(part, source=source, crop=crop, faces=replace(part.faces, track=track))


def _rows(faces: FaceSet, rows: NDArray[np.int64]) -> FaceSet:
    """A part of the table, or another order of it."""
    columns: dict[str, Any] = {name: getattr(faces, name)[rows] for name in _COLUMNS}
    return replace(faces, crop=[faces.crop[row] for row in rows], **columns)


def _joined(first: FaceSet, second: FaceSet) -> FaceSet:
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in _COLUMNS[1:]
    }
    return replace(first, faces=Faces.join([first.faces, second.faces]), crop=[*first.crop, *second.crop], **columns)
