"""Processes that go on by themselves leave nothing behind in the one that has started them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from hopslite.submission import detached
from hopslite.submission.detached import start_detached

RUN = ["run", "--pool", "inline", "--no-display", "--tracking-uri", "off", "--detach"]


def test_it_is_no_zombie_and_leaves_no_open_file(tmp_path: Path, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "program.py").write_text("")
    monkeypatch.chdir(tmp_path)
    me = psutil.Process()
    children, files = set(me.children()), me.num_fds()
    started = start_detached([*RUN, "--project", project, "program.py"])
    assert started.reserved is not None
    deadline = time.monotonic() + 8
    while set(me.children()) - children:
        assert time.monotonic() < deadline, "the process has ended, and is there"
        time.sleep(0.1)
    assert me.num_fds() == files
    missing = os.path.join(tmp_path, "no-python")
    monkeypatch.setattr(detached, "boot", lambda *words: [missing, *words])
    with pytest.raises(FileNotFoundError):
        start_detached([*RUN, "program.py"])
    assert me.num_fds() == files
