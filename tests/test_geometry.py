"""geometry: maps recover known motion, crops are where the classic numbers say, angles have the signs they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble.geometry import (
    ALIGNMENT_POINTS,
    TEMPLATE,
    about,
    align,
    apply,
    box_around,
    compose,
    invert,
    overlap,
    pose_angles,
    scale_of,
    similarity,
    square_to_crop,
    turned_pose,
)


def map_of(degrees: float, scale: float, shift: tuple[float, float]) -> NDArray[np.float64]:
    """Turns clockwise on the screen, as y points down."""
    cosine, sine = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


POINTS = np.random.default_rng(1).uniform(0, 500, (24, 2))


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (40, 1.7), (-100, 0.3), (180, 2)])
def test_similarity_recovers_a_known_map(degrees: float, scale: float) -> None:
    known = map_of(degrees, scale, (31.5, -7))
    moved = POINTS @ known[:, :2].T + known[:, 2]
    np.testing.assert_allclose(similarity(POINTS, moved), known, atol=1e-9)
    assert scale_of(known) == pytest.approx(scale)


def test_similarity_is_the_least_squares_solution() -> None:
    noisy = apply(map_of(20, 1.3, (5, 9)), POINTS) + np.random.default_rng(2).normal(0, 10, POINTS.shape)
    # The same four unknowns (a, b, shift) as one linear system, solved by other means.
    x, y = POINTS.T
    rows = np.concatenate(
        [np.stack([x, -y, x * 0 + 1, x * 0], 1), np.stack([y, x, x * 0, x * 0 + 1], 1)],
    )
    a, b, right, down = np.linalg.lstsq(rows, noisy.T.reshape(-1), rcond=None)[0]
    np.testing.assert_allclose(similarity(POINTS, noisy), [[a, -b, right], [b, a, down]], atol=1e-6)


def test_similarity_never_mirrors() -> None:
    assert np.linalg.det(similarity(POINTS, POINTS * [-1, 1])[:, :2]) >= 0


def test_compose_does_the_first_map_first() -> None:
    first, second = map_of(30, 2, (1, 2)), map_of(-10, 0.5, (100, 0))
    np.testing.assert_allclose(apply(compose(second, first), POINTS), apply(second, apply(first, POINTS)), atol=1e-3)


def test_invert_undoes() -> None:
    matrix = np.array([[1.2, 0.3, 5], [-0.1, 0.8, -40]])  # any affine map, not only a similarity
    np.testing.assert_allclose(compose(invert(matrix), matrix), [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(apply(invert(matrix), apply(matrix, POINTS)), POINTS, atol=1e-3)


def test_apply_takes_any_number_of_points_and_gives_float32() -> None:
    moved = apply(map_of(90, 1, (0, 0)), np.array([[[1.0, 0.0], [0.0, 1.0]]]))
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, [[[0, 1], [-1, 0]]], atol=1e-6)


@pytest.mark.parametrize(
    ("size_px", "coverage", "first", "last"),
    [
        (256, 1.6, 48, 208),  # the classic crop: the face square on its central 160 px
        (64, 1.0, 0, 64),  # the classic training input: that square alone
        (256, 2.0, 64, 192),
    ],
)
def test_the_face_square_lies_in_the_middle_of_the_crop(
    size_px: int, coverage: float, first: float, last: float
) -> None:
    corners = apply(square_to_crop(size_px, coverage), np.array([[0.0, 0.0], [1.0, 1.0]]))
    # Pixel i reaches from i - 0.5 to i + 0.5.
    np.testing.assert_allclose(corners, [[first - 0.5] * 2, [last - 0.5] * 2], atol=1e-4)


def test_alignment_puts_a_moved_template_on_the_square() -> None:
    in_frame = map_of(-35, 120, (300, 200))
    points = np.random.default_rng(3).uniform(0, 640, (478, 2)).astype(np.float32)  # the others must not matter
    points[ALIGNMENT_POINTS] = apply(in_frame, TEMPLATE)
    to_crop = align(points, 96, 1.7)
    expected = apply(square_to_crop(96, 1.7), TEMPLATE)
    np.testing.assert_allclose(apply(to_crop, points[ALIGNMENT_POINTS]), expected, atol=0.01)
    assert scale_of(to_crop) == pytest.approx(96 / 1.7 / 120, rel=1e-4)


def head(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """A head (x right, y up, z to the viewer) rolled clockwise on the screen, then lifted, then turned to the right."""
    right = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    up = np.array([[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]])
    clockwise = np.array([[math.cos(roll), math.sin(roll), 0], [-math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = right @ up @ clockwise
    return matrix


def test_the_helper_turns_a_head_as_it_says() -> None:
    nose, crown = np.array([0, 0, 1, 0]), np.array([0, 1, 0, 0])
    assert (head(0.3, 0, 0) @ nose)[0] > 0.2  # to the right of the picture
    assert (head(0, 0.3, 0) @ nose)[1] > 0.2  # up
    assert (head(0, 0, 0.3) @ crown)[0] > 0.2  # the crown tips to the right: clockwise


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (0.6, 0, 0), (-0.6, 0, 0), (0, 0.4, 0), (0, 0, 0.5), (0, 0, -3), (-1.2, 0.3, -0.2)]
)
def test_pose_angles_are_the_head_s(angles: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(pose_angles(head(*angles)), angles, atol=1e-6)


def test_pose_angles_do_not_depend_on_size_or_place() -> None:
    matrix = head(0.5, -0.2, 0.1) @ np.diag([1.4, 1.4, 1.4, 1])
    matrix[:3, 3] = 3, -8, -40
    angles = pose_angles(matrix)
    assert angles.dtype == np.float32
    np.testing.assert_allclose(angles, [0.5, -0.2, 0.1], atol=1e-6)


def test_box_around() -> None:
    np.testing.assert_array_equal(box_around(np.array([[3, 9], [1, 4], [2, 11]])), [1, 4, 3, 11])


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 0, 0]], np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [2, 2, 7, 7]], np.float32)
    np.testing.assert_allclose(overlap(boxes, others), [[1, 50 / 150, 0, 25 / 100], [0, 0, 0, 0]], atol=1e-6)


def test_a_map_about_a_point_leaves_it_but_for_the_shift() -> None:
    centre = np.array([63.5, 20.0])
    found = about(centre, np.array([3, -2]), math.radians(90), 2.0)
    np.testing.assert_allclose(apply(found, centre[None]), [[66.5, 18]], atol=1e-5)
    # What lay right of it lies below it after a quarter turn clockwise, twice as far.
    np.testing.assert_allclose(apply(found, centre[None] + [1, 0]), [[66.5, 20]], atol=1e-5)
    np.testing.assert_allclose(about(centre, np.zeros(2), 0, 1), [[1, 0, 0], [0, 1, 0]], atol=1e-12)


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.5, -0.2, 0.1), (-0.9, 0.4, -0.7)])
@pytest.mark.parametrize("clockwise", [0.0, 0.3, -1.1])
def test_turning_the_picture_turns_the_head(angles: tuple[float, float, float], clockwise: float) -> None:
    yaw, pitch, _ = angles
    # The nose and the crown of the head, as seen in the picture, turn with it; y is up here.
    turned = turned_pose(np.array(angles), clockwise)
    cosine, sine = math.cos(clockwise), math.sin(clockwise)
    nose = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch)])
    found = np.array([math.sin(turned[0]) * math.cos(turned[1]), math.sin(turned[1])])
    np.testing.assert_allclose(
        found, [cosine * nose[0] + sine * nose[1], -sine * nose[0] + cosine * nose[1]], atol=1e-6
    )
    np.testing.assert_allclose(turned_pose(turned, -clockwise), angles, atol=1e-6)
    if not yaw and not pitch:
        np.testing.assert_allclose(turned, [0, 0, clockwise], atol=1e-6)
