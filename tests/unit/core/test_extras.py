"""Optional packages that are not installed: runs work without them, calls that need one name the extra."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from hopslite import cli, experiment, pandas_helper, plots
from hopslite.core import extras
from hopslite.errors import MissingExtra
from hopslite.programs.event_files import EventFiles
from tests.helpers import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, project: str) -> str:
    """A project of a process in which no package of an extra can be imported."""
    for package in {package for packages in extras.PACKAGES.values() for package in packages}:
        monkeypatch.setitem(sys.modules, package, None)
    for variable in ("TRACKING_URI", "TENSORBOARD", "PLOTS"):
        monkeypatch.delenv(f"HOPSLITE_{variable}", raising=False)
    return project


def grid(**options: Any) -> Any:
    return experiment.grid_search(lambda x: x * x, {"x": [3, 1, 2]}, direction="min", pool="inline", **options)


def test_extras_are_those_of_the_project() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras.PACKAGES.keys() <= declared.keys()
    in_all = extras.PACKAGES.keys() - {"interactive"}  # plotly.js would make every report 2 MB larger
    assert extras.missing([*in_all, "a_tracker_of_somebody"]) == []


def test_run_is_recorded_and_one_line_says_what_is_missing(bare: str, capfd: pytest.CaptureFixture[str]) -> None:
    run = grid(name="light")
    assert run.best_params == {"x": 1}
    said = "".join(capfd.readouterr())
    lines = [line for line in said.splitlines() if "not installed" in line]
    assert len(lines) == 1, said
    assert "MLflow, TensorBoard, plots" in lines[0]
    assert 'pip install "hopslite[mlflow,tensorboard,plots]"' in lines[0]
    assert run.mlflow_run_id is None
    assert run.tensorboard_url is None
    assert [trial.metric for trial in experiment.load("light").trials] == [9, 1, 4]
    assert "Traceback" not in said
    assert not any(Path(run.logdir).glob("trials/*/events*"))


def test_nothing_is_said_of_what_is_switched_off(
    bare: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for variable, value in (("TRACKING_URI", "off"), ("TENSORBOARD", "0"), ("PLOTS", "0")):
        monkeypatch.setenv(f"HOPSLITE_{variable}", value)
    grid()
    assert "not installed" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("call", "extra"),
    [
        (lambda run: run.to_pandas(), "pandas"),
        (lambda run: run.reports(), "pandas"),
        (lambda _: pandas_helper.read_csv("Resources/t.csv"), "pandas"),
        (plots.best_so_far, "plots"),
        (plots.importance, "plots"),
        (plots.save, "plots"),
    ],
    ids=["to_pandas", "reports", "read_csv", "best_so_far", "importance", "save"],
)
def test_impossible_call_names_the_extra(bare: str, call: Any, extra: str) -> None:
    run = grid(display=False)
    with pytest.raises(MissingExtra, match=rf'not installed: pip install "hopslite\[{extra}\]"$'):
        call(run)


def test_commands_name_the_extra(bare: str, capfd: pytest.CaptureFixture[str]) -> None:
    run = grid(display=False)
    Path(bare, "mlflow.db").touch()
    commands = {"mlflow": ["ui"], "tensorboard": ["tensorboard", run.run_id], "dashboard": ["dashboard"]}
    for extra, words in commands.items():
        status = cli.main([*words, "--no-browser"])
        assert status != 0
        assert f'pip install "hopslite[{extra}]"' in capfd.readouterr().err


def test_tracking_later_names_the_extras(bare: str, capfd: pytest.CaptureFixture[str]) -> None:
    run = grid(display=False)
    capfd.readouterr()
    status = cli.main(["track", run.run_id])
    assert status == 1
    said = capfd.readouterr().err
    assert 'tracking to MLflow needs mlflow, which is not installed: pip install "hopslite[mlflow]"' in said
    assert 'pip install "hopslite[tensorboard]"' in said


def test_tracking_later_goes_on_with_what_is_installed(
    project: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delenv("HOPSLITE_TRACKING_URI", raising=False)
    run = grid(display=False)
    status = cli.main(["track", run.run_id])
    said = capfd.readouterr().err
    assert status == 0, said
    assert 'left out, not installed: mlflow; to add: pip install "hopslite[mlflow]"' in said
    assert len(list(Path(run.logdir).glob("trials/*/events*"))) == 3


def test_event_files_of_a_program_are_left_out_with_one_line(
    bare: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = EventFiles([str(tmp_path)], without=str(tmp_path / "none"))
    (tmp_path / "events.out.tfevents.1").touch()
    for _ in range(2):
        files.tell(pytest.fail)  # type: ignore[arg-type]
    assert capfd.readouterr().err.count('pip install "hopslite[tensorboard]"') == 1


def test_doctor_names_each_extra(bare: str, capfd: pytest.CaptureFixture[str]) -> None:
    cli.main(["doctor", "--no-spark"])
    said = capfd.readouterr().out
    for extra in extras.PACKAGES:
        assert f'pip install "hopslite[{extra}]"' in said
