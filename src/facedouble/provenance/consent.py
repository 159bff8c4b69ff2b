"""Consent records: who agreed, on what basis, when. Nothing is done with a person's face without one.

The record is the user's own statement, kept beside the work and written into every output; it holds no more of a
person than a name or pseudonym.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from ..errors import ConsentError
from ..faces import IDENTITY, SAME_PERSON
from ..project import atomic_file
from . import ledger

FORM = '"NAME: BASIS, YYYY-MM-DD"'
EXAMPLE = '"anna: signed release, 2026-11-22"'
RENDERED_BASIS = "rendered, nobody"
"""the basis of a performer who was drawn by a computer and is nobody's likeness"""

PROJECT_FILE = "consent.toml"
"""in the folder one works in: the records of a whole project, so that each is given once"""
BASES = (
    "signed release", "own face", RENDERED_BASIS, "archival licence", "court-ordered protection",
    "consent of a guardian", "consent of the estate",
)  # fmt: skip
"""what a consent commonly rests on; any other words will do"""

_LIKENESS_STEP = 0.005

MAX_TEXT = 1000
MAX_FILE_BYTES = 1_000_000
# a text that reorders what is around it could make a record read as another
BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@dataclass(frozen=True)
class ConsentRecord:
    """One person's consent. Dates are calendar days; `expires` is the first day it no longer holds (None: never).

    Raises ConsentError where a field is empty, too long, of another type or holds control characters.
    """

    person: str
    """a name or a pseudonym"""
    basis: str
    """what the consent rests on, such as "signed release" or "rendered, nobody" """
    date: dt.date
    """the day it was given"""
    scope: str = ""
    """what it covers, in words; empty: not limited"""
    expires: dt.date | None = None
    given_by: str = ""
    """who gave it, where that is not the person shown: a guardian, an estate, a court, an archive"""
    document: str = ""
    """sha256 of the paper or file it stands in, which stays where it is"""
    likeness: str = ""
    """the face it was given for, as `likeness_of` writes it; empty: not bound to a face"""

    def __post_init__(self) -> None:
        _check_text("person", self.person)
        _check_text("basis", self.basis)
        _check_text("scope", self.scope, may_be_empty=True)
        _check_text("given_by", self.given_by, may_be_empty=True)
        _check_date("date", self.date)
        if self.document and not re.fullmatch("[0-9a-f]{64}", str(self.document)):
            raise ConsentError(f"consent of {self.person}: document must be a sha256, 64 hexadecimal digits.")
        if self.likeness:
            _likeness(self)
        if self.expires is not None:
            _check_date("expires", self.expires)
            if self.expires <= self.date:
                raise ConsentError(f"consent of {self.person}: it expires on {self.expires}, not after it was given.")

    @property
    def id(self) -> str:
        """16 hexadecimal digits of the sha256 of all fields, the same on every machine."""
        content = json.dumps(_to_table(self), sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(unicodedata.normalize("NFC", content).encode()).hexdigest()[:16]


def likeness_of(embedding: NDArray[np.float32]) -> str:
    """A descriptor (128,) as base64 of signed bytes: within 0.02 of what it was, and no picture can be made of it."""
    steps = np.clip(np.round(embedding / _LIKENESS_STEP), -127, 127).astype(np.int8)
    return base64.b64encode(steps.tobytes()).decode()


def _likeness(record: ConsentRecord) -> NDArray[np.float32]:
    try:
        steps = np.frombuffer(base64.b64decode(record.likeness, validate=True), np.int8)
    except (ValueError, TypeError):
        steps = np.zeros(0, np.int8)
    if len(steps) != IDENTITY:
        raise ConsentError(f"consent of {record.person}: its likeness is damaged. Make it again from a picture.")
    return steps.astype(np.float32) * _LIKENESS_STEP


def check_likeness(record: ConsentRecord, embedding: NDArray[np.float32], what: str) -> None:
    """Raise ConsentError where `record` was given for another face than the mean descriptor (128,) of `what`."""
    if not record.likeness:
        return
    away = float(np.linalg.norm(_likeness(record) - embedding))
    if not away < SAME_PERSON:
        raise ConsentError(
            f"{what}: not the person whose consent is on record as {record.person} (face distance {away:.2f}, the "
            f"same person is under {SAME_PERSON:.2f}). Give the record of the person shown."
        )


def parse(text: str) -> ConsentRecord:
    """Read the command line's form, `NAME: BASIS, YYYY-MM-DD`; the basis may hold commas. Raises ConsentError."""
    if len(text) > 3 * MAX_TEXT:
        raise ConsentError(f"consent: {len(text)} characters are too many. Write it as {FORM}, or give a .toml file.")
    person, colon, rest = text.partition(":")
    if not colon:
        raise ConsentError(f"consent {_quoted(text)}: no colon after the name. Write it as {FORM}, such as {EXAMPLE}.")
    basis, comma, day = rest.rpartition(",")
    if not comma:
        raise ConsentError(f"consent {_quoted(text)}: no date after a comma. Write it as {FORM}, such as {EXAMPLE}.")
    if not person.strip() or not basis.strip():
        lacking = "name before the colon" if not person.strip() else "basis between the colon and the date"
        raise ConsentError(f"consent {_quoted(text)}: no {lacking}. Write it as {FORM}, such as {EXAMPLE}.")
    return ConsentRecord(person.strip(), basis.strip(), day_of(day.strip(), text))


def load(path: Path) -> list[ConsentRecord]:
    """Read a TOML file: one record's keys at the top level, or [[consent]] tables. Raises ConsentError."""
    try:
        if not path.is_file():
            raise ConsentError(f"{path}: no such consent file. Give a .toml file, or the record itself as {FORM}.")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConsentError(f"{_quoted(str(path))}: the consent file cannot be read ({error}).") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConsentError(f"{path}: larger than {MAX_FILE_BYTES // 1_000_000} MB, so not a file of consent records.")
    try:
        document = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # ValueError: neither UTF-8 nor TOML
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise ConsentError(f"{path}: not readable as TOML ({reason}).") from error
    tables = document["consent"] if set(document) == {"consent"} else [document] if document else []
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables) or not tables:
        raise ConsentError(f"{path}: holds no consent record. Write [[consent]] with person, basis and date under it.")
    return [_from_table(table, f"{path}, record {number}") for number, table in enumerate(tables, 1)]


def from_option(text_or_path: str) -> list[ConsentRecord]:
    """What the option --consent was given: a path that ends in .toml, the name of a person in the project's
    consent.toml, else one record in words. Raises ConsentError."""
    text = text_or_path.strip()
    if text.lower().endswith(".toml"):
        return load(Path(text))
    if ":" not in text and Path(PROJECT_FILE).is_file():
        return [_newest(load(Path(PROJECT_FILE)), text)]
    return [parse(text)]


def of_project() -> list[ConsentRecord]:
    """The records of the project's consent.toml; none where there is no such file. Raises ConsentError."""
    return load(Path(PROJECT_FILE)) if Path(PROJECT_FILE).is_file() else []


def _newest(records: Sequence[ConsentRecord], person: str) -> ConsentRecord:
    found = [record for record in records if record.person.casefold() == person.casefold()]
    if not found:
        names = ", ".join(dict.fromkeys(record.person for record in records))
        raise ConsentError(f"{PROJECT_FILE}: holds no record of {_quoted(person)}, only of {names}.")
    return max(found, key=lambda record: record.date)


def add(record: ConsentRecord, path: Path) -> None:
    """Append to a file of records, made where it is missing. Raises ConsentError where it is in there already."""
    records = load(path) if path.exists() else []
    if record in records:
        raise ConsentError(f"{path}: holds this very record of {record.person} already.")
    save([*records, record], path)


def save(records: Sequence[ConsentRecord], path: Path) -> None:
    """Write the records as [[consent]] tables, atomically; `load` reads them back equal. Raises OutputError."""
    with atomic_file(path) as temporary:
        temporary.write_text(tomli_w.dumps({"consent": [_to_table(record) for record in records]}), encoding="utf-8")


def check(record: ConsentRecord, today: dt.date) -> None:
    """Raise ConsentError where the record is dated after `today`, has expired by then or was revoked."""
    if record.date > today:
        raise ConsentError(
            f"consent of {record.person}: dated {record.date}, which is in the future (today is {today}). "
            "Give the day it was given on."
        )
    if record.expires is not None and record.expires <= today:
        raise ConsentError(f"consent of {record.person}: expired on {record.expires}. Obtain and record a new one.")
    ledger.check(record.id, record.person)


def require(record: ConsentRecord | None, what: str) -> ConsentRecord:
    """Return the record, or raise ConsentError saying for what it is missing and how to give it."""
    if record is None:
        raise ConsentError(
            f"{what}: no consent is on record for the person shown. Give it with --consent {FORM}, such as "
            f'--consent {EXAMPLE}, or --consent FILE.toml; for a rendered performer the basis is "{RENDERED_BASIS}".'
        )
    return record


def _check_text(field: str, value: object, may_be_empty: bool = False) -> None:
    if not isinstance(value, str):
        raise ConsentError(f"consent: {field} must be text, not {_quoted(repr(value))}.")
    if not value.strip() and not may_be_empty:
        raise ConsentError(f"consent: {field} is empty. Write it as {FORM}, such as {EXAMPLE}.")
    if len(value) > MAX_TEXT:
        raise ConsentError(f"consent: {field} has {len(value)} characters, at most {MAX_TEXT} are allowed.")
    for character in value:
        if (
            unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
            or unicodedata.bidirectional(character) in BIDI_CONTROLS
        ):
            raise ConsentError(f"consent: {field} holds the control character U+{ord(character):04X}. Remove it.")


def _check_date(field: str, value: object) -> None:
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise ConsentError(f"consent: {field} must be a day such as 2026-11-22, not {_quoted(str(value))}.")


def day_of(text: str, whole: str) -> dt.date:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass
    raise ConsentError(
        f"consent {_quoted(whole)}: {_quoted(text)} is not a date. Write it as {FORM}, such as {EXAMPLE}."
    )


def _from_table(table: dict[str, Any], place: str) -> ConsentRecord:
    known = tuple(field.name for field in fields(ConsentRecord))
    for key in table:
        if key not in known:
            raise ConsentError(f"{place}: unknown key {_quoted(key)}; known are {', '.join(known)}.")
    for key in known[:3]:
        if key not in table:
            raise ConsentError(f"{place}: {key} is missing; person, basis and date are needed.")
    values = dict(table)
    try:
        for key in ("date", "expires"):
            if isinstance(value := values.get(key), str):
                values[key] = day_of(value.strip(), f"{key} = {value}")
        return ConsentRecord(**values)
    except ConsentError as error:
        raise ConsentError(f"{place}: {error}") from error


def _to_table(record: ConsentRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if value not in ("", None)}


def _quoted(text: str) -> str:
    """A short, printable form of what the user gave, for error messages."""
    return ascii(text[:80]) if not text[:80].isprintable() else f'"{text[:80]}"'
