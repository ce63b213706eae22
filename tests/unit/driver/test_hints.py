"""Commands that are shown to users can be typed as they are."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from hopslite.core.settings import Settings
from hopslite.driver.hints import RunHints
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir


def test_paths_with_spaces_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "an environment"
    folder.mkdir()
    for name in ("hopslite", "mlflow"):
        (folder / name).touch()
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    project = Project(str(tmp_path / "a project"))
    settings = Settings.load(project=project.url, tracking_uri=f"sqlite:///{tmp_path}/my runs.db")
    hints = RunHints(settings, project, RunDir(project.path("Experiments", "1")), "1", None)
    hints.is_resumable = True
    assert shlex.split(hints.resume_hint or "") == [str(folder / "hopslite"), "resume", "1", "--project", project.url]
    assert shlex.split(hints.mlflow_hint or "")[1:] == ["ui", "--backend-store-uri", settings.tracking_uri]
    assert shlex.split(hints.mlflow_hint or "")[0] == str(folder / "mlflow")
