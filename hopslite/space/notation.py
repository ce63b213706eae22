"""Search-space axes written as text or as data, for command lines, job files and configurations.

```text
loguniform(1e-4, 1e-1)          uniform(0, 0.5, step=0.1)       choice(adam, sgd)
int(8, 512, log)                normal(0, 1, high=2)            grid(0, 1, 2)
```

In YAML and JSON an axis is a mapping of one key: `{loguniform: [1e-4, 1e-1]}`, `{int: [8, 512, log]}`,
`{uniform: {low: 0, high: 0.5, step: 0.1}}`. In a configuration, whose mappings have other meanings, the name has a
prefix: `{"$loguniform": [1e-4, 1e-1]}`.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.plain_values import short
from ..core.suggestions import closest
from ..errors import InvalidArguments
from .argument_text import Word, as_number, split_arguments
from .choices import choice, grid
from .conditions import When, when
from .dimensions import Dimension, integer, loguniform, uniform
from .normal_distribution import lognormal, normal

__all__ = ["Axis", "FORMS", "Form", "parse_mapping", "parse_text"]

SIMILAR = 0.75  # of names: `choose(x)` may be a value of a program, `loguniforn(1, 2)` is a mistake
CALL = re.compile(r"\s*(?P<prefix>\W?)(?P<name>[A-Za-z_]\w*)\s*\((?P<inside>.*)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Axis:
    """A search-space axis that was written down.

    Attributes:
        dimension: what a search space takes.
        texts: for a choice or grid, how each of its values was written: `1e-3` is another text than `0.001`. Otherwise,
            and for values that were not written as text, empty.
    """

    dimension: Dimension | When
    texts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Form:
    """A kind of axis: its constructor, and an example that is shown in messages."""

    make: Callable[..., Dimension | When]
    example: str

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.make).parameters

    @property
    def flags(self) -> set[str]:
        """Arguments that are true or false; in text the bare name sets them."""
        return {name for name, parameter in self.parameters.items() if parameter.default is False}

    @property
    def takes_values(self) -> bool:
        """True if positional arguments are the values themselves, any number of them."""
        return "values" in self.parameters and self.make is not when

    @property
    def usage(self) -> str:
        """Arguments in the notation of texts, such as `low, high, step=1, log=false`."""
        if self.takes_values:
            others = [f"{name}=…" for name in self.parameters if name != "values"]
            return ", ".join(["value", "value", "…", *others])
        return ", ".join(
            name if parameter.default is parameter.empty else f"{name}={_default(parameter.default)}"
            for name, parameter in self.parameters.items()
        )


_integer = Form(integer, "int(8, 512, log)")

FORMS: dict[str, Form] = {
    "uniform": Form(uniform, "uniform(0, 0.5, step=0.1)"),
    "loguniform": Form(loguniform, "loguniform(1e-4, 1e-1)"),
    "int": _integer,
    "integer": _integer,
    "normal": Form(normal, "normal(0, 1)"),
    "lognormal": Form(lognormal, "lognormal(-7, 2, high=0.1)"),
    "choice": Form(choice, "choice(adam, sgd)"),
    "grid": Form(grid, "grid(0, 1, 2)"),
    "when": Form(when, "when(opt, sgd, uniform(0, 0.99))"),
}
# Names in other libraries and of Python.
OTHER_NAMES = {
    "quniform": "uniform",
    "suggest_float": "uniform",
    "log_uniform": "loguniform",
    "qloguniform": "loguniform",
    "randint": "int",
    "qrandint": "int",
    "lograndint": "int",
    "quniformint": "int",
    "suggest_int": "int",
    "randn": "normal",
    "qnormal": "normal",
    "log_normal": "lognormal",
    "categorical": "choice",
    "suggest_categorical": "choice",
    "grid_search": "grid",
}


def parse_text(text: str, *, prefix: str = "") -> Axis | None:
    """Parse an axis such as `int(8, 512, log)`; None for a text that is none.

    Arguments are given in the order of the constructors of `hopslite.space`, or by name (`log=true`); the bare name of
    a flag sets it. Values of a choice are numbers, true, false, or texts, with or without quotes.

    >>> parse_text("int(8, 512, log)").dimension
    Integer(low=8, high=512, log=True)
    >>> parse_text("choice(1e-3, adam)")
    Axis(dimension=Choice(values=(0.001, 'adam')), texts=('1e-3', 'adam'))
    >>> parse_text("resize(224)") is None  # a value of a program's own
    True

    Args:
        prefix: what the name begins with; a text without it is no axis, and any name after one is.

    Raises:
        InvalidArguments: it is an axis with a mistake: the name nearly is one of `FORMS`, or arguments are wrong.
    """
    match = CALL.fullmatch(text)
    if match is None or match["prefix"] != prefix:
        return None
    inside = match["inside"].rstrip()
    name = _name(match["name"], prefix, inside.endswith(")"))
    if name is None:
        return None
    if not inside.endswith(")"):
        raise _invalid(f"{short(text)} does not end with the bracket that closes it; write {_usage(name, prefix)}")
    positional, named = _arguments(name, prefix, inside[:-1], short(text))
    if FORMS[name].takes_values:
        return _listed(FORMS[name], positional, named, short(text))
    return _made(name, prefix, [word.read() for word in positional], named, short(text))


def parse_mapping(mapping: object, *, prefix: str = "") -> Axis | None:
    """Parse an axis such as `{"loguniform": [1e-4, 1e-1]}`; None for a value that is none.

    The value is a list of arguments or a mapping of them by name: `{"int": [8, 512, "log"]}` and
    `{"int": {"low": 8, "high": 512, "log": true}}` are the same. Values of a choice may be of any type.

    >>> parse_mapping({"$loguniform": [1e-4, 1e-1]}, prefix="$").dimension
    LogUniform(low=0.0001, high=0.1)
    >>> parse_mapping({"$choice": [1, {"units": 2}]}, prefix="$").dimension.values
    (1, {'units': 2})

    Args:
        prefix: what the name begins with, such as `$`; a mapping without such a name is no axis, and any such name must
            be one of an axis.

    Raises:
        InvalidArguments: it is an axis with a mistake, as for `parse_text`; or an axis has other keys beside it.
    """
    if not isinstance(mapping, Mapping):
        return None
    names = {
        key: name
        for key in mapping
        if isinstance(key, str) and key.startswith(prefix)
        if (name := _name(key.removeprefix(prefix), prefix, prefix != "" or len(mapping) == 1))
    }
    if not names:
        return None
    key, name = next(iter(names.items()))
    if len(mapping) > 1:
        others = ", ".join(repr(other) for other in mapping if other != key)
        raise _invalid(f"{key!r} is an axis of a search space, and stands alone in its mapping; beside it: {others}")
    value, shown = mapping[key], f"{{{key}: {short(mapping[key])}}}"
    form = FORMS[name]
    if isinstance(value, Mapping):
        return _made(name, prefix, [], dict(value), shown)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _invalid(f"{shown}: give {prefix}{name} a list of arguments, or a mapping of them: {_data_example(name)}")
    if form.takes_values:
        return _listed(form, list(value), {}, shown)
    named = value[-1] if value and isinstance(value[-1], Mapping) and name != "when" else {}
    arguments = [as_number(item) for item in (value[:-1] if named else value)]
    return _made(name, prefix, arguments, dict(named), shown)


def _name(name: str, prefix: str, is_whole: bool) -> str | None:
    """Name of an axis; None if this is something else.

    Raises:
        InvalidArguments: it is nearly one, or has the prefix that only axes have.
    """
    if name in FORMS:
        return name
    near = OTHER_NAMES.get(name.lower()) or closest(name.lower(), FORMS, SIMILAR)
    if not is_whole or (near is None and not prefix):
        return None
    axes = ", ".join(prefix + known for known in FORMS)
    hint = f"did you mean {_usage(near, prefix)}?" if near else f"there are {axes}"
    escape = "" if prefix else " A value that only looks like an axis is written as a list of one value."
    raise _invalid(f"there is no axis {prefix}{name}; {hint}{escape}")


def _arguments(name: str, prefix: str, inside: str, shown: str) -> tuple[list[Word], dict[str, Any]]:
    """Arguments by place, as they were written, and the values of those by name."""
    positional: list[Word] = []
    named: dict[str, Any] = {}
    form = FORMS[name]
    for word in split_arguments(inside, shown):
        left, equals, value = word.partition("=")
        keyword = left.strip()
        if equals and form.takes_values and keyword == "values" and value.strip().startswith("["):
            positional += map(Word, split_arguments(value.strip()[1:-1], shown))
        elif equals and keyword in form.parameters:
            if keyword in named or not value.strip():
                raise _invalid(
                    f"{shown}: {keyword} is there twice" if value.strip() else f"{shown}: {word} has no value"
                )
            named[keyword] = Word(value).read()
        elif equals and not form.takes_values and keyword.isidentifier():
            _raise_unknown(keyword, name, prefix, shown)
        else:
            positional.append(Word(word))
    return positional, named


def _listed(form: Form, values: list[Any], named: dict[str, Any], shown: str) -> Axis:
    """Axis of values, whose texts are kept."""
    if not values or all(isinstance(value, Word) for value in values):
        texts = [value.plain for value in values]
        read = [value.read() for value in values]
        if len(set(map(json.dumps, read))) < len(set(texts)):
            read = texts  # 1.1 and 1.10 are equal, but different texts
    else:
        texts, read = [], values
    if "values" in named:
        if read:
            raise _invalid(f"{shown}: values are given twice, with and without the name")
        read = named.pop("values")
    try:
        return Axis(form.make(read, **named), tuple(texts))
    except InvalidArguments as error:
        raise _invalid(f"{shown}: {'; '.join(error.problems)}; such as {form.example}") from None


def _made(name: str, prefix: str, positional: list[Any], named: dict[str, Any], shown: str) -> Axis:
    form = FORMS[name]
    for flag in [value for value in positional if isinstance(value, str) and value in form.flags]:
        positional.remove(flag)
        named.setdefault(flag, True)
    for keyword in named:
        if keyword not in form.parameters:
            _raise_unknown(str(keyword), name, prefix, shown)
    usage = f"write {_usage(name, prefix)}, such as {prefix}{form.example}"
    if len(positional) > len(form.parameters):
        raise _invalid(f"{shown}: {len(positional)} arguments, and there are {len(form.parameters)}; {usage}")
    arguments = dict(zip(form.parameters, positional, strict=False))
    if twice := arguments.keys() & named.keys():
        raise _invalid(f"{shown}: {min(twice)} is given twice, by its place and by its name; {usage}")
    arguments |= {keyword: value if keyword == "values" else as_number(value) for keyword, value in named.items()}
    required = [key for key, parameter in form.parameters.items() if parameter.default is parameter.empty]
    if missing := [key for key in required if key not in arguments]:
        raise _invalid(f"{shown}: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; {usage}")
    if form.make is integer:
        arguments = {key: _whole(value) for key, value in arguments.items()}
    texts: tuple[str, ...] = ()
    if form.make is when and (axis := _inner(arguments["dimension"], prefix)) is not None:
        arguments["dimension"], texts = axis.dimension, axis.texts
    try:
        return Axis(form.make(**arguments), texts)
    except InvalidArguments as error:
        raise _invalid(f"{shown}: {'; '.join(error.problems)}") from None


def _whole(value: Any) -> Any:
    """Integer of a float such as `1e6`; another value unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _inner(dimension: Any, prefix: str) -> Axis | None:
    """Axis below a condition; None for a list of values and other things that a search space takes."""
    if isinstance(dimension, str):
        return parse_text(dimension, prefix=prefix)
    return parse_mapping(dimension, prefix=prefix)


def _default(value: Any) -> str:
    return "…" if value is None else json.dumps(value)


def _raise_unknown(keyword: str, name: str, prefix: str, shown: str) -> None:
    near = closest(keyword, FORMS[name].parameters)
    hint = f"did you mean {near}?" if near else f"write {_usage(name, prefix)}"
    raise _invalid(f"{shown}: {prefix}{name} has no argument {keyword!r}; {hint}")


def _usage(name: str, prefix: str) -> str:
    return f"{prefix}{name}({FORMS[name].usage})"


def _data_example(name: str) -> str:
    example = FORMS[name].example
    return f"[{example[example.index('(') + 1 : -1]}]"


def _invalid(problem: str) -> InvalidArguments:
    return InvalidArguments("search space", [problem])
