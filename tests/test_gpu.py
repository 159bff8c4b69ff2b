"""Training on a GPU: that a step waits for nothing is seen without one, the rest is skipped where there is none."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from facedouble.device import choose
from facedouble.faces import ACTING, LANDMARKS
from facedouble.learn import data, occlusion
from facedouble.learn.iris import UNKNOWN
from facedouble.learn.learner import Learner
from facedouble.learn.losses import FaceLoss
from facedouble.learn.model import SIDES, Network
from facedouble.recipes import TrainRecipe

RECIPE = TrainRecipe(size_px=32, widths=(16, 24), latent=32, batch=6, degrade=0.4)
CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here that torch can use")


def made_up(seed: int, count: int = 20) -> data.Canvases:
    """Noise with landmarks: what is computed from it is as true or false as of faces."""
    rng, side = np.random.default_rng(seed), data.canvas_px(RECIPE, 2.0)
    pixels = torch.from_numpy(rng.integers(0, 256, (count, 7, side, side), np.uint8))
    pixels[:, 3] = 255
    points = rng.uniform(0.3, 0.7, (LANDMARKS, 2)) + rng.normal(0, 0.01, (count, LANDMARKS, 2))
    acting = rng.uniform(0, 0.3, (count, ACTING)).astype(np.float32)
    square = RECIPE.size_px / RECIPE.coverage
    return data.Canvases(
        pixels,
        RECIPE.size_px,
        square,
        (points * side).astype(np.float32),
        torch.from_numpy(acting),
        np.zeros(count, int),
    )


def losses(device: torch.device, faces: dict[str, data.Canvases], batches: list[tuple[int, int]]) -> list[float]:
    """Of steps in so many faces and parts, and at last the lengths of the weights and of the average."""
    learned = Learner.new(RECIPE, device, faces, UNKNOWN)
    feeds = data.feeds(faces, learned.network, RECIPE, device)
    loss_of, found = FaceLoss(RECIPE.size_px, True, device), []
    for step, (count, parts) in enumerate(batches):
        found.append(float(learned.step(feeds, loss_of, count, parts, 1e-3, False)))
        learned.follow(step, 0.9)
    lengths = (
        torch.cat([value.flatten().cpu() for value in of.state_dict().values()]).norm()
        for of in (learned.network, learned.average)
    )
    return [*found, *map(float, lengths)]


@needs_gpu
def test_a_gpu_takes_the_steps_that_a_cpu_takes() -> None:
    faces = {side: made_up(seed) for seed, side in enumerate(SIDES)}
    batches = [(6, 1)] * 5 + [(9, 1)] * 3 + [(9, 2)] * 2 + [(6, 1)] * 3
    found = [losses(torch.device(name), faces, batches) for name in ("cpu", "cuda")]
    assert found[1] == pytest.approx(found[0], rel=2e-3)


@needs_gpu
def test_what_is_recorded_is_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = {side: made_up(seed) for seed, side in enumerate(SIDES)}
    found = []
    for version in (torch.version.cuda, None):  # without CUDA's own graphs nothing is recorded
        monkeypatch.setattr(torch.version, "cuda", version)
        found.append(losses(torch.device("cuda"), faces, [(6, 1)] * 8))
    assert found[1] == pytest.approx(found[0], rel=1e-4)


@pytest.mark.parametrize("near", [True, False])
def test_a_step_waits_for_nothing(near: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On tensors without contents, of which nothing can be read: who asks for a number of them is told off."""
    faces = {side: made_up(seed) for seed, side in enumerate(SIDES)}
    known = Learner.new(RECIPE, CPU, faces, UNKNOWN)
    bends = {side: feed.bend for side, feed in data.feeds(faces, known.network, RECIPE, CPU).items()}
    empty = torch.device("meta")
    network = Network(RECIPE).to(empty)
    optimizer: Any = torch.optim.SGD(network.parameters(), 1e-3)
    blind = Learner(network, copy.deepcopy(network).requires_grad_(False), optimizer, torch.Generator().manual_seed(1))
    places = {side: replace(seen, pixels=seen.pixels.to(empty if near else CPU)) for side, seen in faces.items()}
    feeds = {side: data.Feed(places[side], RECIPE, empty, bends[side]) for side in SIDES}
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # which knows no such device
    loss = blind.step(feeds, FaceLoss(RECIPE.size_px, True, empty), 8, 2, 1e-3, True)
    blind.follow(4, 0.9)
    assert loss.device == empty
    with pytest.raises(RuntimeError):
        float(loss)


@needs_gpu
def test_what_stands_before_a_face_is_learned_where_the_network_is() -> None:
    sides = [replace(made_up(seed), size_px=occlusion.SIZE_PX) for seed in (1, 2)]
    network = occlusion.bundled().to("cuda")
    steps = list(occlusion.learn(network, sides, 3, 5, choose("cuda"), batch=8, bank=8))
    assert steps == [1, 2, 3]
    assert all(bool(torch.isfinite(weight).all()) for weight in network.state_dict().values())
