"""From clips and the Faces kept in them to the crops and columns of a face set."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..events import Progress
from ..faces import Faces
from ..find.crop import aligned, sharpness
from ..find.finder import to_8_bit
from ..footage import Clip, Frame
from ..geometry import align
from ..media.flow import ordered_map
from ..media.reader import read
from ..project import output_errors
from ..provenance.consent import ConsentRecord
from ..recipes import ExtractRecipe
from .faceset import FaceSet, Source, crop_name


def collect(
    kept: Sequence[tuple[Clip, Faces]], folder: Path, recipe: ExtractRecipe, record: ConsentRecord, workers: int
) -> Generator[Progress, None, FaceSet]:
    """Write the crops of each clip's faces (one a frame) and the table of the set into `folder`. Raises OutputError,
    InputError."""
    with output_errors(folder):
        (folder / "crops").mkdir(exist_ok=True)
    parts, tracks = [], 0
    for number, (clip, faces) in enumerate(kept):
        crop, sharp = yield from _cut(clip, number, faces, folder / "crops", recipe, workers)
        parts.append((crop, sharp, replace(faces, track=faces.track + tracks), np.full(len(faces), number)))
        tracks += int(faces.track.max(initial=-1)) + 1  # a track is of one clip
    faces = Faces.join([part[2] for part in parts])
    result = FaceSet(
        path=folder,
        person=record.person,
        consent=record,
        sources=tuple(Source.of(clip, recipe.looks_everywhere) for clip, _ in kept),
        recipe=recipe,
        faces=faces,
        source=np.concatenate([part[3] for part in parts]),
        pts=np.concatenate([clip.pts[faces.frame] for clip, faces in kept]),
        sharpness=np.concatenate([part[1] for part in parts]),
        transform=np.array([align(points, recipe.size_px, recipe.coverage) for points in faces.points]).reshape(
            -1, 2, 3
        ),
        crop=[name for part in parts for name in part[0]],
    )
    result.save()
    return result


def _cut(
    clip: Clip, number: int, faces: Faces, folder: Path, recipe: ExtractRecipe, workers: int
) -> Generator[Progress, None, tuple[list[str], NDArray[np.float32]]]:
    """Write the crops of the set's n-th clip; returns each face's crop name ("" for none) and sharpness."""
    count = len(faces)
    crops = [""] * count
    sharp = np.full(count, np.nan, np.float32)
    # Bridged faces were guessed from their neighbours: good enough to convert, not to learn from.
    taken = {int(faces.frame[row]): row for row in range(0, count, recipe.every) if faces.score[row] > 0}

    def wanted() -> Iterator[Frame]:
        if taken:
            yield from (frame for frame in read(clip, min(taken), max(taken) + 1) if frame.index in taken)

    def cut(frame: Frame) -> int:
        row = taken[frame.index]
        picture, _ = aligned(to_8_bit(frame.pixels), faces.points[row], recipe.size_px, recipe.coverage)
        sharp[row] = sharpness(picture)
        crops[row] = crop_name(number, frame.index)
        _write_png(folder / crops[row], picture)
        return row

    for done, _ in enumerate(ordered_map(wanted(), cut, workers=workers, ahead=4 * workers), 1):
        if done % 10 == 0 or done == len(taken):
            yield Progress(f"cropping {clip.path.name}", done, len(taken))
    return crops, sharp


def _write_png(file: Path, picture: np.ndarray) -> None:
    import cv2

    # The lightest compression: a third larger and several times faster than the default.
    _, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    with output_errors(file):
        file.write_bytes(encoded.tobytes())
