"""From clips and the Faces kept in them to the crops and columns of a face set."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..events import Progress
from ..faces import Faces
from ..find.crop import aligned
from ..find.finder import to_8_bit
from ..footage import Clip, Frame, spread
from ..geometry import align, apply, scale_of
from ..media.flow import ordered_map
from ..media.reader import read
from ..project import output_errors
from ..provenance.consent import ConsentRecord
from ..recipes import ExtractRecipe
from .faceset import FaceSet, Source, crop_name
from .quality import Looks, look, stamp

_CROP_PX, _STEP_PX = (256, 512), 128
_SMALLER = 0.05
"""of a face's size in its footage, by which a crop may be smaller"""
_MEASURED = 1000


def crop_px(kept: Sequence[tuple[Clip, Faces]], coverage: float) -> int:
    """The side of crops in which most faces are as large as in their footage, of 256 to 512 px: what is finer than
    that few clips hold, and a set of many faces should not be larger than its footage."""
    points = np.concatenate([faces.points for _, faces in kept])
    squares = [1 / scale_of(align(face, 1, 1)) for face in points[spread(len(points), _MEASURED)]]
    steps = math.ceil((1 - _SMALLER) * coverage * float(np.median(squares)) / _STEP_PX)
    return int(np.clip(steps * _STEP_PX, *_CROP_PX))


def collect(
    kept: Sequence[tuple[Clip, Faces]], folder: Path, recipe: ExtractRecipe, record: ConsentRecord, workers: int
) -> Generator[Progress, None, FaceSet]:
    """Write the crops of each clip's faces (one a frame), the table of the set and the crops' measures into `folder`.
    Raises OutputError, InputError."""
    with output_errors(folder):
        (folder / "crops").mkdir(exist_ok=True)
    crops: list[str] = []
    looks: list[Looks] = []
    for number, (clip, faces) in enumerate(kept):
        names, found = yield from _cut(clip, number, faces, folder / "crops", recipe, workers)
        crops += names
        looks.append(found)
    seen = Looks.join(looks)
    faces = Faces.join_clips([faces for _, faces in kept])
    result = FaceSet(
        path=folder,
        person=record.person,
        consent=record,
        sources=tuple(Source.of(clip, recipe.looks_everywhere) for clip, _ in kept),
        recipe=recipe,
        faces=faces,
        source=np.repeat(np.arange(len(kept)), [len(faces) for _, faces in kept]),
        pts=np.concatenate([clip.pts[faces.frame] for clip, faces in kept]),
        sharpness=seen.sharpness,
        transform=np.array([align(points, recipe.size_px, recipe.coverage) for points in faces.points]).reshape(
            -1, 2, 3
        ),
        crop=crops,
    )
    result.save()
    seen.save(result)
    return result


def _cut(
    clip: Clip, number: int, faces: Faces, folder: Path, recipe: ExtractRecipe, workers: int
) -> Generator[Progress, None, tuple[list[str], Looks]]:
    """Write the crops of the set's n-th clip; returns each face's crop name ("" for none) and look."""
    count = len(faces)
    crops = [""] * count
    looks = Looks.blank(count)
    # Bridged faces were guessed from their neighbours: good enough to convert, not to learn from.
    taken = {int(faces.frame[row]): row for row in range(0, count, recipe.every) if faces.score[row] > 0}

    def wanted() -> Iterator[Frame]:
        if taken:
            yield from (frame for frame in read(clip, min(taken), max(taken) + 1) if frame.index in taken)

    def cut(frame: Frame) -> int:
        row = taken[frame.index]
        picture, to_crop = aligned(to_8_bit(frame.pixels), faces.points[row], recipe.size_px, recipe.coverage)
        crops[row] = crop_name(number, frame.index)
        file = folder / crops[row]
        with output_errors(file):
            file.write_bytes(png(picture))
        # Measured while it is at hand: reading all crops again takes longer than all that is done with the measures.
        looks.note(row, look(picture, apply(to_crop, faces.points[row]), recipe.coverage), stamp(file))
        return row

    for done, _ in enumerate(ordered_map(wanted(), cut, workers=workers, ahead=4 * workers), 1):
        if done % 10 == 0 or done == len(taken):
            yield Progress(f"cropping {clip.path.name}", done, len(taken))
    return crops, looks


def png(crop: NDArray[np.uint8]) -> bytes:
    """A crop (S, S, 3) as it is written to a file."""
    import cv2

    # The lightest compression, and each line as its difference to the one above: as small as with the best filter of
    # each line, the default, and written and read a third faster.
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    _, encoded = cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), settings)
    return bytes(encoded.tobytes())
