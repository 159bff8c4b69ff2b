"""A clip and a model into a signed clip."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import shutil
from collections.abc import Callable, Generator
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
from ..errors import ContentError, InputError
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
from ..media.writer import check_output, encoder_version, is_folder, open_writer
from ..project import output_errors
from ..provenance import certificate, consent, credential, ledger, xmp
from ..provenance.content import ContentCheck
from ..recipes import ConvertRecipe, ExtractRecipe
from ..swap.face import Box, Swapper
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

    @classmethod
    def of(cls, model: Path, device: Device) -> Self:
        """Raises ModelError; ConsentError where a record does not hold; and where the signing key is unusable, which
        must stop the work before it begins, not after."""
        place = torch.device(device.name)
        network, trained, state = checkpoint.load(model, place)
        for side in SIDES:
            consent.check(trained.consents[side], dt.date.today())
        certificate.signing_identity()
        before = occlusion.load(model)
        return cls(model, network, trained, state, None if before is None else before.to(place))

    def swapper(self, recipe: ConvertRecipe) -> Swapper:
        return Swapper(self.network, self.trained.recipe, recipe, self.before)

    def stamp(self, clip: Clip, faces: Faces, recipe: ConvertRecipe) -> dict[str, Any]:
        """All that a conversion's pictures depend on: one that was stopped goes on only where none of it changed."""
        parts = {"clip": clip.sha256, "recipe": recipe.as_dict(), "tool": __version__, "encoder": encoder_version()}
        weights = hashlib.sha256(checkpoint.weights_sha256(self.model).encode())
        for part in self.before.state_dict().values() if self.before else ():
            weights.update(part.cpu().numpy().tobytes())
        shown = hashlib.sha256(faces.frame.tobytes() + faces.points.tobytes() + faces.acting().tobytes())
        return {**parts, "weights": weights.hexdigest(), "faces": shown.hexdigest()}

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
    opened = Opened.of(model, device)
    clip = probe(clip_path)
    if out.resolve() == clip_path.resolve():
        raise InputError(f"{out}: the output would replace the input. Choose another -o.")
    check_output(out, clip, recipe.codec)
    if is_folder(out, clip) and out.exists():
        raise InputError(f"{out}: the folder exists already. Choose another -o, or delete it.")
    check = ContentCheck()
    refuse_explicit(check, clip, clip_path.name)
    work = out.with_name(f".{out.name}.part")
    faces = yield from faces_of_a(clip, recipe, opened.trained, work / "faces", workers)
    if opened.before is None and recipe.occlusion == "keep":
        yield opened.unlearned()
    # Frames are worked on side by side, so each needs but one thread.
    torch.set_num_threads(1 if device.name == "cpu" else device.threads)
    made = work / "made"
    yield from work_folder(made, opened.stamp(clip, faces, recipe))
    encoding = made / ("pictures" if is_folder(out, clip) else f"film{out.suffix}")
    try:
        with output_errors(out):
            with open_writer(encoding, clip, recipe.codec, recipe.crf, made / "segments") as writer:
                if writer.begin:
                    yield Note(
                        f"{out}: going on with an earlier conversion, {writer.begin} of {clip.count} frames done"
                    )
                worked = ordered_map(
                    read(clip, writer.begin), worker(clip, faces, opened, recipe), workers, ahead=2 * workers + 2
                )
                for frame, pixels, box in worked:
                    writer.write(frame, pixels, box)
                    if (frame.index + 1) % 10 == 0 or frame.index + 1 == clip.count:
                        yield Progress(f"converting {clip.path.name}", frame.index + 1, clip.count)
            refuse_explicit(check, probe(encoding), out.name)
            sign(encoding, out, clip, opened, recipe, faces)
    except ContentError:
        shutil.rmtree(work)
        raise
    shutil.rmtree(work)
    yield Finished(
        out, f"{len(faces)} of {clip.count} frames converted, after {opened.state.seconds / 60:.1f} minutes of training"
    )
    return Converted(clip, faces, out)


def worker(
    clip: Clip, faces: Faces, opened: Opened, recipe: ConvertRecipe
) -> Callable[[Frame], tuple[Frame, NDArray[Any] | None, Box | None]]:
    """What is done with each frame: the frame, its new pixels and the box these are new in, None where nothing is."""
    row_of = {int(frame): row for row, frame in enumerate(faces.frame)}
    acting, swapper = faces.acting(), opened.swapper(recipe)
    label = Label.of(clip.size) if recipe.label != "none" else None
    labelled_until = math.inf if recipe.label == "whole" else clip.pts[0] + START_S / clip.time_base

    def work(frame: Frame) -> tuple[Frame, NDArray[Any] | None, Box | None]:
        row, pixels, box = row_of.get(frame.index), None, None
        if row is not None:
            pixels, box = swapper(frame.pixels, faces.points[row], acting[row])
        if label is not None and frame.pts < labelled_until:
            pixels = label(frame.pixels if pixels is None else pixels)
            box = around(box, label.box)
        return frame, pixels, box

    return work


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


def faces_of_a(
    clip: Clip, asked: ConvertRecipe, trained: Trained, work: Path, workers: int
) -> Generator[Event, None, Faces]:
    """A's faces where they are to be replaced: those of A's face set where all of this very clip went into it, else
    searched, in the folder `work`. Raises InputError where the clip has none of the recipe's ranges."""
    wanted = np.zeros(clip.count, bool)
    for start, stop in clip.stretches(asked.ranges):
        wanted[start:stop] = True
    if (known := known_faces(clip, trained)) is not None:
        return known[wanted[known.frame]]
    recipe = ExtractRecipe(ranges=asked.ranges)
    yield from work_folder(work, {"clip": clip.sha256, "recipe": recipe.as_dict()})
    found = yield from search(clip, recipe, work / "search", workers)
    identity, like = np.array(trained.identity["a"], np.float32), f"{trained.people['a']}'s face set"
    faces, _, how = pick(found, identity, clip.path.name, like=like)
    yield Note(how)
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
        model_sha256=checkpoint.weights_sha256(opened.model),
        changed_frames=_ranges(faces.frame),
        recipe={"train": trained.recipe.as_dict(), "convert": recipe.as_dict()},
    )
    xmp.write(encoding, __version__)
    if encoding.is_dir():
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
