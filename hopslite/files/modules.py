"""Modules of a project, made importable: Python files, and the code cells of notebooks."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import sys
import warnings

from ..errors import InvalidArguments, StoreError
from ..store.transfer import beside, download
from .paths import Place

__all__ = ["add"]

FOLDER = "localized_deps"
# How a line begins that is none of Python's: `%time`, `!pip`, `?len`, `files = !ls`, `len?`.
MAGIC = re.compile(r"[%!?]|[\w.,\s\[\]*]+=\s*[%!]|[\w.*\[\]]+\?\??\s*(#.*)?$")
OPENING = re.compile(r"#|\"\"\"|'''|[\"'()\[\]{}]")
IN_STRING = {quote: re.compile(rf"\\.|{quote}") for quote in ('"', "'", '"""', "'''")}


def add(place: Place) -> str:
    """As `hdfs.add_module`."""
    stem, ending = os.path.splitext(place.name)
    if ending not in (".py", ".ipynb"):
        raise InvalidArguments("add_module", [f"{place.url} is neither a .py nor an .ipynb file"])
    if not stem.isidentifier():
        raise InvalidArguments(
            "add_module", [f"{place.url} cannot be imported under its name; call it {_as_identifier(stem)}{ending}"]
        )
    folder = os.path.abspath(FOLDER)
    os.makedirs(folder, exist_ok=True)
    target = os.path.join(folder, f"{stem}.py")
    if ending == ".py":
        download(place.fs, place.path, target)
    else:
        _convert(place, target)
    if folder not in sys.path:
        sys.path.append(folder)
    loaded = sys.modules.get(stem)
    if loaded is not None and getattr(loaded, "__file__", None) == target:
        del sys.modules[stem]  # the next import takes the new one
    importlib.invalidate_caches()
    return target


def _convert(place: Place, target: str) -> None:
    notebook = f"{target.removesuffix('.py')}.ipynb"
    download(place.fs, place.path, notebook)
    try:
        with open(notebook, encoding="utf-8") as file:
            cells = json.load(file)["cells"]
        code = [_code("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{place.url} is not a Jupyter notebook of format 4: {error!r}") from error
    partial = beside(target)
    with open(partial, "w", encoding="utf-8") as file:
        file.write("\n\n".join(each for each in code if each.strip()) + "\n")
    os.replace(partial, target)


def _code(cell: str) -> str:
    """A cell without what only a notebook can do: `%%bash` and the like as a whole, `%matplotlib`, `!pip` by line."""
    lines = cell.splitlines()
    if lines and lines[0].lstrip().startswith("%%"):
        return "\n".join(f"# {line}" for line in lines)
    if _is_python(cell):
        return cell
    kept = []
    quote, depth, goes_on, in_magic = "", 0, False, False
    for line in lines:
        bare = line.lstrip()
        if in_magic:
            kept.append(f"# {line}")
        elif not (quote or depth or goes_on) and MAGIC.match(bare):
            kept.append(f"{line[: len(line) - len(bare)]}pass  # {bare}")
            in_magic = True
        else:
            kept.append(line)
            quote, depth, goes_on = _open_after(line, quote, depth)
        in_magic = in_magic and line.endswith("\\")
    return "\n".join(kept)


def _is_python(cell: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # who imports the module is told
        try:
            ast.parse(cell)
        except (SyntaxError, ValueError):
            return False
    return True


def _open_after(line: str, quote: str, depth: int) -> tuple[str, int, bool]:
    """What a line leaves open: a string's quotes, how many brackets, and whether a backslash joins the next line.

    Args:
        quote, depth: what the line before has left open.
    """
    at = 0
    while match := (IN_STRING[quote] if quote else OPENING).search(line, at):
        at, found = match.end(), match[0]
        if quote:
            quote = "" if found == quote else quote
        elif found == "#":
            return "", depth, False
        elif found in "([{":
            depth += 1
        elif found in ")]}":
            depth = max(0, depth - 1)
        else:
            quote = found
    goes_on = line.endswith("\\")
    return quote if len(quote) == 3 or goes_on else "", depth, goes_on


def _as_identifier(stem: str) -> str:
    name = "".join(each if each.isalnum() or each == "_" else "_" for each in stem)
    return name if name.isidentifier() else f"module_{name}"
