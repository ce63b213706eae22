"""Upload of a trial's files to a remote run: while it runs, completely at the end, and never partially."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from hopslite.core.types import Spec
from hopslite.errors import StoreError
from hopslite.executor import upload as sync
from hopslite.executor.job_spec import Job
from hopslite.executor.trial_process import RunningTrial, TrialDirectories
from hopslite.executor.upload import Mirror, mirrored_checkpoints
from hopslite.executor.workdir import WorkDir
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import eventually


@pytest.fixture
def remote() -> RunDir:
    return RunDir(f"memory://{uuid.uuid4().hex}/trials/0000")


def aged(path: Path, text: str = "x", seconds: float = 60.0) -> None:
    """A file that was written some time ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    then = time.time() - seconds
    os.utime(path, (then, then))


def uploads(remote: RunDir, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are uploaded from here on, in their order."""
    seen: list[str] = []
    upload = remote.upload

    def watched(files: Any, *options: Any, **more: Any) -> None:
        seen.extend(files.values())
        upload(files, *options, **more)

    monkeypatch.setattr(remote, "upload", watched)
    return seen


def failing(remote: RunDir, monkeypatch: pytest.MonkeyPatch, error: Callable[[int], Exception | None]) -> list[int]:
    """Have uploads fail with what `error` returns for the number of the try."""
    tries: list[int] = []
    upload = remote.upload

    def flaky(files: Any, *options: Any, **more: Any) -> None:
        tries.append(len(tries))
        if (problem := error(tries[-1])) is not None:
            raise problem
        upload(files, *options, **more)

    monkeypatch.setattr(remote, "upload", flaky)
    return tries


def test_everything_is_there_at_the_end(tmp_path: Path, remote: RunDir) -> None:
    mirror = Mirror({str(tmp_path): remote}, 1000)
    mirror.start()
    for name in ("output.log", ".metric", "a b=%&#?[x]*ü.txt", "deep/er/model.keras"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    mirror.finish()
    assert sorted(remote.sizes()) == [".metric", "a b=%&#?[x]*ü.txt", "deep/er/model.keras", "output.log"]
    assert remote.read_bytes("deep/er/model.keras") == b"deep/er/model.keras"
    assert remote.read_bytes("a b=%&#?[x]*ü.txt").decode() == "a b=%&#?[x]*ü.txt"


def test_it_is_copied_while_the_trial_writes(tmp_path: Path, remote: RunDir) -> None:
    mirror = Mirror({str(tmp_path): remote}, 0.05)
    mirror.start()
    log = tmp_path / "output.log"
    log.write_text("one\n")
    eventually(lambda: remote.exists("output.log") and remote.read_bytes("output.log") == b"one\n", "copied")
    log.write_text("one\ntwo\n")
    eventually(lambda: remote.read_bytes("output.log") == b"one\ntwo\n", "copied")
    mirror.finish()


def test_a_file_that_is_being_written_is_not_copied_by_half(
    tmp_path: Path, remote: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "SETTLED_SECONDS", 1000.0)
    seen = uploads(remote, monkeypatch)
    mirror = Mirror({str(tmp_path): remote}, 0.01)
    (tmp_path / "model.keras").write_text("half of")
    aged(tmp_path / "done.keras", seconds=5000)
    for name in ("output.log", "events.out.tfevents.1.host", "history.csv"):
        (tmp_path / name).write_text("a line\n")
    mirror.start()
    eventually(lambda: len(seen) == 4, "copied")
    assert sorted(seen) == ["done.keras", "events.out.tfevents.1.host", "history.csv", "output.log"]
    mirror.finish()
    assert remote.read_bytes("model.keras") == b"half of"


def test_older_files_come_first(tmp_path: Path, remote: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = uploads(remote, monkeypatch)
    aged(tmp_path / "checkpoint", seconds=10)  # TensorFlow's index, written after what it lists
    aged(tmp_path / "ckpt-1.index", seconds=20)
    aged(tmp_path / "ckpt-1.data", seconds=30)
    Mirror({str(tmp_path): remote}, 1000).finish()
    assert seen == ["ckpt-1.data", "ckpt-1.index", "checkpoint"]


def test_what_did_not_change_is_copied_once(tmp_path: Path, remote: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = uploads(remote, monkeypatch)
    mirror = Mirror({str(tmp_path): remote}, 0.01)
    aged(tmp_path / "weights.bin")
    mirror.start()
    eventually(lambda: seen, "copied")
    time.sleep(0.1)
    mirror.finish()
    assert seen == ["weights.bin"]


def test_what_the_trial_deletes_is_deleted_there_too(tmp_path: Path, remote: RunDir) -> None:
    mirror = Mirror({str(tmp_path): remote}, 0.01)
    aged(tmp_path / "ckpt-1")
    remote.write_bytes("of another member", b"")
    mirror.start()
    eventually(lambda: remote.exists("ckpt-1"), "copied")
    (tmp_path / "ckpt-1").unlink()
    aged(tmp_path / "ckpt-2")
    mirror.finish()
    assert sorted(remote.sizes()) == ["ckpt-2", "of another member"]


def test_an_old_checkpoint_goes_when_the_new_one_has_arrived(tmp_path: Path, remote: RunDir) -> None:
    mirror = Mirror({str(tmp_path): remote}, 1000, ordered=[str(tmp_path)])
    for name in ("ckpt-1", "checkpoint"):
        aged(tmp_path / name, "1")
    mirror._copy_changes(final=False)
    aged(tmp_path / "ckpt-2", "2", seconds=30)
    (tmp_path / "checkpoint").write_text("2")  # TensorFlow's index, which is younger than a second
    (tmp_path / "ckpt-1").unlink()
    mirror._copy_changes(final=False)
    assert (sorted(remote.sizes()), remote.read_bytes("checkpoint")) == (["checkpoint", "ckpt-1", "ckpt-2"], b"1")
    aged(tmp_path / "checkpoint", "2", seconds=20)
    mirror._copy_changes(final=False)
    assert (sorted(remote.sizes()), remote.read_bytes("checkpoint")) == (["checkpoint", "ckpt-2"], b"2")


def test_an_old_checkpoint_goes_at_the_end_at_the_latest(tmp_path: Path, remote: RunDir) -> None:
    mirror = Mirror({str(tmp_path): remote}, 1000)
    aged(tmp_path / "ckpt-1")
    mirror._copy_changes(final=False)
    (tmp_path / "ckpt-2").write_text("young")
    (tmp_path / "ckpt-1").unlink()
    mirror._copy_changes(final=False)
    assert list(remote.sizes()) == ["ckpt-1"]
    mirror.finish()
    assert list(remote.sizes()) == ["ckpt-2"]


def test_a_checkpoint_is_replaced_while_the_directory_is_read(
    tmp_path: Path, remote: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror({str(tmp_path): remote}, 1000)
    aged(tmp_path / "ckpt-1")
    mirror._copy_changes(final=False)
    stat = os.stat

    def replaced(path: Any, **options: Any) -> os.stat_result:
        if os.path.basename(path) == "ckpt-1":
            monkeypatch.undo()
            (tmp_path / "ckpt-2").write_text("young")
            (tmp_path / "ckpt-1").unlink()
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", replaced)
    mirror._copy_changes(final=False)
    assert list(remote.sizes()) == ["ckpt-1"]


def test_a_directory_that_is_removed_as_a_whole_deletes_nothing(tmp_path: Path, remote: RunDir) -> None:
    folder = tmp_path / "trial"
    aged(folder / "output.log")
    mirror = Mirror({str(folder): remote}, 0.01)
    mirror.start()
    eventually(lambda: remote.exists("output.log"), "copied")
    shutil.rmtree(folder)
    mirror.finish()
    assert remote.exists("output.log")


@pytest.mark.parametrize("left", [[], ["shard-of-attempt-0"]])
def test_a_copy_begins_without_parts_of_an_earlier_attempt(tmp_path: Path, remote: RunDir, left: list[str]) -> None:
    remote.write_bytes("0001/checkpoints/shard", b"whole")
    trial = remote.sub("0002")
    for name in left:
        trial.write_bytes(f"checkpoints/{name}", b"part")
    spec = Spec("0002", {}, trial.url, attempt=1, copies=remote.path("0001", "checkpoints"))
    folder, mirror = mirrored_checkpoints(spec, trial, str(tmp_path / "trial"), str(tmp_path), 0.01)
    assert mirror is not None
    mirror.finish()
    assert os.listdir(folder) == ["shard"]
    assert {*trial.sub("checkpoints").sizes()} == {"shard"}
    assert remote.read_bytes("0001/checkpoints/shard") == b"whole"


def test_what_does_not_begin_copies_nothing_of_what_comes_after(tmp_path: Path, remote: RunDir) -> None:
    job = Job("run", "name", remote.url, b"", None, 0, sync_interval=0.01)
    work = WorkDir("", local_logdir=False)

    class Broken:
        def run(self, *_: Any) -> None:
            raise OSError("the fork server is gone")

    before = set(threading.enumerate())
    with pytest.raises(OSError, match="gone"):
        RunningTrial(job, Spec("0000", {}, remote.url), cast(Any, Broken()), work)
    assert set(threading.enumerate()) == before
    aged(Path(work.root) / "trial" / "of the next.txt")
    time.sleep(0.1)
    assert not remote.exists("of the next.txt")
    work.remove()


class TestNextTrial:
    """In the same slot, and so in the same local directories."""

    @pytest.fixture
    def work(self) -> Iterator[WorkDir]:
        made = WorkDir("", local_logdir=False)
        yield made
        made.remove()

    def directories(self, remote: RunDir, work: WorkDir, trial: str, attempt: int = 0) -> TrialDirectories:
        job = Job("run", "name", remote.url, b"", None, 0, sync_interval=0.01)
        return TrialDirectories(job, Spec(trial, {}, remote.path(trial), attempt=attempt), work)

    def test_is_not_copied_as_one_whose_files_could_not_be_kept(
        self, remote: RunDir, work: WorkDir, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def keep(*_: Any, **__: Any) -> None:
            raise OSError("no room")

        first = self.directories(remote, work, "0000")
        aged(Path(first.directory) / "weights", "first")
        monkeypatch.setattr(work, "collect_files", keep)
        (warning,) = first.finish()
        monkeypatch.undo()
        second = self.directories(remote, work, "0001")
        aged(Path(second.directory) / "weights", "second")
        eventually(lambda: remote.exists("0001/weights"), "copied")
        time.sleep(0.1)
        assert not second.finish()
        assert remote.read_bytes("0001/weights") == b"second"
        assert not remote.exists("0000/weights") or remote.read_bytes("0000/weights") == b"first"
        kept = Path(warning.partition("they are in ")[2].partition(" on ")[0])
        assert (kept / "trial" / "weights").read_text() == "first"
        shutil.rmtree(kept)

    def test_finds_nothing_of_one_that_did_not_begin(self, remote: RunDir, work: WorkDir) -> None:
        remote.write_bytes("0000/checkpoints/3.ckpt", b"first")
        remote.write_bytes("0001/checkpoints/7.ckpt", b"second")
        first = self.directories(remote, work, "0000", attempt=1)
        assert os.listdir(first.context.checkpoints) == ["3.ckpt"]
        first.abandon()
        assert remote.exists("0000/checkpoints/3.ckpt")
        second = self.directories(remote, work, "0001", attempt=1)
        assert os.listdir(second.context.checkpoints) == ["7.ckpt"]
        second.abandon()
        third = self.directories(remote, work, "0002")
        assert not os.path.exists(third.context.checkpoints)
        third.abandon()


def test_a_server_that_is_away_for_a_while_costs_nothing(
    tmp_path: Path, remote: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "RETRY_SECONDS", (0.01, 0.02))
    tries = failing(remote, monkeypatch, lambda number: StoreError("away") if number < 5 else None)
    (tmp_path / "output.log").write_text("all of it")
    Mirror({str(tmp_path): remote}, 1000).finish()
    assert len(tries) == 6
    assert remote.read_bytes("output.log") == b"all of it"


def test_one_that_stays_away_is_given_up_on(tmp_path: Path, remote: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "RETRY_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(sync, "PATIENCE_SECONDS", 0.1)
    tries = failing(remote, monkeypatch, lambda number: StoreError("away"))
    (tmp_path / "output.log").write_text("x")
    with pytest.raises(StoreError, match="away"):
        Mirror({str(tmp_path): remote}, 1000).finish()
    assert len(tries) > 1


def test_missing_permission_is_not_tried_again(tmp_path: Path, remote: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = failing(remote, monkeypatch, lambda number: PermissionError("no"))
    (tmp_path / "output.log").write_text("x")
    with pytest.raises(PermissionError):
        Mirror({str(tmp_path): remote}, 1000).finish()
    assert len(tries) == 1


def test_a_failure_while_the_trial_runs_is_made_up_for(
    tmp_path: Path, remote: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = failing(remote, monkeypatch, lambda number: StoreError("away") if number < 2 else None)
    mirror = Mirror({str(tmp_path): remote}, 0.01)
    (tmp_path / "output.log").write_text("x")
    mirror.start()
    eventually(lambda: remote.exists("output.log"), "copied")
    mirror.finish()
    assert len(tries) >= 3


class TestCheckpoints:
    def folder(self, tmp_path: Path, remote: RunDir, spec: Spec) -> tuple[Path, Mirror]:
        (tmp_path / "trial").mkdir(parents=True)
        checkpoints, mirror = mirrored_checkpoints(spec, remote, str(tmp_path / "trial"), str(tmp_path), 1000)
        assert mirror is not None
        return Path(checkpoints), mirror

    def test_a_local_run_has_them_in_its_own_directory(self, tmp_path: Path) -> None:
        run = RunDir(str(tmp_path / "run"))
        kept_in, mirror = mirrored_checkpoints(Spec("0000", {}, run.url), run, run.url, str(tmp_path), 1000)
        assert (kept_in, mirror) == (str(tmp_path / "run" / "checkpoints"), None)

    def test_a_later_attempt_finds_those_of_the_one_before(self, tmp_path: Path, remote: RunDir) -> None:
        first, mirror = self.folder(tmp_path / "a", remote, Spec("0000", {}, remote.url))
        aged(first / "epoch" / "3.ckpt", "three")
        mirror.finish()
        second, mirror = self.folder(tmp_path / "b", remote, Spec("0000", {}, remote.url, attempt=1))
        assert (second / "epoch" / "3.ckpt").read_text() == "three"
        aged(second / "epoch" / "4.ckpt", "four")
        mirror.finish()
        assert sorted(remote.sub("checkpoints").sizes()) == ["epoch/3.ckpt", "epoch/4.ckpt"]

    def test_a_trial_that_goes_on_from_another_shares_its_checkpoints(self, tmp_path: Path, remote: RunDir) -> None:
        first, mirror = self.folder(tmp_path / "a", remote, Spec("0000", {}, remote.url))
        aged(first / "weights", "trained")
        mirror.finish()
        other = RunDir(remote.url.replace("0000", "0007"))
        spec = Spec("0007", {}, other.url, checkpoints=remote.path("checkpoints"))
        kept_in, mirror = self.folder(tmp_path / "b", other, spec)
        assert (kept_in / "weights").read_text() == "trained"
        (kept_in / "weights").write_text("trained more")
        mirror.finish()
        assert remote.read_bytes("checkpoints/weights") == b"trained more"
        assert not other.exists("checkpoints/weights")

    def test_a_trial_that_begins_with_a_copy_has_its_own(self, tmp_path: Path, remote: RunDir) -> None:
        remote.write_bytes("checkpoints/weights", b"trained")
        other = RunDir(remote.url.replace("0000", "0007"))
        spec = Spec("0007", {}, other.url, copies=remote.path("checkpoints"))
        for attempt in (0, 1):  # an earlier attempt may have uploaded only a part
            again = dataclasses.replace(spec, attempt=attempt)
            kept_in, mirror = self.folder(tmp_path / f"{attempt}", other, again)
            assert (kept_in / "weights").read_text() == "trained"
            (kept_in / "weights").write_text("trained more")
            mirror.finish()
            assert remote.read_bytes("checkpoints/weights") == b"trained"
            assert other.read_bytes("checkpoints/weights") == b"trained more"

    def test_a_later_attempt_may_delete_them(self, tmp_path: Path, remote: RunDir) -> None:
        remote.write_bytes("checkpoints/old", b"old")
        kept_in, mirror = self.folder(tmp_path, remote, Spec("0000", {}, remote.url, attempt=1))
        (kept_in / "old").unlink()
        mirror.finish()
        assert not remote.exists("checkpoints/old")

    def test_there_may_be_none_yet(self, tmp_path: Path, remote: RunDir) -> None:
        kept_in, mirror = self.folder(tmp_path, remote, Spec("0000", {}, remote.url, attempt=2))
        mirror.finish()
        assert not kept_in.exists() or not list(kept_in.iterdir())


def refusing(remote: RunDir, monkeypatch: pytest.MonkeyPatch, refused: str) -> list[str]:
    """Have the store refuse one file; the names of all that are tried, in their order."""
    tried: list[str] = []
    put = remote.fs.put_file

    def put_file(local: str, path: str, **options: Any) -> None:
        tried.append(os.path.basename(path))
        if os.path.basename(path) == refused:
            raise OSError("no")
        put(local, path, **options)

    monkeypatch.setattr(remote.fs, "put_file", put_file)
    return tried


def test_in_a_checkpoint_nothing_comes_before_what_is_older(
    tmp_path: Path, remote: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = refusing(remote, monkeypatch, "ckpt-1.data")
    for age, name in enumerate(["checkpoint", "ckpt-1.index", "ckpt-1.data", "older"]):
        aged(tmp_path / name, seconds=10 + age)
    mirror = Mirror({str(tmp_path): remote}, 1000, ordered=[str(tmp_path)])
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            mirror._copy_changes(final=False)
    assert tried == ["older", "ckpt-1.data", "ckpt-1.data"]
    assert list(remote.sizes()) == ["older"]


def test_a_file_that_is_refused_holds_up_no_other(
    tmp_path: Path, remote: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = refusing(remote, monkeypatch, "bad")
    for name in ("bad", "good", "old"):
        aged(tmp_path / name)
    mirror = Mirror({str(tmp_path): remote}, 1000)
    with pytest.raises(OSError, match="no"):
        mirror._copy_changes(final=False)
    (tmp_path / "old").unlink()
    with pytest.raises(OSError, match="no"):
        mirror._copy_changes(final=False)
    assert sorted(tried) == ["bad", "bad", "good", "old"], "what had arrived was copied again"
    assert sorted(remote.sizes()) == ["good", "old"], "what was deleted went before all that may replace it was there"
    (tmp_path / "bad").unlink()
    mirror._copy_changes(final=False)
    assert list(remote.sizes()) == ["good"], "what was deleted is there still"


def test_a_checkpoint_is_in_order_and_what_a_trial_writes_need_not_be(tmp_path: Path, remote: RunDir) -> None:
    spec = Spec("0000", {}, "")
    checkpoints, mirror = mirrored_checkpoints(spec, remote, str(tmp_path / "trial"), str(tmp_path), 1000)
    assert mirror is not None
    mirror.stop()
    assert list(mirror._ordered) == [checkpoints]


def test_what_is_no_file_is_not_copied(tmp_path: Path, remote: RunDir) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        mirror = Mirror({str(tmp_path): remote}, 1000)
        copying = threading.Thread(target=mirror.finish, daemon=True)
        copying.start()
        copying.join(30)
    assert not copying.is_alive()
    assert list(remote.sizes()) == ["file"]
