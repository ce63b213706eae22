"""Python text as a sequence of tokens with positions, also where it is Python 2, has magics or does not parse.

parso recovers from errors: what does not parse becomes error tokens, and the statements around it stay statements.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import parso

__all__ = ["Import", "ImportedName", "Program", "Token"]


@dataclasses.dataclass(frozen=True)
class Token:
    """A token: its text, its offset, its line from 1 on, and the white space and comments before it."""

    text: str
    start: int
    line: int
    prefix: str
    is_name: bool
    is_string: bool

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclasses.dataclass(frozen=True)
class ImportedName:
    """A dotted or plain name in an import statement, with its tokens and the name that it gets, if any."""

    tokens: Sequence[Token]
    alias: str | None

    @property
    def dotted(self) -> str:
        return "".join(token.text for token in self.tokens)


@dataclasses.dataclass(frozen=True)
class Import:
    """An import statement. `module` is that of `from module import …`, empty for `import …`; a star is a name, too."""

    tokens: Sequence[Token]
    module: Sequence[Token]
    names: Sequence[ImportedName]

    @property
    def source(self) -> str:
        return "".join(token.text for token in self.module)

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def end(self) -> int:
        return self.tokens[-1].end


class Program:
    """A text with its tokens and import statements.

    Raises:
        RecursionError: it is nested too deeply.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        tree = parso.parse(text)
        self.tokens: list[Token] = []
        numbers: dict[int, int] = {}  # of a leaf's id, its place among the tokens
        offset = 0
        leaf = tree.get_first_leaf()
        while leaf is not None:
            offset += len(leaf.prefix)
            numbers[id(leaf)] = len(self.tokens)
            names, strings = leaf.type == "name", leaf.type == "string"
            self.tokens.append(Token(leaf.value, offset, leaf.start_pos[0], leaf.prefix, names, strings))
            offset += len(leaf.value)
            leaf = leaf.get_next_leaf()
        self.imports = [self._import(node, numbers) for node in _import_nodes(tree)]

    def line_of(self, token: Token) -> str:
        """The line on which a token begins."""
        start = max(self.text.rfind("\n", 0, token.start), self.text.rfind("\r", 0, token.start)) + 1
        return self.text[start:].splitlines()[0] if self.text[start:] else ""

    def _import(self, node: Any, numbers: dict[int, int]) -> Import:
        first = numbers[id(node.get_first_leaf())]
        tokens = self.tokens[first : numbers[id(node.get_last_leaf())] + 1]
        words = [token.text for token in tokens]
        module: Sequence[Token] = ()
        listed = tokens[1:]
        if words[0] == "from" and "import" in words:
            module, listed = tokens[1 : words.index("import")], tokens[words.index("import") + 1 :]
        return Import(tokens, module, tuple(_names(listed)))


def _import_nodes(node: Any) -> Iterator[Any]:
    if node.type in ("import_from", "import_name"):
        yield node
    else:
        for child in getattr(node, "children", ()):
            yield from _import_nodes(child)


def _names(tokens: Sequence[Token]) -> Iterator[ImportedName]:
    """The names of a list such as `(a.b as c, d)`."""
    dotted: list[Token] = []
    alias, after_as = None, False
    for token in tokens:
        if token.text == ",":
            if dotted:
                yield ImportedName(tuple(dotted), alias)
            dotted, alias, after_as = [], None, False
        elif token.text == "as":
            after_as = True
        elif after_as:
            alias = alias or token.text  # and not the bracket that follows
        elif token.is_name or token.text in (".", "*"):
            dotted.append(token)
    if dotted:
        yield ImportedName(tuple(dotted), alias)
