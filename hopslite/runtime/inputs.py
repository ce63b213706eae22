"""Data that trials are given by name: fetched once per executor, unpacked, read-only.

```python
import hopslite
from hopslite import experiment

def train(learning_rate):
    images = hopslite.inputs["train"]  # a local path
    ...

experiment.grid_search(train, grid, inputs={"train": "s3://datasets/digits.tar.gz"})
```
"""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._trial import _Value
from ..errors import StoreError
from ..store.cache import fetch
from ..store.filesystems import scheme_of, without_credentials
from .context import current

__all__ = ["Input", "Inputs", "inputs", "mount", "recorded"]


@dataclasses.dataclass(frozen=True, slots=True)
class Input(_Value):
    """One of a run's inputs, as it was when the run began.

    `kind` is `file`, `directory` or `archive`; the `fingerprint` is another one when the content is.
    """

    name: str
    url: str
    kind: str
    fingerprint: str

    @property
    def is_local(self) -> bool:
        return scheme_of(self.url) == "file"


class Inputs(Mapping[str, str]):
    """What the running trial was given with `inputs=`: the local path of each, by name.

    A file's path, a directory's, or that of the directory that an archive was unpacked to. All of it is read-only, and
    shared with the other trials on this machine.

    Raises:
        KeyError: there is no such input, or no trial runs here; the message says which there are.
    """

    def __getitem__(self, name: str) -> str:
        paths = self._paths()
        if name not in paths:
            known = ", ".join(sorted(paths)) or "none"
            raise KeyError(f"no input {name!r} here; inputs of this trial: {known}. Give it to the verb, with inputs=")
        return paths[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths())

    def __len__(self) -> int:
        return len(self._paths())

    def __repr__(self) -> str:
        return f"inputs({dict(self._paths())})"

    @staticmethod
    def _paths() -> Mapping[str, str]:
        context = current()
        return context.inputs if context else {}


inputs = Inputs()


def recorded(given: Sequence[Input]) -> dict[str, dict[str, str]]:
    """What a run's record says of its inputs."""
    return {
        each.name: {"url": without_credentials(each.url), "kind": each.kind, "fingerprint": each.fingerprint}
        for each in given
    }


def mount(given: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Make a run's inputs, in their JSON form, available on this machine; returns the local path of each.

    Raises:
        StoreError: one cannot be had; the message says which, and why.
    """
    return {each.name: _local(each) for each in map(Input.from_json, given)}


def _local(given: Input) -> str:
    if given.is_local and given.kind != "archive":
        if not os.path.exists(given.url):
            raise StoreError(
                f"input {given.name!r}: {given.url} is not visible on {socket.gethostname()}; a local path must be on "
                "a file system that the driver and all executors share"
            )
        return given.url
    try:
        return fetch(given.url, given.fingerprint, strict=True, unpack=given.kind == "archive")
    except OSError as error:
        raise StoreError(f"input {given.name!r}: {error}") from error
