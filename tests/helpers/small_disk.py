"""Real file systems of a few MB, to be filled."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of its own, which only root can make."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Write until it is full, to the last byte."""
        out = os.open(self._ballast, os.O_WRONLY | os.O_CREAT)
        for size in (1 << 16, 1 << 10, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(out, b"x" * size)
        os.close(out)

    def free(self) -> None:
        self._ballast.unlink()


@contextlib.contextmanager
def small_disk(path: Path, options: str = "size=4m") -> Iterator[SmallDisk]:
    """A tmpfs at this path; where it cannot be mounted the test is skipped."""
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a file system that is small enough to fill")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
