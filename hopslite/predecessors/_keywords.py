"""Keywords of HopsML's and Maggy's older versions, which the verbs still accept."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import InvalidArguments

__all__ = ["RENAMED", "UNUSED", "current_keywords"]

_FUNCTION = {"map_fun": "train_fn", "objective_function": "train_fn"}
_BOUNDARIES = {**_FUNCTION, "search_dict": "boundary_dict"}

# By verb, the older name of an argument and its name now.
RENAMED: Mapping[str, Mapping[str, str]] = {
    "launch": _FUNCTION,
    "grid_search": {**_FUNCTION, "args_dict": "grid_dict"},
    "random_search": _BOUNDARIES,
    "differential_evolution": _BOUNDARIES,
    "mirrored": _FUNCTION,
    "parameter_server": _FUNCTION,
    "lagom": {"map_fun": "train_fn"},
}
_NOT_COPIED = "the program is recorded with every run anyway, and data that inputs= names, too"
# By verb, the older arguments that have no effect, and the reason.
UNUSED: Mapping[str, Mapping[str, str]] = {
    verb: {"versioned_resources": _NOT_COPIED} for verb in RENAMED if verb != "lagom"
} | {
    "differential_evolution": {
        "versioned_resources": _NOT_COPIED,
        "cleanup_generations": "there are no directories of generations to delete",
    }
}


def current_keywords(verb: str, positional: Collection[str], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords with older names replaced by those of today; one DeprecationWarning at the caller's caller names them.

    Args:
        verb: the name of a function of `hopslite.experiment`.
        positional: names of the arguments that were passed by position.
        keywords: those of the call.

    Raises:
        InvalidArguments: an argument was passed twice, under its older name and its name of today.
    """
    renamed, unused = RENAMED.get(verb, {}), UNUSED.get(verb, {})
    current = {name: value for name, value in keywords.items() if name not in renamed and name not in unused}
    problems, advice = [], []
    for name, value in keywords.items():
        if name in renamed:
            now = renamed[name]
            if now in current or now in positional:
                problems.append(f"{name} is the older name of {now}, which was passed as well; pass {now} alone")
            current[now] = value
            advice.append(f"{name}= is now {now}=")
        elif name in unused:
            advice.append(f"{name}= has no effect and can go: {unused[name]}")
    if problems:
        raise InvalidArguments(f"experiment.{verb}()", problems)
    if advice:
        warnings.warn(f"experiment.{verb}(): {'; '.join(advice)}", DeprecationWarning, stacklevel=3)
    return current
