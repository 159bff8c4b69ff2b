"""ordered_map: order, bounds, the first error at its place, and an end to every thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from facedouble.media import ordered_map


@pytest.fixture(autouse=True)
def all_threads_end() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def within(seconds: float, job: Callable[[], None]) -> None:
    """Run `job` in a thread that must end in time, so that a hang fails instead of hanging; raise what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            job()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "hangs"
    if raised:
        raise raised[0]


class Source:
    """Counts what is drawn from it and knows whether it was closed."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.drawn, self.closed = 0, False
        self._items = self._generate(count, fails_at)

    def _generate(self, count: int, fails_at: int | None) -> Iterator[int]:
        try:
            for index in range(count):
                if index == fails_at:
                    raise OSError(f"source at {index}")
                self.drawn += 1
                yield index
        finally:
            self.closed = True

    def __iter__(self) -> Iterator[int]:
        return self._items


def test_results_come_in_order_though_work_ends_out_of_order() -> None:
    def work(index: int) -> int:
        time.sleep(0.004 if index % 3 == 0 else 0)
        return index * index

    source = Source(100)
    assert list(ordered_map(source, work, workers=4)) == [index * index for index in range(100)]
    assert source.closed


def test_nothing_in_nothing_out() -> None:
    assert list(ordered_map([], str)) == []


@pytest.mark.parametrize("ahead", [1, 8])
@pytest.mark.parametrize("place", ["source", "work"])
def test_an_error_in_the_middle_is_raised_at_its_place_and_ends_everything(place: str, ahead: int) -> None:
    source = Source(1000, fails_at=500 if place == "source" else None)
    got: list[int] = []

    def work(index: int) -> int:
        if place == "work" and index in (500, 501):
            raise OSError(f"work at {index}")
        return index

    def job() -> None:
        for value in ordered_map(source, work, ahead=ahead):
            got.append(value)

    with pytest.raises(OSError, match=f"{place} at 500"):
        within(10, job)
    assert got == list(range(500))
    assert source.closed and source.drawn <= 500 + ahead


def test_a_source_that_fails_while_closing_is_heard() -> None:
    class Sticky:
        def __iter__(self) -> Sticky:
            return self

        def __next__(self) -> int:
            raise StopIteration

        def close(self) -> None:
            raise OSError("will not close")

    with pytest.raises(OSError, match="will not close"):
        within(10, lambda: list(ordered_map(Sticky(), str)) and None)


@pytest.mark.parametrize("taken", [1, 5])
def test_a_caller_that_stops_early_ends_everything(taken: int) -> None:
    source = Source(10**9)

    def job() -> None:
        results = ordered_map(source, lambda index: index)
        for _ in range(taken):
            next(results)
        results.close()  # type: ignore[attr-defined]

    within(10, job)
    assert source.closed and source.drawn <= taken + 8


def test_an_interrupt_in_the_caller_ends_everything() -> None:
    source = Source(10**9)

    def job() -> None:
        for value in ordered_map(source, lambda index: index):
            if value == 20:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        within(10, job)
    # The generator's frame is let go with the traceback; only then is it closed.
    deadline = time.monotonic() + 5
    while not source.closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert source.closed


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (2, 3), (4, 8)])
def test_a_slow_caller_holds_the_source_back(workers: int, ahead: int) -> None:
    source = Source(40)
    most = 0
    for taken, _ in enumerate(ordered_map(source, lambda index: index, workers, ahead)):
        time.sleep(0.003)
        most = max(most, source.drawn - taken)
    assert most <= ahead
    assert ahead == 1 or most > 1  # it does read ahead


def test_work_runs_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=5)
    assert list(ordered_map(range(4), lambda index: both.wait() * 0 + index, workers=2)) == [0, 1, 2, 3]


def test_results_are_let_go_once_taken() -> None:
    class Heavy:
        alive = 0

        def __init__(self) -> None:
            Heavy.alive += 1

        def __del__(self) -> None:
            Heavy.alive -= 1

    def heavy(_: int) -> Any:
        return Heavy()

    for _ in ordered_map(range(50), heavy, ahead=3):
        assert Heavy.alive <= 4
    del _
    assert Heavy.alive == 0


@pytest.mark.parametrize("bad", [{"workers": 0}, {"ahead": 0}])
def test_no_workers_is_no_way_to_work(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ordered_map([1], str, **bad)
