"""Face sets of several clips: made, renamed, cut down, merged, trained on and converted with."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from facedouble import stages
from facedouble.curate.faceset import FaceSet, Source
from facedouble.curate.merge import merge
from facedouble.errors import ConsentError, FaceError, InputError, ModelError, OutputError
from facedouble.events import Finished, Note, Progress
from facedouble.find.crop import crop_face
from facedouble.footage import parse_range
from facedouble.learn import checkpoint
from facedouble.media.reader import probe, read
from facedouble.provenance import credential
from facedouble.recipes import ConvertRecipe, ExtractRecipe, Until
from support import CPU, SAMPLE, SMALL, backdrop, consent_of, pictures, run, write_clip

RECIPE = ExtractRecipe(size_px=128)


@pytest.fixture(scope="module")
def later_a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 frames of performer A's take, from later on."""
    return write_clip(tmp_path_factory.mktemp("later") / "later.mp4", pictures(SAMPLE / "a-take1.mp4")[80:116])


Made = tuple[list[Any], FaceSet]


@pytest.fixture(scope="module")
def made(short_a: Path, later_a: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The events and the face set of both clips of A; do not write into it."""
    out = tmp_path_factory.mktemp("made") / "both"
    return run(stages.extract([short_a, later_a], out, RECIPE, consent_of("a"), None, workers=2))


@pytest.fixture
def both(made: Made, tmp_path: Path) -> FaceSet:
    """A copy of that face set, to do harm to."""
    return FaceSet.load(Path(shutil.copytree(made[1].path, tmp_path / "copy")))


def same(first: FaceSet, second: FaceSet) -> None:
    for name, column in first.faces.columns().items():
        np.testing.assert_array_equal(column, second.faces.columns()[name], err_msg=name)
    for name in ("source", "pts", "sharpness", "transform", "crop"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    for name in ("person", "consent", "sources", "recipe"):
        assert getattr(first, name) == getattr(second, name)


def texts(events: list[Any]) -> str:
    return "\n".join(getattr(event, "text", "") for event in events)


# --- made of several clips ------------------------------------------------------------------------------------------


def test_two_clips_are_one_set(made: Made, short_a: Path, later_a: Path) -> None:
    _, both = made
    same(FaceSet.load(both.path), both)
    clips = [probe(short_a), probe(later_a)]
    assert both.sources == tuple(Source.of(clip) for clip in clips)
    np.testing.assert_array_equal(both.source, np.repeat([0, 1], [40, 36]))
    np.testing.assert_array_equal(both.faces.frame, [*range(40), *range(36)])
    np.testing.assert_array_equal(both.pts, np.concatenate([clip.pts for clip in clips]))
    assert both.crop[39] == "000039.png" and both.crop[40] == "s1-000000.png"
    assert {file.name for file in (both.path / "crops").iterdir()} == set(both.crop)
    assert not set(both.faces.track[:40]) & set(both.faces.track[40:])
    for row, clip, frame in ((3, clips[0], 3), (45, clips[1], 5)):
        pixels = next(read(clip, frame, frame + 1)).pixels
        np.testing.assert_array_equal(both.read_crop(row), crop_face(pixels, both.transform[row], 128))


def test_each_further_clip_says_how_near_its_person_is(made: Made, tmp_path: Path) -> None:
    events, both = made
    said = texts(events)
    assert "a.mp4: kept the only person, 40 faces" in said
    first, second = (np.nanmean(both.faces.embedding[both.source == number], 0) for number in (0, 1))
    away = np.linalg.norm(first - second)
    assert f"later.mp4: kept the person of a.mp4 (distance {away:.2f}, same person under 0.60), 36 faces" in said
    assert isinstance(events[-1], Finished) and events[-1].text == "76 faces of a, from 76 frames"


def test_what_is_there_is_known_again_and_in_that_order_only(made: Made, short_a: Path, later_a: Path) -> None:
    out = made[1].path
    events, _ = run(stages.extract([short_a, later_a], out, RECIPE, consent_of("a"), None, workers=1))
    assert "already extracted, 76 faces" in texts(events)
    for clips in ([short_a], [later_a, short_a]):
        with pytest.raises(InputError, match=r"already holds faces of a\.mp4, later\.mp4, other footage or settings"):
            run(stages.extract(clips, out, RECIPE, consent_of("a"), None, workers=1))


def test_a_clip_is_given_once(short_a: Path, tmp_path: Path) -> None:
    again = shutil.copy(short_a, tmp_path / "again.mp4")
    with pytest.raises(InputError, match=r"again\.mp4: the same footage as .*a\.mp4"):
        run(stages.extract([short_a, again], tmp_path / "faces", RECIPE, consent_of("a"), None, workers=1))
    assert list(tmp_path.iterdir()) == [again]


def test_a_broken_second_clip_stops_it_before_anything_is_written(short_a: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(short_a.read_bytes()[:20_000])
    with pytest.raises(InputError, match=r"broken\.mp4: "):
        run(stages.extract([short_a, broken], tmp_path / "faces", RECIPE, consent_of("a"), None, workers=1))
    assert list(tmp_path.iterdir()) == [broken]


def test_a_second_clip_without_the_person_keeps_the_first_ones_search(short_a: Path, tmp_path: Path) -> None:
    empty = write_clip(tmp_path / "walls.mp4", backdrop(6))
    out = tmp_path / "faces"
    with pytest.raises(FaceError, match=r"walls\.mp4: no face found"):
        run(stages.extract([short_a, empty], out, RECIPE, consent_of("a"), None, workers=1))
    assert not out.exists()
    events, faces = run(stages.extract([short_a], out, RECIPE, consent_of("a"), None, workers=1))
    assert "a.mp4: going on with an earlier search, 1 of 1 stretches done" in texts(events)
    assert len(faces) == 40 and sorted(tmp_path.iterdir()) == sorted([out, empty])


def test_the_line_between_people_is_the_users(short_a: Path, short_b: Path, tmp_path: Path) -> None:
    """The two rendered performers are nearer than the usual line: who needs them apart says so."""
    strict, out = replace(RECIPE, same_person=0.4), tmp_path / "faces"
    with pytest.raises(FaceError, match=r"b\.mp4: nobody like the person of a\.mp4 \(nearest 0\.[45].*under 0\.40"):
        run(stages.extract([short_a, short_b], out, strict, consent_of("a"), None, workers=2))
    assert not out.exists()
    sheet = tmp_path / ".faces.part" / "people.png"
    assert sheet.is_file()  # whom to ask for is seen there
    loose = replace(RECIPE, same_person=0.8)
    events, _ = run(stages.extract([short_a, short_b], out, loose, consent_of("a"), None, workers=2))
    said = texts(events)
    assert "going on with an earlier search" in said and "starting over" not in said
    assert "b.mp4: kept the person of a.mp4 (distance 0." in said and "same person under 0.80" in said


# --- who was kept ---------------------------------------------------------------------------------------------------


def test_the_people_of_every_clip_are_on_record(made: Made) -> None:
    events, both = made
    record = json.loads((both.path / "people.json").read_text())
    assert (record["same_person"], record["same_person_in_clip"]) == (0.6, 0.5)
    assert [Path(clip["clip"]).name for clip in record["clips"]] == ["a.mp4", "later.mp4"]
    for clip, count in zip(record["clips"], (40, 36), strict=True):
        (person,) = clip["people"]
        assert person["kept"] and person["distance"] == 0 and person["faces"] == count
        assert (person["first_frame"], person["last_frame"]) == (0, count - 1)
        assert clip["never_identified"] == {"faces": 0, "tracks": 0}
    assert Finished(both.path / "people.png", "who was kept and who was dropped") in events


def test_who_was_dropped_is_shown(short_a: Path, short_b: Path, tmp_path: Path) -> None:
    a, b = pictures(short_a, 12), pictures(short_b, 12)
    room = np.full((256, 256, 3), 90, np.uint8)
    pair = [np.hstack([left[::2, ::2], right[::2, ::2]]) for left, right in zip(a, b, strict=True)]
    alone = [np.hstack([left[::2, ::2], room]) for left in a]
    clip = write_clip(tmp_path / "pair.mp4", [*alone, *alone[::-1], *pair])
    _, faces = run(stages.extract([clip], tmp_path / "faces", RECIPE, consent_of("a"), None, workers=1))
    assert len(faces) == 36
    (told,) = json.loads((faces.path / "people.json").read_text())["clips"]
    kept, dropped = told["people"]
    assert (kept["kept"], kept["faces"], kept["distance"]) == (True, 36, 0)
    assert (dropped["kept"], dropped["first_frame"]) == (False, 24)
    assert 0.35 < dropped["distance"] < 0.65  # measured between the two: 0.5
    assert kept["farthest_face"] < dropped["nearest_face"]
    with Image.open(faces.path / "people.png") as sheet:
        assert sheet.size[1] == 3 * 20 + 2 * 100
        rows = np.asarray(sheet)[60:]
        # A stripe of each row says kept (green) or dropped (red), and beside it stand faces, not paper.
        assert rows[50, 2, 1] > rows[50, 2, 0] and rows[150, 2, 0] > rows[150, 2, 1]
        assert all(rows[y : y + 90, 255:345].std() > 20 for y in (5, 105))


# --- where to look --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100-500", (100, 500)),
        ("7-", (7, None)),
        ("00:03.2-00:07", (Fraction(16, 5), Fraction(7))),
        (" 1:02:03 - 1:05:00 ", (Fraction(3723), Fraction(3900))),
        ("0:00-90:30", (Fraction(0), Fraction(5430))),
    ],
)
def test_ranges_are_frames_or_times(text: str, expected: object) -> None:
    assert parse_range(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "-", "5", "-5", "5-5", "9-3", "a-b", "3.2-7", "100-00:07", "00:07-00:03", "1-2-3", "0x1-9", "1-٣", "1:-2:"],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected START-END"):
        ExtractRecipe(ranges=(text,))


def test_ranges_are_half_open_and_put_together(short_a: Path) -> None:
    clip = replace(probe(short_a), pts=np.array([10, 11, 13, 14, 20, 21]), time_base=Fraction(1, 10))
    assert clip.stretches([]) == [(0, 6)]
    assert clip.stretches(["4-9", "1-2", "2-3"]) == [(1, 3), (4, 6)]
    assert clip.stretches(["0:00.2-0:01"]) == [(2, 4)]  # frames start at 0, 0.1, 0.3, 0.4, 1 and 1.1 s
    assert clip.stretches(["0:00.3-0:01.01"]) == [(2, 5)]
    with pytest.raises(InputError, match=r"has no frame in --range 6-9, 0:07-0:08: it has 6 frames, 1\.2 s"):
        clip.stretches(["6-9", "0:07-0:08"])


def test_only_the_ranges_are_looked_through(short_a: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, ranges=("5-12", "0:01-0:01.25"))
    events, faces = run(stages.extract([short_a], tmp_path / "faces", recipe, consent_of("a"), None, workers=1))
    np.testing.assert_array_equal(faces.faces.frame, [*range(5, 12), *range(24, 30)])
    assert len(set(faces.faces.track)) == 2  # nobody knows what was between
    assert events[-1].text == "13 faces of a, from 13 frames"
    assert next(event.total for event in events if isinstance(event, Progress)) == 13
    assert FaceSet.load(faces.path).recipe == recipe
    # What was not looked at must not pass for frames without a face.
    assert faces.rows_of(faces.sources[0].sha256) is None


def test_faces_under_the_least_size_are_left_out(short_a: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, min_face_px=320, ranges=("0-3",))
    with pytest.raises(FaceError, match="no face found"):
        run(stages.extract([short_a], tmp_path / "faces", recipe, consent_of("a"), None, workers=1))


# --- renamed and deleted --------------------------------------------------------------------------------------------


def test_a_renamed_crop_is_still_the_rows(both: FaceSet) -> None:
    before, pixels = both.sha256(), both.read_crop(40)
    crops = both.path / "crops"
    for number, name in enumerate(both.crop[20:60]):  # half of the folder, as a stopped sorting leaves it
        (crops / name).rename(crops / f"{number:05d}_yaw-031_{name}")
    for faces in (both, FaceSet.load(both.path)):
        np.testing.assert_array_equal(faces.rows_with_crops(), np.arange(76))
        assert faces.pictures()[40].name == "00020_yaw-031_s1-000000.png"
        assert faces.sha256() == before
        np.testing.assert_array_equal(faces.read_crop(40), pixels)
    (crops / "00020_yaw-031_s1-000000.png").unlink()
    np.testing.assert_array_equal(both.rows_with_crops(), np.delete(np.arange(76), 40))
    assert both.sha256() != before


def test_of_two_pictures_of_a_row_the_first_is_taken(both: FaceSet) -> None:
    crops, pixels = both.path / "crops", both.read_crop(5)
    shutil.copy(crops / "000006.png", crops / "z_000005.png")
    np.testing.assert_array_equal(both.read_crop(5), pixels)
    shutil.copy(crops / "000006.png", crops / "+_000005.png")
    (crops / "._000005.png").write_bytes(b"what macOS leaves on foreign disks")
    assert len(both.rows_with_crops()) == 76 and both.pictures()[5].name == "+_000005.png"
    np.testing.assert_array_equal(both.read_crop(5), both.read_crop(6))


def test_a_folder_is_listed_once_for_many_crops(both: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[Path] = []
    iterdir = Path.iterdir

    def counted(self: Path) -> Any:
        listed.append(self)
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", counted)
    for row in both.rows_with_crops():
        both.read_crop(int(row))
    assert len(listed) == 1
    (both.path / "crops" / "000001.png").rename(both.path / "crops" / "x_000001.png")
    both.read_crop(1)  # renamed since
    assert len(listed) == 2


# --- before there were several --------------------------------------------------------------------------------------


def test_a_set_of_version_1_is_a_set_of_one_clip(faces_a: FaceSet, tmp_path: Path) -> None:
    old = Path(shutil.copytree(faces_a.path, tmp_path / "old"))
    record = json.loads((old / "faceset.json").read_text())
    (source,) = record.pop("sources")
    del source["complete"], record["recipe"]["ranges"], record["recipe"]["same_person"]
    (old / "faceset.json").write_text(json.dumps(record | {"version": 1, "source": source}))
    table = parquet.read_table(old / "faces.parquet")
    parquet.write_table(table.drop_columns(["source"]), old / "faces.parquet")
    same(FaceSet.load(old), faces_a)


# --- taken apart and put together -----------------------------------------------------------------------------------


def test_a_subset_is_a_set_of_its_own(both: FaceSet, tmp_path: Path) -> None:
    (both.path / "crops" / "000003.png").rename(both.path / "crops" / "9_000003.png")
    (both.path / "crops" / "000005.png").unlink()
    rows = [75, 5, 3, *range(40, 75)]
    part = both.subset(rows, tmp_path / "part")
    same(FaceSet.load(tmp_path / "part"), part)
    np.testing.assert_array_equal(part.faces.frame, [3, 5, *range(36)])
    assert [source.complete for source in part.sources] == [False, True]
    assert part.rows_of(both.sources[0].sha256) is None
    np.testing.assert_array_equal(part.rows_of(both.sources[1].sha256), np.arange(2, 38))
    assert {file.name for file in (part.path / "crops").iterdir()} == {both.crop[row] for row in rows} - {"000005.png"}
    np.testing.assert_array_equal(part.read_crop(0), both.read_crop(3))
    linked = [(part.path / "crops" / "000003.png").stat().st_ino, (both.path / "crops" / "9_000003.png").stat().st_ino]
    assert linked[0] == linked[1]
    with pytest.raises(InputError, match="is there already"):
        both.subset(rows, tmp_path / "part")


def test_a_subset_still_knows_whom_it_shows(both: FaceSet, tmp_path: Path) -> None:
    unmeasured = np.nonzero(np.isnan(both.faces.embedding[:, 0]))[0][:5]
    part = both.subset(unmeasured, tmp_path / "part")
    mean = np.nanmean(both.faces.embedding, 0)
    np.testing.assert_allclose(np.nanmean(part.faces.embedding, 0), mean, atol=1e-6)


def test_pictures_are_copied_where_they_cannot_be_linked(
    both: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    part = both.subset(range(4), tmp_path / "part")
    np.testing.assert_array_equal(part.read_crop(2), both.read_crop(2))


def test_a_subset_is_whole_or_not_there(both: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: FaceSet) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FaceSet, "save", full)
    with pytest.raises(OutputError, match="the disk is full"):
        both.subset(range(4), tmp_path / "part")
    assert list(tmp_path.iterdir()) == [both.path]


def test_parts_merge_into_what_they_were(both: FaceSet, tmp_path: Path) -> None:
    one = both.subset([*range(30), *range(50, 76)], tmp_path / "one")
    two = both.subset(range(20, 60), tmp_path / "two")
    (one.path / "crops" / "000025.png").unlink()  # there in the second alone
    whole = merge([one, two], tmp_path / "whole")
    same(FaceSet.load(whole.path), whole)
    for name, column in both.faces.columns().items():
        if name != "track":
            np.testing.assert_array_equal(whole.faces.columns()[name], column, err_msg=name)
    assert whole.crop == both.crop
    np.testing.assert_array_equal(whole.rows_with_crops(), np.arange(76))
    for row in (0, 25, 45, 75):
        np.testing.assert_array_equal(whole.read_crop(row), both.read_crop(row))
    assert len(FaceSet.load(one.path)) == 56 and len(FaceSet.load(two.path)) == 40


def test_sets_of_other_clips_stand_one_after_the_other(both: FaceSet, faces_a: FaceSet, tmp_path: Path) -> None:
    later = both.subset(range(40, 76), tmp_path / "later")
    whole = merge([later, faces_a], tmp_path / "whole")
    # The first source of `both` has no rows in `later`, but is known to it; it keeps its place.
    assert [Path(source.path).name for source in whole.sources] == ["a.mp4", "later.mp4"]
    assert [source.complete for source in whole.sources] == [True, True]
    assert len(whole) == 76
    np.testing.assert_array_equal(whole.read_crop(50), both.read_crop(50))


MERGE_REFUSALS: dict[str, tuple[Callable[[FaceSet], FaceSet], type[Exception], str]] = {
    "another record": (
        lambda s: replace(s, consent=consent_of("b")), ConsentError,
        "made under consent .* of a.*extract both under the same",
    ),
    "another person": (
        lambda s: replace(s, faces=replace(s.faces, embedding=-s.faces.embedding)), FaceError,
        r"not the person of .*identity distance [12]\.\d\d, same person under 0\.60",
    ),
    "nobody known": (
        lambda s: replace(s, faces=replace(s.faces, embedding=s.faces.embedding * np.float32(np.nan))), FaceError,
        "not the person of .*identity distance nan",
    ),
    "other crops": (
        lambda s: replace(s, recipe=replace(s.recipe, size_px=64)), FaceError,
        "crops are 64 px, coverage 2, those of .* 128 px",
    ),
    "other footage of the same hash": (
        lambda s: replace(s, sources=tuple(replace(one, frames=99) for one in s.sources)), FaceError, "contradict",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("other", "error", "text"), MERGE_REFUSALS.values(), ids=MERGE_REFUSALS.keys())
def test_what_is_not_alike_is_not_merged(
    made: Made, tmp_path: Path, other: Callable[[FaceSet], FaceSet], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        merge([made[1], other(made[1])], tmp_path / "whole")
    assert list(tmp_path.iterdir()) == []


def test_merging_on_the_command_line(
    both: FaceSet, faces_a: FaceSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from facedouble.cli import main

    words = ["faces", "merge", str(faces_a.path), str(both.path), "-o", str(tmp_path / "whole")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "76 faces of a from 2 clips; 40 frames that several sets have were taken once" in said
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 1
    assert "whole: is there already. Choose another -o" in capsys.readouterr().err


# --- trained on and converted with ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_of_both(made: Made, faces_b: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    run(stages.train({"a": made[1], "b": faces_b}, folder, SMALL, Until(steps=4), CPU, lambda: False))
    return folder


def hashes(*clips: Path) -> list[str]:
    return [probe(clip).sha256 for clip in clips]


def test_a_model_records_all_it_learned_from(
    model_of_both: Path, faces_a: FaceSet, faces_b: FaceSet, short_a: Path, later_a: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(model_of_both, tmp_path / "m"))
    footage = checkpoint.read_model(model).face_sets["a"]["footage"]
    assert [clip["sha256"] for clip in footage] == hashes(short_a, later_a)
    # Going on with one of the two clips is the same person still; what was learned before stays on record.
    events, _ = run(stages.train({"a": faces_a, "b": faces_b}, model, SMALL, Until(steps=6), CPU, lambda: False))
    assert "face set A has changed since" in texts(events)
    assert checkpoint.read_model(model).face_sets["a"]["footage"] == footage
    with pytest.raises(ModelError, match=r"begun with a\.mp4, later\.mp4 as A, not b\.mp4"):
        run(stages.train({"a": faces_b, "b": faces_b}, model, SMALL, Until(steps=8), CPU, lambda: False))


def test_either_clip_is_converted_with_the_faces_of_the_set(
    model_of_both: Path, made: Made, later_a: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    events, done = run(stages.convert(later_a, model_of_both, out, ConvertRecipe(), CPU, 2))
    assert not [event for event in events if isinstance(event, Progress) and event.stage.startswith("searching")]
    np.testing.assert_array_equal(done.faces.points, made[1].faces.points[40:])
    np.testing.assert_array_equal(done.faces.frame, np.arange(36))
    ingredients = credential.verify(out).details["swap"]["ingredients"]
    assert [(one["name"], one["role"]) for one in ingredients] == [
        ("later.mp4", "target"), ("b.mp4", "source"), ("a.mp4", "training"),
    ]  # fmt: skip


def test_all_footage_of_b_is_an_ingredient(made: Made, faces_b: FaceSet, short_b: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "m", tmp_path / "out.mp4"
    run(stages.train({"a": faces_b, "b": made[1]}, model, SMALL, Until(steps=2), CPU, lambda: False))
    run(stages.convert(short_b, model, out, ConvertRecipe(), CPU, 2))
    ingredients = credential.verify(out).details["swap"]["ingredients"]
    assert [(one["name"], one["role"]) for one in ingredients] == [
        ("b.mp4", "target"), ("a.mp4", "source"), ("later.mp4", "source"),
    ]  # fmt: skip


def test_a_set_that_lost_rows_does_not_decide_what_is_converted(
    both: FaceSet, model_of_both: Path, short_a: Path, tmp_path: Path
) -> None:
    part = both.subset(range(30), tmp_path / "part")
    _, trained, _ = checkpoint.load(model_of_both, stages.torch.device("cpu"))
    trained.face_sets["a"]["path"] = str(part.path)
    events, faces = run(stages._faces_of_a(probe(short_a), trained, tmp_path / "out.mp4", 2))
    assert len(faces) == 40
    assert any(
        isinstance(event, Note) and "kept the person of a's face set (distance 0." in event.text for event in events
    )


def test_a_model_of_one_clip_each_is_still_read(model: Path, short_a: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(model, tmp_path / "old"))
    record = json.loads((old / "model.json").read_text())
    for values in record["face_sets"].values():
        (clip,) = values.pop("footage")
        values |= {"footage": clip["path"], "footage_sha256": clip["sha256"]}
    (old / "model.json").write_text(json.dumps(record | {"version": 2}))
    assert checkpoint.read_model(old).face_sets == checkpoint.read_model(model).face_sets


def test_a_table_of_two_clips_that_touches_the_wrong_frames_is_refused(both: FaceSet) -> None:
    """Frame 38 is in the first clip, but not in the second, which has 36."""
    table = parquet.read_table(both.path / "faces.parquet")
    frames = [*range(40), *range(35), 38]
    table = table.set_column(table.column_names.index("frame"), "frame", pa.array(frames))
    parquet.write_table(table, both.path / "faces.parquet")
    with pytest.raises(FaceError, match="its frames do not ascend from 0 to 40 and 36"):
        FaceSet.load(both.path)
