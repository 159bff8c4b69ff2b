"""Converting: colour on skin, the blend's alpha, and a whole clip in and out."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from facedouble import stages
from facedouble.curate.faceset import FaceSet
from facedouble.device import Device
from facedouble.errors import InputError
from facedouble.media.reader import probe, read
from facedouble.provenance import credential
from facedouble.recipes import ConvertRecipe, TrainRecipe, Until
from facedouble.swap.blend import multiband, plain
from facedouble.swap.colour import match_skin
from support import backdrop, pictures, run, write_clip

CPU = Device("cpu", "fp32", 2, 8_000_000_000, "test")


@pytest.fixture(scope="module")
def model(faces_a: FaceSet, faces_b: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    recipe = TrainRecipe.of("compact", size_px=32, widths=(16, 24, 32), latent=64, batch=4, mixed_precision=False)
    run(stages.train({"a": faces_a, "b": faces_b}, folder, recipe, Until(steps=20), CPU, lambda: False))
    return folder


def test_alpha_is_applied_once() -> None:
    face, plate = np.full((64, 64, 3), 0.8, np.float32), np.full((64, 64, 3), 0.2, np.float32)
    alpha = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    np.testing.assert_allclose(plain(face, plate, alpha)[..., 0], 0.2 + 0.6 * alpha, atol=1e-6)


def test_multiband_keeps_what_alpha_does_not_touch() -> None:
    rng = np.random.default_rng(1)
    face, plate = (rng.random((96, 96, 3), np.float32) for _ in range(2))
    alpha = np.zeros((96, 96), np.float32)
    alpha[24:72, 24:72] = 1
    mixed = multiband(face, plate, alpha)
    np.testing.assert_array_equal(mixed[alpha == 0], plate[alpha == 0])
    assert np.abs(mixed[46:50, 46:50] - face[46:50, 46:50]).mean() < 0.12
    flat = multiband(np.full_like(face, 0.8), np.full_like(plate, 0.2), np.ones_like(alpha))
    np.testing.assert_allclose(flat, 0.8, atol=1e-5)


def test_colour_moves_skin_alone() -> None:
    rng = np.random.default_rng(2)
    face = (0.4 + 0.05 * rng.random((40, 40, 3))).astype(np.float32)
    plate = face * np.array([1.3, 1.1, 0.9], np.float32)
    skin = np.zeros((40, 40), np.float32)
    skin[:, :20] = 1
    matched = match_skin(face, plate, skin, skin)
    np.testing.assert_array_equal(matched[:, 20:], face[:, 20:])
    np.testing.assert_allclose(matched[:, :20].mean((0, 1)), plate[:, :20].mean((0, 1)), atol=0.01)


def test_too_little_skin_changes_nothing() -> None:
    face, none = np.full((10, 10, 3), 0.5, np.float32), np.zeros((10, 10), np.float32)
    np.testing.assert_array_equal(match_skin(face, face * 0.5, none, none), face)


def test_a_clip_is_converted(short_a: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    _, done = run(stages.convert(short_a, model, out, ConvertRecipe(), CPU, 2))
    before, after = probe(short_a), probe(out)
    assert [int(p) * before.time_base for p in before.pts] == [int(p) * after.time_base for p in after.pts]
    assert after.size == before.size
    assert len(done.faces) == before.count
    first, swapped = next(iter(read(before))).pixels, next(iter(read(after))).pixels
    x0, y0, x1, y1 = done.faces.box[0].astype(int)
    assert np.abs(first[y0:y1, x0:x1].astype(int) - swapped[y0:y1, x0:x1]).mean() > 5
    verdict = credential.verify(out)
    assert verdict.state == "valid" and verdict.made_here
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


def test_frames_without_the_person_pass_bit_for_bit(short_a: Path, model: Path, tmp_path: Path) -> None:
    faces = pictures(short_a)
    clip = write_clip(tmp_path / "part.mp4", [*backdrop(16, (512, 512)), *faces, *backdrop(16, (512, 512))])
    out = tmp_path / "out.mkv"
    _, done = run(stages.convert(clip, model, out, ConvertRecipe(codec="ffv1"), CPU, 2))
    shown = set(done.faces.frame.tolist())
    assert shown and min(shown) >= 15 and max(shown) <= 16 + len(faces)
    for before, after in zip(read(probe(clip)), read(probe(out)), strict=True):
        assert np.array_equal(before.pixels, after.pixels) == (before.index not in shown)


def test_the_input_is_never_replaced(short_a: Path, model: Path) -> None:
    with pytest.raises(InputError, match="replace the input"):
        run(stages.convert(short_a, model, short_a, ConvertRecipe(), CPU, 2))


def test_killed_conversion_leaves_no_clip_and_starts_over(model: Path, short_a: Path, tmp_path: Path) -> None:
    long = write_clip(tmp_path / "long.mp4", pictures(short_a) * 20)
    out = tmp_path / "out.mp4"
    convert = [sys.executable, "-m", "facedouble.cli", "convert", str(long), str(model), "-o", str(out)]
    process = subprocess.Popen(convert, stderr=subprocess.DEVNULL)
    half, end = tmp_path / ".out.encoding.mp4", time.monotonic() + 100
    while not half.exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert half.exists() and not out.exists()
    events, _ = run(stages.convert(short_a, model, out, ConvertRecipe(), CPU, 2))
    assert any("starting it over" in getattr(event, "text", "") for event in events)
    assert out.is_file() and not half.exists()


def test_a_model_holds_no_code(model: Path) -> None:
    kinds = {path.suffix for path in model.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".toml", ".png"}
