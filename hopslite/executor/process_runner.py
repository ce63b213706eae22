"""Runs each of a slot's trials in a process of its own, with limits on time and silence."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import time
from typing import Any

from ..channel.framing import wait_readable
from ..channel.interface import DriverConnection
from ..core import plugins
from ..core.types import Member, Result, Spec, State, json_safe
from ..storage.run_directory import RunDir
from .disk_probe import DiskPause, Disks, pause_on_disk_failure
from .failure_cause import result_of_dead_process
from .fork_server_supervisor import ForkServerSupervisor
from .job_spec import Job
from .port_reservation import ReservedPort
from .reporter import REPORT_SECONDS
from .run_function import failed_result
from .system_metrics import Sampler
from .trial_log import PREVIEW_LINES
from .trial_process import (
    KILL_SECONDS,
    NEVER,
    DirectoriesUnavailable,
    RunningTrial,
    with_warnings,
)
from .workdir import WorkDir

__all__ = ["ProcessRunner", "preset_environment"]

IDLE_SECONDS = 60.0
TAIL_SECONDS = 0.25
EXIT_GRACE_SECONDS = 10.0  # between a trial's result and the end of its process
MAX_MESSAGES_PER_TURN = 200  # messages of a trial, before the driver's are handled
DRAIN_SECONDS = 5.0  # for messages that a dead trial had sent
FALLBACK_POLL_SECONDS = 0.05  # between two reads of the messages of a trial that has lost its socket
IMPORT_SECONDS = 300.0  # for a framework to be imported ahead of a trial that waits for it
OPTIONAL = ("tf_keras",)


def preset_environment(job: Job) -> dict[str, str]:
    """Environment variables that members need before they import a framework."""
    if not job.strategy:
        return {}
    members = [Member.from_json(member) for member in job.members]
    installed = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    return dict(plugins.load("distribute", job.strategy).preset(members, os.environ, installed))


class ProcessRunner:
    """Slot that runs trials in children of a fork server; this process only waits, relays and kills."""

    def __init__(self, driver: DriverConnection, job: Job, environment: dict[str, str]) -> None:
        self._driver, self._job, self._environment = driver, job, environment
        self._work = WorkDir(job.directory, job.local_logdir, job.spark_files)
        self._parent = ForkServerSupervisor(job, environment)
        self._trial: RunningTrial | None = None
        self._pending_warnings: list[str] = []  # for the next result
        self._port = ReservedPort()
        self._next_sample = self._next_tail = NEVER
        self._disks = Disks(RunDir(job.run_url), self._work.disk)
        self._disk_pause = DiskPause(self._disks, driver.send)

    def loop(self) -> None:
        while True:
            sources: list[Any] = [self._driver, self._parent.current.pipe]
            trial = self._trial
            now = time.monotonic()
            is_paused = trial is not None and now < trial.next_read
            if trial and not trial.fully_read and not trial.pipe.eof and not is_paused:
                sources.append(trial.pipe)
            readable = wait_readable(sources, max(0.0, self._next_wake(is_paused) - now))
            if trial and (trial.pipe in readable or trial.pipe.has_fallback_data):
                self._read_trial(trial)
            if self._parent.current.pipe in readable:
                self._on_fork_server_message()
            if self._driver in readable and self._on_driver_message(self._driver.receive()):
                return
            self._check_deadlines()
            if self._trial is None:
                self._disk_pause.check()
            if self._trial and self._trial.ended:
                self._finish_trial(self._trial)

    def _next_wake(self, is_paused: bool) -> float:
        trial = self._trial
        if trial is None:
            return min(time.monotonic() + IDLE_SECONDS, self._disk_pause.next_check)
        wake_time = trial.next_read if is_paused and not trial.fully_read else NEVER
        if trial.pipe.eof and not trial.fully_read:
            wake_time = time.monotonic() + FALLBACK_POLL_SECONDS
        if trial.pid is None:
            wake_time = min(wake_time, trial.started_monotonic + IMPORT_SECONDS)
        return min(wake_time, trial.deadline, trial.silence_deadline, trial.kill_at, self._next_sample, self._next_tail)

    def _on_driver_message(self, message: dict[str, Any]) -> bool:
        if message["type"] == "exit":
            return True
        if message["type"] == "run":
            self._start_trial(Spec.from_json(message["spec"]))
        elif message["type"] == "reserve":
            self._reserve({**message, "type": "reserved"})
        elif self._trial and self._trial.spec.trial_id == message.get("trial"):
            self._on_trial_order(self._trial, message)
        return False

    def _on_trial_order(self, trial: RunningTrial, message: dict[str, Any]) -> None:
        if message["type"] == "release":
            self._release(trial)
        elif message["type"] == "probe":
            self._send_listening("probed", trial)
        elif message["type"] == "answer":
            trial.pipe.send_answer(message["answer"])
            trial.silence_deadline = self._silence_deadline() if trial.sends_reports else NEVER
        elif message["type"] == "stop" and not trial.result:
            trial.ask_to_stop(message["why"])
            grace = self._job.term_seconds + KILL_SECONDS if self._job.term_seconds else self._job.stop_grace
            trial.deadline = min(trial.deadline, time.monotonic() + grace)
        elif message["type"] == "kill":
            trial.kill_for(message["why"])

    def _reserve(self, answer: dict[str, Any]) -> None:
        try:
            port = self._port.reserve(answer["ports"])
        except OSError as error:
            self._driver.send({**answer, "error": str(error)})
            return
        self._driver.send({**answer, "port": port})

    def _send_listening(self, kind: str, trial: RunningTrial) -> None:
        listening = self._port.has_listener()
        self._driver.send({"type": kind, "trial": trial.spec.trial_id, "listening": listening})

    def _release(self, trial: RunningTrial) -> None:
        trial.release()
        if trial.result:
            trial.kill_at = time.monotonic() + EXIT_GRACE_SECONDS

    def _start_trial(self, spec: Spec) -> None:
        if member := spec.part:  # its log shows its whole environment
            member = dataclasses.replace(member, environment={**preset_environment(self._job), **member.environment})
            spec = dataclasses.replace(spec, member=member.to_json())
        try:
            self._trial = RunningTrial(self._job, spec, self._parent.current, self._work)
        except OSError as error:  # a full disk, an unreachable store, a fork server that was killed
            if (problem := self._disks.problem()) or isinstance(error, DirectoriesUnavailable):
                self._disk_pause.begin(problem or str(error))
                self._send_end(failed_result(spec, "storage", f"the trial could not be started: {error}", time.time()))
                return
            self._parent.restart()
            self._send_end(failed_result(spec, "lost", f"the trial could not be started: {error}", time.time()))
            return
        now = time.monotonic()
        self._next_sample = now + self._job.sample_seconds / 5
        self._next_tail = now + TAIL_SECONDS if self._job.tail else NEVER

    def _read_trial(self, trial: RunningTrial) -> None:
        """Handle a trial's messages; a trial that reports is read again after a moment."""
        trial.next_read, count = 0.0, 0
        try:
            while count < MAX_MESSAGES_PER_TURN and not trial.fully_read:
                for message in trial.pipe.messages():
                    self._on_trial_message(trial, message)
                    count += 1
                if not trial.pipe.has_more:
                    return
                count += 1
        except ValueError as error:
            self._on_protocol_error(trial, str(error))
        trial.next_read = 0.0  # more messages are available

    def _on_protocol_error(self, trial: RunningTrial, problem: str) -> None:
        """End a trial after bytes that are no message, since later bytes cannot be interpreted."""
        trial.fully_read = True
        if trial.result is None:
            trial.protocol_error = problem
            trial.kill_for("garbage")
        else:
            trial.kill()

    def _on_trial_message(self, trial: RunningTrial, message: dict[str, Any]) -> None:
        if "report" in message:
            trial.reported.add(message["report"])
            trial.silence_deadline = self._silence_deadline()
            if self._job.objective is None:  # otherwise the trial may wait for an answer
                trial.next_read = time.monotonic() + REPORT_SECONDS
            report = {"type": "report", "trial": trial.spec.trial_id, "attempt": trial.spec.attempt}
            self._driver.send({**report, **message["report"]})
        elif "ask" in message:
            ask = {"type": "ask", "trial": trial.spec.trial_id, "attempt": trial.spec.attempt}
            self._driver.send({**ask, "request": message["ask"]})
        elif "pid" in message and trial.pid is None:
            trial.on_started(message["pid"])
            self._parent.current.has_forked = True
            if trial.sends_reports:
                trial.silence_deadline = self._silence_deadline()
            if self._job.trial_timeout:  # from now on: it may have waited for the fork server to import a framework
                trial.deadline = time.monotonic() + self._job.trial_timeout
            self._driver.send({"type": "started", "trial": trial.spec.trial_id})
        elif "loading" in message:
            self._parent.preimport([message["loading"]], message["environment"])
        elif "waiting" in message:  # for room to record its result, which is computed
            trial.deadline = trial.silence_deadline = NEVER
            self._disk_pause.begin(message["waiting"])
        elif "result" in message:
            trial.result = Result.from_json(message["result"])
            trial.deadline = trial.silence_deadline = NEVER
            if trial.awaits_release and trial.result.state is State.FINISHED:
                self._send_listening("done", trial)
            else:
                trial.kill_at = min(trial.kill_at, time.monotonic() + EXIT_GRACE_SECONDS)
            self._after_result(trial, message["modules"], message["environment"])

    def _silence_deadline(self) -> float:
        """The time at which a trial without a further report counts as hanging."""
        return time.monotonic() + (self._job.heartbeat_timeout or NEVER)

    def _after_result(self, trial: RunningTrial, modules: list[str], environment: dict[str, str]) -> None:
        if warning := self._parent.preimport_after(modules, environment):
            trial.result = with_warnings(trial.result, warning)

    def _on_fork_server_message(self) -> None:
        trial, pipe = self._trial, self._parent.current.pipe
        for message in self._parent.current.ends():
            # the end of an earlier trial's process may arrive after the next trial has begun
            if trial and (trial.spec.trial_id, trial.spec.attempt) == (message["trial"], message["attempt"]):
                trial.exit = message
                self._drain(trial)
        if pipe.eof:
            self._on_dead_fork_server(trial)

    def _on_dead_fork_server(self, trial: RunningTrial | None) -> None:
        """Replace the fork server, and begin its trial again if it had not begun."""
        dead = self._parent.current
        had_begun = dead.has_begun and dead.importing is None
        if trial:
            self._drain(trial)
        cause, by_import = self._parent.replace_dead()
        if by_import:
            self._pending_warnings.append(
                f"the parent process of trials {cause}; those of this slot import frameworks themselves"
            )
        if trial is None:
            return
        if not had_begun and trial.pid is None and trial.kill_reason is None:
            trial.pipe.close()
            trial.directories.abandon()
            self._start_trial(trial.spec)
            return
        trial.kill()
        trial.exit = {"status": None, "why": f"the parent process of the trial {cause}"}

    def _drain(self, trial: RunningTrial) -> None:
        """Read the messages that a dead child had sent; a process it left may hold the socket open, or write."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while not trial.fully_read and time.monotonic() < deadline:
            self._read_trial(trial)
            if not trial.pipe.has_more:
                break
        trial.fully_read = True

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        trial = self._trial
        if trial is None:
            return
        if now >= min(trial.deadline, trial.silence_deadline):
            why = "stopped" if trial.stop_reason else "timeout" if now >= trial.deadline else "silent"
            trial.deadline = trial.silence_deadline = NEVER
            trial.kill_for(why)
        if now >= trial.kill_at:
            if trial.result and trial.kill_reason is None:
                self._pending_warnings.append(
                    f"its process was still running {EXIT_GRACE_SECONDS:g} s after the training function had ended "
                    "(threads that are not daemons, or functions registered with atexit) and was killed"
                )
            trial.kill()
        if trial.pid is None and now >= min(trial.kill_at, trial.started_monotonic + IMPORT_SECONDS):
            trial.kill_at = NEVER
            self._parent.current.kill()  # it hangs; its end is noticed by its socket
        if now >= self._next_sample:
            self._next_sample = now + self._job.sample_seconds
            if trial.pid and not trial.sampler:
                trial.sampler = Sampler(
                    trial.pid, self._environment.get("CUDA_VISIBLE_DEVICES"), trial.started_monotonic
                )
            if trial.sampler and (metrics := trial.sampler.sample()):
                self._driver.send({"type": "sample", "trial": trial.spec.trial_id, "metrics": metrics})
        if now >= self._next_tail:
            self._next_tail = now + TAIL_SECONDS
            self._send_output(trial)

    def _send_output(self, trial: RunningTrial, last: bool = False) -> None:
        if lines := trial.log_tail.read(last, None if self._job.verbose else PREVIEW_LINES):
            self._driver.send({"type": "output", "trial": trial.spec.trial_id, "lines": lines})

    def _finish_trial(self, trial: RunningTrial) -> None:
        self._trial = None
        trial.pipe.close()
        if self._job.tail:
            self._send_output(trial, last=True)
        result = trial.result if trial.result and trial.result_is_valid else result_of_dead_process(trial, self._job)
        if trial.exit and trial.exit.get("usage"):
            result = dataclasses.replace(result, usage=trial.exit["usage"])
        self._port.release()
        result = dataclasses.replace(result, log=os.path.basename(trial.directories.log))
        result = pause_on_disk_failure(result, self._disks, self._disk_pause, self._work)
        report, self._pending_warnings = self._pending_warnings, []
        trial.directories.on_wait = self._on_wait
        warnings = trial.directories.finish()
        self._send_end(with_warnings(result, *report, *self._work.warnings(result.state is State.FAILED), *warnings))
        self._parent.between_trials()

    def _on_wait(self, problem: str) -> bool:
        """Tell the driver that files wait for room; a message of the driver ends the wait (True)."""
        self._disk_pause.begin(problem)
        sources: list[Any] = [self._driver]
        return bool(wait_readable(sources, 0))

    def _send_end(self, result: Result) -> None:
        self._driver.send(
            {"type": "ended", "result": json_safe(result.to_json()), "paused": self._disk_pause.is_active}
        )

    def close(self) -> None:
        trial, self._trial = self._trial, None
        if trial and trial.pid is not None:
            trial.kill()
        self._port.release()
        self._parent.close()
        if trial:
            trial.directories.finish()
        self._work.remove()
