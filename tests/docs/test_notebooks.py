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

from tests.helpers import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Each cell runs, with fewer trials and epochs than a reader's: what a notebook shows needs minutes of two cores.
SMALLER: dict[str, dict[str, str]] = {
    "comparing_runs": {"samples=16": "samples=5", "space.integer(5, 50, log=True)": "space.integer(3, 6)"},
    "differential_evolution": {
        "generations=9": "generations=2",
        "population=10": "population=5",
        "samples=100": "samples=8",
        "in (1, 2, 3):": "in (1, 2):",
        "0.1, 100, 13": "0.1, 100, 4",
        "1e-8, 10, 10": "1e-8, 10, 3",
        "[:800]": "[:300]",
        "reshape(800, 64)": "reshape(300, 64)",
        "[:400]": "[:150]",
        "[400:]": "[150:]",
        "max_iter=10": "max_iter=2",
    },
    "distributed_training": {"epochs=8": "epochs=4", "dies_in=4": "dies_in=1", "[0.001, 0.01, 0.1]": "[0.01, 0.1]"},
    "early_stopping": {
        "EPOCHS = 27": "EPOCHS = 6",
        '"num_trials": 30': '"num_trials": 12',
        "len(after) == 30": "len(after) == 12",
    },
    "hyperparameter_search": {
        "samples=72": "samples=6",
        "num_trials=72": "num_trials=6",
        "in (1, 2, 3)": "in (1, 2)",
        "[0.001, 0.01, 0.1, 1.0]": "[0.01, 0.1]",
        "[16, 64, 256]": "[16]",
        "range(8)": "range(3)",
    },
    "population_based_training": {"EPOCHS, INTERVAL, POPULATION = 12, 2, 8": "EPOCHS, INTERVAL, POPULATION = 4, 2, 4"},
    "pytorch": {
        "epochs=10": "epochs=3",
        "num_trials=16": "num_trials=6",
        "num_trials=15": "num_trials=6",
        '"max_budget": 18': '"max_budget": 4',
    },
    "quickstart": {"samples=30": "samples=6"},
    "several_metrics": {
        "num_trials=60": "num_trials=12",
        '"population_size": 15': '"population_size": 4',
        "range(20)": "range(3)",
    },
}
FAST = {"quickstart"}  # `make test` runs no other
KEPT_BYTES = 100_000
FAILING = {"hyperparameter_search"}  # some trials fail in order to show what happens then
WENT_WRONG = re.compile(r"not found|^Error|^Usage:|Traceback|Warning", re.MULTILINE)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def book(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.mark.slow("notebooks")
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[] if path.stem in FAST else [pytest.mark.slow("notebook")])
        for path in NOTEBOOKS
    ],
)
def test_it_runs(
    path: Path, book: nbformat.NotebookNode, tmp_path: Path, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)  # where `!hopslite` is
    make_smaller(book, SMALLER[path.stem])
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


def make_smaller(book: nbformat.NotebookNode, replacements: dict[str, str]) -> None:
    for text, smaller in replacements.items():
        assert any(text in cell.source for cell in book.cells if cell.cell_type == "code"), text
        for cell in book.cells:
            cell.source = cell.source.replace(text, smaller) if cell.cell_type == "code" else cell.source


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
