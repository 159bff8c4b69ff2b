"""B's own eyes, brows, nose and lips, laid where a network drew them soft."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import ModelError
from facedouble.events import Note, Progress
from facedouble.find.mask import feature_mask, outline_mask
from facedouble.geometry import FACE_OVAL, INNER_LIPS, LEFT_BROW, LEFT_EYE, LIPS, RIGHT_BROW, RIGHT_EYE, apply
from facedouble.learn import features
from facedouble.learn.features import FeatureDetail
from facedouble.media.reader import frame_at, probe
from facedouble.provenance.mark import Marker
from facedouble.recipes import ConvertRecipe, Until
from facedouble.stages.opening import Opened
from facedouble.swap.drawn import Drawn
from facedouble.swap.features import Features
from support import CPU, SMALL, crop_of, fitted, run

SQUARE_PX = 64.0
RECIPE = replace(SMALL, size_px=48, coverage=1.6)
SOFT_PX = SQUARE_PX * 1.6 / 48
"""a pixel of that recipe's network, in a crop"""


def softened(picture: NDArray[np.float32], sigma: float = SOFT_PX) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def read(faces: FaceSet, most: int) -> FeatureDetail:
    *events, detail = features.read(faces, replace(RECIPE, feature_faces=most), 1)
    assert isinstance(detail, FeatureDetail) and all(isinstance(event, Progress | Note) for event in events)
    return detail


@pytest.fixture(scope="module")
def detail(faces_b: FaceSet) -> FeatureDetail:
    return read(faces_b, 1000)


@pytest.fixture(scope="module")
def own(detail: FeatureDetail) -> Features:
    return Features.of(detail)


def without(detail: FeatureDetail, faces: FaceSet, row: int) -> Features:
    """Of all faces but some frames around `row`, which look nearly the same."""
    others = np.abs(faces.rows_with_crops() - row) > 2
    return Features.of(replace(detail, light=detail.light[others], points=detail.points[others]))


def error(one: NDArray[np.float32], other: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    """Of the fine part alone."""
    return float(np.abs((one - softened(one)) - (other - softened(other)))[where].mean())


def test_a_soft_face_gets_its_eyes_and_lips_back_from_other_pictures(faces_b: FaceSet, detail: FeatureDetail) -> None:
    for row in (4, 18, 33):
        picture, points = crop_of(faces_b, row)
        soft = softened(picture)
        result = without(detail, faces_b, row)(soft, points, SQUARE_PX)
        inside = feature_mask(points, (128, 128)) > 127
        assert error(result, picture, inside) < 0.85 * error(soft, picture, inside)
        assert np.abs((result - softened(result))[inside]).mean() > 2 * np.abs((soft - softened(soft))[inside]).mean()
        far = cv2.dilate(feature_mask(points, (128, 128)), np.ones((41, 41))) == 0
        np.testing.assert_array_equal(result[far], soft[far])


@pytest.mark.parametrize(("turn", "size"), [(0.5, 1.0), (-0.3, 0.5), (0.2, 1.7)])
def test_they_are_found_and_laid_however_the_face_lies_in_the_frame(
    faces_b: FaceSet, detail: FeatureDetail, turn: float, size: float
) -> None:
    picture, points = crop_of(faces_b, 18)
    side = round(170 * size)
    to = np.column_stack([cv2.getRotationMatrix2D((64, 64), np.degrees(turn), size)[:, :2], np.zeros(2)])
    to[:, 2] = side / 2 - to[:, :2] @ (64, 64)
    method = cv2.INTER_AREA if size < 1 else cv2.INTER_CUBIC
    if size < 1:  # as a camera does it
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / size)
    moved, where = cv2.warpAffine(picture, to, (side, side), flags=method), apply(to, points)
    moved = np.clip(moved, 0, 1).astype(np.float32)
    soft = softened(moved, SOFT_PX * size)
    result = without(detail, faces_b, 18)(soft, where, SQUARE_PX * size)
    inside = feature_mask(where, (side, side)) > 127
    fine = [one - softened(one, SOFT_PX * size) for one in (moved, soft, result)]
    assert np.abs(fine[2] - fine[0])[inside].mean() < 0.75 * np.abs(fine[1] - fine[0])[inside].mean()


def test_whose_picture_it_is_never_changes_at_once(faces_b: FaceSet, own: Features) -> None:
    """From one expression to another: in ever smaller steps changes become ever smaller, where a jump would stay."""
    picture, first = crop_of(faces_b, 4)
    _, last = crop_of(faces_b, 33)
    soft, largest = softened(picture), []
    for count in (30, 480):
        ways = (first + part * (last - first) for part in np.linspace(0, 1, count))
        steps = [own(soft, way.astype(np.float32), SQUARE_PX) for way in ways]
        largest.append(max(np.abs(after - before)[32:96].mean() for before, after in pairwise(steps)))
    assert largest[0] > 0.003 and largest[1] < 0.4 * largest[0]


def test_light_and_colour_stay_what_was_drawn(faces_b: FaceSet, own: Features) -> None:
    picture, points = crop_of(faces_b, 18)
    soft = softened(0.2 + 0.4 * picture)
    tinted = soft * np.array([0.5, 0.45, 0.3], np.float32)
    plain, dark = own(soft, points, SQUARE_PX) / soft, own(tinted, points, SQUARE_PX) / tinted
    np.testing.assert_allclose(plain[..., 0], plain[..., 2], rtol=1e-4)  # colour
    assert np.abs(plain - 1).max() > 0.1
    np.testing.assert_allclose(dark, plain, atol=0.06)
    broad = [softened(one, 12) for one in (soft, own(soft, points, SQUARE_PX))]
    assert np.abs(broad[0] - broad[1]).max() < 0.02


def test_what_the_source_never_looked_like_is_left_as_drawn(faces_b: FaceSet, own: Features) -> None:
    picture, points = crop_of(faces_b, 18)
    soft, strange = softened(picture), points.copy()
    mouth = np.concatenate([LIPS, INNER_LIPS])
    middle = points[mouth].mean(0)
    strange[mouth] = middle + (points[mouth] - middle)[:, ::-1]  # upright
    chin = np.zeros((128, 128), bool)
    chin[int(middle[1]) :] = True
    np.testing.assert_array_equal(own(soft, strange, SQUARE_PX)[chin], soft[chin])
    assert np.abs(own(soft, points, SQUARE_PX) - soft)[chin].max() > 0.05


def test_a_brow_does_not_bring_the_lid_of_an_open_eye_along(faces_b: FaceSet, detail: FeatureDetail) -> None:
    """Where the eye is closed, and the brow lower than where it was open."""
    picture, points = crop_of(faces_b, 18)
    own = Features.of(replace(detail, light=detail.light[18:19], points=detail.points[18:19]))
    brows, soft, closed = replace(own, parts=own.parts[2:4]), softened(picture), points.copy()
    upper, lower = RIGHT_EYE[9:], RIGHT_EYE[7:0:-1]
    closed[upper] = points[lower]
    opening = float((points[lower] - points[upper])[:, 1].max())
    closed[RIGHT_BROW, 1] += 0.7 * opening
    laid = np.abs(brows(soft, closed, SQUARE_PX) - soft).max(2)
    left, right = closed[RIGHT_EYE[[0, 8]], 0].astype(int)
    lid = laid[int(points[upper, 1].min() - opening / 2) :, left:right]
    assert lid.max() < 0.15 < laid.max()


@pytest.mark.parametrize("astray", [(0.0, 1.2), (0.0, -1.2), (0.8, -0.8)])
def test_a_brow_is_laid_where_it_was_drawn(faces_b: FaceSet, own: Features, astray: tuple[float, float]) -> None:
    picture, points = crop_of(faces_b, 18)
    brows, soft, wrong = replace(own, parts=own.parts[2:4]), softened(picture), points.copy()
    for brow in (RIGHT_BROW, LEFT_BROW):
        wrong[brow] += astray
    inside = np.maximum(*(outline_mask(points, (128, 128), brow) for brow in (RIGHT_BROW, LEFT_BROW)))
    inside = cv2.dilate(inside, np.ones((5, 5), np.uint8)) > 0
    right, result = (error(brows(soft, where, SQUARE_PX), picture, inside) for where in (points, wrong))
    assert result < 1.5 * right < 0.6 * error(soft, picture, inside)


def test_a_face_at_the_edge_or_beyond_it(faces_b: FaceSet, own: Features) -> None:
    picture, points = crop_of(faces_b, 18)
    soft = softened(picture)
    np.testing.assert_array_equal(own(soft, points + 500, SQUARE_PX), soft)
    left = round(float(points[LEFT_EYE, 0].mean()))
    whole, half = own(soft, points, SQUARE_PX), own(np.ascontiguousarray(soft[:, :left]), points, SQUARE_PX)
    np.testing.assert_allclose(half[:, : left - 12], whole[:, : left - 12], atol=0.02)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_pictures_are_enough(faces_b: FaceSet, detail: FeatureDetail, count: int) -> None:
    few = Features.of(replace(detail, light=detail.light[:count], points=detail.points[:count]))
    picture, points = crop_of(faces_b, 0)
    result, soft = few(softened(picture), points, SQUARE_PX), softened(picture)
    inside = feature_mask(points, (128, 128)) > 127
    assert error(result, picture, inside) < 0.5 * error(soft, picture, inside)


def test_the_faces_kept_are_a_choice(faces_b: FaceSet, detail: FeatureDetail) -> None:
    few = read(faces_b, 12)
    assert few.coarse * SQUARE_PX == pytest.approx(SOFT_PX)
    *_, of_a_large_one = features.read(faces_b, replace(RECIPE, feature_faces=3, size_px=512), 1)
    assert of_a_large_one.coarse == pytest.approx(0.014)  # its pixel would be a fifth of that
    assert len(few.light) == len(few.points) == 12 and few.square_px == detail.square_px == SQUARE_PX
    assert len(detail.light) == len(faces_b.rows_with_crops())
    shown = detail.points[:, [*FACE_OVAL]]
    assert detail.light.shape[1] < np.ptp(shown[..., 1]) + 64  # no more of the pictures than is needed


def test_they_are_kept_with_a_model(tmp_path: Path, detail: FeatureDetail) -> None:
    assert FeatureDetail.load(tmp_path) is None
    detail.save(tmp_path)
    again = FeatureDetail.load(tmp_path)
    assert again is not None and (again.square_px, again.coarse) == (detail.square_px, detail.coarse)
    np.testing.assert_array_equal(again.light, detail.light)
    np.testing.assert_array_equal(again.points, detail.points)


def test_strange_ones_are_refused(tmp_path: Path, detail: FeatureDetail) -> None:
    nowhere = np.full_like(detail.points, np.nan)
    for strange in (
        replace(detail, points=detail.points[1:]),
        replace(detail, points=nowhere),
        replace(detail, light=detail.light[0]),
        replace(detail, square_px=0.0),
        replace(detail, coarse=np.nan),
    ):
        strange.save(tmp_path)
        with pytest.raises(ModelError, match=r"features\.safetensors: broken"):
            FeatureDetail.load(tmp_path)
    (tmp_path / "features.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ModelError, match=r"features\.safetensors: broken.*Delete it and train on"):
        FeatureDetail.load(tmp_path)


def test_edges_are_not_sharpened_besides(faces_b: FaceSet, own: Features) -> None:
    picture, points = crop_of(faces_b, 5)
    soft = Drawn(softened(picture), picture, points, points, SQUARE_PX, 2.0)
    assert fitted([soft], None, sharpen=True, grain=False).sharpened > 0.2
    fit = fitted([soft], None, sharpen=True, grain=False, features=own)
    assert fit.sharpened == 0 and "own fine eyes, brows, nose and lips" in fit.text()
    np.testing.assert_array_equal(fit(soft), own(soft.face, points, SQUARE_PX))


def test_training_reads_them_once_and_a_swap_shows_them(
    faces_a: FaceSet, faces_b: FaceSet, short_a: Path, tmp_path: Path
) -> None:
    recipe = replace(SMALL, feature_faces=8)
    model, sets = tmp_path / "m", {"a": faces_a, "b": faces_b}
    run(stages.train(sets, model, recipe, Until(steps=2), CPU, lambda: False))
    kept = (model / "features.safetensors").stat().st_mtime_ns
    run(stages.train(sets, model, recipe, Until(steps=3), CPU, lambda: False))
    assert (model / "features.safetensors").stat().st_mtime_ns == kept

    clip, acting = probe(short_a), faces_a.faces.acting()
    seen = [(frame_at(clip, row), faces_a.faces.points[row], acting[row]) for row in (4, 20, 36)]
    frame, points, doing = seen[1]
    pictures = {}
    for fit in ("none", "sharpen"):
        recipe = ConvertRecipe(fit=fit, grain="none", mouth="draw", eyes="draw")
        swapper = Opened.of(model, CPU, "newest").swapper(recipe, Marker("0123abcd"), seen)
        assert (swapper.fit.features is not None) == (fit == "sharpen")
        pictures[fit], _ = swapper(frame.pixels, points, doing)
    x0, y0, x1, y1 = (*points[LIPS].min(0).astype(int), *points[LIPS].max(0).astype(int))
    fine = {fit: np.abs(cv2.Laplacian(one[y0:y1, x0:x1], cv2.CV_32F)).mean() for fit, one in pictures.items()}
    assert fine["sharpen"] > 1.3 * fine["none"]

    (model / "features.safetensors").unlink()  # as with a model of before
    said = [note.text for note in Opened.of(model, CPU, "newest").unlearned(ConvertRecipe())]
    assert any("own eyes, brows, nose and lips" in text and "facedouble train" in text for text in said)
    assert not any("eyes" in note.text for note in Opened.of(model, CPU, "newest").unlearned(ConvertRecipe(fit="none")))
