"""Who a face is: dlib's 128-number descriptor (ResNet, http://dlib.net/face_recognition.py.html).

Two faces of one person lie under 0.6 apart, the model's own line; about 20 ms a face on one core, so it is sampled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import weights
from .descriptor import SIDE_PX, Descriptor

# Outer and inner corner of one eye and the other, and the base of the nose: what dlib's 5-point aligner finds.
# MediaPipe's points give the same descriptors (mean distances between people within 0.01), and need no second model.
_FIVE_POINTS = (263, 362, 33, 133, 2)


class Identity:
    def __init__(self) -> None:
        import dlib

        self._dlib = dlib
        self._network = Descriptor.load(weights.path("face_identity"))

    def __call__(self, pixels: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.float32]:
        """The descriptor (128,) of the face with landmarks `points` (478, 2) in `pixels` (H, W, 3) uint8."""
        dlib = self._dlib
        x0, y0, x1, y1 = (round(float(value)) for value in (*points.min(0), *points.max(0)))
        five = dlib.points([dlib.point(*(round(float(value)) for value in points[index])) for index in _FIVE_POINTS])
        shape = dlib.full_object_detection(dlib.rectangle(x0, y0, x1, y1), five)
        return self._network.describe(dlib.get_face_chip(np.ascontiguousarray(pixels), shape, SIDE_PX, 0.25))


def distance(embedding: NDArray[Any], mean: NDArray[Any]) -> NDArray[np.float32]:
    """Euclidean distance of descriptors (n, 128) to one descriptor (128,)."""
    return np.asarray(np.linalg.norm(np.atleast_2d(embedding) - mean, axis=1), np.float32)


def mean_embedding(embedding: NDArray[Any]) -> NDArray[np.float32]:
    """The mean (128,) of the measured rows of (n, 128); NaN rows are those never measured (all NaN: so is the mean)."""
    measured = embedding[~np.isnan(embedding[:, 0])]
    return np.asarray(measured.mean(axis=0) if len(measured) else np.full(embedding.shape[1], np.nan), np.float32)


def apart(first: NDArray[Any], second: NDArray[Any]) -> float:
    """How far the means of two people's measured rows, (n, 128) and (m, 128), lie from each other; NaN where one has
    none."""
    return float(distance(mean_embedding(first), mean_embedding(second))[0])
