"""What a network's smooth face is given: skin laid flat and back, B's detail, the plate's grain, sharper edges."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import InputError, ModelError
from facedouble.events import Note
from facedouble.faces import Faces
from facedouble.find.crop import sharpness
from facedouble.find.landmarks import Landmarker
from facedouble.find.mask import face_mask, iris_mask, iris_radius, skin_mask
from facedouble.find.mesh import Mesh
from facedouble.find.surface import FLAT_PX, SkinMap, Surface
from facedouble.footage import LUMINANCE
from facedouble.geometry import FACE_OVAL, LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from facedouble.learn import data, skin
from facedouble.learn.iris import to_skin
from facedouble.learn.skin import COARSEST, SkinDetail, fine
from facedouble.media.reader import frame_at, probe, read
from facedouble.project import save_tensors
from facedouble.provenance.mark import Marker
from facedouble.recipes import ConvertRecipe, Until
from facedouble.stages.conversion import smaller
from facedouble.stages.opening import Opened
from facedouble.swap import detail as detail_of_swap
from facedouble.swap.detail import Detail, Looked
from facedouble.swap.drawn import Drawn
from facedouble.swap.fit import Fit
from support import CPU, SAMPLE, SMALL, crop_of, fitted, run

CHEEK = 50
"""a vertex of the mesh"""


@pytest.fixture(scope="module")
def surface() -> Surface:
    return Surface()


def skin_of(picture: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.bool_]:
    size = (picture.shape[1], picture.shape[0])
    return skin_mask(points, size, face_mask(points, size)) > 127


def test_skin_laid_flat_and_back_is_the_same(faces_a: FaceSet, surface: Surface) -> None:
    picture, points = crop_of(faces_a, 5)
    back = SkinMap.of(points, (128, 128)).laid(surface.flattened(picture, points))
    inside = fine(picture, points, 2.0)[1] > 0.5
    assert np.abs(back - picture)[inside].mean() < 0.01
    corner = np.zeros((128, 128), bool)
    corner[:8, :8] = True
    assert not back[corner].any()


def test_a_mark_stays_on_its_place_of_the_skin(faces_a: FaceSet) -> None:
    x, y = Mesh.load().texture[CHEEK] * (FLAT_PX - 1)
    flat = np.zeros((FLAT_PX, FLAT_PX, 1), np.float32)
    cv2.circle(flat, (round(float(x)), round(float(y))), 8, 1.0, -1)
    places = []
    for row in (0, 39):
        points = faces_a.faces.points[row]
        laid = SkinMap.of(points, (512, 512)).laid(flat)
        centre = np.argwhere(laid > 0.5).mean(0)[::-1]
        assert np.linalg.norm(centre - points[CHEEK]) < 2
        places.append(centre)
    assert np.linalg.norm(places[0] - places[1]) > 5, "the face must move between the two frames, or this shows nothing"


def test_edges_stay_hard_and_the_rest_as_it_is(faces_a: FaceSet) -> None:
    """Laid at about the size that it has, so that every px lies between four."""
    flat = np.full((256, 256, 1), 0.2, np.float32)
    flat[:, 128:] = 1.0
    skin = SkinMap.of(faces_a.faces.points[0], (512, 512))
    soft, hard = (skin.laid(flat, edges) for edges in (False, True))
    inside = cv2.erode(np.asarray(skin.places.min(2) > 0, np.uint8), np.ones((9, 9), np.uint8)) > 0
    slope_soft, slope_hard = (np.abs(cv2.Laplacian(part, cv2.CV_32F))[inside].sum() for part in (soft, hard))
    assert slope_hard > 1.2 * slope_soft > 0
    away = inside & (np.abs(skin.places[..., 0] - 0.5) > 4 / 256)
    assert away.sum() > 1000
    np.testing.assert_allclose(hard[away], soft[away], atol=1e-4)


@pytest.mark.parametrize("step", [2, 3])
def test_a_smaller_map_is_that_of_a_smaller_picture(faces_a: FaceSet, step: int) -> None:
    x, y = np.meshgrid(*[np.linspace(0, 1, 64, dtype=np.float32)] * 2)
    flat, points = np.dstack([x, y]), faces_a.faces.points[0]
    fewer = SkinMap.of(points, (512, 512)).every(step).laid(flat)
    side = -(-512 // step)
    same = SkinMap.of((points + 0.5) / step - 0.5, (side, side)).laid(flat)
    assert fewer.shape == same.shape == (side, side, 2)
    both = fewer.all(-1) & same.all(-1)
    assert both.sum() > 0.95 * same.all(-1).sum() > 1000
    # Half a px off would be 2.5e-3 nearly everywhere; where the skin hides some of itself, either may be shown.
    assert np.quantile(np.abs(fewer - same)[both], 0.9) < 1e-3


def test_the_usual_face_has_nothing_of_what_is_seldom_before_it(faces_a: FaceSet, surface: Surface) -> None:
    """A mark that moves over the skin is before any one place of it in few pictures."""
    rows = range(0, 40, 4)
    bare, marked = [], []
    for row in rows:
        picture, points = crop_of(faces_a, row)
        bare.append((picture, points))
        covered = picture.copy()
        covered[40 + row : 52 + row, 50:80] = (0, 1, 0)
        marked.append((covered, points))
    flats = [surface.usual(faces, 64) for faces in (bare, marked)]
    assert flats[0].shape == (64, 64, 3)
    known = flats[0].any(2)
    assert 0.5 < known.mean() < 1
    assert (known == flats[1].any(2)).all()
    assert np.abs(flats[0] - flats[1])[known].mean() < 0.01
    one = surface.usual(marked[5:6], 64)
    assert np.abs(flats[0] - one)[known].mean() > 0.03


def test_skin_that_is_turned_away_counts_for_nothing(faces_a: FaceSet, surface: Surface) -> None:
    _, points = crop_of(faces_a, 5)
    seen = surface.facing(points)
    mirrored = points.copy()
    mirrored[:, 0] = 127 - mirrored[:, 0]  # every triangle the other way round, as from behind
    assert seen.max() > 0 and surface.facing(mirrored).max() < 0.1 * seen.max()


def freckles(surface: Surface) -> NDArray[np.float32]:
    """(512, 512, 3) darker spots, two or three px wide in a picture in which a face square is 170 px."""
    chance = np.random.default_rng(0)
    flat = np.zeros((FLAT_PX, FLAT_PX), np.float32)
    for x, y in chance.integers(0, FLAT_PX, (1500, 2)).tolist():
        cv2.circle(flat, (x, y), 2, -0.2, -1, cv2.LINE_AA)
    return np.dstack([cv2.GaussianBlur(flat, (0, 0), 1.0) * (surface.facing(surface.places) > 0)] * 3)


def strength(found: NDArray[np.float32], of: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    return float((found * of)[where].sum() / (of**2)[where].sum())


@pytest.mark.parametrize("square_px", [110.0, 170.0, 300.0])
def test_laid_detail_is_as_strong_as_it_was_read(faces_a: FaceSet, surface: Surface, square_px: float) -> None:
    known, none = freckles(surface), np.zeros((FLAT_PX, FLAT_PX), np.float32)
    own = [faces_a.faces.points[row] for row in (0, 20, 39)]
    squares = [(points - points.min(0)) / np.float32(np.ptp(points[FACE_OVAL, 0])) for points in own]
    looked = [Looked(np.dstack([none] * 3), none, points) for points in squares[:2]]
    detail = Detail.of(SkinDetail(known), looked, surface)
    points = squares[2] * np.float32(square_px)
    even = np.full((*np.ceil(points.max(0)).astype(int)[::-1] + 1, 3), 0.5, np.float32)
    drawn = Drawn(even, even, points, points, square_px, 1.0)
    again = surface.flattened(np.log(detail(even, drawn) / even), points)
    facing = surface.facing(points)
    seen = facing > 0.5 * np.median(facing[facing > 0])
    assert 0.8 < strength(again, known, seen) < 1.15


def test_freckles_in_a_shade_that_a_network_draws_are_given_all_the_same(surface: Surface) -> None:
    shade = np.zeros((FLAT_PX, FLAT_PX, 3), np.float32)
    cv2.ellipse(shade, (300, 260), (12, 60), 0, 0, 360, (-0.15,) * 3, -1)
    shade, dots = cv2.GaussianBlur(shade, (0, 0), 6), freckles(surface)
    everywhere = np.ones((FLAT_PX, FLAT_PX), np.float32)
    looked = [Looked(shade, everywhere, np.zeros((478, 2), np.float32))]
    lacking = detail_of_swap._lacking(shade + dots, looked)
    there = (shade[..., 0] < -0.05) & (dots[..., 0] < -0.05)
    assert there.sum() > 100
    assert strength(lacking - lacking.mean(), dots, np.repeat(there[..., None], 3, 2)) > 0.75
    soft = cv2.GaussianBlur(lacking, (0, 0), 12)
    assert abs(soft[260, 300]).max() < 0.35 * abs(cv2.GaussianBlur(shade, (0, 0), 12)[260, 300]).max()


def test_fine_parts_do_not_depend_on_the_light(faces_a: FaceSet) -> None:
    picture, points = crop_of(faces_a, 5)
    picture = 0.2 + 0.4 * picture
    bright, weight = fine(picture, points, 2.0)
    dark, _ = fine(0.5 * picture, points, 2.0)
    inside = weight > 0.5
    assert np.abs(bright[inside]).mean() > 0.002
    assert np.abs(bright - dark)[inside].mean() < 0.1 * np.abs(bright[inside]).mean()
    even, _ = fine(np.full_like(picture, 0.5), points, 2.0)
    np.testing.assert_allclose(even, 0, atol=1e-5)


def test_a_mole_is_read_and_noise_is_not(faces_b: FaceSet, tmp_path: Path) -> None:
    made = tmp_path / "made"
    shutil.copytree(faces_b.path, made)
    rng = np.random.default_rng(3)
    for row in faces_b.rows_with_crops():
        picture, points = crop_of(faces_b, int(row))
        cv2.circle(picture, np.round(points[CHEEK] * 16).astype(int).tolist(), 24, (0.2, 0.1, 0.1), -1, cv2.LINE_AA, 4)
        picture += 0.04 * rng.standard_normal(picture.shape).astype(np.float32)
        stored = np.clip(picture * 255, 0, 255).astype(np.uint8)
        cv2.imwrite(str(made / "crops" / faces_b.crop[row]), stored[..., ::-1])
    noisy = FaceSet.load(made)
    *_, found = skin.read(noisy, 24)
    assert isinstance(found, SkinDetail)
    x, y = np.round(Mesh.load().texture[CHEEK] * (FLAT_PX - 1)).astype(int)
    assert found.ratio[y - 6 : y + 7, x - 6 : x + 7].mean() < -0.2
    one, points = crop_of(noisy, 5)
    single, weight = fine(one, points, COARSEST * 64)
    elsewhere = Surface().flattened(weight, points) > 0.9
    elsewhere[y - 40 : y + 41, x - 40 : x + 41] = False
    alone = Surface().flattened(single, points)
    assert found.ratio[elsewhere].std() < 0.5 * alone[elsewhere].std()


def test_what_is_hardly_seen_is_not_believed() -> None:
    """The edge of hair beside a cheek, that few faces show, and from aside, is not laid as B's skin."""
    flats = [np.full((FLAT_PX, FLAT_PX, 3), -0.3, np.float32)] * 4
    weights = [np.ones((FLAT_PX, FLAT_PX), np.float32) for _ in flats]
    for weight in weights:
        weight[:, :64] = 0.02
    found = skin._together(flats, weights)
    assert np.abs(found[:, :48]).max() < 0.1
    np.testing.assert_allclose(found[:, 96:-32], -0.3, atol=0.01)


def test_detail_is_kept_with_a_model(tmp_path: Path) -> None:
    ratio = np.zeros((FLAT_PX, FLAT_PX, 3), np.float32)
    ratio[100, 100] = -0.25
    assert SkinDetail.load(tmp_path) is None
    SkinDetail(ratio).save(tmp_path)
    again = SkinDetail.load(tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.ratio, ratio)


@pytest.mark.parametrize("shape", [(4, 4, 3), (FLAT_PX, FLAT_PX, 1)])
def test_strange_detail_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    SkinDetail(np.zeros(shape, np.float32)).save(tmp_path)
    with pytest.raises(ModelError, match=r"skin\.safetensors: broken"):
        SkinDetail.load(tmp_path)
    (tmp_path / "skin.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ModelError, match=r"skin\.safetensors: broken"):
        SkinDetail.load(tmp_path)


def drawn(faces: FaceSet, row: int, face: NDArray[np.float32] | None = None, pixel: float = 2.0) -> Drawn:
    picture, points = crop_of(faces, row)
    return Drawn(picture if face is None else face, picture, points, points, 64.0, pixel)


def spotted(surface: Surface, faces: FaceSet) -> SkinDetail:
    """Spots all over the skin, as they are read off a face."""
    rng = np.random.default_rng(4)
    ratio = np.zeros((FLAT_PX, FLAT_PX, 3), np.float32)
    for x, y in rng.integers(40, FLAT_PX - 40, (60, 2)).tolist():
        cv2.circle(ratio, (x, y), 14, (-0.3, -0.3, -0.3), -1)
    _, points = crop_of(faces, 7)
    spots = np.asarray(0.5 * np.exp(SkinMap.of(points, (128, 128)).laid(ratio)), np.float32)
    return SkinDetail(surface.flattened(fine(spots, points, COARSEST * 64)[0], points))


def test_detail_that_is_drawn_already_is_not_added(faces_a: FaceSet, surface: Surface) -> None:
    spots, even = spotted(surface, faces_a), np.full((128, 128, 3), 0.5, np.float32)
    added = {}
    for share in (0.0, 1.0):
        faces = []
        for row in (2, 12, 22, 32):
            _, points = crop_of(faces_a, row)
            face = even * np.exp(share * SkinMap.of(points, (128, 128)).laid(spots.ratio))
            faces.append(drawn(faces_a, row, np.asarray(face, np.float32)))
        fit = fitted(faces, spots, sharpen=False, grain=False)
        assert fit.sharpened == 0 and fit.grain == 0
        added[share] = np.abs(fit(drawn(faces_a, 7, even)) - even)[skin_of(*crop_of(faces_a, 7))].mean()
    assert added[0.0] > 0.004
    assert added[1.0] < 0.6 * added[0.0]


def test_edges_are_sharpened_as_far_as_they_lack(faces_a: FaceSet) -> None:
    picture, _ = crop_of(faces_a, 5)
    soft = np.asarray(cv2.GaussianBlur(picture, (0, 0), 2.0), np.float32)
    as_sharp = fitted([drawn(faces_a, 5)], None, sharpen=True, grain=False)
    assert as_sharp.sharpened == 0
    lacking = fitted([drawn(faces_a, 5, soft)], None, sharpen=True, grain=False)
    assert 0.2 < lacking.sharpened <= 0.35
    assert lacking.pixel == 2 and "1 px where the clip has 2.0: sharpened by 0." in lacking.text()
    assert "a finer model" in lacking.text() and "a finer model" not in Fit().text()
    after = lacking(drawn(faces_a, 5, soft))
    assert sharpness((255 * after).astype(np.uint8)) > 1.15 * sharpness((255 * soft).astype(np.uint8))


def test_the_plates_grain_is_kept_and_its_moles_are_not(faces_a: FaceSet) -> None:
    _, points = crop_of(faces_a, 5)
    rng = np.random.default_rng(5)
    noise = 0.02 * rng.standard_normal((128, 128, 3)).astype(np.float32)
    plate, face = 0.5 + noise, np.full((128, 128, 3), 0.6, np.float32)
    place = np.round(points[CHEEK]).astype(int)
    plate[place[1], place[0]] = 0.0
    plate = plate.astype(np.float32)
    lacks = Drawn(face, plate, points, points, 64.0, 2.0)
    fit = fitted([lacks], None, sharpen=False, grain=True)
    assert fit.grain > 0.95
    grained = fit.grained(face, plate, points) - face
    skin = skin_of(plate, points)
    assert np.corrcoef(grained[skin].ravel(), noise[skin].ravel())[0, 1] > 0.8
    assert 0.7 < grained[skin].std() / noise[skin].std() < 1.1
    assert np.abs(grained[place[1], place[0]]).max() < 0.08
    mouth = points[[13, 14]].mean(0).round().astype(int)
    assert grained[mouth[1] - 3 : mouth[1] + 4, mouth[0] - 3 : mouth[0] + 4].std() > 0.01
    np.testing.assert_array_equal(Fit().grained(face, plate, points), face)
    as_grainy = fitted([replace(lacks, face=plate)], None, sharpen=False, grain=True)
    assert as_grainy.grain == pytest.approx(0)


def test_the_edge_of_a_shadow_draws_no_line(faces_a: FaceSet) -> None:
    _, points = crop_of(faces_a, 5)
    rng = np.random.default_rng(6)
    plate = (0.5 + 0.01 * rng.standard_normal((128, 128, 3))).astype(np.float32)
    across = int(points[CHEEK][0])
    plate[:, across:] *= 0.5
    face = np.full((128, 128, 3), 0.6, np.float32)
    lacks = Drawn(face, plate, points, points, 64.0, 2.0)
    grained = fitted([lacks], None, sharpen=False, grain=True).grained(face, plate, points) - face
    skin = skin_of(plate, points)
    columns = [grained[:, column][skin[:, column]].mean() for column in range(across - 4, across + 4)]
    assert np.abs(columns).max() < 0.004
    assert grained[:, across + 8 :][skin[:, across + 8 :]].std() > 0.7 * 0.005


def test_a_mole_beside_the_mouth_is_skin(faces_a: FaceSet) -> None:
    """A face is known by it."""
    points = 4 * crop_of(faces_a, 5)[1]
    mole = points[61] - (0.05 * np.ptp(points[FACE_OVAL, 0]), 0)  # beside the corner of the mouth
    picture = np.full((512, 512, 3), 0.5, np.float32)
    cv2.circle(picture, np.round(mole).astype(int).tolist(), 3, (0.2, 0.2, 0.2), -1)
    ratio, weight = fine(picture, points, COARSEST * 256)
    x, y = np.round(mole).astype(int)
    assert weight[y, x] > 0.7 and ratio[y, x].max() < -0.4


def eyed(faces: FaceSet, row: int, iris: tuple[float, ...], skin: tuple[float, ...]) -> NDArray[np.float32]:
    """(128, 128, 3): a face of one colour, with irises of another."""
    _, points = crop_of(faces, row)
    seen, _ = iris_mask(points, (128, 128), 1.2)
    return np.asarray(np.array(skin) + seen[..., None] * (np.array(iris) - skin), np.float32)


def test_irises_are_told_by_their_skin(faces_a: FaceSet) -> None:
    skin, iris = (0.8, 0.6, 0.5), (0.2, 0.1, 0.05)
    wide = int(np.argmin(faces_a.faces.acting()[:, 9:11].sum(1)))  # eyeBlinkLeft and eyeBlinkRight
    _, points = crop_of(faces_a, wide)
    ratio = to_skin([(eyed(faces_a, wide, iris, skin), points), (eyed(faces_a, wide, iris, skin) / 2, points)])
    np.testing.assert_allclose(ratio, np.array(iris) / skin, atol=0.03)  # whatever the light
    shut = points.copy()
    for eye in (LEFT_EYE, RIGHT_EYE):
        shut[eye, 1] = shut[eye, 1].mean()
    assert not to_skin([(eyed(faces_a, wide, iris, skin), shut)]).any()


def test_neither_a_pupil_nor_a_highlight_is_an_irises_colour(faces_a: FaceSet) -> None:
    skin, iris = (0.8, 0.6, 0.5), (0.2, 0.1, 0.05)
    wide = int(np.argmin(faces_a.faces.acting()[:, 9:11].sum(1)))
    _, points = crop_of(faces_a, wide)
    face, radius = eyed(faces_a, wide, iris, skin), iris_radius(points)
    for ring in (LEFT_IRIS, RIGHT_IRIS):
        x, y = points[ring].mean(0).tolist()
        for colour, shift, part in ((0.0, 0.0, 0.3), (1.0, 0.5, 0.25)):
            middle = (round(16 * (x + shift * radius)), round(16 * y))
            cv2.circle(face, middle, round(16 * part * radius), (colour,) * 3, -1, cv2.LINE_8, 4)
    np.testing.assert_allclose(to_skin([(face, points)]), np.array(iris) / skin, atol=0.02)


def test_irises_are_looked_at_as_they_were_filmed(model: Path, faces_b: FaceSet) -> None:
    """However few px the network has of them, and whoever's light their faces are brought into."""
    of_b = data.irises(faces_b)
    np.testing.assert_array_equal(Opened.of(model, CPU, "newest").network.iris, of_b)
    red, green, blue = of_b.tolist()
    assert 0.2 < red < 0.4 and 0.15 < green < 0.9 * red and blue < 0.75 * green  # brown


def test_coarse_irises_get_the_colour_that_they_have_in_the_source(faces_a: FaceSet) -> None:
    skin, red, known = (0.8, 0.6, 0.5), (0.3, 0.05, 0.05), np.array([0.25, 0.2, 0.15], np.float32)
    face, light = eyed(faces_a, 5, red, skin), LUMINANCE
    _, points = crop_of(faces_a, 5)
    middle = iris_mask(points, (128, 128), 0.5)[0] > 0.9
    assert middle.sum() > 4
    coarse = drawn(faces_a, 5, face, pixel=2 * iris_radius(points))
    result = fitted([coarse], None, sharpen=True, grain=False, iris=known)(replace(coarse, pixel=1e-3))
    wanted = known * skin / ((known * skin) @ light)
    np.testing.assert_allclose(
        result[middle] / (result[middle] @ light)[:, None], wanted[None].repeat(middle.sum(), 0), atol=0.05
    )
    np.testing.assert_allclose(result[middle] @ light, face[middle] @ light, atol=0.01)  # as light as they were
    far = cv2.dilate(iris_mask(points, (128, 128), 1.0)[0], np.ones((15, 15))) == 0
    np.testing.assert_array_equal(result[far], face[far])
    for fine_enough in (replace(coarse, pixel=iris_radius(points) / 6), coarse):
        unknown = np.zeros(3, np.float32) if fine_enough is coarse else known
        fit = fitted([fine_enough], None, sharpen=True, grain=False, iris=unknown)
        np.testing.assert_allclose(fit(replace(coarse, pixel=1e-3))[middle], face[middle], atol=0.01)


def test_a_face_too_small_to_tell_is_left_alone(faces_a: FaceSet) -> None:
    picture, points = crop_of(faces_a, 5)
    small, where = np.asarray(cv2.resize(picture, (8, 8)), np.float32), points / 16
    tiny = Drawn(small, small, where, where, 4.0, 0.1)
    fit = fitted([tiny], None, sharpen=True, grain=True)
    np.testing.assert_allclose(fit(tiny), small, atol=1e-6)
    nothing = fitted([], None, sharpen=True, grain=True)
    assert nothing.sharpened == nothing.grain == 0


def test_training_reads_the_detail_once(faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path) -> None:
    recipe = replace(SMALL, skin_faces=4)
    model, sets = tmp_path / "m", {"a": faces_a, "b": faces_b}
    run(stages.train(sets, model, recipe, Until(steps=2), CPU, lambda: False))
    kept = (model / "skin.safetensors").stat().st_mtime_ns
    run(stages.train(sets, model, recipe, Until(steps=3), CPU, lambda: False))
    assert (model / "skin.safetensors").stat().st_mtime_ns == kept
    (model / "skin.safetensors").unlink()  # as with a model of before
    run(stages.train(sets, model, recipe, Until(steps=3), CPU, lambda: False))
    assert SkinDetail.load(model) is not None
    save_tensors(model / "skin.safetensors", {"ratio": torch.zeros(FLAT_PX, FLAT_PX, 3)})  # as it was read before
    run(stages.train(sets, model, recipe, Until(steps=3), CPU, lambda: False))
    again = SkinDetail.load(model)
    assert again is not None and again.ratio.any()
    (model / "skin.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ModelError, match=r"skin\.safetensors: broken.*Delete it and train on"):
        run(stages.train(sets, model, recipe, Until(steps=3), CPU, lambda: False))


def test_a_swap_comes_out_finer(short_a: Path, faces_a: FaceSet, faces_b: FaceSet, model: Path, tmp_path: Path) -> None:
    taught = tmp_path / "m"
    shutil.copytree(model, taught)
    *_, read_off = skin.read(faces_b, 8)
    assert isinstance(read_off, SkinDetail)
    read_off.save(taught)
    opened, clip = Opened.of(taught, CPU, "newest"), probe(short_a)
    acting = faces_a.faces.acting()
    seen = [(frame_at(clip, row), faces_a.faces.points[row], acting[row]) for row in (4, 20, 36)]
    frame, points, doing = seen[1]
    x0, y0, x1, y1 = (*points[FACE_OVAL].min(0).astype(int), *points[FACE_OVAL].max(0).astype(int))
    fine_parts, pictures = {}, {}
    for fit, grain in product(("none", "sharpen"), ("none", "keep")):
        recipe = ConvertRecipe(fit=fit, grain=grain, mouth="draw", eyes="draw")
        swapper = opened.swapper(recipe, Marker("0123abcd"), seen)
        pictures[fit, grain], layer = swapper(frame.pixels, points, doing)
        fine_parts[fit, grain] = sharpness(np.ascontiguousarray(pictures[fit, grain][y0:y1, x0:x1]))
        outside = np.ones(frame.pixels.shape[:2], bool)
        x, y, right, low = layer.box
        outside[y:low, x:right] = False
        np.testing.assert_array_equal(pictures[fit, grain][outside], frame.pixels[outside])
    assert fine_parts["none", "keep"] > 1.2 * fine_parts["none", "none"]
    assert fine_parts["sharpen", "none"] > fine_parts["none", "none"]
    assert fine_parts["sharpen", "keep"] > fine_parts["sharpen", "none"]


@pytest.mark.slow
def test_a_clip_may_be_made_smaller_instead(short_a: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    events, done = run(stages.convert(short_a, model, out, ConvertRecipe(fit="reduce", face_px=120), CPU, 2))
    before, after = probe(short_a), probe(out)
    assert after.size == done.clip.size and after.size[0] < before.size[0]
    assert [int(p) * before.time_base for p in before.pts] == [int(p) * after.time_base for p in after.pts]
    tall = np.linalg.norm(done.faces[0].points[:, 10] - done.faces[0].points[:, 152], axis=1)
    assert np.median(tall) == pytest.approx(120, abs=3)
    assert any("made smaller" in event.text for event in events if isinstance(event, Note))
    again = Landmarker(video=False)(next(read(after, 5, 6)).pixels)
    assert np.linalg.norm(again.points[0] - done.faces[0].points[5], axis=1).mean() < 20
    _, measures = run(stages.judge_conversion(done, model, tmp_path / "judge", None, 2))
    assert measures.background_psnr > 38 and measures.same_times and measures.same_tags and measures.place_error < 15
    _, alone = run(stages.judge_clips(short_a, out, SAMPLE / "b-take2.mp4", None, tmp_path / "alone", None, 2))
    assert alone.background_psnr == pytest.approx(measures.background_psnr, abs=1)


def test_a_clip_is_not_made_larger(short_a: Path, model: Path, tmp_path: Path) -> None:
    clip, face = probe(short_a), Faces.empty(1)
    face.points[0, 152] = (0, 90)
    same, faces, said = smaller(clip, [face], 100)
    assert same is clip and faces == [face] and "not made smaller" in said.text
    nobody, _, _ = smaller(clip, [Faces.empty()], 100)
    assert nobody is clip
    with pytest.raises(InputError, match="face 5 px"):
        ConvertRecipe(fit="reduce", face_px=5)
