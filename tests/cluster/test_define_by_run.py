"""Trials that ask for their parameters, on real Spark: isolation, lost slots, lost sockets, gangs, a dead driver."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S

USUAL: dict[str, Any] = {"timeout": 60.0, "display": False, "seed": 1}


def timed(trial: Any) -> float:
    import threading
    import time

    start = time.perf_counter()
    x = trial.suggest_float("x", -1, 1)
    kind = trial.suggest_categorical("kind", ["svm", "forest"])
    trial.suggest_int("depth", 2, 32)
    trial.set_user_attr("ms", 1000 * (time.perf_counter() - start) / 3)
    values: list[float] = []
    threads = [threading.Thread(target=lambda: values.append(trial.suggest_float("shared", 0, 1))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(values) == 4 and len(set(values)) == 1
    for step in range(4):
        trial.report(x**2 + (kind == "svm"), step)
        if trial.should_prune():
            import optuna

            raise optuna.TrialPruned
    return float(x**2 + (kind == "svm"))


@pytest.mark.slow("clusters")
@pytest.mark.parametrize("isolation", ["process", "none"])
def test_suggestions_pruning_and_threads(local_spark: Any, tmp_path: Path, isolation: str) -> None:
    run = experiment.search(
        timed, num_trials=20, direction="min", stopper="median", isolation=isolation, project=tmp_path, **USUAL
    )
    assert run.counts.keys() == {"FINISHED", "STOPPED"}
    assert run.trials[0].params.keys() == {"x", "kind", "depth", "shared"}
    inline = experiment.search(timed, num_trials=20, direction="min", pool="inline", project=tmp_path, **USUAL)
    assert [trial.params for trial in run.trials] == [trial.params for trial in inline.trials]
    assert statistics.median(trial.user_attrs["ms"] for trial in run.trials) < 20  # 1 ms on a quiet machine


def without_socket(trial: Any) -> float:
    import os

    x = trial.suggest_float("x", -1, 1)
    os.closerange(3, 1000)
    return float(x + sum(trial.suggest_int(f"n{number}", 0, 9) for number in range(9)))


def test_a_trial_that_has_lost_its_socket_still_asks(local_spark: Any, tmp_path: Path) -> None:
    run = experiment.search(without_socket, num_trials=3, project=tmp_path, **USUAL)
    assert run.counts == {"FINISHED": 3}
    assert {len(trial.params) for trial in run.trials} == {10}


def killing(folder: str) -> Callable[[Any], float]:
    def train(trial: Any) -> float:
        import pathlib
        import threading

        import psutil

        x = trial.suggest_float("x", 0, 1)
        attempts = pathlib.Path(folder, f"{trial.number}")
        with attempts.open("a") as file:
            file.write(f"{x}\n")
        if trial.number == 1 and len(attempts.read_text().splitlines()) == 1:
            psutil.Process().parents()[0].kill()  # the fork server
            threading.Event().wait()
        return float(x + trial.suggest_int("later", 0, 9))

    return train


def test_a_trial_that_is_lost_gets_the_same_values(local_spark: Any, tmp_path: Path) -> None:
    run = experiment.search(killing(str(tmp_path)), num_trials=4, algorithm="tpe", project=tmp_path / "p", **USUAL)
    assert run.counts == {"FINISHED": 4}
    assert len(set((tmp_path / "1").read_text().splitlines())) == 1
    assert len((tmp_path / "1").read_text().splitlines()) == 2


def by_member(folder: str) -> Callable[[Any], float]:
    def train(trial: Any) -> float:
        import os
        import pathlib

        x, kind = trial.suggest_float("x", 0, 1), trial.suggest_categorical("kind", ["a", "b"])
        pathlib.Path(folder, f"{trial.number}-{os.environ['RANK']}").write_text(f"{x} {kind}")
        trial.report(x, 0)
        assert not trial.should_prune()
        return float(x)

    return train


def test_all_members_get_the_same_values(local_spark: Any, tmp_path: Path) -> None:
    run = experiment.search(
        by_member(str(tmp_path)), num_trials=3, strategy="torch", workers_per_trial=2, stopper="median",
        project=tmp_path / "p", **USUAL,
    )  # fmt: skip
    assert run.counts == {"FINISHED": 3}
    for trial in run.trials:
        texts = {(tmp_path / f"{int(trial.id)}-{rank}").read_text() for rank in (0, 1)}
        assert texts == {f"{trial.params['x']} {trial.params['kind']}"}


@pytest.mark.slow("clusters")
def test_a_driver_that_dies_while_a_trial_waits(tmp_path: Path) -> None:
    """The trial ends with its slot; a later driver runs it again with the values that it had got."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            from hopslite import experiment
            from hopslite.search import _define_by_run

            def train(trial):
                x = trial.suggest_float("x", 0, 1)
                return x + trial.suggest_int("later", 0, 9)

            if __name__ == "__main__":
                suggest = _define_by_run.RandomByRun.suggest
                def dying(self, trial_id, name, distribution):
                    if trial_id == "0002" and name == "later" and "resume" not in sys.argv:
                        import time
                        time.sleep(2)  # the journal is written every second
                        os.kill(os.getpid(), signal.SIGKILL)
                    return suggest(self, trial_id, name, distribution)
                _define_by_run.RandomByRun.suggest = dying
                run = experiment.search(
                    train, num_trials=4, seed=1, name="dying", display=False, parallelism=1,
                    resume="dying" if "resume" in sys.argv else None,
                )
                print([trial.params for trial in run.trials])
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOPSLITE_PROJECT": str(tmp_path / "project")}
    command = [sys.executable, str(program)]
    first = subprocess.run(command, env=environment, cwd=tmp_path, timeout=PATIENCE_S, check=False)
    assert first.returncode == -signal.SIGKILL
    before = experiment.load("dying", project=str(tmp_path / "project")).trials[2].params
    assert before.keys() == {"x"}
    again = subprocess.run(
        [*command, "resume"],
        env=environment,
        cwd=tmp_path,
        timeout=PATIENCE_S,
        check=True,
        capture_output=True,
        text=True,
    )
    run = experiment.load("dying", project=str(tmp_path / "project"))
    assert str([trial.params for trial in run.trials]) in again.stdout
    assert run.counts == {"FINISHED": 4}
    assert run.trials[2].params["x"] == before["x"]
