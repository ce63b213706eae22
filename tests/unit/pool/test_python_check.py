"""The executors' Python: this one on a local master, and elsewhere named at once when it cannot run trials."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopslite.pool._python_check import PROBE_PROGRAM, _packages, _problem, own_packages, with_driver_python
from hopslite.pool._shell_probe import shell_script
from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S

OWN = platform.python_version()


@pytest.fixture(autouse=True)
def _no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this environment's."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


def context(python: str, **facts: Any) -> Any:
    return SimpleNamespace(pythonExec=python, _python_includes=[], environment={}, **facts)


def answer(python: str, **facts: Any) -> list[str]:
    """The lines that an executor would print, from the same script."""
    script = shell_script(context(python, **facts), PROBE_PROGRAM)
    done = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE_S, cwd="/"
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def fake(folder: Path, *lines: str) -> str:
    program = folder / "a python"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    program.chmod(0o755)
    return str(program)


def fake_isolated(folder: Path) -> str:
    """This interpreter without its packages."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    program.chmod(0o755)
    return str(program)


def test_one_that_can_run_trials_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    lines = answer(sys.executable)
    assert _problem(sys.executable, lines) is None
    assert _packages(lines) == own_packages()


@pytest.mark.parametrize("chosen", [None, "/opt/python3"])
def test_one_of_another_version_is_named(tmp_path: Path, chosen: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    if chosen:
        monkeypatch.setenv("PYSPARK_PYTHON", chosen)
    python = fake(tmp_path, "/usr/bin/python3.1", "3.1.4", "")
    text = _problem(python, answer(python)) or ""
    assert "/usr/bin/python3.1" in text
    assert "Python 3.1.4 with hopslite" in text
    assert f"this is {sys.executable}, Python {OWN}" in text
    assert (f"PYSPARK_PYTHON={chosen}" if chosen else "PYSPARK_PYTHON is not set, so Spark takes") in text


def test_one_without_hopslite_is_named(tmp_path: Path) -> None:
    isolated = fake_isolated(tmp_path)
    assert f"Python {OWN} without hopslite" in (_problem(isolated, answer(isolated)) or "")


def test_one_whose_hopslite_lacks_a_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    isolated = fake_isolated(tmp_path)
    text = _problem(isolated, answer(isolated)) or ""
    assert "whose hopslite does not work (No module named" in text


def test_packages_that_spark_ships_count(tmp_path: Path) -> None:
    (tmp_path / "ships" / "hopslite" / "pool").mkdir(parents=True)
    for name in ("__init__.py", "pool/__init__.py", "pool/_spark_task.py"):
        (tmp_path / "ships" / "hopslite" / name).touch()
    isolated = fake_isolated(tmp_path)
    lines = answer(isolated)
    assert (len(lines), lines[2]) == (5, OWN)
    facts = context(isolated)
    facts.environment = {"PYTHONPATH": str(tmp_path / "ships")}
    done = subprocess.run(
        ["/bin/sh", "-c", shell_script(facts, PROBE_PROGRAM)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
        cwd="/",
    )
    assert _problem(isolated, done.stdout.splitlines()) is None


def test_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    text = _problem("/nope/python3", answer("/nope/python3")) or ""
    assert "/nope/python3 on" in text
    assert "does not run" in text
    assert "not found" in text


def test_only_the_jobs_of_trials_have_this_python() -> None:
    class Context:
        pythonExec, other = "python3", [1]

    made = Context()
    copy = with_driver_python(made)
    assert (copy.pythonExec, made.pythonExec) == (sys.executable, "python3")
    assert copy.other is made.other
