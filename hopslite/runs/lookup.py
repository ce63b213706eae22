"""Lookup of runs by id, name or path, and reading them from their directories."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .. import __version__
from ..core import formatting
from ..core.fidelity import best_of
from ..core.objectives import objectives_in
from ..core.settings import Settings
from ..core.suggestions import closest, did_you_mean
from ..core.types import Direction, Result, State
from ..errors import RunNotFound, StoreError
from ..result import Run, Trial
from ..result.timeline import Timeline
from ..result.trial import rescored
from ..storage.annotations import Notes
from ..storage.dashboards import run_page
from ..storage.driver_lease import has_live_driver
from ..storage.project import Project
from ..storage.records import NewerFormat, json_object
from ..storage.run_directory import RunDir, write_file
from ..storage.run_records import record_or_error, records_in
from ..storage.run_uris import names_of_runs, newest_there, run_id_of, versions_of
from .history import IN_DRIVER, RunHistory, is_newer
from .reports import reports_of

__all__ = ["GONE", "find", "load", "records", "state_of", "suggest_runs", "trial_of"]

AT_ONCE = 64  # records read in one go
SEARCHED = 2000  # runs among which similar ones are looked for
SHORTEST = 4  # characters of a run's id that stand for all of it
NEAR = 5
ACTIVE = (State.RUNNING.value, State.QUEUED.value)
TRIAL = re.compile(r"/trials/[0-9]{4,}/?$")  # suffix of a trial's directory, as `launch` returns it
GONE = "its driver is gone; hopslite resume goes on with it"


def load(run: str | os.PathLike[str], *, project: str | None = None) -> Run:
    """Load a run from its directory, as its verb returned it; also one that was interrupted or is still running.

    >>> from hopslite import experiment
    >>> def train(lr):
    ...     return 1 - lr
    >>> made = experiment.grid_search(train, {"lr": [0.25, 0.5]}, name="doc load", pool="inline", display=False)
    >>> again = experiment.load("doc load")
    >>> again.best_params == made.best_params, len(again.trials)
    (True, 2)

    Args:
        run: the id of a run, or as much of its beginning as no other run has; a name, for its newest version, or
            `"NAME/VERSION"`; or the run's directory, or that of one of its trials.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Returns:
        The run. Parameters and outputs are in the form that JSON gives them: tuples are lists, functions their names.
        The state of a run whose driver was killed is KILLED.

    Raises:
        RunNotFound: there is no such run; the message names similar ones.
        StoreError: its record cannot be read, or was made by a newer version of hopslite.
    """
    home = Project(Settings.load(project=project).project)
    return read(home, find(home, TRIAL.sub("", os.fspath(run))))


def find(project: Project, text: str) -> RunDir:
    """Directory of the run that a text refers to, as in `load`.

    Raises:
        RunNotFound: it means none, or several.
    """
    reference = text.removeprefix("runs:/").strip()
    if os.path.isabs(reference) or "://" in reference:
        run = RunDir(reference.rstrip("/"))
        if run.exists("run.json") or run.exists("journal"):
            return run
        hint = f"; it is of a trial of {TRIAL.sub('', run.shown)}" if TRIAL.search(reference) else ""
        raise RunNotFound(f"{run.shown} is not the directory of a run: there is no run.json in it{hint}")
    reference = reference.strip("/")
    runs = project.runs()
    if reference in runs:
        return project.sub("Experiments", reference)
    name, _, version = reference.partition("/")
    versions = versions_of(project, name) if name else []
    if versions and version in ("", "latest"):
        return _of_version(project, name, newest_there(project, name, versions) or versions[-1])
    if versions:
        if version.isdecimal() and int(version) in versions:
            return _of_version(project, name, int(version))
        shown = ", ".join(map(str, versions[-NEAR:]))
        raise RunNotFound(f"there is no version {version!r} of run {name!r}; its versions: {shown}")
    matching = [run_id for run_id in runs if run_id.startswith(reference)] if len(reference) >= SHORTEST else []
    if len(matching) == 1:
        return project.sub("Experiments", matching[0])
    if matching:
        raise RunNotFound(f"{reference!r} is the beginning of {len(matching)} runs: {', '.join(matching[-NEAR:])}")
    raise RunNotFound(f"there is no run {text!r} in {project.shown}; {suggest_runs(project, reference, runs)}")


def _of_version(project: Project, name: str, version: int) -> RunDir:
    run_id = run_id_of(project, name, version)
    run = project.sub("Experiments", run_id)
    if not run_id or not run.exists():
        raise RunNotFound(f"the directory of version {version} of run {name!r} is gone from {project.shown}")
    return run


def suggest_runs(project: Project, reference: str, runs: list[str]) -> str:
    """Hint for a run's name or id that does not exist: similar ones, or the latest."""
    if not runs:
        return "it has no runs"
    names = [formatting.plain(name) for name in names_of_runs(project)]
    latest = f"names: {', '.join(names[:NEAR])}" if names else f"the latest: {', '.join(runs[-NEAR:])}"
    run_id = closest(reference, runs[-SEARCHED:], 0.8)
    return did_you_mean(reference.partition("/")[0], names, f"did you mean {run_id!r}?" if run_id else latest, limit=3)


def read(project: Project, run: RunDir) -> Run:
    """Read a run from its directory.

    Raises:
        StoreError: neither its record nor its journal can be read, or a newer version of hopslite has made it.
    """
    outcome = record_or_error(run)
    if isinstance(outcome, NewerFormat):
        raise StoreError(f"{run.shown} cannot be read: {outcome}")
    history = RunHistory(run, None if isinstance(outcome, StoreError) else outcome)
    record = history.record
    made_by = str(record.get("hopslite") or "")
    if is_newer(made_by):
        raise StoreError(f"{run.shown} was made by hopslite {made_by}, and this is {__version__}; upgrade hopslite")
    if not record or not {"name", "version"} <= record.keys():
        raise StoreError(f"{run.shown} is damaged: {outcome}, and the journal does not say what the run was")
    state = state_of(run, record)
    trials = [_trial(run, history, trial_id, state) for trial_id in sorted(history.trials, key=_number)]
    objectives = objectives_in(record.get("objectives"))
    trials = [rescored(trial, objectives, record.get("optimization_key")) for trial in trials]
    ended = history.ended.data if history.ended else {}
    facts = {**record, **{key: value for key, value in ended.items() if value is not None}}
    best = {trial.id: trial for trial in trials}.get(str(facts.get("best_trial")))
    notes = Notes.read(run)
    direction = str(facts.get("direction"))
    towards = Direction(direction) if direction in Direction.__members__ else None
    return Run(
        is_search=facts.get("direction") is not None or bool(objectives),
        run_id=str(facts.get("run_id")),
        name=str(facts.get("name")),
        version=int(facts.get("version") or 0),
        verb=str(facts.get("verb")),
        logdir=run.url,
        state=state,
        trials=trials,
        best_trial=best or best_of(trials, towards, record.get("ranked_by")),
        direction=towards,
        optimization_key=facts.get("optimization_key"),
        objectives=objectives,
        started_at=facts.get("started"),
        duration=facts.get("duration") if history.ended or state is State.RUNNING else _worked(history),
        seed=facts.get("seed"),
        project=project.url,
        description=notes.text or facts.get("description"),
        tags={**(facts.get("tags") or {}), **notes.tags},
        error=facts.get("error") or (_gone(facts) if facts.get("state") in ACTIVE and state is State.KILLED else None),
        tensorboard_url=facts.get("tensorboard_url") if state is State.RUNNING else None,
        mlflow_run_id=_mlflow_run_id(run),
        reports=functools.partial(reports_of, run.url),
        write=write_file,
        page=run_page,
        space=record.get("space"),
        ranked_by=record.get("ranked_by"),
        timeline=Timeline(tuple(history.spans), history.first_start),
    )


def _gone(record: Mapping[str, Any]) -> str:
    return GONE.partition(";")[0] if record.get("verb") == IN_DRIVER else GONE


def _trial(run: RunDir, history: RunHistory, trial_id: str, state: State) -> Trial:
    known = history.trials[trial_id]
    logdir = run.path("trials", trial_id)
    if known.result is not None:
        trial = known.trial(known.result, logdir)
        never_began = trial.state is State.KILLED and known.attempt is None
        return dataclasses.replace(trial, started_at=None, duration=None) if never_began else trial
    begun = known.attempt is not None
    now = (State.RUNNING if begun else State.PENDING) if state is State.RUNNING else State.KILLED
    return dataclasses.replace(known.trial(Result(trial_id, now), logdir), duration=None)


def _worked(history: RunHistory) -> float | None:
    """Seconds that drivers worked on an interrupted run, according to the journal."""
    return sum(end - begin for begin, end in history.spans) if history.spans else None


def _number(trial_id: str) -> tuple[int, str]:
    return (int(trial_id) if trial_id.isdecimal() else 0, trial_id)


def _mlflow_run_id(run: RunDir) -> str | None:
    known = json_object(run.read_many(["mlflow.json"])[0]) or {}
    run_id = known.get("run_id")
    return str(run_id) if run_id else None


def state_of(run: RunDir, record: Mapping[str, Any]) -> State:
    """State of a run; KILLED if the record says RUNNING or QUEUED and the driver is gone."""
    recorded = str(record.get("state"))
    state = State(recorded) if recorded in State.__members__ else State.KILLED
    return state if state.final or has_live_driver(run) is not False else State.KILLED


def records(project: Project) -> Iterator[tuple[RunDir, dict[str, Any] | StoreError]]:
    """Directory and record of each run of a project, the oldest first; an error in place of an unreadable record."""
    for run_id, record in records_in(project, project.runs(), at_once=AT_ONCE):
        yield project.sub("Experiments", run_id), record


def trial_of(run: Run, text: str) -> Trial:
    """Trial that a text refers to: its id, with or without leading zeros, or `best`.

    Raises:
        RunNotFound: the run has no such trial.
    """
    if text == "best" and (run.objectives or run._best is not None):
        return run.best_trial  # type: ignore[return-value]
    for trial in run.trials:
        if trial.id == text or (text.isdecimal() and trial.id.isdecimal() and int(trial.id) == int(text)):
            return trial
    if not run.trials:
        raise RunNotFound(f"run {run.run_id} has no trials")
    last = run.trials[-1].id
    raise RunNotFound(f"run {run.run_id} has no trial {text!r}; its trials: {run.trials[0].id} to {last}, or 'best'")
