"""Specialists: faces of an angle taught apart, begun from the model of all angles, and drawing where it comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import InputError
from facedouble.events import Note
from facedouble.faces import ACTING
from facedouble.learn import checkpoint, specialists
from facedouble.learn.model import Network, Seen
from facedouble.learn.specialists import Routed
from facedouble.recipes import Until
from facedouble.stages.opening import Opened
from support import CPU, SMALL, run

RECIPE = replace(SMALL, specialists="orientation", score_every_s=600)


def turned(faces: FaceSet, degrees: float) -> FaceSet:
    """The set twice over: as it is, and as if every face were turned so far aside."""
    aside = faces.faces.pose.copy()
    aside[:, 0] = np.radians(degrees)
    twice = np.tile(np.arange(len(faces)), 2)
    both = replace(faces.faces[twice], pose=np.concatenate([faces.faces.pose * 0.1, aside]))
    columns = {name: getattr(faces, name)[twice] for name in ("source", "pts", "sharpness", "transform")}
    return replace(faces, faces=both, crop=[*faces.crop, *faces.crop], **columns)


@pytest.fixture
def sets(faces_a: FaceSet, faces_b: FaceSet) -> dict[str, FaceSet]:
    return {"a": turned(faces_a, 35), "b": turned(faces_b, -35)}


def test_they_hand_over_by_degrees() -> None:
    yaw = np.linspace(-90, 90, 1801)
    parts = specialists.shares(yaw)
    assert np.allclose(parts.sum(1), 1) and (parts >= 0).all()
    assert np.abs(np.diff(parts, axis=0)).max() <= 0.011  # of 1, in a tenth of a degree
    assert np.allclose(specialists.shares(np.array([0.0, -20.0, 35.0, 50.0, 90.0]))[:, 1], [0, 0.5, 1, 0.5, 0])
    assert np.allclose(parts, parts[::-1])  # left as right


def test_a_specialist_is_taught_where_both_sets_have_faces_enough(sets: dict[str, FaceSet], faces_a: FaceSet) -> None:
    assert specialists.taught(sets.values()) == ["frontal", "three-quarter"]
    assert specialists.taught([sets["a"], turned(faces_a, 75)]) == ["frontal"]


def test_each_face_is_drawn_by_the_one_of_its_angle() -> None:
    """And by both where they hand over; by the model where there is no specialist."""
    drawers = [Network(SMALL).eval() for _ in range(3)]
    routed = Routed(drawers[0], {"three-quarter": drawers[1], "side": drawers[2]})
    seen = Seen(torch.rand(4, 3, 32, 32), torch.zeros(4, ACTING), torch.rand(4, 3, 32, 32))
    seen.acting[:, -2] = torch.from_numpy(np.radians([3.0, -35.0, 70.0, 50.0])) / 0.5
    with torch.no_grad():
        answer = routed.rebuild(seen, "a", "b")
        alone = [drawer.rebuild(seen, "a", "b") for drawer in drawers]
    for row in range(3):
        assert torch.allclose(answer[row], alone[row][row], atol=1e-6)
    assert torch.allclose(answer[3], (alone[1][3] + alone[2][3]) / 2, atol=1e-5)


@pytest.mark.slow
def test_they_begin_from_the_model_and_are_converted_with(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    model = tmp_path / "m"
    run(stages.train(sets, model, RECIPE, Until(steps=20), CPU, lambda: False))
    general = checkpoint.load(model, torch.device("cpu"))[2]
    assert general.step == 10  # half of the budget
    opened = Opened.of(model, CPU, "newest")
    assert isinstance(opened.network, Routed) and sorted(opened.network.specialists) == ["frontal", "three-quarter"]
    for expert in opened.network.specialists.values():
        assert torch.equal(expert.shape_offset, opened.network.shape_offset)  # measured on all faces
    assert opened.weights_sha256 != checkpoint.weights_sha256(model)
    assert isinstance(Opened.of(model, CPU, "10").network, Network)

    # The same command once more has nothing to do; a longer one begins them anew, from what the model then is.
    run(stages.train(sets, model, RECIPE, Until(steps=20), CPU, lambda: False))
    assert Opened.of(model, CPU, "newest").weights_sha256 == opened.weights_sha256
    longer, _ = run(stages.train(sets, model, RECIPE, Until(steps=40), CPU, lambda: False))
    said = [event.text for event in longer if isinstance(event, Note)]
    assert sum("begins anew" in text for text in said) == 2
    assert specialists.begun_from(model, "frontal") == 20


@pytest.mark.slow
def test_stopped_among_them_it_goes_on(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    model, looks = tmp_path / "m", iter(range(10_000))
    run(stages.train(sets, model, RECIPE, Until(steps=20), CPU, lambda: next(looks) > 14))
    first = specialists.folder(model, "frontal")
    assert 0 < int(checkpoint.chosen(first, "newest").name) < 5
    assert not specialists.folder(model, "three-quarter").exists()
    run(stages.train(sets, model, RECIPE, Until(steps=20), CPU, lambda: False))
    for name in ("frontal", "three-quarter"):
        assert int(checkpoint.chosen(specialists.folder(model, name), "newest").name) == 5


def test_they_need_a_budget(sets: dict[str, FaceSet], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--minutes"):
        run(stages.train(sets, tmp_path / "m", RECIPE, Until(), CPU, lambda: False))


def test_faces_of_one_angle_need_none(faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path) -> None:
    sets = {"a": turned(faces_a, 75), "b": turned(faces_b, 35)}
    events, _ = run(stages.train(sets, tmp_path / "m", RECIPE, Until(steps=4), CPU, lambda: False))
    assert any(isinstance(event, Note) and "no specialists" in event.text for event in events)
    assert checkpoint.load(tmp_path / "m", torch.device("cpu"))[2].step == 4
