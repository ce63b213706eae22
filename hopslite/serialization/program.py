"""The user's program in serialized form, and as the `__main__` of trials.

`serialize` runs on the driver; `Program` is its result, in the fork server, in a slot that runs trials itself, and in
processes that a trial spawns.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import io
import linecache
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..core.child_python import python_command
from ..core.redaction import REDACTED
from ..runs.function_fingerprint import is_installed
from .broadcasts import broadcast_environment, register
from .driver_settings import DriverSettings
from .program_pickler import MAIN_NAMES, ProgramPickler, is_plain

__all__ = ["PROGRAM_FILE", "Program", "broadcast_variables", "load", "program_file", "serialize", "without_texts"]

SECRET_LENGTH = 6  # characters of a text that is replaced in sources

PROGRAM_FILE = "HOPSLITE_PROGRAM"  # variable with the path of the file from which spawned processes load the program
SPAWNED_MAIN = f"{__package__}.spawned_main"
MAX_DEFINITION = 1 << 20
MAX_DEFINITIONS = 16 << 20
MAX_SOURCE = 4 << 20
TRIAL_LOAD_SECONDS = 60.0
_NOTEBOOK_NAMES = frozenset(["In", "Out", "exit", "get_ipython", "quit"])


@dataclasses.dataclass(frozen=True)
class _ProgramParts:
    """Parts of a serialized program: plain data, readable before any of the user's code runs."""

    function: bytes
    definitions: dict[str, tuple[list[str], bytes]]  # with the names of those that must be loaded before
    values: dict[str, Any]
    load_all: bool
    sources: dict[str, str]
    attributes: dict[str, Any]
    settings: DriverSettings
    broadcasts: tuple[int, ...] = ()


def serialize(fn: Callable[..., Any], objects: list[Any]) -> bytes:
    """Serialize a training function and its hyperparameter values, with the program around them.

    Raises:
        Exception: whatever pickling raises; `pickle.PicklingError` with the reason where loading it again fails.
    """
    main = sys.modules["__main__"]
    with io.BytesIO() as file:
        pickler = ProgramPickler(file, main)
        pickler.dump((fn, objects))
        function = file.getvalue()
    values = {n: v for n, v in list(vars(main).items()) if _is_public(n) and is_plain(v)}
    definitions, filenames = _definitions(main, pickler.names, values.keys())
    parts = _ProgramParts(
        function=function,
        definitions=definitions,
        values=values,
        load_all=pickler.reads_namespace,
        sources=_sources(pickler.filenames | filenames),
        attributes={name: vars(main)[name] for name in ("__doc__", "__file__", "__package__") if name in vars(main)},
        settings=DriverSettings.capture(),
        broadcasts=tuple(pickler.broadcasts),
    )
    payload = pickle.dumps(parts)
    if pickler.needs_trial_load:
        _check_loadable(payload, {str(number): broadcast._path for number, broadcast in pickler.broadcasts.items()})
    return payload


def broadcast_variables(fn: Callable[..., Any], objects: list[Any]) -> tuple[Any, ...]:
    """The broadcast variables of Spark that a function and its values refer to."""
    pickler = ProgramPickler(io.BytesIO(), sys.modules["__main__"])
    pickler.dump((fn, objects))
    return tuple(pickler.broadcasts.values())


def without_texts(payload: bytes, secrets: Collection[str] = ()) -> bytes:
    """A program for a record, without texts that its training function does not refer to: one may be a password.

    Args:
        secrets: texts that the program's sources, which tracebacks and `inspect` show, have no more.
    """
    parts: _ProgramParts = pickle.loads(payload)
    hidden = [text for text in secrets if len(text) >= SECRET_LENGTH]  # a shorter one may be part of any word
    sources = {
        name: functools.reduce(lambda known, text: known.replace(text, REDACTED), hidden, source)
        for name, source in parts.sources.items()
    }
    values = {name: value for name, value in parts.values.items() if is_plain(value, (bool, int, float, type(None)))}
    return pickle.dumps(dataclasses.replace(parts, values=values, sources=sources))


def load(payload: bytes) -> tuple[Callable[..., Any], list[Any]]:
    """The function and the values, without changing this process's `__main__`."""
    program = Program(payload)
    if program.uses_broadcasts:
        raise pickle.UnpicklingError("it uses a broadcast variable, which ended with its Spark session")
    with program.as_main():
        return program.load()


def _definitions(
    main: ModuleType, pickled: set[str], values: Collection[str]
) -> tuple[dict[str, tuple[list[str], bytes]], set[str]]:
    """Functions, classes and modules of a program that its training function does not refer to.

    Trials need them when they load a pickle, or look a name up at run time. Each is pickled by itself, and left out if
    that fails.
    """
    variables = list(vars(main).items())
    candidates = [name for name, value in variables if name not in pickled and _is_definition(name, value)]
    bound = {*candidates, *pickled, *values}
    definitions: dict[str, tuple[list[str], bytes]] = {}
    filenames: set[str] = set()
    size = 0
    for name in candidates:
        with _BoundedFile() as file:
            pickler = ProgramPickler(file, main, bound, root=name)
            try:
                pickler.dump(vars(main)[name])
            except Exception:  # noqa: BLE001 - each type has errors of its own; the training function does not need it
                continue
            content = file.getvalue()
        size += len(content)
        if size <= MAX_DEFINITIONS:
            definitions[name] = pickler.parents, content
            filenames |= pickler.filenames
    return definitions, filenames


class _BoundedFile(io.BytesIO):
    """File with a maximum size, so that no time is spent on data that would be left out."""

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > MAX_DEFINITION:
            raise OverflowError(f"more than {MAX_DEFINITION} bytes")
        return super().write(data)


def _is_public(name: str) -> bool:
    return not name.startswith("_") and name not in _NOTEBOOK_NAMES


def _is_definition(name: str, value: Any) -> bool:
    if isinstance(value, ModuleType):
        return _is_public(name)
    is_own = callable(value) and getattr(value, "__module__", None) in MAIN_NAMES
    return is_own and name not in _NOTEBOOK_NAMES and getattr(value, "__qualname__", None) == name


def _sources(filenames: set[str]) -> dict[str, str]:
    """The source text of the program's files and notebook cells."""
    sources = {}
    for name in filenames:
        if not is_installed(name) and (lines := linecache.getlines(name)):
            text = "".join(lines)
            if len(text) <= MAX_SOURCE:
                sources[name] = text
    return sources


def _check_loadable(payload: bytes, broadcasts: Mapping[str, str]) -> None:
    """Load the program in another process, as a trial will, since the user's classes may have unpickling code.

    Args:
        broadcasts: the files of broadcast variables, by number.

    Raises:
        pickle.PicklingError: it fails there.
    """
    command, path = python_command(
        f"from {__name__} import _load_and_report; _load_and_report()", [entry for entry in sys.path if entry]
    )
    try:
        completed = subprocess.run(
            command,
            input=payload,
            capture_output=True,
            check=False,
            env={**os.environ, **path, **broadcast_environment(broadcasts)},
            timeout=TRIAL_LOAD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise pickle.PicklingError(f"loading it took more than {TRIAL_LOAD_SECONDS:g} s in another process") from None
    if completed.returncode:
        reason = completed.stdout.decode(errors="replace").strip() or f"exit code {completed.returncode}"
        raise pickle.PicklingError(f"it cannot be loaded in another process ({reason})")


def _load_and_report() -> None:
    program = Program(sys.stdin.buffer.read())
    program.install()
    register()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            program.load()
    except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
        print(f"{type(error).__name__}: {error}"[:500])  # noqa: T201 - the answer
        sys.exit(1)


# --- where trials run


class _ProgramSpec(ModuleSpec):
    """Module spec of a trial's `__main__`, whose name `multiprocessing` imports in processes that it spawns."""

    def __init__(self, package: str | None) -> None:
        super().__init__(SPAWNED_MAIN, None)
        self._package = package

    @property
    def parent(self) -> str | None:
        """The program's package, for relative imports."""
        return self._package


class Program:
    """A serialized program that can be installed as `__main__` and loaded."""

    def __init__(self, payload: bytes) -> None:
        self._parts: _ProgramParts = pickle.loads(payload)
        self._definitions = dict(self._parts.definitions)
        self._main = ModuleType("__main__")
        vars(self._main).update(self._parts.attributes)
        self._main.__spec__ = _ProgramSpec(self._parts.attributes.get("__package__"))
        vars(self._main)["__getattr__"] = self._load_definition

    def install(
        self, arguments: Sequence[str] | None = None, framework_filters: Sequence[tuple[Any, ...]] = ()
    ) -> None:
        """Install the program in this process for good.

        Args:
            arguments: its command line.
            framework_filters: warning filters of frameworks that this process has imported before.
        """
        sys.modules["__main__"] = self._main
        if arguments is not None:
            sys.argv[:] = arguments
        self._register_sources()
        self._parts.settings.apply(framework_filters)

    @contextlib.contextmanager
    def installed(self, arguments: Sequence[str]) -> Iterator[None]:
        """Install the program in this process temporarily."""
        previous = sys.argv[:]
        with self.as_main(), self._parts.settings.applied():
            sys.argv[:] = arguments
            try:
                yield
            finally:
                sys.argv[:] = previous

    @contextlib.contextmanager
    def as_main(self) -> Iterator[None]:
        """Make the program `__main__` temporarily."""
        previous = sys.modules["__main__"]
        sys.modules["__main__"] = self._main
        self._register_sources()
        try:
            yield
        finally:
            sys.modules["__main__"] = previous

    def load(self) -> tuple[Callable[..., Any], list[Any]]:
        """The training function and the values; the program must be `__main__`.

        Raises:
            Exception: whatever the user's classes raise when they are unpickled.
        """
        fn, objects = pickle.loads(self._parts.function)
        if self._parts.load_all:
            for name in (*self._parts.values, *self._parts.definitions):
                with contextlib.suppress(Exception):  # it may never be used
                    getattr(self._main, name)
        return fn, objects

    @property
    def uses_broadcasts(self) -> bool:
        """True if the function refers to broadcast variables, which only processes of its Spark session have."""
        return bool(getattr(self._parts, "broadcasts", ()))

    @property
    def namespace(self) -> dict[str, Any]:
        return vars(self._main)

    def _load_definition(self, name: str) -> Any:
        """`__getattr__` of the module: load a definition that the training function does not refer to."""
        if name in self._parts.values:
            value = copy.deepcopy(self._parts.values[name])
        elif name in self._definitions:
            for parent in self._definitions[name][0]:
                getattr(self._main, parent)
            if name in vars(self._main):  # a parent refers to it, as a registry of subclasses does
                return vars(self._main)[name]
            value = pickle.loads(self._definitions.pop(name)[1])
        else:
            raise AttributeError(f"module '__main__' has no attribute {name!r}")
        return vars(self._main).setdefault(name, value)

    def _register_sources(self) -> None:
        """Register the program's source text with `linecache`, for `inspect` and tracebacks."""
        for name, text in self._parts.sources.items():
            # without a time of modification the entry stays, whether this machine has the file or not
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


@contextlib.contextmanager
def program_file(payload: bytes, folder: str) -> Iterator[dict[str, str]]:
    """Write a program to a local file for processes that trials spawn; yields the variable with its path.

    On a full disk there is no file, and a trial that spawns processes gets an error that says so.
    """
    path = None
    try:
        descriptor, path = tempfile.mkstemp(prefix="hopslite-program-", dir=folder)
        with open(descriptor, "wb") as file:
            file.write(payload)
    except OSError:
        pass
    try:
        yield {PROGRAM_FILE: path} if path else {}
    finally:
        if path:
            with contextlib.suppress(OSError):
                os.unlink(path)
