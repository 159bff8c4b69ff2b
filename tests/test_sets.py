"""Face sets of several sources: made, put in order, merged, trained on and converted with."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from facedouble import stages
from facedouble.curate import aside
from facedouble.curate.faceset import FaceSet, Source
from facedouble.curate.merge import merge
from facedouble.curate.quality import Looks, measure, quality_of
from facedouble.curate.subset import subset
from facedouble.errors import ConsentError, FaceError, InputError, ModelError, OutputError
from facedouble.events import Finished, Note, Progress
from facedouble.find.crop import crop_face
from facedouble.find.identity import distance, mean_embedding
from facedouble.find.search import search
from facedouble.footage import parse_range
from facedouble.learn import checkpoint
from facedouble.media.reader import probe, read
from facedouble.provenance import consent, credential
from facedouble.recipes import ConvertRecipe, ExtractRecipe, Until
from facedouble.stages.casting import Role, cast
from support import CPU, SAMPLE, SMALL, backdrop, command, consent_of, pictures, run, write_clip

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


def test_every_clip_must_show_the_person_of_the_consent(
    faces_a: FaceSet, faces_b: FaceSet, short_a: Path, short_b: Path, tmp_path: Path
) -> None:
    """Given for a face that is A's, and further from B's than B is from A."""
    a, b = (mean_embedding(faces.faces.embedding) for faces in (faces_a, faces_b))
    record = replace(consent_of("a"), likeness=consent.likeness_of(a + (a - b) / 2))
    recipe = replace(RECIPE, same_person=0.8)
    with pytest.raises(ConsentError, match=r"b\.mp4: not the person whose consent is on record as a"):
        run(stages.extract([short_a, short_b], tmp_path / "faces", recipe, record, None, workers=2))
    assert not (tmp_path / "faces").exists()


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


def test_a_single_frame_is_enough_to_know_who_it_shows(short_a: Path, faces_a: FaceSet, tmp_path: Path) -> None:
    """A face that one frame of many shows is nobody's; that of the only frame is asked for."""
    for name, ranges in (("one", ("20-21",)), ("two", ("20-21", "30-31"))):
        found = run(search(probe(short_a), replace(RECIPE, ranges=ranges), tmp_path / name, 1))[1]
        assert found.frame.tolist() == [20, 30][: len(ranges)]
        known = distance(faces_a.faces.embedding, found.embedding[0])
        assert float(np.nanmin(known)) < 0.3


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


def part_of(faces: FaceSet, rows: Iterable[int], out: Path) -> FaceSet:
    subset(faces, rows, out)
    return FaceSet.load(out)


def test_a_part_of_a_set_of_several_clips_keeps_them(both: FaceSet, tmp_path: Path) -> None:
    part = part_of(both, range(30, 50), tmp_path / "part")
    np.testing.assert_array_equal(part.rows_with_crops(), np.arange(30, 50))
    assert {file.name for file in (part.path / "crops").iterdir()} == set(both.crop[30:50])
    # A frame whose picture was not taken over is still A's, and is still converted.
    for number, rows in ((0, range(40)), (1, range(40, 76))):
        np.testing.assert_array_equal(part.rows_of(both.sources[number].sha256), rows)


def test_a_set_of_several_clips_is_put_in_order(both: FaceSet, capsys: pytest.CaptureFixture[str]) -> None:
    crops = both.path / "crops"
    before, plain = both.sha256(), sorted(file.name for file in crops.iterdir())
    assert command("faces", "list", both.path, "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(Path(one["path"]).name, one["faces"]) for one in listed["sources"]] == [("a.mp4", 40), ("later.mp4", 36)]
    pixels = both.read_crop(40)
    assert command("faces", "sort", both.path, "--by", "yaw") == 0
    assert all(re.fullmatch(r"\d{5}_yaw[+-]\d\d\d_(s1-)?\d{6}\.png", file.name) for file in crops.iterdir())
    assert both.sha256() == before
    np.testing.assert_array_equal(both.read_crop(40), pixels)
    assert command("faces", "prune", both.path, "--closed-eyes", "0.5", "--apply") == 0
    left = both.rows_with_crops()
    assert 0 < len(left) < 76
    assert command("faces", "restore", both.path) == 0
    assert command("faces", "sort", both.path, "--by", "frame") == 0
    assert sorted(file.name for file in crops.iterdir()) == plain
    assert both.sha256() == before


def test_faces_are_split_and_picked_from_several_clips(both: FaceSet, tmp_path: Path) -> None:
    assert command("faces", "split", both.path, "--by", "mouth-open:0,0.1,1", "-o", tmp_path / "parts") == 0
    parts = [FaceSet.load(path) for path in sorted((tmp_path / "parts").iterdir())]
    assert sorted(int(row) for part in parts for row in part.rows_with_crops()) == list(range(76))
    assert command("faces", "pick", both.path, 20, "-o", tmp_path / "picked") == 0
    picked = FaceSet.load(tmp_path / "picked")
    rows = picked.rows_with_crops()
    assert len(rows) == 20 and {0, 1} == set(picked.source[rows])
    for row in rows:
        np.testing.assert_array_equal(picked.read_crop(int(row)), both.read_crop(int(row)))


def test_each_face_is_measured_against_its_own_clips_frame(both: FaceSet) -> None:
    """Seen as if the second clip were half as wide: its faces are cut off by the frame, those of the first are not."""
    size = (256, 512)
    narrow = replace(both, sources=(both.sources[0], replace(both.sources[1], size=size)))
    quality = quality_of(narrow, Looks.load(both), np.arange(76))
    np.testing.assert_array_equal(quality.inside[:40], 1)
    assert (quality.inside[40:] < 0.75).all()


def test_parts_merge_into_what_they_were(both: FaceSet, tmp_path: Path) -> None:
    run(measure(both, 2))
    one = part_of(both, [*range(30), *range(50, 76)], tmp_path / "one")
    two = part_of(both, range(20, 60), tmp_path / "two")
    (one.path / "crops" / "000025.png").unlink()  # there in the second alone
    whole = merge([one, two], tmp_path / "whole")
    same(FaceSet.load(whole.path), whole)
    for name, column in both.faces.columns().items():
        if name != "track":
            np.testing.assert_array_equal(whole.faces.columns()[name], column, err_msg=name)
    assert whole.crop == both.crop and whole.sources == both.sources
    np.testing.assert_array_equal(whole.rows_with_crops(), np.arange(76))
    for row in (0, 25, 45, 75):
        np.testing.assert_array_equal(whole.read_crop(row), both.read_crop(row))
    assert len(one.rows_with_crops()) == 55 and len(two.rows_with_crops()) == 40
    # What was measured of the parts need not be measured again.
    events, quality = run(measure(whole, 2))
    assert events == []
    np.testing.assert_array_equal(quality.fingerprint, quality_of(both, Looks.load(both), np.arange(76)).fingerprint)


def test_sets_of_other_clips_stand_one_after_the_other(
    both: FaceSet, faces_a: FaceSet, later_a: Path, tmp_path: Path
) -> None:
    _, later = run(stages.extract([later_a], tmp_path / "later", RECIPE, consent_of("a"), None, workers=2))
    whole = merge([later, faces_a], tmp_path / "whole")
    assert [Path(source.path).name for source in whole.sources] == ["later.mp4", "a.mp4"]
    assert not set(whole.faces.track[:36]) & set(whole.faces.track[36:])
    assert whole.crop[0] == "000000.png" and whole.crop[36] == "s1-000000.png"
    np.testing.assert_array_equal(whole.read_crop(3), both.read_crop(43))
    np.testing.assert_array_equal(whole.read_crop(36 + 5), both.read_crop(5))


def test_a_merged_set_is_whole_or_not_there(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Looks, _: FaceSet) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Looks, "save", full)
    with pytest.raises(OutputError, match="the disk is full"):
        merge([made[1]], tmp_path / "whole")
    assert list(tmp_path.iterdir()) == []


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
    words = ("faces", "merge", faces_a.path, both.path, "-o", tmp_path / "whole")
    assert command(*words) == 0
    said = capsys.readouterr().out
    assert "76 faces of a from 2 sources; 40 frames that several sets have were taken once" in said
    assert command(*words) == 1
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
    np.testing.assert_array_equal(done.faces[0].points, made[1].faces.points[40:])
    np.testing.assert_array_equal(done.faces[0].frame, np.arange(36))
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


def test_a_set_of_a_range_does_not_decide_what_is_converted(short_a: Path, model_of_both: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, ranges=("0-30",))
    _, part = run(stages.extract([short_a], tmp_path / "part", recipe, consent_of("a"), None, workers=2))
    assert len(part) == 30
    _, trained, _ = checkpoint.load(model_of_both, torch.device("cpu"))
    trained.face_sets["a"]["path"] = str(part.path)
    roles = [Role(model_of_both)]
    events, (faces,) = run(cast(probe(short_a), roles, [trained], ConvertRecipe(), tmp_path / "work", 2))
    assert len(faces) == 40
    assert any(
        isinstance(event, Note) and "kept the person of a's face set (distance 0." in event.text for event in events
    )


def test_who_was_put_aside_as_somebody_else_is_not_converted(
    short_a: Path, faces_a: FaceSet, model: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(faces_a.path, tmp_path / "copy"))
    names = faces_a.pictures()
    put = {aside.NOT_THEM: [names[3]], aside.WRONG_PERSON: [names[5]], "blurred": [names[7]]}
    aside.put_aside(copy, put)
    _, trained, _ = checkpoint.load(model, torch.device("cpu"))
    trained.face_sets["a"]["path"] = str(copy)
    _, (faces,) = run(cast(probe(short_a), [Role(model)], [trained], ConvertRecipe(), tmp_path / "work", 2))
    assert sorted(set(faces_a.faces.frame.tolist()) - set(faces.frame.tolist())) == faces_a.faces.frame[[3, 5]].tolist()


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
