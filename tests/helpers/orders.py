"""A channel between a slot and its driver that is only a list: what the driver orders, as the slot receives it."""

from __future__ import annotations

import os
from collections import deque
from typing import Any


class Orders:
    """The slot's end of it, without `send`, which is the test's."""

    def __init__(self, *orders: dict[str, Any]) -> None:
        self._orders: deque[dict[str, Any]] = deque()
        self._bell, self._ring = os.pipe()
        for order in orders:
            self.put(order)

    def put(self, order: dict[str, Any]) -> None:
        self._orders.append(order)
        os.write(self._ring, b".")

    def fileno(self) -> int:
        return self._bell

    def receive(self) -> dict[str, Any]:
        os.read(self._bell, 1)
        return self._orders.popleft()

    def close(self) -> None:
        os.close(self._bell)
        os.close(self._ring)
