"""Options of hopslite after the program, and switches of a program that get a value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hopslite.cli import main
from hopslite.runs.lookup import find
from hopslite.storage.project import Project
from hopslite.submission.program_options import ProgramOptions

RUN = ["run", "--pool", "inline", "--no-display", "--tracking-uri", "off"]
TELLS = 'import sys; open("argv.txt", "w").write(" ".join(sys.argv[1:]))\n'
ARGPARSE = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--augment", action="store_true")
parser.add_argument("--cache", action=argparse.BooleanOptionalAction)
parser.parse_known_args()
def compare(metric): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def said_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    main([*RUN, *words])
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("hint: --")]


def test_options_of_hopslite_after_the_program(folder: Path, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train.py").write_text(TELLS + ARGPARSE)
    [hint] = said_of(["train.py", "--lr", "0.1", "--metric", "acc", "--env=TOKEN=hunter2"], capsys)
    assert hint == (
        "hint: --metric and --env after train.py are parameters of the program, which does not declare them; "
        "options of hopslite come before the program: hopslite run --metric … train.py"
    )
    assert said_of(["train.py", "--lr", "0.1", "--", "--metric", "acc"], capsys) == []
    (folder / "job.yml").write_text("command: python train.py\nparams: {lr: 0.1, seed: 3}\n")
    assert said_of(["job.yml", "--seed", "4"], capsys) == []
    assert len(said_of(["job.yml", "--timeout", "4"], capsys)) == 1


@pytest.mark.parametrize(
    "source",
    [
        'import argparse; p = argparse.ArgumentParser(); p.add_argument("-m", "--metric")',
        'import os; os.environ["HOPSLITE_PARAM_METRIC"]',
        'import json, os; json.loads(os.environ["HOPSLITE_PARAMS"])["metric"]',
        "import typer\ndef main(metric: str): ...\ntyper.run(main)",
        "import tyro\nclass Options:\n    metric: str\ntyro.cli(Options)",
        'from absl import flags; flags.DEFINE_string("metric", "", "")',
        'import parts, argparse; open("x").write("a")',
    ],
)
def test_programs_that_declare_such_an_option_get_no_hint(source: str) -> None:
    parts = 'def add(parser): parser.add_argument("--metric")' if "parts" in source else ""
    options = ProgramOptions({"train.py": source, "parts.py": parts}, "train.py")
    assert options.declares("--metric")
    assert not options.declares("--timeout") or "HOPSLITE_PARAMS" in source


def test_flags(folder: Path, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train.py").write_text(TELLS)
    job = "command: python train.py\nparams:\n  lr: 0.1\n  to-augment: {default: [true, false], type: flag}\n"
    (folder / "job.yml").write_text(job)
    assert main([*RUN, "--name", "flags", "job.yml"]) == 0
    assert arguments_of(project, "flags") == ["--lr 0.1", "--lr 0.1 --to-augment"]
    record = json.loads(find(Project(project), "flags").read_bytes("command.json"))
    assert "type: flag" in record["job"]
    for words, expected in (
        ([], "--lr 0.1 --to-augment"),
        (["true"], "--lr 0.1 --to-augment"),
        (["false"], "--lr 0.1"),
    ):
        assert main([*RUN, "--name", "typed", "job.yml", "--to-augment", *words]) == 0
        assert arguments_of(project, "typed") == [expected]
    capsys.readouterr()
    assert main([*RUN, "job.yml", "--to-augment", "often"]) == 1
    assert "--to_augment is 'often'; it is true or false" in capsys.readouterr().err
    assert main(["reproduce", "flags", "--no-install", "-o", "again"]) == 0
    assert "type: flag" in next((folder / "again").rglob("*.yml")).read_text()


def arguments_of(project: str, name: str) -> list[str]:
    trials = Path(find(Project(project), name).path("trials"))
    return sorted(path.read_text() for path in trials.glob("*/argv.txt"))


def test_switches_with_a_value(folder: Path, project: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "train.py").write_text(TELLS + ARGPARSE)
    (folder / "job.yml").write_text(
        "command: python train.py\nparams: {augment: true, lr: 0.1, cache: [true, false]}\n"
    )
    hints = said_of(["job.yml"], capsys)
    assert [hint.split()[1] for hint in hints] == ["--augment", "--cache"]
    assert "describe it in a job file as augment: {default: true, type: flag}" in hints[0]
    assert said_of(["job.yml", "--augment", "--cache"], capsys) == []
