"""Flag of processes that exist to run trials, and must not start runs of their own."""

from __future__ import annotations

__all__ = ["is_kept_for_trials", "keep_for_trials"]

_kept = False


def keep_for_trials() -> None:
    """Mark this process, and all processes forked from it, as one that runs trials."""
    global _kept
    _kept = True


def is_kept_for_trials() -> bool:
    """True in a process from which trials are forked, and in processes that they spawn."""
    return _kept
