"""Lines that use what hopslite does not have, or has under another name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ..predecessors import RENAMED, UNUSED, Status, counterpart, entry_at
from ._findings import Finding, Kind
from ._imports import is_predecessors, rewrite
from ._syntax import Import, Program, Token

__all__ = ["bindings", "findings_of_imports", "findings_of_uses"]

# Other packages that programs on Hopsworks import, and what is to be said of them.
FOREIGN = {
    "pydoop": (
        Kind.LOOK,
        "pydoop needs HDFS and Hadoop's native library on every executor; `hopslite.hdfs` has the same functions for "
        "any storage, and `hdfs.get()` is the file system itself",
    ),
    "tensorflowonspark": (
        Kind.LOOK,
        "use `experiment.mirrored`, `experiment.parameter_server` or `experiment.distributed`",
    ),
    "hsml": (Kind.NOTE, "needs a Hopsworks; `hopslite.model` keeps models in the project"),
    "hsfs": (Kind.NOTE, "needs a Hopsworks; data for the trials may be named by `inputs=`"),
}
BY_NAME = ("__import__", "import_module", "find_spec")
VERBS = "hopslite.experiment."
OPENING, CLOSING = "([{", ")]}"


def bindings(programs: Sequence[Program]) -> dict[str, str]:
    """The names that imports bind, and the dotted names in hopslite that they stand for.

    The cells of a notebook share their names. A name that is bound twice stands for what is bound last.
    """
    bound: dict[str, str] = {}
    for program in programs:
        for statement in program.imports:
            bound.update(_bound_by(statement))
    return bound


def _bound_by(statement: Import) -> Iterator[tuple[str, str]]:
    for name in statement.names:
        dotted = f"{statement.source}.{name.dotted}" if statement.module else name.dotted
        top = dotted if statement.module or name.alias else dotted.partition(".")[0]
        now = dotted if dotted.partition(".")[0] in ("hopslite", "tensorflow") else _now(dotted)
        if now is None or name.dotted == "*":
            continue
        if top == dotted:
            yield name.alias or name.dotted.rpartition(".")[2], now
        else:  # import hops.experiment
            yield top, {"hops": "hopslite", "maggy": "hopslite.maggy"}.get(top, top)


def _now(dotted: str) -> str | None:
    if not is_predecessors(dotted):
        return None
    return "hopslite" if dotted == "hops" else counterpart(dotted)


def findings_of_imports(program: Program, cell: int | None = None) -> Iterator[Finding]:
    """Imports to be changed, and those that a person has to see to."""
    for statement in program.imports:
        first = statement.tokens[0]
        line = program.line_of(first).strip()
        rewritten = rewrite(program, statement)
        if rewritten.edits:
            start, end = statement.start, statement.end
            text = program.text[start:end]
            for edit in sorted(rewritten.edits, key=lambda edit: -edit.start):
                text = text[: edit.start - start] + edit.text + text[edit.end - start :]
            yield Finding(Kind.CHANGE, first.line, line, text, cell)
        elif _has_counterpart(statement) and not rewritten.unknown:
            yield Finding(Kind.LOOK, first.line, line, "one import on a line of its own, and it can be changed", cell)
        if rewritten.unknown:
            advice = f"hopslite has no {', '.join(rewritten.unknown)}; it was internal to its package"
            yield Finding(Kind.LOOK, first.line, line, advice, cell)
        if statement.source == "hops" and statement.names and statement.names[0].dotted == "*":
            yield Finding(Kind.LOOK, first.line, line, "name the modules that the program uses", cell)
        dotted = [statement.source] if statement.module else [name.dotted for name in statement.names]
        for package in dict.fromkeys(name.partition(".")[0] for name in dotted):
            if package in FOREIGN:
                yield Finding(FOREIGN[package][0], first.line, line, FOREIGN[package][1], cell)


def _has_counterpart(statement: Import) -> bool:
    return bool(statement.module) and is_predecessors(statement.source)


def findings_of_uses(program: Program, bound: Mapping[str, str], cell: int | None = None) -> Iterator[Finding]:
    """Uses of names that are gone or behave differently, of older keywords, and imports by a name in a string."""
    imported = {token.start for statement in program.imports for token in statement.tokens}
    tokens = program.tokens
    for number, token in enumerate(tokens):
        if token.start in imported or not token.is_name:
            continue
        is_attribute = number > 0 and tokens[number - 1].text == "."
        if token.text in bound and not is_attribute and not _is_assigned(tokens, number):
            for kind, message in _of_chain(tokens, number, bound[token.text]):
                yield Finding(kind, token.line, program.line_of(token).strip(), message, cell)
        if token.text in BY_NAME and (named := _imported_by_name(tokens, number)):
            message = f"imports {named} by its name, which is not changed; write {counterpart(named) or 'hopslite'}"
            yield Finding(Kind.LOOK, token.line, program.line_of(token).strip(), message, cell)


def _is_assigned(tokens: Sequence[Token], number: int) -> bool:
    """True for the name of a keyword argument, and for one that is assigned to."""
    return tokens[number + 1].text == "=" if number + 1 < len(tokens) else False


def _of_chain(tokens: Sequence[Token], number: int, dotted: str) -> Iterator[tuple[Kind, str]]:
    """Messages about `a.b.c(…)`, which begins at a token with a name that stands for `dotted`."""
    entry, last = entry_at(dotted), number
    while number + 2 < len(tokens) and tokens[number + 1].text == "." and tokens[number + 2].is_name:
        number += 2
        dotted = f"{dotted}.{tokens[number].text}"
        if (longer := entry_at(dotted)) is not None:  # the last of `maggy.experiment.lagom`
            entry, last = longer, number
    if dotted.startswith("tensorflow.contrib"):
        yield Kind.LOOK, "TensorFlow 2 has no `tf.contrib`"
    if entry is None:
        return
    shown = f"{entry.module.rpartition('.')[2]}.{entry.name}"
    if entry.status is Status.GONE:
        yield Kind.LOOK, f"hopslite has no {shown}: {entry.note}"
    elif entry.status is Status.DIFFERS:
        yield Kind.NOTE, f"{shown}: {entry.note}"
    if entry.now.startswith(VERBS):
        verb = entry.now.removeprefix(VERBS)
        older = _older_keywords({"collective_all_reduce": "mirrored"}.get(verb, verb), _keywords(tokens, last + 1))
        if older:
            yield Kind.LOOK, "; ".join(older)


def _older_keywords(verb: str, keywords: Sequence[str]) -> list[str]:
    renamed, unused = RENAMED.get(verb, {}), UNUSED.get(verb, {})
    return [f"{name}= is now {renamed[name]}=" for name in keywords if name in renamed] + [
        f"{name}= has no effect and can go: {unused[name]}" for name in keywords if name in unused
    ]


def _keywords(tokens: Sequence[Token], number: int) -> list[str]:
    """The names of the keyword arguments of the call whose bracket is at this place."""
    if number >= len(tokens) or tokens[number].text != "(":
        return []
    names, depth = [], 0
    for place in range(number, len(tokens) - 1):
        text = tokens[place].text
        depth += (text in OPENING) - (text in CLOSING) if text else 0
        if depth == 0:
            break
        if depth == 1 and tokens[place].is_name and tokens[place + 1].text == "=" and tokens[place - 1].text in "(,":
            names.append(tokens[place].text)
    return names


def _imported_by_name(tokens: Sequence[Token], number: int) -> str | None:
    """The module of a predecessor in a call such as `import_module("hops.experiment")`."""
    if number + 2 >= len(tokens) or tokens[number + 1].text != "(" or not tokens[number + 2].is_string:
        return None
    named = re.fullmatch(r"[uUrRbB]*(['\"]+)([\w.]+)\1", tokens[number + 2].text)
    return named[2] if named and is_predecessors(named[2]) else None
