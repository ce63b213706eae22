"""Settings of a wrong type are one error, wherever they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopslite import data
from hopslite.core.settings import Settings
from hopslite.errors import InvalidArguments


@pytest.mark.parametrize("value", [pytest.param(10**5000, id="large"), b"x", ["x"], 4.0])
def test_a_project_that_is_no_path(value: Any) -> None:
    with pytest.raises(InvalidArguments, match=r"project is of type \w+; give a path or a URL"):
        data.ls(project=value)


def test_a_project_of_the_file_that_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hopslite.toml").write_text("project = 3")
    with pytest.raises(InvalidArguments, match="project is of type int; give a path or a URL"):
        Settings.load()


def test_a_path_is_a_project() -> None:
    assert Settings.load(project=Path("a") / "b").project == "a/b"
