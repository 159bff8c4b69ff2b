"""A new model that begins with what an earlier one knows."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import ConsentError, ModelError
from facedouble.learn import checkpoint, start
from facedouble.learn.model import Network
from facedouble.provenance import consent, ledger
from facedouble.provenance.ledger import Revocation
from facedouble.recipes import TrainRecipe, Until
from facedouble.stages.opening import Opened
from support import CPU, SMALL, consent_of, run

RECIPE = replace(SMALL, score_every_s=600)
PLACE = torch.device("cpu")


def train(sets: dict[str, FaceSet], model: Path, steps: int, earlier: Path | None = None, **changes: object) -> None:
    recipe = replace(RECIPE, **changes)  # type: ignore[arg-type]
    run(stages.train(sets, model, recipe, Until(steps=steps), CPU, lambda: False, earlier))


def footage(faces: FaceSet) -> set[str]:
    return {source.sha256 for source in faces.sources}


def test_what_is_taken(model: Path, sets: dict[str, FaceSet]) -> None:
    """Nobody's own measures; a decoder only of who was learned from the same footage."""
    parts = start.of_earlier(model, {"a": {"other"}, "b": footage(sets["b"])}, SMALL)
    assert {name.split(".")[0] for name in parts} == {"encoder", "reader", "share", "decoders"}
    assert {name.split(".")[1] for name in parts if name.startswith("decoders")} == {"b"}
    assert {name.split(".")[1] for name in parts if name.startswith("share")} == {"acting"}
    finer = start.of_earlier(model, {side: footage(sets[side]) for side in "ab"}, replace(SMALL, size_px=64))
    assert not any(name.startswith("decoders.a.spread.0") for name in finer)  # of another shape
    with pytest.raises(ModelError, match="--widths"):
        start.of_earlier(model, {"a": set(), "b": set()}, replace(SMALL, widths=(24, 32, 48)))


def test_it_begins_with_them_and_says_so(model: Path, sets: dict[str, FaceSet], tmp_path: Path) -> None:
    new = tmp_path / "new"
    train(sets, new, 1, model, learning_rate=1e-6)
    before, after = (checkpoint.load(folder, PLACE)[0].state_dict() for folder in (model, new))
    for name, value in before.items():
        if name.startswith(("encoder", "decoders")):
            assert torch.allclose(value, after[name], atol=1e-4), name
    record = checkpoint.read_model(new)
    assert record.begun_from == {"path": str(model.resolve()), "sha256": checkpoint.weights_sha256(model)}
    assert record.earlier == ()  # the same two people

    train(sets, new, 2)  # it goes on without the earlier one's name
    assert checkpoint.read_model(new).begun_from == record.begun_from
    with pytest.raises(ModelError, match="--from"):
        train(sets, new, 3, tmp_path / "another")
    with pytest.raises(ModelError, match="--from"):
        train(sets, model, 30, new)


def test_stopped_before_its_first_checkpoint(model: Path, sets: dict[str, FaceSet], tmp_path: Path) -> None:
    new = tmp_path / "new"
    run(stages.train(sets, new, RECIPE, Until(steps=5), CPU, lambda: True, model))
    assert not checkpoint.checkpoints(new)
    train(sets, new, 1, learning_rate=1e-6)
    before, after = (checkpoint.load(folder, PLACE)[0].encoder.state_dict() for folder in (model, new))
    assert all(torch.allclose(value, after[name], atol=1e-4) for name, value in before.items())


def test_consents_of_those_it_learned_from_count(
    model: Path, sets: dict[str, FaceSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the earlier model's people too, and through a further model."""
    monkeypatch.setenv("FACEDOUBLE_CONFIG", str(tmp_path / "config"))  # as something is revoked in it
    second, third = tmp_path / "second", tmp_path / "third"
    others = {side: replace(sets[side], consent=consent_of(f"other {side}")) for side in "ab"}
    train(others, second, 1, model)
    train(others, third, 1, second)
    first = {record.id for record in checkpoint.read_model(model).consents.values()}
    assert {record.id for record in checkpoint.read_model(third).earlier} == first
    Opened.of(third, CPU, "newest")
    gone = checkpoint.read_model(model).consents["b"]
    ledger.revoke(Revocation(gone.id, gone.person, dt.date(2026, 11, 24)))
    with pytest.raises(ConsentError, match="revoked"):
        Opened.of(third, CPU, "newest")
    with pytest.raises(ConsentError, match="revoked"):
        train(others, tmp_path / "fourth", 1, third)
    assert not (tmp_path / "fourth").exists()
    assert consent.load(third / "consent.toml")[0].person == "other a"


COMPACT = TrainRecipe(occlusion_steps=0, skin_faces=0, feature_faces=0, usual_faces=0, score_every_s=600)


def test_what_comes_with_the_package_fits_compact_and_standard_alone() -> None:
    network = Network(COMPACT).state_dict()
    weights = start.bundled(COMPACT)
    assert {name.split(".")[0] for name in weights} == {"encoder", "reader", "share", "decoders"}
    assert all(network[name].shape == value.shape for name, value in weights.items())
    assert torch.equal(weights["decoders.a.picture.1.weight"], weights["decoders.b.picture.1.weight"])
    finer = start.bundled(TrainRecipe.of("standard"))
    assert "decoders.b.spread.0.weight" in finer and "decoders.b.picture.1.weight" not in finer
    for preset in ("classic", "small", "large"):
        assert not start.bundled(TrainRecipe.of(preset))


@pytest.mark.slow
def test_a_new_model_begins_with_it_unless_told_not_to(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    scores = {}
    for name, begin in (("bundled", None), ("scratch", "scratch")):
        run(stages.train(sets, tmp_path / name, COMPACT, Until(steps=12), CPU, lambda: False, begin))
        record, state = checkpoint.read_model(tmp_path / name), checkpoint.load(tmp_path / name, PLACE)[2]
        assert (record.begun_from or {}).get("path") == (None if begin else "bundled")
        scores[name] = state.history[-1]["a"] + state.history[-1]["b"]
    assert scores["bundled"] > scores["scratch"] + 3
    with pytest.raises(ModelError, match="--from scratch"):
        run(stages.train(sets, tmp_path / "scratch", COMPACT, Until(steps=13), CPU, lambda: False, "bundled"))


def test_what_is_bundled_does_not_move_chance(sets: dict[str, FaceSet]) -> None:
    torch.manual_seed(3)
    first = torch.rand(3)
    torch.manual_seed(3)
    start.bundled(COMPACT)
    assert torch.equal(torch.rand(3), first)
