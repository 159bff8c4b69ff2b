"""B's faces bent into what A does, so that B's decoder has seen more than B ever did."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..device import sent
from ..geometry import (
    FACE_OVAL,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE,
    LEFT_IRIS,
    LIPS,
    NOSTRILS,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_IRIS,
)

_EYES = np.concatenate([LEFT_EYE, RIGHT_EYE, LEFT_IRIS, RIGHT_IRIS])
_FEATURES = np.concatenate([LIPS, INNER_LIPS, LEFT_BROW, RIGHT_BROW])
_KNOTS = np.unique(np.concatenate([_EYES, _FEATURES, FACE_OVAL, NOSTRILS, np.arange(0, 468, 16)]))
"""the landmarks that are moved; between them the picture follows"""
_LIKENESS = np.concatenate([np.repeat(_EYES, 3), _FEATURES, FACE_OVAL])
"""what makes two faces alike here: an eye is small, but open or closed it is another face"""
_NEAREST = 16
_LEAST = 0.5
_REACH = 0.1
_RIDGE = 0.02
_EVERY = 4
"""px between the places where the movement is computed; in between it is interpolated"""


class Bend:
    """Frames of B, each the most like a frame of A that B has, bent the rest of the way by moving its landmarks.

    The picture, the drawing and the masks of a face are bent alike, so that they agree, and the decoder learns to obey
    drawings of expressions that B never showed: wider smiles, other mouths, other gazes. Bending changes no bones: A's
    landmarks are carried into B's shape before (see learn.shape). Interpolated between landmarks with a Matern 3/2
    kernel (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, 4.17), which fades to nothing away
    from the face.
    """

    def __init__(
        self,
        own: NDArray[np.float32],
        theirs: NDArray[np.float32],
        acting: Tensor,
        their_acting: Tensor,
        square: float,
        part: float,
    ) -> None:
        """`own` (n, 478, 2) are B's landmarks and `theirs` (m, 478, 2) A's in B's shape, in B's canvas of -1..1, where
        a face square is `square` wide; `acting` (n, 54) and `their_acting` (m, 54) what they do, A's counted from B's
        rest; `part` of the faces are bent."""
        self._own = torch.from_numpy(own[:, _KNOTS])
        self._theirs = torch.from_numpy(theirs[:, _KNOTS])
        self._acting, self._their_acting = acting, their_acting
        a, b = (torch.from_numpy(points[:, _LIKENESS].reshape(len(points), -1)) for points in (theirs, own))
        self._nearest = torch.cdist(a, b).topk(min(_NEAREST, len(own)), largest=False).indices
        self._reach, self._part = _REACH * square, part

    def cast(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Which of B's faces take part instead of `rows` (n,), where their landmarks go (n, k, 2), and what they then
        do (n, 54)."""
        count = len(rows)
        chosen = torch.randint(len(self._nearest), (count,), generator=generator)
        near = torch.randint(self._nearest.shape[1], (count,), generator=generator)
        chance = torch.rand(count, 2, generator=generator)
        bent = chance[:, 0] < self._part
        far = (bent * (_LEAST + (1 - _LEAST) * chance[:, 1]))[:, None]
        rows = torch.where(bent, self._nearest[chosen, near], rows)
        goal = torch.lerp(self._own[rows], self._theirs[chosen], far[..., None])
        return rows, goal, torch.lerp(self._acting[rows], self._their_acting[chosen], far)

    def __call__(self, grid: Tensor, rows: Tensor, goal: Tensor) -> Tensor:
        """`grid` (n, S, S, 2), on any device, bent so that what it samples shows the landmarks of faces `rows` (n,) at
        `goal` (n, k, 2), both the CPU's."""
        bent = torch.nonzero((goal != self._own[rows]).any(2).any(1))[:, 0]
        if not len(bent):
            return grid
        size, goal = grid.shape[1], goal[bent]
        inside = self._alike(goal, goal) + _RIDGE * torch.eye(goal.shape[1])
        # Cholesky, as the matrix is symmetric and positive. By the CPU: a GPU waits to say whether it is.
        pull = torch.cholesky_solve(self._own[rows[bent]] - goal, torch.linalg.cholesky(inside))
        bent, goal, pull = (sent(part, grid.device) for part in (bent, goal, pull))
        coarse = _resized(grid[bent], -(-size // _EVERY))
        field = self._alike(coarse.flatten(1, 2), goal) @ pull
        result = grid.clone()
        result[bent] += _resized(field.reshape(coarse.shape), size)
        return result

    def _alike(self, first: Tensor, second: Tensor) -> Tensor:
        away = torch.cdist(first, second) / self._reach
        return (1 + away) * torch.exp(-away)


def _resized(field: Tensor, size: int) -> Tensor:
    """(n, h, w, 2) to (n, size, size, 2)."""
    moved = functional.interpolate(field.permute(0, 3, 1, 2), size=(size, size), mode="bilinear")
    return moved.permute(0, 2, 3, 1)
