"""Several processes that train one model, on the GPUs or cores of one machine or of several; torchrun starts them.

The first one leads: it alone decides, writes and speaks, as if it were the only one, and orders the others to make each
step that it makes. All draw the same chance for the whole batch and compute a share of its faces; what one process
takes over the whole batch (the gradients, and the means that the network and the loss scale by) is taken over all of
them. So a step is that of one process with the same batch, but for rounding.

Lightning Fabric gives each process its device and connects them. What they exchange while they compute goes to
torch.distributed itself: Fabric waits for the GPU at each exchange, and DDP, its wrapper for networks, exchanges
gradients within the backward pass. Where one process runs out of memory there, the others would wait for ever. Here all
say that they are well before each exchange (see `Together.abreast`).
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, distributed

from ..device import Device
from ..errors import InputError, MachineError
from ..recipes import TrainRecipe


@dataclass(frozen=True, eq=False)
class Order:
    """One step of training, to be made by all."""

    step: int
    """how many were made before"""
    count: int
    """faces of each side, over all processes"""
    parts: int
    rate: float
    random: Tensor
    """the state of the generator, so that all draw the same batch"""


class _FullElsewhere(torch.OutOfMemoryError):
    """Another process is out of memory."""


class Together:
    """All processes of a training, as one of them sees them; without Fabric it is alone, and nothing is exchanged."""

    def __init__(self, fabric: Any = None) -> None:
        self._fabric = fabric
        self._computing = False
        self.rank: int = fabric.global_rank if fabric else 0
        """0 leads"""
        self.world: int = fabric.world_size if fabric else 1
        """how many there are"""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """The others end with the first one. Who leaves in the middle of a step cannot tell: torchrun ends them."""
        if self._fabric is None or self._computing or (self.rank and kind):
            return
        with suppress(MachineError):
            if self.rank == 0:
                self.tell(None)
            _all_well(True)  # nobody leaves before all have heard it
        distributed.destroy_process_group()

    def check(self, recipe: TrainRecipe) -> None:
        """Raises InputError for a batch that does not go round, and for specialists, which one process trains."""
        if self.world > 1 and recipe.specialists != "none":
            raise InputError("--specialists: not on several processes. Leave torchrun out, or the specialists.")
        if min(count for _, count in recipe.batches) < self.world:
            raise InputError(
                f"batch {recipe.batch}: {self.world} processes need at least {self.world} faces of each side in a "
                f"step. Give --batch {self.world} or more, or start fewer processes."
            )

    def tell(self, what: Any) -> None:
        """To all others, which must `hear` it; None: it is over. To be told by the first one."""
        if self._fabric is not None:
            with _met():
                self._fabric.broadcast(what)

    def hear(self) -> Any:
        """What the first process tells next, however long that takes. Raises MachineError where it is gone."""
        with _met():
            return self._fabric.broadcast(None)

    def share(self, count: int) -> slice:
        """Which of `count` faces this process computes; shares differ by one face at most."""
        return slice(count * self.rank // self.world, count * (self.rank + 1) // self.world)

    def mean(self, own: Tensor, faces: int) -> Tensor:
        """The mean over all processes' faces: `own` is that over the `faces` of this one, of any shape."""
        if self._fabric is None:
            return own
        sums = torch.cat([own.flatten() * faces, own.new_full((1,), faces)])
        self._add(sums)
        return (sums[:-1] / sums[-1]).view_as(own)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Bring each tensor, in its place, to the sum over all processes; the same bits in all of them."""
        if self._fabric is None:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        self._add(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, added in zip(tensors, parts, strict=True):
            tensor.copy_(added.view_as(tensor))

    @contextmanager
    def abreast(self) -> Iterator[None]:
        """Around what all compute with exchanges in between: where one is out of memory, all end it with that error at
        their next exchange, and may begin anew together."""
        self._computing = True
        try:
            yield
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if not isinstance(error, _FullElsewhere) and self._fabric is not None:
                _all_well(False)
            self._computing = False
            raise
        self._computing = False

    def _add(self, tensor: Tensor) -> None:
        if not _all_well(True):
            raise _FullElsewhere("another process of the training is out of memory")
        with _met():
            distributed.all_reduce(tensor)


ALONE = Together()


def join(device: Device) -> tuple[Together, Device]:
    """The processes that torchrun started for this command, and this one's part of the machine's `device`; without
    torchrun it is alone and has all of it.

    Raises MachineError where lightning-fabric is not installed, or there are fewer GPUs than processes here.
    """
    world, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if "TORCHELASTIC_RUN_ID" not in os.environ or world == 1:
        return ALONE, device
    if importlib.util.find_spec("lightning_fabric") is None:
        raise MachineError(
            "training on several processes needs the package lightning-fabric, which is not installed. Run: "
            "pip install 'facedouble[distributed]'"
        )
    if device.name == "mps":
        raise MachineError("several processes cannot share an Apple GPU. Leave torchrun out, or give --device cpu.")
    if device.name == "cuda" and (gpus := torch.cuda.device_count()) < here:
        raise MachineError(f"{here} processes on this machine, and {gpus} GPUs. Give torchrun --nproc-per-node {gpus}.")
    if world % here:
        raise MachineError("torchrun started more processes on one machine than on another: give all the same number.")
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # Orders go from processor to processor on GPU machines as well, so that hearing one does not wait for the GPU.
    backend = "gloo" if device.name == "cpu" else "cpu:gloo,cuda:nccl"
    fabric = Fabric(
        accelerator=device.name,
        devices=here,
        num_nodes=world // here,
        strategy=DDPStrategy(process_group_backend=backend),
    )
    fabric.launch()
    text = f"{device.description}, {world} processes"
    return Together(fabric), replace(device, threads=max(1, device.threads // here), description=text)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that memory is used up: a GPU's, Apple's, or the machine's."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text


def _all_well(well: bool) -> bool:
    """Asked by all at once: whether all of them are."""
    said = torch.tensor(float(well))
    with _met():
        distributed.all_reduce(said, distributed.ReduceOp.MIN)
    return bool(said)


@contextmanager
def _met() -> Iterator[None]:
    """Raises MachineError where another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        raise MachineError(
            "another process of this training ended, and says why itself. The same command goes on from the newest "
            "checkpoint."
        ) from error
