"""Inputs at the paths that programs expect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hopslite.errors import CommandFailed
from hopslite.programs.mounts import mounted


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, str]:
    for name in ("a", "b"):
        (tmp_path / "inputs" / name).mkdir(parents=True)
        (tmp_path / "inputs" / name / "x").write_text(name)
    (tmp_path / "work").mkdir()
    return {name: str(tmp_path / "inputs" / name) for name in ("a", "b")}


def test_a_link_is_there_as_long_as_any_trial_needs_it(tmp_path: Path, inputs: dict[str, str]) -> None:
    mounts = {"a": str(tmp_path / "deep" / "data")}
    with mounted(mounts, inputs, str(tmp_path / "work")) as messages:
        with mounted(mounts, inputs, str(tmp_path / "work")) as others:
            assert (tmp_path / "deep" / "data" / "x").read_text() == "a"
        assert messages == others == []
        assert (tmp_path / "deep" / "data" / "x").read_text() == "a", "another trial still needs it"
    assert not os.path.lexists(tmp_path / "deep" / "data")
    assert (tmp_path / "inputs" / "a" / "x").exists()


def test_where_something_else_is_the_link_is_below_the_working_directory(
    tmp_path: Path, inputs: dict[str, str]
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    work = tmp_path / "work"
    with mounted({"a": str(taken)}, inputs, str(work)) as messages:
        inside = str(taken).lstrip("/")
        assert (work / inside / "x").read_text() == "a"
        assert messages == [
            f"hopslite: input a cannot be at {taken} (File exists); it is at {inside} in the working directory"
        ]
    assert list(taken.iterdir()) == []
    with mounted({"a": str(tmp_path / "data")}, inputs, str(work)):
        with mounted({"b": str(tmp_path / "data")}, inputs, str(work)) as messages:
            assert "other trials have another input there" in messages[0]
        assert (tmp_path / "data" / "x").read_text() == "a"


def test_a_link_of_a_killed_trial_is_replaced(tmp_path: Path, inputs: dict[str, str]) -> None:
    path = str(tmp_path / "data")
    program = (
        "import os, signal\nfrom hopslite.programs.mounts import mounted\n"
        f"with mounted({{'a': {path!r}}}, {inputs!r}, '.'):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert os.path.islink(path)
    with mounted({"b": path}, inputs, str(tmp_path / "work")) as messages:
        assert messages == [] and Path(path, "x").read_text() == "b"
    assert not os.path.lexists(path)


def test_a_link_that_is_the_users_own_stays(tmp_path: Path, inputs: dict[str, str]) -> None:
    os.symlink(inputs["a"], tmp_path / "data")
    with mounted({"a": str(tmp_path / "data")}, inputs, str(tmp_path / "work")) as messages:
        assert messages == []
    assert os.path.islink(tmp_path / "data")


def test_where_the_programs_own_files_are_too_it_is_said(tmp_path: Path, inputs: dict[str, str]) -> None:
    (tmp_path / "taken").mkdir()
    own = tmp_path / "work" / str(tmp_path / "taken").lstrip("/")
    own.mkdir(parents=True)
    mounts = {"a": str(tmp_path / "taken")}
    message = r"input a can be neither at .*taken .* nor at .*; give it another path"
    with pytest.raises(CommandFailed, match=message), mounted(mounts, inputs, str(tmp_path / "work")):
        pass
    assert list(own.iterdir()) == []
