"""The only threads of the program: a bounded line from a source through workers to the caller, always joined."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def ordered_map(
    source: Iterable[T], work: Callable[[T], U], workers: int = 2, ahead: int = 8
) -> Generator[U, None, None]:
    """Yield `work(item)` for each item of `source`, in order, while `workers` threads work ahead of the caller.

    `source` is iterated in a thread of its own. At most `ahead` items are in flight: drawn from the source and not yet
    let go by the caller, so memory stays bounded however slow the caller is. The first error, of `source` or of
    `work`, is raised in the caller at its place in the order. However it ends - exhausted, by an error, or because the
    caller stops, closes the generator or is interrupted - the source is closed and every thread is joined first.

    Raises ValueError where `workers` or `ahead` is under 1.
    """
    if workers < 1 or ahead < 1:
        raise ValueError(f"ordered_map needs at least 1 worker and 1 item ahead, not {workers} and {ahead}")
    return _ordered_map(source, work, workers, ahead)


def _ordered_map(source: Iterable[T], work: Callable[[T], U], workers: int, ahead: int) -> Generator[U, None, None]:
    slots = threading.Semaphore(ahead)
    stopped = threading.Event()
    line: queue.SimpleQueue[Future[U] | None] = queue.SimpleQueue()  # in source order; None is the end
    pool = ThreadPoolExecutor(workers)

    def feed() -> None:
        try:
            items = iter(source)
            try:
                while slots.acquire() and not stopped.is_set():
                    try:
                        item = next(items)
                    except StopIteration:
                        break
                    line.put(pool.submit(work, item))
                    del item  # held by the future alone, so that it is freed once worked on
            finally:
                if close := getattr(items, "close", None):
                    close()
        except BaseException as error:
            failed: Future[U] = Future()
            failed.set_exception(error)
            line.put(failed)
        finally:
            line.put(None)

    reader = threading.Thread(target=feed, name="ordered_map source")
    reader.start()
    try:
        while (future := line.get()) is not None:
            yield future.result()
            del future
            slots.release()
    finally:
        stopped.set()
        slots.release()  # the source may be waiting for one
        reader.join()
        pool.shutdown(cancel_futures=True)
