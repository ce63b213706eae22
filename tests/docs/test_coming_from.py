"""The commands of docs/coming-from.md, one after the other, in a folder as the page says."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopslite import experiment
from tests.helpers import ROOT
from tests.helpers.shared_session import SharedSession

pytestmark = [pytest.mark.slow("programs of other tools"), pytest.mark.timeout(1200)]

PAGE = (ROOT / "docs" / "coming-from.md").read_text()
SECTION = re.compile(r"^## (.+?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"(?<!<!-- not run -->\n)```sh\n(.*?)```", re.DOTALL)
SECTIONS = {title: BLOCK.findall(text) for title, text in SECTION.findall(PAGE)}
RUN = """
import runpy, sys
sys.argv = {words!r}
if sys.argv[0] == "hopslite":
    from hopslite.cli import main
    sys.exit(main(sys.argv[1:]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What is there afterwards: run and state of its trials; the last section's runs have no metric, but one.
RUNS = {
    "A script and a data set: `floyd run`": {"first": 1},
    "A YAML file with parameters: MLSteam": {"networks": 2},
    "A configuration of a training: ktf": {"digits": 2, "alone": 1},
    "A program with a command line and checkpoints": {"digits": 1, "resumed": 1, "tested": 1, "steps": 2},
}


def commands(blocks: list[str]) -> Iterator[list[str]]:
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            yield words[1:] if words[0] == "python" else words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coming") / "from"
    shutil.copytree(ROOT / "examples" / "script", folder / "script", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "examples" / "digits.hjson", folder)
    return folder


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section(title: str, folder: Path, shared_session: SharedSession, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SECTIONS.keys() == RUNS.keys()
    said = ""
    for number, words in enumerate(commands(SECTIONS[title])):
        program = folder.parent / f"{number}.py"
        program.write_text(RUN.format(words=words))
        said += shared_session.run(program, folder, OMP_NUM_THREADS="1")
    assert "Traceback" not in said
    monkeypatch.chdir(folder)
    for name, trials in RUNS[title].items():
        run = experiment.load(name)
        assert [str(trial.state) for trial in run.trials] == ["FINISHED"] * trials
    if "checkpoints" in title:
        assert "epoch 3:" in Path(experiment.load("resumed").trials[0].logdir, "output.log").read_text()
        assert "epoch 2:" not in Path(experiment.load("resumed").trials[0].logdir, "output.log").read_text()
        assert experiment.load("steps").best_metric > 0.5
