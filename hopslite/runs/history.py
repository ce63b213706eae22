"""History of a run, replayed from its directory for a driver that resumes it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .. import __version__
from ..core.suggestions import closest
from ..core.types import Event, Result, State
from ..errors import ResumeError, StoreError
from ..result import Trial
from ..storage.driver_lease import has_live_driver
from ..storage.journal import JournalReader
from ..storage.project import Project
from ..storage.records import check_format, is_sound
from ..storage.run_directory import RunDir
from ..storage.run_records import record_in, records_in
from .fingerprint_difference import difference, space_difference

__all__ = [
    "IN_DRIVER",
    "MEASUREMENTS",
    "PLAN",
    "RunHistory",
    "TrialHistory",
    "is_newer",
    "resumable",
    "trust_plan",
    "unfinished",
]

IN_DRIVER = "start_run"  # verb of runs around code in the driver
PLAN = "plan.pkl"  # the pickled call, which resuming a run needs
UNTRUSTED = "plan.untrusted.pkl"  # from an archive: unpickling it may run any code
MEASUREMENTS = ("report", "sample")  # kinds of events, most of a journal, that say nothing of how trials ended
NEAR = 5
SEARCHED = 2000  # run ids among which a similar one is looked for


@dataclasses.dataclass(slots=True)
class TrialHistory:
    """History of a trial according to the journal.

    Attributes:
        params: in JSON form.
        attempt: the number of the last one that began, from 0; None when none has.
        started, ended: when its last attempt began and ended, in seconds since the epoch.
        result: how it ended; None when it has not, or when it was to be run again after that.
        reports: (step, value) of the last attempt, in order, of the optimised metric.
        distributions: of a define-by-run trial, in JSON form, by the names of its parameters.
    """

    id: str
    params: dict[str, Any]
    generation: int | None = None
    continues: str | None = None
    attempt: int | None = None
    started: float | None = None
    ended: float | None = None
    result: Result | None = None
    reports: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    distributions: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    user_attrs: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def attempts(self) -> int:
        """Number of attempts that have begun."""
        return 0 if self.attempt is None else self.attempt + 1

    def is_running_since(self, moment: float) -> bool:
        """True if an attempt has begun after a moment, in seconds since the epoch, and has not ended."""
        return self.result is None and self.started is not None and self.started >= moment

    def trial(self, result: Result, logdir: str) -> Trial:
        """The trial with this result."""
        return Trial.from_result(
            result,
            params=self.params,
            logdir=logdir,
            generation=self.generation,
            continues=self.continues,
            distributions=self.distributions,
            user_attrs=self.user_attrs,
        )


class RunHistory:
    """History of a run; read it after claiming the run and repairing its journal.

    Attributes:
        record: what is in `run.json`.
        trials: those that were to be run, by id, in the order in which they were suggested.
        spans: when drivers worked on the run, one after the other: from their first event to their last, in seconds
            since the epoch.
        first_start: when the first trial began, in whichever attempt; None: none has.
        has_begun: a driver has worked on it; False if it was only queued.
        was_restarted: a driver that resumed the run began its search anew.
        ended: the last `run_ended` event, when nothing came after it; None for a run whose driver died.
        lost: the ids of trials whose suggestion the damage of a journal has swallowed, with all else of them.
        notes: one line for each thing that the user should know of.

    Args:
        record: what is in `run.json`; None: it cannot be read.
        without: kinds of events that are not needed, see `JournalReader.new`; without reports those of trials are
            incomplete.
    """

    def __init__(self, run: RunDir, record: dict[str, Any] | None, without: Collection[str] = ()) -> None:
        self.trials: dict[str, TrialHistory] = {}
        self.spans: list[tuple[float, float]] = []
        self.first_start: float | None = None
        self.ended: Event | None = None
        self.was_restarted = False
        self.notes: list[str] = []
        self._run = run
        self._lost: dict[str, None] = {}
        self._last = 0
        first: dict[str, Any] | None = None
        reader = JournalReader(run)
        for event in filter(is_sound, reader.new(without=without)):
            if event.kind == "run_started" and first is None:
                first = event.data
            self._take(event)
        self._last = reader.segment
        self.has_begun = first is not None
        self.lost = tuple(name for name in self._lost if name not in self.trials)
        self.record: dict[str, Any] = record if record is not None else first or {}
        self._note_damage(reader, record)

    @classmethod
    def read(cls, run: RunDir, without: Collection[str] = ()) -> RunHistory:
        """Read the history of a run.

        Raises:
            ResumeError: the run was made by a newer version, or one before runs could be resumed; has no journal.
        """
        record = record_in(run)
        if record is not None:
            _check(run, record)
        history = cls(run, record, without)
        if record is None:
            check_format(history.record)
            _check(run, history.record)
        return history

    def events(self, without: Collection[str] = ()) -> Iterator[Event]:
        """Events of the journal up to the end of this history, without remains of lost trials."""
        there: set[str | None] = {None}
        for event in filter(is_sound, JournalReader(self._run).new(self._last, without)):
            is_suggestion = _is_suggestion(event)
            if is_suggestion != (event.trial in there):  # each is suggested once, and before anything else
                there.add(event.trial)
                yield event

    def _take(self, event: Event) -> None:
        self.ended = event if event.kind == "run_ended" else None
        if event.kind in ("run_started", "resumed") or not self.spans:
            self.spans.append((event.time, event.time))
        elif event.time > self.spans[-1][1]:
            self.spans[-1] = (self.spans[-1][0], event.time)
        if event.kind == "resumed" and event.data.get("fresh"):
            self.was_restarted = True
        if event.kind == "started" and self.first_start is None:
            self.first_start = event.time
        if event.trial is None:
            return
        trial = self.trials.get(event.trial)
        if trial is not None:
            try:  # noqa: SIM105 - suppress() takes longer than all else here
                _take(trial, event)
            except (KeyError, ValueError, TypeError):
                pass  # damaged event
        elif not _is_suggestion(event):
            self._lost[event.trial] = None
        elif event.kind == "asked":
            data = event.data
            self.trials[event.trial] = TrialHistory(
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


def _take(trial: TrialHistory, event: Event) -> None:
    data = event.data
    if event.kind == "report":
        step, value, attempt = data["step"], data["value"], int(data.get("attempt") or 0)
        if attempt > (-1 if trial.attempt is None else trial.attempt):
            trial.attempt, trial.reports = attempt, []
        if attempt == trial.attempt and value is not None:
            trial.reports.append((step, float(value)))
    elif event.kind == "ended":
        trial.result, trial.ended = Result.from_json(data), event.time
    elif event.kind == "suggested":
        trial.params |= data["params"]
        trial.distributions |= data["distributions"]
    elif event.kind == "user_attr":
        trial.user_attrs |= data["values"]
    elif event.kind == "again":
        trial.result, trial.started, trial.ended, trial.reports = None, None, None, []
    elif event.kind == "started":
        trial.attempt = max(int(data.get("attempt") or 0), trial.attempt or 0)
        trial.result, trial.started, trial.ended, trial.reports = None, event.time, None, []


def trust_plan(run: RunDir) -> None:
    """Accept a plan that came with an archive, so that the run can be resumed."""
    if not run.exists(PLAN) and run.exists(UNTRUSTED):
        run.write_bytes(PLAN, run.read_bytes(UNTRUSTED), durable=True, private=True)
        run.remove([UNTRUSTED])


def resumable(project: Project, run_id: str) -> RunDir:
    """Directory of a run that can be resumed, after a quick check.

    Raises:
        ResumeError: there is no such run, or it cannot be resumed.
    """
    is_id = isinstance(run_id, str) and bool(run_id.strip(".")) and not re.search(r"[/\\]", run_id)
    run = project.sub("Experiments", run_id) if is_id else None
    if run is None or not (run.exists("run.json") or run.list("journal")):
        raise ResumeError(f"there is no run {run_id!r} in {project.shown}; {_nearest(project, run_id)}", run_id=run_id)
    _check(run, record_in(run))
    return run


def unfinished(
    project: Project, name: str, verb: str, function: Mapping[str, Any], space: Any, inputs: Mapping[str, Any]
) -> str | None:
    """Newest run of this call that has not finished and can be resumed.

    A run that a driver of this host is working on is none of them. Of one on another host that cannot be known before
    it is claimed.

    Args:
        function: as `_function.describe` made it, as in the record's `function`.
        space, inputs: JSON form, as in the record.
    """
    for run_id, record in records_in(project, project.runs_named(name)):
        if (
            not isinstance(record, StoreError)
            and record.get("verb") == verb
            and record.get("name") == name
            and record.get("state") != State.FINISHED
            and isinstance(record.get("function"), dict)
            and difference(record["function"], function) is None
            and space_difference(record.get("space"), space) is None
            and not changed_inputs(record.get("inputs") or {}, inputs)
        ):
            run = project.sub("Experiments", run_id)
            if _why_not(run, record) is None and has_live_driver(run) is not True:
                return run_id
    return None


def changed_inputs(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Sorted names of inputs that differ between two records.

    A data set that both calls name without a version is the same, since a resumed run keeps its version.
    """
    names = sorted(recorded.keys() | current.keys())
    return [name for name in names if not _is_same_input(recorded.get(name), current.get(name))]


def _is_same_input(recorded: Any, current: Any) -> bool:
    if not isinstance(recorded, Mapping) or not isinstance(current, Mapping):
        return bool(recorded == current)
    if current.get("requested") and recorded.get("requested") == current["requested"]:
        return True
    keys = ("url", "kind", "fingerprint")
    return all(recorded.get(key) == current.get(key) for key in keys)


def _check(run: RunDir, record: dict[str, Any] | None) -> None:
    why = _why_not(run, record)
    if why is not None:
        run_id = run.shown.rpartition("/")[2]
        raise ResumeError(f"run {run_id} cannot be resumed: {why}", run_id=run_id)


def _why_not(run: RunDir, record: dict[str, Any] | None) -> str | None:
    """Reason why a run cannot be resumed; None if it can, as far as is known without its journal's contents."""
    made_by = str((record or {}).get("hopslite") or "")
    if is_newer(made_by):
        return f"it was made by hopslite {made_by}, and this is {__version__}; upgrade hopslite to resume it"
    if not run.list("journal"):
        return f"there is no journal in {run.shown}, so nothing is known of its trials"
    if not run.exists(PLAN) and run.exists(UNTRUSTED):
        run_id = run.shown.rpartition("/")[2]
        return (
            "its plan came with an archive, and to resume it runs the code in that; if you trust who made it: hopslite "
            f"resume --trust-plan {run_id}"
        )
    if not run.exists(PLAN):
        if (record or {}).get("verb") == IN_DRIVER:
            return "it was code of the driver's program within start_run(), which no other driver has; run it again"
        if made_by:
            return f"{PLAN}, which describes the call, is not in {run.shown}"
        return "it was made by a version of hopslite whose runs cannot be resumed; start it anew"
    return None


def is_newer(made_by: str) -> bool:
    """True if a version of hopslite is newer than this one."""
    return _version(made_by) > _version(__version__)


def _version(text: str) -> tuple[int, ...]:
    """Version as numbers: 0.10 is above 0.9, and 1.0 is 1."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", text)
    numbers = [int(part) for part in match[0].split(".")] if match else []
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
    near = closest(last, runs, 0.9)
    return f"did you mean {near!r}?" if near else f"the latest are {', '.join(runs[-NEAR:])}"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NEAR} more" if len(names) > NEAR else ""
    return ", ".join(names[:NEAR]) + more
