"""Detached command lines: each goes on in a process of its own, which neither a terminal nor its starter ends."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

from ..storage.machine_cache import state_folder
from ..storage.records import json_object
from ..track._interpreter import boot

__all__ = ["DetachedStart", "start_detached"]

PROGRAM = "hopslite.cli._detached_process"


@dataclasses.dataclass(frozen=True)
class DetachedStart:
    """Outcome of the start of a detached command.

    Attributes:
        reserved: of the run that it has recorded, `run_id`, `name`, `version` and `ahead` (runs before it in the
            queue); None if it has ended without one.
        output: what it has written until it ended without a run.
        code: its exit code then.
    """

    reserved: Mapping[str, Any] | None
    output: bytes = b""
    code: int = 0


def start_detached(words: Sequence[str]) -> DetachedStart:
    """Carry out a command line of hopslite in a process of its own; returns when its run is recorded, or it has ended.

    The process gets the words by its input, as they may hold secrets, which `ps` would show.
    """
    path = os.path.join(state_folder(), f"starting-{secrets.token_hex(8)}.log")
    reading, writing = os.pipe()
    try:
        with open(path, "xb") as log, contextlib.ExitStack() as cleanup:
            cleanup.callback(os.close, reading)
            try:
                process = _started(words, path, writing, log)
            finally:
                os.close(writing)
            try:
                reserved = _reserved(reading)
            except KeyboardInterrupt:
                os.killpg(process.pid, signal.SIGTERM)
                raise
        if reserved is None:
            code = process.wait()
            with open(path, "rb") as output:
                return DetachedStart(None, output.read(), code if code > 0 else 1)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    # It goes on. When it ends, nothing of it is left, also where this process, such as a dashboard, lives longer.
    threading.Thread(target=process.wait, name="hopslite-detached", daemon=True).start()
    return DetachedStart(reserved)


def _started(words: Sequence[str], path: str, writing: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        boot(PROGRAM, str(writing), path),
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        pass_fds=(writing,),
        start_new_session=True,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # it has ended, and its log says why
        pipe.write(json.dumps(list(words)).encode())
    return process


def _reserved(reading: int) -> dict[str, Any] | None:
    """The message of the process that its run is recorded; None if it has ended before."""
    content = b""
    while piece := os.read(reading, 1 << 16):
        content += piece
    return json_object(content)
