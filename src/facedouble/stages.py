"""The stages, each a generator of events. This file alone knows all the verbs; it does nothing itself that one could do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .curate.collect import collect
from .curate.faceset import FaceSet
from .errors import FaceError, InputError
from .events import Event, Finished, Note
from .find.finder import to_8_bit
from .find.identity import Identity
from .find.landmarks import Landmarker
from .find.person import pick
from .find.search import search
from .media.reader import probe, read
from .project import output_errors, save_json, unfinished
from .provenance.consent import ConsentRecord
from .recipes import ExtractRecipe


def extract(
    clip_path: Path, out: Path, recipe: ExtractRecipe, record: ConsentRecord, example: Path | None, workers: int
) -> Generator[Event, None, FaceSet]:
    """Make a face set of the one person meant in a clip. Goes on with an earlier, unfinished run into the same folder."""
    clip = probe(clip_path)
    if out.exists():
        faces = FaceSet.load(out)
        if faces.source.sha256 != clip.sha256 or faces.recipe != recipe:
            raise InputError(
                f"{out}: already holds faces of {Path(faces.source.path).name}, other footage or settings. "
                "Choose another -o, or delete that folder."
            )
        yield Note(f"{out}: already extracted, {len(faces.rows_with_crops())} faces; delete the folder to do it again")
        return faces
    work = unfinished(out)
    stamp = {"clip": clip.sha256, "recipe": recipe.as_dict()}
    with output_errors(out):
        if (work / "stamp.json").is_file() and json.loads((work / "stamp.json").read_text()) != stamp:
            yield Note(f"{out}: an unfinished run was made with other footage or settings; starting over")
            shutil.rmtree(work)
        (work / "search").mkdir(parents=True, exist_ok=True)
        save_json(work / "stamp.json", stamp)
    faces = yield from search(clip, recipe, work / "search", workers)
    mine, _, how = pick(faces, _example(example) if example else None, clip_path.name)
    yield Note(how)
    result = yield from collect(clip, mine, work, recipe, record, workers)
    with output_errors(out):
        shutil.rmtree(work / "search")
        (work / "stamp.json").unlink()
        work.replace(out)
    result = replace(result, path=out)
    yield Finished(out, f"{len(result.rows_with_crops())} faces of {record.person}, from {len(mine)} of {clip.count} frames")
    return result


def _example(picture: Path) -> NDArray[np.float32]:
    """The identity (128,) of the one face in a picture."""
    clip = probe(picture)
    frame = next(iter(read(clip)))
    pixels = to_8_bit(frame.pixels)
    with Landmarker(video=False, max_people=2) as landmarker:
        faces = landmarker(pixels)
    if len(faces) != 1:
        raise FaceError(f"{picture}: {len(faces)} faces, expected exactly one. Cut the picture down to the person meant.")
    return Identity()(pixels, faces.points[0])
