"""A swapped clip against its original."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..events import Event, Finished, Note
from ..find.person import pick, sampled_identity
from ..find.search import search
from ..footage import Clip
from ..judge import report
from ..judge.measure import Measures, measure
from ..learn import checkpoint
from ..learn.model import SIDES
from ..media.reader import probe, reduced
from ..project import output_errors, unfinished
from ..recipes import ExtractRecipe
from .conversion import Converted
from .training import training_text
from .work import identity_in, work_folder


def judge(
    done: Converted,
    identities: dict[str, NDArray[np.float32]],
    folder: Path,
    about: dict[str, str],
    truth: Path | None,
    workers: int,
    role: int = 0,
) -> Generator[Event, None, Measures]:
    """Measure a conversion and write report.html, report.json, contact-sheet.png and worst-frames.png into `folder`.

    Of several roles one is judged at a time. `identities` are the mean descriptors (128,) of its two people; `about`
    says who they are and how the model was trained.
    """
    clips = {"A": done.clip, "swap": probe(done.path)}
    if truth:
        clips["known answer"] = as_small(probe(truth), done.clip)
    faces, others = done.faces[role], done.faces[:role] + done.faces[role + 1 :]
    means = identities["a"], identities["b"]
    found = yield from measure(done.clip, clips["swap"], faces, *means, clips.get("known answer"), workers, others)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        page, contact = report.write(folder, found, clips, faces, {"output": done.path.name, **about})
    yield Finished(contact, "contact sheet")
    yield Finished(page, "report")
    return found.measures


def as_small(clip: Clip, like: Clip) -> Clip:
    """`clip` to be read at the size of `like`, where that is the same picture made smaller; else as it is."""
    smaller = reduced(clip, like.size[1] / clip.size[1])
    return smaller if like.size[1] < clip.size[1] and smaller.size == like.size else clip


def judge_conversion(
    done: Converted, model: Path, folder: Path, truth: Path | None, workers: int, role: int = 0
) -> Generator[Event, None, Measures]:
    """`judge` for what `convert` has just made with a model; of several, with that of a `role`."""
    trained = checkpoint.read_model(model)
    identities = {side: np.array(trained.identity[side], np.float32) for side in SIDES}
    about = {
        "people": f"{trained.people['b']}'s face on {trained.people['a']}'s performance",
        "training": training_text(model),
    }
    return (yield from judge(done, identities, folder, about, truth, workers, role))


def judge_clips(
    target: Path, swap: Path, source: Path, truth: Path | None, folder: Path, example: Path | None, workers: int
) -> Generator[Event, None, Measures]:
    """`judge` for clips alone, whoever swapped them: A is searched in the target, B sampled in the source."""
    clip = probe(target)
    clips = [probe(other) for other in (swap, source, *([truth] if truth else []))]  # unfit ones stop it now, not later
    work = unfinished(folder)
    recipe = ExtractRecipe()
    yield from work_folder(work, {"clip": clip.sha256, "recipe": recipe.as_dict()})
    found = yield from search(clip, recipe, work / "search", workers)
    faces, person, how = pick(found, identity_in(example) if example else None, target.name)
    yield Note(how)
    identities = {"a": person.embedding, "b": sampled_identity(clips[1])}
    about = {"people": f"the face of {source.name} on {target.name}"}
    small = as_small(clip, clips[0])
    done = Converted(small, (faces.reduced(small.size[1] / clip.size[1]),), swap)
    measures = yield from judge(done, identities, folder, about, truth, workers)
    shutil.rmtree(work)
    return measures
