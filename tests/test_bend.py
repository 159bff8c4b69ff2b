"""B's faces bent into A's expressions: landmarks go where they are sent, the rest of the picture stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from facedouble.curate.faceset import FaceSet
from facedouble.geometry import INNER_LIPS, LEFT_EYE
from facedouble.learn import data
from facedouble.learn.bend import _KNOTS, Bend
from facedouble.recipes import TrainRecipe

SIZE = 96
TIP, CORNER, BROW, CHIN = 4, 291, 105, 152
"""landmarks far from one another"""


@pytest.fixture(scope="module")
def canvases(faces_a: FaceSet) -> data.Canvases:
    return data.load(faces_a, TrainRecipe())


def bend_of(canvases: data.Canvases, theirs: np.ndarray, part: float) -> Bend:
    side = canvases.pixels.shape[-1]
    own, goal = (points / side * 2 - 1 for points in (canvases.points, theirs))
    return Bend(own, goal, canvases.acting, canvases.acting + 1, 2 * canvases.square_px / side, part)


def straight(canvases: data.Canvases, count: int) -> torch.Tensor:
    return data.grid(torch.eye(2).expand(count, 2, 2), torch.zeros(count, 2), canvases)


def centre_of(picture: np.ndarray) -> np.ndarray:
    """(x, y) of what is bright."""
    y, x = np.indices(picture.shape)
    return np.array([(x * picture).sum(), (y * picture).sum()]) / picture.sum()


@pytest.mark.parametrize("landmark", [TIP, CORNER, BROW, CHIN])
def test_a_landmark_goes_where_it_is_sent(canvases: data.Canvases, landmark: int) -> None:
    side = canvases.pixels.shape[-1]
    theirs = canvases.points.copy()
    moved = np.random.default_rng(3).normal(0, 1.5, (1, 4, 2)).astype(np.float32)
    for place, point in enumerate((TIP, CORNER, BROW, CHIN)):
        near = np.linalg.norm(theirs[:1] - theirs[:1, point : point + 1], axis=-1) < 0.25 * canvases.square_px
        theirs[:1][near] += moved[0, place]
    bend = bend_of(canvases, theirs, 1.0)
    goal = bend._theirs[:1]
    y, x = np.indices((side, side))
    at = canvases.points[0, landmark]
    dot = np.exp(-((x - at[0] + 0.5) ** 2 + (y - at[1] + 0.5) ** 2) / 8).astype(np.float32)
    grid = bend(straight(canvases, 1), torch.tensor([0]), goal)
    picture = functional.grid_sample(torch.from_numpy(dot)[None, None], grid, align_corners=False)[0, 0].numpy()
    wanted = theirs[0, landmark] - (side - SIZE) / 2 - 0.5
    assert np.abs(centre_of(picture) - wanted).max() < 0.5
    assert np.abs(moved).max() > 1.5


def test_what_is_not_face_stays(canvases: data.Canvases) -> None:
    theirs = canvases.points.copy()
    theirs[:, INNER_LIPS] += 3
    bend, before = bend_of(canvases, theirs, 1.0), straight(canvases, 1)
    after = bend(before, torch.tensor([0]), bend._theirs[:1])
    away = (after - before).norm(dim=-1)[0]
    assert away[:8].max() < 0.05 * away.max() and away[:, :4].max() < 0.05 * away.max()


def test_a_part_of_the_faces_is_bent(canvases: data.Canvases) -> None:
    theirs = canvases.points + 1
    rows = torch.arange(40) % len(canvases)
    own = torch.from_numpy(canvases.points / canvases.pixels.shape[-1] * 2 - 1)[:, _KNOTS]
    for part in (0.0, 0.5, 1.0):
        bend = bend_of(canvases, theirs, part)
        taken, goal, acting = bend.cast(rows, torch.Generator().manual_seed(1))
        bent = (acting != canvases.acting[taken]).any(1)
        assert bent.float().mean() == pytest.approx(part, abs=0.2)
        assert (taken[~bent] == rows[~bent]).all() and torch.equal(goal[~bent], own[taken[~bent]])
        # At least half the way goes what is bent at all.
        assert not part or (acting[bent] - canvases.acting[taken[bent]]).mean(1).min() > 0.25


def test_the_face_that_is_bent_is_like_the_one_it_plays(canvases: data.Canvases) -> None:
    """A blink is played by a face with closed eyes, where there is one."""
    bend = bend_of(canvases, canvases.points, 1.0)
    taken, _, _ = bend.cast(torch.zeros(200, dtype=torch.long), torch.Generator().manual_seed(2))
    assert (bend._nearest[:, 0] == torch.arange(len(canvases))).float().mean() > 0.9
    assert len(taken.unique()) > len(canvases) / 3


def test_bending_needs_no_same_canvas(canvases: data.Canvases, faces_b: FaceSet) -> None:
    """A's crops may show more around the face than B's: the landmarks still fall on B's face."""
    narrow = data.load(faces_b, TrainRecipe(coverage=2.0))
    offset, resting = torch.zeros(478, 3), torch.zeros(2, 54)
    found = data.bend(narrow, canvases, offset, resting, 1.0)
    middle = [points.mean((0, 1)).numpy() for points in (found._own, found._theirs)]
    assert np.abs(middle[0] - middle[1]).max() < 0.05
    width = [
        np.ptp(points.numpy()[:, np.isin(_KNOTS, LEFT_EYE), 0], axis=1).mean() for points in (found._own, found._theirs)
    ]
    assert width[0] == pytest.approx(width[1], rel=0.2)
