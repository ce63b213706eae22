"""Journals of the runs that somebody watches: each is read once for all pages, in threads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any

from nicegui import background_tasks

from ..runs.following import FollowedRun
from ..storage.run_directory import RunDir
from . import run_data

__all__ = ["Feed", "Feeds"]

log = logging.getLogger(__name__)

Listener = Callable[[], None]
LOCAL_SECONDS, REMOTE_SECONDS = 0.3, 2.0  # between two looks at a journal
ENDED_FACTOR = 10  # a run that has ended may be resumed
KEPT_SECONDS = 30.0  # without listeners, for pages that are loaded again


class Feed:
    """One run, for all pages that show it.

    Attributes:
        problem: why the run cannot be read now; None if it can.
        was_used: somebody has asked for it since it was last looked at.
    """

    def __init__(self, run: RunDir, mlflow: str | None = None) -> None:
        self.run = run
        self._mlflow = mlflow
        self.problem: str | None = None
        self.was_used = True
        self._followed = FollowedRun(run)
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._is_read = False
        self._told: tuple[int, str | None] = (0, None)
        self._rest: tuple[int, str] = (-1, "")
        self._changes: tuple[tuple[int, int], str | None] = ((-1, -1), None)

    @contextlib.contextmanager
    def reading(self) -> Iterator[FollowedRun]:
        """Hold the run's state still; call it in a thread. The first time this reads the whole journal."""
        with self._lock:
            if not self._is_read:
                self._followed.refresh()
                self._is_read = True
            yield self._followed

    def snapshot(self) -> str:
        """The whole run as JSON; call it in a thread."""
        with self.reading() as followed:
            if self._rest[0] != followed.revision:
                self._rest = (followed.revision, run_data.trials_and_curves(followed))
            return run_data.snapshot(followed, self._mlflow, self._rest[1])

    def curves(self, metric: int, trials: Collection[str] | None) -> str:
        """Curves of a metric, by number, as JSON: of these trials, or a sample of all; call it in a thread."""
        with self.reading() as followed:
            return run_data.curves(followed, metric, trials)

    def changes(self, since: int) -> tuple[int, str | None]:
        """Revision, and what has changed until then as JSON; None if that is too much. Call it in a thread.

        Pages that are equally up to date share one text.
        """
        with self.reading() as followed:
            key = (since, followed.revision)
            if self._changes[0] != key:
                self._changes = (key, run_data.changes(followed, since, self._mlflow))
            return followed.revision, self._changes[1]

    def ended_trials(self) -> int:
        """Number of trials that have ended; call it in a thread."""
        with self.reading() as followed:
            return followed.ended_trials

    @property
    def revision(self) -> int:
        return self._followed.revision

    @property
    def is_final(self) -> bool:
        return self._followed.state.final

    @property
    def is_watched(self) -> bool:
        return bool(self._listeners)

    def listen(self, listener: Listener) -> None:
        """Have a function called in the event loop after each change."""
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def refresh(self) -> None:
        """Read what is new; call it in a thread."""
        try:
            with self.reading() as followed:
                followed.refresh()
            self.problem = None
        except OSError as error:
            self.problem = f"the run cannot be read now: {error}"

    def notify(self) -> None:
        """Call the listeners if something has changed since they were called last, whoever has read it."""
        now = (self.revision, self.problem)
        if now != self._told:
            self._told = now
            for listener in tuple(self._listeners):
                listener()


class Feeds:
    """The feeds of a dashboard, used in its event loop.

    Args:
        mlflow: address of the MLflow server that has the runs, without a password.
    """

    def __init__(self, mlflow: str | None = None) -> None:
        self._mlflow = mlflow
        self._feeds: dict[str, Feed] = {}

    def of(self, run: RunDir) -> Feed:
        """Feed of a run, which is followed from now on as long as somebody listens."""
        feed = self._feeds.get(run.url)
        if feed is None:
            feed = self._feeds[run.url] = Feed(run, self._mlflow)
            background_tasks.create(self._follow(feed), name=f"follow {run.url}")
        feed.was_used = True
        return feed

    async def _follow(self, feed: Feed) -> None:
        pause = LOCAL_SECONDS if feed.run.is_local else REMOTE_SECONDS
        idle = 0.0
        try:
            while idle < KEPT_SECONDS:
                await in_thread(feed.refresh)
                feed.notify()
                seconds = pause * (ENDED_FACTOR if feed.is_final else 1)
                await asyncio.sleep(seconds)
                idle = 0.0 if feed.is_watched or feed.was_used else idle + seconds
                feed.was_used = False
        except Exception:
            log.exception("the run %s is not followed any more", feed.run.shown)
            feed.problem = "the run is not followed any more, because of an error in hopslite: see the terminal"
            feed.notify()
        finally:
            if self._feeds.get(feed.run.url) is feed:
                del self._feeds[feed.run.url]


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that reads or writes a disk, off the event loop."""
    return await asyncio.to_thread(function, *arguments)
