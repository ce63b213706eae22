"""Every notebook runs from its first cell to its last, and what it keeps of an earlier time is little."""

from __future__ import annotations

import json
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
KEPT_BYTES = 100_000


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def book(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


@pytest.mark.timeout(600)
def test_it_runs(book: nbformat.NotebookNode, tmp_path: Path, project: str) -> None:
    client = nbclient.NotebookClient(
        book, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises what a cell raises
    records = [json.loads(path.read_text()) for path in Path(project).glob("Experiments/*/run.json")]
    assert records
    assert {record["state"] for record in records} == {"FINISHED"}
    assert all(record["counts"].keys() <= {"FINISHED", "STOPPED"} for record in records)


def test_it_keeps_plots_and_texts_only(book: nbformat.NotebookNode) -> None:
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert all(cell.get("execution_count") is None for cell in book.cells)
    assert {kind for output in outputs for kind in output.data} <= {"image/png", "text/plain"}
    assert len(json.dumps(outputs)) < KEPT_BYTES
    assert "Experiments" not in json.dumps(outputs)  # paths of the machine that made them


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS
