"""The stages, each a generator of events. This file alone knows all the verbs; it does nothing itself that one could
do."""

from __future__ import annotations

import datetime as dt
import json
import math
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import __version__
from .curate import match_report, people, quality
from .curate.appearance import MOST_FACES, look_at, sampled_rows
from .curate.collect import collect
from .curate.compare import Comparison
from .curate.compare import Side as Seen
from .curate.faceset import FaceSet
from .curate.match import Match, judge_pair
from .device import Device
from .errors import FaceError, InputError, ModelError
from .events import Event, Finished, Note, Progress
from .faces import Faces
from .find.finder import to_8_bit
from .find.identity import Identity, mean_embedding
from .find.landmarks import Landmarker
from .find.person import pick, sampled_identity
from .find.search import search
from .footage import Clip, Frame
from .judge import report
from .judge.measure import Measures, measure
from .learn import checkpoint
from .learn.checkpoint import Trained
from .learn.data import usable_rows
from .learn.model import SIDES
from .learn.train import train as train_network
from .media.flow import ordered_map
from .media.reader import picture_files, probe, read
from .media.writer import open_writer
from .project import output_errors, save_json, unfinished
from .provenance import certificate, consent, content, credential, ledger, xmp
from .provenance.consent import ConsentRecord
from .provenance.content import ContentCheck
from .recipes import ConvertRecipe, ExtractRecipe, TrainRecipe, Until
from .swap.face import Swapper
from .swap.label import START_S, Label, around

Stage = Generator[Event, None, Any]
_AT_A_GLANCE = 300
"""faces a side looked at before training"""


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
    clips = [
        probe(path, sizes_may_differ=True) for path in clip_paths
    ]  # all must be fit before hours go into the first
    for number, clip in enumerate(clips):
        clip.stretches(recipe.ranges)
        if same := [other.path for other in clips[:number] if other.sha256 == clip.sha256]:
            raise InputError(f"{clip.path}: the same footage as {same[0]}. Give each clip once.")
    if out.exists():
        faces = FaceSet.load(out)
        if [source.sha256 for source in faces.sources] != [clip.sha256 for clip in clips] or faces.recipe != recipe:
            names = ", ".join(Path(source.path).name for source in faces.sources)
            raise InputError(
                f"{out}: already holds faces of {names}, other footage or settings. "
                "Choose another -o, or delete that folder."
            )
        yield Note(f"{out}: already extracted, {len(faces.rows_with_crops())} faces; delete the folder to do it again")
        return faces
    work, check = unfinished(out), ContentCheck()
    # Who is meant may be said otherwise once the search has been done.
    yield from _work_folder(work, {"recipe": {**recipe.as_dict(), "same_person": None}})
    for clip in clips:
        _refuse_explicit(check, clip, clip.path.name)
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


def _refuse_explicit(check: ContentCheck, clip: Clip, name: str) -> None:
    numbers = content.sampled(clip.count)
    pictures = ((number, to_8_bit(frame.pixels)) for number in numbers for frame in read(clip, number, number + 1))
    check.refuse_explicit(pictures, name)


def _work_folder(work: Path, stamp: dict[str, Any]) -> Iterator[Note]:
    """A folder to resume in; what an unfinished run with another stamp left there is cleared away."""
    stamp = json.loads(json.dumps(stamp))  # as it reads when it comes back
    with output_errors(work):
        if work.exists() and (
            not (work / "stamp.json").is_file() or json.loads((work / "stamp.json").read_text()) != stamp
        ):
            yield Note(f"{work}: an unfinished run was made with other footage or settings; starting over")
            shutil.rmtree(work)
        (work / "search").mkdir(parents=True, exist_ok=True)
        save_json(work / "stamp.json", stamp)


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


def match(sets: dict[str, FaceSet], folder: Path, recipe: TrainRecipe, workers: int) -> Generator[Event, None, Match]:
    """Say whether two face sets are a good pair, and write report.html, report.json and pictures/ into `folder`.

    At most 2000 faces a side are looked at, spread evenly over the set. Raises FaceError where a set has no crops.
    """
    answer, page = yield from _looked_at(sets, folder, recipe, workers, MOST_FACES)
    yield Finished(page, "report")
    return answer


def _looked_at(
    sets: dict[str, FaceSet], folder: Path, recipe: TrainRecipe, workers: int, most: int
) -> Generator[Progress | Note, None, tuple[Match, Path]]:
    sides = []
    for side in SIDES:
        consent.check(sets[side].consent, dt.date.today())
        rows = sampled_rows(sets[side], most)
        if not len(rows):
            raise FaceError(f"{sets[side].path}: no crops left in it. Extract it again.")
        measured = yield from quality.measure(sets[side], workers)
        sides.append(Seen(sets[side], measured, (yield from look_at(sets[side], rows, recipe, workers))))
    found = Comparison.of(sides[0], sides[1], recipe)
    answer = judge_pair(found)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return answer, match_report.write(folder, answer, found)


def _advise(sets: dict[str, FaceSet], folder: Path, recipe: TrainRecipe, workers: int) -> Generator[Event, None, None]:
    """A note on the pair before training, from a glance at it. Whatever happens, training goes on."""
    try:
        answer, page = yield from _looked_at(sets, folder, recipe, workers, _AT_A_GLANCE)
    except Exception as error:  # advice is not worth an hour of somebody's training
        yield Note(f"the pair could not be looked at before training ({error})", warning=True)
        return
    poor = "".join(f"; {one.name}: {one.found} ({one.verdict})" for one in answer.worst[:3])
    yield Note(
        f"this pair: {answer.overall:.0f} of 100, {answer.verdict}{poor}. More: {page}",
        warning=answer.verdict == "bad",
    )


def train(
    sets: dict[str, FaceSet], model: Path, recipe: TrainRecipe, until: Until, device: Device, stop: Callable[[], bool]
) -> Generator[Event, None, Path]:
    """Train a model on two face sets, or go on with it. Raises ModelError where it was begun with other settings."""
    for side in SIDES:
        consent.check(sets[side].consent, dt.date.today())
        usable_rows(sets[side], recipe)  # before anything is written
        consent.check_likeness(sets[side].consent, mean_embedding(sets[side].faces.embedding), str(sets[side].path))
    trained = Trained(
        recipe,
        people={side: sets[side].person for side in SIDES},
        consents={side: sets[side].consent for side in SIDES},
        face_sets={
            side: {
                "path": str(sets[side].path.resolve()),
                "sha256": sets[side].sha256(),
                "footage": [{"path": source.path, "sha256": source.sha256} for source in sets[side].sources],
            }
            for side in SIDES
        },
        identity={side: mean_embedding(sets[side].faces.embedding).tolist() for side in SIDES},
    )
    if model.exists() and any(model.iterdir()):
        before = checkpoint.read_model(model)
        yield from _check_same(model, before, trained)
        trained = _with_footage_of(before, trained)
    with output_errors(model):
        checkpoint.write_model(model, trained)
    if not (model / "match").exists():
        yield from _advise(sets, model / "match", recipe, device.threads)
    yield from train_network(model, sets, recipe, until, device, stop)
    yield Finished(model, f"model {trained.people['b']} on {trained.people['a']}")
    return model


def _check_same(model: Path, before: Trained, now: Trained) -> Iterator[Note]:
    old, new = before.recipe.network(), now.recipe.network()
    differ = [f"{name} {old[name]} (now {new[name]})" for name in old if old[name] != new[name]]
    if differ:
        raise ModelError(
            f"{model}: begun with other settings: {', '.join(differ)}. Give those, or choose another "
            "-o for a new model."
        )
    for side in SIDES:
        footage = [trained.face_sets[side]["footage"] for trained in (before, now)]
        known, given = ({clip["sha256"] for clip in clips} for clips in footage)
        if not known & given:  # of footage that was added or left out the model still knows the person
            begun, other = (", ".join(Path(clip["path"]).name for clip in clips) for clips in footage)
            raise ModelError(
                f"{model}: begun with {begun} as {side.upper()}, not {other}. Choose another -o for a new model."
            )
        if before.face_sets[side]["sha256"] != now.face_sets[side]["sha256"]:
            yield Note(f"{model}: face set {side.upper()} has changed since; going on with the new one")


def _with_footage_of(before: Trained, now: Trained) -> Trained:
    """A model records all that it ever learned from."""
    face_sets = {}
    for side in SIDES:
        clips = [*before.face_sets[side]["footage"], *now.face_sets[side]["footage"]]
        face_sets[side] = {**now.face_sets[side], "footage": list({clip["sha256"]: clip for clip in clips}.values())}
    return replace(now, face_sets=face_sets)


@dataclass(frozen=True, eq=False)
class Converted:
    clip: Clip
    """the target"""
    faces: Faces
    """A's faces in it"""
    path: Path


def convert(
    clip_path: Path, model: Path, out: Path, recipe: ConvertRecipe, device: Device, workers: int
) -> Generator[Event, None, Converted]:
    """Put B's face on A's in a clip; the output is signed as AI-altered before it gets its name."""
    place = torch.device(device.name)
    network, trained, state = checkpoint.load(model, place)
    for side in SIDES:
        consent.check(trained.consents[side], dt.date.today())
    certificate.signing_identity()  # an unusable key must stop the work before it begins, not after
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
    _refuse_explicit(check, clip, clip_path.name)
    faces = yield from _faces_of_a(clip, trained, out, workers)
    row_of = {int(frame): row for row, frame in enumerate(faces.frame)}
    acting = faces.acting()
    swapper = Swapper(network, trained.recipe, recipe)
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
            _refuse_explicit(check, probe(encoding), out.name)
            _sign(encoding, out, clip, model, trained, recipe, faces)
    finally:
        _remove(encoding)
    yield Finished(
        out, f"{len(faces)} of {clip.count} frames converted, after {state.seconds / 60:.1f} minutes of training"
    )
    return Converted(clip, faces, out)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _faces_of_a(clip: Clip, trained: Trained, out: Path, workers: int) -> Generator[Event, None, Faces]:
    """A's faces in the clip: those of A's face set where all of this very clip went into it, else searched."""
    known = trained.face_sets["a"]
    if clip.sha256 in {source["sha256"] for source in known["footage"]} and Path(known["path"]).is_dir():
        faces_a = FaceSet.load(Path(known["path"]))
        if (rows := faces_a.rows_of(clip.sha256)) is not None:
            return faces_a.faces[rows]
    work = unfinished(out.with_suffix(".faces"))
    recipe = ExtractRecipe()
    yield from _work_folder(work, {"clip": clip.sha256, "recipe": recipe.as_dict()})
    found = yield from search(clip, recipe, work / "search", workers)
    wanted, like = np.array(trained.identity["a"], np.float32), f"{trained.people['a']}'s face set"
    faces, _, how = pick(found, wanted, clip.path.name, like=like)
    yield Note(how)
    shutil.rmtree(work)
    return faces


def _sign(
    encoding: Path, out: Path, clip: Clip, model: Path, trained: Trained, recipe: ConvertRecipe, faces: Faces
) -> None:
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
        model_sha256=checkpoint.weights_sha256(model),
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


def judge(
    done: Converted,
    identities: dict[str, NDArray[np.float32]],
    folder: Path,
    about: dict[str, str],
    truth: Path | None,
    workers: int,
) -> Generator[Event, None, Measures]:
    """Measure a conversion and write report.html, report.json, contact-sheet.png and worst-frames.png into `folder`.

    `identities` are both people's mean descriptors (128,); `about` says who they are and how the model was trained.
    """
    clips = {"A": done.clip, "swap": probe(done.path), **({"known answer": probe(truth)} if truth else {})}
    found = yield from measure(
        done.clip, clips["swap"], done.faces, identities["a"], identities["b"], clips.get("known answer"), workers
    )
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        page, contact = report.write(folder, found, clips, done.faces, {"output": done.path.name, **about})
    yield Finished(contact, "contact sheet")
    yield Finished(page, "report")
    return found.measures


def judge_conversion(
    done: Converted, model: Path, folder: Path, truth: Path | None, workers: int
) -> Generator[Event, None, Measures]:
    """`judge` for what `convert` has just made with a model."""
    trained = checkpoint.read_model(model)
    identities = {side: np.array(trained.identity[side], np.float32) for side in SIDES}
    about = {
        "people": f"{trained.people['b']}'s face on {trained.people['a']}'s performance",
        "training": training_text(model),
    }
    return (yield from judge(done, identities, folder, about, truth, workers))


def judge_clips(
    target: Path, swap: Path, source: Path, truth: Path | None, folder: Path, example: Path | None, workers: int
) -> Generator[Event, None, Measures]:
    """`judge` for clips alone, whoever swapped them: A is searched in the target, B sampled in the source."""
    clip = probe(target)
    clips = [probe(other) for other in (swap, source, *([truth] if truth else []))]  # unfit ones stop it now, not later
    work = unfinished(folder)
    recipe = ExtractRecipe()
    yield from _work_folder(work, {"clip": clip.sha256, "recipe": recipe.as_dict()})
    found = yield from search(clip, recipe, work / "search", workers)
    faces, person, how = pick(found, identity_in(example) if example else None, target.name)
    yield Note(how)
    identities = {"a": person.embedding, "b": sampled_identity(clips[1])}
    about = {"people": f"the face of {source.name} on {target.name}"}
    measures = yield from judge(Converted(clip, faces, swap), identities, folder, about, truth, workers)
    shutil.rmtree(work)
    return measures


@dataclass(frozen=True)
class Side:
    """One person's part of a swap."""

    clip: Path
    consent: ConsentRecord
    example: Path | None = None


def swap(
    sides: dict[str, Side],
    out: Path,
    recipes: tuple[ExtractRecipe, TrainRecipe, ConvertRecipe],
    until: Until,
    device: Device,
    workers: int,
    stop: Callable[[], bool],
    truth: Path | None = None,
) -> Generator[Event, None, Measures | None]:
    """Extract both, train, convert and judge, all in one resumable folder beside the output. None where stopped."""
    for side in SIDES:
        probe(sides[side].clip, sizes_may_differ=side == "b")  # both must be fit before hours go into the first
    folder = out.with_name(f"{out.stem}.facedouble")
    sets = {}
    for side in SIDES:
        part = sides[side]
        sets[side] = yield from extract(
            [part.clip], folder / f"faces-{side}", recipes[0], part.consent, part.example, workers
        )
    model = yield from train(sets, folder / "model", recipes[1], until, device, stop)
    if stop():
        return None
    done = yield from convert(sides["a"].clip, model, out, recipes[2], device, workers)
    return (yield from judge_conversion(done, model, folder, truth, workers))


def training_text(model: Path) -> str:
    """How a model was trained and how well it rebuilds faces it never saw, in words."""
    _, trained, state = checkpoint.load(model, torch.device("cpu"))
    last = state.history[-1] if state.history else {}
    score, floor = ((last.get(f"{name}a", math.nan) + last.get(f"{name}b", math.nan)) / 2 for name in ("", "floor_"))
    return (
        f"Trained {state.seconds / 60:.1f} minutes, {state.step} steps ({trained.recipe.preset}, "
        f"{trained.recipe.size_px} px). Held-out faces are rebuilt at {score:.1f} dB inside the face; "
        f"a constant mean face would give {floor:.1f} dB."
    )
