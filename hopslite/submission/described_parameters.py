"""Descriptions of the parameters of a job file: their type, what is allowed, and what they mean.

```yaml
params:
  lr: {default: 0.1, type: float, min: 0, help: step size of gradient descent}
  kernel: {default: rbf, choices: [rbf, poly]}
```

`hopslite run job.yml --help` shows them, values from the command line are checked with them, and a form can be made
from them.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..core.plain_values import is_integer, is_number, short
from ..core.suggestions import did_you_mean
from ..space import Choice, When
from ..space.argument_text import as_number
from ..space.notation import Axis

__all__ = ["Description", "FIELDS", "default_of", "description_problems", "help_of", "is_described", "unknown_name"]

FIELDS = ("default", "type", "help", "choices", "min", "max")
TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "flag": (lambda value: isinstance(value, bool), "true or false"),  # the option has no value; false: it is left out
    "int": (is_integer, "a whole number"),
    "float": (is_number, "a number"),
    "str": (lambda value: isinstance(value, (str, int, float)), "a text"),  # 1.10 may be a version
}
WIDTH = 100  # characters of a line of help


@dataclasses.dataclass(frozen=True)
class Description:
    """Description of one parameter.

    Attributes:
        default: its value, a list of values that are tried, or an axis of a search space as a job file has it.
        type: "bool", "flag" (an option without a value, which is left out where it is false), "int", "float" or "str".
        help: its meaning, in a line.
        choices: the values that are allowed; empty for any.
        low: the smallest number that is allowed.
        high: the largest.
    """

    default: Any
    type: str
    help: str = ""
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Description:
        """Description that a job file gives; it has no `description_problems`."""
        kind = item.get("type") or _type_of(item["default"], item.get("choices", ()))
        choices = tuple(item.get("choices") or ())
        default = item["default"]
        if kind in ("int", "float"):  # 1e-3 is a text in YAML
            default = [as_number(one) for one in default] if isinstance(default, list) else as_number(default)
        return cls(default, kind, item.get("help", ""), choices, item.get("min"), item.get("max"))

    @property
    def allowed(self) -> str:
        """Allowed values, for help and messages."""
        if self.choices:
            return _or(self.choices)
        bounds = [f"from {self.low:g}"] if self.low is not None else []
        bounds += [f"up to {self.high:g}"] if self.high is not None else []
        return " ".join([TYPES[self.type][1], *bounds])

    def problem(self, value: Any) -> str | None:
        """Problem of a value, a list of values, or an axis; None if all of it is allowed."""
        for one in _values(value):
            if self.choices:
                is_allowed = one in self.choices or str(one) in map(str, self.choices)
            else:
                is_allowed = TYPES[self.type][0](one) and self._is_within(one)
            if not is_allowed:
                names = [str(choice) for choice in self.choices]
                return f"is {short(one)}; {did_you_mean(str(one), names, f'it is {self.allowed}')}"
        return None

    def _is_within(self, value: Any) -> bool:
        if not is_number(value):
            return self.low is None and self.high is None
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def is_described(value: object) -> bool:
    """True if the value of a parameter in a job file is a description."""
    return isinstance(value, Mapping) and not value.keys().isdisjoint(FIELDS)


def default_of(value: Any) -> Any:
    """Value of a parameter in a job file, which may be in its description."""
    return value.get("default") if is_described(value) else value


def description_problems(item: Mapping[str, Any]) -> list[str]:
    """Problems of a description; the default is checked by whoever reads values, and later by `Description.problem`."""
    problems = [
        f"there is no {key!r}; {did_you_mean(str(key), FIELDS, _fields())}" for key in item if key not in FIELDS
    ]
    if item.get("default") is None:
        problems.append(f"it has no default; {_fields()}")
    if (kind := item.get("type")) is not None and kind not in list(TYPES):
        problems.append(f"type is {short(kind)}; {did_you_mean(str(kind), TYPES, f'types: {_or(TYPES)}')}")
    if not isinstance(item.get("help", ""), str):
        problems.append(f"help is {short(item['help'])}; it is a text")
    choices = item.get("choices")
    if choices is not None and not (isinstance(choices, list) and choices and all(map(_is_scalar, choices))):
        problems.append(f"choices is {short(choices)}; it is a list of values")
    for bound in ("min", "max"):
        if item.get(bound) is not None and not is_number(item[bound]):
            problems.append(f"{bound} is {short(item[bound])}; it is a number")
    return problems


def unknown_name(name: str, descriptions: Mapping[str, Description]) -> str | None:
    """Hint for a parameter that is not described and nearly has the name of one that is; None for other names."""
    return did_you_mean(name, descriptions) or None if name not in descriptions else None


def help_of(path: str, job: Mapping[str, Any], descriptions: Mapping[str, Description]) -> str:
    """Text that `hopslite run job.yml --help` shows."""
    lines = [f"Usage: hopslite run [OPTIONS] {path} [--NAME VALUE]...", ""]
    if job.get("message"):
        lines += [*textwrap.wrap(job["message"], WIDTH), ""]
    lines += [f"Command: {job['command']}", "", "Parameters; a JSON list such as '[1, 2]' tries each of its values:"]
    rows = [(f"  --{name}", descriptions.get(name), default) for name, default in job.get("params", {}).items()]
    width = max((len(row[0]) for row in rows), default=0) + 2
    for name, description, default in rows:
        meaning = [description.help, description.allowed] if description else []
        text = "; ".join([part for part in meaning if part] + [f"default {_shown(default)}"])
        lines += textwrap.wrap(text, WIDTH, initial_indent=name.ljust(width), subsequent_indent=" " * width)
    return "\n".join([*lines, "", "`hopslite run --help` shows the OPTIONS."])


def _shown(default: Any) -> str:
    if isinstance(default, Mapping):
        [(kind, arguments)] = default.items()
        items = arguments.items() if isinstance(arguments, Mapping) else ()
        inner = [f"{key}={item}" for key, item in items] or [str(item) for item in arguments]
        return f"{kind}({', '.join(inner)})"
    return " and ".join(map(str, default)) if isinstance(default, list) else str(default)


def _type_of(default: Any, choices: Sequence[Any]) -> str:
    """Type of the values of a parameter that has none of its own."""
    values = choices or (default if isinstance(default, list) else [default])
    for kind in ("bool", "int", "float"):
        if all(TYPES[kind][0](value) for value in values):
            return kind
    return "float" if isinstance(default, Mapping) and "choice" not in default and "grid" not in default else "str"


def _values(value: Any) -> Iterable[Any]:
    """Values, or limits of the values, that a parameter can have."""
    if isinstance(value, Axis):
        dimension = value.dimension.dimension if isinstance(value.dimension, When) else value.dimension
        if isinstance(dimension, Choice):
            return dimension.values
        return [
            bound for bound in (getattr(dimension, "low", None), getattr(dimension, "high", None)) if bound is not None
        ]
    return value if isinstance(value, list) else [value]


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, int, float, bool))


def _fields() -> str:
    return f"a description has {_or(FIELDS)}"


def _or(values: Iterable[object]) -> str:
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}" if others else last
