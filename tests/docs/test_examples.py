"""Every example runs in a fresh folder and ends well: some as their first lines say, most in one session."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S
from tests.helpers.shared_session import SharedSession

EXAMPLES = ROOT / "examples"
RUNS = {"algorithms": 2}
STOPPING = {"early_stopping", "optuna_objective"}
# What `make demo` runs, one that starts itself and kills that, and two that need four slots.
OWN_PROCESS = {"grid_search_digits", "resume", "distributed_grid_search", "parameter_server_digits"}


@pytest.mark.slow("examples")
@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_example_finishes_all_its_trials(example: Path, tmp_path: Path, shared_session: SharedSession) -> None:
    said = (
        in_its_own_process(example, tmp_path) if example.stem in OWN_PROCESS else shared_session.run(example, tmp_path)
    )
    records = list(tmp_path.glob("hopslite_project/Experiments/*/run.json"))
    assert len(records) == RUNS.get(example.stem, 1)
    ends = {"FINISHED", "STOPPED"} if example.stem in STOPPING else {"FINISHED"}
    for run in [json.loads(record.read_text()) for record in records]:
        assert run["state"] == "FINISHED"
        assert set(run["counts"]) == ends
        assert 0.8 < run["metric"] <= 1.0
    assert "run directory:" in said


def in_its_own_process(example: Path, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(example)], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
