"""Modules of a project, made importable: Python files, and the code cells of notebooks."""

from __future__ import annotations

import importlib
import json
import os
import sys

from ..errors import InvalidArguments, StoreError
from ..store.transfer import beside, download
from .paths import Place

__all__ = ["add"]

FOLDER = "localized_deps"
MAGIC = ("%", "!", "?")


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
    kept = []
    for line in lines:
        bare = line.lstrip()
        indent = line[: len(line) - len(bare)]
        kept.append(f"{indent}pass  # {bare}" if bare.startswith(MAGIC) else line)
    return "\n".join(kept)


def _as_identifier(stem: str) -> str:
    name = "".join(each if each.isalnum() or each == "_" else "_" for each in stem)
    return name if name.isidentifier() else f"module_{name}"
