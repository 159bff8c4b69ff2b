"""What is seen in a face's openings: the plate's mouth and the gleam of its eyes, where the drawn face has them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble.curate.faceset import FaceSet
from facedouble.geometry import INNER_LIPS, LEFT_EYE, LEFT_IRIS, LIPS, RIGHT_EYE, RIGHT_IRIS
from facedouble.provenance.mark import Marker
from facedouble.recipes import ConvertRecipe
from facedouble.stages.opening import Opened
from facedouble.swap.drawn import Drawn
from facedouble.swap.face import Swapper
from facedouble.swap.openings import with_gleam, with_mouth
from support import CPU, SAMPLE, pictures

SIZE, SQUARE = 300, 130.0
SKIN, HOLE = 0.6, 0.05


def drawn(gap: float, moved: tuple[float, float] = (0.0, 0.0)) -> Drawn:
    """A face whose mouth is open by `gap` of a face square, and whose drawn one lies `moved` from it: the plate as
    bright as skin, a black hole for a mouth."""
    points = np.zeros((478, 2), np.float32)
    angle = np.linspace(np.pi, -np.pi, 20, endpoint=False)  # the lips' landmarks begin at a corner and go below
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    points[INNER_LIPS] = [150, 210] + ring * [30, gap * SQUARE * 2 / np.pi]
    points[LIPS] = [150, 210] + ring * [36, gap * SQUARE * 2 / np.pi + 8]
    for middle, lids, iris in (((110, 120), RIGHT_EYE, RIGHT_IRIS), ((190, 120), LEFT_EYE, LEFT_IRIS)):
        around = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        points[lids] = middle + np.stack([18 * np.cos(around), 10 * np.sin(around)], 1)
        points[iris] = np.add(middle, [(7, 0), (0, -7), (-7, 0), (0, 7)])
    plate = np.full((SIZE, SIZE, 3), SKIN, np.float32)
    face = plate.copy()
    cv2.ellipse(face, (150 + int(moved[0]), 210 + int(moved[1])), (30, 14), 0, 0, 360, (HOLE,) * 3, -1)
    return Drawn(face, plate, points, points + np.array(moved, np.float32), SQUARE, 1.5)


def inside(
    points: NDArray[Any], outline: NDArray[Any], grown: int = 0, shape: tuple[int, ...] = (SIZE, SIZE)
) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(points[outline]).astype(np.int32)], 1)
    return cv2.dilate(mask, np.ones((2 * grown + 1,) * 2, np.uint8)) > 0 if grown else mask > 0


def test_a_tooth_comes_to_where_the_drawn_mouth_has_it() -> None:
    one = drawn(0.2, moved=(12.0, -9.0))
    cv2.circle(one.plate, (140, 214), 4, (0.95, 0.9, 0.2), -1)
    result = with_mouth(one.face, one)
    yellow = (result[..., 0] > 0.8) & (result[..., 2] < 0.4)
    assert np.argwhere(yellow).mean(0)[::-1] == pytest.approx((152, 205), abs=0.5)
    beyond = ~inside(one.points_b, INNER_LIPS, grown=1)
    np.testing.assert_array_equal(result[beyond], one.face[beyond])
    assert one.face[205, 152] == pytest.approx(HOLE)  # what was given is left as it was


def test_a_mouth_that_is_shut_is_as_it_was_drawn_and_opens_gradually() -> None:
    shut = drawn(0.01)
    assert with_mouth(shut.face, shut) is shut.face
    middles = [
        float(with_mouth(one.face, one)[210, 150, 0]) for one in (drawn(g) for g in np.arange(0.012, 0.07, 0.002))
    ]
    assert middles[0] < 0.1 and middles[-1] == pytest.approx(SKIN, abs=0.02)
    assert np.diff(middles).max() < 0.1 and np.diff(middles).min() > -1e-3
    smile = drawn(0.04)  # parts lips no more, and shows all teeth
    assert with_mouth(smile.face, smile)[210, 150] == pytest.approx(SKIN, abs=0.05)


def test_a_highlight_is_the_plates_and_the_colour_is_the_drawn_ones() -> None:
    one = drawn(0.02, moved=(-6.0, 5.0))
    one.plate[...] = (0.2, 0.5, 0.3)  # A's eyes are of another colour
    cv2.circle(one.plate, (113, 117), 1, (1.0, 1.0, 1.0), -1)
    face = np.full_like(one.face, 0.4)
    result = with_gleam(face, replace(one, face=face))
    brightest = np.unravel_index(result.mean(2).argmax(), (SIZE, SIZE))
    assert brightest[::-1] == pytest.approx((107, 122), abs=1)
    eyes = inside(one.points_b, RIGHT_EYE) | inside(one.points_b, LEFT_EYE)
    np.testing.assert_allclose(result[eyes].mean(0), face[eyes].mean(0), atol=0.03)
    other = inside(one.points_b, LEFT_EYE)  # has no highlight, so nothing is different
    np.testing.assert_allclose(result[other], face[other], atol=0.01)
    beyond = ~(inside(one.points_b, RIGHT_EYE, 1) | inside(one.points_b, LEFT_EYE, 1))
    np.testing.assert_array_equal(result[beyond], face[beyond])


def test_a_gleam_on_a_brown_eye_is_white_and_its_pattern_brown() -> None:
    one = drawn(0.02)
    face = np.full_like(one.face, (0.2, 0.11, 0.05))
    one.plate[...] = 0.12
    cv2.circle(one.plate, (113, 117), 1, (1.0, 1.0, 1.0), -1)  # the gleam
    cv2.circle(one.plate, (193, 117), 1, (0.14, 0.14, 0.14), -1)  # what an iris has of its own
    result = with_gleam(face, replace(one, face=face))
    gleam, pattern = result[117, 113], result[117, 193]
    assert gleam.min() > 0.4 and np.ptp(gleam) < 0.35 * gleam.max()
    assert pattern.mean() > 1.05 * face[0, 0].mean()
    np.testing.assert_allclose(pattern / pattern[0], face[0, 0] / face[0, 0, 0], rtol=1e-4)


def test_a_light_iris_lightens_no_dark_one() -> None:
    """A's irises are light, B's dark, both beside the same white: what tells them apart is no light. A shadow is, that
    falls on half of A's iris."""
    one, face = drawn(0.02), np.full((SIZE, SIZE, 3), 0.6, np.float32)
    for picture, iris in ((one.plate, 0.35), (face, 0.12)):
        for middle in ((110, 120), (190, 120)):
            cv2.circle(picture, middle, 7, (iris,) * 3, -1, cv2.LINE_AA)
    result = with_gleam(face, replace(one, face=face))
    for row, column in ((120, 110), (120, 190), (117, 107), (123, 193)):
        np.testing.assert_allclose(result[row, column], 0.12, atol=0.03)
    shaded = one.plate.copy()
    shaded[117:124, 103:110] *= 0.4
    result = with_gleam(face, replace(one, plate=shaded, face=face))
    assert result[120, 106].mean() < 0.75 * result[120, 114].mean()


def test_an_eye_in_the_shade_stays_there_and_one_in_the_light_gets_none() -> None:
    one = drawn(0.02)
    eyes = [inside(one.points, lids) for lids in (RIGHT_EYE, LEFT_EYE)]
    face = np.full_like(one.face, (0.5, 0.4, 0.35))
    for right, left in ((0.5, 1.0), (1.0, 1.6), (0.02, 0.8)):
        for there, light in zip(eyes, (right, left), strict=True):
            one.plate[there] = 0.42 * light
        result = with_gleam(face, replace(one, face=face))
        middles = [(120, 110), (120, 190)]
        made = [float(result[middle].mean() / face[middle].mean()) for middle in middles]
        for light, darker in zip((right, left), made, strict=True):
            wanted = 1.0 if light >= 1 else max((0.42 * light + 0.05) / (0.42 + 0.05), np.exp(-0.7))
            assert darker == pytest.approx(wanted, rel=0.12)
        beyond = ~(inside(one.points, RIGHT_EYE, 1) | inside(one.points, LEFT_EYE, 1))
        np.testing.assert_array_equal(result[beyond], face[beyond])
    shut = one.points.copy()
    for lids in (RIGHT_EYE, LEFT_EYE):
        shut[lids, 1] = 120 + 0.1 * (shut[lids, 1] - 120)
    one.plate[...] = 0.1  # between lids that nearly touch there is no white that tells
    one = replace(one, points=shut, points_b=shut, face=face)
    assert with_gleam(face, one)[120, 110].mean() > 0.85 * face[0, 0].mean()


def test_an_iris_in_the_shade_of_lids_stays_there_beside_a_lit_white() -> None:
    """A's irises are usually twice as light as B's: by what they are darker than that they lie in the shade, and so do
    B's. As light as usual, or a little darker by chance, they change nothing, nor where what is usual is not known."""
    one, face = drawn(0.02), np.full((SIZE, SIZE, 3), 0.6, np.float32)
    middles = ((110, 120), (190, 120))
    for middle in middles:
        cv2.circle(face, middle, 7, (0.15,) * 3, -1, cv2.LINE_AA)

    def made(right: float, left: float, lighter: float | None) -> list[float]:
        plate = np.full_like(face, 0.6)
        for middle, light in zip(middles, (right, left), strict=True):
            cv2.circle(plate, middle, 7, (light,) * 3, -1, cv2.LINE_AA)
        result = with_gleam(face, replace(one, plate=plate, face=face), lighter)
        for white in ((120, 101), (120, 199)):  # which is as light in the plate
            assert result[white].min() > 0.55
        return [float(result[row, column].mean()) for column, row in middles]

    twice = float(np.log(2))
    assert made(0.3, 0.24, twice) == pytest.approx([0.15, 0.15], abs=0.02)
    assert made(0.5, 0.9, twice) == pytest.approx([0.15, 0.15], abs=0.02)  # lighter than usual: a lamp, or chance
    dark, usual = made(0.03, 0.3, twice)
    assert usual == pytest.approx(0.15, abs=0.02)
    assert dark == pytest.approx(0.15 * (0.03 + 0.05) / (0.3 + 0.05), rel=0.2)
    assert made(0.03, 0.3, None) == pytest.approx([0.15, 0.15], abs=0.02)
    steps = [made(light, 0.3, twice)[0] for light in np.arange(0.3, 0.03, -0.01)]
    assert np.diff(steps).max() < 1e-3 and np.diff(steps).min() > -0.02  # no jump on the way


@pytest.mark.parametrize("shift", [(-260.0, 0.0), (260.0, 0.0), (0.0, -400.0), (-160.0, 60.0)])
def test_a_face_half_outside_the_picture_is_no_trouble(shift: tuple[float, float]) -> None:
    one = drawn(0.2)
    points = one.points + np.array(shift, np.float32)
    one = replace(one, points=points, points_b=points)
    for result in (with_mouth(one.face, one), with_gleam(one.face, one)):
        assert result.shape == one.face.shape and np.isfinite(result).all()


def test_in_a_conversion_only_openings_change(faces_a: FaceSet, model: Path) -> None:
    opened = Opened.of(model, CPU, "newest")
    points = faces_a.faces.points
    row = int(np.linalg.norm(points[:, 13] - points[:, 14], axis=1).argmax())
    frame, acting = pictures(SAMPLE / "a-take1.mp4", row + 1)[row], faces_a.faces.acting()[row]
    swapper = Swapper(opened.network, opened.trained.recipe, ConvertRecipe(grain="none", fit="none"), Marker("0" * 8))
    made = {}
    for mouth, eyes in product(("keep", "draw"), repeat=2):
        recipe = replace(swapper.recipe, mouth=mouth, eyes=eyes)
        made[mouth, eyes] = replace(swapper, recipe=recipe)(frame, points[row], acting)[0].astype(int)
    for other, outlines in ((("draw", "keep"), [LIPS]), (("keep", "draw"), [LEFT_EYE, RIGHT_EYE])):
        changed = np.abs(made["keep", "keep"] - made[other]).max(2) > 12  # the mark, anew in every picture, takes 6
        there = sum(inside(points[row], outline, 12, frame.shape[:2]) for outline in outlines)
        assert changed.any() and not (changed & ~(there > 0)).any()
