"""How well held-out faces are rebuilt, against the floor of a constant mean face. Independent of the batch size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..footage import spread
from .data import Canvases
from .model import Network, Seen

_MOST_FACES = 150
"""looked at on each side, spread evenly: a score must not take long"""
_CHUNK_PX = 32 * 96**2


@dataclass(frozen=True)
class Score:
    """dB of peak signal to noise inside the face mask, over all held-out faces of a side together."""

    a: float
    b: float
    floor_a: float
    floor_b: float
    seen_a: float
    """the same of as many faces it learned from, as these are"""
    seen_b: float

    @property
    def mean(self) -> float:
        return (self.a + self.b) / 2

    @property
    def above_floor(self) -> float:
        """dB above the constant mean face; below 0 the model knows less than an average."""
        return self.mean - (self.floor_a + self.floor_b) / 2

    def text(self) -> str:
        return (
            f"held-out faces rebuilt at {self.mean:.1f} dB, {self.above_floor:+.1f} dB against the constant mean face "
            f"({(self.floor_a + self.floor_b) / 2:.1f} dB)"
        )


class Judge:
    """Keeps the held-out faces of both sides and the floor; the same faces, settings and chunks every time."""

    def __init__(self, train: dict[str, Canvases], held: dict[str, Canvases], device: torch.device) -> None:
        self._device = device
        self._held = {side: _spread(faces, _MOST_FACES) for side, faces in held.items()}
        self._seen = {side: _spread(train[side], len(faces)) for side, faces in self._held.items()}
        self._floor = {side: _mean_face_psnr(train[side], faces, device) for side, faces in self._held.items()}

    @torch.no_grad()
    def __call__(self, network: Network) -> Score:
        network.eval()
        held, seen = (
            {side: self._rebuilt(network, side, faces) for side, faces in chosen.items()}
            for chosen in (self._held, self._seen)
        )
        network.train()
        return Score(held["a"], held["b"], self._floor["a"], self._floor["b"], seen["a"], seen["b"])

    def _rebuilt(self, network: Network, side: str, faces: Canvases) -> float:
        return _psnr(faces, self._device, lambda seen: network.rebuild(seen, side, side)[:, :3])


def _spread(faces: Canvases, most: int) -> Canvases:
    return faces[spread(len(faces), most)]


def psnr(mean_square_error: float) -> float:
    """dB, for values in 0..1."""
    return -10 * math.log10(max(mean_square_error, 1e-10))


def _mean_face_psnr(train: Canvases, held: Canvases, device: torch.device) -> float:
    mean = torch.zeros(3, train.size_px, train.size_px, device=device)
    for seen, _ in _centred(train, device):
        mean += seen.pictures.sum(0) / len(train)
    return _psnr(held, device, lambda _: mean)


def _psnr(faces: Canvases, device: torch.device, answer: Callable[[Seen], Tensor]) -> float:
    """dB inside the face masks, over all faces together, of what `answer` makes of them."""
    error, area = 0.0, 0.0
    for seen, mask in _centred(faces, device):
        error += float(((answer(seen) - seen.pictures) ** 2 * mask).sum())
        area += 3 * float(mask.sum())
    return psnr(error / area)


def _centred(faces: Canvases, device: torch.device) -> Iterator[tuple[Seen, Tensor]]:
    """Few at a time, as all of them, as floating-point numbers, may be more than the memory holds."""
    for rows in torch.split(torch.arange(len(faces)), max(1, min(32, _CHUNK_PX // faces.size_px**2))):
        yield faces[rows].centred(device)
