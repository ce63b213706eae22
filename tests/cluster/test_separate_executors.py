"""On `local-cluster`: executors in JVMs of their own, which can die."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment, util
from tests.helpers.observe import Lines, executor


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("executors") / "project")


def meets(n: int, folder: str, expected: int) -> dict[str, Any]:
    """Waits until so many trials run at once; by reference: executors import this module."""
    import time

    Path(folder, str(n)).touch()
    until = time.monotonic() + 90
    while len(os.listdir(folder)) < expected:
        if time.monotonic() > until:
            raise TimeoutError("alone")
        time.sleep(0.01)
    return {"metric": n, "executor": executor().pid, "python": f"runs {os.path.realpath('/proc/self/exe')}"}


@pytest.mark.slow("clusters")
def test_both_executors_run_trials(local_cluster: Any, shared: str, tmp_path: Path) -> None:
    run = experiment.grid_search(
        meets, {"n": [0, 1, 2, 3], "folder": [str(tmp_path)], "expected": [2]}, project=shared, display=False
    )
    assert [str(t.state) for t in run.trials] == ["FINISHED"] * 4, [t.error for t in run.trials]
    outputs = [t.outputs or {} for t in run.trials]
    assert len({out["executor"] for out in outputs}) == 2
    assert {out["python"] for out in outputs} == {f"runs {os.path.realpath('/proc/self/exe')}"}
    assert os.getpid() not in {out["executor"] for out in outputs}


def test_the_cluster_says_how_many_executors_there_are(local_cluster: Any) -> None:
    assert util.num_executors() == util.num_executors(local_cluster.sparkContext) == 2
    assert util.num_executors(local_cluster) == 2


def fragile(n: int, folder: str, times: int) -> int:
    """Trial 1 kills its executor in its first `times` attempts, once trial 0 has ended."""
    import threading
    import time

    attempt = len(list(Path(folder).glob(f"{n}-*")))
    Path(folder, f"{n}-{attempt}").touch()
    if n == 1 and attempt < times:
        until = time.monotonic() + 60
        while not Path(folder, "ended-0").exists() and time.monotonic() < until:
            time.sleep(0.01)
        executor().kill()
        threading.Event().wait()
    Path(folder, f"ended-{n}").touch()
    return n


def attempts(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("ended"))


def test_a_trial_that_lost_its_executor_is_run_again_and_no_other(
    local_cluster: Any, shared: str, tmp_path: Path
) -> None:
    display = Lines()
    run = experiment.grid_search(
        fragile, {"n": [0, 1, 2, 3], "folder": [str(tmp_path)], "times": [1]}, project=shared, display=display
    )
    assert [str(t.state) for t in run.trials] == ["FINISHED"] * 4, [t.error for t in run.trials]
    assert attempts(tmp_path) == ["0-0", "1-0", "1-1", "2-0", "3-0"]
    assert any("0001" in line and "again" in line for line in display.lines)


@pytest.mark.slow("clusters")
def test_a_trial_that_kills_its_executor_every_time_fails_and_the_search_goes_on(
    local_cluster: Any, shared: str, tmp_path: Path
) -> None:
    run = experiment.grid_search(
        fragile,
        {"n": [0, 1, 2, 3], "folder": [str(tmp_path)], "times": [99]},
        max_retries=1,
        project=shared,
        display=False,
    )
    assert [str(t.state) for t in run.trials] == ["FINISHED", "FAILED", "FINISHED", "FINISHED"]
    assert run.trials[1].cause == "lost"
    assert "2 times" in (run.trials[1].error or "")
    assert run.best_params is not None and run.best_params["n"] == 3
    assert attempts(tmp_path) == ["0-0", "1-0", "1-1", "2-0", "3-0"]
