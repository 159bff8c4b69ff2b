"""How much memory a step of training takes, counted rather than tried: a CPU's system kills who asks for too much.

Counted on tensors without contents, which have a size and a type but compute nothing, so that a model too large for
this machine is counted as quickly as a small one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from ..faces import ACTING
from ..recipes import TrainRecipe
from . import data
from .losses import FaceLoss
from .model import Network, Seen, parameters

_PER_WEIGHT = 4 * 5
"""bytes: the weight, its gradient, two moments of the optimizer and the average"""
_BESIDES = 1.8
"""the peak of a step against what is kept for its backward pass; 1.4 to 2.2 by the peak of RAM on a CPU (large fp32,
standard bf16)"""


def step_bytes(recipe: TrainRecipe, precision: str) -> tuple[int, int]:
    """Bytes that training takes on its device whatever the batch, and those for each face of both sides in a part of
    it.

    What is kept for the backward pass is counted in forward passes of one and of two faces.
    """
    mixed = recipe.mixed_precision and precision == "bf16"
    with FakeTensorMode():
        network, loss_of = Network(recipe), FaceLoss(recipe.size_px, recipe.losses == "l1+ssim", torch.device("cpu"))
        one, two = (_kept(network, loss_of, recipe, mixed, count) for count in (1, 2))
    # The rest are weights brought to bf16.
    return _PER_WEIGHT * parameters(network) + max(0, 2 * one - two), int(_BESIDES * (two - one))


def _kept(network: Network, loss_of: FaceLoss, recipe: TrainRecipe, mixed: bool, count: int) -> int:
    weights = {weight.untyped_storage()._cdata for weight in network.parameters()}  # its name: there is no address
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if (place := tensor.untyped_storage()._cdata) not in weights:
            kept[place] = tensor
        return tensor

    def given(tensor: Any) -> Any:
        return tensor

    side = recipe.size_px
    shape, masks = (count, 3, side, side), torch.ones(count, 2, side, side)
    with torch.autograd.graph.saved_tensors_hooks(keep, given), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        seen = Seen(torch.rand(shape), torch.zeros(count, ACTING), torch.rand(shape), torch.ones(count, 1))
        for answer in network(seen, seen):
            loss_of(answer, torch.rand(shape), masks)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def face_bytes(recipe: TrainRecipe, shown: float, faces: int) -> int:
    """Bytes of what data.load holds of so many `faces`, whose crops show `shown` face squares."""
    return data.canvas_bytes(recipe, shown) * data.held(faces, recipe, shown)
