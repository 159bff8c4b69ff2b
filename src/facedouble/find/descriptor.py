"""dlib's network that describes a face by 128 numbers, computed by torch: the same numbers, many times as fast.

A ResNet of 29 convolutions (He et al., arXiv:1512.03385; http://dlib.net/face_recognition.py.html). dlib's wheels are
built for any processor, without AVX, so that a face takes them 0.08 to 0.2 s on one core. The weights are read out of
dlib's own file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..faces import IDENTITY

SIDE_PX = 150
_MEAN_RGB = (122.782, 117.001, 104.298)
_LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""channels, blocks, and whether the first of them halves the size"""


class Descriptor(nn.Module):
    """Face chips (n, 3, 150, 150), RGB 0..255, to descriptors (n, 128)."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN_RGB)[:, None, None])
        self.first = nn.Conv2d(3, 32, 7, stride=2)
        blocks, width = [], 32
        for wider, count, halved in _LEVELS:
            for number in range(count):
                blocks.append(_Block(width, wider, halved and number == 0))
                width = wider
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(width, IDENTITY, bias=False)

    @classmethod
    def load(cls, file: Path) -> Descriptor:
        """From dlib_face_recognition_resnet_model_v1.dat, whose sha256 is known (see weights)."""
        network, parts = cls(), _parts(file.read_bytes())
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                kernel, shift = np.split(next(parts), [layer.weight.numel()])
                gain, offset = np.split(next(parts), 2)
                # What follows each convolution is a gain and an offset of each channel, which it may as well do.
                _set(layer.weight, kernel.reshape(layer.weight.shape) * gain[:, None, None, None])
                if layer.bias is not None:
                    _set(layer.bias, shift * gain + offset)
        _set(network.last.weight, next(parts).reshape(network.last.in_features, IDENTITY).T)
        return network.eval().requires_grad_(False)

    def forward(self, chips: Tensor) -> Tensor:
        x = functional.relu(self.first((chips - self.mean) / 256))
        x = self.blocks(functional.max_pool2d(x, 3, 2))
        result: Tensor = self.last(x.mean((2, 3)))
        return result

    @torch.inference_mode()
    def describe(self, chip: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(128,) of a face chip (150, 150, 3) RGB."""
        result: NDArray[np.float32] = self(torch.from_numpy(chip).permute(2, 0, 1)[None].float())[0].numpy()
        return result


class _Block(nn.Module):
    """A residual block; where it changes width or size, what it adds to is averaged and filled up with zeros."""

    def __init__(self, width: int, wider: int, halved: bool) -> None:
        super().__init__()
        self.halved = halved
        self.first = nn.Conv2d(width, wider, 3, stride=2) if halved else nn.Conv2d(width, wider, 3, padding=1)
        self.second = nn.Conv2d(wider, wider, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        change = self.second(functional.relu(self.first(x)))
        if self.halved:
            x = functional.avg_pool2d(x, 2)
        size = [max(sides) for sides in zip(x.shape[1:], change.shape[1:], strict=True)]
        return functional.relu(_filled(x, size) + _filled(change, size))


def _filled(x: Tensor, size: list[int]) -> Tensor:
    """(n, c, h, w) with zeros after its last channels, rows and columns, up to `size`."""
    channels, height, width = (wanted - have for wanted, have in zip(size, x.shape[1:], strict=True))
    return functional.pad(x, (0, width, 0, height, 0, channels)) if channels or height or width else x


def _parts(content: bytes) -> Iterator[NDArray[np.float32]]:
    """The numbers of each layer that has some, in the order in which a picture passes them.

    dlib writes a layer's name and its parameters as a tensor: a version, four sizes, and floats. An integer is written
    as the count of its bytes and these, the lowest first.
    """
    at = 0
    convolutions = 1 + 2 * sum(count for _, count, _ in _LEVELS)
    # The last layer says first how many numbers it gives and takes.
    for name, integers in [(b"\x05con_4", 5), (b"\x07affine_", 5)] * convolutions + [(b"\x04fc_2", 7)]:
        at, sizes = content.index(name, at) + len(name), []
        for _ in range(integers):
            size, at = _integer(content, at)
            sizes.append(size)
        count = math.prod(sizes[-4:])
        yield np.frombuffer(content, "<f4", count, at)
        at += 4 * count


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    end = at + 1 + content[at]
    return int.from_bytes(content[at + 1 : end], "little"), end


def _set(weight: Tensor, values: NDArray[np.float32]) -> None:
    with torch.no_grad():
        weight.copy_(torch.from_numpy(np.ascontiguousarray(values)))
