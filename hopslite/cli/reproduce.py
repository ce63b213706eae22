"""The command `reproduce`: restores a run's program and environment in a new folder."""

from __future__ import annotations

import importlib.metadata
import io
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ..errors import HopsliteError, StoreError
from ..programs.virtual_environment import PINNED
from ..runs.lookup import find
from ..storage.records import command_of, git_of, record_of
from ..storage.run_directory import RunDir
from ..submission.recorded_command import FILE as GIVEN
from ..submission.recorded_command import missing_requirements, shell_command
from ._options import RUN, home, project_option
from ._output import write

__all__ = ["reproduce_command"]

FILES = (
    "code.zip",
    "program.py",
    "program.ipynb",
    "environment.txt",
    "environment.yml",
    "git.json",
    "run.json",
    GIVEN,
    PINNED,
)
PINS = "requirements.txt"
PYTHON = re.compile(r"# Python (\d+\.\d+)\.\S+ on (.*)")


@click.command("reproduce")
@click.argument("run", type=RUN)
@click.option("-o", "--output", metavar="DIR", help="Default: NAME-VERSION here.")
@click.option("--install/--no-install", default=True, help="Whether to install the packages, which may take minutes.")
@project_option
def reproduce_command(place: str | None, run: str, output: str | None, install: bool) -> None:
    """Restore a run's program and its environment: the code, the packages, and the command that starts it."""
    directory = find(home(place), run)
    files = dict(zip(FILES, directory.read_many(FILES), strict=True))
    record = record_of(files["run.json"]) or {}
    safe = re.sub(r"[^\w.-]+", "_", str(record.get("name") or "run")).strip(".") or "run"
    folder = os.path.abspath(output or f"{safe}-{record.get('version', 0)}")
    if os.path.lexists(folder):
        raise FileExistsError(f"{folder} is there already; give another with -o")
    if not any(files[name] for name in FILES[:3]):
        raise StoreError(
            f"{directory.shown} has no program: the run was made before programs were kept, or interactively"
        )
    packages, python = _packages(files["environment.txt"])
    interpreter = _interpreter(python) if install else None
    os.makedirs(folder)
    try:
        start = _write_program(folder, files, record)
        pins = _write_packages(folder, packages)
        if install and interpreter is not None:
            _install(folder, interpreter, pins)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    prepare = f". {shlex.quote(folder)}/.venv/bin/activate" if install else f"pip install -r {pins}  # Python {python}"
    notes = _notes(command_of(files[GIVEN]), pins)
    _tell(folder, [prepare, start], directory, git_of(files["git.json"]), notes)


def _packages(environment: bytes | None) -> tuple[list[str], str]:
    """Pinned packages of a run's environment, and the version of its Python."""
    lines = (environment or b"").decode(errors="replace").splitlines()
    match = PYTHON.match(lines[0]) if lines else None
    packages = [_own(line) for line in lines if line and not line.startswith("#")]
    return packages, match[1] if match else ".".join(map(str, sys.version_info[:2]))


def _write_packages(folder: str, packages: list[str]) -> str:
    """Write the pinned packages; returns the name of the file, which differs from the program's own."""
    text = "".join(f"{package}\n" for package in packages)
    return _write_new(folder, PINS, text, "requirements.hopslite")


def _write_new(folder: str, name: str, text: str, other: str) -> str:
    """Write a file, under another name if it exists with other content; returns the name."""
    ending = os.path.splitext(name)[1]
    for candidate in itertools.chain([name, f"{other}{ending}"], (f"{other}-{n}{ending}" for n in itertools.count(2))):
        path = os.path.join(folder, candidate)
        if not os.path.lexists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _write(folder, candidate, text.encode())
            return candidate
        if os.path.isfile(path) and Path(path).read_bytes() == text.encode():
            return candidate
    raise AssertionError("numbers do not end")


def _own(package: str) -> str:
    """Requirement of hopslite itself: the place from which this one was installed, if that is no package index."""
    if package.startswith("hopslite=="):
        origin = importlib.metadata.distribution("hopslite").read_text("direct_url.json")
        if origin:
            return f"hopslite @ {json.loads(origin)['url']}"
    return package


def _interpreter(version: str) -> str:
    if version == ".".join(map(str, sys.version_info[:2])):
        return sys.executable
    executable = shutil.which(f"python{version}")
    if executable is None:
        raise HopsliteError(
            f"the run had Python {version}, and there is no python{version} on the PATH; install it, or give "
            "--no-install"
        )
    return executable


def _write_program(folder: str, files: dict[str, bytes | None], record: dict[str, Any]) -> str:
    """Write the program; returns the command that starts it."""
    if files["code.zip"]:
        _unzip(files["code.zip"], folder)
    if recorded := command_of(files[GIVEN]):
        job = _write_job(folder, recorded)
        return shell_command({**recorded, "options": [*recorded["options"], *_environment(folder, files)]}, job)
    if command := (record.get("tags") or {}).get("command"):
        return f"hopslite run {command}"
    if files["code.zip"] and files["program.py"] and not files["program.ipynb"]:
        return f"python {shlex.quote(str(record.get('program') or 'program.py'))}"  # included in the archive
    for name in ("program.ipynb", "program.py"):
        if files[name]:
            _write(folder, name, files[name])
    if program := files["program.py"]:
        return f"{'ipython' if b'get_ipython()' in program else 'python'} program.py"
    return "jupyter nbconvert --to notebook --execute program.ipynb" if files["program.ipynb"] else ""


def _environment(folder: str, files: dict[str, bytes | None]) -> list[str]:
    """Options for the program's environment, with the versions that the run had."""
    pinned = (files[PINNED] or b"").decode(errors="replace")
    if not pinned:
        return []
    name = _write_new(folder, "program-requirements.txt", pinned, "program-requirements.hopslite")
    python = re.match(r"# Python (3\.[0-9.]+)", pinned)
    return ["--requirements", name, *(["--python", python[1]] if python else [])]


def _unzip(content: bytes, folder: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                path = archive.extract(member, folder)
                if mode := member.external_attr >> 16:
                    os.chmod(path, mode & 0o777 | (0o700 if member.is_dir() else 0o600))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise StoreError(f"code.zip of the run is damaged: {error}") from error


def _write_job(folder: str, recorded: dict[str, Any]) -> str:
    """Write the job file of `hopslite run`, unless the archive has it."""
    program = os.path.normpath(str(recorded["program"]))
    if recorded["job"] is None:
        return program
    if os.path.isabs(program) or program.startswith(os.pardir):  # it was not in the code's folder
        program = os.path.basename(program)
    elif os.path.isfile(os.path.join(folder, program)):
        return program
    return _write_new(folder, program, recorded["job"], f"{os.path.splitext(program)[0]}.hopslite")


def _notes(recorded: dict[str, Any] | None, pins: str) -> Iterator[str]:
    if pins != PINS:
        yield f"the packages of the run are in {pins}; {PINS} is the program's own"
    if recorded:
        yield from missing_requirements(recorded)


def _write(folder: str, name: str, content: bytes | None) -> None:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content or b"")


def _install(folder: str, interpreter: str, requirements: str) -> None:
    environment = os.path.join(folder, ".venv")
    for step, command in (
        ("making the environment", [interpreter, "-m", "venv", environment]),
        (
            "installing its packages",
            [
                f"{environment}/bin/python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "-r",
                os.path.join(folder, requirements),
            ],
        ),
    ):
        click.echo(f"{step} …", err=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise HopsliteError(f"{step} has failed: {''.join(last)}; --no-install leaves it to you")


def _tell(folder: str, start: list[str], directory: RunDir, git: dict[str, Any], notes: Iterable[str]) -> None:
    write(folder)
    if git.get("commit"):
        changed = f", with {len(git['changed'])} files changed since" if git.get("changed") else ""
        write(f"commit:  {git['commit'][:12]} of {git.get('remote') or 'a repository without a remote'}{changed}")
    for note in notes:
        write(f"note:    {note}")
    write(f"to run:  cd {shlex.quote(folder)} && {start[0]}")
    write(f"         {start[1]}")
    write(f"results: hopslite show {directory.url.rpartition('/')[2]}")
