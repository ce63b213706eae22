"""The lowest versions of dependencies that pyproject.toml allows, with the tests of the rooms that use them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

pytestmark = [pytest.mark.slow("environments of their own"), pytest.mark.timeout(1800)]

PYTHONS = ("3.10", "3.11")  # those for which the lowest versions have wheels
TOOLS = ("pytest>=8", "pytest-timeout", "pytest-xdist", "hypothesis")
ROOMS = ("space", "search", "stop", "core")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with the extra `all` and everything at its lowest version."""
    base = _base()
    folder = tmp_path_factory.mktemp("lowest")
    subprocess.run([base, "-m", "venv", str(folder / "environment")], check=True)
    interpreter, pins = str(folder / "environment/bin/python"), str(folder / "pins.txt")
    uv = [str(Path(sys.executable).with_name("uv")), "pip"]
    lowest = ["--resolution", "lowest-direct", "--python", interpreter, "--extra", "all"]
    quiet = ["--quiet", "--no-cache"]
    subprocess.run([*uv, "compile", *quiet, *lowest, str(ROOT / "pyproject.toml"), "-o", pins], check=True)
    text = Path(pins).read_text()
    assert "\npyspark==" in text
    # Nothing of these rooms uses it, and it has no wheel: 80 s of processor time. `make test-matrix` has its lowest.
    Path(pins).write_text(re.sub(r"^pyspark==", "# pyspark==", text, flags=re.MULTILINE))
    subprocess.run([*uv, "install", *quiet, "--python", interpreter, "-r", pins, *TOOLS], check=True)
    return interpreter


def _base() -> str:
    if ".".join(map(str, sys.version_info[:2])) in PYTHONS:
        return sys.executable
    for version in PYTHONS:
        path = shutil.which(f"python{version}")
        if path and subprocess.run([path, "-V"], check=False, capture_output=True).returncode == 0:
            return path
    pytest.skip(f"no Python {' or '.join(PYTHONS)} on this machine")


def test_rooms(python: str) -> None:
    chosen = ["-k", "not gp", "--ignore", "tests/unit/core/test_words.py"]  # gp needs torch, which is in no extra
    rooms = [f"tests/unit/{room}" for room in ROOMS]
    command = [python, "-m", "pytest", "-q", "-m", "not slow", "-W", "default", *chosen, *rooms]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:]
