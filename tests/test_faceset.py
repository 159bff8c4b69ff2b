"""curate/ and the stage `extract`: what is written, what is read back, what is refused, and that it can be resumed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from facedouble import stages
from facedouble.curate.collect import crop_px
from facedouble.curate.faceset import FaceSet
from facedouble.errors import ConsentError, FaceError, InputError
from facedouble.events import Finished, Note, Progress
from facedouble.find import search
from facedouble.find.crop import crop_face, sharpness
from facedouble.geometry import ALIGNMENT_POINTS, TEMPLATE, align, apply, scale_of, square_to_crop
from facedouble.media.reader import probe, read
from facedouble.provenance import consent
from facedouble.recipes import ExtractRecipe
from support import consent_of, run


@pytest.fixture
def copy(faces_a: FaceSet, tmp_path: Path) -> Path:
    """A face set of one's own, to do harm to."""
    shutil.copytree(faces_a.path, tmp_path / "copy")
    return tmp_path / "copy"


def assert_equal(first: FaceSet, second: FaceSet) -> None:
    for name, column in first.faces.columns().items():
        np.testing.assert_array_equal(column, second.faces.columns()[name], err_msg=name)
        assert column.dtype == second.faces.columns()[name].dtype
    for name in ("source", "pts", "sharpness", "transform", "crop"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    for name in ("person", "consent", "sources", "recipe"):
        assert getattr(first, name) == getattr(second, name)


# --- what is written ------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_it_should_and_nothing_else(faces_a: FaceSet, short_a: Path) -> None:
    assert {file.name for file in faces_a.path.iterdir()} == {
        "faceset.json", "consent.toml", "faces.parquet", "quality.parquet", "crops", "people.png", "people.json",
    }  # fmt: skip
    assert sorted(file.name for file in (faces_a.path / "crops").iterdir()) == [f"{i:06d}.png" for i in range(40)]
    assert [file.name for file in faces_a.path.parent.iterdir()] == [faces_a.path.name]
    record = json.loads((faces_a.path / "faceset.json").read_text())
    assert record["person"] == "a"
    assert ExtractRecipe.from_dict(record["recipe"]) == ExtractRecipe(size_px=128)
    (source,) = record["sources"]
    assert source["sha256"] == hashlib.sha256(short_a.read_bytes()).hexdigest()
    assert (source["frames"], source["size"], source["rate"], source["complete"]) == (40, [512, 512], "24", True)
    assert consent.load(faces_a.path / "consent.toml") == [consent_of("a")]


def test_the_table_says_where_each_crop_is_from(faces_a: FaceSet, short_a: Path) -> None:
    clip = probe(short_a)
    np.testing.assert_array_equal(faces_a.faces.frame, np.arange(40))
    np.testing.assert_array_equal(faces_a.pts, clip.pts)
    template = apply(square_to_crop(128, 2.0), TEMPLATE)
    for row in (0, 17, 39):
        aligned = apply(faces_a.transform[row], faces_a.faces.points[row])
        # Her face is not the template, but its parts lie within a tenth of the face square of it.
        assert np.abs(aligned[ALIGNMENT_POINTS] - template).max() < 0.1 * 64
        frame = next(read(clip, row, row + 1))
        crop = faces_a.read_crop(row)
        np.testing.assert_array_equal(crop, crop_face(frame.pixels, faces_a.transform[row], 128))
        assert faces_a.sharpness[row] == pytest.approx(sharpness(crop))


# --- reading it back ------------------------------------------------------------------------------------------------


def test_load_gives_what_was_saved(faces_a: FaceSet, tmp_path: Path) -> None:
    assert_equal(FaceSet.load(faces_a.path), faces_a)
    (tmp_path / "again").mkdir()
    replace(faces_a, path=tmp_path / "again").save()
    assert_equal(FaceSet.load(tmp_path / "again"), faces_a)


def test_a_deleted_crop_is_gone_from_the_set(copy: Path) -> None:
    whole = FaceSet.load(copy)
    before = whole.sha256()
    np.testing.assert_array_equal(whole.rows_with_crops(), np.arange(40))
    (copy / "crops" / "000007.png").unlink()
    less = FaceSet.load(copy)
    assert len(less) == 40  # its frame is still A's, and still converted
    np.testing.assert_array_equal(less.rows_with_crops(), np.delete(np.arange(40), 7))
    assert less.sha256() != before
    (copy / "crops" / "holiday.png").write_bytes(b"")  # no row of the table: none of the set
    assert less.rows_with_crops().tolist() == FaceSet.load(copy).rows_with_crops().tolist()


def test_all_crops_deleted(copy: Path) -> None:
    shutil.rmtree(copy / "crops")
    assert FaceSet.load(copy).rows_with_crops().shape == (0,)


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"no picture at all", "not a picture"), (b"", "not a picture"), (None, "96x64 px")],
    ids=["garbage", "empty", "other size"],
)
def test_a_damaged_crop_is_named(copy: Path, content: bytes | None, found: str) -> None:
    file = copy / "crops" / "000003.png"
    if content is None:
        content = cv2.imencode(".png", np.zeros((64, 96, 3), np.uint8))[1].tobytes()
    file.write_bytes(content)
    with pytest.raises(FaceError, match=rf"000003\.png: {found}, expected 128x128 px\. Delete that file"):
        FaceSet.load(copy).read_crop(3)


def test_a_cut_off_crop_is_an_error_or_a_whole_picture(copy: Path) -> None:
    file = copy / "crops" / "000003.png"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(FaceError, match=r"000003\.png"):
        FaceSet.load(copy).read_crop(3)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_face_set(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FaceError, match=r"not a face set\. Make one with: facedouble extract CLIP -o"):
            FaceSet.load(path)


def set_column(name: str, values: Callable[[pa.Table], Any]) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values(table)))


def lists(values: Any, width: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values), width)


HOSTILE_TABLES = {
    "crop outside": set_column("crop", lambda t: ["../../../etc/passwd"] + [""] * 39),
    "crop absolute": set_column("crop", lambda t: ["/etc/passwd"] + [""] * 39),
    "crop of Windows": set_column("crop", lambda t: ["..\\secret.png"] + [""] * 39),
    "crop a number": set_column("crop", lambda t: list(range(40))),
    "crop missing": lambda t: t.drop_columns(["crop"]),
    "points missing": lambda t: t.drop_columns(["points"]),
    "points too narrow": set_column("points", lambda t: lists(np.zeros(40 * 2, np.float32), 2)),
    "points no list": set_column("points", lambda t: np.zeros(40, np.float32)),
    "points of another type": set_column("points", lambda t: lists(np.zeros(40 * 956, np.int32), 956)),
    "points not finite": set_column("points", lambda t: lists(np.full(40 * 956, np.nan, np.float32), 956)),
    "some boxes null": set_column("box", lambda t: [None, *t["box"].to_pylist()[1:]]),
    "ragged boxes": set_column("box", lambda t: [[1.0]] + [[1.0, 2, 3, 4]] * 38 + [[1.0] * 7]),
    "transform too wide": set_column("transform", lambda t: lists(np.zeros(40 * 7), 7)),
    "frame in words": set_column("frame", lambda t: ["one"] * 40),
    "frame a fraction": set_column("frame", lambda t: np.arange(40) + 0.5),
    "frame null": set_column("frame", lambda t: [None, *range(1, 40)]),
    "frame beyond the clip": set_column("frame", lambda t: [*range(39), 10**12]),
    "frame below zero": set_column("frame", lambda t: [-1, *range(1, 40)]),
    "frame twice": set_column("frame", lambda t: [0, 0, *range(2, 40)]),
    "frames that wrap around": set_column("frame", lambda t: [0, *range(-(2**63), -(2**63) + 39)]),
    "source missing": lambda t: t.drop_columns(["source"]),
    "source a fraction": set_column("source", lambda t: np.zeros(40)),
    "source null": set_column("source", lambda t: [None, *[0] * 39]),
    "source below zero": set_column("source", lambda t: [-1, *[0] * 39]),
    "source that is not there": set_column("source", lambda t: [*[0] * 39, 1]),
    "source in no order": set_column("source", lambda t: [1, *[0] * 39]),
    "crop with an underscore": set_column("crop", lambda t: ["a_000000.png", *t["crop"].to_pylist()[1:]]),
    "crop twice": set_column("crop", lambda t: ["000001.png", *t["crop"].to_pylist()[1:]]),
    "crop null": set_column("crop", lambda t: [None, *t["crop"].to_pylist()[1:]]),
}


@pytest.mark.parametrize("harm", HOSTILE_TABLES.values(), ids=HOSTILE_TABLES.keys())
def test_a_hostile_table_is_refused(copy: Path, harm: Callable[[pa.Table], pa.Table]) -> None:
    parquet.write_table(harm(parquet.read_table(copy / "faces.parquet")), copy / "faces.parquet")
    with pytest.raises(FaceError, match=r"copy: a broken face set .*Extract it again"):
        FaceSet.load(copy)


@pytest.mark.parametrize("harm", [lambda data: b"", lambda data: b"PAR1 no", lambda data: data[:-100]])
def test_a_table_that_is_no_parquet_is_refused(copy: Path, harm: Callable[[bytes], bytes]) -> None:
    (copy / "faces.parquet").write_bytes(harm((copy / "faces.parquet").read_bytes()))
    with pytest.raises(FaceError, match=r"copy: a broken face set .*Extract it again"):
        FaceSet.load(copy)


def changed(record: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The record with some of its only source's values exchanged."""
    return record | {"sources": [record["sources"][0] | values]}


HOSTILE_RECORDS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "newer version": (lambda r: r | {"version": 3}, "version 3, this program reads 2 and before"),
    "unknown setting": (lambda r: r | {"recipe": r["recipe"] | {"aura": 3}}, "unknown settings .*: aura"),
    "impossible setting": (lambda r: r | {"recipe": r["recipe"] | {"size_px": 1}}, "crop size 1: expected 64"),
    "crops as in footage": (lambda r: r | {"recipe": r["recipe"] | {"size_px": 0}}, "broken face set"),
    "recipe of another type": (lambda r: r | {"recipe": ["size_px"]}, "broken face set"),
    "setting of another type": (lambda r: r | {"recipe": {"size_px": "wide"}}, "broken face set"),
    "a list": (lambda r: [r], "broken face set"),
    "nothing": (lambda r: {}, "broken face set"),
    "no sources": (lambda r: r | {"sources": None}, "broken face set"),
    "empty sources": (lambda r: r | {"sources": []}, "broken face set"),
    "a source twice": (lambda r: r | {"sources": r["sources"] * 2}, "broken face set"),
    "sources of another type": (lambda r: r | {"sources": r["sources"][0]}, "broken face set"),
    "strange source": (lambda r: changed(r, more=1), "broken face set"),
    "impossible rate": (lambda r: changed(r, rate="1/0"), "broken face set"),
    "frames in words": (lambda r: changed(r, frames="40"), "broken face set"),
    "frames beyond numbers": (lambda r: changed(r, frames=10**30), "broken face set"),
    "frames below zero": (lambda r: changed(r, frames=-1), "broken face set"),
    "path a list": (lambda r: changed(r, path=["a.mp4"]), "broken face set"),
    "complete a number": (lambda r: changed(r, complete=1), "broken face set"),
    "size of three": (lambda r: changed(r, size=[1, 2, 3]), "broken face set"),
    "ranges of another type": (lambda r: r | {"recipe": r["recipe"] | {"ranges": [3]}}, "broken face set"),
    "impossible range": (lambda r: r | {"recipe": r["recipe"] | {"ranges": ["x"]}}, "--range 'x': expected START-END"),
    "impossible distance": (lambda r: r | {"recipe": r["recipe"] | {"same_person": 9}}, "same person 9: expected"),
}


@pytest.mark.parametrize(("harm", "text"), HOSTILE_RECORDS.values(), ids=HOSTILE_RECORDS.keys())
def test_a_hostile_record_is_refused(copy: Path, harm: Callable[[dict[str, Any]], Any], text: str) -> None:
    record = json.loads((copy / "faceset.json").read_text())
    (copy / "faceset.json").write_text(json.dumps(harm(record)))
    with pytest.raises(FaceError, match=f"copy: .*{text}"):
        FaceSet.load(copy)


@pytest.mark.parametrize("text", ["", "{", "\udcff", "[" * 100_000])
def test_a_record_that_is_no_json_is_refused(copy: Path, text: str) -> None:
    (copy / "faceset.json").write_text(text, errors="surrogateescape")
    with pytest.raises(FaceError, match=r"copy: a broken face set .*Extract it again"):
        FaceSet.load(copy)


def test_a_set_without_consent_is_refused(copy: Path) -> None:
    (copy / "consent.toml").unlink()
    with pytest.raises(ConsentError, match=r"consent\.toml: no such consent file"):
        FaceSet.load(copy)


# --- the stage ------------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_interrupted_extraction_goes_on_and_ends_alike(
    short_a: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_STRETCH", 10)
    recipe = ExtractRecipe(size_px=64, every=2)

    def extraction(out: Path, workers: int) -> Any:
        return stages.extract([short_a], out, recipe, consent_of("a"), None, workers)

    events, whole = run(extraction(tmp_path / "whole", workers=2))
    assert isinstance(events[-1], Finished) and isinstance(events[-2], Finished)
    assert events[-1].text == "20 faces of a, from 40 frames"
    assert events[-2].path == tmp_path / "whole" / "people.png"
    assert Note("a.mp4: kept the only person, 40 faces") in events
    assert [name for name in whole.crop if name] == [f"{i:06d}.png" for i in range(0, 40, 2)]
    assert np.isnan(whole.sharpness[1::2]).all()

    out = tmp_path / "stopped"
    first = extraction(out, workers=1)
    while not (isinstance(event := next(first), Progress) and event.done >= 20):
        pass
    first.close()  # what Ctrl-C does to it
    assert not out.exists()

    second = extraction(out, workers=1)
    event = next(second)
    assert isinstance(event, Note)
    assert "a.mp4: going on with an earlier search, " in event.text
    assert " of 4 stretches done" in event.text
    while not (isinstance(event, Progress) and event.stage.startswith("cropping")):
        event = next(second)
    second.close()
    assert not out.exists()

    events, resumed = run(extraction(out, workers=1))
    assert "4 of 4 stretches done" in events[0].text
    assert_equal(resumed, replace(whole, path=out))
    assert contents(out) == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "whole"]


def test_what_is_already_there_is_not_done_again(faces_a: FaceSet, short_a: Path) -> None:
    before = contents(faces_a.path)
    again = stages.extract([short_a], faces_a.path, faces_a.recipe, consent_of("a"), None, workers=1)
    events, result = run(again)
    assert len(events) == 1
    assert "already extracted, 40 faces; delete the folder to do it again" in events[0].text
    assert_equal(result, faces_a)
    assert contents(faces_a.path) == before


def test_other_settings_or_footage_in_the_same_folder(faces_a: FaceSet, short_a: Path, short_b: Path) -> None:
    for clip, recipe in ((short_a, ExtractRecipe(size_px=64)), (short_b, faces_a.recipe)):
        with pytest.raises(InputError, match=r"a: already holds faces of a\.mp4, other footage or settings"):
            run(stages.extract([clip], faces_a.path, recipe, consent_of("a"), None, workers=1))


def test_crops_are_as_large_as_faces_are_in_the_footage(faces_a: FaceSet, short_a: Path, tmp_path: Path) -> None:
    """Each 128 px more, from 256 to 512, and no crop is more than a twentieth smaller than its footage."""
    clip, faces = probe(short_a), faces_a.faces
    square = float(np.median([1 / scale_of(align(points, 1, 1)) for points in faces.points]))
    for wide, side in ((40, 256), (125, 256), (133, 256), (140, 384), (199, 384), (205, 512), (600, 512)):
        points = (faces.points - 100) * np.float32(wide / square) + 100
        assert crop_px([(clip, replace(faces, points=points))], 2.0) == side
    # And that is what extract does where no size is asked for, whose set it knows again.
    recipe = ExtractRecipe(every=20)
    for text in ("2 faces of a", "already extracted, 2 faces"):
        events, result = run(stages.extract([short_a], tmp_path / "faces", recipe, consent_of("a"), None, workers=1))
        assert text in events[-1].text
        assert result.recipe.size_px == 384 and result.read_crop(0).shape == (384, 384, 3)
        assert result.recipe.size_px / 2 == pytest.approx(square, rel=0.2)


def test_an_unfinished_run_with_other_settings_is_started_over(short_a: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    for recipe in (ExtractRecipe(size_px=64), ExtractRecipe(size_px=96)):
        stage = stages.extract([short_a], out, recipe, consent_of("a"), None, workers=1)
        event = next(stage)
        stage.close()
    assert isinstance(event, Note)
    assert "an unfinished run was made with other footage or settings; starting over" in event.text


def test_the_person_of_an_example_picture(short_a: Path, tmp_path: Path) -> None:
    picture = tmp_path / "wanted.png"
    frame = next(read(probe(short_a), 20, 21)).pixels
    cv2.imwrite(str(picture), frame[:, :, ::-1])
    recipe = ExtractRecipe(size_px=64, every=20)
    events, _ = run(stages.extract([short_a], tmp_path / "faces", recipe, consent_of("a"), picture, workers=1))
    assert any("kept the person of the example picture (distance 0." in getattr(event, "text", "") for event in events)


def test_an_example_picture_must_show_one_face(short_a: Path, tmp_path: Path) -> None:
    picture = tmp_path / "nobody.png"
    cv2.imwrite(str(picture), np.full((200, 200, 3), 127, np.uint8))
    with pytest.raises(FaceError, match=r"nobody\.png: 0 faces, expected exactly one"):
        run(stages.extract([short_a], tmp_path / "faces", ExtractRecipe(), consent_of("a"), picture, workers=1))


def test_consent_in_the_future_stops_before_any_work(short_a: Path, tmp_path: Path) -> None:
    late = replace(consent_of("a"), date=consent_of("a").date.replace(year=2999))
    with pytest.raises(ConsentError, match="in the future"):
        run(stages.extract([short_a], tmp_path / "faces", ExtractRecipe(), late, None, workers=1))
    assert list(tmp_path.iterdir()) == []
