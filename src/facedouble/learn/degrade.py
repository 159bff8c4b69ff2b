"""Pictures made worse by chance, as small, noisy or hard compressed footage is: batched, and without a file written."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..device import sent

_SOFTEST = 0.025
"""of a picture's side, the blur's standard deviation: at 96 px that of a face some three times too small"""
_NOISIEST = 0.05
"""of white"""
_FINEST, _COARSEST = 0.5, 5.0
"""of JPEG's tables as they are printed: its qualities 75 and 10, as its reference program counts them"""
_BLOCK = 8
# ITU-T T.81, tables K.1 and K.2: what luminance and both chrominances are divided by before they are rounded.
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, *[99] * 36,
)  # fmt: skip
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def degrade(pictures: Tensor, part: float, count: int, mine: slice, generator: torch.Generator) -> Tensor:
    """`pictures` (n, 3, S, S) in 0..1, each with chance `part` blurred, then made noisy, then blocky, each as much as
    chance will have it. They are those of `count` that `mine` names; all chance comes from `generator`, a CPU's, and is
    drawn for all of them."""
    worse = torch.nonzero(torch.rand(count, generator=generator) < part)[:, 0]
    strength = torch.rand(len(worse), 3, 1, 1, 1, generator=generator)
    noise = torch.randn(len(worse), *pictures.shape[1:], generator=generator)
    across, down = torch.randint(_BLOCK, (2,), generator=generator).tolist()
    here = (worse >= mine.start) & (worse < mine.stop)
    if not here.any():
        return pictures
    softness, noisiness, coarseness = strength[here].unbind(1)
    rows, noise, noisiness, coarseness = (
        sent(chance, pictures.device) for chance in ((worse - mine.start)[here], noise[here], noisiness, coarseness)
    )
    found = blurred(pictures[rows], softness * _SOFTEST * pictures.shape[-1])
    found = (found + noisiness * _NOISIEST * noise).clamp(0, 1)
    found = blocky(found, _FINEST * (_COARSEST / _FINEST) ** coarseness, across, down)
    return pictures.index_copy(0, rows, found)


def blurred(pictures: Tensor, deviation_px: Tensor) -> Tensor:
    """`pictures` (n, c, S, S), on any device, each by a Gaussian of its own `deviation_px` (n, 1, 1, 1), the CPU's."""
    count, channels, height, width = pictures.shape
    reach = min(height - 1, math.ceil(2.5 * float(deviation_px.max())))
    places, deviation_px = torch.arange(-reach, reach + 1, device=pictures.device), sent(deviation_px, pictures.device)
    kernels = torch.exp(-0.5 * (places / deviation_px.clamp(min=0.1)) ** 2)  # (n, 1, 1, k)
    kernels = (kernels / kernels.sum(-1, keepdim=True)).repeat_interleave(channels, 0)
    # Each picture's channels as channels of one picture, that each may have its own kernel.
    one = functional.pad(pictures.reshape(1, count * channels, height, width), [reach] * 4, mode="reflect")
    one = functional.conv2d(one, kernels, groups=count * channels)
    one = functional.conv2d(one, kernels.transpose(2, 3), groups=count * channels)
    return one.reshape(pictures.shape)


def blocky(pictures: Tensor, coarse: Tensor, across: int, down: int) -> Tensor:
    """`pictures` (n, 3, H, W) as JPEG leaves them: cosine transforms of blocks of 8 x 8 px, rounded to its tables times
    `coarse` (n, 1, 1, 1). The first block begins `across` and `down` px before the picture.

    Only what rounding does: nothing is coded, and chrominance stays at full size. ITU-T T.81 (1992).
    """
    height, width = pictures.shape[-2:]
    edges = (across, -(across + width) % _BLOCK, down, -(down + height) % _BLOCK)
    to_ycc = torch.tensor(_TO_YCC)
    to_rgb, to_ycc, cosine, tables = (
        sent(part, pictures.device)
        for part in (torch.linalg.inv(to_ycc), to_ycc, _cosine(), torch.tensor([_LUMA, _CHROMA, _CHROMA]))
    )
    ycc = torch.einsum("dc,nchw->ndhw", to_ycc, functional.pad(pictures, edges, mode="replicate") * 255 - 128)
    rows, columns = (side // _BLOCK for side in ycc.shape[-2:])
    blocks = ycc.reshape(-1, 3, rows, _BLOCK, columns, _BLOCK)
    waves = torch.einsum("ij,ncrjsk,lk->ncrsil", cosine, blocks, cosine)
    steps = (tables.view(3, 1, 1, _BLOCK, _BLOCK) * coarse[..., None, None]).clamp(min=1)
    waves = (waves / steps).round() * steps
    blocks = torch.einsum("ij,ncrsil,lk->ncrjsk", cosine, waves, cosine)
    found = torch.einsum("dc,nchw->ndhw", to_rgb, blocks.reshape(ycc.shape))
    return ((found[:, :, down : down + height, across : across + width] + 128) / 255).clamp(0, 1)


def _cosine() -> Tensor:
    """(8, 8) the orthonormal cosine transform: waves by places."""
    places = torch.arange(_BLOCK)
    waves = torch.cos(math.pi / _BLOCK * (places + 0.5) * places[:, None]) * math.sqrt(2 / _BLOCK)
    waves[0] /= math.sqrt(2)
    return waves
