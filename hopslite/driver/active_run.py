"""Runs around code of the driver: `with experiment.start_run("name"):`.

Such a run is like that of any verb: the run loop, in a thread of its own, with a pool whose only trial is the code.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from ..core.types import Result
from ..display import Display
from ..display.terminal import Lines
from ..errors import HopsliteError, InvalidArguments
from ..executor.context import trial_context
from ..executor.reporter import Reporter, ReportSummary
from ..executor.run_function import execute
from ..executor.trial_log import captured_output
from ..executor.trial_process import with_warnings
from ..pool._start_run import DriverCodePool
from ..pool._trial_directories import trial_directories
from ..result import Run
from .arguments import Call
from .run_call import About
from .verbs import around

__all__ = ["ActiveRun", "begin_run", "code_of_the_driver", "end_run"]

POLL_SECONDS = 0.1  # between two checks whether the run has begun
EXIT_SECONDS = 30.0  # for a run that was not ended to be completed when the program ends

_active_runs: list[ActiveRun] = []  # by `experiment.begin`, until `experiment.end`


def code_of_the_driver() -> None:
    """Placeholder for the training function in the plan of a run around code of the driver."""


class ActiveRun:
    """A run around code of this program, from `start_run` until the end of the block or `end`.

    Attributes:
        name, run_id: identify the run.
        logdir: the run directory. What the code writes for TensorBoard goes to `tensorboard.logdir()`.
        outputs: the code's outputs by name, as in the dict that a training function returns; can be filled at any time.
        result: the `Run`, once it has ended.
    """

    def __init__(self, call: Call, about: About, params: Mapping[str, Any] | None) -> None:
        self.name = about.name
        self.outputs: dict[str, Any] = {}
        self.result: Run | None = None
        self._pool, self._owner = DriverCodePool(), os.getpid()
        self._failure: BaseException | None = None
        self._has_ended = False
        call.options = {**call.options, "pool": self._pool, "display": _display(call.options["display"])}
        self._thread = threading.Thread(
            target=self._carry_out, args=(call, about, params), name="hopslite-run", daemon=True
        )
        self._thread.start()
        self._contexts = contextlib.ExitStack()
        try:
            self._begin()
        except BaseException as error:
            self._contexts.close()
            self._pool.interrupt(f"it could not begin: {type(error).__name__}: {error}")
            raise

    def _carry_out(self, call: Call, about: About, params: Mapping[str, Any] | None) -> None:
        try:
            self.result = around(call, about, params)
        except BaseException as error:  # noqa: BLE001 - it is raised in the code's thread
            self._failure = error
            self.result = getattr(error, "result", None)

    def _begin(self) -> None:
        while (submitted := self._pool.trial(POLL_SECONDS)) is None:
            if not self._thread.is_alive():
                raise self._failure or RuntimeError("the run did not begin")
        self._job, self._spec = submitted
        self.run_id = self._job.run_id
        self.logdir = self._spec.logdir.removesuffix(f"/trials/{self._spec.trial_id}")
        context, self._problems = self._contexts.enter_context(trial_directories(self._job, self._spec))
        self._context = dataclasses.replace(context, in_driver=True, tracking_uri=self._job.tracking_uri)
        self._reporter = Reporter(ReportSummary(None, self._job.optimization_key), self._pool.report, lambda: None)
        self._contexts.enter_context(captured_output(context.log, tee=True))
        self._contexts.enter_context(trial_context(self._context, self._reporter))
        self._started, self._started_monotonic = time.time(), time.monotonic()
        atexit.register(self._abandon_at_exit)

    def __repr__(self) -> str:
        return f"<run {self.name!r} in {self.logdir}, {'over' if self._has_ended else 'under way'}>"

    def __enter__(self) -> ActiveRun:
        if self._has_ended:
            raise InvalidArguments("start_run()", [f"run {self.name!r} is over; start another one"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._has_ended:  # by `end` within the block
            return
        error_of_code = None if isinstance(error, SystemExit) and error.code in (None, 0) else error
        try:
            self._end(error_of_code, None)
        except BaseException:
            if error is None:
                raise  # otherwise the code's own error is raised

    def end(self, metric: Any = None) -> Run:
        """End the run as FINISHED. Its metric is the given one, otherwise from `outputs` or the last report.

        Raises:
            TrialFailed: the outputs cannot be recorded.
        """
        if self._has_ended:
            raise InvalidArguments("end()", [f"run {self.name!r} is over"])
        self._end(None, metric)
        assert self.result is not None
        return self.result

    def _end(self, error: BaseException | None, metric: Any) -> None:
        self._has_ended = True
        atexit.unregister(self._abandon_at_exit)
        interrupted = isinstance(error, KeyboardInterrupt)
        result = None if interrupted else self._result(error, metric)
        self._contexts.close()
        if result is None:
            self._pool.interrupt()
        else:
            self._pool.end(with_warnings(result, *self._problems))
        self._thread.join()
        if self._failure is not None:
            is_own_error = isinstance(self._failure, HopsliteError)
            raise self._failure.with_traceback(None) if is_own_error else self._failure

    def _result(self, error: BaseException | None, metric: Any) -> Result:
        traceback = None if error is None else error.__traceback__
        job = self._job
        if metric is not None and job.optimization_key is None:
            job = dataclasses.replace(job, optimization_key="metric")

        def outcome(**_: Any) -> Any:
            if error is not None:
                raise error
            return self._returned(metric)

        result = execute(job, self._spec, self._context, self._reporter, lambda: (outcome, []))
        result = dataclasses.replace(result, started=self._started, duration=time.monotonic() - self._started_monotonic)
        if error is not None and result.traceback:
            error.__traceback__ = traceback  # without the frames from here
            with contextlib.suppress(OSError), open(self._context.log, "a", encoding="utf-8") as log:
                log.write(result.traceback)
        return result

    def _returned(self, metric: Any) -> Any:
        """Return value of the code: the metric, the outputs, or both; otherwise its last report.

        Without an optimised metric a report of several metrics is as good as one of a single one.
        """
        if metric is None:
            reported = self._reporter.reported
            named = reported.latest if self._job.optimization_key is None else {}
            return self.outputs or (reported.outputs("last") if reported.count else named or None)
        return {**self.outputs, self._job.optimization_key or "metric": metric} if self.outputs else metric

    def _abandon_at_exit(self) -> None:
        """Complete the record of a run that the program has not ended, as KILLED."""
        if self._has_ended or os.getpid() != self._owner:
            return
        self._has_ended = True
        with contextlib.suppress(Exception):
            self._contexts.close()
        self._pool.interrupt("the program ended before the run did; end it with experiment.end(), or use `with`")
        self._thread.join(EXIT_SECONDS)


def _display(wanted: Any) -> bool | Display:
    """A display of lines on the program's current streams, since a bar would tear its own output."""
    return Lines(sys.stdout, sys.stderr) if wanted is True else wanted


def begin_run(call: Call, about: About) -> str:
    """Implementation of `experiment.begin`."""
    if _active_runs and not _active_runs[-1]._has_ended:
        raise InvalidArguments(
            "experiment.begin()",
            [f"run {_active_runs[-1].name!r} has begun and not ended; call experiment.end() first, or use start_run()"],
        )
    _active_runs[:] = [ActiveRun(call, about, None)]
    return _active_runs[-1]._context.logdir


def end_run(metric: Any) -> Run:
    """Implementation of `experiment.end`."""
    if not _active_runs or _active_runs[-1]._has_ended:
        raise InvalidArguments("experiment.end()", ["no run has begun; call experiment.begin() first"])
    return _active_runs.pop().end(metric)
