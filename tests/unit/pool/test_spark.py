"""Counting of slots in the pool on Spark, without Spark: slots come and go as messages of their channel."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopslite.core.types import Spec
from hopslite.executor.job_spec import Job
from hopslite.pool import Resources, _cluster_capacity, _spark_cluster, _spark_session, _spark_task
from hopslite.pool.spark import Spark


class SlotSession:
    """A slot's connection that keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.ended = self.said_goodbye = self.paused = False

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def drop(self) -> None:
        self.ended = True

    request_drop = drop


def pool_of(slots: int) -> tuple[Spark, list[SlotSession]]:
    """A pool whose slots are all connected and idle, and whose cluster has room for no others."""
    pool = Spark.__new__(Spark)
    pool._resources = Resources(parallelism=slots)
    pool._cluster = SimpleNamespace(local=False)  # type: ignore[assignment]
    pool._backend = SimpleNamespace(closed=False, stop_reason=None, cancel=lambda tag: None)  # type: ignore[assignment]
    pool._inbox, pool._lock, pool._closed = queue.SimpleQueue(), threading.Lock(), threading.Event()
    pool._idle, pool._busy, pool._connected, pool._registered, pool._orphaned_jobs = deque(), {}, set(), {}, set()
    pool._slots_wanted = pool._capacity = slots
    pool._next_resize = 0.0
    pool._slots = {index: threading.current_thread() for index in range(slots)}
    sessions = [SlotSession() for _ in range(slots)]
    for index, session in enumerate(sessions):
        pool._on_message(session, {"type": "ready", "slot": index})  # type: ignore[arg-type]
    return pool, sessions


def test_a_slot_whose_disk_is_full_gets_no_trial_until_there_is_room() -> None:
    pool, (full, other) = pool_of(2)
    assert pool.submit(Spec("0000", {}, "/t/0000"))
    pool._on_message(full, {"type": "no_room", "host": "a", "problem": "no space"})  # type: ignore[arg-type]
    result = {"trial_id": "0000", "state": "FAILED", "cause": "storage"}
    pool._on_message(full, {"type": "ended", "result": result, "paused": True})  # type: ignore[arg-type]
    assert (pool.free, pool.size) == (1, 2)
    events = [(event.kind, event.trial) for event in pool.wait(0)]
    assert events == [("no_room", None), ("ended", "0000")]
    assert pool.submit(Spec("0001", {}, "/t/0001"))
    assert other.sent[-1]["spec"]["trial_id"] == "0001"
    assert not pool.submit(Spec("0002", {}, "/t/0002"))
    pool._on_message(full, {"type": "room"})  # type: ignore[arg-type]
    assert [event.kind for event in pool.wait(0)] == ["room"]
    assert pool.free == 1
    assert pool.submit(Spec("0002", {}, "/t/0002"))
    assert full.sent[-1]["spec"]["trial_id"] == "0002"


def let_go(sessions: list[SlotSession]) -> int:
    return sum(session.sent.count({"type": "exit"}) for session in sessions)


def test_idle_slots_are_given_back_once() -> None:
    """They take a moment to leave; meanwhile they count no more, or others would be let go in their place."""
    pool, sessions = pool_of(8)
    for _ in range(5):
        pool.want(6)
    assert let_go(sessions) == 2
    assert (pool.free, pool.size) == (6, 6)
    for session in [session for session in sessions if session.sent]:
        session.said_goodbye = True
        pool._on_lost(session)  # type: ignore[arg-type]
    pool.want(6)
    assert let_go(sessions) == 2
    assert (pool.free, pool.size) == (6, 6)


def test_busy_slots_are_kept() -> None:
    pool, sessions = pool_of(3)
    assert pool.submit(Spec("0000", {}, "/p"))
    assert pool.submit(Spec("0001", {}, "/p"))
    pool.want(1)
    assert [[message["type"] for message in session.sent] for session in sessions] == [["run"], ["run"], ["exit"]]
    assert (pool.free, pool.size) == (0, 2)


@pytest.mark.parametrize("lost_too", [False, True])
def test_without_an_idle_slot_a_trial_is_refused(lost_too: bool) -> None:
    pool, sessions = pool_of(1)
    if lost_too:
        pool._on_lost(sessions[0])  # type: ignore[arg-type]
    else:
        assert pool.submit(Spec("0000", {}, "/p"))
    said = list(sessions[0].sent)
    assert not pool.submit(Spec("0001", {}, "/p"))
    assert sessions[0].sent == said


def test_a_slot_that_spark_has_started_again_takes_the_place_of_the_one_before() -> None:
    """Its connection may still be awaited; what ran there is known to be lost now."""
    pool, sessions = pool_of(2)
    again = SlotSession()
    pool._on_message(again, {"type": "ready", "slot": 1})  # type: ignore[arg-type]
    assert [session.ended for session in (*sessions, again)] == [False, True, False]


def test_the_job_of_a_slot_that_is_given_up_is_ended_once() -> None:
    """It may hang, and holds a core; one that leaves, or whose job has ended or was begun again, is left alone."""
    pool, sessions = pool_of(5)
    ended: list[str] = []
    pool._backend.cancel = ended.append  # type: ignore[method-assign]
    pool._group = pool._label = "run"
    sessions[1].said_goodbye = True
    pool._on_message(SlotSession(), {"type": "ready", "slot": 2})  # type: ignore[arg-type]
    pool._unregister(3)
    for session in sessions:
        pool._on_lost(session)  # type: ignore[arg-type]
    pool._unregister(4)
    for _ in range(2):
        pool.want(5)
    assert ended == ["run-slot-0"]


@pytest.mark.parametrize("fails", [False, True])
def test_when_sparks_job_has_ended_its_slot_is_not_awaited(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, sessions = pool_of(2)
    pool._group = pool._label = "group"

    def job(index: int) -> list[str]:
        assert not sessions[index].ended
        if fails:
            pool._closed.set()  # not again
            raise RuntimeError("the executor was lost")
        return []

    monkeypatch.setattr(pool, "_run_job", job)
    pool._run_slot_thread(1)
    assert [session.ended for session in sessions] == [False, True]


@pytest.mark.parametrize(("up", "requested", "expected"), [(0, None, 3), (60, None, 1), (60, 3, 3)])
def test_executors_of_a_young_application_are_waited_for(
    up: float, requested: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They register one after the other; of one that has been up for long those that are there are all."""
    monkeypatch.setattr(_cluster_capacity, "SETTLED_SECONDS", 0.5)
    cluster = _spark_cluster.Cluster.__new__(_spark_cluster.Cluster)
    cluster.context = SimpleNamespace(startTime=(time.time() - up) * 1000)
    counts = iter([1, 2])
    assert cluster._wait_until_stable(lambda: next(counts, 3), requested) == expected


class Context:
    """SparkContext that counts how often its configuration is read."""

    applicationId = master = version = uiWebUrl = "local[2]"
    pythonExec = "python"
    reads = 0

    def getConf(self) -> Context:
        self.reads += 1
        return self

    def getAll(self) -> list[tuple[str, str]]:
        return [("spark.task.cpus", "1")]

    @property
    def resources(self) -> dict[str, object]:
        raise AssertionError("GPUs were looked up for trials that request none")


def test_later_runs_ask_a_session_for_less() -> None:
    context = Context()
    for _ in range(3):
        cluster = _spark_cluster.Cluster(SimpleNamespace(sparkContext=context), None, None)
        assert cluster.problems() == []
        assert (cluster.conf("spark.task.cpus"), cluster.gpus_of_slot(0)) == ("1", None)
        assert _spark_cluster.facts_of(context)["conf"] == {"spark.task.cpus": "1"}
    assert context.reads == 1


@pytest.mark.parametrize(("isolation", "reuses"), [("process", True), ("none", False)])
def test_spark_uses_a_python_worker_again_unless_trials_ran_in_it(
    isolation: str, reuses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("the driver is gone")

    reads = []

    def partition() -> Iterator[int]:
        yield 0
        reads.append("its end")

    monkeypatch.setattr(_spark_task, "ReconnectingClient", refuse)
    job = Job("run", "name", "project", b"", None, 0, isolation=isolation)
    assert "the driver is gone" in next(_spark_task.run_slot(partition(), address=("localhost", 1), key=b"", job=job))
    assert reads == ["its end"] * reuses


class TestLog:
    @pytest.fixture(autouse=True)
    def nobody_has_said_how(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("SPARK_SUBMIT_OPTS", raising=False)
        monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))

    def test_ours_while_spark_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with _spark_session._default_log_settings():
            assert os.environ["SPARK_SUBMIT_OPTS"] == f"-Dlog4j2.configurationFile={_spark_session.LOG4J.as_uri()}"
        assert "SPARK_SUBMIT_OPTS" not in os.environ
        monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-Xss8m")
        with _spark_session._default_log_settings():
            assert os.environ["SPARK_SUBMIT_OPTS"].startswith("-Xss8m -Dlog4j2")
        assert os.environ["SPARK_SUBMIT_OPTS"] == "-Xss8m"

    @pytest.mark.parametrize("name", ["log4j2.properties", "log4j2.xml", "log4j.properties"])
    def test_that_of_the_configuration(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        with _spark_session._default_log_settings():
            assert "SPARK_SUBMIT_OPTS" not in os.environ

    def test_that_of_the_options(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-Dlog4j2.configurationFile=mine.xml")
        with _spark_session._default_log_settings():
            assert os.environ["SPARK_SUBMIT_OPTS"] == "-Dlog4j2.configurationFile=mine.xml"
