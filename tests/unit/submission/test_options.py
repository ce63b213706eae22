"""The table of options: it has all that searches take, and the same checks on the command line and in job files."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import click
import pytest

from hopslite import cli, experiment
from hopslite.cli.run import run_command
from hopslite.errors import InvalidArguments
from hopslite.submission.job_file import KEYS, read_job
from hopslite.submission.options import OPTIONS, PYTHON_ONLY, SECTIONS, Option

OF_FUNCTIONS = {"train_fn", "space", "study", "algorithm_options", *PYTHON_ONLY}  # the last with the algorithm's name


def test_everything_that_a_search_takes_has_an_option_and_a_key() -> None:
    wanted = set(inspect.signature(experiment.search).parameters) - OF_FUNCTIONS
    options = {name for param in run_command.params for name in param.opts}
    assert wanted <= {option.keyword for option in OPTIONS.values()} | {"project"}
    assert "--project" in options and "project" in KEYS
    for key, option in OPTIONS.items():
        assert (key in KEYS) == option.in_file and set(option.names) <= options, key
        assert option.section in SECTIONS and option.help


def test_a_new_keyword_becomes_an_option_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from hopslite.submission import options

    monkeypatch.setattr(options, "ROWS", tuple(row for row in options.ROWS if row.key != "max_failures"))
    table = options._all.__wrapped__()
    assert table["max_failures"].kind is int and "how many trials may fail" in table["max_failures"].help


def test_help_has_every_option_in_its_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--help"]) == 0
    text = capsys.readouterr().out
    for section in SECTIONS:
        assert f"\n{section}:\n" in text
    for option in OPTIONS.values():
        assert option.names[0] in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_trials", 0, "give a whole number of at least 1"),
        ("num_trials", "many", "whole number"),
        ("seed", -1, "give a whole number of at least 0"),
        ("timeout", -1, "give a number of seconds above 0"),
        ("stop_grace", 0, "give a number of seconds above 0"),
        ("max_failures", 1.5, "whole number"),
        ("report_as", "worst", "best"),
        ("direction", "up", "max"),
        ("gpu", 0.3, "n trials share a GPU with 1/n each"),
        ("isolation", "thread", "process"),
        ("pool", "sprak", "did you mean 'spark'|Did you mean 'spark'"),
    ],
)
def test_a_wrong_value_is_refused_with_the_same_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: object, message: str
) -> None:
    (tmp_path / "job.yml").write_text(f"command: ls\n{key}: {json.dumps(value)}")
    with pytest.raises(InvalidArguments, match=f"line 2: {key} is .*({message})"):
        read_job(str(tmp_path / "job.yml"))
    assert cli.main(["run", OPTIONS[key].names[0], str(value), "ls"]) == 2
    said = capsys.readouterr().err
    assert OPTIONS[key].names[0] in said
    assert isinstance(OPTIONS[key].kind, click.ParamType | type)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("description: x", "there is no key 'description'; it is called message here"),
        ("gpus_per_trial: 1", "it is called gpu here"),
        ("optimization_key: loss", "it is called metric here"),
        ("num_trails: 3", "did you mean 'num_trials'"),
        ("tags: [a]", "tags is .*; give names with texts or numbers"),
        ("warm_start: {a: 1}", "give a text, or a list of them"),
        ("initial_params: [1]", "give mappings from parameters to values"),
        ("stopper: {median: 3}", "give the name of a stopper, or a mapping from the name to its options"),
    ],
)
def test_keys_that_are_wrong(tmp_path: Path, text: str, hint: str) -> None:
    (tmp_path / "job.yml").write_text(f"command: ls\n{text}")
    with pytest.raises(InvalidArguments, match=f"line 2: .*{hint}"):
        read_job(str(tmp_path / "job.yml"))


def test_a_key_without_a_value_is_as_if_it_were_left_out(tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text("command: ls\nmessage:\ntimeout: null")
    assert read_job(str(tmp_path / "job.yml")) == {"command": "ls"}


def test_options_are_values() -> None:
    assert Option("a", "b", "c") == Option("a", "b", "c")
