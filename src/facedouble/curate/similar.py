"""Which faces look alike, by their fingerprints (quality.Quality.fingerprint)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DUPLICATE = 0.03
"""how unlike two pictures are at most that count as one, unless another limit is asked for"""
_BLOCK = 512


def unlikeness(fingerprint: NDArray[np.float32], one: NDArray[np.float32]) -> NDArray[np.float32]:
    """(m,) root mean square difference of fingerprints (m, 256) to one (256,), in parts of a picture's own contrast: 0
    the same picture, 1.41 nothing in common."""
    return np.asarray(np.sqrt(((fingerprint - one) ** 2).mean(axis=1)), np.float32)


def leaders(
    fingerprint: NDArray[np.float32], rank: NDArray[np.float32], limit: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(m,) for each of m faces the one it is a duplicate of (itself where of none), and (m,) how unlike that one it is.

    Leader clustering (Hartigan, "Clustering Algorithms", 1975, ch. 3): the face of highest `rank` (m,) leads all that
    are less than `limit` unlike it, the highest of the rest leads the next group, and so on. Unlike linkage of pairs
    it does not chain a whole slow movement into one group.
    """
    count, cells = fingerprint.shape
    scaled = fingerprint / np.float32(np.sqrt(cells))
    square = (scaled**2).sum(axis=1)
    leader, apart = np.full(count, -1, np.int64), np.zeros(count, np.float32)
    order = np.argsort(-rank, kind="stable")
    for start in range(0, count, _BLOCK):
        block = order[start : start + _BLOCK]
        block, free = block[leader[block] < 0], np.flatnonzero(leader < 0)
        # |a - b|^2 by one product of matrices: exact enough to compare, a hundred times faster than differences.
        near = square[block, None] + square[None, free] - 2 * (scaled[block] @ scaled[free].T) < limit**2
        for place, face in enumerate(block):
            if leader[face] < 0:
                led = free[near[place] & (leader[free] < 0)]
                leader[led], apart[led] = face, unlikeness(fingerprint[led], fingerprint[face])
                leader[face], apart[face] = face, 0
    return leader, apart
