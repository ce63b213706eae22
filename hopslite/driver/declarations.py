"""Declarations of keywords: the form in which `keywords` declares the default, help and check of each."""

from __future__ import annotations

import dataclasses
from typing import Any

from .checks import Check, any_value

__all__ = ["Keyword", "declarations"]


@dataclasses.dataclass(frozen=True)
class Keyword:
    """Declaration of a keyword.

    `help` is its text in docstrings. A keyword that is `planned` is kept in the run's plan: the loop reads it, also
    that of a later driver which resumes the run.
    """

    default: Any
    help: str
    check: Check = any_value
    planned: bool = False


def declarations(kind: type) -> dict[str, Keyword]:
    """The declared keywords of a class of options, by name."""
    return {name: annotation.__metadata__[0] for name, annotation in kind.__annotations__.items()}
