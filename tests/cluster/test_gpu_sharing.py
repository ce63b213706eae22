"""Trials that share GPUs by Spark's configuration, and on this machine; the GPUs are not there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from tests.conftest import spark_session
from tests.helpers.spark_cluster import StandaloneCluster

NAMES = ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE")


@pytest.fixture(scope="module")
def project_of_all(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("sharing") / "project")


def side_by_side(folder: str, together: int) -> Any:
    """Training function that returns its GPU; the first trials wait until so many are there."""

    def train(n: int) -> dict[str, Any]:
        import os

        Path(folder, str(n)).touch()
        until = time.monotonic() + 90
        while len(os.listdir(folder)) < together:
            if time.monotonic() > until:
                raise TimeoutError(f"only {len(os.listdir(folder))} at once")
            time.sleep(0.01)
        return {"metric": n, **{name: os.environ.get(name) for name in NAMES}}

    return train


def seen(run: experiment.Run) -> list[tuple[Any, ...]]:
    assert [str(trial.state) for trial in run.trials] == ["FINISHED"] * len(run.trials), [t.error for t in run.trials]
    return [tuple((t.outputs or {}).get(name) for name in NAMES) for t in run.trials]


@pytest.fixture(scope="class")
def thirds() -> Iterator[Any]:
    """One machine with one GPU, of which each task has a third by the configuration of the session."""
    conf: Mapping[str, str] = {
        "spark.executor.resource.gpu.amount": "1",
        "spark.task.resource.gpu.amount": "0.333",
    }
    with (
        StandaloneCluster(workers=1, cores=4, gpus_per_worker=1) as cluster,
        spark_session(cluster.url, conf) as spark,
    ):
        yield spark


class TestByConfiguration:
    """The task's share, by default and by a request that equals it."""

    @pytest.mark.slow("clusters")
    @pytest.mark.parametrize("request_", [{}, {"gpus_per_trial": 1 / 3}], ids=["by default", "by request"])
    def test_three_trials_at_once(
        self, thirds: Any, request_: dict[str, Any], project_of_all: str, tmp_path: Path
    ) -> None:
        run = experiment.grid_search(
            side_by_side(str(tmp_path), 3),
            {"n": list(range(6))},
            project=project_of_all,
            display=False,
            spark=thirds,
            **request_,
        )
        assert seen(run) == [("10", "true", "false")] * 6
        assert json.loads(Path(run.logdir, "run.json").read_text())["gpus_per_trial"] == request_.get("gpus_per_trial")


class TestOnThisMachine:
    """`local[2]`, where Spark assigns no GPUs."""

    @pytest.fixture(autouse=True)
    def one_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")

    @pytest.mark.slow("clusters")
    def test_two_trials_at_once(self, local_spark: Any, project_of_all: str, tmp_path: Path) -> None:
        options: dict[str, Any] = {"project": project_of_all, "display": False}
        train = side_by_side(str(tmp_path), 2)
        run = experiment.grid_search(train, {"n": [0, 1, 2, 3]}, gpus_per_trial=0.5, **options)
        assert seen(run) == [("GPU-a", "true", "false")] * 4

    def test_a_run_is_resumed_with_its_share_or_another(
        self, local_spark: Any, project_of_all: str, tmp_path: Path
    ) -> None:
        flag = str(tmp_path / "flag")

        def train(n: int) -> dict[str, Any]:
            import os

            if n == 1 and not os.path.exists(flag):
                Path(flag).touch()
                raise ValueError("the first time")
            return {"metric": n, "growth": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH")}

        options: dict[str, Any] = {"display": False, "project": project_of_all}
        run = experiment.grid_search(train, {"n": [0, 1]}, gpus_per_trial=0.5, **options)
        assert [str(trial.state) for trial in run.trials] == ["FINISHED", "FAILED"]
        again = experiment.resume(run.run_id, retry_failed=True, **options)
        assert [trial.outputs["growth"] for trial in again.trials if trial.outputs] == ["true", "true"]
        assert json.loads(Path(run.logdir, "run.json").read_text())["gpus_per_trial"] == 0.5
        Path(flag).unlink()
        run = experiment.grid_search(train, {"n": [0, 1]}, gpus_per_trial=0.5, **options)
        again = experiment.resume(run.run_id, retry_failed=True, gpus_per_trial=1.0, **options)
        assert [trial.outputs["growth"] for trial in again.trials if trial.outputs] == ["true", None]
