"""What every pool promises. A new one is found by its name and tested as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.core import plugins
from hopslite.core.types import State

SESSIONS = {"spark": "local_spark", "spark_connect": "connect_spark"}


@pytest.fixture(params=plugins.names("pool"))
def options(request: pytest.FixtureRequest, project: str) -> dict[str, Any]:
    """The keywords that choose the pool."""
    name = str(request.param)
    chosen = {"pool": name, "display": False}
    return {**chosen, "spark": request.getfixturevalue(SESSIONS[name])} if name in SESSIONS else chosen


def train(x: int, y: int) -> dict[str, float]:
    if (x, y) == (2, 2):
        raise ValueError("two and two")
    print(f"sum {x + y}")
    return {"sum": x + y}


def test_runs_every_trial_and_records_it(options: dict[str, Any]) -> None:
    run = experiment.grid_search(train, {"x": [1, 2], "y": [1, 2, 3]}, optimization_key="sum", **options)
    assert run.best_params == {"x": 2, "y": 3}
    assert [trial.metric for trial in run.trials] == [2, 3, 4, 3, None, 5]
    assert run.counts == {State.FINISHED: 5, State.FAILED: 1}
    [failed] = [trial for trial in run.trials if trial.state is State.FAILED]
    assert "two and two" in str(failed.error)
    for trial in run.trials:
        folder = Path(str(trial.logdir))
        assert json.loads((folder / ".hparams.json").read_text()) == trial.params
        assert trial is failed or "sum" in (folder / "output.log").read_text()


def test_every_trial_fails(options: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="two and two"):
        experiment.grid_search(train, {"x": [2], "y": [2]}, optimization_key="sum", **options)


def test_resumes_with_what_is_left(options: dict[str, Any], tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()

    def touch(x: int) -> int:
        (marks / f"{x}-{len(list(marks.glob(f'{x}-*')))}").touch()
        if x == 2 and not (marks / "repaired").exists():
            raise ValueError("not yet")
        return x

    run = experiment.grid_search(touch, {"x": [1, 2, 3]}, name="again", **options)
    assert run.counts[State.FAILED] == 1
    (marks / "repaired").touch()
    run = experiment.resume(run.run_id, retry_failed=True, **options)
    assert run.best_params == {"x": 3}
    assert sorted(path.name for path in marks.glob("*-*")) == ["1-0", "2-0", "2-1", "3-0"]
