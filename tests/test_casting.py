"""Several people in one clip: each gets the model meant for them, and nobody another's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.errors import ConsentError, FaceError, InputError
from facedouble.faces import Faces
from facedouble.find.person import tell_apart
from facedouble.footage import Clip
from facedouble.media.reader import probe, read
from facedouble.provenance import credential, ledger
from facedouble.recipes import ConvertRecipe, Until
from facedouble.stages import Role
from support import CPU, SMALL, command, pictures, run, write_clip

HALF = 512


@pytest.fixture(scope="module")
def model_of_b(faces_a: FaceSet, faces_b: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The other way round: A's face for B's performance."""
    folder = tmp_path_factory.mktemp("model") / "of-b"
    run(stages.train({"a": faces_b, "b": faces_a}, folder, SMALL, Until(steps=20), CPU, lambda: False))
    return folder


@pytest.fixture(scope="module")
def both(short_a: Path, short_b: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames of A left and B right; after a cut they have changed places."""
    pairs = list(zip(pictures(short_a, 10), pictures(short_b, 10), strict=True))
    shown = [np.hstack(pair) for pair in pairs] + [np.hstack(pair[::-1]) for pair in pairs]
    return write_clip(tmp_path_factory.mktemp("both") / "both.mp4", shown)


def changed(clip: Clip, out: Path) -> NDArray[np.bool_]:
    """(frames, 2): whether the left and the right half are other than in the clip."""
    halves = (slice(None, HALF), slice(HALF, None))
    return np.array(
        [
            [not np.array_equal(before.pixels[:, half], after.pixels[:, half]) for half in halves]
            for before, after in zip(read(clip), read(probe(out)), strict=True)
        ]
    )


@pytest.mark.slow
def test_each_person_gets_their_own_model(
    both: Path, model: Path, model_of_b: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEDOUBLE_CONFIG", str(tmp_path / "config"))
    # Else each output has an invisible mark of its own.
    monkeypatch.setattr("facedouble.stages.conversion.mark_of", lambda *_: "0123abcd")
    clip, recipe = probe(both), ConvertRecipe(codec="ffv1")
    run(stages.convert(both, model, tmp_path / "a.mkv", recipe, CPU, 2))
    run(stages.convert(both, model_of_b, tmp_path / "b.mkv", recipe, CPU, 2))
    events, done = run(stages.convert(both, [Role(model), Role(model_of_b)], tmp_path / "both.mkv", recipe, CPU, 2))
    left, right = np.repeat([[True, False]], 10, 0), np.repeat([[False, True]], 10, 0)
    assert np.array_equal(changed(clip, tmp_path / "a.mkv"), np.concatenate([left, right]))
    assert np.array_equal(changed(clip, tmp_path / "b.mkv"), np.concatenate([right, left]))
    for one, other, two in zip(*(read(probe(tmp_path / f"{name}.mkv")) for name in ("a", "b", "both")), strict=True):
        mine = slice(None, HALF) if one.index < 10 else slice(HALF, None)
        theirs = slice(HALF, None) if one.index < 10 else slice(None, HALF)
        # One box around both faces is converted to the file's colours in one piece: a rounding apart here and there.
        for half, alone in ((mine, one), (theirs, other)):
            away = np.abs(two.pixels[:, half].astype(int) - alone.pixels[:, half])
            assert away.max() <= 4 and away.mean() < 0.01
    assert sum("is seen in 20 frames" in getattr(event, "text", "") for event in events) == 2
    swap = credential.verify(tmp_path / "both.mkv").details["swap"]
    assert sorted((person["name"], person["role"]) for person in swap["people"]) == [
        ("a", "source"), ("a", "target"), ("b", "source"), ("b", "target"),
    ]  # fmt: skip
    assert [(made["target"], made["source"]) for made in swap["recipe"]["models"]] == [("a", "b"), ("b", "a")]
    assert swap["model_sha256"] == ", ".join(made["sha256"] for made in swap["recipe"]["models"])
    noted = ledger.outputs()[-1]
    assert noted.path.endswith("both.mkv") and noted.model_sha256 == swap["model_sha256"]
    for number, made in enumerate((model, model_of_b)):
        _, found = run(stages.judge_conversion(done, made, tmp_path / "judged", None, 2, number))
        assert (found.frames, found.faces) == (20, 20) and found.background_psnr > 45
        alone = replace(done, faces=done.faces[number : number + 1])
        _, blamed = run(stages.judge_conversion(alone, made, tmp_path / "judged", None, 2))
        assert blamed.background_psnr < found.background_psnr - 3  # the other's new face is no background


def test_who_is_meant_must_be_there_and_have_agreed(
    both: Path, short_a: Path, model: Path, model_of_b: Path, faces_a: FaceSet, faces_b: FaceSet, tmp_path: Path
) -> None:
    crops = [faces.path / "crops" / faces.crop[0] for faces in (faces_a, faces_b)]
    assert Role.parse(f"a={model}") == Role(model) and Role.parse(f"{crops[0]}={model}") == Role(model, crops[0])
    for text, why in (("ben=", "WHO=MODEL"), (f"ben={model}", f"Write --map a={model}")):
        with pytest.raises(InputError, match=why):
            Role.parse(text)
    out, recipe = tmp_path / "out.mkv", ConvertRecipe(codec="ffv1")
    with pytest.raises(ConsentError, match=r"does not show a \(distance .* consent of a alone"):
        run(stages.convert(both, [Role(model, crops[1])], out, recipe, CPU, 2))
    with pytest.raises(FaceError, match="a and b are both most like the same person"):
        run(stages.convert(short_a, [Role(model, crops[0]), Role(model_of_b)], out, recipe, CPU, 2))
    with pytest.raises(InputError, match="2 models for a"):
        run(stages.convert(both, [Role(model), Role(model)], out, recipe, CPU, 2))
    run(stages.convert(short_a, [Role(model, crops[0])], out, ConvertRecipe(codec="ffv1", ranges=("0-3",)), CPU, 2))
    assert credential.verify(out).details["swap"]["changed_frames"] == [[0, 3]]
    assert (
        command("convert", both, "-o", out) == 1
        and command("convert", both, model, "--map", f"a={model}", "-o", out) == 1
    )


def people_at(*places: tuple[int, float]) -> Faces:
    """Five frames of faces side by side; each (track, x): its descriptor is x along one axis."""
    faces = Faces.empty(5 * len(places))
    for number, (track, place) in enumerate(places):
        rows = slice(5 * number, 5 * number + 5)
        faces.frame[rows], faces.track[rows], faces.score[rows] = range(5), track, 1
        faces.box[rows] = (100 * number, 0, 100 * number + 50, 50)
        faces.embedding[rows] = 0
        faces.embedding[rows, 0] = place
    return faces


def at(place: float) -> NDArray[np.float32]:
    return np.eye(128, dtype=np.float32)[0] * np.float32(place)


def test_people_are_told_by_whom_they_are_nearest_to() -> None:
    found, said = tell_apart(people_at((0, 0.0), (1, 1.0), (2, 2.0)), {"anna": at(0.9), "ben": at(0.1)}, "clip")
    assert set(found["anna"].track) == {1} and set(found["ben"].track) == {0} and len(said) == 2
    with pytest.raises(FaceError, match="anna and ben are both most like the same person"):
        tell_apart(people_at((0, 0.0), (1, 1.0)), {"anna": at(0.1), "ben": at(0.2)}, "clip")
    with pytest.raises(FaceError, match="nobody like ben"):
        tell_apart(people_at((0, 0.0), (1, 1.0)), {"anna": at(0.1), "ben": at(1.8)}, "clip")


def test_a_stretch_nearer_to_another_is_left_alone() -> None:
    faces = people_at((0, 0.0), (1, 0.45), (2, 1.0))
    faces.frame[5:10] += 5  # the second track is joined to the first one's person, but looks more like ben
    found, said = tell_apart(faces, {"anna": at(-0.2), "ben": at(0.9)}, "clip")
    assert set(found["anna"].track) == {0} and "1 stretches" in said[0]
    assert set(found["ben"].track) == {2}
