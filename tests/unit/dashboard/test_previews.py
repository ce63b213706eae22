"""Previews of files of untrusted runs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hopslite.dashboard.previews import Preview, image_type, preview
from hopslite.dashboard.stored_files import StoredFiles
from hopslite.storage.run_directory import RunDir

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def shown(folder: Path, name: str, content: bytes | str) -> Preview:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return preview(StoredFiles(RunDir(str(folder))), name)


def test_images_are_told_by_their_content(tmp_path: Path) -> None:
    assert shown(tmp_path, "a.png", PNG).kind == "image"
    assert shown(tmp_path, "b.png", SVG).kind == "nothing"
    assert shown(tmp_path, "c.svg", SVG) == Preview("text", SVG.decode())
    assert image_type(PNG[:16]) == "image/png"
    assert image_type(SVG[:16]) is None
    assert image_type(b"RIFF\0\0\0\0WEBPVP8 ") == "image/webp"


def test_html_is_text(tmp_path: Path) -> None:
    page = "<script>alert(1)</script>"
    assert shown(tmp_path, "page.html", page) == Preview("text", page)


def test_tables_have_rows_of_one_length(tmp_path: Path) -> None:
    table = shown(tmp_path, "a.csv", 'step,loss\n1,"0.5, or so"\n2\n')
    assert table == Preview("table", rows=(("step", "loss"), ("1", "0.5, or so"), ("2", "")))
    long = shown(tmp_path, "b.tsv", "\n".join(f"{i}\t{i}" for i in range(2000)))
    assert len(long.rows) == 501
    assert long.note == "the first 500 rows are shown"


def test_json_is_indented_and_what_is_none_is_text(tmp_path: Path) -> None:
    assert shown(tmp_path, "a.json", '{"a":[1]}').text == '{\n  "a": [\n    1\n  ]\n}'
    assert shown(tmp_path, "b.json", "{").kind == "text"
    assert shown(tmp_path, "c.json", "[" * 100_000).kind == "text"


def test_notebooks_show_texts_and_checked_images(tmp_path: Path) -> None:
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "text": ["1\n", "2\n"]},
        {"output_type": "display_data", "data": {"text/html": "<script>alert(1)</script>", "text/plain": "<Table>"}},
        {"output_type": "display_data", "data": {"image/png": base64.b64encode(PNG).decode()}},
        {"output_type": "display_data", "data": {"image/png": base64.b64encode(SVG).decode()}},
        {"output_type": "display_data", "data": {"text/html": "<script>alert(1)</script>"}},
        {"output_type": "error", "ename": "ValueError", "evalue": "bad"},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "<b>x</b>"]},
        {"cell_type": "code", "source": "print(1)", "execution_count": 3, "outputs": outputs},
    ]
    notebook = shown(tmp_path, "a.ipynb", json.dumps({"cells": cells}))
    assert notebook.kind == "notebook"
    parts = [(cell.kind, cell.text[:22], cell.number) for cell in notebook.cells]
    assert parts == [
        ("markdown", "# Title\n<b>x</b>", None),
        ("code", "print(1)", 3),
        ("output", "1\n2\n", None),
        ("output", "<Table>", None),
        ("image", "data:image/png;base64,", None),
        ("output", "(an output that is not", None),
        ("output", "(an output that is not", None),
        ("output", "ValueError: bad", None),
    ]


@pytest.mark.parametrize("content", ["[]", '{"cells": 1}', '{"cells": [1]}', '{"cells": [{"outputs": [3]}]}'])
def test_damaged_notebooks_are_shown_as_text(tmp_path: Path, content: str) -> None:
    assert shown(tmp_path, "a.ipynb", content).kind == "text"


def test_large_and_binary_files(tmp_path: Path) -> None:
    large = shown(tmp_path, "a.txt", "x" * 300_000)
    assert (len(large.text), large.note) == (262_144, "the first 256 KB are shown")
    assert shown(tmp_path, "b.bin", b"a\0b") == Preview("nothing", note="this is not a text")
    assert shown(tmp_path, "c.txt", b"\xff\xfe\x41").kind == "text"


def test_halves_of_surrogate_pairs_are_replaced(tmp_path: Path) -> None:
    shown(tmp_path, "a.json", b'{"a": "\\ud800"}').text.encode()
    cell = {"cell_type": "code", "source": "\ud800", "outputs": [{"output_type": "error", "ename": "\ud800"}]}
    for part in shown(tmp_path, "a.ipynb", json.dumps({"cells": [cell]})).cells:
        part.text.encode()
