"""Ablation studies: what is left out in which trial, Keras models without some layers, and the ranking."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cloudpickle
import numpy as np
import pytest

from hopslite import experiment
from hopslite.ablation import AblationStudy, rank, study_of
from hopslite.ablation._keras import left_out, problems
from hopslite.ablation._parts import Group
from hopslite.core import signatures
from hopslite.core.types import Direction, State
from hopslite.errors import InvalidArguments
from hopslite.result import Run, Trial
from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S

NOTHING = {"ablated_feature": "None", "ablated_layer": "None"}


def problems_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InvalidArguments) as caught:
        call(*args, **kwargs)
    return "\n".join(caught.value.problems)


# --- components


def test_each_component_is_left_out_once_and_so_is_each_group():
    study = AblationStudy(components={"aug_flip": len, "aug_shift": 2})
    study.components.include(dropout=0.5)
    study.components.include_groups(["aug_flip", "dropout"], prefix="AUG")
    labels = [trial["ablated"] for trial in study.trials()]
    assert labels == ["None", "aug_flip", "aug_shift", "dropout", "['aug_flip', 'dropout']", "Components prefixed AUG"]

    def train(components):
        return components

    fn = study.wrap(train)
    left = {label: list(fn(ablated=label)) for label in labels}
    assert left == {
        "None": ["aug_flip", "aug_shift", "dropout"],
        "aug_flip": ["aug_shift", "dropout"],
        "aug_shift": ["aug_flip", "dropout"],
        "dropout": ["aug_flip", "aug_shift"],
        "['aug_flip', 'dropout']": ["aug_shift"],
        "Components prefixed AUG": ["dropout"],
    }
    assert fn(ablated="None")["aug_flip"] is len


def test_an_excluded_component_is_gone_everywhere():
    study = AblationStudy(components={"a": 1, "b": 2, "c": 3})
    study.components.exclude("b")
    study.components.include_groups(["a", "c"])
    study.components.exclude_groups(["c", "a"])
    assert [trial["ablated"] for trial in study.trials()] == ["None", "a", "c"]

    def train(components):
        return components

    assert study.wrap(train)(ablated="a") == {"c": 3}


def test_the_function_gets_what_it_names_and_travels(tmp_path):
    """It is called as the pool calls it, in a process that does not know this file."""
    study = AblationStudy(components={"a": 1, "b": [2]})

    def train(components, hparams, reporter, extra=5):
        return {**components, "hparams": hparams, "reporter": reporter, "extra": extra}

    fn = study.wrap(train)
    assert fn.__name__ == "train"
    takes = signatures.parameters(fn)
    assert (takes.names, takes.open) == (("ablated", "reporter"), False)
    (tmp_path / "fn.pickle").write_bytes(cloudpickle.dumps(fn))
    code = f"import pickle; print(pickle.load(open({str(tmp_path / 'fn.pickle')!r}, 'rb'))(ablated='a', reporter=7))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "{'b': [2], 'hparams': {'ablated': 'a'}, 'reporter': 7, 'extra': 5}", done.stderr


def test_a_study_that_would_change_nothing_is_refused_with_every_reason():
    study = AblationStudy(components={"a": 1})
    study.features.include("age", ["fare", "sex"])
    study.model.layers.include("dense")

    def train(lr, model_function):
        """Neither uses the components nor the dataset."""

    problems = problems_of(study.wrap, train)
    assert "train() takes lr;" in problems
    assert "no parameter dataset_function" in problems
    assert "no parameter components" in problems
    assert "feature store" in problems
    assert "no base model" in problems
    assert "model_function, so" not in problems


def test_a_dataset_generator_that_cannot_leave_out_features_is_refused():
    study = AblationStudy(dataset_generator=lambda epochs: epochs)
    study.features.include("age")

    def train(dataset_function):
        return dataset_function(3)

    assert "ablated_feature" in problems_of(study.wrap, train)


def test_features_are_left_out_by_the_dataset_generator():
    columns = ["age", "fare", "sex"]

    def generator(epochs, batch_size, ablated_feature=None):
        return epochs, batch_size, [name for name in columns if name != ablated_feature]

    study = AblationStudy("titanic_train_dataset", training_dataset_version=1, label_name="survived")
    study.set_dataset_generator(generator)
    study.features.include("age")
    study.features.include(["fare", "sex"])
    study.features.exclude("sex")

    def train(dataset_function):
        return dataset_function(2, 10)

    fn = study.wrap(train)
    trials = study.trials()
    assert trials == [NOTHING, {**NOTHING, "ablated_feature": "age"}, {**NOTHING, "ablated_feature": "fare"}]
    assert [fn(**trial) for trial in trials] == [(2, 10, columns), (2, 10, ["fare", "sex"]), (2, 10, ["age", "sex"])]


def test_bad_names_are_refused():
    study = AblationStudy(components={"a": 1, "b": 2})
    layers = study.model.layers
    assert "is of type int" in problems_of(layers.include, 3)
    assert "cannot be a name" in problems_of(layers.include, "None")
    assert "use include() for one" in problems_of(layers.include_groups, ["one"])
    assert "give prefix='dense'" in problems_of(layers.include_groups, "dense")
    assert "not included: x; included are none" in problems_of(layers.exclude, "x")
    assert "not included" in problems_of(layers.exclude_groups, prefix="x")
    assert "give name=value" in problems_of(study.components.include, "c")
    study.components.include_groups(["a", "zz"], prefix="q")

    def train(components):
        """Anything."""

    problems = problems_of(study.wrap, train)
    assert "a group names zz; the components are a, b" in problems
    assert "prefix 'q'" in problems


def test_an_empty_study_and_two_of_one_name_are_refused():
    assert "nothing to leave out" in problems_of(AblationStudy().trials)
    study = AblationStudy()
    study.model.layers.include("Custom model: x")
    study.model.add_custom_model_generator(len, "x")
    assert "'Custom model: x'" in problems_of(study.trials)


def test_what_is_included_can_be_printed(capsys):
    study = AblationStudy(components={"a": 1})
    study.features.include("age", "fare")
    study.model.layers.print_all()
    study.model.layers.include("dense")
    study.model.layers.include_groups(["x", "y"], prefix="p")
    study.features.list_all()
    study.model.layers.print_all()
    study.model.layers.print_all_groups()
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "No layers are included.",
        "age",
        "fare",
        "Included layers:",
        "dense",
        "Included groups of layers:",
        "['x', 'y']",
        "Layers prefixed p",
    ]
    assert study.to_dict() == {
        "training_dataset_name": None,
        "training_dataset_version": None,
        "label_name": None,
        "included_features": ["age", "fare"],
        "included_layers": ["dense"],
        "included_layer_groups": ["['x', 'y']", "Layers prefixed p"],
        "custom_models": [],
        "custom_dataset_generator": False,
        "components": ["a"],
        "component_groups": [],
    }


def test_maggys_own_study_is_understood():
    layers = SimpleNamespace(included_layers={"two", "one"}, included_groups={frozenset(["p"]), frozenset(["x", "y"])})
    model = SimpleNamespace(layers=layers, base_model_generator=len, custom_model_generators=[(max, "mine")])
    maggy_study = SimpleNamespace(
        features=SimpleNamespace(included_features={"age"}),
        model=model,
        hops_training_dataset_name="titanic",
        hops_training_dataset_version=1,
        label_name="survived",
        custom_dataset_generator=False,
    )
    study = study_of(maggy_study)
    assert [trial["ablated_layer"] for trial in study.trials()] == [
        "None",
        "None",
        "one",
        "two",
        "Layers prefixed p",
        "['x', 'y']",
        "Custom model: mine",
    ]
    assert study.to_dict()["training_dataset_name"] == "titanic"
    assert study.dataset_generator is None
    assert study_of(study) is study
    assert "AblationStudy" in problems_of(study_of, 5)


# --- Keras models


@pytest.fixture(params=["keras", "tf_keras"])
def keras(request) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return pytest.importorskip(request.param)


def of(*names: str, **kwargs: Any) -> Group:
    return Group(names, **kwargs)


def layers_of(model: Any) -> list[str]:
    return [layer.name for layer in model.layers]


def sequential(keras: Any, with_input: bool = True) -> Any:
    dense = keras.layers.Dense
    start = [keras.Input((4,))] if with_input else []
    return keras.Sequential(
        [
            *start,
            dense(8, name="a"),
            dense(5, name="b1"),
            keras.layers.Lambda(lambda x: x * 2, name="B2"),
            dense(3, name="c"),
            dense(1, name="d"),
        ]
    )


def branching(keras: Any) -> Any:
    """Two inputs, a residual block, a shared layer, a model as a layer, two outputs."""
    dense = keras.layers.Dense
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    x = dense(4, name="a")(first)
    x = keras.layers.Add(name="plus")([x, dense(4, name="b", activation="relu")(x)])
    shared = dense(4, name="shared")
    x = shared(shared(x))
    inner = keras.Input((4,))
    x = keras.Model(inner, dense(4)(inner), name="inner")(x)
    x = keras.layers.Reshape((4, 1), name="reshape")(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Concatenate(name="cat")([x, second])
    return keras.Model([first, second], [dense(1, name="y")(x), dense(2, name="z")(x)])


def trains(model: Any, inputs: int = 1, outputs: tuple[int, ...] = (1,)) -> None:
    model.compile("sgd", ["mse"] * len(outputs) if len(outputs) > 1 else "mse")
    x, y = [np.ones((4, 4))] * inputs, [np.ones((4, size)) for size in outputs]
    model.fit(x if inputs > 1 else x[0], y if len(y) > 1 else y[0], verbose=0)


@pytest.mark.slow("frameworks")
@pytest.mark.parametrize(
    ("group", "left"),
    [
        (of("b1"), ["a", "B2", "c", "d"]),
        (of("c", "b1"), ["a", "B2", "d"]),
        (of(prefix="b"), ["a", "c", "d"]),
        (of(prefix=""), ["d"]),
    ],
)
def test_layers_are_left_out_of_a_sequential_model(keras, group, left):
    model = sequential(keras)
    ablated = left_out(model, group)
    assert layers_of(ablated) == left
    assert layers_of(model) == ["a", "b1", "B2", "c", "d"]
    trains(ablated)
    if group != of(prefix=""):
        unbuilt = left_out(sequential(keras, with_input=False), group)
        assert layers_of(unbuilt) == left
        trains(unbuilt)


@pytest.mark.slow("frameworks")
@pytest.mark.parametrize(
    ("group", "gone", "fewer"),
    [
        (of("a"), {"a"}, 20),
        (of("b"), {"b"}, 20),
        (of("shared"), {"shared"}, 20),
        (of("inner"), {"inner"}, 20),
        (of("b", "plus"), {"b", "plus"}, 20),
        (of("flat", "reshape"), {"flat", "reshape"}, 0),
        (of(prefix="in"), {"inner"}, 20),
    ],
)
def test_layers_are_left_out_of_a_graph(keras, group, gone, fewer):
    model = branching(keras)
    ablated = left_out(model, group)
    assert set(layers_of(model)) - set(layers_of(ablated)) == gone
    assert model.count_params() - ablated.count_params() == fewer
    trains(ablated, 2, (1, 2))


@pytest.mark.parametrize(
    ("build", "group", "said"),
    [
        (sequential, of("bb1"), "no layer 'bb1'; those that can be left out: a, b1, B2, c. Did you mean 'b1'?"),
        (sequential, of("d"), "'d' is the first or the last"),
        (sequential, of(prefix="zz"), "no layer between the first and the last has the prefix 'zz'"),
        (branching, of("first"), "'first' is the first or the last"),
        (branching, of("z"), "'z' is the first or the last"),
        (branching, of("plus"), "several inputs (a, b)"),
        (branching, of("cat"), "several inputs (flat, second)"),
        (branching, of("flat"), "do not fit together"),
    ],
)
def test_layers_that_cannot_be_left_out(keras, build, group, said):
    assert said in problems_of(left_out, build(keras), group)


def test_checking_a_model_changes_nothing(keras):
    """Each group is checked against the whole model."""
    config = sequential(keras).get_config()
    before = copy.deepcopy(config)
    assert problems(config, [of("b1"), of("b1", "c"), of(prefix="B")]) == []
    assert config == before


def test_a_subclassed_model_is_refused(keras):
    class Own(keras.Model):  # type: ignore[misc, name-defined]
        def call(self, x):
            return x

    assert "add_custom_model_generator()" in problems_of(left_out, Own(), of("a"))


def test_what_stays_keeps_its_weights_and_how_it_is_compiled(keras):
    model = sequential(keras)
    model.compile(keras.optimizers.Adam(0.125), "mse", metrics=["mae"])
    ablated = left_out(model, of("c"))
    for name in ("a", "b1"):
        before, after = model.get_layer(name).get_weights(), ablated.get_layer(name).get_weights()
        assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))
    assert ablated.get_layer("d").get_weights()[0].shape == (5, 1)
    assert float(ablated.optimizer.get_config()["learning_rate"]) == 0.125
    ablated.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0)
    model.compile("sgd", lambda y, p: y - p)
    assert "compile it in train_fn" in problems_of(left_out, model, of("c"))


def test_layers_of_ones_own_need_no_registration(keras):
    class Double(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, times=2, **kwargs):
            super().__init__(**kwargs)
            self.times = times

        def call(self, x):
            return x * self.times

        def get_config(self):
            return {**super().get_config(), "times": self.times}

    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4, name="a"),
            Double(3, name="own"),
            keras.layers.Dense(4, name="b"),
            keras.layers.Dense(1),
        ]
    )
    ablated = left_out(model, of("b"))
    assert ablated.get_layer("own").times == 3
    trains(ablated)


def base_model() -> Any:
    return sequential(importlib.import_module("keras"))


def other_model() -> Any:
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="only")])


def layers_study(**kwargs: Any) -> AblationStudy:
    study = AblationStudy(**kwargs)
    study.model.set_base_model_generator(base_model)
    study.model.layers.include("b1", "c")
    study.model.layers.include_groups(["b1", "c"])
    study.model.layers.include_groups(prefix="b")
    study.model.add_custom_model_generator(other_model, "a custom model")
    return study


def test_each_trial_builds_its_model():
    pytest.importorskip("keras")

    def train(model_function):
        return layers_of(model_function())

    study = layers_study(check_model=False)
    fn = study.wrap(train)
    assert {trial["ablated_layer"]: fn(**trial) for trial in study.trials()} == {
        "None": ["a", "b1", "B2", "c", "d"],
        "b1": ["a", "B2", "c", "d"],
        "c": ["a", "b1", "B2", "d"],
        "['b1', 'c']": ["a", "B2", "d"],
        "Layers prefixed b": ["a", "c", "d"],
        "Custom model: a custom model": ["only"],
    }
    assert "does not include 'b9'" in problems_of(fn, ablated_layer="b9", ablated_feature="None")


KERAS = """
class Sequential:
    # instead of the real one, which two processes would import; what that one says of its layers, other tests see

    def __init__(self, layers):
        self.layers = ["input_layer", *layers]

    def get_config(self):
        return {"layers": [{"config": {"name": name}} for name in self.layers]}
"""


def test_names_of_layers_are_checked_before_any_trial_without_keras_in_this_process(tmp_path):
    (tmp_path / "keras.py").write_text(KERAS)
    code = """
import sys
from hopslite.ablation import AblationStudy
from hopslite.errors import InvalidArguments

def base_model():
    import keras
    print("not the answer")
    return keras.Sequential(["one", "two"])

study = AblationStudy()
study.model.set_base_model_generator(base_model)
study.model.layers.include("one", "onne", "two")
try:
    study.wrap(lambda model_function: 1)
except InvalidArguments as error:
    print(error)
study.model.layers.exclude("onne", "two")
print(study.wrap(lambda model_function: 1).__name__)
print("keras" in sys.modules)
"""
    (tmp_path / "program.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "program.py"],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines() == [
        "the ablation study: ",
        "  - the base model has no layer 'onne'; those that can be left out: one. Did you mean 'one'?",
        "  - layer 'two' is the first or the last of the base model, which cannot be left out",
        "<lambda>",
        "False",
    ], done.stderr


def test_a_base_model_that_cannot_be_built_here_is_left_to_the_trials(caplog):
    pytest.importorskip("keras")

    def needs_a_file():
        with open("/nowhere/weights") as file:
            return file.read()

    study = AblationStudy()
    study.model.set_base_model_generator(needs_a_file)
    study.model.layers.include("b1")
    assert callable(study.wrap(lambda model_function: 1))
    assert [record.getMessage() for record in caplog.records] == [
        "the base model cannot be built here (FileNotFoundError: [Errno 2] No such file or directory: "
        "'/nowhere/weights'); its layers are checked in the trials"
    ]


# --- the ranking


def trial(number: int, params: dict[str, Any], metric: float | None, error: str | None = None) -> Trial:
    state = State.FAILED if error else State.FINISHED
    return Trial(id=f"{number:04d}", params=params, state=state, metric=metric, error=error)


def run_of(trials: list[Trial], direction: Direction) -> Run:
    return Run(
        is_search=True,
        run_id="1",
        name="n",
        version=1,
        verb="ablation",
        logdir="",
        state=State.FINISHED,
        trials=trials,
        direction=direction,
        optimization_key="accuracy",
    )


def ablated(*metrics: float | None) -> list[Trial]:
    names = ["None", "a", "b", "c"]
    return [
        trial(n, {"ablated": name}, metric, None if metric is not None else "ValueError: <broken>")
        for n, (name, metric) in enumerate(zip(names, metrics, strict=True))
    ]


@pytest.mark.parametrize(
    ("direction", "metrics", "costs"),
    [
        (Direction.MAX, (0.9, 0.5, 0.75, 1.0), {"a": 0.4, "b": 0.15, "c": -0.1}),
        (Direction.MIN, (0.9, 0.5, 0.75, 1.0), {"c": 0.1, "b": -0.15, "a": -0.4}),
        (Direction.MAX, (0.9, None, 0.75, 0.5), {"c": 0.4, "b": 0.15, "a": None}),
        (Direction.MAX, (None, 0.5, 0.75, 0.25), {"c": None, "a": None, "b": None}),
    ],
)
def test_components_are_ranked_by_what_leaving_them_out_costs(direction, metrics, costs):
    ranking = rank(run_of(ablated(*metrics), direction))
    assert list(ranking.costs) == list(costs)
    assert [row.cost for row in ranking] == [None if c is None else pytest.approx(c) for c in costs.values()]
    assert ranking.base is not None
    assert (ranking.base.metric, ranking.base.trial_id) == (metrics[0], "0000")
    assert len(ranking) == 3
    assert ranking[0].component == next(iter(costs))
    assert pickle.loads(pickle.dumps(ranking)) == ranking


def test_a_ranking_is_shown_as_text_html_and_a_table():
    ranking = rank(run_of(ablated(0.9, None, 0.75, 1.0), Direction.MAX))
    lines = repr(ranking).splitlines()
    assert lines[0] == "what leaving each component out cost in accuracy (the largest is best)"
    assert [line.split()[0] for line in lines[1:]] == ["component", "(nothing)", "b", "c", "a"]
    assert "+0.15" in lines[3]
    assert "ValueError: <broken>" in lines[5]
    html = ranking._repr_html_()
    assert "ValueError: &lt;broken&gt;" in html
    assert html.count("<tr") == 5
    frame = ranking.to_pandas()
    assert list(frame["component"]) == ["None", "b", "c", "a"]
    assert list(frame["state"]) == ["FINISHED"] * 3 + ["FAILED"]
    assert frame["cost"].tolist()[1:3] == pytest.approx([0.15, -0.1])
    assert frame["cost"].isna().tolist() == [True, False, False, True]


def test_a_run_of_a_study_has_its_ranking(project):
    def train(components):
        if "needed" not in components:
            raise ValueError("nothing works without it")
        return 0.5 + components.get("good", 0) - components.get("bad", 0)

    study = AblationStudy(components={"bad": 0.25, "needed": None, "good": 0.125})
    run = experiment.ablation(train, study, name="parts", pool="inline", display=False)
    assert run.ablation.costs == {"good": 0.125, "bad": -0.25, "needed": None}
    assert "nothing works without it" in str(run.ablation[-1].error)
    assert (run.name, run.verb, run.best_params) == ("parts", "ablation", {"ablated": "bad"})
    copy = pickle.loads(pickle.dumps(run))
    assert copy.ablation == run.ablation == rank(run)
    smallest = experiment.ablation(train, study, "min", pool="inline", display=False)
    assert smallest.ablation.costs == {"bad": 0.25, "good": -0.125, "needed": None}
    result = experiment.lagom(train, experiment_type="ablation", ablation_study=study, pool="inline", display=False)
    assert (result["best_config"], result["num_trials"]) == ({"ablated": "bad"}, 3)


def test_a_study_is_refused_with_the_rest_of_the_call(project):
    said = problems_of(experiment.ablation, lambda x: x, AblationStudy(components={"a": 1}), "up", pool="inlin")
    assert "direction='up'" in said
    assert "pool='inlin'" in said
    assert "<lambda>() takes x;" in said
    assert "no parameter components" in said
    assert "AblationStudy" in problems_of(experiment.ablation, lambda components: 1, 5, pool="inline")
    assert "nothing to leave out" in problems_of(experiment.ablation, lambda: 1, AblationStudy(), pool="inline")


def test_layers_and_features_are_told_apart():
    trials = [
        trial(0, NOTHING, 0.5),
        trial(1, {**NOTHING, "ablated_feature": "age"}, 0.25),
        trial(2, {**NOTHING, "ablated_layer": "dense"}, 0.125),
    ]
    ranking = rank(run_of(trials, Direction.MAX))
    assert [(row.component, row.kind, row.cost) for row in ranking] == [
        ("dense", "layer", 0.375),
        ("age", "feature", 0.25),
    ]
