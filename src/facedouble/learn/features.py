"""The fine light of a person's eyes, brows, nose and lips - lashes, hairs, rims, lines - of as many faces as show what
they do.

A network that minimises mean error blurs it away, and unlike that of skin (learn.skin) it does not stand still: there
are as many kinds of it as there are glances and words. So it is kept as it is in the pictures themselves, and a swap
takes it from those that do most nearly the same (swap.features). As a ratio of light to what is around, which depends
little on the lamp: Liu, Shan and Zhang, "Expressive expression mapping with ratio images", SIGGRAPH 2001.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..curate.faceset import FaceSet
from ..curate.part import pick
from ..curate.quality import in_crop, measure
from ..events import Note, Progress
from ..faces import LANDMARKS
from ..footage import LUMINANCE
from ..geometry import INNER_LIPS, LEFT_BROW, LEFT_EYE, LEFT_IRIS, LIPS, NOSTRILS, RIGHT_BROW, RIGHT_EYE, RIGHT_IRIS
from ..project import atomic_file, part_errors, save_tensors
from ..recipes import TrainRecipe

PARTS = (
    np.concatenate([RIGHT_EYE, RIGHT_IRIS]),
    np.concatenate([LEFT_EYE, LEFT_IRIS]),
    RIGHT_BROW,
    LEFT_BROW,
    NOSTRILS,
    np.concatenate([LIPS, INNER_LIPS]),
)
"""landmarks of each; each is looked for by itself: who raises a brow while speaking may never have done both at once"""
FILE, WAY = "features.safetensors", 1
"""of a model, and the version of how it is read (project.is_made)"""
EVEN, STEPS = 128, 100
"""the value that says "as light as around", and how many there are to a natural logarithm"""
_DARK = 0.03
"""added to light, as a ratio of what is nearly black says nothing"""
_FINEST = 0.014
"""of a face square: large networks are softer than their pixels (benchmarks/README.md)"""
_AROUND = 0.25
"""of a face square, kept on each side of what all faces show"""


@dataclass(frozen=True, eq=False)
class FeatureDetail:
    light: NDArray[np.uint8]
    """(n, h, w): hundredths, from 128, of the natural logarithm of the light at a px over that around it"""
    points: NDArray[np.float32]
    """(n, 478, 2) landmarks, px in these pictures"""
    square_px: float
    """the width of a face square there"""
    coarse: float
    """in face squares: the spread of the blur that they are finer than"""

    def save(self, model: Path) -> None:
        with atomic_file(model / FILE) as temporary:
            scale = np.array([self.square_px, self.coarse])
            tensors = {"light": self.light, "points": self.points, "scale": scale}
            save_tensors(temporary, {name: torch.from_numpy(value) for name, value in tensors.items()}, WAY)

    @classmethod
    def load(cls, model: Path) -> Self | None:
        """None where the model has none. Raises ModelError for a file that is broken or another program's."""
        from safetensors.numpy import load_file

        file = model / FILE
        if not file.is_file():
            return None
        with part_errors(file):
            known = load_file(file)
            light, points, (square_px, coarse) = known["light"], known["points"], known["scale"].tolist()
            if not (1 <= square_px < 1e5 and 0 < coarse < 1):
                raise ValueError(f"scale {square_px}, {coarse}")
            if light.ndim != 3 or light.dtype != np.uint8 or not light.size:
                raise ValueError(f"light of shape {light.shape}")
            if points.shape != (len(light), LANDMARKS, 2) or not np.isfinite(points).all():
                raise ValueError(f"points of shape {points.shape}")
        return cls(light, points.astype(np.float32), square_px, coarse)


def read(faces: FaceSet, recipe: TrainRecipe, workers: int) -> Iterator[Progress | Note | FeatureDetail]:
    """Reads so many faces of the set as the recipe says, or all if there are fewer, which show all that it does; yields
    the FeatureDetail last. Kept is what is finer than a pixel of the recipe's network, or than 1.4% of a face square.

    Raises FaceError for a crop that cannot be read.
    """
    quality = yield from measure(faces, workers)
    rows = quality.rows()
    if len(rows) > recipe.feature_faces:
        rows = yield from pick(faces, quality, recipe.feature_faces)
    coarse = max(recipe.coverage / recipe.size_px, _FINEST)
    points = np.stack([in_crop(faces, int(row)) for row in rows])
    square_px = faces.recipe.size_px / faces.recipe.coverage
    margin = _AROUND * square_px
    shown = points[:, np.concatenate(PARTS)].reshape(-1, 2)
    x0, y0 = np.maximum(np.floor(shown.min(0) - margin), 0).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(shown.max(0) + margin), faces.recipe.size_px).astype(int).tolist()
    light = []
    for row in rows:
        picture = np.asarray(faces.read_crop(int(row)) / np.float32(255), np.float32)
        light.append(fine_light(picture, coarse * square_px)[y0:y1, x0:x1])
        yield Progress("reading eyes, brows, nose and lips", len(light), len(rows), "faces")
    eight = np.clip(np.round(STEPS * np.stack(light)) + EVEN, 0, 255).astype(np.uint8)
    yield FeatureDetail(eight, (points - (x0, y0)).astype(np.float32), square_px, coarse)


def fine_light(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """(H, W): the natural logarithm of the light of a picture (H, W, 3) 0..1 over that of itself, blurred by `sigma`
    px."""
    import cv2

    light = np.log(picture @ LUMINANCE + _DARK)
    return np.asarray(light - cv2.GaussianBlur(light, (0, 0), sigma), np.float32)
