"""A clip and a model into a signed clip."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import shutil
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from .. import __version__
from ..device import Device
from ..errors import ContentError, InputError
from ..events import Event, Finished, Note, Progress
from ..faces import Faces
from ..footage import Clip, Frame, spread
from ..learn import checkpoint, occlusion
from ..learn.checkpoint import Trained
from ..learn.model import SIDES, Network
from ..learn.occlusion import Occlusion
from ..learn.skin import SkinDetail
from ..media.encoders import choose
from ..media.flow import ordered_map
from ..media.reader import frame_at, probe, read, reduced
from ..media.writer import check_output, encoder_version, is_folder, open_writer
from ..project import output_errors
from ..provenance import certificate, consent, credential, ledger, mark, xmp
from ..provenance.content import ContentCheck
from ..provenance.mark import Marker
from ..recipes import ConvertRecipe
from ..swap.face import Box, Swapper
from ..swap.label import START_S, Label, around
from ..swap.steady import REACH, Glimpse, steady
from .casting import Role, cast
from .layers import FACE, MASK, LayerFolder
from .work import refuse_explicit, work_folder

_LOOKED_AT = 12
"""frames by which the new faces are fitted to a clip"""
_FOREHEAD, _CHIN = 10, 152
_WORTH_IT = 0.95
"""part of its size above which a clip is not made smaller"""


@dataclass(frozen=True, eq=False)
class Converted:
    clip: Clip
    """the target"""
    faces: Faces
    """A's faces in it; of several roles the first's"""
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
    skin: SkinDetail | None
    """B's fine skin detail, if the model has it"""
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
        sha256 = checkpoint.weights_sha256(model, which)
        return cls(model, network, trained, state, before, SkinDetail.load(model), sha256)

    def swapper(
        self, recipe: ConvertRecipe, marker: Marker, seen: Iterable[tuple[Frame, NDArray[Any], NDArray[Any]]]
    ) -> Swapper:
        """Fitted to a clip by some of its frames, with A's landmarks (478, 2) and what A does (54,) in each."""
        swapper = Swapper(self.network, self.trained.recipe, recipe, marker, self.before)
        return swapper.fitted(((frame.pixels, points, acting) for frame, points, acting in seen), self.skin)

    def fitted(self, clip: Clip, faces: Faces, recipe: ConvertRecipe, marker: Marker) -> Swapper:
        """`swapper`, by frames spread over the clip, in which A's `faces` are known."""
        acting, some = faces.acting(), spread(len(faces), _LOOKED_AT)
        frames = ((frame_at(clip, int(faces.frame[row])), faces.points[row], acting[row]) for row in some)
        return self.swapper(recipe, marker, frames)

    def unlearned(self, recipe: ConvertRecipe) -> Iterator[Note]:
        """What is to be said of what the model lacks and the recipe asks for."""
        remedy = "`facedouble train` with the same settings teaches it"
        if self.before is None and recipe.occlusion == "keep":
            yield Note(
                f"{self.model.name} has not learned what stands before a face, so hands and hair are covered; {remedy}"
            )
        if self.skin is None and recipe.fit != "none" and self.trained.recipe.skin_faces:
            yield Note(f"{self.model.name} knows nothing of {self.trained.people['b']}'s skin detail; {remedy}")


def convert(
    clip_path: Path,
    cast_of: Path | Sequence[Role],
    out: Path,
    recipe: ConvertRecipe,
    device: Device,
    workers: int,
    layers: Path | None = None,
) -> Generator[Event, None, Converted]:
    """Put B's face on A's in a clip, for one model or several roles; the output is signed as AI-altered before it gets
    its name. A stopped conversion goes on. `layers`: a folder for the layers, see stages.layers. What is returned holds
    the clip and its faces as they were converted: smaller, where the recipe says so."""
    roles = [Role(cast_of)] if isinstance(cast_of, Path) else cast_of
    models = [Opened.of(role.model, device, recipe.checkpoint) for role in roles]
    clip = probe(clip_path)
    if out.resolve() == clip_path.resolve():
        raise InputError(f"{out}: the output would replace the input. Choose another -o.")
    check_output(out, clip, recipe.codec)
    for folder, option in ((out if is_folder(out, clip) else None, "-o"), (layers, "--layers")):
        if folder is not None and folder.exists():
            raise InputError(f"{folder}: exists already. Choose another {option}, or delete it.")
    encoder = None
    if not is_folder(out, clip):
        encoder, said = choose(recipe.codec, recipe.encoder, clip)
        if said:
            yield Note(said)
    check = ContentCheck()
    refuse_explicit(check, clip, clip_path.name)
    work = out.with_name(f".{out.name}.part")
    faces = yield from cast(clip, roles, [opened.trained for opened in models], recipe, work / "faces", workers)
    if recipe.fit == "reduce":
        clip, faces, note = smaller(clip, faces, recipe.face_px)
        yield note
    parts = list(zip(models, faces, strict=True))
    for opened in models:
        yield from opened.unlearned(recipe)
    marker = Marker(mark_of(clip, models))
    swappers = [(opened.fitted(clip, faces, recipe, marker), faces) for opened, faces in parts]
    for (swapper, _), opened in zip(swappers, models, strict=True):
        if recipe.fit != "none":
            yield Note(f"{opened.trained.people['b']} on {clip.path.name}: {swapper.fit.text()}")
    # Frames are worked on side by side, so each needs but one thread.
    torch.set_num_threads(1 if device.name == "cpu" else device.threads)
    made = work / "made"
    yield from work_folder(made, {**stamp(clip, parts, recipe), "encoder": f"{encoder_version()} {encoder}"})
    encoding = made / ("pictures" if is_folder(out, clip) else f"film{out.suffix}")
    try:
        with output_errors(out):
            kept = None if layers is None else LayerFolder(made / "layers", clip)
            with open_writer(encoding, clip, recipe.codec, recipe.crf, made / "segments", encoder) as writer:
                begin = writer.begin if kept is None else min(writer.begin, kept.begin)
                if begin:
                    yield Note(f"{out}: going on with an earlier conversion, {begin} of {clip.count} frames done")
                for frame, pixels, box in worked(clip, swappers, recipe, begin, workers, kept):
                    if frame.index >= writer.begin:
                        writer.write(frame, pixels, box)
                    if (frame.index + 1) % 10 == 0 or frame.index + 1 == clip.count:
                        yield Progress(f"converting {clip.path.name}", frame.index + 1, clip.count)
            refuse_explicit(check, probe(encoding), out.name)
            if layers is not None and kept is not None:
                kept.describe([(opened.trained, faces) for opened, faces in parts], recipe)
                for name in (FACE, MASK):  # the plate is as it was
                    sign(made / "layers" / name, made / "layers" / name, clip, parts, recipe, layers / name)
                layers.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(made / "layers", layers)
                yield Finished(layers, "plate, face and mask")
            sign(encoding, out, clip, parts, recipe)
    except ContentError:
        shutil.rmtree(work)
        raise
    shutil.rmtree(work)
    shown = np.unique(np.concatenate([part.frame for part in faces]))
    minutes = " and ".join(f"{opened.state.seconds / 60:.1f}" for opened in models)
    yield Finished(out, f"{len(shown)} of {clip.count} frames converted, after {minutes} minutes of training")
    return Converted(clip, faces[0], out)


def mark_of(clip: Clip, models: Sequence[Opened]) -> str:
    """The number in the invisible mark of what is made of a clip with these models."""
    return mark.id_of(clip.sha256, *(opened.weights_sha256 for opened in models))


def smaller(clip: Clip, faces: Sequence[Faces], face_px: int) -> tuple[Clip, list[Faces], Note]:
    """The clip, and the faces found in it, to be read so small that half of the faces are at most `face_px` tall from
    forehead to chin; as they are where that is so already. And what is to be said of it."""
    points = np.concatenate([part.points for part in faces])
    middle = float(np.median(np.linalg.norm(points[:, _FOREHEAD] - points[:, _CHIN], axis=1))) if len(points) else 0.0
    part = face_px / max(middle, 1e-6)
    if part > _WORTH_IT:
        return clip, list(faces), Note(f"{clip.path.name}: faces are {middle:.0f} px tall, so it is not made smaller")
    less = reduced(clip, part)
    size = f"{less.size[0]}x{less.size[1]}"
    said = Note(f"{clip.path.name}: faces are {middle:.0f} px tall; made smaller, to {size}, where they are {face_px}")
    return less, [one.reduced(less.size[1] / clip.size[1]) for one in faces], said


Parts = Sequence[tuple[Opened, Faces]]
"""models, and the faces each of them replaces"""


def stamp(clip: Clip, parts: Parts, recipe: ConvertRecipe) -> dict[str, Any]:
    """All that a conversion's pictures depend on: one that was stopped goes on only where none of it changed."""
    models = []
    for opened, faces in parts:
        weights = hashlib.sha256(opened.weights_sha256.encode())
        for part in opened.before.state_dict().values() if opened.before else ():
            weights.update(part.cpu().numpy().tobytes())
        if opened.skin is not None:
            weights.update(opened.skin.ratio.tobytes())
        shown = hashlib.sha256(faces.frame.tobytes() + faces.points.tobytes() + faces.acting().tobytes())
        models.append({"weights": weights.hexdigest(), "faces": shown.hexdigest()})
    return {"clip": clip.sha256, "recipe": recipe.as_dict(), "models": models, "tool": __version__}


@dataclass(frozen=True, eq=False)
class Swap:
    """One face of one frame that is to be replaced."""

    swapper: Swapper
    points: NDArray[np.float32]
    acting: NDArray[np.float32]
    who: tuple[int, int]
    """the same for one face from frame to frame: which of the parts, and its track"""


Looked = tuple[Frame, dict[tuple[int, int], Glimpse]]


def worked(
    clip: Clip,
    swappers: Sequence[tuple[Swapper, Faces]],
    recipe: ConvertRecipe,
    begin: int,
    workers: int,
    layers: LayerFolder | None = None,
) -> Iterator[tuple[Frame, NDArray[Any] | None, Box | None]]:
    """The frames from `begin` on, each with its new pixels and the box these are new in, None where nothing is. The
    layers are written on the way.

    In two lines: one looks what stands before each face, some frames ahead of the other, which then knows the frames
    after its own. A late begin gives just what a begin at 0 does.
    """
    swaps: dict[int, list[Swap]] = {}
    for number, (swapper, faces) in enumerate(swappers):
        acting = faces.acting()
        for row, frame in enumerate(faces.frame.tolist()):
            who = (number, int(faces.track[row]))
            swaps.setdefault(frame, []).append(Swap(swapper, faces.points[row], acting[row], who))
    label = Label.of(clip.size) if recipe.label != "none" else None
    labelled_until = math.inf if recipe.label == "whole" else clip.pts[0] + START_S / clip.time_base

    def look(frame: Frame) -> Looked:
        seen = {swap.who: swap.swapper.glimpse(frame.pixels, swap.points) for swap in swaps.get(frame.index, ())}
        return frame, {who: glimpse for who, glimpse in seen.items() if glimpse is not None}

    def work(window: Sequence[Looked | None]) -> tuple[Frame, NDArray[Any] | None, Box | None]:
        middle = window[REACH]
        assert middle is not None
        frame, before = middle
        pixels: NDArray[Any] | None = None
        box: Box | None = None
        laid = []
        for swap in swaps.get(frame.index, ()):
            glimpses = [None if looked is None else looked[1].get(swap.who) for looked in window]
            known = steady(glimpses) if swap.who in before else None
            plate = frame.pixels if pixels is None else pixels
            pixels, layer = swap.swapper(plate, swap.points, swap.acting, known)
            if layer is not None:
                laid.append(layer)
                box = around(box, layer.box)
        if layers is not None:
            layers.write(frame, laid)
        if label is not None and frame.pts < labelled_until:
            pixels = label(frame.pixels if pixels is None else pixels)
            box = around(box, label.box)
        return frame, pixels, box

    ahead = 2 * workers + 2
    looked = ordered_map(read(clip, max(0, begin - REACH)), look, workers, ahead)
    return ordered_map(_windows(looked, begin), work, workers, ahead)


def _windows(looked: Generator[Looked, None, None], begin: int) -> Iterator[Sequence[Looked | None]]:
    """Each frame from `begin` on with the REACH before and after it, None beyond the ends."""
    window: deque[Looked | None] = deque([None] * (2 * REACH + 1), 2 * REACH + 1)
    with closing(looked):
        for following in chain(looked, [None] * REACH):
            window.append(following)
            middle = window[REACH]
            if middle is not None and middle[0].index >= begin:
                yield list(window)


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
