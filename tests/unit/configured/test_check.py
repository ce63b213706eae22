"""What is said about a configuration before anything is imported."""

# ruff: noqa: E501 - a case, or a line of a program, is read better in one line

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hopslite.configured._train import prepare
from hopslite.errors import InvalidConfiguration

DATA = {"hopslite.configured.datasets.digits": {}}
NET = {"hopslite.configured.OneHeadNet": {"num_outputs": 10}}
LOSS = {"keras.losses.SparseCategoricalCrossentropy": {"from_logits": True}}
CYCLE = {"datasets": DATA, "model": NET, "loss": LOSS}


def problems_of(config: Any, **options: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidConfiguration) as caught:
        prepare(config, **options)
    return caught.value.problems


@pytest.mark.parametrize(
    "cycle",
    [
        {},
        {"loss": "mse", "optimizer": "adam", "metrics": ["accuracy"], "loss_weights": [1.0]},
        {"metrics": {"keras.metrics.Mean": {}}},
        {"loss": {"first": "mse", "second": LOSS}, "loss_weights": {"first": 1, "second": 2.5}},
        {"datasets": [DATA, None]},
        {"optimizer": {"tf.keras.optimizers.Adam": None}},
        {"train_loop": {"ktf.train.KerasTrainLoop": {"num_epochs": 3, "num_valid_steps": None, "save_dir": None}}},
        {"cache": {"path": "digits.npz"}, "datasets": {"hopslite.configured.datasets.arrays": {"path": "${self.get_cache('path')}"}}},
        {"model": {"keras.Sequential": {"layers": [{"keras.layers.Dense": {"units": 3, "input_shape": [4]}}]}}},
        {"train_loop": {"keras.callbacks.EarlyStopping": {"monitor": "x"}}},  # what it is, is seen in the trial
        {"loss": {"$choice": ["mse", LOSS]}, "optimizer": {"$choice": [{"keras.optimizers.SGD": {}}, "adam"]}},
        {"model": {"keras.Model": {"inputs": {"keras.Input": {"shape": [3]}}, "outputs": 1}}},
    ],
)  # fmt: skip
def test_configurations_that_are_right(cycle: dict[str, Any]) -> None:
    training, name = prepare([{**CYCLE, **cycle}, {}])
    assert name == "train" and training.document.values[1] == {}


@pytest.mark.parametrize(
    ("cycle", "problem"),
    [
        ({"modell": NET}, "cycle 1 > modell: a cycle has no 'modell'; did you mean 'model'?"),
        ({"meta": {}}, "a search space is written as"),
        ({"model": "keras.Model"}, "cycle 1 > model: model is a Keras model, such as"),
        ({"model": {"OneHeadNett": {}}}, "no class or function 'OneHeadNett' is exported; did you mean 'hopslite.configured.OneHeadNet'?"),
        ({"train_loop": 3}, "train_loop is a training loop, such as"),
        ({"optimizer": {"a": 1, "b": 2}}, "optimizer is an optimizer, such as"),
        ({"loss_weights": "x"}, "loss_weights is numbers; given 'x'"),
        ({"cache": []}, "cache is a mapping of names; given []"),
        ({"datasets": [DATA]}, "datasets is the training and the validation data"),
        ({"metrics": [{"keras.metrics.Mean": {}, "keras.metrics.Sum": {}}]}, "cycle 1 > metrics[0]: an object is a mapping of one name"),
        ({"optimizer": {"keras.optimizers.Adam": [0.1]}}, "the arguments of keras.optimizers.Adam are a mapping of their names; given [0.1]"),
        ({"optimizer": {"keras.optimizers.Adam": {"learning_rat": 1}}}, "Adam > learning_rat: keras.optimizers.Adam has no argument 'learning_rat'; did you mean 'learning_rate'?"),
        ({"model": {"keras.layers.Dense": {"unit": 3}}}, "units is missing; keras.layers.Dense takes units, activation"),
        ({"model": {"ktf.models.OneHeadNet": {"num_output": 3}}}, "has no argument 'num_output'; did you mean 'num_outputs'?"),
        ({"train_loop": {"ktf.train.KerasTrainLoop": {"epochs": 3}}}, "has no argument 'epochs'; did you mean 'num_epochs'?"),
        ({"loss": {"keras.losses.MeanSquaredError": {"weight": 3}}}, "MeanSquaredError has no argument 'weight'; it takes reduction, name, dtype"),
        ({"datasets": {"hopslite.configured.datasets.arrays": {"path": "${inputs.train}"}}}, "there is no input 'train'; inputs: none"),
        ({"datasets": {"hopslite.configured.datasets.arrays": {"path": "${self.get_cache('x')}"}}}, "the cache has no 'x'; it has nothing"),
        ({"optimizer": {"keras.optimizers.Adam": {"learning_rate": {"$loguniform": [0, 1]}}}}, "learning_rate: "),
        ({"optimizer": {"keras.optimizers.Adam": {"learning_rate": {"$logunifrm": [0.1, 1]}}}}, "did you mean $loguniform"),
        ({"optimizer": {"$choice": [{"keras.optimizers.Adm": {}}]}}, "did you mean 'keras.optimizers.Adam'?"),
    ],
)  # fmt: skip
def test_what_is_wrong(cycle: dict[str, Any], problem: str) -> None:
    problems = problems_of([{**CYCLE, **cycle}])
    assert any(problem in text for text in problems), problems
    assert all(text.startswith("cycle 1") for text in problems)


def test_everything_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "- model: {os.system: {command: ls}}\n"
        "  metric: []\n"
        "-\n"
        "  optimizer:\n"
        "    keras.optimizers.Adam:\n"
        "      learning_rate: {$uniform: [1]}\n"
    )
    problems = problems_of(path)
    assert [problem.removeprefix(f"{path}, ").partition(": ")[0] for problem in problems] == [
        "line 1", "line 2", "line 1", "line 1", "line 6",
    ]  # fmt: skip


def test_a_loss_may_be_missing_where_the_loop_has_one() -> None:
    without = {"datasets": DATA, "model": NET}
    assert "cycle 1: loss is missing" in problems_of([without])[0]
    assert "cycle 1: loss is missing" in problems_of([{**without, "train_loop": {"ktf.train.KerasTrainLoop": {}}}])[0]
    prepare([{**without, "train_loop": {"stub.Loop": {}}}], allow=["stub"])


def test_files_of_exported_objects(tmp_path: Path) -> None:
    mine, plain, broken = tmp_path / "mine.py", tmp_path / "plain.py", tmp_path / "broken.py"
    mine.write_text(
        "import no_such_package\n"
        "from hopslite.configured import export_config\n"
        "@export_config\nclass Net:\n    def __init__(self, units, *, depth=1): ...\n"
        "@export_config\ndef data(path): ...\n"
        "class Hidden: ...\n"
    )
    plain.write_text("x = 1\n")
    broken.write_text("x = 1\nx = = 2\n")
    config = [{**CYCLE, "model": {"Net": {"units": 3}}, "datasets": {"data": {"path": "x"}}}]
    training, _ = prepare(config, imports=[mine])
    assert training.sources == (("mine.py", mine.read_text()),)
    assert "no class or function 'Net' is exported" in problems_of(config)[-1]
    wrong = [{**CYCLE, "model": {"Net": {"depht": 3}}, "datasets": {"Hidden": {}}}]
    problems = problems_of(wrong, imports=[mine, plain, broken, tmp_path / "none.py"], allow=["my-package"])
    for text in (
        "allow: 'my-package' is no name of a package",
        "plain.py: nothing in it has the decorator @hopslite.configured.export_config",
        "broken.py, line 2: this is not Python",
        "there is no Python file",
        "Net has no argument 'depht'; did you mean 'depth'?",
        "units is missing; Net takes units, depth",
        "no class or function 'Hidden' is exported",
    ):
        assert any(text in problem for problem in problems), (text, problems)


def test_no_framework_is_imported_to_check() -> None:
    program = (
        "import sys; from hopslite import configured; from hopslite.configured._train import prepare\n"
        f"prepare({[CYCLE]!r})\n"
        "assert not {'keras', 'tensorflow', 'hjson', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_arguments_of_the_call_that_do_not_fit() -> None:
    from hopslite import configured
    from hopslite.errors import InvalidArguments

    with pytest.raises(InvalidArguments, match=r"configured.train\(\): unknown keyword stoper; did you mean stopper"):
        configured.train([CYCLE], stoper="asha")  # type: ignore[call-arg]
    with pytest.raises(
        InvalidConfiguration, match="algorithm, num_trials are for a search, and the configuration has no"
    ):
        configured.train([CYCLE], "grid", num_trials=3)
