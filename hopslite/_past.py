"""What a run's directory says of it: for a driver that goes on with the run."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import __version__
from ._function import difference, space_difference
from ._trial import Event, Result, State
from .errors import ResumeError
from .store import JournalReader, Project, RunDir
from .store.sessions import at_work

__all__ = ["PLAN", "Past", "PastTrial", "is_newer", "record_of", "reports_of", "resumable", "unfinished"]

PLAN = "plan.pkl"  # what a later driver needs of the call: runs without it cannot be resumed
NEAR = 5
AT_ONCE = 32  # records read in one go
SEARCHED = 2000  # run ids among which a similar one is looked for


@dataclasses.dataclass(slots=True)
class PastTrial:
    """A trial as the journal knows it.

    Attributes:
        params: in JSON form.
        attempt: the number of the last one that began, from 0; None when none has.
        result: how it ended; None when it has not, or when it was to be run again after that.
        reports: (step, value) of the last attempt, in order.
    """

    id: str
    params: dict[str, Any]
    generation: int | None = None
    continues: str | None = None
    attempt: int | None = None
    result: Result | None = None
    reports: list[tuple[float, float]] = dataclasses.field(default_factory=list)

    @property
    def attempts(self) -> int:
        """How many attempts have begun."""
        return 0 if self.attempt is None else self.attempt + 1


class Past:
    """A run as far as it came. Read it when the run is claimed and its journal repaired; it does not change then.

    Attributes:
        record: what is in `run.json`.
        trials: those that were to be run, by id, in the order in which they were suggested.
        ended: the last `run_ended` event, when nothing came after it; None for a run whose driver died.
        lost: the ids of trials whose suggestion the damage of a journal has swallowed, with all else of them.
        notes: one line for each thing that the user should know of.
    """

    def __init__(self, run: RunDir, record: dict[str, Any] | None) -> None:
        self.trials: dict[str, PastTrial] = {}
        self.ended: Event | None = None
        self.notes: list[str] = []
        self._run = run
        self._lost: dict[str, None] = {}
        self._last = 0
        first: dict[str, Any] | None = None
        reader = JournalReader(run)
        for event in reader.new():
            if event.kind == "run_started" and first is None:
                first = event.data
            self._take(event)
        self._last = reader.segment
        self.lost = tuple(name for name in self._lost if name not in self.trials)
        self.record: dict[str, Any] = record if record is not None else first or {}
        self._note_damage(reader, record)

    @classmethod
    def read(cls, run: RunDir) -> Past:
        """What the run's directory says.

        Raises:
            ResumeError: the run was made by a newer version, or one before runs could be resumed; has no journal.
        """
        record = _record(run)
        if record is not None:
            _check(run, record)
        past = cls(run, record)
        if record is None:
            _check(run, past.record)
        return past

    @property
    def events(self) -> Iterator[Event]:
        """The journal's events up to the end of this past, read anew, without what is left of lost trials."""
        there: set[str | None] = {None}
        for event in JournalReader(self._run).new(until=self._last):
            is_suggestion = _is_suggestion(event)
            if is_suggestion != (event.trial in there):  # each is suggested once, and before anything else
                there.add(event.trial)
                yield event

    def _take(self, event: Event) -> None:
        self.ended = event if event.kind == "run_ended" else None
        if event.trial is None:
            return
        trial = self.trials.get(event.trial)
        if trial is not None:
            with contextlib.suppress(KeyError, ValueError, TypeError):  # damage that is an event still: it says nothing
                _take(trial, event)
        elif not _is_suggestion(event):
            self._lost[event.trial] = None
        elif event.kind == "asked":
            data = event.data
            self.trials[event.trial] = PastTrial(
                event.trial, data["params"], data.get("generation"), data.get("continues")
            )

    def _note_damage(self, reader: JournalReader, record: dict[str, Any] | None) -> None:
        if record is None:
            self.notes.append("run.json cannot be read; what the journal says of the run's beginning is taken instead")
        if reader.damage:
            self.notes.append(reader.damage)
        if self.lost:
            self.notes.append(
                f"the journal does not say what these trials were, so they do not count: {_some(self.lost)}"
            )


def _is_suggestion(event: Event) -> bool:
    return event.kind in ("asked", "known") and event.trial is not None and isinstance(event.data.get("params"), dict)


def _take(trial: PastTrial, event: Event) -> None:
    data = event.data
    if event.kind == "ended":
        trial.result = Result.from_json(data)
    elif event.kind == "again":
        trial.result, trial.reports = None, []
    elif event.kind == "started":
        trial.attempt = max(int(data.get("attempt") or 0), trial.attempt or 0)
        trial.result, trial.reports = None, []
    elif event.kind == "report":
        step, value, attempt = data["step"], float(data["value"]), int(data.get("attempt") or 0)
        if attempt > (-1 if trial.attempt is None else trial.attempt):
            trial.attempt, trial.reports = attempt, []
        if attempt == trial.attempt:
            trial.reports.append((step, value))


def resumable(project: Project, run_id: str) -> RunDir:
    """The directory of a run that can be resumed, as far as a quick look tells.

    Raises:
        ResumeError: there is no such run, or it cannot be resumed.
    """
    is_id = isinstance(run_id, str) and bool(run_id.strip(".")) and not re.search(r"[/\\]", run_id)
    run = project.sub("Experiments", run_id) if is_id else None
    if run is None or not (run.exists("run.json") or run.list("journal")):
        raise ResumeError(f"there is no run {run_id!r} in {project.shown}; {_nearest(project, run_id)}", run_id=run_id)
    _check(run, _record(run))
    return run


def unfinished(
    project: Project, name: str, verb: str, function: Mapping[str, Any], space: Any, inputs: Mapping[str, Any]
) -> str | None:
    """The newest run of this call that has not finished and can be resumed.

    A run that a driver of this host is working on is none of them. Of one on another host that cannot be known before
    it is claimed.

    Args:
        function: as `_function.describe` made it, as in the record's `function`.
        space, inputs: JSON form, as in the record.
    """
    for run_id, record in _records(project, name):
        if (
            record.get("verb") == verb
            and record.get("name") == name
            and record.get("state") != State.FINISHED
            and isinstance(record.get("function"), dict)
            and difference(record["function"], function) is None
            and space_difference(record.get("space"), space) is None
            and (record.get("inputs") or {}) == inputs
        ):
            run = project.sub("Experiments", run_id)
            if _why_not(run, record) is None and at_work(run) is not True:
                return run_id
    return None


def _records(project: Project, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of the runs of this name, the newest first."""
    named = project.runs_named(name)
    while run_ids := list(itertools.islice(named, AT_ONCE)):
        found = project.read_many([f"Experiments/{run_id}/run.json" for run_id in run_ids])
        for run_id, content in zip(run_ids, found, strict=True):
            record = record_of(content)
            if record is not None:
                yield run_id, record


def _record(run: RunDir) -> dict[str, Any] | None:
    """What is in `run.json`; None when it is not there or cannot be read."""
    return record_of(run.read_many(["run.json"])[0])


def record_of(content: bytes | None) -> dict[str, Any] | None:
    """The record that a `run.json` holds; None when it holds none."""
    try:
        found = json.loads(content or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _check(run: RunDir, record: dict[str, Any] | None) -> None:
    why = _why_not(run, record)
    if why is not None:
        run_id = run.shown.rpartition("/")[2]
        raise ResumeError(f"run {run_id} cannot be resumed: {why}", run_id=run_id)


def _why_not(run: RunDir, record: dict[str, Any] | None) -> str | None:
    """Why a run cannot be resumed; None when it can, as far as is known without its journal's contents."""
    made_by = str((record or {}).get("hopslite") or "")
    if is_newer(made_by):
        return f"it was made by hopslite {made_by}, and this is {__version__}; upgrade hopslite to resume it"
    if not run.list("journal"):
        return f"there is no journal in {run.shown}, so nothing is known of its trials"
    if not run.exists(PLAN):
        if made_by:
            return f"{PLAN}, which holds what was called, is not in {run.shown}"
        return "it was made by a version of hopslite whose runs cannot be resumed; start it anew"
    return None


def is_newer(made_by: str) -> bool:
    """Whether a version of hopslite is newer than this one."""
    return _version(made_by) > _version(__version__)


def reports_of(url: str) -> list[tuple[str, float, float]]:
    """What the trials of a run have reported, trial by trial, of each its last attempt's: trial, step and value."""
    found: dict[str, list[tuple[str, float, float]]] = {}
    for event in JournalReader(RunDir(url)).new():
        if event.kind == "started" and event.trial:
            found[event.trial] = []
        elif event.kind == "report" and event.trial:
            found.setdefault(event.trial, []).append((event.trial, event.data["step"], event.data["value"]))
    return [report for trial in sorted(found) for report in found[trial]]


def _version(text: str) -> tuple[int, ...]:
    """A version as numbers: 0.10 is above 0.9, and 1.0 is 1."""
    found = re.match(r"[0-9]+(\.[0-9]+)*", text)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _nearest(project: Project, run_id: str) -> str:
    runs = project.runs()[-SEARCHED:]
    if not runs:
        return "it has no runs"
    last = str(run_id).rstrip("/").rpartition("/")[2]
    if last != run_id and last in runs:
        return f"give the id alone: {last!r}"
    near = difflib.get_close_matches(last, runs, 1, 0.9)
    return f"did you mean {near[0]!r}?" if near else f"the latest are {', '.join(runs[-NEAR:])}"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NEAR} more" if len(names) > NEAR else ""
    return ", ".join(names[:NEAR]) + more
