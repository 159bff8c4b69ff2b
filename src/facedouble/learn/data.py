"""Faces in memory as uint8, and batches of them, warped and coloured by batched tensor code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..curate.faceset import FaceSet
from ..curate.quality import in_crop
from ..device import cores, sent
from ..errors import FaceError
from ..faces import LANDMARKS
from ..find.crop import crop_face, lab
from ..find.mask import drawing, feature_mask
from ..footage import spread
from ..geometry import apply, compose, invert, square_to_crop
from ..media.flow import ordered_map
from ..recipes import MINIMUM_FACES, TrainRecipe
from .bend import Bend
from .degrade import degrade
from .iris import to_skin
from .model import SIDES, Network, Seen, Shown
from .shape import carried
from .together import ALONE, Together

T = TypeVar("T")
U = TypeVar("U")

MOST_FACES, _MOST_BYTES = 6000, 1 << 30
_CHANNELS = 7
_DEVICE_PART = 0.25
"""of a GPU's memory, that both sides' faces may take"""
_STRETCHES = 6
_IRISES_OF = 60
_HELD_OUT = 0.1
_BLACK = np.array([8, 0, 0], np.float32)
"""added to CIELAB's values, which light then changes in proportion"""


@dataclass(frozen=True, eq=False)
class Canvases:
    """Faces a little wider than the network's picture, so that it can be moved about in them."""

    pixels: Tensor
    """(n, 7, C, C) uint8: RGB, the drawing of the landmarks (see find.mask.drawing; its first is the face's mask), and
    the mask of eyes, brows and mouth"""
    size_px: int
    """S, the side of the network's picture, at the same scale as C"""
    square_px: float
    """the width of a face square, at the same scale"""
    points: NDArray[np.float32]
    """(n, 478, 2) landmarks in the canvas"""
    acting: Tensor
    """(n, 54) see Faces.acting"""
    source: NDArray[np.int64]
    """(n,) which clip of the face set each is of"""

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: Tensor | NDArray[np.int64]) -> Canvases:
        chosen = {name: getattr(self, name)[rows] for name in ("pixels", "points", "acting", "source")}
        return replace(self, **chosen)

    def shown(self, rows: NDArray[np.int64] | None = None) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Of these rows, or of all: the pictures (C, C, 3) 0..1, each with its landmarks (478, 2)."""
        for row in range(len(self)) if rows is None else rows.tolist():
            picture = np.asarray(self.pixels[row, :3].permute(1, 2, 0).numpy() / np.float32(255), np.float32)
            yield picture, self.points[row]

    def redrawn(self, offset: Tensor) -> Canvases:
        """A's faces with the drawings that B's decoder is shown, in B's shape; `offset` as in learn.shape."""
        pixels, size = self.pixels.clone(), (self.pixels.shape[-1], self.pixels.shape[-2])
        points = carried(self.points, self.acting.numpy(), offset.cpu().numpy(), self.square_px)
        for picture, face in zip(pixels, points, strict=True):
            picture[3:6] = torch.from_numpy(drawing(face, size))
        return replace(self, pixels=pixels, points=points)

    def centred(self, device: torch.device) -> tuple[Seen, Tensor]:
        """The faces as the network is shown them, unmoved, and their masks (n, 1, S, S) in 0..1."""
        straight = grid(torch.eye(2).expand(len(self), 2, 2), torch.zeros(len(self), 2), self).to(device)
        sampled = sample(self.pixels.to(device).float() / 255, straight)
        return Seen(sampled[:, :3], self.acting.to(device), sampled[:, 3:6]), sampled[:, 3:4]


def rows_facing(faces: FaceSet, facing: tuple[float, float]) -> NDArray[np.int64]:
    """The set's rows that have a crop, of faces turned from so many degrees up to so many, to either side."""
    rows = faces.rows_with_crops()
    yaw = np.abs(np.degrees(faces.faces.pose[rows, 0]))
    return np.asarray(rows[(yaw >= facing[0]) & (yaw < facing[1])])


def usable_rows(faces: FaceSet, recipe: TrainRecipe, facing: tuple[float, float] | None = None) -> NDArray[np.int64]:
    """The set's rows that have a crop; `facing`: of faces turned so many degrees, from and up to, to either side.

    Raises FaceError where there are fewer than 30, or where the crops show less than the recipe asks for.
    """
    rows = faces.rows_with_crops() if facing is None else rows_facing(faces, facing)
    if len(rows) < MINIMUM_FACES:
        raise FaceError(
            f"{faces.path}: {len(rows)} faces. Training needs at least {MINIMUM_FACES} (some hundreds, varied, are "
            "better): extract a longer clip."
        )
    if faces.recipe.coverage < recipe.coverage:
        raise FaceError(
            f"{faces.path}: its crops show {faces.recipe.coverage} face squares, the model needs {recipe.coverage}. "
            f"Extract again with --coverage {recipe.coverage} or more."
        )
    return rows


def canvas_px(recipe: TrainRecipe, shown: float) -> int:
    """C of Canvases, from crops that show so many face squares."""
    return round(recipe.size_px * min(shown, 1.25 * recipe.coverage) / recipe.coverage)


def canvas_bytes(recipe: TrainRecipe, shown: float) -> int:
    """Bytes of one face of Canvases, from crops that show so many face squares."""
    return _CHANNELS * canvas_px(recipe, shown) ** 2


def held(faces: int, recipe: TrainRecipe, shown: float, most: int = MOST_FACES) -> int:
    """How many of so many `faces` are held in RAM: at most `most`, and no more than a gigabyte of them."""
    return min(faces, most, _MOST_BYTES // canvas_bytes(recipe, shown))


def load(
    faces: FaceSet, recipe: TrainRecipe, most: int = MOST_FACES, facing: tuple[float, float] | None = None
) -> Canvases:
    """The set's crops at the recipe's scale, spread evenly over the set where not all are held, see `held`; `facing` as
    in `usable_rows`.

    Raises FaceError as `usable_rows` does, and for a crop that cannot be read.
    """
    rows, shown = usable_rows(faces, recipe, facing), faces.recipe.coverage
    side = canvas_px(recipe, shown)
    rows = rows[spread(len(rows), held(len(rows), recipe, shown, most))]
    to_canvas = compose(
        square_to_crop(side, recipe.coverage * side / recipe.size_px),
        invert(square_to_crop(faces.recipe.size_px, shown)),
    )
    pixels = np.empty((len(rows), _CHANNELS, side, side), np.uint8)
    points = np.empty((len(rows), LANDMARKS, 2), np.float32)

    def lay(place: int) -> None:
        row, size = rows[place], (side, side)
        canvas = crop_face(faces.read_crop(int(row)), to_canvas, side)
        points[place] = apply(compose(to_canvas, faces.transform[row]), faces.faces.points[row])
        pixels[place, :3] = canvas.transpose(2, 0, 1)
        pixels[place, 3:6] = drawing(points[place], size)
        pixels[place, 6] = feature_mask(points[place], size)

    for _ in _by_all_cores(range(len(rows)), lay):
        pass
    acting = torch.from_numpy(faces.faces.acting()[rows])
    square_px = recipe.size_px / recipe.coverage
    return Canvases(torch.from_numpy(pixels), recipe.size_px, square_px, points, acting, faces.source[rows])


def irises(faces: FaceSet) -> NDArray[np.float32]:
    """(3,) of some of the faces, as large and in the light as their crops show them: see learn.iris.

    Raises FaceError for a crop that cannot be read.
    """
    rows = faces.rows_with_crops()

    def shown(row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.asarray(faces.read_crop(row) / np.float32(255), np.float32), in_crop(faces, row)

    return to_skin(_by_all_cores(rows[spread(len(rows), _IRISES_OF)].tolist(), shown))


def _by_all_cores(items: Iterable[T], work: Callable[[T], U]) -> Iterator[U]:
    workers = cores()
    return ordered_map(items, work, workers=workers, ahead=4 * workers)


def match_colour(canvases: Canvases, like: Canvases) -> Canvases:
    """`canvases` in the light of `like`: the mean of their skin, of all together, brought to that of the other's, and
    all else as one lamp for another would change it.

    Both sides then come to the encoder in one light on the whole, so that it need not learn two, and B's decoder
    answers in A's colours. Lips and eyes do not count: that the one's are redder or bluer says nothing of the light.

    Light s times as strong makes CIELAB's L* + 16, a* and b* all s ** (1 / 3) times as large, and its colour adds to a*
    and b* in proportion to L* + 16: so what is dark stays dark, and black has hardly any colour. Of cameras' blacks
    less than 16 is so. A gain for each channel of linear light instead would blow up the noise of a channel of which
    the light has hardly any.
    """
    import cv2

    mean, wanted = _skin_of(canvases), _skin_of(like)
    lamp = np.eye(3) * (wanted[0] / mean[0])
    lamp[1:, 0] = (wanted[1:] - lamp[0, 0] * mean[1:]) / mean[0]
    pixels = canvases.pixels.clone()

    def match(picture: Tensor) -> None:
        lit = np.asarray(cv2.transform(_lab(picture) + _BLACK, lamp), np.float32) - _BLACK
        picture[:3] = torch.from_numpy(_from_lab(lit))

    for _ in _by_all_cores(pixels, match):
        pass
    return replace(canvases, pixels=pixels)


def load_both(
    sets: Mapping[str, FaceSet],
    recipe: TrainRecipe,
    most: int = MOST_FACES,
    facing: tuple[float, float] | None = None,
) -> dict[str, Canvases]:
    """Both sides' faces as `load` gives them, B's in A's colours."""
    faces = {side: load(sets[side], recipe, most, facing) for side in SIDES}
    return {**faces, "b": match_colour(faces["b"], faces["a"])}


def _skin_of(canvases: Canvases) -> NDArray[np.float64]:
    """(3,) the mean of L* + 16, a* and b*."""

    def sums(picture: Tensor) -> NDArray[np.float64]:
        skin = ((picture[3] > 127) & (picture[6] < 128)).numpy()
        return np.append((_lab(picture)[skin] + _BLACK).sum(0, np.float64), np.count_nonzero(skin))

    total = sum(_by_all_cores(canvases.pixels, sums), np.zeros(4))
    return np.asarray(total[:3] / total[3], np.float64)


def _lab(picture: Tensor) -> NDArray[np.float32]:
    return lab(picture[:3].permute(1, 2, 0).numpy())


def _from_lab(colours: NDArray[np.float32]) -> NDArray[np.uint8]:
    import cv2

    rgb = cv2.cvtColor(colours, cv2.COLOR_LAB2RGB)
    return np.asarray(np.round(np.clip(rgb, 0, 1) * 255).transpose(2, 0, 1), np.uint8)


def split(source: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers to train on and to hold out: a tenth, in whole stretches spread over the clips. `source`: (n,).

    Neighbouring frames are nearly the same face, so a stretch's edges (a tenth of it each side) go to neither. A
    stretch is of one clip: it ends where that ends, and the next clip's first frames are no neighbours of it.
    """
    count, rows = len(source), np.arange(len(source))
    stretch = max(1, round(_HELD_OUT * count / _STRETCHES))
    gap = max(1, stretch // 10)
    centres = (np.arange(_STRETCHES) + 0.5) * count / _STRETCHES
    here = source[:, None] == source[centres.astype(int)][None]
    away = np.where(here, np.abs(rows[:, None] - centres[None]), np.inf).min(1)
    return rows[away > stretch / 2 + gap], rows[away <= stretch / 2]


def bend(b: Canvases, a: Canvases, offset: Tensor, resting: Tensor, part: float) -> Bend:
    """`part` of B's faces to be bent into what A does; `offset` and `resting` (2, 54: A's, B's) as in learn.shape."""
    in_squares = carried(a.points / a.square_px, a.acting.numpy(), offset.cpu().numpy(), 1.0)
    # Both canvases have the face's place in their middle, but may differ in how far around it they reach.
    sides = [canvases.pixels.shape[-1] / canvases.square_px for canvases in (a, b)]
    own, theirs = b.points / b.square_px * 2 / sides[1] - 1, (in_squares - sides[0] / 2) * 2 / sides[1]
    a_rest, b_rest = resting.cpu()
    return Bend(own, theirs.astype(np.float32), b.acting, a.acting - a_rest + b_rest, 2 / sides[1], part)


@dataclass(frozen=True, eq=False)
class Feed:
    """Batches of one side's faces, warped and coloured, and some of them bent by `bend`, on `device`, which is not
    waited for."""

    canvases: Canvases
    recipe: TrainRecipe
    device: torch.device
    bend: Bend | None = None
    together: Together = ALONE

    def __call__(self, count: int, generator: torch.Generator) -> Shown:
        """This process's share of `count` faces, in 0..1.

        Input and target are the same face under the same movement, bending and colour; the input is warped besides, so
        that the encoder must understand it rather than copy it, and part of them is made worse (see learn.degrade). All
        chance comes from `generator`, whose state a checkpoint keeps; it is drawn for all `count`, so that what a face
        gets does not depend on who computes it.
        """
        recipe, mine = self.recipe, self.together.share(count)
        rows = torch.randint(len(self.canvases), (count,), generator=generator)
        turn, shift = self._mine(count, *movement(count, recipe.flip, generator))
        straight, acting = grid(turn, shift, self.canvases), self.canvases.acting[rows]
        if self.bend is not None:
            rows, goal, acting = self.bend.cast(rows, generator)
            straight = self.bend(straight, rows[mine], goal[mine])
        gain, tone = self._mine(count, *colours(count, recipe.colour_jitter, generator))
        (knots,) = self._mine(count, torch.randn(count, 2, 5, 5, generator=generator) * recipe.warp)
        pixels = self.canvases.pixels
        faces = pixels[sent(rows[mine], pixels.device)].to(self.device).float().div_(255)
        faces[:, :3] = recolour(faces[:, :3], gain, tone)
        target = sample(faces, straight)
        warped = sample(faces[:, :3], straight + _elastic(knots, self.canvases))
        if recipe.degrade:  # else no chance is drawn, and seeded runs stay as they were before there was this
            warped = degrade(warped, recipe.degrade, count, mine, generator)
        keep = (torch.rand(count, 1, generator=generator) >= recipe.code_dropout).float()
        acting, keep = self._mine(count, acting, keep)
        return Shown(Seen(warped, acting, target[:, 3:6], keep), target[:, :3], target[:, 3::3])

    def _mine(self, count: int, *chance: Tensor) -> tuple[Tensor, ...]:
        """This process's share of what was drawn for `count` faces, on the device."""
        return tuple(sent(drawn[self.together.share(count)], self.device) for drawn in chance)


def feeds(
    learned: dict[str, Canvases],
    network: Network,
    recipe: TrainRecipe,
    device: torch.device,
    together: Together = ALONE,
) -> dict[str, Feed]:
    """Both sides', B's bent into A's expressions where recipe and network can."""
    bent = None
    if network.share is not None and recipe.bent:
        bent = bend(learned["b"], learned["a"], network.shape_offset, network.share.rest, recipe.bent)
    bends = {"a": None, "b": bent}
    if fit_beside(sum(faces.pixels.nbytes for faces in learned.values()), device):
        learned = {side: replace(faces, pixels=faces.pixels.to(device)) for side, faces in learned.items()}
    return {side: Feed(learned[side], recipe, device, bends[side], together) for side in SIDES}


def fit_beside(faces_bytes: int, device: torch.device) -> bool:
    """Whether faces of so many bytes are held in a GPU's own memory while it learns, as to fetch each batch from RAM
    takes longer than to learn from it."""
    if device.type != "cuda":
        return False
    return faces_bytes <= _DEVICE_PART * torch.cuda.get_device_properties(device).total_memory


def recolour(pictures: Tensor, gain: Tensor, tone: Tensor) -> Tensor:
    """`gain` (n, 3, 1, 1) in light, `tone` (n, 1, 1, 1) as an exponent."""
    return (pictures.clamp(0.004, 1) ** tone * gain).clamp(0, 1)


def movement(count: int, flip: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Small turns (n, 2, 2), and shifts (n, 2) as parts of half a picture, by which `count` faces are moved."""
    spread = torch.rand(count, 4, generator=generator) * 2 - 1
    angle, scale = spread[:, 0] * 0.14, 1 + spread[:, 1] * 0.05
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    turn = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    if flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        turn[:, :, 0] *= torch.where(mirrored, -1.0, 1.0)[:, None]
    return turn, spread[:, 2:] * 0.05


def _elastic(knots: Tensor, canvases: Canvases) -> Tensor:
    """(n, S, S, 2) smooth displacements, in the canvas's -1..1, from `knots` (n, 2, 5, 5) in the picture's."""
    # As smooth at a quarter of the size, at a fifth of the cost.
    field = functional.interpolate(knots, size=canvases.size_px // 4, mode="bicubic", align_corners=True)
    field = functional.interpolate(field, size=canvases.size_px, mode="bilinear", align_corners=True)
    return field.permute(0, 2, 3, 1) * canvases.size_px / canvases.pixels.shape[-1]


def colours(count: int, jitter: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Gain and tone for `recolour`, one light for each of `count` faces."""
    chance = torch.randn(count, 5, generator=generator) * jitter
    gain = torch.exp(chance[:, :1] + 0.4 * chance[:, 1:4])[:, :, None, None]
    return gain, torch.exp(chance[:, 4])[:, None, None, None]


def grid(turn: Tensor, shift: Tensor, canvases: Canvases) -> Tensor:
    """(n, S, S, 2) where in the canvas (-1..1 over it) each pixel of the picture is taken from."""
    size, side = canvases.size_px, canvases.pixels.shape[-1]
    placed = torch.cat([turn, shift[:, :, None]], 2) * size / side
    return functional.affine_grid(placed, [len(turn), 1, size, size], align_corners=False)


def sample(pictures: Tensor, where: Tensor) -> Tensor:
    """(n, c, S, S): `pictures` (n, c, C, C) at `where` (n, S, S, 2), in their -1..1."""
    return functional.grid_sample(pictures, where, mode="bilinear", padding_mode="reflection", align_corners=False)
