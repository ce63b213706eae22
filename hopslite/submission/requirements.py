"""Requirements of a program of `hopslite run`: a file, names of frameworks, and the version of Python."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..core.redaction import without_credentials
from ..core.suggestions import did_you_mean
from ..errors import InvalidArguments
from ..programs.command import Command
from ..programs.shell_variables import variable_names
from ..programs.virtual_environment import Requirements, make_environment
from .text_files import read_text

__all__ = ["AUTO", "requirements_of", "with_environment"]

CALL = "hopslite run"
AUTO = "auto"
AUTO_FILES = ("requirements.txt", "floyd_requirements.txt")
VERSION = re.compile(r"3\.[0-9]{1,2}(\.[0-9]{1,2})?")
INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?<=-r)|(?<=-c))(\S.*)")
EDITABLE = re.compile(r"(-e|--editable)\b")
OF_A_FOLDER = re.compile(r"(\.{0,2}/|\.{1,2}$|file:|\S+\s*@\s*(file:|\.{0,2}/))")
COMMENT = re.compile(r"(^|\s)#.*")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
VARIABLE = re.compile(r"\$\{\w+\}")


def requirements_of(
    job: Mapping[str, Any], folder: str, frameworks: Mapping[str, tuple[str, ...]]
) -> Requirements | None:
    """Requirements of a job; None if it has none, and its program runs with the Python of the executors.

    Args:
        job: with the path of `requirements` (or `auto`), `python`, `framework`, and the folder `code`.
        folder: that a relative path is in.
        frameworks: requirements by name, from hopslite.toml.

    Raises:
        InvalidArguments: a file or a framework is missing, or a line cannot be installed elsewhere; all problems.
    """
    problems: list[str] = []
    path = _path(job, folder)
    files = _Files()
    lines = list(files.lines(path, problems)) if path else []
    python, framework = job.get("python"), job.get("framework")
    if framework is not None:
        lines += _framework(framework, frameworks, problems)
    if python is not None and not VERSION.fullmatch(python):
        problems.append(f"python is {python!r}; give a version, such as 3.12")
    if problems:
        raise InvalidArguments(CALL, problems)
    if path is None and python is None and framework is None:
        return None
    sources = [os.path.basename(path)] if path else []
    sources += [f"framework {framework}"] if framework else []
    version = python or ".".join(platform.python_version_tuple()[:2])
    named = tuple((name, text) for name, text in files.constraints.items())
    return Requirements(
        "".join(f"{line}\n" for line in lines), version, " and ".join(sources) or "no file", files=named
    )


def with_environment(command: Command, requirements: Requirements, tell: Callable[[str], None]) -> Command:
    """A command whose program runs in an environment, which is made on this machine first, to know that it can be.

    Args:
        tell: is called with a line for the user when that takes a while.

    Raises:
        CommandFailed: the environment cannot be made; the message has the installer's own words.
        InvalidArguments: a variable of the requirements is not set.
    """
    names = sorted(_variables_in(requirements) - command.environment.keys())
    if missing := [name for name in names if name not in os.environ]:
        problem = f"{requirements.source} refers to ${{{missing[0]}}}, which is not set; set it, or give it with --env"
        raise InvalidArguments(CALL, [problem])
    values = {**command.typed_with, **{name: os.environ[name] for name in names}}
    environment = make_environment(requirements, {**values, **command.environment}, tell)
    pinned = dataclasses.replace(requirements, pins=environment.pins)
    return dataclasses.replace(command, typed_with=values, requirements=pinned)


def _variables_in(requirements: Requirements) -> set[str]:
    """Names of the variables that the lines refer to, as in `--index-url https://${USER}:${TOKEN}@host`."""
    texts = (requirements.text, *(text for _, text in requirements.files))
    braced = (match for text in texts for match in re.findall(r"\$\{[^{}]*\}", text))
    return {name for word in braced for name, _ in variable_names(word)}


def _path(job: Mapping[str, Any], folder: str) -> str | None:
    path = job.get("requirements")
    if path != AUTO:
        return os.path.join(folder, os.path.expanduser(path)) if path else None
    paths = (os.path.join(job["code"], name) for name in AUTO_FILES)
    return next((candidate for candidate in paths if os.path.isfile(candidate)), None)


def _framework(name: str, frameworks: Mapping[str, tuple[str, ...]], problems: list[str]) -> tuple[str, ...]:
    if name in frameworks:
        faults = [fault for line in frameworks[name] if (fault := _problem(line.strip()))]
        problems += [f"framework {name}: {fault}" for fault in faults]
        return frameworks[name]
    example = 'hopslite.toml has none; add [frameworks] and below it lines: "pytorch-2.13" = ["torch==2.13.0"]'
    known = f"there are {', '.join(frameworks)}" if frameworks else example
    problems.append(f"there is no framework {name!r}; {did_you_mean(name, frameworks, known)}")
    return ()


class _Files:
    """Reader of a requirements file and of those that it refers to.

    Requirements of other files take the place of the line that refers to them; constraints stay files, with names that
    they have in the environment's folder.
    """

    def __init__(self) -> None:
        self.constraints: dict[str, str] = {}

    def lines(self, path: str, problems: list[str], above: tuple[str, ...] = ()) -> Iterator[str]:
        if not os.path.isfile(path):
            problems.append(f"there is no requirements file {path}")
            return
        for number, line in _logical_lines(read_text(path)):
            where = f"{path}, line {number}"
            if (include := INCLUDE.fullmatch(line)) is not None:
                yield from self._included(path, where, include, problems, (*above, path))
            elif problem := _problem(line):
                problems.append(f"{where}: {problem}")
            else:
                yield line

    def _included(
        self, path: str, where: str, include: re.Match[str], problems: list[str], above: tuple[str, ...]
    ) -> Iterator[str]:
        target = os.path.normpath(os.path.join(os.path.dirname(path), include[2].strip("\"'")))
        if "://" in include[2]:
            problems.append(f"{where}: {include[2]:.80}: a file on a server may be another one later; save it here")
        elif target in above:
            problems.append(f"{where}: {include[2]:.80} refers to itself, without an end")
        elif include[1] in ("-r", "--requirement"):
            yield from self.lines(target, problems, above)
        else:
            text = "".join(f"{line}\n" for line in self.lines(target, problems, above))
            name = f"constraints-{len(self.constraints) + 1}.txt"
            self.constraints[name] = text
            yield f"-c {name}"


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, with the number of their first; a backslash at the end joins two."""
    joined, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        first = first if joined else number
        stripped = line.rstrip()
        if stripped.endswith("\\") and not stripped.lstrip().startswith("#"):
            joined += stripped[:-1]
            continue
        logical = COMMENT.sub("", joined + line).strip()
        joined = ""
        if logical:
            yield first, logical


def _problem(line: str) -> str | None:
    if EDITABLE.match(line) or OF_A_FOLDER.match(line):
        return (
            f"{line[:80]!r} installs from a folder, which other machines do not have; the program's own folder travels "
            "with it and needs no installation, and a package can be given by its name or the URL of its repository"
        )
    for url in URL.findall(line):
        scheme, _, rest = url.partition("://")
        user = rest.partition("/")[0].rpartition("@")[0]
        is_public = scheme.endswith("ssh") and ":" not in user  # git+ssh://git@host
        if user and not is_public and not all(VARIABLE.fullmatch(part) for part in user.split(":")):
            return (
                f"{without_credentials(url):.80} is given with a user or password, which would be recorded; write "
                "${NAME} in its place, and set that variable or give it with --env"
            )
    return None
