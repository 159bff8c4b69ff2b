"""Two face sets into a model."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..curate.faceset import FaceSet
from ..device import Device
from ..errors import ModelError
from ..events import Event, Finished, Note, Progress
from ..find.identity import mean_embedding
from ..learn import chart, checkpoint, occlusion, rate, skin
from ..learn.checkpoint import Trained
from ..learn.data import usable_rows
from ..learn.model import SIDES
from ..learn.skin import SkinDetail
from ..learn.train import train as train_network
from ..project import output_errors
from ..provenance import consent
from ..recipes import TrainRecipe, Until
from .matching import advise


def train(
    sets: dict[str, FaceSet],
    model: Path,
    recipe: TrainRecipe,
    until: Until,
    device: Device,
    stop: Callable[[], bool],
    find_rate: bool = False,
) -> Generator[Event, None, Path]:
    """Train a model on two face sets, or go on with it. With `find_rate` a new model's learning rate is not the
    recipe's, but found first. Raises ModelError where it was begun with other settings."""
    for side in SIDES:
        consent.check(sets[side].consent, dt.date.today())
        usable_rows(sets[side], recipe)  # before anything is written
        consent.check_likeness(sets[side].consent, mean_embedding(sets[side].faces.embedding), str(sets[side].path))
    begun, curve = model.exists() and any(model.iterdir()), None
    if find_rate and begun:
        recipe = replace(recipe, learning_rate=checkpoint.read_model(model).recipe.learning_rate)
        yield Note(f"{model}: its learning rate is chosen already, {recipe.learning_rate:.2g}; going on with it")
    elif find_rate:  # before anything is written, so that a model that is there has its rate
        curve = yield from rate.find(sets, recipe, device, stop)
        if curve is None:
            return model
        recipe = replace(recipe, learning_rate=rate.proposed(curve) or recipe.learning_rate)
    trained = Trained(
        recipe,
        people={side: sets[side].person for side in SIDES},
        consents={side: sets[side].consent for side in SIDES},
        face_sets={
            side: {
                "path": str(sets[side].path.resolve()),
                "sha256": sets[side].sha256(),
                "footage": [{"path": source.path, "sha256": source.sha256} for source in sets[side].sources],
            }
            for side in SIDES
        },
        identity={side: mean_embedding(sets[side].faces.embedding).tolist() for side in SIDES},
    )
    if begun:
        before = checkpoint.read_model(model)
        yield from _check_same(model, before, trained)
        trained = _with_footage_of(before, trained)
    with output_errors(model):
        checkpoint.write_model(model, trained)
    if curve is not None:
        yield _rate_found(model, curve, recipe.learning_rate)
    if not (model / "match").exists():
        yield from advise(sets, model / "match", recipe, device.threads)
    yield from _learn_occlusion(model, sets, recipe, device, stop)
    yield from _read_skin(model, sets["b"], recipe.skin_faces, stop)
    if stop():
        return model
    yield from train_network(model, sets, recipe, until, device, stop)
    yield Finished(model, f"model {trained.people['b']} on {trained.people['a']}")
    return model


def _rate_found(model: Path, curve: NDArray[np.float64], chosen: float) -> Note:
    found = rate.proposed(curve)
    chart.write_rates(model / rate.CHART, curve, rate.smoothed(curve[:, 1]), found)
    if found is None:
        return Note(f"no learning rate was found to learn at; going on with {chosen:.2g}, the preset's", warning=True)
    return Note(f"learning rate {chosen:.2g}, found by a range test: {model / rate.CHART}")


def _learn_occlusion(
    model: Path, sets: dict[str, FaceSet], recipe: TrainRecipe, device: Device, stop: Callable[[], bool]
) -> Iterator[Event]:
    """Once for a model: what a hand or hair before these two faces looks like."""
    if not recipe.occlusion_steps or occlusion.load(model) is not None:
        return
    network = occlusion.bundled().to(device.name)
    faces = [occlusion.canvases(sets[side]) for side in SIDES]
    torch.set_num_threads(device.threads)
    for step in occlusion.learn(network, faces, recipe.occlusion_steps, recipe.seed, torch.device(device.name)):
        if stop():
            return
        if step % 10 == 0 or step == recipe.occlusion_steps:
            yield Progress("learning what stands before a face", step, recipe.occlusion_steps, "steps")
    with output_errors(model):
        occlusion.save(network, model)


def _read_skin(model: Path, faces_b: FaceSet, most: int, stop: Callable[[], bool]) -> Iterator[Event]:
    """Once for a model: B's fine skin detail."""
    if not most or SkinDetail.load(model) is not None:
        return
    for read in skin.read(faces_b, most):
        if stop():
            return
        if isinstance(read, SkinDetail):
            with output_errors(model):
                read.save(model)
        else:
            yield Progress("reading skin detail", read, most, "faces")


def _check_same(model: Path, before: Trained, now: Trained) -> Iterator[Note]:
    old, new = before.recipe.network(), now.recipe.network()
    differ = [f"{name} {old[name]} (now {new[name]})" for name in old if old[name] != new[name]]
    if differ:
        raise ModelError(
            f"{model}: begun with other settings: {', '.join(differ)}. Give those, or choose another "
            "-o for a new model."
        )
    for side in SIDES:
        footage = [trained.face_sets[side]["footage"] for trained in (before, now)]
        known, given = ({clip["sha256"] for clip in clips} for clips in footage)
        if not known & given:  # of footage that was added or left out the model still knows the person
            begun, other = (", ".join(Path(clip["path"]).name for clip in clips) for clips in footage)
            raise ModelError(
                f"{model}: begun with {begun} as {side.upper()}, not {other}. Choose another -o for a new model."
            )
        if before.face_sets[side]["sha256"] != now.face_sets[side]["sha256"]:
            yield Note(f"{model}: face set {side.upper()} has changed since; going on with the new one")


def _with_footage_of(before: Trained, now: Trained) -> Trained:
    """A model records all that it ever learned from."""
    face_sets = {}
    for side in SIDES:
        clips = [*before.face_sets[side]["footage"], *now.face_sets[side]["footage"]]
        face_sets[side] = {**now.face_sets[side], "footage": list({clip["sha256"]: clip for clip in clips}.values())}
    return replace(now, face_sets=face_sets)


def training_text(model: Path) -> str:
    """How a model was trained and how well it rebuilds faces it never saw, in words."""
    _, trained, state = checkpoint.load(model, torch.device("cpu"))
    last = state.history[-1] if state.history else {}
    score, floor = ((last.get(f"{name}a", math.nan) + last.get(f"{name}b", math.nan)) / 2 for name in ("", "floor_"))
    return (
        f"Trained {state.seconds / 60:.1f} minutes, {state.step} steps ({trained.recipe.preset}, "
        f"{trained.recipe.size_px} px). Held-out faces are rebuilt at {score:.1f} dB inside the face; "
        f"a constant mean face would give {floor:.1f} dB."
    )
