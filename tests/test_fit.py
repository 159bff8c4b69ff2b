"""Under- and overfitting are named when they happen, and the swap itself is looked at while it is learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import MachineError, ModelError
from facedouble.events import Note
from facedouble.faces import Faces
from facedouble.find.identity import mean_embedding
from facedouble.learn import checkpoint, data, health
from facedouble.learn.fit import distinct, findings
from facedouble.learn.forecast import Forecast
from facedouble.learn.health import Health, Physician
from facedouble.learn.model import Network, Seen
from facedouble.recipes import Until
from support import CPU, SMALL, run, step_of_a_second

PLACE = torch.device("cpu")
MANY = {"a": 500, "b": 500}


def history(held: Sequence[float], seen: Sequence[float], floor: float = 20.0) -> list[dict[str, float]]:
    """Side A as given, and B learning well, scored every 500 steps."""
    well = np.linspace(25, 33, len(held))
    return [
        {"step": 500 * (place + 1), "seconds": 60.0 * (place + 1), "loss": 0.1, "a": a, "seen_a": seen_a, "b": b,
         "seen_b": b + 2, "floor_a": floor, "floor_b": floor}
        for place, (a, seen_a, b) in enumerate(zip(held, seen, well, strict=True))
    ]  # fmt: skip


def found(entries: list[dict[str, float]], variety: dict[str, int] = MANY) -> list[tuple[str, str]]:
    return [(one.kind, one.side) for one in findings(entries, Forecast.of(entries), variety)]


def test_what_learns_well_is_not_complained_of() -> None:
    curve = 33 - 8 * np.exp(-np.arange(20) / 6)
    assert found(history(curve, curve + 2)) == []
    assert found(history(curve, curve + 4)) == []  # what it learned from is always rebuilt better


def test_chance_is_no_overfitting() -> None:
    chance = 0.05 * np.random.default_rng(1).standard_normal(30)
    assert found(history(31 + chance, 33 + 0.01 * np.arange(30))) == []


def test_held_out_faces_that_get_worse_are_overfitting() -> None:
    held = [25, 28, 29.5, 30, 30.1, 30.0, 29.8, 29.6]
    seen = [26, 30, 32, 33, 34, 35, 36, 37]
    assert found(history(held[:5], seen[:5])) == []
    assert found(history(held, seen)) == [("overfitting", "a")]
    text = findings(history(held, seen), None, {"a": 12, "b": 500})[0].text
    assert "A's faces are learned by heart" in text and "Only 12 of them are distinct" in text and "29.6 dB" in text
    assert "smaller preset" in findings(history(held, seen), None, MANY)[0].text


def test_both_getting_worse_is_no_overfitting() -> None:
    falling = [30, 30.5, 30.4, 30.2, 30.0, 29.8]
    assert found(history(falling, [value + 1 for value in falling])) == []


def test_held_out_faces_left_far_behind_are_overfitting() -> None:
    held = [25, 27, *[28.0] * 12]
    assert found(history(held, [value + 7 for value in held])) == [("overfitting", "a")]
    rising = np.linspace(25, 30, 14)
    assert found(history(rising, rising + 7)) == []  # as long as they gain, all is well


def test_faces_it_learned_from_that_stay_bad_are_underfitting() -> None:
    held = [22, 23, *[24 + 0.01 * (-1) ** place for place in range(20)]]
    entries = history(held, [value + 0.3 for value in held])
    for entry in entries:
        entry["b"], entry["seen_b"] = 30.0, 31.0  # it has learned B
    assert found(entries) == [("underfitting", "a")]
    assert "larger preset" in findings(entries, Forecast.of(entries), MANY)[0].text
    assert found(entries[:5]) == []  # too early to say


def test_a_model_of_an_earlier_version_has_no_such_history() -> None:
    old = [
        {name: value for name, value in entry.items() if "seen" not in name} for entry in history([30] * 9, [30] * 9)
    ]
    assert findings(old, None, MANY) == []


def test_near_duplicates_are_not_distinct(faces_a: FaceSet) -> None:
    faces = data.load(faces_a, SMALL)
    doubled = faces[np.array([0, 0, 0, 20, 20, 39])]
    assert distinct(doubled) == 3
    assert 5 < distinct(faces) <= 40


@pytest.mark.slow
def test_a_dozen_near_duplicates_are_learned_by_heart(
    faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a second of film is learned from, another moment held out."""
    monkeypatch.setattr(data, "split", lambda source: (np.arange(12), np.arange(30, 40)))
    step_of_a_second(monkeypatch)
    recipe = replace(SMALL, batch=12, score_every_s=25, save_every_s=1e9, bent=0.0, warp=0.0, colour_jitter=0.0)
    sets, said = {"a": faces_a, "b": faces_b}, []
    for event in stages.train(sets, tmp_path / "m", recipe, Until(steps=600), CPU, lambda: bool(said)):
        if isinstance(event, Note) and event.warning:
            said.append(event.text)
    assert all(text.startswith("overfitting") and "distinct: add more varied" in text for text in said)
    assert 1 <= len(said) <= 2  # once for each side
    assert 100 < checkpoint.load(tmp_path / "m", PLACE)[2].step < 600


# --- the swap's own health ------------------------------------------------------------------------------------------


@pytest.fixture
def physician(faces_a: FaceSet, faces_b: FaceSet) -> Physician:
    recipe = replace(SMALL, size_px=96)
    held = {"a": data.load(faces_a, recipe), "b": data.load(faces_b, recipe)}
    identity = {side: mean_embedding(faces.faces.embedding) for side, faces in (("a", faces_a), ("b", faces_b))}
    return Physician(held, identity, PLACE)


class Answers(Network):
    """Gives what it was told to, whatever it is shown."""

    def __init__(self, change: object) -> None:
        super().__init__(replace(SMALL, size_px=96))
        self.change = change

    def rebuild(self, seen: Seen, of: str, by: str) -> torch.Tensor:
        pictures = self.change(seen.pictures) if callable(self.change) else self.change
        assert isinstance(pictures, torch.Tensor)
        return torch.cat([pictures, torch.ones(len(pictures), 1, 96, 96)], 1)


def test_a_swap_that_shows_a_is_like_a_and_acts_like_her(physician: Physician) -> None:
    same = physician(Answers(lambda pictures: pictures))
    assert same is not None and same.found == 1
    assert same.likeness == pytest.approx(0, abs=0.01)
    assert same.pose_error < 0.1 and same.expression > 0.99
    assert same.overall < 0.05  # all in order but that it is not B


def test_a_swap_that_shows_b_is_like_b_and_acts_like_herself(faces_b: FaceSet, physician: Physician) -> None:
    b = data.load(faces_b, replace(SMALL, size_px=96))
    rows = np.linspace(0, 39, 10).round().astype(np.int64)[::-1].copy()
    other = physician(Answers(b[rows].centred(PLACE)[0].pictures))
    assert other is not None and other.likeness > 0.9 and other.to_b < other.to_a
    assert other.pose_error > 3 or other.expression < 0.8
    assert set(other.entry()) >= {"health", "swap_to_b", "swap_pose_error", "swap_expression", "swap_found"}


def test_a_swap_without_a_face_has_no_health(physician: Physician) -> None:
    none = physician(Answers(lambda pictures: torch.full_like(pictures, 0.5)))
    assert none is not None and none.overall == 0 and none.entry() == {"health": 0.0, "swap_found": 0.0}
    assert none.text() == "no face to be found in the swap yet"


def test_it_does_not_look_more_than_a_twentieth_of_the_time(
    physician: Physician, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: now[0])

    def look(self: Physician, network: Network) -> Health:
        now[0] += 2.0
        return Health(0.4, 0.6, 1.0, 0.9, 1.0, 0.8)

    monkeypatch.setattr(Physician, "_look", look)
    network, looked = Network(SMALL), []
    for second in range(0, 200, 5):
        now[0] = max(now[0], float(second))
        looked.append(physician(network) is not None)
    assert 3 <= sum(looked) <= 5 and looked[0]


def test_training_goes_on_where_the_face_finder_cannot_run(
    faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(**_: object) -> None:
        raise MachineError("missing system libraries: libEGL.so.1")

    monkeypatch.setattr(health, "Landmarker", missing)
    sets = {"a": faces_a, "b": faces_b}
    events, _ = run(stages.train(sets, tmp_path / "m", SMALL, Until(steps=2), CPU, lambda: False))
    said = [event.text for event in events if isinstance(event, Note) and event.warning]
    assert said == ["the swap is not looked at while it is learned: missing system libraries: libEGL.so.1"]
    last = checkpoint.load(tmp_path / "m", PLACE)[2].history[-1]
    assert last["step"] == 2 and "health" not in last


def test_pictures_too_small_for_the_face_finder_are_no_bad_health(
    faces_a: FaceSet, faces_b: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"a": data.load(faces_a, SMALL), "b": data.load(faces_b, SMALL)}
    monkeypatch.setattr(health, "_find", lambda pictures: [Faces.empty() for _ in pictures])
    assert Physician(held, dict.fromkeys("ab", np.zeros(128, np.float32)), PLACE)(Network(SMALL)) is None


def test_the_best_checkpoint_is_the_healthiest_and_can_be_converted_with(
    faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter([0.4, 0.3, 0.1, 0.2])  # after steps 1 to 4, a run each, while the score rises
    monkeypatch.setattr(Physician, "__call__", lambda *_: Health(0.5, 0.6, 1.0, next(given), 1.0, 1.0))
    model, sets, events = tmp_path / "m", {"a": faces_a, "b": faces_b}, []
    for step in range(1, 5):
        events, _ = run(stages.train(sets, model, SMALL, Until(steps=step), CPU, lambda: False))
    assert any(
        "healthier by 0.15 at step 1: convert it with --checkpoint best" in getattr(e, "text", "") for e in events
    )
    assert [int(folder.name) for folder in checkpoint.checkpoints(model)] == [1, 3, 4]
    assert checkpoint.best(model).name == "00000001"
    for which, step in (("newest", 4), ("best", 1), ("3", 3)):
        assert checkpoint.load(model, PLACE, which)[2].step == step
    assert checkpoint.weights_sha256(model, "best") != checkpoint.weights_sha256(model)
    for which in ("2", "worst", ""):
        with pytest.raises(ModelError, match=r"no checkpoint .* best, or one of the steps 1, 3, 4"):
            checkpoint.load(model, PLACE, which)
