"""The training loop, in order: score, save, batch, loss, step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..curate.faceset import FaceSet
from ..device import Device
from ..errors import MachineError, ModelError
from ..events import Event, Metric, Note, Preview, Progress
from ..find.identity import mean_embedding
from ..project import save_png
from ..recipes import TrainRecipe, Until
from . import chart, checkpoint, data
from .fit import Finding, distinct, findings
from .forecast import Forecast, sparkline
from .health import Health, Physician
from .learner import Learner
from .losses import FaceLoss
from .model import SIDES, Network, parameters
from .safety import Diverged, Watch, free_memory, in_smaller_parts
from .score import Judge, Score
from .together import ALONE, Order, Together, out_of_memory

_WARM_UP_STEPS = 50
_SLOWER = 0.5
"""what part of the learning rate is left each time that training came apart"""
CHART = "progress.png"
_HEALTHIER = 0.05
"""of 1; the last two looks at three models differed by 0.01 at most"""
_PREVIEW_FACES = 4
_PROGRESS_EVERY_S = 1.0


def train(
    model: Path,
    sets: dict[str, FaceSet],
    recipe: TrainRecipe,
    until: Until,
    device: Device,
    stop: Callable[[], bool],
    start: Mapping[str, Tensor] | None = None,
    facing: tuple[float, float] | None = None,
    together: Together = ALONE,
) -> Iterator[Event]:
    """Train `model` on the face sets of sides "a" and "b" until `until` or until `stop()` answers True.

    `start` are weights to begin with instead of random ones; `facing` limits the faces, see data.usable_rows.

    Goes on from the newest checkpoint where there is one; `until` counts all training of the model, not of this run.
    Where training comes apart, it goes back to the newest checkpoint and on with half the learning rate; where the
    device's memory is used up, it computes each batch in smaller parts. Of several processes the first one does this,
    and the others `assist`.
    Raises FaceError for unusable sets, ModelError where training comes apart again and again, MachineError where not
    even one face fits the memory, OutputError where a checkpoint cannot be written (the one before stays good).
    """
    place = torch.device(device.name)
    torch.set_num_threads(device.threads)
    faces = data.load_both(sets, recipe, facing=facing)
    anew = partial(Learner.new, recipe, place, faces, data.irises(sets["b"]), start, together)
    learner = anew()
    state = checkpoint.resume(model, learner)
    if state.step:
        yield Note(f"{model.name}: going on from step {state.step}, after {state.seconds / 60:.1f} minutes of training")

    parts = {side: data.split(faces[side].source) for side in SIDES}
    learned = {side: faces[side][parts[side][0]] for side in SIDES}
    held = {side: faces[side][parts[side][1]] for side in SIDES}
    judge = Judge(learned, held, place)
    physician = None
    try:
        physician = Physician(held, {side: mean_embedding(sets[side].faces.embedding) for side in SIDES}, place)
    except MachineError as error:  # it learns without
        yield Note(f"the swap is not looked at while it is learned: {error}", warning=True)
    variety, told = {side: distinct(learned[side]) for side in SIDES}, set[tuple[str, str]]()
    loss_of = FaceLoss(recipe.size_px, recipe.losses == "l1+ssim", place, together)
    feeds = data.feeds(learned, learner.network, recipe, place, together)
    yield Note(
        f"training {parameters(learner.network) / 1e6:.1f} M weights on {len(learned['a'])} + {len(learned['b'])} "
        f"faces ({len(held['a'])} + {len(held['b'])} held out), {recipe.size_px} px, {device.description}"
    )

    mixed = recipe.mixed_precision and device.precision == "bf16"
    begun, earlier = time.monotonic(), state.seconds
    saved = scored = time.monotonic()
    saved_step, shown, loss = state.step, -math.inf, torch.zeros(())
    watch, outlook = Watch(model, state.step), Forecast.of(state.history)
    while True:
        now = time.monotonic()
        state.seconds = earlier + now - begun
        ending = _ending(state, until, stop, outlook)
        try:
            watch.look(state.step, loss)
            saving = ending or now - saved >= recipe.save_every_s
            if state.step > saved_step and (saving or now - scored >= recipe.score_every_s):
                watch.weights(state.step, learner)
                score = judge(learner.average)
                health = None if physician is None else physician(learner.average, bool(ending))
                state.history.append(_entry(state, loss, score, health))
                watch.score(state)
                if saving:  # only what was just found sound is kept
                    checkpoint.save(model, state, learner)
                    saved, saved_step = time.monotonic(), state.step
                outlook = Forecast.of(state.history)
                yield from _told(state, until, score, health, outlook)
                yield from _amiss(findings(state.history, outlook, variety), told)
                picture = preview(learner.average, held, place)
                save_png(model / "previews" / f"{state.step:08d}.png", picture)
                yield Preview(state.step, picture)
                if saving:
                    chart.write(model / CHART, state.history, outlook)
                scored = time.monotonic()
        except Diverged as trouble:
            watch.count(trouble, state.step, recipe.learning_rate * state.rate)
            state.seconds, state.rate = earlier + now - begun, state.rate * _SLOWER
            learner, state = _back(model, anew, recipe.seed + watch.setbacks, state)
            back = f"step {state.step}" if state.step else "the start"
            rate = recipe.learning_rate * state.rate
            yield Note(f"{trouble}: going on from {back} with half the learning rate, {rate:.2g}", warning=True)
            saved = scored = time.monotonic()
            saved_step, loss, outlook = state.step, torch.zeros(()), Forecast.of(state.history)
            continue
        if ending:
            break

        count, smaller = recipe.batch_at(state.step), max(recipe.accumulate, state.parts)
        rate = recipe.learning_rate * state.rate * due(state, until, recipe)
        together.tell(Order(state.step, count, smaller, rate, learner.generator.get_state()))
        try:
            loss = learner.step(feeds, loss_of, count, smaller, rate, mixed)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            yield in_smaller_parts(state, recipe, count, together.world, error)
            continue
        state.step += 1
        learner.follow(state.step, recipe.ema)
        if now - shown >= _PROGRESS_EVERY_S:
            yield _progress(state, until)
            shown = now

    yield Note(f"training ended after {state.step} steps, {state.seconds / 60:.1f} minutes: {ending}")
    if curve := [(entry["a"] + entry["b"]) / 2 for entry in state.history]:
        yield Note(f"held-out faces: {sparkline(curve)} {curve[0]:.1f} to {curve[-1]:.1f} dB; {model / CHART}")
        step, by = checkpoint.healthier(model)
        if by >= _HEALTHIER:
            yield Note(f"the swap was healthier by {by:.2f} at step {step}: convert it with --checkpoint best")


def assist(
    model: Path,
    sets: dict[str, FaceSet],
    recipe: TrainRecipe,
    device: Device,
    start: Mapping[str, Tensor],
    together: Together,
) -> None:
    """Make the steps that the first process orders, each on a share of its own, until it ends; `start` as its own.

    Raises as `train` does, and ModelError where `model` has another newest checkpoint than the first process sees.
    """
    place = torch.device(device.name)
    torch.set_num_threads(device.threads)
    faces = data.load_both(sets, recipe)
    anew = partial(Learner.new, recipe, place, faces, data.irises(sets["b"]), start, together)
    learner = anew()
    step = checkpoint.resume(model, learner).step
    learned = {side: faces[side][data.split(faces[side].source)[0]] for side in SIDES}
    loss_of = FaceLoss(recipe.size_px, recipe.losses == "l1+ssim", place, together)
    feeds = data.feeds(learned, learner.network, recipe, place, together)
    mixed = recipe.mixed_precision and device.precision == "bf16"
    while (order := together.hear()) is not None:
        if order.step != step:  # it went back
            learner = anew()
            if (step := checkpoint.resume(model, learner).step) != order.step:
                raise ModelError(
                    f"{model}: its newest checkpoint is of step {step} here, and of step {order.step} where training "
                    "is led. Let -o name one folder that all machines share."
                )
        learner.generator.set_state(order.random)
        try:
            learner.step(feeds, loss_of, order.count, order.parts, order.rate, mixed)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            free_memory(error)
            continue
        step += 1
        learner.follow(step, recipe.ema)


def _back(
    model: Path, anew: Callable[[], Learner], seed: int, lost: checkpoint.State
) -> tuple[Learner, checkpoint.State]:
    """The newest checkpoint, or the start, but what `lost` says of time, learning rate and memory."""
    learner = anew()
    state = checkpoint.resume(model, learner)
    state.seconds, state.rate, state.parts = lost.seconds, lost.rate, lost.parts
    learner.generator.manual_seed(seed)  # not into the very same batches
    if state.step:
        checkpoint.note_state(model, state)
    return learner, state


def due(state: checkpoint.State, until: Until, recipe: TrainRecipe) -> float:
    """What part of the learning rate is due: warm-up, then half a cosine to the end of the budget, if there is one.

    Of the classic way neither. A model that goes on after its budget begins with the rate that is due by then.
    """
    if recipe.optimizer == "adam":
        return 1.0
    warm = min(1.0, (state.step + 1) / _WARM_UP_STEPS)
    part = _part_done(state, until)
    return (
        warm
        if part is None or recipe.decay == "constant"
        else warm * max(0.02, 0.5 * (1 + math.cos(math.pi * min(1.0, part))))
    )


def _part_done(state: checkpoint.State, until: Until) -> float | None:
    parts = []
    if until.steps is not None:
        parts.append(state.step / until.steps)
    if until.minutes is not None:
        parts.append(state.seconds / (60 * until.minutes))
    return max(parts) if parts else None


def _progress(state: checkpoint.State, until: Until) -> Progress:
    part = _part_done(state, until)
    if part is None:
        return Progress("training", state.step, None, "steps")
    return Progress(
        "training", state.step, state.step / max(part, 1e-6), "steps", state.seconds / max(part, 1e-6) * (1 - part)
    )


def _ending(state: checkpoint.State, until: Until, stop: Callable[[], bool], outlook: Forecast | None) -> str:
    """Why training is over, or nothing."""
    if stop():
        return "stopped; the same command goes on from here"
    if until.steps is not None and state.step >= until.steps:
        return f"all {until.steps} steps done"
    if until.minutes is not None and state.seconds >= 60 * until.minutes:
        return f"the {until.minutes:g} minutes are over"
    if until.plateau and outlook is not None and outlook.over:
        return "a plateau: as long again would not make the error on held-out faces 1% less"
    return ""


def _entry(state: checkpoint.State, loss: Tensor, score: Score, health: Health | None) -> dict[str, float]:
    entry = {"step": state.step, "seconds": state.seconds, "loss": float(loss), **vars(score)}
    return entry if health is None else entry | health.entry()


def _told(
    state: checkpoint.State, until: Until, score: Score, health: Health | None, outlook: Forecast | None
) -> Iterator[Event]:
    """What was just measured, in numbers and in words, and what is to be expected."""
    for name, value in state.history[-1].items():
        if name not in ("step", "seconds"):
            yield Metric(state.step, name, value)
    said = [f"step {state.step}: {score.text()}"]
    if health is not None:
        said.append(health.text())
    if outlook is not None:
        part = _part_done(state, until)
        said.append(outlook.text(state.seconds * (1 - part) / part if part and part < 1 else None))
    yield Note("; ".join(said))


def _amiss(found: list[Finding], told: set[tuple[str, str]]) -> Iterator[Note]:
    """Each kind once a run and side; `told` keeps which."""
    for finding in found:
        if (key := (finding.kind, finding.side)) not in told:
            told.add(key)
            yield Note(finding.text, warning=True)


@torch.no_grad()
def preview(network: Network, held: dict[str, data.Canvases], device: torch.device) -> NDArray[np.uint8]:
    """(rows * S, 5 * S, 3) uint8: A, A->A, A->B, B, B->B for a few held-out faces."""
    network.eval()
    chosen = {}
    for side in SIDES:
        rows = np.linspace(0, len(held[side]) - 1, _PREVIEW_FACES).round().astype(np.int64)
        chosen[side] = held[side][rows]
    a, b = (chosen[side].centred(device)[0] for side in SIDES)
    as_b = chosen["a"].redrawn(network.shape_offset).centred(device)[0]
    a_a, a_b = network.rebuild(a, "a", "a")[:, :3], network.rebuild(as_b, "a", "b")[:, :3]
    columns = [a.pictures, a_a, a_b, b.pictures, network.rebuild(b, "b", "b")[:, :3]]
    network.train()
    sheet = torch.cat([torch.cat(list(column), 1) for column in columns], 2)
    result: NDArray[np.uint8] = (sheet.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().cpu().numpy()
    return result
