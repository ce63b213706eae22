"""What a run relies on, on every kind of store: this process's memory, a local disk, a real S3, a real HDFS."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from hopslite.core.types import Event
from hopslite.errors import RunIsRunning, StoreError
from hopslite.storage import annotations as notes
from hopslite.storage import driver_lease, journal, journal_writer
from hopslite.storage.annotations import LOCK, Notes
from hopslite.storage.journal import JournalReader
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import PATIENCE_S, eventually

T = TypeVar("T")

STORES = ["memory", "file", "s3", "hdfs_server", "gs", "azure"]
pytestmark = pytest.mark.parametrize("store_url", STORES, indirect=True)

AT_ONCE = 8
NAMES = [
    "with space",
    "lr=0.1&units=3",
    "100%",
    "%20",
    "a%2Fb",
    "a&b",
    "a#b",
    "a?b=c",
    "a+b",
    "[x]",
    "a*b",
    "a{b,c}",
    "a~b!(c)'d",
    "é",
    "学习率",
    "🙂",
    ".hidden",
    "-",
    "x" * 200,
]


@pytest.fixture
def project(store_url: str) -> Project:
    return Project(store_url)


@pytest.fixture
def run(project: Project) -> RunDir:
    return project.new_run("test")[2]


@pytest.fixture
def elsewhere(run: RunDir) -> RunDir:
    """The same directory, as another one who works on it has it."""
    return RunDir(run.url)


def at_once(call: Callable[[int], T], count: int = AT_ONCE) -> list[T]:
    """What each of some threads returns that call at the same moment."""
    barrier = threading.Barrier(count)
    results: list[T] = []

    def work(number: int) -> None:
        barrier.wait()
        results.append(call(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == count
    return results


def event(number: int, text: str = "") -> Event:
    return Event("report", 1700000000.0 + number, f"{number:04d}", {"value": number, "text": text})


def events(run: RunDir) -> list[Event]:
    return list(JournalReader(run).new())


def write_journal(run: RunDir, *numbers: int) -> None:
    writer = JournalWriter(run)
    for number in numbers:
        writer.append(event(number))
    assert writer.close() is None


class TestNotes:
    def test_of_those_who_write_at_once_nobody_is_lost(self, run: RunDir) -> None:
        def tag(number: int) -> None:
            directory = RunDir(run.url)
            with Notes.locked(directory):
                there = Notes.read(directory)
                Notes({**there.tags, str(number): "x"}, there.text).write(directory)

        at_once(tag)
        assert Notes.read(run).tags.keys() == set(map(str, range(AT_ONCE)))
        assert run.is_local or LOCK not in run.list()

    def test_one_who_was_killed_holds_nobody_up(self, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notes, "ABANDONED_SECONDS", 0.3)
        run.write_bytes(LOCK, b"of one who was killed")
        with Notes.locked(run):
            Notes({"a": "1"}).write(run)
        assert Notes.read(run).tags == {"a": "1"}


class TestFiles:
    def test_what_is_written_can_be_read(self, run: RunDir, elsewhere: RunDir) -> None:
        run.write_bytes("a", b"one")
        run.write_bytes("a", b"two")
        run.write_bytes("empty", b"")
        run.makedirs("deep/er")
        run.write_json("deep/er/b.json", {"x": [1, None, "é"]})
        for one in (run, elsewhere):
            assert one.read_bytes("a") == b"two"
            assert one.read_bytes("empty") == b""
            assert one.read_json("deep/er/b.json") == {"x": [1, None, "é"]}
            assert one.list() == ["a", "deep", "empty"]
            assert one.sub("deep").list() == ["er"]
            assert one.sub("deep", "er").read_json("b.json") == {"x": [1, None, "é"]}
            assert [one.exists(name) for name in ("a", "deep/er/b.json", "b", "")] == [True, True, False, True]

    def test_what_is_not_there(self, run: RunDir) -> None:
        assert run.list("nowhere") == []
        assert not run.exists("nowhere")
        with pytest.raises(FileNotFoundError, match="nowhere"):
            run.read_bytes("nowhere")

    def test_what_others_write_is_seen_at_once(self, run: RunDir, elsewhere: RunDir) -> None:
        run.write_bytes("a", b"one")
        assert elsewhere.list() == ["a"]
        assert not elsewhere.exists("b")
        run.write_bytes("b", b"one")
        assert elsewhere.exists("b")
        assert elsewhere.list() == ["a", "b"]
        run.write_bytes("a", b"another one")
        assert elsewhere.read_bytes("a") == b"another one"
        run.remove(["b", "never there"])
        assert not elsewhere.exists("b")
        assert elsewhere.list() == ["a"]

    def test_what_another_process_writes_is_seen_at_once(self, run: RunDir) -> None:
        if run.url.startswith("memory://"):
            pytest.skip("memory is one process's own")
        run.write_bytes("b", b"before")
        assert run.list() == ["b"]
        assert not run.exists("a")
        program = (
            "import sys; from hopslite.storage.run_directory import RunDir; RunDir(sys.argv[1]).write_bytes('a', b'1')"
        )
        subprocess.run([sys.executable, "-c", program, run.url], check=True, timeout=PATIENCE_S)
        assert run.exists("a")
        assert run.list() == ["a", "b"]

    @pytest.mark.slow("stores")
    @pytest.mark.parametrize("name", NAMES)
    def test_a_name_is_taken_as_it_is(self, run: RunDir, name: str) -> None:
        run.write_bytes(name, b"file")
        run.makedirs(f"in/{name}")
        assert run.create(f"in/{name}/{name}", b"deep")
        assert not run.create(f"in/{name}/{name}", b"again")
        assert run.list() == sorted(["in", name])
        assert run.list("in") == run.list(f"in/{name}") == [name]
        assert run.exists(name)
        assert run.read_bytes(name) == b"file"
        assert run.read_many([f"in/{name}/{name}", name, f"in/{name}/no"]) == [b"deep", b"file", None]
        assert run.sub("in", name).read_bytes(name) == b"deep"
        run.remove([name])
        assert run.list() == ["in"]

    def test_many_are_read_at_once(self, run: RunDir) -> None:
        run.makedirs("many")
        for number in range(0, 20, 2):
            run.write_bytes(f"many/{number}", str(number).encode())
        found = run.read_many([f"many/{number}" for number in range(20)])
        assert found == [None if number % 2 else str(number).encode() for number in range(20)]
        assert run.read_many([]) == []
        assert run.read_many(["nowhere"]) == [None]

    def test_one_of_many_creates(self, run: RunDir) -> None:
        wins = at_once(lambda number: (run.create("claim", str(number).encode()), number))
        assert sorted(won for won, _ in wins) == [False] * (AT_ONCE - 1) + [True]
        assert run.read_bytes("claim") == str(next(number for won, number in wins if won)).encode()
        assert run.list() == ["claim"]

    def test_folders_may_be_made_by_many_and_again(self, run: RunDir) -> None:
        assert at_once(lambda _: run.makedirs("deep/er")) == [None] * AT_ONCE
        run.write_bytes("deep/er/a", b"1")
        run.makedirs("deep/er")
        assert run.read_bytes("deep/er/a") == b"1"

    @pytest.mark.slow("stores")
    def test_a_reader_never_sees_a_part(self, run: RunDir, elsewhere: RunDir) -> None:
        big, small = b"b" * (12 << 20), b"s"  # more than s3fs reads or HDFS writes in one piece
        run.write_bytes("x", small)
        done = threading.Event()
        seen: set[bytes] = set()

        def read() -> None:
            while not done.is_set():
                content = elsewhere.read_bytes("x")
                seen.add(content[:1] * 2 if content in (big, small) else content[:1])

        reader = threading.Thread(target=read)
        reader.start()
        for turn in range(10):
            run.write_bytes("x", small if turn % 2 else big)
        done.set()
        reader.join()
        assert seen
        assert seen <= {b"bb", b"ss"}
        assert run.list() == ["x"]

    @pytest.mark.slow("stores")
    def test_a_large_file(self, run: RunDir) -> None:
        size = (130 if run.url.startswith("s3://") else 20) << 20  # in several parts
        content = os.urandom(1 << 20) * (size >> 20)
        run.write_bytes("large", content)
        assert run.read_bytes("large") == content
        assert not run.create("large", content[::-1])
        assert run.read_many(["large", "no"]) == [content, None]
        assert run.list() == ["large"]

    def test_local_files_are_copied(self, run: RunDir, tmp_path: Any) -> None:
        (tmp_path / "out").mkdir()
        for name in NAMES:
            (tmp_path / "out" / name).write_bytes(name.encode())
        run.upload({str(tmp_path / "out" / name): f"trial/{name}" for name in NAMES})
        assert run.list("trial") == sorted(NAMES)
        assert run.read_many([f"trial/{name}" for name in NAMES]) == [name.encode() for name in NAMES]
        run.sub("trial").download_to(str(tmp_path / "back"))
        assert {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()} == {
            name: name.encode() for name in NAMES
        }


class TestProject:
    def test_versions_count_per_name(self, project: Project) -> None:
        made = [project.new_run(name)[1] for name in ("a", "a", "b", "a b", "a", "é", "é", "a%20b")]
        assert made == [1, 2, 1, 1, 3, 1, 2, 1]

    def test_drivers_that_begin_at_once_have_versions_of_their_own(self, project: Project) -> None:
        made = at_once(lambda _: Project(project.url).new_run("same"))
        assert sorted(version for _, version, _ in made) == list(range(1, AT_ONCE + 1))
        assert len({run_id for run_id, _, _ in made}) == AT_ONCE
        by_version = sorted(((version, run_id) for run_id, version, _ in made), reverse=True)
        assert list(project.runs_named("same")) == [run_id for _, run_id in by_version]

    @pytest.mark.parametrize("name", ["学" * 200, "...", ".hidden", "a/b", "a:b*?", "%2F", "lr=0.1&x#z", "[x]{a,b}"])
    def test_any_name_has_versions(self, project: Project, name: str) -> None:
        assert [project.new_run(given)[1] for given in (name, name, f"{name[:-1]}y", name)] == [1, 2, 1, 3]

    def test_runs_are_found_oldest_first(self, project: Project) -> None:
        assert project.runs() == []
        ids = []
        for _ in range(3):
            run_id, _, directory = project.new_run("x")
            directory.write_json("run.json", {})
            ids.append(run_id)
            now = time.time()
            eventually(lambda before=now: time.time() > before + 0.002, "the clock goes on")  # type: ignore[misc]
        assert project.runs() == ids == sorted(set(ids))
        assert project.run(ids[0]).url.endswith(ids[0])
        with pytest.raises(StoreError, match="nothing"):
            project.run("nothing")

    def test_checking_leaves_nothing_behind(self, project: Project) -> None:
        assert project.check_writable() == []
        assert project.list() == []


class TestJournal:
    def test_events_come_back_in_order(self, run: RunDir) -> None:
        writer = JournalWriter(run)
        written = [event(n, "é\n" * (n % 3)) for n in range(500)]
        for each in written:
            writer.append(each)
        assert writer.close() is None
        assert events(run) == written

    def test_a_reader_elsewhere_follows(self, run: RunDir, elsewhere: RunDir) -> None:
        writer, reader = JournalWriter(run), JournalReader(elsewhere)
        seen: list[Event] = []
        for number in range(300):
            writer.append(event(number, "x" * 100))
            if number % 50 == 0:
                seen += reader.new()
                count = number + 1
                eventually(lambda: seen.extend(reader.new()) or len(seen) >= count, "the event")  # noqa: B023
        assert writer.close() is None
        seen += reader.new()
        assert seen == [event(n, "x" * 100) for n in range(300)]
        assert list(reader.new()) == []
        assert reader.damage is None

    def test_many_threads_append(self, run: RunDir) -> None:
        writer = JournalWriter(run)
        at_once(lambda base: [writer.append(event(1000 * base + number)) for number in range(100)])
        assert writer.close() is None
        values = [each.data["value"] for each in events(run)]
        assert sorted(values) == [1000 * base + number for base in range(AT_ONCE) for number in range(100)]
        for base in range(AT_ONCE):
            mine = [value for value in values if value // 1000 == base]
            assert mine == sorted(mine)

    def test_a_torn_segment_is_made_whole(self, run: RunDir) -> None:
        write_journal(run, 0, 1, 2)
        whole = run.read_bytes("journal/000001.jsonl")
        run.write_bytes("journal/000001.jsonl", whole + event(3).to_line().encode()[:20])
        assert "torn" in str(journal.repair(run))
        assert run.read_bytes("journal/000001.jsonl") == whole
        write_journal(run, 4)
        reader = JournalReader(run)
        assert list(reader.new()) == [event(n) for n in (0, 1, 2, 4)]
        assert reader.damage is None
        assert journal.repair(run) is None

    def test_a_torn_segment_that_nobody_repaired_is_passed_over(self, run: RunDir) -> None:
        write_journal(run, 0)
        whole = run.read_bytes("journal/000001.jsonl")
        run.write_bytes("journal/000001.jsonl", whole + event(1).to_line().encode()[:20])
        write_journal(run, 2)
        reader = JournalReader(run)
        assert list(reader.new()) == [event(0), event(2)]
        assert "000001" in str(reader.damage)

    @pytest.mark.parametrize("first", ["old", "new"])
    def test_a_writer_of_before_is_shut_out(self, run: RunDir, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 0.01)
        monkeypatch.setattr(journal_writer, "SEGMENT_BYTES", 2000)
        old = JournalWriter(run)
        old.append(event(0))
        eventually(lambda: events(run), "the first event")
        assert journal.repair(run) is None

        def late() -> None:
            for number in range(100, 200):
                old.append(event(number, "x" * 100))
                if number % 10 == 0:
                    time.sleep(0.02)  # several flushes, and more than a segment
            failure = old.close()
            assert isinstance(failure, StoreError)
            assert "another driver" in str(failure)

        if first == "old":
            late()
        new = JournalWriter(run)
        new.append(event(1))
        eventually(lambda: len(events(run)) == 2, "the second event")
        if first == "new":
            late()
        new.append(event(2))
        assert new.close() is None
        assert events(run) == [event(0), event(1), event(2)]


class TestLeases:
    def test_one_after_the_other(self, run: RunDir, elsewhere: RunDir) -> None:
        assert driver_lease.has_live_driver(run) is False
        for number in (1, 2):
            session = driver_lease.claim(run)
            assert session.number == number
            assert driver_lease.has_live_driver(elsewhere) is True
            session.renew()
            session.release()
            assert driver_lease.has_live_driver(elsewhere) is False
        assert run.list("sessions") == ["0001.json", "0002.json"]

    def test_a_second_claim_is_refused(self, run: RunDir, elsewhere: RunDir) -> None:
        session = driver_lease.claim(run)
        with pytest.raises(RunIsRunning, match="this process"):
            driver_lease.claim(elsewhere)
        session.renew()
        session.release()

    def test_one_of_many_claims_wins(self, run: RunDir) -> None:
        def claim(_: int) -> driver_lease.DriverLease | None:
            try:
                return driver_lease.claim(RunDir(run.url))
            except RunIsRunning:
                return None

        won = [session for session in at_once(claim) if session is not None]
        assert len(won) == 1
        won[0].renew()
        won[0].release()

    def test_it_counts(self, run: RunDir, elsewhere: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(driver_lease, "LOCAL_SECONDS", 0.1)
        monkeypatch.setattr(driver_lease, "REMOTE_SECONDS", 0.1)
        session = driver_lease.claim(run)
        eventually(lambda: elsewhere.read_json("sessions/0001.json")["counter"] > 1, "it counts")
        session.release()
        assert elsewhere.read_json("sessions/0001.json")["ended"] is True
