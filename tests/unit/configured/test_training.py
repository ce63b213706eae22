"""Training with Keras from configurations, in one process that imports it once."""

# ruff: noqa: E501 - a case, or a line of a program, is read better in one line

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.helpers.framework_modules import imports_a_framework
from tests.helpers.shared_session import SharedSession

Program = Callable[[str], str]

HEAD = """
import glob, json, os
import numpy as np
from hopslite import configured
from hopslite.errors import HopsliteError

def train(config, **options):
    options = {"project": "project", "pool": "inline", "display": False} | options
    return configured.train(config, **options)

def error(config, **options):
    try:
        train(config, **options)
    except HopsliteError as failure:
        assert "Traceback" not in str(failure), failure
        return str(failure)
    raise AssertionError("it trained")

def directory(run):
    return run.trials[0].logdir

ARRAYS = {"hopslite.configured.datasets.arrays": {"path": os.path.abspath("small.npz"), "batch_size": 8}}
if not os.path.exists("small.npz"):
    draw = np.random.default_rng(0)
    np.savez("small.npz", x=draw.random((40, 4)).astype("float32"), y=draw.integers(0, 3, 40))
LOSS = {"keras.losses.SparseCategoricalCrossentropy": {"from_logits": True}}
SMALL = {"datasets": ARRAYS, "model": {"hopslite.configured.OneHeadNet": {"num_outputs": 3}}, "loss": LOSS}

def loop(**arguments):
    return {"train_loop": {"ktf.train.KerasTrainLoop": {"num_epochs": 1, "verbose": 0, **arguments}}}
"""


@pytest.fixture(scope="module")
def session() -> Iterator[SharedSession]:
    session = SharedSession()
    yield session
    session.close()


@pytest.fixture
def run(session: SharedSession, tmp_path: Path) -> Program:
    def run(program: str) -> str:
        path, folder = tmp_path / "program.py", tmp_path / "folder"
        folder.mkdir()
        path.write_text(HEAD + textwrap.dedent(program))
        return session.run(path, folder)

    return run


@pytest.mark.slow("frameworks")
def test_ktfs_simple_configuration(run: Program) -> None:
    run("""
    from sklearn.datasets import load_digits
    digits = load_digits()
    np.savez("digits.npz", x=(digits.images / 16).astype("float32")[..., None], y=digits.target)
    open("simple.json", "w").write('''[
        {
            "datasets": { "ktf.datasets.digits.affnist.from_tfrecord": { "affnist_tfrecord_dir": "data/affnist" } },
            "model": { "ktf.models.OneHeadNet": { "num_outputs": 10 } },
            "loss": { "tf.keras.losses.SparseCategoricalCrossentropy": { "from_logits": true } },
        } # with a comment and a comma, which ktf allows in JSON
    ]''')
    message = error("simple.json")
    assert "simple.json, line 3: cycle 1 > datasets > ktf.datasets.digits.affnist.from_tfrecord" in message, message
    text = open("simple.json").read().replace("ktf.datasets.digits.affnist.from_tfrecord", "from_tfrecord")

    @configured.export_config
    def from_tfrecord(affnist_tfrecord_dir):
        data = np.load(os.path.join(affnist_tfrecord_dir, "digits.npz"))
        return (data["x"][:1500], data["y"][:1500]), (data["x"][1500:], data["y"][1500:])

    open("simple.json", "w").write(text.replace("data/affnist", os.getcwd()))
    outcome = train("simple.json", metric="val_loss")
    assert outcome.name == "simple" and outcome.trials[0].outputs["val_loss"] < 0.5, outcome.trials[0]
    reports = outcome.reports()
    assert sorted(reports["metric"].unique()) == ["loss", "val_loss"] and reports["step"].max() == 9

    import keras
    model = keras.saving.load_model(os.path.join(directory(outcome), "model.keras"))
    data = np.load("digits.npz")
    assert (model.predict(data["x"][1500:], verbose=0).argmax(1) == data["y"][1500:]).mean() > 0.85
    assert configured.best_config(outcome)[0]["model"] == {"ktf.models.OneHeadNet": {"num_outputs": 10}}
    """)


@pytest.mark.slow("frameworks")
def test_ktfs_configuration_of_two_cycles_with_a_frozen_base(run: Program) -> None:
    run("""
    open("two.hjson", "w").write('''
    # Top level list
    [
        # 1st train cycle parameters
        {
            "datasets": { "hopslite.configured.datasets.digits": { "batch_size": 8, "force_rgb": true } },
            "model": {
                "ktf.models.OneHeadNet": {
                    "base_model": {
                        "tf.keras.applications.MobileNetV2": {
                            "include_top": false,           # No top
                            "input_shape": [32, 32, 3],     # Same as input for dataset
                            "alpha": 0.35, "weights": null,
                            "pooling": "avg"
                        }
                    },
                    "num_outputs": 10,
                    "dropout": 0.4
                }
            },
            "loss": { "tf.keras.losses.SparseCategoricalCrossentropy": { "from_logits": true } },
            "metrics": [ { "tf.keras.metrics.SparseCategoricalAccuracy": {} } ],
            "optimizer": { "tf.keras.optimizers.Adam": { "learning_rate": 0.0005 } },
            "train_loop": {
                "ktf.train.KerasTrainLoop": {
                    "num_epochs": 2, "num_steps": 1, "num_valid_steps": 1, "run_eagerly": true, # no graph for 6 steps
                    "callbacks": [ { "tf.keras.callbacks.TensorBoard": { "log_dir": "/tmp/ktf/tensorboard" } } ]
                    "freeze_submodels": ["base_model"]              # Freeze the submodel
                    "save": ["base_model", "base_model@Conv1"]
                }
            }
        },
        {
            "optimizer" : { "tf.keras.optimizers.Adam": { "learning_rate": 0.00025 } },
            "train_loop": {
                "ktf.train.KerasTrainLoop": {
                    "num_epochs": 1, num_train_steps: 2, "valid_freq": 2, "run_eagerly": true,
                    "freeze_submodels": ["base_model@Conv1"], "save_submodels": ["base_model", "base_model@Conv1"]
                }
            }
        }
    ]''')
    outcome = train("two.hjson", verbose=True)
    trial = directory(outcome)
    import h5py
    def weights(cycle, name):
        found = {}
        with h5py.File(os.path.join(trial, "weights", f"{cycle}-{name}.weights.h5")) as file:
            file.visititems(lambda key, item: found.update({key: item[()]}) if hasattr(item, "shape") else None)
        return found
    def changed(name):
        first, second = weights(1, name), weights(2, name)
        assert first.keys() == second.keys() and first
        return [key for key in first if (first[key] != second[key]).any()]
    layers = [value for key, value in weights(1, "base_model").items() if value.ndim == 1]
    assert all((value == value[0]).all() for value in layers)  # as new, also the moving averages: it did not train
    assert len(changed("base_model")) > len(weights(1, "base_model")) / 2
    assert not changed("base_model@Conv1")
    reports = outcome.reports()
    steps = reports[reports.metric == "val_loss"]["step"].tolist()
    assert steps == [0, 1] and reports["step"].max() == 2, reports
    assert glob.glob(os.path.join(trial, "train", "events.*")), os.listdir(trial)
    assert not os.path.exists("/tmp/ktf/tensorboard")
    """)


@pytest.mark.slow("stores")
def test_weights_carry_over_and_submodels_are_loaded(run: Program) -> None:
    run("""
    seen = []

    @configured.export_config
    def Watch():
        import keras
        class Watch(keras.callbacks.Callback):
            def on_train_begin(self, logs=None):
                seen.append([self.model, self.model.get_weights()])
            def on_train_end(self, logs=None):
                seen[-1].append(self.model.get_weights())
        return Watch()

    def same(a, b):
        return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b))

    watch = {"callbacks": [{"Watch": {}}]}
    wider = {"hopslite.configured.OneHeadNet": {"num_outputs": 7}}
    train([
        {**SMALL, **loop(**watch, save=["base_model"])},
        loop(**watch),                                                                  # the same model
        {"model": {"ktf.models.OneHeadNet": {"num_outputs": 3, "dropout": 0.5}}},       # another of these shapes
        {"model": wider, **loop(**watch, load=["base_model"])},                         # a new head on a saved base
        {"model": SMALL["model"], **loop(**watch, save_dir=None)},                      # nothing is taken over
    ])
    (one, begin_1, end_1), (two, begin_2, end_2), (three, begin_3, end_3), (four, begin_4, _), (five, begin_5, _) = seen
    assert one is two and same(end_1, begin_2) and not same(begin_1, end_1)
    assert three is not two and same(end_2, begin_3)
    def of_base(weights):
        return [weight for weight in weights if weight.shape in ((4, 128), (128,))]
    assert any(weight.shape == (7,) for weight in begin_4) and len(of_base(begin_4)) == 2
    assert same(of_base(begin_4), of_base(end_1))
    assert five is not one and not same(begin_5, end_3)
    """)


def test_mistakes_are_known_before_the_first_cycle_trains(run: Program) -> None:
    run("""
    trained = []

    @configured.export_config
    def small(samples=16):
        trained.append(1)
        x = np.zeros((samples, 4), "float32")
        return (x, np.zeros(samples)), None

    def second(**cycle):
        return [{**SMALL, **loop()}, cycle]

    def check(config, *parts, **options):
        message = error(config, **options)
        for part in parts:
            assert part in message, (part, message)

    check(second(**loop(freeze_submodels=["base_modle"])), "cycle 2", "freeze_submodels: no submodel 'base_modle'", "'base_model'")
    check(second(**loop(freeze_submodels=["base_model@conv"])), "no submodel 'conv' in 'base_model'")
    check(second(**loop(load=["base_model"])), "no earlier cycle saves 'base_model'")
    check(second(**loop(load="nothing.weights.h5")), "there is no file 'nothing.weights.h5'")
    check(second(**loop(num_epochs=0)), "num_epochs is a whole number from 1; given 0")
    check(second(**loop(callbacks=["x"])), "callbacks are Keras callbacks; given 'x'")
    check(second(optimizer="addam"), "cycle 2 > optimizer", "addam")
    check(second(optimizer={"keras.optimizers.Adam": {"learning_rate": "fast"}}), "cycle 2 > optimizer > keras.optimizers.Adam")
    check(second(loss="no_such_loss"), "cycle 2 > loss", "no_such_loss")
    check(second(model={"keras.layers.Dense": {"units": 3}}), "cycle 2 > model", "a model is a keras.Model; this is a Dense")
    check(second(model={"keras.Sequential": {"layers": [{"keras.layers.Dense": {"units": -3}}]}}), "keras.layers.Dense")
    check(second(train_loop={"keras.callbacks.TerminateOnNaN": {}}), "a training loop is KerasTrainLoop")
    check(second(datasets={"keras.layers.Dense": {"units": 3}}), "a data set is (training, validation)")
    check(second(datasets={"hopslite.configured.datasets.arrays": {"path": "none.npz"}}), "there is no file 'none.npz'")
    check(second(metrics=[{"keras.metrics.Mean": {"name": "mean"}}]), "no metric 'val_acc'", "val_mean", metric="val_acc")
    check([{**SMALL, "datasets": {"small": {}}, **loop()}], "no metric 'val_loss'", "no validation data", metric="val_loss")
    check([{**SMALL, "loss": "${self.get_cache('a')}", "cache": {"a": ["${self.get_cache('a')}"]}}], "cache > a: the value refers to itself")
    assert not glob.glob("project/Experiments/*/trials/*/model.*")
    assert len(trained) == 1
    """)


def test_what_callbacks_write_stays_with_the_trial(run: Program) -> None:
    run("""
    os.makedirs("precious/inside")
    home = os.path.abspath("precious")
    outcome = train([{**SMALL, **loop(num_epochs=2, callbacks=[
        {"keras.callbacks.CSVLogger": {"filename": f"{home}/.profile", "separator": ";"}},
        {"keras.callbacks.ModelCheckpoint": {"filepath": "../../../{epoch}.keras"}},
        {"keras.callbacks.BackupAndRestore": {"backup_dir": home}},
    ])}])
    assert os.listdir(home) == ["inside"]
    assert {".profile", "1.keras", "2.keras", "config.json", "model.keras"} <= set(os.listdir(directory(outcome)))
    message = error([{**SMALL, **loop(callbacks=[{"keras.callbacks.CSVLogger": {"filename": ".."}}])}])
    assert "names nothing in the trial's directory" in message, message
    dot = "{epoch.__doc__[%d]}" % int.__doc__.index(".")
    message = error([{**SMALL, **loop(callbacks=[{"keras.callbacks.ModelCheckpoint": {"filepath": f"{dot}{dot}/x.keras"}}])}])
    assert "has a field that is no metric" in message, message
    configured.fit({**SMALL, **loop(callbacks=[{"keras.callbacks.CSVLogger": {"filename": "fit.csv"}}])}, folder="fitted")
    assert os.path.isfile("fitted/fit.csv") and not os.path.exists("fit.csv")
    """)


def test_own_steps_loops_and_models(run: Program) -> None:
    run("""
    open("mine.py", "w").write('''
import keras
import tensorflow as tf
from hopslite import configured

@configured.export_config
def halved(model, inputs, targets, loss, optimizer):
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        value = loss(targets, outputs)
    gradients = tape.gradient(value, model.trainable_variables)
    optimizer.apply_gradients([(g / 2, v) for g, v in zip(gradients, model.trainable_variables)])
    return {"loss": value, "outputs": outputs, "eager": tf.constant(float(tf.executing_eagerly()))}

@configured.export_config
class Loop(configured.CustomTrainLoop):
    def valid_step(self, model, inputs, targets, loss):
        return {"always": tf.constant(2.0), "loss": loss(targets, model(inputs))}

@configured.export_config
class Net(keras.Model):
    def __init__(self, units, activation):
        super().__init__()
        self.dense, self.activation = keras.layers.Dense(units), activation
    def call(self, inputs):
        return self.activation(self.dense(inputs))
''')
    metrics = ["accuracy", {"keras.metrics.SparseTopKCategoricalAccuracy": {"k": 2}}]
    net = {"Net": {"units": 3, "activation": "${tf.nn.relu}"}}
    cycles = [
        {**SMALL, "model": net, "metrics": metrics, "train_loop": {"ktf.train.CustomTrainLoop": {
            "step": "${halved}", "num_epochs": 3, "verbose": 0,
            "callbacks": [{"keras.callbacks.EarlyStopping": {"monitor": "loss", "patience": 0, "min_delta": 100}}]}}},
        {"train_loop": {"Loop": {"num_epochs": 1, "num_train_steps": 2}}},
    ]
    outcome = train(cycles, imports=["mine.py"])
    reports = outcome.reports()
    table = reports.pivot(index="step", columns="metric", values="value")
    assert table.index.tolist() == [0, 1, 3], table  # it stopped early
    assert table["eager"].dropna().eq(0).all() and table.loc[3, "val_always"] == 2
    assert {"accuracy", "val_accuracy", "sparse_top_k_categorical_accuracy"} <= set(table.columns), table.columns
    assert table["sparse_top_k_categorical_accuracy"].between(0.2, 1).all()

    cycles[0]["train_loop"]["ktf.train.CustomTrainLoop"] |= {"run_eagerly": True, "callbacks": [], "num_epochs": 1}
    eager = train(cycles[:1], imports=["mine.py"])
    assert eager.trials[0].outputs["eager"] == 1
    # the step by default trains as Keras does
    def last(loop_name):
        import keras
        keras.utils.set_random_seed(3)
        cycle = {**SMALL, "train_loop": {loop_name: {"num_epochs": 3, "verbose": 0}}}
        return train([cycle]).trials[0].outputs
    ours, keras_ = last("ktf.train.CustomTrainLoop"), last("ktf.train.KerasTrainLoop")
    assert abs(ours["loss"] - keras_["loss"]) < 0.05 and abs(ours["val_loss"] - keras_["val_loss"]) < 0.05, (ours, keras_)
    """)


def test_images_and_tfrecords(run: Program) -> None:
    run("""
    import keras, tensorflow as tf
    from hopslite.configured import datasets
    from hopslite.errors import InvalidArguments
    for split, count in (("train", 6), ("val", 3)):
        for number, name in enumerate(["ant", "bee"]):
            os.makedirs(f"images/{split}/{name}")
            for index in range(count):
                image = np.full((9, 12, 3), 100 * number + index, "uint8")
                keras.utils.save_img(f"images/{split}/{name}/{index}.png", image, scale=False)
    def examples(data):
        return [(image.numpy(), int(label)) for image, label in data.unbatch()]
    training, validation = datasets.image_folder("images", [8, 8], batch_size=4)
    assert len(examples(training)) == 12 and len(examples(validation)) == 6
    assert all(image.shape == (8, 8, 3) and (image.max() > 0.35) == (label == 1) for image, label in examples(training))
    training, validation = datasets.image_folder("images/train", [8, 8], validation_split=0.25, force_rgb=False)
    assert len(examples(training)) == 9 and len(examples(validation)) == 3
    os.makedirs("empty")
    for path, text in (("none", "there is no folder"), ("empty", "has no images")):
        try:
            datasets.image_folder(path)
        except InvalidArguments as problem:
            assert text in str(problem), problem
        else:
            raise AssertionError(path)

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    for part in range(2):
        with tf.io.TFRecordWriter(f"{part}.tfrecord") as writer:
            for number in range(50):
                image = tf.io.encode_png(np.full((6, 6, 3), number, "uint8")).numpy()
                features = {"image": feature(image), "label": feature(number % 2)}
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    types = {"image": "string", "label": "int64"}
    training, validation = datasets.tfrecords("*.tfrecord", types, "label", images=["image"], image_size=[4, 4])
    first, second = examples(training), examples(validation)
    assert (len(first), len(second)) == (80, 20)
    assert all(round(float(image[0, 0, 0]) * 255) % 2 == label for image, label in first + second)
    outcome = train([{**SMALL, "datasets": {"hopslite.configured.datasets.tfrecords": {
        "path": os.path.abspath("0.tfrecord"), "validation": [os.path.abspath("1.tfrecord")],
        "features": types, "target": "label", "images": ["image"], "image_size": [4, 4]}}, **loop()}])
    assert outcome.trials[0].outputs["val_loss"] > 0
    """)


def test_modules_that_import_keras_are_as_all_others(run: Program) -> None:
    modules = [f"hopslite.configured.{path.stem}" for path in (ROOT / "hopslite" / "configured").glob("*.py")]
    of_keras = [name for name in modules if name != "hopslite.configured.__init__" and imports_a_framework(name)]
    assert {"hopslite.configured.models", "hopslite.configured.loops"} < set(of_keras)
    run(f"""
    import doctest, importlib, inspect
    for name in {of_keras!r}:
        module = importlib.import_module(name)
        assert module.__all__ == sorted(module.__all__) and all(hasattr(module, exported) for exported in module.__all__)
        assert doctest.testmod(module).failed == 0
    for name in configured.__all__:
        assert inspect.getdoc(getattr(configured, name)), name
    """)


def test_arguments_read_from_the_source_are_those_of_keras(run: Program) -> None:
    run("""
    import importlib, inspect
    from hopslite.configured._allowed import NAMESPACES, Names
    from hopslite.configured._document import Document
    from hopslite.configured._resolve import Resolver
    from hopslite.configured._source import arguments_of, public_names
    names, count = Names((), {}, public_names), 0
    resolver = Resolver(Document([]), names)
    for namespace in NAMESPACES:
        for name in public_names(namespace):
            target = names.target(f"{namespace}.{name}")
            if isinstance(target, str):
                continue
            function = resolver._import(target, (0,))  # defined in Keras
            read = arguments_of(target.module, target.attribute)
            if read is None or not callable(function):
                continue
            count += 1
            real = inspect.signature(function).parameters.values()
            named = {p.name for p in real if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
            assert read.is_open or named <= set(read.names), (target, named - set(read.names))
            needed = {p.name for p in real if p.default is p.empty and p.name in named}
            assert read.required <= needed or target.attribute == "Model", (target, read.required, needed)
    assert count > 350, count
    """)


@pytest.fixture(scope="module")
def profile_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the extra `profile`, which in the environment itself has each TensorBoard import TensorFlow."""
    folder = tmp_path_factory.mktemp("profile")
    there = [
        f"{package.name}=={package.version}\n"
        for package in importlib.metadata.distributions()
        if package.name != "hopslite"
    ]
    (folder / "there.txt").write_text("".join(sorted(set(there))))
    install = [str(Path(sys.executable).with_name("uv")), *["pip", "install", "--quiet", "--no-cache", "--python"]]
    [requirement] = re.findall(r'^profile = \["(.+?)"\]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    target = ["--target", str(folder / "plugin"), "--constraint", str(folder / "there.txt")]
    subprocess.run([*install, sys.executable, *target, requirement], check=True)
    return folder / "plugin"


@pytest.mark.slow("frameworks")
def test_the_profile_of_a_training_is_a_page_of_tensorboard(run: Program, profile_plugin: Path) -> None:
    run(
        """
    outcome = train([{**SMALL, **loop(callbacks=[{"keras.callbacks.TensorBoard": {"log_dir": "x", "profile_batch": [2, 3]}}])}])
    trial = directory(outcome)
    profiles = glob.glob(os.path.join(trial, "**", "plugins", "profile", "*", "*.xplane.pb"), recursive=True)
    assert len(profiles) == 1, os.listdir(trial)

    import gzip, subprocess, sys, urllib.request
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", trial, "--port", "0", "--host", "127.0.0.1", "--load_fast=false"],
        env={**os.environ, "PYTHONPATH": PLUGIN}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in process.stdout:
            if " at http" in line:
                url = line.split(" at ")[1].split()[0]
                break
        else:
            raise AssertionError("TensorBoard has not started")
        answer = json.load(urllib.request.urlopen(url + "data/plugins_listing", timeout=60))
        assert answer["profile"]["enabled"], answer.get("profile")
        runs = gzip.decompress(urllib.request.urlopen(url + "data/plugin/profile/runs", timeout=60).read())
        assert profiles[0].split(os.sep)[-2].encode() in runs, runs
        page = urllib.request.urlopen(url + "data/plugin/profile/index.js", timeout=60)
        assert page.status == 200 and page.read(), page
    finally:
        process.kill()
        process.wait()
    """.replace("PLUGIN", repr(str(profile_plugin)))
    )
