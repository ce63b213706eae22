"""Collection of files from a trial's working directory, without the driver's files that are linked there."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from hopslite.executor import workdir
from hopslite.executor.workdir import WorkDir
from hopslite.storage import cache
from tests.helpers.observe import files_below
from tests.helpers.small_disk import small_disk


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A directory in this machine's cache, with a file in it and one below it."""
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "spark"))
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "spark").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    (tmp_path / "data" / "deep" / "b.txt").write_text("b")
    return cache.fetch(str(tmp_path / "data"), "known")


def test_downloads_that_trials_share_are_not_kept_as_results(tmp_path: Path, shared: str) -> None:
    work = WorkDir("", local_logdir=False)
    work.prepare()
    cwd = Path(work.cwd)
    cache.link(shared, str(cwd / "data"))
    cache.link(f"{shared}/a.txt", str(cwd / "one.txt"))
    cache.link(shared, str(cwd / "mixed"))
    (cwd / "mixed" / "deep" / "mine.txt").write_text("mine")
    (cwd / "empty").mkdir()
    (cwd / "result.txt").write_text("42")
    (tmp_path / "trial").mkdir()

    work.collect_files(str(tmp_path / "trial"))
    work.prepare()

    assert files_below(tmp_path / "trial") == {"empty", "result.txt", "mixed", "mixed/deep", "mixed/deep/mine.txt"}
    assert list(cwd.iterdir()) == []
    assert files_below(shared) == {"a.txt", "deep", "deep/b.txt"}
    work.remove()


class TestSetAside:
    """Files in a slot of Spark that could not be stored."""

    @pytest.fixture
    def work(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkDir:
        for name, variable in (("spark", "SPARK_LOCAL_DIRS"), ("tmp", "TMPDIR")):
            (tmp_path / name).mkdir()
            monkeypatch.setenv(variable, str(tmp_path / name))
        monkeypatch.setattr(tempfile, "tempdir", None)
        made = WorkDir("", local_logdir=True)
        made.prepare()
        (Path(made.cwd) / "result.txt").write_text("42")
        (Path(made.cwd) / "link").symlink_to("nowhere")
        return made

    @pytest.fixture
    def two_disks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rename = os.rename

        def between(source: str, target: str) -> None:
            if Path(target).is_relative_to(tmp_path / "tmp"):
                raise OSError(errno.EXDEV, "another disk")
            rename(source, target)

        monkeypatch.setattr(os, "rename", between)

    def outlives_spark(self, tmp_path: Path, work: WorkDir) -> None:
        before = work.root
        kept = Path(work.set_aside())
        assert kept.parent == tmp_path / "tmp"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700
        assert not os.path.lexists(before)
        shutil.rmtree(tmp_path / "spark")
        assert files_below(kept) == {"cwd", "cwd/result.txt", "cwd/link", "logdir"}

    def test_outlives_the_spark_application(self, tmp_path: Path, work: WorkDir) -> None:
        self.outlives_spark(tmp_path, work)

    @pytest.mark.usefixtures("two_disks")
    def test_outlives_it_on_another_disk(self, tmp_path: Path, work: WorkDir) -> None:
        self.outlives_spark(tmp_path, work)

    @pytest.mark.usefixtures("two_disks")
    def test_stays_where_there_is_no_room_elsewhere_and_says_so(
        self, tmp_path: Path, work: WorkDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
        where, _, until = work.set_aside().partition(", ")
        assert until == "until the Spark application ends,"
        assert (Path(where).parent, list((tmp_path / "tmp").iterdir())) == (tmp_path / "spark", [])
        assert (Path(where) / "cwd" / "result.txt").read_text() == "42"
        work.remove()
        assert os.path.isdir(where)

    def test_is_not_the_next_trials_even_if_it_cannot_be_moved(
        self, work: WorkDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def rename(*_: str, **__: bool) -> None:
            raise OSError("no")

        before = work.root
        monkeypatch.setattr(os, "rename", rename)
        monkeypatch.setattr(shutil, "copytree", rename)
        assert work.set_aside() == f"{before}, until the Spark application ends,"
        work.prepare()
        assert os.listdir(work.cwd) == []
        assert stat.S_IMODE(os.stat(work.root).st_mode) == 0o700
        work.remove()
        assert files_below(before) == {"cwd", "cwd/result.txt", "cwd/link", "logdir"}


def test_what_is_too_much_to_be_shown_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workdir, "MAX_LINKS", 2)
    for name in ("a", "b"):
        (tmp_path / name).touch()
    work = WorkDir(str(tmp_path), local_logdir=False)
    work.prepare()
    assert (files_below(work.cwd), work.warnings(failed=True)) == ({"a", "b"}, [])

    (tmp_path / "c").touch()
    work.prepare()
    [line] = work.warnings(failed=False)
    assert f"{tmp_path}: that has 3 entries, and up to 2 are shown; use absolute paths or inputs=" in line

    work.prepare()
    assert work.warnings(failed=False) == []  # a search has many trials
    assert work.warnings(failed=True) == [line]

    (tmp_path / "c").unlink()
    work.prepare()
    assert work.warnings(failed=True) == []
    work.remove()


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_has_no_room_is_moved_later_and_leaves_nothing_of_it(tmp_path: Path, is_folder: bool) -> None:
    """Half a file that stayed would keep the whole one from its name."""
    work = WorkDir("", local_logdir=False)
    work.prepare()
    place = Path(work.cwd, "model") if is_folder else Path(work.cwd)
    place.mkdir(exist_ok=True)
    (place / "weights").write_bytes(b"w" * 200_000)
    with small_disk(tmp_path / "small") as disk:
        target = disk.path / "0000"
        target.mkdir()
        disk.fill()
        os.truncate(disk.path / "ballast", (disk.path / "ballast").stat().st_size - 100_000)  # room for half of it
        with pytest.raises((OSError, shutil.Error)):
            work.collect_files(str(target))
        assert list(target.iterdir()) == []
        assert (place / "weights").stat().st_size == 200_000
        disk.free()
        work.collect_files(str(target))
        assert [path.stat().st_size for path in target.rglob("weights*")] == [200_000]
        assert sorted(path.name for path in target.iterdir()) == ["model" if is_folder else "weights"]
    work.remove()
