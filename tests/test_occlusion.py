"""What stands before a face stays there: told by the bundled network, learned anew, and kept by a conversion."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import ModelError
from facedouble.events import Note
from facedouble.find.mask import face_mask
from facedouble.geometry import FACE_OVAL
from facedouble.learn import occluders, occlusion
from facedouble.media.reader import probe, read
from facedouble.project import is_made, save_tensors
from facedouble.recipes import ConvertRecipe, ExtractRecipe, Until
from support import CPU, SMALL, SUITE, Picture, consent_of, pictures, run, write_clip

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
from occlusion import against_truth, false_alarms, spread_out  # noqa: E402 - not part of the package


@pytest.fixture(scope="module")
def network(faces_a: FaceSet) -> occlusion.Occlusion:
    """As it comes with the package, told what A looks like."""
    network = occlusion.bundled()
    network.know(occlusion.canvases(faces_a))
    return network


def test_made_up_things_are_seeded_and_cover_something() -> None:
    skins = np.array([[0.7, 0.5, 0.4]])
    things = occluders.bank(40, skins, np.random.default_rng(3))
    assert things.shape == (40, 4, occluders.SIDE_PX, occluders.SIDE_PX)
    assert things.min() >= 0 and things.max() <= 1
    covers = things[:, 3].mean((1, 2))
    assert np.median(covers) > 0.03 and (covers < 0.9).all()
    np.testing.assert_array_equal(things, occluders.bank(40, skins, np.random.default_rng(3)))


def test_a_bare_face_is_bare(faces_a: FaceSet, short_a: Path, network: occlusion.Occlusion) -> None:
    assert false_alarms(network, short_a, faces_a.faces[np.arange(0, 40, 8)]) < 0.005


def test_a_board_before_the_mouth_is_found(faces_a: FaceSet, short_a: Path, network: occlusion.Occlusion) -> None:
    """A shape and a look that no made-up thing has."""
    points, pixels = faces_a.faces.points[0], pictures(short_a, 1)[0].copy()
    x0, y0, x1, y1 = board(points)
    pixels[y0:y1, x0:x1] = np.indices((y1 - y0, x1 - x0)).sum(0)[..., None] // 6 % 2 * 180 + 30
    truth = np.zeros(pixels.shape[:2], bool)
    truth[y0:y1, x0:x1] = True
    truth &= face_mask(points, pixels.shape[1::-1]) > 127
    found = (spread_out(network, pixels, points) > 0.5) & (face_mask(points, pixels.shape[1::-1]) > 127)
    assert (truth & found).sum() > 0.75 * (truth | found).sum()


def test_a_rendered_hand_is_found(tmp_path: Path, network: occlusion.Occlusion) -> None:
    target = SUITE / "occlusion-target.mp4"
    found = run(stages.extract([target], tmp_path / "f", ExtractRecipe(), consent_of("A"), None, workers=2))[1]
    measured = against_truth(network, target, SUITE / "occlusion-mask.mp4", found.faces)
    assert measured["iou"] > 0.6 and measured["false"] < 0.005, measured


def test_what_was_learned_is_seeded_and_kept(faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path) -> None:
    sides = [occlusion.canvases(faces) for faces in (faces_a, faces_b)]
    ends = []
    for _ in range(2):
        network = occlusion.bundled()
        assert list(occlusion.learn(network, sides, 2, 5, CPU)) == [1, 2]
        ends.append(network.state_dict())
    for name, weight in ends[0].items():
        torch.testing.assert_close(weight, ends[1][name], rtol=1e-3, atol=1e-4)
    assert any(not torch.equal(weight, occlusion.bundled().state_dict()[name]) for name, weight in ends[0].items())
    occlusion.save(network, tmp_path)
    again = occlusion.load(tmp_path)
    assert again is not None
    torch.testing.assert_close(again.head.weight, network.head.weight, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(again.usual, network.usual, rtol=0, atol=1e-3)
    network.know(sides[0])
    torch.testing.assert_close(network.usual, ends[0]["usual"])


@pytest.mark.parametrize(("precision", "computed"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_it_is_learned_in_what_the_machine_does_best(
    faces_a: FaceSet, precision: Literal["fp32", "bf16"], computed: torch.dtype
) -> None:
    """Emulated, a step in bf16 takes seven times as long."""
    network, seen = occlusion.bundled(), []
    network.head.register_forward_hook(lambda *what: seen.append(what[2].dtype))
    list(occlusion.learn(network, [occlusion.canvases(faces_a)], 1, 5, replace(CPU, precision=precision)))
    assert seen == [computed]


def test_what_looks_like_a_real_hand_is_believed_but_not_beside_a_made_up_one() -> None:
    """Nobody marked the hands of a face set; but skin between two made-up fingers is known to be none."""
    truth, face = torch.zeros(1, 1, 128, 128), torch.ones(1, 1, 128, 128)
    truth[..., 40:90, 20:30] = 1
    answer = torch.full_like(truth, -4)
    answer[..., 40:90, 32:36] = answer[..., 40:90, 100:110] = 4
    answer.requires_grad_()
    occlusion._loss(answer, truth, face, trusted=True).backward()
    assert answer.grad is not None
    assert (answer.grad[..., 40:90, 32:36] > 0).all()
    assert (answer.grad[..., 40:90, 100:110] == 0).all()


def test_training_learns_it_once(faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path) -> None:
    recipe = replace(SMALL, occlusion_steps=2)
    for steps in (1, 2):
        run(stages.train({"a": faces_a, "b": faces_b}, tmp_path / "m", recipe, Until(steps=steps), CPU, lambda: False))
        kept = (tmp_path / "m" / "occlusion.safetensors").stat().st_mtime_ns
        if steps == 1:
            first = kept
    assert kept == first
    file = tmp_path / "m" / "occlusion.safetensors"
    save_tensors(file, load_file(file))  # as it was taught before
    before = file.read_bytes()
    run(stages.train({"a": faces_a, "b": faces_b}, tmp_path / "m", recipe, Until(steps=2), CPU, lambda: False))
    assert file.read_bytes() != before and is_made(file, occlusion.WAY)


def test_a_broken_file_is_said_to_be_broken(tmp_path: Path) -> None:
    (tmp_path / "occlusion.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="broken"):
        occlusion.load(tmp_path)
    assert occlusion.load(tmp_path / "elsewhere") is None


def board(points: np.ndarray) -> tuple[int, int, int, int]:
    """Half of the face's width before the mouth."""
    x, y = points[[13, 14]].mean(0).astype(int)
    half = int(np.ptp(points[FACE_OVAL, 0])) // 4
    return x - half, y - half // 2, x + half, y + half


def test_a_conversion_keeps_what_stands_before_the_face(
    faces_a: FaceSet, short_a: Path, model: Path, network: occlusion.Occlusion, tmp_path: Path
) -> None:
    before: list[Picture] = pictures(short_a, 6)
    for number, picture in enumerate(before):
        x0, y0, x1, y1 = board(faces_a.faces.points[number])
        picture[y0:y1, x0:x1] = (20, 60, 160)
    clip = write_clip(tmp_path / "clip.mp4", before)
    ready = shutil.copytree(model, tmp_path / "model")
    occlusion.save(network, ready)
    changed = {}
    for how, made_with in (("keep", ready), ("cover", ready), ("unlearned", model)):
        recipe = ConvertRecipe(codec="ffv1", occlusion="cover" if how == "cover" else "keep")
        events, done = run(stages.convert(clip, made_with, tmp_path / f"{how}.mkv", recipe, CPU, 2))
        assert any("has not learned what stands before" in e.text for e in events if isinstance(e, Note)) == (
            how == "unlearned"
        )
        plates, swapped = ([frame.pixels for frame in read(probe(path))] for path in (clip, done.path))
        x0, y0, x1, y1 = board(faces_a.faces.points[3])
        inner = (slice(y0 + 12, y1 - 12), slice(x0 + 12, x1 - 12))
        changed[how] = np.abs(plates[3][inner].astype(int) - swapped[3][inner]).mean()
    assert changed["keep"] < 1
    assert changed["cover"] > 20
    assert changed["unlearned"] == changed["cover"]
