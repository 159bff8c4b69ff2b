"""The light of the scene on the new face: a lamp's shadow is kept, what the two faces are is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import ModelError
from facedouble.events import Note
from facedouble.find.mask import face_mask, feature_mask, hull_mask
from facedouble.find.surface import SkinMap, Surface
from facedouble.footage import LUMINANCE
from facedouble.geometry import FACE_OVAL, LEFT_EYE, RIGHT_BROW, RIGHT_EYE
from facedouble.learn import data, usual
from facedouble.learn.usual import SIDE_PX, UsualFaces, logarithm, relit
from facedouble.media.reader import frame_at, probe
from facedouble.project import save_tensors
from facedouble.provenance.mark import Marker
from facedouble.recipes import ConvertRecipe, Until
from facedouble.stages.conversion import stamp
from facedouble.stages.opening import Opened
from facedouble.swap.drawn import Drawn
from facedouble.swap.light import Light
from support import CPU, SMALL, crop_of, run

SQUARE_PX = 64.0
RECIPE = replace(SMALL, size_px=64, usual_faces=40)
Picture = NDArray[np.float32]


@pytest.fixture(scope="module")
def known(faces_a: FaceSet, faces_b: FaceSet) -> UsualFaces:
    return usual.read({"a": faces_a, "b": faces_b}, RECIPE)


@pytest.fixture(scope="module")
def alike(faces_b: FaceSet) -> Light:
    """For B on B."""
    return Light.of(usual.read({"a": faces_b, "b": faces_b}, RECIPE))


def large(faces: FaceSet, row: int) -> tuple[Picture, Picture]:
    """A crop twice its size, and its landmarks."""
    picture, points = crop_of(faces, row)
    return cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC).clip(0, 1), 2 * points + np.float32(0.5)


def drawn(face: Picture, plate: Picture, points: Picture, points_b: Picture | None = None) -> Drawn:
    return Drawn(face, plate, points, points if points_b is None else points_b, 2 * SQUARE_PX, 2.0)


def seen(picture: Picture) -> Picture:
    return np.ones(picture.shape[:2], np.float32)


def half(points: Picture, size: int, light: tuple[float, ...], soft: float = 1.5) -> Picture:
    """(h, w, 3): what a lamp leaves of the light, on one side of a line through the face."""
    x = (
        np.arange(size, dtype=np.float32)[None]
        - points[FACE_OVAL, 0].mean()
        + 0.3 * np.arange(size)[:, None]
        - 0.3 * size / 2
    )
    return np.asarray(1 + (np.array(light, np.float32) - 1) / (1 + np.exp(x / soft))[..., None], np.float32)


def cheeks(points: Picture, size: int) -> NDArray[np.bool_]:
    inner = cv2.erode(face_mask(points, (size, size)), np.ones((25, 25), np.uint8)) > 0
    return np.asarray(inner & (feature_mask(points, (size, size)) == 0))


def change(result: Picture, face: Picture, where: NDArray[np.bool_]) -> Picture:
    return np.asarray((logarithm(result) - logarithm(face))[where].mean(0))


@pytest.mark.parametrize("row", [4, 18, 33])
def test_a_lamps_shadow_is_laid_where_it_falls_in_its_colour(faces_b: FaceSet, alike: Light, row: int) -> None:
    face, points = large(faces_b, row)
    shadow = half(points, len(face), (0.3, 0.34, 0.42))  # bluer than the lamp
    plate = face * shadow
    result = alike(face, drawn(face, plate, points), seen(face))
    inside = cheeks(points, len(face))
    for place in (inside & (shadow[..., 0] < 0.32), inside & (shadow[..., 0] > 0.98)):
        assert place.sum() > 300
        wanted = change(plate, face, place)
        np.testing.assert_allclose(change(result, face, place), wanted, atol=0.12)
    # As sharp as a tenth of the face, where it was as sharp as a fiftieth.
    error = np.abs(logarithm(result) - logarithm(plate)).max(-1)
    near = inside & (np.abs(shadow[..., 0] - 0.65) < 0.34)
    beside = cv2.dilate(near.astype(np.uint8), np.ones((17, 17))) == 0
    assert np.quantile(error[inside & beside], 0.95) < 0.25


def test_the_edge_of_a_hard_shadow_is_hard_and_that_of_a_soft_one_soft(faces_b: FaceSet, alike: Light) -> None:
    face, points = large(faces_b, 4)
    inside = cheeks(points, len(face))
    for soft, wider in ((0.7, 0.03), (5.0, 0.06)):
        lit = half(points, len(face), (0.3, 0.3, 0.3), soft)
        result = alike(face, drawn(face, face * lit, points), seen(face))
        told, true = (
            (part / np.log(0.3))[inside]
            for part in ((logarithm(result) - logarithm(face)).mean(-1), np.log(lit[..., 0]))
        )
        band, wanted = (((part > 0.2) & (part < 0.8)).mean() for part in (told, true))
        assert wanted < band < wanted + wider


def blind(points: Picture, side: int, slat: float, soft: float) -> Picture:
    """(side, side, 3): its shadow, slats of a part of the face's height, with edges of so many px."""
    row = np.arange(side, dtype=np.float32) / float(np.ptp(points[FACE_OVAL, 1]))
    slats = np.where((row / slat) % 2 < 1, 1.0, 0.3).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(np.tile(slats[:, None, None], (1, side, 3)), (0, 0), soft), np.float32)


def test_many_hard_edges_are_told_more_finely(faces_b: FaceSet, alike: Light) -> None:
    """The shadow of a blind, as a small lamp throws it, and as a large one does."""
    face, points = large(faces_b, 4)
    inside = cheeks(points, len(face))
    for soft, slat, times in ((0.7, 0.12, 2), (8.0, 0.4, 1)):
        lit = blind(points, len(face), slat, soft)
        one = drawn(face, face * lit, points)
        flat = alike.read(face, one, seen(face))
        assert flat is not None and len(flat) == times * SIDE_PX
        told = (logarithm(alike(face, one, seen(face))) - logarithm(face)).mean(-1)
        assert np.corrcoef(told[inside], np.log(lit[..., 0])[inside])[0, 1] > 0.995


def test_in_such_light_too_a_mole_is_no_shadow(faces_b: FaceSet, alike: Light) -> None:
    """A's is not carried over, B's is not taken off."""
    face, points = large(faces_b, 4)
    width = float(np.ptp(points[FACE_OVAL, 1]))
    lit = blind(points, len(face), 0.12, 0.7)
    left, right = (
        np.round(points[landmark] + (0, (0.06 - int(points[landmark, 1]) / width % 0.24) * width))
        for landmark in (50, 280)
    )  # in the middle of a lit slat

    def with_mole(where: Picture) -> tuple[Picture, NDArray[np.bool_], NDArray[np.bool_]]:
        mole, around = (
            cv2.circle(np.zeros(face.shape[:2], np.uint8), where.astype(int).tolist(), round(part * width), 255, -1)
            for part in (0.005, 0.03)
        )
        ring = (around > 0) & (cv2.dilate(mole, np.ones((5, 5), np.uint8)) == 0)
        return np.asarray(face * (1 - 0.7 * (mole[..., None] > 0)), np.float32), mole > 0, ring

    def contrast(picture: Picture, mole: NDArray[np.bool_], ring: NDArray[np.bool_]) -> float:
        grey = logarithm(picture).mean(-1)
        return float(grey[mole].mean() - grey[ring].mean())

    plate, *of_a = with_mole(left)
    own, *of_b = with_mole(right)
    one = drawn(own, plate * lit, points)
    flat = alike.read(own, one, seen(face))
    assert flat is not None and len(flat) == 2 * SIDE_PX
    result = alike(own, one, seen(face))
    assert contrast(plate * lit, *of_a) < -0.6 and contrast(own, *of_b) < -0.6
    assert contrast(result, *of_a) == pytest.approx(contrast(face, *of_a), abs=0.15)
    assert contrast(result, *of_b) == pytest.approx(contrast(own, *of_b), rel=0.2)


def test_eyes_and_lips_lie_in_the_shadow_as_well(faces_b: FaceSet, alike: Light) -> None:
    face, points = large(faces_b, 4)
    plate = face * half(points, len(face), (0.3, 0.3, 0.3))
    result = alike(face, drawn(face, plate, points), seen(face))
    features = feature_mask(points, face.shape[1::-1]) > 127
    dark = features & (half(points, len(face), (0.3, 0.3, 0.3))[..., 0] < 0.32)
    assert dark.sum() > 300
    assert change(result, face, dark).mean() < 0.7 * np.log(0.3)


def test_it_falls_on_the_same_place_of_another_face(faces_a: FaceSet, faces_b: FaceSet, known: UsualFaces) -> None:
    plate, points = large(faces_a, 4)
    face, points_b = large(faces_b, 4)
    light, surface = Light.of(known), Surface(SIDE_PX)
    middle = surface.places[FACE_OVAL].mean(0)
    flat = np.full((SIDE_PX, SIDE_PX, 1), 0.0, np.float32)
    flat[:, : int(middle[0])] = np.log(0.3)  # one half of the face
    shadow = np.exp(SkinMap.of(points, plate.shape[1::-1]).laid(flat).reshape(plate.shape[:2]))[..., None]
    before, after = (light(face, drawn(face, lit, points, points_b), seen(plate)) for lit in (plate, plate * shadow))
    told = surface.flattened(logarithm(after) - logarithm(before), points_b).mean(-1)
    where = known.skin > 0.9
    left, right = (told[:, part][where[:, part]] for part in
                   (slice(0, int(middle[0]) - 8), slice(int(middle[0]) + 8, None)))  # fmt: skip
    assert np.median(left) - np.median(right) < 0.75 * np.log(0.3)


def test_the_lid_of_a_winking_eye_is_not_lit(faces_b: FaceSet, alike: Light) -> None:
    """What is told of one eye alone is its folds; of all of a half, a lamp's."""
    face, points = large(faces_b, 4)
    size = face.shape[1::-1]
    lid = cv2.dilate(hull_mask(points[RIGHT_EYE], size), np.ones((13, 13), np.uint8))
    bright = 1 + cv2.GaussianBlur(lid, (0, 0), 2)[..., None] / np.float32(255)
    plate = np.asarray(face * 0.5 * bright, np.float32)
    result = alike(face, drawn(face, plate, points), seen(face))
    around = (cv2.erode(lid, np.ones((5, 5), np.uint8)) > 0) & (hull_mask(points[RIGHT_EYE], size) == 0)
    inside = cheeks(points, len(face))
    told, given = (change(part, face, around) - change(part, face, inside) for part in (result, plate))
    assert (told < 0.1 * given).all() and (given > 0.5).all()


def test_folds_and_moles_are_not_carried_over(faces_b: FaceSet, alike: Light) -> None:
    face, points = large(faces_b, 4)
    rng = np.random.default_rng(1)
    spots = cv2.GaussianBlur(rng.normal(size=face.shape[:2]).astype(np.float32), (0, 0), 5)
    plate = face * np.exp(0.1 * spots / spots.std())[..., None]
    result = alike(face, drawn(face, plate, points), seen(face))
    inside = cheeks(points, len(face))
    kept, given = ((logarithm(part) - logarithm(face))[inside].mean(-1).std() for part in (result, plate))
    assert kept < 0.35 * given


def test_what_the_one_usually_looks_like_is_not_light(faces_b: FaceSet, alike: Light) -> None:
    """A beard that A always has is skin; on a face that is known without one it is a shadow."""
    face, points = large(faces_b, 4)
    jaw = np.zeros((SIDE_PX, SIDE_PX, 1), np.float32)
    jaw[SIDE_PX * 5 // 8 :] = np.log(0.4)
    plate = face * np.exp(SkinMap.of(points, face.shape[1::-1]).laid(jaw).reshape(face.shape[:2]))[..., None]
    bearded = Light.of(replace(alike.usual, ratio=np.repeat(jaw, 3, 2)))
    chin = cheeks(points, len(face)) & (logarithm(plate) - logarithm(face) < -0.5).all(-1)
    others = cheeks(points, len(face)) & ~chin
    contrasts = []
    for light in (alike, bearded):
        result = light(face, drawn(face, plate, points), seen(face))
        contrasts.append((change(result, face, chin) - change(result, face, others)).mean())
    assert contrasts[0] < 0.7 * np.log(0.4)
    assert contrasts[1] > 0.45 * np.log(0.4)  # what is left is the coarse light, by which face and neck agree


def test_a_hand_before_the_face_is_no_shadow(faces_b: FaceSet, alike: Light) -> None:
    face, points = large(faces_b, 4)
    centre = points[FACE_OVAL].mean(0)
    bare, plate = seen(face), face.copy()
    y, x = np.mgrid[: len(face), : len(face)]
    hand = np.hypot(x - centre[0] - 20, y - centre[1] - 20) < 25
    bare[hand], plate[hand] = 0, 0.05
    result = alike(face, drawn(face, plate, points), bare)
    assert np.abs(logarithm(result) - logarithm(face))[cheeks(points, len(face))].max() < 0.05
    shadowed = alike(face, drawn(face, plate, points), seen(face))
    assert np.abs(logarithm(shadowed) - logarithm(face))[hand].mean() > 0.5


def test_where_hardly_any_skin_is_seen_the_face_stays(faces_b: FaceSet, alike: Light) -> None:
    face, points = large(faces_b, 4)
    hidden = np.zeros(face.shape[:2], np.float32)
    np.testing.assert_array_equal(alike(face, drawn(face, face * 0.5, points), hidden), face)
    away = (points + 1000).astype(np.float32)
    np.testing.assert_array_equal(alike(face, drawn(face, face * 0.5, away), seen(face)), face)


def test_a_face_cut_off_by_the_frame_is_lit_by_what_is_seen_of_it(faces_b: FaceSet, alike: Light) -> None:
    face, points = large(faces_b, 4)
    cut = int(points[FACE_OVAL, 0].mean())
    face, points = face[:, cut:], (points - (cut, 0)).astype(np.float32)
    result = alike(face, drawn(face, np.asarray(0.6 * face, np.float32), points), seen(face))
    inside = face_mask(points, face.shape[1::-1]) > 127
    np.testing.assert_allclose(change(result, face, inside), change(0.6 * face, face, inside), atol=0.05)


@pytest.mark.parametrize("size", [0.25, 0.5, 3.0])
def test_however_large_the_face_is(faces_b: FaceSet, alike: Light, size: float) -> None:
    face, points = large(faces_b, 4)
    face = cv2.resize(face, None, fx=size, fy=size, interpolation=cv2.INTER_AREA)
    points = ((points + 0.5) * size - 0.5).astype(np.float32)
    shadow = half(points, len(face), (0.3, 0.3, 0.3), 1.5 * size)
    one = replace(drawn(face, face * shadow, points), square_px=2 * SQUARE_PX * size, pixel=2 * size)
    result = alike(face, one, seen(face))
    there = cv2.erode(face_mask(points, face.shape[1::-1]), np.ones((2 * int(6 * size) + 1,) * 2, np.uint8)) > 0
    dark = there & (shadow[..., 0] < 0.32)
    np.testing.assert_allclose(change(result, face, dark).mean(), np.log(0.3), atol=0.2)


def test_light_on_light_is_undone_by_its_opposite() -> None:
    light = np.random.default_rng(1).random((4, 5, 3)).astype(np.float32) * 0.5
    ratio = np.full((4, 5, 3), 0.3, np.float32)
    np.testing.assert_allclose(logarithm(relit(light, ratio)) - logarithm(light), ratio, atol=1e-5)
    np.testing.assert_allclose(relit(relit(light, ratio), -ratio), light, atol=1e-5)


def test_usual_faces_are_even_on_both_sides_and_tell_skin_from_hair(known: UsualFaces, alike: Light) -> None:
    np.testing.assert_array_equal(known.ratio, known.ratio[:, ::-1])
    np.testing.assert_allclose(alike.usual.ratio, 0, atol=0.01)  # but for rounding of colours
    assert 0.02 < np.abs(known.ratio[known.skin == 1]).mean() < 0.5
    places = Surface(SIDE_PX).places
    for landmark, low, high in (
        (50, 0.9, 1),
        (280, 0.9, 1),
        (151, 0.9, 1),
        (13, 0, 0.05),
        (16, 0.1, 0.3),
        (105, 0, 0.1),
    ):
        x, y = np.round(places[landmark]).astype(int)  # cheeks, forehead, between the lips, a lip, a brow
        assert low <= known.skin[y, x] <= high
    x, y = np.round(places[LEFT_EYE].mean(0)).astype(int)
    assert known.skin[y, x] == 0
    assert (known.skin[[0, -1]] == 0).all()  # outside the face


def test_a_half_that_always_lies_in_the_shade_is_skin(
    faces_a: FaceSet, faces_b: FaceSet, known: UsualFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = {"a": faces_a, "b": faces_b}

    def lit_from_one_side(*args: Any) -> dict[str, data.Canvases]:
        faces = data.load_both(*args)
        pixels = faces["a"].pixels.clone()
        for picture, points in zip(pixels, faces["a"].points, strict=True):
            shadow = torch.from_numpy(half(points, picture.shape[-1], (0.3, 0.3, 0.3)))
            picture[:3] = (picture[:3] * shadow.permute(2, 0, 1)).round()
        return {**faces, "a": replace(faces["a"], pixels=pixels)}

    monkeypatch.setattr(usual, "data", SimpleNamespace(load_both=lit_from_one_side, Canvases=data.Canvases))
    shaded = usual.read(sets, RECIPE)
    assert (shaded.skin > 0.9).mean() > 0.9 * (known.skin > 0.9).mean()
    # And the lamp is told in full on such a clip: one side against the other.
    plate, points = large(faces_a, 4)
    plate *= half(points, len(plate), (0.3, 0.3, 0.3))
    face, points_b = large(faces_b, 4)
    result = Light.of(shaded)(face, drawn(face, plate, points, points_b), seen(plate))
    told = (logarithm(result) - logarithm(face)).mean(-1)
    inside, shadow = cheeks(points_b, len(face)), half(points_b, len(face), (0.3, 0.3, 0.3))[..., 0]
    apart = np.median(told[inside & (shadow > 0.95)]) - np.median(told[inside & (shadow < 0.35)])
    assert apart > 0.8 * -np.log(0.3)


def test_a_forehead_that_shines_is_skin_and_a_raised_brow_is_none(
    faces_a: FaceSet, faces_b: FaceSet, known: UsualFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shining(*args: Any) -> dict[str, data.Canvases]:
        both = {}
        for side, faces in data.load_both(*args).items():
            pixels = faces.pixels.clone()
            for picture, points in zip(pixels, faces.points, strict=True):
                above = np.arange(picture.shape[-1], dtype=np.float32)[:, None] - points[RIGHT_BROW, 1].min()
                lit = 1 + 0.3 / (1 + np.exp(above / 2))
                picture[:3] = (picture[:3] * torch.from_numpy(lit)).clamp(0, 255).round()
            both[side] = replace(faces, pixels=pixels)
        return both

    monkeypatch.setattr(usual, "data", SimpleNamespace(load_both=shining, Canvases=data.Canvases))
    bright = usual.read({"a": faces_a, "b": faces_b}, RECIPE)
    places = Surface(SIDE_PX).places
    x, y = np.round(places[151]).astype(int)
    assert bright.skin[y, x] == known.skin[y, x] == 1
    for landmark in (105, 66, 334, 296):  # the upper edges of both brows
        x, y = np.round(places[landmark] - (0, 5)).astype(int)
        assert known.skin[y, x] < 0.1


def test_a_harder_lamp_before_the_source_is_made_as_soft_as_the_targets(
    faces_a: FaceSet, faces_b: FaceSet, known: UsualFaces, alike: Light, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert np.abs(alike.usual.contrast).max() < 0.005
    assert np.abs(known.contrast).max() < 0.08  # two people in one light

    def hard(*args: Any) -> dict[str, data.Canvases]:
        """B is B, and again with all light to the power of 1.5."""
        faces = data.load_both(*args)["a"]
        pixels = faces.pixels.clone()
        pixels[:, :3] = (255 * 0.6 * (pixels[:, :3] / 255 / 0.6) ** 1.5).clamp(0, 255).round().to(pixels.dtype)
        return {"a": faces, "b": replace(faces, pixels=pixels)}

    monkeypatch.setattr(usual, "data", SimpleNamespace(load_both=hard, Canvases=data.Canvases))
    harder = usual.read({"a": faces_b, "b": faces_b}, RECIPE)
    skin = harder.skin == 1
    wanted = harder.ratio @ LUMINANCE
    slope, _ = np.polyfit(wanted[skin], harder.contrast[skin], 1)
    assert 0.5 < slope < 1.2 and np.corrcoef(wanted[skin], harder.contrast[skin])[0, 1] > 0.8
    # And on a face: nearer to what it was before.
    face, points = large(faces_b, 4)
    hardened = (0.6 * (face / 0.6) ** 1.5).clip(0, 1)
    result = Light.of(harder)(hardened, drawn(hardened, face, points), seen(face))
    without = Light.of(replace(harder, contrast=0 * harder.contrast))(
        hardened, drawn(hardened, face, points), seen(face)
    )
    inside = cheeks(points, len(face))
    left, left_without = (np.abs(logarithm(part) - logarithm(face))[inside].mean() for part in (result, without))
    assert left < 0.8 * left_without


def test_the_one_with_the_lighter_eyes_is_known(
    faces_a: FaceSet, faces_b: FaceSet, known: UsualFaces, alike: Light, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample's A has blue eyes, his B brown ones."""
    assert known.iris is not None and 0.3 < known.iris < 0.9
    other = usual.read({"a": faces_b, "b": faces_a}, RECIPE).iris
    assert other is not None and -1.1 < other < -0.3
    assert alike.usual.iris == pytest.approx(0, abs=0.02)
    monkeypatch.setattr(usual, "light_to_skin", lambda faces: 0.0)  # who never opens them
    assert usual.read({"a": faces_a, "b": faces_b}, RECIPE).iris is None


def test_they_are_kept_with_a_model(tmp_path: Path, known: UsualFaces) -> None:
    assert UsualFaces.load(tmp_path) is None
    known.save(tmp_path)
    again = UsualFaces.load(tmp_path)
    assert again is not None
    np.testing.assert_allclose(again.ratio, known.ratio, atol=2e-3)
    np.testing.assert_allclose(again.skin, known.skin, atol=1e-3)
    np.testing.assert_allclose(again.contrast, known.contrast, atol=1e-3)
    assert known.iris is not None and again.iris == pytest.approx(known.iris, abs=1e-3)
    older = {name: torch.from_numpy(getattr(known, name)) for name in ("ratio", "skin")}
    save_tensors(tmp_path / "usual.safetensors", older)
    before = UsualFaces.load(tmp_path)
    assert before is not None and not before.contrast.any() and before.iris is None


def test_strange_ones_are_refused(tmp_path: Path, known: UsualFaces) -> None:
    for strange in (
        replace(known, ratio=known.ratio[1:]),
        replace(known, ratio=np.full_like(known.ratio, np.nan)),
        replace(known, skin=known.skin[1:]),
        replace(known, skin=known.skin - 1),
        replace(known, skin=np.full_like(known.skin, np.nan)),
        replace(known, contrast=known.contrast[1:]),
        replace(known, contrast=np.full_like(known.contrast, np.inf)),
        replace(known, iris=float("nan")),
    ):
        strange.save(tmp_path)
        with pytest.raises(ModelError, match=r"usual\.safetensors: broken"):
            UsualFaces.load(tmp_path)
    (tmp_path / "usual.safetensors").write_bytes(b"no such thing")
    with pytest.raises(ModelError, match=r"usual\.safetensors: broken.*Delete it and train on"):
        UsualFaces.load(tmp_path)


def test_training_reads_them_once_and_a_swap_is_lit_by_them(
    faces_a: FaceSet, faces_b: FaceSet, short_a: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m"
    sets, recipe = {"a": faces_a, "b": faces_b}, replace(SMALL, usual_faces=30)
    without = replace(recipe, usual_faces=0)
    run(stages.train(sets, model, without, Until(steps=2), CPU, lambda: False))
    assert UsualFaces.load(model) is None
    run(stages.train(sets, model, recipe, Until(steps=3), CPU, lambda: False))
    kept = (model / "usual.safetensors").read_bytes()
    run(stages.train(sets, model, recipe, Until(steps=4), CPU, lambda: False))
    assert (model / "usual.safetensors").read_bytes() == kept

    clip, convert = probe(short_a), ConvertRecipe(fit="none")
    # A conversion that was stopped goes on only with what it was begun with.
    opened = Opened.of(model, CPU, "newest")
    assert opened.usual is not None and opened.usual.iris is not None
    eyed = replace(opened, usual=replace(opened.usual, iris=opened.usual.iris + 0.1))
    eyeless = replace(opened, usual=replace(opened.usual, iris=None))
    begun, again, *other = (
        stamp(clip, [(one, faces_a.faces)], convert)
        for one in (opened, Opened.of(model, CPU, "newest"), eyed, eyeless, replace(opened, usual=None))
    )
    assert begun == again and begun not in other

    frame, points, acting = frame_at(clip, 3), faces_a.faces.points[3], faces_a.faces.acting()[3]
    shadow = half(points, frame.pixels.shape[0], (0.3, 0.3, 0.3))
    dark = np.asarray(np.round(frame.pixels * shadow), np.uint8)

    def swapped(convert: ConvertRecipe) -> NDArray[np.uint8]:
        opened = Opened.of(model, CPU, "newest")
        swapper = opened.swapper(convert, Marker("0123abcd"), [(frame, points, acting)])
        return np.asarray(swapper(dark, points, acting)[0])

    inside = cheeks(points, frame.pixels.shape[0])

    def contrast(picture: NDArray[np.uint8]) -> float:
        light = logarithm((picture / np.float32(255)).astype(np.float32)).mean(-1)
        return float(light[inside & (shadow[..., 0] > 0.95)].mean() - light[inside & (shadow[..., 0] < 0.35)].mean())

    lit, other = swapped(convert), swapped(replace(convert, colour="reinhard"))
    (model / "usual.safetensors").unlink()
    coarse = swapped(convert)
    assert contrast(lit) > 0.8 * contrast(dark) > 0.8 * 0.7
    assert contrast(lit) > contrast(coarse) > contrast(other)
    opened = Opened.of(model, CPU, "newest")
    said = [note for note in opened.unlearned(convert) if isinstance(note, Note)]
    assert any("usually looks" in note.text and "facedouble train" in note.text for note in said)
    assert not any("usually looks" in note.text for note in opened.unlearned(replace(convert, colour="mkl")))
