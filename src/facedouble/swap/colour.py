"""The face's colour brought to the plate's, on skin alone. All in CIELAB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST_SKIN = 50.0
# Beyond these bounds the two skins differ by light and shadow rather than by tone.
_GAINS = (0.7, 1.4)
_SHADING = 0.12
"""part of the region's width over which light is one shade"""

Array = NDArray[Any]


def match_skin(
    face: Array, plate: Array, skin_of_face: Array, skin_of_plate: Array, method: str = "reinhard"
) -> NDArray[np.float32]:
    """`face` (H, W, 3) 0..1 with its skin brought to that of the plate by one of METHODS.

    Skins are weights (H, W) 0..1. The change fades out with `skin_of_face`: eyes, brows, lips and hair keep their
    colour. Where there is hardly any skin to measure (under 50 px) the face comes back as it was.
    """
    import cv2

    if min(float(skin_of_face.sum()), float(skin_of_plate.sum())) < _LEAST_SKIN:
        return np.asarray(face, np.float32)
    lab, wanted = (cv2.cvtColor(np.asarray(part, np.float32), cv2.COLOR_RGB2LAB) for part in (face, plate))
    toned = METHODS[method](lab, wanted, skin_of_face, skin_of_plate)
    matched = cv2.cvtColor(np.asarray(toned, np.float32), cv2.COLOR_LAB2RGB)
    weight = skin_of_face[..., None]
    return np.asarray(np.clip(face + weight * (matched - face), 0, 1), np.float32)


def reinhard(lab: Array, plate: Array, skin_of_face: Array, skin_of_plate: Array) -> Array:
    """Mean and spread of each channel (Reinhard et al., "Color transfer between images", IEEE CG&A 21(5), 2001)."""
    mean, covariance = _statistics(lab, skin_of_face)
    wanted, wanted_covariance = _statistics(plate, skin_of_plate)
    spread, wanted_spread = (np.sqrt(np.maximum(np.diag(part), 0)) for part in (covariance, wanted_covariance))
    gain = np.clip(wanted_spread / np.maximum(spread, 1e-3), *_GAINS)
    return np.asarray((lab - mean) * gain + wanted)


def mkl(lab: Array, plate: Array, skin_of_face: Array, skin_of_plate: Array) -> Array:
    """Mean and covariance of the three channels together, by the map that moves colours least (Pitié, Kokaram, "The
    linear Monge-Kantorovitch linear colour mapping", CVMP 2007)."""
    mean, covariance = _statistics(lab, skin_of_face)
    wanted, wanted_covariance = _statistics(plate, skin_of_plate)
    root, back = _power(covariance, 0.5), _power(covariance, -0.5)
    values, vectors = np.linalg.eigh(back @ _power(root @ wanted_covariance @ root, 0.5) @ back)
    linear = (vectors * np.clip(values, *_GAINS)) @ vectors.T
    return np.asarray((lab - mean) @ linear + wanted)


def histogram(lab: Array, plate: Array, skin_of_face: Array, skin_of_plate: Array) -> Array:
    """Each channel's whole distribution (Gonzalez, Woods, "Digital Image Processing", 3.3.2)."""
    from skimage.exposure import match_histograms

    there = skin_of_face > 0.02
    toned = np.array(lab)
    toned[there] = match_histograms(lab[there], plate[skin_of_plate > 0.5], channel_axis=-1)
    return toned


def light(lab: Array, plate: Array, skin_of_face: Array, skin_of_plate: Array) -> Array:
    """A's shading with B's detail: the coarse part of the lightness is the plate's, the fine part the face's; the two
    colour channels by mean and spread. Retinex's split of light and surface (Land, McCann, JOSA 61(1), 1971)."""
    import cv2

    toned = reinhard(lab, plate, skin_of_face, skin_of_plate)
    sigma = _SHADING * lab.shape[1]
    both = skin_of_face * skin_of_plate
    reach = np.maximum(cv2.GaussianBlur(np.asarray(both, np.float32), (0, 0), sigma), 1e-3)
    away = cv2.GaussianBlur(np.asarray((plate[..., 0] - toned[..., 0]) * both, np.float32), (0, 0), sigma) / reach
    toned[..., 0] += away
    return toned


METHODS: dict[str, Callable[[Array, Array, Array, Array], Array]] = {
    "reinhard": reinhard, "mkl": mkl, "histogram": histogram, "light": light,
}  # fmt: skip


def _statistics(lab: Array, weight: Array) -> tuple[Array, Array]:
    """Mean (3,) and covariance (3, 3)."""
    weight = weight / float(weight.sum())
    mean = (lab * weight[..., None]).sum((0, 1))
    away = lab - mean
    return mean, np.einsum("hwi,hwj->ij", away * weight[..., None], away)


def _power(covariance: Array, power: float) -> Array:
    """Of a symmetric matrix; what is hardly there counts as a thousandth of a CIELAB unit."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.maximum(values, 1e-6) ** power) @ vectors.T)
