"""Samples of a real process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from hopslite.executor.system_metrics import Sampler
from tests.helpers import ROOT

WRITER = """
import os, sys
with open(sys.argv[1], "wb") as file:
    file.write(os.urandom(8 << 20))
    file.flush()
    os.fsync(file.fileno())
print("written", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def on_disk(tmp_path: Path) -> Path:
    """Path of a file on the disk of the repository: that of temporary files may be in memory."""
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    return folder / f"{tmp_path.parent.name}-{tmp_path.name}.bin"


def test_a_process_has_cpu_memory_and_disk(on_disk: Path) -> None:
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(on_disk)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        sampler = Sampler(process.pid, "", started)
        first = sampler.sample()
        elapsed = time.monotonic() - started
        assert 1 < first["memory_mb"] < 1000
        assert first["cpu_percent"] > 0
        assert first["disk_write_mb_per_s"] * elapsed >= 7.5
        second = sampler.sample()  # it does nothing any more
        assert second["disk_write_mb_per_s"] * elapsed < 4
        assert second["disk_read_mb_per_s"] >= 0
    finally:
        process.kill()
        process.wait()
        on_disk.unlink(missing_ok=True)
    assert sampler.sample() == {}
