"""What a run's directory says to a driver that wants to go on with it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
import tracemalloc
import uuid
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite.core.types import Event, Result, State
from hopslite.errors import ResumeError
from hopslite.runs import history
from hopslite.runs.function_fingerprint import describe
from hopslite.runs.history import MEASUREMENTS, PLAN, RunHistory, resumable, unfinished
from hopslite.storage import driver_lease
from hopslite.storage.journal import JournalReader, repair
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir

SPACE = {"lr": {"type": "uniform", "low": 0.1, "high": 0.5}}


def train(lr: float) -> float:
    return lr


def other(lr: float) -> float:
    return -lr


@pytest.fixture(params=["local", "memory"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    return Project(str(tmp_path / "project") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def new_run(project: Project, name: str = "test", **changes: Any) -> RunDir:
    """A run as a driver leaves it that was killed."""
    run_id, version, run = project.new_run(name)
    record = {
        "run_id": run_id,
        "name": name,
        "version": version,
        "verb": "random_search",
        "state": State.RUNNING,
        "hopslite": hopslite.__version__,
        "function": describe(train),
        "space": SPACE,
        **changes,
    }
    run.write_json("run.json", record)
    run.write_bytes(PLAN, b"plan")
    run.makedirs("journal")
    run.write_bytes("journal/000001.jsonl", Event("run_started", 1.0, None, record).to_line().encode() + b"\n")
    return run


def write(run: RunDir, *events: Event) -> None:
    writer = JournalWriter(run)
    for event in events:
        writer.append(event)
    assert writer.close() is None


def ended(trial: str, state: State = State.FINISHED, metric: float | None = 1.0) -> Event:
    return Event("ended", 5.0, trial, Result(trial, state, metric).to_json())


def asked(trial: str, **data: Any) -> Event:
    return Event("asked", 1.0, trial, {"params": {"lr": 0.5}, "generation": None, "continues": None, **data})


def started(trial: str, attempt: int = 0) -> Event:
    return Event("started", 2.0, trial, {"attempt": attempt, "host": "h"})


def report(trial: str, step: float, value: float, attempt: int = 0) -> Event:
    return Event("report", 3.0, trial, {"step": step, "value": value, "attempt": attempt})


def name_of(run: RunDir) -> str:
    return os.path.basename(run.url)


class TestPast:
    def test_a_run_as_far_as_it_came(self, project: Project) -> None:
        run = new_run(project)
        events = [
            asked("0000", generation=3),
            asked("0001", params={"lr": 0.25, "kind": ["a", None]}, continues="0000"),
            started("0000"),
            started("0001"),
            report("0000", 0, 0.5),
            report("0001", 0, 0.1),
            Event("sample", 3.0, "0000", {"cpu_percent": 1.0}),
            report("0000", 1, math.nan),
            ended("0000"),
            started("0001", 1),
            report("0001", 0, 0.2, 1),
            report("0001", 0.5, 0.3, 1),
            asked("0002"),
        ]
        write(run, *events)
        past = RunHistory.read(run)
        assert past.record["run_id"] == name_of(run)
        assert list(past.trials) == ["0000", "0001", "0002"]
        first, second, third = past.trials.values()
        assert (first.params, first.generation, first.continues, first.attempts) == ({"lr": 0.5}, 3, None, 1)
        assert first.result == Result("0000", State.FINISHED, 1.0)
        assert first.reports[0] == (0, 0.5)
        assert math.isnan(first.reports[1][1])
        assert (second.params, second.continues) == ({"lr": 0.25, "kind": ["a", None]}, "0000")
        assert (second.attempts, second.result) == (2, None)
        assert second.reports == [(0, 0.2), (0.5, 0.3)]
        assert (third.attempts, third.result, third.reports) == (0, None, [])
        assert past.ended is None
        assert past.notes == []
        assert past.lost == ()
        assert [repr(event) for event in past.events()] == [repr(e) for e in JournalReader(run).new()]
        assert len(list(past.events())) == len(list(past.events())) == 14

    def test_without_measurements_it_says_the_same_of_ends_and_of_time(self, project: Project) -> None:
        """The first driver was killed in the middle of a trial, an hour after anything but reports."""
        run = new_run(project)
        hours = [dataclasses.replace(report("0000", n, n / 2), time=3600.0 * n) for n in range(1, 4)]
        write(run, asked("0000"), started("0000"), *hours)
        resumed = Event("resumed", 20_000.0, None, {"fresh": False, "session": 2})
        lines = [resumed, started("0000", 1), report("0000", 0, 0.5, 1), ended("0000")]
        run.write_bytes("journal/000003.jsonl", b"".join(event.to_line().encode() + b"\n" for event in lines))
        whole, past = RunHistory.read(run), RunHistory.read(run, without=MEASUREMENTS)
        assert past.spans == whole.spans
        assert whole.spans[0][1] == 3 * 3600.0
        assert [trial.result for trial in past.trials.values()] == [trial.result for trial in whole.trials.values()]
        assert [event.kind for event in past.events(MEASUREMENTS)] == [
            *("run_started", "asked", "started", "report", "resumed", "started", "ended"),
        ]

    def test_what_is_run_again_has_no_result_until_it_ends_again(self, project: Project) -> None:
        run = new_run(project)
        failed = ended("0000", State.FAILED, None)
        write(run, asked("0000"), started("0000"), report("0000", 0, 1.0), failed, Event("again", 6.0, "0000"))
        trial = RunHistory.read(run).trials["0000"]
        assert (trial.result, trial.reports, trial.attempts) == (None, [], 1)
        write(run, started("0000", 1), report("0000", 0, 2.0, 1), report("0000", 9, 9.0, 0))
        trial = RunHistory.read(run).trials["0000"]
        assert (trial.result, trial.reports, trial.attempts) == (None, [(0, 2.0)], 2)
        write(run, ended("0000", State.STOPPED, 0.5))
        result = RunHistory.read(run).trials["0000"].result
        assert result is not None
        assert (result.state, result.metric) == (State.STOPPED, 0.5)
        write(run, started("0000", 2))
        assert RunHistory.read(run).trials["0000"].result is None

    def test_an_end_counts_only_as_long_as_nothing_follows(self, project: Project) -> None:
        run = new_run(project)
        write(run, Event("run_ended", 6.0, None, {"state": "KILLED"}))
        past = RunHistory.read(run)
        assert past.ended is not None
        assert past.ended.data == {"state": "KILLED"}
        write(run, Event("resumed", 7.0, None, {"fresh": False}))
        assert RunHistory.read(run).ended is None

    def test_what_is_written_later_is_not_part_of_it(self, project: Project) -> None:
        run = new_run(project)
        write(run, asked("0000"))
        repair(run)
        past = RunHistory.read(run)
        write(run, asked("0001"), Event("resumed", 8.0))
        assert [event.trial for event in past.events()] == [None, "0000"]

    def test_a_trial_whose_suggestion_is_lost_is_left_out(self, project: Project) -> None:
        run = new_run(project)
        lines = [asked("0000"), asked("0001"), started("0000"), started("0001"), ended("0001"), ended("0000")]
        lost = [started("0002"), asked("0003", params=None), ended("0003")]
        write(run, *lost, *lines)
        data = run.read_bytes("journal/000002.jsonl")
        broken = data.replace(asked("0001").to_line().encode(), b"\xff" * 20)
        assert broken != data
        run.write_bytes("journal/000002.jsonl", broken)
        past = RunHistory.read(run)
        assert list(past.trials) == ["0000"]
        assert past.lost == ("0002", "0003", "0001")
        assert [e.trial for e in past.events()] == [None, "0000", "0000", "0000"]
        assert len(past.notes) == 2
        assert "20 bytes" in past.notes[0]
        assert "0002, 0003, 0001" in past.notes[1]

    def test_one_that_a_later_driver_has_suggested_anew(self, project: Project) -> None:
        run = new_run(project)
        write(run, ended("0000"), asked("0000"), asked("0000", params={"lr": 7}), started("0000"))
        past = RunHistory.read(run)
        assert past.lost == ()
        assert past.trials["0000"].params == {"lr": 0.5}
        assert past.trials["0000"].result is None
        assert [e.kind for e in past.events()] == ["run_started", "asked", "started"]

    def test_suggestions_that_were_known_are_events_and_no_trials(self, project: Project) -> None:
        run = new_run(project)
        known = Event("known", 4.0, "0001", {"params": {"lr": 0.5}, "of": "0000"})
        write(run, asked("0000"), ended("0000"), known)
        past = RunHistory.read(run)
        assert list(past.trials) == ["0000"]
        assert past.lost == ()
        assert list(past.events())[-1] == known

    def test_events_that_make_no_sense_say_nothing(self, project: Project) -> None:
        run = new_run(project)
        strange = [Event("ended", 1.0, "0000", data) for data in ({}, {"state": "ODD", "trial_id": "0000"})]
        strange += [Event("report", 1.0, "0000", data) for data in ({}, {"step": 1, "value": "x"}, {"value": 1})]
        write(run, asked("0000"), started("0000"), report("0000", 0, 1.0), *strange, Event("of a newer one", 1.0))
        trial = RunHistory.read(run).trials["0000"]
        assert (trial.result, trial.reports) == (None, [(0, 1.0)])

    @pytest.mark.parametrize("content", [b"", b"{", b"\0" * 100, None])
    def test_without_run_json_the_journal_says_it(self, project: Project, content: bytes | None) -> None:
        run = new_run(project)
        run.fs.rm_file(run._at("run.json"))
        if content is not None:
            run.write_bytes("run.json", content)
        assert resumable(project, name_of(run)).url == run.url
        past = RunHistory.read(run)
        assert past.record["run_id"] == name_of(run)
        assert past.record["space"] == SPACE
        assert len(past.notes) == 1
        assert "run.json" in past.notes[0]

    @pytest.mark.slow("soak")
    def test_many_reports_need_little_memory(self, tmp_path: Path) -> None:
        run = new_run(Project(str(tmp_path)))
        lines = [asked("0000"), started("0000"), *(report("0000", n, n / 7) for n in range(50_000))]
        run.write_bytes("journal/000002.jsonl", b"".join(e.to_line().encode() + b"\n" for e in lines))
        del lines
        tracemalloc.start()
        try:
            past = RunHistory.read(run)
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(past.trials["0000"].reports) == 50_000
        assert kept < 10e6
        assert peak < 40e6
        assert sum(1 for _ in past.events()) == 50_003


class TestRefused:
    def refused(self, project: Project, run_id: Any) -> str:
        with pytest.raises(ResumeError) as caught:
            resumable(project, run_id)
        assert caught.value.run_id == run_id
        return str(caught.value)

    def test_a_run_that_does_not_exist(self, project: Project) -> None:
        assert "it has no runs" in self.refused(project, "nothing")
        runs = [new_run(project) for _ in range(7)]
        ids = project.runs()
        found = self.refused(project, "nothing")
        assert "no run 'nothing'" in found
        assert found.endswith(f"the latest are {', '.join(ids[-5:])}")
        near = ids[2][:-1] + ("0" if ids[2][-1] != "0" else "1")
        assert "did you mean '" in self.refused(project, near)
        assert f"give the id alone: {name_of(runs[0])!r}" in self.refused(project, runs[0].url)
        for strange in ("", "..", ".", "a/../b", None, 3, ".versions"):
            assert "there is no run" in self.refused(project, strange)

    def test_a_newer_version(self, project: Project) -> None:
        run = new_run(project, hopslite="999.1.0")
        found = self.refused(project, name_of(run))
        assert "hopslite 999.1.0" in found
        assert hopslite.__version__ in found
        with pytest.raises(ResumeError, match=r"999\.1\.0"):
            RunHistory.read(run)
        run.write_bytes("run.json", b"")
        with pytest.raises(ResumeError, match=r"999\.1\.0"):
            RunHistory.read(run)

    def test_no_journal(self, project: Project) -> None:
        run = new_run(project)
        run.fs.rm_file(run._at("journal/000001.jsonl"))
        assert "no journal" in self.refused(project, name_of(run))
        with pytest.raises(ResumeError, match="no journal"):
            RunHistory.read(run)

    def test_of_before_runs_could_be_resumed(self, project: Project) -> None:
        run = new_run(project, hopslite=None)
        run.fs.rm_file(run._at(PLAN))
        assert "start it anew" in self.refused(project, name_of(run))
        run = new_run(project)
        run.fs.rm_file(run._at(PLAN))
        assert PLAN in self.refused(project, name_of(run))
        with pytest.raises(ResumeError, match=PLAN):
            RunHistory.read(run)

    @pytest.mark.parametrize(
        ("lower", "higher"),
        [("0.9", "0.10"), ("1.0", "1.0.1"), ("1.0rc1", "1.1.dev3"), ("", "0.0.1"), ("0.1.0", "1"), ("x", "0.1")],
    )
    def test_versions_are_compared_by_number(self, lower: str, higher: str) -> None:
        assert history._version(lower) < history._version(higher)

    def test_equal_versions(self) -> None:
        assert history._version("1") == history._version("1.0.0") == history._version("1.0.0rc2")


class TestUnfinished:
    def found(self, project: Project, **changes: Any) -> str | None:
        call: dict[str, Any] = {
            "name": "test",
            "verb": "random_search",
            "function": json.loads(json.dumps(describe(train))),
            "space": SPACE,
            "inputs": {},
        }
        return unfinished(project, **{**call, **changes})

    def test_the_newest_that_fits(self, project: Project) -> None:
        assert self.found(project) is None
        runs = [new_run(project, state=state) for state in (State.RUNNING, State.KILLED, State.FAILED)]
        for run in reversed(runs):
            assert self.found(project) == name_of(run)
            run.write_json("run.json", {**run.read_json("run.json"), "state": State.FINISHED})
        assert self.found(project) is None

    def test_what_does_not_fit_is_passed_over(self, project: Project) -> None:
        run = new_run(project)
        new_run(project, name="another")
        new_run(project, verb="grid_search")
        new_run(project, function=describe(other))
        new_run(project, function=None)
        new_run(project, space={"lr": {**SPACE["lr"], "high": 0.6}})
        new_run(project, hopslite="999.0")
        without_plan = new_run(project)
        without_plan.fs.rm_file(without_plan._at(PLAN))
        broken = new_run(project)
        broken.write_bytes("run.json", b"{")
        gone = new_run(project)
        gone.fs.rm(gone._root, recursive=True)
        project.create("Experiments/.versions/test/999", b"")  # a driver that was killed in this moment
        assert self.found(project) == name_of(run)
        assert self.found(project, function=describe(other)) is not None
        assert self.found(project, verb="distributed") is None

    def test_one_that_is_being_worked_on_is_passed_over(self, project: Project) -> None:
        first, second = new_run(project), new_run(project)
        session = driver_lease.claim(second)
        assert self.found(project) == name_of(first)
        session.release()
        assert self.found(project) == name_of(second)

    def test_of_many_runs_few_are_read(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        wanted = new_run(project)
        template = wanted.read_json("run.json")
        for number in range(2, 300):
            project.write_bytes(f"Experiments/.versions/test/{number}", f"r{number}".encode())
            project.sub("Experiments", f"r{number}").makedirs()
            project.write_json(f"Experiments/r{number}/run.json", {**template, "state": State.FINISHED})
        read: list[str] = []
        read_each = Project.read_each

        def counting(self: Project, names: list[str], most: int | None = None) -> Any:
            read.extend(names)
            return read_each(self, names, most)

        monkeypatch.setattr(Project, "read_each", counting)
        began = time.monotonic()
        assert self.found(project) == name_of(wanted)
        assert time.monotonic() - began < 60
        assert len(read) == 2 * 299
        read.clear()
        newest = new_run(project)
        assert self.found(project) == name_of(newest)
        assert len(read) <= 2 * 32 + 1
