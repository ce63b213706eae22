"""Differences between two fingerprints of functions, and between two search spaces, for people."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.redaction import redact_value
from ..core.types import json_safe
from .function_fingerprint import ADDRESS, shortened

__all__ = ["difference", "space_difference"]

DIFF_LINES = 12
LINE_CHARS = 160


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Summarise how two descriptions differ, in a few lines; None if no difference is known.

    Versions of Python compile to other code. Between them the source decides.
    """
    changes = []
    if old.get("code") != new.get("code"):
        changes.append(_code_difference(old, new))
    for key, description in (("defaults", "the default of {}"), ("variables", "the variable {} around it")):
        before, after = old.get(key) or {}, new.get(key) or {}
        changes += [
            f"{description.format(name)} was {before.get(name, 'not there')}, now {after.get(name, 'not there')}"
            for name in dict.fromkeys([*before, *after])
            if before.get(name) != after.get(name)
        ]
    return "; ".join(filter(None, changes)) or None


def space_difference(old: Any, new: Any) -> str | None:
    """Summarise how two search spaces (JSON forms) differ, parameter by parameter; None if they are equal."""
    old, new = _plain(old), _plain(new)
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return None if old == new else f"was {shortened(json.dumps(old))}, now {shortened(json.dumps(new))}"
    changes = [f"{name} ({_shown(old[name])}) is no more" for name in old if name not in new]
    changes += [f"{name} ({_shown(new[name])}) is new" for name in new if name not in old]
    changes += [f"{name}: {_changes(old[name], new[name])}" for name in old if name in new and old[name] != new[name]]
    if not changes and list(old) != list(new):  # an algorithm then gives other values to each
        return f"the order of the parameters was {', '.join(old)}, now {', '.join(new)}"
    return "; ".join(changes) or None


# --- the layers of a callable


def _code_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    before, after = old.get("source"), new.get("source")
    versions = [str(description.get("python")) for description in (old, new)]
    if versions[0] != versions[1]:
        if before is not None and before == after:
            return None
        if before is None or after is None:
            return f"its code was compiled by Python {versions[0]}, now {versions[1]}, and cannot be compared"
    if before is None or after is None or before == after:
        return "its code is another"
    return f"its lines have changed:\n{_diff(before, after)}"


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    shown = [line if len(line) <= LINE_CHARS else f"{line[: LINE_CHARS - 1]}…" for line in lines][2:]
    if len(shown) > DIFF_LINES:
        shown = [*shown[: DIFF_LINES - 1], f"… and {len(shown) - DIFF_LINES + 1} lines more"]
    return "\n".join(shown)


def _plain(value: Any) -> Any:
    """JSON round-trip of a value, as through `run.json`; without memory addresses."""
    return json.loads(ADDRESS.sub("", json.dumps(redact_value(json_safe(value, strict=True)))))


def _shown(dimension: Any) -> str:
    if not isinstance(dimension, dict):
        return shortened(json.dumps(dimension))
    kind = str(dimension.get("type", "?"))
    rest = (f"{key}={shortened(json.dumps(value))}" for key, value in dimension.items() if key != "type")
    return " ".join([kind, *rest])


def _changes(old: Any, new: Any) -> str:
    same_kind = isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type")
    if not same_kind:
        return f"was {_shown(old)}, now {_shown(new)}"
    return ", ".join(_change(key, old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key))


def _change(key: str, old: Any, new: Any) -> str:
    if isinstance(old, list) and isinstance(new, list):
        parts = [
            f"{word} {shortened(', '.join(map(json.dumps, values)))}"
            for word, values in (("without", _missing(old, new)), ("with", _missing(new, old)))
            if values
        ]
        return f"{key} {' and '.join(parts)}" if parts else f"{key} in another order"
    return f"{key} was {shortened(json.dumps(old))}, now {shortened(json.dumps(new))}"


def _missing(values: Iterable[Any], others: list[Any]) -> list[Any]:
    left = list(others)
    missing = []
    for value in values:
        if value in left:
            left.remove(value)
        else:
            missing.append(value)
    return missing
