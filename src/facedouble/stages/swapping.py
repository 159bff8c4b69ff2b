"""All of it, in one resumable folder."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from ..device import Device
from ..events import Event
from ..judge.measure import Measures
from ..learn.model import SIDES
from ..media.reader import probe
from ..provenance.consent import ConsentRecord
from ..recipes import ConvertRecipe, ExtractRecipe, TrainRecipe, Until
from .conversion import convert
from .extraction import extract
from .judging import judge_conversion
from .training import train


@dataclass(frozen=True)
class Side:
    """One person's part of a swap."""

    clip: Path
    consent: ConsentRecord
    example: Path | None = None


def swap(
    sides: dict[str, Side],
    out: Path,
    recipes: tuple[ExtractRecipe, TrainRecipe, ConvertRecipe],
    until: Until,
    device: Device,
    workers: int,
    stop: Callable[[], bool],
    truth: Path | None = None,
    find_rate: bool = False,
) -> Generator[Event, None, Measures | None]:
    """Extract both, train, convert and judge, all in one resumable folder beside the output; `find_rate` as in `train`.
    None where stopped."""
    for side in SIDES:
        probe(sides[side].clip, sizes_may_differ=side == "b")  # both must be fit before hours go into the first
    folder = out.with_name(f"{out.stem}.facedouble")
    sets = {}
    for side in SIDES:
        part = sides[side]
        sets[side] = yield from extract(
            [part.clip], folder / f"faces-{side}", recipes[0], part.consent, part.example, workers
        )
    model = yield from train(sets, folder / "model", recipes[1], until, device, stop, find_rate=find_rate)
    if stop():
        return None
    done = yield from convert(sides["a"].clip, model, out, recipes[2], device, workers)
    return (yield from judge_conversion(done, model, folder, truth, workers))
