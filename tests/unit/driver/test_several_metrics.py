"""Searches that optimise several metrics: their results, what they refuse, their records, and resuming them."""

from __future__ import annotations

import json
import math
import pickle
import statistics
from pathlib import Path
from typing import Any

import optuna
import pytest

import hopslite
from hopslite import experiment, plots
from hopslite.core.objectives import Objective, pareto_front
from hopslite.core.types import Direction, Result, State
from hopslite.errors import InvalidArguments, RunInterrupted, TrialFailed
from hopslite.result import Run, Trial
from hopslite.search._optuna_samplers import objective_problems
from hopslite.search.random import Random

pytestmark = pytest.mark.usefixtures("project")

SEVERAL: dict[str, Any] = {"direction": ["max", "min"], "optimization_key": ["accuracy", "latency"]}
QUIET: dict[str, Any] = {"pool": "inline", "display": False}
SPACE = {"x": [0.0, 1.0], "y": [0.0, 1.0]}


def train(x: float, y: float = 0.5) -> dict[str, float]:
    return {"accuracy": x, "latency": x**2 + y, "size": 3}


def best_of(run: Run) -> list[str]:
    """The front by its definition, from all pairs of trials."""
    values = {t.id: (-t.metrics["accuracy"], t.metrics["latency"]) for t in run.trials if t.metrics}
    worse = {a for a, va in values.items() for vb in values.values()
             if all(p >= q for p, q in zip(va, vb, strict=True)) and va != vb}  # fmt: skip
    return [name for name in values if name not in worse]


@pytest.fixture
def run() -> Run:
    return experiment.random_search(train, SPACE, samples=30, seed=1, **SEVERAL, **QUIET)


def test_the_front_has_the_trials_that_no_other_beats_in_both(run: Run) -> None:
    assert [trial.id for trial in run.pareto_trials] == best_of(run)
    assert 1 < len(run.pareto_trials) < 30
    assert run.trials[3].metrics == {name: run.trials[3].outputs[name] for name in ("accuracy", "latency")}
    assert run.trials[3].metric is None
    assert run.objectives == (Objective("accuracy", Direction.MAX), Objective("latency", Direction.MIN))
    assert (run.direction, run.optimization_key, tuple(run)) == (None, None, (None, None, None))


def test_equal_trials_are_on_the_front_together_and_failed_ones_never() -> None:
    objectives = [Objective("a", Direction.MAX), Objective("b", Direction.MAX)]
    points = [(1, 2), (2, 1), (1, 2), (1, 1), (0, 3)]
    trials = [Trial(str(n), {}, State.FINISHED, metrics={"a": a, "b": b}) for n, (a, b) in enumerate(points)]
    stopped = Trial("9", {}, State.STOPPED, metrics={"a": 9, "b": 9})
    assert [t.id for t in pareto_front([*trials, stopped, Trial("8", {}, State.FAILED)], objectives)] == list("0124")


@pytest.mark.parametrize("name", ["best_trial", "best_params", "best_metric", "best_outputs", "best_logdir"])
def test_no_trial_is_the_best(run: Run, name: str) -> None:
    with pytest.raises(InvalidArguments, match=r"accuracy \(max\), latency \(min\).*choose one of run.pareto_trials"):
        getattr(run, name)


def test_it_is_the_same_run_when_it_is_loaded_or_unpickled(run: Run) -> None:
    for other in (experiment.load(run.run_id), pickle.loads(pickle.dumps(run))):
        assert [t.id for t in other.pareto_trials] == [t.id for t in run.pareto_trials]
        assert (other.objectives, tuple(other)) == (run.objectives, (None, None, None))
    record = json.loads(Path(run.logdir, "run.json").read_text())
    assert record["pareto_trials"] == [t.id for t in run.pareto_trials]
    assert record["objectives"][1] == {"name": "latency", "direction": "MIN"}
    rows = json.loads(Path(run.logdir, ".summary.json").read_text())["combinations"]
    assert [n for n, row in enumerate(rows) if row["pareto"]] == [int(t.id) for t in run.pareto_trials]


def test_the_front_is_marked_in_tables(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    front = {trial.id for trial in run.pareto_trials}
    frame = run.to_pandas()
    assert set(frame[frame.pareto]["id"]) == front
    assert "metric" not in frame
    assert run._repr_html_().count("★") == len(front)
    assert f"best in accuracy (max), latency (min): {', '.join(sorted(front))}" in repr(run)
    experiment.random_search(train, SPACE, samples=9, seed=1, pool="inline", **SEVERAL)
    shown = capsys.readouterr()
    assert "on the Pareto front" in shown.err + shown.out
    assert "accuracy=" in shown.out


@pytest.mark.parametrize("algorithm", ["random", "qmc", "tpe", "nsga2", optuna.samplers.TPESampler(seed=1)])
def test_algorithms_that_can(algorithm: Any) -> None:
    options = {"population_size": 5} if algorithm == "nsga2" else None
    run = experiment.search(
        train, SPACE, algorithm, num_trials=20, seed=1, algorithm_options=options, **SEVERAL, **QUIET
    )
    assert run.counts == {State.FINISHED: 20}
    assert [trial.id for trial in run.pareto_trials] == best_of(run)


def test_a_grid_and_conditional_parameters() -> None:
    grid = experiment.grid_search(train, {"x": [0.1, 0.5], "y": [0, 1]}, **SEVERAL, **QUIET)
    assert [trial.params for trial in grid.pareto_trials] == [{"x": 0.1, "y": 0}, {"x": 0.5, "y": 0}]
    space = {"x": [0.0, 1.0], "y": hopslite.space.grid([0.0, 1.0])}
    crossed = experiment.search(train, space, "nsga2", num_trials=5, seed=1, **SEVERAL, **QUIET)
    assert len(crossed.trials) == 10
    assert {trial.params["y"] for trial in crossed.pareto_trials} == {0.0}


def test_evolution_beats_chance() -> None:
    """ZDT1 with four parameters: points near the front have a small g."""

    def zdt1(a: float, b: float, c: float, d: float) -> tuple[float, float]:
        g = 1 + 3 * (b + c + d)
        return a, g * (1 - math.sqrt(a / g))

    space = {name: [0.0, 1.0] for name in "abcd"}
    goal = {"direction": ["min", "min"], "optimization_key": ["f1", "f2"], "num_trials": 300, "seed": 1}
    options = {"population_size": 20}
    evolved = experiment.search(zdt1, space, "nsga2", algorithm_options=options, **goal, **QUIET)
    chance = experiment.search(zdt1, space, "random", **goal, **QUIET)
    late, by_chance = (statistics.fmean(sum(t.metrics.values()) for t in run.trials[200:]) for run in (evolved, chance))
    assert late < 0.6 * by_chance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "cmaes"}, "cmaes does not optimise several metrics"),
        ({"algorithm": "asha"}, "asha does not optimise several metrics; use one of grid, random, qmc, tpe, nsga2"),
        ({"algorithm": "hyperband"}, "hyperband does not optimise several"),
        ({"algorithm": "pbt"}, "pbt does not optimise several"),
        ({"algorithm": "differential_evolution"}, "differential_evolution does not optimise several"),
        ({"algorithm": optuna.samplers.CmaEsSampler()}, "CmaEsSampler does not optimise several"),
        ({"algorithm": lambda space, **_: None}, "multi_objective = True"),
        ({"stopper": "median"}, "stopper='median' with several metrics; a stopper compares the reports of one metric"),
        ({"target_metric": 0.5}, "target_metric=0.5 with several metrics"),
        ({"no_improvement": 5}, "no_improvement=5 with several metrics"),
        ({"warm_start": [{"x": 1, "metric": 1}]}, "warm_start=.* with several metrics"),
        ({"direction": "max"}, "for several metrics give a list of both"),
        ({"direction": ["max"]}, "with a direction for each key"),
        ({"direction": ["max", "up"]}, "direction='up'; allowed are"),
        ({"optimization_key": "accuracy"}, "give a list of both"),
        ({"optimization_key": ["accuracy", "accuracy"]}, "has a name twice"),
        ({"optimization_key": ["accuracy", 3]}, "3 is not a text"),
        ({"direction": [], "optimization_key": []}, "give a list of both"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_trial(options: dict[str, Any], message: str, project: str) -> None:
    with pytest.raises(InvalidArguments, match=message):
        experiment.search(train, SPACE, **{**SEVERAL, **QUIET, "num_trials": 3, **options})
    assert not Path(project, "Experiments").exists()


def test_verbs_of_one_metric_refuse_several() -> None:
    with pytest.raises(InvalidArguments, match="Differential Evolution optimises one metric"):
        experiment.differential_evolution(train, SPACE, **SEVERAL, **QUIET)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            {"accuracy": 1},
            "a number for each of 'accuracy', 'latency': 'latency' is missing; the numeric",
        ),
        ({"accuracy": 1, "latency": "fast"}, "'latency' is str 'fast'"),
        (0.5, "returned float 0.5; return a dict with 'accuracy', 'latency', or a tuple of 2 numbers"),
        ((1, 2, 3), "of 3 values"),
        (None, "returned None"),
        ({"accuracy": math.nan, "latency": 1}, "the metric 'accuracy' is nan, which cannot be compared"),
    ],
)
def test_what_a_function_has_to_return(returned: Any, message: str) -> None:
    with pytest.raises(TrialFailed, match=message):
        experiment.grid_search(lambda x: returned, {"x": [1]}, **SEVERAL, **QUIET)


def test_a_tuple_has_the_metrics_in_their_order() -> None:
    run = experiment.grid_search(lambda x: (x, -x), {"x": [1, 2]}, **SEVERAL, **QUIET)
    assert [trial.metrics for trial in run.trials] == [{"accuracy": 1, "latency": -1}, {"accuracy": 2, "latency": -2}]
    assert run.trials[0].outputs["latency"] == -1


def test_reports_are_curves_and_the_last_one_may_be_the_result() -> None:
    def report(x: float) -> None:
        for step in range(3):
            hopslite.report({"accuracy": x * step, "latency": 1.0, "loss": 2.0}, step)

    def only_reports(value: float) -> None:
        hopslite.report(value)

    run = experiment.grid_search(report, {"x": [1.0]}, **SEVERAL, **QUIET)
    assert run.trials[0].metrics == {"accuracy": 2.0, "latency": 1.0}
    assert run.trials[0].outputs["loss"] == 2.0
    assert run.reports().groupby("metric")["value"].count().to_dict() == {"accuracy": 3, "latency": 3, "loss": 3}
    with pytest.raises(TrialFailed, match="the run optimises accuracy, latency; give a dict"):
        experiment.grid_search(only_reports, {"value": [1.0]}, **SEVERAL, **QUIET)


@pytest.mark.parametrize("algorithm", ["random", "tpe", "nsga2"])
def test_a_run_is_resumed_with_the_same_suggestions(algorithm: str, tmp_path: Path) -> None:
    class Interrupting:
        def on_trial_end(self, trial: Trial) -> None:
            if trial.id == "0012":
                raise KeyboardInterrupt

    options = {"algorithm_options": {"population_size": 5}} if algorithm == "nsga2" else {}
    call: dict[str, Any] = {"algorithm": algorithm, "num_trials": 20, "seed": 3, **options, **SEVERAL, **QUIET}
    with pytest.raises(RunInterrupted) as caught:
        experiment.search(train, SPACE, project=str(tmp_path), callbacks=[Interrupting()], **call)
    resumed = experiment.search(train, SPACE, project=str(tmp_path), resume=caught.value.run_id, **call)
    whole = experiment.search(train, SPACE, project=str(tmp_path), **call)
    assert [trial.params for trial in resumed.trials] == [trial.params for trial in whole.trials]
    assert [t.id for t in resumed.pareto_trials] == [t.id for t in whole.pareto_trials] == best_of(whole)


def test_other_objectives_are_another_search(run: Run) -> None:
    with pytest.raises(
        InvalidArguments, match=r"it optimised accuracy \(max\), latency \(min\), now it is to optimise"
    ):
        experiment.random_search(
            train,
            SPACE,
            ["max", "max"],
            samples=30,
            optimization_key=["accuracy", "latency"],
            resume=run.run_id,
            **QUIET,
        )


@pytest.mark.parametrize("goal", [{"optimization_key": "size"}, {**SEVERAL, "optimization_key": ["size", "latency"]}])
def test_with_other_objectives_the_results_so_far_are_known(run: Run, goal: dict[str, Any]) -> None:
    space = {"x": [0.1, 0.5, 0.9], "y": [0.0, 0.5]}
    first = experiment.grid_search(train, space, **SEVERAL, **QUIET)
    for again in (goal, SEVERAL):
        first = experiment.grid_search(train, space, resume=first.run_id, force=True, **again, **QUIET)
        assert len(first.trials) == 6
    told: list[Result] = []

    def noting(space: Any, *, direction: Any, seed: int, num_trials: int) -> Random:
        search = Random(space, direction=direction, seed=seed, samples=num_trials)
        search.tell = told.append  # type: ignore[method-assign]
        return search

    noting.multi_objective = True  # type: ignore[attr-defined]
    call: dict[str, Any] = {"algorithm": noting, "num_trials": 3, **QUIET}
    sampled = experiment.search(train, {"x": [1, 3]}, **call, **SEVERAL)
    told.clear()
    sampled = experiment.search(train, {"x": [1, 3]}, resume=sampled.run_id, force=True, **call, **goal)
    assert len(told) == 3
    is_single = goal["optimization_key"] == "size"
    seen = [result.metric if is_single else list(result.metrics or ()) for result in told]
    assert seen == [3 if is_single else ["size", "latency"]] * 3


def test_the_best_trial_of_several_runs_needs_a_metric(run: Run) -> None:
    with pytest.raises(InvalidArguments, match="say which one is meant with metric='accuracy' or 'latency'"):
        experiment.best(run.name)
    assert experiment.best(run.name, "latency").value == min(t.metrics["latency"] for t in run.trials)
    assert experiment.best(run.name, "accuracy").direction is Direction.MAX


def test_another_search_may_learn_one_of_the_metrics(run: Run) -> None:
    later = experiment.search(
        train, SPACE, "tpe", "min", num_trials=1, optimization_key="latency", warm_start=run, seed=1, **QUIET
    )
    alone = experiment.search(train, SPACE, "tpe", "min", num_trials=1, optimization_key="latency", seed=1, **QUIET)
    assert later.trials[0].params != alone.trials[0].params


# --- define-by-run, and Optuna


def objective(trial: Any) -> tuple[float, float]:
    assert len(trial.study.directions) == 2
    x = trial.suggest_float("x", 0.0, 1.0)
    return x, x**2 + trial.suggest_float("y", 0.0, 1.0)


@pytest.mark.parametrize("algorithm", ["random", "tpe", "nsga2"])
def test_an_objective_returns_a_tuple(algorithm: Any) -> None:
    run = experiment.search(objective, algorithm=algorithm, num_trials=12, seed=1, **SEVERAL, **QUIET)
    assert [trial.id for trial in run.pareto_trials] == best_of(run)
    unnamed = experiment.search(objective, algorithm=algorithm, num_trials=3, direction=["max", "min"], **QUIET)
    assert list(unnamed.trials[0].metrics) == ["value_0", "value_1"]
    with pytest.raises(InvalidArguments, match="cmaes does not optimise several"):
        experiment.search(objective, algorithm="cmaes", num_trials=3, **SEVERAL, **QUIET)


def test_a_study_with_several_directions_gets_the_trials() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    run = experiment.search(objective, study=study, num_trials=8, **QUIET)
    assert [trial.values for trial in study.trials] == [list(trial.metrics.values()) for trial in run.trials]
    assert {trial.number for trial in study.best_trials} == {int(trial.id) for trial in run.pareto_trials}
    experiment.search(objective, study=study, num_trials=4, **QUIET)
    assert len(study.trials) == 12


def test_a_run_as_a_study(run: Run) -> None:
    study = run.to_optuna()
    assert {trial.number for trial in study.best_trials} == {int(trial.id) for trial in run.pareto_trials}
    assert study.metric_names == ["accuracy", "latency"]
    assert [one.name for one in study.directions] == ["MAXIMIZE", "MINIMIZE"]


# --- pictures


def test_the_front_is_drawn(run: Run) -> None:
    (axes,) = plots.pareto_front(run).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("accuracy, higher is better", "latency, lower is better")
    others, front = axes.collections
    assert (len(others.get_offsets()), len(front.get_offsets())) == (
        30 - len(run.pareto_trials),
        len(run.pareto_trials),
    )
    assert plots.pareto_front(run, ["latency", "accuracy"]).axes
    with pytest.raises(InvalidArguments, match=r"plots\.pareto_front\(run\) draws them"):
        plots.best_so_far(run)
    with pytest.raises(InvalidArguments, match=r"metrics=.*; the run has accuracy, latency. Did you mean 'latency'"):
        plots.pareto_front(run, ["accuracy", "latencies"])
    with pytest.raises(InvalidArguments, match="give at least two"):
        plots.pareto_front(run, ["accuracy"])


def test_three_metrics_have_a_plot_for_each_pair_and_one_has_none() -> None:
    keys = ["accuracy", "latency", "size"]
    run = experiment.grid_search(train, {"x": [0.1, 0.5]}, ["max", "min", "min"], optimization_key=keys, **QUIET)
    panels = plots.pareto_front(run).axes
    assert len(panels) == 3
    assert all(len(axes.get_xticks()) <= 5 for axes in panels)  # they would overlap
    single = experiment.grid_search(train, {"x": [0.1, 0.5]}, optimization_key="accuracy", **QUIET)
    with pytest.raises(InvalidArguments, match="does not optimise several metrics"):
        plots.pareto_front(single)


class TestOtherObjectivesInAResumedRun:
    """Results of trials that ran before count for what the run optimises now, also when it is loaded."""

    @staticmethod
    def resumed(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> Run:
        interrupts = iter([False, False, True])

        def measure(x: int) -> dict[str, int]:
            if next(interrupts, False):
                raise KeyboardInterrupt
            return {"a": x, "b": x}

        with pytest.raises(RunInterrupted):
            experiment.grid_search(measure, {"x": [5, 2, 3]}, name="r", **before, **QUIET)
        return experiment.grid_search(measure, {"x": [5, 2, 3]}, name="r", resume="r", force=True, **after, **QUIET)

    ONE: dict[str, Any] = {"optimization_key": "a", "direction": "max"}
    TWO: dict[str, Any] = {"optimization_key": ["a", "b"], "direction": ["max", "min"]}

    def test_one_metric_then_several(self, tmp_path: Path) -> None:
        run = self.resumed(tmp_path, self.ONE, self.TWO)
        for made in (run, experiment.load(run.run_id)):
            assert {trial.params["x"] for trial in made.pareto_trials} == {2, 3, 5}
            assert [study_trial.values for study_trial in made.to_optuna().best_trials] == [
                [t.metrics["a"], t.metrics["b"]] for t in made.pareto_trials if t.metrics
            ]

    def test_several_metrics_then_one(self, tmp_path: Path) -> None:
        run = self.resumed(tmp_path, self.TWO, self.ONE)
        for made in (run, experiment.load(run.run_id)):
            assert made.best_params == {"x": 5}
            assert made.to_optuna().best_value == 5

    def test_another_order(self, tmp_path: Path) -> None:
        run = self.resumed(tmp_path, self.TWO, {"optimization_key": ["b", "a"], "direction": ["min", "max"]})
        assert all(list(trial.metrics or {}) == ["b", "a"] for trial in run.trials if trial.state is State.FINISHED)


def test_a_parameter_may_be_called_metric() -> None:
    run = experiment.grid_search(lambda metric, x: train(x), {"metric": ["l1", "l2"], "x": [0, 1]}, **SEVERAL, **QUIET)
    assert list(run.to_pandas()["metric"]) == ["l1", "l1", "l2", "l2"]


def test_a_study_with_other_directions_is_refused_before_a_run_goes_on() -> None:
    interrupts = iter([False, False, True])

    def objective(trial: Any) -> tuple[float, float]:
        if next(interrupts, False):
            raise KeyboardInterrupt
        x = trial.suggest_float("x", 0, 1)
        return x, x

    with pytest.raises(RunInterrupted) as stopped:
        experiment.search(objective, direction=["max", "min"], num_trials=4, name="s", **QUIET)
    with pytest.raises(InvalidArguments, match="study has the directions min, and the run max, min"):
        experiment.resume(stopped.value.run_id, objective, study=optuna.create_study(), **QUIET)
    study = optuna.create_study(directions=["maximize", "minimize"])
    run = experiment.resume(stopped.value.run_id, objective, study=study, **QUIET)
    assert len(study.trials) == len(run.trials) == 4


@pytest.mark.filterwarnings("ignore:BruteForceSampler is experimental")
def test_samplers_that_take_only_their_own_parameters_may_optimise_several() -> None:
    for sampler in (optuna.samplers.GridSampler({"x1": [0.25, 0.5]}), optuna.samplers.BruteForceSampler()):
        assert objective_problems(sampler, {}, 2) == []


def test_a_search_that_evolves_its_own_suggestions_takes_no_warm_start() -> None:
    for space_of in (SPACE, None):
        objective: Any = train if space_of else lambda trial: trial.suggest_float("x", 0, 1)
        options: dict[str, Any] = {"algorithm": "nsga2", "direction": "max", "optimization_key": "accuracy"}
        rows = [{"x": 0.5, "y": 0.5, "accuracy": 1.0}]
        with pytest.raises(InvalidArguments, match="NSGA-II learns only from its own suggestions"):
            experiment.search(objective, space_of, num_trials=4, warm_start=rows, **options, **QUIET)
