"""All faces of a clip, searched in stretches by a few threads; a stretch that is done is kept, so a stopped search
goes on."""

from __future__ import annotations

import queue
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..events import Note, Progress
from ..faces import Faces
from ..footage import Clip, spread
from ..media.flow import ordered_map
from ..media.reader import read
from ..project import atomic_file
from ..recipes import ExtractRecipe
from .finder import CUT, THUMB_PX, Finder, change, thumbnail, to_8_bit
from .track import cuts, smooth, track

# Fixed, so that the result does not depend on how many threads there are or where an earlier run stopped.
_STRETCH = 120
_PLACES = 20


@dataclass(frozen=True)
class _Stretch:
    start: int
    stop: int


def search(clip: Clip, recipe: ExtractRecipe, keep: Path, workers: int) -> Generator[Progress | Note, None, Faces]:
    """Yields progress; returns the Faces of the clip, or of the recipe's ranges of it, tracked and smoothed. Finished
    stretches lie in the folder `keep`. In a folder of pictures that are no film, and where each range is a single
    frame, which no other can confirm, each face is a track of its own.

    Raises InputError for a clip that cannot be decoded to its end or has none of the ranges, MachineError where a
    library or weights are missing.
    """
    ranges = clip.stretches(recipe.ranges)
    stretches = [_Stretch(i, min(i + _STRETCH, stop)) for start, stop in ranges for i in range(start, stop, _STRETCH)]
    done = {part.start: file for part in stretches if (file := _file(keep, part)).is_file()}
    if done:
        yield Note(f"{clip.path.name}: going on with an earlier search, {len(done)} of {len(stretches)} stretches done")
    several = any(stop - start > 1 for start, stop in ranges)
    film = several and (not clip.is_folder or (not clip.sizes_differ and _is_film(clip)))
    finders: queue.SimpleQueue[Finder] = queue.SimpleQueue()
    made = min(workers, len(stretches) - len(done))
    for _ in range(made):
        finders.put(Finder(recipe.max_people, recipe.min_face_px, film))

    def look(part: _Stretch) -> _Stretch:
        finder = finders.get()
        try:
            finder.restart()
            faces, thumbs = finder.find(read(clip, part.start, part.stop))
        finally:
            finders.put(finder)
        with atomic_file(_file(keep, part)) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, thumbs=thumbs, **faces.columns())
        return part

    missing = [part for part in stretches if part.start not in done]
    total = sum(stop - start for start, stop in ranges)
    frames = total - sum(part.stop - part.start for part in missing)
    try:
        for part in ordered_map(missing, look, workers=max(1, made), ahead=2 * max(1, made)):
            frames += part.stop - part.start
            yield Progress(f"searching {clip.path.name}", frames, total)
    finally:
        while made:
            finders.get().close()
            made -= 1
    found, thumbs = zip(*(_load(_file(keep, part)) for part in stretches), strict=True)
    if not film:
        faces = Faces.join(found)
        return replace(faces, track=np.arange(len(faces)))
    begins, seen = np.zeros(clip.count, bool), np.concatenate(thumbs)
    for start, stop in ranges:
        begins[start:stop] = cuts(seen[: stop - start])
        seen = seen[stop - start :]
    rate = float(clip.rate)
    return smooth(track(Faces.join(found), begins, rate), rate)


def _is_film(folder: Clip) -> bool:
    """Whether a folder's pictures follow each other as the frames of a film: most differ less from the one before than
    at a cut. Of neighbours at up to 20 places."""
    changes = [
        float(change(np.array([thumbnail(to_8_bit(frame.pixels)) for frame in read(folder, place, place + 2)]))[0])
        for place in spread(folder.count - 1, _PLACES).tolist()
    ]
    return bool(changes) and float(np.median(changes)) < CUT


def _file(keep: Path, part: _Stretch) -> Path:
    return keep / f"faces-{part.start:07d}.npz"


def _load(file: Path) -> tuple[Faces, NDArray[np.uint8]]:
    with np.load(file, allow_pickle=False) as stored:
        columns: dict[str, NDArray[Any]] = {name: stored[name] for name in stored.files}
    thumbs = columns.pop("thumbs").reshape(-1, THUMB_PX, THUMB_PX, 3)
    return Faces(**columns), thumbs
