"""What `hopslite run` was given, as it is kept with the run, and the command that does so again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..store.filesystems import without_credentials

__all__ = ["FILE", "again", "missing", "recorded"]

FILE = "command.json"  # in the run directory


def recorded(
    program: str, parameters: Sequence[str], options: Mapping[str, Any], job: Mapping[str, Any], file: str | None
) -> dict[str, Any]:
    """A form for JSON: where things were in the code's folder, and nothing that is secret.

    Args:
        options: those of the command line, by their names in Python.
        job: what came of all that.
        file: the job file that the program is, without its variables.
    """
    words = []
    for name, value in options.items():
        if name == "inputs":
            words += [word for each in value for word in ("--input", without_credentials(each))]
        elif name not in ("environment", "code"):  # the code is in another folder then
            words += [f"--{name.replace('_', '-')}", str(value)]
    return {
        "options": words,
        "env": [os.path.abspath(path) for path in options.get("environment", ())],
        "program": os.path.relpath(program, job["code"]) if os.path.isfile(program) else program,
        "parameters": list(parameters),
        "job": file and without_credentials(file),
        "has_code": job["has_code"],
        "has_env": file is not None and program in job["secret"],
    }


def again(given: Mapping[str, Any], program: str) -> str:
    """The command, for who is in the code's folder."""
    files = [word for path in given["env"] for word in ("--env", path)]
    code = ["--code", "."] if given["has_code"] else []
    return shlex.join(["hopslite", "run", *given["options"], *files, *code, program, *given["parameters"]])


def missing(given: Mapping[str, Any]) -> Iterator[str]:
    """What the command needs and no record has."""
    for path in given["env"]:
        if os.path.exists(path):
            yield f"variables are in no record; --env takes those that are in {path} now"
        else:
            yield f"variables are in no record, and {path} is no more; give --env another file"
    if given["has_env"]:
        yield "the variables in the job file's env are in no record; give them with --env"
