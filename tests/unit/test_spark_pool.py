"""How the pool on Spark counts its slots, without a Spark: slots come and go as messages of their channel."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopslite._trial import Spec
from hopslite.pool import Resources, _session
from hopslite.pool.spark import Spark


class Peer:
    """A slot's connection that keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.ended = self.leaves = False

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def drop(self) -> None:
        self.ended = True

    cut = drop


def pool_of(slots: int) -> tuple[Spark, list[Peer]]:
    """A pool whose slots are all connected and idle, and whose cluster has room for no others."""
    pool = Spark.__new__(Spark)
    pool._resources = Resources(parallelism=slots)
    pool._cluster = SimpleNamespace(context=SimpleNamespace(_jsc=object()), local=False)  # type: ignore[assignment]
    pool._inbox, pool._lock, pool._closed = queue.SimpleQueue(), threading.Lock(), threading.Event()
    pool._idle, pool._busy, pool._connected, pool._seated, pool._astray = deque(), {}, set(), {}, set()
    pool._wanted = pool._capacity = slots
    pool._next_resize = 0.0
    pool._slots = {index: threading.current_thread() for index in range(slots)}
    peers = [Peer() for _ in range(slots)]
    for index, peer in enumerate(peers):
        pool._on_message(peer, {"type": "ready", "slot": index})  # type: ignore[arg-type]
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
        peer.leaves = True
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


def test_a_slot_that_spark_has_started_again_takes_the_place_of_the_one_before() -> None:
    """Its connection may still be awaited; what ran there is known to be lost now."""
    pool, peers = pool_of(2)
    again = Peer()
    pool._on_message(again, {"type": "ready", "slot": 1})  # type: ignore[arg-type]
    assert [peer.ended for peer in (*peers, again)] == [False, True, False]


def test_the_job_of_a_slot_that_is_given_up_is_ended_once() -> None:
    """It may hang, and holds a core; one that leaves, or whose job has ended or was begun again, is left alone."""
    pool, peers = pool_of(5)
    ended: list[str] = []
    pool._cluster.context.cancelJobsWithTag = ended.append
    pool._group = "run"
    peers[1].leaves = True
    pool._on_message(Peer(), {"type": "ready", "slot": 2})  # type: ignore[arg-type]
    pool._unseat(3)
    for peer in peers:
        pool._on_lost(peer)  # type: ignore[arg-type]
    pool._unseat(4)
    for _ in range(2):
        pool.want(5)
    assert ended == ["run-slot-0"]


@pytest.mark.parametrize("fails", [False, True])
def test_when_sparks_job_has_ended_its_slot_is_not_awaited(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, peers = pool_of(2)
    pool._cluster.context.setJobGroup = pool._cluster.context.addJobTag = lambda *args, **kwargs: None
    pool._group = pool._label = "group"

    def job(index: int) -> list[str]:
        assert not peers[index].ended
        if fails:
            pool._closed.set()  # not again
            raise RuntimeError("the executor was lost")
        return []

    monkeypatch.setattr(pool, "_run_job", job)
    pool._keep_slot(1)
    assert [peer.ended for peer in peers] == [False, True]


@pytest.mark.parametrize(("up", "wanted", "found"), [(0, None, 3), (60, None, 1), (60, 3, 3)])
def test_executors_of_a_young_application_are_waited_for(
    up: float, wanted: int | None, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They register one after the other; of one that has been up for long those that are there are all."""
    monkeypatch.setattr(_session, "SETTLED_SECONDS", 0.5)
    cluster = _session.Cluster.__new__(_session.Cluster)
    cluster.context = SimpleNamespace(startTime=(time.time() - up) * 1000)
    counts = iter([1, 2])
    assert cluster._settled(lambda: next(counts, 3), wanted) == found


class TestLog:
    @pytest.fixture(autouse=True)
    def nobody_has_said_how(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("SPARK_SUBMIT_OPTS", raising=False)
        monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))

    def test_ours_while_spark_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with _session._quiet_log():
            assert os.environ["SPARK_SUBMIT_OPTS"] == f"-Dlog4j2.configurationFile={_session.LOG4J.as_uri()}"
        assert "SPARK_SUBMIT_OPTS" not in os.environ
        monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-Xss8m")
        with _session._quiet_log():
            assert os.environ["SPARK_SUBMIT_OPTS"].startswith("-Xss8m -Dlog4j2")
        assert os.environ["SPARK_SUBMIT_OPTS"] == "-Xss8m"

    @pytest.mark.parametrize("name", ["log4j2.properties", "log4j2.xml", "log4j.properties"])
    def test_that_of_the_configuration(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        with _session._quiet_log():
            assert "SPARK_SUBMIT_OPTS" not in os.environ

    def test_that_of_the_options(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-Dlog4j2.configurationFile=mine.xml")
        with _session._quiet_log():
            assert os.environ["SPARK_SUBMIT_OPTS"] == "-Dlog4j2.configurationFile=mine.xml"
