"""Aligned pictures of faces: frame pixels in, square crops out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array, align, scale_of


def crop_face(pixels: NDArray[Any], to_crop: Array, size_px: int) -> NDArray[Any]:
    """(S, S, 3): what `to_crop` (2, 3), frame px to crop px, shows of `pixels`; beyond the frame's edge it is mirrored.

    Enlarging is cubic. Reducing below half first averages, so that the crop does not alias.
    """
    import cv2

    scale = scale_of(to_crop)
    if scale >= 0.5:
        flags = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
        return np.asarray(
            cv2.warpAffine(pixels, to_crop, (size_px, size_px), flags=flags, borderMode=cv2.BORDER_REFLECT)
        )
    fine = int(np.ceil(0.7 / scale))
    larger = np.array([[fine, 0, (fine - 1) / 2], [0, fine, (fine - 1) / 2]])
    linear = larger[:, :2] @ to_crop[:, :2]
    to_larger = np.hstack([linear, (larger[:, :2] @ to_crop[:, 2] + larger[:, 2])[:, None]])
    wide = cv2.warpAffine(
        pixels, to_larger, (size_px * fine, size_px * fine), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(cv2.resize(wide, (size_px, size_px), interpolation=cv2.INTER_AREA))


def aligned(
    pixels: NDArray[Any], points: NDArray[np.float32], size_px: int, coverage: float
) -> tuple[NDArray[Any], Array]:
    """The crop of the face with landmarks (478, 2), and the (2, 3) map from frame px to crop px."""
    to_crop = align(points, size_px, coverage)
    return crop_face(pixels, to_crop, size_px), to_crop


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the crop's luminance at the crop's own size (Pech-Pacheco et al., ICPR 2000)."""
    import cv2

    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(deviation[0, 0] ** 2)


def lab(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w, 3) sRGB 0..255 as CIELAB (D65)."""
    import cv2

    return np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))
