"""The program that draws a run which has just ended, when all else has been done."""

from __future__ import annotations

import os
import sys

from .. import plots

__all__ = ["main"]

NICE = 19


def main() -> int:
    os.nice(NICE)
    plots.save(sys.argv[1])
    return 0
