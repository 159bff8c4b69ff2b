"""What training takes is foretold from a few seconds of it, and presets fit what they are made for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from facedouble import device, stages
from facedouble.curate.faceset import FaceSet
from facedouble.device import GB, Device
from facedouble.errors import MachineError
from facedouble.events import Note, Progress
from facedouble.learn import data
from facedouble.learn.iris import UNKNOWN
from facedouble.learn.learner import Learner
from facedouble.learn.losses import FaceLoss
from facedouble.learn.memory import face_bytes, step_bytes
from facedouble.learn.model import Seen, Shown
from facedouble.presets import GPU_GB, PRESETS, USUAL_STEPS
from facedouble.recipes import TrainRecipe
from facedouble.stages import planning
from support import CPU, SMALL, command, run

PLACE = torch.device("cpu")


@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=[pytest.mark.slow] if name == "studio" else []) for name in PRESETS]
)
def test_every_preset_makes_a_step(preset: str, faces_a: FaceSet, faces_b: FaceSet) -> None:
    recipe = TrainRecipe.of(preset, batch=1)
    faces = {side: data.load(faces, SMALL) for side, faces in (("a", faces_a), ("b", faces_b))}
    size = recipe.size_px

    def feed(count: int, generator: torch.Generator) -> Any:
        picture = torch.rand(count, 3, size, size, generator=generator)
        seen = Seen(picture, torch.zeros(count, 54), torch.rand(count, 3, size, size), torch.ones(count, 1))
        return Shown(seen, picture, torch.ones(count, 2, size, size))

    learner = Learner.new(recipe, PLACE, faces, UNKNOWN)
    loss_of = FaceLoss(size, recipe.losses == "l1+ssim", PLACE)
    feeds: Any = {"a": feed, "b": feed}
    before = [weight.clone() for weight in learner.network.decoders["b"].parameters()]
    loss = learner.step(feeds, loss_of, 1, 1, recipe.learning_rate, mixed=False)
    assert 0 < float(loss) < 10
    after = learner.network.decoders["b"].parameters()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert USUAL_STEPS[preset] > 0


@pytest.mark.parametrize("preset", GPU_GB)
def test_a_preset_fits_the_gpu_it_is_made_for(preset: str) -> None:
    recipe = TrainRecipe.of(preset)
    for precision in ("bf16", "fp32"):
        fixed, each = step_bytes(recipe, precision)
        assert fixed + recipe.batch_at(0) * each < 0.6 * GPU_GB[preset] * GB


def test_memory_is_counted_by_face_and_by_size() -> None:
    fixed, each = step_bytes(SMALL, "fp32")
    larger_fixed, larger = step_bytes(replace(SMALL, size_px=64), "fp32")
    assert 3 < larger / each < 5  # four times the pixels
    assert larger_fixed >= fixed > 0
    assert face_bytes(SMALL, 2.0, 100) == 100 * face_bytes(SMALL, 2.0, 1)
    assert face_bytes(SMALL, 2.0, 10**6) == face_bytes(SMALL, 2.0, data.MOST_FACES)


@pytest.mark.parametrize("most_bytes", [1 << 30, 100_000])
def test_faces_are_counted_as_they_are_held(faces_a: FaceSet, monkeypatch: pytest.MonkeyPatch, most_bytes: int) -> None:
    monkeypatch.setattr(data, "_MOST_BYTES", most_bytes)
    held = data.load(faces_a, SMALL).pixels.nbytes
    assert face_bytes(SMALL, faces_a.recipe.coverage, 40) == held <= most_bytes
    assert face_bytes(TrainRecipe.of("studio"), 2.0, 10**6) <= most_bytes


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_WARM_S", 0.3)
    monkeypatch.setattr(planning, "_PROBE_S", 1.0)


@pytest.mark.usefixtures("quick")
def test_a_plan_tells_speed_time_and_memory_and_leaves_nothing(
    faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    events, found = run(stages.plan({"a": faces_a, "b": faces_b}, SMALL, 1000, CPU))
    assert any(isinstance(event, Progress) and event.stage == "probing" for event in events)
    assert found.recipe == SMALL and found.steps == 1000
    assert found.minutes == pytest.approx(1000 / found.steps_per_s / 60)
    assert 0.5 < found.steps_per_s < 1000
    assert 1e8 < found.memory_bytes <= device.peak_bytes() + 1e6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_a_batch_that_does_not_fit_is_computed_in_parts(
    faces_a: FaceSet, faces_b: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(SMALL, size_px=96, batch="8@0,16@100")
    fixed, each = step_bytes(recipe, "fp32")
    fixed += 2 * face_bytes(recipe, 2.0, 40)
    sets = {"a": faces_a, "b": faces_b}
    few = Device("cpu", "fp32", 2, int((fixed + 5.5 * each) / 0.8), "test")
    events, found = run(stages.plan(sets, recipe, 10, few))
    assert found.recipe.accumulate == 4  # 16 faces, of which five fit
    assert any("is computed in 4 parts" in event.text for event in events if isinstance(event, Note))
    with pytest.raises(MachineError, match=r"compact: needs about .* with a single face.*Choose a smaller --preset"):
        run(stages.plan(sets, recipe, 10, replace(few, memory_bytes=int(fixed / 0.8))))


@pytest.mark.usefixtures("quick")
def test_a_large_set_is_probed_by_a_part_of_it(
    faces_a: FaceSet, faces_b: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_PROBED_FACES", 32)
    events, _ = run(stages.plan({"a": faces_a, "b": faces_b}, SMALL, 10, CPU))
    assert events
    assert len(faces_a.rows_with_crops()) == 40  # the set itself is as it was


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_command_prints_it(faces_a: FaceSet, faces_b: FaceSet, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--size", 32, "--widths", "16,24,32", "--latent", 64, "--batch", 4, "--device", "cpu"]
    assert command("plan", faces_a.path, faces_b.path, *small, "--steps", 500) == 0
    printed = capsys.readouterr().out
    assert "compact, 32 px" in printed and "500 steps" in printed and "steps/s" in printed and "GB at most" in printed
    assert command("plan", faces_a.path, faces_b.path, *small, "--steps", 500, "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 500
    assert command("plan", faces_a.path, faces_b.path, "--steps", 0) == 1


@pytest.mark.parametrize(("memory_gb", "name"), [(1.5, "compact"), (3, "small"), (12, "large"), (80, "studio")])
def test_doctor_names_the_preset_that_fits(monkeypatch: pytest.MonkeyPatch, memory_gb: float, name: str) -> None:
    gpu = Device("cuda", "bf16", 8, int(memory_gb * GB), "Test GPU")
    monkeypatch.setattr(device, "choose", lambda: gpu)
    assert device._preset().text.startswith(name)
