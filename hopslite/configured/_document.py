"""Configuration files in JSON, Hjson and YAML, read with the line of each value.

Hjson is read by the package `hjson`. It keeps no lines, but it calls one function for each object and array, with the
function that reads a value: the wrappers here record at which character a value begins. Python's own decoder for JSON
has the same functions.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
import json.decoder
import json.scanner
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from ..core import extras
from ..core.plain_values import short
from ..errors import InvalidArguments, InvalidConfiguration
from ..submission.text_files import read_text

__all__ = ["Document", "Path", "document_of", "read_document", "shown_path"]

Path = tuple[str | int, ...]

DEEPEST = 100  # levels of nesting
MOST_VALUES = 100_000  # YAML's references can make a file of one kilobyte billions of them
ENDINGS = (".json", ".hjson", ".yaml", ".yml")
COLLECTIONS = ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")
MERGE = "tag:yaml.org,2002:merge"
EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+")


@dataclasses.dataclass(frozen=True)
class Document:
    """A configuration as plain values, with the line on which each value begins.

    Attributes:
        values: lists, dicts with texts as keys, texts, numbers, bools and None.
        name: the file's path; empty for values of a program.
        lines: by the path of a value, such as `(0, "model", "keras.Model")`; empty for values of a program.
    """

    values: Any
    name: str = ""
    lines: Mapping[Path, int] = dataclasses.field(default_factory=dict)

    def place(self, path: Path) -> str:
        """The file, the line and the path in the configuration, for messages."""
        line = next((self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines), None)
        where = self.name if line is None else f"{self.name}, line {line}"
        return ": ".join(filter(None, (where, shown_path(path))))


def shown_path(path: Path) -> str:
    """A path for people: cycles count from 1.

    >>> shown_path((0, "train_loop", "keras.callbacks.TensorBoard", "log_dir"))
    'cycle 1 > train_loop > keras.callbacks.TensorBoard > log_dir'
    """
    parts = [f"cycle {path[0] + 1}" if isinstance(path[0], int) else path[0]] if path else []
    for part in path[1:]:
        if isinstance(part, int):
            parts[-1] += f"[{part}]"
        else:
            parts.append(part)
    return " > ".join(parts)


def document_of(config: Any) -> Document:
    """The document of a configuration that a program has: a path, a list of cycles, or one cycle.

    Raises:
        InvalidConfiguration: it is something else, or the file cannot be read.
    """
    if isinstance(config, str | os.PathLike):
        return read_document(os.fspath(config))
    return _checked(Document(_plain(config, ())))


def read_document(path: str) -> Document:
    """Read a configuration file.

    Raises:
        InvalidConfiguration: it is missing, not in its format, or nested too deeply; with the line.
        MissingExtra: it is in Hjson, and the package `hjson` is not installed.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        raise InvalidConfiguration([f"{path}: a configuration is a file in {', '.join(ENDINGS)}"])
    if not os.path.isfile(path):
        raise InvalidConfiguration([f"there is no configuration {path}"])
    text = read_text(path)
    try:
        if ending == ".hjson":
            extras.require("train", f"reading {path}")
            return _checked(_hjson(path, text))
        return _checked(_json(path, text) if ending == ".json" else _yaml(path, text))
    except RecursionError:
        raise InvalidConfiguration([f"{path}: it is nested more deeply than {DEEPEST} levels"]) from None
    except InvalidArguments:
        raise
    except ValueError as error:  # a number of thousands of digits, a 30th of February
        raise InvalidConfiguration([f"{path}: a value cannot be read: {error}"]) from None


def _checked(document: Document) -> Document:
    """The document with a list of cycles; one cycle may stand alone.

    Raises:
        InvalidConfiguration: it is neither, or there are no cycles.
    """
    values, lines = document.values, document.lines
    if isinstance(values, dict):
        values, lines = [values], {(0, *path): line for path, line in lines.items()}
    if not isinstance(values, list) or not values:
        raise InvalidConfiguration(
            [
                f"{f'{document.name}: ' if document.name else ''}a configuration is a list of cycles, each a mapping; "
                f"given {short(values)}"
            ]
        )
    try:
        json.dumps(values, ensure_ascii=False).encode()  # as it is kept with the trials
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        name = f"{document.name}: " if document.name else ""
        raise InvalidConfiguration([f"{name}a text has {half!r}, which is no character"]) from None
    return dataclasses.replace(document, values=values, lines=lines)


def _plain(value: Any, path: Path) -> Any:
    """A copy of a program's values with lists for tuples."""
    if len(path) > DEEPEST:
        raise InvalidConfiguration([f"it is nested more deeply than {DEEPEST} levels"])
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(item, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, index)) for index, item in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise InvalidConfiguration(
        [
            f"{shown_path(path)}: a value is a text, a number, a bool, None, a list or a mapping; given "
            f"{short(value)} ({type(value).__name__})"
        ]
    )


def _key(key: Any, path: Path) -> str:
    if not isinstance(key, str):
        raise InvalidConfiguration([f"{shown_path(path)}: a name is a text; given {key!r}"])
    return key


class _Positions:
    """Records where the values of each object and array begin, while a decoder of JSON or Hjson reads them."""

    def __init__(self, text: str) -> None:
        self._ends = [match.end() for match in re.finditer("\n", text)]
        self._starts: dict[int, tuple[Any, list[int]]] = {}  # by the identity of the object or list, which is kept
        self.duplicate: tuple[int, str] | None = None
        self.pairs: list[tuple[str, Any]] = []

    def wrap(self, parse: Callable[..., Any], scan_at: int) -> Callable[..., Any]:
        """A decoder's function for objects or arrays, whose argument `scan_at` is the function that reads a value."""

        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            starts: list[int] = []
            scan = arguments[scan_at]

            def scan_once(text: str, index: int) -> Any:
                starts.append(index)
                return scan(text, index)

            value, end = parse(*arguments[:scan_at], scan_once, *arguments[scan_at + 1 :], **keywords)
            if isinstance(value, dict) and len(self.pairs) != len(value):
                names = [name for name, _ in self.pairs]
                place = next(place for place, name in enumerate(names) if name in names[:place])
                self.duplicate = self.duplicate or (self.line(starts[place]), names[place])
            self._starts[id(value)] = (value, starts)
            return value, end

        return wrapped

    def of_pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self.pairs = pairs
        return dict(pairs)

    def line(self, index: int) -> int:
        return bisect.bisect_right(self._ends, index) + 1

    def lines(self, value: Any, path: Path = ()) -> dict[Path, int]:
        """The line of each value below this one."""
        if len(path) > DEEPEST:
            raise RecursionError
        if not isinstance(value, dict | list):
            return {}
        lines: dict[Path, int] = {}
        items: Any = value.items() if isinstance(value, dict) else enumerate(value)
        _, starts = self._starts.get(id(value), (None, []))  # none for an empty file in Hjson
        for start, (key, item) in zip(starts, items, strict=True):
            place = (*path, key)
            lines[place] = self.line(start)
            lines |= self.lines(item, place)
        return lines

    def document(self, name: str, values: Any) -> Document:
        if self.duplicate:
            raise InvalidConfiguration([f"{name}, line {self.duplicate[0]}: {self.duplicate[1]!r} is there twice"])
        return Document(values, name, self.lines(values))


def _json(path: str, text: str) -> Document:
    """Read JSON; also with comments, which ktf allows in files of this name, where `hjson` is installed."""
    positions = _Positions(text)
    decoder: Any = json.JSONDecoder(object_pairs_hook=positions.of_pairs)
    decoder.parse_object = positions.wrap(json.decoder.JSONObject, 2)  # type: ignore[attr-defined]
    decoder.parse_array = positions.wrap(json.decoder.JSONArray, 1)  # type: ignore[attr-defined]
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    try:
        return positions.document(path, decoder.decode(text))
    except json.JSONDecodeError as error:
        problem = InvalidConfiguration(
            [f"{path}, line {error.lineno}: this is not JSON: {error.msg}; a file with comments is in Hjson: .hjson"]
        )
    if not extras.missing(["train"]):
        try:
            return _hjson(path, text)
        except InvalidConfiguration:
            pass
    raise problem


def _hjson(path: str, text: str) -> Document:
    import hjson
    import hjson.decoder

    positions = _Positions(text)
    decoder: Any = hjson.HjsonDecoder(object_pairs_hook=positions.of_pairs)
    decoder.parse_object = positions.wrap(hjson.decoder.JSONObject, 3)
    decoder.parse_array = positions.wrap(hjson.decoder.JSONArray, 1)
    decoder.scan_once, decoder.scan_object_once = hjson.decoder.make_scanner(decoder)
    try:
        return positions.document(path, decoder.decode(text))
    except hjson.HjsonDecodeError as error:
        raise InvalidConfiguration([f"{path}, line {error.lineno}: this is not Hjson: {error.msg}"]) from None
    except IndexError:  # the package's, at the end of the text
        raise InvalidConfiguration([f"{path}: this is not Hjson: it ends within a comment or a text"]) from None


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also reads `1e-4` as a number."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))


def _yaml(path: str, text: str) -> Document:
    loader = None
    try:
        loader = _Loader(text)  # it reads the first characters
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        values = None if node is None else _constructed(loader, node, (), lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else path
        problem = getattr(error, "problem", None) or getattr(error, "reason", error)
        raise InvalidConfiguration([f"{where}: this is not YAML: {problem}"]) from None
    finally:
        if loader is not None:
            loader.dispose()
    return Document(values, path, lines)


def _constructed(loader: _Loader, node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    """Plain value of a YAML node; only scalars are left to YAML's constructors."""
    line = node.start_mark.line + 1
    lines[path] = line
    if len(path) > DEEPEST:
        raise RecursionError
    if len(lines) > MOST_VALUES:
        raise yaml.MarkedYAMLError(problem=f"it has more than {MOST_VALUES} values", problem_mark=node.start_mark)
    if not isinstance(node, yaml.ScalarNode) and node.tag not in COLLECTIONS:
        raise yaml.MarkedYAMLError(problem=f"{node.tag} is no list or mapping", problem_mark=node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        return [_constructed(loader, child, (*path, index), lines) for index, child in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        value = loader.construct_object(node)
        if value is None or isinstance(value, str | bool | int | float):
            return value
        raise yaml.MarkedYAMLError(
            problem=f"{short(value)} is a {type(value).__name__}; write a text in quotes", problem_mark=node.start_mark
        )
    items = _merged(node, {}).items()
    return {name: _constructed(loader, child, (*path, name), lines) for name, child in items}


def _merged(node: yaml.MappingNode, known: dict[int, dict[str, yaml.Node] | None]) -> dict[str, yaml.Node]:
    """Nodes of a mapping by name, with those of the mappings that its merge keys (`<<: *base`) name.

    Args:
        known: results by the identity of nodes, as references can make billions of a few; None while one is made.
    """
    if id(node) in known:
        if (done := known[id(node)]) is not None:
            return done
        raise yaml.MarkedYAMLError(problem="<<: a mapping merges itself", problem_mark=node.start_mark)
    known[id(node)] = None
    inherited: dict[str, yaml.Node] = {}
    own: dict[str, yaml.Node] = {}
    for key, child in node.value:
        if key.tag == MERGE:
            for source in reversed(child.value if isinstance(child, yaml.SequenceNode) else [child]):
                if not isinstance(source, yaml.MappingNode):
                    problem = "<< is followed by a mapping, or a list of mappings, such as *base"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=source.start_mark)
                inherited |= _merged(source, known)
            continue
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        if name is None or name in own:
            problem = "a name is a text" if name is None else f"{name!r} is there twice"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        own[name] = child
    known[id(node)] = merged = {**inherited, **own}
    return merged
