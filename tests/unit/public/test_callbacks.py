"""The Keras callbacks in real fits, of each Keras in a process of its own, and without any Keras."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from typing import Any

import pytest

from hopslite import experiment
from hopslite.callbacks import KerasBatchEnd, KerasEpochEnd
from hopslite.errors import ReportError, TrialFailed
from tests.helpers.observe import PATIENCE_S

OTHERS = ["keras jax", "keras torch", "tf.keras tensorflow", "tf_keras tensorflow"]
FLAVOURS = ["keras tensorflow", *(pytest.param(name, marks=pytest.mark.slow("frameworks")) for name in OTHERS)]

PROGRAM = """
import importlib, json, sys

import numpy as np

from hopslite.callbacks import KerasBatchEnd, KerasEpochEnd
from hopslite.errors import ReportError

if sys.argv[1] == "tf.keras":
    import tensorflow
    keras = tensorflow.keras
else:
    keras = importlib.import_module(sys.argv[1])


class Stopped(BaseException):
    pass


class Reporter:
    def __init__(self, stop=None):
        self.reports, self.stop = [], stop

    def report(self, value, step=None):
        assert type(value) is float and type(step) is int
        self.reports.append((step, value))
        if self.stop is not None and step >= self.stop:
            raise Stopped


x = np.random.default_rng(0).random((40, 3)).astype("float32")
y = x.sum(1)
found = {}


def model(**options):
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse", metrics=["mae"], **options)
    return made


def fit(callbacks, made=None, validated=True, **options):
    data = {"validation_data": (x, y)} if validated else {}
    return (made or model()).fit(x, y, batch_size=10, verbose=0, callbacks=callbacks, **data, **options).history


def refused(*callbacks, **options):
    try:
        fit(list(callbacks), epochs=1, **options)
    except ReportError as error:
        return str(error)


epochs, batches, named = Reporter(), Reporter(), Reporter()
found["history"] = fit([KerasEpochEnd(epochs), KerasBatchEnd(batches), KerasEpochEnd(named, metric="mae")], epochs=3)
found["epochs"], found["batches"], found["named"] = epochs.reports, batches.reports, named.reports

again = KerasEpochEnd(Reporter())
made = model()
for options in ({"epochs": 2}, {"epochs": 2}, {"epochs": 6, "initial_epoch": 4}):
    fit([again], made, **options)
found["again"] = [step for step, _ in again._report.__self__.reports]

found["misspelled"] = refused(KerasEpochEnd(Reporter(), metric="val_los"))
found["no validation"] = refused(KerasEpochEnd(Reporter()), validated=False)
found["batch"] = refused(KerasBatchEnd(Reporter(), metric="acc"))

for name, make in (("list", lambda *callbacks: list(callbacks)), ("bare", lambda callback: callback)):
    reporter = Reporter(stop=5)
    try:
        fit(make(KerasBatchEnd(reporter)), epochs=50)
    except Stopped:
        found["stopped, " + name] = len(reporter.reports)
reporter = Reporter(stop=1)
try:
    fit([KerasEpochEnd(reporter)], epochs=50)
except Stopped:
    found["stopped, epoch"] = len(reporter.reports)

reporter = Reporter()
fit([KerasEpochEnd(reporter, validation_freq=2)], epochs=5, validation_freq=2)
found["every second"] = [step for step, _ in reporter.reports]

made = model()
for callback in (KerasEpochEnd(reporter := Reporter()), KerasBatchEnd(reporter)):
    made.evaluate(x, y, verbose=0, callbacks=[callback])
    made.predict(x, verbose=0, callbacks=[callback])
found["without training"] = reporter.reports

if sys.argv[2] == "tensorflow":
    reporter = Reporter()
    fit([KerasBatchEnd(reporter)], model(steps_per_execution=2), epochs=2)
    found["by two"] = [step for step, _ in reporter.reports]
print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=FLAVOURS)
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What `PROGRAM` saw with one Keras and one backend."""
    package, backend = request.param.split()
    for needed in ("tensorflow" if package == "tf.keras" else package, backend):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "", "TF_USE_LEGACY_KERAS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, package, backend],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.mark.slow("frameworks")
def test_each_epoch_is_reported_as_keras_logs_it(found: dict[str, Any]) -> None:
    for name, metric in (("epochs", "val_loss"), ("named", "mae")):
        steps, values = zip(*found[name], strict=True)
        assert steps == (0, 1, 2)
        assert values == pytest.approx(found["history"][metric])


def test_each_batch_is_reported_with_its_number_over_all_epochs(found: dict[str, Any]) -> None:
    steps, values = zip(*found["batches"], strict=True)
    assert steps == tuple(range(12))
    assert values[3::4] == pytest.approx(found["history"]["loss"])  # the running mean at an epoch's end
    assert found.get("by two", [1, 3, 5, 7]) == [1, 3, 5, 7]


def test_a_second_fit_goes_on_counting(found: dict[str, Any]) -> None:
    assert found["again"] == list(range(6))


def test_a_metric_that_is_not_logged_is_an_error_that_lists_the_logged_ones(found: dict[str, Any]) -> None:
    logged = "'loss', 'mae', 'val_loss', 'val_mae'"
    assert found["misspelled"] == f"KerasEpochEnd(metric='val_los'): Keras logged {logged}. Did you mean 'val_loss'?"
    assert "Keras logged 'loss', 'mae'. Metrics with val_ need validation_data" in found["no validation"]
    assert "KerasBatchEnd(metric='acc'): Keras logged 'loss', 'mae'." in found["batch"]


def test_a_stop_ends_fit_at_once(found: dict[str, Any]) -> None:
    assert found["stopped, list"] == 6
    assert found["stopped, epoch"] == 2
    assert 0 < found["stopped, bare"] < 20  # Keras 3 calls it from other threads: batches are missed, or come later


def test_epochs_without_validation_are_passed_over_where_one_says_so(found: dict[str, Any]) -> None:
    assert found["every second"] == [1, 3]


def test_evaluating_and_predicting_report_nothing(found: dict[str, Any]) -> None:
    assert found["without training"] == []


# --- without Keras


def test_importing_them_imports_no_keras() -> None:
    names = "'keras', 'tf_keras', 'tensorflow', 'torch', 'jax'"
    code = f"import sys, hopslite.callbacks; print(*{{{names}}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert done.stdout.split() == []


def test_without_a_reporter_they_report_to_the_running_trial() -> None:
    with pytest.raises(ReportError, match="no trial runs here"):
        KerasEpochEnd().on_epoch_end(0, {"val_loss": 1.0})


def test_maggys_arguments_work_in_their_order() -> None:
    class Reporter:
        def report(self, value: float, step: int) -> None:
            reports.append((step, value))

    reports: list[tuple[int, float]] = []
    KerasEpochEnd(Reporter(), "accuracy").on_epoch_end(4, {"accuracy": math.nan})
    KerasBatchEnd(Reporter(), metric="loss").on_train_batch_end(2, {"loss": 0.5})
    assert [step for step, _ in reports] == [4, 2]
    assert math.isnan(reports[0][1])


@pytest.mark.parametrize(("key", "name"), [("metric", "metric"), ("val_accuracy", "val_accuracy")])
def test_all_logs_are_curves_and_the_metric_is_the_optimised_one(key: str, name: str) -> None:
    def train(x: float) -> None:
        callback = KerasEpochEnd(metric="val_accuracy", all_logs=True)
        callback.on_epoch_end(0, {"loss": 2.0, "val_accuracy": x})
        batches = KerasBatchEnd(metric="loss", all_logs=True)
        batches.on_train_batch_end(1, {"loss": 1.0, "accuracy": 0.5})

    run = experiment.grid_search(
        train, {"x": [0.5]}, optimization_key=key, report_as="best", pool="inline", display=False
    )
    rows = run.reports()[["metric", "value"]].values.tolist()
    assert rows == [[name, 0.5], ["loss", 2.0], [name, 1.0], ["accuracy", 0.5]]


def test_a_metric_beside_the_optimised_one_is_refused() -> None:
    def train(x: float) -> None:
        KerasEpochEnd(metric="val_loss", all_logs=True).on_epoch_end(0, {"val_loss": 2.0, "accuracy": x})

    with pytest.raises(
        TrialFailed, match="the run optimises 'accuracy', which Keras logs, too; give metric='accuracy'"
    ):
        experiment.grid_search(train, {"x": [0.5]}, optimization_key="accuracy", pool="inline", display=False)


def test_a_batch_that_comes_after_a_later_one_is_passed_over() -> None:
    class Reporter:
        def report(self, value: float, step: int) -> None:
            steps.append(step)

    steps: list[int] = []
    callback = KerasBatchEnd(Reporter())
    for batch in (0, 2, 1, 3):  # as from Keras's threads
        callback.on_train_batch_end(batch, {"loss": 0.5})
    assert steps == [0, 2, 3]


def test_a_metric_in_the_place_of_the_reporter_is_named() -> None:
    with pytest.raises(ReportError, match="metric='val_accuracy'"):
        KerasEpochEnd("val_accuracy")


def test_all_hooks_are_there_and_nothing_else() -> None:
    callback = KerasEpochEnd()
    callback.on_something_that_a_later_keras_calls(1, logs={})
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = callback.nothing


def test_with_several_metrics_all_logs_keep_their_names(project: str) -> None:
    def train(x: float) -> None:
        callback = KerasEpochEnd(metric="val_accuracy", all_logs=True)
        callback.on_epoch_end(0, {"val_accuracy": x, "val_loss": 1 - x})

    keys = ["val_accuracy", "val_loss"]
    run = experiment.grid_search(
        train, {"x": [0.25]}, direction=["max", "min"], optimization_key=keys, pool="inline", display=False
    )
    assert run.trials[0].metrics == {"val_accuracy": 0.25, "val_loss": 0.75}
