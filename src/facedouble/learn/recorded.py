"""A network's way forward and back, and the same as one order to a GPU.

A step of training is some nine hundred small computations, and a CPU takes longer to order them than a fast GPU to do
them. Recorded once and then replayed they are one order (CUDA graphs, https://docs.pytorch.org/docs/stable/notes/cuda.html).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .losses import FaceLoss
from .model import Network, Shown

_WARM_UP = 3
"""times that it is computed before it is recorded: by then libraries have chosen how to compute"""


def there_and_back(network: Network, loss_of: FaceLoss, a: Shown, b: Shown, share: float, mixed: bool) -> Tensor:
    """`share` of the loss of both sides' faces, whose gradients are added to those of the network. `mixed`: in bf16."""
    with torch.autocast(loss_of.device.type, torch.bfloat16, enabled=mixed):
        answer_a, answer_b = network(a.seen, b.seen)
    loss = (loss_of(answer_a, a.target, a.masks) + loss_of(answer_b, b.target, b.masks)) * share
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


class Recorded:
    """`there_and_back` of whole batches of as many faces as `a` and `b`. Between a call and the next the network's
    gradients are those of that call."""

    def __init__(self, network: Network, loss_of: FaceLoss, a: Shown, b: Shown, mixed: bool) -> None:
        self._network, self._shown = network, (a.copied(), b.copied())
        known = [buffer.clone() for buffer in network.buffers()]
        aside, usual = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(usual)
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                network.zero_grad(set_to_none=True)
                there_and_back(network, loss_of, *self._shown, 1.0, mixed)
        usual.wait_stream(aside)
        network.zero_grad(set_to_none=True)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss = there_and_back(network, loss_of, *self._shown, 1.0, mixed)
        self._gradients = [weight.grad for weight in network.parameters()]
        for buffer, before in zip(network.buffers(), known, strict=True):  # the norms have not seen these faces yet
            buffer.copy_(before)

    def __call__(self, a: Shown, b: Shown) -> Tensor:
        own, given = ([*one.tensors(), *other.tensors()] for one, other in (self._shown, (a, b)))
        torch._foreach_copy_(own, given)
        self._graph.replay()
        for weight, gradient in zip(self._network.parameters(), self._gradients, strict=True):
            weight.grad = gradient
        return self._loss
