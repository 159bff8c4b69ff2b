"""Files that are either whole or not there: write beside, flush, rename."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ModelError, OutputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_WAY = "facedouble.way"
_NO_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}


def config_folder() -> Path:
    """What is the user's own and not a project's: FACEDOUBLE_CONFIG, else the platform's place for facedouble."""
    return _own_folder("FACEDOUBLE_CONFIG", ("APPDATA", "AppData/Roaming"), "Application Support", "config")


def weights_folder() -> Path:
    """FACEDOUBLE_CACHE, else the platform's cache folder for facedouble/weights."""
    folder = _own_folder("FACEDOUBLE_CACHE", ("LOCALAPPDATA", "AppData/Local"), "Caches", "cache")
    return folder if os.environ.get("FACEDOUBLE_CACHE") else folder / "weights"


def _own_folder(variable: str, windows: tuple[str, str], mac: str, linux: str) -> Path:
    if chosen := os.environ.get(variable):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get(windows[0]) or Path.home() / windows[1])
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / mac
    else:
        base = Path(os.environ.get(f"XDG_{linux.upper()}_HOME") or Path.home() / f".{linux}")
    return base / "facedouble"


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); on success flush it to disk and rename it to `path`.

    On any error the temporary file is removed and an earlier `path` stays as it was. Raises OutputError where the
    folder cannot be written or the disk is full.
    """
    temporary = unfinished(path)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
    try:
        with output_errors(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like atomic_file for a folder: an existing `path` is replaced only once the new one is whole."""
    temporary = unfinished(path)
    with output_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    try:
        with output_errors(path):
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as opened:
                        os.fsync(opened.fileno())
            if path.exists():
                old = path.with_name(f".{path.name}.old")
                shutil.rmtree(old, ignore_errors=True)
                path.replace(old)
                temporary.replace(path)
                shutil.rmtree(old)
            else:
                temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unfinished(path: Path) -> Path:
    """Where the unfinished form of `path` lies; found there at the start, it is what a killed run left."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn the system's write errors into one sentence about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"{path}: the disk is full. Free some space there, then run the same command again."
            ) from error
        if error.errno in _NO_PLACE:
            raise OutputError(
                f"{path}: cannot be written ({os.strerror(error.errno).lower()}). Choose another output folder."
            ) from error
        raise


@contextmanager
def part_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading `path`, a part of a model that training makes anew, into one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{path}: broken or not of this program ({type(error).__name__}). Delete it and train on."
        ) from error


def save_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=False) + "\n")


def without_nan(value: Any) -> Any:
    """`value` with None for every number that JSON does not know, NaN or infinite, however deep."""
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) RGB as a PNG, whatever the suffix, atomically."""
    from PIL import Image

    with atomic_file(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="png")


def save_tensors(path: Path, tensors: dict[str, Tensor], way: int = 0) -> None:
    """Write a safetensors file; not atomic by itself. `way` is the version of how they were made, see `is_made`. Raises
    OSError, as other writing does."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, path, {_WAY: str(way)} if way else None)
    except SafetensorError as error:
        if number := re.search(r"\(os error (\d+)\)", str(error)):  # it tells the system's errors in words only
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
        raise


def is_made(path: Path, way: int) -> bool:
    """Whether `path`, a part of a model that training makes once, is there, and was made as it is made now: `way` is
    raised where what is read would be other than before. Raises ModelError for a file that is broken."""
    from safetensors import safe_open

    if not path.is_file():
        return False
    with part_errors(path), safe_open(path, "numpy") as file:
        return (file.metadata() or {}).get(_WAY) == str(way)
