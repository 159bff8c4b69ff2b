"""Layers for a compositor: put together they are the output, and they say what they are."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import InputError
from facedouble.events import Progress
from facedouble.find.mask import face_mask
from facedouble.geometry import FACE_OVAL, apply
from facedouble.media.pictures import save_picture
from facedouble.media.reader import probe, read
from facedouble.provenance import credential
from facedouble.recipes import ConvertRecipe
from support import CPU, backdrop, pictures, run


def raw(file: Path) -> NDArray[np.uint16]:
    with av.open(str(file)) as picture:
        frame = next(picture.decode(video=0))
        assert frame.format.name in ("rgb48be", "gray16be")
        return np.asarray(frame.to_ndarray(), np.uint16)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("outline", ["keep", "move"])
def test_plate_face_and_mask_give_the_output(
    faces_a: FaceSet, short_a: Path, model: Path, tmp_path: Path, deep: bool, outline: str
) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    for number, picture in enumerate([*pictures(short_a, 3), *backdrop(1, (512, 512))]):
        save_picture(shots / f"{number}.png", picture.astype(np.uint16) * 257 + 40 * number if deep else picture)
    layers, out = tmp_path / "layers", tmp_path / "out"
    run(stages.convert(shots, model, out, ConvertRecipe(blend="plain", outline=outline), CPU, 2, layers))
    said = json.loads((layers / "layers.json").read_text())
    assert "straight" in said["alpha"] and said["blend"]["name"] == "plain" and len(said["frames"]) == 4
    most = 65535 if deep else 255
    for before, after, frame in zip(read(probe(shots)), read(probe(out)), said["frames"], strict=True):
        plate, face, mask = (raw(layers / name / frame["file"]) for name in ("plate", "face", "mask"))
        moved = (plate != before.pixels.astype(np.uint16) * (1 if deep else 257)).any(-1)
        assert moved.any() == (outline == "move" and frame["frame"] < 3)
        if moved.any():
            points = faces_a.faces.points[frame["frame"]]
            around = round(0.09 * float(np.ptp(points[FACE_OVAL, 0])))
            near = cv2.dilate(face_mask(points, (512, 512)), np.ones((2 * around + 1, 2 * around + 1), np.uint8)) > 0
            assert moved.mean() < 0.1 and not moved[~near].any()
        alpha = mask[..., None] / 65535
        made = (plate * (1 - alpha) + face * alpha) / 65535 * most
        assert np.abs(made - after.pixels).max() <= (2 if deep else 0.51)
        assert bool(mask.any()) == bool(frame["faces"]) == (frame["frame"] < 3)
        assert np.array_equal(before.pixels, after.pixels) == (frame["frame"] == 3)
    for name in ("face", "mask"):
        verdict = credential.verify(layers / name)
        assert verdict.state == "valid" and verdict.details["swap"]["changed_frames"] == [[0, 3]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers", "out", "shots"]


def test_transforms_lead_from_the_frame_to_what_the_model_saw(
    faces_a: FaceSet, short_a: Path, model: Path, tmp_path: Path
) -> None:
    out, layers = tmp_path / "out.mp4", tmp_path / "deep" / "layers"
    stopped = stages.convert(short_a, model, out, ConvertRecipe(), CPU, 2, layers)
    while not isinstance(next(stopped), Progress):
        pass
    stopped.close()
    assert (tmp_path / ".out.mp4.part" / "made" / "layers" / "face" / "000004.png").is_file()
    events, _ = run(stages.convert(short_a, model, out, ConvertRecipe(), CPU, 2, layers))
    assert sum(isinstance(event, Progress) for event in events) == 4  # no segment was whole, so the film is begun again
    said = json.loads((layers / "layers.json").read_text())
    assert "multiband" in said["blend"]["meaning"] or "band by band" in said["blend"]["meaning"]
    assert [frame["pts"] for frame in said["frames"]] == probe(short_a).pts.tolist()
    for frame, points in zip(said["frames"], faces_a.faces.points, strict=True):
        (face,) = frame["faces"]
        moved = apply(np.array(face["to_crop"]), points)
        assert (face["performance"], face["face"], face["crop_px"]) == ("a", "b", 32)
        assert (np.abs(moved.mean(0) - 16) < 4).all()
        np.testing.assert_allclose(face["landmarks_box"], [*points.min(0), *points.max(0)], atol=0.01)
    with pytest.raises(InputError, match=r"exists already\. Choose another --layers"):
        run(stages.convert(short_a, model, tmp_path / "more.mp4", ConvertRecipe(), CPU, 2, layers))
