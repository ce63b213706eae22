"""The call of a verb that comes of a command line or a job file: grids, searches, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hopslite import cli, experiment, stop
from hopslite.cli import run as run_module
from hopslite.space import Choice, Integer, LogUniform, Uniform, When
from hopslite.submission.verb_call import VerbCall

TRAIN = """
import argparse, json
options = argparse.ArgumentParser()
for name, kind in (("lr", float), ("units", int), ("opt", str), ("momentum", float), ("epochs", int)):
    options.add_argument(f"--{name}", type=kind)
options = options.parse_args()
print(json.dumps({"metric": "loss", "value": options.lr, "step": 0}))
open("argv.json", "w").write(json.dumps(__import__("sys").argv[1:]))
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[VerbCall]:
    calls: list[VerbCall] = []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.setattr(run_module, "_start", lambda call: calls.append(call) or 0)
    return calls


AXES = [
    "--lr", "loguniform(1e-4, 1e-1)", "--units=int(8, 512, log)", "--opt", "choice(adam, sgd)",
    "--momentum", "when(opt, sgd, choice(0.9, 9e-1))", "--epochs", "5",
]  # fmt: skip
JOB = """
command: python train.py
metric: loss
direction: min
algorithm: tpe
num_trials: 40
stopper: {median: {min_trials: 3}}
seed: 1
max_failures: 4
params:
  lr: {loguniform: [1e-4, 1e-1]}
  units: int(8, 512, log)
  opt: {choice: [adam, sgd]}
  momentum: {when: [opt, sgd, 'choice(0.9, 9e-1)']}
  epochs: 5
"""


def test_a_search_on_the_command_line_and_in_a_job_file(calls: list[VerbCall], project: str, tmp_path: Path) -> None:
    options = "--metric loss --direction min --algorithm tpe --num-trials 40 --stopper median(min_trials=3) --seed 1"
    assert cli.main(["run", *options.split(), "--max-failures", "4", "train.py", *AXES]) == 0
    (tmp_path / "job.yml").write_text(JOB)
    assert cli.main(["run", "job.yml"]) == 0
    for verb, (command, space), keywords in calls:
        assert verb == "search"
        assert [type(space[name]) for name in space] == [LogUniform, Integer, Choice, When, Choice]
        assert space["epochs"].values == (5,) and space["momentum"].dimension.values == ("0.9", "9e-1")
        assert isinstance(keywords.pop("stopper"), stop.Median)
        assert keywords.pop("name") in ("train", "job") and keywords.pop("tags") and keywords.pop("project")
        assert keywords == {
            "optimization_key": "loss", "direction": "min", "algorithm": "tpe", "num_trials": 40, "seed": 1,
            "max_failures": 4,
        }  # fmt: skip
        assert command.optional == ("momentum",)
        line = command._line({"lr": 0.5, "units": 8, "opt": "adam", "epochs": 5})
        assert "--momentum" not in line and {"0.5", "adam", "5"} <= set(line)
        assert command._line({"lr": 0.5, "units": 8, "opt": "sgd", "momentum": "9e-1", "epochs": 5}).count("9e-1") == 1


@pytest.mark.parametrize(
    ("words", "verb", "space"),
    [
        (["train.py", "--lr", "[1, 2]", "--epochs", "3"], "launch", {"lr": [1, 2], "epochs": [3, 3]}),
        (
            ["--metric", "l", "train.py", "--lr", "[1, 2]", "--epochs", "3"],
            "grid_search",
            {"lr": [1, 2], "epochs": [3]},
        ),
        (["--metric", "l", "train.py", "--lr", "choice(1, 2)"], "grid_search", {"lr": Choice((1, 2))}),
        (["--metric", "l", "train.py", "--lr", "uniform(0, 1)"], "search", {"lr": Uniform(0, 1)}),
        (["--metric", "l", "train.py", "--lr", "uniform(0, 1, 0.5)"], "grid_search", {"lr": Uniform(0, 1, 0.5)}),
        (["--metric", "l", "--num-trials", "2", "train.py", "--lr", "[1, 2]"], "search", {"lr": Choice((1, 2))}),
    ],
)
def test_lists_are_grids_and_intervals_are_searched(
    calls: list[VerbCall], project: str, words: list[str], verb: str, space: dict[str, Any]
) -> None:
    assert cli.main(["run", *words]) == 0
    assert (calls[0].verb, repr(calls[0].arguments[1])) == (verb, repr(space))


def test_other_keywords(calls: list[VerbCall], project: str) -> None:
    options = [
        "--metric", "l", "--algorithm", "hyperband(max_budget=9)", "--initial-params", '{"batch-size": 8}', "--tag",
        "team=a", "--warm-start", "a", "--warm-start", "b/2", "--no-display", "--stop-grace", "3",
    ]  # fmt: skip
    assert cli.main(["run", *options, "train.py", "--batch-size", "int(1, 9)"]) == 0
    [(verb, (command, _), keywords)] = calls
    assert (verb, keywords["algorithm"], keywords["algorithm_options"]) == ("search", "hyperband", {"max_budget": 9})
    assert keywords["initial_params"] == [{"batch_size": 8}] and keywords["warm_start"] == ["a", "b/2"]
    assert keywords["tags"] == {"command": "train.py", "team": "a"} and keywords["display"] is False
    assert command.names == ("batch_size", "budget") and command.stop_grace == keywords["stop_grace"] == 3


def test_a_search_runs_and_the_program_gets_what_was_written(tmp_path: Path, project: str) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    words = ["--pool", "inline", "--no-display", "--tracking-uri", "off", "--metric", "loss", "--direction", "min"]
    words += ["--num-trials", "4", "--seed", "1", str(tmp_path / "train.py"), "--opt", "choice(adam, 1e-3)"]
    assert cli.main(["run", *words, "--lr", "loguniform(1e-4, 1e-1)", "--epochs", "5"]) == 0
    run = experiment.load("train")
    assert len(run.trials) == 4 and {trial.params["epochs"] for trial in run.trials} == {5}
    for trial in run.trials:
        argv = json.loads(Path(trial.logdir, "argv.json").read_text())
        assert argv[1] == {"adam": "adam", 0.001: "1e-3"}[trial.params["opt"]]
        assert float(argv[3]) == trial.params["lr"] and argv[4:] == ["--epochs", "5"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.py", "--lr", "loguniform(1e-4, 1e-1)"], "lr: a search compares trials by a metric; add --metric"),
        (["--stopper", "median", "train.py"], "stopper is about the values of a metric; add --metric"),
        (["--metric", "l", "train.py", "--lr", "loguniforn(1, 2)"], "--lr: there is no axis loguniforn; did you mean"),
        (["--metric", "l", "train.py", "--lr", "loguniform(1)"], "--lr: 'loguniform(1)': high is missing"),
        (["--metric", "l", "train.py", "--lr", "a", "int(1, 2)"], "stands among other words"),
        (["--metric", "l", "--algorithm", "tpee", "train.py", "--lr", "int(1, 2)"], "no algorithm named 'tpee'"),
        (["--metric", "l", "--stopper", "medain", "train.py", "--lr", "int(1, 2)"], "no stopper named 'medain'"),
        (["--metric", "l", "--stopper", "median(trials=3)", "train.py", "--lr", "[1]"], "argument 'trials'"),
        (["--metric", "l", "--stopper", "median(3)", "train.py", "--lr", "[1]"], "'3' has no name; write such as"),
        (["--metric", "l", "--stopper", "median(", "train.py", "--lr", "[1]"], ") is missing at the end"),
        (["--metric", "l", "--initial-params", "{", "train.py", "--lr", "int(1, 2)"], "{ is not JSON, such as"),
        (["--metric", "l", "--initial-params", "3", "train.py", "--lr", "int(1, 2)"], "mappings from parameters"),
        (["--tag", "team", "train.py"], "'team'; give KEY=VALUE"),
        (["--metric", "l", "--num-trials", "3", "train.py", "--m", "when(opt, a, int(1, 2))"], "'opt'"),
    ],
)
def test_mistakes(
    tmp_path: Path, project: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    assert cli.main(["run", "--pool", "inline", *words]) in (1, 2)
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
    assert not (Path(project) / "Experiments").exists(), "it is said before anything is recorded"


def test_an_axis_with_a_mistake_in_a_job_file_has_its_line(
    tmp_path: Path, project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.yml"
    path.write_text("command: ls\nmetric: l\nparams:\n  lr: {loguniform: [1]}\n  n: int(5\n  m: {mn: 3}\n")
    assert cli.main(["run", str(path)]) == 1
    said = capsys.readouterr().err
    for line, text in (
        (4, "lr: {loguniform: [1]}: high is missing"),
        (5, "n: 'int(5'"),
        (6, "m: {'mn': 3} is no axis"),
    ):
        assert f"{path}, line {line}: {text}" in said
