"""One person's landmarks in another's shape: known shapes, known expressions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facedouble.curate.faceset import FaceSet
from facedouble.find.mask import drawing
from facedouble.geometry import FACE_OVAL, LOWER_LIP, UPPER_LIP, apply, turned_and_aligned
from facedouble.judge.picture import gaze
from facedouble.learn.model import Network
from facedouble.learn.shape import _EYES, _LIDS, _canonical, carried, rest, shape_offset
from facedouble.recipes import TrainRecipe

RANDOM = np.random.default_rng(5)


def as_large(head: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Of the size and at the place at which the head (478, 3) is fitted best to that of `like`."""
    away, theirs = (shape - shape[:468].mean(0) for shape in (head, like))
    return like[:468].mean(0) + away * (away[:468] * theirs[:468]).sum() / (away[:468] ** 2).sum()


HEADS = [RANDOM.random((478, 3))] * 2
HEADS[1] = as_large(HEADS[0] + RANDOM.normal(0, 0.2, (478, 3)), HEADS[0])
EFFECT = RANDOM.normal(0, 0.2, (52, 478, 2))


def aligned(faces: FaceSet) -> np.ndarray:
    """(n, 478, 2) landmarks in the crops, a common measure for all of a set's faces."""
    return np.stack([apply(m, p) for m, p in zip(faces.transform, faces.faces.points, strict=True)]) / 128


def show(head: np.ndarray, expression: np.ndarray, angles: np.ndarray) -> np.ndarray:
    turned = np.swapaxes(turned_and_aligned(angles / 2) @ head.T, -1, -2)
    return turned + np.tensordot(expression, EFFECT, 1) + 0.05 * np.tensordot(angles**2, EFFECT[:2], 1)


def act(count: int, smile: float) -> tuple[np.ndarray, np.ndarray]:
    expression = RANDOM.random((count, 52)) * 0.6
    expression[:, 44] = smile + 0.2 * RANDOM.random(count)
    return expression, RANDOM.normal(0, 0.3, (count, 2))


@pytest.mark.parametrize("turned", [0, 60])
def test_a_face_is_carried_into_the_others_shape_and_keeps_what_it_does(turned: float) -> None:
    """Also where it turns as neither of them did before."""
    played = [act(400, smile=0.0), act(300, smile=0.8)]  # B smiles all the time: that is no part of her shape
    acting = [np.hstack(one) for one in played]
    offset = shape_offset([show(*one) for one in zip(HEADS, *zip(*played, strict=True), strict=True)], acting)
    expression, angles = act(50, smile=0.4)
    angles[:, 0] += np.radians(turned) / 0.5
    before, wanted = (100 * show(head, expression, angles) for head in HEADS)
    found = carried(before, np.hstack([expression, angles]), offset, 100)
    irises = range(468, 478)  # follow the eyes instead, see below
    found, wanted, before = (np.delete(where, irises, axis=1) for where in (found, wanted, before))
    off = np.linalg.norm(before - wanted, axis=-1).mean()
    assert off > 10
    assert np.linalg.norm(found - wanted, axis=-1).mean() < 0.15 * off


def test_a_face_is_as_large_as_the_others_and_in_its_place() -> None:
    """However large B's is, aligned: chin to chin, or the mouth would be too high in A's head."""
    played = [act(400, smile=0.0), act(300, smile=0.0)]
    acting = [np.hstack(one) for one in played]
    a, b = (show(*one) for one in zip(HEADS, *zip(*played, strict=True), strict=True))
    offset = shape_offset((a, b), acting)
    smaller = show(0.9 * HEADS[1] + [0.02, -0.05, 0], *played[1])
    np.testing.assert_allclose(shape_offset((a, smaller), acting)[:468, :2], offset[:468, :2], atol=0.03)
    head_b = HEADS[0] + offset
    np.testing.assert_allclose(head_b[:468, :2], as_large(head_b, HEADS[0])[:468, :2], atol=0.03)


def test_a_head_that_is_read_as_tilted_or_turned_aside_is_no_other_head() -> None:
    """Alignment by a few points, and angles that are measured in a picture, leave some of that."""
    played = [(0.02 * expression, angles) for expression, angles in (act(300, smile=0.0), act(300, smile=0.0))]
    acting = [np.hstack(one) for one in played]
    head = _canonical() + RANDOM.normal(0, 0.02, (478, 3))
    a, b = (show(head, *one) for one in played)
    acting[1][:, -2] += 2 * np.radians(2)
    turn = np.radians(3)
    b = b @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    assert np.abs(shape_offset((a, b), acting)[:468, :2]).mean() < 0.005
    assert np.abs(b - show(head, *played[1])).mean() > 0.02


def test_a_head_seen_from_the_side_is_seen_by_its_depth() -> None:
    np.testing.assert_allclose(turned_and_aligned(np.zeros(2)), [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    profile = turned_and_aligned(np.array([np.pi / 2, 0]))
    assert np.linalg.norm(profile[:, 0]) < 1e-9 and np.linalg.norm(profile[:, 2]) > 0.5
    raised = turned_and_aligned(np.array([[0, 0.2]]))[0]
    assert raised[1, 2] < 0  # the nose goes up


def test_models_of_earlier_versions_keep_the_shape_they_know() -> None:
    """At small angles; they knew what each half radian adds."""
    head = 0.1 * torch.from_numpy(HEADS[0])
    by_angle = torch.stack(
        [head[:, :2], 0.5 * head[:, 2:] * torch.tensor([1.0, 0]), -0.5 * head[:, 2:] * torch.tensor([0, 1.0])]
    )
    network = Network(TrainRecipe(preset="compact"))
    network.load_state_dict({**network.state_dict(), "shape_offset": by_angle.float()})
    np.testing.assert_allclose(network.shape_offset, head, atol=1e-6)
    network.iris.fill_(0.3)
    network.load_state_dict({name: value for name, value in network.state_dict().items() if name != "iris"})
    assert (network.iris == 0.3).all()  # they knew nothing of irises: what was measured anew stays


def test_gaze_is_carried_as_it_is(faces_a: FaceSet) -> None:
    """A looks aside all the time and B does not: that is no difference of shape."""
    points = aligned(faces_a)
    acting, aside = faces_a.faces.acting(), points.copy()
    for (right, left), iris in (((33, 133), range(468, 473)), ((362, 263), range(473, 478))):
        aside[:, iris] += 0.2 * (points[:, left] - points[:, right])[:, None]
    offset = shape_offset((aside, points), (acting, acting))
    assert np.linalg.norm(offset[468:, :2], axis=-1).mean() > 0.02
    found = carried(aside, acting, offset, 1.0)
    np.testing.assert_allclose(gaze(found), gaze(aside), atol=0.01)
    assert abs(gaze(found) - gaze(points)).mean() > 0.05
    # An iris keeps its size, and the rest of the face is carried as ever.
    ring = np.linalg.norm(found[:, 469:473] - found[:, 469:473].mean(1, keepdims=True), axis=-1)
    before = np.linalg.norm(points[:, 469:473] - points[:, 469:473].mean(1, keepdims=True), axis=-1)
    np.testing.assert_allclose(ring, before, rtol=0.2)
    np.testing.assert_allclose(found[:, :468], points[:, :468], atol=0.02)


def test_who_looks_aside_or_speaks_all_the_time_is_not_at_rest() -> None:
    acting = np.hstack([np.full((100, 52), 0.4), np.full((100, 2), 0.3)])
    none = [*range(11, 19), 25, 34, 35, 48, 49, 52, 53]
    resting = rest(acting)
    assert (resting[none] == 0).all()
    np.testing.assert_allclose(np.delete(resting, none), 0.4, atol=1e-6)


def test_a_mouth_that_is_never_shut_is_no_matter_of_shape(faces_a: FaceSet) -> None:
    """One person, twice: only the open mouths, and all of them. The shape is the same."""
    points = aligned(faces_a)
    acting = faces_a.faces.acting()
    gap = points[:, 14, 1] - points[:, 13, 1]
    speaks = gap > np.median(gap)
    people = [(points[speaks], acting[speaks]), (points, acting)]
    offset = shape_offset([where for where, _ in people], [what - rest(what) for _, what in people])
    apart = np.median(gap[speaks]) - np.median(gap)
    assert abs(offset[14, 1] - offset[13, 1]) < 0.2 * apart


@pytest.mark.parametrize("eye", [0, 1])
def test_an_eye_whose_blendshape_is_shut_is_shut_whatever_its_landmarks_say(faces_a: FaceSet, eye: int) -> None:
    points, acting = aligned(faces_a)[0], faces_a.faces.acting()[0]
    offset, blink = np.zeros((478, 3), np.float32), (10, 9)[eye]  # MediaPipe names them by the person's own sides
    acting[[9, 10]] = 0
    gaps, before = [], points.copy()
    for told in (0.0, 0.6, 0.65, 0.68, 0.72, 0.9):
        acting[blink] = told
        found = carried(points, acting, offset, 1.0)
        gaps.append([np.linalg.norm(found[lower] - found[upper], axis=1).mean() for (upper, lower), *_ in _LIDS])
    open_eyes = np.array(gaps[0])
    assert open_eyes.min() > 0.02
    np.testing.assert_allclose(np.array(gaps)[:, 1 - eye], open_eyes[1 - eye], rtol=1e-4)
    np.testing.assert_allclose(np.array(gaps)[:3, eye], open_eyes[eye], rtol=1e-4)
    assert 0.3 < gaps[3][eye] / open_eyes[eye] < 0.7
    np.testing.assert_allclose(np.array(gaps)[4:, eye], 0, atol=1e-5)
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("apart", [0.03, -0.03])
def test_lips_that_touch_touch_on_every_face(faces_a: FaceSet, apart: float) -> None:
    """B's shape parts lips by more, or by less: an open mouth's it is, a closed one's it is not."""
    closed, acting = aligned(faces_a)[0], faces_a.faces.acting()[0]
    rows = (UPPER_LIP, LOWER_LIP)
    closed[LOWER_LIP[-1]] = closed[UPPER_LIP[-1]]
    opened = closed.copy()
    opened[LOWER_LIP] += (0, 0.15)
    offset = np.zeros((478, 3), np.float32)
    for lip, way in zip(rows, (-0.5, 0.5), strict=True):
        offset[lip, 1] = way * apart
    acting[-2:] = 0
    for shown, wanted in ((closed, 0), (opened, 0.15 + apart)):
        found = carried(shown, acting, offset, 1.0)
        np.testing.assert_allclose(found[LOWER_LIP[-1], 1] - found[UPPER_LIP[-1], 1], wanted, atol=2e-3)
        for lip in rows:  # as thick as it was
            thick = found[lip[:-1], 1] - found[lip[-1], 1]
            np.testing.assert_allclose(thick, shown[lip[:-1], 1] - shown[lip[-1], 1], atol=2e-3)
    elsewhere = np.delete(np.arange(478), np.concatenate([lip.ravel() for lip in rows]))
    np.testing.assert_allclose(carried(closed, acting, offset, 1.0)[elsewhere], closed[elsewhere], atol=1e-5)


@pytest.mark.parametrize("wider", [0.02, -0.012])
@pytest.mark.parametrize("eye", [0, 1], ids=["right", "left"])
def test_an_eye_that_is_shut_is_shut_on_every_face(faces_a: FaceSet, eye: int, wider: float) -> None:
    """B's eyes are wider, or narrower: an open eye is as B's, a shut one is shut, the other eye looks on. And B's stand
    elsewhere, shut or not."""
    points, acting = aligned(faces_a)[0], faces_a.faces.acting()[0]
    acting[-2:] = 0
    corners, _ = _EYES[eye]
    (upper, lower), around, above = _LIDS[eye]
    edges = [*upper, *lower]
    offset = np.zeros((478, 3), np.float32)
    offset[[*corners, *edges, *around, *above], 0] = 0.03
    offset[[*upper, *above], 1], offset[lower, 1] = -wider / 2, wider / 2

    def shown(gap: float) -> np.ndarray:
        one = points.copy()
        between = np.linspace(0, 1, len(upper) + 2)[1:-1, None]
        one[upper] = one[lower] = (1 - between) * points[corners[0]] + between * points[corners[1]]
        one[upper, 1] -= gap / 2
        one[lower, 1] += gap / 2
        return one

    for gap, wanted in ((0.0, 0.0), (0.06, 0.06 + wider)):
        face = shown(gap)
        found = carried(face, acting, offset, 1.0)
        np.testing.assert_allclose((found[lower, 1] - found[upper, 1]).mean(), wanted, atol=2e-3)
        np.testing.assert_allclose(found[edges, 0] - face[edges, 0], 0.03, atol=2e-3)
        fold = (found[above, 1] - face[above, 1]) / (-wider / 2)
        np.testing.assert_allclose(fold, 1 if gap else 0.6, atol=0.1)
        other = [row for lids in _LIDS[1 - eye][0] for row in lids]
        np.testing.assert_allclose(found[other], face[other], atol=1e-5)
    # From shut to open nothing leaps, and lids never lie in each other's place.
    ways = np.linspace(0, 0.04, 41)
    faces = [carried(shown(way), acting, offset, 1.0) for way in ways]
    gaps = np.array([face[lower, 1].mean() - face[upper, 1].mean() for face in faces])
    assert gaps.min() > -1e-4 and np.diff(gaps).min() > 0 and np.diff(gaps).max() < 0.003


def test_one_person_twice_has_the_same_shape(faces_a: FaceSet) -> None:
    points = aligned(faces_a)
    acting = faces_a.faces.acting()
    offset = shape_offset((points[::2], points[1::2]), (acting[::2], acting[1::2]))
    assert np.abs(offset[:, :2]).mean() < 0.01


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
