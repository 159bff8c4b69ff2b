"""A new face is no crisper than the clip it goes into: known blurs, and what must not be taken for one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble.curate.faceset import FaceSet
from facedouble.learn import features
from facedouble.media.reader import probe, read
from facedouble.swap.drawn import Drawn
from facedouble.swap.features import Features
from facedouble.swap.fit import Fit
from facedouble.swap.softness import blur_px, crisper
from support import SMALL, fitted

Picture = NDArray[np.float32]
Seen = list[tuple[Picture, Picture]]


def seen(clip: Path, faces: FaceSet) -> Seen:
    """Frames (512, 512, 3) 0..1 and landmarks (478, 2)."""
    frames = [frame.pixels.astype(np.float32) / 255 for frame in read(probe(clip))]
    return [(frames[row], faces.faces.points[row]) for row in range(0, 40, 4)]


@pytest.fixture(scope="module")
def plates(faces_a: FaceSet, short_a: Path) -> Seen:
    return seen(short_a, faces_a)


@pytest.fixture(scope="module")
def others(faces_b: FaceSet, short_b: Path) -> Seen:
    return seen(short_b, faces_b)


def soft(picture: Picture, spread: float) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), spread), np.float32)


def look(face: Picture, points_b: Picture, plate: Picture, points: Picture) -> NDArray[np.float64] | None:
    return crisper(face, Drawn(face, plate, points, points_b, 140.0, 1.0))


def found(laid: Seen, plates: Seen) -> float:
    looks = [look(*one, *plate) for one, plate in zip(laid, plates, strict=True)]
    return blur_px([one for one in looks if one is not None])


@pytest.mark.parametrize("spread", [0.8, 1.2, 2.0])
def test_the_blur_that_a_clip_has_is_found(plates: Seen, spread: float) -> None:
    """Most of it: what faces may differ by stays."""
    clip = [(soft(picture, spread), points) for picture, points in plates]
    assert 0.7 * spread < found(plates, clip) <= spread
    already = [(soft(picture, 0.6 * spread), points) for picture, points in plates]
    assert 0.5 * spread < found(already, clip) < 0.8 * spread  # spreads add as squares


def test_a_clip_as_crisp_or_crisper_changes_nothing(plates: Seen, others: Seen) -> None:
    assert found(plates, plates) == 0
    assert found([(soft(picture, 1.5), points) for picture, points in plates], plates) == 0
    assert found(plates, others) == found(others, plates) == 0  # two people, one camera


def test_strong_brows_and_another_light_are_no_sharpness(plates: Seen) -> None:
    strong = [(picture**1.8, points) for picture, points in plates]
    assert found(strong, plates) == 0
    assert found([(0.4 * picture, points) for picture, points in plates], plates) == 0


def test_a_soft_clip_of_another_person_is_as_soft(plates: Seen, others: Seen) -> None:
    clip = [(soft(picture, 1.4), points) for picture, points in plates]
    assert 0.7 * 1.4 < found(others, clip) < 1.3 * 1.4


def test_one_odd_frame_says_nothing(plates: Seen) -> None:
    even = [(soft(picture, 0.8), points) for picture, points in plates]
    odd = [(soft(picture, 4.0 if row == 3 else 0.8), points) for row, (picture, points) in enumerate(plates)]
    assert found(plates, odd) == pytest.approx(found(plates, even), rel=0.1)


def test_too_small_to_tell(plates: Seen) -> None:
    picture, points = plates[0]
    tiny = np.asarray(cv2.resize(picture, (40, 40)), np.float32)
    assert look(tiny, points * 40 / 512, tiny, points * 40 / 512) is None
    assert look(picture, points + 600, picture, points + 600) is None  # not in the picture
    assert blur_px([]) == 0


def test_a_face_laid_into_a_soft_clip_is_as_soft(faces_b: FaceSet, others: Seen) -> None:
    *_, detail = features.read(faces_b, replace(SMALL, feature_faces=1000), 1)
    own, square_px = Features.of(detail), float(np.ptp(others[0][1][:, 0])) / 1.4
    for spread in (0.0, 1.5):
        drawn = [
            Drawn(picture, soft(picture, spread) if spread else picture, points, points, square_px, 1.0)
            for picture, points in others
        ]
        fit = fitted(drawn, None, sharpen=True, grain=False, features=own)
        assert bool(fit.softened_px) == bool(spread) == ("as the clip is" in fit.text())
        assert found([(fit(one), one.points) for one in drawn], [(one.plate, one.points) for one in drawn]) < 0.3
        assert not fitted(drawn, None, sharpen=True, grain=False).softened_px  # nothing of B's camera is laid


def test_the_shadows_of_a_lamp_are_no_softness(faces_b: FaceSet, others: Seen) -> None:
    """They are coarse edges, beside which the finest of the plate look weak; in the same light B's do as well."""
    *_, detail = features.read(faces_b, replace(SMALL, feature_faces=1000), 1)
    own, square_px = Features.of(detail), float(np.ptp(others[0][1][:, 0])) / 1.4
    stripes = soft(np.where(np.indices((512, 512)).sum(0) % 44 < 22, 1.0, 0.05).astype(np.float32), 3.0)[..., None]
    drawn = [Drawn(picture, picture * stripes, points, points, square_px, 1.0) for picture, points in others]
    lit = [(one, np.asarray(one.face * stripes, np.float32)) for one in drawn]
    assert fitted(drawn, None, sharpen=True, grain=False, features=own).softened_px > 0.3  # were the face not lit
    assert Fit.measured(lit, None, True, False, features=own).softened_px == 0
