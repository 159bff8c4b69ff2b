"""Crew: what its processes answer, raise and leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facedouble import stages
from facedouble.errors import InputError, MachineError
from facedouble.media.crew import Crew
from facedouble.media.reader import probe, read
from facedouble.recipes import ConvertRecipe
from facedouble.swap.face import Swapper
from support import CPU, run


@pytest.fixture(autouse=True)
def all_processes_end() -> Iterator[None]:
    yield
    assert active_children() == []


class Tool:
    def __init__(self, factor: int) -> None:
        self.factor, self.asked = factor, 0


def times(tool: Tool, values: NDArray[Any], pause_s: float = 0) -> tuple[NDArray[Any], int]:
    time.sleep(pause_s)
    return values * tool.factor, os.getpid()


def asked(tool: Tool) -> int:
    tool.asked += 1
    return tool.asked


def refuse(tool: Tool, name: str) -> None:
    raise InputError(f"{name}: cannot be used {tool.factor} times.")


def broken(_: int) -> Tool:
    raise InputError("no such tool")


def process(_: Tool) -> int:
    return os.getpid()


@pytest.mark.parametrize("count", [0, 2])
def test_each_has_one_tool_and_threads_share_them(count: int) -> None:
    with Crew[Tool](count) as crew:
        crew.equip(Tool, factor=3)
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda value: crew(times, np.array([value]), 0.02), range(20)))
        assert [int(values[0]) for values, _ in answers] == [3 * value for value in range(20)]
        processes = {number for _, number in answers}
        assert len(processes) == max(count, 1) and (os.getpid() in processes) == (count == 0)
        assert sorted(crew(asked) for _ in range(2 * max(count, 1)))[-1] == 2, "a tool is kept between calls"


@pytest.mark.parametrize(
    "values",
    [
        np.arange(3_000_000, dtype=np.uint8).reshape(1000, 1000, 3),
        np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2],
        np.zeros((0, 3), np.uint16),
    ],
    ids=["large", "with gaps", "empty"],
)
def test_arrays_come_back_whole_and_may_be_written(values: NDArray[Any]) -> None:
    with Crew[Tool](1) as crew:
        crew.equip(Tool, 1)
        back, _ = crew(times, values)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)
    back[...] = 0


@pytest.mark.parametrize("count", [0, 1])
def test_an_error_is_raised_here_and_the_next_call_is_answered(count: int) -> None:
    with Crew[Tool](count) as crew:
        crew.equip(Tool, 2)
        with pytest.raises(InputError, match=r"clip\.mp4: cannot be used 2 times") as raised:
            crew(refuse, "clip.mp4")
        if count:
            assert "in refuse" in raised.value.__notes__[0], "where it happened is told"
        assert crew(asked) == 1
    with Crew[Tool](count) as crew, pytest.raises(InputError, match="no such tool"):
        crew.equip(broken, 1)


def test_one_that_is_killed_is_heard_of_by_all_who_ask() -> None:
    with Crew[Tool](1) as crew, ThreadPoolExecutor(3) as threads:
        crew.equip(Tool, 1)
        number = crew(process)
        waiting = [threads.submit(crew, times, np.zeros(1), 60) for _ in range(3)]
        time.sleep(0.2)
        os.kill(number, signal.SIGKILL)
        for one in waiting:
            with pytest.raises(MachineError, match="ended from outside, most likely for want of memory"):
                one.result(20)


def test_where_none_can_be_started_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(BaseProcess, "start", full)
    with (
        Crew[Tool](2) as crew,
        pytest.raises(MachineError, match=r"0 of 2 processes .*Cannot allocate memory.*--workers 1"),
    ):
        crew.equip(Tool, 1)


def test_it_ends_before_its_tool_is_there_and_while_it_works() -> None:
    with Crew[Tool](2):
        pass
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        with Crew[Tool](1) as crew:
            crew.equip(Tool, 1)
            left = threads.submit(crew, times, np.zeros(1), 60)
            time.sleep(0.2)
        assert isinstance(left.exception(20), MachineError)
    assert time.monotonic() - begun < 20


ASKS = """
import sys, time
from test_crew import Crew, Tool, process
if __name__ == "__main__":
    with Crew(2) as crew:
        crew.equip(Tool, 1)
        print(*{crew(process) for _ in range(20)}, flush=True)
        time.sleep(60)
"""


def test_they_end_when_the_one_that_asks_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "asks.py"
    script.write_text(ASKS)
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent / "src")])
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as asks:
        assert asks.stdout is not None
        numbers = [int(number) for number in asks.stdout.readline().split()]
        assert numbers and all(Path(f"/proc/{number}").exists() for number in numbers)
        asks.kill()
    end = time.monotonic() + 10
    while (left := [number for number in numbers if Path(f"/proc/{number}").exists()]) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


def test_a_conversion_by_processes_is_the_same(
    short_a: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: list[int] = []
    swap = Swapper.__call__
    monkeypatch.setattr(Swapper, "__call__", lambda self, pixels, *rest: here.append(1) or swap(self, pixels, *rest))
    recipe = ConvertRecipe(codec="ffv1", ranges=("3-9",))
    for name, least, calls in (("one", 10, 6), ("more", 5, 6)):
        monkeypatch.setattr(stages.conversion, "_WORTH_PROCESSES", least)
        run(stages.convert(short_a, model, tmp_path / f"{name}.mkv", recipe, CPU, 2, tmp_path / name))
        assert len(here) == calls, "the second time nothing is done in this process"
    one, more = (list(read(probe(tmp_path / f"{name}.mkv"))) for name in ("one", "more"))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, more, strict=True))
    layers = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").glob("*/*.png"))
    assert len(layers) == 3 * probe(short_a).count
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "more" / path).read_bytes() for path in layers)
