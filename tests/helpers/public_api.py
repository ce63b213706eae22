"""The public names of hopslite with their signatures, in a form that can be stored and compared.

`python -m tests.helpers.public_api` writes what is public now into the file that `test_public_api` compares with. That
is right after an addition that is to be kept from then on, and never to make a failing test pass.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hopslite

RECORD = Path(__file__).resolve().parents[1] / "unit" / "public" / "public_api.json"
NOT_IN_ALL = ("result", "search")  # modules that users import as well
PROTOCOLS = ("__call__", "__enter__", "__exit__", "__getitem__", "__iter__", "__len__")
POSITIONAL = ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD")
VARIADIC = ("VAR_POSITIONAL", "VAR_KEYWORD")

Signature = list[list[str]]  # a name, a kind and, where there is one, a default for each parameter
Api = dict[str, Any]  # dotted names, each with a kind or a signature


def public_api() -> Api:
    """The members of every public module by their dotted names."""
    api: Api = {name: _described(getattr(hopslite, name)) for name in hopslite.__all__}
    for module_name in (*hopslite.__all__, *NOT_IN_ALL):
        if module_name in ("inputs", "report"):
            continue
        api[module_name] = "module"
        module = importlib.import_module(f"hopslite.{module_name}")
        for name in module.__all__:
            if name in getattr(module, "LAZY_CLASSES", ()):  # to look at them would import a framework
                api[f"{module_name}.{name}"] = "class"
                continue
            member = getattr(module, name)
            api[f"{module_name}.{name}"] = _described(member)
            if inspect.isclass(member):
                api |= {f"{module_name}.{name}.{attribute}": value for attribute, value in _attributes(member)}
    return dict(sorted(api.items()))


def removals(before: Api, now: Api) -> list[str]:
    """Everything in which the API has lost or changed something; additions are not mentioned."""
    changes = []
    for name, old in before.items():
        if name not in now:
            changes.append(f"{name} is gone")
        elif isinstance(old, list) and isinstance(now[name], list):
            changes += [f"{name}: {change}" for change in _parameter_changes(old, now[name])]
        elif old != now[name]:
            changes.append(f"{name} was {old} and is {now[name]}")
    return changes


def _parameter_changes(before: Signature, now: Signature) -> Iterator[str]:
    current = {parameter[0]: parameter for parameter in now}
    for parameter in before:
        if current.get(parameter[0]) != parameter:
            yield f"parameter {parameter} is {current.get(parameter[0], 'gone')}"
    order_before = [parameter[0] for parameter in before if parameter[1] in POSITIONAL]
    order_now = [parameter[0] for parameter in now if parameter[1] in POSITIONAL]
    if order_now[: len(order_before)] != order_before:
        yield f"positional parameters were {order_before} and are {order_now}"
    known = {parameter[0] for parameter in before}
    for name, kind, *default in now:
        if name not in known and kind not in VARIADIC and not default:
            yield f"the new parameter {name} has no default"


def _described(value: Any) -> str | Signature:
    if inspect.ismodule(value):
        return "module"
    if inspect.isclass(value):
        has_own = _is_ours(value) and not issubclass(value, enum.Enum) and not getattr(value, "_is_protocol", False)
        return _signature(value) if has_own else "class"
    return _signature(value) if callable(value) else "value"


def _attributes(cls: type) -> Iterator[tuple[str, str | Signature]]:
    """Public attributes that a class of hopslite's defines, with those of its bases in hopslite."""
    for base in (base for base in cls.__mro__ if _is_ours(base)):
        for name, value in vars(base).items():
            if not name.startswith("_") or name in PROTOCOLS:
                method = value.__func__ if isinstance(value, classmethod | staticmethod) else value
                is_public = inspect.isfunction(method) and name not in PROTOCOLS  # Python passes those by position
                yield name, _signature(method) if is_public else "attribute"
        yield from ((name, "attribute") for name in vars(base).get("__annotations__", {}) if not name.startswith("_"))


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "hopslite"


def _signature(fn: Callable[..., Any]) -> str | Signature:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return "class" if inspect.isclass(fn) else "callable"
    return [
        [
            parameter.name,
            parameter.kind.name,
            *([_shown(parameter.default)] * (parameter.default is not parameter.empty)),
        ]
        for parameter in parameters
    ]


def _shown(default: Any) -> str:
    """A default without what differs between processes and versions of Python."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(default))


def lines(api: Api) -> str:
    """JSON with a line for each name, so that a changed one is seen in a diff."""
    return "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in api.items()) + "\n}\n"


if __name__ == "__main__":
    RECORD.write_text(lines(public_api()))
