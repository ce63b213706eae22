"""Record of a call of `hopslite run`, and the shell command that repeats it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.redaction import REDACTED, redact, redact_words, without_credentials
from .environment import without_values
from .options import OPTIONS, Option

__all__ = ["FILE", "missing_requirements", "record_call", "shell_command"]

FILE = "command.json"  # in the run directory
# The code is in another folder then, and the versions of packages are pinned in a file.
NOT_REPEATED = ("environment", "code", "requirements", "python", "framework", "detach", "queue", "profile")


def record_call(
    program: str, parameters: Sequence[str], options: Mapping[str, Any], job: Mapping[str, Any], file: str | None
) -> dict[str, Any]:
    """JSON form of a call: paths relative to the code's folder, without secrets.

    Args:
        options: those of the command line, by their names in Python.
        job: what came of all that.
        file: the job file that the program is, without its variables and secrets.
    """
    words = []
    for name, value in options.items():
        if name == "inputs":  # with absolute paths: the folder is another then
            typed = [item.partition("=")[0] for item in value]
            words += _option_words(OPTIONS["inputs"], [f"{key}={job['inputs'][key].text}" for key in typed])
        elif name not in NOT_REPEATED:
            words += _option_words(OPTIONS[name], value)
    return {
        "options": words,
        "env": without_values(options.get("environment", ())),
        "program": os.path.relpath(program, job["code"]) if os.path.isfile(program) else program,
        "parameters": redact_words(list(parameters)),
        "job": file,
        "has_code": job["has_code"],
        "has_env": file is not None and job["has_env"],
    }


def _option_words(option: Option, value: Any) -> list[str]:
    """Words that give an option this value again."""
    name = option.names[0]
    if isinstance(value, bool):
        return [name if value else f"--no-{name[2:]}"]
    hide = without_credentials if option.key == "inputs" else redact
    return [
        word for item in (value if isinstance(value, (list, tuple)) else [value]) for word in (name, hide(str(item)))
    ]


def shell_command(record: Mapping[str, Any], program: str) -> str:
    """Shell command that repeats the run, relative to the code directory."""
    files = [word for path in record["env"] for word in ("--env", path)]
    code = ["--code", "."] if record["has_code"] else []
    return shlex.join(["hopslite", "run", *record["options"], *files, *code, program, *record["parameters"]])


def missing_requirements(record: Mapping[str, Any]) -> Iterator[str]:
    """Requirements of the command that no record has."""
    for path in record["env"]:
        if not os.path.isabs(path):
            yield f"the value of {path} is in no record; --env {path} takes that of the environment"
        elif os.path.exists(path):
            yield f"variables are in no record; --env takes those that are in {path} now"
        else:
            yield f"variables are in no record, and {path} is no more; give --env another file"
    if REDACTED in shlex.join([*record["options"], *record["parameters"], str(record["job"])]):
        yield f"secrets are in no record; give them again in the place of {REDACTED}"
    if record["has_env"]:
        yield "the variables in the job file's env are in no record; give them with --env"
