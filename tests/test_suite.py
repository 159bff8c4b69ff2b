"""benchmarks/suite: the committed clips are pairs of one performance, alike outside the face."""

from __future__ import annotations

import tomllib
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble.footage import Clip
from facedouble.media.reader import probe, read
from support import SAMPLE, SUITE

SIZES = {
    "easy": (512, 512),
    "hard-light": (512, 512),
    "hard-pose": (512, 512),
    "occlusion": (512, 512),
    "small-face": (1280, 720),
}
FRAMES = (0, 17, 31)
"""looked at"""


def clip(name: str) -> Clip:
    return probe(SUITE / f"{name}.mp4")


def frame(of: Clip, index: int) -> NDArray[np.int16]:
    return next(read(of, index, index + 1)).pixels.astype(np.int16)


@pytest.mark.parametrize("suite", SIZES)
def test_target_and_truth_are_one_performance(suite: str) -> None:
    target, truth = clip(f"{suite}-target"), clip(f"{suite}-truth")
    assert target.size == truth.size == SIZES[suite]
    assert target.count == truth.count >= 36
    assert target.time_base == truth.time_base and (target.pts == truth.pts).all()
    assert target.rate == 24 and (target.colour, target.pixel_format) == (truth.colour, "yuv420p")


@pytest.mark.parametrize("suite", SIZES)
@pytest.mark.parametrize("index", FRAMES)
def test_only_the_face_differs(suite: str, index: int) -> None:
    """Codec noise apart, what differs lies in one area the size of a face, and some of it differs much."""
    target, truth = frame(clip(f"{suite}-target"), index), frame(clip(f"{suite}-truth"), index)
    difference = abs(target - truth).mean(2)
    height, width = difference.shape
    blocks = difference.reshape(height // 16, 16, width // 16, 16).mean((1, 3))
    rows, columns = np.nonzero(blocks > 8)
    assert len(rows) >= 4, "the faces are the same"
    face = np.zeros(difference.shape, bool)
    face[
        16 * max(rows.min() - 1, 0) : 16 * (rows.max() + 2), 16 * max(columns.min() - 1, 0) : 16 * (columns.max() + 2)
    ] = True
    # A hard lamp throws the face's shadow on a shoulder too, and another jaw's shadow lies elsewhere.
    assert face.mean() < (0.06 if width > height else 0.45 if suite == "hard-light" else 0.35)
    assert difference[~face].mean() < 1.5
    assert np.percentile(difference[~face], 99.9) < 16


@pytest.mark.parametrize("suite", SIZES)
def test_every_frame_is_lit_and_another(suite: str) -> None:
    pictures = [shot.pixels.astype(np.int16) for shot in read(clip(f"{suite}-target"))]
    assert min(picture.mean() for picture in pictures) > 30
    assert min(abs(after - before).mean() for before, after in pairwise(pictures)) > 0.3


def test_the_mask_shows_the_hand_over_the_face() -> None:
    mask, target = clip("occlusion-mask"), clip("occlusion-target")
    assert mask.size == target.size and (mask.pts == target.pts).all()
    covered = []
    for shot in read(mask):
        grey = shot.pixels[..., 1]
        assert ((grey < 32) | (grey > 223)).mean() > 0.97
        covered.append((grey > 127).mean())
    assert covered[0] == covered[-1] == 0
    assert 0.03 < max(covered) < 0.25
    assert sum(share > 0.005 for share in covered) > 15


def test_suite_stays_small() -> None:
    assert sum(path.stat().st_size for path in SUITE.iterdir()) < 6e6


def test_consent_is_that_of_the_sample() -> None:
    suite, sample = (tomllib.loads((folder / "consent.toml").read_text()) for folder in (SUITE, SAMPLE))
    assert suite["consent"] == sample["consent"]
