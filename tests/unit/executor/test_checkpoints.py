"""Checkpoints that begin with a copy of another trial's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hopslite.executor.checkpoints import copy_checkpoints


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "0003" / "checkpoints"
    (folder / "epoch").mkdir(parents=True)
    (folder / "epoch" / "3.ckpt").write_text("three")
    os.symlink("epoch/3.ckpt", folder / "latest")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "0007").mkdir()
    return tmp_path / "0007" / "checkpoints"


def test_the_copy_is_independent(source: Path, target: Path) -> None:
    copy_checkpoints(str(source), str(target))
    (target / "epoch" / "3.ckpt").write_text("changed")
    assert (source / "latest").read_text() == "three"
    assert (target / "latest").read_text() == "changed"
    assert os.listdir(target.parent) == ["checkpoints"]


def test_links_into_the_source_point_into_the_copy(source: Path, target: Path, tmp_path: Path) -> None:
    (source / "best").symlink_to(source / "epoch")
    (source / "file").symlink_to(source / "epoch" / "3.ckpt")
    (source / "data").symlink_to(tmp_path)
    copy_checkpoints(str(source), str(target))
    shutil.rmtree(source)
    assert (target / "best" / "3.ckpt").read_text() == (target / "file").read_text() == "three"
    assert os.readlink(target / "best") == str(target / "epoch")
    assert os.readlink(target / "data") == str(tmp_path)


def test_those_of_an_earlier_attempt_are_kept(source: Path, target: Path) -> None:
    target.mkdir()
    (target / "4.ckpt").touch()
    copy_checkpoints(str(source), str(target))
    assert os.listdir(target) == ["4.ckpt"]


def test_without_a_source_there_is_no_copy(source: Path, target: Path) -> None:
    shutil.rmtree(source)
    copy_checkpoints(str(source), str(target))
    assert not target.exists()


def test_a_copy_that_fails_leaves_nothing(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(OSError, match="No space"):
        copy_checkpoints(str(source), str(target))
    assert os.listdir(target.parent) == []


def test_another_member_may_be_faster(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copytree = shutil.copytree

    def slow(*args: Any, **options: Any) -> None:
        copytree(*args, **options)
        copytree(source, target, symlinks=True)

    monkeypatch.setattr(shutil, "copytree", slow)
    copy_checkpoints(str(source), str(target))
    assert (target / "latest").read_text() == "three"
    assert os.listdir(target.parent) == ["checkpoints"]
