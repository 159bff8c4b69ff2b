"""Are two face sets a good pair?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator
from pathlib import Path

from ..curate import match_report, quality
from ..curate.appearance import MOST_FACES, look_at, sampled_rows
from ..curate.compare import Comparison
from ..curate.compare import Side as Seen
from ..curate.faceset import FaceSet
from ..curate.match import Match, judge_pair
from ..errors import FaceError
from ..events import Event, Finished, Note, Progress
from ..learn.model import SIDES
from ..project import output_errors
from ..provenance import consent
from ..recipes import TrainRecipe

_AT_A_GLANCE = 300
"""faces a side looked at before training"""


def match(sets: dict[str, FaceSet], folder: Path, recipe: TrainRecipe, workers: int) -> Generator[Event, None, Match]:
    """Say whether two face sets are a good pair, and write report.html, report.json and pictures/ into `folder`.

    At most 2000 faces a side are looked at, spread evenly over the set. Raises FaceError where a set has no crops.
    """
    answer, page = yield from _looked_at(sets, folder, recipe, workers, MOST_FACES)
    yield Finished(page, "report")
    return answer


def _looked_at(
    sets: dict[str, FaceSet], folder: Path, recipe: TrainRecipe, workers: int, most: int
) -> Generator[Progress | Note, None, tuple[Match, Path]]:
    sides = []
    for side in SIDES:
        consent.check(sets[side].consent, dt.date.today())
        rows = sampled_rows(sets[side], most)
        if not len(rows):
            raise FaceError(f"{sets[side].path}: no crops left in it. Extract it again.")
        measured = yield from quality.measure(sets[side], workers)
        sides.append(Seen(sets[side], measured, (yield from look_at(sets[side], rows, recipe, workers))))
    found = Comparison.of(sides[0], sides[1], recipe)
    answer = judge_pair(found)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return answer, match_report.write(folder, answer, found)


def advise(sets: dict[str, FaceSet], folder: Path, recipe: TrainRecipe, workers: int) -> Generator[Event, None, None]:
    """A note on the pair before training, from a glance at it. Whatever happens, training goes on."""
    try:
        answer, page = yield from _looked_at(sets, folder, recipe, workers, _AT_A_GLANCE)
    except Exception as error:  # advice is not worth an hour of somebody's training
        yield Note(f"the pair could not be looked at before training ({error})", warning=True)
        return
    poor = "".join(f"; {one.name}: {one.found} ({one.verdict})" for one in answer.worst[:3])
    yield Note(
        f"this pair: {answer.overall:.0f} of 100, {answer.verdict}{poor}. More: {page}",
        warning=answer.verdict == "bad",
    )
