"""Maggy's names, for programs that were written for it.

```python
from hopslite import experiment
from hopslite.maggy import HyperparameterOptConfig, Searchspace

space = Searchspace(dropout=("DOUBLE", [0.01, 0.99]))
config = HyperparameterOptConfig(num_trials=15, optimizer="randomsearch", searchspace=space)
result = experiment.lagom(train_fn, config)
```

`docs/maggy.md` describes each name. `AblationStudy` is in `hopslite.ablation`, the callbacks are in
`hopslite.callbacks`; Maggy's paths, such as `hopslite.maggy.callbacks`, also work.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from ..predecessors import absent_name
from ._call import LagomCall, plan_of
from ._config import (
    AblationConfig,
    BaseConfig,
    DistributedConfig,
    HyperparameterOptConfig,
    LagomConfig,
    OptimizationConfig,
    TfDistributedConfig,
    TorchDistributedConfig,
)
from ._optimizers import GP, TPE, Asha, GridSearch, RandomSearch, SingleRun
from ._result import LagomResult, lagom_result
from ._searchspace import Searchspace
from ._stopping import AbstractEarlyStop, MedianStoppingRule, NoStoppingRule

__all__ = [
    "AblationConfig",
    "AbstractEarlyStop",
    "Asha",
    "BaseConfig",
    "DistributedConfig",
    "GP",
    "GridSearch",
    "HyperparameterOptConfig",
    "LagomCall",
    "LagomConfig",
    "LagomResult",
    "MedianStoppingRule",
    "NoStoppingRule",
    "OptimizationConfig",
    "RandomSearch",
    "Searchspace",
    "SingleRun",
    "TPE",
    "TfDistributedConfig",
    "TorchDistributedConfig",
    "lagom_result",
    "plan_of",
]

# Submodules of Maggy's, for programs that go through them, as in `maggy.optimizer.RandomSearch()`.
_ELSEWHERE = ("ablation", "callbacks", "experiment", "tensorboard")
_HERE = ("config", "earlystop", "experiment_config", "optimizer", "searchspace")

if not TYPE_CHECKING:  # type checkers are to know the names that are there

    def __getattr__(name: str) -> Any:
        if name in _ELSEWHERE:
            return importlib.import_module(f"hopslite.{name}")
        return sys.modules[__name__] if name in _HERE else absent_name(__name__, name)
