"""The white of the new face's eyes has the colour of the clip's: painted eyes, known colours."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble.curate.faceset import FaceSet
from facedouble.find.mask import hull_mask, iris_mask, white_mask
from facedouble.footage import LUMINANCE
from facedouble.geometry import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from facedouble.swap.drawn import Drawn
from facedouble.swap.eyes import Eyes
from facedouble.swap.fit import Fit
from support import crop_of, fitted

Picture = NDArray[np.float32]
SKIN, PINK, BLUISH = (0.8, 0.6, 0.5), (0.85, 0.6, 0.6), (0.66, 0.68, 0.72)
ROWS = (2, 9, 16, 23, 30, 37)


def eyes(faces: FaceSet, row: int, white: tuple[float, ...]) -> tuple[Picture, Picture]:
    """(256, 256, 3): a face of one colour with its landmarks, eyes wide open, white and dark irises."""
    _, points = crop_of(faces, row)
    points = (2 * points + 0.5).astype(np.float32)
    for lids, iris in ((RIGHT_EYE, RIGHT_IRIS), (LEFT_EYE, LEFT_IRIS)):
        middle = points[lids].mean(0)
        turn = 2 * np.pi * np.arange(len(lids)) / len(lids)
        points[lids] = middle + np.column_stack([-14 * np.cos(turn), 8 * np.sin(turn)])
        points[iris] += middle - points[iris].mean(0)
    picture = np.full((256, 256, 3), SKIN, np.float32)
    for lids in (RIGHT_EYE, LEFT_EYE):
        picture[hull_mask(points[lids], (256, 256)) > 127] = white
    dark = iris_mask(points, (256, 256), 1.0)[0][..., None]
    return np.asarray(picture * (1 - dark) + 0.1 * dark, np.float32), points


def seen(faces: FaceSet, row: int, plate: tuple[float, ...] = BLUISH) -> Drawn:
    (face, points), (behind, _) = eyes(faces, row, PINK), eyes(faces, row, plate)
    return Drawn(face, behind, points, points, 128.0, 1.0)


def colour(picture: Picture, drawn: Drawn) -> Picture:
    """(3,) of luminance 1."""
    white = picture[white_mask(drawn.points_b, (256, 256), rim=0.3) > 0.9].mean(0)
    return np.asarray(white / (white @ LUMINANCE), np.float32)


@pytest.mark.parametrize("lamp", [(1.0, 1.0, 1.0), (1.2, 1.0, 0.8)])
def test_the_white_is_as_white_as_the_clips(faces_a: FaceSet, lamp: tuple[float, ...]) -> None:
    """After the light of the scene, which is laid on the face later, and may have another colour."""
    faces = [seen(faces_a, row) for row in ROWS]
    light = np.array(lamp, np.float32)
    fit = Fit.measured([(one, one.face * light) for one in faces], None, True, False)
    for one in faces:
        result, wanted = fit.eyes.whitened(one.face, one), colour(one.plate, one)
        before = np.abs(colour(one.face * light, one) - wanted).max()
        assert before > 0.1 and np.abs(colour(result * light, one) - wanted).max() < 0.25 * before
        np.testing.assert_allclose(result @ LUMINANCE, one.face @ LUMINANCE, atol=1e-3)  # as light as it was
        away = cv2.dilate(white_mask(one.points_b, (256, 256)), np.ones((15, 15))) == 0
        np.testing.assert_array_equal(result[away], one.face[away])


@pytest.mark.parametrize(("pixel", "mended"), [(4.0, True), (0.8, False)])
def test_an_iris_of_a_few_px_leaves_no_brown_beside_it(faces_a: FaceSet, pixel: float, mended: bool) -> None:
    """A network of few px mixes the colours of iris and white; of one that draws them finely they are its own."""
    faces = []
    for row in ROWS:
        one = seen(faces_a, row, PINK)
        brown = np.where(one.face.max(2, keepdims=True) < 0.3, np.array((0.3, 0.12, 0.03), np.float32), one.face)
        light = brown @ LUMINANCE
        soft = cv2.GaussianBlur(brown, (0, 0), 3)
        faces.append(replace(one, face=soft * (light / (soft @ LUMINANCE))[..., None], pixel=pixel))
    fit = fitted(faces, None, sharpen=True, grain=False)
    for one in faces:
        size = (256, 256)
        whole = white_mask(one.points_b, size, rim=0.5) > 0.9
        beside = (white_mask(one.points_b, size, 1.15) > 0.9) & (white_mask(one.points_b, size, 1.4) < 0.1)
        result = fit.eyes.whitened(one.face, one)
        apart = []
        for picture in (one.face, result):
            near, white = (picture[there].mean(0) for there in (beside, whole))
            apart.append(abs(float(near[0] / near[2] - white[0] / white[2])))
        assert apart[0] > 0.08
        assert apart[1] < 0.4 * apart[0] if mended else apart[1] > 0.6 * apart[0]
        np.testing.assert_allclose(result @ LUMINANCE, one.face @ LUMINANCE, atol=1e-3)


def test_a_highlight_on_an_iris_has_no_colour_of_it(faces_a: FaceSet) -> None:
    """Nor has white within its outline, which would be a bright rim."""
    one, brown = seen(faces_a, ROWS[0], PINK), np.array((1.6, 0.9, 0.3), np.float32)
    brown /= brown @ LUMINANCE
    face, points = one.face.copy(), one.points_b
    gleam = np.zeros((256, 256), bool)
    for ring in (RIGHT_IRIS, LEFT_IRIS):
        x, y = np.round(points[ring].mean(0)).astype(int).tolist()
        gleam[y - 1 : y + 2, x - 1 : x + 2] = True
    face[gleam] = 0.8
    result = Eyes(iris=brown, lacks=1.0).coloured(face, one)
    np.testing.assert_allclose(result @ LUMINANCE, face @ LUMINANCE, atol=1e-3)  # as light as it was
    np.testing.assert_allclose(result[gleam], 0.8, atol=0.02)
    iris = (iris_mask(points, (256, 256), 0.8)[0] > 0.9) & (cv2.dilate(gleam.astype(np.uint8), np.ones((3, 3))) == 0)
    assert iris.sum() > 20
    np.testing.assert_allclose(
        result[iris] / (result[iris] @ LUMINANCE)[:, None], brown[None].repeat(iris.sum(), 0), atol=0.1
    )


def test_what_does_not_show_is_not_guessed(faces_a: FaceSet) -> None:
    few = fitted([seen(faces_a, row) for row in ROWS[:2]], None, sharpen=True, grain=False)
    assert few.eyes.whites is None
    shut = []
    for row in ROWS:
        one = seen(faces_a, row)
        points = one.points.copy()
        for lids in (RIGHT_EYE, LEFT_EYE):
            points[lids, 1] = points[lids, 1].mean()
        shut.append(replace(one, points=points, points_b=points))
    assert fitted(shut, None, sharpen=True, grain=False).eyes.whites is None
    shade = (0.4, 0.25, 0.2)  # under heavy lids, as brown as these
    assert fitted([seen(faces_a, row, shade) for row in ROWS], None, sharpen=True, grain=False).eyes.whites is None
    alike = fitted([seen(faces_a, row, PINK) for row in ROWS], None, sharpen=True, grain=False)
    np.testing.assert_allclose(alike.eyes.whites, 1, atol=0.01)


def test_one_who_wears_a_strange_colour_is_not_followed_far(faces_a: FaceSet) -> None:
    """Coloured lenses as large as the eye, or landmarks beside it."""
    fit = fitted([seen(faces_a, row, (0.1, 0.9, 0.1)) for row in ROWS], None, sharpen=True, grain=False)
    assert fit.eyes.whites is not None and fit.eyes.whites.max() < 1.5 and fit.eyes.whites.min() > 0.65
