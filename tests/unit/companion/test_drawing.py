"""Plots of runs are drawn by one process while no run goes on, however many runs end."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hopslite.companion import drawing, drawing_process
from hopslite.companion.drawing import DrawingQueue
from tests.helpers.observe import PATIENCE_S
from tests.helpers.servers import until

DRIVER = """
import os, sys
from hopslite import experiment
os.environ["HOPSLITE_PLOTS"] = "1"
for _ in range(2):
    run = experiment.grid_search(lambda x: x, {"x": [1.0, 2.0, 3.0]}, pool="inline", display=False)
print(os.getpid(), flush=True)
os.kill(os.getpid(), 9)
"""


class Drawn:
    """What a queue has told; its process is a stand-in that answers every run with one file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
        self.runs: list[str] = []
        self.attached: list[tuple[str, list[str]]] = []
        self.processes: list[psutil.Process] = []
        monkeypatch.setattr(drawing, "be_patient", lambda: None)
        monkeypatch.setattr(drawing, "CALM_SECONDS", 0.2)
        monkeypatch.setattr(drawing, "boot", lambda _: [sys.executable, "-c", program])
        monkeypatch.setattr(drawing, "attach", lambda run, files, _: self.attached.append((run.url, files)))
        start = subprocess.Popen

        def popen(*arguments: Any, **options: Any) -> Any:
            process = start(*arguments, **options)
            self.processes.append(psutil.Process(process.pid))
            return process

        monkeypatch.setattr(drawing.subprocess, "Popen", popen)
        self.queue = DrawingQueue(lambda message: self.runs.append(message["drawn"]))


ANSWER = "import sys\nfor line in sys.stdin: print('[\"plots/a.png\"]', flush=True)"
DIE_OF_B = "import os, sys\nfor line in sys.stdin: os._exit(9) if 'b' in line else print('[]', flush=True)"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Drawn]:
    made = Drawn(monkeypatch, ANSWER)
    yield made
    made.queue.finish()


def test_runs_are_drawn_in_turn_by_one_process(drawn: Drawn) -> None:
    for name in ("/a", "/c", "/b", "/c"):
        drawn.queue.add(name, has_mlflow=name == "/a")
    until(lambda: len(drawn.runs) == 3, "all are drawn")
    drawn.queue.add("/d", has_mlflow=False)
    until(lambda: len(drawn.runs) == 4, "another one is drawn")
    assert drawn.runs == ["/a", "/c", "/b", "/d"]
    assert drawn.attached == [("/a", ["plots/a.png"])]
    assert len(drawn.processes) == 1


def test_nothing_is_drawn_while_a_run_is_active(drawn: Drawn) -> None:
    drawn.queue.set_active(True)
    drawn.queue.add("/a", has_mlflow=False)
    time.sleep(0.6)
    assert drawn.runs == []
    drawn.queue.set_active(False)
    assert drawn.runs == []
    until(lambda: drawn.runs == ["/a"], "it is drawn when the run has ended")


def test_at_the_end_all_are_drawn_at_once_and_the_process_ends(drawn: Drawn) -> None:
    drawn.queue.set_active(True)
    for name in ("/a", "/b"):
        drawn.queue.add(name, has_mlflow=False)
    drawn.queue.finish()
    assert drawn.runs == ["/a", "/b"]
    assert not drawn.processes[0].is_running()


def test_a_process_without_work_ends(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "KEEP_SECONDS", 0.2)
    drawn.queue.add("/a", has_mlflow=False)
    until(lambda: drawn.runs == ["/a"] and not drawn.processes[0].is_running(), "the process has ended")
    drawn.queue.add("/b", has_mlflow=False)
    until(lambda: drawn.runs == ["/a", "/b"], "another one draws")


def test_one_whose_drawing_dies_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Drawn(monkeypatch, DIE_OF_B)
    for name in ("/a", "/b", "/c"):
        drawn.queue.add(name, has_mlflow=True)
    drawn.queue.finish()
    assert drawn.runs == ["/a", "/b", "/c"]
    assert len(drawn.processes) == 2
    assert drawn.attached == []


def test_one_that_cannot_be_drawn_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def save(run: str) -> list[str]:
        if run == "gone":
            raise OSError("no such run")
        return [run]

    monkeypatch.setattr(drawing_process, "load", lambda url: url)
    monkeypatch.setattr(drawing_process, "save", save)
    output = io.StringIO()
    drawing_process.draw(['"gone"\n', '"b"\n'], output)
    assert output.getvalue() == '[]\n["b"]\n'


@pytest.mark.slow("companion")
def test_a_driver_that_is_killed_has_its_runs_drawn(project: str) -> None:
    subprocess.run([sys.executable, "-c", DRIVER], stdout=subprocess.DEVNULL, check=False, timeout=PATIENCE_S)
    until(lambda: len(list(Path(project).glob("Experiments/*/plots/index.html"))) == 2, "both are drawn", 120)
    until(lambda: not companions(project), "the companion ends")


def companions(project: str) -> list[psutil.Process]:
    """Processes of companions of drivers of a project."""
    found = []
    for process in psutil.process_iter():
        try:
            is_one = "hopslite.companion" in " ".join(process.cmdline())
            if is_one and process.environ().get("HOPSLITE_PROJECT") == project:
                found.append(process)
        except psutil.Error:
            continue
    return found
