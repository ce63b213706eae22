"""Files with programs: finding, reading, examining and writing them."""

from __future__ import annotations

import ast
import dataclasses
import io
import os
import re
import shutil
import stat
import tempfile
import tokenize
import warnings
from collections.abc import Iterable, Iterator

from . import _notebook
from ._findings import Edit, Finding, Kind, edited
from ._imports import rewrite
from ._syntax import Program
from ._uses import bindings, findings_of_imports, findings_of_uses

__all__ = ["FileReport", "examine", "python_files", "save"]

SKIPPED = ("__pycache__", "node_modules", "site-packages")
MARKS = ("pyvenv.cfg", "run.json")  # of a virtual environment, and of a run, whose program is a record
KERNELS = ("pysparkkernel", "pyspark3kernel", "sparkkernel", "sparkrkernel")
HOPSWORKS_MAGICS = ("configure", "local", "send_to_spark", "spark")
PYTHON_MAGICS = ("capture", "prun", "time", "timeit", "local", "send_to_spark", "spark")
WRITING_MAGICS = ("file", "writefile")
CELL_MAGIC = re.compile(r"\s*%%(\w+)(.*)")
LINE_MAGIC = re.compile(
    r"^([ \t]*)(?:(?:[%!?]|[\w., \t\[\]*]+=[ \t]*[%!])(?:.*\\\n)*.*|[\w.*\[\]]+\?\??[ \t]*)$", re.MULTILINE
)
INSTALLS = re.compile(r"[%!]\s*(?:\S*/)?(?:pip3?|conda|python3?\s+-m\s+pip)\s+install\b.*?\s(hops|maggy)(?![\w-])")
CODING = "this is not UTF-8; Python 3 needs a first line that names the encoding, such as `# -*- coding: latin-1 -*-`"


@dataclasses.dataclass(frozen=True)
class FileReport:
    """The findings of a file; `after` is its content with the imports changed, None where that is the same."""

    path: str
    findings: tuple[Finding, ...]
    before: bytes = b""
    after: bytes | None = None


@dataclasses.dataclass(frozen=True)
class _Part:
    """A text, the cell that it is, and, where it is Python, its tokens."""

    text: str
    program: Program | None
    cell: _notebook.Cell | None = None

    @property
    def number(self) -> int | None:
        return self.cell.number if self.cell else None


def python_files(paths: Iterable[str]) -> list[str]:
    """The files that are named, and of folders the programs and notebooks below them, each once.

    Hidden folders, virtual environments, installed packages and recorded runs are left out.
    """
    files: dict[str, str] = {}
    for path in paths:
        for name in _below(path) if os.path.isdir(path) else [path]:
            files.setdefault(os.path.realpath(name), name)
    return list(files.values())


def _below(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in SKIPPED
            and not any(os.path.exists(os.path.join(parent, name, file)) for file in MARKS)
        )
        yield from (os.path.join(parent, name) for name in sorted(names) if name.endswith((".py", ".ipynb")))


def examine(path: str) -> FileReport:
    """Read a program or a notebook, and find what is to be changed and looked at. Nothing is written."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        return FileReport(path, (_error(f"cannot be read: {error.strerror or error}"),))
    try:
        text, encoding, errors = _decoded(raw)
        parts, metadata = _parts(path, text)
    except (ValueError, SyntaxError, LookupError, RecursionError) as error:
        return FileReport(path, (_error(f"cannot be read: {str(error) or type(error).__name__}"),), raw)
    findings = list(_findings_of_file(metadata, errors))
    bound = bindings([part.program for part in parts if part.program])
    edits: list[Edit] = []
    for part in parts:
        findings += _findings_of_part(part, bound)
        inside = _edits(part.program) if part.program else []
        edits += _notebook.edits_in_file(text, part.cell, inside) if part.cell else inside
    findings.sort(key=lambda finding: (finding.cell or 0, finding.line))
    after = edited(text, edits).encode(encoding, errors) if edits else None
    if after is not None and text.encode(encoding, errors) != raw:
        refused = _error(f"{encoding} does not give the same bytes again; change the imports by hand")
        return FileReport(path, (refused, *findings), raw)
    return FileReport(path, tuple(findings), raw, after)


def _edits(program: Program) -> list[Edit]:
    return [edit for statement in program.imports for edit in rewrite(program, statement).edits]


def _error(message: str) -> Finding:
    return Finding(Kind.ERROR, 0, "", message)


def _decoded(raw: bytes) -> tuple[str, str, str]:
    """The text, its encoding as Python finds it (PEP 263), and how what does not fit is handled.

    Raises:
        SyntaxError: the encoding is unknown, or given twice.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return raw.decode(encoding), encoding, "strict"
    except (UnicodeDecodeError, SyntaxError):
        if re.match(rb"(?:.*\n)?.*coding[:=]", raw):
            raise
        return raw.decode("utf-8", "surrogateescape"), "utf-8", "surrogateescape"  # which gives the same bytes again


def _parts(path: str, text: str) -> tuple[list[_Part], object]:
    """The parts of a file: all of a program, the code cells of a notebook for Python; and a notebook's metadata."""
    if not path.lower().endswith(".ipynb"):
        return [_Part(text, Program(text))], None
    cells, metadata = _notebook.cells_of(text)
    if _notebook.kernel_of(metadata)[1] not in ("", "ipython", "python"):
        return [], metadata
    programs = [Program(cell.text) if _is_python(cell.text) else None for cell in cells]
    return [_Part(cell.text, program, cell) for cell, program in zip(cells, programs, strict=True)], metadata


def _is_python(cell: str) -> bool:
    """True for the text of a cell with Python in it: all but those of magics such as `%%bash`."""
    magic = CELL_MAGIC.match(cell)
    if magic and magic[1] in WRITING_MAGICS:
        return magic[2].strip().endswith(".py")
    return magic is None or magic[1] in PYTHON_MAGICS


def _findings_of_file(metadata: object, errors: str) -> Iterator[Finding]:
    if errors != "strict":
        yield Finding(Kind.LOOK, 0, "", CODING)
    if (kernel := _notebook.kernel_of(metadata)[0]) in KERNELS:
        message = f"the kernel {kernel} is Hopsworks' own; choose a Python 3 kernel, where hopslite starts Spark itself"
        yield Finding(Kind.LOOK, 0, "", message)


def _findings_of_part(part: _Part, bound: dict[str, str]) -> Iterator[Finding]:
    if part.cell:
        yield from _magics(part)
    if part.program is None:
        return
    yield from findings_of_imports(part.program, part.number)
    yield from findings_of_uses(part.program, bound, part.number)
    if (error := _syntax_error(part)) is not None:
        line = part.text.splitlines()[error.lineno - 1].strip() if error.lineno and error.lineno > 0 else ""
        yield Finding(Kind.LOOK, error.lineno or 0, line, f"not Python 3: {error.msg}", part.number)


def _magics(part: _Part) -> Iterator[Finding]:
    """Magics that only Hopsworks' kernel has, and installations of the predecessors."""
    for number, line in enumerate(part.text.splitlines(), 1):
        magic = CELL_MAGIC.match(line)
        if magic and magic[1] in HOPSWORKS_MAGICS:
            message = f"%%{magic[1]} is a magic of Hopsworks' kernel; a Python 3 kernel needs none"
            yield Finding(Kind.LOOK, number, line.strip(), message, part.number)
        if installed := INSTALLS.search(line):
            message = f"install hopslite in place of {installed[1]}"
            yield Finding(Kind.LOOK, number, line.strip(), message, part.number)


def _syntax_error(part: _Part) -> SyntaxError | None:
    """The first error of what does not compile as Python 3; a notebook's magics and `await` count as none."""
    text = part.text
    if part.cell:
        text = LINE_MAGIC.sub(r"\1pass", text)
    flags = ast.PyCF_ONLY_AST | (ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if part.cell else 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text.encode("utf-8", "replace").decode(), "program", "exec", flags, dont_inherit=True)
        except SyntaxError as error:
            return error
        except (ValueError, RecursionError, MemoryError) as error:
            return SyntaxError(str(error))
    return None


def save(report: FileReport) -> str | None:
    """Replace a file by its content with the imports changed, at once or not at all; returns why that cannot be."""
    if report.after is None:
        return None
    path = os.path.realpath(report.path)  # a link stays one
    try:
        status = os.stat(path)
        if not status.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
            return f"is read-only; make it writable with `chmod u+w {report.path}`"
        with open(path, "rb") as file:
            if file.read() != report.before:
                return "has changed while it was read; try again"
        _replace(path, report.after, status)
    except OSError as error:
        return f"cannot be written: {error.strerror or error}"
    return None


def _replace(path: str, content: bytes, status: os.stat_result) -> None:
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        shutil.copystat(path, temporary)
        os.utime(temporary)
        if (os.stat(temporary).st_uid, os.stat(temporary).st_gid) != (status.st_uid, status.st_gid):
            os.chown(temporary, status.st_uid, status.st_gid)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
