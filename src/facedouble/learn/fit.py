"""Underfitting and overfitting, from how well faces it learned from and faces it never saw are rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..curate.quality import fingerprint
from ..curate.similar import DUPLICATE, leaders
from .data import Canvases
from .forecast import Forecast
from .model import SIDES

_FEW = 100
"""distinct faces, under which curate.match warns that they are learned by heart"""
_SURE_DB = 0.25
"""3% of the error; from scoring to scoring the score of a settled training moves by a fifth of that by chance"""
_HEART_DB = 6.0
"""the error on faces it never saw is twice that on faces it learned from"""
_ALIKE_DB = 1.0
"""the error on both is alike within a tenth"""
_LITTLE_DB = 6.0
"""half of what tells faces from their mean is not rebuilt"""
_LEAST_SCORES = 4


@dataclass(frozen=True)
class Finding:
    kind: str
    """underfitting or overfitting"""
    side: str
    text: str


def distinct(faces: Canvases) -> int:
    """How many of the faces are no near-duplicates of others."""
    coverage = faces.pixels.shape[-1] / faces.square_px
    prints = np.stack([fingerprint(face[:3].permute(1, 2, 0).contiguous().numpy(), coverage) for face in faces.pixels])
    return len(np.unique(leaders(prints, np.zeros(len(prints), np.float32), DUPLICATE)[0]))


def findings(
    history: Sequence[Mapping[str, float]], outlook: Forecast | None, variety: Mapping[str, int]
) -> list[Finding]:
    """What is amiss by now, and what to do. `variety`: side -> how many distinct faces it learns from.

    Overfitting: the faces it never saw are rebuilt worse than before while those it knows gain, or twice as badly as
    those and no better for the last third of the steps. Underfitting: both are rebuilt alike, badly, and going on does
    not help.
    """
    known = [entry for entry in history if "seen_a" in entry]  # models of earlier versions did not look at both
    if len(known) < _LEAST_SCORES:
        return []
    found = []
    for side in SIDES:
        held, seen = (np.array([entry[f"{name}{side}"] for entry in known]) for name in ("", "seen_"))
        steps = np.array([entry["step"] for entry in known])
        best = int(held.argmax())
        falls = len(held) - 1 - best >= 2 and held[-1] < held[best] - _SURE_DB and seen[-1] > seen[best]
        late = steps >= 2 / 3 * steps[-1]
        stays = late.sum() >= _LEAST_SCORES and held[late][-1] < held[late][0] + _SURE_DB / 2
        if falls or (stays and seen[-1] - held[-1] >= _HEART_DB):
            found.append(Finding("overfitting", side, _overfitting(side, held, seen, variety[side])))
        elif (
            outlook is not None
            and outlook.over
            and seen[-1] - held[-1] < _ALIKE_DB
            and seen[-1] - known[-1][f"floor_{side}"] < _LITTLE_DB
        ):
            found.append(Finding("underfitting", side, _underfitting(side, seen[-1] - known[-1][f"floor_{side}"])))
    return found


def _overfitting(side: str, held: NDArray[np.float64], seen: NDArray[np.float64], variety: int) -> str:
    person = side.upper()
    text = (
        f"overfitting: {person}'s faces are learned by heart. Those it learned from are rebuilt at {seen[-1]:.1f} dB, "
        f"others at {held[-1]:.1f} dB, and at {held.max():.1f} dB at best. "
    )
    if variety < _FEW:
        return text + f"Only {variety} of them are distinct: add more varied footage of {person}, or stop here."
    return text + "Stop here, add footage, or train a new model of a smaller preset or lower --widths."


def _underfitting(side: str, above_db: float) -> str:
    return (
        f"underfitting: even {side.upper()}'s faces that it learned from are rebuilt only {above_db:.1f} dB better "
        "than a mean face, and going on does not help: the set is too varied for this network. Leave out odd lights "
        "and angles (faces prune, faces split), or train a new model of a larger preset or higher --widths."
    )
