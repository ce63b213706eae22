"""Expansion of environment variables in a command's words, as in a shell: `$NAME`, `${NAME:-text}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

__all__ = ["escape_quoted_dollars", "expand", "variable_names"]

NAME = r"[A-Za-z_][A-Za-z_0-9]*"
VARIABLE = rf"\$(?:(?P<dollar>\$)|(?P<bare>{NAME})|\{{(?P<braced>{NAME})(?P<default>:-[^{{}}]*)?\}})"
VARIABLE_OR_FIELD = re.compile(rf"{VARIABLE}|\{{(?P<field>\w+)\}}")


def expand(word: str, variables: Mapping[str, str], field: Callable[[str], str | None] | None = None) -> str:
    """Word with its variables and fields expanded. Inserted text is not expanded again.

    `$$` is a dollar. A variable that is not set stays as it was written, unless it has a default.

    >>> expand("$OUT/${RATE:-0.1}-{lr} $$5 $nobody", {"OUT": "/tmp"}, {"lr": "{x}"}.get)
    '/tmp/0.1-{x} $5 $nobody'

    Args:
        field: the text for the name in `{name}`, or None for one that is no field. Without it there are no fields.
    """

    def value(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        name = match["bare"] or match["braced"]
        text = variables.get(name) if name else None
        if match["default"] is not None:
            text = text or match["default"][2:]
        if text is None and field is not None and not match["bare"]:
            text = field(match["field"] or name)
        return match[0] if text is None else text

    return VARIABLE_OR_FIELD.sub(value, word)


def variable_names(word: str) -> Iterator[tuple[str, bool]]:
    """Names of the variables in a word; True for those with a default."""
    for match in re.finditer(VARIABLE, word):
        if not match["dollar"]:
            yield match["bare"] or match["braced"], match["default"] is not None


def escape_quoted_dollars(command: str) -> str:
    r"""Command with `$$` for each dollar that is quoted: in single quotes, and after a backslash.

    >>> print(escape_quoted_dollars(r"run '$A' \$B \"$C 'd'\""))
    run '$$A' $$B \"$C 'd'\"
    """
    text, quote, left = [], "", iter(command)
    for char in left:
        if char == "\\" and quote != "'":
            following = next(left, "")
            text.append("$$" if following == "$" else char + following)
            continue
        if char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        text.append("$$" if char == "$" and quote == "'" else char)
    return "".join(text)
