"""Previews of files of untrusted runs: texts, tables and checked images, never markup."""

from __future__ import annotations

import base64
import binascii
import csv
import dataclasses
import io
import json
from typing import Any, Literal

from .stored_files import StoredFiles

__all__ = ["Cell", "IMAGES", "Preview", "image_type", "preview"]

MOST_TEXT = 256 << 10  # bytes of a text that are shown
MOST_JSON = 4 << 20  # bytes of JSON and notebooks, which are read as a whole
MOST_IMAGE = 32 << 20
MOST_ROWS, MOST_COLUMNS, MOST_CELL = 500, 60, 500
MOST_CELLS, MOST_OUTPUT = 200, 20_000  # of a notebook, and characters of an output
# Formats that browsers draw without scripts, by their first bytes. SVG is none: it is a document.
SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
HEAD = 16  # bytes that tell an image


@dataclasses.dataclass(frozen=True)
class Cell:
    """Cell of a notebook, or one of its outputs.

    Attributes:
        kind: "markdown", "code", "raw", "output" or "image".
        text: the source or output; of an image a data URL.
        number: of a cell that was executed.
    """

    kind: str
    text: str
    number: int | None = None


@dataclasses.dataclass(frozen=True)
class Preview:
    """Content of a file in a form that a page can show.

    Attributes:
        text: of the kinds "text" and "json".
        rows: of a table, the first of which has the names of the columns.
        cells: of a notebook.
        note: what is not shown, and why; empty if all is.
    """

    kind: Literal["text", "json", "table", "notebook", "image", "nothing"]
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    cells: tuple[Cell, ...] = ()
    note: str = ""


def image_type(head: bytes) -> str | None:
    """Media type of an image by its first bytes; None for what is none that is shown."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in SIGNATURES if head.startswith(signature)), None)


def preview(files: StoredFiles, name: str) -> Preview:
    """Read a file, as far as it is shown.

    Raises:
        NoSuchFile: there is no such file.
    """
    size, ending = files.size(name), name.lower()
    if ending.endswith(IMAGES):
        if size <= MOST_IMAGE and image_type(files.read(name, 0, HEAD)):
            return Preview("image")
        return Preview("nothing", note="this is not an image that can be shown")
    if ending.endswith((".json", ".ipynb")) and size <= MOST_JSON:
        content = files.read(name, 0, size)
        shown = _notebook(content) if ending.endswith(".ipynb") else _json(content)
        if shown is not None:
            return shown
    content = files.read(name, 0, MOST_TEXT)
    if b"\0" in content:
        return Preview("nothing", note="this is not a text")
    note = f"the first {MOST_TEXT >> 10} KB are shown" if size > MOST_TEXT else ""
    text = content.decode("utf-8", "replace")
    if ending.endswith((".csv", ".tsv")):
        table = _table(text, "\t" if ending.endswith(".tsv") else ",", note)
        if table is not None:
            return table
    return Preview("text", text, note=note)


def _json(content: bytes) -> Preview | None:
    try:
        text = _encodable(json.dumps(json.loads(content), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return None
    note = f"the first {MOST_TEXT >> 10} KB are shown" if len(text) > MOST_TEXT else ""
    return Preview("json", text[:MOST_TEXT], note=note)


def _table(text: str, separator: str, note: str) -> Preview | None:
    rows = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            rows.append(tuple(cell[:MOST_CELL] for cell in row[:MOST_COLUMNS]))
            if len(rows) > MOST_ROWS:
                note = f"the first {MOST_ROWS} rows are shown"
                break
    except csv.Error:
        return None
    width = max((len(row) for row in rows), default=0)
    return Preview("table", rows=tuple(row + ("",) * (width - len(row)) for row in rows), note=note) if width else None


def _notebook(content: bytes) -> Preview | None:
    try:
        cells = json.loads(content)["cells"]
        shown = [part for cell in cells[:MOST_CELLS] for part in _parts(cell)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    note = f"the first {MOST_CELLS} cells are shown" if len(cells) > MOST_CELLS else ""
    return Preview("notebook", cells=tuple(shown), note=note)


def _parts(cell: dict[str, Any]) -> list[Cell]:
    kind = str(cell.get("cell_type"))
    number = cell.get("execution_count")
    source = Cell(
        kind if kind in ("markdown", "code") else "raw",
        _joined(cell.get("source"))[:MOST_TEXT],
        number if isinstance(number, int) else None,
    )
    return [source, *(_output(output) for output in cell.get("outputs") or ())]


def _output(output: dict[str, Any]) -> Cell:
    if output.get("output_type") == "stream":
        return Cell("output", _joined(output.get("text"))[:MOST_OUTPUT])
    if output.get("output_type") == "error":
        return Cell("output", _encodable(f"{output.get('ename')}: {output.get('evalue')}")[:MOST_OUTPUT])
    data = output.get("data") or {}
    for kind in ("image/png", "image/jpeg"):
        if kind in data and (image := _image(_joined(data[kind]))):
            return Cell("image", image)
    if "text/plain" in data:
        return Cell("output", _joined(data["text/plain"])[:MOST_OUTPUT])
    return Cell("output", _encodable(f"(an output that is not shown: {', '.join(map(str, data))[:MOST_CELL]})"))


def _image(text: str) -> str | None:
    """Data URL of an image whose content is one."""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        return None
    kind = image_type(content[:HEAD])
    if kind is None or len(content) > MOST_IMAGE:
        return None
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _joined(text: Any) -> str:
    return _encodable("".join(map(str, text)) if isinstance(text, list) else str(text or ""))


def _encodable(text: str) -> str:
    """Text without halves of surrogate pairs, which JSON may hold and pages cannot be sent with."""
    return text.encode("utf-8", "replace").decode()
