"""Paying for heavy imports once per slot: which frameworks the zygote should import, and with which environment.

Only packages that are known to be safe to import before a fork are preloaded (importing them starts no thread that a
child would miss and touches no GPU). Frameworks read variables such as `KERAS_BACKEND` when they are imported, so
the zygote imports them under the variables that the trial had set by then.
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

from .capture import silenced

__all__ = ["Watcher", "framework_environment", "import_all", "loaded_frameworks", "predicted"]

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


def predicted(fn: Callable[..., Any]) -> list[str]:
    """Framework modules that a function's own code will import; none when it also changes the environment."""
    code = getattr(inspect.unwrap(getattr(fn, "__func__", fn)), "__code__", None)
    if code is None:
        return []
    found: dict[str, None] = {}
    for part in _codes(code):
        if {"environ", "putenv"} & set(part.co_names):
            return []
        for instruction in dis.get_instructions(part):
            if instruction.opname == "IMPORT_NAME" and str(instruction.argval).partition(".")[0] in FRAMEWORKS:
                found[instruction.argval] = None
    return list(found)


def _codes(code: CodeType) -> Iterable[CodeType]:
    yield code
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _codes(constant)


def loaded_frameworks() -> set[str]:
    """Framework packages and their public direct submodules that this process has imported."""
    if not FRAMEWORKS & sys.modules.keys():  # looks up each of a few names, and so touches little memory
        return set()
    return {
        name
        for name in list(sys.modules)
        if name.partition(".")[0] in FRAMEWORKS and name.count(".") <= 1 and "._" not in name
    }


def framework_environment() -> dict[str, str]:
    """The variables that frameworks read when they are imported."""
    return {name: os.environ[name] for name in _READ_AT_IMPORT & os.environ.keys()}


def import_all(names: Iterable[str], tell: Callable[[str], None]) -> None:
    """Import what can be imported; a failure is left for the trial to meet where the user sees it.

    Args:
        tell: is called with a module's name before it is imported, which may be the last that this process does.
    """
    with silenced():
        for name in sorted(names):
            if name not in sys.modules:
                tell(name)
                with contextlib.suppress(Exception):  # foreign modules may raise anything
                    importlib.import_module(name)


class Watcher(importlib.abc.MetaPathFinder):
    """Tells, once each, which framework is about to be imported in this process."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        # importlib.util.find_spec only looks whether there is one; torch does so for half of the frameworks
        asked_by = sys._getframe(2).f_code.co_name
        if path is None and fullname in FRAMEWORKS and asked_by != "find_spec":
            self._tell(fullname)
        return None
