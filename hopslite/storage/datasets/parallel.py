"""Jobs in threads, of which few exist at a time, with a bound on the bytes that they hold in memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator

from ...errors import StoreError

__all__ = ["Cancelled", "Counter", "MemoryBudget", "Progress", "in_parallel"]

POLL_SECONDS = 0.2
Job = Callable[[], None]
Progress = Callable[[int, int], None]


class Cancelled(StoreError):
    """Another job has failed, or the user has interrupted them all."""


def in_parallel(jobs: Iterable[Job], threads: int, counter: Counter | None = None) -> None:
    """Run jobs, at most `threads` at once; the first failure, or an interrupt, begins no more of them and is raised.

    Jobs are taken from the iterable when a thread is free, so that a million of them need no memory.

    Args:
        counter: to which jobs add what they have done; those that still run then end when they add the next.
    """
    iterator = iter(jobs)
    lock = threading.Lock()
    stopped = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        while not stopped.is_set():
            try:
                with lock:
                    job = next(iterator, None)
                if job is None:
                    return
                job()
            except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                failures.append(error)
                stopped.set()
                if counter is not None:
                    counter.cancel()

    def work_and_end(ended: threading.Event) -> None:
        try:
            work()
        finally:
            ended.set()

    # Not `join`: an interrupt in it makes Python 3.11 take the thread for one that has ended.
    ends: list[threading.Event] = []
    try:
        for _ in range(threads):
            ended = threading.Event()
            threading.Thread(target=work_and_end, args=(ended,), name="hopslite-data", daemon=True).start()
            ends.append(ended)
        _wait(ends)
    except BaseException:
        stopped.set()
        if counter is not None:
            counter.cancel()
        _wait(ends)
        raise
    if failures:
        raise failures[0]


def _wait(ends: Iterable[threading.Event]) -> None:
    for ended in ends:
        while not ended.wait(POLL_SECONDS):  # a wait without an end might not notice an interrupt
            pass


class MemoryBudget:
    """Number of bytes that several threads may hold in memory together; a single larger piece waits to be alone."""

    def __init__(self, size: int) -> None:
        self._size, self._free = size, size
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Hold `size` bytes; waits until they are free."""
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


class Counter:
    """Count of bytes done, which calls `progress` from one thread at a time, and by which jobs are cancelled."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress
        self._lock = threading.Lock()
        self._is_cancelled = False

    def cancel(self) -> None:
        self._is_cancelled = True

    def add(self, count: int) -> None:
        """Add bytes.

        Raises:
            Cancelled: another job has failed, or the user has interrupted them all.
        """
        if self._is_cancelled:
            raise Cancelled("not needed any more")
        if self._progress is not None and count:
            with self._lock:
                self._done += count
                self._progress(self._done, self._total)
