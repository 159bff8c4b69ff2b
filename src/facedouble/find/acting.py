"""How alike two faces act: the turn between their poses, and whether their expressions move together."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Blendshapes whose spread in the original is below this hardly move, and their correlation would be noise.
_MOVES = 0.03


def between(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) angle in radians of the rotation that takes poses (n, 3) into each other."""
    from scipy.spatial.transform import Rotation

    if not len(first):
        return np.zeros(0, np.float32)
    turns = [Rotation.from_euler("YXZ", pose) for pose in (first, second)]
    return np.asarray((turns[0].inv() * turns[1]).magnitude(), np.float32)


def moves(before: NDArray[np.float32]) -> NDArray[np.intp]:
    """Columns of (n, 52) whose standard deviation is over 0.03."""
    return np.nonzero(before.std(0) > _MOVES)[0] if len(before) > 2 else np.zeros(0, np.intp)


def correlation(after: NDArray[np.float32], before: NDArray[np.float32]) -> float:
    """Mean Pearson r over the columns of (n, 52) that move in `before`; nan if none does."""
    values = [
        float(np.corrcoef(after[:, i], before[:, i])[0, 1]) if after[:, i].std() > 1e-6 else 0.0 for i in moves(before)
    ]
    return float(np.mean(values)) if values else math.nan
