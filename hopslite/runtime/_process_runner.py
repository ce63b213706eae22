"""A slot that runs each trial in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import socket
import time
from multiprocessing.connection import wait
from typing import Any

from .. import _plugins
from .._trial import Member, Result, Spec, State, json_safe
from .capture import GLANCE_LINES
from .child import NEVER, RunningTrial, how_it_died, signal_name, warned
from .execute import failed
from .job import Job
from .link import Link
from .ports import has_listener, hold_port
from .report import REPORT_SECONDS
from .system import Sampler
from .workdir import WorkDir
from .zygote import Zygote

__all__ = ["ProcessRunner", "preset"]

IDLE_SECONDS = 60.0
TAIL_SECONDS = 0.25
GRACE_SECONDS = 10.0  # between a trial's result and the end of its process
AT_ONCE = 200  # messages of a trial, before the driver has a turn
OPTIONAL = ("tf_keras",)


def preset(job: Job) -> dict[str, str]:
    """What members need in their environment before they import a framework."""
    if not job.strategy:
        return {}
    members = [Member.from_json(member) for member in job.members]
    installed = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    return dict(_plugins.load("distribute", job.strategy).preset(members, os.environ, installed))


class ProcessRunner:
    """Trials in children of a zygote; this process only waits, relays and kills."""

    def __init__(self, link: Link, job: Job, environment: dict[str, str]) -> None:
        self._link, self._job, self._environment = link, job, environment
        self._work = WorkDir(job.directory, job.local_logdir)
        self._may_preload = job.repeats
        self._zygote = Zygote(job, environment, preload=self._may_preload)
        self._preloaded: set[str] = set(job.preload)
        self._preload_environment: dict[str, str] = {}
        self._trial: RunningTrial | None = None
        self._to_tell: list[str] = []  # with the next result
        self._port: socket.socket | None = None
        self._next_sample = self._next_tail = NEVER

    def loop(self) -> None:
        while True:
            links: list[Any] = [self._link, self._zygote.link]
            if self._trial and not self._trial.closed and time.monotonic() >= self._trial.read_at:
                links.append(self._trial.link)
            ready: list[Any] = wait(links, timeout=max(0.0, self._next_wake() - time.monotonic()))
            if self._trial and self._trial.link in ready:
                self._hear(self._trial)
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
        soon = trial.read_at if trial.read_at and not trial.closed else NEVER
        return min(soon, trial.deadline, trial.silent_at, trial.kill_at, self._next_sample, self._next_tail)

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
        elif message["type"] == "stop" and not trial.result:
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
            part = dataclasses.replace(part, environment={**preset(self._job), **part.environment})
            spec = dataclasses.replace(spec, member=part.to_json())
        try:
            self._trial = RunningTrial(self._job, spec, self._zygote, self._work)
        except OSError as error:  # a full disk, a zygote that was killed
            self._restart_zygote()
            self._send_end(failed(spec, "lost", f"the trial could not be started: {error}", time.time()))
            return
        now = time.monotonic()
        self._next_sample = now + self._job.sample_seconds / 5
        self._next_tail = now + TAIL_SECONDS if self._job.tail else NEVER

    def _hear(self, trial: RunningTrial) -> None:
        """Read what a trial has sent; one that reports is then left alone for a moment."""
        trial.read_at = 0.0
        for _ in range(AT_ONCE):
            self._from_trial(trial)
            if trial.closed or not trial.link.poll(0):
                return
        trial.read_at = 0.0  # there is more

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
            trial.read_at = time.monotonic() + REPORT_SECONDS
            told = {"type": "report", "trial": trial.spec.trial_id, "attempt": trial.spec.attempt}
            self._link.send({**told, "step": step, "value": value})
        elif "pid" in message:
            trial.began(message["pid"])
            self._zygote.has_forked = True
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
                trial.kill_at = min(trial.kill_at, time.monotonic() + GRACE_SECONDS)
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
            self._on_dead_zygote(trial)
            return
        if "importing" in message:
            self._zygote.importing = message["importing"]
            return
        # a trial whose result is here may have been left before its process had ended: that end is none of the next's
        if trial and (trial.spec.trial_id, trial.spec.attempt) == (message["trial"], message["attempt"]):
            trial.exit = message
            self._drain(trial)

    def _on_dead_zygote(self, trial: RunningTrial | None) -> None:
        """Go on with another; one that an import has killed is followed by one that imports nothing ahead."""
        dead = self._zygote
        if trial:
            self._drain(trial)
        by_import = bool(dead.importing or (self._preloaded and not dead.has_forked))
        if by_import:
            self._may_preload, self._preloaded = False, set()
        self._restart_zygote()
        code = dead.process.returncode
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"exited with code {code}"
        how += f" while it imported {dead.importing} ahead of trials" if dead.importing else ""
        if by_import:
            self._to_tell.append(f"the parent process of trials {how}; those of this slot import frameworks themselves")
        if trial is None:
            return
        if dead.importing and trial.pid is None and trial.ended_for is None:  # it had not begun
            trial.link.close()
            trial.place.abandon()
            self._begin(trial.spec)
            return
        trial.kill()
        trial.exit = {"status": None, "why": f"the parent process of the trial {how}"}

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
            if trial.result and trial.ended_for is None:
                self._to_tell.append(
                    f"its process was still at work {GRACE_SECONDS:g} s after the training function had ended (threads "
                    "that are no daemons, or what is registered with atexit) and was killed"
                )
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
        if lines := trial.tail.read(last, None if self._job.verbose else GLANCE_LINES):
            self._link.send({"type": "output", "trial": trial.spec.trial_id, "lines": lines})

    def _end(self, trial: RunningTrial) -> None:
        self._trial = None
        trial.link.close()
        if self._job.tail:
            self._send_output(trial, last=True)
        result = trial.result if trial.result and trial.result_counts else how_it_died(trial, self._job)
        if trial.exit and trial.exit.get("usage"):
            result = dataclasses.replace(result, usage=trial.exit["usage"])
        self._free_port()
        result = dataclasses.replace(result, log=os.path.basename(trial.place.log))
        told, self._to_tell = self._to_tell, []
        self._send_end(warned(result, *told, *self._work.warnings(result.state is State.FAILED), *trial.place.settle()))
        if not self._may_preload and self._preloaded:
            self._preloaded = set()
            self._restart_zygote()

    def _send_end(self, result: Result) -> None:
        self._link.send({"type": "ended", "result": json_safe(result.to_json())})

    def _restart_zygote(self) -> None:
        self._zygote.close()
        self._zygote = Zygote(self._job, self._environment, preload=self._may_preload)
        if later := sorted(self._preloaded.difference(self._job.preload)):  # what trials have shown to need
            with contextlib.suppress(OSError):
                self._zygote.preload(later, self._preload_environment)

    def close(self) -> None:
        trial, self._trial = self._trial, None
        if trial and trial.pid is not None:
            trial.kill()
        self._free_port()
        self._zygote.close()
        if trial:
            trial.place.settle()
        self._work.remove()
