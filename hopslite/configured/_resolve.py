"""From the values of a configuration to objects, in a trial's process."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import os
from types import ModuleType
from typing import Any

from ..errors import HopsliteError, InvalidConfiguration
from ..executor.inputs import inputs
from ._allowed import Names, Target
from ._check import INPUT, REFERENCE, object_name
from ._document import Document, Path
from ._trial_log import say
from ._trial_paths import path_within

__all__ = ["Resolver"]

WRITTEN = {  # arguments of callbacks that say where they write, and their defaults
    "BackupAndRestore": ("backup_dir", None),
    "CSVLogger": ("filename", None),
    "ModelCheckpoint": ("filepath", None),
    "TensorBoard": ("log_dir", "logs"),
}


@dataclasses.dataclass(frozen=True)
class Resolver:
    """Makes the objects of one configuration.

    Attributes:
        document: the configuration.
        names: the names that it may use; those of a driver that has no Keras are checked here for the first time.
        folder: the trial's directory, in which callbacks write; default: the working directory.
    """

    document: Document
    names: Names
    folder: str = ""

    def make(self, value: Any, path: Path) -> Any:
        """The object, or the list, mapping or plain value of objects, that a value of the configuration describes.

        Raises:
            InvalidConfiguration: a name or an argument is wrong; with the file, the line and the path.
        """
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, list):
            return [self.make(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        name = object_name(value, self.names.exported)
        if name is None:
            return {key: self.make(item, (*path, key)) for key, item in value.items()}
        place = (*path, name)
        target = self._target(name, place)
        arguments = {key: self.make(item, (*place, key)) for key, item in (value[name] or {}).items()}
        return self._call(target, self._import(target, place), arguments, place)

    def problem(self, path: Path, text: str) -> InvalidConfiguration:
        return InvalidConfiguration([f"{self.document.place(path)}: {text}"])

    def _text(self, value: str, path: Path) -> Any:
        match = REFERENCE.fullmatch(value) if value.startswith("${") else None
        if match is None:
            return value
        if match["cache"] is not None:
            return self._cached(match["cache"], path)
        name = match["name"]
        if name.startswith(INPUT):
            return inputs[name.removeprefix(INPUT)]
        return self._import(self._target(name, path), path)

    def _cached(self, name: str, path: Path) -> Any:
        for index in range(int(path[0]), -1, -1):
            cache = self.document.values[index].get("cache")
            if cache:
                try:
                    return self.make(cache[name], (index, "cache", name))
                except RecursionError:
                    raise self.problem((index, "cache", name), "the value refers to itself") from None
        raise self.problem(path, f"the cache has no {name!r}")

    def _target(self, name: str, path: Path) -> Target:
        target = self.names.target(name)
        if isinstance(target, str):
            raise self.problem(path, target)
        return target

    def _import(self, target: Target, path: Path) -> Any:
        """The class or function of a name; never a method, a module, or an object that is defined elsewhere."""
        if not target.module:
            return self.names.exported[target.attribute]
        try:
            value = getattr(importlib.import_module(target.module), target.attribute)
        except AttributeError:
            raise self.problem(path, f"{target.module} has no {target.attribute!r}") from None
        except ImportError as error:
            raise self.problem(path, f"{target.name} cannot be imported: {error}") from None
        problem = _foreign(target, value)
        if problem:
            raise self.problem(
                path, f"{target.name} is {problem}; only classes and functions of {target.package} are allowed"
            )
        return value

    def _call(self, target: Target, function: Any, arguments: dict[str, Any], path: Path) -> Any:
        if not callable(function):
            raise self.problem(path, f"{target.name} is no class or function; write it as ${{{target.name}}}")
        try:
            inspect.signature(function).bind(**arguments)
        except TypeError as error:
            raise self.problem(path, f"{target.name}: {error}") from None
        except ValueError:  # it has no signature
            pass
        if target.module == "keras.callbacks":
            arguments = self._within_trial(target, arguments, path)
        try:
            return function(**arguments)
        except HopsliteError as error:
            raise self.problem(path, _message(error)) from error
        except Exception as error:
            if target.is_own:  # its traceback is of the user's code
                say(f"{self.document.place(path)} could not be made")
                raise
            raise self.problem(path, f"{target.name}: {_message(error)}") from error

    def _within_trial(self, target: Target, arguments: dict[str, Any], path: Path) -> dict[str, Any]:
        """The arguments of a callback with what it writes in the trial's directory."""
        if target.attribute not in WRITTEN:
            return arguments
        key, default = WRITTEN[target.attribute]
        written = arguments.get(key, default)
        if not isinstance(written, str):
            raise self.problem(path, f"{key} is a path in the trial's directory; given {written!r}")
        folder = self.folder or os.getcwd()
        if target.attribute == "TensorBoard":  # the run's TensorBoard shows what is there
            return {**arguments, key: folder}
        try:
            destination = path_within(folder, written, is_template=target.attribute == "ModelCheckpoint")
        except ValueError as error:
            raise self.problem((*path, key), str(error)) from None
        return {**arguments, key: destination}


def _foreign(target: Target, value: Any) -> str:
    """Problem of a value that is not defined in the package it was looked up in; empty if it is defined there."""
    if isinstance(value, ModuleType):
        return "a module"
    own = getattr(value, "__module__", None)
    if not isinstance(value, type) and not callable(value):
        is_constant = type(value).__module__.partition(".")[0] == target.package  # such as tf.float32
        return "" if is_constant else f"a value of type {type(value).__name__}"
    if isinstance(value, functools.partial) or inspect.ismethod(value):
        return "bound to values of its own"
    if not isinstance(own, str) or own.partition(".")[0] != target.package:
        return f"defined in {own or 'no module'}"
    return ""


def _message(error: BaseException) -> str:
    problems = getattr(error, "problems", None)
    return "; ".join(problems) if problems else " ".join(str(error).split()) or type(error).__name__
