"""Credentials: what was signed verifies, what was changed afterwards does not, and the key stays the user's own."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import stat
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import c2pa
import numpy as np
import pytest
from PIL import Image

from facedouble.errors import InputError, MachineError, OutputError
from facedouble.provenance import certificate, credential
from facedouble.provenance.credential import Claim, Ingredient, Person, sidecar_of, sign, verify


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "config" / "facedouble"
    monkeypatch.setenv("FACEDOUBLE_CONFIG", str(folder))
    return folder


def make_clip(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(24))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        random = np.random.default_rng(1)
        for _ in range(6):
            picture = av.VideoFrame.from_ndarray(random.integers(0, 255, (64, 64, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def make_picture(path: Path, shade: int = 90) -> Path:
    Image.new("RGB", (32, 32), (shade, 20, 30)).save(path)
    return path


def make_claim(target: Path | None = None) -> Claim:
    ingredients = [Ingredient(Path("/private/place/bea.mp4"), "b" * 64, "source")]
    if target is not None:
        ingredients.insert(0, Ingredient(target, "a" * 64, "target"))
    people = [Person("anna", "0123456789abcdef", "target"), Person("bea", "fedcba9876543210", "source")]
    return Claim("out.mp4", "0.1.0", ingredients, people, "c" * 64, [(0, 4), (5, 6)], {"opacity": 0.5, "preset": None})


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def own_certificate(config: Path, **changes: str) -> certificate.Identity:
    """A certificate that is not the machine's own, named in signing.toml."""
    made = certificate._make(dt.datetime.now(dt.UTC))
    config.mkdir(parents=True, exist_ok=True)
    (config / "key.pem").write_bytes(made.key)
    (config / "chain.pem").write_bytes(made.chain)
    settings = {"certificate": "chain.pem", "key": "key.pem", **changes}
    (config / certificate.OWN).write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    return made


def test_the_users_own_certificate_signs(config: Path, tmp_path: Path) -> None:
    made = own_certificate(config)
    assert certificate.signing_identity() == made
    clip = make_clip(tmp_path / "in.mp4")
    sign(clip, tmp_path / "out.mp4", make_claim())
    assert verify(tmp_path / "out.mp4").state == "valid"
    assert sorted(path.name for path in config.iterdir()) == ["chain.pem", "key.pem", certificate.OWN]  # no local one


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": "missing.pem"}, "No such file"),
        ({"key": "chain.pem"}, "signing.toml"),
        ({"algorithm": "rot13"}, "algorithm 'rot13' is none of"),
        ({"time_authority": "http://time.example"}, "must be an https address"),
        ({"password": "x"}, "unknown or not text: password"),
    ],
)
def test_what_cannot_sign_is_said_and_not_replaced_by_another(
    config: Path, changes: dict[str, str], reason: str
) -> None:
    own_certificate(config, **changes)
    with pytest.raises(MachineError, match=reason) as caught:
        certificate.signing_identity()
    assert "every output must be signed" in str(caught.value)


def test_a_key_of_another_certificate_is_refused(config: Path) -> None:
    own_certificate(config)
    (config / "key.pem").write_bytes(certificate._make(dt.datetime.now(dt.UTC)).key)
    with pytest.raises(MachineError, match="the key is not the certificate's"):
        certificate.signing_identity()


def test_a_time_authority_that_does_not_answer_leaves_no_output(config: Path, tmp_path: Path) -> None:
    own_certificate(config, time_authority="https://127.0.0.1:9/none")
    clip = make_clip(tmp_path / "in.mp4")
    with pytest.raises((InputError, OutputError), match=r"out\.mp4"):
        sign(clip, tmp_path / "out.mp4", make_claim())
    assert not (tmp_path / "out.mp4").exists()


def test_a_time_authority_alone_keeps_the_local_certificate(config: Path) -> None:
    config.mkdir(parents=True)
    (config / certificate.OWN).write_text('time_authority = "https://time.example"\n')
    identity = certificate.signing_identity()
    assert identity.time_authority == "https://time.example"
    assert identity.key == certificate.local_identity().key


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "out.webm.mkv", "out.png", "out.jpg"])
def test_what_was_signed_verifies_and_tells_everything(tmp_path: Path, name: str) -> None:
    make = make_picture if name.endswith(("png", "jpg")) else make_clip
    plain, out = make(tmp_path / f"plain-{name}"), tmp_path / name
    sign(plain, out, make_claim(make_clip(tmp_path / "anna.mp4")))
    verdict = verify(out)
    assert (verdict.state, verdict.made_here) == ("valid", True), verdict
    assert verdict.details["digital_source_types"] == [credential.SOURCE_TYPE]
    assert credential.SOURCE_TYPE.endswith("/compositeWithTrainedAlgorithmicMedia")
    assert verdict.details["parents"] == ["anna.mp4"]
    assert not verdict.details["signer_trusted"]
    swap = verdict.details["swap"]
    assert swap["people"] == [
        {"name": "anna", "consent_id": "0123456789abcdef", "role": "target"},
        {"name": "bea", "consent_id": "fedcba9876543210", "role": "source"},
    ]
    assert swap["ingredients"][1] == {"name": "bea.mp4", "sha256": "b" * 64, "role": "source"}
    assert swap["model_sha256"] == "c" * 64
    assert swap["changed_frames"] == [[0, 4], [5, 6]]
    assert swap["recipe"] == {"opacity": 0.5, "preset": None}
    marked = sidecar_of(out) if name.endswith("mkv") else out
    assert b"/private/place" not in marked.read_bytes()


def test_signing_keeps_the_pictures_and_is_quick(tmp_path: Path) -> None:
    plain, out = make_clip(tmp_path / "plain.mp4"), tmp_path / "out.mp4"
    started = time.perf_counter()
    sign(plain, out, make_claim(plain))
    assert time.perf_counter() - started < 1.0

    def pictures(path: Path) -> list[tuple[int | None, bytes]]:
        with av.open(str(path)) as container:
            return [(frame.pts, frame.to_ndarray().tobytes()) for frame in container.decode(video=0)]

    assert pictures(out) == pictures(plain)


def test_signing_in_place_leaves_one_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    sign(clip, clip, make_claim())
    assert verify(clip).state == "valid"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["clip.mp4"]


def test_mkv_keeps_its_bytes_and_gets_a_sidecar(tmp_path: Path) -> None:
    plain, out = make_clip(tmp_path / "plain.mkv"), tmp_path / "out.mkv"
    sign(plain, out, make_claim())
    assert out.read_bytes() == plain.read_bytes()
    assert (tmp_path / "out.c2pa").is_file()
    (tmp_path / "out.c2pa").unlink()
    assert verify(out).state == "none"


def test_changed_pictures_are_altered(tmp_path: Path) -> None:
    for name in ("out.mp4", "out.mkv"):
        out = tmp_path / name
        sign(make_clip(tmp_path / f"plain-{name}"), out, make_claim())
        start = out.read_bytes().find(b"mdat") if name == "out.mp4" else out.stat().st_size - 2000
        flip(out, start + 600)
        verdict = verify(out)
        assert verdict.state == "altered" and verdict.made_here, verdict
        assert any(code.endswith("Hash.mismatch") for code in verdict.details["problems"])


def test_a_changed_claim_is_altered(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    sign(make_clip(tmp_path / "plain.mp4"), out, make_claim())
    content = out.read_bytes()
    assert content.count(b"anna") == 1
    out.write_bytes(content.replace(b"anna", b"carl"))
    verdict = verify(out)
    assert verdict.state == "altered"
    assert "assertion.hashedURI.mismatch" in verdict.details["problems"]


def test_a_truncated_signed_clip_is_altered_and_a_damaged_sidecar_too(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    sign(make_clip(tmp_path / "plain.mp4"), out, make_claim())
    out.write_bytes(out.read_bytes()[:-300])
    assert verify(out).state == "altered"
    out = tmp_path / "out.mkv"
    sign(make_clip(tmp_path / "plain.mkv"), out, make_claim())
    for damage in (b"", b"nonsense", sidecar_of(out).read_bytes()[:-100]):
        sidecar_of(out).write_bytes(damage)
        assert verify(out).state == "altered", damage[:10]


def test_unsigned_files_carry_none(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    paths = [make_clip(tmp_path / f"clip.{kind}") for kind in ("mp4", "mov", "mkv")]
    for path in [*paths, make_picture(tmp_path / "a.png"), make_picture(tmp_path / "a.jpg"), tmp_path / "pictures"]:
        verdict = verify(path)
        assert (verdict.state, verdict.made_here) == ("none", False), path


def test_what_is_no_video_or_picture_is_an_input_error(tmp_path: Path) -> None:
    text, broken = tmp_path / "clip.mp4", tmp_path / "broken.mp4"
    text.write_text("not a clip")
    broken.write_bytes(make_clip(tmp_path / "whole.mp4").read_bytes()[:-300])
    (tmp_path / "empty.mp4").touch()
    for path in (text, broken, tmp_path / "empty.mp4", tmp_path / "missing.mp4"):
        with pytest.raises(InputError, match=path.name):
            verify(path)
    with pytest.raises(InputError, match=r"clip\.mp4"):
        sign(text, tmp_path / "out.mp4", make_claim())
    with pytest.raises(InputError, match=r"out\.mp4"):
        sign(broken, tmp_path / "out.mp4", make_claim())
    assert not (tmp_path / "out.mp4").exists()


def test_a_folder_of_pictures_is_bound_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "take.1"
    folder.mkdir()
    for number in range(3):
        make_picture(folder / f"{number:05d}.png", number)
    sign(folder, folder, make_claim(folder))
    assert verify(folder).state == "valid" and verify(folder).made_here
    assert verify(folder.rename(tmp_path / "moved")).state == "valid"
    folder = tmp_path / "moved"
    make_picture(folder / "00001.png", 200)
    assert verify(folder).state == "altered"
    make_picture(folder / "00001.png", 1)
    assert verify(folder).state == "valid"
    (folder / "00002.png").unlink()
    assert verify(folder).state == "altered"


def test_a_target_with_a_credential_brings_it_along(tmp_path: Path) -> None:
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    sign(make_clip(tmp_path / "plain.mp4"), first, make_claim())
    sign(make_clip(tmp_path / "plain2.mp4"), second, make_claim(first))
    assert second.read_bytes().count(b"org.facedouble.swap") > first.read_bytes().count(b"org.facedouble.swap")
    flip(first, first.read_bytes().find(b"mdat") + 600)
    sign(make_clip(tmp_path / "plain3.mp4"), second, make_claim(first))
    assert verify(second).state == "valid"  # what was wrong with the target does not make the output altered


@pytest.mark.parametrize("kept", [True, False], ids=["as it was", "changed since"])
def test_footage_learned_from_brings_its_credential_along(tmp_path: Path, kept: bool) -> None:
    shot, out = tmp_path / "bea.mp4", tmp_path / "out.mp4"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credential, "GENERATOR", "a camera")
        sign(make_clip(tmp_path / "plain.mp4"), shot, make_claim())
    sha256 = hashlib.sha256(shot.read_bytes()).hexdigest() if kept else "0" * 64
    claim = replace(make_claim(make_clip(tmp_path / "anna.mp4")), ingredients=[
        Ingredient(tmp_path / "anna.mp4", "a" * 64, "target"), Ingredient(shot, sha256, "source"),
        Ingredient(tmp_path / "gone.mp4", "b" * 64, "source"),
    ])  # fmt: skip
    sign(make_clip(tmp_path / "plain2.mp4"), out, claim)
    verdict = verify(out)
    assert (verdict.state, verdict.details["parents"]) == ("valid", ["anna.mp4"])
    assert verdict.details["inputs"] == (["bea.mp4"] if kept else [])
    assert (b"a camera" in out.read_bytes()) == kept
    with out.open("rb") as file, c2pa.Reader("video/mp4", file) as reader:
        assert json.loads(reader.json())["validation_state"] == "Valid"


@pytest.mark.parametrize("content", [None, b"not a clip", b"\0\0\0\x20ftypisom"])
def test_a_target_that_is_gone_or_broken_is_still_named(tmp_path: Path, content: bytes | None) -> None:
    target = tmp_path / "gone.mp4"
    if content is not None:
        target.write_bytes(content)
    sign(make_clip(tmp_path / "plain.mp4"), tmp_path / "out.mp4", make_claim(target))
    verdict = verify(tmp_path / "out.mp4")
    assert (verdict.state, verdict.details["parents"]) == ("valid", ["gone.mp4"])


def test_another_programs_credential_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(credential, "GENERATOR", "otherprogram")
        sign(make_clip(tmp_path / "plain.mp4"), tmp_path / "out.mp4", make_claim())
    verdict = verify(tmp_path / "out.mp4")
    assert (verdict.state, verdict.made_here, verdict.details["swap"]) == ("valid", False, None)


def test_an_expired_certificate_does_not_make_a_file_altered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, out = make_clip(tmp_path / "plain.mp4"), tmp_path / "out.mp4"
    ending = dt.datetime.now(dt.UTC) - certificate.LIFETIME + dt.timedelta(seconds=2)
    with monkeypatch.context() as patch:
        patch.setattr(credential, "signing_identity", lambda: certificate._make(ending))
        sign(clip, out, make_claim())
    time.sleep(max(0.0, (ending + certificate.LIFETIME - dt.datetime.now(dt.UTC)).total_seconds()) + 1.1)
    assert verify(out).state == "valid"
    flip(out, out.read_bytes().find(b"mdat") + 600)
    assert verify(out).state == "altered"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes")
def test_only_the_user_can_read_the_key(config: Path) -> None:
    first = certificate.local_identity()
    file = config / certificate.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.stat().st_mode) == 0o700
    assert [path.name for path in config.iterdir()] == [certificate.FILE]
    file.chmod(0o644)
    assert certificate.local_identity().key == first.key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"PRIVATE" not in repr(first).encode()


def test_the_identity_is_kept_until_it_runs_out_or_breaks(config: Path) -> None:
    first = certificate.local_identity()
    assert certificate.local_identity() == first
    old = certificate._make(dt.datetime.now(dt.UTC) - certificate.LIFETIME)
    (config / certificate.FILE).write_bytes(old.key + old.chain)
    second = certificate.local_identity()
    assert second.key not in (first.key, old.key)
    for damage in (b"", b"nonsense", first.key + second.chain, second.key):
        (config / certificate.FILE).write_bytes(damage)
        assert certificate.local_identity().key not in (first.key, second.key)


def test_no_place_for_the_key_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FACEDOUBLE_CONFIG", str(tmp_path / "file" / "inside"))
    with pytest.raises(MachineError, match="FACEDOUBLE_CONFIG"):
        certificate.local_identity()
