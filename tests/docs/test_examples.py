"""Every example runs as its first lines say, in a fresh folder, and ends well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
RUNS = {"algorithms": 2}
STOPPING = {"early_stopping"}


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_example_finishes_all_its_trials(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    records = list(tmp_path.glob("hopslite_project/Experiments/*/run.json"))
    assert len(records) == RUNS.get(example.stem, 1)
    ends = {"FINISHED", "STOPPED"} if example.stem in STOPPING else {"FINISHED"}
    for run in [json.loads(record.read_text()) for record in records]:
        assert run["state"] == "FINISHED"
        assert set(run["counts"]) == ends
        assert 0.8 < run["metric"] <= 1.0
    assert "run directory:" in done.stdout
