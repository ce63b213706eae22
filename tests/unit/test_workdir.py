"""What is left in a trial's working directory becomes the trial's; what it was only shown does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from observe import files_below

from hopslite.runtime import workdir
from hopslite.runtime.workdir import WorkDir
from hopslite.store import cache


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

    work.keep(str(tmp_path / "trial"))
    work.prepare()

    assert files_below(tmp_path / "trial") == {"empty", "result.txt", "mixed", "mixed/deep", "mixed/deep/mine.txt"}
    assert list(cwd.iterdir()) == []
    assert files_below(shared) == {"a.txt", "deep", "deep/b.txt"}
    work.remove()


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
