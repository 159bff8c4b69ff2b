"""Specialists: after a model of all angles, one of faces that look ahead, one partly aside and one aside.

A small network has the less to learn, the less its faces differ. Each specialist is a network of its own, begun from
the model's, so that a stretch of the target is drawn by the one that knows its angle best. They hand over to each other
by degrees of yaw, not from frame to frame, so that nothing pops.

MODEL/specialists/
  three-quarter/            as a model's folder: checkpoints, previews, progress.png
    begun.json              the step of the model that it began from
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..curate.faceset import FaceSet
from ..curate.part import ORIENTATION_EDGES, ORIENTATIONS
from ..errors import ModelError
from ..faces import HALF_RADIAN
from ..project import save_json
from ..recipes import MINIMUM_FACES, TrainRecipe
from . import checkpoint, data
from .model import Network, Seen

_BEYOND = 8.0
"""degrees beyond its own angles that a specialist learns from, to be sure where it hands over"""
_FADE = 5.0
"""degrees to both sides of an edge, over which one hands over to the next"""


def folder(model: Path, name: str) -> Path:
    return model / "specialists" / name


def facing(name: str) -> tuple[float, float]:
    """From how many degrees of yaw, to either side, up to how many the specialist `name` learns."""
    edges = (0.0, *ORIENTATION_EDGES, 180.0)
    place = ORIENTATIONS.index(name)
    return edges[place] - _BEYOND, edges[place + 1] + _BEYOND


def taught(sets: Collection[FaceSet]) -> list[str]:
    """The specialists for whom each of the sets has faces enough."""
    return [
        name
        for name in ORIENTATIONS
        if min(len(data.rows_facing(faces, facing(name))) for faces in sets) >= MINIMUM_FACES
    ]


def begun_from(model: Path, name: str) -> int | None:
    """The step of the model that the specialist began from; None where there is none."""
    file = folder(model, name) / "begun.json"
    if not file.is_file():
        return None
    try:
        return int(json.loads(file.read_text())["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file}: cannot be read ({error}). Delete {file.parent}, and train it again.") from error


def note_begun(model: Path, name: str, step: int) -> None:
    folder(model, name).mkdir(parents=True, exist_ok=True)
    save_json(folder(model, name) / "begun.json", {"step": step})


def load(model: Path, recipe: TrainRecipe, device: torch.device) -> dict[str, Network]:
    """The specialists that began from the model's newest state, by name."""
    newest = int(checkpoint.chosen(model, "newest").name)
    return {
        name: checkpoint.network(folder(model, name), recipe, device)
        for name in ORIENTATIONS
        if begun_from(model, name) == newest and checkpoint.checkpoints(folder(model, name))
    }


def weights_sha256(model: Path, general: str, names: Iterable[str]) -> str:
    """Of a model and its specialists together; `general`: the model's own."""
    every = [general, *(checkpoint.weights_sha256(folder(model, name)) for name in names)]
    return hashlib.sha256("".join(every).encode()).hexdigest()


def shares(yaw_degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) what part of a face turned so far, to either side (n,), each of the ORIENTATIONS draws; 1 together."""
    past = [np.clip((np.abs(yaw_degrees) - edge) / (2 * _FADE) + 0.5, 0, 1) for edge in ORIENTATION_EDGES]
    return np.stack([1 - past[0], past[0] - past[1], past[1]], -1)


@dataclass(frozen=True, eq=False)
class Routed:
    """Draws as a Network does, each face by the specialist of its angle, or by `base` where there is none."""

    base: Network
    specialists: Mapping[str, Network]

    @property
    def shape_offset(self) -> Tensor:
        return self.base.shape_offset

    @property
    def iris(self) -> Tensor:
        return self.base.iris

    def rebuild(self, seen: Seen, of: str, by: str) -> Tensor:
        """See Network.rebuild."""
        yaw = np.degrees(seen.acting[:, -2].double().cpu().numpy() * HALF_RADIAN)
        parts = torch.from_numpy(shares(yaw)).to(seen.acting)
        drawn = torch.zeros((), device=parts.device)
        for column, name in enumerate(ORIENTATIONS):
            part = parts[:, column, None, None, None]
            if bool((part > 0).any()):
                drawn = drawn + part * self.specialists.get(name, self.base).rebuild(seen, of, by)
        return drawn
