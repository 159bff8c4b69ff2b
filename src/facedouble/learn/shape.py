"""One person's landmarks carried into another's shape, with the expression and the angle kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..faces import BLINKS, GAZE, HALF_RADIAN, JAW_OPEN, LANDMARKS
from ..find.mesh import Mesh
from ..geometry import (
    ALIGNMENT_POINTS,
    LEFT_EYE,
    LOWER_LIP,
    RIGHT_EYE,
    TEMPLATE,
    UPPER_LIP,
    apply,
    scale_of,
    similarity,
    turned_and_aligned,
)

_RIDGE = 1e-3
"""of the regression: a person's depth is the canonical mesh's where turning does not tell"""
_REST = 20
_FACE = 468
"""landmarks of the face; the irises come after"""
_WITHOUT_REST = [*GAZE, JAW_OPEN, 34, 35, 48, 49, -2, -1]
"""gaze (eyeLookDownLeft to eyeLookUpRight), what parts the lips (jawOpen, mouthLowerDown, mouthUpperUp), and angles"""
_SPEAKING = 0.1
"""of a face square, how far lips are parted from where on they are as far apart as B's shape makes them"""
_EYES = (((33, 133), range(468, 473)), ((362, 263), range(473, 478)))
"""corners, and the iris with its middle"""
_LIDS = (
    (
        (RIGHT_EYE[:8:-1], RIGHT_EYE[1:8]),
        [247, 30, 29, 27, 28, 56, 190, 25, 110, 24, 23, 22, 26, 112],
        [113, 225, 224, 223, 222, 221, 189],
    ),
    (
        (LEFT_EYE[:8:-1], LEFT_EYE[1:8]),
        [467, 260, 259, 257, 258, 286, 414, 255, 339, 254, 253, 252, 256, 341],
        [342, 445, 444, 443, 442, 441, 413],
    ),
)
"""of both eyes the edges of the lids, upper and lower; the rows around them, and above those"""
_SHUT = (0.0, 0.45, 0.6)
"""how much of B's shape each of these keeps where an eye is shut; of rendered people, whose lids are known"""
_BLINK, _SURELY = 0.65, 0.72
"""blendshapes of eyes that shut: up to where they say nothing, and from where on all"""
_TOUCH, _LOOK = 0.01, 0.025
"""of a face square, how far lids are parted that touch, and from where on they are as far apart as B's shape makes
them"""


def rest(acting: NDArray[Any]) -> NDArray[np.float32]:
    """(54,) what a person is read as at rest, from all that the person does (n, 54); 0 for gaze, lips and angles.

    Blendshapes are read from landmarks, so that high brows are read as raised ones. Most of them are at rest most of
    the time, so their 20th percentile over a clip is near what the shape alone reads. Measured on a real pair, the swap
    comes closest to B with more, and keeps the expression best with less. Gaze has no rest, nor have parted lips: who
    looks aside most of the time looks aside, and who speaks most of the time has an open mouth.
    """
    resting = np.percentile(acting, _REST, axis=0)
    resting[_WITHOUT_REST] = 0
    return np.asarray(resting, np.float32)


def shape_offset(points: Sequence[NDArray[Any]], acting: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """(478, 3): how B's head differs from A's, landmark by landmark, in face squares: x right, y down, z to the viewer,
    as it looks straight ahead.

    `points` are both people's (n, 478, 2) aligned, in face squares, `acting` (n, 54) what they do, counted from their
    own rest. One ridge regression explains all landmarks by a person's own shape, turned as the head is, and by what
    all faces have in common: the canonical mesh, the blendshapes' effect, and what else angles do to faces. So a person
    who smiles more than the other is not taken for one with a wide mouth, and what was learned of a face that hardly
    turns holds for a profile: a shape turns as a body does, where one that is taken to change in proportion to the
    angle is far off at 60 degrees.

    B's shape is then brought to the size and place of A's whole face, as it must fill A's head. Aligned by brows, eyes
    and nose alone, as pictures are, a person with wide-set eyes would get a mouth and chin too high in it, which also
    looks like a raised head.
    """
    head, left, right = _canonical(), [], []
    for person, (where, what) in enumerate(zip(points, acting, strict=True)):
        turned, angles = turned_and_aligned(what[:, -2:] * HALF_RADIAN), what[:, -2:].astype(np.float64)
        shared = np.column_stack([what[:, :-2], angles, angles**2, angles.prod(1)])
        known = np.zeros((len(what), 2, 6 + 2 * shared.shape[1]))
        known[:, :, 3 * person : 3 * person + 3] = turned
        known[:, 0, 6 : 6 + shared.shape[1]] = known[:, 1, 6 + shared.shape[1] :] = shared
        weight = 1 / np.sqrt(len(what))  # each person counts as much as the other
        left.append(weight * known.reshape(2 * len(what), -1))
        away = np.swapaxes(where, 1, 2) - turned @ head.T
        right.append(weight * away.reshape(2 * len(what), LANDMARKS))
    known, wanted = np.concatenate(left), np.concatenate(right)
    penalty = np.full(known.shape[1], _RIDGE)
    penalty[[0, 1, 3, 4]] = 0
    solved = np.linalg.solve(known.T @ known + np.diag(penalty), known.T @ wanted)
    shape_a, shape_b = head + solved[:3].T, head + solved[3:6].T
    return np.asarray(_filling(shape_b, shape_a) - shape_a, np.float32)


def from_angles(offset: Tensor) -> Tensor:
    """(478, 3) as above, from what models of earlier versions have in its place: (3, 478, 2) offsets at angle 0, and
    what each half radian of yaw and of pitch adds."""
    return torch.cat([offset[0], offset[1, :, :1] / HALF_RADIAN], 1)


def _canonical() -> NDArray[np.float64]:
    """(478, 3): the canonical mesh in face squares, and the irises in the middle of their eyes."""
    head = np.zeros((LANDMARKS, 3))
    head[:_FACE] = Mesh.load().vertices * [1, -1, 1]
    for corners, iris in _EYES:
        head[iris] = head[list(corners)].mean(0)
    to_square = similarity(head[ALIGNMENT_POINTS, :2], TEMPLATE)
    return np.column_stack([apply(to_square, head[:, :2]), scale_of(to_square) * head[:, 2]])


def _filling(head: NDArray[Any], of: NDArray[Any]) -> NDArray[np.float64]:
    """A head (478, 3) of the size, at the place, as upright and as straight ahead as another, by least squares of what
    is seen of both. Heads are symmetric: how one is tilted or turned aside against the other is no matter of shape, but
    what alignment by a few points and the measured angles leave of it. How far it is raised may be.

    After Gower, "Generalized Procrustes analysis", Psychometrika 40(1), 1975, with a small turn about the upright axis.
    """
    own, middle = head - head[:_FACE].mean(0), of[:_FACE].mean(0)
    x, y, z = own.T
    ways = np.stack([own[:, :2], np.column_stack([-y, x]), np.column_stack([z, np.zeros_like(z)])], -1)
    found, *_ = np.linalg.lstsq(ways[:_FACE].reshape(-1, 3), (of[:_FACE] - middle)[:, :2].ravel(), rcond=None)
    larger, _, turned = found
    return np.asarray(np.column_stack([ways @ found, larger * z - turned * x]) + middle)


def carried(points: NDArray[Any], acting: NDArray[Any], offset: NDArray[Any], square_px: float) -> NDArray[np.float32]:
    """A's aligned landmarks (..., 478, 2) px as B would show them, where a face square is `square_px` wide.

    Both irises are then moved alike, so that B looks where A looks: that is no matter of shape, and two people who look
    elsewhere most of the time must not be taken for two shapes. How far the two eyes converge is the person's own.

    Lips that touch do so on every face: what B's shape has between them grows with how far A's are parted. It is known
    as the mean of mouths that speak, and added to closed ones would show a black line, or, taken off, lips in each
    other's place. Nor does B's shape open an eye that is shut: its lids then lie between its corners as A's do. And an
    eye is shut where its blendshape says so, though landmarks in deep shade see lids half open.
    """
    turned, points = turned_and_aligned(acting[..., -2:].astype(np.float64) * HALF_RADIAN), points.copy()
    for ((upper, lower), *_), blink in zip(_LIDS, BLINKS, strict=True):
        shut = np.clip((acting[..., blink, None, None] - _BLINK) / (_SURELY - _BLINK), 0, 1)
        points[..., upper, :] += shut * (points[..., lower, :] - points[..., upper, :])
    moved = square_px * np.swapaxes(turned @ offset.T, -1, -2)
    upper, lower = UPPER_LIP[-1], LOWER_LIP[-1]  # the rows that touch
    parted = np.linalg.norm(points[..., lower, :] - points[..., upper, :], axis=-1, keepdims=True) / square_px
    apart = np.maximum(1 - parted / _SPEAKING, 0) * (moved[..., lower, :] - moved[..., upper, :])
    moved[..., UPPER_LIP, :] += apart[..., None, :, :] / 2
    moved[..., LOWER_LIP, :] -= apart[..., None, :, :] / 2
    for (corners, _), lids in zip(_EYES, _LIDS, strict=True):
        _shut(points, moved, corners, lids, square_px)
    result = points + moved
    away = np.mean([_gaze(points, *eye) - _gaze(result, *eye) for eye in _EYES], axis=0)
    for corners, iris in _EYES:
        right, left = (_complex(result[..., corner, :]) for corner in corners)
        looking = _complex(result[..., iris, :]) + (away * (left - right))[..., None]
        result[..., iris, 0], result[..., iris, 1] = looking.real, looking.imag
    return np.asarray(result, np.float32)


def _shut(
    points: NDArray[Any], moved: NDArray[Any], corners: tuple[int, int], lids: tuple[Any, ...], square_px: float
) -> None:
    """Take from `moved` (..., 478, 2), how B's shape moves A's landmarks, what would part the lids of shut eyes."""
    right, left = (_complex(points[..., [corner], :]) for corner in corners)
    (upper, lower), *around = lids
    parted = (_complex(points[..., lower, :] - points[..., upper, :]) / (left - right)).imag.mean(-1, keepdims=True)
    parted = parted * np.abs(left - right) / square_px
    opened = np.clip((parted - _TOUCH) / (_LOOK - _TOUCH), 0, 1)[..., None]
    from_right, to_left = moved[..., [corners[0]], :], moved[..., [corners[1]], :]
    for rows, kept in zip(([*upper, *lower], *around), _SHUT, strict=True):
        along = ((_complex(points[..., rows, :]) - right) / (left - right)).real[..., None].clip(0, 1)
        line = from_right + along * (to_left - from_right)
        moved[..., rows, :] = line + (kept + (1 - kept) * opened) * (moved[..., rows, :] - line)


def _gaze(points: NDArray[Any], corners: tuple[int, int], iris: range) -> NDArray[Any]:
    """Where an iris stands in its eye, as a complex number: 0 is the right corner, 1 the left."""
    right, left = (_complex(points[..., corner, :]) for corner in corners)
    return np.asarray((_complex(points[..., iris, :]).mean(-1) - right) / (left - right))


def _complex(points: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(points[..., 0] + 1j * points[..., 1])
