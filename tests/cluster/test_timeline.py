"""Attempts of trials on Spark: the slots that the journal names, with retries and gangs, and their timeline."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from hopslite import experiment, plots
from hopslite.figures import kinds
from hopslite.runs.attempts import attempts_of

OPTIONS: dict[str, Any] = {"display": False, "timeout": 200.0}


def test_slots_and_retries(local_spark: SparkSession, project: str, tmp_path: Path) -> None:
    def train(n: int) -> float:
        import os
        import pathlib
        import time

        noted = pathlib.Path(tmp_path, f"{n}")
        is_first = not noted.exists()
        noted.touch()
        until = time.monotonic() + 100
        while not pathlib.Path(tmp_path, "1").exists() and time.monotonic() < until:
            time.sleep(0.01)  # the first two run side by side
        if n == 3 and is_first:
            os.abort()
        return float(n)

    run = experiment.grid_search(
        train, {"n": list(range(6))}, spark=local_spark, on_failure="restart", max_restarts=1, **OPTIONS
    )
    attempts = attempts_of(run.logdir).attempts
    assert {attempt.slot for attempt in attempts} == {0, 1}
    assert len(attempts) == 7
    assert [(a.trial, a.number, a.outcome) for a in attempts if a.trial == "0003"] == [
        ("0003", 0, "retried"),
        ("0003", 1, "finished"),
    ]
    for slot in (0, 1):
        own = [attempt for attempt in attempts if attempt.slot == slot]
        assert all(one.end <= other.begin for one, other in itertools.pairwise(own)), "one slot ran two trials at once"
    assert plots.timeline(run).axes[0].get_yticklabels()[1].get_text() == "slot 1"


def test_members_of_a_gang(local_spark: SparkSession, project: str) -> None:
    pytest.importorskip("torch")

    def train(n: int) -> float:
        return float(n)

    run = experiment.grid_search(
        train, {"n": [1, 2]}, strategy="torch", workers_per_trial=2, spark=local_spark, **OPTIONS
    )
    attempts = attempts_of(run.logdir).attempts
    assert [(attempt.slot, len(attempt.members), attempt.outcome) for attempt in attempts] == [(0, 2, "finished")] * 2
    names = kinds.interactive_timeline(run)["layout"]["yaxis"]["ticktext"]
    assert len(names) == 2
    assert all(name.startswith("gang 0: ") for name in names)
