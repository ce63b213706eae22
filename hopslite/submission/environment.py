"""Environment variables for programs of `hopslite run`: those of `--env`, and those that a command refers to."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from ..core.suggestions import closest
from ..errors import InvalidArguments
from ..programs.command import Argument
from ..programs.shell_variables import variable_names
from .job_file import is_job, read_job
from .text_files import read_text

__all__ = ["as_texts", "check_names", "env_files", "env_option", "names_in", "variables", "without_values"]

NAME = re.compile(r"[A-Za-z_]\w*")
OF_TRIALS = ("HOPSLITE_CHECKPOINT_DIR", "HOPSLITE_OUTPUT", "HOPSLITE_PARAMS", "HOPSLITE_RUN_ID", "HOPSLITE_TRIAL_ID")
HELP = (
    "Variables for the program: a file of lines KEY=VALUE, a job file, KEY=VALUE, or the KEY of one that is set here."
)

env_option = click.option("--env", "--env-file", "environment", multiple=True, metavar="FILE|KEY[=VALUE]", help=HELP)


def variables(options: Iterable[str]) -> dict[str, str]:
    """Variables defined by `--env`; the last definition of a name wins.

    Raises:
        InvalidArguments: there is no such file, it has other lines than KEY=VALUE, or is not UTF-8; a variable is not
            set.
    """
    return {name: value for option in options for name, value in _of_one(option).items()}


def env_files(options: Iterable[str]) -> list[str]:
    """Values of `--env` that are files."""
    return [option for option in options if _is_file(option)]


def without_values(options: Iterable[str]) -> list[str]:
    """Values of `--env` for a record: paths of files, and names of variables without their values."""
    return [os.path.abspath(option) if _is_file(option) else option.partition("=")[0] for option in options]


def _is_file(option: str) -> bool:
    return os.path.isfile(option) or not NAME.fullmatch(option.partition("=")[0])


def _of_one(option: str) -> dict[str, str]:
    if _is_file(option):
        if not os.path.isfile(option):
            name = option.partition("=")[0]  # what follows may be secret
            other = "this is no name of a variable, which has letters, digits and _"
            problem = "there is no such file" if name == option else other
            raise InvalidArguments("--env", [f"--env {name!r}: {problem}"])
        return as_texts(read_job(option).get("env", {})) if is_job(option) else _of_file(option)
    name, equals, value = option.partition("=")
    if not equals and name not in os.environ:
        raise InvalidArguments(
            "--env",
            [f"--env {option}: no file has this name, and no variable that is set here; give {name}=VALUE, or a file"],
        )
    return {name: value if equals else os.environ[name]}


def as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Variables of a job file as texts; their values may be numbers."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def _of_file(path: str) -> dict[str, str]:
    values = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.removeprefix("export ").partition("=")
        if not equals or not name.strip().isidentifier():
            raise InvalidArguments(path, [f"{path}, line {number}: {name.strip()[:40]!r} is not KEY=VALUE"])
        values[name.strip()] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    """Value without the quotes around it; a quote at one end alone is its own."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def names_in(
    words: Sequence[str], arguments: Sequence[Argument], texts: Mapping[str, Mapping[str, str]]
) -> dict[str, bool]:
    """Variables that a command's words and parameter values refer to; True for those with a default."""
    free = [word for argument in arguments if argument.is_expanded for word in argument.words]
    written = [text for spellings in texts.values() for text in spellings.values()]
    names: dict[str, bool] = {}
    for name, has_default in (use for word in (*words, *free, *written) for use in variable_names(word)):
        names[name] = names.get(name, True) and has_default
    return names


def check_names(
    names: Mapping[str, bool], parameters: Iterable[str], inputs: Iterable[str], others: Iterable[str]
) -> None:
    """Raise for unknown variables with the prefix HOPSLITE_, which would remain unexpanded and end as a file's name.

    Raises:
        InvalidArguments: there is one; the message has the nearest that there is.
    """
    known = {*OF_TRIALS, *others}
    known |= {f"HOPSLITE_PARAM_{name.upper()}" for name in parameters}
    known |= {f"HOPSLITE_INPUT_{name.upper()}" for name in inputs}
    for name, has_default in names.items():
        if name.startswith("HOPSLITE_") and name not in known and not has_default:
            near = closest(name, known)
            ours = sorted(other for other in known if other.startswith("HOPSLITE_"))
            hint = f"did you mean ${near}?" if near else f"there are ${', $'.join(ours)}"
            raise InvalidArguments("hopslite run", [f"there is no variable ${name}; {hint} $$ is a dollar"])
