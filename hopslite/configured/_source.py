"""Public names and arguments of packages that are installed, read from their source.

A driver checks configurations without importing TensorFlow and Keras, which takes seconds and, on some drivers, cannot
be done at all. What cannot be read here is not known, and is checked in the trial.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import os
from collections.abc import Iterable

__all__ = ["Arguments", "arguments_of", "exported_names", "public_names"]

DEEPEST = 10  # base classes


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Arguments that a class or function takes by name.

    Attributes:
        names: in their order.
        required: those without a default.
        is_open: whether there may be others.
    """

    names: tuple[str, ...]
    required: frozenset[str]
    is_open: bool


def public_names(namespace: str) -> tuple[str, ...] | None:
    """The names that a module imports from its package's source or defines; None if it is not installed here."""
    tree = _tree(namespace)
    if tree is None:
        return None
    names = [
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if _path(f"{node.module}.{alias.name}") is None  # a module
    ]
    names += [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return tuple(dict.fromkeys(name for name in names if not name.startswith("_")))


def arguments_of(module: str, attribute: str) -> Arguments | None:
    """The arguments of a class or function of an installed module; None if they cannot be read from the source."""
    return _arguments(module, attribute, DEEPEST)


def exported_names(source: str, path: str) -> dict[str, Arguments]:
    """The classes and functions with the decorator `export_config` in a program's source.

    Raises:
        SyntaxError: it is not Python.
    """
    tree = ast.parse(source, path)
    return {
        node.name: _signature(node) if isinstance(node, ast.FunctionDef) else _own(node)
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and any(ast.unparse(decorator).rpartition(".")[2] == "export_config" for decorator in node.decorator_list)
    }


def _own(node: ast.ClassDef) -> Arguments:
    """Arguments of a class of the user's, whose bases are not read."""
    constructor = _constructor(node)
    return _signature(constructor) if constructor else Arguments((), frozenset(), True)


@functools.lru_cache(256)
def _tree(module: str) -> ast.Module | None:
    path = _path(module)
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return None


def _path(module: str) -> str | None:
    """The file of a module, found without importing the packages above it."""
    package, *parts = module.split(".")
    folder = _folder(package)
    if folder is None:
        return None
    base = os.path.join(folder, *parts)
    candidates = (os.path.join(base, "__init__.py"), f"{base}.py")
    return next((candidate for candidate in candidates if os.path.isfile(candidate)), None)


@functools.lru_cache(16)
def _folder(package: str) -> str | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    return next(iter(spec.submodule_search_locations or ()), None) if spec else None


def _arguments(module: str, attribute: str, depth: int) -> Arguments | None:
    tree = _tree(module)
    if tree is None or depth == 0:
        return None
    for node in _statements(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name == attribute:
            return _signature(node)
        if isinstance(node, ast.ClassDef) and node.name == attribute:
            return _of_class(module, node, depth)
    source = _import(tree, attribute)
    return _arguments(*source, depth - 1) if source else None


def _statements(body: Iterable[ast.stmt]) -> Iterable[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from [*node.body, *node.orelse]


def _import(tree: ast.Module, name: str) -> tuple[str, str] | None:
    """The module and attribute that a name is imported from."""
    for node in _statements(tree.body):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return node.module, alias.name
    return None


def _of_class(module: str, node: ast.ClassDef, depth: int) -> Arguments | None:
    constructor = _constructor(node)
    own = _signature(constructor) if constructor else Arguments((), frozenset(), True)
    if not own.is_open or not node.bases:
        return own
    bases = [base for base in (_base(module, base, depth) for base in node.bases) if base is not None]
    if not bases:
        return own
    names = tuple(dict.fromkeys([*own.names, *(name for base in bases for name in base.names)]))
    required = own.required if constructor else bases[0].required
    return Arguments(names, required, any(base.is_open for base in bases))


def _base(module: str, base: ast.expr, depth: int) -> Arguments | None:
    tree = _tree(module)
    if tree is None:
        return None
    if isinstance(base, ast.Name):
        return _arguments(module, base.id, depth - 1)
    if isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name):
        source = _import(tree, base.value.id)
        return _arguments(f"{source[0]}.{source[1]}", base.attr, depth - 1) if source else None
    return None


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    """The constructor; of a class that is called through `__new__`, such as `keras.Model`, none."""
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    return None if "__new__" in methods and "__init__" not in methods else methods.get("__init__")


def _signature(node: ast.FunctionDef) -> Arguments:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :] if arguments.defaults else []
    with_default += [a for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default]
    optional = {argument.arg for argument in with_default}
    names = [argument.arg for argument in [*positional, *arguments.kwonlyargs] if argument.arg not in ("self", "cls")]
    return Arguments(
        tuple(names),
        frozenset(name for name in names if name not in optional),
        arguments.kwarg is not None or arguments.vararg is not None,
    )
