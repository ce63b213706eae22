"""Commands that start another Python with the import path of this one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["python_command"]


def python_command(code: str, import_path: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Command line and environment variables of a Python that runs `code` with the given import path.

    PYTHONPATH, which also the processes that the code starts inherit, cannot name a folder with a colon, as one that is
    called after the time of day. Where there is one, the code sets the whole path itself.
    """
    separable = [entry for entry in import_path if os.pathsep not in entry]
    if len(separable) < len(import_path):
        code = f"import sys; sys.path[:] = dict.fromkeys([*{list(import_path)!a}, *sys.path]); {code}"
    return [sys.executable, "-c", code], {"PYTHONPATH": os.pathsep.join(separable)}
