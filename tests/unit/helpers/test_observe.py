"""How tests wait for programs: patience decides, and then a kill, never a failure."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys

import psutil

from tests.helpers.observe import end

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
print(child.pid, flush=True)
time.sleep(1000)
"""


def test_one_that_does_not_end_is_killed_with_its_group() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    end(process, 0.2, by=signal.SIGINT)
    assert process.returncode == -signal.SIGKILL
    assert process.stdout.read() == ""  # when nobody is left who could write to it
    with contextlib.suppress(psutil.NoSuchProcess):  # its files are closed a moment before it has ended
        psutil.Process(child).wait(timeout=60)


def test_one_that_ends_by_itself_or_leads_no_group() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    end(process)
    assert process.returncode == 3
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    end(process, 0.0)
    assert process.returncode == -signal.SIGKILL
