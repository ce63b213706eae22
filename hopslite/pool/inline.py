"""Pool that runs trials one after another in this process: for debuggers and tests, without Spark or Java."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..core.types import Event, Result, Spec, json_safe
from ..errors import InvalidArguments
from ..executor.context import restored_cwd_and_environ
from ..executor.disk_probe import DiskPause, Disks
from ..executor.job_spec import Job
from ..executor.reporter import Reporter, ReportSummary
from ..executor.run_function import Loaded, execute, failed_result
from ..executor.trial_log import captured_output, uncaptured_output
from ..executor.trial_process import DirectoriesUnavailable, with_warnings
from ..storage.run_directory import RunDir
from . import Resources
from ._trial_directories import trial_directories

__all__ = ["Inline"]

POLL_SECONDS = 0.5


class Inline:
    """A single slot, which is the calling thread.

    `pdb` and breakpoints work; a crash of the function is a crash of the program. The training function is the caller's
    own object, not a copy.
    """

    in_process = True

    def __init__(self, resources: Resources, spark: Any = None, channel_port: str = "0") -> None:
        requested = {"cpus_per_trial": resources.cpus_per_trial, "gpus_per_trial": resources.gpus_per_trial}
        problems = [f"{name}={value} has no effect in this process" for name, value in requested.items() if value]
        if (resources.parallelism or 1) > 1:
            problems.append(f"parallelism={resources.parallelism}, but this pool runs one trial after another")
        if problems:
            raise InvalidArguments("pool='inline'", problems)
        self._waiting: list[Spec] = []
        self._stop: str | None = None
        self._answers: list[dict[str, Any]] = []  # to the running trial's latest request
        self._polled = 0.0  # when the loop has looked for a reason to stop the trial
        self._problem: Exception | None = None  # raised by `on_event`: a problem of the run, not of the trial

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    def start(self, job: Job, label: str, on_event: Callable[[Event], None]) -> None:
        self._job, self._on_event = job, on_event
        self._disks = Disks(RunDir(job.run_url))
        self._disk_pause = DiskPause(self._disks, self._tell_of_room)

    def _load(self) -> Loaded:
        assert self._job.loaded is not None
        return self._job.loaded

    def want(self, slots: int) -> None:
        pass

    @property
    def free(self) -> int:
        return 0 if self._disk_pause.is_active else 1 - len(self._waiting)

    @property
    def size(self) -> int:
        return 1

    def submit(self, spec: Spec) -> bool:
        self._waiting.append(spec)
        return True

    def wait(self, timeout: float) -> Sequence[Event]:
        if not self._waiting:
            if self._disk_pause.is_active:
                time.sleep(max(0.0, min(timeout, self._disk_pause.next_check - time.monotonic())))
                self._disk_pause.check()
            return []
        spec, self._stop = self._waiting.pop(), None
        where = {"slot": 0, "host": socket.gethostname(), "gpus": None}
        self._on_event(Event("started", time.time(), spec.trial_id, where))
        return [Event("ended", time.time(), spec.trial_id, self._run(spec))]

    def _tell_of_room(self, message: dict[str, Any]) -> None:
        data: dict[str, Any] = {key: value for key, value in message.items() if key != "type"}
        with uncaptured_output():
            self._on_event(Event(message["type"], time.time(), None, {"slot": "inline", **data}))

    def _on_wait(self, problem: str) -> bool:
        """Report each time that a result has to wait for free space; returns True if the run is over."""
        self._disk_pause.begin(problem)
        try:
            self._tell_of_room({"type": "no_room", "host": socket.gethostname(), "problem": problem})
        except Exception as over:  # noqa: BLE001 - raised here, a training function's result would be lost in it
            self._problem = self._problem or over
        return self._problem is not None

    def _run(self, spec: Spec) -> dict[str, Any]:
        started = time.time()
        try:
            result = self._carry_out(spec)
        except OSError as error:  # its directories or its log could not be created
            problem = self._disks.problem()
            if error is self._problem or (problem is None and not isinstance(error, DirectoriesUnavailable)):
                raise
            result = failed_result(spec, "storage", f"the trial could not be run: {error}", started)
            self._disk_pause.begin(problem or str(error))
        result, problem = self._disks.attribute_failure(result)
        if problem:
            self._disk_pause.begin(problem)
        return dict(json_safe(result.to_json()))

    def _carry_out(self, spec: Spec) -> Result:
        with (
            trial_directories(self._job, spec, self._on_wait) as (context, problems),
            restored_cwd_and_environ(),
            captured_output(context.log, self._job.verbose),
        ):
            send = self._sender(spec)
            summary = ReportSummary(self._job.direction, self._job.optimization_key, self._job.objectives)
            reporter = Reporter(
                summary, send, lambda: self._reason_to_stop(spec), lambda request: self._ask(spec, request)
            )
            result = execute(
                self._job,
                spec,
                context,
                reporter,
                self._load,
                shares_values=True,
                interruptible=True,
                on_wait=self._on_wait,
            )
            if self._problem:
                raise self._problem
            if result.traceback:
                sys.stderr.write(result.traceback)
        return with_warnings(result, *problems)

    def _sender(self, spec: Spec) -> Callable[[dict[str, Any]], None]:
        def send(report: dict[str, Any]) -> None:
            try:
                self._on_event(Event("report", time.time(), spec.trial_id, {**report, "attempt": spec.attempt}))
            except Exception as problem:  # noqa: BLE001 - raised here, a training function would take it for its own
                self._problem = self._problem or problem
                self._stop = str(problem)

        return send

    def _reason_to_stop(self, spec: Spec) -> str | None:
        """Reason to end the trial; the loop, which waits for this thread, can look for one from time to time."""
        if time.monotonic() - self._polled > POLL_SECONDS:
            self._polled = time.monotonic()
            try:
                with uncaptured_output():
                    self._on_event(Event("polled", time.time(), spec.trial_id))
            except Exception as problem:  # noqa: BLE001 - raised here, a training function would take it for its own
                self._problem = self._problem or problem
                self._stop = str(problem)
        return self._stop

    def _ask(self, spec: Spec, request: dict[str, Any]) -> dict[str, Any]:
        self._answers.clear()
        try:
            self._on_event(Event("ask", time.time(), spec.trial_id, {"request": request, "attempt": spec.attempt}))
        except Exception as problem:  # noqa: BLE001 - raised here, a training function would take it for its own
            self._problem = self._problem or problem
        if not self._answers:
            raise ConnectionError(str(self._problem or "the run has ended"))
        return self._answers.pop()

    def stop(self, trial_id: str, why: str) -> None:
        self._stop = why

    def answer(self, event: Event, answer: dict[str, Any]) -> None:
        self._answers.append(answer)

    def kill(self, trial_id: str, why: str) -> None:
        pass

    def close(self) -> None:
        self._waiting.clear()
