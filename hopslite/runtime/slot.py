"""One Spark task that stays: it asks the driver for trials and runs them one after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from typing import Any, Protocol

from .. import _plugins
from .._trial import Member, Result, Spec, State, json_safe
from ..store import RunDir
from .capture import LogTail, captured
from .child import NEVER, Place, RunningTrial, how_it_died, warned
from .execute import execute, failed
from .job import Job
from .ports import has_listener, hold_port
from .report import Reported, Reporter
from .system import Sampler
from .values import deserialize
from .workdir import WorkDir
from .zygote import Zygote

__all__ = ["Link", "serve"]

BEAT_SECONDS = 2.0
IDLE_SECONDS = 60.0
TAIL_SECONDS = 0.25
GRACE_SECONDS = 10.0  # between a trial's result and the end of its process
OPTIONAL = ("tf_keras",)


class Link(Protocol):
    """The slot's end of the channel to the driver.

    `send` may be called from any thread. `receive` returns a `beat`, which means nothing, when the connection had only
    itself to look after.
    """

    def fileno(self) -> int: ...
    def send(self, message: dict[str, Any]) -> None: ...
    def receive(self) -> dict[str, Any]: ...


def serve(link: Link, job: Job, gpus: list[str] | None) -> None:
    """Run trials as the driver sends them until it says `exit` or the channel closes.

    Messages to the driver: `ready`, `started`, `report`, `output`, `sample`, `ended`, `beat`; from it: `run`, `stop`
    (at the next report), `kill`, `exit`. For members of a distributed trial also `reserve`, answered by `reserved` with
    the port that is held; `probe`, answered by `probed`: whether the framework listens there; and, between a member's
    `done` and its `ended`, `release`.

    Args:
        gpus: addresses of the GPUs that trials here may use; None leaves `CUDA_VISIBLE_DEVICES` as it is.
    """
    _check_run_directory(job)
    environment = {"ML_ID": job.run_id}
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    environment |= _preset(job)
    runner = _ProcessRunner if job.isolation == "process" else _InlineRunner
    with _beating(link):
        slot = runner(link, job, environment)
        try:
            with contextlib.suppress(EOFError, OSError):
                link.send({"type": "ready"})
                slot.loop()
        finally:
            slot.close()


def _preset(job: Job) -> dict[str, str]:
    """What members need in their environment before they import a framework."""
    if not job.strategy:
        return {}
    members = [Member.from_json(member) for member in job.members]
    installed = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    return dict(_plugins.load("distribute", job.strategy).preset(members, os.environ, installed))


@contextlib.contextmanager
def _beating(link: Link) -> Iterator[None]:
    """Tell the driver that this slot is alive, also while it copies files or runs a trial itself."""
    closing = threading.Event()

    def beat() -> None:
        with contextlib.suppress(OSError):
            while not closing.wait(BEAT_SECONDS):
                link.send({"type": "beat"})

    threading.Thread(target=beat, name="hopslite-beat", daemon=True).start()
    try:
        yield
    finally:
        closing.set()


def _check_run_directory(job: Job) -> None:
    run = RunDir(f"{job.project}/Experiments/{job.run_id}")
    if not run.exists("run.json"):
        raise FileNotFoundError(
            f"{run.url} is not visible on {socket.gethostname()}: the project directory must be on a file system that "
            "the driver and all executors share"
        )


class _ProcessRunner:
    """Trials in children of a zygote; this process only waits, relays and kills."""

    def __init__(self, link: Link, job: Job, environment: dict[str, str]) -> None:
        self._link, self._job, self._environment = link, job, environment
        self._work = WorkDir(job.directory, job.local_logdir)
        self._may_preload = job.repeats
        self._zygote = Zygote(job, environment, preload=self._may_preload)
        self._preloaded: set[str] = set(job.preload)
        self._preload_environment: dict[str, str] = {}
        self._trial: RunningTrial | None = None
        self._port: socket.socket | None = None
        self._next_sample = self._next_tail = NEVER

    def loop(self) -> None:
        while True:
            links: list[Any] = [self._link, self._zygote.link]
            if self._trial and not self._trial.closed:
                links.append(self._trial.link)
            ready: list[Any] = wait(links, timeout=max(0.0, self._next_wake() - time.monotonic()))
            if self._trial and self._trial.link in ready:
                self._from_trial(self._trial)
            if self._zygote.link in ready:
                self._from_zygote()
            if self._link in ready and self._from_driver(self._link.receive()):
                return
            self._on_time()
            if self._trial and self._trial.over:
                self._end(self._trial)

    def _next_wake(self) -> float:
        trial = self._trial
        if trial is None:
            return time.monotonic() + IDLE_SECONDS
        return min(trial.deadline, trial.silent_at, trial.kill_at, self._next_sample, self._next_tail)

    def _from_driver(self, message: dict[str, Any]) -> bool:
        if message["type"] == "exit":
            return True
        if message["type"] == "run":
            self._begin(Spec.from_json(message["spec"]))
        elif message["type"] == "reserve":
            self._reserve({**message, "type": "reserved"})
        elif self._trial and self._trial.spec.trial_id == message.get("trial"):
            self._about_trial(self._trial, message)
        return False

    def _about_trial(self, trial: RunningTrial, message: dict[str, Any]) -> None:
        if message["type"] == "release":
            self._release(trial)
        elif message["type"] == "probe":
            self._tell_listening("probed", trial)
        elif message["type"] == "stop":
            trial.ask_to_stop(message["why"])
            trial.deadline = min(trial.deadline, time.monotonic() + self._job.stop_grace)
        elif message["type"] == "kill":
            trial.end(message["why"])

    def _reserve(self, answer: dict[str, Any]) -> None:
        self._free_port()
        try:
            self._port = hold_port(answer["ports"])
        except OSError as error:
            self._link.send({**answer, "error": str(error)})
            return
        self._link.send({**answer, "port": self._port.getsockname()[1]})

    def _tell_listening(self, kind: str, trial: RunningTrial) -> None:
        listening = self._port is not None and has_listener(self._port)
        self._link.send({"type": kind, "trial": trial.spec.trial_id, "listening": listening})

    def _free_port(self) -> None:
        if self._port:
            self._port.close()
            self._port = None

    def _release(self, trial: RunningTrial) -> None:
        trial.release()
        if trial.result:
            trial.kill_at = time.monotonic() + GRACE_SECONDS

    def _begin(self, spec: Spec) -> None:
        if part := spec.part:  # its log tells the whole of its environment
            part = dataclasses.replace(part, environment={**_preset(self._job), **part.environment})
            spec = dataclasses.replace(spec, member=part.to_json())
        try:
            self._trial = RunningTrial(self._job, spec, self._zygote, self._work)
        except OSError as error:  # a full disk, a zygote that was killed
            self._restart_zygote()
            self._send_end(failed(spec, "lost", f"the trial could not be started: {error}", time.time()))
            return
        now = time.monotonic()
        self._next_sample = now + self._job.sample_seconds / 5
        self._next_tail = now + TAIL_SECONDS if self._job.verbose else NEVER

    def _from_trial(self, trial: RunningTrial) -> None:
        try:
            message = json.loads(trial.link.recv_bytes())
        except (EOFError, OSError):
            trial.closed = True
            return
        if "report" in message:
            step, value = message["report"]
            trial.reported.add(step, value)
            trial.silent_at = self._silence()
            told = {"type": "report", "trial": trial.spec.trial_id, "attempt": trial.spec.attempt}
            self._link.send({**told, "step": step, "value": value})
        elif "pid" in message:
            trial.began(message["pid"])
            if trial.heard:
                trial.silent_at = self._silence()
            if self._job.trial_timeout:  # from here on: it may have waited for the zygote to import a framework
                trial.deadline = time.monotonic() + self._job.trial_timeout
            self._link.send({"type": "started", "trial": trial.spec.trial_id})
        elif "loading" in message:
            self._preload([message["loading"]], message["environment"])
        elif "result" in message:
            trial.result = Result.from_json(message["result"])
            trial.deadline = trial.silent_at = NEVER
            if trial.waits and trial.result.state is State.FINISHED:
                self._tell_listening("done", trial)
            else:
                trial.kill_at = time.monotonic() + GRACE_SECONDS
            self._after_result(trial, message["modules"], message["environment"])

    def _silence(self) -> float:
        """When a trial that reports nothing more counts as hanging."""
        return time.monotonic() + (self._job.heartbeat_timeout or NEVER)

    def _after_result(self, trial: RunningTrial, modules: list[str], environment: dict[str, str]) -> None:
        if self._preloaded and environment != self._preload_environment and self._may_preload:
            self._may_preload = False
            changed = ", ".join(sorted(environment.keys() ^ self._preload_environment.keys() or environment.keys()))
            trial.result = warned(
                trial.result,
                f"{changed} changed after a framework had been imported ahead of the trial and may not have had its "
                "effect; later trials of this slot import frameworks themselves",
            )
        elif modules:
            self._preload(modules, environment)

    def _preload(self, modules: list[str], environment: dict[str, str]) -> None:
        new = [name for name in modules if name not in self._preloaded]
        if new and self._may_preload:
            self._preloaded.update(new)
            self._preload_environment = environment
            with contextlib.suppress(OSError):
                self._zygote.preload(new, environment)

    def _from_zygote(self) -> None:
        trial = self._trial
        try:
            message = json.loads(self._zygote.link.recv_bytes())
        except (EOFError, OSError):
            self._restart_zygote()
            if trial:
                trial.kill()
                trial.exit, trial.closed = {"status": None}, True
            return
        # a trial whose result is here may have been left before its process had ended: that end is none of the next's
        if trial and (trial.spec.trial_id, trial.spec.attempt) == (message["trial"], message["attempt"]):
            trial.exit = message
            self._drain(trial)

    def _drain(self, trial: RunningTrial) -> None:
        """Read what a dead child had still sent; a process that it left behind may hold the socket open."""
        while not trial.closed and trial.link.poll(0):
            self._from_trial(trial)
        trial.closed = True

    def _on_time(self) -> None:
        now = time.monotonic()
        trial = self._trial
        if trial is None:
            return
        if now >= min(trial.deadline, trial.silent_at):
            why = "stopped" if trial.stop_why else "timeout" if now >= trial.deadline else "silent"
            trial.deadline = trial.silent_at = NEVER
            trial.end(why)
        if now >= trial.kill_at:
            trial.kill()
        if now >= self._next_sample:
            self._next_sample = now + self._job.sample_seconds
            if trial.pid and not trial.sampler:
                trial.sampler = Sampler(trial.pid, self._environment.get("CUDA_VISIBLE_DEVICES"), trial.clock)
            if trial.sampler and (metrics := trial.sampler.sample()):
                self._link.send({"type": "sample", "trial": trial.spec.trial_id, "metrics": metrics})
        if now >= self._next_tail:
            self._next_tail = now + TAIL_SECONDS
            self._send_output(trial)

    def _send_output(self, trial: RunningTrial, last: bool = False) -> None:
        if lines := trial.tail.read(last):
            self._link.send({"type": "output", "trial": trial.spec.trial_id, "lines": lines})

    def _end(self, trial: RunningTrial) -> None:
        self._trial = None
        trial.link.close()
        if self._job.verbose:
            self._send_output(trial, last=True)
        result = trial.result if trial.ended_for is None and trial.result else how_it_died(trial, self._job)
        if trial.exit and trial.exit.get("usage"):
            result = dataclasses.replace(result, usage=trial.exit["usage"])
        self._free_port()
        result = dataclasses.replace(result, log=os.path.basename(trial.place.log))
        self._send_end(warned(result, *trial.place.settle()))
        if not self._may_preload and self._preloaded:
            self._preloaded = set()
            self._restart_zygote()

    def _send_end(self, result: Result) -> None:
        self._link.send({"type": "ended", "result": json_safe(result.to_json())})

    def _restart_zygote(self) -> None:
        self._zygote.close()
        self._zygote = Zygote(self._job, self._environment, preload=self._may_preload)

    def close(self) -> None:
        trial, self._trial = self._trial, None
        if trial and trial.pid is not None:
            trial.kill()
        self._free_port()
        self._zygote.close()
        if trial:
            trial.place.settle()
        self._work.remove()


class _InlineRunner:
    """`isolation="none"`: trials in the slot itself, without the cost and the safety of a process each."""

    def __init__(self, link: Link, job: Job, environment: dict[str, str]) -> None:
        self._link, self._job = link, job
        self._before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        sys.path += [entry for entry in job.import_path if entry not in sys.path]
        self._loaded = deserialize(job.payload)
        self._work = WorkDir(job.directory, job.local_logdir)
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
        place, before, environment = Place(self._job, spec, self._work), os.getcwd(), dict(os.environ)
        os.chdir(place.work.cwd)
        self._stop, self._kill = None, False
        told = {"type": "report", "trial": spec.trial_id, "attempt": spec.attempt}
        reporter = Reporter(
            Reported(self._job.direction),
            lambda step, value: self._link.send({**told, "step": step, "value": value}),
            lambda: self._stop_asked(spec.trial_id),
        )
        try:
            with captured(place.log, tee=False):
                result = execute(self._job, spec, place.context, reporter, self._loaded)
                if result.traceback:
                    sys.stderr.write(result.traceback)
                if self._kill and result.state is State.STOPPED:
                    result = failed(spec, "killed", f"ended: {self._stop}", result.started)
        finally:
            os.chdir(before)
            if environment != os.environ:
                os.environ.clear()
                os.environ.update(environment)
        if self._job.verbose and (lines := LogTail(place.log).read(last=True)):
            self._link.send({"type": "output", "trial": spec.trial_id, "lines": lines})
        result = warned(result, *place.settle())
        self._link.send({"type": "ended", "result": json_safe(result.to_json())})

    def close(self) -> None:
        self._work.remove()
        for name, value in self._before.items():  # Spark uses this process again
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
