"""What the stages share: a folder to resume in, and the look at footage before anything is done with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FaceError
from ..events import Note
from ..find.finder import to_8_bit
from ..find.identity import Identity, mean_embedding
from ..find.landmarks import Landmarker
from ..footage import Clip
from ..media.reader import frames_at, picture_files, probe, read
from ..project import output_errors, save_json
from ..provenance import content
from ..provenance.content import ContentCheck


def work_folder(work: Path, stamp: dict[str, Any]) -> Iterator[Note]:
    """A folder to resume in; what an unfinished run with another stamp left there is cleared away."""
    stamp = json.loads(json.dumps(stamp))  # as it reads when it comes back
    with output_errors(work):
        if work.exists() and (
            not (work / "stamp.json").is_file() or json.loads((work / "stamp.json").read_text()) != stamp
        ):
            yield Note(f"{work}: an unfinished run was made with other footage or settings; starting over")
            shutil.rmtree(work)
        work.mkdir(parents=True, exist_ok=True)
        save_json(work / "stamp.json", stamp)


def refuse_explicit(check: ContentCheck, clip: Clip, name: str) -> None:
    frames = frames_at(clip, content.sampled(clip.count))
    check.refuse_explicit(((frame.index, to_8_bit(frame.pixels)) for frame in frames), name)


def identity_in(example: Path) -> NDArray[np.float32]:
    """The identity (128,) of the one face in a picture, or the mean of those in a folder of pictures."""
    clip, identity = probe(example, sizes_may_differ=True), Identity()
    found = []
    with Landmarker(video=False, max_people=2) as landmarker:
        for frame in read(clip, 0, clip.count if clip.is_folder else 1):
            pixels = to_8_bit(frame.pixels)
            faces = landmarker(pixels)
            if len(faces) != 1:
                name = picture_files(example)[frame.index] if clip.is_folder else example
                raise FaceError(
                    f"{name}: {len(faces)} faces, expected exactly one. Cut the picture down to the person meant."
                )
            found.append(identity(pixels, faces.points[0]))
    return mean_embedding(np.array(found))
