"""Installed distributions are read once, and again after an installation."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from pathlib import Path

import pytest

from hopslite.core import installed, plugins


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


def install(folder: Path, name: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[hopslite.stop]\n{name} = {name}:Stopper\n")


def test_a_later_installation_is_seen(folder: Path) -> None:
    assert "later==1.0" not in installed.versions()
    assert not plugins.is_known("stop", "later")
    install(folder, "later")
    assert "later==1.0" in installed.versions()
    assert plugins.is_known("stop", "later")


def test_distributions_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(folder, "once")
    before = installed.versions(), [entry.name for entry in installed.entry_points("hopslite.stop")]
    monkeypatch.setattr(importlib.metadata, "distributions", None)
    monkeypatch.setattr(importlib.metadata, "entry_points", None)
    assert (installed.versions(), [entry.name for entry in installed.entry_points("hopslite.stop")]) == before
    assert "once" in plugins.names("stop")
    (folder / "results.csv").touch()  # as a program does in its current directory
    assert "once" in plugins.names("stop")


def test_one_that_is_installed_again_is_read_again(folder: Path) -> None:
    install(folder, "again")
    assert plugins.is_known("stop", "again")
    shutil.rmtree(folder / "again-1.0.dist-info")
    install(folder, "again")
    (folder / "again-1.0.dist-info" / "entry_points.txt").write_text("[hopslite.stop]\nother = again:Stopper\n")
    assert plugins.is_known("stop", "other")
    assert not plugins.is_known("stop", "again")


def test_plugins_of_hopslite_need_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "entry_points", None)
    assert plugins.is_known("pool", "inline")
    assert plugins.load("pool", "inline").__name__ == "Inline"


@pytest.mark.parametrize("line", ["", "Version: \n"])
def test_half_installed_distributions_are_no_requirements(folder: Path, line: str) -> None:
    """Neither pip nor a reader could use `half==None`."""
    info = folder / "half-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: half\n{line}")
    assert not [version for version in installed.versions() if version.startswith("half")]


def test_a_field_that_is_missing_may_be_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Python 3.14, and in 3.11 once the package importlib_metadata has been imported."""

    class Half:
        @property
        def metadata(self) -> dict[str, str]:
            return {}

    monkeypatch.setattr(importlib.metadata, "distributions", lambda: [Half()])
    install(folder, "other")
    assert installed.versions() == []
