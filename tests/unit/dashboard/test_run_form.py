"""The form of a new run: what is entered becomes the words of a command."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from hopslite import templates
from hopslite.dashboard.run_form import Entry, Form, job_files, option_words, parameter_words, read_form
from hopslite.errors import InvalidArguments
from hopslite.space.notation import Axis
from hopslite.submission.job import merged_job

NO_AXIS = "is no axis, such as loguniform(1e-4, 1e-1) or choice(adam, sgd)"
JOB = """
command: python train.py
metric: loss
params:
  lr: {default: 0.1, type: float, min: 0, help: step size}
  units: {default: [8, 16], type: int, min: 1}
  opt: {default: adam, choices: [adam, sgd]}
  nesterov: {default: false, type: flag}
  drop: {default: {uniform: [0, 0.5]}, type: float}
  plain: 3
  path: data.csv
"""


@pytest.fixture
def form(tmp_path: Path) -> Form:
    (tmp_path / "job.yml").write_text(JOB)
    (tmp_path / "train.py").write_text("")
    return read_form(str(tmp_path / "job.yml"))


def test_fields_have_types_modes_and_defaults(form: Form) -> None:
    fields = {field.name: field for field in form.fields}
    assert {name: field.first_mode for name, field in fields.items()} == {
        "lr": "value",
        "units": "list",
        "opt": "value",
        "nesterov": "value",
        "drop": "axis",
        "plain": "value",
        "path": "value",
    }
    assert fields["lr"].modes == ("value", "list", "range", "axis")
    assert fields["opt"].modes == ("value", "list", "axis")
    assert fields["plain"].is_whole
    assert not fields["path"].is_number


def test_what_is_left_as_it_is_has_no_words(form: Form) -> None:
    entries = {
        "lr": Entry("value", "0.1"),
        "units": Entry("list", "8, 16"),
        "opt": Entry("value", "adam"),
        "nesterov": Entry("value", False),
        "drop": Entry("axis", ""),
        "path": Entry("value", "data.csv"),
    }
    assert parameter_words(form, entries) == []


@pytest.mark.parametrize(
    ("name", "entry", "text"),
    [
        ("lr", Entry("value", "0.01"), "0.01"),
        ("lr", Entry("list", "0.1, 1e-3"), "[0.1, 0.001]"),
        ("lr", Entry("range", low="1e-4", high="1e-1", log=True), "loguniform(1e-4, 1e-1)"),
        ("lr", Entry("range", low="0", high="1"), "uniform(0, 1)"),
        ("units", Entry("range", low="8", high="512", log=True), "int(8, 512, log)"),
        ("units", Entry("axis", "int(1, 4)"), "int(1, 4)"),
        ("opt", Entry("list", ["adam", "sgd"]), '["adam", "sgd"]'),
        ("nesterov", Entry("value", True), "true"),
        ("path", Entry("value", "a b.csv"), "a b.csv"),
        ("path", Entry("list", "a.csv,b.csv"), '["a.csv", "b.csv"]'),
    ],
)
def test_entries_are_words_that_the_command_takes(form: Form, name: str, entry: Entry, text: str) -> None:
    words = parameter_words(form, {name: entry})
    assert words == [f"--{name}", text]
    value = merged_job(form.path, words, {})["params"][name]
    assert isinstance(value, Axis) == (entry.mode in ("range", "axis"))
    assert isinstance(value, list) == (entry.mode == "list")


@pytest.mark.parametrize(
    ("name", "entry", "problem"),
    [
        ("lr", Entry("value", "fast"), "lr: is 'fast'; it is a number from 0"),
        ("lr", Entry("value", "-1"), "lr: is -1; it is a number from 0"),
        ("lr", Entry("range", low="1", high=""), "lr: a range has two numbers, the lowest and the highest"),
        ("lr", Entry("range", low="1", high="0.1"), "lr: the lowest number of a range is below the highest"),
        ("units", Entry("range", low="0.5", high="2"), "units: it is a whole number, and so are the ends of a range"),
        ("units", Entry("list", " , "), "units: a list has at least one value; commas are between them"),
        ("opt", Entry("value", "adm"), "opt: is 'adm'; did you mean 'adam'?"),
        ("plain", Entry("value", "many"), "plain: the job file has numbers for it; give numbers"),
        (
            "drop",
            Entry("axis", "nothing"),
            f"drop: nothing {NO_AXIS}",
        ),
    ],
)
def test_problems_are_told_before_anything_starts(form: Form, name: str, entry: Entry, problem: str) -> None:
    with pytest.raises(InvalidArguments) as refused:
        parameter_words(form, {name: entry, "lr": entry if name == "lr" else Entry("value", "0.5")})
    assert list(refused.value.problems) == [problem]


def test_options_are_words(form: Form) -> None:
    values = {
        "name": "my run",
        "num_trials": "20",
        "algorithm": "tpe",
        "tags": "a=1\n\nb=2\n",
        "queue": True,
        "local_logdir": False,
        "stopper": None,
        "seed": "",
    }
    words = "--name 'my run' --algorithm tpe --num-trials 20 --queue --tag a=1 --tag b=2 --no-local-logdir"
    assert option_words(form, values) == shlex.split(words)


@pytest.mark.parametrize("name", list(templates.descriptions()))
def test_every_template_has_a_form(name: str) -> None:
    form = read_form(os.path.join(templates.HERE, name, "job.yml"))
    assert form.fields
    assert parameter_words(form, {field.name: Entry("value", None) for field in form.fields}) == []


def test_job_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("job.yml", "a/b/job.yaml", "hopslite_project/job.yml", ".hidden/job.yml", "a/b/c/d/job.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(JOB)
    (tmp_path / "other.yml").write_text("services: {}\n")
    (tmp_path / "link").symlink_to("/")
    assert job_files(str(tmp_path), str(tmp_path / "hopslite_project")) == ["a/b/job.yaml", "job.yml"]
