"""Slots whose disks are full: what they tell the driver, and when they take trials again. Real disks and processes."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite.core.types import Result, Spec
from hopslite.errors import CommandFailed
from hopslite.executor import slot
from hopslite.executor.job_spec import Job
from hopslite.serialization.values import serialize
from tests.helpers.observe import eventually, text_of
from tests.helpers.orders import Orders
from tests.helpers.small_disk import SmallDisk, small_disk

ISOLATIONS = ("process", "none")


class Driver(Orders):
    """The driver's side of a slot, in a thread of its own; keeps what the slot says."""

    def __init__(self, job: Job, logdir: Path) -> None:
        super().__init__()
        self.said: list[dict[str, Any]] = []
        self._job, self._logdir = job, logdir
        self._thread = threading.Thread(target=slot.serve, args=(self, job, None))
        self._thread.start()

    def send(self, message: dict[str, Any]) -> None:
        self.said.append(message)

    def run(self, trial: str, attempt: int = 0) -> None:
        spec = Spec(trial, {}, str(self._logdir / trial), attempt=attempt)
        self.put({"type": "run", "spec": spec.to_json()})

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.said if message["type"] == kind]

    def ended(self, number: int) -> tuple[Result, bool]:
        """The result that the slot told as its `number`th, and whether it takes no other trials for now."""
        message = eventually(lambda: self.all("ended")[number - 1 : number], f"{number} trials have ended")[0]
        return Result.from_json(message["result"]), message["paused"]

    def close(self) -> None:
        self.put({"type": "exit"})
        self._thread.join(60)
        assert not self._thread.is_alive()
        super().close()


Serve = Callable[..., Driver]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small") as disk:
        yield disk


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[Driver] = []

    def serve(project: Path, train: Callable[[], Any], isolation: str = "process", **options: Any) -> Driver:
        run = project / "Experiments" / "run_1"
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        options = {"needs_metric": False, "storage_patience": 60.0, **options}
        job = Job("run_1", "a", str(project), serialize(train, []), None, 0, isolation, **options)
        made.append(Driver(job, run / "trials"))
        return made[0]

    yield serve
    for driver in made:
        driver.close()


@pytest.fixture
def scratch(disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> SmallDisk:
    """The disk for temporary files, and so for what trials write to their working directories."""
    monkeypatch.setenv("TMPDIR", str(disk.path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return disk


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_full_scratch_disk_holds_the_slot_and_fails_no_trial(
    scratch: SmallDisk, tmp_path: Path, serve: Serve, isolation: str
) -> None:
    def train() -> float:
        with open("weights", "wb") as file:
            file.write(b"w" * 100_000)
        return 1.0

    driver = serve(tmp_path / "project", train, isolation)
    eventually(lambda: driver.all("ready"), "the slot is ready")
    scratch.fill()
    driver.run("0000")
    result, is_held = driver.ended(1)
    assert (result.cause, is_held) == ("storage", True)
    assert "No space left on device" in str(result.error)
    assert str(scratch.path) in str(result.error)
    (told,) = driver.all("no_room")
    assert "has 0 B of 4.0 MB free" in told["problem"]
    assert not driver.all("room")
    scratch.free()
    eventually(lambda: driver.all("room"), "the slot takes trials again")
    driver.run("0000", attempt=1)
    result, is_held = driver.ended(2)
    assert (result.state, is_held) == ("FINISHED", False)
    assert (tmp_path / "project/Experiments/run_1/trials/0000/weights").stat().st_size == 100_000


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("what", ["outputs", "files"])
def test_what_a_trial_has_made_waits_for_room(
    disk: SmallDisk, tmp_path: Path, serve: Serve, isolation: str, what: str
) -> None:
    """It is not computed again, and no time limit of the trial counts meanwhile."""
    fill = disk.fill

    def train() -> float:
        if what == "files":
            with open("weights", "wb") as file:
                file.write(b"w" * 100_000)
        with open(tmp_path / "calls", "a") as calls:
            calls.write("once")
        fill()
        print("a line that has no room")
        return 1.0

    limit = {"trial_timeout": 1.5} if isolation == "process" else {}
    driver = serve(disk.path / "project", train, isolation, **limit)
    driver.run("0000")
    eventually(lambda: driver.all("no_room"), "the slot tells of it")
    assert not driver.all("ended")
    if limit:
        threading.Event().wait(2.0)
        assert not driver.all("ended")
    disk.free()
    result, _ = driver.ended(1)
    assert (result.state, result.metric) == ("FINISHED", 1.0), result
    eventually(lambda: driver.all("room"), "the slot takes trials again")
    kept = disk.path / "project/Experiments/run_1/trials/0000"
    assert json.loads((kept / ".outputs.json").read_text())["metric"] == 1.0
    assert text_of(tmp_path / "calls") == "once"
    if what == "files":
        assert (kept / "weights").stat().st_size == 100_000
        assert sorted(path.name for path in kept.iterdir() if "weights" in path.name) == ["weights"]


@pytest.mark.parametrize("is_folder", [False, True])
def test_files_wait_for_as_much_room_as_they_need(
    disk: SmallDisk, tmp_path: Path, serve: Serve, is_folder: bool
) -> None:
    """There is room for what is small, and not for them."""
    fill, ballast = disk.fill, disk.path / "ballast"

    def train() -> float:
        if is_folder:
            os.mkdir("model")
        with open("model/weights" if is_folder else "weights", "wb") as file:
            file.write(b"w" * 400_000)
        fill()
        os.truncate(ballast, ballast.stat().st_size - 200_000)
        return 1.0

    driver = serve(disk.path / "project", train)
    driver.run("0000")
    eventually(lambda: driver.all("no_room"), "the slot tells of it")
    assert not driver.all("ended")
    disk.free()
    result, _ = driver.ended(1)
    assert (result.state, result.warnings) == ("FINISHED", ())
    kept = disk.path / "project/Experiments/run_1/trials/0000"
    assert [path.stat().st_size for path in kept.rglob("weights*")] == [400_000]


def raises() -> None:
    raise ValueError("what a framework makes of it")


def crashes() -> None:
    os.kill(os.getpid(), signal.SIGBUS)  # as a file that is mapped into memory does where its disk is full


def leaves() -> None:
    os._exit(3)


def fails_as_a_command() -> None:
    raise CommandFailed("exited with code 1")


@pytest.mark.parametrize("fail", [raises, crashes, leaves, fails_as_a_command])
def test_any_failure_on_a_full_disk_is_one_of_the_disk(disk: SmallDisk, serve: Serve, fail: Callable[[], None]) -> None:
    fill = disk.fill

    def train() -> None:
        fill()
        fail()

    driver = serve(disk.path / "project", train)
    driver.run("0000")
    result, is_held = driver.ended(1)
    assert (result.state, result.cause, is_held) == ("FAILED", "storage", True)
    disk.free()
    eventually(lambda: driver.all("room"), "the slot takes trials again")


@pytest.mark.parametrize("fail", [raises, leaves])
def test_with_room_it_is_the_trials_own(tmp_path: Path, serve: Serve, fail: Callable[[], None]) -> None:
    driver = serve(tmp_path / "project", fail)
    driver.run("0000")
    result, is_held = driver.ended(1)
    assert (result.cause, is_held) == ("exception" if fail is raises else "exit", False)
    assert not driver.all("no_room")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_deleted_run_is_not_brought_back(tmp_path: Path, serve: Serve, isolation: str) -> None:
    driver = serve(tmp_path / "project", lambda: 1.0, isolation)
    eventually(lambda: driver.all("ready"), "the slot is ready")
    (tmp_path / "project").rename(tmp_path / "moved")
    driver.run("0000")
    result, is_held = driver.ended(1)
    assert (result.cause, is_held) == ("storage", True)
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_slot_that_cannot_begin_waits(scratch: SmallDisk, tmp_path: Path, serve: Serve, isolation: str) -> None:
    tempfile.gettempdir()  # which is known when Spark starts a slot
    for number in range(100):
        (scratch.path / f"{number}").mkdir()
    with small_disk(scratch.path / "few", "size=1m,nr_inodes=1") as few, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(few.path))
        driver = serve(tmp_path / "project", lambda: 1.0, isolation)
        driver.run("0000")
        threading.Event().wait(1.0)
        assert not driver.all("ready")
        patch.setattr(tempfile, "tempdir", str(scratch.path))
        result, _ = driver.ended(1)
        assert result.state == "FINISHED"
