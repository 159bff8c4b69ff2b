"""Consent records: said in words or in TOML, the same record either way; anything else is refused in a sentence."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from facedouble.errors import ConsentError
from facedouble.provenance import consent
from facedouble.provenance.consent import ConsentRecord, check, from_option, load, parse, require, save

DAY = dt.date(2026, 11, 22)


def test_the_command_line_form() -> None:
    assert parse("anna: signed release, 2026-11-22") == ConsentRecord("anna", "signed release", DAY)
    assert parse("  bea :contract 7: all films, in Europe ,2026-11-22 ") == ConsentRecord(
        "bea", "contract 7: all films, in Europe", DAY
    )
    assert parse("render-a: rendered, nobody, 2026-11-22").basis == consent.RENDERED_BASIS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no colon"),
        ("anna, 2026-11-22", "no colon"),
        ("anna: signed release", "no date"),
        (": signed release, 2026-11-22", "no name"),
        ("anna:, 2026-11-22", "no basis"),
        ("anna: signed release, yesterday", "not a date"),
        ("anna: signed release, 2026-02-30", "not a date"),
        ("anna: signed release, 22.11.2026", "not a date"),
        ("anna: signed release, 20261122", "not a date"),
        ("anna: signed release, 2026-11-٢٢", "not a date"),
        ("an\x1bna: signed release, 2026-11-22", "control character U\\+001B"),
        ("an\u202ena: signed release, 2026-11-22", "control character U\\+202E"),
        ("an\ud800na: signed release, 2026-11-22", "control character U\\+D800"),
        ("a" * 1001 + ": signed release, 2026-11-22", "1001 characters"),
        ("a" * 1_000_000, "1000000 characters"),
    ],
)
def test_malformed_words_are_refused_with_the_expected_form(text: str, problem: str) -> None:
    with pytest.raises(ConsentError, match=problem) as caught:
        parse(text)
    message = str(caught.value)
    assert len(message) < 400 and message.isprintable()
    if "control" not in problem and "1001" not in problem:
        assert "NAME: BASIS, YYYY-MM-DD" in message


def test_names_of_any_script_are_welcome() -> None:
    assert parse("می\u200cنا زهرا: توافق, 2026-11-22").person == "می\u200cنا زهرا"


def test_the_id_depends_on_every_field_and_on_nothing_else() -> None:
    base = ConsentRecord("anna", "signed release", DAY)
    others = [
        ConsentRecord("bea", "signed release", DAY),
        ConsentRecord("anna", "contract", DAY),
        ConsentRecord("anna", "signed release", dt.date(2026, 11, 21)),
        ConsentRecord("anna", "signed release", DAY, scope="this film"),
        ConsentRecord("anna", "signed release", DAY, expires=dt.date(2027, 11, 22)),
    ]
    assert len({record.id for record in [base, *others]}) == 6
    # sha256sum of {"basis": "signed release", "date": "2026-11-22", "person": "anna"}
    assert base.id == parse("anna: signed release, 2026-11-22").id == "ae284ae04fbe6588"
    assert ConsentRecord("Ren\u00e9", "x", DAY).id == ConsentRecord("Rene\u0301", "x", DAY).id


def test_records_survive_a_file(tmp_path: Path) -> None:
    records = [
        ConsentRecord("anna", 'says "yes", in\\writing', DAY, "this film", dt.date(2028, 1, 1)),
        ConsentRecord("Zoë 東", "rendered, nobody", DAY),
    ]
    save(records, tmp_path / "consent.toml")
    assert load(tmp_path / "consent.toml") == records
    assert from_option(str(tmp_path / "consent.toml")) == records
    assert from_option("anna: signed release, 2026-11-22") == [ConsentRecord("anna", "signed release", DAY)]


def test_a_file_of_one_record_and_dates_as_text(tmp_path: Path) -> None:
    file = tmp_path / "consent.toml"
    file.write_text('person = "anna"\nbasis = "signed release"\ndate = "2026-11-22"\nexpires = 2028-01-01\n')
    assert load(file) == [ConsentRecord("anna", "signed release", DAY, expires=dt.date(2028, 1, 1))]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no consent record"),
        (b"consent = []", "no consent record"),
        (b"consent = 3", "no consent record"),
        (b"consent = [1, 2]", "no consent record"),
        (b"[consent]\nperson = 'a'", "no consent record"),
        (b"person = 'a'\nbasis = 'b'", "date is missing"),
        (b"person = 'a'\nbasis = 'b'\ndate = 2026-11-22\npay = 3", "unknown key"),
        (b"person = 3\nbasis = 'b'\ndate = 2026-11-22", "person must be text"),
        (b"person = 'a'\nbasis = []\ndate = 2026-11-22", "basis must be text"),
        (b"person = 'a'\nbasis = 'b'\ndate = 20261122", "date must be a day"),
        (b"person = 'a'\nbasis = 'b'\ndate = 2026-11-22T10:00:00Z", "date must be a day"),
        (b"person = 'a'\nbasis = 'b'\ndate = 'soon'", "not a date"),
        (b"person = 'a'\nbasis = 'b'\ndate = 2026-11-22\nexpires = false", "expires must be a day"),
        (b"person = 'a'\nbasis = 'b'\ndate = 2026-11-22\nexpires = 2026-11-22", "expires on"),
        (b'person = "a\\u0007"\nbasis = "b"\ndate = 2026-11-22', "control character"),
        (b"person = ' '\nbasis = 'b'\ndate = 2026-11-22", "person is empty"),
        (b"person", "not readable as TOML"),
        (b"\xff\xfe\x00", "not readable as TOML"),
        (b"a = " + b"[" * 20_000, "not readable as TOML"),
        (b"a = " + b"9" * 20_000, "not readable as TOML"),
        (b"#" * 1_000_001, "larger than 1 MB"),
    ],
)
def test_unfit_files_are_refused_by_name(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "consent.toml"
    file.write_bytes(content)
    with pytest.raises(ConsentError, match=problem) as caught:
        load(file)
    assert "consent.toml" in str(caught.value)


@pytest.mark.parametrize("name", ["missing.toml", ".toml", "a\0b.toml", "x" * 5000 + ".toml"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConsentError):
        from_option(str(tmp_path / name))


def test_future_and_expired_records_are_refused() -> None:
    record = ConsentRecord("anna", "signed release", DAY, expires=dt.date(2027, 1, 1))
    check(record, DAY)
    check(record, dt.date(2026, 12, 31))
    with pytest.raises(ConsentError, match="in the future"):
        check(record, dt.date(2026, 11, 21))
    with pytest.raises(ConsentError, match="expired on 2027-01-01"):
        check(record, dt.date(2027, 1, 1))
    check(ConsentRecord("anna", "signed release", DAY), dt.date(2099, 1, 1))


def test_require_says_how_to_give_a_record() -> None:
    record = parse("anna: signed release, 2026-11-22")
    assert require(record, "clip.mp4") is record
    with pytest.raises(ConsentError, match=r'^clip\.mp4: .*--consent "NAME: BASIS, YYYY-MM-DD"') as caught:
        require(None, "clip.mp4")
    assert caught.value.exit_code == 3
