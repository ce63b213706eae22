"""Maggy's configurations and an ablation study on a real Spark."""

from __future__ import annotations

from typing import Any

import pytest

from hopslite import experiment
from hopslite.ablation import AblationStudy
from hopslite.maggy import HyperparameterOptConfig, Searchspace, TfDistributedConfig, TorchDistributedConfig


@pytest.mark.timeout(300)
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


@pytest.mark.timeout(600)
def test_torch_ranks_share_the_data_and_train_one_module(local_spark: Any, project: str) -> None:
    torch = pytest.importorskip("torch")

    def network(hidden):
        from torch import nn

        return nn.Sequential(nn.Linear(2, hidden), nn.Linear(hidden, 1))

    def train(module, dataset, hparams):
        import torch
        import torch.distributed as dist

        model = module(hparams["hidden"])
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for x, y in torch.utils.data.DataLoader(dataset[0], batch_size=4, shuffle=True):
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


@pytest.mark.timeout(600)
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


@pytest.mark.timeout(600)
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
