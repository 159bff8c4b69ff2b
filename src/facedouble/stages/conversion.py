"""A clip and a model into a signed clip."""

from __future__ import annotations

import datetime as dt
import math
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from .. import __version__
from ..curate import aside
from ..curate.faceset import FaceSet
from ..device import Device
from ..errors import InputError
from ..events import Event, Finished, Note, Progress
from ..faces import Faces
from ..find.person import pick
from ..find.search import search
from ..footage import Clip, Frame
from ..learn import checkpoint, occlusion
from ..learn.checkpoint import Trained
from ..learn.model import SIDES, Network
from ..learn.occlusion import Occlusion
from ..media.flow import ordered_map
from ..media.reader import probe, read
from ..media.writer import open_writer
from ..project import output_errors, unfinished
from ..provenance import certificate, consent, credential, ledger, xmp
from ..provenance.content import ContentCheck
from ..recipes import ConvertRecipe, ExtractRecipe
from ..swap.face import Swapper
from ..swap.label import START_S, Label, around
from .work import refuse_explicit, work_folder


@dataclass(frozen=True, eq=False)
class Converted:
    clip: Clip
    """the target"""
    faces: Faces
    """A's faces in it"""
    path: Path


@dataclass(frozen=True, eq=False)
class Opened:
    """A model, loaded to convert with."""

    model: Path
    network: Network
    trained: Trained
    state: checkpoint.State
    before: Occlusion | None
    """what stands before a face, if the model has learned it"""
    weights_sha256: str

    @classmethod
    def of(cls, model: Path, device: Device, which: str) -> Self:
        """Raises ModelError; ConsentError where a record does not hold; and where the signing key is unusable, which
        must stop the work before it begins, not after."""
        place = torch.device(device.name)
        network, trained, state = checkpoint.load(model, place, which)
        for side in SIDES:
            consent.check(trained.consents[side], dt.date.today())
        certificate.signing_identity()
        before = occlusion.load(model)
        before = None if before is None else before.to(place)
        return cls(model, network, trained, state, before, checkpoint.weights_sha256(model, which))

    def swapper(self, recipe: ConvertRecipe) -> Swapper:
        return Swapper(self.network, self.trained.recipe, recipe, self.before)

    def unlearned(self) -> Note:
        """To be said where `before` is missing and wanted."""
        return Note(
            f"{self.model.name} has not learned what stands before a face, so hands and hair are covered; `facedouble "
            "train` with the same settings teaches it"
        )


def convert(
    clip_path: Path, model: Path, out: Path, recipe: ConvertRecipe, device: Device, workers: int
) -> Generator[Event, None, Converted]:
    """Put B's face on A's in a clip; the output is signed as AI-altered before it gets its name."""
    opened = Opened.of(model, device, recipe.checkpoint)
    clip = probe(clip_path)
    if out.resolve() == clip_path.resolve():
        raise InputError(f"{out}: the output would replace the input. Choose another -o.")
    encoding = out.with_name(f".{out.stem}.encoding{out.suffix}")
    with output_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if encoding.exists():
            yield Note(f"{out}: an unfinished conversion was found; starting it over")
            _remove(encoding)
    check = ContentCheck()
    refuse_explicit(check, clip, clip_path.name)
    faces = yield from faces_of_a(clip, opened.trained, out, workers)
    row_of = {int(frame): row for row, frame in enumerate(faces.frame)}
    acting = faces.acting()
    if opened.before is None and recipe.occlusion == "keep":
        yield opened.unlearned()
    swapper = opened.swapper(recipe)
    # Frames are worked on side by side, so each needs but one thread.
    torch.set_num_threads(1 if device.name == "cpu" else device.threads)

    label = Label.of(clip.size) if recipe.label != "none" else None
    labelled_until = math.inf if recipe.label == "whole" else clip.pts[0] + START_S / clip.time_base

    def work(frame: Frame) -> tuple[Frame, NDArray[Any] | None, tuple[int, int, int, int] | None]:
        row, pixels, box = row_of.get(frame.index), None, None
        if row is not None:
            pixels, box = swapper(frame.pixels, faces.points[row], acting[row])
        if label is not None and frame.pts < labelled_until:
            pixels = label(frame.pixels if pixels is None else pixels)
            box = around(box, label.box)
        return frame, pixels, box

    try:
        with output_errors(out):
            with open_writer(encoding, clip, recipe.codec, recipe.crf) as writer:
                for frame, pixels, box in ordered_map(read(clip), work, workers=workers, ahead=2 * workers + 2):
                    writer.write(frame, pixels, box)
                    if (frame.index + 1) % 10 == 0 or frame.index + 1 == clip.count:
                        yield Progress(f"converting {clip.path.name}", frame.index + 1, clip.count)
            refuse_explicit(check, probe(encoding), out.name)
            sign(encoding, out, clip, opened, recipe, faces)
    finally:
        _remove(encoding)
    yield Finished(
        out, f"{len(faces)} of {clip.count} frames converted, after {opened.state.seconds / 60:.1f} minutes of training"
    )
    return Converted(clip, faces, out)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


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
    return faces_a.faces[np.array([row for row in rows if faces_a.crop[row] not in others], np.int64)]


def faces_of_a(clip: Clip, trained: Trained, out: Path, workers: int) -> Generator[Event, None, Faces]:
    """A's faces in the clip: those of A's face set where all of this very clip went into it, else searched."""
    if (known := known_faces(clip, trained)) is not None:
        return known
    work = unfinished(out.with_suffix(".faces"))
    recipe = ExtractRecipe()
    yield from work_folder(work, {"clip": clip.sha256, "recipe": recipe.as_dict()})
    found = yield from search(clip, recipe, work / "search", workers)
    wanted, like = np.array(trained.identity["a"], np.float32), f"{trained.people['a']}'s face set"
    faces, _, how = pick(found, wanted, clip.path.name, like=like)
    yield Note(how)
    shutil.rmtree(work)
    return faces


def sign(encoding: Path, out: Path, clip: Clip, opened: Opened, recipe: ConvertRecipe, faces: Faces) -> None:
    """Give a file, or a folder of pictures, its credential and the name `out`, and note it in the user's ledger."""
    trained = opened.trained
    learned = [
        (role, source)
        for role, side in (("source", "b"), ("training", "a"))
        for source in trained.face_sets[side]["footage"]
    ]
    claim = credential.Claim(
        title=out.name,
        tool_version=__version__,
        ingredients=[
            credential.Ingredient(clip.path, clip.sha256, "target"),
            *(
                credential.Ingredient(Path(source["path"]), source["sha256"], role)
                for role, source in learned
                if role == "source" or source["sha256"] != clip.sha256
            ),
        ],
        people=[
            credential.Person(trained.people[side], trained.consents[side].id, role)
            for side, role in (("a", "target"), ("b", "source"))
        ],
        model_sha256=opened.weights_sha256,
        changed_frames=_ranges(faces.frame),
        recipe={"train": trained.recipe.as_dict(), "convert": recipe.as_dict()},
    )
    xmp.write(encoding, __version__)
    if encoding.is_dir():
        if out.exists():
            raise InputError(f"{out}: the folder exists already. Choose another -o, or delete it.")
        credential.sign(encoding, encoding, claim)
        encoding.replace(out)
    else:
        credential.sign(encoding, out, claim)
    made = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    people = claim.people
    ledger.record(
        ledger.Output(
            str(out.resolve()), made, [p.consent_id for p in people], [p.name for p in people], claim.model_sha256, ""
        )
    )


def _ranges(frames: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ascending frame numbers as half-open ranges."""
    if not len(frames):
        return []
    parts = np.split(frames, np.nonzero(np.diff(frames) > 1)[0] + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]
