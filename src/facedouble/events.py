"""How a stage speaks upwards: it yields these, and knows nothing of who listens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of work; total is None where it is not known, eta_s where the stage knows better than
    the rate."""

    stage: str
    done: float
    total: float | None
    unit: str = "frames"
    eta_s: float | None = None


@dataclass(frozen=True)
class Metric:
    step: int
    name: str
    value: float


@dataclass(frozen=True)
class Preview:
    step: int
    pixels: NDArray[Any]
    """(H, W, 3) uint8 RGB"""


@dataclass(frozen=True)
class Note:
    """A sentence the user should read: a choice that was made for them, a warning, a remedy."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Finished:
    path: Path
    text: str = ""


Event = Progress | Metric | Preview | Note | Finished
