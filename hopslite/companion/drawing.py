"""Queue of runs to be plotted, which a process with idle priority draws one after the other."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time

from ..storage.run_directory import RunDir
from ..track import Tell, boot
from ..track.mlflow import attach
from .priority import be_patient

__all__ = ["DrawingQueue"]

CALM_SECONDS = 1.0  # without an active run before drawing begins
KEEP_SECONDS = 60.0  # for which the process that draws, with its imports, waits for another run


class DrawingQueue:
    """Queue of ended runs, drawn while no run is active. Used by one thread.

    A run that begins meanwhile does not stop the one that is being drawn: drawing gets only the processor time that
    nothing else needs, while a process that was stopped might be left behind for ever when the companion is killed.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._changed = threading.Condition()  # guards the next three
        self._queue: dict[str, bool] = {}  # by URL: the figures are to be attached in MLflow
        self._is_active = self._is_ending = False
        self._calm_since = time.monotonic()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None  # of the thread

    def add(self, url: str, has_mlflow: bool) -> None:
        """Queue a run."""
        with self._changed:
            self._queue[url] = has_mlflow
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._draw_all, name="hopslite-drawing", daemon=True)
            self._thread.start()

    def set_active(self, is_active: bool) -> None:
        """Note if a run is active."""
        with self._changed:
            if self._is_active and not is_active:
                self._calm_since = time.monotonic()
            self._is_active = is_active

    def finish(self) -> None:
        """Draw what is left, and wait for it."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _draw_all(self) -> None:
        be_patient()
        while (waiting := self._next()) is not None:
            url, has_mlflow = waiting
            with contextlib.suppress(Exception):  # of one run; the others are drawn
                files = self._draw(url)
                if files and has_mlflow:
                    attach(RunDir(url), files, os.environ.get("MLFLOW_TRACKING_URI"))
            self._tell({"drawn": url})
        self._stop()

    def _next(self) -> tuple[str, bool] | None:
        """Wait for the next run that may be drawn; None at the end."""
        idle_since = time.monotonic()
        with self._changed:
            while not (self._queue and (self._is_ending or self._is_calm())):
                if self._is_ending:
                    return None
                if time.monotonic() - idle_since >= KEEP_SECONDS:
                    self._stop()
                self._changed.wait(CALM_SECONDS if self._queue or self._process else None)
            url = next(iter(self._queue))
            return url, self._queue.pop(url)

    def _is_calm(self) -> bool:
        return not self._is_active and time.monotonic() - self._calm_since >= CALM_SECONDS

    def _draw(self, url: str) -> list[str]:
        """Draw a run; returns the names of the files."""
        if self._process is None:
            self._process = subprocess.Popen(
                boot("hopslite.companion.drawing_process"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # with a priority of its own
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(url).encode() + b"\n")
            self._process.stdin.flush()
            return list(json.loads(self._process.stdout.readline()))
        except (OSError, ValueError):  # it has ended, or was killed
            self._stop()
            raise

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError), process:  # ends when its input does
                pass
