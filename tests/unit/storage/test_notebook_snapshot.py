"""What is kept of a program that is a notebook: its file, or the cells that ran where there is none that has them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import nbclient
import nbformat
import pytest

from hopslite.storage.project import Project
from tests.helpers.observe import PATIENCE_S

HELPER = "def half(x):\n    return x / 2\n"
CELLS = [
    "import sys; sys.path.insert(0, '.')\nfrom helper import half\nfrom hopslite import experiment",
    "%cd -q .\nresult = experiment.launch(lambda: half(3.0), pool='inline', display=False)",
    "result['metric'] if isinstance(result, dict) else result[1]",
]


@pytest.fixture
def folder(tmp_path: Path, project: str) -> Path:
    """That of a notebook that is saved, and a module beside it."""
    (tmp_path / "helper.py").write_text(HELPER)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbformat.write(book, tmp_path / "my book.ipynb")
    return tmp_path


def run(folder: Path, project: str, *cells: str) -> dict[str, bytes]:
    """The files that are kept of a program, by name, after some cells were executed in a kernel."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(book, timeout=PATIENCE_S, kernel_name="python3", resources=resources).execute()
    [run_id] = Project(project).runs()
    kept = Path(project, "Experiments", run_id)
    return {path.name: path.read_bytes() for path in kept.iterdir() if path.name.startswith(("program.", "code."))}


def vs_code(folder: Path) -> str:
    return f"__vsc_ipynb_file__ = {str(folder / 'my book.ipynb')!r}"


def test_the_file_of_jupyter(folder: Path, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(folder / "my book.ipynb"))
    kept = run(folder, project, *CELLS)
    assert kept.keys() == {"program.ipynb", "code.zip"}
    assert kept["program.ipynb"] == (folder / "my book.ipynb").read_bytes()
    with zipfile.ZipFile(Path(project, "Experiments", Project(project).runs()[0], "code.zip")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "my book.ipynb": kept["program.ipynb"],
            "helper.py": HELPER.encode(),
        }


def test_the_file_of_vs_code(folder: Path, project: str) -> None:
    kept = run(folder, project, vs_code(folder), *CELLS)
    assert kept.keys() == {"program.ipynb", "code.zip"}
    assert kept["program.ipynb"] == (folder / "my book.ipynb").read_bytes()


def test_what_ran_is_kept_when_it_was_not_saved(folder: Path, project: str) -> None:
    changed = CELLS[1].replace("3.0", "4.0")
    kept = run(folder, project, vs_code(folder), CELLS[0], changed)
    assert kept.keys() == {"program.ipynb", "program.py", "code.zip"}
    assert b"half(4.0)" in kept["program.py"] and b"half(4.0)" not in kept["program.ipynb"]


@pytest.mark.slow("notebooks")
@pytest.mark.parametrize("book", [None, b"", b"{}", b"[1]", b'{"cells": [{"source": 1}, {}]}'])
def test_the_cells_where_no_file_has_them(folder: Path, project: str, book: bytes | None) -> None:
    path = folder / "my book.ipynb"
    path.unlink() if book is None else path.write_bytes(book)
    kept = run(folder, project, vs_code(folder), *CELLS)
    assert ("program.ipynb" in kept) == (book is not None)
    cells = kept["program.py"].decode().split("# %%\n")
    assert [cell.strip() for cell in cells[1:3]] == [vs_code(folder), CELLS[0]]
    assert cells[3].splitlines() == ["get_ipython().run_line_magic('cd', '-q .')", *CELLS[1].splitlines()[1:]]
