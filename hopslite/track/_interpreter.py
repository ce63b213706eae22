"""Processes that run a module of hopslite: command line, environment and output."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

__all__ = ["boot", "environment", "own_stdout"]

# Not `python -m`: that would put the current directory, with whatever modules it has, before installed packages.
BOOT = """
import sys
root = sys.argv.pop(1)
sys.path[:] = [*([] if root in sys.path else [root]), *filter(None, sys.path)]
from {module} import main
sys.exit(main())
"""
ROOT = str(Path(__file__).resolve().parents[2])


def boot(module: str, *arguments: str) -> list[str]:
    """Command line that runs `main` of a module of hopslite in a new interpreter."""
    return [sys.executable, "-c", BOOT.format(module=module), ROOT, *arguments]


def environment(tracking_uri: str | None) -> dict[str, str]:
    """Environment for a process that uses MLflow; the URI may hold a password, which `ps` must not show."""
    of_this = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return of_this if tracking_uri is None else {**of_this, "MLFLOW_TRACKING_URI": tracking_uri}


def own_stdout() -> TextIO:
    """Reserve standard output of this process for status lines; what libraries print goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own
