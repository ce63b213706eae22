"""Trials that report and are ended early, on real Spark."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import hopslite
from hopslite import experiment
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir

HANGS_S = 200.0  # `timeout` of a run, many times what it takes


class Above:
    """A stopper that ends trials at the first value above a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def begin(self, direction: experiment.Direction) -> None: ...
    def started(self, trial_id: str) -> None: ...
    def ended(self, result: Any) -> None: ...

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        return f"{value:g} is above {self.limit:g}" if value > self.limit else None


def events(run: experiment.Run, kind: str, trial: str = "0000") -> list[Any]:
    return [e for e in JournalReader(RunDir(run.logdir)).new() if e.kind == kind and e.trial == trial]


def counting(until: float = 60.0, swallow: bool = False) -> Callable[[float], float]:
    """A training function that reports its argument times 1, 2, 3, … until it is stopped."""

    def train(x: float) -> float:
        end = time.monotonic() + until
        step = 0
        while time.monotonic() < end:
            step += 1
            try:
                hopslite.report(x * step, step)
            except BaseException:
                if not swallow:
                    raise
            time.sleep(0.01)
        return x

    return train


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_a_stopped_trial_gives_its_slot_to_the_next(local_spark: Any, project: str, isolation: str) -> None:
    run = experiment.grid_search(
        counting(),
        {"x": [1.0, 2.0, 3.0, 4.0]},
        stopper=Above(20),
        isolation=isolation,
        project=project,
        timeout=HANGS_S,
        display=False,
    )
    assert [trial.state for trial in run.trials] == ["STOPPED"] * 4
    for trial in run.trials:
        assert trial.metric is not None
        assert trial.metric > 20
        assert (trial.duration or math.inf) < 30
        folder = Path(trial.logdir)
        assert json.loads((folder / ".outputs.json").read_text())["metric"] == trial.metric
        assert float((folder / ".metric").read_text()) == trial.metric
        reports = events(run, "report", trial.id)
        steps = [event.data["step"] for event in reports]
        assert steps == list(range(1, len(steps) + 1))  # in order, each once
        assert reports[-1].data["value"] == trial.metric
        assert [event.data["why"] for event in events(run, "stop", trial.id)] == [trial.error]
    assert run.counts["STOPPED"] == 4


def test_a_trial_that_ignores_the_stop_is_killed(local_spark: Any, project: str) -> None:
    run = experiment.grid_search(
        counting(until=100.0, swallow=True),
        {"x": [1.0]},
        stopper=Above(5),
        stop_grace=1.0,
        report_as="best",
        project=project,
        timeout=HANGS_S,
        display=False,
    )
    (trial,) = run.trials
    assert trial.state == "STOPPED"
    assert trial.metric == max(event.data["value"] for event in events(run, "report"))
    assert "stop_grace" in "".join(trial.warnings)
    assert (Path(trial.logdir) / ".outputs.json").exists()
    assert "Current thread" in (Path(trial.logdir) / "output.log").read_text()  # where it was


def test_a_trial_that_reports_nothing_any_more_is_ended(local_spark: Any, project: str) -> None:
    def train(x: float) -> float:
        for step in range(5):
            hopslite.report(x, step)
        if x == 1.0:
            time.sleep(120)
        return x

    run = experiment.grid_search(
        train, {"x": [1.0, 2.0]}, heartbeat_timeout=2.0, project=project, timeout=HANGS_S, display=False
    )
    hung, fine = run.trials
    assert (hung.state, hung.cause) == ("FAILED", "timeout")
    assert "heartbeat_timeout=2" in str(hung.error)
    assert fine.state == "FINISHED"


def test_reports_keep_a_slow_trial_alive(local_spark: Any, project: str) -> None:
    def train(x: float) -> float:
        for step in range(12):
            time.sleep(0.5)
            hopslite.report(x, step)
        return x

    run = experiment.grid_search(
        train, {"x": [1.0]}, heartbeat_timeout=3.0, project=project, timeout=HANGS_S, display=False
    )
    assert run.trials[0].state == "FINISHED"


def test_a_slot_that_dies_while_its_trial_is_stopped_does_not_run_it_again(
    local_spark: Any, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOPSLITE_WARM_SECONDS", "0")  # a warm server that the slot has taken over is below another one

    def train(x: float) -> float:
        for step in range(1, 1000):
            try:
                hopslite.report(float(step), step)
            except hopslite.errors.TrialStopped:
                _fork_server, _warm_server, slot, *_ = psutil.Process().parents()
                slot.kill()
                time.sleep(60)
            time.sleep(0.01)
        return 0.0

    run = experiment.grid_search(
        train, {"x": [1.0]}, stopper=Above(10), project=project, timeout=HANGS_S, display=False
    )
    (trial,) = run.trials
    assert trial.state == "STOPPED"
    assert trial.metric == events(run, "report")[-1].data["value"]
    assert len(events(run, "started")) == 1


def test_a_gang_is_stopped_by_its_chief(local_spark: Any, project: str) -> None:
    def train(x: float) -> float:
        import os

        rank = int(os.environ["RANK"])
        for step in range(1, 2000):
            hopslite.report(x * step if rank == 0 else "not heard", step)
            time.sleep(0.01)
        return x

    run = experiment.grid_search(
        train,
        {"x": [1.0, 2.0]},
        strategy="torch",
        workers_per_trial=2,
        stopper=Above(30),
        project=project,
        timeout=HANGS_S,
        display=False,
    )
    assert [trial.state for trial in run.trials] == ["STOPPED"] * 2
    assert all((trial.metric or 0) > 30 for trial in run.trials)


def test_thousands_of_reports_arrive(local_spark: Any, project: str) -> None:
    def train(x: float) -> float:
        for step in range(5000):
            hopslite.report(step * x, step)
        return x

    run = experiment.grid_search(train, {"x": [1.0, 2.0]}, project=project, timeout=HANGS_S, display=False)
    for trial, x in zip(run.trials, (1.0, 2.0), strict=True):
        assert [e.data["value"] for e in events(run, "report", trial.id)] == [step * x for step in range(5000)]
