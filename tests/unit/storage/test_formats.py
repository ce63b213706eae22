"""Runs of every format that there has been are read, and one of a newer hopslite is one clear error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.cli import main
from hopslite.errors import HopsliteError
from hopslite.storage.project import Project
from hopslite.storage.records import FORMAT, read_record
from tests.helpers import ROOT

RUNS = ROOT / "tests/data/runs"  # each made by the hopslite of its time, without the files that name a machine
KINDS = sorted(path.name for path in RUNS.iterdir())
RUN_ID = "20260101-000000-000-abcdef"


def project_with(folder: Path, kind: str, **changes: Any) -> Path:
    """A project with a run of a format, and one of today."""
    project = folder / "project"
    experiment.launch(lambda: 1, name="today", project=str(project), pool="inline", display=False)
    run = Path(shutil.copytree(RUNS / kind, project / "Experiments" / RUN_ID))
    versions = project / "Experiments" / ".versions" / "grid"
    versions.mkdir()
    (versions / "1").write_text(RUN_ID)
    record = {**json.loads((run / "run.json").read_text()), **changes}
    (run / "run.json").write_text(json.dumps(record))
    return project


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(project: Path, *words: str) -> tuple[int, str]:
        code = main([*words, "--project", str(project)])
        out, err = capfd.readouterr()
        return code, out + err

    return run


def test_there_is_a_run_of_every_format() -> None:
    numbers = {json.loads((RUNS / kind / "run.json").read_text()).get("format", 1) for kind in KINDS}
    assert numbers == set(range(1, FORMAT + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_any_format_is_read(kind: str, tmp_path: Path) -> None:
    run = experiment.load("grid", project=str(project_with(tmp_path, kind)))
    assert (run.run_id, run.version, str(run.state)) == (RUN_ID, 1, "FINISHED")
    assert run.best_params == {"lr": 0.5, "layers": 2}
    assert run.best_metric == 1.0
    assert [(trial.params["lr"], trial.params["layers"], trial.metric) for trial in run.trials] == [
        (0.1, 1, 0.1), (0.1, 2, 0.2), (0.1, 3, None), (0.5, 1, 0.5), (0.5, 2, 1.0), (0.5, 3, None),
    ]  # fmt: skip
    assert "three layers" in str(run.trials[2].error)
    assert run.trials[0].outputs is not None
    assert run.trials[0].outputs["note"] == "a text"
    if kind != "oldest":
        assert run.reports().shape[0] == 18


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_any_format_is_listed_shown_and_packed(
    kind: str, tmp_path: Path, command: Callable[..., tuple[int, str]]
) -> None:
    project = project_with(tmp_path, kind)
    assert "grid" in command(project, "ls")[1]
    code, shown = command(project, "show", "grid")
    assert code == 0
    assert "lr=0.5, layers=2" in shown or "layers=2" in shown
    archive = str(tmp_path / "grid.tar.gz")
    assert command(project, "export", "grid", "-o", archive)[0] == 0
    other = tmp_path / "other"
    assert command(other, "import", archive)[0] == 0
    assert experiment.load("grid", project=str(other)).best_metric == 1.0


def test_a_run_of_today_says_its_format(tmp_path: Path) -> None:
    run = experiment.launch(lambda: 1, project=str(tmp_path / "project"), pool="inline", display=False)
    assert json.loads(Path(run.logdir, "run.json").read_text())["format"] == FORMAT
    [first, *_] = Path(run.logdir, "journal/000001.jsonl").read_text().splitlines()
    assert json.loads(first)["data"]["format"] == FORMAT


NEWER = f"run.json has format {FORMAT + 1} (hopslite 9.9.9 has made it)"


@pytest.mark.parametrize(
    "words",
    [
        ("show", "grid"),
        ("compare", "grid", "today"),
        ("resume", RUN_ID),
        ("export", "grid"),
        ("tag", "grid", "a=b"),
        ("rm", "grid", "--yes"),
    ],
)
def test_a_newer_format_is_one_error_and_nothing_is_changed(
    words: tuple[str, ...], tmp_path: Path, command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    project = project_with(tmp_path, "format-1", format=FORMAT + 1, hopslite="9.9.9")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    code, said = command(project, *words)
    assert code == 1
    assert NEWER in said
    assert "upgrade it" in said
    assert "Traceback" not in said
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_newer_format_does_not_hide_other_runs(tmp_path: Path, command: Callable[..., tuple[int, str]]) -> None:
    project = project_with(tmp_path, "format-1", format=FORMAT + 1, hopslite="9.9.9")
    said = command(project, "ls")[1]
    assert "today" in said
    assert NEWER in said.replace("\n", " ")
    with pytest.raises(HopsliteError, match="upgrade it"):
        experiment.load(RUN_ID, project=str(project))
    with pytest.raises(HopsliteError, match="upgrade"):
        experiment.resume(RUN_ID, project=str(project), display=False)


def test_an_archive_of_a_newer_format_is_refused(tmp_path: Path, command: Callable[..., tuple[int, str]]) -> None:
    project = project_with(tmp_path, "format-1")
    archive = str(tmp_path / "grid.tar.gz")
    command(project, "export", "grid", "-o", archive)
    folder = tmp_path / "unpacked"
    shutil.unpack_archive(archive, folder)
    record = folder / RUN_ID / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "format": FORMAT + 1}))
    newer = shutil.make_archive(str(tmp_path / "newer"), "gztar", folder)
    code, said = command(tmp_path / "other", "import", newer)
    assert (code, "upgrade it" in said) == (1, True)
    assert Project(str(tmp_path / "other")).runs() == []


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", True, [2]])
def test_a_format_that_is_no_number(number: Any) -> None:
    record = {"name": "grid", "version": 1, "state": "FINISHED", "format": number}
    with pytest.raises(HopsliteError, match=r"format is .*, not a whole number of at least 1"):
        read_record(json.dumps(record).encode())
