"""What a slot has of its connection to the driver."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Link"]


class Link(Protocol):
    """The slot's end of the channel to the driver.

    `send` may be called from any thread. `receive` returns a `beat`, which means nothing, when the connection had only
    itself to look after.
    """

    def fileno(self) -> int: ...
    def send(self, message: dict[str, Any]) -> None: ...
    def receive(self) -> dict[str, Any]: ...
