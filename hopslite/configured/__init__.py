"""Training from a configuration: models, data, losses and loops of Keras as JSON, Hjson, YAML or Python values.

```python
from hopslite import configured

run = configured.train([{
    "datasets": {"hopslite.configured.datasets.digits": {}},
    "model": {"hopslite.configured.OneHeadNet": {"num_outputs": 10}},
    "loss": {"keras.losses.SparseCategoricalCrossentropy": {"from_logits": True}},
    "metrics": [{"keras.metrics.SparseCategoricalAccuracy": {}}],
    "optimizer": {"keras.optimizers.Adam": {"learning_rate": {"$loguniform": [1e-4, 1e-1]}}},
    "train_loop": {"hopslite.configured.KerasTrainLoop": {"num_epochs": 5}},
}], num_trials=10)
```

The format is that of ktf, the trainer of Klassterfork. Keras is imported in the processes of trials, and where a
program uses the classes of this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import datasets
from ._fit import fit
from ._registry import export_config
from ._train import best_config, train

if TYPE_CHECKING:
    from .loops import CustomTrainLoop, KerasTrainLoop
    from .models import OneHeadNet

__all__ = [
    "CustomTrainLoop",
    "KerasTrainLoop",
    "OneHeadNet",
    "best_config",
    "datasets",
    "export_config",
    "fit",
    "train",
]

LAZY_CLASSES = {"CustomTrainLoop": "loops", "KerasTrainLoop": "loops", "OneHeadNet": "models"}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Classes of Keras's, which import it when they are used."""
        if name in LAZY_CLASSES:
            return getattr(importlib.import_module(f"hopslite.configured.{LAZY_CLASSES[name]}"), name)
        raise AttributeError(f"module 'hopslite.configured' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
