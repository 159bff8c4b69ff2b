"""Clips into a face set."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

from ..curate import people
from ..curate.collect import collect, crop_px
from ..curate.faceset import FaceSet
from ..errors import FaceError, InputError
from ..events import Event, Finished, Note
from ..faces import Faces
from ..find.person import pick
from ..find.search import search
from ..footage import Clip
from ..media.reader import probe
from ..project import output_errors, unfinished
from ..provenance import consent
from ..provenance.consent import ConsentRecord
from ..provenance.content import ContentCheck
from ..recipes import ExtractRecipe
from .work import identity_in, refuse_explicit, work_folder


def extract(
    clip_paths: Sequence[Path],
    out: Path,
    recipe: ExtractRecipe,
    record: ConsentRecord,
    example: Path | None,
    workers: int,
) -> Generator[Event, None, FaceSet]:
    """Make a face set of the one person meant in one or more clips; without an `example` picture, the first clip says
    who that is. Goes on with an earlier, unfinished run into the same folder."""
    consent.check(record, dt.date.today())
    # All must be fit before hours go into the first.
    clips = [probe(path, sizes_may_differ=True) for path in clip_paths]
    for number, clip in enumerate(clips):
        clip.stretches(recipe.ranges)
        if same := [other.path for other in clips[:number] if other.sha256 == clip.sha256]:
            raise InputError(f"{clip.path}: the same footage as {same[0]}. Give each clip once.")
    if out.exists():
        faces = FaceSet.load(out)
        asked = replace(recipe, size_px=recipe.size_px or faces.recipe.size_px)
        if [source.sha256 for source in faces.sources] != [clip.sha256 for clip in clips] or faces.recipe != asked:
            names = ", ".join(Path(source.path).name for source in faces.sources)
            raise InputError(
                f"{out}: already holds faces of {names}, other footage or settings. "
                "Choose another -o, or delete that folder."
            )
        yield Note(f"{out}: already extracted, {len(faces.rows_with_crops())} faces; delete the folder to do it again")
        return faces
    work, check = unfinished(out), ContentCheck()
    # Who is meant may be said otherwise once the search has been done.
    yield from work_folder(work, {"recipe": {**recipe.as_dict(), "same_person": None}})
    for clip in clips:
        refuse_explicit(check, clip, clip.path.name)
    wanted, like = identity_in(example) if example else None, "the example picture"
    kept: list[tuple[Clip, Faces]] = []
    rolls: list[people.Roll] = []
    for clip in clips:
        found = yield from search(clip, recipe, work / "search" / clip.sha256[:16], workers)
        try:
            mine, person, how = pick(found, wanted, clip.path.name, recipe.same_person, like)
        except FaceError as error:
            if not len(found):
                raise
            people_of_clip = people.seen_in(clip, found, None, wanted, str(error), recipe.same_person)
            people.write(work, [*rolls, people_of_clip], recipe.same_person)
            raise FaceError(f"{error} Who was found is shown in {work / people.SHEET}.") from error
        yield Note(how)
        consent.check_likeness(record, person.embedding, clip.path.name)
        rolls.append(people.seen_in(clip, found, person, wanted, how, recipe.same_person))
        kept.append((clip, mine))
        if wanted is None:
            wanted, like = person.embedding, clip.path.name
    with output_errors(out):
        shutil.rmtree(work / "crops", ignore_errors=True)
    recipe = replace(recipe, size_px=recipe.size_px or crop_px(kept, recipe.coverage))
    result = yield from collect(kept, work, recipe, record, workers)
    people.write(work, rolls, recipe.same_person)
    with output_errors(out):
        shutil.rmtree(work / "search")
        (work / "stamp.json").unlink()
        work.replace(out)
    result = replace(result, path=out)
    frames = sum(stop - start for clip in clips for start, stop in clip.stretches(recipe.ranges))
    yield Finished(out / people.SHEET, "who was kept and who was dropped")
    yield Finished(out, f"{len(result.rows_with_crops())} faces of {record.person}, from {frames} frames")
    return result
