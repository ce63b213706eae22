"""Import of a project's modules: Python files, and the code cells of notebooks."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import sys
import warnings

from ..errors import InvalidArguments, StoreError
from ..storage.fs.local_files import beside
from ..storage.fs.transfer import download
from .paths import ResolvedPath

__all__ = ["add"]

FOLDER = "localized_deps"
# Lines that are not Python: `%time`, `!pip`, `?len`, `files = !ls`, `len?`.
MAGIC = re.compile(r"[%!?]|[\w.,\s\[\]*]+=\s*[%!]|[\w.*\[\]]+\?\??\s*(#.*)?$")
OPENING = re.compile(r"#|\"\"\"|'''|[\"'()\[\]{}]")
IN_STRING = {quote: re.compile(rf"\\.|{quote}") for quote in ('"', "'", '"""', "'''")}


def add(resolved: ResolvedPath) -> str:
    """As `hdfs.add_module`."""
    stem, ending = os.path.splitext(resolved.name)
    if ending not in (".py", ".ipynb"):
        raise InvalidArguments("add_module", [f"{resolved.url} is neither a .py nor an .ipynb file"])
    if not stem.isidentifier():
        raise InvalidArguments(
            "add_module", [f"{resolved.url} cannot be imported under its name; call it {_as_identifier(stem)}{ending}"]
        )
    folder = os.path.abspath(FOLDER)
    os.makedirs(folder, exist_ok=True)
    target = os.path.join(folder, f"{stem}.py")
    if ending == ".py":
        download(resolved.fs, resolved.path, target)
    else:
        _convert(resolved, target)
    if folder not in sys.path:
        sys.path.append(folder)
    loaded = sys.modules.get(stem)
    if loaded is not None and getattr(loaded, "__file__", None) == target:
        del sys.modules[stem]  # the next import takes the new one
    importlib.invalidate_caches()
    return target


def _convert(resolved: ResolvedPath, target: str) -> None:
    notebook = f"{target.removesuffix('.py')}.ipynb"
    download(resolved.fs, resolved.path, notebook)
    try:
        with open(notebook, encoding="utf-8") as file:
            cells = json.load(file)["cells"]
        code = [_code("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{resolved.url} is not a Jupyter notebook of format 4: {error!r}") from error
    partial = beside(target)
    with open(partial, "w", encoding="utf-8") as file:
        file.write("\n\n".join(text for text in code if text.strip()) + "\n")
    os.replace(partial, target)


def _code(cell: str) -> str:
    """Code of a cell without magics: `%%bash` and the like as a whole, `%matplotlib` and `!pip` by line."""
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
        warnings.simplefilter("ignore")  # importing the module raises the error
        try:
            ast.parse(cell)
        except (SyntaxError, ValueError):
            return False
    return True


def _open_after(line: str, quote: str, depth: int) -> tuple[str, int, bool]:
    """Syntax that a line leaves open: a string's quotes, the number of brackets, and a trailing backslash.

    Args:
        quote, depth: what the line before has left open.
    """
    at = 0
    while match := (IN_STRING[quote] if quote else OPENING).search(line, at):
        at, token = match.end(), match[0]
        if quote:
            quote = "" if token == quote else quote
        elif token == "#":
            return "", depth, False
        elif token in "([{":
            depth += 1
        elif token in ")]}":
            depth = max(0, depth - 1)
        else:
            quote = token
    goes_on = line.endswith("\\")
    return quote if len(quote) == 3 or goes_on else "", depth, goes_on


def _as_identifier(stem: str) -> str:
    name = "".join(character if character.isalnum() or character == "_" else "_" for character in stem)
    return name if name.isidentifier() else f"module_{name}"
