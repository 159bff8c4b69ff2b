"""The training loop, in order: batch, loss, step, score, save."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..curate.faceset import FaceSet
from ..device import Device
from ..errors import ModelError
from ..events import Event, Metric, Note, Preview, Progress
from ..project import save_png
from ..recipes import TrainRecipe, Until
from . import checkpoint, data
from .losses import FaceLoss
from .model import SIDES, Network, parameters
from .score import Judge, Score

_AVERAGE_EVERY = 4
_WARM_UP_STEPS = 50
# A rare batch with a huge gradient must not throw the weights off: without this, high learning rates diverge.
_LONGEST_GRADIENT = 1.0
_PREVIEW_FACES = 4
_PROGRESS_EVERY_S = 1.0


def train(
    model: Path, sets: dict[str, FaceSet], recipe: TrainRecipe, until: Until, device: Device, stop: Callable[[], bool]
) -> Iterator[Event]:
    """Train `model` on the face sets of sides "a" and "b" until `until` or until `stop()` answers True.

    Goes on from the newest checkpoint where there is one; `until` counts all training of the model, not of this run.
    Raises FaceError for unusable sets, ModelError where the loss stops being a number (the last checkpoint stays good).
    """
    place = torch.device(device.name)
    torch.set_num_threads(device.threads)
    generator = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    network = _laid_out(Network(recipe).to(place), place)
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = _optimizer(network, recipe)
    state = checkpoint.resume(model, network, average, optimizer, generator)
    if state.step:
        yield Note(f"{model.name}: going on from step {state.step}, after {state.seconds / 60:.1f} minutes of training")

    faces = {side: data.load(sets[side], recipe) for side in SIDES}
    faces["b"] = data.match_colour(faces["b"], faces["a"])
    if not state.step:
        for weights in (network, average):
            weights.meet(
                {side: faces[side].points / faces[side].square_px for side in SIDES},
                {side: faces[side].acting.numpy() for side in SIDES},
            )
    parts = {side: data.split(faces[side].source) for side in SIDES}
    learned = {side: faces[side][parts[side][0]] for side in SIDES}
    held = {side: faces[side][parts[side][1]] for side in SIDES}
    judge = Judge(learned, held, place)
    loss_of = FaceLoss(recipe.size_px, recipe.losses == "l1+ssim", place)
    bend = None
    if network.share is not None and recipe.bent:
        bend = data.bend(learned["b"], learned["a"], network.shape_offset, network.share.rest, recipe.bent)
    feeds = {
        "a": data.batches(learned["a"], recipe, generator, place),
        "b": data.batches(learned["b"], recipe, generator, place, bend),
    }
    yield Note(
        f"training {parameters(network) / 1e6:.1f} M weights on {len(learned['a'])} + {len(learned['b'])} faces "
        f"({len(held['a'])} + {len(held['b'])} held out), {recipe.size_px} px, {device.description}"
    )

    mixed = recipe.mixed_precision and device.precision == "bf16"
    begun, earlier = time.monotonic(), state.seconds
    saved = scored = time.monotonic()
    shown = -math.inf
    loss = torch.zeros(())
    while not (ending := _ending(state, until, stop)):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(state, until, recipe)
        a, target_a, mask_a = next(feeds["a"])
        b, target_b, mask_b = next(feeds["b"])
        with torch.autocast(place.type, torch.bfloat16, enabled=mixed):
            answer_a, answer_b = network(a, b)
        loss = loss_of(answer_a, target_a, mask_a) + loss_of(answer_b, target_b, mask_b)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        shorten(list(network.parameters()))
        optimizer.step()
        state.step += 1
        if state.step % _AVERAGE_EVERY == 0:
            _follow(average, network, recipe.ema, state.step)

        now = time.monotonic()
        state.seconds = earlier + now - begun
        if now - shown >= _PROGRESS_EVERY_S:
            yield _progress(state, until)
            shown = now
        if now - scored >= recipe.score_every_s:
            yield from _score(model, state, loss, average, judge, held, place)
            scored = time.monotonic()
        if now - saved >= recipe.save_every_s:
            checkpoint.save(model, state, network, average, optimizer, generator)
            saved = time.monotonic()

    if loss.grad_fn is not None:  # at least one step was made
        yield from _score(model, state, loss, average, judge, held, place)
        checkpoint.save(model, state, network, average, optimizer, generator)
    yield Note(f"training ended after {state.step} steps, {state.seconds / 60:.1f} minutes: {ending}")


def _laid_out(network: Network, place: torch.device) -> Network:
    # GPUs convolve channels_last; a CPU gains nothing by it, and its optimizer then copies each gradient.
    if place.type == "cpu":
        return network
    # torch has it, its type stubs do not.
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def _optimizer(network: Network, recipe: TrainRecipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), recipe.learning_rate, betas=(0.5, 0.999), fused=True)
    return torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )


def shorten(weights: list[torch.nn.Parameter]) -> None:
    """As clip_grad_norm_, but where asking costs nothing (on a CPU), gradients that are short enough are left alone."""
    length = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if length.device.type != "cpu" or length > _LONGEST_GRADIENT:
        torch.nn.utils.clip_grads_with_norm_(weights, _LONGEST_GRADIENT, length)


def _schedule(state: checkpoint.State, until: Until, recipe: TrainRecipe) -> float:
    """What part of the learning rate is due: warm-up, then half a cosine to the end of the budget, if there is one."""
    if recipe.optimizer == "adam":
        return 1.0
    warm = min(1.0, (state.step + 1) / _WARM_UP_STEPS)
    part = _part_done(state, until)
    return warm if part is None else warm * max(0.02, 0.5 * (1 + math.cos(math.pi * min(1.0, part))))


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


def _ending(state: checkpoint.State, until: Until, stop: Callable[[], bool]) -> str:
    """Why training is over, or nothing."""
    if stop():
        return "stopped; the same command goes on from here"
    if until.steps is not None and state.step >= until.steps:
        return f"all {until.steps} steps done"
    if until.minutes is not None and state.seconds >= 60 * until.minutes:
        return f"the {until.minutes:g} minutes are over"
    if until.plateau and plateau([(entry["a"] + entry["b"]) / 2 for entry in state.history]):
        return "the held-out score has stopped rising (a plateau)"
    return ""


def plateau(scores: list[float], window: int = 5, least_gain: float = 0.05) -> bool:
    """Whether the best of the last `window` scores (dB) is less than `least_gain` above the best before them."""
    return len(scores) > 2 * window and max(scores[-window:]) < max(scores[:-window]) + least_gain


@torch.no_grad()
def _follow(average: Network, network: Network, decay: float, step: int) -> None:
    # Early on the average must not remember the random start.
    kept = min(decay, (1 + step) / (10 + step)) ** _AVERAGE_EVERY
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - kept)
    for into, value in zip(average.buffers(), network.buffers(), strict=True):
        into.copy_(value)


def _score(
    model: Path,
    state: checkpoint.State,
    loss: Tensor,
    average: Network,
    judge: Judge,
    held: dict[str, data.Canvases],
    device: torch.device,
) -> Iterator[Event]:
    if not math.isfinite(value := float(loss.detach())):
        raise ModelError(
            f"{model}: the loss is no longer a number at step {state.step}. The checkpoint before is unharmed: run the "
            "same command with a lower --learning-rate to go on from it."
        )
    score = judge(average)
    state.history.append({"step": state.step, "seconds": state.seconds, "loss": value, **vars(score)})
    yield Metric(state.step, "loss", value)
    yield Metric(state.step, "score_a_db", score.a)
    yield Metric(state.step, "score_b_db", score.b)
    yield Note(f"step {state.step}: {score.text()}")
    picture = preview(average, held, device)
    file = model / "previews" / f"{state.step:08d}.png"
    save_png(file, picture)
    yield Preview(state.step, picture)


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


__all__ = ["Score", "plateau", "preview", "shorten", "train"]
