"""Virtual environments of programs: made once per machine by uv, under a lock, and shared by all trials and runs.

One that is whole has a record, `environment.json`, which is written last; whatever has none was begun by a process that
has been killed, and is made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..core import extras
from ..core.redaction import redact
from ..errors import CommandFailed, HopsliteError, MissingExtra
from ..storage.cache_entry import remove_tree
from ..storage.local_io import temporary_file
from ..storage.machine_cache import locked, machine_folder, remove_unused
from ..storage.records import json_object

__all__ = ["Environment", "PINNED", "Requirements", "environment_in_use", "interpreter_for", "make_environment"]

RECORD = "environment.json"
REQUIREMENTS, CONSTRAINTS = "requirements.txt", "constraints.txt"
PINNED = "program-requirements-pinned.txt"  # in the run's directory
ATTEMPTS = 3  # to find an environment that somebody removes between making and using it
SECRET_LENGTH = 6  # characters of a variable's value, which may be secret; others are numbers and flags
MOST_CHARS = 4000  # of the installer's words
LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "CONDA_PREFIX")  # they lead to other packages
Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Requirements:
    """Packages and Python of a program.

    Args:
        text: lines of a requirements file.
        python: version of Python, such as `3.12`.
        source: name for messages, such as that of the file.
        pins: the versions that were resolved where the run was started; empty: they are resolved where it is made.
        files: name and content of files that the lines refer to, such as constraints.
    """

    text: str
    python: str
    source: str = "requirements.txt"
    pins: str = ""
    files: tuple[tuple[str, str], ...] = ()

    @property
    def shown(self) -> str:
        return f"{self.source}, Python {self.python}"

    @property
    def snapshot_files(self) -> dict[str, bytes]:
        """Files for the run's directory: the lines, and the resolved versions with the version of Python."""
        pinned = f"# Python {self.python}\n{self.pins}"
        return {"program-requirements.txt": self.text.encode(), PINNED: pinned.encode()}


@dataclasses.dataclass(frozen=True)
class Environment:
    """An environment on this machine: its Python, that one's exact version, and what `uv pip freeze` says of it."""

    folder: str
    version: str
    pins: str

    @property
    def python(self) -> str:
        return os.path.join(self.folder, "bin", "python")


def make_environment(
    requirements: Requirements, variables: Mapping[str, str] | None = None, tell: Tell = lambda _: None
) -> Environment:
    """Make an environment unless this machine has it.

    Args:
        variables: for uv, in addition to those of this process, such as those that the file's `${NAME}` refer to.
        tell: is called with a line for the user before uv works.

    Raises:
        CommandFailed: it cannot be made; the message has uv's own words.
        MissingExtra: there is no uv.
    """
    with environment_in_use(requirements, variables, tell) as environment:
        return environment


@contextlib.contextmanager
def environment_in_use(
    requirements: Requirements, variables: Mapping[str, str] | None = None, tell: Tell = lambda _: None
) -> Iterator[Environment]:
    """An environment that is not removed meanwhile; arguments and errors as for `make_environment`."""
    root = _root()
    for _ in range(ATTEMPTS):
        folder = _folder(root, requirements)
        with locked(f"{folder}.lock", exclusive=False):
            if (environment := _read(folder, requirements)) is not None:
                os.utime(f"{folder}.lock")  # it is in use
                yield environment
                return
        remove_unused(root)
        with locked(f"{folder}.lock", exclusive=True) as lock:
            if _read(folder, requirements) is None:
                tell(f"making the environment of {requirements.shown}")
                _make(folder, requirements, variables or {}, lock)
    raise CommandFailed(f"the environment of {requirements.shown} is removed again and again from {root}")


@contextlib.contextmanager
def interpreter_for(
    requirements: Requirements | None, environment: Mapping[str, str], variables: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Python for a program, and its variables: in an environment its commands come first, and no packages of others.

    Args:
        environment: variables for the program.
        variables: those of them that the user has chosen, which stay as they are.
    """
    if requirements is None:
        yield sys.executable, dict(environment)
        return
    with environment_in_use(requirements, variables) as made:
        kept = {name: value for name, value in environment.items() if name in variables or name not in LEFT_OUT}
        folders = os.path.join(made.folder, "bin"), kept.get("PATH", os.defpath)
        yield made.python, {**kept, "VIRTUAL_ENV": made.folder, "PATH": os.pathsep.join(folders)}


def _root() -> str:
    root = os.path.join(machine_folder(), "environments")
    os.makedirs(root, mode=0o700, exist_ok=True)
    return root


def _folder(root: str, requirements: Requirements) -> str:
    """Folder of an environment: the common one of these lines, unless that was made on a day of other versions."""
    common = os.path.join(root, _key(requirements, ""))
    if requirements.pins and os.path.exists(os.path.join(common, RECORD)) and _read(common, requirements) is None:
        return os.path.join(root, _key(requirements, requirements.pins))
    return common


def _key(requirements: Requirements, pins: str) -> str:
    place = (sys.platform, platform.machine(), *platform.libc_ver())
    content = repr((requirements.text, requirements.files, requirements.python, pins, place))
    return hashlib.sha256(content.encode(errors="replace")).hexdigest()[:32]


def _read(folder: str, requirements: Requirements) -> Environment | None:
    """The environment in a folder; None if it is not whole, or was made for other versions than those of the run."""
    try:
        with open(os.path.join(folder, RECORD), "rb") as file:
            record = json_object(file.read()) or {}
    except OSError:
        return None
    version, pins = record.get("version"), record.get("pins")
    if not isinstance(version, str) or not isinstance(pins, str):
        return None
    environment = Environment(folder, version, pins)
    is_right = requirements.pins in ("", environment.pins, record.get("constraints"))
    return environment if is_right and os.path.exists(environment.python) else None  # a Python may be uninstalled


def _make(folder: str, requirements: Requirements, variables: Mapping[str, str], lock: int) -> None:
    remove_tree(folder)
    os.makedirs(folder, mode=0o700)
    python = os.path.join(folder, "bin", "python")
    try:
        _uv(
            ["venv", "--quiet", "--allow-existing", "--no-project", "--python", _python(requirements.python), folder],
            **_in(lock),
        )
        for name, text in ((REQUIREMENTS, requirements.text), (CONSTRAINTS, requirements.pins), *requirements.files):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        install = ["pip", "install", "--quiet", "--python", python, "--requirement", REQUIREMENTS]
        install += ["--constraint", CONSTRAINTS] if requirements.pins else []
        _uv(install, variables={**os.environ, **variables}, cwd=folder, **_in(lock))
        pins = _uv(["pip", "freeze", "--python", python], **_in(lock))
        version = subprocess.run([python, "-c", VERSION], capture_output=True, text=True, check=True).stdout.strip()
        record = {"version": version, "pins": pins, "constraints": requirements.pins}
        target = os.path.join(folder, RECORD)
        with temporary_file(target, json.dumps(record).encode(), durable=True) as temporary:
            os.replace(temporary, target)
    except _UvFailed as failure:
        remove_tree(folder)
        words = redact(str(failure)).strip()[-MOST_CHARS:]
        for value in filter(lambda value: len(value) >= SECRET_LENGTH, variables.values()):
            words = words.replace(value, "***")
        raise CommandFailed(f"the environment of {requirements.shown} cannot be made. uv says:\n{words}") from None
    except (OSError, subprocess.SubprocessError) as error:
        remove_tree(folder)
        raise CommandFailed(f"the environment of {requirements.shown} cannot be made in {folder}: {error}") from error
    except BaseException:
        remove_tree(folder)
        raise


VERSION = "import platform; print(platform.python_version())"


class _UvFailed(HopsliteError):
    """Failure of uv, with its words."""


def _in(lock: int) -> dict[str, Any]:
    # uv holds the lock, too: when this process is killed, nobody writes beside the uv that it leaves
    return {"pass_fds": (lock,)}


def _uv(
    arguments: list[str],
    *,
    pass_fds: tuple[int, ...],
    variables: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> str:
    environment = {name: value for name, value in (variables or os.environ).items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        [_uv_program(), "--no-progress", "--color", "never", *arguments],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        pass_fds=pass_fds,
    )
    if done.returncode:
        raise _UvFailed(done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}")
    return done.stdout


def _uv_program() -> str:
    """Path of uv: of its package, or on the PATH."""
    with contextlib.suppress(ImportError, OSError):
        from uv import find_uv_bin

        return os.fspath(find_uv_bin())
    if program := shutil.which("uv"):
        return program
    raise MissingExtra(
        f"a program with requirements of its own needs uv on each machine: {extras.pip_install(['environments'])}"
    )


def _python(version: str) -> str:
    """Interpreter for uv: this one if it has the version."""
    own = platform.python_version()
    return sys.executable if f"{own}.".startswith(f"{version}.") else version
