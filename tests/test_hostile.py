"""Face sets and models from strangers: what is made to fill memory, to lead elsewhere or to run code does neither."""

from __future__ import annotations

import json
import pickle
import resource
import shutil
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from facedouble.curate.faceset import FaceSet
from facedouble.errors import FaceError, InputError, ModelError
from facedouble.learn import checkpoint
from facedouble.media.reader import probe, read
from facedouble.recipes import ConvertRecipe
from facedouble.stages.casting import Role, cast
from support import run


@pytest.fixture
def copy(faces_a: FaceSet, tmp_path: Path) -> Path:
    return Path(shutil.copytree(faces_a.path, tmp_path / "faces"))


@pytest.fixture
def model(model: Path, tmp_path: Path) -> Path:
    """A copy to harm."""
    return Path(shutil.copytree(model, tmp_path / "model"))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def huge_png(side: int) -> bytes:
    """A file of a few hundred kilobytes that unpacks to `side` times `side` black pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * side)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_picture_that_would_fill_the_memory_is_not_unpacked(copy: Path) -> None:
    faces = FaceSet.load(copy)
    bomb = huge_png(12_000)
    assert len(bomb) < 1_000_000
    (copy / "crops" / faces.crop[0]).write_bytes(bomb)
    before = peak_mb()
    with pytest.raises(FaceError, match="12000x12000 px, expected 128x128 px"):
        faces.read_crop(0)
    assert peak_mb() - before < 100


@pytest.mark.parametrize("kind", ["rows", "wide"])
def test_a_table_that_would_fill_the_memory_is_not_unpacked(copy: Path, kind: str) -> None:
    file = copy / "faces.parquet"
    table = parquet.read_table(file)
    if kind == "rows":
        table = pa.table({"frame": pa.array(np.zeros(50_000_000, np.int64))})
    else:
        table = table.append_column("strange", pa.array([bytes(20_000_000)] * len(table)))
    parquet.write_table(table, file, compression="zstd", use_dictionary=kind == "rows")
    del table
    assert file.stat().st_size < 2_000_000
    before = peak_mb()
    with pytest.raises(FaceError, match=r"are more than \d+ frames can need"):
        FaceSet.load(copy)
    assert peak_mb() - before < 100


@pytest.mark.parametrize("setting", ["widths", "latent", "size_px", "batch"])
def test_absurd_shapes_are_refused_before_memory_is_asked_for(model: Path, setting: str) -> None:
    record = json.loads((model / "model.json").read_text())
    record["recipe"][setting] = [16, 24, 2**40] if setting == "widths" else 2**40
    (model / "model.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"{setting.removesuffix('_px')} .*expected"):
        checkpoint.load(model, torch.device("cpu"))


@pytest.mark.parametrize("kind", ["pickle", "absurd", "cut short"])
def test_weights_are_numbers_and_nothing_else(model: Path, tmp_path: Path, kind: str) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> object:
            return (marker.write_text, ("code ran",))

    file = checkpoint.checkpoints(model)[-1] / "average.safetensors"
    content = file.read_bytes()
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Evil()))
    elif kind == "absurd":
        head = json.dumps({"encoder": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 64]}}).encode()
        file.write_bytes(struct.pack("<Q", len(head)) + head + bytes(64))
    else:
        file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoint.load(model, torch.device("cpu"))
    assert not marker.exists()


def test_a_model_that_names_places_outside_reads_nothing_there(model: Path, short_a: Path, tmp_path: Path) -> None:
    """The face set's path in a model is only a hint: what does not fit the clip is searched anew."""
    record = json.loads((model / "model.json").read_text())
    record["face_sets"]["a"]["path"] = "/etc"
    record["face_sets"]["a"]["footage"] = [{"path": "/etc/passwd", "sha256": "0" * 64}]
    (model / "model.json").write_text(json.dumps(record))
    _, trained, _ = checkpoint.load(model, torch.device("cpu"))
    (faces,) = run(cast(probe(short_a), [Role(model)], [trained], ConvertRecipe(), tmp_path / "work", 2))[1]
    assert len(faces) == 40


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7])
def test_broken_media_end_in_a_sentence(short_a: Path, tmp_path: Path, part: float) -> None:
    content = bytearray(short_a.read_bytes())
    start = int(part * len(content))
    content[start : start + 4000] = np.random.default_rng(1).bytes(4000)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    try:  # what a decoder can still make something of is no error
        assert len(list(read(probe(broken)))) <= 40
    except InputError as error:
        assert "broken.mp4" in str(error)


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are of POSIX")
def test_what_is_made_is_the_users_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facedouble.cli", "consent", "new", "--person", "anna", "--basis", "own face"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert stat.S_IMODE((tmp_path / "consent.toml").stat().st_mode) == 0o600
