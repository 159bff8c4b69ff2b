"""Where the score is going: known decays are foretold, noise is not taken for progress, and it is said in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import MachineError
from facedouble.events import Metric, Note, Preview
from facedouble.learn import chart
from facedouble.learn.forecast import Forecast, sparkline
from facedouble.recipes import Until
from support import CPU, SMALL, run

STEP_S = 0.2


def history(error: Any, count: int = 20, noise: float = 0.003, seed: int = 1) -> list[dict[str, float]]:
    """A score every 300 steps, where `error` gives the error after so many steps."""
    rng = np.random.default_rng(seed)
    steps = 300 * np.arange(1, count + 1)
    scores = -20 * np.log10(error(steps) * (1 + noise * rng.standard_normal(count)))
    return [
        {"step": int(step), "seconds": STEP_S * step, "loss": 0.1, "a": score + 1, "b": score - 1, "floor_a": 20.0,
         "floor_b": 19.0, "seen_a": score + 2, "seen_b": score, "health": 0.5, "swap_likeness": 0.6}
        for step, score in zip(steps, scores, strict=True)
    ]  # fmt: skip


def falling(steps: Any, lasting: float = 4000) -> Any:
    return 0.03 + 0.06 * np.exp(-steps / lasting)


def db(error: float) -> float:
    return float(-20 * np.log10(error))


def forecast(entries: list[dict[str, float]]) -> Forecast:
    found = Forecast.of(entries)
    assert found is not None
    return found


def test_a_decay_is_foretold_at_least_as_often_as_it_says() -> None:
    inside, off = [], []
    for seed in range(60):
        lasting = 1500 + 50 * seed
        found = forecast(history(lambda steps: falling(steps, lasting), noise=0.01, seed=seed))  # noqa: B023
        low, middle, high = found.score(6000 * STEP_S)
        inside.append(low <= db(falling(12_000, lasting)) <= high)
        off.append(abs(middle - db(falling(12_000, lasting))))
    assert np.mean(inside) >= 0.8
    assert np.median(off) < 0.25


def test_the_time_to_a_lower_error_is_that_of_the_decay() -> None:
    found = forecast(history(falling, count=30, noise=0.002))
    now = falling(9000)
    for part in (0.05, 0.01):
        true_s = -4000 * np.log(((1 - part) * now - 0.03) / (now - 0.03)) * STEP_S
        soonest, about, latest = found.time_to(part)
        assert soonest <= about <= latest
        assert about == pytest.approx(true_s, rel=0.15)
    assert found.time_to(0.9)[0] == np.inf  # far below what it falls to


def test_the_more_is_known_the_narrower_is_the_forecast() -> None:
    wide, narrow = (forecast(history(falling, count, noise=0.01)).gain(600) for count in (10, 60))
    assert narrow[2] - narrow[0] < 0.5 * (wide[2] - wide[0])


def test_what_goes_on_falling_is_told_to_go_on() -> None:
    found = forecast(history(falling, 10))
    assert not found.over
    assert found.text().startswith("go on: 5% less error in about ")


@pytest.mark.parametrize("seed", range(5))
def test_an_error_that_stays_is_told_to_stop(seed: int) -> None:
    found = forecast(history(lambda steps: 0.03 + 0 * steps, seed=seed))
    assert found.over and found.text() == "stop here: as long again would not make the error 1% less"


def test_an_error_that_rises_is_told_to_stop() -> None:
    assert forecast(history(lambda steps: 0.03 + 1e-6 * steps)).over


def test_between_both_it_is_told_what_the_time_left_brings() -> None:
    text = forecast(history(lambda steps: falling(steps, 2500), 36)).text(600)
    assert text.startswith("10 minutes more bring about +0.") and "1% less error in about" in text


def test_little_is_no_ground_for_a_forecast() -> None:
    assert Forecast.of([]) is None
    assert Forecast.of(history(falling, 6)) is None


def test_a_chart_shows_it(tmp_path: Path) -> None:
    for count in (1, 3, 20):
        entries = history(falling, count)
        chart.write(tmp_path / "progress.png", entries, Forecast.of(entries))
        with Image.open(tmp_path / "progress.png") as picture:
            assert picture.size == (900, 1000)
            assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20
    assert [path.name for path in tmp_path.iterdir()] == ["progress.png"]


def test_a_curve_in_a_line_of_text() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert len(sparkline(list(range(1000)))) == 40
    assert sparkline([3.0]) == "▁" and sparkline([]) == ""


def test_training_ends_at_a_plateau_and_draws_its_curve(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    from dataclasses import replace

    recipe = replace(SMALL, learning_rate=1e-12, score_every_s=0)  # learns nothing, so its score stays
    events, _ = run(stages.train(sets, tmp_path / "m", recipe, Until(steps=100, plateau=True), CPU, lambda: False))
    said = [event.text for event in events if isinstance(event, Note)]
    assert any("a plateau: as long again would not" in text for text in said)
    assert "held-out faces: " in said[-1] and "progress.png" in said[-1]
    assert (tmp_path / "m" / "progress.png").is_file()
    again, _ = run(stages.train(sets, tmp_path / "m", recipe, Until(steps=100, plateau=True), CPU, lambda: False))
    assert not any(isinstance(event, Preview) for event in again)  # it knows from its history


def test_tensorboard_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facedouble.board import Board

    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MachineError, match=r"pip install 'facedouble\[tensorboard\]'"):
        Board(tmp_path / "tensorboard")
    assert not (tmp_path / "tensorboard").exists()


def test_tensorboard_gets_curves_and_previews(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    # In a process of its own: what it imports warns of things that are not ours.
    code = f"""
import numpy as np
from pathlib import Path
from facedouble.board import Board
from facedouble.events import Metric, Preview
board = Board(Path({str(tmp_path)!r}))
board(Metric(5, "loss", 0.25))
board(Preview(5, np.zeros((8, 8, 3), np.uint8)))
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
read = EventAccumulator({str(tmp_path)!r})
read.Reload()
print([(event.step, event.value) for event in read.Scalars("loss")], [image.step for image in read.Images("preview")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[(5, 0.25)] [5]"


def test_a_score_is_told_as_metrics_of_its_step(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    events, _ = run(stages.train(sets, tmp_path / "m", SMALL, Until(steps=2), CPU, lambda: False))
    metrics = {event.name: event for event in events if isinstance(event, Metric)}
    assert {"loss", "a", "b", "floor_a", "floor_b"} <= set(metrics)
    assert {metric.step for metric in metrics.values()} == {2}
