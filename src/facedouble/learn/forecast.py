"""Where the held-out score is going: an exponential decay of the error, with its uncertainty, and advice in words.

The error e (the root mean square inside the face, 0..1) is taken to fall as e(t) = c + a exp(-t/T) over the steps t
(minutes would show what else the machine does). For each of many T the best c and a are those of a linear regression,
so no search can go astray (variable projection: Golub and Pereyra, SIAM J. Numer. Anal. 10(2), 1973); how well each T
fits says how likely it is, and what is told of the future is drawn from all of them. Learning slows down more than one
exponential does, so the early scores do not count; where counting begins is left open too (a fifth, a third or half of
the steps): how far the answers differ is part of the doubt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_LEAST_SCORES = 6
_FROM = (0.2, 1 / 3, 0.5)
"""parts of the steps so far that may be too early to count"""
_DRAWS = 2000
_BAND = (0.1, 0.5, 0.9)
_RATES = 40
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, eq=False)
class Forecast:
    """`draws` (n, 4): c, a, T in steps, and by how much a single score's error may be off by chance, each as likely as
    the other, of a training that is `steps` old."""

    steps: float
    step_s: float
    """how long a step takes by now"""
    draws: NDArray[np.float64]

    @classmethod
    def of(cls, history: Sequence[Mapping[str, float]]) -> Self | None:
        """From a history as in checkpoint.State; None from fewer than 6 scores that count."""
        if not history:
            return None
        now = history[-1]["step"]
        steps = np.array([entry["step"] for entry in history])
        error = _error_of(np.array([(entry["a"] + entry["b"]) / 2 for entry in history]))
        parts = [steps >= part * now for part in _FROM]
        parts = [part for part in parts if part.sum() >= _LEAST_SCORES]
        if not parts:
            return None
        draws = np.concatenate([_draws(steps[part], error[part]) for part in parts])
        begun = history[-_LEAST_SCORES]
        return cls(now, (history[-1]["seconds"] - begun["seconds"]) / (now - begun["step"]), draws)

    @property
    def seconds(self) -> float:
        """How long so much training takes."""
        return self.steps * self.step_s

    def score(self, more_s: float) -> tuple[float, float, float]:
        """dB after so much more training: probably above the first, as likely above as below the second, probably
        below the third (at least 80% lie between first and third, where the error falls exponentially)."""
        error = np.maximum(self._error(more_s) + self.draws[:, 3], 1e-4)
        found = np.quantile(-20 * np.log10(error), _BAND)
        return float(found[0]), float(found[1]), float(found[2])

    def gain(self, more_s: float) -> tuple[float, float, float]:
        """dB that so much more training brings, as in `score`."""
        ratio = self._error(0) / self._error(more_s)
        found = np.quantile(20 * np.log10(ratio), _BAND)
        return float(found[0]), float(found[1]), float(found[2])

    def time_to(self, part: float) -> tuple[float, float, float]:
        """Seconds more until the error is less by `part` of what it is now, at the soonest, about, and at the latest;
        infinite where it will never be."""
        c, a, lasting, _ = self.draws.T
        now = self._error(0)
        left, still = (1 - part) * now - c, now - c
        with np.errstate(divide="ignore", invalid="ignore"):
            wait = np.where((left > 0) & (a > 0), self.step_s * lasting * np.log(still / left), np.inf)
        # Quantiles of infinite numbers: no mixing of neighbours.
        found = np.quantile(wait, _BAND, method="nearest")
        return float(found[0]), float(found[1]), float(found[2])

    @property
    def over(self) -> bool:
        """Whether as much training again would hardly bring 1%: even at the soonest it takes longer."""
        return self.time_to(0.01)[0] > self.seconds

    def text(self, more_s: float | None = None) -> str:
        """What is to be expected, in `more_s` seconds or as long again, and what to do."""
        five, one = (self.time_to(part) for part in (0.05, 0.01))
        if self.over:
            return "stop here: as long again would not make the error 1% less"
        ahead = self.seconds if more_s is None else more_s
        low, middle, high = self.gain(ahead)
        if five[1] <= ahead:
            return f"go on: 5% less error in {_minutes(five)}, {_minutes_of(ahead)} more bring about {middle:+.1f} dB"
        return (
            f"{_minutes_of(ahead)} more bring about {middle:+.2f} dB ({low:+.2f} to {high:+.2f}); 1% less error in "
            f"{_minutes(one)}, 5% in {_minutes(five)}"
        )

    def _error(self, more_s: float) -> NDArray[np.float64]:
        c, a, lasting, _ = self.draws.T
        return np.asarray(c + a * np.exp(-more_s / self.step_s / lasting))


def _draws(steps: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4) see Forecast; a is as at the last of `steps`."""
    count, now = len(steps), steps[-1]
    fits = []
    for lasting in np.geomspace((now - steps[0]) / 20, 10 * now, _RATES):
        shape = np.stack([np.ones(count), np.exp((now - steps) / lasting)], 1)
        solution, *_ = np.linalg.lstsq(shape, error)
        fits.append((lasting, shape, solution, error - shape @ solution))
    squares = np.array([residual @ residual for *_, residual in fits])
    best = fits[int(squares.argmin())][-1]
    # Neighbouring scores are alike, so they count for less than their number.
    likeness = max(0.0, min(0.8, float(best[1:] @ best[:-1]) / max(float(best @ best), 1e-20)))
    variance = max(float(best @ best) / (count - 3), 1e-14) * (1 + likeness) / (1 - likeness)
    likely = np.exp(-(squares - squares.min()) / (2 * variance))
    rng = np.random.default_rng(0)
    found = []
    for (lasting, shape, solution, _), part in zip(fits, rng.multinomial(_DRAWS, likely / likely.sum()), strict=True):
        spread = variance * np.linalg.pinv(shape.T @ shape)
        drawn = rng.multivariate_normal(solution, spread, part)
        chance = rng.normal(0, math.sqrt(variance), part)
        found.append(np.column_stack([drawn, np.full(part, lasting), chance]))
    draws = np.concatenate(found)
    draws[:, 1] = np.maximum(draws[:, 1], 0)  # an error that rises with training is chance, or overfitting: no forecast
    draws[:, 0] = np.maximum(draws[:, 0], 1e-4)
    return draws


def _error_of(score_db: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(10 ** (-score_db / 20))


def _minutes(range_s: tuple[float, float, float]) -> str:
    soonest, about, latest = range_s
    if math.isinf(soonest):
        return "never"
    until = "never" if math.isinf(latest) else f"{latest / 60:.0f}"
    if math.isinf(about):
        return f"{soonest / 60:.0f} minutes at the soonest"
    return f"about {about / 60:.0f} minutes ({soonest / 60:.0f} to {until})"


def _minutes_of(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """A curve of `values` in one line of text, of at most `width` characters."""
    if not values:
        return ""
    rows = np.linspace(0, len(values) - 1, min(width, len(values))).round().astype(int)
    chosen = np.array(values)[rows]
    low, high = float(chosen.min()), float(chosen.max())
    return "".join(_BARS[round((float(value) - low) / max(high - low, 1e-9) * (len(_BARS) - 1))] for value in chosen)
