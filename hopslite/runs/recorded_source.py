"""Source of a run's program, as it was recorded with the run."""

from __future__ import annotations

import dataclasses
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from ..storage.run_directory import RunDir

__all__ = ["Frame", "frames_of", "read_source"]

PROGRAMS = ("program.py", "program.ipynb", "program.sh", "program.r", "program.R", "program.jl")
ARCHIVE = "code.zip"
MOST_BYTES = 4 << 20  # of a file
MOST_FILES = 500
MOST_TOTAL = 32 << 20  # bytes of all files of an archive, which may be a bomb
MOST_FRAMES = 50  # the innermost ones of a traceback, which a recursion makes long
AROUND = 3  # lines before and after that of a frame
FRAME = re.compile(r'^\s*File "(?P<file>[^"\n]{1,4096})", line (?P<line>\d{1,7})(?:, in (?P<function>.{1,200}))?$')
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
TEXTS = (
    ".py",
    ".ipynb",
    ".sh",
    ".r",
    ".jl",
    ".yml",
    ".yaml",
    ".toml",
    ".json",
    ".txt",
    ".md",
    ".cfg",
    ".ini",
    ".hjson",
)


@dataclasses.dataclass(frozen=True)
class Frame:
    """Frame of a traceback, with the lines around it as far as they were recorded.

    Attributes:
        lines: numbers and texts; empty for files that were not recorded.
    """

    file: str
    line: int
    function: str
    lines: tuple[tuple[int, str], ...]


def read_source(run: RunDir, record: Mapping[str, Any]) -> dict[str, str]:
    """Texts of the program's files by their names, the program first; empty if none were recorded."""
    sources: dict[str, str] = {}
    for name, content in zip(PROGRAMS, run.read_each(PROGRAMS, MOST_BYTES), strict=True):
        if isinstance(content, bytes) and len(content) <= MOST_BYTES:
            shown = str(record.get("program") or name)
            sources[shown if name.endswith(shown[-3:]) and "/" not in shown else name] = _text(content)
    [archive] = run.read_each([ARCHIVE], MOST_BYTES * 16)
    if isinstance(archive, bytes):
        for name, text in _in_archive(archive).items():
            sources.setdefault(name, text)
    function = record.get("function")
    if not sources and isinstance(function, dict) and isinstance(function.get("source"), str):
        sources[str(function.get("name") or "function")] = function["source"]
    return sources


def _in_archive(content: bytes) -> dict[str, str]:
    texts: dict[str, str] = {}
    remaining = MOST_TOTAL
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist()[:MOST_FILES]:
                if info.filename.lower().endswith(TEXTS) and info.file_size <= min(MOST_BYTES, remaining):
                    with archive.open(info) as file:
                        content_of_file = file.read(MOST_BYTES)
                    remaining -= len(content_of_file)
                    texts[info.filename] = _text(content_of_file)
    except DAMAGE:
        pass  # what was read until then is shown
    return texts


def frames_of(traceback: str, sources: Mapping[str, str]) -> list[Frame]:
    """Frames of a Python traceback, the innermost last; at most `MOST_FRAMES`."""
    matches = [match for text in traceback.splitlines() if (match := FRAME.match(text))]
    frames = []
    for match in matches[-MOST_FRAMES:]:
        number = int(match["line"])
        lines = _lines(match["file"], number, sources)
        frames.append(Frame(match["file"], number, match["function"] or "", lines))
    return frames


def _lines(file: str, number: int, sources: Mapping[str, str]) -> tuple[tuple[int, str], ...]:
    parts = file.replace("\\", "/").split("/")
    for name, text in sources.items():
        own = name.split("/")
        if name.endswith(".py") and parts[-len(own) :] == own:
            lines = text.splitlines()
            first = max(1, number - AROUND)
            around = lines[first - 1 : number + AROUND]
            return tuple(enumerate(around, first)) if number <= len(lines) else ()
    return ()


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
