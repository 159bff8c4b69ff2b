"""The ledger of outputs and revoked consents, and the commands that write it."""

from __future__ import annotations

import datetime as dt
import hashlib
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from facedouble.curate.faceset import FaceSet
from facedouble.errors import ConsentError, MachineError
from facedouble.provenance import consent, ledger
from facedouble.provenance.consent import ConsentRecord, check, check_likeness, likeness_of
from facedouble.provenance.ledger import Output, Revocation
from support import command

DAY = dt.date(2026, 11, 22)
ANNA = ConsentRecord("anna", "signed release", DAY)


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config"
    monkeypatch.setenv("FACEDOUBLE_CONFIG", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def output(path: str = "/films/out.mp4", consents: tuple[str, ...] = (ANNA.id, "b" * 16)) -> Output:
    return Output(path, "2026-11-24T10:00:00+00:00", list(consents), ["anna", "ben"], "c" * 64, "0a1b2c3d4e")


def test_outputs_are_found_by_consent_and_by_mark(config: Path) -> None:
    assert ledger.outputs() == []
    other = output("/films/other.mp4", ("d" * 16,))
    for made in (output(), other):
        ledger.record(made)
    assert ledger.outputs() == [output(), other]
    assert ledger.outputs(consent_id=ANNA.id) == [output()]
    assert ledger.outputs(mark="0a1b2c3d4e") == [output(), other]
    assert ledger.outputs(mark="ffffffffff") == []
    if sys.platform != "win32":
        assert stat.S_IMODE((config / ledger.OUTPUTS).stat().st_mode) == 0o600


def test_a_line_cut_short_hides_no_other(config: Path) -> None:
    ledger.record(output())
    with (config / ledger.OUTPUTS).open("a") as file:
        file.write('{"path": "/films/hal\n')
    ledger.record(output())
    assert len(ledger.outputs()) == 2


def test_a_revoked_consent_holds_no_longer() -> None:
    check(ANNA, DAY)
    ledger.revoke(Revocation(ANNA.id, "anna", dt.date(2026, 11, 24), "changed her mind"))
    ledger.revoke(Revocation(ANNA.id, "anna", dt.date(2026, 11, 25)))
    assert len(ledger.revocations()) == 1
    with pytest.raises(ConsentError, match=r"revoked on 2026-11-24 \(changed her mind\)"):
        check(ANNA, DAY)
    check(ConsentRecord("anna", "signed release", dt.date(2026, 11, 23)), dt.date(2026, 11, 24))  # a new agreement


@pytest.mark.parametrize("content", ["not TOML [", "", "[[revoked]]\nperson = 1\nstrange = 2\n"])
def test_an_unreadable_list_of_the_revoked_stops_everything(config: Path, content: str) -> None:
    config.mkdir()
    (config / ledger.REVOKED).write_text(content)
    with pytest.raises(MachineError, match=r"revoked\.toml.*cannot be read"):
        check(ANNA, DAY)


def test_a_record_written_by_command_is_found_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paper = tmp_path / "release.pdf"
    paper.write_bytes(b"signed by anna")
    assert command(
        "consent", "new", "--person", "Anna", "--basis", "signed release", "--date", "2026-11-20",
        "--given-by", "her agent", "--scope", "film 7", "--expires", "2099-01-01", "--document", str(paper),
    ) == 0  # fmt: skip
    assert command("consent", "new", "--person", "ben", "--basis", "own face", "--date", "2026-11-20") == 0
    records = consent.load(tmp_path / "consent.toml")
    assert [record.person for record in records] == ["Anna", "ben"]
    assert (records[0].given_by, records[0].scope, records[0].expires) == ("her agent", "film 7", dt.date(2099, 1, 1))
    assert records[0].document == hashlib.sha256(b"signed by anna").hexdigest()
    assert consent.from_option("anna") == records[:1] and consent.of_project() == records
    with pytest.raises(ConsentError, match=r'no record of "carla", only of Anna, ben'):
        consent.from_option("carla")
    assert command("consent", "new", "--person", "ben", "--basis", "own face", "--date", "2026-11-20") == 3
    assert command("consent", "list") == 0
    said = capsys.readouterr().out
    assert f"{records[0].id}  Anna: signed release, 2026-11-20; holds until 2099-01-01; 0 outputs" in said


def test_the_newest_record_of_a_person_counts(tmp_path: Path) -> None:
    records = [ConsentRecord("anna", "x", day) for day in (DAY, dt.date(2026, 11, 23), dt.date(2026, 11, 1))]
    consent.save(records, tmp_path / "consent.toml")
    assert consent.from_option("anna") == [records[1]]


def test_revoking_lists_what_was_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    consent.save([ANNA, ConsentRecord("ben", "own face", DAY)], tmp_path / "consent.toml")
    ledger.record(output())
    assert command("consent", "revoke", "anna", "--reason", "asked to stop") == 0
    said = capsys.readouterr().out
    assert f"revoked: consent {ANNA.id} of anna" in said and "1 outputs" in said
    assert "/films/out.mp4 (no longer there)" in said
    with pytest.raises(ConsentError, match="revoked"):
        check(ANNA, DAY)
    assert command("consent", "revoke", "nobody") == 3
    # By id alone, where the record itself is elsewhere.
    assert command("consent", "revoke", "b" * 16) == 0
    assert {revoked.id for revoked in ledger.revocations()} == {ANNA.id, "b" * 16}


@pytest.mark.parametrize("day", ["tomorrow", "2099-01-01"])
def test_a_record_that_cannot_hold_is_not_written(tmp_path: Path, day: str) -> None:
    assert command("consent", "new", "--person", "anna", "--basis", "own face", "--date", day) == 3
    assert not (tmp_path / "consent.toml").exists()


def test_without_a_terminal_what_is_missing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("consent", "new", "--person", "anna") == 3
    assert "what it rests on" in capsys.readouterr().err


def test_a_record_bound_to_a_face_refuses_another(faces_a: FaceSet) -> None:
    mean = np.nanmean(faces_a.faces.embedding, 0)
    bound = ConsentRecord("anna", "signed release", DAY, likeness=likeness_of(mean))
    check_likeness(bound, mean, "clip.mp4")
    check_likeness(ANNA, mean + 0.06, "clip.mp4")  # bound to no face
    with pytest.raises(ConsentError, match=r"clip\.mp4: not the person .* anna"):
        check_likeness(bound, mean + 0.06, "clip.mp4")  # 0.68 away; the rendered two are as alike as sisters
    assert bound.id != ANNA.id


@pytest.mark.parametrize("likeness", ["AAAA", "not base64!", "A" * 4000])
def test_a_damaged_likeness_is_refused(likeness: str) -> None:
    with pytest.raises(ConsentError, match="likeness is damaged"):
        ConsentRecord("anna", "signed release", DAY, likeness=likeness)
