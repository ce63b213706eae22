"""The lock on a run's annotations: one writer at a time, and a killed one lets go."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from hopslite.storage.annotations import LOCK, Notes
from hopslite.storage.run_directory import RunDir

HOLDER = """
import sys, time
from hopslite.storage.annotations import Notes
from hopslite.storage.run_directory import RunDir
with Notes.locked(RunDir(sys.argv[1])):
    print("held", flush=True)
    time.sleep(300)
"""


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(Timeout):
            FileLock(tmp_path / LOCK).acquire(timeout=0)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with Notes.locked(RunDir(str(tmp_path))):
        pass
    with FileLock(tmp_path / LOCK).acquire(timeout=0):
        pass
