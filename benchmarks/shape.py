"""How near A's landmarks, carried into B's shape, come to the landmarks of the known answer. Run by `benchmarks/run
shape`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facedouble.faces import Faces
from facedouble.geometry import align, apply
from facedouble.learn.shape import carried, rest, shape_offset

ASIDE = 35
"""degrees of yaw from which on a face is looked at apart"""


def offset_of(people: Sequence[Faces]) -> NDArray[np.float32]:
    """What training would make of A's and B's faces, see learn.shape."""
    acting = [faces.acting() for faces in people]
    points = [np.stack([_in_square(points, points) for points in faces.points]) for faces in people]
    return shape_offset(points, [what - rest(what) for what in acting])


def away(offset: NDArray[np.float32], target: Faces, truth: Faces) -> dict[str, tuple[float, float]]:
    """In frames that have both: root mean square distance, % of a face square, of A's landmarks and of the carried ones
    from the answer's; of all faces, and of those ASIDE."""
    _, ours, theirs = np.intersect1d(target.frame, truth.frame, return_indices=True)
    target, truth = target[ours], truth[theirs]
    own = np.stack([_in_square(points, points) for points in target.points])
    answer = np.stack([_in_square(*both) for both in zip(target.points, truth.points, strict=True)])
    off = [((points - answer) ** 2).sum(-1).mean(-1) for points in (own, carried(own, target.acting(), offset, 1.0))]
    aside = np.abs(np.degrees(target.pose[:, 0])) >= ASIDE
    chosen = {"all": np.ones(len(target), bool), f"{ASIDE} degrees and more": aside}
    before, after = off
    return {
        name: (100 * float(np.sqrt(before[rows].mean())), 100 * float(np.sqrt(after[rows].mean())))
        for name, rows in chosen.items()
        if rows.any()
    }


def _in_square(points: NDArray[np.float32], of: NDArray[np.float32]) -> NDArray[np.float32]:
    """Landmarks `of` in the face square of the face with landmarks `points`."""
    return apply(align(points, 1, 1.0), of)
