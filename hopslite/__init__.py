"""hopslite: hyperparameter searches and distributed training on Spark, from a plain Python function.

`hopslite.experiment` has the verbs; `hopslite.report`, `hopslite.callbacks`, `hopslite.tensorboard` and
`hopslite.devices` are for use inside a training function, as is `hopslite.inputs`, the data that a verb was given;
`hopslite.space` describes search spaces, `hopslite.stop` says when to give up on a trial, and `hopslite.ablation` what
a model's parts are worth. `hopslite.hdfs`, with `numpy_helper` and `pandas_helper`, works with the project's files,
wherever they are kept, and `hopslite.model` with trained models. `hopslite.plots` draws runs.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = [
    "ablation",
    "callbacks",
    "devices",
    "errors",
    "experiment",
    "hdfs",
    "inputs",
    "maggy",
    "model",
    "numpy_helper",
    "pandas_helper",
    "plots",
    "report",
    "space",
    "stop",
    "tensorboard",
]


def __getattr__(name: str) -> Any:
    if name in ("inputs", "report"):
        return getattr(importlib.import_module(f"hopslite.runtime.{name}"), name)
    if name in __all__:
        return importlib.import_module(f"hopslite.{name}")
    raise AttributeError(f"module 'hopslite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
