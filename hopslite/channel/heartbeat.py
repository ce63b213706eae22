"""Heartbeats of slots: how often they are sent, and after how much silence the driver counts a slot as lost."""

from __future__ import annotations

__all__ = ["HEARTBEAT_SECONDS", "RECONNECT_SECONDS", "RESUME_SECONDS", "SILENCE_SECONDS"]

HEARTBEAT_SECONDS = 2.0
SILENCE_SECONDS = 20.0  # on a connection that stands; a slot that swaps or is stopped for less is not lost
RECONNECT_SECONDS = 10.0  # for which a slot tries to reconnect once the connection is broken
RESUME_SECONDS = RECONNECT_SECONDS + 2.0  # that the driver waits for it; the slot may notice the break later
