"""Files for data sets in tests, and what a data set has stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hopslite.storage.datasets.dataset import DataSet
from hopslite.storage.project import Project

SMALL_PIECE = 1000  # so that small files consist of pieces, too
TREE = {
    "train/rose/1.txt": b"rose",
    "train/rose/2.txt": b"rose",
    "train/tulip/ü 100%=?#.txt": b"tulip",
    "test/rose/.hidden": b"",
    "large.bin": bytes(range(256)) * 20,
    "zeros.bin": bytes(2500),
}


def make_tree(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    for name, content in (TREE if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read_tree(folder: Path | str) -> dict[str, bytes]:
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def stored_objects(project: Project, name: str) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in DataSet(project, name).objects.all_names())


class Interference:
    """A method that does something else before its n-th call, counted from 1; `calls` counts them."""

    def __init__(self, method: Callable[..., Any], at: int, action: Callable[[], Any]) -> None:
        self._method, self._at, self._action = method, at, action
        self.calls = 0

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls += 1
            if self.calls == self._at:
                self._action()
            return self._method(instance, *arguments, **keywords)

        return call
