"""Program that draws the figures of runs into their directories, one run after the other."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterable
from typing import TextIO

from ..figures.saving import save
from ..runs.lookup import load
from ..track import own_stdout
from .priority import be_idle

__all__ = ["draw", "main"]

LONGEST_SECONDS = 900  # for one run; a store that does not answer must not keep all others from being drawn


def main() -> int:
    """Draw the runs whose URLs are in the lines of stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    be_idle()
    draw(sys.stdin, own_stdout())
    return 0


def draw(lines: Iterable[str], output: TextIO) -> None:
    """Draw runs one after the other, each given by its URL as a JSON string, and write the names of its files."""
    for line in lines:
        files: list[str] = []
        signal.alarm(LONGEST_SECONDS)
        with contextlib.suppress(Exception):  # of one run
            files = save(load(json.loads(line)))
        signal.alarm(0)
        output.write(json.dumps(files) + "\n")
        output.flush()
