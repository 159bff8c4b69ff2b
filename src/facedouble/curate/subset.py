"""New face sets that hold a part of another's pictures. The other stays as it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import InputError
from ..project import atomic_folder
from .faceset import FaceSet
from .quality import CACHE


def subset(faces: FaceSet, rows: Iterable[int], out: Path) -> None:
    """Make the face set `out` with the pictures of these rows, as `subsets` does."""
    refuse_existing(out)
    with atomic_folder(out) as work:
        _write(faces, rows, work)


def subsets(faces: FaceSet, parts: Mapping[str, Iterable[int]], out: Path) -> None:
    """Make a folder `out` of face sets by name, each with the pictures of its rows, whole or not at all.

    Each has the whole table, as a set has whose other pictures were deleted by hand: a frame whose picture was not
    taken over is still A's, and is still converted. Pictures are hard links where the disk can. Raises InputError
    where `out` is there, OutputError where it cannot be written.
    """
    refuse_existing(out)
    with atomic_folder(out) as work:
        for name, rows in parts.items():
            (work / name).mkdir()
            _write(faces, rows, work / name)


def refuse_existing(out: Path) -> None:
    if out.exists():
        raise InputError(f"{out}: is there already. Choose another -o, or delete it.")


def _write(faces: FaceSet, rows: Iterable[int], folder: Path) -> None:
    for name in ("faces.parquet", "faceset.json", "consent.toml", CACHE):
        if (faces.path / name).is_file():
            shutil.copyfile(faces.path / name, folder / name)
    (folder / "crops").mkdir()
    pictures = faces.pictures()
    for row in rows:
        link(faces.path / "crops" / pictures[int(row)], folder / "crops" / faces.crop[int(row)])


def link(picture: Path, copy: Path) -> None:
    """A hard link where the disk can, else a copy."""
    try:
        os.link(picture, copy)
    except OSError:  # another disk, or one without links
        shutil.copyfile(picture, copy)
