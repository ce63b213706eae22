"""Environments of programs: made once, whole or not at all, with the versions of the run, by uv from PyPI."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.core.types import State
from hopslite.errors import CommandFailed, TrialFailed
from hopslite.programs.command import Command
from hopslite.programs.virtual_environment import RECORD, Requirements, environment_in_use, make_environment
from hopslite.storage.machine_cache import machine_folder, remove_unused
from hopslite.submission.code_archive import pack
from tests.helpers.observe import PATIENCE_S

VERSION = ".".join(map(str, sys.version_info[:2]))
SMALL = "cowsay"  # pure Python, without dependencies, and in no extra of hopslite
MAKE = """
import sys
from hopslite.programs.virtual_environment import Requirements, make_environment
print("READY", flush=True)
made = make_environment(Requirements(sys.argv[1], sys.argv[2]), tell=lambda line: print("MAKING", flush=True))
print(made.folder, flush=True)
"""


@pytest.fixture(autouse=True)
def _own_cache(temporary: Path) -> None:
    """Every test begins with a machine that has no environments."""


def small(pins: str = "") -> Requirements:
    return Requirements(f"{SMALL}\n", VERSION, pins=pins)


def installed(python: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({SMALL!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def making(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", MAKE, text, VERSION], stdout=subprocess.PIPE, text=True)


def until(condition: Callable[[], Any]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to it")


@contextlib.contextmanager
def held_up(tmp_path: Path) -> Iterator[tuple[str, Path, Path]]:
    """Requirement whose installation waits for a file; the file that says that it has begun, and that one."""
    package, begun, go = tmp_path / "package", tmp_path / "begun", tmp_path / "go"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "held-up"\nversion = "1"\n'
    )
    (package / "backend.py").write_text(
        "import os, time, zipfile\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        f"    open({str(begun)!r}, 'w').close()\n"
        "    for _ in range(1200):\n"
        f"        if os.path.exists({str(go)!r}):\n"
        "            break\n"
        "        time.sleep(0.05)\n"
        "    name = 'held_up-1-py3-none-any.whl'\n"
        "    with zipfile.ZipFile(os.path.join(folder, name), 'w') as wheel:\n"
        "        info = 'held_up-1.dist-info/'\n"
        "        wheel.writestr('held_up.py', '')\n"
        "        wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: held-up\\nVersion: 1\\n')\n"
        "        wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "        wheel.writestr(info + 'RECORD', '')\n"
        "    return name\n"
    )
    try:
        yield f"held-up @ file://{package}\n", begun, go
    finally:
        go.touch()


def test_it_is_made_once_and_has_the_package(tmp_path: Path) -> None:
    lines: list[str] = []
    made = make_environment(small(), tell=lines.append)
    assert lines == [f"making the environment of requirements.txt, Python {VERSION}"]
    assert made.pins == f"{SMALL}=={installed(made.python)}\n"
    assert made.version.startswith(f"{VERSION}.")
    assert make_environment(small(), tell=lines.append) == made
    assert len(lines) == 1
    assert made.python.startswith(f"{machine_folder()}/environments/")


def test_a_requirement_that_does_not_exist_is_one_error_with_the_words_of_the_installer() -> None:
    missing = Requirements("no-such-package-of-hopslite>=3\n", VERSION, "needs.txt")
    for _ in range(2):
        with pytest.raises(CommandFailed, match=r"needs.txt, Python .* cannot be made. uv says:\n") as failure:
            make_environment(missing)
        assert "no-such-package-of-hopslite was not found" in str(failure.value)
        assert "Traceback" not in str(failure.value)
    folder = Path(machine_folder(), "environments")
    assert [path.name for path in folder.iterdir() if not path.name.endswith(".lock")] == []


def test_secrets_are_not_in_the_words_of_the_installer() -> None:
    private = Requirements("--index-url http://${WHO}:${SECRET}@127.0.0.1:9/simple\ncowsay\n", VERSION)
    with pytest.raises(CommandFailed, match=r"127[.]0[.]0[.]1:9") as failure:
        make_environment(private, {"WHO": "somebody", "SECRET": "s3cr3t-t0ken", "UV_HTTP_RETRIES": "0"})
    assert "s3cr3t-t0ken" not in str(failure.value)


def test_two_processes_at_once_make_one(tmp_path: Path) -> None:
    with held_up(tmp_path) as (line, begun, go):
        first, second = making(line), making(line)
        until(begun.exists)
        go.touch()
        outputs = [process.communicate(timeout=PATIENCE_S)[0].split() for process in (first, second)]
    assert sorted(map(len, outputs)) == [2, 3]
    assert outputs[0][-1] == outputs[1][-1]


@pytest.mark.parametrize("with_uv", [True, False])
def test_one_that_was_killed_in_the_middle_is_made_again(tmp_path: Path, with_uv: bool) -> None:
    with held_up(tmp_path) as (line, begun, go):
        killed = subprocess.Popen([sys.executable, "-c", MAKE, line, VERSION], start_new_session=True)
        until(begun.exists)
        (folder,) = (path for path in Path(machine_folder(), "environments").iterdir() if path.is_dir())
        assert not (folder / RECORD).exists()
        (os.killpg if with_uv else os.kill)(killed.pid, signal.SIGKILL)
        killed.wait()
        again = making(line)
        if not with_uv:  # the uv that is left holds the lock: nobody may write beside it
            assert again.stdout is not None
            assert again.stdout.readline() == "READY\n"
            assert select.select([again.stdout], [], [], 1.5)[0] == []
        go.touch()
        assert again.communicate(timeout=PATIENCE_S)[0].split()[-2:] == ["MAKING", str(folder)]
    assert (folder / RECORD).exists()


@pytest.mark.parametrize("damage", ["garbage", "no python"])
def test_a_damaged_one_is_made_again(damage: str) -> None:
    made = make_environment(small())
    if damage == "garbage":
        Path(made.folder, RECORD).write_bytes(b"\xff{")
    else:
        os.unlink(made.python)
    lines: list[str] = []
    again = make_environment(small(), tell=lines.append)
    assert len(lines) == 1
    assert installed(again.python)


def test_versions_are_those_of_the_run_although_the_file_gives_others_today() -> None:
    today = make_environment(small())
    earlier = make_environment(small(f"{SMALL}==6.0\n"))
    assert installed(earlier.python) == "6.0"
    assert earlier.pins == f"{SMALL}==6.0\n"
    assert installed(today.python) != "6.0"
    lines: list[str] = []
    assert make_environment(small(f"{SMALL}==6.0\n"), tell=lines.append) == earlier
    assert make_environment(small(today.pins), tell=lines.append) == today
    assert lines == []


def test_one_that_is_in_use_is_not_removed() -> None:
    later = time.time() + 30 * 24 * 3600
    with environment_in_use(small()) as made:
        remove_unused(os.path.dirname(made.folder), now=lambda: later)
        assert os.path.exists(made.python)
    remove_unused(os.path.dirname(made.folder), now=lambda: later)
    assert not os.path.exists(made.folder)


def test_an_unknown_python() -> None:
    with pytest.raises(CommandFailed, match=r"Python 3\.99 cannot be made. uv says:"):
        make_environment(Requirements("", "3.99"))


def program(tmp_path: Path, text: str, **command: Any) -> Command:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "program.py").write_text(text)
    return Command(("program.py",), (), pack(str(folder), [], None), requirements=small(), **command)


def test_a_program_runs_with_it_and_its_versions_are_recorded(
    tmp_path: Path, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # those packages are not the program's
    text = (
        "import cowsay, os, shutil, sys\n"
        "assert sys.prefix == os.environ['VIRTUAL_ENV'], sys.prefix\n"
        "assert shutil.which('cowsay') == sys.prefix + '/bin/cowsay'\n"
        "assert 'PYTHONPATH' not in os.environ and os.environ['MINE'] == '1'\n"
        "try:\n    import numpy\nexcept ImportError:\n    print('alone')\n"
    )
    command = program(tmp_path, text, environment={"MINE": "1"})
    run = experiment.launch(command, project=project, pool="inline", display=False)
    assert run.state is State.FINISHED
    assert Path(run.trials[0].logdir, "output.log").read_text().endswith("alone\n")
    files = command.snapshot_files
    assert files["program-requirements.txt"] == b"cowsay\n"


def test_what_cannot_be_made_on_an_executor_fails_the_trial_with_the_words_of_the_installer(
    tmp_path: Path, project: str
) -> None:
    missing = Requirements("no-such-package-of-hopslite\n", VERSION)
    command = dataclasses.replace(program(tmp_path, ""), requirements=missing)
    with pytest.raises(TrialFailed, match="no-such-package-of-hopslite was not found"):
        experiment.launch(command, project=project, pool="inline", display=False)


def test_another_python(tmp_path: Path) -> None:
    other = next(version for version in ("3.12", "3.11") if version != VERSION)
    find = [str(Path(sys.executable).with_name("uv")), "python", "find", "--no-python-downloads", other]
    if subprocess.run(find, capture_output=True, check=False).returncode:
        pytest.skip(f"no Python {other} on this machine")
    assert make_environment(Requirements("", other)).version.startswith(f"{other}.")
