"""Points, similarity maps and the face template.

Points are float32 px, x right, y down, (0, 0) the centre of the top-left pixel. A map is a (2, 3) matrix taking
points of one
picture to another. Angles are radians. Landmark indices are those of MediaPipe's 478-point face mesh.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Aligned to: points of the skull rather than of its expression (no lids, brows, lips or jaw).
ALIGNMENT_POINTS = np.array(
    [33, 133, 263, 362, 168, 6, 197, 195, 2, 98, 327, 127, 356, 234, 454, 93, 323, 10, 109, 338, 67, 297, 103, 332]
)

# Where they lie in the face square: x from the outer end of one brow (0) to the other (1), y over the same length
# with the
# brows near 0 and the lower lip near 0.9. Generalised Procrustes mean of the near-frontal, mouth-closed frames of the
# project's rendered performers, made symmetric.
TEMPLATE = np.array(
    [
        [0.1379, 0.2128], [0.3600, 0.2293], [0.8689, 0.2161], [0.6474, 0.2318], [0.5000, 0.1524], [0.5000, 0.2265],
        [0.5000, 0.2867], [0.5000, 0.3404], [0.5000, 0.5912], [0.3651, 0.5793], [0.6349, 0.5793], [-0.0897, 0.2553],
        [1.0981, 0.2573], [-0.0889, 0.3814], [1.0933, 0.3866], [-0.0818, 0.5185], [1.0818, 0.5185], [0.5000, -0.2845],
        [0.3362, -0.2794], [0.6638, -0.2794], [0.1969, -0.2533], [0.8031, -0.2533], [0.0695, -0.1956], [0.9305,
        -0.1956],
    ]
)  # fmt: skip

# How far they stand out to the viewer, in face squares: MediaPipe's canonical face mesh.
TEMPLATE_DEPTH = np.array(
    [
        0.0325, 0.0801, 0.0325, 0.0801, 0.2004, 0.2454, 0.2884, 0.3257, 0.2674, 0.2008, 0.2008, -0.3892, -0.3892,
        -0.4242, -0.4242, -0.4239, -0.4239, 0.1390, 0.1222, 0.1222, 0.0777, 0.0777, -0.0093, -0.0093,
    ]
)  # fmt: skip

FACE_OVAL = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136,
     172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)  # fmt: skip
RIGHT_EYE = np.array([33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246])
LEFT_EYE = np.array([263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466])
RIGHT_BROW = np.array([46, 53, 52, 65, 55, 107, 66, 105, 63, 70])
LEFT_BROW = np.array([276, 283, 282, 295, 285, 336, 296, 334, 293, 300])
RIGHT_IRIS, LEFT_IRIS = np.array([469, 470, 471, 472]), np.array([474, 475, 476, 477])
# From the rim inwards, each row from right to left, so that what lies above another of the same place touches it.
UPPER_LIP = np.array(
    [
        [185, 40, 39, 37, 0, 267, 269, 270, 409],
        [184, 74, 73, 72, 11, 302, 303, 304, 408],
        [183, 42, 41, 38, 12, 268, 271, 272, 407],
        [191, 80, 81, 82, 13, 312, 311, 310, 415],
    ]
)
LOWER_LIP = np.array(
    [
        [146, 91, 181, 84, 17, 314, 405, 321, 375],
        [77, 90, 180, 85, 16, 315, 404, 320, 307],
        [96, 89, 179, 86, 15, 316, 403, 319, 325],
        [95, 88, 178, 87, 14, 317, 402, 318, 324],
    ]
)
LIPS = np.array([61, *LOWER_LIP[0], 291, *UPPER_LIP[0][::-1]])
INNER_LIPS = np.array([78, *LOWER_LIP[-1], 308, *UPPER_LIP[-1][::-1]])
NOSTRILS = np.array([98, 97, 2, 326, 327, 294, 278, 344, 4, 115, 48, 64])


def similarity(source: Array, target: Array) -> Array:
    """The (..., 2, 3) map of rotation, uniform scale and shift that takes `source` (..., n, 2) nearest to `target`
    (..., n, 2).

    Least squares after Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    IEEE TPAMI 13(4), 1991.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_mean, target_mean = source.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    a, b = source - source_mean, target - target_mean
    # In two dimensions a rotation with scale is one complex number.
    denominator = (a**2).sum((-2, -1))
    cosine = (a * b).sum((-2, -1)) / denominator
    sine = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(-1) / denominator
    linear = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    return np.concatenate([linear, np.swapaxes(target_mean, -2, -1) - linear @ np.swapaxes(source_mean, -2, -1)], -1)


def invert(matrix: Array) -> Array:
    """The (2, 3) map that undoes `matrix`."""
    linear = np.linalg.inv(np.asarray(matrix, np.float64)[:, :2])
    return np.hstack([linear, -linear @ np.asarray(matrix, np.float64)[:, 2:]])


def compose(second: Array, first: Array) -> Array:
    """The map that does `first`, then `second`."""
    return np.asarray(np.vstack([second, [0, 0, 1]])[:2] @ np.vstack([first, [0, 0, 1]]))


def apply(matrix: Array, points: Array) -> Array:
    """`points` (..., 2) through the map, float32."""
    return np.asarray(np.asarray(points) @ matrix[:, :2].T + matrix[:, 2], np.float32)


def scale_of(matrix: Array) -> float:
    """By what factor a similarity map enlarges."""
    return float(np.sqrt(abs(np.linalg.det(np.asarray(matrix)[:, :2]))))


def about(centre: Array, shift: Array, turn: float, scale: float) -> Array:
    """The (2, 3) map that turns by `turn` radians (clockwise, y being down) and enlarges about `centre` (2,), then
    shifts."""
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.hstack([linear, (centre + shift - linear @ centre)[:, None]])


def square_to_crop(size_px: int, coverage: float) -> Array:
    """The map from the face square (0..1) to a crop of `size_px` whose side shows `coverage` face squares.

    The classic crop, 256 px with the face square on its central 160 px, is `square_to_crop(256, 1.6)`; its training
    input, that centre at 64 px, is `square_to_crop(64, 1.0)`.
    """
    scale = size_px / coverage
    # The square's centre goes to the crop's, and (0, 0) is the centre of a pixel, not its corner.
    shift = (size_px - 1) / 2 - scale / 2
    return np.array([[scale, 0, shift], [0, scale, shift]])


def align(points: Array, size_px: int, coverage: float) -> Array:
    """The (2, 3) map from the frame of `points` (478, 2) to an aligned crop; see square_to_crop."""
    return compose(square_to_crop(size_px, coverage), similarity(points[ALIGNMENT_POINTS], TEMPLATE))


def pose_angles(matrix: Array) -> Array:
    """Yaw, pitch, roll in radians, float32 (3,), of a (4, 4) head transform in MediaPipe's camera space (x right, y
    up, z to
    the viewer).

    Yaw is positive when the nose turns to the right of the picture, pitch when it rises, roll when the head tilts
    clockwise
    as the picture shows it.
    """
    rotation = np.asarray(matrix, np.float64)[:3, :3]
    nose = rotation[:, 2] / np.linalg.norm(rotation[:, 2])
    yaw = np.arctan2(nose[0], nose[2])
    pitch = np.arcsin(np.clip(nose[1], -1, 1))
    roll = np.arctan2(-rotation[1, 0], rotation[1, 1])
    return np.array([yaw, pitch, roll], np.float32)


def turned_pose(angles: Array, clockwise: float) -> Array:
    """Yaw, pitch and roll (3,) of a head after its picture was turned clockwise by so many radians, float32 (3,)."""
    (sin_yaw, sin_pitch, sin_roll), (cos_yaw, cos_pitch, cos_roll) = np.sin(angles), np.cos(angles)
    sideways = np.array([[cos_yaw, 0, sin_yaw], [0, 1, 0], [-sin_yaw, 0, cos_yaw]])
    upwards = np.array([[1, 0, 0], [0, cos_pitch, sin_pitch], [0, -sin_pitch, cos_pitch]])
    tilted = np.array([[cos_roll, sin_roll, 0], [-sin_roll, cos_roll, 0], [0, 0, 1]])
    cosine, sine = np.cos(clockwise), np.sin(clockwise)
    picture = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    return pose_angles(picture @ sideways @ upwards @ tilted)


def turned_and_aligned(angles: Array) -> Array:
    """(..., 2, 3): the linear part of what shows a head, turned by yaw and pitch `angles` (..., 2), in the face square.

    The head's points are in face squares, x right, y down, z to the viewer, as it looks straight ahead; there the map
    only leaves out z. A head that turns away looks narrower, and is enlarged again by alignment.
    """
    (sin_yaw, sin_pitch), (cos_yaw, cos_pitch) = (np.moveaxis(part, -1, 0) for part in (np.sin(angles), np.cos(angles)))
    right = np.stack([cos_yaw, sin_yaw * sin_pitch, sin_yaw * cos_pitch], -1)
    down = np.stack([np.zeros_like(cos_pitch), cos_pitch, -sin_pitch], -1)
    turned = np.stack([right, down], -2)
    seen = np.column_stack([TEMPLATE, TEMPLATE_DEPTH]) @ np.swapaxes(turned, -1, -2)
    return np.asarray(similarity(seen, TEMPLATE)[..., :2] @ turned)


def every_px(side: int, every: int) -> Array:
    """(k,): where along a `side` of px cv2.resize puts those of a picture that is `every` times smaller; the last of
    them may lie beyond it."""
    return (np.arange(-(-side // every)) + 0.5) * every - 0.5


def face_width(points: Array) -> float:
    """Of the face with landmarks (478, 2), from side to side of the picture."""
    return float(np.ptp(points[FACE_OVAL, 0]))


def box_around(points: Array) -> Array:
    """(4,) x0, y0, x1, y1 around `points` (n, 2)."""
    return np.concatenate([points.min(0), points.max(0)]).astype(np.float32)


def overlap(boxes: Array, others: Array) -> Array:
    """(n, m) intersection over union of boxes (n, 4) and (m, 4)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inside = np.clip(high - low, 0, None).prod(-1)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1)
    other_areas = np.clip(others[:, 2:] - others[:, :2], 0, None).prod(-1)
    return np.asarray(inside / np.maximum(areas[:, None] + other_areas[None] - inside, 1e-9))
