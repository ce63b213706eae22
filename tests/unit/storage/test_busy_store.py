"""A store of which every other write fails, as busy ones do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from hopslite.core.types import Event
from hopslite.storage.journal import JournalReader
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.run_directory import RunDir


class Busy(MemoryFileSystem):
    protocol = "busy"
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    error: type[OSError] = OSError
    tries: Counter[str] = Counter()

    def _refuse(self, path: str) -> None:
        self.tries[path] += 1
        if self.tries[path] % 2:
            raise self.error("busy")

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        self._refuse(path)
        super().pipe_file(path, value, **options)

    def put(self, lpath: str, rpath: str, **options: Any) -> None:
        self._refuse(rpath)
        super().put(lpath, rpath, **options)


@pytest.fixture
def run() -> Iterator[RunDir]:
    fsspec.register_implementation("busy", Busy, clobber=True)
    Busy.store.clear()
    Busy.tries.clear()
    yield RunDir("busy://runs/one")
    Busy.error = OSError


def test_a_refused_write_is_made_again(run: RunDir, tmp_path: Path) -> None:
    run.write_json("run.json", {"a": 1})
    assert run.read_json("run.json") == {"a": 1}
    (tmp_path / "file").write_text("kept")
    run.upload({str(tmp_path / "file"): "file"})
    assert run.read_bytes("file") == b"kept"


@pytest.mark.parametrize("error", [PermissionError, FileNotFoundError, FileExistsError])
def test_what_will_not_change_is_told_at_once(run: RunDir, error: type[OSError]) -> None:
    Busy.error = error
    with pytest.raises(error):
        run.write_json("run.json", {})
    assert Busy.tries.total() == 1


def test_what_is_left_when_a_journal_is_closed_is_written_for_some_seconds_more(run: RunDir) -> None:
    writer = JournalWriter(run)
    writer.append(Event("run_ended", 1.0))
    assert writer.close() is None
    assert [event.kind for event in JournalReader(run).new()] == ["run_ended"]
