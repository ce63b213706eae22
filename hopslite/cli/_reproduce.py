"""The command `reproduce`: a run's program and its environment, as they were, in a folder of their own."""

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
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from .._past import record_of
from .._runs import find
from ..errors import HopsliteError, StoreError
from ..store import RunDir
from ._common import RUN, home, project_option
from ._given import FILE as GIVEN
from ._given import again, missing

__all__ = ["reproduce_command"]

FILES = ("code.zip", "program.py", "program.ipynb", "environment.txt", "environment.yml", "git.json", "run.json", GIVEN)
PINS = "requirements.txt"
PYTHON = re.compile(r"# Python (\d+\.\d+)\.\S+ on (.*)")


@click.command("reproduce")
@click.argument("run", type=RUN)
@click.option("-o", "--output", metavar="DIR", help="Default: NAME-VERSION here.")
@click.option("--install/--no-install", default=True, help="Whether to install the packages, which may take minutes.")
@project_option
def reproduce_command(place: str | None, run: str, output: str | None, install: bool) -> None:
    """Make a run's program again, with its environment: the code, the packages, and how to start it."""
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
    notes = _notes(record_of(files[GIVEN]), pins)
    _tell(folder, [prepare, start], directory, record_of(files["git.json"]) or {}, notes)


def _packages(environment: bytes | None) -> tuple[list[str], str]:
    """The packages of a run's environment, pinned, and its Python's version."""
    lines = (environment or b"").decode().splitlines()
    found = PYTHON.match(lines[0]) if lines else None
    packages = [_own(line) for line in lines if line and not line.startswith("#")]
    return packages, found[1] if found else ".".join(map(str, sys.version_info[:2]))


def _write_packages(folder: str, packages: list[str]) -> str:
    """Write the pinned packages; the name of their file, which is none that the program has."""
    text = "".join(f"{package}\n" for package in packages)
    return _write_new(folder, PINS, text, "requirements.hopslite")


def _write_new(folder: str, name: str, text: str, other: str) -> str:
    """Write a file, under another name where there is one with something else; the name that it has got."""
    ending = os.path.splitext(name)[1]
    for each in itertools.chain([name, f"{other}{ending}"], (f"{other}-{n}{ending}" for n in itertools.count(2))):
        path = os.path.join(folder, each)
        if not os.path.lexists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _write(folder, each, text.encode())
            return each
        if os.path.isfile(path) and Path(path).read_bytes() == text.encode():
            return each
    raise AssertionError("numbers do not end")


def _own(package: str) -> str:
    """A requirement; hopslite itself comes from where this one did, when that is not a package index."""
    if package.startswith("hopslite=="):
        origin = importlib.metadata.distribution("hopslite").read_text("direct_url.json")
        if origin:
            return f"hopslite @ {json.loads(origin)['url']}"
    return package


def _interpreter(version: str) -> str:
    if version == ".".join(map(str, sys.version_info[:2])):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None:
        raise HopsliteError(
            f"the run had Python {version}, and there is no python{version} on the PATH; install it, or give "
            "--no-install"
        )
    return found


def _write_program(folder: str, files: dict[str, bytes | None], record: dict[str, Any]) -> str:
    """The program as it was; returns the command that starts it."""
    if files["code.zip"]:
        with zipfile.ZipFile(io.BytesIO(files["code.zip"])) as archive:
            for member in archive.infolist():
                path = archive.extract(member, folder)
                if mode := member.external_attr >> 16:
                    os.chmod(path, mode & 0o777 | 0o600)
    if given := record_of(files[GIVEN]):
        return again(given, _write_job(folder, given))
    if command := (record.get("tags") or {}).get("command"):
        return f"hopslite run {command}"
    if files["code.zip"] and files["program.py"] and not files["program.ipynb"]:
        return f"python {shlex.quote(str(record.get('program') or 'program.py'))}"  # which is in the archive
    for name in ("program.ipynb", "program.py"):
        if files[name]:
            _write(folder, name, files[name])
    if program := files["program.py"]:
        return f"{'ipython' if b'get_ipython()' in program else 'python'} program.py"
    return "jupyter nbconvert --to notebook --execute program.ipynb" if files["program.ipynb"] else ""


def _write_job(folder: str, given: dict[str, Any]) -> str:
    """The program of `hopslite run`; where it is a job file that is not in the archive, it is made."""
    program = os.path.normpath(str(given["program"]))
    if given["job"] is None:
        return program
    if os.path.isabs(program) or program.startswith(os.pardir):  # it was not in the code's folder
        program = os.path.basename(program)
    elif os.path.isfile(os.path.join(folder, program)):
        return program
    return _write_new(folder, program, given["job"], f"{os.path.splitext(program)[0]}.hopslite")


def _notes(given: dict[str, Any] | None, pins: str) -> Iterator[str]:
    if pins != PINS:
        yield f"the packages of the run are in {pins}; {PINS} is the program's own"
    if given:
        yield from missing(given)


def _write(folder: str, name: str, content: bytes | None) -> None:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content or b"")


def _install(folder: str, interpreter: str, requirements: str) -> None:
    environment = os.path.join(folder, ".venv")
    for what, command in (
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
        click.echo(f"{what} …", err=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            raise HopsliteError(f"{what} has failed: {''.join(last)}; --no-install leaves it to you")


def _tell(folder: str, start: list[str], directory: RunDir, git: dict[str, Any], notes: Iterable[str]) -> None:
    click.echo(folder)
    if git.get("commit"):
        changed = f", with {len(git['changed'])} files changed since" if git.get("changed") else ""
        click.echo(f"commit:  {git['commit'][:12]} of {git.get('remote') or 'a repository without a remote'}{changed}")
    for note in notes:
        click.echo(f"note:    {note}")
    click.echo(f"to run:  cd {shlex.quote(folder)} && {start[0]}")
    click.echo(f"         {start[1]}")
    click.echo(f"results: hopslite show {directory.url.rpartition('/')[2]}")
