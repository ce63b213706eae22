"""The run directory and its journal: what is written is there, whole, once, and without secrets."""

from __future__ import annotations

import errno
import io
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import types
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from hopslite.core.redaction import spark_settings
from hopslite.core.types import Event, Result, Spec, State
from hopslite.errors import StoreError
from hopslite.storage import journal, journal_writer
from hopslite.storage.journal import JournalReader
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from hopslite.storage.snapshot import save_snapshot
from tests.helpers.observe import eventually, files_below
from tests.helpers.small_disk import small_disk


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "project") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def run(folder: str) -> RunDir:
    return Project(folder).new_run("test")[2]


def events(run: RunDir) -> list[Event]:
    return list(JournalReader(run).new())


def event(number: int, text: str = "") -> Event:
    return Event("report", 1700000000.0 + number, f"{number:04d}", {"value": number, "text": text})


class TestRunDir:
    def test_a_failed_write_leaves_the_old_file_and_no_rubbish(self, full_disk: Path) -> None:
        run = RunDir(str(full_disk))
        run.write_bytes("x", b"old")
        with pytest.raises(OSError, match="No space"):
            run.write_bytes("x", b"n" * (4 << 20))
        assert run.read_bytes("x") == b"old"
        assert run.list() == ["x"]

    def test_an_unknown_file_system_is_told(self) -> None:
        with pytest.raises(StoreError, match="nosuch") as caught:
            RunDir("nosuch://joe:hunter@2@host/x")
        assert "hunter" not in str(caught.value)
        assert "2@" not in str(caught.value)

    def test_host_and_port_stay_in_the_url(self) -> None:
        project = RunDir("webhdfs://node:9870/user/x/")
        assert project.url == "webhdfs://node:9870/user/x"
        assert project.path("a", "b") == "webhdfs://node:9870/user/x/a/b"
        trial = project.sub("a", "b")
        assert trial.url == project.path("a", "b")
        assert (trial.fs.storage_options["host"], trial.fs.storage_options["port"]) == ("node", 9870)

    def test_the_root_of_a_file_system(self) -> None:
        name = uuid.uuid4().hex
        for root in ("memory://", "memory:///"):
            project = RunDir(root)
            assert project.path(name) == f"memory:///{name}"
            project.write_bytes(name, b"x")
            assert project.read_bytes(name) == b"x"
            assert name in project.list()
        project.fs.rm(f"/{name}")
        assert RunDir("webhdfs://node:1/").path("x") == "webhdfs://node:1/x"

    def test_a_local_url_becomes_a_plain_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for given in (f"file://{tmp_path}/p/", f"{tmp_path}/p", "p", "./p/"):
            assert RunDir(given).path("a") == str(tmp_path / "p" / "a")

    def test_credentials_are_not_shown(self) -> None:
        project = RunDir("webhdfs://joe:hunter2@node:9870/user/x")
        assert project.path("a") == "webhdfs://joe:hunter2@node:9870/user/x/a"
        assert project.shown == "webhdfs://node:9870/user/x"
        assert "hunter2" not in repr(project)

    def test_what_a_file_system_raises_is_an_os_error(self, foreign: type[Foreign]) -> None:
        run = RunDir("foreign://x")
        run.write_bytes("a", b"1")
        foreign.broken = True
        for call in (run.exists, run.read_bytes, run.list, run.makedirs):
            with pytest.raises(StoreError, match="out of order"):
                call("a")
        for write in (run.write_bytes, run.create):
            with pytest.raises(StoreError, match="out of order"):
                write("a", b"2")
        assert len(Project("foreign://x").check_writable()) == 1
        foreign.broken = False
        assert run.read_bytes("a") == b"1"

    def test_json_is_strict(self, run: RunDir) -> None:
        def refuse(name: str) -> NoReturn:
            raise AssertionError(name)

        endless = float("inf")
        run.write_json("x", {"a": [float("nan"), endless, -endless, 0.5], "state": State.FAILED, "e": {1: (2, None)}})
        found = json.loads(run.read_bytes("x"), parse_constant=refuse)
        assert found == {"a": ["NaN", "Infinity", "-Infinity", 0.5], "state": "FAILED", "e": {"1": [2, None]}}


class Foreign(MemoryFileSystem):
    """A file system with exceptions of its own."""

    protocol = "foreign"
    broken = False
    store: dict[str, Any] = {}
    pseudo_dirs = [""]

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError("out of order")

    def __getattribute__(self, name: str) -> Any:
        calls = ("exists", "cat_file", "pipe_file", "ls", "makedirs", "rm_file", "rmdir")
        return super().__getattribute__("_refuse" if name in calls and type(self).broken else name)


@pytest.fixture
def foreign() -> Iterator[type[Foreign]]:
    fsspec.register_implementation("foreign", Foreign, clobber=True)
    Foreign.store.clear()
    Foreign.broken = False
    yield Foreign
    Foreign.broken = False


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "size=1m") as disk:
        yield disk.path


class TestProject:
    @pytest.mark.parametrize(
        "name", ["学" * 200, "学" * 199 + "x", "." * 3, ".hidden", "a:b*?", "%2F", "é" * 51, "x" * 200]
    )
    def test_any_name_has_versions(self, folder: str, name: str) -> None:
        project = Project(folder)
        assert [project.new_run(given)[1] for given in (name, name, f"{name[:-1]}y", name)] == [1, 2, 1, 3]
        folders = project.list("Experiments/.versions")
        assert len(folders) == 2
        assert all(len(each.encode()) <= 100 and not each.startswith(".") for each in folders)

    def test_a_version_that_cannot_be_claimed_leaves_no_run(self, folder: str) -> None:
        project = Project(folder)
        project.makedirs("Experiments")
        project.write_bytes("Experiments/.versions", b"in the way")
        with pytest.raises(StoreError, match="cannot be written"):
            project.new_run("x")
        assert project.runs() == []

    def test_many_drivers_claim_versions_at_once(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        with context.Pool(4) as pool:
            versions = pool.map(_claim, [str(tmp_path / "p")] * 40, chunksize=1)
        assert sorted(versions) == list(range(1, 41))
        assert len(Project(str(tmp_path / "p")).runs()) == 40

    def test_a_project_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        project = Project(str(tmp_path / "file" / "p"))
        assert len(project.check_writable()) == 1
        with pytest.raises(StoreError, match="project"):
            project.new_run("x")

    def test_checking_leaves_nothing_behind(self, tmp_path: Path) -> None:
        assert Project(str(tmp_path / "a" / "b")).check_writable() == []
        assert files_below(tmp_path) == set()
        (tmp_path / "a").mkdir()
        assert Project(str(tmp_path / "a")).check_writable() == []
        assert files_below(tmp_path) == {"a"}

    def test_checking_creates_no_folder_that_another_driver_could_need(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("mkdir", "rmdir"):
            monkeypatch.setattr(os, name, lambda *_, **__: pytest.fail("another driver could use this folder now"))
        assert Project(str(tmp_path / "a" / "b")).check_writable() == []

    def test_a_name_that_no_folder_can_have_is_a_problem(self, tmp_path: Path) -> None:
        assert len(Project(str(tmp_path / ("a" * 300) / "b")).check_writable()) == 1
        (tmp_path / "link").symlink_to(tmp_path / "nothing")
        assert len(Project(str(tmp_path / "link")).check_writable()) == 1


def _claim(folder: str) -> int:
    assert Project(folder).check_writable() == []
    return Project(folder).new_run("same")[1]


class TestJournal:
    def test_what_is_abandoned_writes_no_more(self, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 60.0)
        writer = JournalWriter(run)
        writer.append(Event("started", 0.0))
        writer.abandon()
        writer.append(Event("ended", 0.0))
        assert list(JournalReader(run).new()) == []

    def test_an_event_is_durable_within_a_second(self, run: RunDir) -> None:
        writer = JournalWriter(run)
        reader = JournalReader(run)
        for number in range(3):
            writer.append(event(number))
            found = eventually(lambda: list(reader.new()), "the event", seconds=10)
            assert found == [event(number)]
        assert journal_writer.FLUSH_SECONDS <= 0.5
        writer.close()

    def test_segments_follow_each_other(self, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_writer, "SEGMENT_BYTES", 2000)
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 0.001)
        writer, reader = JournalWriter(run), JournalReader(run)
        seen = []
        for number in range(60):
            writer.append(event(number, "x" * 200))
            seen += eventually(lambda: list(reader.new()), "the event")
        writer.close()
        assert [e.data["value"] for e in seen] == list(range(60))
        assert len(run.list("journal")) > 3
        assert run.list("journal")[0] == "000001.jsonl"
        assert events(run) == seen

    def test_a_torn_last_line_is_left_out(self, tmp_path: Path) -> None:
        run = RunDir(str(tmp_path))
        writer = JournalWriter(run)
        for number in range(3):
            writer.append(event(number))
        writer.close()
        segment = tmp_path / "journal" / "000001.jsonl"
        whole = segment.read_bytes()
        line = event(3).to_line().encode() + b"\n"
        for cut in (1, len(line) // 2, len(line) - 1):
            segment.write_bytes(whole + line[:cut])
            reader = JournalReader(run)
            assert list(reader.new()) == [event(0), event(1), event(2)]
            segment.write_bytes(whole + line)
            assert list(reader.new()) == [event(3)]

    def test_a_later_writer_goes_on_after_a_torn_line(self, tmp_path: Path) -> None:
        run = RunDir(str(tmp_path))
        writer = JournalWriter(run)
        writer.append(event(0))
        writer.close()
        with (tmp_path / "journal" / "000001.jsonl").open("ab") as file:
            file.write(event(1).to_line().encode()[:20])
        again = JournalWriter(run)
        again.append(event(2))
        again.close()
        assert events(run) == [event(0), event(2)]

    def test_a_full_disk_loses_nothing_once_there_is_room(
        self, full_disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 0.01)
        run = RunDir(str(full_disk))
        writer = JournalWriter(run)
        written = [event(n, "x" * 500) for n in range(100)]
        writer.append(written[0])  # its page has room left, so that the next write gets half done
        eventually(lambda: events(run), "the first event")
        ballast = full_disk / "ballast"
        ballast.write_bytes(b"")
        with ballast.open("ab", buffering=0) as file:
            while True:
                try:
                    if file.write(b"x" * 4096) < 4096:
                        break
                except OSError:
                    break
        for each in written[1:]:
            writer.append(each)
        eventually(lambda: "journal cannot be written" in caplog.text, "a warning")
        assert caplog.text.count("journal cannot be written") == 1
        for seen in events(run):
            assert seen in written
        ballast.unlink()
        eventually(lambda: len(events(run)) == 100, "everything is written")
        assert writer.close() is None
        assert events(run) == written

    @pytest.mark.slow("soak")
    def test_any_failure_of_a_file_system_is_survived(
        self, foreign: type[Foreign], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 0.01)
        run = RunDir("foreign://journal-of-a-run")
        writer = JournalWriter(run)
        foreign.broken = True
        writer.append(event(0))
        eventually(lambda: "out of order" in caplog.text, "a warning")
        foreign.broken = False
        eventually(lambda: events(run) == [event(0)], "the event")
        foreign.broken = True
        writer.append(event(1))
        failure = writer.close()
        assert isinstance(failure, OSError)
        assert "out of order" in str(failure)

    def test_what_could_not_be_written_is_told(self, full_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 0.01)
        writer = JournalWriter(RunDir(str(full_disk)))
        writer.append(event(0, "x" * (2 << 20)))
        failure = writer.close()
        assert isinstance(failure, OSError)

    def test_half_a_line_that_cannot_be_undone_at_once_is_undone_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a disk fails altogether the file cannot be cut either; what is written later must not follow it."""
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 0.01)
        run = RunDir(str(tmp_path))
        writer = JournalWriter(run)
        writer.append(event(0))
        eventually(lambda: events(run), "the first event")
        broken: list[str] = []

        def write(file: int, data: Any, write: Any = os.write) -> int:
            if threading.current_thread().name == "hopslite-journal" and "write" not in broken:
                broken.append("write")
                write(file, bytes(data[:20]))
                raise OSError(errno.EIO, "Input/output error")
            return int(write(file, data))

        def truncate(file: int, size: int, truncate: Any = os.ftruncate) -> None:
            if "truncate" not in broken:
                broken.append("truncate")
                raise OSError(errno.EIO, "Input/output error")
            truncate(file, size)

        monkeypatch.setattr(os, "write", write)
        monkeypatch.setattr(os, "ftruncate", truncate)
        writer.append(event(1))
        eventually(lambda: len(broken) == 2 and len(events(run)) == 2, "it is written")
        assert writer.close() is None
        assert events(run) == [event(0), event(1)]
        assert JournalReader(run).damage is None

    def test_what_is_written_to_a_deleted_journal_is_not_taken_for_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 0.01)
        run = RunDir(str(tmp_path))
        writer = JournalWriter(run, is_watched=True)
        writer.append(event(0))
        assert writer.flush(10.0) is None
        os.rename(run.path("journal"), run.path("moved"))
        writer.append(event(1))
        assert isinstance(writer.flush(10.0), FileNotFoundError)
        assert isinstance(writer.failure, FileNotFoundError)
        assert writer.unwritten() == [event(1)]
        os.rename(run.path("moved"), run.path("journal"))
        assert writer.flush(10.0) is None
        assert (writer.failure, writer.unwritten()) == (None, [])
        writer.close()
        assert events(run) == [event(0), event(1)]

    def test_a_write_that_does_not_return_counts_as_failing(self, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
        """As of a network file system whose server is away."""
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 0.01)
        monkeypatch.setattr(journal_writer, "STALLED_SECONDS", 0.1)
        goes_on = threading.Event()
        write = JournalWriter._write

        def slowly(writer: JournalWriter, batch: list[str]) -> None:
            goes_on.wait(60)
            write(writer, batch)

        monkeypatch.setattr(JournalWriter, "_write", slowly)
        writer = JournalWriter(run)
        assert writer.failure is None
        writer.append(event(0))
        eventually(lambda: "has not answered" in str(writer.failure), "it is noticed")
        goes_on.set()
        assert writer.close() is None
        assert writer.failure is None
        assert events(run) == [event(0)]

    def test_values_make_the_round_trip(self, run: RunDir) -> None:
        import numpy as np

        result = Result("0001", State.FAILED, None, {"a": 1}, "bad", "exit", None, 1.5, 2.5, "host", ("w",), {"m": 1.0})
        writer = JournalWriter(run)
        writer.append(Event("ended", 1.0, "0001", result.to_json()))
        writer.append(Event("asked", 2.0, "0002", {"params": {"x": np.float32(0.5), "f": len, "n": float("nan")}}))
        writer.close()
        first, second = events(run)
        assert Result.from_json(first.data) == result
        assert second.data["params"]["x"] == 0.5
        spec = Spec("0001", {"x": 1}, "dir", 2, 1)
        assert Spec.from_json({**spec.to_json(), "of a newer version": 1}) == spec


FILLED = b"\0" * 4096


class TestRepair:
    @pytest.fixture
    def two(self, run: RunDir) -> RunDir:
        """A run whose journal has a segment of 20 events."""
        writer = JournalWriter(run)
        for number in range(20):
            writer.append(event(number, "é" * (number % 5)))
        writer.close()
        return run

    def test_a_sound_journal_stays_as_it_is(self, two: RunDir) -> None:
        assert journal.repair(two) is None
        assert journal.repair(two) is None
        assert events(two) == [event(n, "é" * (n % 5)) for n in range(20)]

    def test_no_journal_is_nothing_to_repair(self, run: RunDir) -> None:
        assert journal.repair(run) is None
        assert run.list("journal") == []

    def test_a_segment_cut_at_any_byte(self, two: RunDir) -> None:
        (name,) = (f"journal/{each}" for each in two.list("journal"))
        data = two.read_bytes(name)
        written = [event(n, "é" * (n % 5)) for n in range(20)]
        ends = [len(b"".join(data.splitlines(keepends=True)[:n])) for n in range(21)]
        for cut in range(ends[18], ends[20] + 1):
            for each in two.list("journal"):
                two.fs.rm_file(two._at(f"journal/{each}"))
            two.write_bytes(name, data[:cut])
            whole = max(n for n in range(21) if cut >= ends[n] - 1)  # all but the end of its line is an event, too
            torn = cut - ends[whole] if cut > ends[whole] else 0
            said = journal.repair(two)
            assert events(two) == written[:whole], cut
            if torn:
                assert said == (
                    f"the journal's last line was torn and is dropped: {torn} byte{'s' * (torn > 1)} of {name}"
                )
            else:
                assert said is None, cut
            assert journal.repair(two) is None
            again = JournalWriter(two)
            again.append(event(99))
            again.close()
            reader = JournalReader(two)
            assert list(reader.new()) == [*written[:whole], event(99)], cut
            assert reader.damage is None

    @pytest.mark.parametrize("repaired", [True, False])
    @pytest.mark.parametrize(
        ("tail", "kept", "lines"),
        [
            (FILLED, 0, 1),
            (FILLED + event(20).to_line().encode() + b"\n", 1, 0),
            (b'\xff\x00rubbish\n[1, 2]\n\n{}\n"text"\n', 0, 4),
            (b'{"kind": 1, "time": 2}\n', 0, 1),
            (b"[" * 100_000 + b"\n", 0, 1),
            (b"rubbish\n" + event(20).to_line().encode() + b"\nrub", 1, 2),
            (b"\r\n\n", 0, 0),
        ],
    )
    def test_what_is_no_event_is_dropped(self, two: RunDir, tail: bytes, kept: int, lines: int, repaired: bool) -> None:
        two.write_bytes("journal/000001.jsonl", two.read_bytes("journal/000001.jsonl") + tail)
        said = journal.repair(two) if repaired else None
        again = JournalWriter(two)
        again.append(event(99))
        again.close()
        expected = [event(n, "é" * (n % 5)) for n in range(20)] + [event(20)] * kept + [event(99)]
        reader = JournalReader(two)
        assert list(reader.new()) == expected
        if repaired:
            assert reader.damage is None
            assert (said is None) == (lines == 0)
            assert lines < 2 or f"{lines} lines" in str(said)
        else:
            zeros = tail == FILLED  # room that was never written is no loss
            assert (reader.damage is None) == (lines == 0 or zeros)
            assert lines < 2 or f"{lines} lines" in str(reader.damage)

    @pytest.mark.parametrize(
        "stray",
        [
            Event("started", 1.0, "../../../../etc"),
            Event("started", 1.0, ".."),
            Event("started", 1.0, ""),
            Event("ended", 1.0, "0000", Result("../../../../etc", State.FINISHED).to_json()),
            Event("ended", 1.0, "0000", Result("0001", State.FINISHED).to_json()),
            Event("asked", 1.0, "0000", {"params": {}, "continues": "../0001"}),
        ],
    )
    def test_ids_that_are_no_trials_are_passed_over(self, run: RunDir, stray: Event) -> None:
        sound = [
            Event("asked", 1.0, "0001", {"params": {}, "continues": "0000"}),
            Event("asked", 1.0, "without_lr-2", {"params": {}, "continues": None}),
            Event("ended", 2.0, "0001", Result("0001", State.FINISHED).to_json()),
        ]
        writer = JournalWriter(run)
        for each in (sound[0], stray, *sound[1:]):
            writer.append(each)
        assert writer.close() is None
        reader = JournalReader(run)
        assert [(each.kind, each.trial) for each in reader.new()] == [(each.kind, each.trial) for each in sound]
        assert "1 line" in str(reader.damage)

    def test_garbage_in_an_earlier_segment_is_passed_over_and_told(self, two: RunDir) -> None:
        lines = two.read_bytes("journal/000001.jsonl").splitlines(keepends=True)
        two.write_bytes("journal/000001.jsonl", b"".join([*lines[:5], b"x" * 50 + b"\n", *lines[6:]]))
        two.write_bytes("journal/000002.jsonl", event(20).to_line().encode() + b"\n")
        assert journal.repair(two) is None
        reader = JournalReader(two)
        assert [e.data["value"] for e in reader.new()] == [0, 1, 2, 3, 4, *range(6, 21)]
        assert reader.damage == (
            "the journal is damaged: 1 line (50 bytes) of journal/000001.jsonl cannot be read and is passed over"
        )

    def test_strange_files_are_no_segments(self, two: RunDir) -> None:
        for name in ("000007.jsonl.abcd.tmp", "notes.txt", "7.jsonl", "x00009.jsonl", "000003.json", "٠٠٠٠٠٩.jsonl"):
            two.write_bytes(f"journal/{name}", b"rubbish")
        two.write_bytes("journal/1000000.jsonl", event(20).to_line().encode() + b"\n")
        two.write_bytes("journal/999999.jsonl", event(19).to_line().encode() + b"\n")
        again = JournalWriter(two)
        again.append(event(21))
        again.close()
        assert "1000001.jsonl" in two.list("journal")
        assert [e.data["value"] for e in events(two)] == [*range(20), 19, 20, 21]

    def test_a_write_that_only_seemed_to_fail_is_not_repeated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal_writer, "FLUSH_SECONDS", 0.01)
        run = RunDir(f"memory://{uuid.uuid4().hex}")
        create, fail = run.create, [True]

        def create_and_fail(name: str, data: bytes) -> bool:
            made = create(name, data)
            if fail:
                raise OSError(fail.pop())
            return made

        monkeypatch.setattr(run, "create", create_and_fail)
        writer = JournalWriter(run)
        writer.append(event(0))
        eventually(lambda: not fail, "the failure")
        writer.append(event(1))
        assert writer.close() is None
        assert events(run) == [event(0), event(1)]

    def test_events_read_before_a_failure_are_not_lost(self, two: RunDir) -> None:
        two.write_bytes("journal/000002.jsonl", event(20).to_line().encode() + b"\n")
        reader = JournalReader(two)
        contents = reader._contents

        def failing(numbers: list[int]) -> Iterator[bytes]:
            yield from itertools.islice(contents(numbers), sound)
            raise OSError("out of order")

        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(reader, "_contents", failing)
            sound = 1
            assert len(list(reader.new())) == 20
            sound = 0
            with pytest.raises(OSError, match="out of order"):
                list(reader.new())
        assert list(reader.new()) == [event(20)]

    def test_drivers_killed_at_any_moment(self, tmp_path: Path) -> None:
        """Each repairs and goes on where the one before was; one reader follows them all."""
        run = Project(str(tmp_path / "p")).new_run("x")[2]
        seed = uuid.uuid4().int % 2**32
        rounds = 60
        reader, seen = JournalReader(run), list[Event]()
        drivers = subprocess.Popen([sys.executable, "-c", KILLED, run.url, str(rounds), str(seed)])
        while drivers.poll() is None:
            seen += reader.new()
        assert drivers.returncode == 0
        journal.repair(run)
        seen += reader.new()
        final = JournalReader(run)
        found = list(final.new())
        assert final.damage is None, seed
        assert [e.data["value"] for e in found] == list(range(len(found))), seed
        assert seen == found, seed
        assert len(found) > rounds


# Children that write until they are killed. Each write goes out in small pieces, so that many kills tear a line.
KILLED = """
import os, random, signal, sys, time
from hopslite.core.types import Event
from hopslite.storage.journal import JournalReader
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.run_directory import RunDir
from hopslite.storage import journal, journal_writer

url, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
journal_writer.FLUSH_SECONDS, journal_writer.SEGMENT_BYTES = 0.001, 20_000
write = os.write

def slowly(file, data):
    time.sleep(0.0002)
    return write(file, data[:100])

def work():
    os.write = slowly
    run = RunDir(url)
    journal.repair(run)
    number = sum(1 for _ in JournalReader(run).new())
    writer = JournalWriter(run)
    while True:
        writer.append(Event("report", float(number), "0000", {"value": number, "text": "x" * (number % 700)}))
        number += 1
        if number % 5 == 0:
            time.sleep(0.002)

for _ in range(rounds):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    time.sleep(random.random() ** 2 * 0.15)
    os.kill(pid, signal.SIGKILL)
    ended = os.waitpid(pid, 0)[1]
    if not os.WIFSIGNALED(ended):
        sys.exit("a driver ended by itself")
"""


class TestSnapshot:
    @pytest.mark.parametrize(
        ("key", "value", "secret"),
        [
            ("spark.hadoop.fs.s3a.secret.key", "AbCdEf", "AbCdEf"),
            ("spark.hadoop.fs.s3a.access.key", "AKIAX", "AKIAX"),
            ("spark.hadoop.fs.s3a.session.token", "tok3n", "tok3n"),
            ("spark.ssl.keyStorePassword", "hunter2", "hunter2"),
            ("spark.ssl.keyPassword", "hunter2", "hunter2"),
            ("spark.authenticate.secret", "s3cr3t", "s3cr3t"),
            ("spark.hadoop.fs.azure.account.key.store.dfs.core.windows.net", "aZure==", "aZure=="),
            ("spark.executorEnv.DB_PASSWD", "hunter2", "hunter2"),
            ("spark.executorEnv.OPENAI_API_KEY", "sk-123", "sk-123"),
            ("spark.executor.extraJavaOptions", "-Djavax.net.ssl.trustStorePassword=hunter2", "hunter2"),
            ("spark.sql.url", "jdbc:postgresql://joe:hunter2@db/x", "hunter2"),
            ("spark.jars.repositories", "https://joe:hunter2@repo/maven", "hunter2"),
            ("spark.app.submitArgs", "--conf spark.my.credentials=hunter2", "hunter2"),
            ("spark.hadoop.fs.azure.sas.box.store.blob.core.windows.net", "?sv=1", "sv=1"),
            ("spark.my.url", "https://store.blob.core.windows.net/box?sv=1&sig=hunter2", "hunter2"),
            ("spark.redis.auth", "hunter2", "hunter2"),
            ("spark.my.db.pwd", "hunter2", "hunter2"),
            ("spark.executorEnv.DB_PWD", "hunter2", "hunter2"),
            ("spark.executorEnv.PGPASS", "hunter2", "hunter2"),
            ("spark.es.net.http.auth.pass", "hunter2", "hunter2"),
            ("spark.my.keyStorePass", "hunter2", "hunter2"),
            ("spark.my.url", "jdbc:sqlserver://db;user=joe;pwd=hunter2", "hunter2"),
            ("spark.my.url", "ftp://joe:hunter@2@host/x", "2@"),
        ],
    )
    def test_secrets_are_left_out(self, key: str, value: str, secret: str) -> None:
        kept = spark_settings({key: value, "spark.executor.cores": "4"})
        assert secret not in json.dumps(kept)
        assert key in kept
        assert kept["spark.executor.cores"] == "4"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("spark.sql.warehouse.dir", "hdfs://node:8020/user/hive/warehouse"),
            ("spark.sql.catalog.main.warehouse", "/data/design=1/config=2"),
            ("spark.sql.streaming.checkpointLocation", "/data/checkpoints"),
            ("spark.executor.extraClassPath", "/opt/compass/lib"),
            ("spark.executorEnv.PWD", "/home/joe"),
            ("spark.sql.parser.passthrough", "true"),
            ("spark.authenticate", "true"),
            ("spark.hadoop.fs.azure.account.auth.type", "OAuth"),
        ],
    )
    def test_what_is_harmless_stays(self, key: str, value: str) -> None:
        assert spark_settings({key: value}) == {key: value}

    def test_everything_is_recorded(self, run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_TOKEN", "tok3n-of-mine")
        repository = tmp_path / "repository"
        repository.mkdir()
        monkeypatch.chdir(repository)
        program = repository / "train.py"
        program.write_text("print('the program')\n")
        monkeypatch.setattr(sys.modules["__main__"], "__file__", str(program), raising=False)
        for command in (
            ["init", "--quiet", "--initial-branch", "work"],
            ["remote", "add", "origin", "https://joe:hunter2@example.org/x.git"],
            ["add", "."],
            ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "first"],
        ):
            subprocess.run(["git", *command], check=True, capture_output=True)
        (repository / "new.txt").write_text("")
        conf = {"spark.executor.cores": "2", "spark.ssl.keyPassword": "hunter2"}
        assert save_snapshot(run, {"application_id": "app-1", "conf": conf}) == []
        assert run.read_bytes("program.py") == b"print('the program')\n"
        git = run.read_json("git.json")
        assert len(git["commit"]) == 40
        assert git["branch"] == "work"
        assert git["changed"] == ["new.txt"]
        assert f"pytest=={pytest.__version__}" in run.read_bytes("environment.txt").decode().splitlines()
        spark = run.read_json("spark.json")
        assert (spark["application_id"], spark["conf"]["spark.executor.cores"]) == ("app-1", "2")
        everything = b"".join(run.read_bytes(name) for name in run.list() if "." in name)
        for secret in (b"hunter2", b"tok3n-of-mine"):
            assert secret not in everything

    def test_modules_of_the_programs_folder(self, run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those from the folder, also when it was reached by a link; not those that are installed below it."""
        files = ("real/train.py", "real/helper.py", "real/part/inner.py", "real/venv/site-packages/lib.py", "other.py")
        for name in files:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"# {name}\n")
        (tmp_path / "link").symlink_to("real")
        for number, name in enumerate((*files[2:], "link/helper.py", "real/gone.py", "real/train.so")):
            module = types.ModuleType(f"neighbour_{number}")
            module.__file__ = str(tmp_path / name)
            monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "link/train.py"), raising=False)
        assert save_snapshot(run, {}) == []
        with zipfile.ZipFile(io.BytesIO(run.read_bytes("code.zip"))) as archive:
            kept = {name: archive.read(name).decode() for name in archive.namelist()}
        assert kept == {
            "train.py": "# real/train.py\n",
            "helper.py": "# real/helper.py\n",
            "part/inner.py": "# real/part/inner.py\n",
        }

    def test_no_git_repository_is_no_problem(
        self, run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        assert save_snapshot(run, {}) == []
        assert "environment.txt" in run.list()
        assert "git.json" not in run.list()

    def test_a_part_that_fails_does_not_stop_the_others(self, tmp_path: Path) -> None:
        run = Project(str(tmp_path)).new_run("x")[2]
        os.mkdir(run.path("environment.txt"))  # in the way
        problems = save_snapshot(run, {"application_id": "app-1", "conf": {}})
        assert len(problems) == 1
        assert "spark.json" in run.list()
