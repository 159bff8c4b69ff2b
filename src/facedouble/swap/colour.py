"""The face's colour brought to the plate's, on skin alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST_SKIN = 50.0


def match_skin(
    face: NDArray[Any], plate: NDArray[Any], skin_of_face: NDArray[Any], skin_of_plate: NDArray[Any]
) -> NDArray[np.float32]:
    """`face` (H, W, 3) 0..1 with mean and spread of its skin brought to those of the plate's, in CIELAB.

    Skins are weights (H, W) 0..1. The change fades out with `skin_of_face`: eyes, brows, lips and hair keep their
    colour.
    Method: Reinhard et al., "Color transfer between images", IEEE CG&A 21(5), 2001, in CIELAB. Where there is hardly
    any
    skin to measure (under 50 px) the face comes back as it was.
    """
    import cv2

    if min(float(skin_of_face.sum()), float(skin_of_plate.sum())) < _LEAST_SKIN:
        return np.asarray(face, np.float32)
    lab = cv2.cvtColor(np.asarray(face, np.float32), cv2.COLOR_RGB2LAB)
    mean, spread = _statistics(lab, skin_of_face)
    wanted, wanted_spread = _statistics(cv2.cvtColor(np.asarray(plate, np.float32), cv2.COLOR_RGB2LAB), skin_of_plate)
    # Beyond these bounds the two skins differ by light and shadow rather than by tone.
    gain = np.clip(wanted_spread / np.maximum(spread, 1e-3), 0.7, 1.4)
    matched = cv2.cvtColor(((lab - mean) * gain + wanted).astype(np.float32), cv2.COLOR_LAB2RGB)
    weight = skin_of_face[..., None]
    return np.asarray(np.clip(face + weight * (matched - face), 0, 1), np.float32)


def _statistics(lab: NDArray[Any], weight: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    total = float(weight.sum())
    mean = (lab * weight[..., None]).sum((0, 1)) / total
    spread = np.sqrt((((lab - mean) ** 2) * weight[..., None]).sum((0, 1)) / total)
    return mean.astype(np.float32), spread.astype(np.float32)
