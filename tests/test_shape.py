"""One person's landmarks in another's shape: known shapes, known expressions."""

from __future__ import annotations

import numpy as np
import pytest

from facedouble.curate.faceset import FaceSet
from facedouble.find.mask import drawing
from facedouble.geometry import FACE_OVAL, apply
from facedouble.judge.picture import gaze
from facedouble.learn.shape import carried, rest, shape_offset

RANDOM = np.random.default_rng(5)


def as_large(points: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Of the size and at the place at which the face of `like` is fitted best."""
    away, theirs = (shape - shape[:468].mean(0) for shape in (points, like))
    return like[:468].mean(0) + away * (away[:468] * theirs[:468]).sum() / (away[:468] ** 2).sum()


SHAPES = [RANDOM.random((478, 2))] * 2
SHAPES[1] = as_large(SHAPES[0] + RANDOM.normal(0, 0.2, (478, 2)), SHAPES[0])
PARALLAX = [RANDOM.normal(0, 0.1, (2, 478, 2)), RANDOM.normal(0, 0.1, (2, 478, 2))]
EFFECT = RANDOM.normal(0, 0.2, (52, 478, 2))


def show(person: int, expression: np.ndarray, angles: np.ndarray) -> np.ndarray:
    moved = np.tensordot(expression, EFFECT, 1) + np.tensordot(angles, PARALLAX[person], 1)
    return SHAPES[person] + moved + 0.05 * np.tensordot(angles**2, EFFECT[:2], 1)


def act(count: int, smile: float) -> tuple[np.ndarray, np.ndarray]:
    expression = RANDOM.random((count, 52)) * 0.6
    expression[:, 44] = smile + 0.2 * RANDOM.random(count)
    return expression, RANDOM.normal(0, 0.5, (count, 2))


def test_a_face_is_carried_into_the_others_shape_and_keeps_what_it_does() -> None:
    played = [act(400, smile=0.0), act(300, smile=0.8)]  # B smiles all the time: that is no part of her shape
    acting = [np.hstack(one) for one in played]
    offset = shape_offset(tuple(show(i, *one) for i, one in enumerate(played)), tuple(acting))
    expression, angles = act(50, smile=0.4)
    found = carried(100 * show(0, expression, angles), np.hstack([expression, angles]), offset, 100)
    wanted = 100 * show(1, expression, angles)
    before = np.linalg.norm(100 * show(0, expression, angles) - wanted, axis=-1).mean()
    assert before > 10
    irises = range(468, 478)  # follow the eyes instead, see below
    found, wanted = (np.delete(where, irises, axis=1) for where in (found, wanted))
    assert np.linalg.norm(found - wanted, axis=-1).mean() < 0.15 * before


def test_a_face_is_as_large_as_the_others_and_in_its_place() -> None:
    """However large B's is, aligned: chin to chin, or the mouth would be too high in A's head."""
    played = [act(400, smile=0.0), act(300, smile=0.0)]
    a, b = (show(i, *one) for i, one in enumerate(played))
    acting = [np.hstack(one) for one in played]
    offset = shape_offset((a, b), acting)
    smaller = b - 0.1 * SHAPES[1] + [0.02, -0.05]
    np.testing.assert_allclose(shape_offset((a, smaller), acting)[0, :468], offset[0, :468], atol=0.02)
    shape_b = SHAPES[0] + offset[0]
    np.testing.assert_allclose(shape_b[:468], as_large(shape_b, SHAPES[0])[:468], atol=0.02)


def test_gaze_is_carried_as_it_is(faces_a: FaceSet) -> None:
    """A looks aside all the time and B does not: that is no difference of shape."""
    points = np.stack([apply(m, p) for m, p in zip(faces_a.transform, faces_a.faces.points, strict=True)]) / 128
    acting, aside = faces_a.faces.acting(), points.copy()
    for (right, left), iris in (((33, 133), range(468, 473)), ((362, 263), range(473, 478))):
        aside[:, iris] += 0.2 * (points[:, left] - points[:, right])[:, None]
    offset = shape_offset((aside, points), (acting, acting))
    assert np.linalg.norm(offset[0, 468:], axis=-1).mean() > 0.02
    found = carried(aside, acting, offset, 1.0)
    np.testing.assert_allclose(gaze(found), gaze(aside), atol=0.01)
    assert abs(gaze(found) - gaze(points)).mean() > 0.05
    # An iris keeps its size, and the rest of the face is carried as ever.
    ring = np.linalg.norm(found[:, 469:473] - found[:, 469:473].mean(1, keepdims=True), axis=-1)
    before = np.linalg.norm(points[:, 469:473] - points[:, 469:473].mean(1, keepdims=True), axis=-1)
    np.testing.assert_allclose(ring, before, rtol=0.2)
    np.testing.assert_allclose(found[:, :468], points[:, :468], atol=0.02)


def test_who_looks_aside_all_the_time_is_not_at_rest() -> None:
    acting = np.hstack([np.full((100, 52), 0.4), np.full((100, 2), 0.3)])
    resting = rest(acting)
    assert (resting[11:19] == 0).all() and (resting[-2:] == 0).all()
    np.testing.assert_allclose(np.delete(resting, [*range(11, 19), 52, 53]), 0.4, atol=1e-6)


def test_one_person_twice_has_the_same_shape(faces_a: FaceSet) -> None:
    points = np.stack([apply(m, p) for m, p in zip(faces_a.transform, faces_a.faces.points, strict=True)]) / 128
    acting = faces_a.faces.acting()
    offset = shape_offset((points[::2], points[1::2]), (acting[::2], acting[1::2]))
    assert np.abs(offset[0]).mean() < 0.01


def test_a_drawing_shows_what_the_face_does(faces_a: FaceSet) -> None:
    points = apply(faces_a.transform[0], faces_a.faces.points[0])
    shut, opened = points.copy(), points.copy()
    shut[13], opened[14, 1] = shut[14], opened[14, 1] + 20
    for lower in (87, 317):
        opened[lower, 1] += 20
    drawn = [drawing(face, (256, 256)) for face in (points, shut, opened)]
    assert drawn[0].shape == (3, 256, 256)
    assert drawn[2][2].sum() > drawn[0][2].sum() + 255 * 200
    assert drawn[1][2].sum() <= drawn[0][2].sum()
    inside = drawn[0][0] > 127
    assert points[FACE_OVAL].min() > 0 and not drawn[0][1:, ~inside].any()


def test_a_drawing_moves_by_less_than_a_pixel(faces_a: FaceSet) -> None:
    points = apply(faces_a.transform[0], faces_a.faces.points[0])
    columns = np.arange(256)

    def centre(face: np.ndarray) -> float:
        weight = drawing(face, (256, 256))[1].sum(0, dtype=np.float64)
        return float((weight * columns).sum() / weight.sum())

    assert centre(points + np.float32([0.25, 0])) - centre(points) == pytest.approx(0.25, abs=0.05)
