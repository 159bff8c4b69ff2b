"""What one frame's pixels say: colour, sharpness and border of the face, in the swap and in the original alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..find.mask import face_mask, skin_mask
from ..geometry import FACE_OVAL, box_around

_NECK_WITHIN = 15.0
_LEAST_PX = 50


@dataclass(frozen=True, eq=False)
class Areas:
    """Where to look in a frame: parts of its `window`, from A's landmarks. Masks are (h, w) bool."""

    window: tuple[slice, slice]
    """rows and columns of the frame around the face, half a face wider on each side"""
    face: NDArray[np.bool_]
    """the face without its rim"""
    skin: NDArray[np.bool_]
    rim: NDArray[np.bool_]
    """what lies within 4% of the face's width of its border"""
    around: NDArray[np.bool_]
    """from 8% to 35% of the face's width outside the border"""
    outwards: NDArray[np.float32]
    """(h, w, 2) unit vectors across the border"""

    @classmethod
    def of(cls, points: NDArray[np.float32], size: tuple[int, int]) -> Areas:
        """For landmarks (478, 2) in a frame of `size` (width, height)."""
        import cv2

        x0, y0, x1, y1 = box_around(points[FACE_OVAL])
        reach = 0.5 * float(x1 - x0)
        low = np.clip([x0 - reach, y0 - reach], 0, None).astype(int)
        high = np.maximum(np.minimum([x1 + reach + 1, y1 + reach + 1], size).astype(int), low + 1)
        moved, extent = points - low, (int(high[0] - low[0]), int(high[1] - low[1]))
        mask = face_mask(moved, extent)
        # Signed distance from the border in px, positive inside; a frame's edge is no border of the face.
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_REPLICATE) > 127
        inside, outside = (
            cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] for side in (padded, ~padded)
        )
        depth = (inside - outside) / max(float(x1 - x0), 1)
        smooth = cv2.GaussianBlur(depth, (0, 0), 2)
        slope = np.stack([cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)], -1)
        return cls(
            (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))),
            depth > 0.08,
            (skin_mask(moved, extent, mask) > 127) & (depth > 0.08),
            np.abs(depth) < 0.04,
            (depth < -0.08) & (depth > -0.35),
            slope / np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-9),
        )


def mean_colour(colours: NDArray[np.float32], area: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(3,) mean CIELAB colour of an area; nan where it is hardly there."""
    if area.sum() < _LEAST_PX:
        return np.full(3, np.nan, np.float32)
    return np.asarray(colours[area].mean(0), np.float32)


def bare_neck(before: NDArray[np.float32], areas: Areas) -> NDArray[np.bool_]:
    """Skin around the face (neck, forehead, ears): what is within 15 CIELAB units of the original's own face skin."""
    alike = np.linalg.norm(before - mean_colour(before, areas.skin), axis=-1) < _NECK_WITHIN
    return np.asarray(areas.around & alike)


def colour_difference(first: NDArray[Any], second: NDArray[Any]) -> float:
    """CIEDE2000 between two CIELAB colours (3,). Source: CIE 142-2001; Sharma et al., Color Res. Appl. 30(1), 2005."""
    from skimage.color import deltaE_ciede2000

    return float(deltaE_ciede2000(first, second))


def sharpness(lightness: NDArray[np.float32], area: NDArray[np.bool_]) -> float:
    """Mean absolute Laplacian of the lightness (h, w) in an area: fine detail and grain together.

    After the focus measures of Pertuz et al., Pattern Recognition 46(5), 2013.
    """
    import cv2

    if area.sum() < _LEAST_PX:
        return float("nan")
    return float(np.abs(cv2.Laplacian(lightness, cv2.CV_32F, ksize=3))[area].mean())


def border_gradient(lightness: NDArray[np.float32], areas: Areas) -> float:
    """Mean absolute slope of the lightness (h, w) across the face's border, per px."""
    import cv2

    if areas.rim.sum() < _LEAST_PX:
        return float("nan")
    x, y = cv2.Sobel(lightness, cv2.CV_32F, 1, 0), cv2.Sobel(lightness, cv2.CV_32F, 0, 1)
    across = x * areas.outwards[..., 0] + y * areas.outwards[..., 1]
    return float(np.abs(across)[areas.rim].mean() / 8)


def likeness(first: NDArray[np.uint8], second: NDArray[np.uint8], area: NDArray[np.bool_]) -> float:
    """Mean SSIM (Wang et al., IEEE TIP 13(4), 2004) of two pictures (h, w, 3) over an area."""
    from skimage.metrics import structural_similarity

    if area.sum() < _LEAST_PX or min(area.shape) < 12:
        return float("nan")
    _, values = structural_similarity(
        first, second, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    return float(values[area].mean())


def gaze(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 2): where the irises stand between the corners of their eyes, in eye widths, mean of both eyes.

    `points` (n, 478, 2). x is positive to the right of the picture, y downwards, both along the eye's own axis.
    """
    sides = []
    for left, right, iris in ((33, 133, 468), (362, 263, 473)):
        axis = points[:, right] - points[:, left]
        width = np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-6)
        axis = axis / width
        away = (points[:, iris] - (points[:, left] + points[:, right]) / 2) / width
        across = np.stack([-axis[:, 1], axis[:, 0]], -1)
        sides.append(np.stack([(away * axis).sum(-1), (away * across).sum(-1)], -1))
    return np.asarray(np.mean(sides, axis=0), np.float32)


def mouth_opening(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) gap between the inner lips over the length of the nose bridge to its base, from landmarks (n, 478, 2)."""
    nose = np.linalg.norm(points[:, 168] - points[:, 2], axis=-1)
    return np.asarray(np.linalg.norm(points[:, 13] - points[:, 14], axis=-1) / np.maximum(nose, 1e-6), np.float32)
