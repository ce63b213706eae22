"""Runs a slot's trials in the slot's own process (`isolation="none"`)."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from collections import deque
from multiprocessing.connection import wait
from typing import Any

from ..channel.interface import DriverConnection
from ..core.types import Result, Spec, State, json_safe
from ..serialization.program import PROGRAM_FILE, Program, program_file
from ..storage.run_directory import RunDir
from .context import restored_cwd_and_environ
from .disk_probe import DiskPause, Disks, pause_on_disk_failure
from .job_spec import Job
from .reporter import REPORT_SECONDS, Reporter, ReportSummary
from .run_function import execute, failed_result
from .trial_log import PREVIEW_LINES, LogTail, captured_output
from .trial_process import TrialDirectories, with_warnings
from .workdir import WorkDir, scratch_disk

__all__ = ["InlineRunner"]


class InlineRunner:
    """Slot that runs trials in its own process, without the cost and the safety of a process each."""

    def __init__(self, driver: DriverConnection, job: Job, environment: dict[str, str]) -> None:
        self._driver, self._job = driver, job
        self._previous_environment = {name: os.environ.get(name) for name in (*environment, PROGRAM_FILE)}
        os.environ.update(environment)
        sys.path += [entry for entry in job.import_path if entry not in sys.path]
        self._program = Program(job.payload)
        self._resources = contextlib.ExitStack()
        os.environ.update(self._resources.enter_context(program_file(job.payload, scratch_disk())))
        self._resources.enter_context(self._program.installed(job.arguments))
        self._load = functools.cache(self._program.load)
        self._work = WorkDir(job.directory, job.local_logdir, job.spark_files)
        self._reports: deque[dict[str, Any]] = deque()
        self._sending = threading.Lock()
        self._sender: threading.Thread | None = None
        self._closed = threading.Event()
        self._exit_requested = False
        self._answers: deque[dict[str, Any]] = deque()  # to the running trial's latest request
        self._stop_requested: str | None = None  # the reason why the running trial is to end
        self._kill_requested = False  # the trial is to end as KILLED, not as STOPPED
        self._disks = Disks(RunDir(job.run_url), self._work.disk)
        self._disk_pause = DiskPause(self._disks, driver.send)

    def loop(self) -> None:
        sources: list[Any] = [self._driver]
        while not self._exit_requested:
            while self._disk_pause.is_active and not wait(
                sources, max(0.0, self._disk_pause.next_check - time.monotonic())
            ):
                self._disk_pause.check()
            message = self._driver.receive()
            self._exit_requested = message["type"] == "exit"
            if message["type"] == "run":
                self._run(Spec.from_json(message["spec"]))

    def _stop_reason(self, trial: str) -> str | None:
        """The reason why the trial is to stop, after reading the driver's messages; None if there is none."""
        sources: list[Any] = [self._driver]
        while wait(sources, 0):
            message = self._driver.receive()
            if message["type"] == "exit":
                self._exit_requested = self._kill_requested = True
                self._stop_requested = "the run is over"
            elif message["type"] in ("stop", "kill") and message["trial"] == trial:
                self._kill_requested = self._kill_requested or message["type"] == "kill"
                self._stop_requested = str(message["why"])
            elif message["type"] == "answer" and message["trial"] == trial:
                self._answers.append(message["answer"])
        return self._stop_requested

    def _ask(self, spec: Spec, request: dict[str, Any]) -> dict[str, Any]:
        """The driver's answer to a request, after reports that were made before it.

        Raises:
            ConnectionError: the driver is gone, or has ended the run.
        """
        self._send_reports()
        self._answers.clear()
        self._driver.send({"type": "ask", "trial": spec.trial_id, "attempt": spec.attempt, "request": request})
        sources: list[Any] = [self._driver]
        while not self._answers:
            wait(sources)
            try:
                self._stop_reason(spec.trial_id)
            except EOFError:
                raise ConnectionError("the driver of this trial is gone") from None
            if self._kill_requested:
                raise ConnectionError(self._stop_requested)
        return self._answers.popleft()

    def _run(self, spec: Spec) -> None:
        self._driver.send({"type": "started", "trial": spec.trial_id})
        try:
            directories = TrialDirectories(self._job, spec, self._work)
        except OSError as error:
            self._disk_pause.begin(self._disks.problem() or str(error))
            self._send_end(failed_result(spec, "storage", f"the trial could not be started: {error}", time.time()))
            return
        self._stop_requested, self._kill_requested = None, False
        header = {"type": "report", "trial": spec.trial_id, "attempt": spec.attempt}
        reporter = Reporter(
            ReportSummary(self._job.direction, self._job.optimization_key, self._job.objectives),
            lambda report: self._report({**header, **report}),
            lambda: self._stop_reason(spec.trial_id),
            lambda request: self._ask(spec, request),
        )
        try:
            with restored_cwd_and_environ(), captured_output(directories.log, tee=False):
                os.chdir(directories.work.cwd)
                result = execute(
                    self._job,
                    spec,
                    directories.context,
                    reporter,
                    self._load,
                    shares_values=True,
                    on_wait=self._disk_pause.begin,
                )
                if result.traceback:
                    sys.stderr.write(result.traceback)
                if self._kill_requested and result.state is State.STOPPED:
                    result = failed_result(spec, "killed", f"ended: {self._stop_requested}", result.started)
        except OSError as error:  # its log cannot be opened
            result = failed_result(spec, "exception", f"the trial could not be run: {error}", time.time())
        except BaseException:
            directories.abandon()
            raise
        newest = None if self._job.verbose else PREVIEW_LINES
        if self._job.tail and (lines := LogTail(directories.log).read(True, newest)):
            self._driver.send({"type": "output", "trial": spec.trial_id, "lines": lines})
        result = pause_on_disk_failure(result, self._disks, self._disk_pause, self._work)
        directories.on_wait = self._disk_pause.begin
        warnings = directories.finish()
        result = with_warnings(result, *self._work.warnings(result.state is State.FAILED), *warnings)
        self._send_reports()
        self._send_end(result)

    def _send_end(self, result: Result) -> None:
        self._driver.send(
            {"type": "ended", "result": json_safe(result.to_json()), "paused": self._disk_pause.is_active}
        )

    def _report(self, message: dict[str, Any]) -> None:
        """Queue a report for a thread that sends it, so that training does not wait."""
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
                self._driver.send(self._reports.popleft())

    def close(self) -> None:
        self._closed.set()
        self._resources.close()
        self._work.remove()
        for name, value in self._previous_environment.items():  # Spark uses this process again
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
