"""Every notebook runs from its first cell to its last, and what it keeps of an earlier time is little."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KEPT_BYTES = 100_000
FAILING = {"hyperparameter_search"}  # some trials fail in order to show what happens then
WENT_WRONG = re.compile(r"not found|^Error|^Usage:|Traceback|Warning", re.MULTILINE)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def book(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.mark.timeout(600)
def test_it_runs(
    path: Path, book: nbformat.NotebookNode, tmp_path: Path, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # where `!hopslite` is
    client = nbclient.NotebookClient(
        book, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises what a cell raises
    records = [json.loads(record.read_text()) for record in Path(project).glob("Experiments/*/run.json")]
    assert records
    assert {record["state"] for record in records} == {"FINISHED"}
    ends = {"FINISHED", "STOPPED"} | ({"FAILED"} if path.stem in FAILING else set())
    assert set().union(*(record["counts"] for record in records)) <= ends

    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    written = [output for output in outputs if output.output_type == "stream"]
    assert [output.text for output in written if output.name == "stderr"] == []
    # A command that a cell starts with `!` may fail, and the cell does not.
    assert [output.text for output in written if WENT_WRONG.search(output.text)] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_it_keeps_plots_and_texts_only(book: nbformat.NotebookNode) -> None:
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert all(cell.get("execution_count") is None for cell in book.cells)
    assert {kind for output in outputs for kind in output.data} <= {"image/png", "text/plain"}
    assert len(json.dumps(outputs)) < KEPT_BYTES
    assert "Experiments" not in json.dumps(outputs)  # paths of the machine that made them


def test_it_begins_with_what_it_needs(book: nbformat.NotebookNode) -> None:
    first = book.cells[0].source
    assert first.startswith("# ")
    assert "It runs in" in first
    assert re.search(r"`pip install '?hopslite.*` and Java 17\s+or\s+21", first)


def test_it_is_listed(path: Path) -> None:
    assert f"](../notebooks/{path.name})" in (ROOT / "docs" / "index.md").read_text()


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
