"""A model on disk: a folder that holds everything needed to go on exactly. Safetensors and JSON, never pickle.

MODEL/
  model.json                      recipe, people, face sets and their hashes
  consent.toml                    both people's consent records
  checkpoints/00001200/           weights, average, optimizer, random state; step, seconds, score history: the newest
                                  two and the best
  previews/00001200.png           A, A->A, A->B, B, B->B
  progress.png                    loss, scores and forecast over time
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ConsentError, FacedoubleError, ModelError
from ..project import atomic_folder, save_json, save_tensors
from ..provenance import consent
from ..provenance.consent import ConsentRecord
from ..recipes import TrainRecipe
from .learner import Learner
from .model import SIDES, Network

VERSION = 3
_ONE_CLIP = 2
"""version whose models record one clip of each side"""
_KEEP = 2


@dataclass(frozen=True)
class Trained:
    """What a model was made of."""

    recipe: TrainRecipe
    people: dict[str, str]
    """side -> name or pseudonym"""
    consents: dict[str, ConsentRecord]
    face_sets: dict[str, dict[str, Any]]
    """side -> path and sha256 of the set; `footage`: path and sha256 of every clip the model ever learned from"""
    identity: dict[str, list[float]]
    """side -> mean descriptor, by which A is known in footage and a swap is judged"""
    begun_from: dict[str, str] | None = None
    """path and sha256 of the weights it began with (see learn.start); None where that were random ones"""
    earlier: tuple[ConsentRecord, ...] = ()
    """consents of the people whom that model, and those before it, learned from"""


@dataclass
class State:
    """How far training has come."""

    step: int = 0
    seconds: float = 0.0
    """of training, over all runs"""
    history: list[dict[str, float]] = field(default_factory=list)
    """one entry a scoring: step, seconds, loss, what Score holds, and what Health.entry tells now and then"""
    rate: float = 1.0
    """what part of the recipe's learning rate is left after training came apart"""
    parts: int = 1
    """in how many parts a batch must be computed to fit the device"""


def write_model(model: Path, trained: Trained) -> None:
    model.mkdir(parents=True, exist_ok=True)
    consent.save([*(trained.consents[side] for side in SIDES), *trained.earlier], model / "consent.toml")
    save_json(
        model / "model.json",
        {
            "version": VERSION,
            "recipe": trained.recipe.as_dict(),
            "people": trained.people,
            "consents": {side: record.id for side, record in trained.consents.items()},
            "face_sets": trained.face_sets,
            "identity": trained.identity,
            "begun_from": trained.begun_from,
            "earlier": [record.id for record in trained.earlier],
        },
    )


def read_model(model: Path) -> Trained:
    """Raises ModelError for a folder that is no model of this program."""
    if not (model / "model.json").is_file():
        raise ModelError(f"{model}: not a model. Make one with: facedouble train FACES_A FACES_B -o {model}")
    try:
        record = json.loads((model / "model.json").read_text())
        if record["version"] not in (_ONE_CLIP, VERSION):
            raise ModelError(
                f"{model}: model of version {record['version']}, this program reads {_ONE_CLIP} and {VERSION}. Convert "
                "with the program that made it, or train anew with another -o."
            )
        a, b, *earlier = consent.load(model / "consent.toml")
        consents = dict(zip(SIDES, (a, b), strict=True))
        known = [*(record["consents"][side] for side in SIDES), *record.get("earlier", [])]
        if [kept.id for kept in (a, b, *earlier)] != known:
            raise ConsentError(
                f"{model / 'consent.toml'}: not the records this model was trained under. "
                "Put those back, or train again."
            )
        recipe = TrainRecipe.from_dict(record["recipe"])
        face_sets = {side: _face_set(record["face_sets"][side], record["version"]) for side in SIDES}
        begun_from = record.get("begun_from")
        return Trained(recipe, record["people"], consents, face_sets, record["identity"], begun_from, tuple(earlier))
    except FacedoubleError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{model}: broken model record ({error}). Train it again.") from error


def _face_set(values: dict[str, Any], version: int) -> dict[str, Any]:
    """What a model's record says of one side, as in `Trained.face_sets`. Raises KeyError or TypeError."""
    if version == _ONE_CLIP:
        footage = [{"path": values["footage"], "sha256": values["footage_sha256"]}]
    else:
        footage = [{"path": str(clip["path"]), "sha256": str(clip["sha256"])} for clip in values["footage"]]
    return {"path": str(values["path"]), "sha256": str(values["sha256"]), "footage": footage}


def save(model: Path, state: State, learner: Learner) -> Path:
    """Write a checkpoint whole, then drop all but the newest two and the best. Raises OutputError where the disk is
    full."""
    folder = model / "checkpoints" / f"{state.step:08d}"
    with atomic_folder(folder) as temporary:
        save_tensors(temporary / "weights.safetensors", _plain(learner.network.state_dict()))
        save_tensors(temporary / "average.safetensors", _plain(learner.average.state_dict()))
        moments = {
            f"{index}.{name}": value
            for index, values in learner.optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }
        random = {"random": learner.generator.get_state()}
        save_tensors(temporary / "optimizer.safetensors", _plain(moments) | random)
        (temporary / "state.json").write_text(json.dumps(asdict(state)))
    found = checkpoints(model)
    for old in set(found) - {*found[-_KEEP:], best(model)}:
        gone = old.rename(old.with_name(f".{old.name}.old"))  # so that a half-deleted one passes for none
        shutil.rmtree(gone)
    return folder


def note_state(model: Path, state: State) -> None:
    """Write a `state` that came from the newest checkpoint, and was changed, back to it."""
    save_json(checkpoints(model)[-1] / "state.json", asdict(state))


def resume(model: Path, learner: Learner) -> State:
    """Load the newest checkpoint into `learner`, all of it; a fresh State where there is none."""
    found = checkpoints(model)
    if not found:
        return State()
    folder = found[-1]
    learner.network.load_state_dict(_tensors(folder / "weights.safetensors"))
    learner.average.load_state_dict(_tensors(folder / "average.safetensors"))
    moments = _tensors(folder / "optimizer.safetensors")
    learner.generator.set_state(moments.pop("random"))
    kept = learner.optimizer.state_dict()
    kept["state"] = {}
    weights = list(learner.network.parameters())
    for name, value in moments.items():
        index, key = name.split(".", 1)
        weight = weights[int(index)]
        # Fused optimizers walk memory in order, so a moment must lie in memory as its weight does.
        laid = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
        kept["state"].setdefault(int(index), {})[key] = laid.detach()
    learner.optimizer.load_state_dict(kept)
    return _state(folder)


def best(model: Path) -> Path:
    """Of the checkpoints that are there, the one whose swap was healthiest when it was made (see learn.health); where
    that was not looked at, the one with the highest score; of equals the newest."""
    return max(checkpoints(model), key=lambda folder: (*_worth(_state(folder)), folder.name))


def healthier(model: Path) -> tuple[int, float]:
    """The best checkpoint's step, and by how much its swap was healthier than the newest one's."""
    folder = best(model)
    return int(folder.name), _worth(_state(folder))[0] - _worth(_state(checkpoints(model)[-1]))[0]


def _worth(state: State) -> tuple[float, float]:
    last = state.history[-1] if state.history else {}
    return round(last.get("health", 0.0), 2), last.get("a", -math.inf) + last.get("b", -math.inf)


def chosen(model: Path, which: str) -> Path:
    """The checkpoint named newest, best or by its step. Raises ModelError where it is not there."""
    found = checkpoints(model)
    if not found:
        raise ModelError(f"{model}: no checkpoint yet. Train it first: facedouble train FACES_A FACES_B -o {model}")
    if which == "newest":
        return found[-1]
    if which == "best":
        return best(model)
    for folder in found:
        if which.isdecimal() and int(which) == int(folder.name):
            return folder
    steps = ", ".join(str(int(folder.name)) for folder in found)
    raise ModelError(f"{model}: no checkpoint {which!r}. Expected newest, best, or one of the steps {steps}.")


def averaged(model: Path) -> dict[str, Tensor]:
    """The averaged weights of the newest checkpoint."""
    return _tensors(chosen(model, "newest") / "average.safetensors")


def _state(folder: Path) -> State:
    try:
        return State(**json.loads((folder / "state.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise _broken(folder, error) from error


def load(model: Path, device: torch.device, which: str = "newest") -> tuple[Network, Trained, State]:
    """The network to convert with (the averaged weights), what it was made of, and how far it came; `which` as in
    `chosen`."""
    trained = read_model(model)
    return network(model, trained.recipe, device, which), trained, _state(chosen(model, which))


def network(model: Path, recipe: TrainRecipe, device: torch.device, which: str = "newest") -> Network:
    """As `load`, of a folder that has checkpoints but no record."""
    folder, made = chosen(model, which), Network(recipe)
    try:
        made.load_state_dict(_tensors(folder / "average.safetensors"))
    except RuntimeError as error:
        raise _broken(folder, error) from error
    # One face at a time is drawn up to 1.6 times as fast with the channels innermost, by processors as well.
    return made.to(device, memory_format=torch.channels_last).eval()  # type: ignore[no-any-return, call-overload]


def weights_sha256(model: Path, which: str = "newest") -> str:
    """Of the weights that `load` takes."""
    with (chosen(model, which) / "average.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkpoints(model: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    folder = model / "checkpoints"
    return sorted(path for path in folder.glob("[0-9]*") if path.is_dir()) if folder.is_dir() else []


def _plain(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in tensors.items()}


def _tensors(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(file)
        return tensors
    except (OSError, SafetensorError) as error:
        raise _broken(file, error) from error


def _broken(file: Path, error: Exception) -> ModelError:
    folder = file if file.is_dir() else file.parent
    return ModelError(f"{file}: cannot be read ({error}). Delete {folder} to go on from the checkpoint before it.")
