"""Alignments corrected and faces given to another set: the geometry, and no kill that loses or doubles a face."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facedouble.curate import change, give, nudge
from facedouble.curate.faceset import FaceSet, crop_name
from facedouble.curate.nudge import Nudge
from facedouble.curate.quality import Looks
from facedouble.errors import ConsentError, FaceError, InputError
from facedouble.faces import Faces
from facedouble.geometry import align, apply, invert
from facedouble.provenance.consent import likeness_of
from facedouble.recipes import ExtractRecipe
from support import command, consent_of, contents, part_of


@pytest.mark.parametrize("by", [Nudge(3, 5), Nudge(turn=0.2), Nudge(scale=1.15), Nudge(-6, 2, -0.1, 0.9)])
def test_landmarks_and_crop_stay_one(faces_a: FaceSet, by: Nudge) -> None:
    now, was = nudge.nudged(faces_a, 12, by), faces_a.faces.points[12]
    before, after = faces_a.transform[12], now.transform[12]
    np.testing.assert_allclose(align(now.faces.points[12], 128, 2.0), after, atol=2e-3)
    np.testing.assert_allclose(apply(after, now.faces.points[12]), apply(before, was), atol=1e-3)
    np.testing.assert_allclose(now.faces.box[12][:2], now.faces.points[12].min(0), atol=1e-3)
    # The middle of the crop is what turns and grows about: what was there lands where the nudge says.
    middle = np.full((1, 2), 63.5)
    landed = apply(after, apply(invert(before), middle))
    np.testing.assert_allclose(landed, middle + np.array([by.x, by.y]), atol=1e-3)
    if not by.turn:
        np.testing.assert_allclose(now.faces.pose[12], faces_a.faces.pose[12], atol=1e-6)
    others = np.delete(np.arange(40), 12)
    for name, column in now.faces.columns().items():
        np.testing.assert_array_equal(column[others], faces_a.faces.columns()[name][others], err_msg=name)
    np.testing.assert_array_equal(now.transform[others], faces_a.transform[others])


# For each point at which a change touches the disk a copy of the sets, in which it is killed at that point; in the last
# one it comes to its end.
KILLED = """
import os, shutil, signal, sys
import cv2, psutil, pyarrow.parquet, tomllib  # once, and not in each copy
from pathlib import Path
from facedouble.curate import give, nudge
from facedouble.curate.collect import png
from facedouble.curate.faceset import FaceSet
from facedouble.curate.quality import Looks

def counted(work):
    def step(*given, **named):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*given, **named)
    return step

for point in range(200):
    folder = Path(shutil.copytree(sys.argv[1], Path(sys.argv[2]) / str(point), copy_function=os.link))
    child = os.fork()
    if not child:
        steps = point
        faces = FaceSet.load(folder / "faces")
        looks = Looks.load(faces)
        if sys.argv[3] == "nudge":
            moved, picture = nudge.nudged(faces, 5, nudge.Nudge(5, 0)), png(faces.read_crop(5)[::-1])
            work = lambda: nudge.keep(moved, 5, picture, looks)
        else:
            other = FaceSet.load(folder / "other")
            work = lambda: give.give(faces, [3, 5, 6], other)
        for name in ("replace", "rename", "unlink", "mkdir", "write_bytes"):
            setattr(Path, name, counted(getattr(Path, name)))
        os.fsync = lambda _: None  # a kill is no power cut
        for name in ("fsync", "unlink", "rmdir", "link"):
            setattr(os, name, counted(getattr(os, name)))
        work()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    if not status:
        break
"""


def killed(sets: Path, places: Path, what: str) -> list[Path]:
    """Folders with what killed commands left of the folder `sets`, the earliest kill first."""
    subprocess.run([sys.executable, "-c", KILLED, str(sets), str(places), what], check=True)
    return sorted(places.iterdir(), key=lambda place: int(place.name))


def in_order(seen: list[tuple[bool, bool]]) -> bool:
    """Of (done, brought to its end): first nothing has happened, then the next command ends it, at last all is done."""
    stages = [(False, False), (False, True), (True, True), (True, False)]
    return seen == sorted(seen, key=stages.index) and seen[0] == stages[0] and (True, True) in seen[:-1] and (
        seen[-1] == (True, False)
    )  # fmt: skip


def test_a_nudge_killed_at_any_point_leaves_a_whole_set(
    pair: tuple[FaceSet, FaceSet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, _ = pair
    old, seen = mine.read_crop(5), []
    for place in killed(mine.path.parent, tmp_path / "killed", "nudge"):
        folder = place / "faces"
        FaceSet.load(folder).read_crop(5)  # even before the next command puts it in order
        assert command("faces", "list", folder) == 0
        now = FaceSet.load(folder)
        moved = bool((now.transform[5] != mine.transform[5]).any())
        np.testing.assert_array_equal(now.read_crop(5), old[::-1] if moved else old)
        np.testing.assert_allclose(align(now.faces.points[5], 128, 2.0), now.transform[5], atol=2e-3)
        assert len(now.rows_with_crops()) == 10 and not (folder / change.CHANGED).exists()
        assert not np.isnan(Looks.load(now).sharpness).any()
        seen.append((moved, "stopped while it changed the set" in capsys.readouterr().err))
    assert in_order(seen) and len(seen) > 10


def test_who_may_not_be_given(
    pair: tuple[FaceSet, FaceSet], faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path
) -> None:
    mine, other = pair
    another = np.where(np.isnan(mine.faces.embedding), np.nan, -mine.faces.embedding)[0]
    bound = part_of(faces_a, [30, 31], tmp_path / "bound", "y", likeness=likeness_of(another))
    sets = {
        "same": part_of(faces_a, [30, 31], tmp_path / "same", "a", scope="another record of the same person"),
        "clip": part_of(faces_b, [30, 31], tmp_path / "clip", "b"),
        "frame": part_of(faces_a, [4, 30], tmp_path / "frame", "z"),
        "past": part_of(faces_a, [30], tmp_path / "past", "z", date=dt.date(2020, 1, 1), expires=dt.date(2021, 1, 1)),
        "recipe": part_of(replace(faces_a, recipe=ExtractRecipe(size_px=128, every=2)), [30], tmp_path / "r", "z"),
    }
    before = contents(tmp_path)
    known = mine.faces.embedding.copy()
    known[4] = known[0]
    twice = replace(mine, faces=replace(mine.faces, embedding=known))
    for faces, rows, to, error, text in (
        (mine, [3], sets["same"], InputError, "is a's too. Give the set of another person"),
        (mine, [3], sets["clip"], InputError, "its faces are of other footage"),
        (mine, [3, 4, 5], sets["frame"], FaceError, "has a face of z in 1 of these frames already, the first 4"),
        (mine, [3], sets["past"], ConsentError, "expired on 2021-01-01"),
        (mine, [3], sets["recipe"], InputError, "was extracted with other settings"),
        (mine, [0, 1], other, FaceError, "without these no face would be left by which a is known"),
        (mine, [3], bound, ConsentError, "is bound to a face, and of none of these the identity was measured"),
        (twice, [3, 4], bound, ConsentError, "these 2 faces: not the person whose consent is on record as y"),
    ):
        with pytest.raises(error, match=re.escape(text)):
            give.check(faces, rows, to)
    (mine.path / "crops" / "copy_000003.png").write_bytes((mine.path / "crops" / "000003.png").read_bytes())
    with pytest.raises(FaceError, match=r"000003.png has 2 pictures, expected one"):
        give.give(mine, [3], other)
    (mine.path / "crops" / "copy_000003.png").unlink()
    (other.path / give.JOURNAL).write_text("{}")
    with pytest.raises(FaceError, match=r"an earlier giving was cut short"):
        give.give(mine, [3], other)
    (other.path / give.JOURNAL).unlink()
    assert contents(tmp_path) == before
    good = part_of(faces_a, [30, 31], tmp_path / "good", "y", likeness=likeness_of(known[0]))
    give.check(twice, [3, 4], good)


@pytest.mark.slow  # a nudge, killed likewise, is by default
def test_giving_killed_at_any_point_loses_and_doubles_nobody(
    pair: tuple[FaceSet, FaceSet], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets, seen = pair[0].path.parent, []
    crops = [file for faces in pair for file in contents(faces.path / "crops").values()]
    for place in killed(sets, tmp_path / "killed", "give"):
        for name in ("faces", "other"):
            FaceSet.load(place / name)
        assert command("faces", "list", place / "faces") == 0
        seen.append("stopped while it changed the set" in capsys.readouterr().err)
        mine, other = (FaceSet.load(place / name) for name in ("faces", "other"))
        frames = sorted([*mine.faces.frame.tolist(), *other.faces.frame.tolist()])
        assert frames == [*range(10), *range(30, 35)]
        assert len(mine.rows_with_crops()) == len(mine) in (7, 10) and len(other.rows_with_crops()) == len(other)
        left = [*contents(mine.path / "crops").values(), *contents(other.path / "crops").values()]
        assert sorted(left) == sorted(crops)
        assert not (place / "faces" / give.JOURNAL).exists()
        seen[-1] = (len(mine) == 7, seen[-1])
    assert in_order(seen) and len(seen) > 20


def test_a_journal_of_giving_without_the_other_set_is_a_sentence(
    pair: tuple[FaceSet, FaceSet], capsys: pytest.CaptureFixture[str]
) -> None:
    mine, _ = pair
    journal = mine.path / give.JOURNAL
    for content, text in (
        (json.dumps({"to": str(mine.path.parent / "away"), "faces": [["0" * 64, 3]]}), "Put that set back there"),
        ("{", "not a list of given faces by this program"),
        ('{"to": 3, "faces": [["x", 1]]}', "not a list of given faces by this program"),
        ('{"to": "x", "faces": "all"}', "not a list of given faces by this program"),
        ('{"to": "x", "faces": []}', "names no faces"),
    ):
        journal.write_text(content)
        before = contents(mine.path)
        assert command("faces", "list", mine.path) == 1
        assert text in capsys.readouterr().err
        assert contents(mine.path) == before


def test_faces_of_several_clips_are_given_by_clip_and_frame(faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path) -> None:
    def both(name: str, person: str, parts: list[tuple[FaceSet, list[int]]]) -> FaceSet:
        """A set of the faces of two clips, in the order of `parts`."""
        (tmp_path / name / "crops").mkdir(parents=True)
        crop = []
        for number, (of, rows) in enumerate(parts):
            crop += [crop_name(number, row) for row in rows]
            for row in rows:
                shutil.copyfile(of.path / "crops" / of.crop[row], tmp_path / name / "crops" / crop_name(number, row))
        columns = {
            column: np.concatenate([getattr(of, column)[rows] for of, rows in parts])
            for column in ("pts", "sharpness", "transform")
        }
        replace(
            faces_a, path=tmp_path / name, person=person, consent=consent_of(person), crop=crop,
            sources=tuple(of.sources[0] for of, _ in parts), faces=Faces.join([of.faces[rows] for of, rows in parts]),
            source=np.repeat(np.arange(len(parts)), [len(rows) for _, rows in parts]), **columns,
        ).save()  # fmt: skip
        return FaceSet.load(tmp_path / name)

    mine = both("mine", "a", [(faces_a, [0, 1, 2]), (faces_b, [4, 5, 30])])
    other = both("other", "z", [(faces_b, [0, 3]), (faces_a, [5])])
    picture, points = mine.read_crop(4), mine.faces.points[4]
    give.check(mine, [1, 4], other)
    give.give(mine, [1, 4], other)
    now, theirs = FaceSet.load(mine.path), FaceSet.load(other.path)
    assert now.crop == ["000000.png", "000002.png", "s1-000004.png", "s1-000030.png"]
    assert theirs.crop == ["000000.png", "000003.png", "000005.png", "s1-000001.png", "s1-000005.png"]
    assert theirs.source.tolist() == [0, 0, 0, 1, 1] and theirs.faces.frame.tolist() == [0, 3, 5, 1, 5]
    np.testing.assert_array_equal(theirs.read_crop(2), picture)
    np.testing.assert_array_equal(theirs.faces.points[2], points)
    assert len(now.rows_with_crops()) == 4 and len(theirs.rows_with_crops()) == 5
    assert not {*theirs.faces.track[[2, 3]].tolist()} & {*theirs.faces.track[[0, 1, 4]].tolist()}
    with pytest.raises(FaceError, match=r"in 1 of these frames already, the first 0"):
        give.check(theirs, [0], both("third", "y", [(faces_b, [0, 9])]))
