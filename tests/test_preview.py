"""Stills of a few frames: what they show is what `convert` would make, they are signed, and take no search."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import FaceError, InputError
from facedouble.footage import parse_moment
from facedouble.media.reader import probe, read
from facedouble.provenance import credential
from facedouble.recipes import ConvertRecipe
from facedouble.stages.preview import _window
from support import CPU, SAMPLE, backdrop, command, pictures, run, write_clip


@pytest.mark.parametrize(("text", "moment"), [("77", 77), ("00:03.2", Fraction(16, 5)), ("1:00:01", Fraction(3601))])
def test_moments(text: str, moment: object) -> None:
    assert parse_moment(text) == moment


@pytest.mark.parametrize("text", ["", "-3", "3.5", "a:b", "00:1e3"])
def test_no_moments(text: str) -> None:
    with pytest.raises(InputError, match="--at"):
        parse_moment(text)


def test_a_still_shows_what_convert_makes(faces_a: FaceSet, short_a: Path, model: Path, tmp_path: Path) -> None:
    run(stages.convert(short_a, model, tmp_path / "out.mkv", ConvertRecipe(codec="ffv1"), CPU, 2))
    recipes = {"plain": ConvertRecipe(blend="plain"), "swap": ConvertRecipe()}
    moments = [7, Fraction(1)]
    run(stages.preview(short_a, model, moments, recipes, tmp_path / "p.png", CPU))
    (sheet,) = pictures(tmp_path / "p.png")
    frames = [next(iter(read(probe(clip), 7, 8))).pixels for clip in (short_a, tmp_path / "out.mkv")]
    window = _window(faces_a.faces.points[7], probe(short_a).size)
    height, width = (part.stop - part.start for part in window)
    step = (sheet.shape[1] - 4) // 3
    original, swapped = (sheet[22 : 22 + height, 4 + column * step :][:, :width] for column in (0, 2))
    np.testing.assert_array_equal(original, frames[0][window])
    assert np.abs(swapped.astype(int) - frames[1][window]).mean() < 1.5  # the clip is of half colour resolution
    verdict = credential.verify(tmp_path / "p.png")
    assert verdict.state == "valid" and verdict.made_here
    assert verdict.details["swap"]["changed_frames"] == [[7, 8], [24, 25]]


def test_other_footage_of_a_needs_no_search(model: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "other.mp4", pictures(SAMPLE / "a-take1.mp4")[100:110])
    run(stages.preview(clip, model, [3], {"swap": ConvertRecipe()}, tmp_path / "p.png", CPU))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.mp4", "p.png"]


def test_nobody_there(model: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "empty.mp4", backdrop(5))
    with pytest.raises(FaceError, match=r"not seen in frame 2\. Choose another --at"):
        run(stages.preview(clip, model, [2], {"swap": ConvertRecipe()}, tmp_path / "p.png", CPU))
    with pytest.raises(InputError, match="frame 5 lies beyond its 5 frames"):
        run(stages.preview(clip, model, [5], {"swap": ConvertRecipe()}, tmp_path / "p.png", CPU))
    assert not (tmp_path / "p.png").exists()


def test_the_command(short_a: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "p.png"
    line = ("preview", short_a, model, "--at", "3", "-o", out, "--device", "cpu")
    assert command(*line, "--compare", "colour=none,reinhard", "--compare", "occlusion=cover,keep") == 0
    assert "4 choices of settings" in "".join(capsys.readouterr())
    assert command(*line, "--compare", "fit=none,sharpen,reduce", "--face-px", "100") == 0
    assert "3 choices of settings" in "".join(capsys.readouterr())
    for wrong in ("colour", "crf=1", "colour=pink"):
        assert command(*line, "--compare", wrong) == 1
    assert command(*line[:-3], tmp_path / "p.jpg") == 1
