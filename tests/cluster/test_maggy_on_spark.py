"""Maggy's configurations and an ablation study on a real Spark."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.ablation import AblationStudy
from hopslite.maggy import HyperparameterOptConfig, Searchspace, TfDistributedConfig, TorchDistributedConfig
from tests.helpers.programs import Program


def test_a_search_of_the_older_form(local_spark: Any, project: str) -> None:
    def train(kernel, dropout, reporter):
        for step in range(2):
            reporter.broadcast(metric=kernel - dropout, step=step)
        return {"accuracy": kernel - dropout, "loss": 7}

    sp = Searchspace(kernel=("INTEGER", [2, 8]), dropout=("DOUBLE", [0.01, 0.99]))
    result = experiment.lagom(
        train_fn=train,
        searchspace=sp,
        optimizer="randomsearch",
        direction="max",
        num_trials=6,
        name="MNIST",
        hb_interval=1,
        es_interval=1,
        es_min=5,
        optimization_key="accuracy",
        spark=local_spark,
        display=False,
    )
    assert result["num_trials"] == len(result.run.trials) == 6
    assert result["best_val"] == max(result["metric_list"])
    config = HyperparameterOptConfig(2, "none", None)
    assert experiment.lagom(lambda hparams: 3, config, spark=local_spark, display=False)["metric_list"] == [3, 3]


@pytest.mark.slow("frameworks")
def test_torch_ranks_share_the_data_and_train_one_module(local_spark: Any, project: str) -> None:
    torch = pytest.importorskip("torch")

    def network(hidden):
        from torch import nn

        return nn.Sequential(nn.Linear(2, hidden), nn.Linear(hidden, 1))

    def train(module, dataset, hparams):
        import torch
        import torch.distributed as dist

        from hopslite.maggy.patching import MaggyDataLoader

        model = module(hparams["hidden"])
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for divided in (data, dataset[0]):  # by the loader, and a share already, which it leaves as it is
            loader = MaggyDataLoader(divided, 4)
            first, second = (torch.cat([x for x, _ in loader]) for _ in range(2))
            assert len(first) == len(second) == 11
            assert not torch.equal(first, second)
        for x, y in MaggyDataLoader(dataset[0], batch_size=4):
            optimizer.zero_grad()
            ((model(x) - y) ** 2).mean().backward()
            optimizer.step()
        weights = torch.cat([p.detach().flatten() for p in model.parameters()])
        everywhere = [torch.empty_like(weights) for _ in range(dist.get_world_size())]
        dist.all_gather(everywhere, weights)
        assert all(torch.equal(weights, other) for other in everywhere)
        return {"rank": dist.get_rank(), "items": len(dataset[0]), "wrapped": type(model).__name__}

    x = torch.randn(21, 2)
    data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
    config = TorchDistributedConfig(network, [data], {"hidden": 3}, name="ddp")
    result = experiment.lagom(train, config, num_workers=2, spark=local_spark, display=False)
    assert result["test result"] == {"rank": 0.5, "items": 11, "wrapped": "DistributedDataParallel"}


@pytest.mark.slow("stores")
def test_tensorflow_models_are_mirrored(local_spark: Any, project: str) -> None:
    pytest.importorskip("tf_keras")

    def build(units):
        import tf_keras

        return tf_keras.Sequential([tf_keras.layers.Dense(units), tf_keras.layers.Dense(1)])

    def train(model, dataset, hparams):
        import tf_keras

        made = model(hparams["units"])
        made.compile(tf_keras.optimizers.SGD(0.01), "mse")
        x = dataset[0]
        made.fit(x, x.sum(1), batch_size=8, epochs=1, verbose=0)
        return [made.distribute_strategy.num_replicas_in_sync, 0.5]

    def scaled(data):
        import numpy as np

        return [np.asarray(data[0], dtype="float32") * 2]

    config = TfDistributedConfig(build, [[[1, 2]] * 16], scaled, hparams={"units": 3})
    result = experiment.lagom(train, config, num_workers=2, spark=local_spark, display=False)
    assert result["test result"] == 2


# The three kinds of programs that were published for Maggy's distributed training, with smaller data and one import
# changed: arrays in batches; paths that process_data reads; a dataset that the function divides itself.
PUBLISHED = """
import json
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits, load_iris
from tensorflow import keras
from tensorflow.keras import Sequential
from tensorflow.keras.layers import Dense
from tensorflow.keras.optimizers import Adam
from hopslite import experiment
from hopslite.maggy import TfDistributedConfig

class NeuralNetwork(tf.keras.Model):

    def __init__(self, nlayers):
        super().__init__()
        self.conv1 = keras.layers.Conv2D(4, 2, activation='relu')
        self.flatten = keras.layers.Flatten()
        self.d1 = keras.layers.Dense(10, activation='softmax')

    def call(self, x):
        return self.d1(self.flatten(self.conv1(x)))

model = NeuralNetwork
images, labels = load_digits(return_X_y=True)
images = np.reshape(images / 16.0, (-1, 8, 8, 1))
x_train, y_train, x_test, y_test = images[:800], labels[:800], images[800:1001], labels[800:1001]

def told(run):
    print("RUN", json.dumps([run.logdir, dict(result)]), flush=True)

def mnist(model, train_set, test_set, hparams):
    from tensorflow import keras
    criterion = keras.losses.SparseCategoricalCrossentropy()
    optimizer = keras.optimizers.SGD(learning_rate=0.1, momentum=0.9)
    model = model(nlayers=2)
    model.compile(optimizer=optimizer, loss=criterion, metrics=["accuracy"])
    model.fit(train_set, batch_size=256, epochs=6, verbose=0)
    print("GOT", *[[int(len(y)) for _, y in data] for data in (train_set, test_set)])
    return model.evaluate(test_set, batch_size=32, verbose=0)

config = TfDistributedConfig(name="mnist", model=model, train_set=(x_train, y_train), test_set=(x_test, y_test),
                             hparams={'train_batch_size': 100, 'test_batch_size': 80, 'nlayers': 2})
result = experiment.lagom(mnist, config, num_workers=2)
told(result.run)

class Iris(Sequential):

    def __init__(self):
        super().__init__()
        self.add(Dense(10, input_shape=(4,), activation='tanh'))
        self.add(Dense(3, activation='softmax'))

iris = load_iris()
table = np.c_[iris.data, np.eye(3)[iris.target]]
np.random.default_rng(0).shuffle(table)
np.savetxt("train.csv", table[:110], delimiter=",")
np.savetxt("test.csv", table[110:], delimiter=",")

def process_data(train_set, test_set):
    import pandas as pd
    train_set, test_set = pd.read_csv(train_set), pd.read_csv(test_set)
    return tuple((each.iloc[:, :4].values, each.iloc[:, 4:].values) for each in (train_set, test_set))

def iris_training(model, train_set, test_set, hparams):
    model = model()
    model.build()
    model.compile(Adam(0.04), 'categorical_crossentropy', metrics=['accuracy'])
    model.fit(train_set, epochs=10, verbose=0)
    print("GOT", *[[int(len(y)) for _, y in data] for data in (train_set, test_set)])
    return model.evaluate(test_set, verbose=0)

config = TfDistributedConfig(name="iris", model=Iris, train_set="train.csv", test_set="test.csv",
                             process_data=process_data, hparams={'train_batch_size': 40, 'test_batch_size': 15})
result = experiment.lagom(iris_training, config, num_workers=2)
told(result.run)

def with_dataset(model, dataset, hparams):
    train_set, test_set = dataset
    model = model(nlayers=hparams['nlayers'])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train_set[0], train_set[1], batch_size=100, epochs=6, verbose=0)
    print("GOT", [len(train_set[1])], [len(test_set[1])])
    return model.evaluate(test_set[0], test_set[1], batch_size=100, verbose=0)

config = TfDistributedConfig(name="dataset", model=model, dataset=[(x_train, y_train), (x_test[:200], y_test[:200])],
                             hparams={'nlayers': 2})
result = experiment.lagom(with_dataset, config, num_workers=2)
told(result.run)
"""


@pytest.mark.slow("frameworks")
def test_published_programs_of_distributed_training(tmp_path: Path) -> None:
    pytest.importorskip("tf_keras")
    program = Program(tmp_path, PUBLISHED, TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
    try:
        assert program.process.wait(500) == 0, program.err.read_text()[-3000:]
    finally:
        program.kill()
    runs = [json.loads(line[4:]) for line in program.out.read_text().splitlines() if line.startswith("RUN ")]
    got = [
        {line for log in Path(logdir, "trials/0000").glob("*.log") for line in re.findall("GOT .*", log.read_text())}
        for logdir, _ in runs
    ]
    assert got == [
        {"GOT [100, 100, 100, 100] [80, 21]"},  # of 800 and 201 images for two workers
        {"GOT [40, 15] [15, 5]"},
        {"GOT [800] [200]"},
    ]
    losses = [result["test result"] for _, result in runs]
    assert losses[0] < 1.5  # chance has 2.3
    assert losses[1] < 0.8  # 1.1
    assert losses[2] < 1.5


@pytest.mark.slow("frameworks")
def test_an_ablation_study_of_layers_and_features(local_spark: Any, project: str) -> None:
    pytest.importorskip("keras")

    def base_model():
        import keras

        dense = keras.layers.Dense
        return keras.Sequential([keras.Input((4,)), dense(8, name="one"), dense(8, name="two"), dense(1, name="three")])

    def features(count, ablated_feature=None):
        return [name for name in ["a", "b"][:count] if name != ablated_feature]

    def train(dataset_function, model_function, reporter):
        reporter.broadcast(0.0, 0)
        return model_function().count_params() + 1000 * len(dataset_function(2))

    study = AblationStudy(dataset_generator=features)
    study.features.include("a")
    study.model.set_base_model_generator(base_model)
    study.model.layers.include("two")
    run = experiment.ablation(train, study, name="study", spark=local_spark, display=False)
    assert {row.component: row.cost for row in run.ablation} == {"a": 1000, "two": 72}
    assert run.ablation.base.metric == 2000 + 40 + 72 + 9
