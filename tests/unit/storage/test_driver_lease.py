"""Which driver works on a run: one at a time, whoever dies, sleeps or comes from elsewhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite.core.types import Event
from hopslite.errors import RunIsRunning, RunTakenOver
from hopslite.storage import driver_lease, journal, journal_writer
from hopslite.storage.journal import JournalReader
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import PATIENCE_S, eventually
from tests.helpers.small_disk import small_disk

# A driver: it claims the run, writes events and says what it hears. It ends when it is to stop.
DRIVER = """
import sys, time
from hopslite.core.types import Event
from hopslite.errors import RunTakenOver
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.run_directory import RunDir
from hopslite.storage import driver_lease, journal, journal_writer

driver_lease.LOCAL_SECONDS, journal_writer.FLUSH_SECONDS = 0.1, 0.01
run = RunDir(sys.argv[1])
session = driver_lease.claim(run)
writer = JournalWriter(run)
print("claimed", flush=True)
number = 0
while True:
    try:
        session.renew()
    except RunTakenOver as error:
        print(f"{error} {error.host} {error.pid}", flush=True)
        break
    writer.append(Event("report", 0.0, "0000", {"value": number}))
    number += 1
    time.sleep(0.005)
writer.close()
"""


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "project") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def run(folder: str) -> RunDir:
    return Project(folder).new_run("test")[2]


@pytest.fixture
def local(tmp_path: Path) -> RunDir:
    return Project(str(tmp_path / "project")).new_run("test")[2]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_lease, "LOCAL_SECONDS", 0.1)
    monkeypatch.setattr(driver_lease, "REMOTE_SECONDS", 0.1)
    monkeypatch.setattr(driver_lease, "POLL_SECONDS", 0.05)


@pytest.fixture
def driver(local: RunDir) -> Iterator[subprocess.Popen[str]]:
    """Another process that has claimed the run; it is not waited for when a test kills it."""
    process = subprocess.Popen([sys.executable, "-c", DRIVER, local.url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def record(run: RunDir, number: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = run.read_json(f"sessions/{number:04d}.json")
    return found


def change(run: RunDir, **values: Any) -> None:
    """Make the newest session's record say something else."""
    number = driver_lease._newest(run)
    run.write_json(f"sessions/{number:04d}.json", {**record(run, number), **values})


def dead(run: RunDir) -> None:
    """Leave a session of a process that is no more."""
    run.makedirs("sessions")
    run.write_json(
        "sessions/0001.json", {**driver_lease._pid_scope(), "pid": os.getpid(), "began": 1.0, "ended": False}
    )


class TestClaim:
    def test_one_after_the_other(self, run: RunDir) -> None:
        assert driver_lease.has_live_driver(run) is False
        for number in (1, 2, 3):
            session = driver_lease.claim(run)
            assert session.number == number
            assert driver_lease.has_live_driver(run) is True
            session.renew()
            session.release()
            session.release()
            assert driver_lease.has_live_driver(run) is False
        assert run.list("sessions") == ["0001.json", "0002.json", "0003.json"]
        assert not any(thread.name == "hopslite-lease" for thread in threading.enumerate())

    def test_the_run_of_this_process_is_refused(self, run: RunDir) -> None:
        session = driver_lease.claim(run)
        with pytest.raises(RunIsRunning, match="this process") as caught:
            driver_lease.claim(run)
        assert caught.value.run_id == os.path.basename(run.url)
        assert caught.value.pid == os.getpid()
        session.renew()
        session.release()

    def test_a_process_that_works_is_refused_until_it_dies(self, local: RunDir, driver: subprocess.Popen[str]) -> None:
        assert driver_lease.has_live_driver(local) is True
        with pytest.raises(RunIsRunning, match=f"process {driver.pid} on host"):
            driver_lease.claim(local)
        os.kill(driver.pid, signal.SIGSTOP)
        with pytest.raises(RunIsRunning):
            driver_lease.claim(local)
        driver.kill()
        os.waitid(os.P_PID, driver.pid, os.WEXITED | os.WNOWAIT)  # what is left of it waits for its parent
        assert driver_lease.has_live_driver(local) is False
        session = driver_lease.claim(local, pytest.fail)
        assert session.number == 2
        session.release()

    def test_another_process_of_the_same_id_is_not_the_driver(self, local: RunDir) -> None:
        dead(local)
        change(local, pid=os.getppid())  # which began at another time
        driver_lease.claim(local, pytest.fail).release()

    def test_one_of_many_wins(self, local: RunDir) -> None:
        dead(local)
        barrier = threading.Barrier(8)
        won: list[driver_lease.DriverLease] = []
        refused: list[RunIsRunning] = []

        def work() -> None:
            barrier.wait()
            try:
                won.append(driver_lease.claim(local))
            except RunIsRunning as error:
                refused.append(error)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert len(refused) == 7
        won[0].renew()
        won[0].release()

    @pytest.mark.parametrize("folder", ["memory"], indirect=True)
    def test_one_of_two_wins_where_both_could_write(self, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
        """Some file systems look and write in two steps; the last one to write has the run then."""
        create = run.create

        def overwritten(name: str, data: bytes) -> bool:
            made = create(name, data)
            run.write_json(name, {"pid": 7, "host": "elsewhere", "token": "another"})
            return made

        monkeypatch.setattr(run, "create", overwritten)
        with pytest.raises(RunIsRunning, match="process 7 on host elsewhere"):
            driver_lease.claim(run)

    @pytest.mark.parametrize("folder", ["memory"], indirect=True)
    def test_the_loser_of_a_late_overwriting_notices(self, run: RunDir) -> None:
        session = driver_lease.claim(run)
        run.write_json("sessions/0001.json", {"pid": 7, "host": "elsewhere", "token": "another"})
        error = eventually(lambda: taken_over(session), "the session has noticed")
        assert error.host == "elsewhere"
        session.release()
        assert record(run)["token"] == "another"

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}"])
    def test_a_claim_that_was_never_written_ends_nothing(self, local: RunDir, content: bytes) -> None:
        local.makedirs("sessions")
        local.write_bytes("sessions/0001.json", content)
        local.write_bytes("sessions/0001.json.abcd.tmp", b"rubbish")
        assert driver_lease.has_live_driver(local) is None
        session = driver_lease.claim(local)
        assert session.number == 2
        session.release()


def taken_over(session: driver_lease.DriverLease) -> RunTakenOver | None:
    try:
        session.renew()
    except RunTakenOver as error:
        return error
    return None


class TestElsewhere:
    """A driver on another host, of which only its counter can be seen."""

    @pytest.mark.parametrize("place", ["host", "boot", "namespace"])
    def test_it_is_gone_when_it_does_not_count(self, run: RunDir, place: str) -> None:
        dead(run)
        change(run, **{place: "elsewhere"}, period=0.1)
        told: list[str] = []
        assert driver_lease.has_live_driver(run) is None
        session = driver_lease.claim(run, told.append)
        assert session.number == 2
        assert len(told) == 1
        assert f"process {os.getpid()}" in told[0] or "this process" in told[0]
        session.release()

    def test_it_works_when_it_counts(self, run: RunDir) -> None:
        dead(run)
        change(run, host="elsewhere", period=60.0)
        ending = threading.Event()

        def count() -> None:
            number = 0
            while not ending.wait(0.05):
                number += 1
                change(run, counter=number)

        counting = threading.Thread(target=count)
        counting.start()
        try:
            with pytest.raises(RunIsRunning, match="on host elsewhere"):
                driver_lease.claim(run)
        finally:
            ending.set()
            counting.join()

    def test_it_may_end_while_it_is_looked_at(self, run: RunDir) -> None:
        dead(run)
        change(run, host="elsewhere", period=60.0)
        session = driver_lease.claim(run, lambda line: change(run, ended=True))
        assert session.number == 2
        session.release()

    def test_nobody_compares_clocks(self, run: RunDir) -> None:
        dead(run)
        change(run, host="elsewhere", period=0.1, time=time.time() + 1e6)
        driver_lease.claim(run).release()


class TestDriverLease:
    def test_it_counts(self, run: RunDir) -> None:
        session = driver_lease.claim(run)
        first = eventually(lambda: record(run)["counter"], "the session counts")
        eventually(lambda: record(run)["counter"] > first, "and goes on")
        session.release()
        assert record(run)["ended"] is True

    def test_it_survives_a_store_that_fails_now_and_then(
        self, run: RunDir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        session = driver_lease.claim(run)

        def fail(*args: Any) -> None:
            raise OSError("out of order")

        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(run, "write_bytes", fail)
            eventually(lambda: "out of order" in caplog.text, "a warning")
            began = time.monotonic()
            for _ in range(1000):
                session.renew()
            assert time.monotonic() - began < 10
        before = record(run)["counter"]
        eventually(lambda: record(run)["counter"] > before, "it counts again")
        assert caplog.text.count("out of order") == 1
        session.release()

    def test_an_end_that_cannot_be_recorded_does_not_keep_the_run_from_this_process(
        self, run: RunDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = driver_lease.claim(run)

        def fail(*args: Any) -> None:
            raise OSError("out of order")

        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(run, "write_bytes", fail)
            session.release()
        assert record(run)["ended"] is False
        driver_lease.claim(run).release()

    def test_its_end_is_recorded_on_a_full_disk(self, tmp_path: Path) -> None:
        """The run would count as being worked on for as long as the process lives."""
        with small_disk(tmp_path / "small") as disk:
            run = RunDir(str(disk.path))
            session = driver_lease.claim(run)
            disk.fill()
            session.release()
            assert record(run)["ended"] is True
            assert driver_lease.has_live_driver(run) is False

    def test_it_notices_that_the_run_was_taken_over(self, run: RunDir) -> None:
        session = driver_lease.claim(run)
        run.write_json("sessions/0002.json", {"pid": 7, "host": "elsewhere"})
        error = eventually(lambda: taken_over(session), "the session has noticed")
        assert "process 7 on host elsewhere" in str(error)
        assert isinstance(taken_over(session), RunTakenOver)
        session.release()

    def test_a_driver_that_slept_while_its_run_was_taken_over_stops(
        self, local: RunDir, driver: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 0.01)
        eventually(lambda: list(JournalReader(local).new()), "it writes")
        os.kill(driver.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, driver.pid, os.WSTOPPED | os.WNOWAIT)
        change(local, host="elsewhere")  # as if this were another one, from where its process cannot be seen
        session = driver_lease.claim(local)
        journal.repair(local)
        kept = list(JournalReader(local).new())
        writer = JournalWriter(local)
        writer.append(Event("run_started", 1.0))
        os.kill(driver.pid, signal.SIGCONT)
        out, _ = driver.communicate(timeout=PATIENCE_S)
        assert "taken over by process" in out
        assert out.split()[-1] == str(os.getpid())
        writer.append(Event("run_ended", 2.0))
        assert writer.close() is None
        session.renew()
        session.release()
        assert list(JournalReader(local).new()) == [*kept, Event("run_started", 1.0), Event("run_ended", 2.0)]

    def test_a_long_sleep_is_noticed_before_anything_is_done(
        self, run: RunDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(driver_lease, "LOCAL_SECONDS", 3600.0)
        monkeypatch.setattr(driver_lease, "REMOTE_SECONDS", 3600.0)
        monkeypatch.setattr(driver_lease, "CATCH_UP_SECONDS", 60.0)
        session = driver_lease.claim(run)
        run.write_json("sessions/0002.json", {"pid": 7, "host": "elsewhere"})
        session.renew()  # not due
        session._checked_at -= 4 * 3600.0  # as after a sleep
        with pytest.raises(RunTakenOver):
            session.renew()
        session.release()


def test_the_record_is_json_that_people_can_read(run: RunDir) -> None:
    session = driver_lease.claim(run)
    found = json.loads(run.read_bytes("sessions/0001.json"))
    session.release()
    assert found["pid"] == os.getpid()
    assert found["host"]
    assert found["ended"] is False
