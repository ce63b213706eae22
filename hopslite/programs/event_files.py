"""Scalars in TensorBoard's event files that a program writes."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Protocol

from ..core import extras
from ..errors import MissingExtra
from ..track._tensorboard_import import disable_tensorflow

__all__ = ["EventFiles"]

PARTS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation")  # of data


class Metrics(Protocol):
    """Receiver of scalars."""

    def take(self, name: str, value: float, step: int | None) -> None: ...


class EventFiles:
    """Scalars in event files below some directories, except `without`; each is delivered once.

    Each directory with event files is a writer. Those that are called as parts of the data are (`train`, `test`, …)
    are in the names of their scalars: `train/loss`, `test/loss`. So are other directories where another writer has a
    scalar of the same name already.
    """

    def __init__(self, folders: list[str], without: str) -> None:
        self._without = os.path.realpath(without)
        self._folders = list(dict.fromkeys(os.path.realpath(folder) for folder in folders))
        self._loaders: dict[str, Any] = {}
        self._writers: dict[str, str] = {}  # directory by the names of its scalars
        self._began = time.time()

    def tell(self, metrics: Metrics) -> None:
        for path in self._paths():
            if path not in self._loaders:
                try:
                    self._loaders[path] = _loader(path)
                except MissingExtra as error:
                    sys.stderr.write(f"{error}\n")
                    self._folders = []  # warned once; other metrics are read
                    return
            for event in self._loaders[path].Load():
                for value in event.summary.value:
                    number = _scalar(value)
                    if number is not None:
                        metrics.take(self._name(value.tag, os.path.dirname(path)), number, int(event.step))

    def _name(self, tag: str, writer: str) -> str:
        """Name of a scalar: its tag, with as much of the writer's path as tells it from others."""
        place, _, folder = writer.rpartition(os.sep)
        name = f"{folder}/{tag}" if folder.lower() in PARTS else tag
        if name == tag:
            place, folder = writer, ""
        while self._writers.setdefault(name, writer) != writer and place:
            place, _, folder = place.rpartition(os.sep)
            name = f"{folder}/{name}"
        return name

    def _paths(self) -> list[str]:
        paths = []
        for folder in self._folders:
            for place, below, names in os.walk(folder):
                below[:] = [child for child in below if os.path.join(place, child) != self._without]
                for name in names:
                    path = os.path.join(place, name)
                    is_ours = name.endswith(".hopslite")  # with what has been reported already
                    if (
                        "tfevents" in name
                        and not is_ours
                        and path not in paths
                        and os.path.getmtime(path) >= self._began - 1
                    ):
                        paths.append(path)
        return sorted(paths)


def _loader(path: str) -> Any:
    extras.require("tensorboard", "reading metrics from TensorBoard's event files")
    disable_tensorflow()
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return EventFileLoader(path)


def _scalar(value: Any) -> float | None:
    """Number of a summary's value; None for an image, a text or the like."""
    if value.metadata.plugin_data.plugin_name not in ("", "scalars"):
        return None
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.HasField("tensor"):
        from tensorboard.util.tensor_util import make_ndarray

        array = make_ndarray(value.tensor)
        return float(array) if array.size == 1 and array.dtype.kind in "fiu" else None
    return None
