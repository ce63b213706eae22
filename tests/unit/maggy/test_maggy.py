"""Programs written for Maggy: its search space, configurations, keywords and results."""

from __future__ import annotations

import collections
import itertools
import json
import pickle
from typing import Any

import cloudpickle
import numpy as np
import pytest

from hopslite import experiment
from hopslite.core.types import Direction, Result, State
from hopslite.errors import InvalidArguments, MissingExtra, TrialStopped
from hopslite.maggy import (
    GP,
    TPE,
    AblationConfig,
    Asha,
    BaseConfig,
    DistributedConfig,
    GridSearch,
    HyperparameterOptConfig,
    LagomResult,
    OptimizationConfig,
    RandomSearch,
    Searchspace,
    SingleRun,
    TfDistributedConfig,
    TorchDistributedConfig,
    lagom_result,
    patching,
    plan_of,
)
from hopslite.maggy._distributed import Mirrored, Parallel, _averaged, _share
from hopslite.maggy._stopping import PolicyStopper, stopper_of
from hopslite.maggy._tf_data import portable, prepare
from hopslite.maggy.patching import MaggyDataLoader, MaggyPetastormDataLoader, _moved
from hopslite.result import Trial
from hopslite.space import choice, integer, uniform
from hopslite.stop import Median, Patience

HERE: dict[str, Any] = {"pool": "inline", "display": False}
SPACE = Searchspace(kernel=("INTEGER", [2, 8]), dropout=("DOUBLE", [0.01, 0.99]))


def problems_of(call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InvalidArguments) as caught:
        call(*args, **kwargs)
    return "\n".join(caught.value.problems)


def lagom(train_fn: Any = None, config: Any = None, **keywords: Any) -> LagomResult:
    return experiment.lagom(train_fn, config, **keywords, **HERE)


def by_name(kernel, dropout, reporter):
    for step in range(3):
        reporter.broadcast(metric=kernel - dropout, step=step)
    return kernel - dropout


def by_hparams(hparams):
    return {"accuracy": hparams["kernel"] - hparams["dropout"], "loss": 5}


# --- the search space


def test_a_searchspace_is_maggys():
    sp = Searchspace(kernel=("INTEGER", [2, 8]), pool=("integer", [2, 8]))
    sp.add("dropout", ("DOUBLE", [0.01, 0.99]))
    sp.add("act", ("CATEGORICAL", ["relu", "tanh"]))
    sp.add("size", ("DISCRETE", [16, 32]))
    assert sp.names() == {
        "kernel": "INTEGER",
        "pool": "INTEGER",
        "dropout": "DOUBLE",
        "act": "CATEGORICAL",
        "size": "DISCRETE",
    }
    assert sp.keys() == ["kernel", "pool", "dropout", "act", "size"]
    assert sp.values()[0] == ("INTEGER", [2, 8])
    assert next(iter(sp)) == {"name": "kernel", "type": "INTEGER", "values": [2, 8]}
    assert list(sp.items()) == list(sp)
    assert (sp.get("kernel"), sp.get("other", 3), sp.dropout) == ([2, 8], 3, [0.01, 0.99])  # type: ignore[attr-defined]
    assert ("kernel" in sp, "other" in sp, len(sp)) == (True, False, 5)
    assert Searchspace(**sp.to_dict()).to_dict() == sp.to_dict()
    assert json.loads(sp.json()) == json.loads(str(sp)) == {name: list(value) for name, value in sp.to_dict().items()}
    space = sp.to_space()
    assert dict(space) | {"act": 0, "size": 0} == {
        "kernel": integer(2, 8),
        "pool": integer(2, 8),
        "dropout": uniform(0.01, 0.99),
        "act": 0,
        "size": 0,
    }
    assert (space["act"].values, space["size"].values) == (("relu", "tanh"), (16, 32))  # type: ignore[union-attr]
    assert pickle.loads(pickle.dumps(sp)).to_dict() == sp.to_dict()


def test_random_values_lie_in_the_searchspace_and_have_a_seed():
    sp = Searchspace(n=("INTEGER", [2, 4]), x=("DOUBLE", [-1.0, 1]), a=("CATEGORICAL", ["r", "t"]))
    drawn = sp.get_random_parameter_values(200, seed=1)
    assert drawn == sp.get_random_parameter_values(200, seed=1) != sp.get_random_parameter_values(200)
    assert {params["n"] for params in drawn} == {2, 3, 4}
    assert {params["a"] for params in drawn} == {"r", "t"}
    assert all(-1 <= params["x"] <= 1 for params in drawn)
    assert sp.get_random_parameter_values(0) == []
    assert "num=-1" in problems_of(sp.get_random_parameter_values, -1)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("names", ("DOUBLE", [0, 1]), "Hyperparameter name is reserved: names"),
        ("kernel", ("DOUBLE", [0, 1]), "Hyperparameter name is reserved: kernel"),
        ("x", [0, 1], "give a tuple (type, list of values)"),
        ("x", ("FLOAT", [0, 1]), "x: type 'FLOAT'; allowed are DOUBLE, INTEGER, DISCRETE, CATEGORICAL"),
        ("x", ("DOUBLE", []), "x: given []"),
        ("x", ("DOUBLE", [1, 0]), "a lower and an upper bound"),
        ("x", ("DOUBLE", ["a", "b"]), "a lower and an upper bound"),
        ("x", ("INTEGER", [0.5, 1]), "must be integers"),
        ("x", ("INTEGER", [1, 2, 3]), "a lower and an upper bound"),
    ],
)
def test_hyperparameters_that_cannot_be(name, value, said):
    assert said in problems_of(Searchspace(kernel=("INTEGER", [2, 8])).add, name, value)


# --- what a call means


def test_a_configuration_becomes_a_search():
    config = HyperparameterOptConfig(4, "randomsearch", SPACE, direction="min", es_interval=2, es_min=5, name="hp")
    call = plan_of(by_name, config, HERE)
    stopper = call.arguments.pop("stopper")
    assert repr(stopper) == repr(Median(interval=2, min_trials=5))
    assert (call.kind, call.verb, call.title, call.notes) == ("search", "search", "RandomSearch", ())
    assert call.arguments == {
        "name": "hp",
        "description": None,
        "space": SPACE.to_space(),
        "algorithm": "random",
        "direction": "min",
        "num_trials": 4,
        "optimization_key": "metric",
        "algorithm_options": None,
        **HERE,
    }
    assert OptimizationConfig is HyperparameterOptConfig


def test_the_older_form_means_the_same():
    keywords = {"optimizer": "randomsearch", "direction": "min", "num_trials": 4, "es_interval": 2, "es_min": 5}
    old = plan_of(None, None, {"map_fun": by_name, "searchspace": SPACE, "name": "hp", **keywords, **HERE})
    new = plan_of(by_name, HyperparameterOptConfig(searchspace=SPACE, name="hp", **keywords), HERE)  # type: ignore[arg-type]
    assert {k: repr(v) for k, v in old.arguments.items()} == {k: repr(v) for k, v in new.arguments.items()}
    assert plan_of(by_name, None, {"searchspace": SPACE}).arguments["num_trials"] == 1


class Like:
    """An object of one of the real Maggy's classes, which are not installed here."""

    def __new__(cls, kind: str, /, **fields: Any) -> Any:
        made = type(kind, (), {})()
        made.__dict__.update(fields)
        return made


def test_objects_of_the_real_maggy_are_understood():
    pruner = Like("Hyperband", min_budget=1, max_budget=9, eta=3, n_iterations=3, _log=print)
    tpe = Like("TPE", gamma=0.15, n_samples=12, num_warmup_trials=5, random_fraction=0.33, pruner=pruner, models={})
    space = Like("Searchspace", to_dict=lambda: {"x": ("DOUBLE", [0, 1])})
    config = Like(
        "OptimizationConfig",
        num_trials=20,
        optimizer=tpe,
        searchspace=space,
        direction="max",
        es_policy="none",
        es_interval=1,
        es_min=10,
        name="bohb",
        description="",
        hb_interval=1,
    )

    def train(hparams):
        """Takes a budget, too."""

    call = plan_of(train, config)
    assert call.arguments["algorithm"] == "hyperband"
    assert call.arguments["algorithm_options"] == {
        "min_budget": 1,
        "max_budget": 9,
        "reduction_factor": 3,
        "sampler": "tpe",
    }
    assert dict(call.arguments["space"]) == {"x": uniform(0, 1)}
    assert (call.title, call.arguments["num_trials"]) == ("TPE with Hyperband", None)
    assert call.notes == (
        "hyperband: no counterpart in hopslite, not used: num_warmup_trials=5, n_samples=12",
        "hyperband, whose brackets run once: no counterpart in hopslite, not used: n_iterations=3",
    )
    assert plan_of(by_hparams, Like("BaseConfig", name="b", description="d", hb_interval=1)).kind == "launch"


@pytest.mark.parametrize(
    ("optimizer", "algorithm", "options", "notes"),
    [
        ("RandomSearch", "random", {}, ()),
        (RandomSearch(), "random", {}, ()),
        (RandomSearch, "random", {}, ()),
        ("gridsearch", "grid", {}, ()),
        (GridSearch(), "grid", {}, ()),
        ("asha", "asha", {"reduction_factor": 2, "min_budget": 1, "max_budget": 4}, ()),
        (Asha(3, 1, 9), "asha", {"reduction_factor": 3, "min_budget": 1, "max_budget": 9}, ()),
        ("TPE", "tpe", {"n_startup_trials": 15, "n_ei_candidates": 24}, ()),
        (GP(num_warmup_trials=4), "gp", {"n_startup_trials": 4}, ()),
        (
            GP(acq_fun="EI", random_fraction=0.5),
            "gp",
            {"n_startup_trials": 15},
            ("GP: no counterpart in hopslite, not used: random_fraction=0.5, acq_fun='EI'",),
        ),
        (
            RandomSearch(pruner="hyperband", pruner_kwargs={"min_budget": 2, "max_budget": 8, "eta": 2}),
            "hyperband",
            {"min_budget": 2, "max_budget": 8, "reduction_factor": 2, "sampler": "random"},
            (),
        ),
        (
            GP(pruner="hyperband", pruner_kwargs={"max_budget": 8, "n_iterations": 7}),
            "hyperband",
            {"max_budget": 8, "sampler": "gp"},
            ("hyperband, whose brackets run once: no counterpart in hopslite, not used: n_iterations=7",),
        ),
        ("cmaes", "cmaes", {}, ()),
    ],
)
def test_optimizers_become_algorithms(optimizer, algorithm, options, notes):
    call = plan_of(by_hparams, HyperparameterOptConfig(4, optimizer, SPACE))
    assert call.arguments["algorithm"] == algorithm
    assert (call.arguments["algorithm_options"] or {}) == options
    assert call.notes == notes
    assert call.arguments["num_trials"] == (None if algorithm in ("grid", "hyperband") else 4)


def test_tpes_share_of_good_trials():
    options = plan_of(by_hparams, HyperparameterOptConfig(4, TPE(gamma=0.25), SPACE)).arguments["algorithm_options"]
    assert [options["gamma"](n) for n in (4, 5, 100)] == [1, 2, 25]


def test_unused_parameters_are_told_once():
    call = plan_of(by_hparams, HyperparameterOptConfig(4, TPE(bw_factor=5), SPACE, hb_interval=3))
    assert call.notes == (
        "TPE: no counterpart in hopslite, not used: bw_factor=5",
        "hb_interval=3 is not needed and not used",
    )


def custom() -> Any:
    class Mine:
        def get_suggestion(self, trial=None):
            return None

    return Mine()


@pytest.mark.parametrize(
    ("train_fn", "config", "keywords", "said"),
    [
        (5, None, {}, "train_fn is 5"),
        (None, None, {}, "train_fn is None"),
        (by_hparams, 5, {}, "config=5"),
        (
            by_hparams,
            BaseConfig(),
            {"num_trials": 3, "name": "x"},
            "num_trials, name: given in addition to a configuration",
        ),
        (by_hparams, None, {"searchspace": SPACE, "num_trials": 0}, "num_trials=0"),
        (by_hparams, None, {"num_trials": 3}, "searchspace is missing"),
        (by_hparams, None, {"searchspace": 3}, "expected a dict"),
        (by_hparams, None, {"searchspace": SPACE, "ablator": "loco"}, "ablator: not for this kind"),
        (by_hparams, None, {"experiment_type": "other"}, "experiment_type='other'"),
        (by_hparams, None, {"experiment_type": "ablation"}, "ablation_study is missing"),
        (by_hparams, AblationConfig(None, ablator="lofo"), {}, "ablator='lofo'"),
        (by_hparams, HyperparameterOptConfig(4, custom(), SPACE), {}, "an algorithm for Maggy"),
        (by_hparams, HyperparameterOptConfig(4, TPE(pruner="median"), SPACE), {}, "pruner='median'"),
        (by_hparams, HyperparameterOptConfig(4, Asha(pruner="hyperband"), SPACE), {}, "pruner='hyperband' with Asha"),
        (by_hparams, HyperparameterOptConfig(4, "asha", SPACE, es_policy=7), {}, "es_policy=7"),
        (by_hparams, HyperparameterOptConfig(4, "asha", SPACE, es_policy=Median, es_min="x"), {}, "es_min='x'"),
        (lambda kernel: 1, HyperparameterOptConfig(4, "tpe", SPACE), {}, "has no parameter dropout, and no hparams"),
        (lambda lr, hparams: 1, HyperparameterOptConfig(4, "tpe", SPACE), {}, "takes lr, which it does not get"),
        (lambda kernel, dropout: 1, HyperparameterOptConfig(4, "asha", SPACE), {}, "has no parameter budget"),
        (lambda lr: 1, None, {}, "takes lr, which it does not get"),
    ],
)
def test_calls_that_cannot_work(train_fn, config, keywords, said):
    assert said in problems_of(plan_of, train_fn, config, keywords)


def test_all_problems_are_told_at_once():
    said = problems_of(
        plan_of, lambda a: 1, HyperparameterOptConfig(4, TPE(pruner="x"), {"b": "?"}, es_policy=7), {"pool": "inline"}
    )
    assert "pruner='x'" in said
    assert "'b'" in said
    assert "takes a, which it does not get" in said


# --- stoppers


def test_policies_become_stoppers():
    class Policy:
        @staticmethod
        def earlystop_check(to_check, finalized_trials, direction):
            return None

    assert repr(stopper_of("Median", 3, 7)) == repr(Median(interval=3, min_trials=7))
    assert repr(stopper_of("median", 0, 0)) == repr(Median(interval=1, min_trials=1))
    assert repr(stopper_of(Like("MedianStoppingRule"), 3, 7)) == repr(Median(interval=3, min_trials=7))
    assert stopper_of("none", 1, 1) is stopper_of(None, 1, 1) is stopper_of(Like("NoStoppingRule"), 1, 1) is None
    assert stopper_of("patience", 1, 1) == "patience"
    own = Patience()
    assert stopper_of(own, 1, 1) is own
    assert repr(stopper_of(Policy, 3, 7)) == "PolicyStopper(Policy, interval=3, min_trials=7)"


def test_the_median_rule_is_left_out_where_nothing_would_be_reported():
    assert plan_of(by_hparams, HyperparameterOptConfig(4, "randomsearch", SPACE)).arguments["stopper"] is None
    assert plan_of(by_name, HyperparameterOptConfig(4, "randomsearch", SPACE)).arguments["stopper"] is not None

    def train(hparams, reporter):
        """With a budget."""

    assert plan_of(train, HyperparameterOptConfig(4, "asha", SPACE)).arguments["stopper"] is None


class Watch:
    """A policy that ends a trial when it is worse than all that ended; `seen` is what it was shown."""

    seen: list[Any] = []

    @staticmethod
    def earlystop_check(to_check, finalized_trials, direction):
        Watch.seen.append((to_check.trial_id, list(to_check.step_history), len(finalized_trials), direction))
        best = max(trial.final_metric for trial in finalized_trials)
        return to_check.trial_id if max(to_check.metric_history) < best else None


def ended(trial_id: str, metric: float, state: State = State.FINISHED) -> Result:
    return Result(trial_id, state, metric)


def test_a_policy_is_asked_as_maggy_asked():
    Watch.seen.clear()
    stopper = pickle.loads(cloudpickle.dumps(PolicyStopper(Watch, interval=2, min_trials=2)))
    stopper.begin(Direction.MIN)
    for trial_id in ("0", "1", "2"):
        stopper.started(trial_id)
        assert stopper.report(trial_id, 0, 5.0) is None
        assert stopper.report(trial_id, 2, 5.0) is None
        stopper.ended(ended(trial_id, 5.0, State.FAILED if trial_id == "2" else State.FINISHED))
    stopper.started("3")
    assert [stopper.report("3", step, 4.0) is None for step in (0, 1, 2)] == [True, True, False]
    assert "Watch says so at step 4" in stopper.report("3", 4, 1.0)
    assert Watch.seen == [
        ("2", [0, 2], 2, "min"),  # the third trial, when two have ended
        ("3", [0, 1, 2], 2, "min"),  # the one that failed does not count
        ("3", [0, 1, 2, 4], 2, "min"),
    ]
    stopper.started("3")  # another attempt
    assert stopper.report("3", 2, 9.0) is None


def test_a_policy_ends_trials(project):
    def train(quality, reporter):
        for step in range(4):
            reporter.broadcast(quality, step)
        return quality

    space = {"quality": choice([5, 9, 1, 7])}
    result = lagom(
        train, None, searchspace=space, optimizer="gridsearch", es_policy=Watch, es_interval=1, es_min=1, name="policy"
    )
    assert [str(trial.state) for trial in result.run.trials] == ["FINISHED", "FINISHED", "STOPPED", "STOPPED"]
    assert (result["early_stopped"], result["num_trials"], result["best_val"]) == (2, 4, 9)


# --- results


def test_a_search_gives_maggys_result(project):
    config = HyperparameterOptConfig(5, "randomsearch", SPACE, "accuracy", name="hp")
    result = lagom(by_hparams, config, seed=3)
    run = result.run
    metrics = [trial.params["kernel"] - trial.params["dropout"] for trial in run.trials]
    assert result["metric_list"] == metrics
    assert (result["best_val"], result["worst_val"]) == (max(metrics), min(metrics))
    assert result["best_config"] == run.best_params
    assert result["worst_id"] == run.trials[metrics.index(min(metrics))].id
    assert result["avg"] == pytest.approx(np.mean(metrics))
    assert (result["num_trials"], result["early_stopped"], result["trial_id"]) == (5, 0, "0000")
    lines = result.lines()
    assert lines[0] == "------ RandomSearch Results ------ direction(max)"
    assert lines[1] == f"BEST combination {json.dumps(run.best_params)} -- metric {max(metrics)}"
    assert lines[3:5] == [f"AVERAGE metric -- {result['avg']}", "EARLY STOPPED Trials -- 0"]
    copy = pickle.loads(pickle.dumps(result))
    assert (copy, copy.run.run_id, copy.lines()) == (result, run.run_id, lines)


def test_maggys_summary_and_what_was_not_used_are_printed(project, capsys):
    config = HyperparameterOptConfig(2, RandomSearch(), SPACE, hb_interval=5)
    result = experiment.lagom(by_name, config, pool="inline")
    said = capsys.readouterr().out
    assert said.endswith("\n".join(["hb_interval=5 is not needed and not used", *result.lines()]) + "\n")
    experiment.lagom(by_name, config, **HERE)
    assert capsys.readouterr().out == ""


def test_the_smallest_is_best_when_the_direction_says_so(project):
    result = lagom(by_name, HyperparameterOptConfig(5, "randomsearch", SPACE, direction="min"), seed=3)
    assert result["best_val"] == min(result["metric_list"]) == result.run.best_metric
    assert result["worst_val"] == max(result["metric_list"])


def test_equal_trials_do_not_collide(project):
    def train(hparams, reporter):
        assert hparams == {}
        return 1.5

    result = lagom(train, None, optimizer="none", num_trials=3, name="single")
    assert result["metric_list"] == [1.5] * 3
    assert result["best_config"] == {}
    call = plan_of(lambda: 1, HyperparameterOptConfig(2, SingleRun(), SPACE))
    assert call.train_fn(round=0) == 1


@pytest.mark.parametrize(
    ("returned", "metric"),
    [(3, 3), ({"f1": 3}, 3), ({"Metric": 3, "loss": 9}, 3), ({"metric": 3, "loss": 9}, 3), (np.float32(3), 3)],
)
def test_the_metric_is_found_in_what_is_returned(project, returned, metric):
    result = lagom(lambda: returned, None, optimizer="none", num_trials=1)
    assert result["best_val"] == metric


def test_a_function_gets_model_and_dataset(project):
    def train(model, dataset, hparams, kernel, **others):
        assert others == {"dropout": hparams["dropout"]}
        return model(dataset) + kernel

    config = HyperparameterOptConfig(2, "randomsearch", SPACE, model=len, dataset=[1, 2, 3])
    result = lagom(train, config)
    assert result["metric_list"] == [3 + trial.params["kernel"] for trial in result.run.trials]


def test_budgets_come_with_the_hyperparameters(project):
    def train(kernel, dropout, budget):
        return kernel * budget

    result = lagom(train, HyperparameterOptConfig(4, Asha(), SPACE))
    assert {trial.params["budget"] for trial in result.run.trials} == {1, 2, 4}


def test_a_stop_ends_the_training_function(project):
    def train(quality, reporter):
        for step in range(5):
            reporter.broadcast(metric=quality, step=step)
        return quality

    space = Searchspace(quality=("DISCRETE", [5, 6, 7, 1, 2]))
    config = HyperparameterOptConfig(5, "gridsearch", space, es_min=3)
    result = lagom(train, config)
    assert [str(trial.state) for trial in result.run.trials] == ["FINISHED"] * 3 + ["STOPPED"] * 2
    assert result["early_stopped"] == 2
    assert issubclass(TrialStopped, BaseException)


def test_a_function_without_a_configuration_is_run_once(project):
    def train(hparams, reporter):
        reporter.log("hello", jupyter=True)
        return {"accuracy": 1, "f1": 0.5, "hparams": len(hparams)}

    result = lagom(train, None, name="hello")
    assert dict(result) == {"accuracy": 1, "f1": 0.5, "hparams": 0}
    assert result.run.name == "hello"
    assert result.lines()[0] == "Result: {'accuracy': 1, 'f1': 0.5, 'hparams': 0}"
    assert dict(lagom(train, BaseConfig(hparams={"a": 1})))["hparams"] == 1


def test_a_search_without_any_metric():
    from tests.unit.ablation.test_ablation import run_of, trial

    run = run_of([trial(0, {}, None, "ValueError: no")], Direction.MAX)
    result = lagom_result(run, "RandomSearch", "search")
    assert dict(result) == {"best_val": "n.a.", "num_trials": 0, "early_stopped": 0}
    assert result.lines()[0].startswith("Result:")


# --- ablation and distributed training


def test_an_ablation_configuration_becomes_a_study():
    from hopslite.ablation import AblationStudy

    study = AblationStudy(components={"a": 1})

    def train(components):
        """Is wrapped by the study."""

    call = plan_of(train, AblationConfig(study, direction="min"), {"pool": "inline"})
    assert (call.kind, call.train_fn, call.title) == ("ablation", train, "LOCO")
    assert call.arguments == {
        "name": "ablationStudy",
        "description": None,
        "study": study,
        "direction": "min",
        "optimization_key": "metric",
        "pool": "inline",
    }
    old = plan_of(train, None, {"experiment_type": "ablation", "ablation_study": study, "ablator": "loco", "name": "x"})
    assert (old.arguments["study"], old.arguments["name"], old.arguments["direction"]) == (study, "x", "max")


def test_distributed_configurations_become_distributed_runs():
    def train(model, dataset, hparams, reporter):
        """On each worker."""

    call = plan_of(train, TfDistributedConfig(dict, [1], hparams={"a": 1}, name="tf"), {"num_workers": 2})
    assert (call.kind, call.verb) == ("distributed", "distributed")
    assert call.arguments == {
        "name": "tf",
        "description": None,
        "strategy": "multi_worker_mirrored",
        "num_workers": 2,
    }
    assert isinstance(call.train_fn, Mirrored)

    def older(module, train_set, test_set, hparams):
        """With the argument names of older versions."""

    call = plan_of(older, TorchDistributedConfig(module=dict, train_set=[1], test_set=[2]))
    assert call.arguments["strategy"] == "torch"
    assert isinstance(call.train_fn, Parallel)
    assert "which it does not get" in problems_of(plan_of, older, TfDistributedConfig(dict))


@pytest.mark.parametrize(
    ("outputs", "result"),
    [
        ({"metric": 0.5, "log": "x"}, 0.5),
        ({"metric": 2, "results": [2, 3], "log": "x"}, 2),
        ({"loss": 0.25, "log": "x"}, 0.25),
        ({"loss": 0.25, "accuracy": 1, "log": "x"}, {"loss": 0.25, "accuracy": 1}),
    ],
)
def test_the_result_of_distributed_training(outputs, result):
    from tests.unit.ablation.test_ablation import run_of

    trial = Trial(id="0000", params={}, state=State.FINISHED, outputs=outputs)
    made = lagom_result(run_of([trial], Direction.MAX), "", "distributed")
    assert dict(made) == {"test result": result}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backend": "deepspeed"}, "not DeepSpeed"),
        ({"deepspeed_config": {"optimizer": 1}}, "not DeepSpeed"),
        ({"zero_lvl": 3}, "zero_lvl=3"),
        ({"mixed_precision": True}, "torch.autocast"),
        ({"module": 5}, "module=5"),
    ],
)
def test_what_hopslite_does_not_have_is_refused(change, said):
    config = TorchDistributedConfig(**{"module": dict, **change})
    assert said in problems_of(plan_of, lambda module: 1, config)


def test_models_that_cannot_train_under_the_strategy_are_refused():
    import keras

    class Own(keras.Model):  # type: ignore[misc]
        pass

    said = problems_of(plan_of, lambda model: 1, TfDistributedConfig(Own))
    assert 0 < said.index("set TF_USE_LEGACY_KERAS=1") < said.index("tf_keras.Model")
    assert "not an object" in problems_of(plan_of, lambda model: 1, TfDistributedConfig(5))
    assert "mixed_float16" in problems_of(plan_of, lambda model: 1, TfDistributedConfig(dict, mixed_precision=True))


def batches(data: Any) -> list[Any]:
    return [batch[0].numpy().tolist() if isinstance(batch, tuple) else batch.numpy().tolist() for batch in data]


class TestTfData:
    """What a function of `TfDistributedConfig` gets as its data."""

    @pytest.fixture
    def tf(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.delenv("TF_CONFIG", raising=False)
        return pytest.importorskip("tensorflow")

    @staticmethod
    def of_worker(monkeypatch: pytest.MonkeyPatch, number: int, workers: int, **arguments: Any) -> dict[str, Any]:
        """The arguments on one of several workers, of which the first is the chief."""
        task = {"type": "worker", "index": number - 1} if number else {"type": "chief", "index": 0}
        cluster = {"chief": ["a:1"], "worker": ["b:1"] * (workers - 1)}
        if workers > 1:
            monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
        process_data = arguments.pop("process_data", None)
        return prepare({"hparams": {}, **arguments}, process_data)

    @pytest.mark.parametrize("kind", ["tuple", "list", "array", "sent", "sent in batches", "processed"])
    def test_each_worker_has_as_many_items_in_batches(self, tf: Any, monkeypatch: Any, kind: str) -> None:
        x, y = np.arange(5), np.arange(5) * 2
        hparams = {"train_batch_size": np.int64(2)}
        data: Any = {"tuple": (x, y), "list": [x, y], "array": x}.get(kind, tf.data.Dataset.from_tensor_slices((x, y)))
        if kind == "sent in batches":
            data = data.batch(4)
        process_data = None
        if kind == "processed":
            items, data = data, "path"
            process_data = lambda train, test: (items.filter(lambda x, y: True), test)  # noqa: E731 - of unknown length
        data = pickle.loads(cloudpickle.dumps(portable("train_set", data)))
        shares = [
            batches(
                self.of_worker(monkeypatch, number, 2, train_set=data, hparams=hparams, process_data=process_data)[
                    "train_set"
                ]
            )
            for number in (0, 1)
        ]
        without_length = kind in ("processed", "sent in batches")
        assert shares == ([[[0, 2]], [[1, 3]]] if without_length else [[[0, 2], [4]], [[1, 3], [0]]])

    def test_one_worker_has_all_of_it(self, tf: Any, monkeypatch: Any) -> None:
        arguments = self.of_worker(monkeypatch, 0, 1, train_set=np.arange(40), test_set=np.arange(3))
        assert [len(batch) for batch in batches(arguments["train_set"])] == [32, 8]  # Keras' batch size
        assert batches(arguments["test_set"]) == [[0, 1, 2]]
        batched = tf.data.Dataset.range(7).batch(3)
        assert batches(self.of_worker(monkeypatch, 0, 1, train_set=batched)["train_set"]) == [[0, 1, 2], [3, 4, 5], [6]]
        more = self.of_worker(monkeypatch, 4, 5, train_set=np.arange(2))  # than there are items
        assert batches(more["train_set"]) == [[0]]

    def test_only_paths_are_processed(self, tf: Any, monkeypatch: Any) -> None:
        calls = []

        def process_data(*paths: str) -> Any:
            calls.append(paths)
            return ([1, 2], [3, 4]), ([5], [6])

        arrays = self.of_worker(monkeypatch, 0, 1, train_set=[1, 2], test_set=[3], process_data=process_data)
        assert (batches(arrays["train_set"]), batches(arrays["test_set"]), calls) == ([[1, 2]], [[3]], [])
        read = self.of_worker(monkeypatch, 0, 1, train_set="train", test_set="test", process_data=process_data)
        assert (batches(read["train_set"]), batches(read["test_set"])) == ([[1, 2]], [[5]])
        assert calls == [("train", "test")]
        for returned in (None, [1], ([1], [2], [3])):
            with pytest.raises(ValueError, match=r"process_data returned .* it is to return two things"):
                self.of_worker(monkeypatch, 0, 1, train_set="train", process_data=lambda *_, made=returned: made)

    def test_a_dataset_stays_what_it_is(self, tf: Any, monkeypatch: Any) -> None:
        hparams = {"train_batch_size": 2}
        arguments = self.of_worker(monkeypatch, 1, 2, dataset=[(1, 2), (3, 4)], hparams=hparams)
        assert arguments["dataset"] == [(1, 2), (3, 4)]
        upper = self.of_worker(
            monkeypatch, 0, 1, dataset=["a"], process_data=lambda data: [item.upper() for item in data]
        )
        assert upper["dataset"] == ["A"]
        sent = portable("dataset", [tf.data.Dataset.range(3), "path"])
        arguments = self.of_worker(monkeypatch, 0, 1, dataset=pickle.loads(cloudpickle.dumps(sent)))
        assert [int(item) for item in arguments["dataset"][0]] == [0, 1, 2]

    def test_what_cannot_be_sent_is_refused(self, tf: Any, monkeypatch: Any) -> None:
        endless = tf.data.Dataset.range(3).repeat()
        page = tf.TensorSpec((1 << 13,), tf.int64)
        counting = tf.data.Dataset.from_generator(lambda: itertools.repeat(range(1 << 13)), output_signature=page)
        monkeypatch.setattr("hopslite.maggy._tf_data.MOST_BYTES", 1 << 20)
        nested = tf.data.Dataset.range(3).window(2)
        for data, said in (
            (endless, "train_set is a tf.data.Dataset that repeats without end; make it in process_data"),
            (counting, "holds more than 1 MB"),
            (nested, "cannot be sent"),
        ):
            config = TfDistributedConfig(dict, train_set=data)
            assert said in problems_of(plan_of, lambda model, train_set: 1, config)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train_set": "a", "test_set": "b"}, "train_set='a' and test_set='b': a path, and no process_data"),
        ({"train_set": "a", "test_set": [1], "process_data": len}, "only train_set is a path"),
        ({"process_data": 5}, "process_data=5; give a function"),
        ({"train_set": [1], "hparams": {"train_batch_size": 0}}, "hparams['train_batch_size']=0; give a whole number"),
        ({"train_set": [1], "hparams": {"test_batch_size": "8"}}, "hparams['test_batch_size']='8'"),
    ],
)
def test_data_that_cannot_be_given_is_refused(change: dict[str, Any], said: str) -> None:
    assert said in problems_of(plan_of, lambda model, train_set, test_set: 1, TfDistributedConfig(dict, **change))


def test_a_batch_size_that_was_not_given_is_told() -> None:
    config = TfDistributedConfig(dict, train_set=[1], test_set=[2], hparams={"test_batch_size": 3})
    call = plan_of(lambda model, train_set, test_set: 1, config)
    assert call.notes == ("train_set comes in batches of 32, because hparams has no 'train_batch_size'",)


def test_each_rank_has_its_share_and_all_have_as_much():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.arange(7))
    shares = [[int(item[0]) for item in _share(data, rank, 3)] for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4, 0], [2, 5, 1]]
    assert _share(data, 0, 1) is data
    assert _share("path", 1, 3) == "path"


@pytest.mark.slow("frameworks")
class TestDataLoader:
    def test_without_other_ranks(self) -> None:
        torch = pytest.importorskip("torch")
        data = torch.utils.data.TensorDataset(torch.arange(40), torch.arange(40) * 2)
        loader = MaggyDataLoader(data, batch_size=8, sampler="not used", drop_last=True)
        assert isinstance(loader, torch.utils.data.DataLoader)
        first, second = (torch.cat([x for x, _ in loader]).tolist() for _ in range(2))
        assert sorted(first) == sorted(second) == list(range(40))
        assert first != second
        in_order = MaggyDataLoader(data, 40, shuffle=False)
        assert next(iter(in_order))[0].tolist() == list(range(40))
        endless = type("Endless", (torch.utils.data.IterableDataset,), {"__iter__": lambda self: iter(range(3))})()
        assert [int(batch) for batch in MaggyDataLoader(endless)] == [0, 1, 2]

    def test_batches_go_where_the_module_is(self) -> None:
        torch = pytest.importorskip("torch")
        pair = collections.namedtuple("pair", "x y")
        batch = {"a": torch.ones(1), "b": [torch.ones(1), "text"], "c": pair(torch.ones(1), 2), "d": (1,)}
        moved = _moved(batch, "meta")
        assert (moved["a"].device.type, moved["b"][0].device.type, moved["c"].x.device.type) == ("meta",) * 3
        assert (moved["b"][1], moved["c"].y, moved["d"], type(moved["c"])) == ("text", 2, (1,), pair)

    def test_what_there_is_not(self) -> None:
        assert "does not read Petastorm" in problems_of(MaggyDataLoader, "hdfs:///train")
        with pytest.raises(MissingExtra, match="read_parquet"):
            MaggyPetastormDataLoader("hdfs:///train", batch_size=64)
        for name, instead in (("MaggyZeroAdam", "ZeroRedundancyOptimizer"), ("get_maggy_ddp_wrapper", "wrapped in")):
            with pytest.raises(ImportError, match=f"has no {name}: .*{instead}"):
                getattr(patching, name)
        with pytest.raises(AttributeError, match="Other"):
            patching.Other  # noqa: B018


def test_older_names_of_the_torch_configuration() -> None:
    def train(model, train_set, hparams):
        """With the argument name of older versions."""

    call = plan_of(train, DistributedConfig(model=dict, train_set=[1], hparams={"a": 1}, name="older"))
    assert (call.arguments["strategy"], call.arguments["name"]) == ("torch", "older")
    assert TorchDistributedConfig(model=dict).module is TorchDistributedConfig(dict).model is dict
    assert "have the same meaning" in problems_of(TorchDistributedConfig, module=dict, model=list)
    assert "module is missing" in problems_of(plan_of, train, TorchDistributedConfig())
    own = type("DistributedConfig", (), {"model": dict, "name": "Maggy's own"})()
    assert plan_of(train, own).arguments["strategy"] == "torch"


def test_what_the_ranks_return_is_averaged():
    assert _averaged([1, 2.0]) == 1.5
    assert _averaged([{"a": 1, "name": "x"}, {"a": 3, "name": "y"}]) == {"a": 2, "name": "x"}
    assert _averaged([[1, 4], [3, 8]]) == [2, 6]
    assert _averaged([None, None]) is None
    assert _averaged([{"a": 1}, {"b": 1}]) == {"a": 1}
    assert _averaged([np.float32(1), np.float32(2)]) == 1.5
    assert _averaged([True, True]) is True
