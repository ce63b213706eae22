"""YAML of job files: values with the nodes that they come from, which have lines and spellings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

__all__ = ["Document", "load_document"]

EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
TEXT, FLOAT = "tag:yaml.org,2002:str", "tag:yaml.org,2002:float"
MERGE = "<<"


class Document(NamedTuple):
    """A document.

    Attributes:
        node: its root, with merge keys (`<<`) resolved; None if there is nothing.
        values: what it says.
        problems: line and message of keys that are there twice, and of texts that no program can be given.
    """

    node: Any
    values: Any
    problems: list[tuple[int, str]]


def load_document(text: str, numbers_in: str) -> Document:
    """Load a YAML document.

    Args:
        numbers_in: the key below which `1e-3` is a number, as on a command line; YAML 1.1 takes it for a text.
            Elsewhere it may be a commit or a name.

    Raises:
        YAMLError, ValueError, RecursionError: it cannot be read.
    """
    loader = yaml.SafeLoader(text)
    try:
        node: Any = loader.get_single_node()
        if node is None:
            return Document(None, None, [])
        problems = list(_problems(node, set()))
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value == numbers_in:
                _mark_numbers(value, set())
        return Document(node, loader.construct_document(node), problems)
    finally:
        loader.dispose()


def _children(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _problems(node: Any, seen: set[int]) -> Iterator[tuple[int, str]]:
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode) and "\0" in node.value:
        yield node.start_mark.line + 1, "a text has a NUL character (\\0), which programs cannot be given"
    names = set()
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode) and key.value != MERGE:
            if key.value in names:
                yield key.start_mark.line + 1, f"{key.value} is there twice"
            names.add(key.value)
    for child in _children(node):
        yield from _problems(child, seen)


def _mark_numbers(node: Any, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode) and node.tag == TEXT and node.style is None and EXPONENT.fullmatch(node.value):
        node.tag = FLOAT
    for child in _children(node):
        _mark_numbers(child, seen)
