"""Reserve of descriptors and limits, for recording a trial whose function has exhausted them."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import stat
from collections.abc import Iterator

__all__ = ["reserved_resources"]

RESERVED_DESCRIPTORS = 4  # copying a file takes two, and a library may need some
LIMITS = tuple(
    getattr(resource, name)
    for name in ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_AS", "RLIMIT_DATA")
    if hasattr(resource, name)
)


@contextlib.contextmanager
def reserved_resources() -> Iterator[None]:
    """Reserve some descriptors and free them afterwards; limits that were lowered meanwhile are raised again."""
    limits = [resource.getrlimit(limit) for limit in LIMITS]
    reserve: list[int] = []
    with contextlib.suppress(OSError):
        reserve.append(socket.socket(socket.AF_UNIX).detach())
        for _ in range(RESERVED_DESCRIPTORS - 1):
            reserve.append(os.dup(reserve[0]))
    identity = os.fstat(reserve[0]) if reserve else None
    try:
        yield
    finally:
        for descriptor in reserve:
            _close_if_ours(descriptor, identity)
        for limit, (soft, hard) in zip(LIMITS, limits, strict=True):
            _restore_limit(limit, soft, hard)


def _close_if_ours(descriptor: int, identity: os.stat_result | None) -> None:
    """Close a descriptor, unless it has been reused for something else."""
    with contextlib.suppress(OSError):
        now = os.fstat(descriptor)
        if identity and stat.S_ISSOCK(now.st_mode) and now.st_ino == identity.st_ino:
            os.close(descriptor)


def _restore_limit(limit: int, soft: int, hard: int) -> None:
    if resource.getrlimit(limit)[0] == soft:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(limit, (soft, hard))
        return
    with contextlib.suppress(OSError, ValueError):  # its hard limit was lowered, too
        highest = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (highest, highest))
