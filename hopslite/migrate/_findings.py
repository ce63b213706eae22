"""Values that the parts of the migration exchange."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable

__all__ = ["Edit", "Finding", "Kind", "edited"]


class Kind(str, enum.Enum):
    """The kind of a finding: an import to be changed, a line to look at, a note, or a file that cannot be handled."""

    CHANGE = "change"
    LOOK = "look"
    NOTE = "note"
    ERROR = "error"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A line of a program and what is to be said of it.

    Attributes:
        line: from 1 on, in the file or in the notebook's cell; 0: the file as a whole.
        cell: the number of the notebook's cell, from 1 on, of whatever type; None in other files.
        code: the line itself; of an import over several lines the first.
        message: what to do, or the import as it becomes.
    """

    kind: Kind
    line: int
    code: str
    message: str
    cell: int | None = None


@dataclasses.dataclass(frozen=True)
class Edit:
    """The replacement of the characters from `start` to `end` of a text."""

    start: int
    end: int
    text: str


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text after edits, which must not overlap."""
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text
