"""A set's table and pictures changed together: both or neither, whatever stops the program.

What is new is first made whole in a folder of its own. One rename decides that it holds; what was not moved to its
place when the program was killed, the next command moves there.

FACES/.changed/   faces.parquet, quality.parquet and crops/, there only while they are moved to their places
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..project import atomic_folder, output_errors
from .faceset import FaceSet
from .quality import CACHE, Looks

CHANGED = ".changed"


@contextmanager
def changing(folder: Path) -> Iterator[Path]:
    """Yield a folder to put new pictures (under crops/) and the new table (`write_table`) of a set's `folder` into; at
    the end they take their places in it. Raises OutputError where it cannot be written; an error changes nothing."""
    with atomic_folder(folder / CHANGED) as work:
        (work / "crops").mkdir()
        yield work
    recover(folder)


def write_table(faces: FaceSet, looks: Looks, work: Path) -> None:
    """Write the table of `faces` and its pictures' measures into the folder of `changing`."""
    staged = replace(faces, path=work)
    staged.save()
    looks.save(staged)
    for record in ("faceset.json", "consent.toml"):  # they stay as they are
        (work / record).unlink()


def recover(folder: Path) -> bool:
    """Bring a change of the set in `folder` to its end; whether there was one. May itself be cut short at any point."""
    changed = folder / CHANGED
    if not changed.is_dir():
        return False
    with output_errors(folder):
        for file in [*(changed / "crops").glob("*.png"), changed / CACHE, changed / "faces.parquet"]:
            # Not there any more: moved before the program was killed, or by another program that opened the set.
            with suppress(FileNotFoundError):
                file.replace(folder / file.relative_to(changed))
        shutil.rmtree(changed, ignore_errors=True)
    return True
