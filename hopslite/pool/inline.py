"""Trials one after the other in this very process: for a debugger, for tests, without Spark and without Java."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from .._trial import Event, Spec, json_safe
from ..errors import InvalidArguments
from ..runtime.capture import LOG, captured
from ..runtime.child import warned
from ..runtime.context import TrialContext, restored
from ..runtime.execute import execute
from ..runtime.job import Job
from ..runtime.report import Reported, Reporter
from ..runtime.sync import mirrored
from ..runtime.values import deserialize
from ..store import RunDir
from . import Resources

__all__ = ["Inline"]


class Inline:
    """One slot: the calling thread. `pdb` and breakpoints work; a crash of the function is a crash of the program."""

    def __init__(self, resources: Resources, spark: Any = None, channel_port: str = "0") -> None:
        wanted = {"cpus_per_trial": resources.cpus_per_trial, "gpus_per_trial": resources.gpus_per_trial}
        problems = [f"{name}={value} means nothing in this process" for name, value in wanted.items() if value]
        if (resources.parallelism or 1) > 1:
            problems.append(f"parallelism={resources.parallelism}, but this pool runs one trial after the other")
        if problems:
            raise InvalidArguments("pool='inline'", problems)
        self._waiting: list[Spec] = []
        self._stop: str | None = None
        self._problem: Exception | None = None  # of whoever is told of reports: the run's, not the trial's

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    def start(self, job: Job, label: str, tell: Callable[[Event], None]) -> None:
        self._job, self._tell = job, tell
        self._loaded = deserialize(job.payload)

    def want(self, slots: int) -> None:
        pass

    @property
    def free(self) -> int:
        return 1 - len(self._waiting)

    @property
    def size(self) -> int:
        return 1

    def submit(self, spec: Spec) -> bool:
        self._waiting.append(spec)
        return True

    def wait(self, timeout: float) -> Sequence[Event]:
        if not self._waiting:
            return []
        spec, self._stop = self._waiting.pop(), None
        self._tell(Event("started", time.time(), spec.trial_id, {"host": socket.gethostname(), "gpus": None}))
        return [Event("ended", time.time(), spec.trial_id, self._run(spec))]

    def _run(self, spec: Spec) -> dict[str, Any]:
        run = RunDir(spec.logdir)
        scratch = None if run.is_local and not self._job.local_logdir else tempfile.mkdtemp(prefix="hopslite-")
        directory = run.url if run.is_local else f"{scratch}/trial"
        logdir = f"{scratch}/logdir" if self._job.local_logdir else directory
        for path in (directory, logdir):
            os.makedirs(path, exist_ok=True)
        mirror, problems = None, []
        try:
            log = os.path.join(directory, LOG)
            checkpoints, mirror = mirrored(spec, run, directory, scratch or directory, self._job.sync_interval)
            context = TrialContext(
                self._job.run_id, spec.trial_id, directory, logdir, log, checkpoints, self._job.project
            )
            with restored(), captured(log, tee=self._job.verbose):
                reporter = Reporter(Reported(self._job.direction), self._sender(spec), lambda: self._stop)
                result = execute(self._job, spec, context, reporter, self._loaded, interruptible=True)
                if self._problem:
                    raise self._problem
                if result.traceback:
                    sys.stderr.write(result.traceback)
            if logdir != directory:
                shutil.copytree(logdir, directory, dirs_exist_ok=True)
        finally:
            try:
                if mirror:
                    mirror.finish()
            except OSError as error:
                problems = [f"files could not be kept ({error}); they are in {scratch}"]
            if scratch and not problems:
                shutil.rmtree(scratch, ignore_errors=True)
        return dict(json_safe(warned(result, *problems).to_json()))

    def _sender(self, spec: Spec) -> Callable[[float, float], None]:
        def send(step: float, value: float) -> None:
            data = {"step": step, "value": value, "attempt": spec.attempt}
            try:
                self._tell(Event("report", time.time(), spec.trial_id, data))
            except Exception as problem:  # noqa: BLE001 - raised here, a training function would take it for its own
                self._problem = self._problem or problem
                self._stop = str(problem)

        return send

    def stop(self, trial_id: str, why: str) -> None:
        self._stop = why

    def kill(self, trial_id: str, why: str) -> None:
        pass

    def close(self) -> None:
        self._waiting.clear()
