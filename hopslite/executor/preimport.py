"""Preimport of frameworks in the fork server: which modules, and with which environment variables.

Heavy imports are paid once per slot. Only packages that are safe to import before a fork are preimported (importing
them starts no thread that a child would miss and touches no GPU). Frameworks read variables such as `KERAS_BACKEND`
when they are imported, so the fork server imports them with the variables that the trial had set by then.
"""

from __future__ import annotations

import contextlib
import dis
import importlib
import importlib.abc
import importlib.machinery
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from types import CodeType, ModuleType
from typing import Any

from .trial_log import silenced_output

__all__ = ["ImportWatcher", "framework_environment", "import_all", "loaded_frameworks", "predict_imports"]

FRAMEWORKS = frozenset(
    [
        "hopslite",
        "numpy",
        "scipy",
        "pandas",
        "sklearn",
        "matplotlib",
        "tensorflow",
        "keras",
        "tf_keras",
        "torch",
        "torchvision",
        "xgboost",
        "lightgbm",
        "catboost",
        "transformers",
        "lightning",
        "pytorch_lightning",
        "statsmodels",
    ]
)
_READ_AT_IMPORT = frozenset(
    [
        "KERAS_BACKEND",
        "KERAS_HOME",
        "TF_USE_LEGACY_KERAS",
        "TF_ENABLE_ONEDNN_OPTS",
        "TF_XLA_FLAGS",
        "XLA_FLAGS",
        "CUDA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "MPLBACKEND",
        "MPLCONFIGDIR",
        "PYTORCH_CUDA_ALLOC_CONF",
    ]
)


def predict_imports(fn: Callable[..., Any]) -> list[str]:
    """Framework modules that a function's own code imports; empty if it also changes the environment."""
    code = getattr(inspect.unwrap(getattr(fn, "__func__", fn)), "__code__", None)
    if code is None:
        return []
    modules: dict[str, None] = {}
    for nested in _nested_code(code):
        if {"environ", "putenv"} & set(nested.co_names):
            return []
        for instruction in dis.get_instructions(nested):
            if instruction.opname == "IMPORT_NAME" and str(instruction.argval).partition(".")[0] in FRAMEWORKS:
                modules[instruction.argval] = None
    return list(modules)


def _nested_code(code: CodeType) -> Iterable[CodeType]:
    yield code
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _nested_code(constant)


def loaded_frameworks() -> set[str]:
    """Framework packages, and their public direct submodules, that this process has imported."""
    if not FRAMEWORKS & sys.modules.keys():  # looks up each of a few names, and so touches little memory
        return set()
    return {
        name
        for name in list(sys.modules)
        if name.partition(".")[0] in FRAMEWORKS and name.count(".") <= 1 and "._" not in name
    }


def framework_environment() -> dict[str, str]:
    """The environment variables that frameworks read when they are imported."""
    return {name: os.environ[name] for name in _READ_AT_IMPORT if name in os.environ}


def import_all(names: Iterable[str], on_import: Callable[[str], None]) -> None:
    """Import modules, ignoring failures, which the trial will meet where the user sees them.

    Args:
        tell: called with a module's name before it is imported, since the import may end this process.
    """
    with silenced_output():
        for name in sorted(names):
            if name not in sys.modules:
                on_import(name)
                with contextlib.suppress(Exception):  # foreign modules may raise anything
                    importlib.import_module(name)


class ImportWatcher(importlib.abc.MetaPathFinder):
    """Import hook that reports each framework once, before it is imported in this process."""

    def __init__(self, on_import: Callable[[str], None]) -> None:
        self._on_import = on_import

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        # importlib.util.find_spec only checks that a module exists; torch does so for half of the frameworks
        caller = sys._getframe(2).f_code.co_name
        if path is None and fullname in FRAMEWORKS and caller != "find_spec":
            self._on_import(fullname)
        return None
