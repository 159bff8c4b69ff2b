"""Training is never lost: what comes apart is gone back from, memory that runs out and a full disk are coped with."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import InputError, MachineError, ModelError, OutputError
from facedouble.events import Metric, Note
from facedouble.learn import checkpoint, data
from facedouble.learn.health import Physician
from facedouble.learn.iris import UNKNOWN
from facedouble.learn.learner import Learner, shares
from facedouble.learn.losses import FaceLoss
from facedouble.learn.score import Judge, Score
from facedouble.recipes import TrainRecipe, Until
from support import CPU, SMALL, run, step_of_a_second

PLACE = torch.device("cpu")


def trained(
    sets: dict[str, FaceSet], model: Path, steps: int, recipe: TrainRecipe = SMALL
) -> tuple[list[Any], checkpoint.State]:
    """The events of training until `steps` in all, and how far it came."""
    events, _ = run(stages.train(sets, model, recipe, Until(steps=steps), CPU, lambda: False))
    return events, checkpoint.load(model, PLACE)[2]


def warnings(events: list[Any]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note) and event.warning]


def around_feed(patch: pytest.MonkeyPatch, change: Callable[[int, Any], Any]) -> None:
    """Every batch goes through `change(faces, batch)`."""
    whole = data.Feed.__call__

    def feed(self: data.Feed, faces: int, generator: torch.Generator) -> Any:
        return change(faces, whole(self, faces, generator))

    patch.setattr(data.Feed, "__call__", feed)


def spoilt(patch: pytest.MonkeyPatch, steps: set[int] | range) -> None:
    """The batches of these steps, counted from 0 over all that is run, hold what is no number."""
    count = itertools.count()
    around_feed(
        patch,
        lambda _, shown: shown._replace(target=shown.target * (math.nan if next(count) // 2 in steps else 1.0)),
    )


@pytest.mark.parametrize("begun", [pytest.param(0, marks=pytest.mark.slow), 10])
def test_a_loss_that_is_no_number_is_gone_back_from(
    sets: dict[str, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: int
) -> None:
    if begun:
        trained(sets, tmp_path / "m", begun)
    spoilt(monkeypatch, {3})
    events, state = trained(sets, tmp_path / "m", 30)
    place = f"step {begun}" if begun else "the start"
    assert f"before step 25: going on from {place} with half the learning rate, 0.00075" in "".join(warnings(events))
    assert (state.step, state.rate) == (30, 0.5)
    network, _, _ = checkpoint.load(tmp_path / "m", PLACE)
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())
    assert trained(sets, tmp_path / "m", 31)[1].rate == 0.5


def test_weights_that_are_no_numbers_are_not_saved(
    sets: dict[str, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(sets, tmp_path / "m", 10)
    spoilt(monkeypatch, {1})  # noticed only where it would be saved, after the twelfth step
    events, state = trained(sets, tmp_path / "m", 12)
    assert "the weights stopped being numbers before step 12" in "".join(warnings(events))
    assert (state.step, state.rate) == (12, 0.5)


def test_it_gives_up_after_a_few_setbacks_in_a_row(
    sets: dict[str, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(sets, tmp_path / "m", 10)
    kept = checkpoint.weights_sha256(tmp_path / "m")
    with monkeypatch.context() as patch:
        spoilt(patch, range(10_000))
        with pytest.raises(ModelError, match=r"came apart 5 times in a row.*The last checkpoint is unharmed"):
            trained(sets, tmp_path / "m", 12)
    assert checkpoint.weights_sha256(tmp_path / "m") == kept
    state = trained(sets, tmp_path / "m", 12)[1]
    assert (state.step, state.rate) == (12, 1 / 16)  # what was learned of the rate is not forgotten


def test_a_score_that_falls_far_is_gone_back_from(
    sets: dict[str, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, wrecked = Learner.follow, []

    def follow(self: Learner, step: int, decay: float) -> None:
        whole(self, step, decay)
        if step == 70 and not wrecked:
            wrecked.append(step)
            for weight in [*self.network.parameters(), *self.average.parameters()]:
                weight.data.neg_()

    monkeypatch.setattr(Learner, "follow", follow)
    step_of_a_second(monkeypatch)
    recipe = replace(SMALL, score_every_s=20, save_every_s=20)
    events, state = trained(sets, tmp_path / "m", 100, recipe)
    assert re.search(r"the held-out score fell by \d.* dB before step \d+: going on from", "".join(warnings(events)))
    scores = [entry["a"] + entry["b"] for entry in state.history]
    assert state.rate == 0.5 and scores[-1] > max(scores) - 1


def test_the_newest_two_and_the_best_checkpoint_are_kept(
    sets: dict[str, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter([20.0, 22.0, 21.0, 21.5, 20.5])  # after steps 1 to 5, a run each
    monkeypatch.setattr(Judge, "__call__", lambda self, network: Score(next(given), 20.0, 1.0, 1.0, 20.0, 20.0))
    monkeypatch.setattr(Physician, "__call__", lambda *_: None)  # where the swap is not looked at, the score decides
    for step in range(1, 6):
        trained(sets, tmp_path / "m", step)
    assert [int(folder.name) for folder in checkpoint.checkpoints(tmp_path / "m")] == [2, 4, 5]
    assert checkpoint.best(tmp_path / "m").name == "00000002"
    assert not [path for path in (tmp_path / "m" / "checkpoints").iterdir() if path.name.startswith(".")]


def fits_at_most(patch: pytest.MonkeyPatch, faces: int) -> None:
    """Steps that compute more than `faces` of a side at once use up the memory."""

    def change(count: int, batch: Any) -> Any:
        if count > faces:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return batch

    around_feed(patch, change)


def test_out_of_memory_makes_the_parts_smaller_and_goes_on(
    sets: dict[str, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits_at_most(monkeypatch, 3)
    recipe = replace(SMALL, batch=8)
    events, state = trained(sets, tmp_path / "m", 3, recipe)
    assert re.findall(r"each batch of 8 is computed in (\d) parts", " ".join(warnings(events))) == ["2", "4"]
    assert (state.step, state.parts) == (3, 4)
    assert not warnings(trained(sets, tmp_path / "m", 4, recipe)[0])  # it knows by now
    fits_at_most(monkeypatch, 0)
    with pytest.raises(MachineError, match=r"a single face of 32 px.*Choose a smaller --preset"):
        trained(sets, tmp_path / "m", 5, recipe)


def test_other_errors_of_torch_are_not_taken_for_full_memory(
    sets: dict[str, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(*_: Any) -> Any:
        raise RuntimeError("shapes do not match")

    around_feed(monkeypatch, change)
    with pytest.raises(RuntimeError, match="do not match"):
        trained(sets, tmp_path / "m", 5)


def test_a_full_disk_stops_training_and_keeps_the_checkpoint_before(
    sets: dict[str, FaceSet], tmp_path: Path, mounted: Callable[[str], Path]
) -> None:
    model = mounted("size=9m") / "m"  # a checkpoint of this model takes about 3 MB, and two are kept beside a new one
    recipe = replace(SMALL, latent=256)
    step = 0
    with pytest.raises(OutputError, match=r"checkpoints.*the disk is full. Free some space"):
        for step in range(1, 9):
            trained(sets, model, step, recipe)
    kept = checkpoint.checkpoints(model)
    assert step > 1 and int(kept[-1].name) == step - 1
    assert not [path for path in (model / "checkpoints").iterdir() if path not in kept]
    assert checkpoint.load(model, PLACE)[2].step == step - 1


def test_a_batch_in_parts_is_the_same_step(sets: dict[str, FaceSet]) -> None:
    faces = {side: data.load(sets[side], SMALL) for side in "ab"}
    loss_of = FaceLoss(32, structure=True, device=PLACE)
    fixed = {side: data.Feed(faces[side], SMALL, PLACE)(6, torch.Generator().manual_seed(3)) for side in "ab"}

    def dealt(side: str) -> Callable[[int, torch.Generator], Any]:
        seen, target, masks = fixed[side]
        given = itertools.count()

        def feed(count: int, _: torch.Generator) -> Any:
            rows = [next(given) for _ in range(count)]
            keep = torch.ones(count, 1)
            shown = data.Seen(seen.pictures[rows], seen.acting[rows], seen.drawing[rows], keep)
            return data.Shown(shown, target[rows], masks[rows])

        return feed

    gradients = []
    for parts in (1, 4):
        learner = Learner.new(SMALL, PLACE, faces, UNKNOWN)
        learner.network.eval()  # the running statistics of codes are of a part, not of the batch
        feeds: Any = {side: dealt(side) for side in "ab"}
        learner.step(feeds, loss_of, 6, parts, 0.0, False)
        found = [weight.grad for weight in learner.network.parameters() if weight.grad is not None]
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))
    assert float(torch.cosine_similarity(*gradients, dim=0)) > 0.99
    assert float(gradients[1].norm() / gradients[0].norm()) == pytest.approx(1, abs=0.05)
    assert shares(6, 4) == [2, 2, 1, 1] and shares(2, 5) == [1, 1]


def losses(events: list[Any]) -> list[float]:
    return [event.value for event in events if isinstance(event, Metric) and event.name == "loss"]


def test_the_loss_curve_goes_on_where_it_stopped(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    recipe = replace(SMALL, optimizer="adam", learning_rate=1e-3, batch="4@0,6@5", accumulate=2, score_every_s=0)
    through = losses(trained(sets, tmp_path / "through", 12, recipe)[0])
    first = losses(trained(sets, tmp_path / "halved", 7, recipe)[0])
    second = losses(trained(sets, tmp_path / "halved", 12, recipe)[0])
    assert (len(first), len(second)) == (7, 5)
    np.testing.assert_allclose([*first, *second], through, rtol=1e-5)


def test_the_score_does_not_jump_where_the_batch_does(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    recipe = replace(SMALL, batch="4@0,32@20", optimizer="adam", learning_rate=1e-4, score_every_s=0)
    history = trained(sets, tmp_path / "m", 28, recipe)[1].history
    change = np.abs(np.diff([entry["a"] + entry["b"] for entry in history])) / 2
    assert len(change) == 27
    assert 0 < change.max() < 0.2


def test_the_batch_may_change_when_training_goes_on(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    first = trained(sets, tmp_path / "m", 60)[1].history[-1]
    last = trained(sets, tmp_path / "m", 62, replace(SMALL, batch=32))[1].history[-1]
    assert abs(last["a"] - first["a"]) < 0.5 and abs(last["b"] - first["b"]) < 0.5
    assert checkpoint.read_model(tmp_path / "m").recipe.batch == 32


def test_a_schedule_of_batches() -> None:
    recipe = replace(SMALL, batch="8@0,16@2000,64@8000")
    assert [recipe.batch_at(step) for step in (0, 1999, 2000, 7999, 8000, 10**9)] == [8, 8, 16, 16, 64, 64]
    for text in ("8@1", "8@0,16", "8@0,16@0", "a", "8@0,16@100,4@50", "", "-3", "0@0", "8@0,0@5"):
        with pytest.raises(InputError, match="batch"):
            replace(SMALL, batch=text)
