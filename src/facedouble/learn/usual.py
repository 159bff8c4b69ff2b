"""What the two people's skin looks like on average, laid flat, and how the one's differs from the other's: what tells
the light on a face from the face.

Of one picture nobody can say whether a cheek is dark or in the shade; of many in changing poses their middle is mostly
skin. A picture over that, as a ratio, is mostly light, and a ratio can be laid on another face: Shashua, Riklin-Raviv,
"The Quotient Image", IEEE TPAMI 23(2), 2001.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..curate.faceset import FaceSet
from ..find.mask import hull_mask
from ..find.surface import Surface
from ..footage import LUMINANCE
from ..geometry import INNER_LIPS, LEFT_BROW, LEFT_EYE, LIPS, RIGHT_BROW, RIGHT_EYE
from ..project import atomic_file, part_errors, save_tensors
from ..recipes import TrainRecipe
from . import data
from .iris import light_to_skin
from .model import SIDES

FILE, WAY = "usual.safetensors", 2
"""of a model, and the version of how it is read (project.is_made)"""
SIDE_PX = 128
"""of the flat skin, enough for shadows"""
_LOOKED_PX = 128
"""side of the pictures that are laid flat"""
_DARK = 0.02
"""added to light, as a ratio of what is nearly black says nothing"""
_LIPS, _BROWS = 0.2, 0.06
"""how much these tell of the light: they are lit as skin is, but hardly ever lie where they usually do, and brows are
as dark as a shadow"""
_RAISED = 0.03
"""of the side: how far above their place, by landmarks, brows are found when they are raised"""
_SKIN_WITHIN, _NEARBY = 20.0, 0.008
"""CIELAB units from the middle of the face's skin, and the spread of the blur, as a part of the side, before asking"""
_LIGHTER = 0.5
"""of those units, for what is lighter: a forehead under a lamp shines and stays skin"""
_SHADES, _TIMES = (0.023, 0.25), (0.5, 2.0)
"""of the side, the spreads of blurs between which shades are told, and how much stronger they may be made"""
_BORDER_PX = 2
"""around what is no skin"""


@dataclass(frozen=True, eq=False)
class UsualFaces:
    ratio: NDArray[np.float32]
    """(128, 128, 3) on the flat skin: `logarithm` of A's usual light less that of B's, in A's colours; the same on both
    halves of the face, as skin is and light is not"""
    skin: NDArray[np.float32]
    """(128, 128) 0..1: how far light can be told there: where either's face shows hair, eyes or nothing, not at all"""
    contrast: NDArray[np.float32]
    """(128, 128) on the flat skin: what is to be added to the logarithm of B's light for its shades to be as strong as
    A's usually are: less than 0 where it shines, if a harder lamp stood before B"""
    iris: float | None = None
    """how much lighter, as a logarithm, A's irises usually are than B's, each beside the own skin; None where either's
    are not seen"""

    def save(self, model: Path) -> None:
        with atomic_file(model / FILE) as temporary:
            parts = {"ratio": self.ratio, "skin": self.skin, "contrast": self.contrast}
            if self.iris is not None:
                parts["iris"] = np.array([self.iris], np.float32)
            halves = {name: torch.from_numpy(part.astype(np.float16)) for name, part in parts.items()}
            save_tensors(temporary, halves, WAY)

    @classmethod
    def load(cls, model: Path) -> Self | None:
        """None where the model has none. Raises ModelError for a file that is broken or another program's."""
        from safetensors.numpy import load_file

        file = model / FILE
        if not file.is_file():
            return None
        with part_errors(file):
            known = load_file(file)
            ratio, skin = known["ratio"].astype(np.float32), known["skin"].astype(np.float32)
            contrast = known.get("contrast", np.zeros_like(skin)).astype(np.float32)  # older models have none
            iris = float(known["iris"][0]) if "iris" in known else None
            if iris is not None and not math.isfinite(iris):
                raise ValueError(f"iris of {iris}")
            if ratio.shape != (SIDE_PX, SIDE_PX, 3) or not np.isfinite(ratio).all():
                raise ValueError(f"ratio of shape {ratio.shape}")
            if skin.shape != (SIDE_PX, SIDE_PX) or not ((skin >= 0) & (skin <= 1)).all():
                raise ValueError(f"skin of shape {skin.shape}")
            if contrast.shape != (SIDE_PX, SIDE_PX) or not np.isfinite(contrast).all():
                raise ValueError(f"contrast of shape {contrast.shape}")
        return cls(ratio, skin, contrast, iris)


def read(sets: Mapping[str, FaceSet], recipe: TrainRecipe) -> UsualFaces:
    """Looks at so many faces of each side as the recipe says, or all if there are fewer.

    Raises FaceError for sets that training cannot use, and for a crop that cannot be read.
    """
    looked = TrainRecipe(size_px=_LOOKED_PX, coverage=recipe.coverage)  # whatever the network's own is
    faces = data.load_both(sets, looked, recipe.usual_faces)
    surface = Surface(SIDE_PX)
    told = _told(surface.places)
    usual, skins = zip(*(_usual(surface, faces[side], told) for side in SIDES), strict=True)
    known, lights = np.minimum(*skins), [logarithm(face) for face in usual]
    of_a, of_b = (light_to_skin(faces[side].shown()) for side in SIDES)
    iris = math.log(of_a / of_b) if min(of_a, of_b) > 0 else None
    return UsualFaces(lights[0] - lights[1], told * known, _contrast(lights, known * (told == 1)), iris)


def logarithm(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of light 0..1."""
    return np.asarray(np.log(np.maximum(light, 0) + np.float32(_DARK)), np.float32)


def relit(light: NDArray[np.float32], ratio: NDArray[np.float32]) -> NDArray[np.float32]:
    """`light` 0..1 with `ratio` added to its `logarithm`."""
    return np.asarray(np.clip((light + np.float32(_DARK)) * np.exp(ratio) - np.float32(_DARK), 0, 1), np.float32)


def _contrast(lights: Sequence[NDArray[np.float32]], skin: NDArray[np.float32]) -> NDArray[np.float32]:
    """`UsualFaces.contrast` of the usual light of A and B (128, 128, 3) as logarithms, on skin (128, 128) 0..1.

    How strong shades are between a fold and half of a face is a lamp's doing, and a camera's: of two rendered people in
    one light they differ by less than 1%.
    """
    import cv2

    def near(values: NDArray[np.float32], spread: float) -> NDArray[np.float32]:
        mean, weight = (cv2.GaussianBlur(part, (0, 0), spread * SIDE_PX) for part in (values * skin, skin))
        return np.asarray(mean / np.maximum(weight, 1e-3), np.float32)

    fold, half = _SHADES
    shades = [near(part, fold) - near(part, half) for part in (light @ LUMINANCE for light in lights)]
    strong = [float(np.sqrt((part**2 * skin).sum() / max(float(skin.sum()), 1.0))) for part in shades]
    times = np.clip(strong[0] / max(strong[1], 1e-6), *_TIMES) if min(strong) > 0 else 1.0
    fading = np.clip(2 * cv2.GaussianBlur(skin, (0, 0), fold * SIDE_PX), 0, 1)
    return np.asarray((times - 1) * shades[1] * fading, np.float32)


def beside(places: NDArray[np.float32], around_px: int, *parts: NDArray[np.int64]) -> NDArray[np.float32]:
    """(128, 128) 0..1: the flat skin without these parts, which with so many px around them cover landmarks `places`
    (468, 2) of it."""
    import cv2

    mask = np.max([hull_mask(places[part], (SIDE_PX, SIDE_PX)) for part in parts], axis=0)
    around = np.ones((2 * around_px + 1,) * 2, np.uint8)
    return np.asarray(1 - cv2.dilate(mask, around) / np.float32(255), np.float32)


def beside_brows(places: NDArray[np.float32], around_px: int) -> NDArray[np.float32]:
    """(128, 128) 0..1: the flat skin without brows, raised ones as well."""
    raised = places - np.array([0, _RAISED * SIDE_PX], np.float32)
    return np.minimum(*(beside(where, around_px, LEFT_BROW, RIGHT_BROW) for where in (places, raised)))


def _told(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """(128, 128) 0..1: how far a place of a face tells the light on it, by what it is."""
    told = np.minimum(beside(places, 1, LIPS) + _LIPS, beside_brows(places, 2) + _BROWS)
    return np.asarray(np.minimum(told.clip(0, 1), beside(places, 1, LEFT_EYE, RIGHT_EYE, INNER_LIPS)), np.float32)


def _usual(
    surface: Surface, faces: data.Canvases, told: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The usual face (128, 128, 3) 0..1, the mean of both its halves, and where it is not hair (128, 128)."""
    import cv2

    usual = surface.usual(faces.shown(), SIDE_PX)
    shown = usual.any(2) & usual[:, ::-1].any(2)
    usual = np.asarray((usual + usual[:, ::-1]) / 2, np.float32)  # a half in the shade of a lamp is no hair
    lab = cv2.cvtColor(cv2.GaussianBlur(usual, (0, 0), _NEARBY * SIDE_PX), cv2.COLOR_RGB2LAB)
    skin = lab[shown & (told == 1)]
    apart = lab - np.median(skin, axis=0) if len(skin) else np.zeros_like(lab)
    apart[..., 0] *= np.where(apart[..., 0] > 0, _LIGHTER, 1)
    known = shown & ((np.linalg.norm(apart, axis=-1) < _SKIN_WITHIN) | (told < 1))
    around = np.ones((2 * _BORDER_PX + 1,) * 2, np.uint8)
    return usual, cv2.erode(known.astype(np.float32), around, borderValue=0)
