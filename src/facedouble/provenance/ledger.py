"""The user's own ledger: which outputs were made here, under whose consent, and which consents were taken back.

It lies in the config folder, readable by the user alone. What is written into it never leaves the machine.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import tomli_w

from ..errors import ConsentError, MachineError
from ..project import atomic_file, config_folder, output_errors

OUTPUTS = "outputs.jsonl"
REVOKED = "revoked.toml"


@dataclass(frozen=True)
class Output:
    """A signed output: where it was written, and what stands in its credential."""

    path: str
    made: str
    """UTC, ISO 8601"""
    consents: Sequence[str]
    """ids of the consent records of all people in it"""
    people: Sequence[str]
    model_sha256: str
    mark: str
    """the number in its invisible mark, hexadecimal; "" in lines of before there was one"""


@dataclass(frozen=True)
class Revocation:
    id: str
    person: str
    date: dt.date
    reason: str = ""


def record(output: Output) -> None:
    """Add a line to the ledger. Raises OutputError where the config folder cannot be written."""
    file = config_folder() / OUTPUTS
    with output_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Appended in one write, so that two programs at once leave two whole lines.
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "ab") as out:
            out.write(json.dumps(asdict(output), ensure_ascii=False).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())


def outputs(consent_id: str | None = None, mark: str | None = None) -> list[Output]:
    """What was made here, oldest first: all, or what names a consent or carries a mark. Broken lines are passed over:
    a line cut short by a crash must not hide the others."""
    file = config_folder() / OUTPUTS
    found = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []:
        try:
            output = Output(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if consent_id in (None, *output.consents) and mark in (None, output.mark):
            found.append(output)
    return found


def revoke(revocation: Revocation) -> None:
    """Note that a consent was taken back; a second time changes nothing. Raises OutputError, MachineError."""
    known = revocations()
    if any(other.id == revocation.id for other in known):
        return
    file = config_folder() / REVOKED
    tables: list[dict[str, Any]] = [asdict(other) for other in (*known, revocation)]
    with output_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with atomic_file(file) as temporary:
        temporary.write_text(tomli_w.dumps({"revoked": tables}), encoding="utf-8")


def revocations() -> list[Revocation]:
    """Raises MachineError for a list that cannot be read: unreadable must not mean that nobody took anything back."""
    file = config_folder() / REVOKED
    if not file.is_file():
        return []
    try:
        return [Revocation(**table) for table in tomllib.loads(file.read_text(encoding="utf-8"))["revoked"]]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MachineError(
            f"{file}: the list of revoked consents cannot be read ({error}). Mend it, or restore it from a backup."
        ) from error


def check(consent_id: str, person: str) -> None:
    """Raise ConsentError where the consent was taken back."""
    for other in revocations():
        if other.id == consent_id:
            raise ConsentError(
                f"consent of {person} ({consent_id}): revoked on {other.date}{_because(other.reason)}. Nothing more is "
                "made with this person's face; a new agreement needs a new record."
            )


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""
