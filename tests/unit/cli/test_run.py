"""`hopslite run`: what is wrong with a call, restarts, and runs on Spark."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hopslite import cli, experiment
from hopslite.cli import run as run_module
from hopslite.submission.verb_call import VerbCall
from tests.helpers.commands import OPTIONS
from tests.helpers.observe import PATIENCE_S


def test_metrics_and_directions_of_the_command_line_are_lists(
    code: Path, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[VerbCall] = []
    monkeypatch.setattr(run_module, "_start", lambda call: calls.append(call) or 0)
    (code / "train.py").write_text("")
    words = ["--metric", "f1", "--metric", "seconds", "--direction", "max", "--direction", "min"]
    for options in (words, words[:2]):
        assert cli.main(["run", *options, str(code / "train.py"), "--n", "[1, 2]"]) == 0
    several, single = calls
    assert (several.keywords["optimization_key"], several.arguments[2]) == (["f1", "seconds"], ["max", "min"])
    assert (several.arguments[0].metric, single.arguments[0].metric) == (("f1", "seconds"), "f1")
    assert single.keywords["optimization_key"] == "f1"


RESTARTS = """
import os, pathlib
checkpoint = pathlib.Path(os.environ["HOPSLITE_CHECKPOINT_DIR"], "attempts")
attempts = int(checkpoint.read_text()) + 1 if checkpoint.exists() else 1
checkpoint.write_text(str(attempts))
print('{"metric": "attempts", "value": %d}' % attempts)
raise SystemExit(attempts < 3)
"""


class TestRestarts:
    @pytest.fixture(autouse=True)
    def inline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Has trials of `hopslite run` run in this process."""
        launch = experiment.launch
        inline = functools.wraps(launch)(lambda *args, **options: launch(*args, **{**options, **OPTIONS}))
        monkeypatch.setattr(experiment, "launch", inline)

    @pytest.mark.parametrize(("words", "status"), [([], 1), (["--max-restarts", "1"], 1), (["--max-restarts", "2"], 0)])
    def test_a_program_goes_on_from_its_checkpoints(
        self, code: Path, project: str, words: list[str], status: int
    ) -> None:
        (code / "train.py").write_text(RESTARTS)
        restart = ["--on-failure", "restart"] if words else []
        assert cli.main(["run", *restart, *words, str(code / "train.py")]) == status
        (trial,) = experiment.load("train").trials
        attempts = int(words[1]) + 1 if words else 1
        assert Path(trial.logdir, "checkpoints", "attempts").read_text() == str(attempts)
        assert (trial.outputs or {}).get("attempts") == (3.0 if status == 0 else None)

    def test_a_job_file_has_them(self, code: Path, project: str) -> None:
        (code / "train.py").write_text(RESTARTS)
        (code / "job.yml").write_text("command: python train.py\non_failure: restart\nname: job")
        assert cli.main(["run", str(code / "job.yml")]) == 0


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["nowhere.py"], 1, "there is no program nowhere.py"),
            (["job.yml"], 1, "there is no job file job.yml"),
            (["--code", "nowhere", "ls"], 1, "there is no folder"),
            (["--gpu", "x", "ls"], 2, "'x' is not a number"),
            (["--gpus-per-trial", "0.3", "ls"], 2, "0.3; n trials share a GPU with 1/n each: give 0.333"),
            (["--on-failure", "again", "ls"], 2, "'fail', 'restart'"),
            (["--max-restarts", "2", "ls"], 2, "max_restarts is for runs with on_failure restart; add --on-failure"),
            (["--input", "x", "ls"], 2, "give NAME=URL"),
            (["ls", "--lr", "[]"], 2, "an empty list"),
            (["ls", "--1 x", "3"], 2, "is not a valid parameter name"),
            (["--env", "nowhere.env", "ls"], 1, "nowhere.env"),
            (["--metrc", "loss", "ls"], 2, "'--metric'"),
            (["--metric", "loss", "ls"], 2, "there are none; add one, such as --lr"),
            (["ls", "--lr", "[1,2"], 2, "[1,2 is not a JSON list"),
            (["ls", "--lr", "[" * 100_000], 2, "[ is not a JSON list"),
            (["--target-metric", "3", "ls"], 2, "target_metric is about the values of a metric; add --metric"),
            (["--no-improvement", "3", "ls"], 2, "no_improvement is about the values of a metric; add --metric"),
            (["--direction", "min", "ls"], 2, "direction is about the values of a metric; add --metric"),
            (["ls", "$HOPSLITE_OUT"], 1, "there is no variable $HOPSLITE_OUT; did you mean $HOPSLITE_OUTPUT?"),
            (["--env", "MISSING_1", "ls"], 1, "no file has this name, and no variable that is set here"),
            (["ls", "--lr", "[1]", "--lr", "2"], 2, "--lr is given more than once, and once as a list"),
            (["ls", "--lr", "2", "[1, 2]"], 2, "--lr 2 [1, 2]: a list, each of whose values"),
            ([], 2, "PROGRAM"),
        ],
    )
    def test_mistakes(
        self, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
        arguments: list[str], code: int, message: str,
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        assert cli.main(["run", *arguments]) == code
        assert message in capfd.readouterr().err
        assert not os.path.exists(project)

    def test_parallelism_is_of_all_runs(self, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given = {}
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(
            experiment,
            "launch",
            lambda *_, **options: given.update(options) or SimpleNamespace(counts={}, state="FINISHED"),
        )
        assert cli.main(["run", "--parallelism", "2", "ls", "--lr", "[1, 2, 3]"]) == 0
        assert given["parallelism"] == 2

    @pytest.mark.slow("clusters")
    def test_a_master_that_is_none(self, project: str, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "hopslite.cli", "run", "--master", "nope://x", "ls"],
            cwd=tmp_path, env={k: v for k, v in os.environ.items() if k != "SPARK_SUBMIT_OPTS"},
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        said = [line for line in done.stderr.splitlines() if not line.startswith("WARNING: Using incubator")]
        assert (done.returncode, done.stdout) == (1, "")
        assert said == [
            "error: Spark did not start: Could not parse Master URL: 'nope://x'; give one such as local[4], local[*], "
            "spark://HOST:7077, yarn or k8s://https://HOST:443"
        ]

    @pytest.mark.slow("clusters")
    @pytest.mark.parametrize("failing", [False, True])
    def test_on_spark(self, project: str, code: Path, tmp_path: Path, failing: bool) -> None:
        (code / "train.py").write_text(
            "import argparse, helper\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float)\n"
            "p.add_argument('--epochs', type=int)\na = p.parse_args()\n"
            'print(\'{"metric": "loss", "value": %s}\' % (a.lr * helper.TWO))\n'
            + ("raise SystemExit(a.lr > 0.5)\n" if failing else "")
        )
        (code / "helper.py").write_text("TWO = 2\n")
        options = ["--metric", "loss", "--direction", "min", "-m", "a try", "--master", "local[2]"]
        command = [
            sys.executable,
            "-m",
            "hopslite.cli",
            "run",
            *options,
            "train.py",
            "--lr",
            "[0.5, 0.25, 1]",
            "--epochs",
            "3",
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK_")}
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "python3").write_text("#!/bin/sh\necho another Python\nexit 1\n")
        (tmp_path / "bin" / "python3").chmod(0o755)
        environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            command, cwd=code, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == int(failing), done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        assert "[Stage" not in done.stderr + done.stdout, "Spark's progress bar is there, too"
        found = experiment.load("train")
        assert (found.best_params, found.best_metric) == ({"lr": 0.25, "epochs": 3}, 0.5)
        assert (found.description, found.tags) == ("a try", {"command": "train.py"})
        assert len(found.trials) == 3
