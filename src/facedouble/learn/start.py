"""What a new model begins with: what rendered performers taught, or what an earlier model knows.

Faces have more in common than not, so that a network that has learned to draw one person draws the next in a fraction
of the steps (figures: benchmarks/training.md). The bundled weights come from performers who do not exist; of an earlier
model's two people nothing goes on to others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ModelError
from ..project import atomic_file, save_tensors
from ..recipes import TrainRecipe
from .checkpoint import averaged, read_model
from .model import SIDES, Network

BUNDLED, SCRATCH = "bundled", "scratch"
_FILE = Path(__file__).parent / "start.safetensors"
_OF_ALL = ("encoder.", "reader.", "share.acting.")
"""the parts that are no one person's: encoder, reader of drawings, meaning of expressions"""


def bundled(recipe: TrainRecipe) -> dict[str, Tensor]:
    """What fits a network of `recipe` of the weights that come with the package, the same decoder for both sides; empty
    where their encoder does not fit."""
    from safetensors.torch import load_file

    kept: dict[str, Tensor] = load_file(_FILE)
    found = {name: value.float() for name, value in kept.items() if name.startswith(_OF_ALL)}
    for side in SIDES:
        for name, value in kept.items():
            if name.startswith("decoder."):
                found[f"decoders.{side}.{name.removeprefix('decoder.')}"] = value.float()
    return _fitting(found, recipe)


def bundled_sha256() -> str:
    return hashlib.sha256(_FILE.read_bytes()).hexdigest()


def write(network: Network, side: str, file: Path = _FILE) -> None:
    """Make of a network, and of the decoder of one side, weights to bundle."""
    weights = {}
    for name, value in network.state_dict().items():
        if name.startswith(_OF_ALL):
            weights[name] = value
        elif name.startswith(f"decoders.{side}."):
            weights[name.replace(f"decoders.{side}.", "decoder.")] = value
    with atomic_file(file) as temporary:
        save_tensors(temporary, {name: value.contiguous().half() for name, value in weights.items()})


def of_earlier(earlier: Path, footage: Mapping[str, set[str]], recipe: TrainRecipe) -> dict[str, Tensor]:
    """What fits a network of `recipe` of an `earlier` model's averaged weights: the parts that are no one person's, and
    the decoder of each side that has seen some of the same `footage` (side -> sha256 of clips). The decoders of other
    people begin with the bundled one.

    Raises ModelError where its encoder does not fit.
    """
    known = read_model(earlier).face_sets
    same = {side for side in SIDES if footage[side] & {clip["sha256"] for clip in known[side]["footage"]}}
    wanted = (*_OF_ALL, *(f"decoders.{side}." for side in sorted(same)))
    found = {name: value for name, value in averaged(earlier).items() if name.startswith(wanted)}
    if not (fitting := _fitting(found, recipe)):
        raise ModelError(
            f"{earlier}: nothing of it fits a model of preset {recipe.preset} with widths {recipe.widths}. Choose a "
            "model of the same --preset and --widths, or begin without --from."
        )
    return {**bundled(recipe), **fitting}


def _fitting(weights: Mapping[str, Tensor], recipe: TrainRecipe) -> dict[str, Tensor]:
    """Those of the same name and shape as in a network of `recipe`; none where an encoder's convolution is missing."""
    with torch.device("meta"):  # shapes alone: nothing is filled, and no chance is drawn
        wanted = {name: value.shape for name, value in Network(recipe).state_dict().items()}
    fitting = {name: value for name, value in weights.items() if wanted.get(name) == value.shape}
    lacks = any(name.startswith("encoder.layers.") and name not in fitting for name in wanted)
    return {} if lacks else fitting
