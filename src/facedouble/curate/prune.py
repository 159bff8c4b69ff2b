"""Which faces a set is better without, for which reason, and a picture of them to look at first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..find.person import same_in_clip
from ..footage import spread
from .aside import WRONG_PERSON
from .faceset import FaceSet
from .quality import MEASURES, Quality
from .sheet import Section
from .similar import DUPLICATE, leaders

_SHOWN = 36
_GROUPS_SHOWN = 12


@dataclass(frozen=True)
class Reason:
    measure: str
    """of quality.MEASURES; "" where faces are compared with each other"""
    below: bool
    """whether faces under the limit go, or those over it"""
    limit: float | None
    """by default; None is a quarter of the set's median"""
    usual: bool
    """whether it is looked for where no reason is named"""
    text: str


# In this order: a face goes for the first that holds, and duplicates are sought among those that stay.
REASONS = {
    # Of two real and two rendered people own faces lie within 0.43 of their set's middle, and others beyond 0.5 in all
    # samples but one.
    WRONG_PERSON: Reason("away", False, same_in_clip(), True, "identity further than this from the set's middle"),
    "cut-off": Reason("inside", True, 0.9, True, "less than this share of the face inside the footage"),
    "tiny": Reason("size", True, 48, True, "face square narrower than this many px in the footage"),
    "blurred": Reason("sharpness", True, None, True, "sharpness under this"),
    # Not by default: a model that never saw a blink cannot make one.
    "closed-eyes": Reason("eyes-closed", False, 0.6, False, "both eyes more closed than this, of 1"),
    "duplicates": Reason("", False, DUPLICATE, True, "pictures less unlike than this, in parts of their contrast"),
}


@dataclass(frozen=True, eq=False)
class Doomed:
    """Faces that would go for one reason, the clearest cases first."""

    limit: float
    rows: NDArray[np.int64]
    values: NDArray[np.float32]
    kept: NDArray[np.int64]
    """of each, for duplicates: the row that stays in its place"""


def choose(quality: Quality, limits: Mapping[str, float | None]) -> dict[str, Doomed]:
    """Reason -> who would go. `limits` holds the reasons to look for, in any order; None is a reason's own limit.

    A measure that is not known (NaN) dooms nobody.
    """
    staying = quality.rows()
    found: dict[str, Doomed] = {}
    for name, reason in REASONS.items():
        if name not in limits:
            continue
        limit = limits[name] if limits[name] is not None else reason.limit
        if reason.measure:
            values = quality.column(reason.measure)[staying]
            if limit is None:
                known = values[~np.isnan(values)]
                limit = float(np.median(known)) / 4 if len(known) else 0.0
            places = np.flatnonzero(values < limit if reason.below else values > limit)
            places = places[np.argsort(values[places] if reason.below else -values[places], kind="stable")]
            kept = staying[:0]
        else:
            assert limit is not None
            leader, values = leaders(quality.fingerprint[staying], quality.sharpness[staying], limit)
            places = np.flatnonzero(leader != np.arange(len(staying)))
            places = places[np.lexsort((values[places], leader[places]))]
            kept = staying[leader[places]]
        found[name] = Doomed(float(limit), staying[places], values[places], kept)
        staying = np.delete(staying, places)
    return found


def sections(faces: FaceSet, found: Mapping[str, Doomed]) -> list[Section]:
    """For a contact sheet: some of the faces of each reason, from the clearest to those on the line, with values;
    duplicates beside the face that stays."""
    return [_section(faces, name, doomed) for name, doomed in found.items() if len(doomed.rows)]


def _section(faces: FaceSet, name: str, doomed: Doomed) -> Section:
    reason = REASONS[name]
    title = f"{name}: {len(doomed.rows)} faces, {reason.text}: {doomed.limit:.4g}"
    if reason.measure:
        places: Sequence[int] = spread(len(doomed.rows), _SHOWN).tolist()
        measure = MEASURES[reason.measure]
        rows = [int(doomed.rows[place]) for place in places]
        captions = [
            f"{_plain(faces, row)} {measure.form.format(doomed.values[place])}"
            for place, row in zip(places, rows, strict=True)
        ]
        return Section(title, rows, captions)
    shown = list(_groups(faces, doomed))
    return Section(f"{title}; framed: these stay", *(list(column) for column in zip(*shown, strict=True)))


def _groups(faces: FaceSet, doomed: Doomed) -> Iterator[tuple[int, str, bool]]:
    """Row, caption and whether it stays, of groups spread over all: the one that stays, and the least like it."""
    stays = np.unique(doomed.kept)
    for lead in stays[spread(len(stays), _GROUPS_SHOWN)]:
        places = np.flatnonzero(doomed.kept == lead)
        yield int(lead), f"{_plain(faces, int(lead))} stays", True
        for place in places[np.argsort(-doomed.values[places], kind="stable")][:2]:
            row = int(doomed.rows[place])
            yield row, f"{_plain(faces, row)} {doomed.values[place]:.3f}", False


def _plain(faces: FaceSet, row: int) -> str:
    return faces.crop[row].removesuffix(".png")
