"""Interface of the connection to the driver, as the modules of a slot use it."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["DriverConnection"]


class DriverConnection(Protocol):
    """The slot's end of the channel to the driver.

    `send` may be called from any thread. `receive` returns a `beat`, which means nothing, when the connection had only
    itself to look after.
    """

    def fileno(self) -> int: ...
    def send(self, message: dict[str, Any]) -> None: ...
    def receive(self) -> dict[str, Any]: ...
