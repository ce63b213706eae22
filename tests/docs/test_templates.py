"""Each template of `hopslite new` runs as it is, and its own tests pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hopslite import templates
from tests.helpers.shared_session import SharedSession

pytestmark = pytest.mark.slow("templates")

NAMES = sorted(templates.descriptions())
KEPT = {
    "config": {"model.keras", "config.json"},
    "image-classification": {"model.keras", "classes.json", "accuracy.png", "loss.png", "confusion_matrix.png"},
    "keras": {"model.keras"},
    "pytorch": {"model.pt"},
    "script": {"model.npz"},
    "sklearn": {"model.joblib"},
}
RUN = "import sys; from hopslite.cli import main; sys.exit(main(['run', 'job.yml']))"


@pytest.fixture
def folder(name: str, tmp_path: Path) -> Path:
    templates.create(name, str(tmp_path / "mine"))
    return tmp_path / "mine"


@pytest.mark.parametrize("name", NAMES)
def test_its_job_runs(name: str, folder: Path, shared_session: SharedSession) -> None:
    files = os.listdir(folder)
    (folder.parent / "run.py").write_text(RUN)
    shared_session.run(folder.parent / "run.py", folder)
    [record] = folder.glob("hopslite_project/Experiments/*/run.json")
    run = json.loads(record.read_text())
    assert (run["state"], set(run["counts"])) == ("FINISHED", {"FINISHED"})
    assert run["metric"] > 0.6
    trial = record.parent / "trials" / "0000"
    kept = {path.name for path in (trial / "output").iterdir()} - {"mlflow"}
    assert kept == KEPT[name]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files, "hopslite_project"])


@pytest.mark.parametrize("name", NAMES)
def test_its_tests_pass(name: str, folder: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
