"""One person's landmarks carried into another's shape, with the expression and the angle kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..faces import LANDMARKS

_RIDGE = 1e-3
_REST = 20
_FACE = 468
"""landmarks of the face; the irises come after"""
_SIZES = (0.8, 1.25)
"""of one face against another's with brows, eyes and nose as wide; people differ by some 5%"""
_GAZE = slice(11, 19)
"""the blendshapes eyeLookDownLeft to eyeLookUpRight"""
_EYES = (((33, 133), range(468, 473)), ((362, 263), range(473, 478)))
"""corners, and the iris with its middle"""


def rest(acting: NDArray[Any]) -> NDArray[np.float32]:
    """(54,) what a person's resting face is read as, from all that the person does (n, 54); 0 for gaze and angles.

    Blendshapes are read from landmarks, so that high brows are read as raised ones. Most of them are at rest most of
    the time, so their 20th percentile over a clip is near what the shape alone reads. Measured on a real pair, the swap
    comes closest to B with more, and keeps the expression best with less. Gaze has no rest: who looks aside most of the
    time looks aside.
    """
    resting = np.percentile(acting, _REST, axis=0)
    resting[_GAZE] = resting[-2:] = 0
    return np.asarray(resting, np.float32)


def shape_offset(points: Sequence[NDArray[Any]], acting: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """(3, 478, 2): how B's aligned landmarks differ from A's in the same expression, in face squares: at angle 0, and
    what each half radian of yaw and of pitch adds.

    `points` are both people's (n, 478, 2) aligned, in face squares, `acting` (n, 54) what they do, counted from their
    own rest. One ridge regression explains all landmarks by a person's own shape and its parallax, linear in the
    angles, and by what all faces have in common: the blendshapes' effect and the angles' second order. So a person who
    smiles more than the other is not taken for one with a wide mouth.

    B's shape is then brought to the size and place of A's whole face, as it must fill A's head. Aligned by brows, eyes
    and nose alone, as pictures are, a person with wide-set eyes would get a mouth and chin too high in it, which also
    looks like a raised head.
    """
    left, right = [], []
    for person, (where, what) in enumerate(zip(points, acting, strict=True)):
        angles = what[:, -2:].astype(np.float64)
        own = np.column_stack([np.ones(len(what)), angles])
        shared = np.column_stack([what[:, :-2], angles**2, angles.prod(1)])
        both = np.zeros((len(what), 6))
        both[:, 3 * person : 3 * person + 3] = own
        weight = 1 / np.sqrt(len(what))  # each person counts as much as the other
        left.append(weight * np.column_stack([both, shared]))
        right.append(weight * where.reshape(len(where), -1))
    known, wanted = np.concatenate(left), np.concatenate(right)
    penalty = _RIDGE * np.array([0, 1, 1, 0, 1, 1, *[1] * (known.shape[1] - 6)])
    solved = np.linalg.solve(known.T @ known + np.diag(penalty), known.T @ wanted)
    shape_a, shape_b = solved[:6].reshape(2, 3, LANDMARKS, 2)
    scale, shift = _fit(shape_b[0, :_FACE], shape_a[0, :_FACE])
    shape_b = scale * shape_b
    shape_b[0] += shift
    return np.asarray(shape_b - shape_a, np.float32)


def _fit(points: NDArray[Any], to: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Scale and shift (2,) that bring points (n, 2) nearest to others, see Gower, "Generalized Procrustes analysis",
    Psychometrika 40(1), 1975; without a turn, as the angles tell of that."""
    middle, centre = points.mean(0), to.mean(0)
    away = points - middle
    scale = float(np.clip((away * (to - centre)).sum() / (away**2).sum(), *_SIZES))
    return scale, centre - scale * middle


def carried(points: NDArray[Any], acting: NDArray[Any], offset: NDArray[Any], square_px: float) -> NDArray[np.float32]:
    """A's aligned landmarks (..., 478, 2) px as B would show them, where a face square is `square_px` wide.

    Both irises are then moved alike, so that B looks where A looks: that is no matter of shape, and two people who look
    elsewhere most of the time must not be taken for two shapes. How far the two eyes converge is the person's own.
    """
    coefficients = np.concatenate([np.ones_like(acting[..., :1]), acting[..., -2:]], -1)
    result = points + square_px * np.tensordot(coefficients, offset, 1)
    away = np.mean([_gaze(points, *eye) - _gaze(result, *eye) for eye in _EYES], axis=0)
    for corners, iris in _EYES:
        right, left = (_complex(result[..., corner, :]) for corner in corners)
        moved = _complex(result[..., iris, :]) + (away * (left - right))[..., None]
        result[..., iris, 0], result[..., iris, 1] = moved.real, moved.imag
    return np.asarray(result, np.float32)


def _gaze(points: NDArray[Any], corners: tuple[int, int], iris: range) -> NDArray[Any]:
    """Where an iris stands in its eye, as a complex number: 0 is the right corner, 1 the left."""
    right, left = (_complex(points[..., corner, :]) for corner in corners)
    return np.asarray((_complex(points[..., iris, :]).mean(-1) - right) / (left - right))


def _complex(points: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(points[..., 0] + 1j * points[..., 1])
