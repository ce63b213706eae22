"""A session that the program stops during a run. A module of its own: nothing can run on that session afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.errors import InvalidArguments, SparkUnavailable
from tests.helpers.observe import Lines, eventually, in_background


def test_a_session_that_is_stopped_ends_the_run(local_cluster: Any, project: str, tmp_path: Path) -> None:

    def train(n: int, folder: str) -> int:
        import threading

        Path(folder, str(n)).touch()
        if n:
            threading.Event().wait()
        return n

    display = Lines()

    def search() -> experiment.Run:
        return experiment.grid_search(
            train, {"n": [0, 1, 2], "folder": [str(tmp_path)]}, project=project, display=display
        )

    with in_background(search) as running:
        eventually(lambda: {"0", "1", "2"} <= {*os.listdir(tmp_path)}, "all trials have begun")
        local_cluster.stop()
        with pytest.raises(SparkUnavailable, match="stopped"):
            running.result()
    record = json.loads(Path(display.logdir, "run.json").read_text())
    assert record["state"] == "FAILED"
    assert record["counts"] == {"FINISHED": 1, "KILLED": 2}
    with pytest.raises(InvalidArguments, match="stopped"):
        experiment.launch(train, {"n": [0], "folder": ["x"]}, spark=local_cluster, project=project, display=False)
