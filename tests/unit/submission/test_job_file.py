"""Job files: what their values are, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopslite.errors import InvalidArguments
from hopslite.submission.job import command_of, merged_job
from hopslite.submission.job_file import parameter_texts, read_job


def write(folder: Path, text: str) -> str:
    path = folder / "job.yml"
    path.write_text(f"command: python train.py\n{text}", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("params: {lr: 1, x: 2, lr: 3}\n", 2, "lr is there twice"),
        ("env:\n  A: 1\n  A: 2\n", 4, "A is there twice"),
        ("command: b\n", 2, "command is there twice"),
        ('params: {x: "a\\0b"}\n', 2, "a text has a NUL character (\\0), which programs cannot be given"),
        ("env: {'A=B': 1}\n", 2, "give names, without =, with texts or numbers"),
        ("env: {'': 1}\n", 2, "give names, without =, with texts or numbers"),
        ("params: {<<: {x: {type: int}}}\n", 2, "x: it has no default"),
    ],
)
def test_mistakes_have_their_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(InvalidArguments) as error:
        read_job(write(tmp_path, text))
    [problem] = error.value.problems
    assert problem.startswith(f"{tmp_path}/job.yml, line {line}: ") and message in problem


@pytest.mark.parametrize("text", ["params:\n", "params: {}\n", "env:\ninputs:\ntags:\n"])
def test_a_key_without_a_value_is_as_if_it_was_left_out(tmp_path: Path, text: str) -> None:
    assert merged_job(write(tmp_path, text), [], {})["params"] == {}


def test_merge_keys_bring_parameters_which_others_replace(tmp_path: Path) -> None:
    path = write(tmp_path, "params:\n  <<: {lr: {default: 1}, x: 1}\n  x: 2\n")
    job = merged_job(path, [], {})
    assert job["params"] == {"lr": 1, "x": 2}
    assert parameter_texts(path) == {"lr": ["1"], "x": ["2"]}


def test_numbers_are_those_of_the_command_line_and_keep_their_spelling(tmp_path: Path) -> None:
    path = write(
        tmp_path, "params: {a: 1e-3, b: '1e-3', c: [1e-4, 2], d: 1E5, v: [3.1, 3.10], n: 08}\ntags: {commit: 1e5}\n"
    )
    job = merged_job(path, ["--e", "1e-3"], {})
    assert job["params"] == {
        "a": 0.001,
        "b": "1e-3",
        "c": [1e-4, 2],
        "d": 1e5,
        "v": ["3.1", "3.10"],
        "n": "08",
        "e": 0.001,
    }
    assert job["tags"] == {"commit": "1e5"}
    command = command_of(job, b"")
    params = {name: value[-1] if isinstance(value, list) else value for name, value in job["params"].items()}
    line = command._line(params, {})[1:]
    assert " ".join(line) == "train.py --a 1e-3 --b 1e-3 --c 2 --d 1E5 --v 3.10 --n 08 --e 1e-3"


@pytest.mark.parametrize("axis", ["{choice: [3.1, 3.10]}", "{when: [a, 1, {choice: [3.1, 3.10]}]}"])
def test_equal_numbers_of_a_choice_that_are_different_texts(tmp_path: Path, axis: str) -> None:
    job = merged_job(write(tmp_path, f"params: {{a: [1, 2], v: {axis}}}\n"), [], {})
    dimension = job["params"]["v"].dimension
    assert getattr(dimension, "dimension", dimension).values == ("3.1", "3.10")
    assert job["texts"]["v"] == {'"3.1"': "3.1", '"3.10"': "3.10"}


def test_home_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "code").mkdir(parents=True)
    job = merged_job(write(tmp_path, "project: ~/runs\ncode: ~/code\n"), [], {})
    assert (job["project"], job["code"]) == (f"{tmp_path}/home/runs", f"{tmp_path}/home/code")
