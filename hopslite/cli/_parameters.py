"""What stands after the program on the command line of `hopslite run`: its parameters, and its words as typed."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from ..runtime.command import Argument, parameter_name

__all__ = ["Parameters", "by_value", "parsed"]

WHITE = " \t\n\r"


class Parameters(NamedTuple):
    """A command line that has been read.

    Attributes:
        words: those before the first option, which belong to the command.
        arguments: the rest of the program's line, in its order.
        values: by name; a list has the values that are tried.
        texts: by name, how each value was written, by its JSON.
    """

    words: list[str]
    arguments: list[Argument]
    values: dict[str, Any]
    texts: dict[str, dict[str, str]]


def parsed(given: Sequence[str]) -> Parameters:
    """Read `--lr 0.1`, `--lr=0.1`, `--lr '[0.1, 1e-3]'`, `--layers 64 32`, `--flag`, and what is no option.

    The program gets what was typed, so that it does not matter here what an option means to it: only the value that is
    shown of `--flag data.csv` is a guess.

    Raises:
        UsageError: a list has no values, or which values are to be tried cannot be told.
    """
    left = list(given)
    found = Parameters([], [], {}, {})
    while left and not left[0].startswith("--"):
        found.words.append(left.pop(0))
    while left:
        word = left.pop(0)
        if word == "--":
            found.arguments.append(Argument((word, *left), is_filled=False))
            break
        if word.startswith("--"):
            _take_option(found, word, left)
        else:
            found.arguments.append(Argument((word,)))
    return found


def by_value(values: Sequence[Any], texts: Sequence[str]) -> dict[str, str]:
    """How values were written, by their JSON, which tells 1 from 1.0 and true."""
    return {json.dumps(value): text for value, text in zip(values, texts, strict=True)}


def _take_option(found: Parameters, word: str, left: list[str]) -> None:
    option, equals, text = word.partition("=")
    name = parameter_name(option[2:])
    if not name.isidentifier():
        raise click.UsageError(f"{word}: {option[2:]!r} is no name of a parameter")
    typed = [text] if equals else _values(option, left)
    value, texts = _read(typed[0]) if len(typed) == 1 else (" ".join(typed) or True, [" ".join(typed) or "true"])
    if name in found.values:
        if isinstance(value, list) or isinstance(found.values[name], list):
            raise click.UsageError(
                f"{option} is given more than once, and once as a list, each of whose values would be tried; give one "
                "list of them, or what is no such list after a bare --"
            )
        value = " ".join([*found.texts[name].values(), *texts])
        texts = [value]
    found.values[name] = value
    found.texts[name] = by_value(value if isinstance(value, list) else [value], texts)
    if isinstance(value, list):
        words = (f"{option}={{{name}}}",) if equals else (option, f"{{{name}}}")
        found.arguments.append(Argument(words, name))
    else:
        found.arguments.append(Argument((word,) if equals else (option, *typed), name, is_filled=False))


def _values(option: str, left: list[str]) -> list[str]:
    """Take the words that are an option's; a list is all that it has."""
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
    """Whether a word is an option, as `-v` is and `-0.5` is not."""
    if re.match(r"-[^\W\d]", word):
        with contextlib.suppress(ValueError):
            float(word)  # -inf
            return False
        return True
    return word.startswith("--")


def _is_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except ValueError:
        return False


def _read(text: str) -> tuple[Any, list[str]]:
    """A value that was typed, or several; and how each was written."""
    try:
        value = json.loads(text)
    except ValueError:
        if text.lstrip().startswith("["):
            raise click.UsageError(
                f"{text} is no list in JSON, such as '[0.1, 0.01]' or '[\"adam\", \"sgd\"]'"
            ) from None
        return text, [text]
    if value == []:
        raise click.UsageError("a parameter has an empty list of values; give at least one")
    if not isinstance(value, list):
        return (value if isinstance(value, (int, float)) else text), [text]
    texts = _elements(text)
    is_clear = len({json.dumps(each) for each in value}) >= len(set(texts))
    return (value if is_clear else texts), texts  # of 1.1 and 1.10 only their texts are two values


def _elements(text: str) -> list[str]:
    """How each value of a list was written; a text is itself, without its quotes."""
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
