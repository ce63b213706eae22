"""Jobs: arguments as they were typed, and job files."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hopslite import cli, experiment
from hopslite.errors import InvalidArguments
from hopslite.submission.code_archive import pack
from hopslite.submission.job import command_of, merged_job
from hopslite.submission.job_file import read_job
from tests.helpers.commands import OPTIONS, RECORDS_CALL


def lines(job: dict[str, Any]) -> list[list[str]]:
    """The command line of each combination, without this Python."""
    command = command_of(job, code=b"")
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
        job = merged_job("train", typed, {})
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
        job = merged_job("train", typed, {})
        assert job["params"] == {"lr": values}
        assert lines(job) == [["train", *each] for each in expected]

    def test_of_a_job_file_are_its_texts(self, tmp_path: Path) -> None:
        (tmp_path / "job.yml").write_text(
            "command: python train.py --at={version}\nparams:\n  batch-size: &b [8, 1_6]\n  version: 1.10\n"
            "  n: 1.0e+3\n  text: '1.10'\n  deep: yes\n  more: *b\n  <<: {lambda: 1.50}"
        )
        job = merged_job(str(tmp_path / "job.yml"), ["--n", "1e4", "--", "x"], {})
        assert job["params"] == {
            "batch_size": [8, 16], "version": 1.1, "n": 10000.0, "text": "1.10", "deep": True, "more": [8, 16],
            "lambda_": 1.5,
        }  # fmt: skip
        assert lines(job)[1] == [
            "train.py", "--at=1.10", "--lambda", "1.50", "--batch-size", "8", "--text", "1.10", "--deep", "true",
            "--more", "1_6", "--n", "1e4", "--", "x",
        ]  # fmt: skip

    def test_a_program_is_found_in_the_folder_of_its_code(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "go.sh").write_text("")
        for given, called in (({}, "./go.sh"), ({"code": "."}, "deep/go.sh")):
            job = merged_job("deep/go.sh", [], given)
            assert job["command"] == called
            assert (Path(job["code"]) / called).samefile("deep/go.sh")

    def test_another_python_is_this_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        command = command_of(merged_job("python", ["-m", "train", "--lr", "1"], {}), code=b"")
        assert command._line({"lr": 1}) == [sys.executable, "-m", "train", "--lr", "1"]

    def test_reach_the_program_and_also_when_it_is_resumed(self, code: Path, project: str, tmp_path: Path) -> None:
        marker = tmp_path / "marker"
        (code / "train.py").write_text(
            f"{RECORDS_CALL}sys.exit('2' in sys.argv and not os.path.exists({str(marker)!r}))"
        )
        typed = ["fit", "--batch-size", "8", "--fast", "--layers", "64", "32", "--version", "1.10", "--lr"]
        job = merged_job(str(code / "train.py"), [*typed, "[1e-3, 2]", "--", "{lr}"], {})
        lists = {"batch_size": [8, 8], "fast": [True] * 2, "layers": ["64 32"] * 2, "version": [1.1] * 2}
        run = experiment.launch(command_of(job, pack(str(code))), {**lists, "lr": [0.001, 2]}, name="job", **OPTIONS)
        assert job["params"] == {**{name: each[0] for name, each in lists.items()}, "lr": [0.001, 2]}
        assert [str(trial.state) for trial in run.trials] == ["FINISHED", "FAILED"]
        marker.touch()
        run = experiment.resume(run.run_id, retry_failed=True, **OPTIONS)
        for trial, lr in zip(run.trials, ("1e-3", "2"), strict=True):
            found = json.loads(Path(trial.logdir, "output", "call.json").read_text())
            assert found["argv"] == [*typed, lr, "--", "{lr}"]
            names = ("BATCH_SIZE", "FAST", "LAYERS", "VERSION", "LR")
            assert [found["env"][f"HOPSLITE_PARAM_{name}"] for name in names] == ["8", "true", "64 32", "1.10", lr]


class TestJobFiles:
    def test_all_that_it_may_say(self, tmp_path: Path) -> None:
        job = {
            "command": "python train.py", "name": "a", "message": "b", "params": {"lr": [0.1, 1], "epochs": 5},
            "env": {"A": 1}, "inputs": {"train": "x"}, "code": "src", "gpu": 0, "metric": "loss", "direction": "min",
            "on_failure": "restart", "max_restarts": 2,
            "parallelism": 2, "timeout": 1.5, "trial_timeout": 3, "target_metric": 0.1, "no_improvement": 3,
        }  # fmt: skip
        (tmp_path / "job.yml").write_text(json.dumps(job))
        assert read_job(str(tmp_path / "job.yml")) == {**job, "descriptions": {}}

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
            ("command: x\ngpu: 0.3", ["line 2: gpu is 0.3; n trials share a GPU with 1/n each"]),
            ("command: x\non_failure: retry\nmax_restarts: -1", ["line 2: on_failure", "line 3: max_restarts"]),
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
            ("- a\n- b", ["a job file is a mapping with the keys"]),
            ("", ["a job file is a mapping with the keys"]),
            ("command: !!python/object:os.system x", ["this is not YAML"]),
            (f"command: x\nparams: {{a: {'[' * 3000}{']' * 3000}}}", ["are nested too deeply to be read; a job has"]),
            (f"command: x\nparams: {{a: {'[' * 3000}", ["are nested too deeply"]),
            (f"command: x\nparams: {'{a: ' * 3000}1{'}' * 3000}", ["are nested too deeply"]),
            (f"command: x\nparams: {{a: {'7' * 5000}}}", ["a value cannot be read", "as text in quotes"]),
            ("command: x\nparams: {day: 2024-02-30}", ["a value cannot be read", "as text in quotes"]),
            (
                "a: &a [x, x]\n"
                + "".join(f"{c}: &{c} [{', '.join(9 * [f'*{b}'])}]\n" for b, c in itertools.pairwise("abcdefghijkl")),
                ["there is no key 'a'"],
            ),
            (
                "name: &a [x, x]\n"
                + "".join(
                    f"params: &{c} [{', '.join(9 * [f'*{b}'])}]\n" for b, c in itertools.pairwise("abcdefghijkl")
                ),
                ["line 1: name is ['x', 'x']; give a text"],
            ),
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
        job = merged_job(str(tmp_path / "job.yml"), ["fit", "--lr", "[1, 2]", "--batch-size=8", "--fast"], given)
        assert job["command"] == "python train.py fit"
        assert job["params"] == {"lr": [1, 2], "epochs": 5, "batch_size": 8, "fast": True}
        assert lines(job) == [
            ["train.py", "fit", "--epochs", "5", "--lr", lr, "--batch-size=8", "--fast"] for lr in ("1", "2")
        ]
        assert job["env"] == {"A": 1, "B": "3", "C": "x=y", "D": "4"}
        assert (job["metric"], job["inputs"]["d"].source, job["name"]) == ("f1", "s3://b/d", "job")
        assert job["code"] == str(tmp_path / "src")
