"""How well held-out faces are rebuilt, against the floor of a constant mean face. Independent of the batch size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .data import Canvases
from .model import Network

_CHUNK = 32


@dataclass(frozen=True)
class Score:
    """dB of peak signal to noise inside the face mask, over all held-out faces of a side together."""

    a: float
    b: float
    floor_a: float
    floor_b: float

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
        self._held = held
        self._floor = {side: _mean_face_psnr(train[side], held[side], device) for side in held}

    @torch.no_grad()
    def __call__(self, network: Network) -> Score:
        network.eval()
        values = {}
        for side, faces in self._held.items():
            error, area = 0.0, 0.0
            for rows in torch.split(torch.arange(len(faces)), _CHUNK):
                seen, mask = faces[rows].centred(self._device)
                target = seen.pictures
                answer = network.rebuild(seen, side, side)[:, :3]
                error += float(((answer - target) ** 2 * mask).sum())
                area += 3 * float(mask.sum())
            values[side] = psnr(error / area)
        network.train()
        return Score(values["a"], values["b"], self._floor["a"], self._floor["b"])


def psnr(mean_square_error: float) -> float:
    """dB, for values in 0..1."""
    return -10 * math.log10(max(mean_square_error, 1e-10))


def _mean_face_psnr(train: Canvases, held: Canvases, device: torch.device) -> float:
    total, count = None, 0
    for rows in torch.split(torch.arange(len(train)), 256):
        seen, _ = train[rows].centred(device)
        part: Tensor = seen.pictures.sum(0, keepdim=True)
        total, count = part if total is None else total + part, count + len(rows)
    assert total is not None, "data.load refuses empty sets"
    seen, mask = held.centred(device)
    error = ((total / count - seen.pictures) ** 2 * mask).sum() / (3 * mask.sum())
    return psnr(float(error))
