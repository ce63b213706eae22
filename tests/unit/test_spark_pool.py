"""How the pool on Spark counts its slots, without a Spark: slots come and go as messages of their channel."""

from __future__ import annotations

import queue
import threading
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from hopslite._trial import Spec
from hopslite.pool import Resources
from hopslite.pool.spark import Spark


class Peer:
    """A slot's connection that keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


def pool_of(slots: int) -> tuple[Spark, list[Peer]]:
    """A pool whose slots are all connected and idle, and whose cluster has room for no others."""
    pool = Spark.__new__(Spark)
    pool._resources = Resources(parallelism=slots)
    pool._cluster = SimpleNamespace(context=SimpleNamespace(_jsc=object()), local=False)  # type: ignore[assignment]
    pool._inbox, pool._lock, pool._closed = queue.SimpleQueue(), threading.Lock(), threading.Event()
    pool._idle, pool._busy, pool._connected = deque(), {}, set()
    pool._wanted = pool._capacity = slots
    pool._next_resize = 0.0
    pool._slots = {index: threading.current_thread() for index in range(slots)}
    peers = [Peer() for _ in range(slots)]
    for peer in peers:
        pool._on_message(peer, {"type": "ready"})  # type: ignore[arg-type]
    return pool, peers


def let_go(peers: list[Peer]) -> int:
    return sum(peer.sent.count({"type": "exit"}) for peer in peers)


def test_idle_slots_are_given_back_once() -> None:
    """They take a moment to leave; meanwhile they count no more, or others would be let go in their place."""
    pool, peers = pool_of(8)
    for _ in range(5):
        pool.want(6)
    assert let_go(peers) == 2
    assert (pool.free, pool.size) == (6, 6)
    for peer in [peer for peer in peers if peer.sent]:
        pool._on_lost(peer)  # type: ignore[arg-type]
    pool.want(6)
    assert let_go(peers) == 2
    assert (pool.free, pool.size) == (6, 6)


def test_busy_slots_are_kept() -> None:
    pool, peers = pool_of(3)
    assert pool.submit(Spec("0000", {}, "/p"))
    assert pool.submit(Spec("0001", {}, "/p"))
    pool.want(1)
    assert [[message["type"] for message in peer.sent] for peer in peers] == [["run"], ["run"], ["exit"]]
    assert (pool.free, pool.size) == (0, 2)


@pytest.mark.parametrize("lost_too", [False, True])
def test_without_an_idle_slot_a_trial_is_refused(lost_too: bool) -> None:
    pool, peers = pool_of(1)
    if lost_too:
        pool._on_lost(peers[0])  # type: ignore[arg-type]
    else:
        assert pool.submit(Spec("0000", {}, "/p"))
    said = list(peers[0].sent)
    assert not pool.submit(Spec("0001", {}, "/p"))
    assert peers[0].sent == said
