"""Runs read from their directories: found by what people call them, the same as their verbs returned them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import experiment
from hopslite.core.types import Event, State
from hopslite.errors import InvalidArguments, RunInterrupted, RunNotFound, StoreError, TrialFailed
from hopslite.runs.lookup import GONE, find, records, trial_of
from hopslite.storage.annotations import Notes
from hopslite.storage.driver_lease import claim
from hopslite.storage.journal import JournalReader
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir

OPTIONS: dict[str, Any] = {"pool": "inline", "display": False}


def train(lr: float, kind: str) -> dict[str, float]:
    for step in range(3):
        hopslite.report(lr * step, step)
    if lr > 0.5:
        raise ValueError("too large")
    return {"accuracy": 1 - lr, "loss": lr}


@pytest.fixture
def home(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("HOPSLITE_PROJECT", store_url)
    return Project(store_url)


@pytest.fixture
def made(home: Project) -> experiment.Run:
    grid = {"lr": [0.75, 0.25, 0.5], "kind": ["a"]}
    options = {**OPTIONS, "optimization_key": "accuracy", "description": "first", "tags": {"team": "a"}}
    return experiment.grid_search(train, grid, name="digits", **options)


class TestLoad:
    def test_it_is_the_run_that_the_verb_returned(self, made: experiment.Run) -> None:
        loaded = experiment.load("digits")
        assert tuple(loaded) == tuple(made)
        assert loaded.trials == made.trials
        names = ("run_id", "name", "version", "verb", "logdir", "state", "direction", "optimization_key", "best_trial")
        for name in (*names, "seed", "project", "description", "tags", "error", "counts"):
            assert getattr(loaded, name) == getattr(made, name), name
        assert loaded.started is not None
        assert made.started is not None
        assert abs((loaded.started - made.started).total_seconds()) < 1
        assert loaded.reports().equals(made.reports())
        assert len(loaded.reports()) == 9
        assert loaded.to_pandas().equals(made.to_pandas())

    def test_of_a_launch(self, home: Project) -> None:
        made = experiment.launch(lambda: {"a": 1}, name="one", **OPTIONS)
        assert tuple(experiment.load("one")) == tuple(made)
        for place in (made.logdir, made[0], f"{made[0]}/"):
            assert experiment.load(place).run_id == made.run_id
        with pytest.raises(RunNotFound, match=f"no run.json in it; it is of a trial of {made.logdir}$"):
            find(home, made[0])  # a command that changes a run is to be given the run

    def test_of_a_run_that_failed(self, home: Project) -> None:
        def fails(lr: float) -> float:
            raise ValueError("always")

        with pytest.raises(TrialFailed) as failed:
            experiment.grid_search(fails, {"lr": [1, 2]}, name="f", **OPTIONS)
        loaded = experiment.load("f")
        assert (loaded.state, loaded.run_id) == (State.FAILED, failed.value.run_id)
        assert loaded.best_trial is None
        assert loaded.error == "every trial failed"
        assert "always" in str(loaded.trials[0].traceback)

    def test_of_a_run_that_broke_off(self, home: Project) -> None:
        def breaks(n: int) -> int:
            if n == 3:
                raise KeyboardInterrupt
            return n

        with pytest.raises(RunInterrupted):
            experiment.grid_search(breaks, {"n": [1, 2, 3, 4]}, name="b", **OPTIONS)
        loaded = experiment.load("b")
        assert loaded.state is State.KILLED
        assert loaded.error == "interrupted"
        assert loaded.best_metric == 2

    @pytest.mark.parametrize("is_there", [True, False])
    def test_of_a_run_without_an_end(self, home: Project, made: experiment.Run, is_there: bool) -> None:
        """Its driver was killed, or is at work still: the journal alone knows how far it came."""
        run = RunDir(made.logdir)
        record = run.read_json("run.json")
        unknown = {"state": "RUNNING", "best_trial": None, "metric": None, "duration": None}
        events = [event for event in JournalReader(run).new() if event.kind != "run_ended"]
        events.append(Event("asked", 0.0, "0003", {"params": {"lr": 0.125, "kind": "a"}}))
        events.append(Event("started", 0.0, "0003", {"attempt": 0}))
        events.append(Event("asked", 0.0, "0004", {"params": {"lr": 0.0, "kind": "a"}}))
        run.remove([f"journal/{name}" for name in run.list("journal")])
        writer = JournalWriter(run)
        for event in events:
            writer.append(event)
        writer.close()
        run.write_json("run.json", {**record, **unknown})
        session = claim(run) if is_there else None
        loaded = experiment.load("digits")
        if session:
            session.release()
        assert loaded.best_params == {"lr": 0.25, "kind": "a"}
        states = [str(trial.state) for trial in loaded.trials[-2:]]
        if is_there:
            assert (str(loaded.state), loaded.error, states) == ("RUNNING", None, ["RUNNING", "PENDING"])
        else:
            assert (str(loaded.state), loaded.error, states) == ("KILLED", GONE, ["KILLED", "KILLED"])

    def test_its_record_is_gone(self, made: experiment.Run) -> None:
        run = RunDir(made.logdir)
        run.remove(["run.json"])
        run.makedirs()
        loaded = experiment.load(made.run_id)
        assert (loaded.name, loaded.best_params) == ("digits", made.best_params)

    def test_nothing_of_it_can_be_read(self, made: experiment.Run) -> None:
        run = RunDir(made.logdir)
        run.write_bytes("run.json", b'{"na')
        run.remove([f"journal/{name}" for name in run.list("journal")])
        with pytest.raises(StoreError, match="is damaged"):
            experiment.load(made.run_id)

    def test_a_newer_version_made_it(self, made: experiment.Run) -> None:
        run = RunDir(made.logdir)
        run.write_json("run.json", {**run.read_json("run.json"), "hopslite": "99.1"})
        with pytest.raises(StoreError, match=r"made by hopslite 99\.1.*upgrade"):
            experiment.load("digits")

    def test_notes_are_put_over_it(self, made: experiment.Run) -> None:
        Notes({"team": "b", "é": "x=1"}, "a\nnote").write(RunDir(made.logdir))
        loaded = experiment.load("digits")
        assert (loaded.tags, loaded.description) == ({"team": "b", "é": "x=1"}, "a\nnote")
        RunDir(made.logdir).write_bytes("notes.json", b"[1")
        assert experiment.load("digits").tags == {"team": "a"}


class TestFind:
    def test_what_people_call_it(self, home: Project, made: experiment.Run) -> None:
        again = experiment.grid_search(
            train, {"lr": [0.5], "kind": ["a"]}, name="digits", optimization_key="accuracy", **OPTIONS
        )
        for text in (
            "digits",
            "digits/2",
            "digits/latest",
            again.run_id,
            again.run_id[:-1],
            again.logdir,
            "runs:/digits/2",
        ):
            assert find(home, text).url == again.logdir, text
        for text in ("digits/1", made.run_id, f"{made.logdir}/"):
            assert find(home, text).url == made.logdir, text

    def test_any_name(self, home: Project) -> None:
        for name in ("100 %", "größe", "2026", "a.b"):
            run = experiment.launch(lambda: 1, name=name, **OPTIONS)
            assert find(home, name).url == find(home, f"{name}/1").url == run.logdir

    def test_what_is_not_there(self, home: Project, made: experiment.Run) -> None:
        experiment.grid_search(
            train, {"lr": [0.5], "kind": ["a"]}, name="digits", optimization_key="accuracy", **OPTIONS
        )
        for text, message in (
            ("digit", "did you mean 'digits'"),
            ("digits/7", "no version '7' of run 'digits'; its versions: 1, 2"),
            ("digits/x", "no version 'x'"),
            ("20", "there is no run '20'"),
            ("zzz", "names: digits"),
            ("", "there is no run ''"),
            ("../..", "there is no run"),
            ("/nowhere/at/all", "not the directory of a run"),
        ):
            with pytest.raises(RunNotFound, match=message):
                find(home, text)

    def test_the_beginning_of_several(self, home: Project, made: experiment.Run) -> None:
        again = experiment.grid_search(
            train, {"lr": [0.5], "kind": ["a"]}, name="digits", optimization_key="accuracy", **OPTIONS
        )
        with pytest.raises(RunNotFound, match="the beginning of 2 runs") as error:
            find(home, made.run_id[:6])
        assert made.run_id in str(error.value)
        assert again.run_id in str(error.value)

    def test_an_empty_project(self, home: Project) -> None:
        with pytest.raises(RunNotFound, match="it has no runs"):
            find(home, "digits")

    def test_its_directory_is_gone(self, home: Project, made: experiment.Run) -> None:
        RunDir(made.logdir).remove_all()
        assert home.runs() == []
        with pytest.raises(RunNotFound, match="version 1 of run 'digits' is gone"):
            find(home, "digits")
        assert [record for _, record in records(home)] == []
        again = experiment.launch(lambda: 1, name="digits", **OPTIONS)
        assert again.version == 2, "the number of a deleted run was given again"


def test_a_damaged_record_is_listed(home: Project, made: experiment.Run) -> None:
    RunDir(made.logdir).write_bytes("run.json", b"{")
    [(run, record)] = records(home)
    assert run.url == made.logdir
    assert str(record) == "run.json is not a JSON object"


def test_trials(made: experiment.Run) -> None:
    for text in ("0001", "1", "best", "00001"):
        assert trial_of(made, text).id == "0001"
    for text in ("0007", "x", "-1", ""):
        with pytest.raises(RunNotFound, match=r"its trials: 0000 to 0002, or 'best'"):
            trial_of(made, text)


def test_a_trial_of_a_run_without_any(project: str) -> None:
    def never(lr: float) -> float:
        return lr

    run = experiment.grid_search(never, {"lr": [1]}, **OPTIONS)
    shutil.rmtree(Path(run.logdir) / "journal")
    (Path(run.logdir) / "journal").mkdir()
    record = json.loads((Path(run.logdir) / "run.json").read_text())
    assert record["state"] == "FINISHED"
    loaded = experiment.load(run.run_id)
    with pytest.raises(RunNotFound, match="has no trials"):
        trial_of(loaded, "best")


def test_a_run_cannot_be_looked_for_in_a_project_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPSLITE_PROJECT", "nope://x")
    with pytest.raises((StoreError, InvalidArguments), match="nope"):
        experiment.load("digits")
