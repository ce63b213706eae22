"""hopslite: hyperparameter searches and distributed training on Spark, from a plain Python function.

`hopslite.experiment` has the verbs; `hopslite.report`, `hopslite.callbacks`, `hopslite.tensorboard` and
`hopslite.devices` are for use inside a training function, as is `hopslite.inputs`, the data that a verb was given;
`hopslite.space` describes search spaces, `hopslite.stop` ends trials early, and `hopslite.ablation` measures the effect
of a model's parts. `hopslite.configured` trains Keras models from configurations. `hopslite.hdfs`, with `numpy_helper`
and `pandas_helper`, works with the project's files, wherever they are kept, `hopslite.data` with versions of data sets,
and `hopslite.model` with trained models. `hopslite.plots` draws runs. `hopslite.util` has the functions of HopsML's
`hops.util`.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from .predecessors import register

if TYPE_CHECKING:  # in a program they are imported when they are used
    from . import (
        ablation,
        callbacks,
        configured,
        data,
        devices,
        errors,
        experiment,
        hdfs,
        maggy,
        model,
        numpy_helper,
        pandas_helper,
        plots,
        space,
        stop,
        tensorboard,
        util,
    )
    from .executor.inputs import inputs
    from .executor.report import report

__version__ = "0.1.0"
__all__ = [
    "ablation",
    "callbacks",
    "configured",
    "data",
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
    "util",
]


if not TYPE_CHECKING:  # type checkers are to report names that do not exist

    def __getattr__(name: str) -> Any:
        if name in ("inputs", "report"):
            return getattr(importlib.import_module(f"hopslite.executor.{name}"), name)
        if name in __all__ or f"hopslite.{name}" in sys.modules:  # the latter are stand-ins for modules of HopsML's
            return importlib.import_module(f"hopslite.{name}")
        raise AttributeError(f"module 'hopslite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


register()
