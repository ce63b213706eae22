"""Training functions that certainly save no checkpoint, which an algorithm that goes on from checkpoints refuses.

A function is refused only if all of the code that it can reach is known: its own, that of its program, the standard
library and well-known frameworks. What a package of the user's company does with a trial's directory nobody can tell.
"""

from __future__ import annotations

import argparse
import ast
import collections
import dis
import functools
import inspect
import io
import os
import re
import sys
import types
import zipfile
from collections.abc import Iterable
from typing import Any

from ..executor.preimport import FRAMEWORKS
from ..programs.command import Command
from ..search import Search

__all__ = ["checkpoint_problem"]

MARK = "checkpoint"  # in checkpoint_dir(), HOPSLITE_CHECKPOINT_DIR, and the name of the folder
KNOWN_PACKAGES = FRAMEWORKS | {"PIL", "cv2", "flax", "jax", "optax", "seaborn", "tensorflow_datasets", "torchmetrics"}
DYNAMIC = {"__import__", "compile", "eval", "exec", "globals"}  # built-in functions
STARTING = {"importlib", "multiprocessing", "pty", "runpy", "subprocess"}  # modules that run other code
# Functions of os and asyncio that start programs.
STARTS = re.compile(r"system|popen|startfile|posix_spawnp?|(exec|spawn)[lv]p?e?|create_subprocess_(exec|shell)")
HOLDERS = (  # of values of the user's, in attributes
    types.SimpleNamespace,
    argparse.Namespace,
    functools.cached_property,
    functools.partialmethod,
    functools.singledispatchmethod,
)
PLAIN = (str, bytes, int, float, complex, bool, type(None))
PARTS_READ = 10_000  # functions, classes and values that are looked at


def checkpoint_problem(train_fn: Any, name: str, search: Search) -> str | None:
    """Problem of a training function, or a command, with an algorithm that goes on from its checkpoints.

    Args:
        name: the function's.
    """
    if not getattr(search, "needs_checkpoints", False):
        return None
    if isinstance(train_fn, Command):
        subject, folder, is_silent = train_fn.program, "$HOPSLITE_CHECKPOINT_DIR", _is_silent(train_fn)
    else:
        subject, folder = f"{name}()", "experiment.checkpoint_dir()"
        is_silent = _Reader().is_silent([train_fn])
    if not is_silent:
        return None
    return (
        f"{subject} saves nothing in {folder}, and this algorithm goes on from there: save the state of the training "
        'before it returns, and look for it at the start; "asha" and "hyperband" also work without'
    )


class _Reader:
    """Reader of the code that a function can reach; `is_silent` is False as soon as something is not known."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}

    def is_silent(self, values: Iterable[Any]) -> bool:
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if id(value) in self._seen:
                continue
            self._seen[id(value)] = value  # kept, so that no other object gets its id meanwhile
            parts = self._parts(value)
            if parts is None or len(self._seen) > PARTS_READ:
                return False
            waiting += parts
        return True

    def _parts(self, value: Any) -> list[Any] | None:
        """Values that this one refers to; None if it mentions checkpoints, or is of an unknown kind."""
        if isinstance(value, PLAIN):
            return None if isinstance(value, str) and MARK in value.lower() else []
        if isinstance(value, os.PathLike) and _is_known(type(value).__module__):
            return [os.fspath(value)]
        if isinstance(value, (list, tuple, set, frozenset, collections.deque)):
            return list(value)
        if isinstance(value, HOLDERS):
            return list(vars(value).values())
        if isinstance(value, (dict, types.MappingProxyType)):
            return [*value.keys(), *value.values()]
        if isinstance(value, functools.partial):
            return [value.func, value.args, value.keywords]
        if isinstance(value, (staticmethod, classmethod)):
            return [value.__func__]
        if isinstance(value, property):
            return [value.fget, value.fset, value.fdel]
        if isinstance(value, types.ModuleType):
            return [] if _is_known(value.__name__) else None
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            return self._parts_of_code(value)
        return [] if _is_known(type(value).__module__) and not callable(value) else None

    def _parts_of_code(self, value: Any) -> list[Any] | None:
        if MARK in value.__name__.lower():
            return None
        if _is_known(getattr(value, "__module__", None) or ""):
            return []
        if isinstance(value, types.FunctionType):
            return _parts_of_function(value)
        if isinstance(value, type):
            return [*value.__bases__, *(item for name, item in vars(value).items() if not _is_slot(name, item))]
        return None


def _parts_of_function(fn: types.FunctionType) -> list[Any] | None:
    try:
        captured = [cell.cell_contents for cell in fn.__closure__ or ()]
    except ValueError:  # not assigned yet
        return None
    parts = [*captured, fn.__defaults__, fn.__kwdefaults__, getattr(fn, "__wrapped__", None)]
    for code in _nested(fn.__code__):
        texts = [item for item in code.co_consts if isinstance(item, (str, tuple))]
        names = (*code.co_names, *code.co_varnames, *code.co_cellvars)
        if any(MARK in str(text).lower() for text in (*names, *texts)) or any(map(STARTS.fullmatch, names)):
            return None
        instructions = [item for item in dis.get_instructions(code) if item.opname != "EXTENDED_ARG"]
        for index, instruction in enumerate(instructions):
            name = str(instruction.argval)
            if instruction.opname == "IMPORT_NAME" and (instructions[index - 2].argval != 0 or not _is_known(name)):
                return None  # the level of the import, which is loaded before it, tells `.io` from `io`
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                if name in DYNAMIC:
                    return None
                parts += [fn.__globals__[name]] if name in fn.__globals__ else []
    return parts


def _nested(code: types.CodeType) -> Iterable[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _nested(constant)


def _is_slot(name: str, value: Any) -> bool:
    """True for entries of a class that Python has made."""
    return name in ("__dict__", "__weakref__", "__doc__", "__annotations__", "__module__") or isinstance(
        value, (types.MemberDescriptorType, types.GetSetDescriptorType)
    )


def _is_known(module: str) -> bool:
    """True for a module whose code saves nothing in a trial's directory unless it gets the path."""
    package = module.partition(".")[0]
    return package not in ("__main__", *STARTING) and (package in KNOWN_PACKAGES or package in sys.stdlib_module_names)


def _is_silent(command: Command) -> bool:
    """True if a command is a Python program whose files, arguments and variables mention no checkpoints."""
    if not command.words[-1].endswith((".py", ".ipynb")) or command.is_notebook or len(command.words) != 1:
        return False
    texts = [*command.environment, *command.environment.values()]
    texts += [word for argument in command.arguments for word in argument.words]
    texts += [text for spellings in command.texts.values() for text in spellings.values()]
    if any(MARK in text.lower() for text in texts):
        return False
    with zipfile.ZipFile(io.BytesIO(command.code)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    own = {part for name in files for part in name.removesuffix(".py").split("/")}
    return command.program in files and all(
        MARK.encode() not in content.lower() and (not name.endswith(".py") or _imports_known(content, own))
        for name, content in files.items()
    )


def _imports_known(source: bytes, own: set[str]) -> bool:
    """True if a module imports only known packages and files that travel with it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return False
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.append(node.module or "")
            if any(STARTS.fullmatch(alias.name) for alias in node.names):
                return False
        if isinstance(node, ast.Name) and node.id in DYNAMIC:
            return False
        if isinstance(node, ast.Attribute) and STARTS.fullmatch(node.attr):
            return False
    return all(_is_known(name) or name.partition(".")[0] in own for name in names)
