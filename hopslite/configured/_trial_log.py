"""Lines in a trial's log, which is what the process prints."""

from __future__ import annotations

__all__ = ["say"]


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - Keras prints its progress there, too
