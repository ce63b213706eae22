"""Check of a notebook and its parameters."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import Any

from ..core.suggestions import did_you_mean
from ..programs.notebook import PARAMETERS

__all__ = ["notebook_problem"]


def notebook_problem(path: str, names: Sequence[str]) -> str | None:
    """Problem of a notebook that is to get parameters with these names; None if there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            notebook = json.load(file)
        cells = notebook["cells"] if notebook["nbformat"] >= 4 else None
        tagged = _first_tagged(cells or [])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{path} is no notebook: a JSON document with cells"
    if cells is None:
        return f"{path} has an old format; run jupyter nbconvert --to notebook --inplace {path}"
    defaults = _assigned(tagged) if tagged is not None else None
    unknown = [] if defaults is None else [name for name in names if name not in defaults]
    if unknown:
        hint = did_you_mean(unknown[0], defaults or (), f"it has {', '.join(defaults or ()) or 'none'}")
        return f"{path}: its cell with the tag {PARAMETERS} assigns no {unknown[0]}; {hint}"
    language = notebook["metadata"].get("kernelspec", {}).get("language", "python")
    if names and language != "python":
        return f"{path} is in {language}, and parameters are put into notebooks in Python; read $HOPSLITE_PARAMS there"
    return None


def _first_tagged(cells: list[dict[str, Any]]) -> str | None:
    """Source of the first cell with the tag for parameters."""
    for cell in cells:
        if PARAMETERS in cell.get("metadata", {}).get("tags", []):
            source = cell["source"]
            return source if isinstance(source, str) else "".join(source)
    return None


def _assigned(source: str) -> list[str] | None:
    """Names that a cell assigns; None if it is not in Python, or has magics."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError):
        return None
    targets = [target for statement in statements for target in _targets(statement)]
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def _targets(statement: ast.stmt) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target] if isinstance(statement, ast.AnnAssign) else []
