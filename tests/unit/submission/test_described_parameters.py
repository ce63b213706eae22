"""Descriptions of the parameters of a job file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopslite.cli import main
from hopslite.errors import InvalidArguments
from hopslite.submission.job import merged_job
from hopslite.submission.job_file import parameter_texts, read_job

JOB = """\
command: python train.py
params:
  lr: {default: [1e-3, 0.10], type: float, min: 0, max: 1, help: step size}
  kernel: {default: rbf, choices: [rbf, poly], help: similarity}
  layers: {default: {int: [1, 8]}, min: 1}
  fast: {default: false}
  version: {default: 1.10, type: str}
  plain: 3
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yml").write_text(JOB)
    return "job.yml"


def test_the_default_is_the_value_as_it_is_written(job: str) -> None:
    values = read_job(job)
    assert values["params"] == {
        "lr": [0.001, 0.1],
        "kernel": "rbf",
        "layers": {"int": [1, 8]},
        "fast": False,
        "version": 1.1,
        "plain": 3,
    }
    kinds = {name: description.type for name, description in values["descriptions"].items()}
    assert kinds == {"lr": "float", "kernel": "str", "layers": "float", "fast": "bool", "version": "str"}
    assert parameter_texts(job)["lr"] == ["1e-3", "0.10"]
    assert parameter_texts(job)["version"] == ["1.10"]
    merged = merged_job(job, ["--lr", "0.5", "--kernel", "poly"], {})
    assert (merged["params"]["lr"], merged["params"]["kernel"]) == (0.5, "poly")
    assert "descriptions" not in merged


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--lr", "2"], "--lr is 2; it is a number from 0 up to 1"),
        (["--lr", "fast"], "--lr is 'fast'; it is a number from 0 up to 1"),
        (["--lr", "[0.1, -1]"], "--lr is -1;"),
        (["--lr", "loguniform(0.1, 3)"], "--lr is 3"),
        (["--kernel", "pol"], "--kernel is 'pol'; did you mean 'poly'?"),
        (["--kernel", "choice(rbf, linear)"], "--kernel is 'linear'; it is rbf or poly"),
        (["--layers", "0"], "--layers is 0; it is a number from 1"),
        (["--fast", "maybe"], "--fast is 'maybe'; it is true or false"),
        (["--kernl", "rbf"], "there is no parameter 'kernl'; did you mean 'kernel'?"),
    ],
)
def test_values_of_the_command_line_are_checked(words: list[str], problem: str, job: str) -> None:
    with pytest.raises(InvalidArguments) as refused:
        merged_job(job, words, {})
    assert problem in str(refused.value)


@pytest.mark.parametrize("words", [["--lr", "1"], ["--kernel", "[rbf, poly]"], ["--other", "5"], ["--plain", "x"]])
def test_other_values_are_allowed(words: list[str], job: str) -> None:
    if words[1] == "[rbf, poly]":
        words = ["--kernel", '["rbf", "poly"]']
    merged_job(job, words, {})


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("{default: 3, typ: int}", "line 3: a: there is no 'typ'; did you mean 'type'?"),
        ("{help: x}", "line 3: a: it has no default; a description has default, type, help, choices, min or max"),
        ("{default: 3, type: flot}", "type is 'flot'; did you mean 'float'?"),
        ("{default: 3, type: [int]}", "type is ['int']"),
        ("{default: 3, help: [x]}", "help is ['x']; it is a text"),
        ("{default: 3, choices: 3}", "choices is 3; it is a list of values"),
        ("{default: 3, min: low}", "min is 'low'; it is a number"),
        ("{default: x, type: int}", "default is 'x'; it is a whole number"),
        ("{default: [1, 5], max: 4}", "default is 5; it is a whole number up to 4"),
        ("{default: {loguniform: [1, 2]}, max: 1.5}", "default is 2.0; it is a number up to 1.5"),
        ("{default: {logunifor: [1, 2]}}", "there is no axis logunifor; did you mean loguniform"),
        ("{default: [[1]]}", "default is [[1]]; give a value, a list of values, or an axis"),
    ],
)
def test_mistakes_in_a_description_are_named_with_their_line(item: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text(f"command: python train.py\nparams:\n  a: {item}\n")
    with pytest.raises(InvalidArguments) as refused:
        read_job(str(tmp_path / "job.yml"))
    assert problem in str(refused.value)


def test_the_help_of_a_job_shows_its_parameters(job: str, capsys: pytest.CaptureFixture[Any]) -> None:
    assert main(["run", job, "--help"]) == 0
    said = capsys.readouterr().out
    assert "--lr       step size; a number from 0 up to 1; default 0.001 and 0.1" in said
    assert "--kernel   similarity; rbf or poly; default rbf" in said
    assert "--layers   a number from 1; default int(1, 8)" in said
    assert "--plain    default 3" in said
