"""Pictures of how training goes: scores with their floors and what is to be expected, the swap's health, the loss; and
of the search for a learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..project import atomic_file
from .forecast import Forecast

_COLOURS = {"a": "#1f6fb4", "b": "#c2571a"}
_GREY = "#777777"


def write(path: Path, history: Sequence[Mapping[str, float]], forecast: Forecast | None) -> None:
    """A PNG of a score history, see checkpoint.State. Raises OutputError where it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 10), layout="constrained")
    FigureCanvasAgg(figure)
    scores, health, losses = figure.subplots(3, 1, sharex=True, height_ratios=[2, 1, 1])
    minutes = np.array([entry["seconds"] / 60 for entry in history])
    _scores(scores, minutes, history, forecast)
    _health(health, [entry for entry in history if "health" in entry])
    losses.plot(minutes, [entry["loss"] for entry in history], color=_GREY)
    losses.set(xlabel="minutes of training", ylabel="loss", yscale="log")
    for axes in (scores, health, losses):
        axes.grid(alpha=0.3)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def write_rates(path: Path, curve: NDArray[np.float64], smooth: NDArray[np.float64], chosen: float | None) -> None:
    """A PNG of a range test, see learn.rate: `curve` (n, 2) rates and losses, and the losses (n,) smoothed. Raises
    OutputError where it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(curve[:, 0], curve[:, 1], ".", color=_GREY, label="a batch")
    axes.plot(curve[:, 0], smooth, color=_COLOURS["a"], label="smoothed")
    if chosen is not None:
        axes.axvline(chosen, color=_COLOURS["b"], linestyle="--", label=f"chosen, {chosen:.2g}")
    axes.set(xlabel="learning rate", ylabel="loss", xscale="log", title="At what rate it learns, and comes apart")
    axes.legend(loc="lower left", fontsize="small")
    axes.grid(alpha=0.3)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _scores(
    axes: Any, minutes: np.ndarray[Any, Any], history: Sequence[Mapping[str, float]], forecast: Forecast | None
) -> None:
    for side, colour in _COLOURS.items():
        axes.plot(minutes, [entry[side] for entry in history], color=colour, label=f"{side.upper()}, held-out faces")
        known = [(entry["seconds"] / 60, entry[f"seen_{side}"]) for entry in history if f"seen_{side}" in entry]
        if known:
            name = f"{side.upper()}, faces it learned from"
            axes.plot(*zip(*known, strict=True), color=colour, linestyle="--", alpha=0.6, label=name)
        floor = history[-1][f"floor_{side}"]
        axes.axhline(floor, color=colour, linestyle=":", label=f"{side.upper()}, a constant mean face")
    if forecast is not None:
        more_s = np.linspace(0, forecast.seconds, 30)
        low, middle, high = np.array([forecast.score(float(seconds)) for seconds in more_s]).T
        ahead = minutes[-1] + more_s / 60
        axes.plot(ahead, middle, color="black", linestyle="--", label="forecast of their mean")
        axes.fill_between(ahead, low, high, color="black", alpha=0.15, label="80% of what may come")
    axes.set(ylabel="dB inside the face", title="How well faces it never saw are rebuilt")
    axes.legend(loc="lower right", fontsize="small")


def _health(axes: Any, entries: Sequence[Mapping[str, float]]) -> None:
    minutes = np.array([entry["seconds"] / 60 for entry in entries])
    for name, label, colour in (
        ("health", "health of the swap", "black"),
        ("swap_likeness", "likeness: 0 A, 1 B", _COLOURS["b"]),
        ("swap_expression", "expression kept (r)", _COLOURS["a"]),
    ):
        axes.plot(minutes, [entry.get(name, np.nan) for entry in entries], color=colour, label=label)
    axes.set(ylim=(-0.05, 1.05), ylabel="held-out A as B")
    axes.legend(loc="lower right", fontsize="small")
