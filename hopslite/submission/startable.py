"""Checks that a program can be started, before Spark is: that it is there, executable, and has its interpreter."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..core import extras
from ..core.suggestions import did_you_mean
from ..errors import InvalidArguments
from ..programs.command import NOTEBOOK, PYTHONS, Command
from .code_archive import IGNORE
from .notebook_parameters import notebook_problem

__all__ = ["check_command", "is_binary", "operator_problem"]

BINARIES = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe")  # of Linux and macOS
HEAD = 256  # bytes of a program that say how it is started
OPERATORS = ("&&", "||", "|", ";", ">", ">>", "<", "2>&1", "&")


def check_command(job: Mapping[str, Any], command: Command, has_environment: bool = False) -> None:
    """Check that a job's command can be started in the folder of its code.

    Args:
        has_environment: the program has an environment of its own, which may bring it along.

    Raises:
        InvalidArguments: it cannot be started, or a notebook has no such parameters; the message says what to do.
        MissingExtra: packages that execute notebooks are not installed.
    """
    with zipfile.ZipFile(io.BytesIO(command.code)) as archive:
        sent = archive.namelist()
    folder, environment = job["code"], {**os.environ, **command.environment}
    problem = operator_problem(job["command"])
    is_bare = os.sep not in command.program and not command.program.endswith((".py", ".ipynb"))
    if problem is None and not (has_environment and is_bare):
        problem = _problem(command.words, folder, sent, environment)
    if problem is None and command.is_notebook:
        problem = notebook_problem(os.path.join(folder, command.program), list(job["params"]))
    if problem:
        raise InvalidArguments("hopslite run", [problem])


def operator_problem(command: str) -> str | None:
    """Problem of a command line with a shell's operators; None if it has none, or quotes that may be around them."""
    operator = next((word for word in command.split() if word in OPERATORS), None)
    if operator is None or any(quote in command for quote in "'\""):
        return None
    return (
        f"{command}: {operator} is of a shell, and a command is started without one; write sh -c '{command}', or a "
        "script"
    )


def is_binary(path: str) -> bool:
    """True for an executable file that is no script."""
    with open(path, "rb") as file:
        return file.read(HEAD).startswith(BINARIES)


def _problem(words: Sequence[str], folder: str, sent: Collection[str], environment: Mapping[str, str]) -> str | None:
    program = words[0]
    if program in PYTHONS and words[1 : len(NOTEBOOK)] == NOTEBOOK[1:]:
        extras.require("notebooks", "running a notebook")
        return _file_problem(words[len(NOTEBOOK)], folder, sent)
    if program in PYTHONS:
        program = next((word for word in words[1:] if not word.startswith("-")), "")
        return _file_problem(program, folder, sent) if program.endswith(".py") and words[1] == program else None
    if "$" in program or "{" in program:
        return None  # known when a trial begins
    if program.endswith(".py"):
        return _file_problem(program, folder, sent)
    if os.sep not in program:
        return _missing_program(program, folder, environment)
    path = os.path.join(folder, program)
    return _file_problem(program, folder, sent) or _executable_problem(program, path)


def _file_problem(name: str, folder: str, sent: Collection[str]) -> str | None:
    if "$" in name or "{" in name:
        return None
    path = os.path.normpath(os.path.join(folder, name))
    if not os.path.isfile(path):
        nearby = os.listdir(os.path.dirname(path)) if os.path.isdir(os.path.dirname(path)) else []
        hint = did_you_mean(os.path.basename(path), nearby, start="; did you mean")
        kind = "is a folder" if os.path.isdir(path) else "is not there"
        return f"{name} {kind} in {folder}{hint}"
    inside = os.path.relpath(path, folder)
    if not os.path.isabs(name) and inside.startswith(os.pardir + os.sep):
        return (
            f"{name} is not in the folder of the code, {folder}, which is all that travels; give one that has both "
            "with --code"
        )
    if not os.path.isabs(name) and inside not in sent:
        return f"{name} is not sent with the code, as {IGNORE} lists it, or as it may hold secrets"
    return None


def _missing_program(name: str, folder: str, environment: Mapping[str, str]) -> str | None:
    if shutil.which(name, path=environment.get("PATH")) is not None:
        return None
    if os.path.isfile(os.path.join(folder, name)):
        return f"there is no program {name} in PATH; for the file in {folder} write ./{name}"
    return f"there is no program {name}: no file in {folder}, and none in PATH"


def _executable_problem(name: str, path: str) -> str | None:
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if not os.access(path, os.X_OK):
        runner = _interpreter(head) or "sh"
        return f"{name} is not executable; run chmod +x {name}, or write {os.path.basename(runner)} {name}"
    if head.startswith(BINARIES):
        return None
    if not head.startswith(b"#!"):
        return (
            f"{name} is no binary of this system, and has no first line such as #!/bin/sh; add one, or write sh {name}"
        )
    interpreter = _interpreter(head)
    if interpreter is None:
        return f"the first line of {name} names no interpreter; write such as #!/bin/sh"
    if interpreter.endswith("\r"):
        return f"{name} has line ends of Windows, with which its first line does not work; save it with those of Unix"
    if shutil.which(interpreter) is None:
        return f"{name} is to be run by {interpreter}, as its first line says, and there is no such program"
    return None


def _interpreter(head: bytes) -> str | None:
    """Program in the first line of a script, also after `/usr/bin/env`."""
    if not head.startswith(b"#!"):
        return None
    words = head[2:].split(b"\n")[0].decode(errors="replace").strip(" \t").split(" ")
    if os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words[0] if words and words[0] else None
