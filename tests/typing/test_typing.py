"""Programs of users have types: mypy and pyright accept what is right in them, and refuse what is wrong."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from hopslite.search import AlgorithmName
from hopslite.search._factory import known
from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S

pytestmark = pytest.mark.slow("types")  # of the whole library, by two checkers

HERE = Path(__file__).parent
MARK = re.compile(r"  # mypy: ([\w-]+); pyright: (\w+)$")

Errors = list[tuple[str, int, str]]  # the module, the line, and the error's code


def expected(module: str, checker: int) -> Errors:
    lines = (HERE / f"{module}.py").read_text().splitlines()
    return [(module, number, mark[checker]) for number, line in enumerate(lines, 1) if (mark := MARK.search(line))]


@functools.cache
def reported(checker: str) -> Errors:
    return sorted({"mypy": _mypy, "pyright": _pyright}[checker]())


def _mypy() -> Errors:
    command = ("-m", "mypy", "--output=json")  # with the settings of pyproject.toml
    errors = [json.loads(line) for line in _checked(*command).splitlines() if line.startswith("{")]
    return [(Path(e["file"]).stem, e["line"], e["code"]) for e in errors if e["severity"] == "error"]


def _pyright() -> Errors:
    result = json.loads(_checked("-m", "pyright", "--pythonpath", sys.executable, "--outputjson"))
    errors = [e for e in result["generalDiagnostics"] if e["severity"] == "error"]
    return [(Path(e["file"]).stem, e["range"]["start"]["line"] + 1, e.get("rule", "")) for e in errors]


def _checked(*command: str) -> str:
    modules = [str(HERE / "good_calls.py"), str(HERE / "bad_calls.py")]
    done = subprocess.run(
        [sys.executable, *command, *modules], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.stdout, done.stderr
    return done.stdout


@pytest.mark.parametrize(("checker", "group"), [("mypy", 1), ("pyright", 2)])
def test_wrong_calls_are_refused_and_others_accepted(checker: str, group: int) -> None:
    assert reported(checker) == expected("bad_calls", group)


def test_algorithms_have_their_names_in_the_type() -> None:
    assert sorted(get_args(AlgorithmName)) == known()
