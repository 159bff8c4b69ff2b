"""The face laid into the plate: the alpha is applied once, and coarse tones blend over a wider border than fine
detail."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def plain(face: NDArray[Any], plate: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.float32]:
    """(H, W, 3): face where `alpha` (H, W) is 1, plate where it is 0, in between in proportion."""
    import cv2

    # Merged, as NumPy takes several times as long to spread one channel over three.
    return np.asarray(plate + cv2.merge([alpha] * 3) * (face - plate), np.float32)


def multiband(face: NDArray[Any], plate: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.float32]:
    """As `plain`, band by band of Laplacian pyramids; pixels whose alpha is 0 stay exactly the plate's.

    Burt, Adelson, "A multiresolution spline with application to image mosaics", ACM TOG 2(4), 1983.
    """
    import cv2

    levels = max(0, min(4, int(np.log2(max(1, min(alpha.shape) / 16)))))
    weight = np.asarray(alpha, np.float32)
    # Where nothing of the face may show, there must be nothing of it to leak in from the coarse bands either.
    upper, lower = np.asarray(plain(face, plate, (weight > 0).astype(np.float32))), np.asarray(plate, np.float32)
    bands = []
    for _ in range(levels):
        size = upper.shape[1::-1]
        upper_down, lower_down = cv2.pyrDown(upper), cv2.pyrDown(lower)
        fine = (upper - cv2.pyrUp(upper_down, dstsize=size), lower - cv2.pyrUp(lower_down, dstsize=size))
        bands.append(plain(*fine, weight))
        upper, lower, weight = upper_down, lower_down, cv2.pyrDown(weight)
    result = plain(upper, lower, weight)
    for band in reversed(bands):
        result = band + cv2.pyrUp(result, dstsize=band.shape[1::-1])
    mixed = np.asarray(plate, np.float32).copy()
    return np.asarray(cv2.copyTo(np.clip(result, 0, 1), (alpha > 0).astype(np.uint8), mixed))


def poisson(face: NDArray[Any], plate: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.float32]:
    """The face's gradients with the plate's colours around them; the outermost quarter of the alpha still fades.

    Pérez et al., "Poisson image editing", ACM TOG 22(3), 2003, by OpenCV's seamlessClone: of 8 bits, so what rounding
    took from the face is added again.
    """
    import cv2

    where = np.pad((alpha > 0).astype(np.uint8) * 255, 2)
    if not where.any():
        return np.asarray(plate, np.float32)
    eight, under = (
        np.round(np.pad(np.clip(part, 0, 1), ((2, 2), (2, 2), (0, 0)), "edge") * 255).astype(np.uint8)
        for part in (face, plate)
    )
    x, y, width, height = cv2.boundingRect(where)
    cloned = cv2.seamlessClone(eight, under, where, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)
    lost = face - eight[2:-2, 2:-2].astype(np.float32) / 255
    mixed = np.clip(cloned[2:-2, 2:-2].astype(np.float32) / 255 + lost, 0, 1)
    return plain(mixed, plate, np.clip(4 * alpha, 0, 1))


BLENDS = {"plain": plain, "multiband": multiband, "poisson": poisson}
