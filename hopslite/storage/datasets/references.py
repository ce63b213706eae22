"""References to data sets: `data:flowers/2` is a version, `data:flowers` the newest one."""

from __future__ import annotations

import dataclasses

from ...core.plain_values import short
from ...errors import StoreError
from ..naming import name_problem

__all__ = ["MOST_DIGITS", "Reference", "SCHEME", "check_name", "parse"]

SCHEME = "data:"
NEWEST = ("", "latest")
MOST_DIGITS = 18  # Python does not read numbers of thousands of digits


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """Name and version of a data set; None as version is the newest."""

    name: str
    version: int | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}" + (f"/{self.version}" if self.version is not None else "")


def parse(text: str) -> Reference:
    """Parse `NAME`, `NAME/VERSION` or `NAME/latest`, with or without `data:`.

    Raises:
        StoreError: it has another form.
    """
    name, _, version = text.removeprefix(SCHEME).strip("/").partition("/")
    check_name(name)
    if version in NEWEST:
        return Reference(name)
    if not version.isdecimal() or len(version) > MOST_DIGITS or int(version) < 1:
        raise StoreError(f"{text!r:.80}: {version!r:.40} is no version; give {SCHEME}{name} or {SCHEME}{name}/2")
    return Reference(name, int(version))


def check_name(name: object) -> str:
    """Check the name of a data set; returns it.

    Raises:
        StoreError: it cannot be the name of a folder.
    """
    if not isinstance(name, str) or not name.strip():
        raise StoreError(f"the data set's name is {short(name)}; give a text")
    if problem := name_problem(name):
        raise StoreError(f"the data set's name {problem}")
    if name != name.strip():
        raise StoreError(f"the data set's name {name!r} has spaces at its ends; leave them away")
    return name
