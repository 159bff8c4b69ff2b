"""A clip and a model into a signed clip."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import __version__
from ..device import Device
from ..errors import ContentError, InputError
from ..events import Event, Finished, Note, Progress
from ..faces import Faces
from ..footage import Clip, Frame
from ..media.crew import Crew
from ..media.encoders import choose
from ..media.flow import ordered_map
from ..media.reader import probe, read, reduced
from ..media.writer import check_output, encoder_version, is_folder, open_writer
from ..project import output_errors
from ..provenance.content import ContentCheck
from ..provenance.mark import Marker
from ..recipes import ConvertRecipe
from ..swap.face import Box, Layer, Swapper
from ..swap.frame import Glimpses, Swap, look, swapped
from ..swap.label import START_S, Label, around
from ..swap.steady import REACH
from .casting import Role, cast
from .layers import FACE, MASK, LayerFolder
from .opening import Opened, Parts
from .signing import mark_of, sign
from .work import refuse_explicit, work_folder

_FOREHEAD, _CHIN = 10, 152
_WORTH_IT = 0.95
"""part of its size above which a clip is not made smaller"""
_WORTH_PROCESSES, _MOST_PROCESSES = 120, 8
"""frames of a clip from which on further processes save more time than they take to start, and how many of them one
process that decodes and encodes keeps at work"""


@dataclass(frozen=True, eq=False)
class Converted:
    clip: Clip
    """the target"""
    faces: tuple[Faces, ...]
    """those that were replaced, of each role"""
    path: Path


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
    with Crew[Sequence[Swapper]](_processes(clip, recipe, device, workers), ("cv2", look.__module__)) as crew:
        return (yield from _converted(clip, roles, models, out, recipe, encoder, device, crew, workers, layers))


def _converted(
    clip: Clip,
    roles: Sequence[Role],
    models: Sequence[Opened],
    out: Path,
    recipe: ConvertRecipe,
    encoder: str | None,
    device: Device,
    crew: Crew[Sequence[Swapper]],
    workers: int,
    layers: Path | None,
) -> Generator[Event, None, Converted]:
    """What `convert` does once all that can be checked beforehand is."""
    check = ContentCheck()
    refuse_explicit(check, clip, clip.path.name)
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
    crew.equip(_equipped, [swapper for swapper, _ in swappers], 1 if device.name == "cpu" else device.threads)
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
                for frame, pixels, box in worked(clip, swappers, recipe, begin, crew, workers, kept):
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
    return Converted(clip, tuple(faces), out)


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


def stamp(clip: Clip, parts: Parts, recipe: ConvertRecipe) -> dict[str, Any]:
    """All that a conversion's pictures depend on: one that was stopped goes on only where none of it changed."""
    models = []
    for opened, faces in parts:
        weights = hashlib.sha256(opened.weights_sha256.encode())
        for part in opened.before.state_dict().values() if opened.before else ():
            weights.update(part.cpu().numpy().tobytes())
        for kept in (opened.skin, opened.features, opened.usual):
            for part in fields(kept) if kept is not None else ():
                value = getattr(kept, part.name)
                weights.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        shown = hashlib.sha256(faces.frame.tobytes() + faces.points.tobytes() + faces.acting().tobytes())
        models.append({"weights": weights.hexdigest(), "faces": shown.hexdigest()})
    return {"clip": clip.sha256, "recipe": recipe.as_dict(), "models": models, "tool": __version__}


Looked = tuple[Frame, Glimpses]


def worked(
    clip: Clip,
    swappers: Sequence[tuple[Swapper, Faces]],
    recipe: ConvertRecipe,
    begin: int,
    crew: Crew[Sequence[Swapper]],
    workers: int,
    layers: LayerFolder | None = None,
) -> Iterator[tuple[Frame, NDArray[Any] | None, Box | None]]:
    """The frames from `begin` on, each with its new pixels and the box these are new in, None where nothing is. The
    layers are written on the way.

    In two lines: one looks what stands before each face, some frames ahead of the other, which then knows the frames
    after its own. A late begin gives just what a begin at 0 does.
    """
    swaps: dict[int, list[Swap]] = {}
    for number, (_, faces) in enumerate(swappers):
        acting = faces.acting()
        for row, frame in enumerate(faces.frame.tolist()):
            who = (number, int(faces.track[row]))
            swaps.setdefault(frame, []).append(Swap(who, faces.points[row], acting[row]))
    label = Label.of(clip.size) if recipe.label != "none" else None
    labelled_until = math.inf if recipe.label == "whole" else clip.pts[0] + START_S / clip.time_base

    def see(frame: Frame) -> Looked:
        shown = swaps.get(frame.index)
        return frame, crew(look, frame.pixels, shown) if shown else {}

    def work(window: Sequence[Looked | None]) -> tuple[Frame, NDArray[Any] | None, Box | None]:
        middle = window[REACH]
        assert middle is not None
        frame, _ = middle
        pixels: NDArray[Any] | None = None
        box: Box | None = None
        laid: Sequence[Layer] = ()
        if shown := swaps.get(frame.index):
            glimpses = [None if looked is None else looked[1] for looked in window]
            done = crew(swapped, frame.pixels, shown, glimpses, layers is not None)
            pixels, box, laid = done.laid(frame.pixels), done.box, done.layers
        if layers is not None:
            layers.write(frame, laid)
        if label is not None and frame.pts < labelled_until:
            pixels = label(frame.pixels if pixels is None else pixels)
            box = around(box, label.box)
        return frame, pixels, box

    ahead = 2 * workers + 2
    looked = ordered_map(read(clip, max(0, begin - REACH)), see, workers, ahead)
    return ordered_map(_windows(looked, begin), work, workers, ahead)


def _equipped(swappers: Sequence[Swapper], threads: int) -> Sequence[Swapper]:
    torch.set_num_threads(threads)
    return swappers


def _processes(clip: Clip, recipe: ConvertRecipe, device: Device, workers: int) -> int:
    """How many processes beside this one shorten the work."""
    frames = sum(stop - start for start, stop in clip.stretches(recipe.ranges))
    if device.name != "cpu" or workers == 1 or frames < _WORTH_PROCESSES:
        return 0
    return min(workers, _MOST_PROCESSES)


def _windows(looked: Generator[Looked, None, None], begin: int) -> Iterator[Sequence[Looked | None]]:
    """Each frame from `begin` on with the REACH before and after it, None beyond the ends."""
    window: deque[Looked | None] = deque([None] * (2 * REACH + 1), 2 * REACH + 1)
    with closing(looked):
        for following in chain(looked, [None] * REACH):
            window.append(following)
            middle = window[REACH]
            if middle is not None and middle[0].index >= begin:
                yield list(window)
