"""An environment that `hopslite ship` has packed, on a cluster whose Python has nothing installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hopslite import experiment
from tests.conftest import spark_session
from tests.helpers import ROOT
from tests.helpers.spark_cluster import StandaloneCluster

PACKAGES = ("cloudpickle", "fsspec", "numpy", "psutil", "nvidia-ml-py", "click", "filelock", "venv-pack2", "conda-pack")


def clean(**variables: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **variables}


@pytest.mark.slow("an environment of its own")
def test_executors_without_hopslite_run_trials(tmp_path: Path, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    python = str(Path(sys.executable).resolve())
    assert subprocess.run([python, "-c", "import hopslite"], env=clean(), cwd="/", check=False).returncode
    environment, archive = tmp_path / "environment", tmp_path / "env.tar.gz"
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--python", python, environment], check=True)
    installing = [uv, "pip", "install", "--quiet", "--python", environment / "bin/python", *PACKAGES]
    subprocess.run(installing, check=True)
    [packages] = environment.glob("lib/python3*/site-packages")
    shutil.copytree(ROOT / "hopslite", packages / "hopslite", ignore=shutil.ignore_patterns("__pycache__"))
    command = [environment / "bin/python", "-m", "hopslite.cli", "ship", "-o", archive]
    out = subprocess.run(command, env=clean(), cwd="/", check=True, capture_output=True, text=True).stdout
    shutil.rmtree(environment)  # so that only the archive has it
    first = next(line for line in out.splitlines() if "spark.archives" in line).split()
    assert first[:2] == ["spark.archives", f"{archive}#environment"]
    monkeypatch.delenv("PYTHONPATH", raising=False)  # executors would have hopslite of it
    monkeypatch.setenv("PYSPARK_PYTHON", "./environment/bin/python")

    def train(x: int) -> dict[str, object]:
        import sys

        import hopslite

        is_shipped = hopslite.__file__.startswith(sys.prefix)  # a path of a file would be taken for an artifact
        return {"metric": x * x, "prefix": sys.prefix, "is_shipped": is_shipped}

    with (
        StandaloneCluster(workers=1, cores=2, gpus_per_worker=0) as cluster,
        spark_session(cluster.url, {"spark.archives": first[1]}),
    ):
        run = experiment.grid_search(train, {"x": [3, 1, 2]}, direction="min", project=project, display=False)
        work = str(cluster.folder / "work1")
    assert run.best_params == {"x": 1}, [trial.error for trial in run.trials]
    for trial in run.trials:
        assert trial.outputs
        assert trial.outputs["prefix"].startswith(work)
        assert trial.outputs["is_shipped"] is True
