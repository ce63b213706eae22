"""Names in a project: run ids, folders for the names of runs, and names that are folders themselves."""

from __future__ import annotations

import hashlib
import re
import secrets
import time

__all__ = ["folder_of_name", "name_problem", "new_run_id"]

FOLDER_BYTES = 100  # a name's part of a folder's name; file systems allow 255 bytes, some less
EMPTY_NAME = "%~empty"  # of a run without a name, which archives of others may hold
NAME_BYTES = 200  # of a name that is a folder itself
_FORBIDDEN = re.compile(r'[%/\\:*?"<>|\x00-\x1f\x7f]|^\.')
_NO_FOLDER = re.compile(r'[/\\:*?"<>|\[\]\x00-\x1f\x7f\ud800-\udfff]')


def folder_of_name(name: str) -> str:
    """Unique folder name for a run's name; short enough for any file system, and never empty."""
    if not name:
        return EMPTY_NAME
    folder = _FORBIDDEN.sub(lambda match: f"%{ord(match[0]):02X}", name)
    if len(folder.encode()) <= FOLDER_BYTES:
        return folder
    start = folder.encode()[: FOLDER_BYTES - 20].decode(errors="ignore")
    return f"{start}%~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def name_problem(name: str) -> str | None:
    """Reason why a name of a model or data set cannot be the name of its folder; None if it can."""
    match = _NO_FOLDER.search(name)
    if match or name.startswith("."):
        problem = f"has {match[0]!r}" if match else "begins with a dot"
        return f"{name!r} {problem}, which cannot be in the name of its directory; leave it away"
    if len(name.encode()) > NAME_BYTES:
        return f"{name!r:.60} has {len(name.encode())} bytes; at most {NAME_BYTES} are possible"
    return None


def new_run_id() -> str:
    now = time.time()
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{int(now * 1000) % 1000:03d}-{secrets.token_hex(3)}"
