"""Several face sets of one person into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import ConsentError, FaceError
from ..faces import SAME_PERSON, Faces
from ..find.identity import apart
from ..project import atomic_folder
from .faceset import FaceSet, Source, crop_name
from .quality import Looks
from .subset import link, refuse_existing


def merge(sets: Sequence[FaceSet], out: Path, same_person: float = SAME_PERSON) -> FaceSet:
    """A new face set at `out` of all faces of `sets`; a frame of a source that several of them have is taken once.

    Of such a frame the row whose picture is still there is taken, of the first set that has it. Pictures are
    hard-linked where the file system can, else copied. The recipe is the first set's; tracks are numbered anew.

    Raises ConsentError where the sets were made under different records; FaceError where a set's mean descriptor is
    `same_person` or more from the first's, or where crops differ in size or coverage; InputError where `out` exists;
    OutputError where it cannot be written.
    """
    refuse_existing(out)
    for one in sets[1:]:
        _check_alike(sets[0], one, same_person)
    sources = _sources(sets)
    place = {sha256: number for number, sha256 in enumerate(sources)}
    source = np.concatenate([np.array([place[s.sha256] for s in one.sources])[one.source] for one in sets])
    frame = np.concatenate([one.faces.frame for one in sets])
    starts = np.cumsum([0, *map(len, sets)]).tolist()
    files = {
        start + row: one.path / "crops" / name
        for start, one in zip(starts, sets, strict=False)
        for row, name in one.pictures().items()
    }
    gone = ~np.isin(np.arange(len(frame)), [*files])
    order = np.lexsort((gone, frame, source))
    rows = order[np.diff(source[order], prepend=-1).astype(bool) | np.diff(frame[order], prepend=-1).astype(bool)]
    names = [name for one in sets for name in one.crop]
    crop = [crop_name(int(source[row]), int(frame[row])) if names[row] else "" for row in rows]
    merged = FaceSet(
        path=out,
        person=sets[0].person,
        consent=sets[0].consent,
        sources=tuple(sources.values()),
        recipe=sets[0].recipe,
        faces=Faces.join_clips([one.faces for one in sets])[rows],
        source=source[rows],
        pts=np.concatenate([one.pts for one in sets])[rows],
        sharpness=np.concatenate([one.sharpness for one in sets])[rows],
        transform=np.concatenate([one.transform for one in sets])[rows],
        crop=crop,
    )
    with atomic_folder(out) as work:
        (work / "crops").mkdir()
        for name, row in zip(crop, rows.tolist(), strict=True):
            if row in files:
                link(files[row], work / "crops" / name)
        written = replace(merged, path=work)
        written.save()
        Looks.join([Looks.load(one) for one in sets])[rows].save(written)
    return merged


def _check_alike(first: FaceSet, other: FaceSet, same_person: float) -> None:
    if first.consent.id != other.consent.id:
        raise ConsentError(
            f"{other.path}: made under consent {other.consent.id} of {other.person}, {first.path} under "
            f"{first.consent.id} of {first.person}. A face set has one record: extract both under the same one."
        )
    away = apart(first.faces.embedding, other.faces.embedding)
    if not away < same_person:
        raise FaceError(
            f"{other.path}: not the person of {first.path} (identity distance {away:.2f}, same person under "
            f"{same_person:.2f}). Look at both; if it is the same person all the same, raise --same-person."
        )
    shapes = [f"{one.recipe.size_px} px, coverage {one.recipe.coverage:g}" for one in (first, other)]
    if shapes[0] != shapes[1]:
        raise FaceError(
            f"{other.path}: its crops are {shapes[1]}, those of {first.path} {shapes[0]}. Extract one of them again "
            "with the other's --crop-size and --coverage."
        )


def _sources(sets: Sequence[FaceSet]) -> dict[str, Source]:
    """All sources by their hash, in the order in which they come."""
    found: dict[str, Source] = {}
    for source in (source for one in sets for source in one.sources):
        known = found.setdefault(source.sha256, source)
        if (known.frames, known.size) != (source.frames, source.size):
            raise FaceError(f"{source.path}: the sets contradict each other on this footage. Extract them again.")
        found[source.sha256] = replace(known, complete=known.complete or source.complete)
    return found
