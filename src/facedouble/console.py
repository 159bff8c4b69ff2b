"""What a person sees in a terminal: progress with an ETA, notes, and tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .events import Event, Finished, Note, Progress

if TYPE_CHECKING:
    from .curate.match import Match
    from .device import Check
    from .judge.measure import Measures
    from .stages.planning import Plan

_LINE_EVERY_S = 10.0


class Console:
    """Shows events: a live bar on a terminal, a line every ten seconds where output goes to a file."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._stage = ""
        self._begun = (0.0, 0.0)
        self._shown = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def show(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, Note):
            self._clear()
            print(event.text, file=sys.stderr, flush=True)
        elif isinstance(event, Finished):
            self._clear()
            print(f"{event.text}: {_shown(event.path)}", file=sys.stderr, flush=True)

    def _progress(self, event: Progress) -> None:
        now = time.monotonic()
        if event.stage != self._stage:
            self._clear()
            self._stage, self._begun, self._shown = event.stage, (now, event.done), 0.0
        last = event.total is not None and event.done >= event.total
        if now - self._shown < (0.2 if self._live else _LINE_EVERY_S) and not last:
            return
        self._shown = now
        seconds, done = now - self._begun[0], event.done - self._begun[1]
        rate = done / seconds if seconds > 0.5 and done > 0 else 0.0
        text = f"{event.stage}: {event.done:,.0f}"
        if event.total:
            text += f" of {event.total:,.0f} {event.unit} ({100 * event.done / event.total:.0f}%)"
        else:
            text += f" {event.unit}"
        if rate:
            text += f", {rate:.1f} {event.unit}/s"
        eta = event.eta_s
        if eta is None and rate and event.total:
            eta = (event.total - event.done) / rate
        if eta is not None and not last:
            text += f", {_duration(eta)} left"
        if self._live:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._live and self._stage:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def print_measures(found: Measures) -> None:
    """A table of the measures with what is good and verdicts on standard output."""
    from .judge.verdict import lines

    rows = [(line.name, line.value, line.goal, line.verdict) for line in lines(found)]
    print_table(("measure", "found", "good", ""), rows)


def print_match(found: Match) -> None:
    """A pair's measures and verdicts, the overall figure, and what to do, on standard output."""
    rows = [(one.name, one.found, one.verdict or "-") for one in found.findings]
    print_table(("measure", "found", ""), rows)
    print(f"\noverall: {found.overall:.0f} of 100, {found.verdict}")
    for one in found.worst[:5]:
        print(f"- {one.name}: {one.advice}")
    print(f"train with: {' '.join(found.recommended)}")
    for reason in found.reasons:
        print(f"- {reason}")


def plan_rows(found: Plan) -> list[tuple[str, str]]:
    """A plan in words, a line each."""
    recipe = found.recipe
    parts = f", in {recipe.accumulate} parts (--accumulate {recipe.accumulate})" if recipe.accumulate > 1 else ""
    return [
        ("preset", f"{recipe.preset}, {recipe.size_px} px"),
        ("batch", f"{recipe.batch} faces of each side{parts}"),
        ("memory", f"{found.memory_bytes / 1e9:.1f} GB at most ({found.available_bytes / 1e9:.1f} GB can be used)"),
        ("speed", f"{found.steps_per_s:.2f} steps/s, scores and checkpoints included"),
        (f"{found.steps:,} steps", _duration(60 * found.minutes)),
    ]


def print_checks(checks: Sequence[Check]) -> None:
    """Doctor's findings, remedies under what is amiss, on standard output."""
    marks = {True: "ok", False: "MISSING", None: "-"}
    print_table(("", "", ""), [(marks[check.ok], check.name, check.text) for check in checks])
    for check in checks:
        if check.remedy:
            print(f"{check.name}: {check.remedy}")


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows) if any(head) else rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
