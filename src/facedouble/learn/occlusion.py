"""What stands before a face: a small network that tells a face's own pixels from a hand, hair or microphone over it.

It is shown the aligned face, the drawing of its landmarks (which MediaPipe gives behind a hand as well, so drawing and
picture then disagree), and the face as it usually looks, laid on those landmarks: a mole that is seen between two
fingers is the face's, a finger of the face's own colour is not. What a picture looks like with nothing before it is
what helps most to tell what is before it: Sengupta et al., "Background Matting: The World is Your Green Screen",
CVPR 2020. It learns from the two people's own face sets with made-up things laid over them (learn.occluders), and
begins from weights that come with the package, learned the same way from rendered performers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..curate.faceset import FaceSet
from ..device import Device
from ..find.crop import crop_face
from ..find.mask import drawing
from ..find.surface import SkinMap, Surface
from ..footage import spread
from ..geometry import align, apply
from ..project import atomic_file, part_errors, save_tensors
from ..recipes import TrainRecipe
from . import data, occluders

FILE, WAY = "occlusion.safetensors", 1
"""of a model, and the version of how it is taught (project.is_made)"""
SIZE_PX, COVERAGE = 128, 1.7
_WIDTHS = (16, 32, 64, 96, 128)
_SLOPE = 0.1
FIRST_RATE = 2e-3
"""highest step size from nothing; what was learned before is not thrown away by smaller steps"""
_BATCH, _RATE, _WARM_UP_STEPS = 16, 5e-4, 50
_BANK, _FACES = 500, 500
USUAL_PX, _USUAL_OF = 128, 40
"""side of the usual face, laid flat, and of how many faces it is the middle"""
_UNEVEN, _DARKEST = 0.35, 1.2
"""how much, as a logarithm, light differs over a face and from the usual, and how dark a lamp's shadow may be"""
_OFF = 0.012
"""of half the picture, by which landmarks are off at random, as they are behind a hand"""
_DRIFT = 0.06
"""how far the light on a face is from the usual, in learning"""
_CERTAIN = 0.8
_AROUND = 0.15
_ONE, _TWO = 0.75, 0.25
"""how often a first and a second thing lies over a face"""


class Occlusion(nn.Module):
    """Pictures, drawings and the usual face laid on these (n, 3, 128, 128) in 0..1 to logits (n, 1, 128, 128): is
    something before the face here?

    A U-Net (Ronneberger et al., arXiv:1505.04597) on 2x2 px blocks.
    """

    usual: Tensor
    """(128, 128, 3) 0..1, laid flat (find.surface): A's face with nothing before it; 0 where nobody is known"""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("usual", torch.zeros(USUAL_PX, USUAL_PX, 3))
        self.first = nn.Conv2d(36, _WIDTHS[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(width, wider, 3, padding=1) for width, wider in pairwise(_WIDTHS))
        self.extra = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in _WIDTHS[1:])
        self.up = nn.ModuleList(nn.Conv2d(wider + width, width, 3, padding=1) for width, wider in pairwise(_WIDTHS))
        self.head = nn.Conv2d(_WIDTHS[0], 4, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # quicker on processors as well

    def know(self, faces: data.Canvases) -> None:
        """Take what these faces mostly look like for what A's face looks like with nothing before it."""
        self.usual.copy_(torch.from_numpy(self._usual(faces)))

    def with_usual(self, faces: data.Canvases, usual: NDArray[np.float32] | None = None) -> data.Canvases:
        """`faces`, in their last three channels what they usually look like, laid on the landmarks of each; `usual`,
        where that is known (128, 128, 3)."""
        usual, side = self._usual(faces) if usual is None else usual, faces.pixels.shape[-1]
        laid = np.stack([SkinMap.of(points, (side, side)).laid(usual) for points in faces.points])
        eight = torch.from_numpy(np.round(laid * 255).astype(np.uint8).transpose(0, 3, 1, 2))
        return replace(faces, pixels=torch.cat([faces.pixels[:, :6], eight], 1))

    def _usual(self, faces: data.Canvases) -> NDArray[np.float32]:
        return Surface().usual(faces.shown(spread(len(faces), _USUAL_OF)), USUAL_PX)

    def forward(self, pictures: Tensor, drawn: Tensor, usual: Tensor) -> Tensor:
        seen = functional.pixel_unshuffle(torch.cat([pictures, drawn, usual], 1) - 0.5, 2)
        x, levels = functional.leaky_relu(self.first(seen), _SLOPE), []
        for down, extra in zip(self.down, self.extra, strict=True):
            levels.append(x)
            x = functional.leaky_relu(down(functional.max_pool2d(x, 2)), _SLOPE)
            x = x + functional.leaky_relu(extra(x), _SLOPE)
        for up, level in zip(reversed(self.up), reversed(levels), strict=True):
            wider = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = functional.leaky_relu(up(torch.cat([wider, level], 1)), _SLOPE)
        return functional.pixel_shuffle(self.head(x), 2)

    @torch.inference_mode()
    def covered(
        self, pixels: NDArray[Any], points: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any]]:
        """How much something covers the face with landmarks (478, 2) in a frame (H, W, 3): (128, 128) 0..1, the (2, 3)
        map from frame px to it, and what the frame shows there: (128, 128, 3) 0..1."""
        to_crop = align(points, SIZE_PX, COVERAGE)
        crop = crop_face(pixels, to_crop, SIZE_PX).astype(np.float32) / np.iinfo(pixels.dtype).max
        there = apply(to_crop, points).astype(np.float32)
        drawn = drawing(there, (SIZE_PX, SIZE_PX)).astype(np.float32) / 255
        usual = SkinMap.of(there, (SIZE_PX, SIZE_PX)).laid(self.usual.cpu().numpy())
        place, parts = self.head.weight.device, (crop.transpose(2, 0, 1), drawn, usual.transpose(2, 0, 1))
        covered = self(*(torch.from_numpy(part)[None].to(place) for part in parts)).sigmoid()[0, 0]
        return covered.float().cpu().numpy(), to_crop, crop


def canvases(faces: FaceSet) -> data.Canvases:
    """A set's faces as `learn` takes them. Raises FaceError as `data.load` does."""
    return data.load(faces, TrainRecipe(size_px=SIZE_PX, coverage=min(COVERAGE, faces.recipe.coverage)), _FACES)


def learn(
    network: Occlusion,
    faces: Sequence[data.Canvases],
    steps: int,
    seed: int,
    device: Device,
    rate: float = _RATE,
    batch: int = _BATCH,
    bank: int = _BANK,
) -> Iterator[int]:
    """Train on the people's `faces`, as `canvases` gives them, A's first, `batch` of them a step, with a `bank` of
    things laid over them; yields the steps done. All chance comes from `seed`; on a GPU it is another."""
    network.know(faces[0])
    rng, generator = np.random.default_rng(seed), torch.Generator(device.name).manual_seed(seed)
    skins = np.concatenate([_skins(side, rng) for side in faces])
    made = occluders.bank(min(bank, steps * batch), skins, rng)  # no more than are shown
    things = torch.from_numpy(made).to(device.name)
    sides = [network.with_usual(faces[0], network.usual.cpu().numpy()), *map(network.with_usual, faces[1:])]
    sides = [replace(side, pixels=side.pixels.to(device.name)) for side in sides]
    optimizer = torch.optim.AdamW(network.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01)
    network.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            cosine = max(0.02, 0.5 * (1 + math.cos(math.pi * step / steps)))
            group["lr"] = rate * min(1, (step + 1) / _WARM_UP_STEPS) * cosine
        with torch.device(device.name):  # where all that is made of chance is made
            pictures, drawn, usual, truth = _batch(sides, things, generator, batch)
        with torch.autocast(device.name, torch.bfloat16, enabled=device.precision == "bf16"):
            answer = network(pictures, drawn, usual).float()
        loss = _loss(answer, truth, drawn[:, :1], trusted=step >= steps // 2)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield step + 1
    network.eval()


def _loss(answer: Tensor, truth: Tensor, face: Tensor, trusted: bool) -> Tensor:
    """Cross-entropy and overlap, mostly inside the face."""
    guess = answer.sigmoid()
    weight = _AROUND + face
    if trusted:
        # A face set may hold real hands, which nobody marked: where a network that knows these two faces by now is
        # certain of one, it is not punished. Beside a made-up thing it is: skin between two fingers is no finger.
        # After Reed et al., "Training Deep Neural Networks on Noisy Labels with Bootstrapping", arXiv:1412.6596.
        near = functional.max_pool2d(functional.max_pool2d(truth, 4), 7, 1, 3)  # within some 12 px
        apart = functional.interpolate(near, scale_factor=4.0) < 0.02
        weight = weight * ~(apart & (guess.detach() > _CERTAIN))
    each = functional.binary_cross_entropy_with_logits(answer, truth, reduction="none")
    both = (guess * truth * weight).sum((1, 2, 3))
    either = ((guess + truth) * weight).sum((1, 2, 3)) - both
    return (each * weight).sum() / weight.sum() + 0.3 * (1 - (both + 20) / (either + 20)).mean()


def _batch(
    faces: Sequence[data.Canvases], things: Tensor, generator: torch.Generator, count: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pictures, drawings and usual faces (n, 3, S, S), and what covers them (n, 1, S, S), on the default device."""
    seen = torch.cat([_moved(side, count // len(faces), generator) for side in faces])
    pictures, drawn, usual = seen[:, :3], seen[:, 3:6], seen[:, 6:]
    # Another light than the usual one, and the edge of a shadow, are nothing before the face.
    pictures, usual = pictures * _light(len(seen), 0.5, generator), usual * _light(len(seen), 1.0, generator)
    bare, covered = pictures, torch.zeros_like(pictures[:, :1])
    for share in (_ONE, _TWO):
        thing = _placed(things, len(seen), generator)
        cover = thing[:, 3:] * (torch.rand(len(seen), 1, 1, 1, generator=generator) < share)
        # Now and then it has the look of a piece of some face: only its outline tells it then.
        alike = torch.rand(len(seen), 1, 1, 1, generator=generator) < 0.25
        colour = torch.where(alike, _piece(bare, generator), thing[:, :3])
        pictures = _shadowed(pictures, cover, generator) * (1 - cover) + colour * cover
        covered = torch.maximum(covered, cover)
    light, drift = (data.colours(len(seen), jitter, generator) for jitter in (0.2, _DRIFT))
    pictures = data.recolour(pictures, *light)
    usual = torch.where(usual > 0, data.recolour(data.recolour(usual, *light), *drift), 0)
    return _worn(pictures, generator), drawn, usual, covered


def _moved(side: data.Canvases, count: int, generator: torch.Generator) -> Tensor:
    turn, shift = data.movement(count, True, generator)
    turn = turn * (1 + 0.15 * torch.randn(count, 1, 1, generator=generator).clamp(-1, 1))
    rows = torch.randint(len(side), (count,), generator=generator)
    seen, there = side.pixels[rows].float() / 255, data.grid(turn, 2 * shift, side)
    off = there + _OFF * torch.randn(count, 1, 1, 2, generator=generator)
    return torch.cat([data.sample(seen[:, :3], there), data.sample(seen[:, 3:], off)], 1)


def _placed(things: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(n, 4, S, S): things turned, mirrored, small or large, anywhere."""
    turn = (torch.rand(count, generator=generator) * 2 - 1) * math.pi
    size = 0.9 * torch.exp(0.35 * torch.randn(count, generator=generator))
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    shift = 0.75 * (torch.rand(count, 2, 1, generator=generator) * 2 - 1)
    cosine, sine = torch.cos(turn) * size, torch.sin(turn) * size
    linear = torch.stack([torch.stack([cosine * mirror, -sine], 1), torch.stack([sine * mirror, cosine], 1)], 1)
    where = functional.affine_grid(
        torch.cat([linear, -linear @ shift], 2), [count, 1, SIZE_PX, SIZE_PX], align_corners=False
    )
    chosen = things[torch.randint(len(things), (count,), generator=generator)]
    return functional.grid_sample(chosen, where, align_corners=False)


def _piece(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """(n, 3, S, S): a part of another of the pictures, enlarged."""
    count = len(pictures)
    shift = torch.rand(count, 2, 1, generator=generator) - 0.5
    part = torch.cat([0.4 * torch.eye(2).expand(count, 2, 2), shift], 2)
    where = functional.affine_grid(part, [count, 3, SIZE_PX, SIZE_PX], align_corners=False)
    others = pictures[torch.randperm(count, generator=generator)]
    return functional.grid_sample(others, where, padding_mode="reflection", align_corners=False)


def _light(count: int, often: float, generator: torch.Generator) -> Tensor:
    """(n, 1, S, S) factors of the light: smooth, and in half of them with the edge of a lamp's shadow; all 1 but
    `often`."""
    knots = torch.randn(count, 1, 4, 4, generator=generator) * _UNEVEN * torch.rand(count, 1, 1, 1, generator=generator)
    smooth = functional.interpolate(knots, size=(SIZE_PX, SIZE_PX), mode="bicubic", align_corners=True)
    angle, place, soft, depth, chance, drawn = torch.rand(6, count, 1, 1, generator=generator)
    x = torch.linspace(-1, 1, SIZE_PX)
    across = torch.cos(2 * math.pi * angle) * x + torch.sin(2 * math.pi * angle) * x[:, None] + 1.4 * place - 0.7
    shadow = _DARKEST * depth * (chance < 0.5) * torch.sigmoid(across / (0.01 + 0.15 * soft))
    return torch.where(drawn < often, torch.exp(smooth[:, 0] - shadow), 1.0)[:, None]


def _shadowed(pictures: Tensor, cover: Tensor, generator: torch.Generator) -> Tensor:
    """What is darkened by a thing before it is still face."""
    soft = functional.avg_pool2d(cover, 4)  # what is to be soft needs no more pixels
    for _ in range(2):
        soft = functional.avg_pool2d(soft, 3, 1, 1)
    soft = functional.interpolate(soft, size=SIZE_PX, mode="bilinear")
    down, right = torch.randint(-6, 7, (2,), generator=generator).tolist()
    depth = 0.5 * torch.rand(len(cover), 1, 1, 1, generator=generator)
    return pictures * (1 - depth * torch.roll(soft, (down, right), (2, 3)))


def _worn(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Soft now and then, and with some noise."""
    if torch.rand((), generator=generator) < 0.4:
        coarser = int(torch.randint(2, 4, (), generator=generator))
        small = functional.avg_pool2d(pictures, coarser)
        pictures = functional.interpolate(small, size=SIZE_PX, mode="bilinear")
    noise = torch.randn(pictures.shape, generator=generator)
    return pictures + 0.03 * torch.rand(len(pictures), 1, 1, 1, generator=generator) * noise


def _skins(side: data.Canvases, rng: np.random.Generator, count: int = 32) -> NDArray[np.float32]:
    """(count, 3): the middle colour, 0..1, of some faces."""
    chosen = side.pixels[torch.from_numpy(rng.integers(0, len(side), count))].numpy()
    middles = [np.median(face[:3][:, face[3] > 127], axis=1) for face in chosen]
    return np.asarray(np.stack(middles) / 255, np.float32)


def bundled() -> Occlusion:
    """The network as it comes with the package."""
    return _read(Path(__file__).parent / FILE)


def load(model: Path) -> Occlusion | None:
    """What `model` learned of its two people; None where it has learned nothing of the kind.

    Raises ModelError for a file that is broken or another program's.
    """
    path = model / FILE
    return _read(path) if path.is_file() else None


def save(network: Occlusion, model: Path) -> None:
    with atomic_file(model / FILE) as temporary:
        halves = {name: weight.contiguous().half() for name, weight in network.state_dict().items()}
        save_tensors(temporary, halves, WAY)


def _read(path: Path) -> Occlusion:
    from safetensors.torch import load_file

    network = Occlusion()
    with part_errors(path):
        network.load_state_dict({name: weight.float() for name, weight in load_file(path).items()})
    return network.eval()
