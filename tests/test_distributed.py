"""Training on several processes is training on one: the same losses and weights, the same way out of every trouble."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.device import Device
from facedouble.errors import InputError, MachineError, ModelError
from facedouble.learn import checkpoint
from facedouble.learn.together import ALONE, Order, Together, join
from facedouble.recipes import TrainRecipe, Until
from support import CPU, SMALL, command, run

# A constant rate, whatever the budget; five faces in two parts, of which two processes compute 1 + 2 and 1 + 1.
# At ten times the rate Adam makes so much of the rounding of small gradients that two runs part by themselves.
RECIPE = replace(SMALL, batch=5, accumulate=2, optimizer="adam", learning_rate=1e-4, save_every_s=1e9)
STEPS = 16

TROUBLE = """
import hashlib, itertools, os, sys
import torch
from facedouble.cli import main
from facedouble.learn import data
from facedouble.learn.learner import Learner

second, calls, feed, follow = os.environ["RANK"] == "1", itertools.count(), data.Feed.__call__, Learner.follow
sums = open(sys.argv.pop(1) + os.environ["RANK"], "w")

def troubled(self, count, generator):
    if second and count > 3:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
    shown = feed(self, count, generator)
    return shown._replace(target=shown.target * (float("nan") if second and next(calls) == 20 else 1))

def watched(self, step, decay):
    follow(self, step, decay)
    weights = b"".join(value.numpy().tobytes() for value in self.network.state_dict().values())
    print(step, hashlib.sha256(weights).hexdigest(), file=sums, flush=True)

data.Feed.__call__, Learner.follow = troubled, watched
main(sys.argv[1:])
"""
"""`facedouble` whose second process has memory for batches of three faces of a side only, and meets what is no number
once; both note what their weights were after each step"""


def begun(sets: dict[str, FaceSet], model: Path, recipe: TrainRecipe) -> Path:
    """A model with these settings that has learned nothing yet."""
    (model / "match").mkdir(parents=True)  # so that the pair is not looked at, which takes seconds
    run(stages.train(sets, model.with_name("throwaway"), recipe, Until(steps=1), CPU, lambda: False))
    shutil.copy(model.with_name("throwaway") / "model.json", model)
    shutil.copy(model.with_name("throwaway") / "consent.toml", model)
    return model


def torchrun(program: list[str], sets: dict[str, FaceSet], model: Path, steps: int) -> list[str]:
    """The command that trains on two processes."""
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *program]
    training = ["train", sets["a"].path, sets["b"].path, "-o", model, "--device", "cpu", "--steps", steps]
    return [*launched, *map(str, training)]


def weights(model: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint.checkpoints(model)[-1] / "weights.safetensors")


def state(model: Path) -> checkpoint.State:
    return checkpoint.load(model, torch.device("cpu"))[2]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are sent as on Unix")
def test_two_processes_stopped_and_resumed_are_one_run_through(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    model = begun(sets, tmp_path / "two", replace(RECIPE, score_every_s=0))
    shutil.copytree(model, tmp_path / "one")
    run(stages.train(sets, tmp_path / "one", replace(RECIPE, score_every_s=0), Until(steps=STEPS), CPU, lambda: False))

    line = torchrun(["-m", "facedouble"], sets, model, 100_000)
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        for text in process.stderr:
            said += text
            if text.startswith("step 2:"):
                process.send_signal(signal.SIGINT)
    assert "stopped; the same command goes on" in said, said
    assert said.count("step 1:") == 1  # one process speaks
    stopped = state(model).step
    assert 2 <= stopped < STEPS

    again = subprocess.run(
        torchrun(["-m", "facedouble"], sets, model, STEPS), capture_output=True, text=True, timeout=600
    )
    assert again.returncode == 0, again.stderr
    assert f"going on from step {stopped}" in again.stderr and "2 processes" in again.stderr
    one, two = (state(tmp_path / name).history for name in ("one", "two"))
    assert [entry["step"] for entry in two] == list(range(1, STEPS + 1))
    for name in ("loss", "a", "b"):
        np.testing.assert_allclose([entry[name] for entry in two], [entry[name] for entry in one], rtol=1e-5)
    expected, found = weights(tmp_path / "one"), weights(model)
    for name, tensor in expected.items():  # they moved by 1e-4 a step
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=2e-5)
        assert float((found[name] - tensor).abs().mean()) < 2.5e-7


@pytest.mark.slow
def test_trouble_of_one_process_is_met_by_all(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    model = begun(sets, tmp_path / "m", replace(RECIPE, accumulate=1))
    (tmp_path / "troubled.py").write_text(TROUBLE)
    program = [str(tmp_path / "troubled.py"), str(tmp_path / "weights")]
    done = subprocess.run(torchrun(program, sets, model, 30), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"out of memory: .* batch of 5 is computed in (\d) parts", done.stderr) == ["2"]
    assert "before step 25: going on from the start with half the learning rate" in done.stderr
    assert (state(model).step, state(model).rate, state(model).parts) == (30, 0.5, 2)
    noted = [(tmp_path / f"weights{rank}").read_text() for rank in "01"]
    assert noted[0] == noted[1]  # to the last bit
    assert [int(line.split()[0]) for line in noted[0].splitlines()] == [*range(1, 26), *range(1, 31)]


@pytest.mark.slow
def test_a_process_that_dies_ends_all(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    model = begun(sets, tmp_path / "m", RECIPE)
    (tmp_path / "dies.py").write_text(
        "import os, sys\nfrom facedouble.cli import main\nfrom facedouble.learn.learner import Learner\n"
        "if os.environ['RANK'] == '1':\n    Learner.follow = lambda *_: os._exit(7)\nmain(sys.argv[1:])\n"
    )
    line = torchrun([str(tmp_path / "dies.py")], sets, model, 100_000)
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "exitcode  : 7" in done.stderr


class Told(Together):
    """A process that is told these things."""

    def __init__(self, *told: Any) -> None:
        super().__init__()
        self._told = iter(told)

    def hear(self) -> Any:
        return next(self._told)


def test_machines_must_have_the_same_faces_and_model(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    folders = {side: faces.path for side, faces in sets.items()}
    sums = {side: faces.sha256() for side, faces in sets.items()}
    stages.assist(folders, tmp_path / "m", CPU, Told(None))  # the first process ended before it began
    with pytest.raises(InputError, match="not the face set that is here where training is led"):
        stages.assist(folders, tmp_path / "m", CPU, Told((RECIPE, {**sums, "b": sums["a"]}, {})))
    order = Order(7, 4, 1, 1e-3, torch.Generator().get_state())
    with pytest.raises(ModelError, match="is of step 0 here, and of step 7 where training is led"):
        stages.assist(folders, tmp_path / "m", CPU, Told((RECIPE, sums, {}), order))


def of(rank: int, world: int) -> Together:
    return Together(SimpleNamespace(global_rank=rank, world_size=world))


@pytest.mark.parametrize("count", [3, 4, 5, 64])
def test_shares_are_the_whole_batch_and_nearly_equal(count: int) -> None:
    assert ALONE.share(count) == slice(0, count)
    rows = [list(range(count))[of(rank, 3).share(count)] for rank in range(3)]
    assert [row for some in rows for row in some] == list(range(count))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_a_batch_must_go_round() -> None:
    of(0, 4).check(replace(SMALL, batch="4@0,8@100"))
    with pytest.raises(InputError, match=r"4 processes need at least 4 faces.*--batch 4"):
        of(0, 4).check(replace(SMALL, batch="8@0,3@100"))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if torchrun had started two processes, of which this is one."""
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


def test_one_process_is_alone() -> None:
    together, device = join(CPU)
    assert (together.rank, together.world) == (0, 1) and device == CPU


@pytest.mark.usefixtures("launched")
def test_what_several_processes_need(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Device("cuda", "bf16", 4, 8_000_000_000, "test")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(MachineError, match=r"2 processes on this machine, and 1 GPUs"):
        join(gpu)
    with pytest.raises(MachineError, match="Apple"):
        join(replace(gpu, name="mps"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MachineError, match=r"pip install 'facedouble\[distributed\]'"):
        join(CPU)


@pytest.mark.usefixtures("launched")
def test_other_commands_do_not_run_many_times_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("doctor") == 1
    assert "only: facedouble train" in capsys.readouterr().err
