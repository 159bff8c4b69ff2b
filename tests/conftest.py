"""What many tests look at, made once: short clips of the sample's two performers, and the face sets of these."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from facedouble.cli import THREADS

os.environ.update({**THREADS, **os.environ})  # before torch and NumPy are there

from facedouble.curate.faceset import FaceSet
from facedouble.faces import Faces
from facedouble.learn import occlusion
from facedouble.learn.occlusion import Occlusion
from facedouble.recipes import ExtractRecipe, Until
from facedouble.stages import matching
from support import CPU, SAMPLE, SMALL, consent_of, part_of, pictures, run, write_clip

SHORT = 40


@pytest.fixture(scope="session", autouse=True)
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the user's own signing key."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("config")
        patch.setenv("FACEDOUBLE_CONFIG", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def briefly() -> Iterator[None]:
    """What takes seconds each time and has its own tests: what stands before a face is learned in two steps, which no
    test looks at the quality of; the pair is not looked at before training, unless `advice` is asked for; and few
    frames are checked for explicit footage."""
    learn = occlusion.learn

    def learn_briefly(network: Occlusion, faces: Any, steps: int, *others: Any) -> Iterator[int]:
        return learn(network, faces, min(steps, 2), *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(occlusion, "learn", learn_briefly)
        patch.setattr("facedouble.stages.training.advise", lambda *_: iter(()))
        patch.setattr("facedouble.provenance.content.sampled", lambda count: sorted({0, count // 2, count - 1}))
        yield


@pytest.fixture(scope="session")
def short_a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 40 frames of performer A's take."""
    folder = tmp_path_factory.mktemp("short")
    return write_clip(folder / "a.mp4", pictures(SAMPLE / "a-take1.mp4", SHORT))


@pytest.fixture(scope="session")
def short_b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 40 frames of performer B's take."""
    folder = tmp_path_factory.mktemp("short")
    return write_clip(folder / "b.mp4", pictures(SAMPLE / "b-take2.mp4", SHORT))


@pytest.fixture(scope="session")
def faces_a(short_a: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """The face set of `short_a`; do not write into it."""
    return _extract(short_a, tmp_path_factory.mktemp("faces") / "a")


@pytest.fixture(scope="session")
def faces_b(short_b: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """The face set of `short_b`; do not write into it."""
    return _extract(short_b, tmp_path_factory.mktemp("faces") / "b")


@pytest.fixture
def sets(faces_a: FaceSet, faces_b: FaceSet) -> dict[str, FaceSet]:
    """Both face sets by side; do not write into them."""
    return {"a": faces_a, "b": faces_b}


@pytest.fixture
def advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training looks at the pair before."""
    monkeypatch.setattr("facedouble.stages.training.advise", matching.advise)


@pytest.fixture(scope="session")
def found_a() -> Faces:
    """All that is found in the whole of A's take (144 frames), before tracking."""
    from facedouble.find.finder import Finder
    from facedouble.media.reader import probe, read

    finder = Finder(max_people=2)
    faces, _ = finder.find(read(probe(SAMPLE / "a-take1.mp4")))
    finder.close()
    return faces


@pytest.fixture(scope="session")
def model(faces_a: FaceSet, faces_b: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of these two, trained just enough to convert with; do not write into it."""
    from facedouble import stages

    folder = tmp_path_factory.mktemp("model") / "m"
    run(stages.train({"a": faces_a, "b": faces_b}, folder, SMALL, Until(steps=20), CPU, lambda: False))
    return folder


@pytest.fixture
def pair(faces_a: FaceSet, tmp_path: Path) -> tuple[FaceSet, FaceSet]:
    """Two people's sets of one clip: frames 0 to 9 and 30 to 34; the identity is known of frames 0 and 30."""
    sets = tmp_path / "sets"
    return part_of(faces_a, list(range(10)), sets / "faces", "a"), part_of(
        faces_a, list(range(30, 35)), sets / "other", "z"
    )


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a small file system in memory with the given options; root may, elsewhere the test is skipped."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
        return place

    if shutil.which("mount") is None:
        pytest.skip("no mount command here")
    yield mount
    while os.path.ismount(place):
        subprocess.run(["umount", place], check=True)


def _extract(clip: Path, out: Path) -> FaceSet:
    from facedouble import stages

    recipe = ExtractRecipe(size_px=128)
    result: FaceSet = run(stages.extract([clip], out, recipe, consent_of(clip.stem), None, workers=2))[1]
    return result
