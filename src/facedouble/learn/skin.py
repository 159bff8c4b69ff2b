"""A person's fine skin detail (freckles, moles, pores, lines), which a network that minimises mean error blurs away:
read off the face set once, averaged on the skin laid flat, and laid over the swap again.

Each face is laid flat (find.surface) and compared with itself blurred, as a ratio of light: what is left is mostly the
skin's own colour, hardly the lamp's. Landmarks are a pixel or two off, enough to average freckles away, so faces are
first brought onto each other by optical flow (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV
2016). What differs from face to face - grain, compression, a passing crease - averages out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..curate.faceset import FaceSet
from ..curate.quality import in_crop
from ..events import Progress
from ..find.mask import inner_mask, skin_mask
from ..find.surface import FLAT_PX, Surface
from ..footage import spread
from ..project import atomic_file, part_errors, save_tensors

FILE, WAY = "skin.safetensors", 1
"""of a model, and the version of how it is read (project.is_made)"""
COARSEST = 0.024
"""of a face square: the spread of the blur that detail is told from. A network's picture of 96 px has two px in it"""
_ROUNDS = 2
_SMOOTH_PX = 12
_FARTHEST_PX = 6
_DARK = 0.02
_BESIDE = 0.015
"""of the face's width, next to eyes, brows, lips and nostrils: a mole beside the mouth is what a face is known by"""
_RIM = 0.04
"""of the face's width, next to which hair, ears and background begin"""
_SKIN_WITHIN = 20.0
"""CIELAB units from the middle of the face's skin"""
_ENOUGH = 0.1
"""of the weight that most of the skin has: a place seen less, by few faces and from aside, may be the edge of hair"""


@dataclass(frozen=True, eq=False)
class SkinDetail:
    ratio: NDArray[np.float32]
    """(512, 512, 3) on the flat skin: natural logarithm of the light at a point over that around it; 0 where unknown"""

    def save(self, model: Path) -> None:
        with atomic_file(model / FILE) as temporary:
            save_tensors(temporary, {"ratio": torch.from_numpy(self.ratio.astype(np.float16))}, WAY)

    @classmethod
    def load(cls, model: Path) -> Self | None:
        """None where the model has none. Raises ModelError for a file that is broken or another program's."""
        from safetensors.numpy import load_file

        file = model / FILE
        if not file.is_file():
            return None
        with part_errors(file):
            ratio = load_file(file)["ratio"].astype(np.float32)
            if ratio.shape != (FLAT_PX, FLAT_PX, 3) or not np.isfinite(ratio).all():
                raise ValueError(f"ratio of shape {ratio.shape}")
        return cls(ratio)


def read(faces: FaceSet, most: int) -> Iterator[Progress | SkinDetail]:
    """Looks at `most` faces of the set, or all if there are fewer; yields the SkinDetail last.

    Raises FaceError for a crop that cannot be read.
    """
    import cv2

    rows = faces.rows_with_crops()
    rows = rows[spread(len(rows), most)]
    surface = Surface()
    flats, weights = [], []
    for row in rows:
        crop, points = faces.read_crop(int(row)), in_crop(faces, int(row))
        sigma = COARSEST * faces.recipe.size_px / faces.recipe.coverage
        ratio, skin = fine(np.asarray(crop / np.float32(255), np.float32), points, sigma)
        # Skin that is seen straight on, large and sharp counts most.
        worth = surface.facing(points) * max(float(np.nan_to_num(faces.sharpness[row], nan=1.0)), 1e-3)
        worth = cv2.GaussianBlur(worth, (0, 0), 4) ** 2 * surface.flattened(skin, points)
        flats.append(surface.flattened(ratio, points).astype(np.float16))
        weights.append(worth.astype(np.float32))
        yield Progress("reading skin detail", len(flats), len(rows), "faces")
    yield SkinDetail(_together(flats, weights))


def fine(
    picture: NDArray[np.float32], points: NDArray[np.float32], sigma: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is finer than a blur of `sigma` px on the skin of the face with landmarks (478, 2) in `picture` (H, W, 3)
    0..1, as the logarithm of a ratio; and the weight (H, W) 0..1 of skin. The rest is 0, and does not blur into it."""
    import cv2

    size = (picture.shape[1], picture.shape[0])
    skin = skin_mask(points, size, inner_mask(points, size, _RIM), _BESIDE).astype(np.float32) / 255
    near = np.maximum(cv2.GaussianBlur(skin, (0, 0), sigma), 1e-3)
    # Hair over the forehead, and what a mask took for skin: by colour, blurred so that a mole is still skin.
    colour = cv2.cvtColor(
        cv2.GaussianBlur(picture * skin[..., None], (0, 0), sigma) / near[..., None], cv2.COLOR_RGB2LAB
    )
    if (inside := skin > 0.5).any():
        skin = skin * (np.linalg.norm(colour - np.median(colour[inside], axis=0), axis=-1) < _SKIN_WITHIN)
        near = np.maximum(cv2.GaussianBlur(skin, (0, 0), sigma), 1e-3)
    light = np.log(np.maximum(picture, 0) + _DARK)
    around = cv2.GaussianBlur(light * skin[..., None], (0, 0), sigma) / near[..., None]
    # By the border little is known of what is around.
    weight = np.clip(2 * near - 1, 0, 1) * skin
    return np.asarray((light - around) * weight[..., None], np.float32), np.asarray(weight, np.float32)


def _together(flats: list[NDArray[np.float16]], weights: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The weighted mean of flat pictures (512, 512, 3), each brought onto the mean of the round before."""
    import cv2

    flow_between = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    place = np.stack(np.meshgrid(*[np.arange(FLAT_PX, dtype=np.float32)] * 2), -1)
    mean, known = _mean(flats, weights)
    for _ in range(_ROUNDS):
        goal, moved, moved_weights = _grey(mean), [], []
        for flat, weight in zip(flats, weights, strict=True):
            flow = cv2.GaussianBlur(flow_between.calc(goal, _grey(flat), None), (0, 0), _SMOOTH_PX)
            to = place + np.clip(flow, -_FARTHEST_PX, _FARTHEST_PX)
            moved.append(cv2.remap(flat.astype(np.float32), to, None, cv2.INTER_CUBIC).astype(np.float16))
            moved_weights.append(cv2.remap(weight, to, None, cv2.INTER_LINEAR))
        mean, known = _mean(moved, moved_weights)
    return mean * known[..., None]


def _mean(flats: list[NDArray[Any]], weights: list[NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    total = np.zeros((FLAT_PX, FLAT_PX, 3), np.float32)
    for flat, weight in zip(flats, weights, strict=True):
        total += flat * weight[..., None]
    weight = np.sum(weights, axis=0)
    enough = _ENOUGH * float(np.percentile(weight[weight > 0], 90)) if (weight > 0).any() else 1.0
    return total / np.maximum(weight, 1e-9)[..., None], np.clip(weight / enough, 0, 1).astype(np.float32)


def _grey(ratio: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(128 + 600 * ratio.astype(np.float32).mean(2), 0, 255), np.uint8)
