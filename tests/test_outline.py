"""The head around a new face brought to the outline of B's."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble.curate.faceset import FaceSet
from facedouble.errors import InputError
from facedouble.find.mask import face_mask, hull_mask
from facedouble.geometry import FACE_OVAL, align, apply
from facedouble.media.reader import frame_at, probe
from facedouble.provenance.mark import Marker
from facedouble.recipes import ConvertRecipe
from facedouble.stages.opening import Opened
from facedouble.swap.outline import Outline
from facedouble.swap.steady import Glimpse
from support import CPU

Points = NDArray[np.float32]
SIZE, WIDTH = (360, 400), 200
MIDDLE = np.array([180, 200], np.float32)
ROUND = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
ELLIPSE = np.stack([100 * np.sin(ROUND), -130 * np.cos(ROUND)], -1).astype(np.float32)
RIGHT, LEFT = 27, 9
"""of the oval: the outermost on the person's right, which is the picture's left, and on the left"""


def head(wider: float = 1.0, taller: float = 1.0, aside: tuple[float, float] = (0, 0)) -> Points:
    """(478, 2): an ellipse for an outline, all else in its middle."""
    points = np.tile(MIDDLE, (478, 1)).astype(np.float32)
    points[FACE_OVAL] += ELLIPSE * np.array([wider, taller], np.float32) + np.array(aside, np.float32)
    return points


def moves(b: Points, yaw: float = 0.0) -> Points:
    """(36, 2) px: how far the outline of A goes."""
    return (Outline.of(head(), b, np.radians(yaw), SIZE).moved(head()) - head())[FACE_OVAL]


@pytest.mark.parametrize("b", [head(1.03, 0.98), head(0.97, 1.02), head(1.02, 1.02), head(0.97, 0.97)])
def test_what_is_seen_goes_where_its_landmarks_do(b: Points) -> None:
    a, whole = head(), hull_mask(head()[FACE_OVAL], SIZE)
    outline = Outline.of(a, b, 0.0, SIZE)
    there = outline.moved(a)
    gone = ((there - a)[FACE_OVAL] * (b - a)[FACE_OVAL]).sum() / ((b - a)[FACE_OVAL] ** 2).sum()
    assert 0.55 < gone < 0.8  # most of the way
    wanted, made = hull_mask(there[FACE_OVAL], SIZE), outline(whole)
    assert (np.abs(made.astype(int) - wanted) > 128).sum() < 0.05 * (
        np.abs(whole.astype(int) - wanted) > 128
    ).sum() + 20
    np.testing.assert_array_equal(there[0], a[0])


@pytest.mark.parametrize("b", [head(1.2, 1.2), head(0.8, 0.8), head(1.2, 0.8), head(1.03, 0.97)])
def test_nothing_moves_far_beyond_the_outline_nor_within_nor_folds(b: Points) -> None:
    outline = Outline.of(head(), b, 0.0, SIZE)
    farthest = np.linalg.norm(moves(b), axis=1).max()
    assert 0.01 * WIDTH < farthest < 0.036 * WIDTH
    face = hull_mask(head()[FACE_OVAL], SIZE)
    around, within = 2 * round(0.09 * WIDTH) + 1, 2 * round(0.15 * WIDTH) + 1
    assert not outline.shift[cv2.dilate(face, np.ones((around, around), np.uint8)) == 0].any()
    assert not outline.shift[cv2.erode(face, np.ones((within, within), np.uint8)) > 0].any()
    assert outline.there.any() and not outline.there[np.abs(outline.shift).max(-1) == 0].any()
    y, x = np.indices(SIZE[::-1], np.float32)
    where = outline.shift + np.stack([x, y], -1)
    # The map of px to px keeps their order everywhere: the determinant of its slopes is above 0.
    (yx, xx), (yy, xy) = (np.gradient(where[..., axis]) for axis in (0, 1))
    assert (xx * yy - xy * yx).min() > 0.1


@pytest.mark.parametrize("shift", [(-80, 0), (100, 0), (0, 90), (60, -120)])
def test_where_the_part_of_the_frame_ends_nothing_moves(shift: tuple[int, int]) -> None:
    a, b = (points + np.array(shift, np.float32) for points in (head(), head(1.04, 0.96)))
    outline = Outline.of(a, b, 0.0, SIZE)
    assert np.abs(outline.shift).max() > 1
    for side in (outline.shift[0], outline.shift[-1], outline.shift[:, 0], outline.shift[:, -1]):
        assert not side.any()


def test_neither_a_raised_face_nor_an_equal_one_moves_anything() -> None:
    for b in (head(), head(aside=(0, -8)), head(aside=(5, 3))):
        outline = Outline.of(head(), b, 0.0, SIZE)
        assert np.abs(outline.shift).max() < 1e-4
        noise = np.random.default_rng(1).integers(0, 255, (*SIZE[::-1], 3)).astype(np.uint8)
        np.testing.assert_array_equal(outline(noise), noise)


@pytest.mark.parametrize("side", [1, -1])
def test_of_a_turned_head_only_the_side_that_is_its_outline_moves(side: int) -> None:
    near, far = (RIGHT, LEFT) if side > 0 else (LEFT, RIGHT)
    b = head(1.02, 1.0)
    straight = np.abs(moves(b)[:, 0])
    assert straight[near] == pytest.approx(straight[far], rel=0.1)
    last = straight
    for yaw in (4, 8, 16):
        now = np.abs(moves(b, side * yaw)[:, 0])
        assert now[near] < last[near] and now[far] >= 0.99 * last[far]
        last = now
    assert np.abs(moves(b, side * 30)[near]).max() < 0.01 < np.abs(moves(b, side * 30)[far]).max()
    assert np.abs(moves(b, side * 60)[[near, far]]).max() < 0.01  # a profile's is nose and mouth


def test_a_face_wider_than_the_frame_and_a_tiny_one_are_moved_as_well() -> None:
    for scale in (0.05, 6.0):
        a, b = (MIDDLE + scale * (points - MIDDLE) for points in (head(), head(1.05, 1.0)))
        outline = Outline.of(a, b, 0.0, SIZE)
        assert np.isfinite(outline.shift).all() and np.isfinite(outline.moved(a)).all()
        assert outline(np.zeros(SIZE[::-1], np.float32)).shape == SIZE[::-1]
    flat = np.tile(MIDDLE, (478, 1))
    assert not Outline.of(flat, flat, 0.0, SIZE).there.any()


def test_a_swap_moves_the_outline_and_what_stands_before_it_alike(short_a: Path, faces_a: FaceSet, model: Path) -> None:
    opened, frame, points = Opened.of(model, CPU, "newest"), frame_at(probe(short_a), 5), faces_a.faces.points[5]
    acting = faces_a.faces.acting()[5]
    hand = np.zeros((128, 128), np.float32)
    hand[:, :64] = 1
    before = Glimpse(hand, align(points, 128, 2.0), np.zeros((128, 128), np.uint8))
    made = {}
    for outline in ("keep", "move"):
        swapper = opened.swapper(ConvertRecipe(outline=outline, fit="none", grain="none"), Marker("0" * 8), [])
        result, layer = swapper(frame.pixels, points, acting, before)
        assert layer is not None
        x0, y0, x1, y1 = layer.box
        moved = frame.pixels.copy()
        if layer.outline is not None:
            moved[y0:y1, x0:x1] = layer.outline(moved[y0:y1, x0:x1])
        laid = np.zeros(moved.shape[:2], bool)
        laid[y0:y1, x0:x1] = layer.mask > 0
        np.testing.assert_array_equal(result[~laid], moved[~laid])  # the hand among it
        made[outline] = result, moved
        right = apply(before.to_crop, np.argwhere(laid)[:, ::-1].astype(np.float32))[:, 0]
        assert right.min() == pytest.approx(64, abs=4)
    np.testing.assert_array_equal(made["keep"][1], frame.pixels)
    changed = (made["move"][1] != frame.pixels).any(-1)
    reach = 2 * round(0.09 * float(np.ptp(points[FACE_OVAL, 0]))) + 1
    near = cv2.dilate(face_mask(points, (512, 512)), np.ones((reach, reach), np.uint8)) > 0
    assert changed.any() and not changed[~near].any()
    with pytest.raises(InputError, match="outline 'b': expected move or keep"):
        ConvertRecipe(outline="b")
