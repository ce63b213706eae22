"""Retries of writes to stores that fail intermittently."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .urls import errors_of

__all__ = ["persist"]

AGAIN_SECONDS = (0.1, 0.5)  # before each retry of a write
SLOW_SECONDS = 10.0  # no retry after an attempt that took longer


def persist(where: str, action: Callable[[], Any]) -> None:
    """Run an idempotent write to `where`, with retries."""
    began = time.monotonic()
    for pause in (*AGAIN_SECONDS, None):
        try:
            with errors_of(where):
                action()
            return
        except (FileNotFoundError, FileExistsError, PermissionError):
            raise
        except OSError:
            if pause is None or time.monotonic() - began > SLOW_SECONDS:
                raise
            time.sleep(pause)
