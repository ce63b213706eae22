"""`hopslite run`: programs as trials, their parameters, metrics and files, and what is wrong with a job file."""

from __future__ import annotations

import io
import itertools
import json
import os
import shlex
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from hopslite import cli, experiment
from hopslite.cli._code import packed
from hopslite.cli._jobfile import read_job
from hopslite.cli._run import _commanded, _job
from hopslite.errors import InvalidArguments, TrialFailed
from hopslite.runtime import command
from hopslite.runtime.command import Command
from hopslite.store import RunDir

OF_A_RUN = (
    "name",
    "message",
    "metric",
    "direction",
    "gpu",
    "parallelism",
    "timeout",
    "trial_timeout",
    "inputs",
    "params",
)
OPTIONS: dict[str, Any] = {"pool": "inline", "display": False}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def run(
    code: Path, program: str, params: dict[str, Any], words: tuple[str, ...] = ("train.py",), **changes: Any
) -> Any:
    (code / "train.py").write_text(program)
    options = {key: changes.pop(key) for key in ("optimization_key", "inputs", "stopper", "project") if key in changes}
    command = Command(words, tuple(params), packed(str(code)), **changes)
    lists = {name: value if isinstance(value, list) else [value] for name, value in params.items()}
    if "optimization_key" in options:
        return experiment.grid_search(command, lists, name="job", **options, **OPTIONS)
    return experiment.launch(command, lists or None, name="job", **options, **OPTIONS)


def told(run: Any) -> Any:
    return json.loads(Path(run.trials[0].logdir, "output", "told.json").read_text())


TELLS = """
import json, os, sys
env = {k: v for k, v in os.environ.items() if k.startswith(("HOPSLITE_P", "HOPSLITE_I", "MY"))}
told = {"argv": sys.argv[1:], "env": env,
        "here": sorted(os.listdir()), "cwd": os.getcwd(), "trial": os.environ["HOPSLITE_TRIAL_ID"]}
open(os.path.join(os.environ["HOPSLITE_OUTPUT"], "told.json"), "w").write(json.dumps(told))
"""


class TestProgram:
    def test_its_parameters(self, code: Path, project: str) -> None:
        params = {"lr": 0.1, "kind": "a b", "deep": True, "layers": [[1, 2]]}
        found = told(run(code, TELLS, params))
        assert found["argv"] == ["--lr", "0.1", "--kind", "a b", "--deep", "true", "--layers", "[1, 2]"]
        assert found["env"]["HOPSLITE_PARAM_KIND"] == "a b"
        assert json.loads(found["env"]["HOPSLITE_PARAMS"]) == {"lr": 0.1, "kind": "a b", "deep": True, "layers": [1, 2]}
        assert found["trial"] == "0000"

    def test_parameters_in_its_words(self, code: Path, project: str) -> None:
        words = ("train.py", "fit", "--rate={lr}", "{kind}-{lr}", "{other}")
        assert told(run(code, TELLS, {"lr": 0.5, "kind": "{lr}"}, words))["argv"] == [
            "fit",
            "--rate=0.5",
            "{lr}-0.5",
            "{other}",
        ]

    def test_its_environment_inputs_and_folder(self, code: Path, project: str, tmp_path: Path) -> None:
        (code / "helper.py").write_text("")
        (tmp_path / "data.csv").write_text("1")
        result = run(code, TELLS, {}, environment={"MY_TOKEN": "s3cret"}, inputs={"train": str(tmp_path / "data.csv")})
        found = told(result)
        assert found["env"]["MY_TOKEN"] == "s3cret"
        assert found["env"]["HOPSLITE_INPUT_TRAIN"] == str(tmp_path / "data.csv")
        assert found["here"] == ["helper.py", "train.py"]
        assert not os.path.exists(found["cwd"]), "the copy of the code was left behind"
        for path in Path(result.logdir).rglob("*"):
            if path.is_file() and path.name not in ("plan.pkl", "told.json"):
                assert b"s3cret" not in path.read_bytes(), path

    def test_any_program(self, code: Path, project: str) -> None:
        (code / "go.sh").write_text('#!/bin/sh\necho "{\\"metric\\": \\"n\\", \\"value\\": $2}"\n')
        (code / "go.sh").chmod(0o755)
        assert run(code, "", {"n": 3}, ("./go.sh",)).trials[0].outputs["n"] == 3.0

    def test_its_code_is_kept(self, code: Path, project: str) -> None:
        result = run(code, TELLS, {})
        deadline = time.monotonic() + 30
        while not RunDir(result.logdir).exists("code.zip") and time.monotonic() < deadline:
            time.sleep(0.05)
        with zipfile.ZipFile(io.BytesIO(RunDir(result.logdir).read_bytes("code.zip"))) as archive:
            assert archive.read("train.py").decode() == TELLS
        assert not RunDir(result.logdir).exists("program.py")


class TestMetrics:
    def test_lines(self, code: Path, project: str) -> None:
        program = """
print('{"metric": "loss", "value": 0.5, "step": 0}')
print('not {"metric": "loss", "value": 9}')
print('  {"metric": "loss", "value": 0.25, "step": 1}  ')
print('{"metric": "f1", "value": 1}')
for bad in ('{', '{}', '{"metric": 3, "value": 1}', '{"metric": "loss", "value": "x"}', '[1]', '{"metric": "x"}'):
    print(bad)
print('{"metric": "last", "value": 2}', end="")
"""
        result = run(code, program, {"n": [1, 2]}, optimization_key="loss", metric="loss")
        assert result.best_metric == 0.25
        outputs = result.trials[0].outputs
        assert {name: outputs[name] for name in ("loss", "f1", "last")} == {"loss": 0.25, "f1": 1.0, "last": 2.0}
        assert result.reports()[["step", "value"]].values.tolist()[:2] == [[0.0, 0.5], [1.0, 0.25]]
        log = Path(result.trials[0].logdir, "output.log").read_text()
        assert log.splitlines()[1] == 'not {"metric": "loss", "value": 9}'

    def test_tensorboard_files(self, code: Path, project: str) -> None:
        program = """
import os
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
for folder in (os.path.join(os.environ["HOPSLITE_OUTPUT"], "tb"), "logs"):
    writer = EventFileWriter(folder)
    for step in range(3):
        tag = "loss" if folder == "logs" else "accuracy"
        writer.add_event(Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=step / 4)])))
    writer.close()
"""
        ours = """
os.rename(next(os.scandir("logs")).path, "logs/events.out.tfevents.0.hopslite")  # what has been reported already
"""
        assert "loss" not in run(code, program + ours, {"n": [1]}, optimization_key="accuracy").best_outputs
        result = run(code, program, {"n": [1]}, optimization_key="accuracy", metric="accuracy")
        assert (result.best_metric, result.best_outputs["loss"]) == (0.5, 0.5)
        assert result.reports()["value"].tolist() == [0.0, 0.25, 0.5]

    def test_a_stopper_ends_the_program_and_what_it_started(
        self, code: Path, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        end = command._end
        # A program that could no longer write would end by itself meanwhile, and what it started would live on.
        monkeypatch.setattr(command, "_end", lambda process: (time.sleep(0.5), end(process)))
        program = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
for step in range(3000):
    print('{{"metric": "loss", "value": 5, "step": ' + str(step) + '}}', flush=True)
    time.sleep(0.01)
"""
        from hopslite import stop

        result = run(
            code, program, {"n": [1]}, optimization_key="loss", metric="loss", stopper=stop.Threshold(upper=4.0)
        )
        assert [str(trial.state) for trial in result.trials] == ["STOPPED"]
        pids = map(int, (tmp_path / "pids").read_text().split())
        assert not [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


class TestFailures:
    @pytest.mark.parametrize(
        ("program", "error"),
        [
            ("import sys; print('no data'); sys.exit(3)", "train.py ended with exit status 3: no data"),
            ("raise ValueError('too large')", "train.py ended with exit status 1: ValueError: too large"),
            ("import os; os.kill(os.getpid(), 9)", "train.py ended with signal 9"),
        ],
    )
    def test_are_its_own(self, code: Path, project: str, program: str, error: str) -> None:
        with pytest.raises(TrialFailed) as failed:
            run(code, program, {})
        trial = failed.value.result.trials[0]  # type: ignore[attr-defined]
        assert (trial.error, trial.cause, trial.traceback) == (error, "exit", None)

    def test_a_program_that_is_not_there(self, code: Path, project: str) -> None:
        with pytest.raises(TrialFailed, match="nowhere cannot be started: No such file or directory"):
            run(code, "", {}, ("nowhere",))

    def test_no_metric(self, code: Path, project: str) -> None:
        with pytest.raises(
            TrialFailed, match=r"has not told the metric 'loss'; metrics that it told: f1\. Have it print"
        ):
            run(code, """print('{"metric": "f1", "value": 1}')""", {"n": [1]}, optimization_key="loss", metric="loss")


class TestCode:
    def test_what_is_left_out(self, code: Path) -> None:
        (code / ".hopsliteignore").write_text("# data\n*.csv\n/build/\n!keep.csv\n")
        for name in ("a.csv", "keep.csv", "deep/b.csv", "build/x", "deep/build/y", ".git/config", "x/__pycache__/m.pyc",
                     "größe ü.py", "deep/er/z.py"):  # fmt: skip
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_text(name)
        with zipfile.ZipFile(io.BytesIO(packed(str(code)))) as archive:
            assert archive.namelist() == sorted(
                [".hopsliteignore", "keep.csv", "deep/build/y", "größe ü.py", "deep/er/z.py"]
            )

    def test_secrets_are_left_out(self, project: str, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (code / ".hopsliteignore").write_text("!.env\n!*.env\n")
        (code / "deep").mkdir()
        for name in (".env", ".env.local", "deep/.env", "my.env", "other.env", "deep/job.yml"):
            (code / name).write_text("TOKEN=s3cret-token\n")
        (code / "link.env").symlink_to("my.env")
        (code / "job.yml").write_text("command: train.py\nenv: {TOKEN: s3cret-token}")
        (code / "plain.yml").write_text("command: train.py\nenv: {}")
        monkeypatch.chdir(code)
        given = {"environment": ("link.env",)}
        for program, kept in (("train.py", {"job.yml", "plain.yml"}), ("job.yml", {"plain.yml"}),
                              ("plain.yml", {"job.yml", "plain.yml"})):  # fmt: skip
            (code / "train.py").write_text("")
            job = _job(program, [], dict(given))
            with zipfile.ZipFile(io.BytesIO(packed(job["code"], job["secret"]))) as archive:
                assert {*archive.namelist()} == {".hopsliteignore", "deep/job.yml", "other.env", "train.py", *kept}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"*.csv\n\xff\n", r"ignore, line 2: this is not UTF-8 \(byte 0xff\); save"),
            (b"a\n!\n", "line 2: '!' is no"),
        ],
    )
    def test_what_is_no_list_of_patterns(self, code: Path, content: bytes, message: str) -> None:
        (code / ".hopsliteignore").write_bytes(content)
        with pytest.raises(InvalidArguments, match=message):
            packed(str(code))

    def test_the_same_files_make_the_same_archive(self, code: Path) -> None:
        (code / "a").write_text("1")
        first = packed(str(code))
        os.utime(code / "a", (0, 0))
        assert packed(str(code)) == first

    def test_too_much(self, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli._code, "LARGEST", 10)
        (code / "large.bin").write_bytes(b"0" * 11)
        with pytest.raises(InvalidArguments, match=r"11 bytes.*10 bytes may travel.*large.bin \(11 bytes\)"):
            packed(str(code))


def lines(job: dict[str, Any]) -> list[list[str]]:
    """The command line of each combination, without this Python."""
    command = _commanded(job, code=b"")
    values = [value if isinstance(value, list) else [value] for value in job["params"].values()]
    combinations = [dict(zip(job["params"], each, strict=True)) for each in itertools.product(*values)]
    return [[word for word in command._line(each) if word != sys.executable] for each in combinations]


class TestArguments:
    @pytest.mark.parametrize(
        ("typed", "params"),
        [
            (["--batch-size", "8"], {"batch_size": 8}),
            (["--fast"], {"fast": True}),
            (["--fast", "--version", "1.10"], {"fast": True, "version": 1.1}),
            (["--layers", "64", "32", "--n", "1e3"], {"layers": "64 32", "n": 1000.0}),
            (["--tag", "a", "--lr", "1", "--tag=b", "--tag"], {"tag": "a b true", "lr": 1}),
            (["--lr=.5", "--low", "-0.5", "--lower", "-inf", "-v", "x"], {"lr": ".5", "low": -0.5, "lower": "-inf"}),
            (["--name", '"x"', "--empty", "", "--none=", "--null", "null"],
             {"name": '"x"', "empty": "", "none": "", "null": "null"}),
            (["fit", "-v", "--fast", "--lambda", "3", "--no-cuda"], {"fast": True, "lambda_": 3, "no_cuda": True}),
            (["a b", "--", "--lr", "[1, 2]", "--", "{x}", "--x", "1"], {}),
            (["--x", "1", "--", "{x}"], {"x": 1}),
            (["--out", "{lr}", "--lr", "1"], {"out": "{lr}", "lr": 1}),
        ],
    )  # fmt: skip
    def test_are_what_was_typed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str], params: dict[str, Any]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        job = _job("train", typed, {})
        assert job["params"] == params
        assert lines(job) == [["train", *typed]]

    @pytest.mark.parametrize(
        ("typed", "values", "expected"),
        [
            (["--lr", "[0.1, 1e-3 ,1E3]", "data.csv"], [0.1, 0.001, 1000.0],
             [["--lr", text, "data.csv"] for text in ("0.1", "1e-3", "1E3")]),
            (['--lr=["a b","ü", null , true]'], ["a b", "ü", None, True],
             [[f"--lr={text}"] for text in ("a b", "ü", "null", "true")]),
            (["--lr", "[[64,32], [128]]"], [[64, 32], [128]], [["--lr", text] for text in ("[64,32]", "[128]")]),
            (["--lr", "[1.1, 1.10]"], ["1.1", "1.10"], [["--lr", "1.1"], ["--lr", "1.10"]]),
            (["--lr", "[1, 1.0]"], [1, 1.0], [["--lr", "1"], ["--lr", "1.0"]]),
            (["--lr", "[1e0, 2]", "at-{lr}"], [1.0, 2], [["at-1e0"], ["at-2"]]),
        ],
    )  # fmt: skip
    def test_of_a_list_are_its_texts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str], values: list[Any],
        expected: list[list[str]],
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        job = _job("train", typed, {})
        assert job["params"] == {"lr": values}
        assert lines(job) == [["train", *each] for each in expected]

    def test_of_a_job_file_are_its_texts(self, tmp_path: Path) -> None:
        (tmp_path / "job.yml").write_text(
            "command: python train.py --at={version}\nparams:\n  batch-size: &b [8, 1_6]\n  version: 1.10\n"
            "  n: 1.0e+3\n  text: '1.10'\n  deep: yes\n  more: *b\n  <<: {lambda: 1.50}"
        )
        job = _job(str(tmp_path / "job.yml"), ["--n", "1e4", "--", "x"], {})
        assert job["params"] == {
            "batch_size": [8, 16], "version": 1.1, "n": 10000.0, "text": "1.10", "deep": True, "more": [8, 16],
            "lambda_": 1.5,
        }  # fmt: skip
        assert lines(job)[1] == [
            "train.py", "--at=1.10", "--lambda", "1.5", "--batch-size", "8", "--text", "1.10", "--deep", "true",
            "--more", "1_6", "--n", "1e4", "--", "x",
        ]  # fmt: skip

    def test_a_program_is_found_in_the_folder_of_its_code(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "go.sh").write_text("")
        for given, called in (({}, "./go.sh"), ({"code": "."}, "deep/go.sh")):
            job = _job("deep/go.sh", [], given)
            assert job["command"] == called
            assert (Path(job["code"]) / called).samefile("deep/go.sh")

    def test_another_python_is_this_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        command = _commanded(_job("python", ["-m", "train", "--lr", "1"], {}), code=b"")
        assert command._line({"lr": 1}) == [sys.executable, "-m", "train", "--lr", "1"]

    def test_reach_the_program_and_also_when_it_is_resumed(self, code: Path, project: str, tmp_path: Path) -> None:
        marker = tmp_path / "marker"
        (code / "train.py").write_text(f"{TELLS}sys.exit('2' in sys.argv and not os.path.exists({str(marker)!r}))")
        typed = ["fit", "--batch-size", "8", "--fast", "--layers", "64", "32", "--version", "1.10", "--lr"]
        job = _job(str(code / "train.py"), [*typed, "[1e-3, 2]", "--", "{lr}"], {})
        lists = {"batch_size": [8, 8], "fast": [True] * 2, "layers": ["64 32"] * 2, "version": [1.1] * 2}
        run = experiment.launch(_commanded(job, packed(str(code))), {**lists, "lr": [0.001, 2]}, name="job", **OPTIONS)
        assert job["params"] == {**{name: each[0] for name, each in lists.items()}, "lr": [0.001, 2]}
        assert [str(trial.state) for trial in run.trials] == ["FINISHED", "FAILED"]
        marker.touch()
        run = experiment.resume(run.run_id, retry_failed=True, **OPTIONS)
        for trial, lr in zip(run.trials, ("1e-3", "2"), strict=True):
            found = json.loads(Path(trial.logdir, "output", "told.json").read_text())
            assert found["argv"] == [*typed, lr, "--", "{lr}"]
            names = ("BATCH_SIZE", "FAST", "LAYERS", "VERSION", "LR")
            assert [found["env"][f"HOPSLITE_PARAM_{name}"] for name in names] == ["8", "true", "64 32", "1.10", lr]


class TestJobFiles:
    def test_all_that_it_may_say(self, tmp_path: Path) -> None:
        job = {
            "command": "python train.py", "name": "a", "message": "b", "params": {"lr": [0.1, 1], "epochs": 5},
            "env": {"A": 1}, "inputs": {"train": "x"}, "code": "src", "gpu": 0, "metric": "loss", "direction": "min",
            "parallelism": 2, "timeout": 1.5, "trial_timeout": 3,
        }  # fmt: skip
        (tmp_path / "job.yml").write_text(json.dumps(job))
        assert read_job(str(tmp_path / "job.yml")) == job

    @pytest.mark.parametrize(
        ("text", "problems"),
        [
            ("command: x\nparam: {a: 1}", ["line 2: there is no key 'param'; did you mean 'params'?"]),
            ("command: x\nfoo: 1", ["line 2: there is no key 'foo'; keys: command"]),
            ("params: {}\n", ["command is missing"]),
            (
                "command: x\ngpu: many\nparams:\n  lr: []",
                ["line 2: gpu is 'many'; give a whole number", "line 4: params"],
            ),
            ("command: x\ncommand: y", ["line 2: command is there twice"]),
            (
                "command: x\ntimeout: -1\ndirection: up",
                ["line 2: timeout", "line 3: direction is 'up'; give max or min"],
            ),
            ("command: x\nparams: {1 x: 2}", ["line 2: params"]),
            ("command: x\nparams: {a-b: 2, a_b: 3}", ["line 2: params"]),
            ("\ncommand: say 'hello", ["line 2: command is", "has no closing quotation; write a quote"]),
            ("command: say \\", ["line 1: command is", "has no escaped character"]),
            ("command: \"''\"", ["line 1: command begins with no program"]),
            ("command: [x", ["line 1: this is not YAML"]),
            ("- a\n- b", ["this is no such list of keys"]),
            ("", ["this is no such list of keys"]),
            ("command: !!python/object:os.system x", ["this is not YAML"]),
        ],
    )
    def test_what_it_may_not(self, tmp_path: Path, text: str, problems: list[str]) -> None:
        path = tmp_path / "job.yml"
        path.write_text(text)
        with pytest.raises(InvalidArguments) as refused:
            read_job(str(path))
        assert str(path) in str(refused.value)
        for problem in problems:
            assert problem in str(refused.value)

    @pytest.mark.parametrize("option", [[], ["--env"]])
    def test_are_in_utf_8(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], project: str, option: list[str]
    ) -> None:
        path = tmp_path / "a.yml"
        path.write_bytes("# größe\nname: größe".encode("latin-1"))
        assert cli.main(["run", *option, str(path), *(["ls"] if option else [])]) == 1
        assert capfd.readouterr().err.strip() == (
            f"error: {path}, line 1: this is not UTF-8 (byte 0xf6); save the file as UTF-8"
        )

    def test_the_command_line_goes_over_it(self, tmp_path: Path) -> None:
        (tmp_path / "src").mkdir()
        (tmp_path / "job.yml").write_text(
            "command: python train.py\nparams: {lr: 0.1, epochs: 5}\ncode: src\nenv: {A: 1, B: 2}\nmetric: loss"
        )
        (tmp_path / "more.env").write_text("\ufeffD=4\n# mine\nexport B='3'\n\nC = x=y\n")
        given = {"metric": "f1", "environment": (str(tmp_path / "more.env"),), "inputs": ("d=s3://b/d",)}
        job = _job(str(tmp_path / "job.yml"), ["fit", "--lr", "[1, 2]", "--batch-size=8", "--fast"], given)
        assert job["command"] == "python train.py fit"
        assert job["params"] == {"lr": [1, 2], "epochs": 5, "batch_size": 8, "fast": True}
        assert lines(job) == [
            ["train.py", "fit", "--epochs", "5", "--lr", lr, "--batch-size=8", "--fast"] for lr in ("1", "2")
        ]
        assert job["env"] == {"A": 1, "B": "3", "C": "x=y", "D": "4"}
        assert (job["metric"], job["inputs"], job["name"]) == ("f1", {"d": "s3://b/d"}, "job")
        assert job["code"] == str(tmp_path / "src")


class TestReproduce:
    @pytest.fixture
    def here(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], list[list[str]]]]:
        """Has `hopslite run` run in this process; what it was to do, and the lines of its programs."""
        done = []

        def launch(_: Any, job: dict[str, Any], command: Command, params: dict[str, Any], master: Any) -> int:
            combinations = list(itertools.product(*params.values()))
            lists = {name: [each[index] for each in combinations] for index, name in enumerate(params)}
            run = experiment.launch(command, lists or None, name=job["name"], **OPTIONS)
            options = {key: job.get(key) for key in OF_A_RUN}
            argv = [json.loads(Path(trial.logdir, "output", "told.json").read_text())["argv"] for trial in run.trials]
            done.append(({**options, "master": master}, argv))
            return 0

        monkeypatch.setattr(cli._run, "_launch", launch)
        return done

    def reproduced(self, capfd: pytest.CaptureFixture[str], folder: Path, name: str) -> tuple[list[str], str]:
        """The words of the command that `hopslite reproduce` tells, and all that it says."""
        capfd.readouterr()
        assert cli.main(["reproduce", name, "--no-install", "-o", str(folder)]) == 0
        said = capfd.readouterr().out
        return shlex.split(said.splitlines()[-2]), said

    def test_a_command_line(
        self, here: Any, code: Path, project: str, capfd: pytest.CaptureFixture[str], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        (code / "deep").mkdir()
        (code / "deep" / "train.py").write_text(TELLS + """print('{"metric": "loss", "value": 1}')""")
        (code / "my.env").write_text("TOKEN=s3cret-token")
        (code / "requirements.txt").write_text("mine\n")
        monkeypatch.chdir(code)
        options = [
            "--name", "a b", "--message", "it's", "--metric", "loss", "--direction", "min", "--gpu", "0",
            "--parallelism", "2", "--timeout", "3600.0", "--trial-timeout", "60.0", "--master", "local[2]",
            "--input", "data=s3://key:s3cret-token@bucket/x",
        ]  # fmt: skip
        words = ["deep/train.py", "fit", "--lr", "[1e-3, 1.10]", "--fast", "--n-n", "64", "32", "--", "{lr}"]
        assert cli.main(["run", *options, "--env", "my.env", "--code", ".", *words]) == 0
        again, said = self.reproduced(capfd, tmp_path / "made", "a b")
        options[-1] = "data=s3://bucket/x"
        assert again == ["hopslite", "run", *options, "--env", str(code / "my.env"), "--code", ".", *words]
        assert f"--env takes those that are in {code / 'my.env'} now" in said
        assert "the packages of the run are in requirements.hopslite.txt; requirements.txt is the program's own" in said
        assert "pip install -r requirements.hopslite.txt" in said
        assert (tmp_path / "made" / "requirements.txt").read_text() == "mine\n"
        assert "pytest==" in (tmp_path / "made" / "requirements.hopslite.txt").read_text()
        monkeypatch.chdir(tmp_path / "made")
        assert cli.main(again[1:]) == 0
        (first, lines), (second, once_more) = here
        assert first.pop("inputs") == {"data": "s3://key:s3cret-token@bucket/x"}
        assert second.pop("inputs") == {"data": "s3://bucket/x"}
        assert first == second
        assert lines == once_more == [["fit", "--lr", lr, *words[4:]] for lr in ("1e-3", "1.10")]
        for path in Path(project).rglob("*"):
            assert not path.is_file() or path.name == "plan.pkl" or b"s3cret-token" not in path.read_bytes(), path
        (code / "my.env").unlink()
        assert f"{code / 'my.env'} is no more" in self.reproduced(capfd, tmp_path / "third", "a b")[1]

    @pytest.mark.parametrize(
        ("name", "changes", "kept"),
        [("job.yml", "", True), ("job.yml", "env: {A: s3cret-token}", False), ("deep/job.yml", "code: ..", True),
         ("deep/job.yml", "code: ..\nenv: {A: s3cret-token}", False), ("../job.yml", "code: code", False)],
    )  # fmt: skip
    def test_a_job_file(
        self, here: Any, code: Path, project: str, capfd: pytest.CaptureFixture[str], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, name: str, changes: str, kept: bool,
    ) -> None:  # fmt: skip
        (code / "deep").mkdir()
        (code / "train.py").write_text(TELLS)
        inputs = "" if kept else "inputs: {data: 's3://key:s3cret-token@bucket/x'}\n"
        (code / name).write_text(
            "command: python train.py --at={lr}\nmessage: größe\nname: job\n"
            "params: {lr: [1.10, 1.0e-3], batch-size: 8}\n"
            f"{inputs}{changes} # s3cret-token"
        )
        monkeypatch.chdir(tmp_path)
        assert cli.main(["run", "--gpu", "0", str(code / name), "fit", "--epochs", "5"]) == 0
        again, said = self.reproduced(capfd, tmp_path / "made", "job")
        made = name.removeprefix("../")
        place = ["--code", "."] if "code" in changes else []
        assert again == ["hopslite", "run", "--gpu", "0", *place, made, "fit", "--epochs", "5"]
        assert ("s3cret-token" in (tmp_path / "made" / made).read_text()) == kept
        assert ("the job file's env are in no record" in said) == ("env" in changes)
        assert "note" not in said or "env" in changes
        monkeypatch.chdir(tmp_path / "made")
        assert cli.main(again[1:]) == 0
        assert [each[0].pop("inputs") for each in here][1] == ({} if kept else {"data": "s3://bucket/x"})
        assert here[0] == here[1]
        assert here[0][1] == [["--at=" + lr, "fit", "--batch-size", "8", "--epochs", "5"] for lr in ("1.10", "1.0e-3")]

    def test_no_file_of_the_users_is_written_over(self, tmp_path: Path) -> None:
        from hopslite.cli._reproduce import _write_packages

        found = [_write_packages(str(tmp_path), [package]) for package in ("a", "b", "b", "c", "a")]
        pins = [f"requirements{each}.txt" for each in ("", ".hopslite", ".hopslite", ".hopslite-2", "")]
        assert found == pins


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["nowhere.py"], 1, "there is no program nowhere.py"),
            (["job.yml"], 1, "there is no job file job.yml"),
            (["--code", "nowhere", "ls"], 1, "there is no folder"),
            (["--gpu", "x", "ls"], 2, "x"),
            (["--input", "x", "ls"], 2, "give NAME=URL"),
            (["ls", "--lr", "[]"], 2, "an empty list"),
            (["ls", "--1 x", "3"], 2, "is no name of a parameter"),
            (["--env", "nowhere.env", "ls"], 1, "nowhere.env"),
            (["--metrc", "loss", "ls"], 2, "'--metric'"),
            (["--metric", "loss", "ls"], 2, "there are none; add one, such as --lr"),
            (["ls", "--lr", "[1,2"], 2, "[1,2 is no list in JSON"),
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
            command, cwd=code, env=environment, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == int(failing), done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        assert "[Stage" not in done.stderr + done.stdout, "Spark's progress bar is there, too"
        found = experiment.load("train")
        assert (found.best_params, found.best_metric) == ({"lr": 0.25, "epochs": 3}, 0.5)
        assert (found.description, found.tags) == ("a try", {"command": "train.py"})
        assert len(found.trials) == 3
