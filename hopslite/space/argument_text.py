"""Arguments of an axis in text form: words between commas, and the value of each."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from ..core.plain_values import short
from ..errors import InvalidArguments

__all__ = ["Word", "as_number", "split_arguments"]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
CLOSING = {"(": ")", "[": "]", "{": "}"}
WORDS = {"true": True, "false": False, "null": None}


class Word:
    """An argument as it was written."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()

    def read(self) -> Any:
        """The value of an argument: a number, true, false, null, a list, or a text."""
        text = self.text
        if text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) > 1:
            return _unquoted(text)
        if text.startswith("[") and text.endswith("]"):
            return [Word(item).read() for item in split_arguments(text[1:-1], short(text))]
        return as_number(text)

    @property
    def plain(self) -> str:
        """The text without its quotes."""
        value = self.read()
        return value if isinstance(value, str) else self.text


def as_number(value: Any) -> Any:
    """Number of a text, which YAML keeps of such as `1e-4`; another value unchanged."""
    if not isinstance(value, str):
        return value
    if value.lower() in WORDS:
        return WORDS[value.lower()]
    if not NUMBER.fullmatch(value):
        return value
    try:
        return int(value)
    except ValueError:
        return float(value)


def _unquoted(text: str) -> str:
    if text[0] == '"':
        with contextlib.suppress(ValueError):
            return str(json.loads(text))
    return text[1:-1]


def split_arguments(text: str, shown: str) -> list[str]:
    """Arguments between commas, which may hold brackets and quoted texts."""
    words, begin, closing, quote = [], 0, "", ""
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[place - 1] != "\\" else quote
        elif char in "'\"" and not text[begin:place].rpartition("=")[2].strip(" [("):
            quote = char
        elif char in CLOSING:
            closing += CLOSING[char]
        elif char in CLOSING.values():
            if closing[-1:] != char:
                raise _invalid(f"{shown}: {char!r} closes nothing; put a text with brackets into quotes")
            closing = closing[:-1]
        elif char == "," and not closing:
            words.append(text[begin:place])
            begin = place + 1
    if quote or closing:
        raise _invalid(f"{shown}: {quote or closing[-1]} is missing")
    if text.strip():
        words.append(text[begin:])
    if not all(word.strip() for word in words):
        raise _invalid(f"{shown}: an argument between commas is missing; write an empty text as ''")
    return words


def _invalid(problem: str) -> InvalidArguments:
    return InvalidArguments("search space", [problem])
