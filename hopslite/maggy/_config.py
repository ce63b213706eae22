"""Maggy's configuration classes: fields and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..core.plain_values import plain
from ..errors import InvalidArguments

__all__ = [
    "AblationConfig",
    "BaseConfig",
    "DistributedConfig",
    "HyperparameterOptConfig",
    "LagomConfig",
    "OptimizationConfig",
    "TfDistributedConfig",
    "TorchDistributedConfig",
]


class LagomConfig:
    """Fields of all configurations: a name, a description, and a heartbeat interval, which hopslite does not need."""

    name: str
    description: str
    hb_interval: int


@dataclasses.dataclass
class BaseConfig(LagomConfig):
    """The training function is run once."""

    name: str = "base"
    hb_interval: int = 1
    description: str = ""
    model: Any = None
    dataset: Any = None
    hparams: dict[str, Any] | None = None


@dataclasses.dataclass
class HyperparameterOptConfig(LagomConfig):
    """A search for the best hyperparameters; `docs/maggy.md` describes each field."""

    num_trials: int
    optimizer: Any
    searchspace: Any
    optimization_key: str = "Metric"
    direction: str = "max"
    es_interval: int = 1
    es_min: int = 10
    es_policy: Any = "median"
    name: str = "HPOptimization"
    description: str = ""
    hb_interval: int = 1
    model: Any = None
    dataset: Any = None

    def __post_init__(self) -> None:
        for name in ("num_trials", "es_interval", "es_min"):
            setattr(self, name, plain(getattr(self, name)))
        if not isinstance(self.num_trials, int) or isinstance(self.num_trials, bool) or self.num_trials < 1:
            raise InvalidArguments(
                "HyperparameterOptConfig", [f"num_trials={self.num_trials!r}; give a whole number of at least 1"]
            )


OptimizationConfig = HyperparameterOptConfig


@dataclasses.dataclass
class AblationConfig(LagomConfig):
    """An ablation study."""

    ablation_study: Any
    ablator: Any = "loco"
    direction: str = "max"
    name: str = "ablationStudy"
    description: str = ""
    hb_interval: int = 1
    model: Any = None
    dataset: Any = None
    optimization_key: str = "Metric"


@dataclasses.dataclass
class TfDistributedConfig(LagomConfig):
    """Training on several executors with TensorFlow's MultiWorkerMirroredStrategy.

    `model` is a class (of `tf_keras`), or a function that makes one; `dataset` is passed on, after `process_data`.
    """

    model: Any = None
    dataset: Any = None
    process_data: Callable[..., Any] | None = None
    mixed_precision: bool = False
    name: str = "tfDist"
    hb_interval: int = 1
    description: str = ""
    hparams: dict[str, Any] | None = None
    train_set: Any = None
    test_set: Any = None


@dataclasses.dataclass
class TorchDistributedConfig(LagomConfig):
    """Training on several executors with PyTorch's DistributedDataParallel.

    `module`, in some versions of Maggy `model`, is a class, or a list of classes; each rank gets its share of a
    `dataset` that is indexed.
    """

    module: Any = None
    dataset: Any = None
    hparams: dict[str, Any] | None = None
    backend: str = "torch"
    mixed_precision: bool = False
    zero_lvl: int = 0
    deepspeed_config: dict[str, Any] | None = None
    name: str = "torchDist"
    hb_interval: int = 1
    description: str = ""
    train_set: Any = None
    test_set: Any = None
    model: Any = None
    ddp3_mp: bool = False

    def __post_init__(self) -> None:
        if self.module is not None and self.model is not None:
            raise InvalidArguments(
                "TorchDistributedConfig", ["module= and model= have the same meaning; give one of them"]
            )
        self.module = self.model = self.model if self.module is None else self.module


DistributedConfig = TorchDistributedConfig  # its name before TensorFlow had a configuration of its own
