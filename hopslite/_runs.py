"""Runs that are in a project: found by what people call them, and read from their directories."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

from . import __version__
from ._past import Past, is_newer, record_of, reports_of
from ._trial import Direction, State
from .config import Settings
from .errors import RunNotFound, StoreError
from .result import Run, Trial
from .store import Project, RunDir
from .store.notes import Notes
from .store.references import names_of_runs, newest_there, run_id_of, versions_of
from .store.sessions import at_work

__all__ = ["GONE", "find", "load", "nearest", "records", "state_of", "trial_of"]

AT_ONCE = 64  # records read in one go
SEARCHED = 2000  # runs among which similar ones are looked for
SHORTEST = 4  # characters of a run's id that stand for all of it
NEAR = 5
GONE = "its driver is gone; hopslite resume goes on with it"


def load(run: str | os.PathLike[str], *, project: str | None = None) -> Run:
    """A run as its verb returned it, read from its directory; also one that broke off or is still going on.

    >>> from hopslite import experiment
    >>> def train(lr):
    ...     return 1 - lr
    >>> made = experiment.grid_search(train, {"lr": [0.25, 0.5]}, name="doc load", pool="inline", display=False)
    >>> again = experiment.load("doc load")
    >>> again.best_params == made.best_params, len(again.trials)
    (True, 2)

    Args:
        run: the id of a run, or as much of its beginning as no other run has; a name, for its newest version, or
            `"NAME/VERSION"`; or the run's directory.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Returns:
        The run. Parameters and outputs are in the form that JSON gives them: tuples are lists, functions their names.
        The state of a run whose driver was killed is KILLED.

    Raises:
        RunNotFound: there is no such run; the message names similar ones.
        StoreError: its record cannot be read, or was made by a newer version of hopslite.
    """
    home = Project(Settings.load(project=project).project)
    return read(home, find(home, os.fspath(run)))


def find(project: Project, text: str) -> RunDir:
    """The directory of the run that a text means, as in `load`.

    Raises:
        RunNotFound: it means none, or several.
    """
    given = text.removeprefix("runs:/").strip()
    if os.path.isabs(given) or "://" in given:
        run = RunDir(given.rstrip("/"))
        if run.exists("run.json") or run.exists("journal"):
            return run
        raise RunNotFound(f"{run.shown} is not the directory of a run: there is no run.json in it")
    given = given.strip("/")
    runs = project.runs()
    if given in runs:
        return project.sub("Experiments", given)
    name, _, version = given.partition("/")
    versions = versions_of(project, name) if name else []
    if versions and version in ("", "latest"):
        return _of_version(project, name, newest_there(project, name, versions) or versions[-1])
    if versions:
        if version.isdecimal() and int(version) in versions:
            return _of_version(project, name, int(version))
        shown = ", ".join(map(str, versions[-NEAR:]))
        raise RunNotFound(f"there is no version {version!r} of run {name!r}; its versions: {shown}")
    found = [run_id for run_id in runs if run_id.startswith(given)] if len(given) >= SHORTEST else []
    if len(found) == 1:
        return project.sub("Experiments", found[0])
    if found:
        raise RunNotFound(f"{given!r} is the beginning of {len(found)} runs: {', '.join(found[-NEAR:])}")
    raise RunNotFound(f"there is no run {text!r} in {project.shown}; {nearest(project, given, runs)}")


def _of_version(project: Project, name: str, version: int) -> RunDir:
    run_id = run_id_of(project, name, version)
    run = project.sub("Experiments", run_id)
    if not run_id or not run.exists():
        raise RunNotFound(f"the directory of version {version} of run {name!r} is gone from {project.shown}")
    return run


def nearest(project: Project, given: str, runs: list[str]) -> str:
    """What may have been meant by the name or id of a run that there is not."""
    if not runs:
        return "it has no runs"
    names = names_of_runs(project)
    near = difflib.get_close_matches(given.partition("/")[0], names, 3) or difflib.get_close_matches(
        given, runs[-SEARCHED:], 1, 0.8
    )
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"names: {', '.join(names[:NEAR])}" if names else f"the latest: {', '.join(runs[-NEAR:])}"


def read(project: Project, run: RunDir) -> Run:
    """The run that a directory holds.

    Raises:
        StoreError: neither its record nor its journal can be read, or a newer version of hopslite has made it.
    """
    record = record_of(run.read_many(["run.json"])[0])
    past = Past(run, record)
    record = past.record
    made_by = str(record.get("hopslite") or "")
    if is_newer(made_by):
        raise StoreError(f"{run.shown} was made by hopslite {made_by}, and this is {__version__}; upgrade hopslite")
    if not record:
        raise StoreError(f"{run.shown} is damaged: neither run.json nor the journal can be read")
    state = state_of(run, record)
    trials = [_trial(run, past, trial_id, state) for trial_id in sorted(past.trials, key=_number)]
    ended = past.ended.data if past.ended else {}
    facts = {**record, **{key: value for key, value in ended.items() if value is not None}}
    best = {trial.id: trial for trial in trials}.get(str(facts.get("best_trial")))
    notes = Notes.read(run)
    direction = str(facts.get("direction"))
    return Run(
        is_search=facts.get("direction") is not None,
        run_id=str(facts.get("run_id")),
        name=str(facts.get("name")),
        version=int(facts.get("version") or 0),
        verb=str(facts.get("verb")),
        logdir=run.url,
        state=state,
        trials=trials,
        best_trial=best or _best(trials, direction),
        direction=Direction(direction) if direction in Direction.__members__ else None,
        optimization_key=facts.get("optimization_key"),
        started_at=facts.get("started"),
        duration=facts.get("duration"),
        seed=facts.get("seed"),
        project=project.url,
        description=notes.text or facts.get("description"),
        tags={**(facts.get("tags") or {}), **notes.tags},
        error=facts.get("error") or (GONE if facts.get("state") == State.RUNNING and state is State.KILLED else None),
        tensorboard_url=facts.get("tensorboard_url") if state is State.RUNNING else None,
        mlflow_run_id=_mlflow_run_id(run),
        reports=functools.partial(reports_of, run.url),
    )


def _trial(run: RunDir, past: Past, trial_id: str, state: State) -> Trial:
    known = past.trials[trial_id]
    logdir = run.path("trials", trial_id)
    if known.result is not None:
        return Trial.from_result(known.result, params=known.params, logdir=logdir, generation=known.generation)
    begun = known.attempt is not None
    now = (State.RUNNING if begun else State.PENDING) if state is State.RUNNING else State.KILLED
    return Trial(trial_id, known.params, now, logdir=logdir, generation=known.generation)


def _best(trials: list[Trial], direction: str) -> Trial | None:
    """Of a run that has not ended: its record does not say."""
    if direction not in Direction.__members__:
        return None
    counted = [trial for trial in trials if trial.state in (State.FINISHED, State.STOPPED) and trial.metric is not None]
    choose = max if direction == Direction.MAX else min
    return choose(counted, key=lambda trial: trial.metric or 0.0, default=None)


def _number(trial_id: str) -> tuple[int, str]:
    return (int(trial_id) if trial_id.isdecimal() else 0, trial_id)


def _mlflow_run_id(run: RunDir) -> str | None:
    known = record_of(run.read_many(["mlflow.json"])[0]) or {}
    found = known.get("run_id")
    return str(found) if found else None


def state_of(run: RunDir, record: Mapping[str, Any]) -> State:
    """The state of a run; KILLED where the record says RUNNING and the driver is gone."""
    given = str(record.get("state"))
    state = State(given) if given in State.__members__ else State.KILLED
    return State.KILLED if state is State.RUNNING and at_work(run) is False else state


def records(project: Project) -> Iterator[tuple[RunDir, dict[str, Any] | None]]:
    """Each run of a project, the oldest first, with its record, as `run.json` has it; None where that is damaged."""
    runs = project.runs()
    for first in range(0, len(runs), AT_ONCE):
        part = runs[first : first + AT_ONCE]
        contents = project.read_many([f"Experiments/{run_id}/run.json" for run_id in part])
        for run_id, content in zip(part, contents, strict=True):
            yield project.sub("Experiments", run_id), record_of(content)


def trial_of(run: Run, text: str) -> Trial:
    """The trial that a text means: its id, with or without zeros in front, or `best`.

    Raises:
        RunNotFound: the run has no such trial.
    """
    if text == "best" and run.best_trial is not None:
        return run.best_trial
    for trial in run.trials:
        if trial.id == text or (text.isdecimal() and trial.id.isdecimal() and int(trial.id) == int(text)):
            return trial
    if not run.trials:
        raise RunNotFound(f"run {run.run_id} has no trials")
    last = run.trials[-1].id
    raise RunNotFound(f"run {run.run_id} has no trial {text!r}; its trials: {run.trials[0].id} to {last}, or 'best'")
