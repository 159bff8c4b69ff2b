"""Two face sets into a model."""

from __future__ import annotations

import datetime as dt
import math
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..curate.faceset import FaceSet
from ..device import Device
from ..errors import InputError, ModelError
from ..events import Event, Finished, Note, Progress
from ..find.identity import mean_embedding
from ..learn import chart, checkpoint, features, occlusion, rate, skin, specialists, start, usual
from ..learn.checkpoint import Trained
from ..learn.data import usable_rows
from ..learn.features import FeatureDetail
from ..learn.model import SIDES
from ..learn.skin import SkinDetail
from ..learn.together import ALONE, Together
from ..learn.train import assist as assist_network
from ..learn.train import train as train_network
from ..learn.usual import UsualFaces
from ..project import is_made, output_errors
from ..provenance import consent
from ..recipes import TrainRecipe, Until
from .matching import advise

_GENERAL = 0.5
"""what part of a budget the model of all angles has, where there are specialists"""
_SPECIALISTS_RATE = 0.5


def train(
    sets: dict[str, FaceSet],
    model: Path,
    recipe: TrainRecipe,
    until: Until,
    device: Device,
    stop: Callable[[], bool],
    begin: str | Path | None = None,
    find_rate: bool = False,
    together: Together = ALONE,
) -> Generator[Event, None, Path]:
    """Train a model on two face sets, or go on with it. Raises ModelError where it was begun with other settings.

    `begin`: what a new one begins with, an earlier model or "scratch"; None: the bundled weights. See learn.start.
    With `find_rate` its learning rate is not the recipe's, but found first, see learn.rate.
    Of several processes the first one does this, and the others `assist`.
    """
    together.check(recipe)
    if recipe.specialists != "none" and until == Until():
        raise InputError(
            "--specialists: expected --minutes, --steps or --until plateau, to know when their turn comes."
        )
    for side in SIDES:
        consent.check(sets[side].consent, dt.date.today())
        usable_rows(sets[side], recipe)  # before anything is written
        consent.check_likeness(sets[side].consent, mean_embedding(sets[side].faces.embedding), str(sets[side].path))
    before = checkpoint.read_model(model) if model.exists() and any(model.iterdir()) else None
    if find_rate and before is not None:
        recipe = replace(recipe, learning_rate=before.recipe.learning_rate)
        yield Note(f"{model}: its learning rate is chosen already, {recipe.learning_rate:.2g}; going on with it")
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
    if before is not None:
        yield from _check_same(model, before, trained)
        trained = _with_footage_of(before, trained)
    trained, weights = _started(model, before, begin, trained)
    curve = None
    if find_rate and before is None:  # before anything is written, so that a model that is there has its rate
        curve = yield from rate.find(sets, recipe, device, stop, weights)
        if curve is None:
            return model
        recipe = replace(recipe, learning_rate=rate.proposed(curve) or recipe.learning_rate)
        trained = replace(trained, recipe=recipe)
    with output_errors(model):
        checkpoint.write_model(model, trained)
    if curve is not None:
        yield _rate_found(model, curve, recipe.learning_rate)
    if not (model / "match").exists():
        yield from advise(sets, model / "match", recipe, device.threads)
    yield from _learn_occlusion(model, sets, recipe, device, stop)
    if recipe.skin_faces and not (is_made(model / skin.FILE, skin.WAY) and SkinDetail.load(model)):
        yield from _read_off(model, skin.read(sets["b"], recipe.skin_faces), stop)
    if recipe.feature_faces and not (is_made(model / features.FILE, features.WAY) and FeatureDetail.load(model)):
        yield from _read_off(model, features.read(sets["b"], recipe, device.threads), stop)
    if recipe.usual_faces and not (is_made(model / usual.FILE, usual.WAY) and UsualFaces.load(model)):
        usual_faces = usual.read(sets, recipe)
        with output_errors(model):
            usual_faces.save(model)
    if stop():
        return model
    experts = specialists.taught(sets.values()) if recipe.specialists == "orientation" else []
    if len(experts) == 1:
        yield Note(f"no specialists: hardly any faces in both sets but {experts[0]} ones", warning=True)
        experts = []
    budget = until.part(_GENERAL) if experts else until
    together.tell((recipe, {side: trained.face_sets[side]["sha256"] for side in SIDES}, weights))
    yield from train_network(model, sets, recipe, budget, device, stop, weights, together=together)
    yield from _specialise(model, sets, recipe, until, experts, device, stop)
    yield Finished(model, f"model {trained.people['b']} on {trained.people['a']}")
    return model


def _rate_found(model: Path, curve: NDArray[np.float64], chosen: float) -> Note:
    found = rate.proposed(curve)
    chart.write_rates(model / rate.CHART, curve, rate.smoothed(curve[:, 1]), found)
    if found is None:
        return Note(f"no learning rate was found to learn at; going on with {chosen:.2g}, the preset's", warning=True)
    return Note(f"learning rate {chosen:.2g}, found by a range test: {model / rate.CHART}")


def assist(folders: dict[str, Path], model: Path, device: Device, together: Together) -> None:
    """Help the first process to train on the face sets in `folders`, from when it has checked and made all else ready.

    Raises InputError for other sets than the first process has.
    """
    if (told := together.hear()) is None:
        return
    recipe, expected, weights = told
    sets = {side: FaceSet.load(folders[side]) for side in SIDES}
    for side in SIDES:
        if sets[side].sha256() != expected[side]:
            raise InputError(f"{folders[side]}: not the face set that is here where training is led. Copy that one.")
    assist_network(model, sets, recipe, device, weights, together)


def _started(
    model: Path, before: Trained | None, begin: str | Path | None, trained: Trained
) -> tuple[Trained, dict[str, torch.Tensor]]:
    """The record of a model, and the weights to begin with, if it has no checkpoint yet. `before` is its record so far.

    Raises ModelError where it is to begin with something else than it did, ConsentError where one of the people whom an
    earlier model learned from has taken the consent back.
    """
    asked = str(begin.resolve()) if isinstance(begin, Path) else begin
    source = asked or start.BUNDLED
    if before is not None:
        source = start.SCRATCH if before.begun_from is None else before.begun_from["path"]
        trained = replace(trained, begun_from=before.begun_from, earlier=before.earlier)
        if asked is not None and asked != source:
            raise ModelError(f"{model}: begun with --from {source}. Give that or none, or choose another -o.")
    weights: dict[str, torch.Tensor] = {}
    if not checkpoint.checkpoints(model) and source != start.SCRATCH:
        own, people = {record.id for record in trained.consents.values()}, []
        if source == start.BUNDLED:
            weights, sha256 = start.bundled(trained.recipe), start.bundled_sha256()
        else:
            known = checkpoint.read_model(Path(source))
            footage = {side: {clip["sha256"] for clip in trained.face_sets[side]["footage"]} for side in SIDES}
            weights = start.of_earlier(Path(source), footage, trained.recipe)
            people, sha256 = [*known.consents.values(), *known.earlier], checkpoint.weights_sha256(Path(source))
        earlier = {record.id: record for record in people if record.id not in own}
        begun_from = {"path": source, "sha256": sha256} if weights else None
        trained = replace(trained, begun_from=begun_from, earlier=tuple(earlier.values()))
    for record in trained.earlier:
        consent.check(record, dt.date.today())
    return trained, weights


def _specialise(
    model: Path,
    sets: dict[str, FaceSet],
    recipe: TrainRecipe,
    until: Until,
    experts: Sequence[str],
    device: Device,
    stop: Callable[[], bool],
) -> Iterator[Event]:
    """One after the other, each begun from the model as it is now: anew, if that has learned since."""
    slower = replace(recipe, learning_rate=_SPECIALISTS_RATE * recipe.learning_rate)
    for name in experts:
        if stop():
            return
        folder, step = specialists.folder(model, name), int(checkpoint.chosen(model, "newest").name)
        if (begun := specialists.begun_from(model, name)) != step:
            if begun is not None:
                yield Note(
                    f"{model.name}: has learned since its specialist for {name} faces began, so that begins anew"
                )
                shutil.rmtree(folder)
            with output_errors(folder):
                specialists.note_begun(model, name, step)
        yield Note(f"{model.name}: now a specialist for {name} faces")
        weights = checkpoint.averaged(model)
        budget, facing = until.part((1 - _GENERAL) / len(experts)), specialists.facing(name)
        yield from train_network(folder, sets, slower, budget, device, stop, weights, facing)


def _learn_occlusion(
    model: Path, sets: dict[str, FaceSet], recipe: TrainRecipe, device: Device, stop: Callable[[], bool]
) -> Iterator[Event]:
    """Once for a model: what a hand or hair before these two faces looks like."""
    if not recipe.occlusion_steps or (is_made(model / occlusion.FILE, occlusion.WAY) and occlusion.load(model)):
        return
    network = occlusion.bundled().to(device.name)
    faces = [occlusion.canvases(sets[side]) for side in SIDES]
    torch.set_num_threads(device.threads)
    for step in occlusion.learn(network, faces, recipe.occlusion_steps, recipe.seed, device):
        if stop():
            return
        if step % 10 == 0 or step == recipe.occlusion_steps:
            yield Progress("learning what stands before a face", step, recipe.occlusion_steps, "steps")
    with output_errors(model):
        occlusion.save(network, model)


def _read_off(
    model: Path, reading: Iterator[Event | SkinDetail | FeatureDetail], stop: Callable[[], bool]
) -> Iterator[Event]:
    """Once for a model: what is read off B's faces is kept in it."""
    for read in reading:
        if stop():
            return
        if isinstance(read, SkinDetail | FeatureDetail):
            with output_errors(model):
                read.save(model)
        else:
            yield read


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
