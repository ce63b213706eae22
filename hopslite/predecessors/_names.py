"""Names of the predecessors and their counterparts in hopslite."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping

__all__ = ["Module", "Name", "Status"]


class Status(str, enum.Enum):
    """The state of a predecessor's name in hopslite."""

    WORKS = "works"
    DIFFERS = "differs"
    GONE = "gone"


@dataclasses.dataclass(frozen=True)
class Name:
    """A name of a predecessor, its counterpart in hopslite, and a note or, of one that is gone, the advice."""

    module: str
    name: str
    status: Status
    now: str
    note: str = ""
    is_exception: bool = False

    @property
    def old(self) -> str:
        return f"{self.module}.{self.name}"


@dataclasses.dataclass(frozen=True)
class Module:
    """A module of a predecessor and its names.

    Attributes:
        now: the module of hopslite that has the same names; those that are gone are stand-ins there.
        works, differs, gone: names, separated by spaces; of the latter two with a note or the advice.
        exceptions: names that are gone and stand in `except` clauses, with the advice; they are never raised.
        moved: the counterparts of names that are elsewhere than in `now`.
        note: what is to be said of the module as a whole.
    """

    old: str
    now: str
    works: str = ""
    differs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    gone: Mapping[str, str] = dataclasses.field(default_factory=dict)
    exceptions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    moved: Mapping[str, str] = dataclasses.field(default_factory=dict)
    note: str = ""

    def names(self) -> Iterator[Name]:
        for status, groups, are_exceptions in (
            (Status.WORKS, {self.works: ""}, False),
            (Status.DIFFERS, self.differs, False),
            (Status.GONE, self.gone, False),
            (Status.GONE, self.exceptions, True),
        ):
            for group, note in groups.items():
                for name in group.split():
                    now = self.moved.get(name, f"{self.now}.{name}")
                    yield Name(self.old, name, status, now, note, are_exceptions)
