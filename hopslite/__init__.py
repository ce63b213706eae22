"""hopslite: hyperparameter searches and distributed training on Spark, from a plain Python function.

`hopslite.experiment` has the verbs; `hopslite.tensorboard` and `hopslite.devices` are for use inside a training
function; `hopslite.space` describes search spaces.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["devices", "errors", "experiment", "space", "tensorboard"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"hopslite.{name}")
    raise AttributeError(f"module 'hopslite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
