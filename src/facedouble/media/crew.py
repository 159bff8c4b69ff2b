"""The only processes of the program beside itself: each holds a copy of one tool, and threads hand work to them.

Threads of one process wait for each other at Python's interpreter lock hundreds of times a frame.
"""

from __future__ import annotations

import multiprocessing
import pickle
import queue
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from ..errors import MachineError

Tool = TypeVar("Tool")
Answer = TypeVar("Answer")
P = ParamSpec("P")

_JOIN_S = 5


class Crew(Generic[Tool]):
    """`count` processes; with 0 the caller does all by itself, by the same calls. To be used as a context manager.

    They are started at once, in the background, and import `modules`, which takes them a second or two. Then `equip`
    them, and call the crew from as many threads as there is work for. Functions are those at the top of a module; they,
    their arguments and answers are pickled. Processes end with this one, however it ends.

    As with all of `multiprocessing`, a script that makes one keeps its own work under `if __name__ == "__main__"`.
    """

    def __init__(self, count: int, modules: Sequence[str] = ()) -> None:
        self.count = count
        self._tool: Tool | None = None
        self._processes: list[BaseProcess] = []
        self._lines: list[Connection] = []
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._starter = ThreadPoolExecutor(1)
        self._started = self._starter.submit(self._start, list(modules)) if count else None

    def _start(self, modules: list[str]) -> None:
        # On Linux one process imports the modules, and the others are forked from it: once paid, and shared memory.
        context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        if sys.platform == "linux":
            context.set_forkserver_preload(modules)
        for _ in range(self.count):
            line, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()  # so that a process that ends is heard of
            self._processes.append(process)
            self._lines.append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._starter.shutdown()
        for line in self._lines:
            line.close()
        for process in self._processes:
            process.terminate()
            process.join(_JOIN_S)

    def equip(self, make: Callable[P, Tool], *arguments: P.args, **named: P.kwargs) -> None:
        """Give each of them a tool, made there; before the first call. Raises MachineError where there is no room for
        more processes, and what `make` raises."""
        if self._started is None:
            self._tool = make(*arguments, **named)
            return
        try:
            self._started.result()
        except (EOFError, OSError) as error:
            raise MachineError(
                f"no more than {len(self._processes)} of {self.count} processes could be started here "
                f"({getattr(error, 'strerror', None) or 'the first ended at once'}). Choose --workers 1."
            ) from error
        order = _packed((make, arguments, named))
        with _heard():
            for line in self._lines:
                _send(line, order)
        for line in self._lines:
            _answer(line)
            self._free.put(line)

    def __call__(
        self, function: Callable[Concatenate[Tool, P], Answer], *arguments: P.args, **named: P.kwargs
    ) -> Answer:
        """`function(tool, *arguments)`, by the first of them that is free. Raises what the function raises, and
        MachineError where its process was ended from outside."""
        if not self.count:
            return function(self._tool, *arguments, **named)  # type: ignore[arg-type]
        order = _packed((function, arguments, named))
        line = self._free.get()
        try:
            with _heard():
                _send(line, order)
            return _answer(line)  # type: ignore[no-any-return]
        finally:
            self._free.put(line)


def _serve(line: Connection) -> None:
    """All that such a process does: make the tool, then answer, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them; the one that asks decides
    tool: Any = None
    with suppress(EOFError, OSError):
        while True:
            function, arguments, named = _receive(line)
            try:
                if tool is None:
                    tool, answer = function(*arguments, **named), None
                else:
                    answer = function(tool, *arguments, **named)
                packed = _packed((answer, None))
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)))
                packed = _packed((None, error))
            _send(line, packed)


Packed = tuple[bytes, list[pickle.PickleBuffer]]


def _packed(thing: Any) -> Packed:
    """Pickled, its arrays beside it, where they need not be copied (PEP 574)."""
    arrays: list[pickle.PickleBuffer] = []
    return pickle.dumps(thing, 5, buffer_callback=arrays.append), arrays


def _send(line: Connection, packed: Packed) -> None:
    thing, arrays = packed
    line.send((thing, [array.raw().nbytes for array in arrays]))
    for array in arrays:
        line.send_bytes(array.raw())


def _receive(line: Connection) -> Any:
    thing, sizes = line.recv()
    arrays = []
    for size in sizes:
        array = bytearray(size)
        line.recv_bytes_into(array)
        arrays.append(array)
    return pickle.loads(thing, buffers=arrays)


def _answer(line: Connection) -> Any:
    with _heard():
        answer, error = _receive(line)
    if error is not None:
        raise error
    return answer


@contextmanager
def _heard() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise MachineError(
            "a process that worked on frames was ended from outside, most likely for want of memory. The same command "
            "goes on where this one stopped; with --workers 1 it needs least."
        ) from error
