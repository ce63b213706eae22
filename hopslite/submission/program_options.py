"""Options that a Python program declares, for hints: an option of hopslite among them, and a switch with a value."""

from __future__ import annotations

import ast
import functools
import io
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..programs.command import PYTHONS, Command, parameter_name

__all__ = ["ProgramOptions", "option_hints"]

SOURCE_BYTES = 1 << 20  # larger files are no programs that somebody wrote
SWITCHES = ("store_true", "store_false", "store_const", "count")  # argparse's options without values


class ProgramOptions:
    """Options that the files of a Python program declare; a program in another language has no such object."""

    def __init__(self, sources: Mapping[str, str], program: str) -> None:
        self._texts = list(sources.values())
        self._has_argparse = any("argparse" in text for text in self._texts)
        self._program = ast.parse(sources[program])
        self._others = [text for name, text in sources.items() if name != program]

    @classmethod
    def of(cls, command: Command) -> ProgramOptions | None:
        """Options of a command's program; None if it is no Python that can be read."""
        words = [word for word in command.words if word not in PYTHONS]
        if command.is_notebook or not words or not words[0].endswith(".py"):
            return None
        with zipfile.ZipFile(io.BytesIO(command.code)) as archive:
            files = [item for item in archive.infolist() if item.filename.endswith(".py")]
            read = {item.filename: archive.read(item) for item in files if item.file_size <= SOURCE_BYTES}
        sources = {name: content.decode(errors="replace") for name, content in read.items()}
        try:
            return cls(sources, words[0])
        except (KeyError, SyntaxError, ValueError, RecursionError):
            return None

    @functools.cached_property
    def _trees(self) -> list[ast.AST]:
        """Syntax trees of all files, which take seconds of large programs, and are seldom needed."""
        return [self._program, *_parsed(self._others)]

    def declares(self, option: str) -> bool:
        """True if the program has an option such as `--metric`, or may have it."""
        name = option[2:].replace("-", "_")
        mentioned = re.compile(rf"--({name}|{re.escape(option[2:])})(?![\w-])|HOPSLITE_PARAM(S|_{name.upper()})\b")
        if any(mentioned.search(text) for text in self._texts):
            return True
        return not self._has_argparse and any(name in _defined(tree) for tree in self._trees)

    def is_switch(self, option: str) -> bool:
        """True if the program's argparse has an option that takes no value."""
        return any(_is_switch(node, option) for tree in self._trees for node in ast.walk(tree))


def _parsed(texts: Iterable[str]) -> Iterator[ast.AST]:
    for text in texts:
        try:
            yield ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue


def _defined(tree: ast.AST) -> set[str]:
    """Names of arguments and fields, from which libraries make options, and of options defined with a call."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            names.add(str(node.args[0].value))
    return names


def _is_switch(node: ast.AST, option: str) -> bool:
    if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "add_argument":
        return False
    names = [item.value for item in node.args if isinstance(item, ast.Constant)]
    actions = [item.value for item in node.keywords if item.arg == "action"]
    is_valueless = any(
        (isinstance(action, ast.Constant) and action.value in SWITCHES)
        or getattr(action, "attr", getattr(action, "id", "")) == "BooleanOptionalAction"
        for action in actions
    )
    return option in names and is_valueless


def option_hints(
    job: Mapping[str, Any], command: Command, program: str, typed: Sequence[str], known: Collection[str]
) -> list[str]:
    """Lines about options that were probably meant otherwise; none for programs whose options are not known.

    Args:
        typed: the words after the program.
        known: options of `hopslite run`.
    """
    options = ProgramOptions.of(command)
    if options is None:
        return []
    names = dict.fromkeys(word.partition("=")[0] for word in _before_separator(typed) if word.startswith("--"))
    own = {name for name in names if parameter_name(name[2:]) in job["described"] or options.declares(name)}
    misplaced = [name for name in names if name in known and name not in own]
    hints = []
    if misplaced:
        are, them = ("are parameters", "them") if len(misplaced) > 1 else ("is a parameter", "it")
        hints.append(
            f"hint: {' and '.join(misplaced)} after {program} {are} of the program, which does not declare {them}; "
            f"options of hopslite come before the program: hopslite run {misplaced[0]} … {program}"
        )
    for argument in job["arguments"]:
        option = argument.words[0].partition("=")[0]
        values = job["params"].get(argument.of)
        has_value = len(argument.words) > 1 or "=" in argument.words[0]
        if has_value and _is_bool(values) and options.is_switch(option):
            hints.append(
                f"hint: {option} takes no value in {command.program}, and gets {str(values).lower()}; describe it in a "
                f"job file as {option[2:]}: {{default: true, type: flag}}, or give {option} alone"
            )
    return hints


def _before_separator(words: Sequence[str]) -> Sequence[str]:
    return words[: words.index("--")] if "--" in words else words


def _is_bool(values: Any) -> bool:
    return all(isinstance(value, bool) for value in (values if isinstance(values, list) else [values]))
