"""hopslite: hyperparameter searches and distributed training on Spark, from a plain Python function.

`hopslite.experiment` has the verbs; `hopslite.report`, `hopslite.callbacks`, `hopslite.tensorboard` and
`hopslite.devices` are for use inside a training function; `hopslite.space` describes search spaces, `hopslite.stop`
says when to give up on a trial, and `hopslite.ablation` what a model's parts are worth.
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
    "maggy",
    "report",
    "space",
    "stop",
    "tensorboard",
]


def __getattr__(name: str) -> Any:
    if name == "report":
        return importlib.import_module("hopslite.runtime.report").report
    if name in __all__:
        return importlib.import_module(f"hopslite.{name}")
    raise AttributeError(f"module 'hopslite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
