"""The networks: one encoder shared by both people, one decoder each, which gives a face and its mask.

`classic` is the founding text's: 5x5 convolutions of stride 2, two dense layers, sub-pixel upscaling (Shi et al.,
arXiv:1609.05158). `compact` works on 4x4 px blocks from the first layer, so that no convolution runs at full size, and
its decoders learn residuals (He et al., arXiv:1512.03385); about a fourteenth of the work an image. Most of it is in
the decoders: what A does reaches them by drawing and measured expression as well, so that the encoder may be plain.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..faces import ACTING, LANDMARKS
from ..recipes import TrainRecipe
from .shape import from_angles, rest, shape_offset
from .together import ALONE, Together

SIDES = ("a", "b")
_SLOPE = 0.1


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network is shown of n faces."""

    pictures: Tensor
    """(n, 3, S, S)"""
    acting: Tensor
    """(n, 54) see Faces.acting"""
    drawing: Tensor
    """(n, 3, S, S) see find.mask.drawing; for the other person's decoder, in that person's shape"""
    keep: Tensor | None = None
    """(n, 1) 0 where the picture's code is dropped and the decoder must do with `acting`; None keeps all"""


class Shown(NamedTuple):
    """Faces of one side that are learned from: what the network sees, and what it is to make of it."""

    seen: Seen
    target: Tensor
    """(n, 3, S, S)"""
    masks: Tensor
    """(n, 2, S, S) face and features"""

    def tensors(self) -> list[Tensor]:
        seen = self.seen
        return [seen.pictures, seen.acting, seen.drawing, *([] if seen.keep is None else [seen.keep]), *self[1:]]

    def copied(self) -> Shown:
        """In memory of its own."""
        pictures, acting, drawing, *keep, target, masks = (part.clone() for part in self.tensors())
        return Shown(Seen(pictures, acting, drawing, *keep), target, masks)


class Network(nn.Module):
    """`encoder`, and `decoders["a"]`, `decoders["b"]`.

    A picture is (n, 3, S, S) in 0..1; a decoder's answer is (n, 4, S, S): RGB and mask, in 0..1.
    """

    shape_offset: Tensor
    iris: Tensor
    """(3,) see learn.iris: B's, as learned"""

    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__()
        encoder, decoder = (
            (ClassicEncoder, ClassicDecoder) if recipe.preset == "classic" else (CompactEncoder, CompactDecoder)
        )
        self.encoder = encoder(recipe)
        self.share = SharedCode(recipe.latent) if recipe.shared_code else None
        self.reader = DrawingReader(recipe) if recipe.shared_code else None
        self.decoders = nn.ModuleDict({side: decoder(recipe) for side in SIDES})
        # What carries A's landmarks into B's shape, see learn.shape; kept with the weights, as converting needs it.
        self.register_buffer("shape_offset", torch.zeros(LANDMARKS, 3))
        self.register_buffer("iris", torch.zeros(3))
        self.register_load_state_dict_pre_hook(_as_now)  # type: ignore[no-untyped-call]

    def meet(
        self,
        points: dict[str, NDArray[np.float32]],
        acting: dict[str, NDArray[np.float32]],
        iris: NDArray[np.float32],
    ) -> None:
        """Take both people's measures, see learn.shape: `points` aligned, in face squares, and `acting`; and the `iris`
        of B, see learn.iris."""
        self.iris.copy_(torch.from_numpy(iris))
        if self.share is None:
            return
        resting = {side: rest(acting[side]) for side in SIDES}
        offset = shape_offset([points[side] for side in SIDES], [acting[side] - resting[side] for side in SIDES])
        self.shape_offset.copy_(torch.from_numpy(offset))
        self.share.rest.copy_(torch.from_numpy(np.stack(list(resting.values()))))

    def forward(self, a: Seen, b: Seen) -> tuple[Tensor, Tensor]:
        """Both sides rebuilt, in one pass through the encoder: (n, 4, S, S) and (m, 4, S, S)."""
        counts = [len(a.pictures), len(b.pictures)]
        codes = self.encoder(torch.cat([a.pictures, b.pictures])).split(counts)
        hints: list[list[Tensor]] = [[], []]
        if self.share is not None and self.reader is not None:
            codes = [self.share(code, seen, of) for code, seen, of in zip(codes, (a, b), SIDES, strict=True)]
            levels = self.reader(torch.cat([a.drawing, b.drawing]))
            hints = [list(level) for level in zip(*(level.split(counts) for level in levels), strict=True)]
        return self.decoders["a"](codes[0], hints[0]), self.decoders["b"](codes[1], hints[1])

    def rebuild(self, seen: Seen, of: str, by: str) -> Tensor:
        """(n, 4, S, S): faces of side `of` through the encoder, and by the decoder of side `by`."""
        code, hints = self.encoder(seen.pictures), []
        if self.share is not None and self.reader is not None:
            code, hints = self.share(code, seen, of), self.reader(seen.drawing)
        result: Tensor = self.decoders[by](code, hints)
        return result


def _as_now(network: Network, weights: dict[str, Tensor], *_: object) -> None:
    """Models of earlier versions knew shapes by angle, and no irises."""
    weights.setdefault("iris", network.iris)
    if (offset := weights.get("shape_offset")) is not None and offset.shape == (3, LANDMARKS, 2):
        weights["shape_offset"] = from_angles(offset)


class SharedCode(nn.Module):
    """What makes one person's codes mean something to the other's decoder.

    Each person's codes are normalised by themselves, and the measured expression, counted from the person's rest (see
    learn.shape), and angle, which mean the same on every face, are added. In part of the training the decoder gets only
    the latter, so that it learns to obey it.
    """

    rest: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("rest", torch.zeros(len(SIDES), ACTING))
        self.norms = nn.ModuleDict({side: PersonNorm(width) for side in SIDES})
        self.acting = nn.Sequential(nn.Linear(ACTING, 256), nn.LeakyReLU(_SLOPE), nn.Linear(256, width))

    def forward(self, code: Tensor, seen: Seen, of: str) -> Tensor:
        code = self.norms[of](code)
        if seen.keep is not None:
            code = code * seen.keep
        result: Tensor = code + self.acting(seen.acting - self.rest[SIDES.index(of)])
        return result


class PersonNorm(nn.Module):
    """A person's codes (n, d) brought to mean 0 and spread 1 in every number, by that person's own running statistics.

    The shared encoder sees two different people, so their codes lie in two clouds, and a decoder that knows the one
    understands little of the other. With each cloud centred and scaled by itself, what is left is what the face does.
    After Chang et al., "Domain-Specific Batch Normalization", CVPR 2019; running rather than batch statistics, so that
    training does exactly what converting will do, whatever the batch. They are of the whole batch, of which each
    process of `together` has a share.
    """

    mean: Tensor
    spread: Tensor
    seen: Tensor

    together: Together = ALONE

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, code: Tensor) -> Tensor:
        code = code.float()
        if self.training:
            with torch.no_grad():
                # Changed only once all have come so far: where one of them cannot, all of them keep the same.
                mean = self.together.mean(code.mean(0), len(code))
                self.seen += 1
                share = torch.clamp(1 / self.seen, min=0.01)
                self.mean.lerp_(mean, share)
                spread = self.together.mean((code - self.mean).square().mean(0), len(code))
                self.spread.lerp_(spread, share)
        return (code - self.mean) * torch.rsqrt(self.spread + 1e-4)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(functional.leaky_relu(self.first(functional.leaky_relu(x, _SLOPE)), _SLOPE))
        return x + change


class Upscale(nn.Module):
    """Twice the size: a convolution to four times the channels, rearranged."""

    def __init__(self, width: int, narrower: int, slope: float = 1.0) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, narrower * 4, 3, padding=1)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(functional.leaky_relu(self.convolution(x), self.slope), 2)


class CompactEncoder(nn.Module):
    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__()
        widths = recipe.widths
        layers: list[nn.Module] = [nn.PixelUnshuffle(4), nn.Conv2d(48, widths[0], 1)]
        for width, wider in pairwise(widths):
            layers += [nn.LeakyReLU(_SLOPE), nn.AvgPool2d(2), nn.Conv2d(width, wider, 3, padding=1)]
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(_SLOPE), nn.Flatten())
        self.code = nn.Linear(widths[-1] * _coarse_px(recipe) ** 2, recipe.latent)
        self.detail = recipe.detail

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.code(self.layers(_coarser(x, self.detail) - 0.5))
        return result


class DrawingReader(nn.Module):
    """A drawing (n, 3, S, S) as hints for a compact decoder, added to its features: one per level but the coarsest."""

    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__()
        finest, *coarser = recipe.widths[:-1]
        self.first = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, finest, 3, padding=1), nn.LeakyReLU(_SLOPE))
        self.detail = recipe.detail
        # Coarser levels see the same features averaged: strided convolutions cost much more and gained nothing.
        self.further = nn.ModuleList(nn.Conv2d(finest, width, 1) for width in coarser)

    def forward(self, drawing: Tensor) -> list[Tensor]:
        """From coarse to fine, as the decoder goes."""
        finest: Tensor = self.first(_coarser(drawing, self.detail))
        coarser = [layer(functional.avg_pool2d(finest, 2 << level)) for level, layer in enumerate(self.further)]
        return [*reversed(coarser), finest]


class CompactDecoder(nn.Module):
    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__()
        widths, side = recipe.widths[::-1], _coarse_px(recipe)
        self.spread = nn.Sequential(
            nn.Linear(recipe.latent, widths[0] * side**2), nn.Unflatten(1, (widths[0], side, side)), Residual(widths[0])
        )
        self.upscales = nn.ModuleList(Upscale(width, narrower) for width, narrower in pairwise(widths))
        self.residuals = nn.ModuleList(Residual(width) for width in widths[1:])
        finer: list[nn.Module] = []
        for halving in range(recipe.detail.bit_length() - 1):
            finer += [nn.LeakyReLU(_SLOPE), Upscale(widths[-1] >> halving, widths[-1] >> (halving + 1))]
        narrow = widths[-1] >> (recipe.detail.bit_length() - 1)
        self.picture = nn.Sequential(*finer, nn.LeakyReLU(_SLOPE), nn.Conv2d(narrow, 64, 3, padding=1))

    def forward(self, code: Tensor, hints: list[Tensor]) -> Tensor:
        x = self.spread(code)
        for level, (upscale, residual) in enumerate(zip(self.upscales, self.residuals, strict=True)):
            x = upscale(x)
            x = residual(x + hints[level] if hints else x)
        return torch.sigmoid(functional.pixel_shuffle(self.picture(x), 4).float())


class ClassicEncoder(nn.Module):
    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, wider in pairwise((3, *recipe.widths)):
            layers += [nn.Conv2d(width, wider, 5, stride=2, padding=2), nn.LeakyReLU(_SLOPE)]
        width, side = recipe.widths[-1], _coarse_px(recipe)
        self.layers = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(width * side**2, recipe.latent),
            nn.Linear(recipe.latent, width * side**2),
            nn.Unflatten(1, (width, side, side)),
            Upscale(width, width // 2, _SLOPE),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layers(x)
        return result


class ClassicDecoder(nn.Module):
    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__()
        widths = [width // 2 for width in recipe.widths[::-1]]
        layers = [Upscale(width, narrower, _SLOPE) for width, narrower in pairwise(widths)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 4, 5, padding=2))

    def forward(self, code: Tensor, hints: list[Tensor]) -> Tensor:
        return torch.sigmoid(self.layers(code).float())


def _coarser(pictures: Tensor, times: int) -> Tensor:
    return functional.avg_pool2d(pictures, times) if times > 1 else pictures


def _coarse_px(recipe: TrainRecipe) -> int:
    levels = len(recipe.widths)
    halvings = levels if recipe.preset == "classic" else levels + 1  # blocks of 4 px, then levels - 1 strides
    return recipe.size_px // (recipe.detail << halvings)


def parameters(network: nn.Module) -> int:
    count: int = sum(weight.numel() for weight in network.parameters())
    return count
