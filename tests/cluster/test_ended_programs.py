"""Programs of `hopslite run` that are ended on executors: SIGTERM, time to save, and what they saved is kept."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from hopslite import experiment, stop
from hopslite.errors import HopsliteError
from hopslite.programs.command import Command
from hopslite.submission.code_archive import pack

PROGRAM = """
import json, os, signal, sys, time

def save(*_):
    time.sleep(1)
    open("saved.txt", "w").write("all")
    sys.exit(0)

n = int(sys.argv[2])
if n != 3:
    signal.signal(signal.SIGTERM, save)
    open("ready.txt", "w").close()
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(json.dumps({"metric": "loss", "value": n, "step": 0}), flush=True)
if n:
    time.sleep(300)
"""


def left(trial: Any) -> set[str]:
    return {name for name in os.listdir(trial.logdir) if name.endswith(".txt")}


def test_what_an_ended_program_saved_is_kept(local_cluster: Any, project: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    options: dict[str, Any] = {"name": "job", "display": False, "spark": local_cluster, "parallelism": 2}
    command = Command(("train.py",), ("n",), pack(str(tmp_path)), metric="loss", stop_grace=3.0)

    run = experiment.grid_search(
        command, {"n": [0, 1, 2]}, "min", optimization_key="loss", stopper=stop.Threshold(upper=1.5), stop_grace=3.0,
        trial_timeout=4.0, **options,
    )  # fmt: skip
    assert [str(trial.state) for trial in run.trials] == ["FINISHED", "FAILED", "STOPPED"]
    finished, late, stopped = run.trials
    assert (late.cause, left(late)) == ("timeout", {"ready.txt", "saved.txt"})
    assert left(stopped) == {"ready.txt", "saved.txt"} and left(finished) == {"ready.txt"}
    assert "Traceback" not in Path(late.logdir, "output.log").read_text()

    with contextlib.suppress(HopsliteError):  # what is raised when no trial finished is of other tests
        experiment.launch(command, {"n": [1, 3]}, timeout=5.0, **options)
    run = experiment.load("job")
    assert [str(trial.state) for trial in run.trials] == ["KILLED", "KILLED"]
    saved, ignored = run.trials
    assert left(saved) == {"ready.txt", "saved.txt"}
    assert ignored.duration < 60
