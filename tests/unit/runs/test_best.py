"""The best trial of all runs of a name: from their records alone, and never from a damaged one."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.core.types import Direction, Event, Result, State
from hopslite.errors import InvalidArguments
from hopslite.result import Run
from hopslite.runs.best import Best, best
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir

OPTIONS: dict[str, Any] = {"name": "digits", "pool": "inline", "display": False}


@pytest.fixture(params=["local", "memory"])
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    url = str(tmp_path / "project") if request.param == "local" else f"memory://{uuid.uuid4().hex}"
    monkeypatch.setenv("HOPSLITE_PROJECT", url)
    return Project(url)


def train(x: float) -> dict[str, Any]:
    if x < 0:
        raise ValueError("no")
    return {"accuracy": 1 - x, "seconds": 10 * x, "note": "text", "exact": x == 0.5}


def searched(*values: float, **changes: Any) -> Run:
    return experiment.grid_search(train, {"x": list(values)}, **{"optimization_key": "accuracy", **OPTIONS, **changes})


def unfinished(project: Project, *results: Result, state: State = State.RUNNING, **changes: Any) -> RunDir:
    """A run as a driver leaves it that was killed."""
    run_id, version, run = project.new_run("digits")
    record = {
        "run_id": run_id,
        "name": "digits",
        "version": version,
        "state": state,
        "metric": None,
        "best_trial": None,
    }
    record |= {"direction": "MAX", "optimization_key": "accuracy", **changes}
    run.write_json("run.json", record)
    run.makedirs("journal")
    writer = JournalWriter(run)
    writer.append(Event("run_started", 1.0, None, record))
    for number, result in enumerate(results):
        params = {"params": {"x": number / 8}, "generation": None, "continues": None}
        writer.append(Event("asked", 2.0, result.trial_id, params))
        writer.append(Event("ended", 3.0, result.trial_id, result.to_json()))
    writer.append(Event("asked", 4.0, "0099", {"params": {"x": 0.0}, "generation": None, "continues": None}))
    assert writer.close() is None
    return run


def ended(trial: str, accuracy: float, state: State = State.FINISHED) -> Result:
    return Result(trial, state, accuracy, {"accuracy": accuracy, "seconds": 7.0}, started=5.0, duration=1.5)


def damage(project: Project, run: Run, name: str, content: bytes = b'{"half') -> None:
    project.sub("Experiments", run.run_id).write_bytes(name, content)


class TestOfAllRuns:
    def test_what_the_runs_optimised(self, project: Project) -> None:
        searched(0.5, 0.75)
        run = searched(-1.0, 0.875, 0.25, 0.375)
        searched(0.0, name="another")
        found = best("digits")
        assert isinstance(found, Best)
        assert (found.name, found.version, found.run_id, found.run_logdir) == ("digits", 2, run.run_id, run.logdir)
        assert (found.metric, found.value, found.direction) == ("accuracy", 0.75, Direction.MAX)
        assert run.best_trial is not None
        assert found.trial.id == run.best_trial.id == "0002"
        worst = best("digits", direction="min")
        assert (worst.value, worst.run_id, worst.direction) == (0.125, run.run_id, Direction.MIN)
        assert found.logdir == run.best_logdir
        assert found.params == {"x": 0.25}
        assert found.outputs == run.best_outputs
        assert found.trial.state is State.FINISHED
        assert found.trial.started == run.best_trial.started
        assert "digits version 2, trial 0002: accuracy = 0.75 (max)" in repr(found)

    def test_another_output(self, project: Project) -> None:
        searched(0.5, 0.75)
        searched(-1.0, 0.125, 0.25)
        assert (best("digits", "seconds", "min").trial.id, best("digits", "seconds", "min").version) == ("0001", 2)
        assert best("digits", "seconds", Direction.MAX).params == {"x": 0.75}
        assert best("digits", "accuracy").params == {"x": 0.125}
        assert best("digits", "accuracy", "min").params == {"x": 0.75}

    def test_of_equal_ones_the_newest_run_and_its_first_trial(self, project: Project) -> None:
        for _ in range(2):
            searched(0.5, 0.25, 0.25)
        for found in (best("digits"), best("digits", "seconds", "min")):
            assert (found.version, found.trial.id) == (2, "0001")

    def test_launches(self, project: Project) -> None:
        for values in ([0.5, 0.25], [0.75]):
            experiment.launch(train, {"x": values}, metric_key="accuracy", **OPTIONS)
        assert best("digits", direction="max").params == {"x": 0.25}
        with pytest.raises(InvalidArguments, match=r"direction is missing .*: they have none of their own"):
            best("digits")

    def test_a_single_number_needs_no_name(self, project: Project) -> None:
        for x in (0.5, 0.25):
            experiment.grid_search(lambda x: {"loss": x}, {"x": [x]}, direction="min", **OPTIONS)
        assert best("digits").value == 0.25
        assert best("digits", "loss").value == 0.25

    def test_another_project(self, project: Project, tmp_path: Path) -> None:
        searched(0.5, project=str(tmp_path / "other"))
        assert best("digits", project=str(tmp_path / "other")).params == {"x": 0.5}


class TestReading:
    def test_of_finished_runs_reads_no_journal_but_the_winners(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs = [searched(value) for value in (0.5, 0.25, 0.75)]
        read: list[str] = []
        read_bytes, read_many = RunDir.read_bytes, RunDir.read_many
        monkeypatch.setattr(
            RunDir, "read_bytes", lambda self, name, *a: read.append(self.path(name)) or read_bytes(self, name, *a)
        )
        monkeypatch.setattr(RunDir, "list", _noted(RunDir.list, read))
        calls: list[Any] = []
        monkeypatch.setattr(
            RunDir, "read_many", lambda self, names: calls.append(list(names)) or read_many(self, names)
        )
        best("digits", "seconds", "min")
        assert not any(other.run_id in each for other in (runs[0], runs[2]) for each in read)
        assert len(calls) <= 4, "the claims, the records and the summaries, each in one go"
        calls.clear()
        best("digits")
        assert ".summary.json" not in str(calls)

    def test_runs_that_go_on_or_broke_off(self, project: Project) -> None:
        searched(0.5)
        run = unfinished(project, ended("0000", 0.25), ended("0001", 0.75), ended("0002", 0.625, State.STOPPED))
        found = best("digits")
        assert (found.run_id, found.trial.id, found.value) == (run.url.rpartition("/")[2], "0001", 0.75)
        assert (found.params, found.trial.duration) == ({"x": 0.125}, 1.5)
        assert best("digits", "seconds", "max").trial.id == "0000"

    def test_states_that_do_not_count(self, project: Project) -> None:
        failed = ended("0000", 0.875, State.FAILED)
        unfinished(project, failed, ended("0001", 0.75, State.KILLED), ended("0002", 0.5, State.STOPPED))
        assert best("digits").trial.id == "0002"

    def test_what_is_no_number_is_never_best(self, project: Project) -> None:
        bad = [
            Result(f"000{n}", State.FINISHED, 0.5, {"f1": v}) for n, v in enumerate(["NaN", True, None, float("nan")])
        ]
        unfinished(project, *bad, Result("0004", State.FINISHED, 0.5, {"f1": 0.125}))
        assert best("digits", "f1", "max").trial.id == "0004"


def _noted(method: Any, read: list[str]) -> Any:
    def wrapped(self: RunDir, name: str = "") -> Any:
        if "journal" in name:
            read.append(self.path(name))
        return method(self, name)

    return wrapped


class TestDamage:
    def test_a_damaged_summary_is_made_up_for_by_the_journal(self, project: Project) -> None:
        searched(0.5)
        run = searched(0.25)
        damage(project, run, ".summary.json")
        assert best("digits", "seconds", "min").run_id == run.run_id

    def test_a_damaged_record_is_made_up_for_by_the_journal(self, project: Project) -> None:
        searched(0.5)
        run = searched(0.25)
        damage(project, run, "run.json")
        found = best("digits")
        assert (found.run_id, found.version) == (run.run_id, 2)

    @pytest.mark.parametrize("content", [b'{"name": "digits", "version": 1, "state": "FINISHED"}', b"{}", b"[]"])
    def test_an_odd_record_is_made_up_for_by_the_journal(self, project: Project, content: bytes) -> None:
        run = searched(0.25)
        damage(project, run, "run.json", content)
        found = best("digits", "seconds", "min")
        assert (found.run_id, found.version) == (run.run_id, 1)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            (".summary.json", b'{"combinations": 7}'),
            (".summary.json", b'{"combinations": [{"x": 1}]}'),
            ("journal/000001.jsonl", b"\x00\xff\n"),
        ],
    )
    def test_a_run_that_cannot_be_read_is_passed_over(
        self, project: Project, caplog: pytest.LogCaptureFixture, name: str, content: bytes
    ) -> None:
        kept = searched(0.5)
        damaged = searched(0.25)
        damage(project, damaged, name, content)
        with caplog.at_level(logging.WARNING):
            assert best("digits", "seconds", "min").run_id == kept.run_id
        assert [damaged.run_id in record.getMessage() for record in caplog.records] == [True]

    def test_a_run_without_anything_is_passed_over(self, project: Project, caplog: pytest.LogCaptureFixture) -> None:
        kept = searched(0.5)
        empty = project.new_run("digits")[0]
        with caplog.at_level(logging.WARNING):
            assert best("digits").run_id == kept.run_id
        assert empty in caplog.text


class TestBadInput:
    def test_an_unknown_name(self, project: Project) -> None:
        with pytest.raises(InvalidArguments, match=r"no run named 'digits' in .*; it has no runs"):
            best("digits")
        searched(0.5)
        searched(0.5, name="a: %")
        with pytest.raises(InvalidArguments, match=r"no run named 'digit' in .*; did you mean 'digits'\?"):
            best("digit")
        with pytest.raises(InvalidArguments, match="names: a: %, digits"):
            best("x")

    def test_an_unknown_metric(self, project: Project) -> None:
        searched(0.5)
        with pytest.raises(InvalidArguments, match=r"returned 'f1'; their numbers: accuracy, seconds$"):
            best("digits", "f1", "max")
        with pytest.raises(InvalidArguments, match="did you mean 'accuracy'"):
            best("digits", "acuracy")

    def test_no_trial_with_a_metric(self, project: Project) -> None:
        unfinished(project)
        with pytest.raises(InvalidArguments, match=r"no trial of the runs named 'digits' .* has a metric yet"):
            best("digits")

    def test_what_must_be_said(self, project: Project) -> None:
        searched(0.5)
        with pytest.raises(InvalidArguments, match="direction='up'; give 'max' or 'min'"):
            best("digits", direction="up")
        with pytest.raises(InvalidArguments, match="'seconds' is not what they optimised; give 'max' or 'min'"):
            best("digits", "seconds")
        searched(0.5, direction="min")
        with pytest.raises(InvalidArguments, match="some of them were maximised and some minimised"):
            best("digits")
        assert best("digits", direction="min").value == 0.5
        searched(0.5, optimization_key="seconds")
        with pytest.raises(InvalidArguments, match="have optimised accuracy and seconds; say which"):
            best("digits")
