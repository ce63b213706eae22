"""A mistake that every trial would repeat ends the run after the first trials, and is said once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.ablation import AblationStudy
from hopslite.core.types import State
from hopslite.driver.systematic_failures import MistakeDetector
from hopslite.errors import TrialFailed, TrialStopped
from hopslite.maggy import HyperparameterOptConfig, Searchspace
from hopslite.result import Run, Trial

HERE: dict[str, Any] = {"pool": "inline", "display": False}
GRID = {"x": list(range(9))}


def has_typo(x: int) -> int:
    return x + misspelt  # type: ignore[name-defined]  # noqa: F821


def refuses(x: int) -> int:
    raise ValueError(f"{x} is no good")


def nested(x: int) -> int:
    try:
        return has_typo(x)
    except NameError as error:
        raise RuntimeError(f"number {x}") from error


def leaves(x: int) -> int:
    sys.exit(3)


def at_different_places(x: int) -> int:
    if x == 0:
        raise ValueError("here")
    if x == 1:
        raise ValueError("there")
    if x == 2:
        raise ValueError("elsewhere")
    return x


def of_different_kinds(x: int) -> int:
    if x < 4:
        raise (ValueError, KeyError)[x % 2](x)
    return x


def is_late(x: int) -> int:
    return x if x == 2 else refuses(x)


def failed_run(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[TrialFailed, Run]:
    with pytest.raises(TrialFailed) as caught:
        call(*args, **kwargs)
    run: Run = caught.value.result  # type: ignore[attr-defined]
    return caught.value, run


@pytest.mark.parametrize("train", [has_typo, refuses, nested, leaves])
def test_the_same_error_at_the_same_place_ends_the_run(train: Callable[..., Any], project: str) -> None:
    error, run = failed_run(experiment.grid_search, train, GRID, **HERE)
    assert [trial.state for trial in run.trials] == [State.FAILED] * 3
    assert "the same error in each of the first 3 trials" in str(error)
    assert "max_failures=" in str(error)
    assert error.trial_id == "0000"
    assert str(run.trials[0].error) in str(run.error)
    record = json.loads(Path(run.logdir, "run.json").read_text())
    assert record["state"] == "FAILED"


@pytest.mark.parametrize("train", [at_different_places, of_different_kinds, is_late])
def test_other_errors_end_nothing(train: Callable[..., Any], project: str) -> None:
    run = experiment.grid_search(train, GRID, **HERE)
    assert (run.state, len(run.trials)) == (State.FINISHED, 9)


def test_max_failures_says_how_many_are_tried(project: str) -> None:
    _, run = failed_run(experiment.grid_search, refuses, GRID, max_failures=5, **HERE)
    assert len(run.trials) == 6
    _, run = failed_run(experiment.grid_search, lambda x: {"a": 1, "b": 2}, GRID, max_failures=9, **HERE)
    assert len(run.trials) == 9


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({"accuracy": 0.5, "loss": 0.1}, ["'acuracy'", "Did you mean 'accuracy'?"]),
        ({"ACCURACY": 0.5, "loss": 0.1}, ["Did you mean 'ACCURACY'?"]),
        ({"acuracy": "high", "loss": 0.1}, ["the value of 'acuracy' is str 'high', not a number", "'loss'"]),
        ({"acuracy": None}, ["the value of 'acuracy' is None"]),
        ({}, ["empty dict"]),
        ("0.9", ["str '0.9'"]),
        (None, ["returned None"]),
    ],
)
def test_a_return_value_without_the_metric_ends_the_run_at_once(returned: Any, words: list[str], project: str) -> None:
    error, run = failed_run(experiment.grid_search, lambda x: returned, GRID, optimization_key="acuracy", **HERE)
    assert [trial.state for trial in run.trials] == [State.FAILED]
    assert error.cause == "return-value"
    assert all(word in str(error) and word in str(run.error) for word in words)


def test_an_unknown_metric_key_ends_a_launch_at_once(project: str) -> None:
    error, run = failed_run(experiment.launch, lambda x: {"loss": x}, {"x": [1, 2, 3, 4]}, metric_key="los", **HERE)
    assert len(run.trials) == 1
    assert "Did you mean 'loss'?" in str(error)


def test_the_numbers_of_such_a_trial_are_kept(project: str) -> None:
    _, run = failed_run(experiment.grid_search, lambda x: {"a": 1.5, "b": 2, "c": "x"}, GRID, **HERE)
    assert run.trials[0].outputs == {"a": 1.5, "b": 2}


def test_such_a_value_after_a_result_ends_nothing(project: str) -> None:
    run = experiment.grid_search(lambda x: {"metric": x} if x == 0 else {"a": 1, "b": 2}, GRID, **HERE)
    assert (run.state, len(run.trials)) == (State.FINISHED, 9)


def test_a_trial_that_was_stopped_is_a_result(project: str) -> None:
    def train(x: int, reporter: Any) -> float:
        if x:
            return refuses(x)
        reporter.broadcast(1.0, 0)
        raise TrialStopped

    run = experiment.grid_search(train, GRID, **HERE)
    assert run.trials[0].state == State.STOPPED
    assert len(run.trials) == 9


def test_of_every_verb(project: str) -> None:
    components = AblationStudy(components=dict.fromkeys("abcde", 1))
    _, run = failed_run(experiment.ablation, lambda components: has_typo(1), components, **HERE)
    assert len(run.trials) == 3
    config = HyperparameterOptConfig(9, "randomsearch", Searchspace(x=("DOUBLE", [0.0, 1.0])))
    _, run = failed_run(experiment.lagom, has_typo, config, **HERE)
    assert len(run.trials) == 3
    _, run = failed_run(experiment.launch, refuses, GRID, **HERE)
    assert len(run.trials) == 3


def test_the_cause_is_said_once(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    failed_run(experiment.grid_search, refuses, GRID, pool="inline")
    lines = capsys.readouterr().out.splitlines()
    assert [line[:11] for line in lines if " failed: " in line] == ["trial 0000 "]
    failed_run(experiment.grid_search, lambda x: "text", GRID, pool="inline")
    assert not [line for line in capsys.readouterr().out.splitlines() if " failed: " in line]


def test_a_resumed_run_counts_only_what_it_has_run_itself(project: str) -> None:
    _, run = failed_run(experiment.grid_search, refuses, GRID, **HERE)
    _, again = failed_run(experiment.resume, run.run_id, **HERE)
    assert len(again.trials) == 6
    mended = experiment.resume(run.run_id, lambda x: x, force=True, retry_failed=True, **HERE)
    assert (mended.state, len(mended.trials)) == (State.FINISHED, 9)
    assert len(mended.counts) == 1


def trial(number: int, cause: str = "exception", line: int = 3, error: str = "ValueError: x") -> Trial:
    trace = f'Traceback (most recent call last):\n  File "/a/b.py", line {line}, in f\n    raise x\n{error}\n'
    return Trial(f"{number:04d}", {}, State.FAILED, error=error, cause=cause, traceback=trace)


class TestDetector:
    def detector(self, *trials: Trial) -> MistakeDetector:
        detector = MistakeDetector()
        for trial in trials:
            detector.ended(trial)
        return detector

    def test_as_many_as_slots_at_least_three(self) -> None:
        detector = self.detector(*map(trial, range(4)))
        assert detector.detect((), 5) is None
        assert detector.detect((), 4)
        assert detector.detect((), 1)
        assert self.detector(trial(0), trial(1)).detect((), 1) is None

    def test_one_that_began_earlier_is_waited_for(self) -> None:
        assert self.detector(trial(0), trial(1), trial(3)).detect(["0002"], 2) is None
        assert self.detector(trial(0), trial(1), trial(2)).detect(["0003"], 2)

    @pytest.mark.parametrize("cause", ["lost", "inputs"])
    def test_what_the_cluster_did_says_nothing(self, cause: str) -> None:
        assert self.detector(*(trial(number, cause) for number in range(5))).detect((), 2) is None
        assert self.detector(trial(0, cause), *map(trial, (1, 2, 3))).detect((), 2)

    @pytest.mark.parametrize("cause", ["out-of-memory", "timeout", "not-a-number", "segfault", "signal"])
    def test_what_depends_on_parameters_is_no_mistake(self, cause: str) -> None:
        assert self.detector(*(trial(number, cause) for number in range(5))).detect((), 2) is None

    def test_the_place_and_the_kind_count_and_not_the_message(self) -> None:
        assert self.detector(*(trial(number, error=f"ValueError: {number}") for number in range(3))).detect((), 2)
        assert self.detector(*(trial(number, line=number) for number in range(3))).detect((), 2) is None
        kinds = ("ValueError: x", "KeyError: x", "ValueError: x")
        assert self.detector(*(trial(number, error=kind) for number, kind in enumerate(kinds))).detect((), 2) is None

    def test_members_of_distributed_trials(self) -> None:
        import dataclasses

        ended = [dataclasses.replace(trial(n), error=f"worker {n} on h{n}: ValueError: x") for n in range(3)]
        assert self.detector(*ended).detect((), 1)
