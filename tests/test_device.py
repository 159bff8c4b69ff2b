"""The machine: one choice of device and precision, limits respected, remedies named."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

from facedouble import device
from facedouble.cli import THREADS
from facedouble.device import choose, missing_libraries, report, require_libraries
from facedouble.errors import InputError, MachineError


def answer_files(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    monkeypatch.setattr(device, "_read", lambda path: files.get(str(path), ""))


def fake_torch(cuda: bool = False, mps: bool = False, bf16: bool = True, warning: str = "") -> Any:
    def available() -> bool:
        if warning:
            warnings.warn(warning, stacklevel=1)
        return cuda

    gpu = types.SimpleNamespace(name="Test GPU", total_memory=int(8e9))
    return types.SimpleNamespace(
        __version__="9.9",
        cuda=types.SimpleNamespace(
            is_available=available,
            get_device_properties=lambda _: gpu,
            is_bf16_supported=lambda including_emulation: bf16 or including_emulation,
        ),
        backends=types.SimpleNamespace(mps=types.SimpleNamespace(is_available=lambda: mps)),
    )


def test_importing_is_cheap() -> None:
    code = "import sys, facedouble.device; print(sorted({'torch', 'av', 'psutil', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_libraries_take_no_threads_of_their_own() -> None:
    """The settings stand in the environment before NumPy and OpenCV are loaded, which read them but then."""
    code = (
        "import os\n"
        "from facedouble import cli\n"
        "try:\n    cli.main(['verify', 'nothing.mp4'])\nexcept SystemExit:\n    pass\n"
        "import cv2\n"
        "print(cv2.getNumThreads(), os.environ['OPENBLAS_NUM_THREADS'])"
    )
    bare = {name: value for name, value in os.environ.items() if name not in THREADS}
    for chosen, wanted in (({}, "1 1"), ({"OPENCV_FOR_THREADS_NUM": "2"}, "2 1")):
        line, env = [sys.executable, "-c", code], {**bare, **chosen}
        done = subprocess.run(line, check=True, capture_output=True, text=True, env=env)
        assert done.stdout.split("\n")[-2] == wanted, "who sets it means it"


def test_the_cpu_can_always_be_chosen() -> None:
    chosen = choose("cpu")
    assert chosen.name == "cpu" and chosen.threads >= 1 and chosen.memory_bytes > 1e8


@pytest.mark.parametrize("name", ["gpu", "", "cuda:7"])
def test_an_unknown_name_is_an_input_error(name: str) -> None:
    with pytest.raises(InputError, match="expected auto, cpu, cuda or mps"):
        choose(name)


def test_a_gpu_is_preferred_and_its_own_memory_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(cuda=True))
    chosen = choose()
    assert (chosen.name, chosen.precision, chosen.memory_bytes) == ("cuda", "bf16", int(8e9))
    assert "Test GPU, 8.0 GB" in chosen.description
    assert choose("cpu").name == "cpu"
    monkeypatch.setitem(sys.modules, "torch", fake_torch(cuda=True, bf16=False))
    assert choose().precision == "fp32"
    monkeypatch.setitem(sys.modules, "torch", fake_torch(mps=True))
    assert (choose().name, choose().precision) == ("mps", "fp32")


def test_a_missing_gpu_is_said_with_torchs_own_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch(warning="the NVIDIA driver is too old"))
    assert choose().name == "cpu"
    with pytest.raises(MachineError, match=r"too old.*--device cpu"):
        choose("cuda")
    with pytest.raises(MachineError, match="device mps"):
        choose("mps")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512_bf16 sse", "bf16"), ("fpu amx_bf16", "bf16"), ("fpu avx512f avx512_bf16x", "fp32"), ("", "fp32")],
)
def test_bf16_only_where_the_processor_names_it(monkeypatch: pytest.MonkeyPatch, flags: str, expected: str) -> None:
    answer_files(monkeypatch, {"/proc/cpuinfo": f"processor\t: 0\nflags\t\t: {flags}\n"})
    assert choose("cpu").precision == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 16),
        ({"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/cpu.max": "max 100000"}, 16),
        ({"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/cpu.max": "250000 100000"}, 3),
        ({"/proc/self/cgroup": "0::/a/b", "/sys/fs/cgroup/a/cpu.max": "200000 100000"}, 2),
        ({"/proc/self/cgroup": "0::/a", "/sys/fs/cgroup/a/cpu.max": "10000 100000"}, 1),
        (
            {
                "/proc/self/cgroup": "4:memory:/\n3:cpu:/box\n0::/",
                "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "400000",
                "/sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        (
            {
                "/proc/self/cgroup": "3:cpu,cpuacct:/",
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            16,
        ),
    ],
)
def test_a_containers_quota_limits_the_cores(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    answer_files(monkeypatch, files)
    assert device.cores() == expected


def test_a_containers_limit_is_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_files(monkeypatch, {"/proc/self/cgroup": "0::/a", "/sys/fs/cgroup/a/memory.max": "123456789"})
    assert device.memory_bytes() == 123456789


@pytest.mark.skipif(sys.platform != "linux", reason="system libraries are looked for on Linux alone")
def test_missing_libraries_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, *_: Any, **__: Any) -> object:
        if name in ("libGL.so.1", "libEGL.so.1"):
            raise OSError(f"{name}: cannot open shared object file")
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": "linuxmint", "ID_LIKE": "ubuntu debian"})
    assert missing_libraries() == ["libEGL.so.1", "libGL.so.1"]
    with pytest.raises(MachineError, match=r"libEGL\.so\.1, libGL\.so\.1.*apt-get install libgl1 libegl1"):
        require_libraries()
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": "fedora"})
    with pytest.raises(MachineError, match="dnf install mesa-libGL"):
        require_libraries()
    check = next(check for check in report() if check.name == "system libraries")
    assert check.ok is False and "mediapipe and OpenCV" not in check.text.split("needed")[0] and check.remedy
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    require_libraries()


@pytest.mark.skipif(sys.platform != "linux", reason="the C library matters on Linux alone")
def test_musl_is_told_to_use_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr("os.confstr", unknown)
    with pytest.raises(MachineError, match="glibc"):
        require_libraries()
    assert any(check.name == "C library" and check.ok is False for check in report())


def test_the_report_covers_the_machine_and_ends_with_the_preset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACEDOUBLE_CACHE", str(tmp_path))
    checks = {check.name: check for check in report()}
    expected = {"Python", "cores", "memory", "disk", "torch", "GPU", "codecs", "hardware encoders", "weights", "preset"}
    assert expected <= set(checks)
    assert list(checks)[-1] == "preset" and "compact" in checks["preset"].text
    assert checks["codecs"].ok and "h264" in checks["codecs"].text and "ffv1" in checks["codecs"].text
    assert "face_landmarker.task" in checks["weights"].text and "weights fetch" in checks["weights"].remedy
    for check in checks.values():
        assert check.text and (check.ok is not False or check.remedy)


def test_a_missing_torch_is_a_failed_check_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    checks = {check.name: check for check in report()}
    assert checks["torch"].ok is False and checks["torch"].remedy
    assert checks["preset"].ok is False
