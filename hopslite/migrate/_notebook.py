"""Code cells of Jupyter notebooks, changed within the file's own text: all else stays as it is, byte for byte."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any

from ._findings import Edit, edited

__all__ = ["Cell", "cells_of", "edits_in_file", "kernel_of"]


class _Located(str):
    """A string of a JSON document that knows where its literal is."""

    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Cell:
    """A code cell: its number among all cells, from 1 on, and its text, as a list of lines or as one."""

    number: int
    pieces: Sequence[_Located]
    is_list: bool

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def _parse(text: str) -> Any:
    """A JSON document whose strings know their places.

    Raises:
        ValueError: it is none.
    """
    decoder = json.JSONDecoder()

    def located(document: str, begin: int, strict: bool = True) -> tuple[str, int]:
        value, end = scanstring(document, begin, strict)
        made = _Located(value)
        made.start, made.end = begin - 1, end
        return made, end

    decoder.parse_string = located  # type: ignore[attr-defined]
    decoder.scan_once = py_make_scanner(decoder)  # type: ignore[attr-defined]  # the one in C would not ask us
    return decoder.decode(text)


def cells_of(text: str) -> tuple[list[Cell], Any]:
    """The code cells of a notebook of format 3 or 4, and its metadata.

    Raises:
        ValueError: it is no notebook.
    """
    document = _parse(text)
    if not isinstance(_entry(document, "cells") or _entry(document, "worksheets"), list):
        raise ValueError("this is no notebook: it has no list of cells")
    return list(_code_cells(document)), document.get("metadata")


def _code_cells(document: dict[str, Any]) -> Iterator[Cell]:
    sheets = document.get("worksheets") or [document]
    cells = [cell for sheet in sheets if isinstance(sheet, dict) for cell in sheet.get("cells") or ()]
    for number, cell in enumerate(cells, 1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", cell.get("input", []))
            pieces = [source] if isinstance(source, _Located) else source
            if isinstance(pieces, list) and all(isinstance(piece, _Located) for piece in pieces):
                yield Cell(number, pieces, source is pieces)


def kernel_of(metadata: Any) -> tuple[str, str]:
    """The notebook's kernel and its language, in lower case; empty where it does not say them."""
    kernel = _entry(metadata, "kernelspec")
    language = _entry(kernel, "language") or _entry(_entry(metadata, "language_info"), "name")
    return str(_entry(kernel, "name") or ""), str(language or "").lower()


def _entry(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def edits_in_file(text: str, cell: Cell, edits: Sequence[Edit]) -> Iterator[Edit]:
    """Edits of a cell's text as edits of the file's."""
    starts = [0]
    for piece in cell.pieces:
        starts.append(starts[-1] + len(piece))
    groups: list[tuple[int, int, list[Edit]]] = []  # the first and last piece, and what is to be done in them
    for edit in sorted(edits, key=lambda edit: edit.start):
        first = _piece_at(starts, edit.start)
        last = _piece_at(starts, max(edit.start, edit.end - 1))
        if groups and groups[-1][1] >= first:
            groups[-1] = (groups[-1][0], max(last, groups[-1][1]), [*groups[-1][2], edit])
        else:
            groups.append((first, last, [edit]))
    for first, last, inside in groups:
        start = starts[first]
        before = cell.text[start : starts[last + 1]]
        after = edited(before, [Edit(edit.start - start, edit.end - start, edit.text) for edit in inside])
        lines = re.findall(r"[^\n]*\n|[^\n]+", after) if cell.is_list else [after]
        begin, end = cell.pieces[first].start, cell.pieces[last].end
        yield Edit(begin, end, _separator(text, cell).join(_literals(lines, text[begin:end])))


def _piece_at(starts: Sequence[int], place: int) -> int:
    return max(number for number, start in enumerate(starts[:-1]) if start <= place)


def _separator(text: str, cell: Cell) -> str:
    """The file's text between two lines of a cell: the comma and the white space of its layout."""
    if len(cell.pieces) > 1:
        return text[cell.pieces[0].end : cell.pieces[1].start]
    start = cell.pieces[0].start
    space = re.search(r"\[(\s*)\Z", text[:start])
    return f",{space[1]}" if space and space[1] else ", "


def _literals(lines: Sequence[str], before: str) -> list[str]:
    """JSON strings, with characters outside of ASCII as they were written before."""
    escaped = "\\u" in before and before.isascii()
    return [json.dumps(line, ensure_ascii=escaped) for line in lines]
