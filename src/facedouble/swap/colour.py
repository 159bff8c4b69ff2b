"""The face's colour brought to the plate's, on skin alone. All in CIELAB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST_SKIN = 50.0
# Beyond these bounds the two skins differ by light and shadow rather than by tone.
_GAINS = (0.7, 1.4)
_ENOUGH_PX = 128
"""side of the region of skin from which on pixels are left out of the measuring"""
_SMOOTH_PX = 5
"""of a blur's spread, that are enough to carry it"""
_BROAD, _SHADING = 0.3, 0.12
"""parts of the skin's width over which light is one shade, at large and in a hard shadow"""
_FEATURES = 0.08
"""how far, as a logarithm, two faces' nearer shades differ by what they are: in the same light 0.01 to 0.04 (root mean
square, measured), under a hard lamp 0.25"""
_SHADES = (0.3, 2.0)

Array = NDArray[Any]


def match_skin(
    face: Array, plate: Array, skin_of_face: Array, skin_of_plate: Array, method: str = "reinhard"
) -> NDArray[np.float32]:
    """`face` (H, W, 3) 0..1 with its skin brought to that of the plate by `light` or one of METHODS.

    Skins are weights (H, W) 0..1. The change fades out with `skin_of_face`: eyes, brows, lips and hair keep their
    colour; `light` shades them too. Where there is hardly any skin to measure (under 50 px) the face comes back as it
    was.
    """
    import cv2

    if min(float(skin_of_face.sum()), float(skin_of_plate.sum())) < _LEAST_SKIN:
        return np.asarray(face, np.float32)
    face = np.ascontiguousarray(face, np.float32)
    if method == "light":
        return light(face, plate, skin_of_face, skin_of_plate)
    rows, columns = (np.flatnonzero(skin_of_face.any(axis)) for axis in (1, 0))
    there = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    lab = cv2.cvtColor(np.ascontiguousarray(face[there]), cv2.COLOR_RGB2LAB)
    # A face has far more pixels than a mean or a spread needs; every n-th of them has the same distribution.
    step = max(1, min(lab.shape[:2]) // _ENOUGH_PX)
    sparse = slice(None, None, step), slice(None, None, step)
    wanted = cv2.cvtColor(np.ascontiguousarray(plate[there][sparse], np.float32), cv2.COLOR_RGB2LAB)
    weights = (skin[there][sparse] for skin in (skin_of_face, skin_of_plate))
    toned = METHODS[method](lab, step, wanted, *weights)
    matched = cv2.cvtColor(np.asarray(toned, np.float32), cv2.COLOR_LAB2RGB)
    result = face.copy()
    result[there] += cv2.merge([np.asarray(skin_of_face[there], np.float32)] * 3) * (matched - face[there])
    return np.asarray(np.clip(result, 0, 1), np.float32)


# Of each method: the face (H, W, 3), and of every step-th pixel the plate (h, w, 3) and both weights (h, w).


def reinhard(lab: Array, step: int, plate: Array, skin_of_face: Array, skin_of_plate: Array) -> Array:
    """Mean and spread of each channel (Reinhard et al., "Color transfer between images", IEEE CG&A 21(5), 2001)."""
    mean, covariance = _statistics(lab[::step, ::step], skin_of_face)
    wanted, wanted_covariance = _statistics(plate, skin_of_plate)
    spread, wanted_spread = (np.sqrt(np.maximum(np.diag(part), 0)) for part in (covariance, wanted_covariance))
    gain = np.clip(wanted_spread / np.maximum(spread, 1e-3), *_GAINS)
    return np.asarray(lab * np.float32(gain) + np.float32(wanted - gain * mean))


def mkl(lab: Array, step: int, plate: Array, skin_of_face: Array, skin_of_plate: Array) -> Array:
    """Mean and covariance of the three channels together, by the map that moves colours least (Pitié, Kokaram, "The
    linear Monge-Kantorovitch linear colour mapping", CVMP 2007)."""
    mean, covariance = _statistics(lab[::step, ::step], skin_of_face)
    wanted, wanted_covariance = _statistics(plate, skin_of_plate)
    root, back = _power(covariance, 0.5), _power(covariance, -0.5)
    values, vectors = np.linalg.eigh(back @ _power(root @ wanted_covariance @ root, 0.5) @ back)
    linear = (vectors * np.clip(values, *_GAINS)) @ vectors.T
    return np.asarray(lab @ np.float32(linear) + np.float32(wanted - mean @ linear))


def histogram(lab: Array, step: int, plate: Array, skin_of_face: Array, skin_of_plate: Array) -> Array:
    """Each channel's whole distribution (Gonzalez, Woods, "Digital Image Processing", 3.3.2)."""
    from skimage.exposure import match_histograms

    sparse = lab[::step, ::step][skin_of_face > 0.5]
    toned = match_histograms(sparse, plate[skin_of_plate > 0.5], channel_axis=-1)
    channels = []
    for channel in range(3):
        values, first = np.unique(sparse[:, channel], return_index=True)
        channels.append(np.interp(lab[..., channel], values, toned[first, channel]))
    return np.stack(channels, -1)


METHODS: dict[str, Callable[[Array, int, Array, Array, Array], Array]] = {
    "reinhard": reinhard, "mkl": mkl, "histogram": histogram,
}  # fmt: skip


def light(face: Array, plate: Array, skin_of_face: Array, skin_of_plate: Array) -> NDArray[np.float32]:
    """`face` (H, W, 3) with the plate's coarse light and its own detail, eyes and lips included: these are lit as well;
    and the mean of the two colour channels of the plate's skin on its own.

    The ratio of both lightnesses on skin, blurred and carried on to where there is none. Retinex's split of
    light and surface: Land, McCann, JOSA 61(1), 1971. In CIELAB, light that is s times as strong makes L* + 16, a* and
    b* all s ** (1 / 3) times as large.
    """
    import cv2

    step = max(1, min(face.shape[:2]) // _ENOUGH_PX)
    lab = cv2.cvtColor(face, cv2.COLOR_RGB2LAB)
    under = cv2.cvtColor(np.ascontiguousarray(plate[::step, ::step], np.float32), cv2.COLOR_RGB2LAB)
    skin_of_face, sparse = np.asarray(skin_of_face, np.float32), skin_of_face[::step, ::step]
    weight = np.asarray(sparse * skin_of_plate[::step, ::step], np.float32)
    width = float(np.ptp(np.flatnonzero(weight.any(0))))
    ours, theirs = (np.asarray((part + 16) * weight, np.float32) for part in (lab[::step, ::step, 0], under[..., 0]))
    broad, near = (_ratio(ours, theirs, sigma * width) for sigma in (_BROAD, _SHADING))
    # Two faces differ in their features as well, which are not to be carried over: only as far as the plate's nearer
    # shades stand out above such differences are they shadow (a Wiener filter's gain).
    shadow = near - broad
    energy = float((shadow**2 * weight).sum() / weight.sum())
    ratio = np.exp(broad + energy / (energy + _FEATURES**2) * shadow)
    ratio = cv2.resize(np.asarray(ratio.clip(*_SHADES), np.float32), lab.shape[1::-1])
    lit = lab * cv2.merge([ratio] * 3)
    lit[..., 0] += 16 * (ratio - 1)
    shift = _mean(under, skin_of_plate[::step, ::step]) - _mean(lit[::step, ::step], sparse)
    lit += cv2.merge([np.zeros_like(skin_of_face), *(part * skin_of_face for part in shift[1:])])
    return np.asarray(np.clip(cv2.cvtColor(lit, cv2.COLOR_LAB2RGB), 0, 1))


def _ratio(ours: Array, theirs: Array, sigma: float) -> Array:
    """Logarithm of what two lightnesses on skin have to each other, over about `sigma` px; 0 where no skin is near."""
    import cv2

    # What is so smooth needs no more pixels than that.
    size, shrink = ours.shape[1::-1], max(1, int(sigma / _SMOOTH_PX))
    few = (-(-size[0] // shrink), -(-size[1] // shrink))
    ours, theirs = (
        cv2.GaussianBlur(cv2.resize(part, few, interpolation=cv2.INTER_AREA), (0, 0), sigma / shrink)
        for part in (ours, theirs)
    )
    ratio = np.where(ours > 0.1, np.log(np.maximum(theirs, 1e-3) / np.maximum(ours, 1e-3)), 0)
    return np.asarray(cv2.resize(ratio, size, interpolation=cv2.INTER_LINEAR))


def _mean(lab: Array, weight: Array) -> Array:
    """(3,) float32."""
    return np.asarray(np.tensordot(weight, lab, 2) / float(weight.sum()), np.float32)


def _statistics(lab: Array, weight: Array) -> tuple[Array, Array]:
    """Mean (3,) and covariance (3, 3)."""
    mean = _mean(lab, weight)
    away = (lab - mean).reshape(-1, 3)
    return mean, (away * (weight / float(weight.sum())).reshape(-1, 1)).T @ away


def _power(covariance: Array, power: float) -> Array:
    """Of a symmetric matrix; what is hardly there counts as a thousandth of a CIELAB unit."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.maximum(values, 1e-6) ** power) @ vectors.T)
