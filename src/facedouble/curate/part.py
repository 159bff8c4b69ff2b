"""Parts of a set: by where a face looks, or by any measure; and the best few that show all it does."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..events import Progress
from ..faces import SAME_PERSON
from .faceset import FaceSet
from .quality import MEASURES, Quality

ORIENTATION_EDGES = (20.0, 50.0)
"""degrees of yaw to either side: frontal up to the first, three-quarter up to the second, side beyond"""
ORIENTATIONS = ("frontal", "three-quarter", "side")
# Spreads under which a feature of `pick` says little; no set is blown up to more than it shows.
_POSE_DEGREES, _EXPRESSION, _LIGHTNESS = 5.0, 0.2, 3.0
_LIGHT_WEIGHT = 0.5
_ROUNDS = 3
_NEAR = 0.05
"""as near to a cell's mean as makes no difference, so that the better face is taken there"""
_BLOCK = 1024


def orientations(quality: Quality, edges: Sequence[float] = ORIENTATION_EDGES) -> dict[str, NDArray[np.int64]]:
    """Name -> rows of faces that look ahead (frontal), partly aside (three-quarter) and aside (side), left or right."""
    rows = quality.rows()
    place = np.digitize(np.abs(quality.yaw[rows]), edges)
    return {name: rows[place == number] for number, name in enumerate(ORIENTATIONS)}


def bins(quality: Quality, by: str) -> dict[str, NDArray[np.int64]]:
    """Name -> rows, for `by` such as "yaw:-90,-20,20,90": from each edge up to the next, the last one included.

    Raises InputError for an unknown measure or edges that do not ascend.
    """
    name, _, text = by.partition(":")
    try:
        edges = [float(part) for part in text.split(",")]
    except ValueError:
        edges = []
    if name not in MEASURES or len(edges) < 2 or not all(low < high for low, high in pairwise(edges)):
        raise InputError(
            f"--by {by}: expected orientation, or a measure with ascending edges, such as yaw:-90,-20,20,90. Measures: "
            f"{', '.join(MEASURES)}."
        )
    rows = quality.rows()
    values = quality.column(name)[rows]
    found = {}
    for low, high in pairwise(edges):
        inside = (values >= low) & ((values < high) | ((values == high) & (high == edges[-1])))
        found[f"{name}_{low:g}_to_{high:g}"] = rows[inside]
    return found


def features(faces: FaceSet, quality: Quality, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(m, 55) of `rows`: yaw and pitch, the 52 blendshapes, and the skin's lightness (at half weight), each of the
    three blocks scaled to a spread of 1 over these rows."""
    light = quality.brightness[rows, None]
    known = light[~np.isnan(light)]
    blocks = (
        (np.stack([quality.yaw[rows], quality.pitch[rows]], axis=1), _POSE_DEGREES, 1.0),
        (faces.faces.expression[rows], _EXPRESSION, 1.0),
        (np.nan_to_num(light, nan=float(np.median(known)) if len(known) else 0.0), _LIGHTNESS, _LIGHT_WEIGHT),
    )
    scaled = [
        weight * (block - block.mean(0)) / max(float(np.sqrt(block.var(0).sum())), least)
        for block, least, weight in blocks
    ]
    return np.hstack(scaled).astype(np.float32)


def worth(quality: Quality, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(m,) 0..1 how good each face is to learn from: the less for a face that is blurred beside the others, cut off by
    the frame, or further than usual from the set's identity."""
    sharp = np.clip(quality.sharpness[rows] / max(float(np.median(quality.sharpness[rows])), 1e-6), 0.05, 1)
    away = np.nan_to_num(quality.away[rows], nan=0.0)
    same = np.clip((SAME_PERSON - away) / 0.2, 0.05, 1)
    return np.asarray(np.maximum(sharp * quality.inside[rows] ** 2 * same, 0.01), np.float32)


def pick(faces: FaceSet, quality: Quality, count: int) -> Generator[Progress, None, NDArray[np.int64]]:
    """`count` rows, ascending, spread evenly over pose, expression and lightness, good faces before bad ones.

    The greedy k-center of Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer
    Science 38, 1985, with distances weighted by `worth`: always the face that is furthest from all picked so far. It
    reaches every corner but sits on the corners, so then, three times, each picked one is exchanged for the one of its
    cell that is nearest to the cell's mean (the update step of k-medoids; Park and Jun, "A simple and fast algorithm
    for K-medoids clustering", Expert Systems with Applications 36, 2009). There is no chance in it. Raises InputError
    where `count` is not 1 to the number of faces.
    """
    rows = quality.rows()
    if not 1 <= count <= len(rows):
        raise InputError(f"{faces.path}: {count} of its {len(rows)} faces: expected 1 to {len(rows)}.")
    points, value = features(faces, quality, rows), worth(quality, rows)
    square = (points**2).sum(axis=1)
    picked = [int(np.argmin(square / value))]  # the features are centred, so this is an ordinary face
    nearest = np.full(len(rows), np.inf, np.float32)
    while len(picked) < count:
        last = picked[-1]
        away = square + square[last] - 2 * (points @ points[last])
        nearest = np.minimum(nearest, np.sqrt(np.maximum(away, 0)))
        nearest[last] = -1
        picked.append(int(np.argmax(np.where(nearest < 0, -1, nearest * value))))
        if len(picked) % 100 == 0:
            yield Progress("picking faces", len(picked), count, unit="faces")
    centres = np.array(picked)
    for _ in range(_ROUNDS):
        centres = _inwards(points, value, centres)
    return np.sort(rows[centres])


def _inwards(points: NDArray[np.float32], value: NDArray[np.float32], centres: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each centre the worthy point of its cell that is nearest to the cell's mean."""
    cell, _ = _nearest(points, points[centres])
    cell[centres] = np.arange(len(centres))  # of equal points too, each has its own cell
    order = np.argsort(cell, kind="stable")
    first = np.searchsorted(cell[order], np.arange(len(centres)))
    sizes = np.diff(first, append=len(points))
    means = np.add.reduceat(points[order], first, axis=0) / sizes[:, None]
    cost = (np.linalg.norm(points - means[cell], axis=1) + _NEAR) / value
    order = np.lexsort((cost, cell))
    return np.asarray(order[first])


def _nearest(
    points: NDArray[np.float32], centres: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(m,) the nearest of `centres` to each of m points, and (m,) how far it is."""
    index = np.empty(len(points), np.int64)
    square = (centres**2).sum(axis=1)
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        index[start : start + _BLOCK] = (square - 2 * (block @ centres.T)).argmin(axis=1)
    return index, np.asarray(np.linalg.norm(points - centres[index], axis=1), np.float32)


def reach(faces: FaceSet, quality: Quality, rows: NDArray[np.int64], picked: NDArray[np.int64]) -> NDArray[np.float32]:
    """(m,) how far each of `rows` is from the nearest of `picked` (rows too), in the features' spreads: what is not
    covered by them."""
    points = features(faces, quality, rows)
    return _nearest(points, points[np.isin(rows, picked)])[1]
