"""The list of projects that were opened in dashboards: newest first, and nothing in it that a user has not opened."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from hopslite.dashboard.projects import Projects
from hopslite.errors import HopsliteError
from hopslite.storage.machine_cache import state_folder
from hopslite.storage.recent_projects import MOST, recent_projects, remember_project


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def made(folder: Path) -> str:
    folder.mkdir()
    return str(folder)


def test_the_last_one_is_first_and_once_there(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one"), made(tmp_path / "other")
    for project in (one, other, "s3://bucket/project", one):
        remember_project(project)
    assert recent_projects() == [one, "s3://bucket/project", other]
    os.rmdir(other)
    assert recent_projects() == [one, "s3://bucket/project"]
    for number in range(2 * MOST):
        remember_project(f"s3://bucket/{number}")
    assert len(recent_projects()) == MOST
    [file] = Path(state_folder()).glob("projects.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_passwords_are_not_kept() -> None:
    remember_project("hdfs://user:secret@host/project")
    assert recent_projects() == []


def test_garbage_is_no_project(tmp_path: Path) -> None:
    file = Path(state_folder(), "projects.json")
    entries = [{"project": "../.."}, {"project": 5}, "x", {"project": "/no\nsuch"}, None, {"project": str(tmp_path)}]
    file.write_text(json.dumps({"projects": entries}))
    assert recent_projects() == [str(tmp_path)]
    for content in ("", "[]", '{"projects": {}}', "\x00"):
        file.write_text(content)
        assert recent_projects() == []
    remember_project(str(tmp_path))
    assert recent_projects() == [str(tmp_path)]


def test_only_projects_in_the_list_are_opened(tmp_path: Path) -> None:
    project = made(tmp_path / "secret")
    with pytest.raises(HopsliteError, match="not opened on this machine"):
        Projects(str(tmp_path)).open(project)
    remember_project(project)
    with pytest.raises(HopsliteError, match="no dashboard shows it"):
        Projects(str(tmp_path), starts=False).open(project)
