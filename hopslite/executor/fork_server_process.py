"""The process of a run's fork server, which has the user's program loaded and forks a child per trial."""

from __future__ import annotations

import gc
import json
import os
import resource
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

from ..channel.shared_memory import SharedBuffers
from ..channel.trial_pipe import TrialPipe
from ..core.types import Spec
from ..serialization.broadcasts import load_values
from ..serialization.program import Program
from .context import TrialContext
from .forked_trial import FrameworkChanges, resource_usage, run_trial
from .forking_process import ForkingProcess
from .inherited_generators import InheritedGenerators
from .inputs import import_cache
from .job_spec import Job
from .preimport import import_all
from .process_control import replace_environment
from .run_function import Loaded

__all__ = ["ForkServerProcess"]


class ForkServerProcess(ForkingProcess[tuple[str, int]]):
    """The fork server in its own process, a child of a warm server; its children are labelled by trial and attempt.

    Args:
        control: connection to the slot, which sends the setup as two frames: JSON and the serialized program.
        variables: environment variables that frameworks have set when they were imported.
        initial_filters: the warning filters before frameworks were imported.
        generators: random number generators of the frameworks.
    """

    def __init__(
        self,
        control: socket.socket,
        variables: dict[str, str],
        initial_filters: Collection[tuple[Any, ...]],
        generators: InheritedGenerators,
    ) -> None:
        super().__init__(control)
        self._generators = generators
        self._send(pid=os.getpid())
        setup = json.loads(self._connection.recv_bytes())
        self._job = Job(**setup["job"], payload=self._connection.recv_bytes())
        _set_environment({**variables, **setup["environment"]})
        framework_filters = [item for item in warnings.filters if item not in initial_filters]
        self._load = _install_program(self._job, framework_filters)
        self._preimports: Sequence[str] = setup["preimport"]
        self._environment: dict[str, str] | None = None  # the original one, after a preimport has changed it

    def serve(self, timeout: float | None = None) -> None:
        self._import(self._preimports)
        import_cache(self._job.inputs)
        load_values()
        self._generators.find()
        self._changes = FrameworkChanges()
        gc.collect()
        gc.freeze()
        super().serve(timeout)

    def _import(self, modules: Sequence[str]) -> None:
        if modules:
            import_all(modules, lambda name: self._send(importing=name))
            self._send(importing=None)

    def _serve(self, request_type: bytes, descriptors: list[int], request: dict[str, Any]) -> None:
        if request_type == b"P":
            if request["environment"] and self._environment is None:
                self._environment = dict(os.environ)
            os.environ.update(request["environment"])  # as the trial had set it before it imported the framework
            self._import(request["modules"])
            self._generators.find()
            self._changes = FrameworkChanges()
            gc.freeze()
            return
        spec, context, cwd = Spec(**request["spec"]), TrialContext(**request["context"]), request["cwd"]

        def run() -> None:
            pipe = TrialPipe(descriptors[0], *map(SharedBuffers, descriptors[1:]))
            run_trial(
                self._job, spec, context, cwd, pipe, self._environment, self._load, self._changes, self._generators
            )

        self._fork((spec.trial_id, spec.attempt), descriptors, run)

    def _on_end(self, label: tuple[str, int], pid: int, status: int, usage: resource.struct_rusage) -> None:
        trial_id, attempt = label
        self._send(trial=trial_id, attempt=attempt, status=status, usage=resource_usage(usage))


def _set_environment(environment: dict[str, str]) -> None:
    """Set this run's environment, and forget what this process has derived from another one."""
    replace_environment(environment)
    time.tzset()
    tempfile.tempdir = None


def _install_program(job: Job, framework_filters: Sequence[tuple[Any, ...]]) -> Callable[[], Loaded]:
    """Make the user's program this process's `__main__`; returns the function by which each trial loads it."""
    try:
        program = Program(job.payload)
        program.install(job.arguments, framework_filters)
    except Exception as error:  # noqa: BLE001 - for example another version of hopslite; trials report it
        problem = error

        def fail() -> Loaded:
            raise problem

        return fail
    return program.load
