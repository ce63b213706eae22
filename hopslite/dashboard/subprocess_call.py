"""Calls of modules that run as processes of their own, so that the server goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from ..track._interpreter import boot

__all__ = ["answer_of"]


async def answer_of(module: str, request: Any, seconds: float) -> str | None:
    """The standard output of a module's `main`, which reads a request as JSON; None if it fails or takes too long."""
    process = await asyncio.create_subprocess_exec(
        *boot(module), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(json.dumps(request).encode()), seconds)
    except asyncio.TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    return output.decode() if process.returncode == 0 else None
