"""Who was kept and who was dropped: a sheet to look at and a record of the people found in the clips of a face set.

FACES/people.png   one row a person: a few of their faces, the ones most and least like the kept person at either end;
                   and a row of those who were seen too shortly to be identified
FACES/people.json  the same in figures
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..faces import Faces
from ..find.crop import aligned
from ..find.finder import to_8_bit
from ..find.identity import distance
from ..find.person import Person, same_in_clip
from ..find.person import people as people_of
from ..footage import Clip, spread
from ..media.reader import frames_at
from ..project import atomic_file, save_json

SHEET, RECORD = "people.png", "people.json"
_MOST_ROWS = 12
_SHOWN = 6
_FACE_PX, _TEXT_PX, _LINE_PX = 96, 250, 20
_INK, _KEPT, _DROPPED = (20, 20, 20), (23, 107, 44), (150, 30, 30)


@dataclass(frozen=True, eq=False)
class Roll:
    """The people of one clip."""

    record: dict[str, Any]
    """what people.json says of the clip"""
    pictures: list[list[NDArray[np.uint8]]]
    """of each person in the record: a few faces (96, 96, 3)"""
    unnamed: list[NDArray[np.uint8]]
    """one of each of the longest tracks that were never identified"""


def seen_in(
    clip: Clip, found: Faces, person: Person | None, wanted: NDArray[np.float32] | None, why: str, same_person: float
) -> Roll:
    """The people among all `found` faces, the kept `person` first, then by number of faces; `why` says the choice.

    Distances are of mean descriptors, to the kept person (None: nobody was kept; then to `wanted`, if that is known).
    """
    centre = person.embedding if person is not None else wanted
    known = sorted(people_of(found, same_person), key=lambda one: person is None or one.tracks != person.tracks)
    chosen = [_examples(found, one, centre) for one in known[:_MOST_ROWS]]
    named = np.isin(found.track, [number for one in known for number in one.tracks])
    unnamed = _unnamed(found, np.flatnonzero(~named))
    shown = [row for rows in (*chosen, unnamed) for row in rows]
    seen: dict[int, NDArray[np.uint8]] = {}
    for frame in frames_at(clip, sorted({int(found.frame[row]) for row in shown})):
        pixels = to_8_bit(frame.pixels)
        for row in (row for row in shown if found.frame[row] == frame.index):
            seen[row] = aligned(pixels, found.points[row], _FACE_PX, 2.0)[0]
    record = {
        "clip": str(clip.path.resolve()),
        "sha256": clip.sha256,
        "choice": why,
        "people": [_described(found, one, person is not None and one.tracks == person.tracks, centre) for one in known],
        "never_identified": {"faces": int((~named).sum()), "tracks": len(np.unique(found.track[~named]))},
    }
    return Roll(record, [[seen[row] for row in rows] for rows in chosen], [seen[row] for row in unnamed])


def _examples(found: Faces, one: Person, centre: NDArray[np.float32] | None) -> list[int]:
    """A few of a person's rows whose identity was measured, from the nearest to the centre to the farthest."""
    rows = _measured(found, one)
    away = distance(found.embedding[rows], one.embedding if centre is None else centre)
    rows = rows[np.argsort(away, kind="stable")]
    return [int(row) for row in rows[spread(len(rows), _SHOWN)]]


def _unnamed(found: Faces, rows: NDArray[np.int64]) -> list[int]:
    """Of `rows` one of each track, of the longest tracks."""
    _, first, counts = np.unique(found.track[rows], return_index=True, return_counts=True)
    return [int(row) for row in rows[first[np.argsort(-counts, kind="stable")]][:_SHOWN]]


def _measured(found: Faces, one: Person) -> NDArray[np.int64]:
    return np.nonzero(np.isin(found.track, one.tracks) & ~np.isnan(found.embedding[:, 0]))[0]


def _described(found: Faces, one: Person, kept: bool, centre: NDArray[np.float32] | None) -> dict[str, Any]:
    frames = found.frame[np.isin(found.track, one.tracks)]
    away = distance(found.embedding[_measured(found, one)], one.embedding if centre is None else centre)
    return {
        "kept": kept,
        "faces": one.faces,
        "tracks": len(one.tracks),
        "first_frame": int(frames.min()),
        "last_frame": int(frames.max()),
        "distance": None if centre is None else round(float(distance(one.embedding, centre)[0]), 3),
        "nearest_face": round(float(away.min()), 3),
        "farthest_face": round(float(away.max()), 3),
        "faces_measured": len(away),
    }


def write(folder: Path, rolls: Sequence[Roll], same_person: float) -> None:
    """Write people.png and people.json into `folder`. Raises OutputError."""
    record = {"same_person": same_person, "same_person_in_clip": same_in_clip(same_person)}
    save_json(folder / RECORD, {**record, "clips": [roll.record for roll in rolls]})
    with atomic_file(folder / SHEET) as temporary:
        _sheet(rolls, same_person).save(temporary)


def _sheet(rolls: Sequence[Roll], same_person: float) -> Any:
    """A PIL picture."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(13)
    rows = sum(max(1, len(roll.pictures) + bool(roll.unnamed)) for roll in rolls)
    size = (_TEXT_PX + _SHOWN * (_FACE_PX + 4), (2 * len(rolls) + 1) * _LINE_PX + rows * (_FACE_PX + 4))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    lines = f"same person under {same_person:.2f}, within a clip under {same_in_clip(same_person):.2f}"
    draw.text((6, 3), f"distances of mean identities; {lines}", _INK, font)
    top = _LINE_PX
    for roll in rolls:
        draw.line((0, top, size[0], top), _INK)
        draw.text((6, top + 3), roll.record["choice"].replace("\n", " "), _INK, font)
        shown, others = len(roll.pictures), roll.record["people"][len(roll.pictures) :]
        more = f", and {len(others)} more who are not shown" if others else ""
        draw.text((6, top + _LINE_PX), f"{shown} people{more}", _INK, font)
        top += 2 * _LINE_PX
        texts = [(said["kept"], _in_words(said)) for said in roll.record["people"][:shown]]
        unnamed = roll.record["never_identified"]
        about = [f"{unnamed['faces']} faces in {unnamed['tracks']} tracks", "seen too shortly to be", "identified"]
        for (kept, words), pictures in zip([*texts, (False, about)], [*roll.pictures, roll.unnamed], strict=True):
            if not pictures:
                continue
            colour = _KEPT if kept else _DROPPED
            draw.rectangle((0, top, 4, top + _FACE_PX), colour)
            draw.text((12, top + 4), "kept" if kept else "dropped", colour, font)
            for number, line in enumerate(words, 1):
                draw.text((12, top + 4 + number * _LINE_PX), line, _INK, font)
            for number, picture in enumerate(pictures):
                sheet.paste(Image.fromarray(picture), (_TEXT_PX + number * (_FACE_PX + 4), top))
            top += _FACE_PX + 4
    return sheet


def _in_words(said: dict[str, Any]) -> list[str]:
    away = "" if said["distance"] is None else f"distance {said['distance']:.2f}"
    return [
        f"{said['faces']} faces in {said['tracks']} tracks",
        f"frames {said['first_frame']} to {said['last_frame']}",
        f"{away} (faces {said['nearest_face']:.2f} to {said['farthest_face']:.2f})".strip(),
    ]
