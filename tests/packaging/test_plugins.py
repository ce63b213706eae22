"""Entry points of another distribution, installed for real: known by name, and put through the contract suites."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

PLUGINS = {
    "distribute": "example_ring",
    "pool": "example_here",
    "search": "example_random",
    "stop": "example_median",
    "track": "example_lines",
}
USE = """
from hopslite import experiment, space
run = experiment.search(lambda x: x, {"x": space.choice([1, 2, 3])}, "example_random", "max", num_trials=3, seed=1,
                        stopper="example_median", pool="example_here", name="plugged")
assert run.best_params == {"x": 3}, run
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """That of a process in which the distribution is installed."""
    folder = tmp_path_factory.mktemp("plugins")
    source = shutil.copytree(ROOT / "tests/packaging/plugins", folder / "source")  # a build leaves files behind
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "installed"), str(source)], check=True)
    assert list(folder.glob("installed/*.dist-info/entry_points.txt"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "installed"), str(ROOT)])}


@pytest.mark.slow("environments of their own")
@pytest.mark.parametrize("group", PLUGINS)
def test_contract_suite_picks_it_up(group: str, environment: dict[str, str]) -> None:
    suite = [f"tests/contract/test_{group}.py", "-k", PLUGINS[group], "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [sys.executable, "-m", "pytest", "-q", *suite]
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"\d+ passed", done.stdout), done.stdout[-2000:]


def test_run_uses_them(environment: dict[str, str], project: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(USE)
    subprocess.run([sys.executable, program], check=True, env={**environment, "HOPSLITE_PROJECT": project}, timeout=120)
    [written] = Path(project).glob("Experiments/*/example.jsonl")
    lines = written.read_text().splitlines()
    assert '"kind": "run_started"' in lines[0]
    assert '"kind": "run_ended"' in lines[-1]
