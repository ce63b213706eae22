"""Inputs of trials by name: fetched once per executor, unpacked, read-only.

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

from ..core.redaction import without_credentials
from ..core.types import _Value
from ..errors import StoreError
from .context import current

__all__ = ["DATA_SET", "Input", "Inputs", "fetch_inputs", "import_cache", "inputs", "inputs_record"]


DATA_SET = "dataset"  # kind of an input


@dataclasses.dataclass(frozen=True, slots=True)
class Input(_Value):
    """An input of a run, as it was when the run began.

    `kind` is `file`, `directory`, `archive` or `dataset`; the `fingerprint` changes with the content. The URL of a data
    set has its version, `data:flowers/2`; where the call had none, `requested` is `data:flowers`.
    """

    name: str
    url: str
    kind: str
    fingerprint: str
    requested: str = ""

    @property
    def is_local(self) -> bool:
        return "://" not in self.url or self.url.startswith("file://")


class Inputs(Mapping[str, str]):
    """Local paths of the running trial's `inputs=`, by name.

    The path of a file, of a directory, or of the directory into which an archive was unpacked. The files are read-only
    and shared with other trials on this machine.

    Raises:
        KeyError: there is no such input, or no trial runs here; the message lists the trial's inputs.
    """

    def __getitem__(self, name: str) -> str:
        paths = self._paths()
        if name not in paths:
            known = ", ".join(sorted(paths)) or "none"
            raise KeyError(f"no input {name!r} here; inputs of this trial: {known}. Pass it to the verb with inputs=")
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


def inputs_record(run_inputs: Sequence[Input]) -> dict[str, dict[str, str]]:
    """JSON record of inputs for `run.json`."""
    return {
        item.name: {
            "url": without_credentials(item.url),
            "kind": item.kind,
            "fingerprint": item.fingerprint,
            **({"requested": item.requested} if item.requested else {}),
        }
        for item in run_inputs
    }


def import_cache(run_inputs: Sequence[dict[str, Any]]) -> None:
    """Import the module that `fetch_inputs` needs for these inputs, once before trials are forked."""
    if run_inputs:
        from ..storage import cache  # noqa: F401
    if any(item.get("kind") == DATA_SET for item in run_inputs):
        from ..storage.datasets import fetch  # noqa: F401


def fetch_inputs(run_inputs: Sequence[dict[str, Any]], project: str) -> dict[str, str]:
    """Make a run's inputs, in their JSON form, available on this machine; returns the local path of each.

    Args:
        project: URL of the run's project, which has the data sets.

    Raises:
        StoreError: one cannot be fetched; the message says which one and why.
    """
    return {item.name: _local_path(item, project) for item in map(Input.from_json, run_inputs)}


def _local_path(item: Input, project: str) -> str:
    if item.kind == DATA_SET:
        return _data_set(item, project)
    if item.is_local and item.kind != "archive":
        if not os.path.exists(item.url):
            raise StoreError(
                f"input {item.name!r}: {item.url} is not visible on {socket.gethostname()}; a local path must be on "
                "a file system that the driver and all executors share"
            )
        return item.url
    from ..storage.cache import fetch  # a late import: trials start sooner, and most have no inputs

    try:
        return fetch(item.url, item.fingerprint, strict=True, unpack=item.kind == "archive")
    except OSError as error:
        raise StoreError(f"input {item.name!r}: {error}") from error


def _data_set(item: Input, project: str) -> str:
    from ..storage.datasets.fetch import fetch_into_cache  # as above
    from ..storage.datasets.references import parse

    try:
        reference = parse(item.url)
        assert reference.version is not None
        return fetch_into_cache(project, reference.name, reference.version, item.fingerprint)
    except OSError as error:
        raise StoreError(f"input {item.name!r}: {error}") from error
