"""Imports from `hops` and `maggy`, rewritten as imports from hopslite."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from ..predecessors import counterpart
from ._findings import Edit
from ._syntax import Import, ImportedName, Program, Token

__all__ = ["Rewritten", "is_predecessors", "rewrite"]

PACKAGES = ("hops", "maggy")
LONGEST_LINE = 100
# What `import maggy` can be used for as an attribute, because `hopslite.maggy` has it, too.
OF_MAGGY = re.compile(r"maggy(\.(ablation|callbacks|config|earlystop|experiment|experiment_config|optimizer|searchspace|tensorboard))?")  # fmt: skip  # noqa: E501


@dataclasses.dataclass(frozen=True)
class Rewritten:
    """The edits of an import, and the names for which hopslite has no counterpart."""

    edits: tuple[Edit, ...]
    unknown: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A name of `from … import`: the module and the name that it is imported from now, and the name it gets."""

    module: str
    name: str
    alias: str | None
    comments: tuple[str, ...] = ()  # on lines of their own before it
    trailing: str = ""  # on its line

    @property
    def text(self) -> str:
        return self.name if self.alias in (None, self.name) else f"{self.name} as {self.alias}"


def is_predecessors(dotted: str) -> bool:
    """True for the dotted name of a module of HopsML or Maggy."""
    return dotted.partition(".")[0] in PACKAGES


def rewrite(program: Program, statement: Import) -> Rewritten:
    """An import with what is HopsML's and Maggy's replaced; without edits when there is nothing to replace."""
    if not statement.module:
        return _plain_import(statement)
    if not is_predecessors(statement.source):
        return Rewritten(())
    if [name.dotted for name in statement.names] == ["*"]:
        now = counterpart(statement.source) or ("hopslite" if statement.source == "hops" else None)
        return Rewritten((_over(statement.module, now),) if now else (), () if now else (statement.source,))
    entries = [_entry(statement.source, name) for name in statement.names]
    unknown = tuple(
        f"{entry.module}.{entry.name}" for entry in entries if is_predecessors(f"{entry.module}.{entry.name}")
    )
    if len({entry.module for entry in entries}) != 1:
        return Rewritten(_split(program, statement, entries), unknown)
    edits = [_over(statement.module, entries[0].module)]
    for name, entry in zip(statement.names, entries, strict=True):
        if entry.name != name.dotted:
            edits.append(_over(name.tokens, entry.name if name.alias else entry.text))
    return Rewritten(tuple(edit for edit in edits if program.text[edit.start : edit.end] != edit.text), unknown)


def _over(tokens: Sequence[Token], text: str) -> Edit:
    return Edit(tokens[0].start, tokens[-1].end, text)


def _entry(module: str, name: ImportedName) -> _Entry:
    now = counterpart(f"{module}.{name.dotted}") or f"{module}.{name.dotted}"
    parent, _, last = now.rpartition(".")
    return _Entry(parent, last, name.alias or (name.dotted if last != name.dotted else None))


# --- import hops.experiment as e


def _plain_import(statement: Import) -> Rewritten:
    edits, unknown, seen = [], [], set()
    for number, name in enumerate(statement.names):
        if not is_predecessors(name.dotted):
            continue
        now = _module_now(name)
        if now is None:
            unknown.append(name.dotted)
        elif (now, name.alias) in seen:
            before = statement.names[number - 1].tokens[-1]
            edits.append(Edit(_end_of(statement, before), name.tokens[-1].end, ""))
        else:
            edits.append(_over(name.tokens, now))
        seen.add((now, name.alias))
    return Rewritten(tuple(edits), tuple(unknown))


def _module_now(name: ImportedName) -> str | None:
    """The replacement of a dotted name, without its alias.

    Without an alias, `import hops.experiment` gives the program the name `hops`; hopslite, whose modules are imported
    when they are used, takes that name.
    """
    if name.alias:
        return counterpart(name.dotted) or ("hopslite" if name.dotted == "hops" else None)
    if name.dotted == "hops" or (name.dotted.startswith("hops.") and counterpart(name.dotted)):
        return "hopslite as hops"
    return "hopslite.maggy as maggy" if OF_MAGGY.fullmatch(name.dotted) else None


def _end_of(statement: Import, last: Token) -> int:
    """The end of an imported name with its alias: that of the token before the next comma."""
    tokens = list(statement.tokens)
    for token in tokens[tokens.index(last) + 1 :]:
        if token.text == ",":
            break
        last = token
    return last.end


# --- from maggy import experiment, Searchspace


def _split(program: Program, statement: Import, entries: list[_Entry]) -> tuple[Edit, ...]:
    """One statement for each module; none where it shares its line with others and has comments of its own."""
    text = program.text
    line = max(text.rfind("\n", 0, statement.start), text.rfind("\r", 0, statement.start)) + 1
    indent = text[line : statement.start]
    after = re.match(r"[ \t\f]*(#[^\r\n]*)?(\r\n|\r|\n|\Z)", text[statement.end :])
    is_alone = not indent.strip() and after is not None
    own = [token.prefix for token in statement.tokens[1:]]
    if any("#" in prefix for prefix in own):
        lines = list(_one_by_one(statement, entries)) if is_alone else []
    else:
        lines = list(_grouped(entries, indent, _newline(text, statement)))
    if not lines:
        return ()
    joint = f"{_newline(text, statement)}{indent}" if is_alone else "; "
    return (Edit(statement.start, statement.end, joint.join(lines)),)


def _newline(text: str, statement: Import) -> str:
    """The end of line that the file has after a statement, or else anywhere."""
    ending = re.compile(r"\r\n|\r|\n").search(text, statement.start) or re.search(r"\r\n|\r|\n", text)
    return ending[0] if ending else "\n"


def _grouped(entries: list[_Entry], indent: str, newline: str) -> Iterator[str]:
    for module in dict.fromkeys(entry.module for entry in entries):
        names = [entry.text for entry in entries if entry.module == module]
        line = f"from {module} import {', '.join(names)}"
        if len(indent) + len(line) > LONGEST_LINE and len(names) > 1:
            inside = "".join(f"{newline}{indent}    {name}," for name in names)
            line = f"from {module} import ({inside}{newline}{indent})"
        yield line


def _one_by_one(statement: Import, entries: list[_Entry]) -> Iterator[str]:
    """A statement for each name, with the comments that stood at it."""
    commented, others = _with_comments(statement, entries)
    for entry in commented:
        yield from entry.comments
        yield f"from {entry.module} import {entry.text}" + (f"  {entry.trailing}" if entry.trailing else "")
    yield from others


def _with_comments(statement: Import, entries: list[_Entry]) -> tuple[list[_Entry], list[str]]:
    """The entries with their comments, and the comments after the last of them."""
    firsts = {name.tokens[0].start: number for number, name in enumerate(statement.names)}
    before: dict[int, list[str]] = {number: [] for number in range(len(entries) + 1)}
    beside: dict[int, list[str]] = {number: [] for number in range(len(entries))}
    current = -1
    for token in statement.tokens:
        if token.start != statement.start:
            same_line, *lines = re.split(r"\r\n|\r|\n", token.prefix)
            if "#" in same_line and current >= 0:
                beside[current].append(same_line.strip())
            elif "#" in same_line:
                before[0].append(same_line.strip())
            before[current + 1] += [line.strip() for line in lines if "#" in line]
        current = firsts.get(token.start, current)
    commented = [
        dataclasses.replace(entry, comments=tuple(before[number]), trailing="  ".join(beside[number]))
        for number, entry in enumerate(entries)
    ]
    return commented, before[len(entries)]
