"""What training would take on this machine, by a few seconds of it."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

import psutil
import torch

from .. import device as machine
from ..curate.faceset import FaceSet
from ..curate.subset import subset
from ..device import GB, Device
from ..errors import MachineError
from ..events import Event, Note, Progress
from ..footage import spread
from ..learn.data import fit_beside, usable_rows
from ..learn.memory import face_bytes, step_bytes
from ..learn.model import SIDES
from ..learn.train import train
from ..presets import USUAL_STEPS
from ..recipes import TrainRecipe, Until

_PROBED_FACES = 600
_WARM_S, _PROBE_S, _LEAST_STEPS = 3.0, 12.0, 3
_FREE = 0.8
"""the part of the memory that training may take: other programs want some, and what is counted is not exact"""
_DRIVER_BYTES = int(0.5 * GB)


@dataclass(frozen=True)
class Plan:
    recipe: TrainRecipe
    """with what was chosen to fit the machine"""
    steps: int
    steps_per_s: float
    """with scores, previews and checkpoints"""
    minutes: float
    memory_bytes: int
    """at most in use: the program's RAM on a CPU, the GPU's own memory elsewhere"""
    available_bytes: int

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "recipe": self.recipe.as_dict()}


def plan(
    sets: dict[str, FaceSet], recipe: TrainRecipe, steps: int | None, device: Device
) -> Generator[Event, None, Plan]:
    """Fit `recipe` to the machine, train for some seconds in a folder that is thrown away, and foretell `steps` of it,
    or as many as the preset usually takes.

    Raises MachineError where not even single faces fit, FaceError as training does.
    """
    available = _available(device)
    recipe = yield from _fitted(recipe, device, sets, available)
    with tempfile.TemporaryDirectory(prefix="facedouble-plan-") as folder:
        few = {side: _few(sets[side], recipe, Path(folder) / side) for side in SIDES}
        step_s, looks_s = yield from _probe(few, recipe, device, Path(folder) / "model")
        missing = _faces_bytes(sets, recipe, device) - _faces_bytes(few, recipe, device)  # only some were loaded
    # Each look is a score and a preview; they count as training too.
    rate = 1 / step_s * max(0.0, 1 - looks_s / (recipe.score_every_s + looks_s))
    steps = steps or USUAL_STEPS[recipe.preset]
    return Plan(recipe, steps, rate, steps / rate / 60, _peak(device) + missing, available)


def _faces_bytes(sets: dict[str, FaceSet], recipe: TrainRecipe, device: Device) -> int:
    """What the faces take of the memory that is planned: a CPU's RAM, or a GPU's own where they are held there."""
    counts = {side: len(usable_rows(sets[side], recipe)) for side in SIDES}
    count = sum(face_bytes(recipe, sets[side].recipe.coverage, counts[side]) for side in SIDES)
    return count if device.name != "cuda" or fit_beside(count, torch.device(device.name)) else 0


def _available(device: Device) -> int:
    if device.name == "cuda":
        return int(device.memory_bytes * _FREE) - _DRIVER_BYTES
    return int(min(device.memory_bytes, psutil.virtual_memory().available) * _FREE)


def _fitted(
    recipe: TrainRecipe, device: Device, sets: dict[str, FaceSet], available: int
) -> Generator[Note, None, TrainRecipe]:
    """The recipe with its batch in as many parts as it takes."""
    fixed, each = step_bytes(recipe, device.precision)
    fixed += _faces_bytes(sets, recipe, device)
    largest = max(count for _, count in recipe.batches)
    fits = (available - fixed) // max(each, 1)
    if fits < 1:
        raise MachineError(
            f"{recipe.preset}: needs about {(fixed + each) / GB:.1f} GB with a single face in memory, and "
            f"{max(available, 0) / GB:.1f} GB can be used here. Choose a smaller --preset, --size or --widths."
        )
    parts = recipe.accumulate
    while math.ceil(largest / parts) > fits:
        parts *= 2
    if parts > recipe.accumulate:
        yield Note(f"a batch of {largest} is too much for {available / GB:.1f} GB: it is computed in {parts} parts")
    return replace(recipe, accumulate=parts)


def _few(faces: FaceSet, recipe: TrainRecipe, folder: Path) -> FaceSet:
    rows = usable_rows(faces, recipe)
    if len(rows) <= _PROBED_FACES:
        return faces
    subset(faces, rows[spread(len(rows), _PROBED_FACES)].tolist(), folder)
    return FaceSet.load(folder)


def _probe(
    sets: dict[str, FaceSet], recipe: TrainRecipe, device: Device, model: Path
) -> Generator[Event, None, tuple[float, float]]:
    """Seconds a step takes, and a score with preview."""
    quiet = replace(recipe, score_every_s=1e9, save_every_s=1e9)
    begun, first, last = math.inf, (0.0, 0.0), (0.0, 0.0)
    enough = Flag()
    for event in train(model, sets, quiet, Until(), device, enough.is_set):
        if isinstance(event, Note) and event.warning:
            yield event
        if isinstance(event, Progress):
            last = time.monotonic(), event.done
            begun = min(begun, last[0])
            if last[0] - begun < _WARM_S or not first[1]:  # the first steps choose how to compute
                first = last
            if last[0] - first[0] >= _PROBE_S and last[1] - first[1] >= _LEAST_STEPS:
                enough.set()
            yield Progress("probing", min(last[0] - begun, _WARM_S + _PROBE_S), _WARM_S + _PROBE_S, "s")
    step_s = (last[0] - first[0]) / (last[1] - first[1])
    return step_s, time.monotonic() - last[0]


def _peak(device: Device) -> int:
    if device.name == "cuda":
        return int(torch.cuda.max_memory_reserved()) + _DRIVER_BYTES
    return machine.peak_bytes()
