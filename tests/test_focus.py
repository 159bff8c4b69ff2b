"""The new face is as soft as the plate where that is softer than its clip mostly is: out of focus, or moved."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble.curate.faceset import FaceSet
from facedouble.find.mask import face_mask, feature_mask
from facedouble.media.reader import probe, read
from facedouble.provenance.mark import Marker
from facedouble.recipes import ConvertRecipe
from facedouble.stages.opening import Opened
from facedouble.swap.face import Swapper
from facedouble.swap.focus import Focus
from support import CPU

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from focus import moved, out_of_focus

Picture = NDArray[np.float32]
Plate = tuple[Picture, Picture]


@pytest.fixture(scope="module")
def plates(faces_a: FaceSet, short_a: Path) -> list[Plate]:
    """Frames (512, 512, 3) 0..1 and landmarks (478, 2)."""
    frames = [frame.pixels.astype(np.float32) / 255 for frame in read(probe(short_a))]
    return [(frames[row], faces_a.faces.points[row]) for row in range(0, 40, 4)]


@pytest.fixture(scope="module")
def focus(plates: list[Plate]) -> Focus:
    found = Focus.measured(plates)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def edges() -> Picture:
    """A face that is to be made as soft: lines of all directions, (512, 512, 3)."""
    return cv2.GaussianBlur(np.random.default_rng(1).random((512, 512, 3)).astype(np.float32), (0, 0), 1.0)


BLURS = {
    "out of focus": out_of_focus(2.5), "far out of focus": out_of_focus(5.0),
    "moved aside": moved(10, 0), "moved upwards": moved(10, 90), "moved slantwise": moved(17, 30),
}  # fmt: skip


@pytest.mark.parametrize("name", BLURS)
def test_a_face_becomes_as_soft_as_the_plate(name: str, plates: list[Plate], focus: Focus, edges: Picture) -> None:
    blur, bare = BLURS[name], np.ones((512, 512), np.float32)
    plate, points = plates[3]
    inside = face_mask(points, (512, 512)) > 127
    wanted, found = blur(edges), focus(edges, blur(plate), points, bare)
    assert np.abs(found - wanted)[inside].mean() < 0.3 * np.abs(edges - wanted)[inside].mean()


def test_movement_blurs_along_its_way_alone(plates: list[Plate], focus: Focus) -> None:
    plate, points = plates[3]
    stripes = np.repeat((np.arange(512) // 8 % 2).astype(np.float32)[:, None], 512, 1)[..., None].repeat(3, 2)
    bare, inside = np.ones((512, 512), np.float32), face_mask(points, (512, 512)) > 127
    sharp, across = stripes, stripes.transpose(1, 0, 2)
    aside = moved(12, 0)(plate)
    kept, lost = (face[inside].std() / 0.5 for face in (focus(part, aside, points, bare) for part in (sharp, across)))
    assert kept > 2 * lost


def test_a_plate_as_sharp_as_the_others_changes_nothing(plates: list[Plate], focus: Focus, edges: Picture) -> None:
    bare = np.ones((512, 512), np.float32)
    same = [focus(edges, plate, points, bare) is edges for plate, points in plates]
    assert sum(same) >= len(plates) - 1
    soft = [(cv2.GaussianBlur(plate, (0, 0), 3.0), points) for plate, points in plates]
    usual = Focus.measured(soft)
    assert usual is not None
    assert usual(edges, *soft[3], bare) is edges, "a clip that is soft throughout is no softer than usual"


def test_a_face_with_fewer_edges_in_a_sharp_head_is_not_out_of_focus(
    plates: list[Plate], focus: Focus, edges: Picture
) -> None:
    """Closed eyes, or turned from the lamp."""
    for plate, points in plates:
        features = cv2.GaussianBlur(feature_mask(points, (512, 512)).astype(np.float32) / 255, (0, 0), 2)[..., None]
        calm = plate + features * (cv2.GaussianBlur(plate, (0, 0), 1) - plate)
        result = focus(edges, calm, points, np.ones((512, 512), np.float32))
        assert np.abs(result - edges).mean() < 0.02 * edges.std()


def test_what_stands_before_a_face_does_not_tell_its_focus(plates: list[Plate], focus: Focus, edges: Picture) -> None:
    plate, points = plates[3]
    bare, hand = np.ones((512, 512), np.float32), plate.copy()
    x, y = points[1].astype(int)
    hand[y - 90 : y + 90, x - 90 : x] = 0.5
    bare[y - 90 : y + 90, x - 90 : x] = 0
    assert focus(edges, hand, points, bare) is edges
    assert focus(edges, hand, points, np.zeros_like(bare)) is edges, "nothing of the face is seen"


def test_small_faces_and_other_sizes_are_left_alone(plates: list[Plate], focus: Focus, edges: Picture) -> None:
    plate, points = plates[3]
    farther = cv2.GaussianBlur(cv2.resize(plate, (300, 300), interpolation=cv2.INTER_AREA), (0, 0), 3)
    face = edges[:300, :300]
    assert focus(face, farther, points * 300 / 512, np.ones((300, 300), np.float32)) is face
    tiny = [(cv2.resize(plate, (40, 40), interpolation=cv2.INTER_AREA), points * 40 / 512) for plate, points in plates]
    assert Focus.measured(tiny) is None


def test_a_large_face_is_blurred_by_as_much_more(plates: list[Plate], edges: Picture) -> None:
    large = [(cv2.resize(plate, (1024, 1024), interpolation=cv2.INTER_CUBIC), 2 * points) for plate, points in plates]
    focus, (plate, points) = Focus.measured(large), large[3]
    assert focus is not None
    face = cv2.resize(edges, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    blur, bare = out_of_focus(8.0), np.ones((1024, 1024), np.float32)
    inside = face_mask(points, (1024, 1024)) > 127
    wanted, found = blur(face), focus(face, blur(plate), points, bare)
    assert np.abs(found - wanted)[inside].mean() < 0.3 * np.abs(face - wanted)[inside].mean()


def test_a_conversion_is_nearer_to_a_blurred_one(faces_a: FaceSet, short_a: Path, model: Path) -> None:
    """What a blurred clip should look like converted is the conversion of the sharp clip, blurred."""
    clip, opened = probe(short_a), Opened.of(model, CPU, "newest")
    swapper = opened.fitted(clip, faces_a.faces, ConvertRecipe(mouth="draw", eyes="draw"), Marker("00000000"))
    assert swapper.fit.focus is not None
    plain = replace(swapper, fit=replace(swapper.fit, focus=None))
    pixels, points, acting = next(read(clip)).pixels, faces_a.faces.points[0], faces_a.faces.acting()[0]
    blurred = cv2.GaussianBlur(pixels, (0, 0), 5)
    wanted = cv2.GaussianBlur(plain(pixels, points, acting)[0], (0, 0), 5).astype(float)
    inside = face_mask(points, clip.size) > 127

    def off(by: Swapper) -> float:
        return float(np.abs(by(blurred, points, acting)[0] - wanted)[inside].mean())

    assert off(swapper) < 0.8 * off(plain)
