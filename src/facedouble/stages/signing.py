"""What is made gets its credential, its mark's number and its name, and is noted in the user's ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..footage import Clip
from ..provenance import credential, ledger, mark, xmp
from ..recipes import ConvertRecipe
from .opening import Opened, Parts


def mark_of(clip: Clip, models: Sequence[Opened]) -> str:
    """The number in the invisible mark of what is made of a clip with these models."""
    return mark.id_of(clip.sha256, *(opened.weights_sha256 for opened in models))


def sign(
    encoding: Path, out: Path, clip: Clip, parts: Parts, recipe: ConvertRecipe, known_as: Path | None = None
) -> None:
    """Give a file, or a folder of pictures, its credential and the name `out`, and note it in the user's ledger, as
    `known_as` where that is to be its name in the end."""
    learned = [
        (role, source)
        for opened, _ in parts
        for role, side in (("source", "b"), ("training", "a"))
        for source in opened.trained.face_sets[side]["footage"]
    ]
    used = {
        (role, source["sha256"]): credential.Ingredient(Path(source["path"]), source["sha256"], role)
        for role, source in learned
        if role == "source" or source["sha256"] != clip.sha256
    }
    people = {
        (opened.trained.consents[side].id, role): credential.Person(
            opened.trained.people[side], opened.trained.consents[side].id, role
        )
        for opened, _ in parts
        for side, role in (("a", "target"), ("b", "source"))
    }
    models = [
        {
            "sha256": opened.weights_sha256,
            "target": opened.trained.people["a"],
            "source": opened.trained.people["b"],
            "changed_frames": _ranges(faces.frame),
            "train": opened.trained.recipe.as_dict(),
        }
        for opened, faces in parts
    ]
    trained = {"train": models[0]["train"]} if len(models) == 1 else {"models": models}
    claim = credential.Claim(
        title=out.name,
        tool_version=__version__,
        ingredients=[credential.Ingredient(clip.path, clip.sha256, "target"), *used.values()],
        people=list(people.values()),
        model_sha256=", ".join(str(model["sha256"]) for model in models),
        changed_frames=_ranges(np.unique(np.concatenate([faces.frame for _, faces in parts]))),
        recipe={**trained, "convert": recipe.as_dict()},
        mark=mark_of(clip, [opened for opened, _ in parts]),
    )
    xmp.write(encoding, __version__)
    if encoding.is_dir():
        credential.sign(encoding, encoding, claim)
        encoding.replace(out)
    else:
        credential.sign(encoding, out, claim)
    made = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    consents, names = [person.consent_id for person in claim.people], [person.name for person in claim.people]
    path = str((known_as or out).resolve())
    ledger.record(ledger.Output(path, made, consents, names, claim.model_sha256, claim.mark))


def _ranges(frames: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ascending frame numbers as half-open ranges."""
    if not len(frames):
        return []
    parts = np.split(frames, np.nonzero(np.diff(frames) > 1)[0] + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]
