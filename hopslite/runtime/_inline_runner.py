"""A slot that runs trials itself."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from multiprocessing.connection import wait
from typing import Any

from .._trial import Spec, State, json_safe
from .capture import GLANCE_LINES, LogTail, captured
from .child import Place, warned
from .context import restored
from .execute import execute, failed
from .job import Job
from .link import Link
from .report import REPORT_SECONDS, Reported, Reporter
from .values import deserialize
from .workdir import WorkDir

__all__ = ["InlineRunner"]


class InlineRunner:
    """`isolation="none"`: trials in the slot itself, without the cost and the safety of a process each."""

    def __init__(self, link: Link, job: Job, environment: dict[str, str]) -> None:
        self._link, self._job = link, job
        self._before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        sys.path += [entry for entry in job.import_path if entry not in sys.path]
        self._loaded = deserialize(job.payload)
        self._work = WorkDir(job.directory, job.local_logdir)
        self._reports: deque[dict[str, Any]] = deque()
        self._sending = threading.Lock()
        self._sender: threading.Thread | None = None
        self._closed = threading.Event()
        self._over = False
        self._stop: str | None = None  # why the trial that runs is to end
        self._kill = False  # and whether that is no result of its own

    def loop(self) -> None:
        while not self._over:
            message = self._link.receive()
            self._over = message["type"] == "exit"
            if message["type"] == "run":
                self._run(Spec.from_json(message["spec"]))

    def _stop_asked(self, trial: str) -> str | None:
        """Read what the driver has said meanwhile."""
        links: list[Any] = [self._link]
        while wait(links, 0):
            message = self._link.receive()
            if message["type"] == "exit":
                self._over = self._kill = True
                self._stop = "the run is over"
            elif message["type"] in ("stop", "kill") and message["trial"] == trial:
                self._kill = self._kill or message["type"] == "kill"
                self._stop = str(message["why"])
        return self._stop

    def _run(self, spec: Spec) -> None:
        self._link.send({"type": "started", "trial": spec.trial_id})
        place = Place(self._job, spec, self._work)
        self._stop, self._kill = None, False
        told = {"type": "report", "trial": spec.trial_id, "attempt": spec.attempt}
        reporter = Reporter(
            Reported(self._job.direction),
            lambda step, value: self._report({**told, "step": step, "value": value}),
            lambda: self._stop_asked(spec.trial_id),
        )
        try:
            with restored(), captured(place.log, tee=False):
                os.chdir(place.work.cwd)
                result = execute(self._job, spec, place.context, reporter, self._loaded)
                if result.traceback:
                    sys.stderr.write(result.traceback)
                if self._kill and result.state is State.STOPPED:
                    result = failed(spec, "killed", f"ended: {self._stop}", result.started)
        except BaseException:
            place.abandon()
            raise
        newest = None if self._job.verbose else GLANCE_LINES
        if self._job.tail and (lines := LogTail(place.log).read(True, newest)):
            self._link.send({"type": "output", "trial": spec.trial_id, "lines": lines})
        result = warned(result, *self._work.warnings(result.state is State.FAILED), *place.settle())
        self._send_reports()
        self._link.send({"type": "ended", "result": json_safe(result.to_json())})

    def _report(self, message: dict[str, Any]) -> None:
        """Send it soon, from a thread, so that the training does not wait for it."""
        self._reports.append(message)
        if self._sender is None:
            self._sender = threading.Thread(target=self._keep_sending, name="hopslite-reports", daemon=True)
            self._sender.start()

    def _keep_sending(self) -> None:
        with contextlib.suppress(OSError):  # the driver is gone, which the slot notices by itself
            while not self._closed.wait(REPORT_SECONDS):
                self._send_reports()

    def _send_reports(self) -> None:
        with self._sending:
            while self._reports:
                self._link.send(self._reports.popleft())

    def close(self) -> None:
        self._closed.set()
        self._work.remove()
        for name, value in self._before.items():  # Spark uses this process again
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
