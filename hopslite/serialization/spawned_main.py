"""The `__main__` of processes that a trial spawns: loads the program's definitions without running it.

`multiprocessing` runs this module in each new process, because the trial's `__main__` has its name (`program`). Outside
of hopslite the program's file is run there, which a program whose search is not behind `if __name__ == "__main__"`
does not bear, and which notebooks do not have.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hopslite.core.process_role import keep_for_trials
from hopslite.serialization.broadcasts import register
from hopslite.serialization.program import PROGRAM_FILE, Program


def _program() -> dict[str, Any]:
    try:
        payload = Path(os.environ[PROGRAM_FILE]).read_bytes()
    except (KeyError, OSError) as error:
        raise RuntimeError(
            "a process that was spawned by a trial needs the program's definitions, which are not on this machine "
            f"({error}); start it with the method 'fork', or free space in the directory for temporary files"
        ) from None
    keep_for_trials()
    program = Program(payload)
    program.install()
    register()
    program.load()
    return program.namespace


if __name__ in ("__main__", "__mp_main__"):
    globals().update({name: value for name, value in _program().items() if name not in ("__name__", "__spec__")})
