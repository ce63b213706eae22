"""Search space as a table in Markdown, for descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core import formatting

__all__ = ["space_table"]

LONGEST = 3000  # characters, which leaves room for a note
CELL = 200
HEAD = ("parameter", "values", "distribution")
CONDITION = "only with"
DISTRIBUTIONS = {"uniform": "uniform", "loguniform": "logarithmic", "normal": "normal", "lognormal": "lognormal"}


def space_table(space: Any) -> str:
    """Table with a row per hyperparameter; empty if there is no space.

    Args:
        space: the JSON form, as in a run's record.

    >>> print(space_table({"lr": {"type": "loguniform", "low": 0.001, "high": 0.1}}))
    | parameter | values | distribution |
    | --- | --- | --- |
    | lr | 0.001 to 0.1 | logarithmic |
    """
    if not isinstance(space, Mapping) or not space:
        return ""
    dimensions = {str(name): value if isinstance(value, Mapping) else {} for name, value in space.items()}
    has_conditions = any(dimension.get("when") for dimension in dimensions.values())
    head = (*HEAD, CONDITION) if has_conditions else HEAD
    lines = [_line(head), _line(["---"] * len(head))]
    length = sum(map(len, lines))
    for number, (name, dimension) in enumerate(dimensions.items()):
        cells = [name, _values(dimension), _distribution(dimension), _condition(dimension.get("when"))]
        line = _line([_escaped(cell) for cell in cells[: len(head)]])
        length += len(line) + 1
        if length > LONGEST:
            return "\n".join([*lines, f"\nand {len(dimensions) - number} more"])
        lines.append(line)
    return "\n".join(lines)


def _values(dimension: Mapping[str, Any]) -> str:
    values = dimension.get("values")
    if isinstance(values, list):
        return ", ".join(map(formatting.value, values))
    if "mean" in dimension:
        text = f"mean {formatting.value(dimension['mean'])}, standard deviation {formatting.value(dimension.get('sd'))}"
        return "".join(
            [text, *(f", {word} {formatting.value(dimension[key])}" for key, word in _bounds(dimension).items())]
        )
    low, high = formatting.value(dimension.get("low")), formatting.value(dimension.get("high"))
    step = f" in steps of {formatting.value(dimension['step'])}" if "step" in dimension else ""
    return f"{low} to {high}{step}"


def _bounds(dimension: Mapping[str, Any]) -> dict[str, str]:
    return {key: word for key, word in (("low", "at least"), ("high", "at most")) if key in dimension}


def _distribution(dimension: Mapping[str, Any]) -> str:
    kind = str(dimension.get("type"))
    if kind == "integer":
        return "logarithmic, integers" if dimension.get("log") else "integers"
    if kind == "choice":
        weights = dimension.get("weights")
        if dimension.get("grid"):
            return "all values"
        return f"choice, weights {', '.join(map(formatting.value, weights))}" if weights else "choice"
    return DISTRIBUTIONS.get(kind, kind)


def _condition(when: Any) -> str:
    if not isinstance(when, Mapping):
        return ""
    return f"{when.get('parent')} = {' or '.join(map(formatting.value, when.get('values') or ()))}"


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text without a meaning in Markdown or HTML."""
    text = formatting.one_line(text, CELL)
    for character in "\\`*_[]<>|~#":
        text = text.replace(character, f"\\{character}")
    return text
