"""Maggy's names, for programs that were written for it.

```python
from hopslite import experiment
from hopslite.maggy import HyperparameterOptConfig, Searchspace

space = Searchspace(dropout=("DOUBLE", [0.01, 0.99]))
config = HyperparameterOptConfig(num_trials=15, optimizer="randomsearch", searchspace=space)
result = experiment.lagom(train_fn, config)
```

What each name means here is in `docs/maggy.md`. `AblationStudy` is in `hopslite.ablation`, the callbacks are in
`hopslite.callbacks`.
"""

from __future__ import annotations

from ._call import LagomCall, plan_of
from ._config import (
    AblationConfig,
    BaseConfig,
    HyperparameterOptConfig,
    LagomConfig,
    OptimizationConfig,
    TfDistributedConfig,
    TorchDistributedConfig,
)
from ._optimizers import GP, TPE, Asha, GridSearch, RandomSearch, SingleRun
from ._result import LagomResult, lagom_result
from ._searchspace import Searchspace

__all__ = [
    "AblationConfig",
    "Asha",
    "BaseConfig",
    "GP",
    "GridSearch",
    "HyperparameterOptConfig",
    "LagomCall",
    "LagomConfig",
    "LagomResult",
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
