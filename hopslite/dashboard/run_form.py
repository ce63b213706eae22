"""The form of a new run: fields from a job file's parameters, and the words of the command that starts it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from ..errors import InvalidArguments
from ..space.notation import parse_text
from ..submission.described_parameters import Description
from ..submission.job_file import is_job, read_job
from ..submission.options import OPTIONS, Option

__all__ = ["Entry", "Field", "Form", "choices_of", "job_files", "option_words", "parameter_words", "read_form"]

VALUE, LIST, RANGE, AXIS = MODES = ("value", "list", "range", "axis")
NUMBERS = ("int", "float")
LEFT_OUT = ("detach", "resume", "retry_failed", "force", "display", "verbose", "code")  # not of a form
MOST_DEPTH, MOST_FOLDERS, MOST_JOBS = 3, 2000, 200
PASSED_OVER = ("node_modules", "__pycache__", "site-packages")
JOB_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class Field:
    """A parameter that the form asks for; `description` is None if the job file has none."""

    name: str
    default: Any
    description: Description | None

    @property
    def is_number(self) -> bool:
        if self.description is not None:
            return self.description.type in NUMBERS
        values = self.default if isinstance(self.default, list) else [self.default]
        return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)

    @property
    def is_whole(self) -> bool:
        if self.description is not None:
            return self.description.type == "int"
        values = self.default if isinstance(self.default, list) else [self.default]
        return all(isinstance(value, int) and not isinstance(value, bool) for value in values)

    @property
    def is_flag(self) -> bool:
        kind = self.description.type if self.description is not None else None
        return kind in ("bool", "flag") or (kind is None and isinstance(self.default, bool))

    @property
    def choices(self) -> tuple[Any, ...]:
        return self.description.choices if self.description is not None else ()

    @property
    def modes(self) -> tuple[str, ...]:
        """Ways to give it."""
        return MODES if self.is_number and not self.choices else (VALUE, LIST, AXIS)

    @property
    def first_mode(self) -> str:
        if isinstance(self.default, list):
            return LIST
        return AXIS if isinstance(self.default, dict) else VALUE


@dataclasses.dataclass
class Entry:
    """Input of the form for a parameter.

    Attributes:
        mode: one of `MODES`.
        value: a text, number, bool, or of a list with choices the chosen ones.
        low, high, log: of a range.
    """

    mode: str
    value: Any = None
    low: str = ""
    high: str = ""
    log: bool = False


@dataclasses.dataclass(frozen=True)
class Form:
    """A job file that can be started.

    Attributes:
        path: of the job file.
        job: its keys.
    """

    path: str
    job: Mapping[str, Any]
    fields: tuple[Field, ...]

    @property
    def options(self) -> list[Option]:
        return [option for option in OPTIONS.values() if option.key not in LEFT_OUT]


def read_form(path: str) -> Form:
    """Read a job file.

    Raises:
        InvalidArguments: it is none.
    """
    job = read_job(path)
    descriptions = job.get("descriptions", {})
    fields = tuple(Field(name, value, descriptions.get(name)) for name, value in job.get("params", {}).items())
    return Form(path, job, fields)


def parameter_words(form: Form, entries: Mapping[str, Entry]) -> list[str]:
    """Words of the parameters that were not left as the job file has them.

    Raises:
        InvalidArguments: something cannot be; all problems, each with its parameter.
    """
    words, problems = [], []
    for field in form.fields:
        entry = entries.get(field.name)
        if entry is None:
            continue
        try:
            text = _text(field, entry)
        except ValueError as error:
            problems.append(f"{field.name}: {error}")
            continue
        if text is not None and text != _default_text(field):
            words += [f"--{field.name}", text]
    if problems:
        raise InvalidArguments("new run", problems)
    return words


def _text(field: Field, entry: Entry) -> str | None:
    """Text of an entry on the command line; None for the default.

    Raises:
        ValueError: it cannot be.
    """
    if entry.mode == RANGE:
        return _range(field, entry)
    if entry.mode == LIST:
        return _list(field, entry)
    if entry.value is None or (isinstance(entry.value, str) and not entry.value.strip()):
        return None
    if entry.mode == AXIS:
        return _axis(str(entry.value).strip())
    text = _plain(entry.value)
    _check(field, [_read(field, text)])
    return text


def _range(field: Field, entry: Entry) -> str:
    bounds = [_read(field, text.strip()) for text in (entry.low, entry.high)]
    if any(isinstance(bound, str) for bound in bounds):
        raise ValueError("a range has two numbers, the lowest and the highest")
    if field.is_whole and any(bound != int(bound) for bound in bounds):
        raise ValueError("it is a whole number, and so are the ends of a range")
    if bounds[0] >= bounds[1]:
        raise ValueError("the lowest number of a range is below the highest")
    _check(field, bounds)
    ends = f"{entry.low.strip()}, {entry.high.strip()}"
    kind = "int" if field.is_whole else "loguniform" if entry.log else "uniform"
    return _axis(f"{kind}({ends}{', log' if field.is_whole and entry.log else ''})")


def _list(field: Field, entry: Entry) -> str:
    items = entry.value if isinstance(entry.value, (list, tuple)) else str(entry.value or "").split(",")
    values = [_read(field, text) for text in (_plain(item).strip() for item in items) if text]
    if not values:
        raise ValueError("a list has at least one value; commas are between them")
    _check(field, values)
    return json.dumps(values, ensure_ascii=False)


def _axis(text: str) -> str:
    try:
        if parse_text(text) is None:
            raise ValueError(f"{text:.60} is no axis, such as loguniform(1e-4, 1e-1) or choice(adam, sgd)")
    except InvalidArguments as error:
        raise ValueError(error.problems[0]) from None
    return text


def _read(field: Field, text: str) -> Any:
    """Value of a text."""
    if field.is_flag or (field.description is None and text in ("true", "false")):
        return {"true": True, "false": False}.get(text, text)
    if field.is_number or (field.description is None and not isinstance(field.default, str)):
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _check(field: Field, values: Sequence[Any]) -> None:
    if field.description is not None and (problem := field.description.problem(list(values))):
        raise ValueError(problem)
    if field.description is None and field.is_number and any(isinstance(value, str) for value in values):
        raise ValueError("the job file has numbers for it; give numbers")


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _default_text(field: Field) -> str | None:
    if isinstance(field.default, dict):
        return None
    return json.dumps(field.default, ensure_ascii=False) if isinstance(field.default, list) else _plain(field.default)


def option_words(form: Form, values: Mapping[str, Any]) -> list[str]:
    """Words of the options that were entered; lines of a text are values of an option that can be repeated."""
    words = []
    for option in form.options:
        value = values.get(option.key)
        if value is None or value in ("", []):
            continue
        name = option.names[0]
        if option.kind is bool:
            words.append(name if value else f"--no-{name[2:]}")
        elif option.is_repeated:
            lines = value if isinstance(value, list) else str(value).splitlines()
            for line in filter(None, (str(line).strip() for line in lines)):
                words += [name, line]
        else:
            words += [name, str(value)]
    return words


def choices_of(option: Option) -> list[str]:
    """Values of an option that has a fixed choice; empty for others."""
    return list(option.kind.choices) if isinstance(option.kind, click.Choice) else []


def job_files(folder: str, without: str | None) -> list[str]:
    """Paths of job files in a folder and not far below it, relative to it.

    Args:
        without: a folder that is passed over, such as the project.
    """
    return sorted(_job_files(os.path.realpath(folder), without and os.path.realpath(without)))[:MOST_JOBS]


def _job_files(top: str, without: str | None) -> Iterator[str]:
    folders, visited = [(top, 0)], 0
    while folders and visited < MOST_FOLDERS:
        folder, depth = folders.pop(0)
        visited += 1
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.path == without:
                continue
            if entry.is_dir(follow_symlinks=False) and depth < MOST_DEPTH and entry.name not in PASSED_OVER:
                folders.append((entry.path, depth + 1))
            elif is_job(entry.name) and entry.is_file(follow_symlinks=False) and _looks_like_job(entry.path):
                yield os.path.relpath(entry.path, top)


def _looks_like_job(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return any(line.startswith(b"command:") for line in file.read(JOB_BYTES).splitlines())
    except OSError:
        return False
