"""Parser for the program's parameters on the command line of `hopslite run`, which keeps them as typed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from ..errors import InvalidArguments
from ..programs.command import Argument, parameter_name
from ..space import Choice, When
from ..space.notation import Axis, parse_text

__all__ = ["Parameters", "by_value", "parse_parameters", "texts_of", "with_distinct_texts"]

WHITE = " \t\n\r"
LONGEST = 200  # characters of a value that a message shows


class Parameters(NamedTuple):
    """Parsed command line.

    Attributes:
        words: those before the first option, which belong to the command.
        arguments: the rest of the program's line, in its order.
        values: by name; a list has the values that are tried, an `Axis` is one of a search space.
        texts: by name, how each value was written, by its JSON.
    """

    words: list[str]
    arguments: list[Argument]
    values: dict[str, Any]
    texts: dict[str, dict[str, str]]


def parse_parameters(words: Sequence[str]) -> Parameters:
    """Parse `--lr 0.1`, `--lr=0.1`, `--lr '[0.1, 1e-3]'`, `--layers 64 32`, `--flag`, and other words.

    The program gets what was typed, so that it does not matter here what an option means to it: only the value that is
    shown of `--flag data.csv` is a guess.

    Raises:
        UsageError: a list has no values, or which values are to be tried cannot be told.
    """
    left = list(words)
    parameters = Parameters([], [], {}, {})
    while left and not left[0].startswith("--"):
        parameters.words.append(left.pop(0))
    while left:
        word = left.pop(0)
        if word == "--":
            parameters.arguments.append(Argument((word, *left), is_filled=False, is_expanded=False))
            break
        if word.startswith("--"):
            _take_option(parameters, word, left)
        else:
            parameters.arguments.append(Argument((word,)))
    return parameters


def by_value(values: Sequence[Any], texts: Sequence[str]) -> dict[str, str]:
    """Texts of values by their JSON, which tells 1 from 1.0 and true."""
    return {json.dumps(value): text for value, text in zip(values, texts, strict=True)}


def with_distinct_texts(value: Any, texts: Sequence[str]) -> Any:
    """Value of a parameter; of a list or choice with equal numbers of other spelling, as 1.1 and 1.10, the texts."""
    if isinstance(value, list):
        return value if _are_distinct(value, texts) else list(texts)
    if not isinstance(value, Axis) or value.texts:
        return value
    dimension = value.dimension
    inner = dimension.dimension if isinstance(dimension, When) else dimension
    if not isinstance(inner, Choice) or _are_distinct(inner.values, texts):
        return value
    made = dataclasses.replace(inner, values=tuple(texts))
    return Axis(dataclasses.replace(dimension, dimension=made) if isinstance(dimension, When) else made, tuple(texts))


def _are_distinct(values: Sequence[Any], texts: Sequence[str]) -> bool:
    return len({json.dumps(value) for value in values}) >= len(set(texts))


def texts_of(value: Any, texts: Sequence[str]) -> dict[str, str]:
    """Texts of the values that a parameter can have, by their JSON."""
    if isinstance(value, Axis):
        dimension = value.dimension.dimension if isinstance(value.dimension, When) else value.dimension
        texts = value.texts or texts
        return by_value(dimension.values, texts) if isinstance(dimension, Choice) and texts else {}
    return by_value(value if isinstance(value, list) else [value], texts)


def _take_option(parameters: Parameters, word: str, left: list[str]) -> None:
    option, equals, text = word.partition("=")
    name = parameter_name(option[2:])
    if not name.isidentifier():
        raise click.UsageError(f"{word}: {option[2:]!r} is not a valid parameter name")
    typed = [text] if equals else _values(option, left)
    value, texts = _read(option, typed)
    if name in parameters.values:
        if isinstance(value, (list, Axis)) or isinstance(parameters.values[name], (list, Axis)):
            raise click.UsageError(
                f"{option} is given more than once, and once as a list or axis, whose values would be tried; give one "
                "list of them, or what is no such list after a bare --"
            )
        value = " ".join([*parameters.texts[name].values(), *texts])
        texts = [value]
    parameters.values[name] = value
    parameters.texts[name] = texts_of(value, texts)
    if isinstance(value, (list, Axis)):
        words = (f"{option}={{{name}}}",) if equals else (option, f"{{{name}}}")
        parameters.arguments.append(Argument(words, name))
    else:
        parameters.arguments.append(Argument((word,) if equals else (option, *typed), name, is_filled=False))


def _values(option: str, left: list[str]) -> list[str]:
    """Take the words that belong to an option; after a list there are no more."""
    values: list[str] = []
    while left and not _is_option(left[0]) and not (values and _is_list(values[0])):
        values.append(left.pop(0))
    if any(map(_is_list, values[1:])):
        raise click.UsageError(
            f"{option} {' '.join(values)}: a list, each of whose values would be tried, stands among other words; give "
            "it alone, or what is no such list after a bare --"
        )
    return values


def _is_option(word: str) -> bool:
    """True if a word is an option, as `-v` is and `-0.5` is not."""
    if re.match(r"-[^\W\d]", word):
        with contextlib.suppress(ValueError):
            float(word)  # -inf
            return False
        return True
    return word.startswith("--")


def _is_list(text: str) -> bool:
    """True for a list or axis, each of whose values is tried."""
    try:
        if parse_text(text) is not None:
            return True
    except InvalidArguments:
        return False  # said when it is read, if it stands alone
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False


def _read(option: str, typed: list[str]) -> tuple[Any, Sequence[str]]:
    """Parse what was typed for an option: a value, a list, or an axis; with the text of each value."""
    if len(typed) != 1:
        return " ".join(typed) or True, [" ".join(typed) or "true"]
    try:
        axis = parse_text(typed[0])
    except InvalidArguments as error:
        raise click.UsageError(f"{option}: {error.problems[0]}") from None
    return (axis, axis.texts) if axis is not None else _value(typed[0])


def _value(text: str) -> tuple[Any, list[str]]:
    """Parse a typed value, or a list; with the text of each."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if text.lstrip().startswith("["):
            raise click.UsageError(
                f"{text[:LONGEST]} is not a JSON list, such as '[0.1, 0.01]' or '[\"adam\", \"sgd\"]'"
            ) from None
        return text, [text]
    if value == []:
        raise click.UsageError("a parameter has an empty list of values; give at least one")
    if not isinstance(value, list):
        return (value if isinstance(value, (int, float)) else text), [text]
    texts = _elements(text)
    return with_distinct_texts(value, texts), texts


def _elements(text: str) -> list[str]:
    """Text of each value of a list; of a string, without its quotes."""
    decoder, texts = json.JSONDecoder(), []
    place = text.index("[")
    while text[place] != "]":
        start = place + 1
        while text[start] in WHITE:
            start += 1
        value, place = decoder.raw_decode(text, start)
        texts.append(value if isinstance(value, str) else text[start:place])
        while text[place] in WHITE:
            place += 1
    return texts
