"""The learning rate that suits a model and its faces, by a range test.

A model that is thrown away learns while its rate rises step by step from one far too low to one far too high. Method:
Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..curate.faceset import FaceSet
from ..device import Device
from ..events import Event, Progress
from ..recipes import TrainRecipe
from . import data
from .checkpoint import State
from .learner import Learner
from .losses import FaceLoss
from .model import SIDES
from .safety import in_smaller_parts
from .together import out_of_memory

CHART = "learning-rate.png"
_STEPS, _LOWEST, _HIGHEST = 100, 1e-6, 0.1
_FACES = 600
"""of each side; the steps of a usual batch show 1600"""
_SMOOTH = 9
"""over how many steps the loss is averaged: a batch's own is a tenth higher or lower by chance"""
_APART = 1.5
"""times the lowest loss: by then it came apart. Answers lie in 0..1, so the loss cannot grow much further."""
_LEARNED = 0.95
"""times the first loss: if it never fell lower, nothing was learned at any rate"""
_SOUND = 1.1
"""times the lowest loss: above, it has begun to come apart"""
_PART = 0.5
"""of the highest sound rate; benchmarks/training.md says what else was tried"""


def find(
    sets: dict[str, FaceSet],
    recipe: TrainRecipe,
    device: Device,
    stop: Callable[[], bool],
    start: Mapping[str, Tensor] | None = None,
) -> Generator[Event, None, NDArray[np.float64] | None]:
    """The range test of a new model: (n, 2) rates and losses up to where it came apart, or None where `stop()` answered
    True. It begins with the weights of `start`, as training does. Nothing is written, and no chance of the training
    after it is touched: that seeds itself.

    Raises FaceError and MachineError as training does.
    """
    place = torch.device(device.name)
    torch.set_num_threads(device.threads)
    faces = data.load_both(sets, recipe, _FACES)
    learner, state = Learner.new(recipe, place, faces, data.irises(sets["b"]), start), State()
    learned = {side: faces[side][data.split(faces[side].source)[0]] for side in SIDES}
    feeds = data.feeds(learned, learner.network, recipe, place)
    loss_of = FaceLoss(recipe.size_px, recipe.losses == "l1+ssim", place)
    mixed, count = recipe.mixed_precision and device.precision == "bf16", recipe.batch_at(0)
    curve: list[tuple[float, float]] = []
    while len(curve) < _STEPS and not _apart(curve):
        if stop():
            return None
        yield Progress("finding the learning rate", len(curve), _STEPS, "steps")
        rate = _LOWEST * (_HIGHEST / _LOWEST) ** (len(curve) / (_STEPS - 1))
        try:
            loss = learner.step(feeds, loss_of, count, max(recipe.accumulate, state.parts), rate, mixed)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            yield in_smaller_parts(state, recipe, count, 1, error)
            continue
        curve.append((rate, float(loss)))
    yield Progress("finding the learning rate", _STEPS, _STEPS, "steps")
    return np.array([point for point in curve if math.isfinite(point[1])]).reshape(-1, 2)


def _apart(curve: list[tuple[float, float]]) -> bool:
    if not curve:
        return False
    losses = np.array([loss for _, loss in curve])
    if not math.isfinite(losses[-1]):
        return True
    return bool(losses[-_SMOOTH:].mean() > _APART * smoothed(losses).min())


def smoothed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) `losses` averaged over nine steps around each, or as many as there are."""
    window = np.ones(_SMOOTH)
    total = np.convolve(losses, window)[_SMOOTH // 2 :][: len(losses)]
    counted = np.convolve(np.ones(len(losses)), window)[_SMOOTH // 2 :][: len(losses)]
    return total / counted


def proposed(curve: NDArray[np.float64]) -> float | None:
    """The rate to train with, to two digits, from what `find` returned: half of the highest at which the smoothed loss
    was still near its lowest. None where nothing was learned at any rate.

    Where it was lowest says less: over a wide range it hardly differs, the more so in a model that begins with weights
    that know faces.
    """
    if not len(curve):
        return None
    losses = smoothed(curve[:, 1])
    if losses.min() > _LEARNED * losses[0]:
        return None
    highest = curve[losses <= _SOUND * losses.min(), 0].max()
    return float(f"{_PART * highest:.1e}")
