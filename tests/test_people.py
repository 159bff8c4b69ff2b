"""Whom a set is of: one person out of many, in a film with cuts and in a folder of pictures that are no film."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facedouble import stages
from facedouble.curate.people import seen_in, write
from facedouble.errors import FaceError
from facedouble.events import Note
from facedouble.faces import Faces
from facedouble.find.crop import crop_face
from facedouble.find.person import people, pick
from facedouble.find.search import search
from facedouble.media.reader import probe, read
from facedouble.recipes import ExtractRecipe
from support import SAMPLE, SHARED, Picture, consent_of, pictures, run

STAGE = SHARED / "data" / "stage-cuts.mp4"


@dataclass(frozen=True)
class Someone:
    """Where a person of stage-cuts.mp4 is, by looking at each of its 275 frames (640 px wide)."""

    example: tuple[int, slice, slice]
    """a frame, and rows and columns of it that show this person alone"""
    places: tuple[tuple[range, float, float], ...]
    """frames of a shot, and between which x the middle of the face is in it"""
    least: int
    """faces that are found at least; less would be a search that got worse"""


EVERYONE = {
    "on the stage": Someone(
        (100, slice(0, 220), slice(60, 330)), ((range(20), 480, 600), (range(82, 211), 80, 400)), 145
    ),
    "far back in the audience": Someone((250, slice(0, 150), slice(0, 150)), ((range(211, 275), 0, 120),), 40),
    "at the piano": Someone((4, slice(160, 240), slice(30, 110)), ((range(20), 0, 110),), 8),
}


@pytest.fixture(scope="module")
def on_stage(tmp_path_factory: pytest.TempPathFactory) -> Faces:
    """All that is found in stage-cuts.mp4."""
    if not STAGE.is_file():
        pytest.skip(f"{STAGE} is not there")
    faces: Faces = run(search(probe(STAGE), ExtractRecipe(), tmp_path_factory.mktemp("stage"), 2))[1]
    return faces


@pytest.mark.slow
@pytest.mark.parametrize("who", EVERYONE)
def test_one_of_many_people_is_kept_and_nobody_else(on_stage: Faces, who: str, tmp_path: Path) -> None:
    meant = EVERYONE[who]
    frame, rows, columns = meant.example
    picture = tmp_path / "example.png"
    cv2.imwrite(str(picture), next(read(probe(STAGE), frame, frame + 1)).pixels[rows, columns, ::-1])
    mine, person, _ = pick(on_stage, stages.identity_in(picture), STAGE.name)
    middle = (mine.box[:, 0] + mine.box[:, 2]) / 2
    theirs = np.zeros(len(mine), bool)
    for frames, left, right in meant.places:
        theirs |= np.isin(mine.frame, frames) & (middle > left) & (middle < right)
    assert theirs.all(), mine.frame[~theirs].tolist()
    assert len(mine) >= meant.least
    known = people(on_stage)
    assert len(known) == 3
    assert not {*person.tracks} & {track for other in known if other.tracks != person.tracks for track in other.tracks}


@pytest.mark.slow
def test_those_who_were_seen_too_shortly_are_shown_too(on_stage: Faces, tmp_path: Path) -> None:
    mine, person, how = pick(on_stage, None, STAGE.name)
    roll = seen_in(probe(STAGE), on_stage, person, None, how, 0.6)
    write(tmp_path, [roll], 0.6)
    assert len(mine) == person.faces
    few = roll.record["never_identified"]["faces"]  # one or two, by how a processor rounds
    assert roll.record["never_identified"] == {"faces": few, "tracks": few} and few in (1, 2)
    with Image.open(tmp_path / "people.png") as sheet:
        rows = np.asarray(sheet)[60:]
    assert len(rows) == 4 * 100
    assert rows[350, 2, 0] > rows[350, 2, 1]  # red: dropped
    end = 255 + 100 * few
    assert all(rows[305:390, left : left + 90].std() > 5 for left in range(255, end, 100))
    assert (rows[305:390, end:] == 255).all()


# --- folders of pictures --------------------------------------------------------------------------------------------


def photographed(number: int, picture: Picture) -> Picture:
    """As if taken somewhere else: on a wall of another colour and size, with the face at another place, nearer or
    farther."""
    chance = np.random.default_rng(number)
    scale, colour = chance.uniform(0.6, 0.9), chance.integers(0, 255, 3)
    wall = np.full((512 + 128 * (number % 3), 512, 3) if number % 4 else (512, 680, 3), colour, np.uint8)
    side = round(len(picture) * scale)
    x, y = chance.integers(0, len(picture) - side, 2)
    wall[y : y + side, x : x + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return wall


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 pictures of several sizes, of A and B in turn, none like the one before."""
    folder = tmp_path_factory.mktemp("photos") / "album"
    folder.mkdir()
    takes = [pictures(SAMPLE / name)[::14][:10] for name in ("a-take1.mp4", "b-take2.mp4")]
    for number in range(20):
        picture = photographed(number, takes[number % 2][number // 2])
        cv2.imwrite(str(folder / f"photo{number + 1}.png"), picture[:, :, ::-1])
    return folder


def test_each_picture_of_an_album_is_looked_at_by_itself(album: Path, tmp_path: Path) -> None:
    """A tracker would take the two, who stand at much the same place, for one."""
    example = tmp_path / "a.png"
    cv2.imwrite(str(example), pictures(SAMPLE / "a-take1.mp4", 1)[0][:, :, ::-1])
    recipe = ExtractRecipe(size_px=128, same_person=0.48)  # the two performers are nearer to each other than 0.6
    events, faces = run(stages.extract([album], tmp_path / "faces", recipe, consent_of("a"), example, workers=2))
    assert faces.faces.frame.tolist() == list(range(0, 20, 2))
    assert not np.isnan(faces.faces.embedding).any()
    assert len(set(faces.faces.track)) == 10
    assert faces.sources[0].frames == 20 and Path(faces.sources[0].path) == album
    assert faces.sources[0].size == (680, 768)
    (told,) = json.loads((faces.path / "people.json").read_text())["clips"]
    kept, *dropped = told["people"]
    assert kept["faces"] == 10 and sum(one["faces"] for one in dropped) == 10
    assert kept["farthest_face"] < min(one["nearest_face"] for one in dropped)
    assert any(isinstance(event, Note) and "album: kept the person of the example" in event.text for event in events)


def test_the_person_meant_may_be_shown_by_several_pictures(album: Path, tmp_path: Path) -> None:
    folder = tmp_path / "of a"
    folder.mkdir()
    for number in (1, 3, 5):
        shutil.copy(album / f"photo{number}.png", folder)
    each = [stages.identity_in(album / f"photo{number}.png") for number in (1, 3, 5)]
    np.testing.assert_allclose(stages.identity_in(folder), np.mean(each, axis=0), atol=1e-6)
    cv2.imwrite(str(folder / "photo4.png"), np.full((512, 512, 3), 90, np.uint8))
    with pytest.raises(FaceError, match=r"photo4\.png: 0 faces, expected exactly one"):
        stages.identity_in(folder)


def test_a_folder_of_a_films_frames_is_a_film(short_a: Path, album: Path, tmp_path: Path) -> None:
    """And a clip, a film's frames and an album make one set."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, picture in enumerate(pictures(SAMPLE / "a-take1.mp4")[100:120]):
        cv2.imwrite(str(frames / f"{number}.png"), picture[:, :, ::-1])
    recipe = ExtractRecipe(size_px=128, same_person=0.48)
    clips = [short_a, frames, album]
    _, faces = run(stages.extract(clips, tmp_path / "faces", recipe, consent_of("a"), None, workers=2))
    assert np.bincount(faces.source).tolist() == [40, 20, 10]
    assert len(set(faces.faces.track[faces.source == 1])) == 1
    assert np.isnan(faces.faces.embedding[faces.source == 1, 0]).any()  # sampled, as in any film
    for number, frame, file in ((1, 7, frames / "7.png"), (2, 4, album / "photo5.png")):
        row = faces.crop.index(f"s{number}-{frame:06d}.png")
        pixels = cv2.imread(str(file))[:, :, ::-1]
        np.testing.assert_array_equal(faces.read_crop(row), crop_face(pixels, faces.transform[row], 128))
