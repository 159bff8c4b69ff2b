"""What training changes, and one step of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..recipes import TrainRecipe
from .data import Canvases, Feed
from .losses import FaceLoss
from .model import SIDES, Network, PersonNorm, Shown
from .recorded import Recorded, there_and_back
from .together import ALONE, Together

_AVERAGE_EVERY = 4
# A rare batch with a huge gradient must not throw the weights off: without this, high learning rates diverge.
_LONGEST_GRADIENT = 1.0


@dataclass(frozen=True, eq=False)
class Learner:
    """All that a checkpoint keeps of training but how far it has come."""

    network: Network
    average: Network
    """the moving average of the weights, which is what is scored and used"""
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    """all chance of the batches"""
    together: Together = ALONE
    recorded: dict[tuple[object, ...], Recorded] = field(default_factory=dict)
    """of a GPU: a step's way through the network, as it was first gone"""

    @classmethod
    def new(
        cls,
        recipe: TrainRecipe,
        place: torch.device,
        faces: Mapping[str, Canvases],
        iris: NDArray[np.float32],
        start: Mapping[str, Tensor] | None = None,
        together: Together = ALONE,
    ) -> Self:
        """At its start, which the recipe's seed decides, but for the weights that `start` names; `faces` are both
        people's, `iris` is B's, see learn.iris."""
        torch.manual_seed(recipe.seed)
        network = _laid_out(Network(recipe).to(place), place)
        network.meet(
            {side: faces[side].points / faces[side].square_px for side in SIDES},
            {side: faces[side].acting.numpy() for side in SIDES},
            iris,
        )
        network.load_state_dict(start or {}, strict=False)
        average = copy.deepcopy(network).requires_grad_(False)
        for part in network.modules():
            if isinstance(part, PersonNorm):
                part.together = together
        generator = torch.Generator().manual_seed(recipe.seed)
        return cls(network, average, _optimizer(network, recipe), generator, together)

    def step(
        self, feeds: Mapping[str, Feed], loss_of: FaceLoss, count: int, parts: int, rate: float, mixed: bool
    ) -> Tensor:
        """Learn from `count` faces of each side, and say the loss. They are computed in `parts`, one after the other:
        the same step in less memory; and each part by all processes, a share each, which the feeds give."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        total, sizes = torch.zeros((), device=loss_of.device), shares(count, min(parts, count // self.together.world))
        recording = len(sizes) == self.together.world == 1 and loss_of.device.type == "cuda" and torch.version.cuda
        if not recording:
            self.recorded.clear()  # it has memory of its own
        with self.together.abreast():
            for size in sizes:
                a, b = (feeds[side](size, self.generator) for side in SIDES)
                if recording:
                    total += self._replayed(loss_of, a, b, mixed)
                else:
                    total += there_and_back(self.network, loss_of, a, b, len(a.target) / count, mixed)
            gradients = [weight.grad for weight in self.network.parameters() if weight.grad is not None]
            self.together.add_up([*gradients, total])
        shorten(list(self.network.parameters()))
        self.optimizer.step()
        return total

    def _replayed(self, loss_of: FaceLoss, a: Shown, b: Shown, mixed: bool) -> Tensor:
        kind = (loss_of, mixed, len(a.target))
        if kind not in self.recorded:
            self.recorded.clear()
            self.recorded[kind] = Recorded(self.network, loss_of, a, b, mixed)
        return self.recorded[kind](a, b)

    @torch.no_grad()
    def follow(self, step: int, decay: float) -> None:
        """Bring the average up to the weights after `step` steps."""
        if step % _AVERAGE_EVERY:
            return
        # Early on the average must not remember the random start.
        kept = min(decay, (1 + step) / (10 + step)) ** _AVERAGE_EVERY
        # What the norms know of the codes is averaged as well: the encoder's codes wander, which its own norms follow,
        # and the averaged encoder is as far behind as the average.
        into, value = ([*of.parameters(), *of.buffers()] for of in (self.average, self.network))
        torch._foreach_lerp_(into, value, 1 - kept)

    @torch.no_grad()
    def finite(self) -> bool:
        """Whether all weights and averages are numbers. Waits for the device once."""
        tensors = [*self.network.state_dict().values(), *self.average.state_dict().values()]
        # An infinite or missing number anywhere makes the sum of all lengths one.
        return bool(torch.isfinite(torch.stack(torch._foreach_norm(tensors)).sum()))


def shares(count: int, parts: int) -> list[int]:
    """`count` faces in at most `parts` equal parts, the larger ones first."""
    parts = min(parts, count)
    return [count // parts + (index < count % parts) for index in range(parts)]


def shorten(weights: list[torch.nn.Parameter]) -> None:
    """As clip_grad_norm_, but where asking costs nothing (on a CPU), gradients that are short enough are left alone."""
    length = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if length.device.type != "cpu" or length > _LONGEST_GRADIENT:
        torch.nn.utils.clip_grads_with_norm_(weights, _LONGEST_GRADIENT, length)


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
