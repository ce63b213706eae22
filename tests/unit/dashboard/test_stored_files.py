"""Files of runs that may come from anybody: no name and no link leads out of the directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hopslite.dashboard.stored_files import NoSuchFile, StoredFiles
from hopslite.storage.run_directory import RunDir


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    folder = tmp_path / "run" / "trials" / "0000"
    (folder / "sub").mkdir(parents=True)
    (folder / "output.log").write_text("step 1\nstep 2\n")
    (folder / "sub" / "a b.txt").write_text("inside")
    (folder / ".hidden").write_text("x")
    (tmp_path / "secret").write_text("s3cret")
    (tmp_path / "run" / "trials" / "0001").mkdir()
    (tmp_path / "run" / "trials" / "0001" / "other.txt").write_text("of another trial")
    return folder


def files_of(folder: Path) -> StoredFiles:
    return StoredFiles(RunDir(str(folder)))


def test_files_are_listed_and_read_in_parts(trial: Path) -> None:
    files = files_of(trial)
    assert files.sizes() == {"output.log": 14, "sub/a b.txt": 6}
    assert ".hidden" in files.sizes(hidden=True)
    assert files.read("output.log", 5, 9) == b"1\nst"
    assert files.read("output.log", 10, 10_000) == b"p 2\n"
    assert b"".join(files.pieces("sub/a b.txt")) == b"inside"


@pytest.mark.parametrize(
    "name",
    [
        "../0001/other.txt",
        "../../../secret",
        "/etc/passwd",
        "sub/../../0001/other.txt",
        "",
        ".",
        "sub",
        "a\0b",
        "sub//a b.txt",
    ],
)
def test_names_cannot_lead_out(trial: Path, name: str) -> None:
    files = files_of(trial)
    for read in (lambda: files.size(name), lambda: files.read(name, 0, 10)):
        with pytest.raises(NoSuchFile):
            read()


def test_links_and_special_files_are_neither_listed_nor_read(trial: Path) -> None:
    (trial / "link").symlink_to(trial.parents[2] / "secret")
    (trial / "folder").symlink_to(trial.parents[2])
    os.mkfifo(trial / "pipe")
    files = files_of(trial)
    assert files.sizes() == {"output.log": 14, "sub/a b.txt": 6}
    for name in ("link", "folder/secret", "pipe"):
        with pytest.raises(NoSuchFile):
            files.read(name, 0, 10)


def test_a_missing_directory_has_no_files(tmp_path: Path) -> None:
    assert files_of(tmp_path / "none").sizes() == {}


def test_a_directory_that_is_a_link_has_no_files(trial: Path) -> None:
    run = trial.parents[1]
    (run / "trials" / "0002").symlink_to(run.parent)
    files = StoredFiles(RunDir(str(run / "trials" / "0002")), RunDir(str(run)))
    assert files.sizes() == {}
    with pytest.raises(NoSuchFile, match="leads out of"):
        files.read("secret", 0, 10)
    assert StoredFiles(RunDir(str(trial)), RunDir(str(run))).read("output.log", 0, 4) == b"step"


def test_names_that_are_not_utf8_are_passed_over(trial: Path) -> None:
    (trial / os.fsdecode(b"\xff.txt")).write_text("x")
    assert "output.log" in files_of(trial).sizes()
    assert all(name.isprintable() for name in files_of(trial).sizes())
