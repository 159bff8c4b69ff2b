"""Learning: it learns, it goes on exactly where it stopped, and its score means the same whatever the batch."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import FaceError, InputError, ModelError
from facedouble.events import Note
from facedouble.learn import checkpoint, data, losses
from facedouble.learn.iris import UNKNOWN
from facedouble.learn.learner import Learner, shorten
from facedouble.learn.losses import FaceLoss
from facedouble.learn.model import Network, parameters
from facedouble.learn.score import Judge, psnr
from facedouble.learn.train import due
from facedouble.recipes import TrainRecipe, Until
from support import CPU, SMALL, run


def trained(sets: dict[str, FaceSet], model: Path, steps: int, recipe: TrainRecipe = SMALL) -> checkpoint.State:
    run(stages.train(sets, model, recipe, Until(steps=steps), CPU, lambda: False))
    return checkpoint.load(model, torch.device("cpu"))[2]


def weights(model: Path) -> dict[str, torch.Tensor]:
    network, _, _ = checkpoint.load(model, torch.device("cpu"))
    return network.state_dict()


@pytest.mark.parametrize("preset", ["compact", "standard", "classic"])
def test_an_answer_is_a_face_and_a_mask(preset: str) -> None:
    recipe = TrainRecipe.of(preset, widths=(16, 32, 64), size_px=32, latent=64)
    seen = data.Seen(torch.rand(2, 3, 32, 32), torch.zeros(2, 54), torch.rand(2, 3, 32, 32))
    with torch.no_grad():
        answers = Network(recipe)(seen, seen)
    for answer in answers:
        assert answer.shape == (2, 4, 32, 32)
        assert float(answer.min()) >= 0 and float(answer.max()) <= 1


def test_it_learns(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    first = trained(sets, tmp_path / "m", 5).history[-1]
    last = trained(sets, tmp_path / "m", 150).history[-1]
    assert last["a"] > first["a"] + 3 and last["b"] > first["b"] + 3
    assert (tmp_path / "m" / "previews" / "00000150.png").is_file()


def test_stopped_and_resumed_is_the_same_as_run_through(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    recipe = replace(SMALL, optimizer="adam", learning_rate=1e-3)  # a constant rate, whatever the budget
    trained(sets, tmp_path / "through", 12, recipe)
    trained(sets, tmp_path / "halved", 8, recipe)
    trained(sets, tmp_path / "halved", 12, recipe)
    through, halved = weights(tmp_path / "through"), weights(tmp_path / "halved")
    for name, tensor in through.items():
        torch.testing.assert_close(tensor, halved[name], rtol=0, atol=1e-6)


def test_other_settings_do_not_fit_a_model(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    trained(sets, tmp_path / "m", 2)
    with pytest.raises(ModelError, match="latent 64"):
        trained(sets, tmp_path / "m", 4, replace(SMALL, latent=128))


def test_other_footage_does_not_fit_a_model(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    trained(sets, tmp_path / "m", 2)
    with pytest.raises(ModelError, match="begun with"):
        trained({"a": sets["b"], "b": sets["a"]}, tmp_path / "m", 4)


def test_a_broken_checkpoint_is_named(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    trained(sets, tmp_path / "m", 2)
    file = checkpoint.checkpoints(tmp_path / "m")[-1] / "average.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"average\.safetensors"):
        checkpoint.load(tmp_path / "m", torch.device("cpu"))


def test_a_model_of_an_earlier_version_is_refused(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    trained(sets, tmp_path / "m", 2)
    record = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps(record | {"version": 1}))
    with pytest.raises(ModelError, match="version 1, this program reads 2 and 3"):
        checkpoint.load(tmp_path / "m", torch.device("cpu"))


def test_too_few_faces(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    few = tmp_path / "few"
    shutil.copytree(sets["a"].path, few)
    for crop in sorted((few / "crops").iterdir())[20:]:
        crop.unlink()
    with pytest.raises(FaceError, match="20 faces"):
        data.load(FaceSet.load(few), SMALL)


def test_held_out_faces_are_stretches_that_do_not_touch_the_rest() -> None:
    learned, held = data.split(np.zeros(1000, np.int64))
    assert 80 <= len(held) <= 120 and len(learned) > 850
    assert np.abs(learned[:, None] - held[None]).min() > 1
    assert len(np.nonzero(np.diff(held) > 1)[0]) == 5  # six stretches


def test_held_out_stretches_end_with_their_clip() -> None:
    # The third of six stretches, rows 408 to 424, would reach from the first clip into the second.
    source = np.repeat([0, 1], [420, 580])
    learned, held = data.split(source)
    assert 80 <= len(held) <= 120
    starts = np.nonzero(np.diff(held, prepend=-9) > 1)[0]
    assert all(len(set(source[stretch])) == 1 for stretch in np.split(held, starts[1:]))
    # The second clip's first frames are no neighbours of the first clip's last ones, and are learned from.
    assert 420 in learned and 419 in held
    for clip in (0, 1):
        apart = learned[source[learned] == clip][:, None] - held[source[held] == clip][None]
        assert np.abs(apart).min() > 1


def test_the_score_does_not_know_the_batch_size(sets: dict[str, FaceSet]) -> None:
    torch.manual_seed(0)
    network = Network(SMALL)
    faces = {side: data.load(sets[side], SMALL) for side in "ab"}
    judged = [Judge(faces, faces, torch.device("cpu"))(network) for _ in (4, 64)]
    assert judged[0] == judged[1]


def test_the_floor_is_the_mean_face(sets: dict[str, FaceSet]) -> None:
    faces = data.load(sets["a"], SMALL)
    score = Judge({"a": faces, "b": faces}, {"a": faces, "b": faces}, torch.device("cpu"))(Network(SMALL))
    seen, mask = faces.centred(torch.device("cpu"))
    error = ((seen.pictures.mean(0) - seen.pictures) ** 2 * mask).sum() / (3 * mask.sum())
    assert math.isclose(score.floor_a, psnr(float(error)), abs_tol=0.01)


def test_similarity_is_one_for_the_same_and_falls_with_noise() -> None:
    loss = FaceLoss(32, structure=True, device=torch.device("cpu"))
    picture = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    noisy = (picture + 0.3 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    assert float(loss.similarity(picture, picture).mean()) == pytest.approx(1, abs=1e-4)
    assert float(loss.similarity(picture, noisy).mean()) < 0.9


def test_similarity_is_that_of_a_library() -> None:
    from skimage.metrics import structural_similarity

    loss = FaceLoss(64, structure=True, device=torch.device("cpu"))
    line = torch.linspace(0, 9, 64)
    picture = (0.5 + 0.3 * torch.sin(line)[:, None] * torch.cos(0.7 * line)).expand(1, 3, 64, 64)
    noisy = (picture + 0.1 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    grey = [torch.einsum("c,chw->hw", torch.tensor([0.2126, 0.7152, 0.0722]), x[0]).numpy() for x in (picture, noisy)]
    expected = structural_similarity(*grey, data_range=1.0, gaussian_weights=True, use_sample_covariance=False)
    assert float(loss.similarity(picture, noisy).mean()) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("size", [64, 96, 192, 512])
def test_the_window_of_similarity_has_no_denormal_numbers(size: int) -> None:
    window = losses._gaussian_rows(size)
    assert float(window[window > 0].min()) > torch.finfo(torch.float32).tiny
    assert torch.allclose(window.sum(1), torch.ones(size // 2))


def test_the_average_knows_its_own_codes(sets: dict[str, FaceSet]) -> None:
    """Codes that wander, and norms that follow them, draw the same face all the while; so must the average of both."""
    faces = data.load_both(sets, SMALL)
    learner = Learner.new(SMALL, torch.device("cpu"), faces, UNKNOWN)
    with torch.no_grad():
        for step in range(1, 401):
            learner.network.encoder.code.bias += 0.05
            for norm in learner.network.share.norms.values():
                norm.mean += 0.05
            learner.follow(step, 0.99)
        seen = faces["a"][np.arange(4)].centred(torch.device("cpu"))[0]
        drawn, averaged = (of.eval().rebuild(seen, "a", "a") for of in (learner.network, learner.average))
    assert learner.average.encoder.code.bias[0] < learner.network.encoder.code.bias[0] - 1  # it is behind
    assert torch.allclose(drawn, averaged, atol=1e-4)


def test_only_long_gradients_are_shortened() -> None:
    for length in (0.5, 7.0):
        weight = torch.nn.Parameter(torch.zeros(4))
        weight.grad = torch.full((4,), length / 2)
        shorten([weight])
        assert float(weight.grad.norm()) == pytest.approx(min(length, 1.0), rel=1e-4)


def test_colours_are_brought_together(sets: dict[str, FaceSet]) -> None:
    a = data.load(sets["a"], SMALL)
    dark = replace(a, pixels=(a.pixels.float() * 0.5).byte())
    dark.pixels[:, 3:] = a.pixels[:, 3:]
    matched = data.match_colour(dark, a)
    inside = a.pixels[:, 3:4].expand(-1, 3, -1, -1) > 127
    before = float((dark.pixels[:, :3].float() - a.pixels[:, :3].float()).abs()[inside].mean())
    after = float((matched.pixels[:, :3].float() - a.pixels[:, :3].float()).abs()[inside].mean())
    assert after < 0.15 * before


def test_another_lamp_is_taken_back_where_it_is_dark_too(sets: dict[str, FaceSet]) -> None:
    """A weak warm lamp leaves brows, lashes and irises as dark as they are; to lift them makes them grey."""
    a = data.load(sets["a"], SMALL)
    light = (a.pixels[:, :3] / 255) ** 2.4 * torch.tensor([0.4, 0.3, 0.2])[:, None, None]
    lit = torch.cat([(light ** (1 / 2.4) * 255).round().byte(), a.pixels[:, 3:]], 1)
    away = data.match_colour(replace(a, pixels=lit), a).pixels[:, :3].float() - a.pixels[:, :3].float()
    face = a.pixels[:, 3:4] > 127
    dark = face & (a.pixels[:, :3].float().mean(1, keepdim=True) < 60)
    assert dark.sum() > 300
    assert float(away.abs()[face.expand_as(away)].mean()) < 2.5
    for channel in range(3):
        assert abs(float(away[:, channel : channel + 1][dark].mean())) < 6


def test_redder_lips_of_one_person_change_no_colour(sets: dict[str, FaceSet]) -> None:
    a = data.load(sets["a"], SMALL)
    redder = a.pixels.clone()
    lips = (a.pixels[:, 3:4] > 127) & (a.pixels[:, 6:] > 127)
    green = redder[:, 1:2]
    green[lips] = (green[lips] * 0.6).byte()
    changed = data.match_colour(a, replace(a, pixels=redder)).pixels.float() - a.pixels.float()
    skin = (a.pixels[:, 3] > 127) & (a.pixels[:, 6] < 128)
    tint = changed[:, 0] - changed[:, 1]  # lightness alone would change both alike
    assert float(tint[skin].abs().mean()) < 1.5
    assert float((redder.float() - a.pixels.float())[:, 1:2][lips].mean()) < -20


def test_the_learning_rate_warms_up_and_decays_as_asked() -> None:
    half, until = checkpoint.State(step=500), Until(steps=1000)
    for recipe, parts in (
        (SMALL, (0.02, 0.5, 0.02)),
        (replace(SMALL, decay="constant"), (0.02, 1.0, 1.0)),
        (replace(SMALL, optimizer="adam"), (1.0, 1.0, 1.0)),
    ):
        states = checkpoint.State(), half, checkpoint.State(step=1000)
        assert [due(state, until, recipe) for state in states] == pytest.approx(list(parts), abs=1e-6)
    assert due(half, Until(), SMALL) == 1.0  # no end to decay to


@pytest.mark.parametrize(
    ("setting", "value"), [("size_px", 50), ("latent", 1), ("batch", 0), ("learning_rate", 2.0), ("decay", "linear")]
)
def test_impossible_settings(setting: str, value: float | str) -> None:
    with pytest.raises(InputError):
        TrainRecipe.of("compact", **{setting: value})


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "facedouble.cli", *map(str, arguments)]


@pytest.fixture
def training(sets: dict[str, FaceSet], tmp_path: Path) -> Iterator[tuple[Path, list[str], subprocess.Popen[str]]]:
    """A small model, the command that trains it with the settings it has, and that command at work, past its first
    checkpoint."""
    model = tmp_path / "m"
    first = trained(sets, model, 1, replace(SMALL, save_every_s=0.5)).step
    (model / "match").mkdir()  # the pair was looked at
    line = command("train", sets["a"].path, sets["b"].path, "-o", model, "--save-every", "0.5", "--device", "cpu")
    process = subprocess.Popen([*line, "--steps", "100000"], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 100
    while int(checkpoint.checkpoints(model)[-1].name) == first and time.monotonic() < end:
        time.sleep(0.1)
    with process:
        yield model, line, process
        process.kill()


def test_killed_training_goes_on_from_its_checkpoint(training: tuple[Path, list[str], subprocess.Popen[str]]) -> None:
    model, line, process = training
    process.send_signal(signal.SIGKILL)
    process.wait()
    step = int(checkpoint.checkpoints(model)[-1].name)
    assert step > 1
    again = subprocess.run([*line, "--steps", str(step + 5)], capture_output=True, text=True, timeout=100)
    assert again.returncode == 0, again.stderr
    assert f"going on from step {step}" in again.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals are sent as on Unix")
def test_ctrl_c_saves_and_says_so(training: tuple[Path, list[str], subprocess.Popen[str]]) -> None:
    _, _, process = training
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; the same command goes on" in said
    assert "Traceback" not in said


def test_an_already_finished_budget_is_said(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    trained(sets, tmp_path / "m", 3)
    events, _ = run(stages.train(sets, tmp_path / "m", SMALL, Until(steps=3), CPU, lambda: False))
    assert any(isinstance(event, Note) and "all 3 steps done" in event.text for event in events)


@pytest.mark.parametrize("detail", [2, 4])
def test_decoders_may_draw_finer_than_the_encoder_looks(sets: dict[str, FaceSet], tmp_path: Path, detail: int) -> None:
    recipe = replace(SMALL, size_px=32 * detail, detail=detail)
    network = Network(recipe)
    assert parameters(network.encoder) == parameters(Network(SMALL).encoder)
    pictures = torch.rand(2, 3, 32 * detail, 32 * detail)
    seen = data.Seen(pictures, torch.zeros(2, 54), pictures)
    assert network.eval().rebuild(seen, "a", "b").shape == (2, 4, 32 * detail, 32 * detail)
    state = trained(sets, tmp_path / "m", 2, recipe)
    assert state.step == 2
    with pytest.raises(ModelError, match="detail"):
        trained(sets, tmp_path / "m", 4, replace(recipe, detail=1))
    with pytest.raises(InputError, match="multiple of"):
        replace(recipe, size_px=recipe.size_px + 16)
