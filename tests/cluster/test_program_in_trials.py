"""The user's program in trials on Spark, and in a notebook's: it does what it does outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbclient
import nbformat
import pytest

from tests.helpers import ROOT
from tests.helpers.observe import PATIENCE_S, text_of
from tests.helpers.programs import Program

EVERYTHING = ROOT / "tests/helpers/program_with_everything.py"

# Frameworks that look at the source of what they are given, or send it to processes of their own.
FRAMEWORKS = """
import json
import tensorflow as tf
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, x):
        if bool(x.sum() > 0):
            return self.linear(x)
        return x

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, number):
        return torch.tensor(float(number))

def collate(items):
    return torch.stack(items) * 2

def saved():
    torch.save(Net(), "net.pt")
    return float(type(torch.load("net.pt", weights_only=False)) is Net)

def loaded(method):
    loader = torch.utils.data.DataLoader(
        Data(), batch_size=2, num_workers=1, collate_fn=collate, multiprocessing_context=method
    )
    return float(sum(batch.sum() for batch in loader))

def scripted():
    return float(torch.jit.script(Net())(torch.ones(2)).shape[0])

@tf.function
def step(x):
    total = tf.constant(0.0)
    for _ in tf.range(3):
        if x > 0.5:
            total += x
    return total

def parallel():
    import joblib
    return float(sum(joblib.Parallel(2)(joblib.delayed(len)(text) for text in ["a", "bc"])))

def train(kind):
    kinds = {
        "saved": saved,
        "fork": lambda: loaded("fork"),
        "spawn": lambda: loaded("spawn"),
        "scripted": scripted,
        "autograph": lambda: float(step(tf.constant(1.0))),
        "joblib": parallel,
    }
    return kinds[kind]()

if __name__ == "__main__":
    from hopslite import experiment
    kinds = ["saved", "fork", "spawn", "scripted", "autograph", "joblib"]
    run = experiment.grid_search(train, {"kind": kinds}, display=False, parallelism=1)
    answers = {trial.params["kind"]: trial.metric or trial.error for trial in run.trials}
    print("ANSWERS", json.dumps(answers), flush=True)
"""

NOTEBOOK = """
import inspect, multiprocessing, pickle
from concurrent.futures import ProcessPoolExecutor

class Net:
    width = 3

def double(x):
    return x * 2

def train(n):
    assert pickle.loads(pickle.dumps(Net())).width == 3
    assert "return x * 2" in inspect.getsource(double)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(double, n).result()
"""


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.kill()


def answers_outside(folder: Path) -> dict[str, str]:
    (folder / "program.py").write_text(EVERYTHING.read_text())
    command = [sys.executable, "program.py", "outside"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS ")]
    answers: dict[str, str] = json.loads(line.removeprefix("ANSWERS "))
    return answers


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_a_program_says_the_same_in_trials(isolation: str, tmp_path: Path, programs: list[Program]) -> None:
    folder = tmp_path / "run 2024-05-01T10:30:00"  # the colon separates entries of PYTHONPATH
    folder.mkdir()
    (folder / "beside.py").write_text("FACTOR = 3\n")
    outside = answers_outside(folder)
    assert outside["module_beside"] == "3"
    program = Program(folder, EVERYTHING.read_text(), "search", isolation)
    programs.append(program)
    answers = program.said("ANSWERS")
    different = {name: (outside[name], answers[name]) for name in outside if answers[name] != outside[name]}
    own = (
        {"process"} if isolation == "process" else {"process", "blocked_signals"}
    )  # Java blocks some in Spark's workers
    assert different.keys() == own, different  # it has another command line
    assert answers["process"] == outside["process"].replace("'outside'", f"'search', '{isolation}'")
    log = text_of(Path(program.said("LOGDIR")) / "output.log")
    assert "INFO|mine.own|said by mine.own" in log
    assert "noticed by written" in log
    assert "by quiet" not in log


@pytest.mark.slow("frameworks")
def test_frameworks_find_source_and_classes(tmp_path: Path, programs: list[Program]) -> None:
    program = Program(tmp_path, FRAMEWORKS)
    programs.append(program)
    assert program.said("ANSWERS", 800) == {
        "saved": 1.0, "fork": 12.0, "spawn": 12.0, "scripted": 1.0, "autograph": 3.0, "joblib": 3.0,
    }  # fmt: skip


@pytest.mark.slow("frameworks")
def test_a_notebooks_definitions_reach_spawned_processes(tmp_path: Path, project: str) -> None:
    search = "from hopslite import experiment\nexperiment.grid_search(train, {'n': [1, 4]}, display=False).best_metric"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (NOTEBOOK, search)])
    client = nbclient.NotebookClient(
        book, timeout=PATIENCE_S, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    [result] = [output for output in book.cells[1].outputs if output.output_type == "execute_result"]
    assert result.data["text/plain"] == "8.0"
