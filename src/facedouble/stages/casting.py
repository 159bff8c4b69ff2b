"""Whose face in a clip is replaced, and by which model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..curate import aside
from ..curate.faceset import FaceSet
from ..errors import ConsentError, FaceError, InputError
from ..events import Event, Note
from ..faces import SAME_PERSON, Faces
from ..find.identity import distance
from ..find.person import pick, tell_apart
from ..find.search import search
from ..footage import Clip
from ..geometry import overlap
from ..learn.checkpoint import Trained, read_model
from ..recipes import ConvertRecipe, ExtractRecipe
from .work import identity_in, work_folder

_SAME_PLACE = 0.3


@dataclass(frozen=True)
class Role:
    """A model, and by what its A, whose face it replaces, is known in the clip: the face set, or an `example` picture
    (or folder of pictures)."""

    model: Path
    example: Path | None = None

    @property
    def name(self) -> str:
        """of the model's A. Raises ModelError."""
        return read_model(self.model).people["a"]

    @classmethod
    def parse(cls, text: str) -> Role:
        """`WHO=MODEL`: WHO is the name of the model's A, or a picture of them. Raises InputError, ModelError."""
        who, equals, model = text.partition("=")
        if not equals or not who or not model:
            raise InputError(f"--map {text}: expected WHO=MODEL, such as anna=model-anna or anna.png=model-anna.")
        if Path(who).exists():
            return cls(Path(model), Path(who))
        role = cls(Path(model))
        if who != (person := role.name):
            raise InputError(
                f"--map {text}: {model} is made for {person}'s performance, and there is no picture {who}. Write --map "
                f"{person}={model}, or give a picture of who is meant."
            )
        return role


def cast(
    clip: Clip, roles: Sequence[Role], trained: Sequence[Trained], asked: ConvertRecipe, work: Path, workers: int
) -> Generator[Event, None, list[Faces]]:
    """The faces of each role where they are to be replaced, at most one a frame: those of A's face set where all of
    this very clip went into it and no picture says otherwise, else searched, in the folder `work`.

    Raises InputError where the clip has none of the recipe's ranges, FaceError where somebody is not there, or two
    roles would get the same face, ConsentError where a picture shows somebody else than the model's A.
    """
    wanted = np.zeros(clip.count, bool)
    for start, stop in clip.stretches(asked.ranges):
        wanted[start:stop] = True
    known = [
        known_faces(clip, made) if role.example is None else None for role, made in zip(roles, trained, strict=True)
    ]
    if not any(faces is None for faces in known):
        found = [faces[wanted[faces.frame]] for faces in known if faces is not None]
        _refuse_shared(clip, [made.people["a"] for made in trained], found)
        return found
    recipe = ExtractRecipe(ranges=asked.ranges)
    yield from work_folder(work, {"clip": clip.sha256, "recipe": recipe.as_dict()})
    everybody = yield from search(clip, recipe, work / "search", workers)
    people = {made.people["a"]: _identity(role, made) for role, made in zip(roles, trained, strict=True)}
    if len(people) < len(roles):
        raise InputError(f"--map: {len(roles)} models for {', '.join(people)}. Give each person one model.")
    if len(roles) == 1:
        ((name, identity),) = people.items()
        like = str(roles[0].example or f"{name}'s face set")
        faces, _, how = pick(everybody, identity, clip.path.name, like=like)
        yield Note(how)
        return [faces]
    told, said = tell_apart(everybody, people, clip.path.name)
    for text in said:
        yield Note(text)
    return list(told.values())


def _identity(role: Role, trained: Trained) -> NDArray[np.float32]:
    """By what the role's A is known. Raises ConsentError for a picture of somebody else: only A has agreed."""
    known = np.array(trained.identity["a"], np.float32)
    if role.example is None:
        return known
    shown = identity_in(role.example)
    if (away := float(distance(shown, known)[0])) >= SAME_PERSON:
        raise ConsentError(
            f"{role.example}: does not show {trained.people['a']} (distance {away:.2f}, same person under "
            f"{SAME_PERSON:.2f}), and {role.model} was made under the consent of {trained.people['a']} alone. Give a "
            "picture of that person, or train a model for this one, with a consent record."
        )
    return shown


def _refuse_shared(clip: Clip, names: Sequence[str], found: Sequence[Faces]) -> None:
    for (name, faces), (other, others) in combinations(zip(names, found, strict=True), 2):
        _, mine, theirs = np.intersect1d(faces.frame, others.frame, return_indices=True)
        for row, shared in zip(mine, theirs, strict=True):
            if overlap(faces.box[[row]], others.box[[shared]])[0, 0] > _SAME_PLACE:
                raise FaceError(
                    f"{clip.path}: frame {faces.frame[row]}: one face is in the face sets of both {name} and {other}. "
                    "Prune it from one of them (facedouble faces review)."
                )


def known_faces(clip: Clip, trained: Trained) -> Faces | None:
    """A's faces in the clip as A's face set has them, without those put aside as somebody else's; None where not all
    of this very clip went into it."""
    known = trained.face_sets["a"]
    if clip.sha256 not in {source["sha256"] for source in known["footage"]} or not Path(known["path"]).is_dir():
        return None
    faces_a = FaceSet.load(Path(known["path"]))
    if (rows := faces_a.rows_of(clip.sha256)) is None:
        return None
    others = aside.of_others(faces_a.path)
    kept: NDArray[np.int64] = np.array([row for row in rows if faces_a.crop[row] not in others], np.int64)
    return faces_a.faces[kept]
