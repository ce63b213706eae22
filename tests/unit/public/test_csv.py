"""Trials as comma-separated values: the columns of the data frame, whatever their values hold, on any storage."""

from __future__ import annotations

import csv
import json
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hopslite import experiment
from hopslite.core.types import State
from hopslite.errors import StoreError
from hopslite.result import Run, Trial
from hopslite.storage.run_directory import RunDir

OPTIONS: dict[str, Any] = {"name": "digits", "pool": "inline", "display": False}


def searched() -> Run:
    def train(lr: float, net: str) -> dict[str, Any]:
        if net == "bad":
            raise ValueError('no,\n"bad" nets')
        return {"accuracy": 1 / 3 + lr, "sizes": {"a": [True, "ü"]}}

    grid = {"lr": [0.1, 1e-9], "net": ['a "b", c', "bad"]}
    return experiment.grid_search(train, grid, optimization_key="accuracy", **OPTIONS)


def test_line_ends_of_all_kinds_stay_within_their_cell(project: str, tmp_path: Path) -> None:
    texts = ["a\rb", "a\nb", "a\r\nb", "plain"]
    run = experiment.grid_search(lambda text: 1.0, {"text": texts}, **OPTIONS)
    run.to_csv(tmp_path / "trials.csv")
    content = (tmp_path / "trials.csv").read_bytes().decode()
    rows = list(csv.DictReader(content.splitlines(keepends=True), strict=True))
    assert [row["text"] for row in rows] == texts
    assert list(pd.read_csv(tmp_path / "trials.csv")["text"]) == texts


def test_columns_and_values_are_those_of_the_data_frame(project: str, tmp_path: Path) -> None:
    run = searched()
    path = tmp_path / "trials.csv"
    run.to_csv(path)
    frame, written = (
        run.to_pandas(),
        pd.read_csv(path, dtype={"id": str}, parse_dates=["started"], float_precision="round_trip"),
    )
    assert list(written.columns) == list(frame.columns)
    for name in ("id", "state", "metric", "lr", "net", "duration", "logdir"):
        assert written[name].equals(frame[name]), name
    assert [str(text) for text in written["error"].dropna()] == [str(text) for text in frame["error"].dropna()]
    assert (written["started"] - frame["started"]).abs().max() < pd.Timedelta("1us")
    assert json.loads(written["outputs.sizes"][0]) == {"a": [True, "ü"]}
    assert path.read_bytes().count(b"\r") == 0
    rows = list(csv.reader(path.open(newline="")))
    assert {len(row) for row in rows} == {len(frame.columns)}
    assert rows[2][2] == "", "a missing metric is not empty"


def test_a_loaded_run_and_other_file_systems(project: str) -> None:
    run = searched()
    folder = f"memory://{uuid.uuid4().hex}"
    RunDir(folder).makedirs()
    for which in (run, experiment.load(run.run_id)):
        which.to_csv(f"{folder}/trials.csv")
        assert RunDir(folder).read_bytes("trials.csv").startswith(b"id,state,metric,lr,net,")


def test_a_run_without_trials_has_a_header() -> None:
    names = {"run_id": "r", "name": "n", "version": 1, "verb": "v", "logdir": "/no", "state": State.KILLED}
    run = Run(is_search=True, trials=[], **names)
    trial = Trial("0000", {"id": 5, "f": len, "x": None}, State.FINISHED, generation=0)
    from hopslite.result.table import csv_of

    assert csv_of(run.trials) == "id,state,metric,error,started,duration,logdir\n"
    assert csv_of([trial]).splitlines()[0] == "id,state,metric,params.id,f,x,generation,error,started,duration,logdir"
    assert csv_of([trial]).splitlines()[1].startswith("0000,FINISHED,,5,")


def test_a_place_that_cannot_be_written(project: str, tmp_path: Path) -> None:
    run = searched()
    with pytest.raises(StoreError, match=r"the trials of run .* cannot be written to .*missing/trials.csv"):
        run.to_csv(tmp_path / "missing" / "trials.csv")
