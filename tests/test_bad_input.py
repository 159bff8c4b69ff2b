"""The command line on what should not work: one clear sentence, an exit code that says so, nothing half-written."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from facedouble.curate.faceset import FaceSet
from facedouble.errors import OutputError
from facedouble.project import atomic_file, atomic_folder, save_json
from support import SAMPLE, backdrop, command, pictures, write_clip

CONSENT = ["--consent", "a: rendered, nobody, 2026-11-01"]
BOTH = ["--consent", "A: rendered, nobody, 2026-11-01", "--consent", "B: rendered, nobody, 2026-11-01"]
COMMANDS = ["", "swap", "extract", "train", "convert", "verify", "doctor", "weights", "demo"]
TINY = ["--size", "16", "--widths", "8,8", "--latent", "16", "--batch", "2", "--steps", "2"]


@pytest.fixture(autouse=True)
def undo() -> Iterator[None]:
    """The command line is made to be a process of its own: put back what it sets."""
    handler, threads = signal.getsignal(signal.SIGINT), torch.get_num_threads()
    yield
    signal.signal(signal.SIGINT, handler)
    torch.set_num_threads(threads)


Fails = Callable[..., str]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """Runs a command that must fail with `code`; returns the one sentence it says."""

    def run(*arguments: object, code: int = 1) -> str:
        ended = command(*arguments)
        said = capsys.readouterr().err.splitlines()
        assert ended == code, said
        assert [line for line in said if line.startswith("facedouble:")] == said[-1:]
        assert not any("Traceback" in line for line in said)
        return said[-1]

    return run


# --- footage --------------------------------------------------------------------------------------------------------


def test_a_missing_clip(fails: Fails, tmp_path: Path, short_a: Path) -> None:
    missing = tmp_path / "gone.mp4"
    assert "gone.mp4: there is no such file" in fails("extract", missing, "-o", tmp_path / "faces", *CONSENT)
    # Before hours go into A, B is looked at.
    assert "gone.mp4: there is no such file" in fails("swap", short_a, missing, "-o", tmp_path / "out.mp4", *BOTH)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_clip(fails: Fails, tmp_path: Path, short_a: Path) -> None:
    clip = tmp_path / "cut.mp4"
    whole = short_a.read_bytes()
    clip.write_bytes(whole[: len(whole) // 2])
    said = fails("extract", clip, "-o", tmp_path / "faces", *CONSENT)
    assert re.search(r"cut\.mp4: is not a video file, or is cut off .* Export the clip again", said)
    assert list(tmp_path.iterdir()) == [clip]


@pytest.mark.parametrize("content", ["Dear diary, this is no film.\n" * 50, "", "\0" * 5000])
def test_a_file_that_is_no_video(fails: Fails, tmp_path: Path, content: str) -> None:
    clip = tmp_path / "diary.mp4"
    clip.write_text(content)
    said = fails("extract", clip, "-o", tmp_path / "faces", *CONSENT)
    assert re.search(r"diary\.mp4: is (not a video|a text) file", said)
    assert list(tmp_path.iterdir()) == [clip]


def test_a_video_with_no_face(fails: Fails, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "walls.mp4", backdrop(20))
    said = fails("extract", clip, "-o", tmp_path / "faces", *CONSENT)
    assert "walls.mp4: no face found. Expected footage in which the person's face can be seen" in said
    assert not (tmp_path / "faces").exists()


def test_two_people_and_then_one_of_them_is_named(
    fails: Fails, tmp_path: Path, short_a: Path, short_b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (pictures(clip, 32) for clip in (short_a, short_b))
    pairs = zip(a, b, strict=True)
    clip = write_clip(tmp_path / "pair.mp4", [np.hstack([left[::2, ::2], right[::2, ::2]]) for left, right in pairs])
    extract = ["extract", clip, "-o", tmp_path / "faces", *CONSENT]
    assert "pair.mp4: 2 people and none dominates (32 and 32 faces). Say whom you mean with --person" in fails(*extract)
    assert not (tmp_path / "faces").exists()

    example = write_clip(tmp_path / "b.mp4", b[20:21])
    assert command(*extract, "--person", example) == 0
    said = capsys.readouterr().err
    assert "going on with an earlier search, 1 of 1 stretches done" in said
    faces = FaceSet.load(tmp_path / "faces").faces
    assert len(faces) == 32
    assert (faces.box[:, 0] > 256).all()  # B, on the right


# --- consent --------------------------------------------------------------------------------------------------------


def test_no_consent(fails: Fails, tmp_path: Path, short_a: Path, short_b: Path) -> None:
    said = fails("extract", short_a, "-o", tmp_path / "faces", code=3)
    assert re.search(r'a\.mp4: no consent is on record .* --consent "NAME: BASIS, YYYY-MM-DD"', said)
    for given in ([], BOTH[:2]):
        said = fails("swap", short_a, short_b, "-o", tmp_path / "out.mp4", *given, code=3)
        assert re.search(r'consent records given, and both people need one\. Add --consent "A: ', said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("anna", "no colon after the name"),
        ("anna: signed release", "no date after a comma"),
        ("anna: signed release, 22.11.2026", "is not a date"),
        ("anna: signed release, 2026-02-30", "is not a date"),
        (": signed release, 2026-11-22", "no name before the colon"),
        ("anna: signed release, 2999-01-01", "in the future"),
        ("nowhere.toml", "no such consent file"),
    ],
)
def test_malformed_consent(fails: Fails, tmp_path: Path, short_a: Path, record: str, reason: str) -> None:
    assert reason in fails("extract", short_a, "-o", tmp_path / "faces", "--consent", record, code=3)
    assert list(tmp_path.iterdir()) == []


def test_two_records_for_one_person(fails: Fails, tmp_path: Path, short_a: Path) -> None:
    records = SAMPLE / "consent.toml"
    said = fails("extract", short_a, "-o", tmp_path / "faces", "--consent", records, code=3)
    assert "consent.toml: 2 records, and a face set is of one person" in said


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--crop-size", "8", "crop size 8: expected 64 to 2048 px"),
        ("--coverage", "9", "coverage 9.0: expected 1 to 4 face squares"),
        ("--every", "0", "every 0: expected 1 or more"),
        ("--people", "0", "people 0: expected 1 to 32"),
        ("--workers", "0", "--workers 0: expected 1 or more"),
        ("--minutes", "0", "minutes 0.0: expected more than 0"),
        ("--steps", "-1", "steps -1: expected more than 0"),
        ("--widths", "48,wide", "--widths: 'wide' is not a whole number"),
        ("--size", "50", "size 50 px: 4 levels need a multiple of 32 px"),
        ("--crf", "99", "crf 99: expected 0 to 51"),
    ],
)
def test_impossible_settings(fails: Fails, tmp_path: Path, short_a: Path, option: str, value: str, reason: str) -> None:
    assert reason in fails("swap", short_a, short_a, "-o", tmp_path / "out.mp4", *BOTH, option, value)
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_is_another_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("extract") == 2
    assert "usage: facedouble extract" in capsys.readouterr().err


# --- face sets and models -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(faces_a: FaceSet, faces_b: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest model there can be, two steps old; do not write into it."""
    folder = tmp_path_factory.mktemp("models") / "model"
    assert command("train", faces_a.path, faces_b.path, "-o", folder, *TINY) == 0
    return folder


def test_too_few_faces_to_train(fails: Fails, tmp_path: Path, faces_a: FaceSet, faces_b: FaceSet) -> None:
    shutil.copytree(faces_a.path, tmp_path / "few")
    for number in range(11):
        (tmp_path / "few" / "crops" / f"{number:06d}.png").unlink()
    said = fails("train", tmp_path / "few", faces_b.path, "-o", tmp_path / "model", *TINY)
    assert "few: 29 faces. Training needs at least 30" in said
    assert not list((tmp_path / "model").glob("checkpoints/*"))


def test_training_that_cannot_begin_leaves_no_model(tmp_path: Path, faces_a: FaceSet, faces_b: FaceSet) -> None:
    shutil.copytree(faces_a.path, tmp_path / "few")
    shutil.rmtree(tmp_path / "few" / "crops")
    assert command("train", tmp_path / "few", faces_b.path, "-o", tmp_path / "model", *TINY) == 1
    assert not (tmp_path / "model").exists()


def test_training_on_what_is_no_face_set(fails: Fails, tmp_path: Path, faces_a: FaceSet) -> None:
    said = fails("train", faces_a.path, tmp_path, "-o", tmp_path / "model")
    assert "not a face set. Make one with: facedouble extract CLIP -o" in said
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_other_settings(fails: Fails, faces_a: FaceSet, faces_b: FaceSet, model: Path) -> None:
    train = ["train", faces_a.path, faces_b.path, "-o", model]
    assert re.search(r"begun with other settings: .*size_px 16 \(now 32\)", fails(*train, *TINY, "--size", "32"))
    assert re.search(r"begun with .* as A, not ", fails("train", faces_b.path, faces_b.path, "-o", model, *TINY))


def test_converting_with_what_is_no_model(fails: Fails, tmp_path: Path, short_a: Path) -> None:
    said = fails("convert", short_a, tmp_path, "-o", tmp_path / "out.mp4")
    assert "not a model. Make one with: facedouble train" in said
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_consent_converts_nothing(fails: Fails, tmp_path: Path, model: Path, short_a: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "consent.toml").unlink()
    fails("convert", short_a, tmp_path / "model", "-o", tmp_path / "out.mp4", code=3)
    assert not (tmp_path / "out.mp4").exists()


def test_the_output_may_not_be_the_input(fails: Fails, tmp_path: Path, model: Path, short_a: Path) -> None:
    clip = tmp_path / "a.mp4"
    shutil.copy(short_a, clip)
    (tmp_path / "link.mp4").symlink_to(clip)
    for out in (clip, tmp_path / "sub" / ".." / "a.mp4", tmp_path / "link.mp4"):
        assert "the output would replace the input" in fails("convert", clip, model, "-o", out)
    assert clip.read_bytes() == short_a.read_bytes()


def test_an_output_no_container_is_known_for(fails: Fails, tmp_path: Path, model: Path, short_a: Path) -> None:
    said = fails("convert", short_a, model, "-o", tmp_path / "out.avi")
    assert "cannot be written as '.avi'. Name it .mp4, .mov or .mkv" in said
    assert list(tmp_path.iterdir()) == []


def test_verifying_what_is_not_there(fails: Fails, tmp_path: Path) -> None:
    assert "gone.mp4" in fails("verify", tmp_path / "gone.mp4")


# --- places that cannot be written ----------------------------------------------------------------------------------


def test_a_read_only_folder(fails: Fails, mounted: Callable[..., Path], short_a: Path) -> None:
    place = mounted("ro")
    said = fails("extract", short_a, "-o", place / "faces", *CONSENT)
    assert re.search(r"faces.*: cannot be written .*Choose another output folder", said)


def test_a_folder_of_somebody_else(fails: Fails, tmp_path: Path, short_a: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o555)
    said = fails("extract", short_a, "-o", tmp_path / "faces", *CONSENT)
    assert re.search(r"faces.*: cannot be written .*Choose another output folder", said)


def test_a_folder_inside_a_file(fails: Fails, tmp_path: Path, short_a: Path) -> None:
    (tmp_path / "notes.txt").write_text("a file")
    said = fails("extract", short_a, "-o", tmp_path / "notes.txt" / "faces", *CONSENT)
    assert re.search(r"faces.*: cannot be written .*Choose another output folder", said)


def test_a_file_where_a_folder_is_to_be(fails: Fails, tmp_path: Path, faces_a: FaceSet) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("a file")
    assert re.search(r"notes\.txt: cannot be written .*Choose another output folder", fails("demo", "-o", file))
    assert "notes.txt: " in fails("train", faces_a.path, faces_a.path, "-o", file, *TINY)
    assert file.read_text() == "a file"


@pytest.mark.parametrize("out", ["", ".", "..", "/"])
def test_an_output_without_a_name(capsys: pytest.CaptureFixture[str], short_a: Path, out: str) -> None:
    assert command("extract", short_a, "-o", out, *CONSENT) == 2
    assert f"argument -o/--output: {out!r} has no name" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["64k", "900k"], ids=["while searching", "while cropping"])
def test_a_full_disk(
    fails: Fails, mounted: Callable[..., Path], short_a: Path, capsys: pytest.CaptureFixture[str], size: str
) -> None:
    place = mounted(f"size={size}")
    extract = ["extract", short_a, "-o", place / "faces", "--crop-size", 128, *CONSENT]
    said = fails(*extract)
    assert re.search(r"the disk is full\. Free some space there, then run the same command again", said)
    assert not (place / "faces").exists()

    subprocess.run(["mount", "-o", "remount,size=50m", place], check=True)
    assert command(*extract) == 0
    assert ("going on with an earlier search" in capsys.readouterr().err) == (size == "900k")
    faces = FaceSet.load(place / "faces")
    assert len(faces.rows_with_crops()) == 40
    assert all(faces.read_crop(row).shape == (128, 128, 3) for row in range(40))


@pytest.mark.parametrize(
    "size", ["100k", pytest.param("800k", marks=pytest.mark.slow)], ids=["while encoding", "while signing"]
)
def test_a_full_disk_while_converting(
    fails: Fails, mounted: Callable[..., Path], short_a: Path, model: Path, size: str
) -> None:
    place = mounted(f"size={size}")
    # The library that signs says only that it failed.
    assert re.search("the disk (is )?full", fails("convert", short_a, model, "-o", place / "out.mp4"))
    assert [path.name for path in place.iterdir()] == [".out.mp4.part"], "what is done is kept"
    subprocess.run(["mount", "-o", "remount,size=50m", place], check=True)
    assert command("convert", short_a, model, "-o", place / "out.mp4") == 0
    assert [path.name for path in place.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "cannot be written"),
        (errno.EACCES, "cannot be written"),
        (errno.ENOTDIR, "cannot be written"),
    ],
)
def test_an_error_while_saving_keeps_what_was_there(tmp_path: Path, number: int, reason: str) -> None:
    file = tmp_path / "kept.json"
    save_json(file, {"good": True})
    before = file.read_bytes()
    with pytest.raises(OutputError, match=rf"kept\.json: {reason}"), atomic_file(file) as temporary:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_rename_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OutputError, match=r"new\.json: cannot be written"):
        save_json(tmp_path / "new.json", {})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    with atomic_folder(folder) as temporary:
        (temporary / "weights").write_text("old")
    with pytest.raises(OutputError, match="the disk is full"), atomic_folder(folder) as temporary:
        (temporary / "weights").write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (folder / "weights").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]
    with atomic_folder(folder) as temporary:
        (temporary / "weights").write_text("new")
    assert (folder / "weights").read_text() == "new"
    assert list(tmp_path.iterdir()) == [folder]


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "file"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


# --- as a process of its own ----------------------------------------------------------------------------------------


def facedouble(*arguments: object, **options: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "facedouble.cli", *(str(argument) for argument in arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_an_error_is_no_traceback(tmp_path: Path) -> None:
    process = facedouble("extract", "gone.mp4", "-o", tmp_path / "faces", *CONSENT)
    out, said = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert said == "facedouble: gone.mp4: there is no such file or folder. Check the path.\n"


HEAVY = ["av", "cv2", "dlib", "mediapipe", "numpy", "onnxruntime", "pyarrow", "scipy", "torch"]
SAY_HELP = f"""
import sys
from facedouble.cli import main
try:
    main(sys.argv[1:])
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_complete_and_imports_nothing_heavy(name: str) -> None:
    words = [sys.executable, "-c", SAY_HELP, *filter(None, [name]), "--help"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert done.stdout.startswith(f"usage: facedouble {name}".rstrip())
    if name:  # every option and argument says what it is for
        for line, after in re.findall(r"^  (-?\S.*)\n(.*)", done.stdout, re.MULTILINE):
            assert "  " in line.strip() or after.startswith("      "), f"{name}: {line} has no help"
    else:
        assert all(re.search(rf"^    {command} +\w", done.stdout, re.MULTILINE) for command in COMMANDS[1:])


def test_help_answers_at_once() -> None:
    def seconds() -> float:
        begun = time.perf_counter()
        facedouble("swap", "--help").communicate()
        return time.perf_counter() - begun

    assert min(seconds() for _ in range(4)) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_extraction_that_was_stopped_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    extract = ["extract", SAMPLE / "b-take2.mp4", "-o", tmp_path / "faces", "--workers", 1, *CONSENT]
    process = facedouble(*extract)
    while process.poll() is None and not list(tmp_path.glob(".faces.part/search/*/faces-*.npz")):
        time.sleep(0.02)
    process.send_signal(how)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert "Traceback" not in said
    assert not (tmp_path / "faces").exists()

    again = facedouble(*extract)
    said = again.communicate()[1]
    assert again.returncode == 0
    # Ctrl-C lets the stretch that is being searched end.
    assert re.search(r"b-take2\.mp4: going on with an earlier search, [12] of 2 stretches done", said)
    assert len(FaceSet.load(tmp_path / "faces").rows_with_crops()) == 169
