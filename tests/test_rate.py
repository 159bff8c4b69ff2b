"""A new model's learning rate is found on its own faces, and nothing else changes by that."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.events import Note, Progress
from facedouble.learn import checkpoint, data, rate
from facedouble.recipes import TrainRecipe, Until
from support import CPU, SMALL, command, run


def trained(sets: dict[str, FaceSet], model: Path, steps: int, recipe: TrainRecipe, find: bool) -> list[str]:
    """What was said meanwhile."""
    events, _ = run(stages.train(sets, model, recipe, Until(steps=steps), CPU, lambda: False, find_rate=find))
    return [event.text for event in events if isinstance(event, Note)]


def curve(first: float, last: float) -> Any:
    """Losses with noise that fall from 1.1 until the rate `first`, stay, and rise steeply from `last` on."""
    rates = np.geomspace(1e-6, 0.1, 100)
    decades = np.log10(rates)
    losses = np.interp(decades, [-6, *np.log10([first, last, 2 * last])], [1.1, 0.6, 0.6, 1.9])
    return np.stack([rates, losses + 0.03 * np.random.default_rng(1).standard_normal(100)], 1)


@pytest.mark.parametrize(("first", "last"), [(1e-4, 1e-3), (1e-3, 1e-3), (1e-4, 1e-2)])
def test_the_rate_is_half_of_where_it_begins_to_come_apart(first: float, last: float) -> None:
    found = rate.proposed(curve(first, last))
    assert found == pytest.approx(last / 2, rel=0.4)
    assert found == float(f"{found:.1e}")


def test_where_nothing_is_learned_no_rate_is_proposed() -> None:
    flat = curve(1e-3, 1e-2)
    flat[:, 1] = 1.1
    assert rate.proposed(flat) is None
    assert rate.proposed(np.empty((0, 2))) is None


@pytest.mark.slow
def test_it_ends_where_training_comes_apart(sets: dict[str, FaceSet]) -> None:
    events, found = run(rate.find(sets, SMALL, CPU, lambda: False))
    assert all(isinstance(event, Progress) and event.stage == "finding the learning rate" for event in events)
    assert events[-1].done == events[-1].total
    smooth = rate.smoothed(found[:, 1])
    assert smooth.min() < 0.95 * smooth[0]
    assert 1e-4 < rate.proposed(found) < 0.05
    again = run(rate.find(sets, SMALL, CPU, lambda: False))[1]
    np.testing.assert_allclose(again, found, rtol=1e-4)


@pytest.mark.slow
def test_training_is_as_with_that_rate_given(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    said = trained(sets, tmp_path / "found", 4, SMALL, find=True)
    chosen = checkpoint.read_model(tmp_path / "found").recipe.learning_rate
    assert chosen != SMALL.learning_rate
    assert any(text.startswith(f"learning rate {chosen:.2g}, found by a range test") for text in said)
    assert (tmp_path / "found" / rate.CHART).read_bytes().startswith(b"\x89PNG")
    trained(sets, tmp_path / "given", 4, replace(SMALL, learning_rate=chosen), find=False)
    found, given = (checkpoint.load(tmp_path / name, torch.device("cpu"))[0] for name in ("found", "given"))
    for name, tensor in found.state_dict().items():
        torch.testing.assert_close(tensor, given.state_dict()[name], rtol=0, atol=1e-6)


def test_a_model_that_is_there_keeps_its_rate(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    trained(sets, tmp_path / "m", 2, replace(SMALL, learning_rate=2e-4), find=False)
    said = trained(sets, tmp_path / "m", 3, SMALL, find=True)
    assert any("its learning rate is chosen already, 0.0002" in text for text in said)
    assert checkpoint.read_model(tmp_path / "m").recipe.learning_rate == 2e-4
    assert not (tmp_path / "m" / rate.CHART).exists()


def test_stopped_it_leaves_nothing(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    asked = itertools.count()
    stage = stages.train(sets, tmp_path / "m", SMALL, Until(steps=5), CPU, lambda: next(asked) >= 10, find_rate=True)
    events, _ = run(stage)
    assert max(event.done for event in events if isinstance(event, Progress)) == 9
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_where_nothing_is_learned_the_presets_rate_stays(
    sets: dict[str, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate, "_HIGHEST", 2e-6)
    said = trained(sets, tmp_path / "m", 1, SMALL, find=True)
    assert any("no learning rate was found to learn at; going on with 0.0015" in text for text in said)
    assert checkpoint.read_model(tmp_path / "m").recipe.learning_rate == SMALL.learning_rate


def test_batches_that_do_not_fit_are_computed_in_parts(
    sets: dict[str, FaceSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = data.Feed.__call__

    def feed(self: data.Feed, count: int, generator: torch.Generator) -> Any:
        if count > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, count, generator)

    monkeypatch.setattr(data.Feed, "__call__", feed)
    monkeypatch.setattr(rate, "_STEPS", 3)
    events, found = run(rate.find(sets, SMALL, CPU, lambda: False))
    assert ["computed in 2 parts" in event.text for event in events if isinstance(event, Note)] == [True]
    assert len(found) == 3


def test_the_command_takes_a_number_or_find(
    sets: dict[str, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    def train(*arguments: Any) -> Iterator[Any]:
        taken.append((arguments[2].learning_rate, arguments[7]))
        return iter(())

    monkeypatch.setattr(stages, "train", train)
    line = ["train", sets["a"].path, sets["b"].path, "-o", tmp_path / "m", "--device", "cpu", "--learning-rate"]
    assert [command(*line, value) for value in ("fast", "2e-4", "find")] == [2, 0, 0]
    assert taken == [(2e-4, False), (TrainRecipe().learning_rate, True)]
