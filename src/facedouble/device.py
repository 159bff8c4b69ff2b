"""The machine: which device and precision to compute on, chosen once, and what `facedouble doctor` says of it.

torch and PyAV are imported where they are asked, so that importing this file is cheap.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import project, weights
from .errors import InputError, MachineError
from .presets import GPU_GB

if TYPE_CHECKING:
    import torch

GB = 1e9
NEEDED_DISK_BYTES = 5 * GB
NEEDED_MEMORY_BYTES = 4 * GB

# file name of each shared library -> who loads it; none of them comes with a Python wheel
LIBRARIES = {
    "libEGL.so.1": "mediapipe",
    "libGLESv2.so.2": "mediapipe",
    "libGL.so.1": "OpenCV",
    "libgthread-2.0.so.0": "OpenCV",
    "libglib-2.0.so.0": "OpenCV",
}
INSTALL = {
    "debian": "apt-get install libgl1 libegl1 libgles2 libglib2.0-0",
    "fedora": "dnf install mesa-libGL mesa-libEGL mesa-libGLES glib2",
}
ENCODERS = {"libx264": "h264", "libx265": "h265", "ffv1": "lossless ffv1"}
HARDWARE_ENCODERS = ("h264_nvenc", "hevc_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox")


@dataclass(frozen=True)
class Device:
    """Where the networks are computed. `memory_bytes` is the GPU's own memory, or the RAM this process may use."""

    name: Literal["cpu", "cuda", "mps"]
    precision: Literal["fp32", "bf16"]
    threads: int
    memory_bytes: int
    description: str


@dataclass(frozen=True)
class Check:
    """One line of the doctor: ok True or False, None where it is merely worth knowing; a remedy where there is one."""

    name: str
    ok: bool | None
    text: str
    remedy: str = ""


def choose(device: str = "auto") -> Device:
    """The device named "cpu", "cuda" or "mps", or with "auto" the fastest one here, with the precision it does best.

    bf16 is chosen where the hardware computes it natively: elsewhere it is emulated and slower than fp32. Raises
    InputError for another name, MachineError where the named device is not here.
    """
    if device not in ("auto", "cpu", "cuda", "mps"):
        raise InputError(f"device {device!r}: expected auto, cpu, cuda or mps.")
    import torch

    cuda, trouble = _cuda(torch)
    mps = torch.backends.mps.is_available()
    if (device == "cuda" and not cuda) or (device == "mps" and not mps):
        raise MachineError(
            f"device {device}: torch {torch.__version__} finds none here{trouble}. "
            "Choose --device cpu, or install a torch build and driver for it."
        )
    if cuda and device in ("auto", "cuda"):
        properties = torch.cuda.get_device_properties(0)
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        text = f"{properties.name}, {properties.total_memory / GB:.1f} GB"
        return Device("cuda", "bf16" if native else "fp32", cores(), properties.total_memory, text)
    if mps and device in ("auto", "mps"):
        return Device("mps", "fp32", cores(), memory_bytes(), "Apple GPU")
    return Device("cpu", "bf16" if cpu_has_bf16() else "fp32", cores(), memory_bytes(), f"{cores()} CPU cores")


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on `device`. A GPU is not waited for, as it would be by a plain copy."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def cores() -> int:
    """CPU cores this process may use: its affinity, further limited by a container's quota (cgroup v2 or v1)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _cgroups():
        quota, period = (_read(folder / "cpu.max").split() or ["max", ""])[:2]
        if quota == "max":
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            count = min(count, max(1, math.ceil(int(quota) / int(period))))
    return count


def memory_bytes() -> int:
    """RAM this process may use: the machine's, further limited by a container."""
    import psutil

    total = int(psutil.virtual_memory().total)
    for folder in _cgroups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            if (limit := _read(folder / name)).isdigit():
                total = min(total, int(limit))
    return total


def peak_bytes() -> int:
    """The most RAM this process has had in use at any moment so far."""
    import psutil

    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def cpu_has_bf16() -> bool:
    """True where /proc/cpuinfo names native bf16 arithmetic; False on other systems, where it is not known."""
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("flags"):
            return bool({"avx512_bf16", "amx_bf16"} & set(line.split()))
    return False


def missing_libraries() -> list[str]:
    """System libraries that mediapipe and OpenCV load and that are not here; empty on other systems than Linux."""
    return [name for name in LIBRARIES if not _loads(name)] if sys.platform == "linux" else []


def require_libraries() -> None:
    """Raise MachineError with the remedy where mediapipe or OpenCV would fail to load; call before importing them."""
    if sys.platform == "linux" and not _has_glibc():
        raise MachineError(f"this system has no glibc, which mediapipe and torch need. {_glibc_remedy()}")
    if missing := missing_libraries():
        raise MachineError(f"missing system libraries: {', '.join(missing)}. {_install_remedy()}")


def report() -> list[Check]:
    """Everything the program needs of the machine, one check each, the fitting training preset last."""
    return [
        _python(),
        Check("cores", None, f"{cores()} usable of {os.cpu_count()}"),
        _memory(),
        _disk(Path.cwd()),
        *_compute(),
        *_codecs(),
        *_libraries(),
        *_weights(),
        _preset(),
    ]


def _python() -> Check:
    version = platform.python_version()
    return Check("Python", sys.version_info >= (3, 11), version, "" if sys.version_info >= (3, 11) else "Install 3.11.")


def _memory() -> Check:
    memory = memory_bytes()
    remedy = "Close other programs, and keep clips short and crops at 256 px." if memory < NEEDED_MEMORY_BYTES else ""
    return Check("memory", memory >= NEEDED_MEMORY_BYTES, f"{memory / GB:.1f} GB", remedy)


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    remedy = "Free some space, or work in another folder." if free < NEEDED_DISK_BYTES else ""
    return Check("disk", free >= NEEDED_DISK_BYTES, f"{free / GB:.1f} GB free in {folder}", remedy)


def _compute() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Check("torch", False, f"cannot be imported ({error})", "Install again: pip install facedouble")
        return
    device = choose()
    native = "bf16 natively" if device.precision == "bf16" else "fp32 (no native bf16)"
    yield Check("torch", True, f"{torch.__version__}, computes in {native} on {device.name}")
    trouble = _cuda(torch)[1]
    if device.name == "cpu":
        yield Check("GPU", None, f"none that torch can use{trouble}", "Everything runs on the CPU; training is slower.")
    else:
        yield Check("GPU", True, device.description)


def _codecs() -> Iterator[Check]:
    try:
        import av
    except (ImportError, OSError) as error:
        yield Check("codecs", False, f"PyAV cannot be imported ({error})", "Install it again: pip install av")
        return
    missing = [text for name, text in ENCODERS.items() if not _encoder_works(av, name)]
    versions = f"PyAV {av.__version__} with FFmpeg {av.ffmpeg_version_info}"
    if missing:
        remedy = "Install PyAV's own wheel: pip install --force-reinstall --only-binary :all: av"
        yield Check("codecs", False, f"{versions} cannot encode {', '.join(missing)}", remedy)
    else:
        yield Check("codecs", True, f"{versions} encodes {', '.join(ENCODERS.values())}")
    working = [name for name in HARDWARE_ENCODERS if _encoder_works(av, name)]
    yield Check("hardware encoders", None, ", ".join(working) or "none works here; clips are encoded on the CPU")


def _libraries() -> Iterator[Check]:
    if sys.platform != "linux":
        return
    if not _has_glibc():
        yield Check("C library", False, "not glibc (Alpine or another musl system)", _glibc_remedy())
    missing = missing_libraries()
    users = sorted({LIBRARIES[name] for name in missing})
    text = f"{', '.join(missing)} missing, needed by {' and '.join(users)}" if missing else "all present"
    yield Check("system libraries", not missing, text, _install_remedy() if missing else "")


def _weights() -> Iterator[Check]:
    missing = [entry.file for entry in weights.table() if not weights.present(entry.name)]
    if missing:
        text = f"{', '.join(missing)} not in {project.weights_folder()} yet; fetched on first use"
        yield Check(
            "weights", None, text, "Without network: run `facedouble weights fetch` elsewhere, copy the folder."
        )
    else:
        yield Check("weights", True, f"all in {project.weights_folder()}")


def _preset() -> Check:
    try:
        device = choose()
    except (ImportError, OSError):
        return Check("preset", False, "none, as torch is missing")
    fitting = [name for name, needed in GPU_GB.items() if device.name == "cuda" and device.memory_bytes >= needed * GB]
    ask = "`facedouble plan FACES_A FACES_B --preset NAME` says how long it takes here"
    if not fitting:
        return Check("preset", None, f"compact, or standard where there is more time; {ask}")
    return Check("preset", None, f"{fitting[-1]}, as this GPU has {device.memory_bytes / GB:.1f} GB; {ask}")


def _cuda(torch: Any) -> tuple[bool, str]:
    """Whether CUDA works, and what torch says against it; an unfit driver makes torch warn rather than raise."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = bool(torch.cuda.is_available())
    return available, "".join(f" ({str(warning.message).splitlines()[0]})" for warning in caught[:1])


def _encoder_works(av: Any, name: str) -> bool:
    """Open it on a small picture: a build may list hardware encoders for which the machine has no hardware."""
    try:
        encoder = av.CodecContext.create(name, "w")
        encoder.width = encoder.height = 256
        encoder.pix_fmt = "nv12" if name in HARDWARE_ENCODERS else "yuv420p"
        encoder.framerate = 24
        if name == "libx265":
            encoder.options = {"x265-params": "log-level=none"}
        encoder.open()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _has_glibc() -> bool:
    try:
        return bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):
        return False


def _glibc_remedy() -> str:
    return "Use a glibc system such as Debian, Ubuntu or Fedora (for a container: python:3.11-slim, not -alpine)."


def _install_remedy() -> str:
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    kin = {system.get("ID", ""), *system.get("ID_LIKE", "").split()}
    if kin & {"debian", "ubuntu"}:
        return f"Run: {INSTALL['debian']}"
    if kin & {"fedora", "rhel", "centos"}:
        return f"Run: {INSTALL['fedora']}"
    return f"On Debian or Ubuntu run: {INSTALL['debian']}; on Fedora: {INSTALL['fedora']}"


def _cgroups() -> Iterator[Path]:
    """This process's control groups, each with its parents, as any of them may set a limit."""
    root = Path("/sys/fs/cgroup")
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, inner = [*line.split(":", 2), "", ""][:3]
        top = root
        for controller in controllers.split(","):
            if controller in ("cpu", "memory"):  # v1: one tree per controller
                top = root / controller
                break
        folder = top / inner.lstrip("/")
        yield from (path for path in (folder, *folder.parents) if path == top or top in path.parents)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
