"""TensorFlow on several members: they train together, and each has its role, its log and its own place to write."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hopslite import experiment, tensorboard
from hopslite.errors import TrialFailed
from tests.conftest import spark_session
from tests.helpers.observe import files_below

EPOCHS = 3
TOLERANCE = 1e-4  # of weights around 0.1 to 1: sums of single floats in another order


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two executors with two slots each."""
    with spark_session("local-cluster[2,2,1024]", {}) as spark:
        yield spark


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("tensorflow") / "project")


def digits_classifier(folder: Path) -> Callable[[], dict[str, float] | None]:
    """A training function for chief, workers, evaluator and a single process; each notes in `folder` what it saw."""

    def train() -> dict[str, float] | None:
        import json
        import os
        import pathlib

        import numpy as np
        import tensorflow as tf
        import tf_keras as keras
        from sklearn.datasets import load_digits

        from hopslite import experiment, tensorboard

        config = json.loads(os.environ.get("TF_CONFIG", "{}"))
        task = config.get("task", {"type": "single", "index": 0})
        name = f"{task['type']}_{task['index']}"
        print(f"this is {name}")
        logdir = pathlib.Path(str(tensorboard.logdir()))
        seen = {
            "config": config,
            "logdir": str(logdir),
            "logdir exists": logdir.is_dir(),
            "checkpoints": experiment.checkpoint_dir(),
            "legacy": os.environ.get("TF_USE_LEGACY_KERAS"),
            "keras": tf.keras.Model.__module__,
        }
        pathlib.Path(folder, f"{name}.json").write_text(json.dumps(seen))

        images, labels = load_digits(return_X_y=True)
        images = (images / 16).astype("float32")

        def build() -> Any:
            made = keras.Sequential([keras.layers.Dense(16, "relu", input_shape=(64,)), keras.layers.Dense(10)])
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            made.compile(keras.optimizers.SGD(0.5), loss, metrics=["accuracy"])
            return made

        if name == "evaluator_0":
            model, scores = build(), {}
            for path in tf.train.checkpoints_iterator(str(logdir), timeout=120):
                tf.train.Checkpoint(model=model).restore(path).expect_partial()
                scores[pathlib.Path(path).name] = model.evaluate(images[1536:], labels[1536:], verbose=0)[1]
                pathlib.Path(folder, "scores.json").write_text(json.dumps({"logdir": str(logdir), "scores": scores}))
                if path.endswith(f"-{EPOCHS}"):
                    break
            return None

        several = len(config.get("cluster", {})) > 1
        strategy = tf.distribute.MultiWorkerMirroredStrategy() if several else tf.distribute.MirroredStrategy()
        keras.utils.set_random_seed(7)
        with strategy.scope():
            model = build()
        manager = tf.train.CheckpointManager(tf.train.Checkpoint(model=model), str(logdir), max_to_keep=EPOCHS)
        callbacks = [
            keras.callbacks.TensorBoard(str(logdir)),
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: manager.save()),
        ]
        data = tf.data.Dataset.from_tensor_slices((images[:1536], labels[:1536])).batch(128)
        history = model.fit(data, epochs=EPOCHS, verbose=0, callbacks=callbacks).history
        np.savez(pathlib.Path(folder, f"{name}.npz"), *model.get_weights())
        return {"loss": history["loss"][-1], "first loss": history["loss"][0], "chief": float(name == "chief_0")}

    return train


def weights(folder: Path, name: str) -> list[np.ndarray[Any, Any]]:
    with np.load(folder / f"{name}.npz") as saved:
        return [saved[key] for key in saved.files]


def differences(one: list[np.ndarray[Any, Any]], other: list[np.ndarray[Any, Any]]) -> float:
    assert [a.shape for a in one] == [b.shape for b in other] == [(64, 16), (16,), (16, 10), (10,)]
    return max(float(abs(a - b).max()) for a, b in zip(one, other, strict=True))


def members(run: experiment.Run) -> list[dict[str, Any]]:
    record: dict[str, Any] = json.loads(Path(run.logdir, "run.json").read_text())
    return list(record["members"])


def told_in(log: str) -> dict[str, Any]:
    """The `TF_CONFIG` in a log's first line."""
    config: dict[str, Any] = json.JSONDecoder().raw_decode(log.splitlines()[0].partition("TF_CONFIG=")[2])[0]
    return config


def logs(run: experiment.Run) -> dict[str, str]:
    return {path.name: path.read_text() for path in Path(run.trials[0].logdir).glob("*_output.log")}


NAMES = ("chief_0", "worker_0", "evaluator_0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("members")


@pytest.fixture(scope="module")
def run(cluster: Any, shared: str, folder: Path) -> experiment.Run:
    return experiment.mirrored(
        digits_classifier(folder),
        name="digits",
        evaluator=True,
        metric_key="loss",
        num_workers=2,
        evaluator_grace=120,  # it has nothing to do with how fast this machine is
        project=shared,
        display=False,
    )


@pytest.fixture(scope="module")
def seen(run: experiment.Run, folder: Path) -> dict[str, dict[str, Any]]:
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in NAMES}


class TestMirrored:
    """Chief, worker and evaluator train one model on real images."""

    @pytest.mark.slow("frameworks")
    def test_it_returns_what_the_chief_returned(self, run: experiment.Run) -> None:
        logdir, outputs = run
        assert str(run.state) == "FINISHED"
        assert logdir == run.trials[0].logdir  # where the chief wrote
        assert json.loads(Path(logdir, ".outputs.json").read_text()) == outputs
        assert [trial.id for trial in run.trials] == ["0000"]
        assert outputs["chief"] == 1
        assert 0 < outputs["loss"] < outputs["first loss"]
        assert run.trials[0].metric == outputs["loss"]

    def test_both_workers_have_the_same_weights(self, run: experiment.Run, folder: Path) -> None:
        assert differences(weights(folder, "chief_0"), weights(folder, "worker_0")) <= TOLERANCE

    @pytest.mark.slow("frameworks")
    def test_they_are_those_of_one_process_with_the_global_batch(
        self, cluster: Any, run: experiment.Run, shared: str, folder: Path, tmp_path: Path
    ) -> None:
        single = experiment.mirrored(digits_classifier(tmp_path), num_workers=1, project=shared, display=False)
        assert json.loads((tmp_path / "single_0.json").read_text())["config"] == {}  # no TF_CONFIG
        assert "TF_CONFIG" not in logs(single)["chief_0_output.log"]
        assert differences(weights(folder, "chief_0"), weights(tmp_path, "single_0")) <= TOLERANCE
        assert single[1]["loss"] == pytest.approx(run[1]["loss"], rel=1e-3)

    def test_the_evaluator_evaluated_what_the_chief_saved(self, run: experiment.Run, folder: Path) -> None:
        found = json.loads((folder / "scores.json").read_text())
        saved = {path.stem for path in Path(run.trials[0].logdir).glob("ckpt-*.index")}
        assert saved == {f"ckpt-{epoch + 1}" for epoch in range(EPOCHS)}
        assert found["logdir"] == run.trials[0].logdir
        assert f"ckpt-{EPOCHS}" in found["scores"] and found["scores"].keys() <= saved
        assert found["scores"][f"ckpt-{EPOCHS}"] > 0.3  # three times as good as a guess

    def test_each_has_its_role_in_tf_config(self, seen: dict[str, dict[str, Any]]) -> None:
        clusters = [seen[name]["config"]["cluster"] for name in NAMES]
        assert clusters[0] == clusters[1] == clusters[2]
        assert {role: len(addresses) for role, addresses in clusters[0].items()} == {
            "chief": 1,
            "worker": 1,
            "evaluator": 1,
        }
        assert len({address for addresses in clusters[0].values() for address in addresses}) == 3
        for name in NAMES:
            role, index = name.split("_")
            assert seen[name]["config"]["task"] == {"type": role, "index": int(index)}

    def test_tf_config_is_in_the_log_and_in_the_record(
        self, run: experiment.Run, seen: dict[str, dict[str, Any]]
    ) -> None:
        recorded = {f"{member['role']}_{member['index']}": member for member in members(run)}
        assert recorded.keys() == set(NAMES)
        for name in NAMES:
            config, member = seen[name]["config"], recorded[name]
            assert told_in(logs(run)[f"{name}_output.log"]) == config
            assert json.loads(member["environment"]["TF_CONFIG"]) == config
            assert member["address"] == config["cluster"][member["role"]][member["index"]]
            assert member["address"].rpartition(":")[0] == member["host"]
            assert (member["log"], member["gpus"]) == (f"{name}_output.log", [])

    def test_each_has_its_own_log(self, run: experiment.Run) -> None:
        found = logs(run)
        assert found.keys() == {f"{name}_output.log" for name in NAMES}
        for name in NAMES:
            said = [line for line in found[f"{name}_output.log"].splitlines() if line.startswith("this is")]
            assert said == [f"this is {name}"]

    def test_where_each_writes(self, run: experiment.Run, seen: dict[str, dict[str, Any]]) -> None:
        trial = run.trials[0].logdir
        assert (seen["chief_0"]["logdir"], seen["evaluator_0"]["logdir"]) == (trial, trial)
        private = Path(seen["worker_0"]["logdir"])
        assert seen["worker_0"]["logdir exists"]
        assert not private.is_relative_to(run.logdir)
        assert not private.exists()  # thrown away
        assert len({entry["checkpoints"] for entry in seen.values()}) == 1

    def test_keras_callbacks_of_several_workers_do_not_write_the_same_files(self, run: experiment.Run) -> None:
        assert len(list(Path(run.trials[0].logdir, "train").glob("events.out.tfevents.*"))) == 1
        assert not [name for name in files_below(run.trials[0].logdir) if "worker" in name and "tfevents" in name]

    def test_they_have_the_keras_that_can_train_under_this_strategy(self, seen: dict[str, dict[str, Any]]) -> None:
        for name in NAMES:
            assert seen[name]["legacy"] == "1"
            assert seen[name]["keras"].startswith("tf_keras.")


def tells_its_environment(folder: Path) -> Callable[[], str]:
    """Nothing of TensorFlow: only what the member is told."""

    def train() -> str:
        import json
        import os
        import pathlib

        config = json.loads(os.environ.get("TF_CONFIG", "{}"))
        task = config.get("task", {"type": "single", "index": 0})
        pathlib.Path(folder, f"{task['type']}_{task['index']}.json").write_text(json.dumps(config))
        return str(task["type"])

    return train


@pytest.mark.slow("frameworks")
class TestRoles:
    """The members for each combination of arguments, without a framework, whose import would take most of the time."""

    @pytest.mark.slow("frameworks")
    @pytest.mark.parametrize(
        ("arguments", "roles"),
        [
            ({"num_workers": 3}, {"chief": 1, "worker": 2}),
            ({}, {"chief": 1, "worker": 1}),  # one for each executor
            ({"evaluator": True}, {"chief": 1, "evaluator": 1}),  # who is one of the executors
            ({"num_workers": 3, "evaluator": True}, {"chief": 1, "worker": 2, "evaluator": 1}),  # who comes on top
        ],
        ids=["three workers", "all executors", "all with evaluator", "three and evaluator"],
    )
    def test_mirrored(
        self, cluster: Any, shared: str, tmp_path: Path, arguments: dict[str, Any], roles: dict[str, int]
    ) -> None:
        run = experiment.mirrored(tells_its_environment(tmp_path), project=shared, display=False, **arguments)
        told = {path.stem: json.loads(path.read_text()) for path in tmp_path.iterdir()}
        assert told.keys() == {f"{role}_{index}" for role, count in roles.items() for index in range(count)}
        for name, config in told.items():
            assert {role: len(addresses) for role, addresses in config["cluster"].items()} == roles
            assert config["task"] == {"type": name.split("_")[0], "index": int(name.split("_")[1])}
        assert run[1]["metric"] == "chief"

    def test_the_general_verb_and_the_alias(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        run = experiment.distributed(
            tells_its_environment(tmp_path),
            strategy="multi_worker_mirrored",
            num_workers=2,
            project=shared,
            display=False,
        )
        assert run[1]["metric"] == "chief"
        assert {path.stem for path in tmp_path.iterdir()} == {"chief_0", "worker_0"}
        assert experiment.collective_all_reduce is experiment.mirrored

    def test_parameter_servers_where_every_member_runs_the_function(
        self, cluster: Any, shared: str, tmp_path: Path
    ) -> None:
        """A parameter server never ends by itself: the chief's end is its end."""

        def train() -> float:
            import json
            import os
            import pathlib
            import threading
            import time

            config = json.loads(os.environ["TF_CONFIG"])
            role, index = config["task"]["type"], config["task"]["index"]
            pathlib.Path(tmp_path, f"{role}_{index}").write_text(json.dumps(config["cluster"]))
            if role == "chief":
                pathlib.Path(str(tensorboard.logdir()), "model").write_text("trained")
            if role == "ps":
                threading.Event().wait()
            until = time.monotonic() + 60
            while len(os.listdir(tmp_path)) < 4 and time.monotonic() < until:
                time.sleep(0.01)
            return 1.5

        run = experiment.parameter_server(
            train, num_workers=2, num_ps=2, every_member=True, project=shared, display=False
        )
        assert run[1]["metric"] == 1.5
        assert Path(run[0], "model").read_text() == "trained"
        assert {path.name for path in tmp_path.iterdir()} == {"chief_0", "worker_0", "ps_0", "ps_1"}
        told = json.loads((tmp_path / "chief_0").read_text())
        assert {role: len(addresses) for role, addresses in told.items()} == {"chief": 1, "worker": 1, "ps": 2}
        assert run.trials[0].warnings == ()  # ending a server is no accident

    def test_ports_can_be_a_range(
        self, cluster: Any, shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        low = 21000
        monkeypatch.setenv("HOPSLITE_MEMBER_PORTS", f"{low}-{low + 100}")
        run = experiment.mirrored(tells_its_environment(tmp_path), num_workers=4, project=shared, display=False)
        ports = [int(member["address"].rpartition(":")[2]) for member in members(run)]
        assert len(set(ports)) == 4
        assert all(low <= port <= low + 100 for port in ports)

    def test_a_range_that_is_too_small_is_said(
        self, cluster: Any, shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))  # the only port of the range is another program's
            other.listen()
            port = other.getsockname()[1]
            monkeypatch.setenv("HOPSLITE_MEMBER_PORTS", f"{port}-{port}")
            with pytest.raises(TrialFailed, match=rf"(?s){port}.*member_ports"):
                experiment.mirrored(tells_its_environment(tmp_path), num_workers=2, project=shared, display=False)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def chiefs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coordinator")


@pytest.fixture(scope="module")
def coordinated(cluster: Any, shared: str, chiefs_folder: Path) -> experiment.Run:
    def train() -> dict[str, Any]:
        import json
        import os
        import pathlib

        import tensorflow as tf
        import tf_keras as keras
        from sklearn.datasets import load_digits

        config = json.loads(os.environ["TF_CONFIG"])
        pathlib.Path(chiefs_folder, f"{config['task']['type']}_{config['task']['index']}").touch()
        images, labels = load_digits(return_X_y=True)
        images = (images / 16).astype("float32")
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        strategy = tf.distribute.ParameterServerStrategy(resolver)
        coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        with strategy.scope():
            model = keras.Sequential([keras.layers.Dense(16, "relu", input_shape=(64,)), keras.layers.Dense(10)])
            optimizer = keras.optimizers.SGD(0.2)
        loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")

        @tf.function
        def step(iterator: Any) -> Any:
            def on_worker(batch: Any) -> Any:
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean(loss_of(batch[1], model(batch[0], training=True)))
                gradients = tape.gradient(loss, model.trainable_variables)
                optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
                return loss

            return strategy.run(on_worker, args=(next(iterator),))

        def batches() -> Any:
            data = tf.data.Dataset.from_tensor_slices((images, labels))
            return data.shuffle(2000, seed=1).repeat().batch(64)

        iterator = iter(coordinator.create_per_worker_dataset(batches))
        losses = []
        for _ in range(6):
            pending = [coordinator.schedule(step, args=(iterator,)) for _ in range(28)]
            coordinator.join()
            losses.append(sum(float(value.fetch()) for value in pending) / len(pending))
        return {
            "first": losses[0],
            "last": losses[-1],
            "cluster": json.dumps({role: len(found) for role, found in config["cluster"].items()}),
            "where": model.trainable_variables[0].device,
            "devices": " ".join(device.name for device in tf.config.list_logical_devices("CPU")),
        }

    return experiment.parameter_server(train, num_workers=2, num_ps=1, project=shared, display=False)


@pytest.mark.slow("frameworks")
class TestParameterServer:
    """The coordinator model: the chief's program, two workers and a parameter server that hopslite starts."""

    @pytest.mark.slow("frameworks")
    def test_it_learns(self, coordinated: experiment.Run) -> None:
        assert coordinated[1]["last"] <= coordinated[1]["first"] / 2

    def test_two_workers_and_the_server_that_has_the_variables(self, coordinated: experiment.Run) -> None:
        assert json.loads(coordinated[1]["cluster"]) == {"chief": 1, "worker": 2, "ps": 1}
        assert coordinated[1]["where"].startswith("/job:ps/")
        for task in ("/job:worker/replica:0/task:0/", "/job:worker/replica:0/task:1/", "/job:ps/replica:0/task:0/"):
            assert task in coordinated[1]["devices"]

    def test_only_the_chief_runs_the_function(self, coordinated: experiment.Run, chiefs_folder: Path) -> None:
        assert {path.name for path in chiefs_folder.iterdir()} == {"chief_0"}

    def test_every_member_has_a_log_and_a_record(self, coordinated: experiment.Run) -> None:
        names = {"chief_0", "worker_0", "worker_1", "ps_0"}
        assert {f"{member['role']}_{member['index']}" for member in members(coordinated)} == names
        assert logs(coordinated).keys() == {f"{name}_output.log" for name in names}
        for name, text in logs(coordinated).items():
            task = told_in(text)["task"]
            assert f"{task['type']}_{task['index']}_output.log" == name

    def test_ending_the_servers_is_no_accident(self, coordinated: experiment.Run) -> None:
        assert str(coordinated.trials[0].state) == "FINISHED"
        assert coordinated.trials[0].warnings == ()


@pytest.mark.slow("frameworks")
def test_keras_3_is_told_what_to_do_instead(cluster: Any, shared: str) -> None:
    def train() -> None:
        import keras
        import tensorflow as tf
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        with strategy.scope():
            model = keras.Sequential([keras.layers.Dense(10)])
            model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(images / 16, labels, batch_size=128, epochs=1, verbose=0)

    with pytest.raises(TrialFailed) as caught:
        experiment.mirrored(train, num_workers=2, project=shared, display=False)
    message = caught.value.result.trials[0].error  # type: ignore[attr-defined]
    for words in ("Keras 3", "tf_keras", "loop", "JAX"):
        assert words in message
    assert "unsupported type" not in message  # TensorFlow's own words
    assert "chief 0" in message or "worker 0" in message
