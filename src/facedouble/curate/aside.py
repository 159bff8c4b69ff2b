"""Pictures put aside and put back: moved, never deleted, all of them or none, whatever stops the program.

FACES/aside/<reason>/NAME.png   pictures that were put aside, under the names they had in crops/
FACES/aside/0001.json           what the first pruning moved; 0002.json the second, and so on
FACES/.moving.json              a journal, there only while pictures are being moved
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import FaceError
from ..project import output_errors, save_json
from .faceset import plain_name

JOURNAL = ".moving.json"
WRONG_PERSON, NOT_THEM = "wrong-person", "not-this-person"
"""reasons that say whose face it is: `prune` by its distance, a person by looking"""
_CLOCK_S = 5.0
"""by how much a process may seem to have begun at another time when a clock was set"""
Move = tuple[Path, Path]
"""from and to, below the set's folder"""


def put_aside(folder: Path, names: Mapping[str, Sequence[str]]) -> None:
    """Move pictures, by their present names under crops/, into aside/<reason>/ of a set's folder.

    `names` is reason -> names. Raises FaceError where a name is there already, OutputError where the folder cannot be
    written; then, and on Ctrl-C, the set is as it was. After a kill `recover` makes it so.
    """
    moves = [(Path("crops", name), Path("aside", reason, name)) for reason in names for name in names[reason]]
    if not moves:
        return
    number = max((int(record.stem) for record in _records(folder)), default=0) + 1
    record = folder / "aside" / f"{number:04d}.json"
    # One rename ends the journal and makes it the record that `restore` reads.
    _move_all(folder, moves, lambda journal: journal.replace(record))


def restore(folder: Path, reason: str | None = None, last: bool = False, only: Collection[Path] | None = None) -> int:
    """Put pictures back into crops/: all, those of one reason, those of the last pruning, or `only` these, by their
    paths below the set's folder. How many there were.

    Raises FaceError where a name is taken in crops/, OutputError as `put_aside` does, and leaves all as it was.
    """
    moves = [move for move in _set_aside(folder) if reason is None or move[1].parent.name == reason]
    moves = moves if only is None else [move for move in moves if move[1] in only]
    records = _records(folder)
    if last and moves:
        there = set(moves)
        by_record = ([move for move in _read(record) if move in there] for record in reversed(records))
        moves = next((found for found in by_record if found), [])
    if moves:
        _move_all(folder, [(to, origin) for origin, to in moves], lambda journal: journal.unlink())
    still = {to for _, to in _set_aside(folder)}
    for record in records:
        if not any(to in still for _, to in _read(record)):
            record.unlink()
    _clear(folder)
    return len(moves)


def counts(folder: Path) -> dict[str, int]:
    """Reason -> how many pictures are put aside for it."""
    found: dict[str, int] = {}
    for picture in pictures(folder):
        found[picture.parent.name] = found.get(picture.parent.name, 0) + 1
    return found


def pictures(folder: Path) -> list[Path]:
    """Those that are put aside, as aside/<reason>/NAME.png below the set's folder."""
    return [to for _, to in _set_aside(folder)]


def of_others(folder: Path) -> set[str]:
    """Crop names, as the set's table has them, of pictures put aside because they are somebody else's."""
    found = [picture for picture in pictures(folder) if picture.parent.name in (WRONG_PERSON, NOT_THEM)]
    return {plain_name(picture.name) for picture in found}


def recover(folder: Path) -> int:
    """Undo a move of pictures that was cut short. How many were put back; 0 where there is no journal.

    Raises FaceError where the program that wrote the journal is still at work, or the journal is none of ours.
    """
    journal = folder / JOURNAL
    if not journal.exists():
        return 0
    moves = _read(journal)
    if (pid := _at_work(_json(journal).get("program"))) is not None:
        raise FaceError(f"{folder}: another facedouble (process {pid}) is moving its pictures. Let it finish.")
    with output_errors(folder):
        moved = _undo(folder, moves)
        journal.unlink()
    return moved


def _set_aside(folder: Path) -> list[Move]:
    return [
        (Path("crops", file.name), Path("aside", file.parent.name, file.name))
        for file in sorted((folder / "aside").glob("*/*.png"))
        if not file.name.startswith(".")
    ]


def _records(folder: Path) -> list[Path]:
    """What prunings moved, the first one first."""
    found = [file for file in (folder / "aside").glob("*.json") if file.stem.isascii() and file.stem.isdigit()]
    return sorted(found, key=lambda file: int(file.stem))


def _move_all(folder: Path, moves: Sequence[Move], commit: Callable[[Path], Any]) -> None:
    for _, to in moves:
        if (folder / to).exists():
            raise FaceError(f"{folder / to}: is there already. Rename or delete one of the two pictures.")
    journal = folder / JOURNAL
    pairs = [[origin.as_posix(), to.as_posix()] for origin, to in moves]
    try:
        with output_errors(folder):
            save_json(journal, {"program": [os.getpid(), _begun(os.getpid())], "moves": pairs})
            for place in {to.parent for _, to in moves}:
                (folder / place).mkdir(parents=True, exist_ok=True)
            for origin, to in moves:
                (folder / origin).rename(folder / to)
            commit(journal)
    except BaseException:
        if journal.exists():
            _undo(folder, moves)
            journal.unlink()
        raise


def _undo(folder: Path, moves: Sequence[Move]) -> int:
    moved = [(origin, to) for origin, to in moves if (folder / to).exists() and not (folder / origin).exists()]
    for origin, to in moved:
        (folder / origin).parent.mkdir(parents=True, exist_ok=True)
        (folder / to).rename(folder / origin)
    _clear(folder)
    return len(moved)


def _clear(folder: Path) -> None:
    """Take away folders that nothing is aside in."""
    for place in (*(folder / "aside").glob("*/"), folder / "aside"):
        with suppress(OSError):  # it holds something
            place.rmdir()


def _begun(pid: int) -> float | None:
    """When a running process began, which tells it from a later one of the same number; None where there is none."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except (psutil.Error, ValueError, OverflowError):
        return None


def _at_work(program: Any) -> int | None:
    """The number of another program that is still running, by a journal's entry [number, begun]."""
    match program:
        case [int(pid), float(begun)] if pid != os.getpid():
            since = _begun(pid)
            return pid if since is not None and abs(since - begun) < _CLOCK_S else None
    return None


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise _foreign(file) from error
    if not isinstance(content, dict):
        raise _foreign(file)
    return content


def _read(file: Path) -> list[Move]:
    """The moves of a journal or record, refused where one leads elsewhere than between crops/ and aside/<reason>/."""
    try:
        moves = [(Path(origin), Path(to)) for origin, to in _json(file)["moves"]]
    except (ValueError, LookupError, TypeError) as error:
        raise _foreign(file) from error
    if not all(_plain(path) for move in moves for path in move):
        raise _foreign(file)
    return moves


def _plain(path: Path) -> bool:
    return ".." not in path.parts and (path.parts[:1], len(path.parts)) in ((("crops",), 2), (("aside",), 3))


def _foreign(file: Path) -> FaceError:
    return FaceError(f"{file}: not a list of moved pictures by this program. Look at it, and delete it.")
