"""Population based training: checkpoints, schedules, failures and resumed runs."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
import types
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import experiment, space
from hopslite.cli import main
from hopslite.driver.checkpoint_cleanup import CheckpointCleanup
from hopslite.errors import InvalidArguments, RunInterrupted, TrialFailed
from hopslite.result import Schedule, Stretch
from tests.helpers.observe import eventually

RATES = {"lr": space.loguniform(1e-4, 1.0)}
HERE: dict[str, Any] = {"direction": "min", "seed": 1, "pool": "inline", "display": False}


@pytest.fixture(autouse=True)
def _project(project: str) -> None:
    """Every run here is in the test's own project."""


def search(train: Any, over: Any = RATES, **changes: Any) -> experiment.Run:
    options = {"population": 6, "interval": 2, "max_budget": 8, **changes.pop("options", {})}
    return experiment.search(train, over, "pbt", algorithm_options=options, **{**HERE, **changes})


def descend(lr: float, budget: int) -> dict[str, Any]:
    """Descend a parabola, and keep the learning rate of each step."""
    file = Path(experiment.checkpoint_dir() or "", "state.json")
    state = json.loads(file.read_text()) if file.exists() else {"x": 4.0, "rates": []}
    for _ in range(len(state["rates"]), budget):
        state["x"] -= lr * 2 * state["x"]
        state["rates"].append(lr)
    file.write_text(json.dumps(state))
    return {"metric": state["x"] ** 2, "rates": state["rates"]}


def test_members_go_on_from_checkpoints_and_the_schedule_says_with_what() -> None:
    run = search(descend)
    assert run.counts == {"FINISHED": 24}
    trials = {trial.id: trial for trial in run.trials}
    for trial in run.trials:
        before = trials[trial.continues].outputs["rates"] if trial.continues else []  # type: ignore[index]
        assert trial.outputs is not None
        assert trial.outputs["rates"] == before + [trial.params["lr"]] * 2
    assert run.best_trial is not None and run.best_outputs is not None
    schedule = run.best_schedule
    assert schedule is not None
    steps = int(run.best_trial.params["budget"])
    assert [schedule.at(step) for step in range(steps)] == [{"lr": rate} for rate in run.best_outputs["rates"]]
    assert len(schedule) == len(list(itertools.groupby(run.best_outputs["rates"]))) > 1
    assert schedule[-1].trial == run.best_trial.id
    assert experiment.load(run.run_id).best_schedule == schedule


def test_tables_and_commands_show_what_a_trial_continues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = search(descend, name="pbt")
    origins = [trial.continues for trial in run.trials]
    assert run.to_pandas()["continues"].tolist() == origins
    run.to_csv(tmp_path / "trials.csv")
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert [row["continues"] or None for row in rows] == origins
    assert run.best_schedule is not None and run.best_trial is not None
    assert f"best schedule: {str(run.best_schedule)[:60]}" in repr(run)
    assert main(["show", "pbt", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert Schedule.from_json(shown["best_schedule"]) == run.best_schedule
    assert [trial["continues"] for trial in shown["trials"]] == origins
    assert main(["show", "pbt", "-a"]) == 0
    text = capsys.readouterr().out
    assert f"schedule of trial {run.best_trial.id}:" in text
    assert re.search(rf"\*  {run.best_trial.id} +{run.best_trial.continues} ", text)
    assert main(["show", "pbt", run.best_trial.id]) == 0
    assert f"continues:   {run.best_trial.continues}" in capsys.readouterr().out


def test_searches_without_changes_of_parameters_show_no_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    run = experiment.search(descend, RATES, "asha", name="asha", **HERE)
    assert run.best_schedule is not None and run.best_trial is not None
    assert "schedule" not in repr(run)
    assert run.to_pandas()["continues"].iloc[int(run.best_trial.id)] == run.best_trial.continues
    assert main(["show", "asha"]) == 0
    assert "schedule" not in capsys.readouterr().out
    assert (
        "continues"
        not in experiment.grid_search(descend, {"lr": [0.1], "budget": [1]}, **{**HERE, "seed": None}).to_pandas()
    )


def test_a_schedule_can_be_replayed() -> None:
    run = search(descend)
    schedule = run.best_schedule
    assert schedule is not None
    again = experiment.launch(lambda: schedule.replay(descend), pool="inline", display=False)
    assert again.trials[0].outputs is not None and run.best_outputs is not None
    assert again.trials[0].outputs["rates"] == run.best_outputs["rates"]
    assert again.trials[0].outputs["metric"] == run.best_metric
    assert Schedule.from_json(json.loads(json.dumps(schedule.to_json()))) == schedule


def test_what_a_schedule_says_of_a_step() -> None:
    schedule = Schedule([Stretch(0, 4, {"lr": 0.1}), Stretch(4, 6, {"lr": 0.08})])
    assert [schedule.at(step)["lr"] for step in (0, 3, 3.5, 4, 5, 6, 100)] == [0.1, 0.1, 0.1, 0.08, 0.08, 0.08, 0.08]
    assert schedule.steps == 6
    with pytest.raises(InvalidArguments, match="step must be a number of at least 0, given -1"):
        schedule.at(-1)
    with pytest.raises(InvalidArguments, match="the schedule is empty"):
        Schedule().at(0)
    calls: list[dict[str, Any]] = []
    schedule.replay(lambda **params: calls.append(params), epochs=3)
    assert calls == [{"lr": 0.1, "budget": 4, "epochs": 3}, {"lr": 0.08, "budget": 6, "epochs": 3}]


def test_runs_of_other_algorithms_have_the_schedule_of_what_they_continue() -> None:
    run = experiment.search(descend, RATES, "hyperband", **HERE)
    assert run.best_trial is not None
    params = dict(run.best_trial.params)
    assert run.best_schedule == (Stretch(0, params.pop("budget"), params, run.best_trial.id),)
    plain = experiment.random_search(lambda lr: lr, RATES, samples=2, **HERE)
    assert plain.best_schedule is None


def test_only_checkpoints_that_are_needed_are_kept(project: str) -> None:
    few, last_number = 18, 23

    def train(lr: float, budget: int) -> float:
        folder = Path(experiment.checkpoint_dir() or "")
        trials, number = folder.parent.parent, int(folder.parent.name)
        if number == few:  # what has been released is deleted when the journal says why
            journal = trials.parent / "journal"
            eventually(lambda: sum(p.read_text().count('"ended"') for p in journal.iterdir()) == few, "a journal")
        if number == last_number:
            eventually(lambda: len(list(trials.glob("*/checkpoints"))) < last_number, "deletion while the run goes on")
        (folder / "x").touch()
        return lr if budget < 8 else lr + 1  # the best is one of the first

    run = search(train)
    kept = {trial.id for trial in run.trials if os.path.exists(f"{trial.logdir}/checkpoints")}
    last = {trial.id for trial in run.trials if trial.params["budget"] == 8}
    assert run.best_trial is not None and run.best_trial.id not in last
    assert kept == last | {run.best_trial.id}
    assert not [path for trial in run.trials for path in os.listdir(trial.logdir) if path.startswith((".d", ".c"))]


def test_a_function_that_saves_nothing_ends_the_run_at_once() -> None:
    calls = []

    def train(lr: float, budget: int) -> float:
        os.listdir(experiment.checkpoint_dir())
        calls.append(lr)
        return lr

    with pytest.raises(TrialFailed, match=r"saved nothing in experiment\.checkpoint_dir\(\).*save the state") as caught:
        search(train, on_failure="restart", max_restarts=3)
    assert len(caught.value.result.trials) == len(calls) == 1


def test_a_trial_whose_checkpoints_are_gone_fails_and_does_not_begin_anew() -> None:
    class Remove:
        def on_trial_end(self, trial: Any) -> None:
            if trial.id == "0000":
                shutil.rmtree(f"{trial.logdir}/checkpoints")

    run = search(descend, callbacks=[Remove()])
    [failed] = [trial for trial in run.trials if trial.state == "FAILED"]
    assert (failed.continues, failed.cause) == ("0000", "checkpoints")
    assert failed.error == "the checkpoints of trial 0000, which this one goes on from, are gone"
    assert len(run.trials) == 24


def test_after_a_change_of_the_direction_all_is_trained_again() -> None:
    over = {"lr": space.choice([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])}
    run = search(descend, over)
    forced = search(descend, over, direction="max", resume=run.run_id, force=True)
    assert forced.counts == {"FINISHED": 48}  # a known metric without its checkpoint would be of no use


def test_a_failed_member_is_replaced(tmp_path: Path) -> None:
    def train(lr: float, budget: int) -> float:
        if budget == 4 and lr < 0.01:
            raise ValueError("diverged")
        return float(descend(lr, budget)["metric"])

    run = search(train)
    failed = [trial.id for trial in run.trials if trial.state == "FAILED"]
    assert failed and len(run.trials) == 24
    assert not [trial for trial in run.trials if trial.continues in failed]
    assert run.state == "FINISHED"


def test_a_retried_trial_goes_on_from_its_own_checkpoint() -> None:
    def train(lr: float, budget: int) -> float:
        folder = Path(experiment.checkpoint_dir() or "")
        steps = len(os.listdir(folder))
        for step in range(steps, budget):
            (folder / str(step)).touch()
            if step == 2 and budget == 4 and steps < 3:
                raise ConnectionError("busy")
        return lr + abs(steps - (3 if budget == 4 else budget - 2))

    run = search(train, on_failure="restart", max_restarts=1)
    assert run.counts == {"FINISHED": 24}
    assert all(trial.metric == trial.params["lr"] for trial in run.trials)


@pytest.mark.parametrize("at", [0, 3, 9, 17])
def test_a_resumed_run_ends_as_one_that_did_not_break(tmp_path: Path, at: int) -> None:
    calls = tmp_path / "calls"

    def train(lr: float, budget: int) -> dict[str, Any]:
        with open(calls, "a") as file:
            file.write("x")
        if calls.stat().st_size == at + 1:
            raise KeyboardInterrupt
        return descend(lr, budget)

    with pytest.raises(RunInterrupted) as stopped:
        search(train, name="broken")
    run = search(train, name="broken", resume="auto")
    assert run.run_id == stopped.value.run_id
    whole = search(train, name="whole")
    assert [trial.params for trial in run.trials] == [trial.params for trial in whole.trials]
    assert [trial.outputs and trial.outputs["rates"] for trial in run.trials] == [
        trial.outputs and trial.outputs["rates"] for trial in whole.trials
    ]
    assert run.best_schedule == whole.best_schedule


def test_a_trial_that_was_not_recorded_leaves_no_checkpoints_for_another(project: str, tmp_path: Path) -> None:
    """Its driver was killed before the journal had it, and its id goes to another member."""
    broken = tmp_path / "broken"

    def train(lr: float, budget: int) -> dict[str, Any]:
        if len(list(Path(experiment.checkpoint_dir() or "").parent.parent.iterdir())) == 4 and not broken.exists():
            raise KeyboardInterrupt
        return descend(lr, budget)

    with pytest.raises(RunInterrupted) as stopped:
        search(train)
    broken.touch()
    for number in range(4, 24):
        left = Path(project, "Experiments", stopped.value.run_id, "trials", f"{number:04d}", "checkpoints")
        left.mkdir(parents=True)
        (left / "state.json").write_text(json.dumps({"x": 0.0, "rates": [7.0] * 2}))
    run = experiment.resume(stopped.value.run_id, train, pool="inline", display=False)
    assert len(run.trials) == 24
    assert all(7.0 not in (trial.outputs or {})["rates"] for trial in run.trials)


def test_checkpoints_stay_until_the_end_that_releases_them_is_recorded() -> None:
    deleted: list[str] = []
    waiting = {"0003"}
    searched = types.SimpleNamespace(released=iter([["0000"], [], ["0001"], []]).__next__)
    table = types.SimpleNamespace(best=None)
    directory = types.SimpleNamespace(
        sub=lambda *names: types.SimpleNamespace(remove_all=lambda: deleted.append(names[1]))
    )
    cleanup = CheckpointCleanup(directory, searched, table, lambda: set(waiting))  # type: ignore[arg-type]
    cleanup.check()
    cleanup.check()
    assert cleanup._queue.empty()
    waiting.clear()
    cleanup.check()
    waiting.add("0007")
    cleanup.check()
    cleanup.close(60.0)
    assert deleted == ["0000", "0001"]


def test_failed_trials_are_run_again_from_the_same_checkpoints(tmp_path: Path) -> None:
    mended = tmp_path / "mended"

    def train(lr: float, budget: int) -> float:
        if budget in (4, 8) and lr < 0.3 and not mended.exists():
            raise ValueError("not yet")
        return float(len(descend(lr, budget)["rates"]))

    run = search(train)
    failed = [trial for trial in run.trials if trial.state == "FAILED"]
    assert {trial.params["budget"] for trial in failed} == {4, 8}
    mended.touch()
    again = experiment.resume(run.run_id, retry_failed=True, pool="inline", display=False)
    assert [again.trials[int(trial.id)].metric for trial in failed] == [trial.params["budget"] for trial in failed]


def test_the_direction_and_reports() -> None:
    def train(lr: float, budget: int) -> float:
        Path(experiment.checkpoint_dir() or "", "x").touch()
        hopslite.report(lr, step=budget)
        return lr

    run = search(train, direction="max", options={"resample_probability": 0.0})
    first, last = ([t.params["lr"] for t in run.trials if t.params["budget"] == budget] for budget in (2, 8))
    assert min(last) > min(first)
    assert len(run.reports()) == 24


@pytest.mark.parametrize(
    ("over", "changes", "text"),
    [
        ({**RATES, "fold": space.grid([1, 2])}, {}, "algorithms with budgets do not take a space.grid"),
        ({**RATES, "budget": [1, 2]}, {}, "hyperparameter 'budget'"),
        (RATES, {"options": {"population": 1}}, "population must be an integer of at least 2, given 1"),
        (RATES, {"options": {"interval": 8}}, "interval=8 must be smaller than max_budget=8"),
        (RATES, {"num_trials": 5}, "num_trials=5 and population=6"),
    ],
)
def test_calls_that_cannot_work(over: Any, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArguments, match=text):
        search(lambda lr, budget, fold=0: lr, over, **changes)


@pytest.mark.parametrize(("algorithm", "wrong"), [("pbt", {"interval": 30}), ("asha", {"min_budget": 30})])
def test_an_algorithm_that_cannot_be_made_is_the_only_problem(algorithm: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArguments) as caught:
        experiment.search(lambda lr, budget: lr, RATES, algorithm, algorithm_options=wrong, **HERE)
    assert len(caught.value.problems) == 1


def test_the_function_needs_the_argument_budget() -> None:
    with pytest.raises(InvalidArguments, match="budget"):
        search(lambda lr: lr)
