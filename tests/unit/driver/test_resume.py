"""Going on with a run that broke off. Drivers that are killed for real are in tests/cluster/test_resume.py."""

from __future__ import annotations

import json
import os
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import experiment, space
from hopslite.core.types import Event
from hopslite.errors import (
    InvalidArguments,
    ReplayError,
    ResumeError,
    RunInterrupted,
    RunIsRunning,
    RunTakenOver,
    TrialFailed,
)
from hopslite.runs.time_spent import seconds_of
from hopslite.storage.driver_lease import DriverLease, claim, has_live_driver
from hopslite.storage.journal import JournalReader
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.run_directory import RunDir

SPACE = {"x": [0.0, 1.0], "n": [1, 4]}
TIMES = ("until_first_trial", "in_trials", "longest_trial", "after_last_trial")  # parts of all
Ran = list[tuple[float, int]]


@pytest.fixture(autouse=True)
def _project(project: str) -> None:
    """Every run here is in the test's own project."""


def breaking(ran: Path, at: int) -> Callable[..., float]:
    """A training function that interrupts its run at its call number `at`, the first time that it comes there."""

    def train(x: float, n: int) -> float:
        with open(ran, "a", encoding="utf-8") as file:
            file.write(f"{x} {n}\n")
        with open(ran, encoding="utf-8") as file:
            if len(file.readlines()) == at:
                raise KeyboardInterrupt
        for step in range(5):
            hopslite.report(x * step, step)
        if n == 3:
            raise ValueError("no threes")
        return x * n

    return train


def calls(ran: Path) -> Counter[str]:
    return Counter(ran.read_text().splitlines())


def search(fn: Callable[..., Any], **changes: Any) -> experiment.Run:
    options: dict[str, Any] = {"num_trials": 12, "name": "s", "seed": 7, "pool": "inline", "display": False}
    given = {"space": SPACE, **options, **changes}
    return experiment.search(fn, given.pop("space"), **given)


def broken_off(fn: Callable[..., Any], **changes: Any) -> RunInterrupted:
    with pytest.raises(RunInterrupted) as stopped:
        search(fn, **changes)
    return stopped.value


def records(run: experiment.Run) -> list[Event]:
    return list(JournalReader(RunDir(run.logdir)).new())


@pytest.mark.parametrize("algorithm", ["random", "differential_evolution", "tpe", "asha", "hyperband"])
def test_what_had_finished_is_not_run_again_and_the_end_is_that_of_a_run_that_did_not_break(
    tmp_path: Path, algorithm: str
) -> None:
    def train(x: float, n: int, budget: float = 1.0) -> float:
        return broken(x, n) + budget / 1000

    broken = breaking(tmp_path / "ran", at=8)
    whole = breaking(tmp_path / "whole", at=-1)
    changes: dict[str, Any] = {"algorithm": algorithm, "stopper": None if algorithm == "asha" else "median"}
    stopped = broken_off(train, **changes)
    assert sum(count for state, count in stopped.result.counts.items() if state != "KILLED") == 7
    run = search(train, resume="auto", **changes)
    broken = whole  # the same function to all appearance, as it would have run without a break
    unbroken = search(train, **changes)
    assert run.run_id == stopped.run_id
    assert run.state == "FINISHED"
    assert [trial.id for trial in run.trials] == [trial.id for trial in unbroken.trials]
    assert calls(tmp_path / "ran").total() == len(run.trials) + 1  # the one that was interrupted
    if algorithm != "tpe":  # which draws anew after a resume, see docs/faults.md
        assert [trial.params for trial in run.trials] == [trial.params for trial in unbroken.trials]
        assert [trial.state for trial in run.trials] == [trial.state for trial in unbroken.trials]


def test_a_run_can_break_off_again_and_again(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def train(x: float, n: int) -> float:
        with open(ran, "a", encoding="utf-8") as file:
            file.write(f"{x} {n}\n")
        if len(ran.read_text().splitlines()) % 3 == 0:
            raise KeyboardInterrupt
        return x

    ids = set()
    for _ in range(20):
        try:
            run = search(train, resume="auto")
        except RunInterrupted as stopped:
            ids.add(stopped.run_id)
            continue
        ids.add(run.run_id)
        break
    assert len(ids) == 1
    assert [trial.id for trial in run.trials] == [f"{number:04d}" for number in range(12)]
    ends = Counter(e.trial for e in records(run) if e.kind == "ended" and e.data["state"] == "FINISHED")
    assert ends == Counter({f"{number:04d}": 1 for number in range(12)})


def test_by_its_id_a_run_goes_on_with_the_function_that_is_stored(tmp_path: Path) -> None:
    stopped = broken_off(breaking(tmp_path / "ran", at=5), name="by id", description="text", tags={"a": "b"})
    run = experiment.resume(stopped.run_id, pool="inline", display=False)
    assert (run.run_id, run.name, run.verb, run.description, run.tags) == (
        stopped.run_id,
        "by id",
        "search",
        "text",
        {"a": "b"},
    )
    assert len(run.trials) == 12
    assert calls(tmp_path / "ran").total() == 13
    record = json.loads((Path(run.logdir) / "run.json").read_text())
    assert record["state"] == "FINISHED"
    assert record["session"] == 2


@pytest.mark.parametrize("how", ["id", "beginning", "name", "version", "latest", "directory", "uri"])
@pytest.mark.parametrize("by_verb", [False, True])
def test_a_run_is_taken_up_by_what_people_call_it(how: str, by_verb: bool, tmp_path: Path) -> None:
    train = breaking(tmp_path / "ran", at=5)
    stopped = broken_off(train, name="digits")
    names = {"id": stopped.run_id, "beginning": stopped.run_id[:-4], "directory": stopped.logdir}
    names |= {"name": "digits", "version": "digits/1", "latest": "digits/latest", "uri": f"runs:/{stopped.run_id}"}
    if by_verb:
        run = search(train, name="digits", resume=names[how])
    else:
        run = experiment.resume(names[how], pool="inline", display=False)
    assert (run.run_id, len(run.trials)) == (stopped.run_id, 12)


def test_a_name_that_no_run_has_is_told_with_those_there_are(tmp_path: Path) -> None:
    broken_off(breaking(tmp_path / "ran", at=5), name="digits")
    for call in (lambda: experiment.resume("digit"), lambda: search(lambda x, n: x, resume="digit")):
        with pytest.raises(ResumeError, match="did you mean 'digits'"):
            call()
    with pytest.raises(ResumeError, match="its versions: 1"):
        experiment.resume("digits/2")
    elsewhere = experiment.launch(lambda: 1, project=str(tmp_path / "elsewhere"), pool="inline", display=False)
    with pytest.raises(ResumeError, match="is not a run of the project"):
        experiment.resume(elsewhere.logdir)


def test_the_stored_call_is_written_anew_only_where_it_is_another(tmp_path: Path) -> None:
    stopped = broken_off(breaking(tmp_path / "ran", at=5))
    plan = Path(stopped.logdir) / "plan.pkl"

    def changed(**options: Any) -> bool:
        before = plan.stat()
        experiment.resume(stopped.run_id, pool="inline", display=False, **options)
        return (before.st_ino, before.st_mtime_ns) != (plan.stat().st_ino, plan.stat().st_mtime_ns)

    assert not changed()
    assert changed(max_failures=3)
    assert not changed()


def forget_starts(logdir: str) -> None:
    """Leave a journal as if no trial of the run had begun."""
    for file in (Path(logdir) / "journal").iterdir():
        lines = file.read_text().splitlines()
        file.write_text("".join(f"{line}\n" for line in lines if json.loads(line)["kind"] != "started"))


@pytest.mark.parametrize("has_begun", [True, False])
def test_the_times_of_a_resumed_run_agree(has_begun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour passes between the two drivers, and none of it is the run's."""
    stopped = broken_off(breaking(tmp_path / "ran", at=5 if has_begun else 1))
    if not has_begun:
        forget_starts(stopped.logdir)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    run = experiment.resume(stopped.run_id, pool="inline", display=False)
    seconds = seconds_of(experiment.load(run.run_id))
    assert seconds["total"] == pytest.approx(run.duration)
    assert all(0 <= (seconds[name] or 0) <= (seconds["total"] or 0) for name in TIMES), seconds


def test_the_times_of_a_killed_run_agree(tmp_path: Path) -> None:
    """Its driver could not say how long it took; the journal does."""
    run = search(lambda x, n: time.sleep(0.01) or x)
    journal = sorted((Path(run.logdir) / "journal").iterdir())
    lines = [line for file in journal for line in file.read_text().splitlines()]
    journal[0].write_text("".join(f"{line}\n" for line in lines if json.loads(line)["kind"] != "run_ended"))
    for file in journal[1:]:
        file.unlink()
    record = Path(run.logdir) / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "state": "RUNNING", "duration": None}))
    killed = experiment.load(run.run_id)
    assert killed.state == "KILLED"
    seconds = seconds_of(killed)
    assert killed.duration is not None
    assert 0.1 < killed.duration <= (run.duration or 0) + 1
    assert all(0 <= (seconds[name] or 0) <= killed.duration for name in TIMES), seconds


def test_a_trial_that_never_began_has_no_times(tmp_path: Path) -> None:
    stopped = broken_off(breaking(tmp_path / "ran", at=1))
    forget_starts(stopped.logdir)
    run = experiment.load(stopped.run_id)
    assert [(trial.state, trial.started_at, trial.duration) for trial in run.trials] == [("KILLED", None, None)]
    assert seconds_of(run)["until_first_trial"] is None


def test_failed_trials_are_run_again_only_on_demand(tmp_path: Path) -> None:
    flag = tmp_path / "mended"

    def train(x: float, n: int) -> float:
        if n == 3 and not flag.exists():
            raise ValueError("no threes")
        return x

    run = search(train)
    failed = run.counts["FAILED"]
    assert failed
    flag.touch()
    assert experiment.resume(run.run_id, pool="inline", display=False).counts["FAILED"] == failed
    again = experiment.resume(run.run_id, retry_failed=True, pool="inline", display=False)
    assert again.counts["FINISHED"] == 12
    third = experiment.resume(run.run_id, retry_failed=True, pool="inline", display=False)
    assert [(t.id, t.state, t.metric, t.params) for t in third.trials] == [
        (t.id, t.state, t.metric, t.params) for t in again.trials
    ]


def test_a_failed_trial_that_was_promoted_still_has_the_checkpoints_it_goes_on_from(tmp_path: Path) -> None:
    flag = tmp_path / "mended"

    def train(x: float, n: int, budget: float) -> float:
        file = Path(experiment.checkpoint_dir()) / "trained"
        before = float(file.read_text()) if file.exists() else 0.0
        if budget > 1 and not flag.exists():
            raise ValueError("not yet")
        file.write_text(str(budget))
        return before

    run = search(train, algorithm="asha")
    failed = [trial for trial in run.trials if trial.state == "FAILED"]
    assert failed
    flag.touch()
    again = experiment.resume(run.run_id, retry_failed=True, pool="inline", display=False)
    assert {again.trials[int(trial.id)].metric for trial in failed} == {1.0}


def test_a_run_whose_trials_all_failed_can_be_taken_up_when_the_cause_is_gone(tmp_path: Path) -> None:
    def train(x: float, n: int) -> float:
        return float((tmp_path / "data").read_text())

    with pytest.raises(TrialFailed) as error:
        search(train)
    (tmp_path / "data").write_text("0.5")
    run = search(train, resume="auto", retry_failed=True)
    assert run.run_id == error.value.run_id
    assert run.counts["FINISHED"] == 12


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"space": {"x": [0.0, 2.0], "n": [1, 4]}}, "x: high was 1.0, now 2.0"),
        ({"space": {"x": [0.0, 1.0], "n": [1, 4], "m": [1, 2]}}, "m "),
        ({"direction": "min"}, "the direction was MAX, now it is MIN"),
    ],
)
def test_another_search_is_refused_by_name_and_begins_anew_by_force(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    def train(x: float, n: int, m: int = 0) -> float:
        return float(n)

    run = search(train)
    with pytest.raises(InvalidArguments, match=named):
        search(train, resume=run.run_id, **changes)
    forced = search(train, resume=run.run_id, force=True, **changes)
    assert forced.run_id == run.run_id
    assert {trial.id for trial in run.trials} <= {trial.id for trial in forced.trials}
    after = experiment.resume(run.run_id, pool="inline", display=False)
    assert [(t.id, t.metric) for t in after.trials] == [(t.id, t.metric) for t in forced.trials]


def test_by_force_a_grid_grows_and_runs_only_what_is_new(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def train(x: float, n: int) -> float:
        with open(ran, "a", encoding="utf-8") as file:
            file.write(f"{x} {n}\n")
        return x * n

    options: dict[str, Any] = {"name": "g", "pool": "inline", "display": False}
    run = experiment.grid_search(train, {"x": [0.0, 1.0], "n": [1, 2]}, **options)
    more = experiment.grid_search(train, {"x": [0.0, 1.0, 2.0], "n": [1, 2]}, resume=run.run_id, force=True, **options)
    assert calls(ran) == Counter([f"{x} {n}" for x in (0.0, 1.0, 2.0) for n in (1, 2)])
    assert more.best_params == {"x": 2.0, "n": 2}


def test_by_force_a_grid_grows_and_keeps_what_an_earlier_resume_found(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def train(x: int) -> float:
        with open(ran, "a", encoding="utf-8") as file:
            file.write(f"{x}\n")
        if x == 2 and calls(ran)["2"] == 1:
            raise KeyboardInterrupt
        if x == 3 and calls(ran)["3"] == 1:
            raise ValueError("no threes at first")
        if x == 4:
            raise ValueError("no fours")
        return x

    options: dict[str, Any] = {"name": "g", "pool": "inline", "display": False}
    with pytest.raises(RunInterrupted) as stopped:
        experiment.grid_search(train, {"x": [1, 2, 3, 4]}, **options)
    run_id = stopped.value.run_id
    experiment.resume(run_id, pool="inline", display=False)
    experiment.resume(run_id, retry_failed=True, pool="inline", display=False)
    before = calls(ran)
    assert before == Counter({"1": 1, "2": 2, "3": 2, "4": 2})
    larger: dict[str, Any] = {"x": [0, 1, 2, 3]}
    more = experiment.grid_search(train, larger, resume=run_id, force=True, **options)
    assert calls(ran) - before == Counter({"0": 1})
    assert more.counts == {"FINISHED": 4, "FAILED": 1}
    assert more.best_params == {"x": 3}
    after = experiment.resume(run_id, pool="inline", display=False)
    assert [(t.id, t.state, t.metric) for t in after.trials] == [(t.id, t.state, t.metric) for t in more.trials]
    assert calls(ran) - before == Counter({"0": 1})


def test_a_random_search_can_be_made_longer(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    works = {"space": {**SPACE, "n": [1, 2]}, "seed": None}
    run = search(breaking(ran, at=-1), num_trials=5, **works)
    longer = search(breaking(ran, at=-1), num_trials=9, resume=run.run_id, **works)
    assert [trial.params for trial in longer.trials[:5]] == [trial.params for trial in run.trials]
    assert len(longer.trials) == 9
    assert calls(ran).total() == 9


def test_another_function_is_refused_with_the_difference_and_taken_by_force(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    stopped = broken_off(breaking(ran, at=4))

    def other(x: float, n: int) -> float:
        return -x - 1

    for call in (
        lambda: experiment.resume(stopped.run_id, other, pool="inline", display=False),
        lambda: search(other, resume=stopped.run_id),
    ):
        with pytest.raises(InvalidArguments, match="its lines have changed"):
            call()
    run = experiment.resume(stopped.run_id, other, force=True, pool="inline", display=False)
    assert sum(1 for trial in run.trials if (trial.metric or 0) < 0) == 12 - 3


def test_auto_begins_a_new_run_when_there_is_none_to_go_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    def train(x: float, n: int) -> float:
        return x

    first = search(train, resume="auto", display=True)
    assert "no unfinished run" in "".join(capsys.readouterr())
    assert search(train, resume="auto").run_id != first.run_id  # that one has finished


def test_a_run_on_which_a_driver_works_is_refused(tmp_path: Path) -> None:
    stopped = broken_off(breaking(tmp_path / "ran", at=3))
    session = claim(RunDir(stopped.logdir))
    with pytest.raises(RunIsRunning, match="this process"):
        experiment.resume(stopped.run_id, pool="inline", display=False)
    session.release()
    assert len(experiment.resume(stopped.run_id, pool="inline", display=False).trials) == 12


def test_an_error_before_the_run_goes_on_leaves_it_to_others(tmp_path: Path) -> None:
    stopped = broken_off(breaking(tmp_path / "ran", at=3))
    with pytest.raises(InvalidArguments):
        experiment.resume(stopped.run_id, lambda x: x, pool="inline", display=False)
    with pytest.raises(InvalidArguments, match="parallelism"):
        experiment.resume(stopped.run_id, parallelism=3, pool="inline", display=False)
    assert experiment.resume(stopped.run_id, pool="inline", display=False).state == "FINISHED"


def test_what_cannot_be_resumed_says_why(tmp_path: Path) -> None:
    run = search(lambda x, n: x)
    folder = Path(run.logdir)
    with pytest.raises(ResumeError, match=run.run_id):
        experiment.resume(f"{run.run_id[:-1]}x", pool="inline", display=False)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "hopslite": "99.0"}))
    with pytest.raises(ResumeError, match=r"99\.0"):
        experiment.resume(run.run_id, pool="inline", display=False)
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "plan.pkl").write_bytes(b"garbage")
    with pytest.raises(ResumeError, match="cannot be read"):
        experiment.resume(run.run_id, pool="inline", display=False)
    (folder / "plan.pkl").unlink()
    with pytest.raises(ResumeError):
        experiment.resume(run.run_id, pool="inline", display=False)


def test_an_algorithm_that_suggests_otherwise_is_an_error_that_changes_nothing(tmp_path: Path) -> None:
    def train(x: float, n: int) -> float:
        return x

    run = search(train)
    before = (Path(run.logdir) / "run.json").read_bytes()
    with pytest.raises(ReplayError):
        search(train, resume=run.run_id, seed=8)
    assert json.loads((Path(run.logdir) / "run.json").read_bytes()) == json.loads(before)
    assert len(experiment.resume(run.run_id, pool="inline", display=False).trials) == 12


def test_a_torn_journal_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopped = broken_off(breaking(tmp_path / "ran", at=6))
    last = max((Path(stopped.logdir) / "journal").iterdir())
    with open(last, "ab") as file:
        file.write(b'{"kind": "ended", "time": 17')
    run = experiment.resume(stopped.run_id, pool="inline")
    assert "torn" in "".join(capsys.readouterr())
    assert len(run.trials) == 12


def test_a_suggestion_that_the_journal_lost_is_made_again(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    stopped = broken_off(breaking(ran, at=6))
    folder = RunDir(stopped.logdir)
    kept = [event for event in JournalReader(folder).new() if event.trial != "0002"]
    for segment in (Path(stopped.logdir) / "journal").iterdir():
        segment.unlink()
    writer = JournalWriter(folder)
    for event in kept:
        writer.append(event)
    assert writer.close() is None
    run = experiment.resume(stopped.run_id, pool="inline", display=False)
    assert [trial.id for trial in run.trials] == [f"{number:04d}" for number in range(12)]


def test_values_that_json_would_change_are_themselves_after_a_resume(tmp_path: Path) -> None:
    choices = [(1, 2), {"a": (3,)}, print]
    marker = tmp_path / "once"

    def train(value: Any) -> float:
        if value is print and not marker.exists():
            marker.touch()
            raise KeyboardInterrupt
        return 1.0 if isinstance(value, (tuple, dict)) or value is print else 0.0

    given: dict[str, Any] = {"value": space.choice(choices)}
    stopped = broken_off(train, space=given, algorithm="grid", num_trials=None)
    run = experiment.resume(stopped.run_id, pool="inline", display=False)
    assert [trial.metric for trial in run.trials] == [1.0] * 3
    assert [trial.params["value"] for trial in run.trials] == choices


def test_a_plan_that_cannot_be_stored_is_said_and_harms_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Stubborn:
        def begin(self, direction: Any) -> None: ...
        def started(self, trial_id: str) -> None: ...
        def ended(self, result: Any) -> None: ...

        def report(self, trial_id: str, step: float, value: float) -> None: ...

        def __reduce__(self) -> Any:
            raise pickle.PicklingError("not me")

    run = search(lambda x, n: x, stopper=Stubborn(), display=True)
    assert run.state == "FINISHED"
    assert "cannot be resumed" in "".join(capsys.readouterr())


def test_what_is_stored_is_for_its_owner_only_and_secrets_are_nowhere_else(tmp_path: Path) -> None:
    password = "geheim-" + tmp_path.name

    def train(x: float, n: int) -> float:
        return x if password else n

    run = search(train, tracking_uri=f"http://user:{password}@127.0.0.1:9/")
    stored = Path(run.logdir) / "plan.pkl"
    assert stored.stat().st_mode & 0o077 == 0
    holding = [path for path in Path(run.logdir).rglob("*") if path.is_file() and password in path.read_text("latin-1")]
    assert holding == [stored]  # the function that is to be called again


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"resume": 3}, "resume=3"), ({"retry_failed": True}, "retry_failed"), ({"force": True}, "force")],
)
def test_bad_options_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArguments, match=problem):
        search(lambda x, n: x, **options)
    assert not os.path.exists(os.path.join(os.environ["HOPSLITE_PROJECT"], "Experiments"))


def threads() -> list[str]:
    """Threads of this process that work on runs."""
    return [thread.name for thread in threading.enumerate() if thread.name in ("hopslite-lease", "hopslite-journal")]


def open_files() -> str:
    """This process's journals that are open."""
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return "\n".join(os.readlink(link) for link in links if link.is_symlink() and "/journal/" in os.readlink(link))


class TestARunThatDoesNotComeAbout:
    @pytest.mark.parametrize("problem", [OSError("disk full"), KeyboardInterrupt()])
    @pytest.mark.parametrize(
        "at",
        ["storage.run_directory.RunDir.write_json", "driver.recorder.JournalWriter", "driver.recorder.Recorder.emit"],
    )
    def test_nothing_goes_on_working_on_it(
        self, monkeypatch: pytest.MonkeyPatch, at: str, problem: BaseException
    ) -> None:
        def fail(*arguments: Any, **options: Any) -> Any:
            raise problem

        with monkeypatch.context() as broken:
            broken.setattr(f"hopslite.{at}", fail)
            with pytest.raises(type(problem)):
                search(lambda x, n: x)
        assert threads() == []
        [sessions] = Path(os.environ["HOPSLITE_PROJECT"]).glob("Experiments/*/sessions")
        assert has_live_driver(RunDir(str(sessions.parent))) is False

    def test_a_ctrl_c_while_the_session_begins_ends_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        start = threading.Thread.start

        def interrupted(thread: threading.Thread) -> None:
            start(thread)
            if thread.name == "hopslite-lease":
                raise KeyboardInterrupt

        with monkeypatch.context() as broken:
            broken.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                search(lambda x, n: x)
        assert threads() == []

    def test_one_that_another_driver_has_taken_over_is_let_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def gone(session: DriverLease) -> None:
            if journal := open_files():
                opened.append(journal)
                raise RunTakenOver("it goes on elsewhere", run_id="r", host="h", pid=1)

        opened: list[str] = []
        monkeypatch.setattr(DriverLease, "renew", gone)
        with pytest.raises(RunTakenOver):
            search(lambda x, n: time.sleep(0.1) or x)
        assert opened
        assert threads() == []
        assert open_files() == ""
