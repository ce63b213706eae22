"""Attempts of a run's trials from its journal: where each ran, from when to when, and how it ended."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from ..core.types import Event, State
from ..storage.journal import JournalReader
from ..storage.records import is_sound
from ..storage.run_directory import RunDir

__all__ = ["Attempt", "Attempts", "AttemptsReading", "Outcome", "attempts_of"]

Outcome = Literal["finished", "stopped", "failed", "killed", "retried", "cut off", "running"]
ENDS: dict[str, Outcome] = {
    State.FINISHED: "finished",
    State.STOPPED: "stopped",
    State.FAILED: "failed",
    State.KILLED: "killed",
}


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One execution of a trial. Times are in seconds since the epoch, by the driver's clock.

    Attributes:
        slot: the number of the slot, or of a gang's group of slots; None in journals of earlier versions.
        members: of a distributed trial, the name and the host of each member.
        outcome: "retried" if this attempt failed and another one followed, "cut off" if the driver ended during it,
            "running" if it had not ended when the journal was read.
        problem: the error of an attempt that failed, or the reason of a stop.
    """

    trial: str
    number: int
    slot: int | None
    host: str | None
    members: tuple[tuple[str, str], ...]
    begin: float
    end: float
    outcome: Outcome
    problem: str | None = None

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.begin)


@dataclasses.dataclass(frozen=True)
class Attempts:
    """All attempts of a run in the order of their beginnings, and when its drivers began: the first, and the others."""

    attempts: tuple[Attempt, ...]
    began: float | None
    resumed: tuple[float, ...]


def attempts_of(url: str) -> Attempts:
    """Attempts according to the journal in a run directory."""
    reading = AttemptsReading()
    for event in filter(is_sound, JournalReader(RunDir(url)).new()):
        reading.take(event)
    return reading.result()


class AttemptsReading:
    """State of the attempts while events are read, one after the other."""

    def __init__(self) -> None:
        self._done: list[Attempt] = []
        self._open: dict[str, Attempt] = {}
        self._members: dict[str, tuple[tuple[str, str], ...]] = {}  # of attempts that have not begun
        self._began: float | None = None
        self._resumed: list[float] = []
        self._last = 0.0

    def take(self, event: Event) -> None:
        if self._began is None:
            self._began = event.time
        if event.kind in ("resumed", "run_ended"):
            self._cut_off()
            if event.kind == "resumed":
                self._resumed.append(event.time)
        self._last = max(self._last, event.time)
        trial = event.trial
        if trial is None:
            return
        if event.kind == "members":
            self._members[trial] = tuple(map(_member, event.data.get("members") or ()))
        elif event.kind == "started":
            self._close(trial, event.time, "retried")  # earlier versions did not record retries
            self._open[trial] = _begun(trial, event, self._members.pop(trial, ()))
        elif event.kind == "retry":
            self._close(trial, event.time, "retried", event.data.get("error"))
        elif event.kind == "ended":
            self._close(trial, event.time, ENDS.get(str(event.data["state"]), "failed"), event.data.get("error"))

    def _close(self, trial: str, end: float, outcome: Outcome, problem: str | None = None) -> None:
        attempt = self._open.pop(trial, None)
        if attempt is not None:
            self._done.append(dataclasses.replace(attempt, end=end, outcome=outcome, problem=problem))

    def _cut_off(self) -> None:
        for trial in list(self._open):
            self._close(trial, self._last, "cut off")

    def ended_from(self, number: int) -> list[Attempt]:
        """Attempts that have ended, in the order in which they did, without the first `number` of them."""
        return self._done[number:]

    def result(self) -> Attempts:
        """The attempts so far; more events may follow."""
        running = [dataclasses.replace(attempt, end=self._last) for attempt in self._open.values()]
        ordered = sorted([*self._done, *running], key=lambda attempt: (attempt.begin, attempt.trial))
        return Attempts(tuple(ordered), self._began, tuple(self._resumed))


def _begun(trial: str, event: Event, members: tuple[tuple[str, str], ...]) -> Attempt:
    data = event.data
    number = int(data.get("attempt") or 0)
    return Attempt(trial, number, data.get("slot"), data.get("host"), members, event.time, event.time, "running")


def _member(record: Any) -> tuple[str, str]:
    facts = record if isinstance(record, dict) else {}
    return f"{facts.get('role', 'member')} {facts.get('index', 0)}", str(facts.get("host") or "")
