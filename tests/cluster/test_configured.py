"""A search over a configuration on executors of their own, and its best configuration, which trains alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hopslite import configured, experiment
from hopslite.cli import main
from tests.helpers import ROOT

METRIC = "val_sparse_categorical_accuracy"


@pytest.mark.slow("frameworks")
def test_the_example_is_searched_and_its_best_trains_alone(
    local_cluster: Any, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    options = f"--num-trials 4 --stopper asha --seed 2 --metric {METRIC} --name search"
    assert main(["train", str(ROOT / "examples" / "digits.hjson"), *options.split()]) == 0
    assert not {"keras", "tensorflow"} & (set(sys.modules) - before)  # only trials import them
    run = experiment.load("search")
    assert len(run.trials) == 4 and run.optimization_key == METRIC and str(run.direction) == "MAX"
    best = json.loads(Path("best.json").read_text())
    assert best == configured.best_config(run) == json.loads(Path(run.logdir, "best.json").read_text())
    assert "$" not in Path("best.json").read_text()
    [optimizer] = best[1]["optimizer"]
    assert optimizer == f"keras.optimizers.{run.best_params['optimizer']}"
    assert {trial.params["optimizer"] for trial in run.trials} == {"Adam", "SGD"}
    reports = run.reports()
    finished = [trial.id for trial in run.trials if str(trial.state) == "FINISHED"]
    steps = reports[(reports.trial == finished[0]) & (reports.metric == METRIC)]["step"].tolist()
    assert steps == [0, 1, 2, 3]  # one of the first cycle, three of the second
    assert (reports[reports.metric == METRIC]["value"] > 0.5).any()
    assert "best.json; it trains alone: hopslite train best.json" in capfd.readouterr().out.replace("\n", " ")

    assert main(["train", "best.json", "--metric", METRIC]) == 0
    alone = experiment.load("best")
    assert alone.trials[0].metric is not None and alone.trials[0].metric > 0.5
    assert configured.best_config(alone) == best


@pytest.mark.slow("frameworks")
def test_a_mistake_that_only_keras_knows_ends_the_run_with_its_line(
    local_cluster: Any, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "examples" / "digits.hjson").read_text().replace('["base_model"]', '["bass_model"]')
    Path("wrong.hjson").write_text(text)
    assert main(["train", "wrong.hjson", "--num-trials", "8", "--seed", "1"]) == 1
    said = capfd.readouterr().err
    assert (
        "wrong.hjson, line" in said and "freeze_submodels: no submodel 'bass_model' in the model; did you mean" in said
    )
    assert "Traceback" not in said
    run = experiment.load("wrong")
    assert len(run.trials) < 8 and {str(trial.state) for trial in run.trials} <= {"FAILED", "KILLED"}
