"""The gate's second look at what has failed: `tests/helpers/run_again.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

STEADY = "def test_steady():\n    pass\n"
UNSTEADY = """
import pathlib
def test_unsteady():
    seen = pathlib.Path(__file__).with_name("seen")
    if not seen.exists():
        seen.touch()
        raise OSError("the port is taken")
"""
BROKEN = "def test_broken():\n    assert 1 + 1 == 3\n"


def run_again(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "tests.helpers.run_again", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_what_passes_by_itself_is_said_to_be_unsteady(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run_again(tmp_path, STEADY + UNSTEADY, *options)
    assert done.returncode == 0, done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("unsteady: ")]
    assert line.endswith("test_it.py::test_unsteady: OSError: the port is taken")
    assert done.stdout.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"


def test_what_fails_again_fails_the_run(tmp_path: Path) -> None:
    done = run_again(tmp_path, STEADY + UNSTEADY + BROKEN)
    assert done.returncode == 1
    assert "FAILED test_it.py::test_broken - assert (1 + 1) == 3" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 passed, 1 failed, 0 skipped"


def test_many_failures_are_not_run_again(tmp_path: Path) -> None:
    text = UNSTEADY.replace("def ", "import pytest\n@pytest.mark.parametrize('n', range(21))\ndef ", 1)
    text = text.replace("test_unsteady()", "test_unsteady(n)").replace('"seen"', 'f"seen-{n}"')
    done = run_again(tmp_path, text)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "0 passed, 21 failed, 0 skipped"


@pytest.mark.parametrize("text", ["import no_such_module\n" + STEADY, ""])
def test_a_run_without_the_tests_fails(tmp_path: Path, text: str) -> None:
    done = run_again(tmp_path, text)
    assert done.returncode not in (0, 1)
    assert done.stdout.splitlines()[-1] == "0 passed, 0 failed, 0 skipped"
