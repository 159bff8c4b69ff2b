"""`facedouble faces`: a set in order, and nothing lost whatever stops it or whoever wrote its files."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from facedouble import faces_commands
from facedouble.curate import aside, order, part, prune, subset
from facedouble.curate.faceset import FaceSet
from facedouble.curate.quality import CACHE, Looks, Quality, measure, quality_of
from facedouble.curate.similar import leaders, unlikeness
from facedouble.errors import FaceError, InputError, OutputError
from facedouble.events import Progress
from facedouble.faces import Faces
from facedouble.find.mask import face_mask
from facedouble.footage import spread
from support import SHARED, Picture, command, run

PERFORMANCE = SHARED / "performers" / "performance.py"


@pytest.fixture
def copy(faces_a: FaceSet, tmp_path: Path) -> FaceSet:
    """A set of one's own: 40 crops of 128 px."""
    return FaceSet.load(Path(shutil.copytree(faces_a.path, tmp_path / "faces")))


@pytest.fixture
def mixed(faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path) -> FaceSet:
    """A's 40 faces, and after them 10 of B's, in a track of their own: a tracker's mistake."""
    folder = tmp_path / "mixed"
    (folder / "crops").mkdir(parents=True)
    stranger = faces_b.faces[:10]
    moved = replace(stranger, frame=stranger.frame + 40, track=stranger.track + 1)
    names = [*faces_a.crop, *(f"{number:06d}.png" for number in range(40, 50))]
    for row, name in enumerate(names):
        of, number = (faces_a, row) if row < 40 else (faces_b, row - 40)
        shutil.copyfile(of.path / "crops" / of.crop[number], folder / "crops" / name)
    both = replace(
        faces_a,
        path=folder,
        faces=Faces.join([faces_a.faces, moved]),
        sources=(replace(faces_a.sources[0], frames=50),),
        source=np.zeros(50, np.int64),
        pts=np.arange(50),
        sharpness=np.concatenate([faces_a.sharpness, faces_b.sharpness[:10]]),
        transform=np.concatenate([faces_a.transform, faces_b.transform[:10]]),
        crop=names,
    )
    both.save()
    return FaceSet.load(folder)


def measured(faces: FaceSet) -> Quality:
    quality: Quality = run(measure(faces, 2))[1]
    return quality


def contents(folder: Path) -> dict[str, bytes]:
    """But for the contact sheet that prune leaves."""
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    files.pop("prune.png", None)
    return files


def put(picture: Picture, file: Path, suffix: str = ".png", quality: int = 60) -> None:
    """Write (S, S, 3) RGB in place of a crop; another suffix: re-encoded so before."""
    shown = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    if suffix != ".png":
        shown = cv2.imdecode(cv2.imencode(suffix, shown, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    cv2.imwrite(str(file), shown)


def measured_again(faces: FaceSet) -> int:
    """How many crops were read."""
    return max((int(event.done) for event in run(measure(faces, 2))[0] if isinstance(event, Progress)), default=0)


# --- measures -------------------------------------------------------------------------------------------------------


def test_extraction_leaves_the_measures_of_every_crop(copy: FaceSet) -> None:
    assert measured_again(copy) == 0
    kept = measured(copy)
    (copy.path / CACHE).unlink()
    assert measured_again(copy) == 40
    for name, column in vars(measured(copy)).items():
        # Lossless pictures, so what was measured while they were cut is what is measured from the files.
        np.testing.assert_array_equal(column, getattr(kept, name), err_msg=name)
        assert not np.isnan(column).any(), name
    np.testing.assert_array_equal(kept.sharpness, copy.sharpness)


def test_only_what_is_new_is_measured(copy: FaceSet) -> None:
    before = measured(copy)
    crops = copy.path / "crops"
    (crops / "000004.png").rename(crops / "best_000004.png")
    picture = copy.read_crop(7)
    (crops / "000009.png").unlink()
    assert measured_again(copy) == 0
    put(np.clip(picture * 0.5, 0, 255).astype(np.uint8), crops / "000007.png")
    assert measured_again(copy) == 1
    after = measured(copy)
    assert after.brightness[7] < 0.7 * before.brightness[7]
    assert np.isnan([getattr(after, name)[9] for name in ("yaw", "away", "sharpness", "brightness")]).all()
    assert after.rows().tolist() == [row for row in range(40) if row != 9]
    np.testing.assert_array_equal(np.delete(after.sharpness, [7, 9]), np.delete(before.sharpness, [7, 9]))


def test_measures_have_the_known_answer(copy: FaceSet) -> None:
    quality = measured(copy)
    # The rendered skin is of one colour and in one light; 128 px crops show two face squares of some 160 px.
    assert np.ptp(quality.brightness) < 6 and 20 < quality.brightness.mean() < 90
    assert np.ptp(quality.hue) < 8 and (quality.contrast > 1).all()
    np.testing.assert_array_equal(quality.inside, 1)
    wider = replace(copy, transform=copy.transform / 2)
    np.testing.assert_allclose(quality_of(wider, Looks.load(copy), np.arange(40)).size_px, 2 * quality.size_px)
    closing = quality.eyes_closed > 0.5
    lids = np.linalg.norm(copy.faces.points[:, 159] - copy.faces.points[:, 145], axis=1)
    assert not closing.any() or lids[closing].max() < lids[~closing].mean()


def test_the_share_inside_the_frame(copy: FaceSet) -> None:
    points = copy.faces.points.copy()
    oval = face_mask(points[0], (512, 512)) > 127
    left = int(np.flatnonzero(oval.any(0))[0] + 0.4 * np.ptp(np.flatnonzero(oval.any(0))))
    points[0, :, 0] -= left
    moved = replace(copy, faces=replace(copy.faces, points=points))
    inside = quality_of(moved, Looks.load(copy), np.arange(40)).inside
    assert inside[0] == pytest.approx(oval[:, left:].sum() / oval.sum(), abs=0.02)
    assert 0.5 < inside[0] < 0.75 and (inside[1:] == 1).all()


def test_identity_is_spread_between_its_samples(mixed: FaceSet) -> None:
    table = mixed.faces
    sampled = ~np.isnan(table.embedding[:, 0])
    assert 0 < sampled.sum() < 10
    away = measured(mixed).away
    assert not np.isnan(away).any()
    assert away[:40].max() < 0.5 < away[40:].min()
    unknown = replace(table, embedding=np.where(table.track[:, None] == table.track[45], np.nan, table.embedding))
    away = quality_of(replace(mixed, faces=unknown), Looks.load(mixed), np.arange(50)).away
    assert np.isnan(away[40:]).all() and not np.isnan(away[:40]).any()


def bomb(file: Path) -> None:
    """A small file of very many rows, under the metadata of the good one."""
    good = parquet.read_table(file)
    blank = {name: pa.array(np.zeros(1_000_000, np.float32)) for name in good.column_names}
    parquet.write_table(pa.table(blank).replace_schema_metadata(good.schema.metadata), file, compression="zstd")


def column(name: str, values: Callable[[int], Any]) -> Callable[[Path], None]:
    def harm(file: Path) -> None:
        table = parquet.read_table(file)
        changed = table.set_column(table.column_names.index(name), name, pa.array(values(table.num_rows)))
        parquet.write_table(changed, file)

    return harm


HOSTILE_CACHES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda file: file.write_bytes(b""),
    "no table": lambda file: file.write_bytes(b"PAR1 no"),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a bomb": bomb,
    "large": lambda file: file.write_bytes(file.read_bytes() + bytes(3_000_000)),
    "of another table": lambda file: parquet.write_table(
        parquet.read_table(file).replace_schema_metadata({"of": "facedouble quality 1 of 0"}), file
    ),
    "without metadata": lambda file: parquet.write_table(parquet.read_table(file).replace_schema_metadata(None), file),
    "a row less": lambda file: parquet.write_table(parquet.read_table(file).slice(1), file),
    "a column less": lambda file: parquet.write_table(parquet.read_table(file).drop_columns(["hue"]), file),
    "words": column("hue", lambda n: ["red"] * n),
    "other numbers": column("hue", lambda n: np.arange(n)),
    "nulls": column("hue", lambda n: pa.nulls(n, pa.float32())),
    "infinite": column("sharpness", lambda n: np.full(n, np.inf, np.float32)),
    "narrow fingerprints": column("fingerprint", lambda n: np.zeros(n, np.float32)),
    "ragged fingerprints": column("fingerprint", lambda n: [[1.0] * (row % 3) for row in range(n)]),
    "unknown fingerprints": column(
        "fingerprint", lambda n: pa.FixedSizeListArray.from_arrays(np.full(n * 256, np.nan, np.float32), 256)
    ),
}


@pytest.mark.parametrize("harm", HOSTILE_CACHES.values(), ids=HOSTILE_CACHES.keys())
def test_a_hostile_cache_is_measured_anew(copy: FaceSet, harm: Callable[[Path], Any]) -> None:
    right = measured(copy)
    harm(copy.path / CACHE)
    if (copy.path / CACHE).is_dir():
        (copy.path / CACHE / "x").touch()  # cannot be replaced: the measures are then not kept, and that is said
        events, again = run(measure(copy, 2))
        assert "not kept" in events[-1].text
    else:
        again = measured(copy)
        assert measured_again(copy) == 0
    for name, values in vars(again).items():
        np.testing.assert_array_equal(values, getattr(right, name), err_msg=name)


# --- names ----------------------------------------------------------------------------------------------------------


def test_sorting_by_yaw_follows_the_performance(copy: FaceSet, capsys: pytest.CaptureFixture[str]) -> None:
    before, pixels = copy.sha256(), [copy.read_crop(row) for row in range(40)]
    assert command("faces", "sort", copy.path, "--by", "yaw") == 0
    assert "40 crops by yaw, 40 renamed" in capsys.readouterr().out
    names = sorted(file.name for file in (copy.path / "crops").iterdir())
    assert [name[:6] for name in names] == [f"{place:05d}_" for place in range(40)]
    degrees = [int(name.split("_")[1].removeprefix("yaw")) for name in names]
    assert degrees == sorted(degrees) and degrees[0] < degrees[-1]
    frames = [int(name.split("_")[2].removesuffix(".png")) for name in names]
    if not PERFORMANCE.is_file():
        pytest.skip(f"{PERFORMANCE}, the script of the performance, is not here")
    state = runpy.run_path(str(PERFORMANCE))["state"]
    scripted = [state(frame)["yaw"] for frame in frames]
    # In the script's order up to the pose's own error, 0.6 degrees: no face stands before one that turns a degree less.
    assert (np.maximum.accumulate(scripted) - scripted).max() < 2

    sorted_set = FaceSet.load(copy.path)
    assert sorted_set.sha256() == before
    assert sorted_set.rows_with_crops().tolist() == list(range(40))
    for row in range(40):
        np.testing.assert_array_equal(sorted_set.read_crop(row), pixels[row])
        np.testing.assert_array_equal(copy.read_crop(row), pixels[row])  # that was loaded under the old names
    assert command("faces", "sort", copy.path, "--by", "frame") == 0
    assert sorted(file.name for file in (copy.path / "crops").iterdir()) == list(copy.crop)


@pytest.mark.parametrize("by", order.ORDERS)
def test_every_order_is_one_of_all_faces(copy: FaceSet, by: str) -> None:
    quality = measured(copy)
    found = order.order(copy, quality, by, "000020.png" if by == "similarity" else None, 0.03)
    assert sorted(found.rows) == list(range(40))
    if by == "similarity":
        assert found.rows[0] == 20
    if by == "brightness":
        assert (np.diff(quality.brightness[found.rows]) >= 0).all()
    if by == "expression":
        assert (np.diff(quality.expression[found.rows]) <= 0).all()


def test_unknown_values_come_last(copy: FaceSet) -> None:
    quality = measured(copy)
    quality.away[[3, 5]] = np.nan
    found = order.order(copy, quality, "away", None, 0.03)
    assert found.rows[-2:].tolist() == [3, 5] and found.labels[-1] == "away-unknown"
    assert np.argmax(np.nan_to_num(quality.away)) == found.rows[0]


def test_sorting_stopped_half_way_leaves_the_set_whole(copy: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    before, pixels = copy.sha256(), [copy.read_crop(row) for row in range(40)]
    found = order.order(copy, measured(copy), "sharpness", None, 0.03)
    stop_after(15, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        order.rename(copy, found)
    monkeypatch.undo()
    names = [file.name for file in (copy.path / "crops").iterdir()]
    assert sum("_" in name for name in names) == 15 and len(names) == 40
    half = FaceSet.load(copy.path)
    assert half.sha256() == before and measured_again(half) == 0
    for row in range(40):
        np.testing.assert_array_equal(half.read_crop(row), pixels[row])
    order.rename(half, found)
    assert sum("_" in file.name for file in (copy.path / "crops").iterdir()) == 40


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after so many renames."""
    real, done = Path.rename, []

    def rename(self: Path, target: Path) -> Path:
        if len(done) == count:
            done.append("stopped")
            raise KeyboardInterrupt
        done.append("")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)


def test_two_pictures_of_one_face(copy: FaceSet) -> None:
    crops = copy.path / "crops"
    before = copy.sha256()
    plain, other = copy.read_crop(2), copy.read_crop(30)
    (crops / "._000002.png").write_bytes(b"macOS")  # none of ours
    for name, first in (("better_000002.png", plain), ("+better_000002.png", other)):  # the first by name counts
        shutil.copyfile(crops / "000030.png", crops / name)
        twice = FaceSet.load(copy.path)
        np.testing.assert_array_equal(twice.read_crop(2), first)
        assert twice.sha256() == before and len(twice.rows_with_crops()) == 40
        with pytest.raises(FaceError, match=r"000002\.png are of one face\. Delete one"):
            order.rename(twice, order.order(twice, measured(twice), "yaw", None, 0.03))
        (crops / name).unlink()


# --- pruning --------------------------------------------------------------------------------------------------------


def test_duplicates_are_found_however_they_were_made(copy: FaceSet) -> None:
    crops = copy.path / "crops"
    natural = prune.choose(measured(copy), {"duplicates": None})["duplicates"]
    spare = [row for row in range(40) if row not in {*natural.rows, *natural.kept}]
    originals, copies = spare[:3], spare[-3:]
    pixels = [copy.read_crop(row) for row in originals]
    shutil.copyfile(crops / copy.crop[originals[0]], crops / copy.crop[copies[0]])
    put(pixels[1], crops / copy.crop[copies[1]], ".jpg")
    put(np.clip(pixels[2] * 1.06 + 8.0, 0, 255).astype(np.uint8), crops / copy.crop[copies[2]])
    quality = measured(copy)
    found = prune.choose(quality, {"duplicates": None})["duplicates"]
    pairs = {frozenset(pair) for pair in zip(found.rows.tolist(), found.kept.tolist(), strict=True)}
    assert pairs >= {frozenset(pair) for pair in zip(originals, copies, strict=True)}
    assert len(found.rows) == len(natural.rows) + 3
    assert (quality.sharpness[found.kept] >= quality.sharpness[found.rows]).all()  # the sharpest stays
    grouped = order.order(copy, quality, "duplicates", None, 0.03)
    place = {row: number for number, row in enumerate(grouped.rows.tolist())}
    assert all(abs(place[one] - place[other]) == 1 for one, other in zip(originals, copies, strict=True))


def test_groups_do_not_chain() -> None:
    steps = np.linspace(0, 1, 11)[:, None].astype(np.float32) * np.ones((1, 256), np.float32)
    leader, apart = leaders(steps, np.arange(11, dtype=np.float32), 0.25)
    assert leader.tolist() == [1, 1, 4, 4, 4, 7, 7, 7, 10, 10, 10]
    np.testing.assert_allclose(apart, np.abs(steps[leader, 0] - steps[:, 0]), atol=1e-6)
    many = np.random.default_rng(1).normal(size=(1500, 256)).astype(np.float32)
    many[900:] = many[:600]  # over the borders of blocks
    leader, _ = leaders(many, np.linspace(1, 0, 1500, dtype=np.float32), 0.1)
    assert leader.tolist() == [*range(900), *range(600)]
    assert unlikeness(many[:1], many[900])[0] == 0


def test_blurred_crops_are_found(copy: FaceSet) -> None:
    blurred = [3, 8, 21, 22, 39]
    for row in blurred:
        put(cv2.GaussianBlur(copy.read_crop(row), (0, 0), 2), copy.path / "crops" / copy.crop[row])
    found = prune.choose(measured(copy), {"blurred": None})["blurred"]
    assert sorted(found.rows) == blurred
    assert (np.diff(found.values) >= 0).all() and found.values[-1] < found.limit


def test_strangers_are_found(mixed: FaceSet) -> None:
    found = prune.choose(measured(mixed), {"wrong-person": None})["wrong-person"]
    assert sorted(found.rows) == list(range(40, 50))


def test_a_face_goes_for_one_reason_only_and_unknown_dooms_nobody(copy: FaceSet) -> None:
    quality = measured(copy)
    quality.size_px[[1, 2]], quality.sharpness[[2, 3]], quality.inside[3], quality.away[:] = 20, 0, 0.5, np.nan
    found = prune.choose(quality, {name: None for name, reason in prune.REASONS.items() if reason.usual})
    assert (found["wrong-person"].rows.tolist(), found["cut-off"].rows.tolist()) == ([], [3])
    assert (sorted(found["tiny"].rows), found["blurred"].rows.tolist()) == ([1, 2], [])
    assert "closed-eyes" not in found
    every = [row for doomed in found.values() for row in doomed.rows.tolist()]
    assert len(every) == len(set(every))


def test_prune_shows_first_moves_when_told_and_restores_byte_for_byte(
    mixed: FaceSet, capsys: pytest.CaptureFixture[str]
) -> None:
    put(cv2.GaussianBlur(mixed.read_crop(5), (0, 0), 3), mixed.path / "crops" / "000005.png")
    command("faces", "sort", mixed.path, "--by", "away")
    before, sha = contents(mixed.path), mixed.sha256()
    line = ("faces", "prune", mixed.path, "--wrong-person", "--blurred")
    assert command(*line) == 0
    said = capsys.readouterr().out
    assert "wrong-person  10" in said and "11 would go, 39 would stay. Nothing was moved" in said
    assert contents(mixed.path) == before
    picture = cv2.imread(str(mixed.path / "prune.png"))
    assert picture.shape[0] > 300 and picture.shape[1] > 1000 and picture.std() > 30

    assert command(*line, "--apply") == 0
    assert "11 put aside" in capsys.readouterr().out
    assert aside.counts(mixed.path) == {"blurred": 1, "wrong-person": 10}
    less = FaceSet.load(mixed.path)
    assert less.rows_with_crops().tolist() == [row for row in range(40) if row != 5] and less.sha256() != sha
    assert command("faces", "prune", mixed.path, "--duplicates", 0.08, "--apply") == 0
    assert aside.counts(mixed.path)["duplicates"] > 0
    capsys.readouterr()

    assert command("faces", "restore", mixed.path, "--last") == 0
    assert "11 still aside" in capsys.readouterr().out
    assert command("faces", "restore", mixed.path, "--reason", "blurred") == 0
    assert aside.counts(mixed.path) == {"wrong-person": 10}
    assert command("faces", "restore", mixed.path) == 0
    assert contents(mixed.path) == before and not (mixed.path / "aside").exists()
    assert mixed.sha256() == sha


def test_ctrl_c_leaves_the_set_as_it_was(copy: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(copy.path)
    names = {"blurred": list(copy.crop[:20]), "tiny": list(copy.crop[30:])}
    stop_after(25, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        aside.put_aside(copy.path, names)
    monkeypatch.undo()
    assert contents(copy.path) == before and not (copy.path / "aside").exists()
    aside.put_aside(copy.path, names)
    apart = contents(copy.path)
    stop_after(7, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        aside.restore(copy.path)
    monkeypatch.undo()
    assert contents(copy.path) == apart
    assert aside.restore(copy.path) == 30
    assert contents(copy.path) == before


# Moves twelve pictures, then hangs for a minute.
HANGING = """
import pathlib, sys, time
real, done = pathlib.Path.rename, []
def rename(self, target):
    done.append(1)
    if len(done) > 12:
        time.sleep(60)
    return real(self, target)
pathlib.Path.rename = rename
from facedouble.cli import main
main(sys.argv[1:])
"""


def test_a_killed_prune_is_undone_by_the_next_command(copy: FaceSet, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(copy.path)
    line = [sys.executable, "-c", HANGING, "faces", "prune", str(copy.path), "--tiny", "1000", "--apply"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while len(list((copy.path / "aside").glob("tiny/*"))) < 12 and time.monotonic() < end:
        time.sleep(0.02)
    assert command("faces", "list", copy.path) == 1
    assert f"another facedouble (process {process.pid}) is moving its pictures" in capsys.readouterr().err
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list((copy.path / "crops").iterdir())) == 28 and (copy.path / aside.JOURNAL).is_file()
    assert command("faces", "list", copy.path) == 0
    said = capsys.readouterr()
    assert "stopped while it moved pictures; 12 were put back" in said.err
    assert "pictures: 40 of 40 faces" in said.out
    assert contents(copy.path) == before


@pytest.mark.parametrize(
    "journal",
    [
        "", "[]", "{}", '{"moves": 3}', '{"moves": [["crops/000001.png", 3]]}',
        '{"moves": [["crops/000001.png", "aside/../../out.png"]]}', '{"moves": [["/etc/passwd", "aside/tiny/x.png"]]}',
        '{"moves": [["faces.parquet", "crops/x.png"]]}', '{"moves": [["crops/..", "aside/tiny/x.png"]]}', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_foreign_journal_moves_nothing(copy: FaceSet, journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    (copy.path / aside.JOURNAL).write_text(journal)
    before = contents(copy.path.parent)
    assert command("faces", "list", copy.path) == 1
    assert ".moving.json: not a list of moved pictures by this program" in capsys.readouterr().err
    assert contents(copy.path.parent) == before


def test_a_name_that_is_taken_stops_before_anything_moves(copy: FaceSet) -> None:
    aside.put_aside(copy.path, {"tiny": ["000001.png", "000002.png"]})
    (copy.path / "crops" / "000002.png").write_bytes(b"another")
    before = contents(copy.path)
    with pytest.raises(FaceError, match=r"000002\.png: is there already"):
        aside.restore(copy.path)
    assert contents(copy.path) == before


# --- parts ----------------------------------------------------------------------------------------------------------


def turned(faces: FaceSet, degrees: np.ndarray[Any, Any]) -> FaceSet:
    """The set, its table saved anew with these yaws."""
    pose = faces.faces.pose.copy()
    pose[:, 0] = np.radians(degrees)
    replace(faces, faces=replace(faces.faces, pose=pose)).save()
    return FaceSet.load(faces.path)


def test_split_by_orientation(copy: FaceSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaws = np.linspace(-80, 80, 40)
    faces = turned(copy, yaws)
    measured(faces)
    before, out = contents(faces.path), tmp_path / "parts"
    assert command("faces", "split", faces.path, "-o", out) == 0
    assert "(training needs 30)" in capsys.readouterr().out
    wanted = {"frontal": np.abs(yaws) < 20, "side": np.abs(yaws) >= 50}
    wanted["three-quarter"] = ~wanted["frontal"] & ~wanted["side"]
    assert sorted(path.name for path in out.iterdir()) == sorted(wanted)
    for name, mask in wanted.items():
        found = FaceSet.load(out / name)
        assert found.rows_with_crops().tolist() == np.flatnonzero(mask).tolist()
        assert (found.person, found.consent, found.sources, found.recipe) == (
            faces.person, faces.consent, faces.sources, faces.recipe,
        )  # fmt: skip
        row = int(np.flatnonzero(mask)[0])
        np.testing.assert_array_equal(found.read_crop(row), faces.read_crop(row))
        assert (found.path / "crops" / found.crop[row]).stat().st_nlink > 1  # a link, not a copy
        assert len(found) == 40  # every frame is still known, and still converted
        assert measured_again(found) == 0
    assert contents(faces.path) == before
    assert command("faces", "split", faces.path, "-o", out) == 1
    assert "is there already. Choose another -o" in capsys.readouterr().err
    assert command("faces", "split", faces.path, "--edges", "10,30", "-o", tmp_path / "other") == 0
    assert len(FaceSet.load(tmp_path / "other" / "frontal").rows_with_crops()) == (np.abs(yaws) < 10).sum()


def test_split_by_a_measure(copy: FaceSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaws = np.linspace(-78, 78, 40)  # 4 degrees apart
    faces = turned(copy, yaws)
    command("faces", "sort", faces.path, "--by", "yaw")
    assert command("faces", "split", faces.path, "--by", "yaw:-90,-20,20,70", "-o", tmp_path / "parts") == 0
    assert "2 faces lie outside these edges" in capsys.readouterr().err
    left = FaceSet.load(tmp_path / "parts" / "yaw_-90_to_-20")
    assert left.rows_with_crops().tolist() == np.flatnonzero(yaws < -20).tolist()
    assert next((left.path / "crops").iterdir()).name.count("_") == 0  # plain names
    for by in ("yaw", "yaw:1", "yaw:2,1", "mood:1,2", "yaw:a,b", ""):
        assert command("faces", "split", faces.path, f"--by={by}", "-o", tmp_path / "no") == 1
        assert "expected orientation, or a measure with ascending edges" in capsys.readouterr().err
    assert command("faces", "split", faces.path, "--by", "yaw:80,90", "-o", tmp_path / "no") == 1
    assert command("faces", "split", faces.path, "--edges", "50,20", "-o", tmp_path / "no") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "parts"]


def test_new_sets_are_whole_or_not_there(copy: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        subset.subset(copy, range(5), tmp_path / "copied")  # a disk without links
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(OutputError, match="the disk is full"):
            subset.subsets(copy, {"one": range(5)}, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert len(FaceSet.load(tmp_path / "copied").rows_with_crops()) == 5
    subset.subsets(copy, {"one": range(5)}, tmp_path / "new")  # over what the failed run left
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copied", "faces", "new"]


def test_pick_covers_the_set_better_than_every_nth_frame(copy: FaceSet, tmp_path: Path) -> None:
    quality = measured(copy)
    rows = quality.rows()
    for count in (4, 8, 16):
        picked = run(part.pick(copy, quality, count))[1]
        assert len(set(picked.tolist())) == count and (np.diff(picked) > 0).all()
        np.testing.assert_array_equal(picked, run(part.pick(copy, quality, count))[1])
        ours, even = (part.reach(copy, quality, rows, p) for p in (picked, rows[spread(40, count)]))
        assert ours.mean() < even.mean() and ours.max() <= even.max()
    assert run(part.pick(copy, quality, 40))[1].tolist() == list(range(40))
    assert command("faces", "pick", copy.path, 8, "-o", tmp_path / "few") == 0
    assert FaceSet.load(tmp_path / "few").rows_with_crops().tolist() == run(part.pick(copy, quality, 8))[1].tolist()
    for count in (0, 41):
        with pytest.raises(InputError, match=r"expected 1 to 40"):
            run(part.pick(copy, quality, count))


def test_pick_finds_the_rare_and_leaves_the_bad(copy: FaceSet) -> None:
    expression, pose = np.tile(copy.faces.expression[:1], (40, 1)), np.tile(copy.faces.pose[:1], (40, 1))
    noise = np.random.default_rng(2)
    expression += noise.normal(0, 0.01, expression.shape).astype(np.float32)
    expression[33, 25], expression[34, 9:11], pose[35, 0] = 0.9, 0.8, 0.8  # a yawn, a blink and a glance aside
    still = replace(copy, faces=replace(copy.faces, expression=expression, pose=pose))
    quality = quality_of(still, Looks.load(copy), np.arange(40))
    quality.sharpness[:15] *= 0.01
    picked = run(part.pick(still, quality, 5))[1].tolist()
    assert {33, 34, 35} <= set(picked)
    assert all(row >= 15 for row in picked)  # of those that are alike the sharp ones
    alike = replace(still, faces=still.faces[np.zeros(40, int)], path=copy.path)
    same = quality_of(alike, Looks.load(copy), np.arange(40))
    assert len(set(run(part.pick(alike, same, 12))[1].tolist())) == 12  # faces that do not differ at all


# --- the commands ---------------------------------------------------------------------------------------------------


def test_list_says_what_a_set_holds(copy: FaceSet, capsys: pytest.CaptureFixture[str]) -> None:
    aside.put_aside(copy.path, {"tiny": ["000001.png", "000002.png"]})
    assert command("faces", "list", copy.path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["person"], told["faces"], told["pictures"], told["aside"]) == ("a", 40, 38, {"tiny": 2})
    yaw = np.degrees(np.delete(copy.faces.pose[:, 0], [1, 2]))
    assert told["measures"]["yaw"]["most"] == pytest.approx(yaw.max(), abs=1e-3)
    assert told["measures"]["yaw"]["median"] == pytest.approx(np.median(yaw), abs=1e-3)
    assert command("faces", "list", copy.path) == 0
    text = capsys.readouterr().out
    assert "person:   a (consent " in text and "aside:    2 tiny" in text
    bars = [line.split() for line in text.partition("yaw, degrees\n")[2].partition("\n\n")[0].splitlines()]
    assert sum(int(bar[-1]) for bar in bars) == 38
    shutil.rmtree(copy.path / "crops")
    assert command("faces", "list", copy.path) == 0
    assert "pictures: 0 of 40 faces" in capsys.readouterr().out
    assert command("faces", "sort", copy.path, "--by", "yaw") == 1
    assert "holds no pictures" in capsys.readouterr().err


def test_sheet(copy: FaceSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("faces", "sheet", copy.path, "--by", "yaw", "--count", 13, "-o", tmp_path / "a.png") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a.png'}\n"
    first = cv2.imread(str(tmp_path / "a.png"))
    assert command("faces", "sheet", copy.path, "--by", "yaw", "--count", 13, "--reverse") == 0
    other = cv2.imread(str(copy.path / "sheet.png"))
    assert first.shape == other.shape and first.std() > 30
    face = np.s_[27:147, 4:124]
    assert np.abs(first[face].astype(int) - other[face]).mean() > 3  # who looks left most, and who right
    most = copy.read_crop(int(np.argmin(copy.faces.pose[:, 0])))[:, :, ::-1]
    np.testing.assert_array_equal(first[face], cv2.resize(most, (120, 120), interpolation=cv2.INTER_AREA))


def test_mistakes_get_a_sentence(copy: FaceSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line, code, text in (
        (("list", tmp_path), 1, "not a face set. Make one with"),
        (("sort", copy.path, "--by", "mood"), 2, "invalid choice: 'mood'"),
        (("sort", copy.path, "--by", "similarity"), 1, "--by similarity and --to PICTURE go together"),
        (("sort", copy.path, "--by", "similarity", "--to", "x.png"), 1, "has no picture x.png"),
        (("prune", "--tiny", copy.path), 2, "is no number; write the face set's folder before"),
        (("prune", copy.path, "--tiny", "-3"), 2, "expected 0 or more"),
        (("restore", copy.path, "--reason", "mood"), 1, "nothing is aside for 'mood'. Aside: nothing at all"),
        (("pick", copy.path, "41", "-o", tmp_path / "p"), 1, "41 of its 40 faces: expected 1 to 40"),
        (("sheet", copy.path, "--count", "0"), 1, "--count 0: expected 1 or more"),
    ):
        assert command("faces", *line) == code, line
        assert text in capsys.readouterr().err
    (copy.path / "crops" / "000011.png").write_bytes(b"no picture")
    assert command("faces", "list", copy.path) == 1
    assert "000011.png: not a picture, expected 128x128 px. Delete that file" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces"]


def test_prune_as_json_and_with_nothing_to_do(copy: FaceSet, capsys: pytest.CaptureFixture[str]) -> None:
    limit = float(np.sort(copy.sharpness)[2])
    assert command("faces", "prune", copy.path, "--blurred", limit, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["applied"], told["stay"]) == (False, 38)
    doomed = [copy.crop[row] for row in np.argsort(copy.sharpness)[:2]]
    assert told["reasons"]["blurred"]["pictures"] == doomed
    assert command("faces", "prune", copy.path, "--cut-off", "--apply") == 0
    assert "nothing to put aside; all 40 pictures stay" in capsys.readouterr().out
    assert not (copy.path / "aside").exists()


def test_help_says_what_is_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert faces_commands.ORDERS == order.ORDERS
    assert command("faces", "prune", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, reason in prune.REASONS.items():
        said = "a quarter of the set's median" if reason.limit is None else f"({reason.limit:g})"
        assert said in text[text.rindex(f"--{name} [") :].partition(" --")[0], name
    usual = [name for name, reason in prune.REASONS.items() if reason.usual]
    assert f"no reason named: {', '.join(usual[:-1])} and {usual[-1]}, at" in text


def test_a_set_on_a_read_only_disk_can_be_looked_at(copy: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy.path / CACHE).unlink()

    def refuse(*_: object) -> None:
        raise OutputError(f"{copy.path}: cannot be written (read-only file system).")

    monkeypatch.setattr(Looks, "save", refuse)
    events, quality = run(measure(copy, 1))
    assert "The measures are not kept" in events[-1].text and len(quality.rows()) == 40


def test_another_table_is_measured_anew(copy: FaceSet) -> None:
    replace(copy, pts=copy.pts + 1).save()
    assert measured_again(FaceSet.load(copy.path)) == 40
