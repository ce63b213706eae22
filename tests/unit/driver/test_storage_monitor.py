"""A disk that is full, not mounted or deleted under a run in this process, and what becomes of the run. Real disks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import experiment
from hopslite.core.settings import Settings
from hopslite.errors import InvalidArguments, RunDeleted, StorageUnavailable, StoreError
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import Lines, eventually, in_background
from tests.helpers.small_disk import SmallDisk, small_disk

LONG_S = 120.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small") as disk:
        yield disk


def ends(logdir: str) -> Counter[str]:
    return Counter(str(event.trial) for event in JournalReader(RunDir(logdir)).new() if event.kind == "ended")


def search(train: Callable[..., Any], trials: int, project: Path, **options: Any) -> experiment.Run:
    options = {"display": False, "storage_patience": LONG_S, "name": "small", **options}
    return experiment.grid_search(train, {"n": list(range(trials))}, project=project, pool="inline", **options)


def assert_complete(run: experiment.Run, trials: int) -> None:
    """Result, journal, record, summary and the trials' own files say the same."""
    assert run.counts == {"FINISHED": trials}
    assert ends(run.logdir) == Counter(trial.id for trial in run.trials)
    record = json.loads(Path(run.logdir, "run.json").read_text())
    assert (record["state"], record["counts"]) == ("FINISHED", {"FINISHED": trials})
    assert len(json.loads(Path(run.logdir, ".summary.json").read_text())["combinations"]) == trials
    for trial in run.trials:
        assert json.loads(Path(trial.logdir, ".outputs.json").read_text())["metric"] == trial.metric


def writes(folder: Path, action: Callable[[int], None]) -> Callable[[int], float]:
    """A training function that saves a model where it is recorded, and notes how often it was called."""

    def train(n: int) -> float:
        action(n)
        with open(folder / "calls", "a") as calls:
            calls.write(f"{n} ")
        hopslite.report(float(n), 0)
        logdir = hopslite.tensorboard.logdir()
        assert logdir is not None
        Path(logdir, "model").write_bytes(b"m" * 20_000)
        return float(n)

    return train


class TestFullDisk:
    def test_costs_no_trial_when_it_is_freed(self, disk: SmallDisk, tmp_path: Path) -> None:
        display = Lines()
        train = writes(tmp_path, lambda n: disk.fill() if n == 3 and not (tmp_path / "filled").exists() else None)

        def train_once(n: int) -> float:
            try:
                return train(n)
            finally:
                (tmp_path / "filled").touch() if n == 3 else None

        with in_background(lambda: search(train_once, 8, disk.path / "project", display=display)) as running:
            eventually(lambda: any("cannot be recorded" in line for line in display.lines), "the user is told")
            calls = (tmp_path / "calls").read_text()
            time.sleep(1.5)
            assert (tmp_path / "calls").read_text() == calls, "nothing is started meanwhile"
            disk.free()
            run = running.result(LONG_S)
        assert_complete(run, 8)
        assert (tmp_path / "calls").read_text().split() == ["0", "1", "2", "3", "3", "4", "5", "6", "7"]
        told = [line for line in display.lines if "cannot be recorded" in line]
        assert len(told) == 1
        assert str(disk.path) in told[0]
        assert "has 0 B of 4.0 MB free" in told[0]
        assert "Free space" in told[0]
        assert "2 min" in told[0]
        assert sum("can be recorded again" in line for line in display.lines) == 1

    def test_a_result_waits_and_is_not_computed_again(self, disk: SmallDisk, tmp_path: Path) -> None:
        def train(n: int) -> float:
            with open(tmp_path / "calls", "a") as calls:
                calls.write(f"{n} ")
            print("what is printed ends no training")
            if n == 1:
                disk.fill()
                print("x" * 10_000)
            return float(n)

        display = Lines()
        with in_background(lambda: search(train, 3, disk.path / "project", display=display)) as running:
            eventually(lambda: any("cannot be recorded" in line for line in display.lines), "the user is told")
            disk.free()
            run = running.result(LONG_S)
        assert_complete(run, 3)
        assert (tmp_path / "calls").read_text() == "0 1 2 "

    def test_ends_the_run_when_patience_is_over_and_it_goes_on(self, disk: SmallDisk, tmp_path: Path) -> None:
        train = writes(tmp_path, lambda n: disk.fill() if n == 3 and not (tmp_path / "freed").exists() else None)
        with pytest.raises(StorageUnavailable, match=r"storage_patience.*hopslite'? resume") as caught:
            search(train, 6, disk.path / "project", storage_patience=1.0)
        error = caught.value
        assert "has 0 B of 4.0 MB free" in str(error)
        kept = ends(error.logdir)
        recorded = {trial.id for trial in error.result.trials if str(trial.state) == "FINISHED"}
        assert recorded <= set(kept)
        assert {trial.id for trial in error.unrecorded}.isdisjoint(kept)
        assert error.result.state == "KILLED"
        assert experiment.load(error.run_id, project=str(disk.path / "project")).state == "KILLED"
        with pytest.raises(StoreError, match=r"has 0 B of 4\.0 MB free"):
            experiment.resume(error.run_id, project=disk.path / "project", pool="inline", display=False)
        disk.free()
        (tmp_path / "freed").touch()
        run = experiment.resume(error.run_id, project=disk.path / "project", pool="inline", display=False)
        assert_complete(run, 6)
        assert all((tmp_path / "calls").read_text().split().count(str(int(name))) == 1 for name in kept)

    def test_the_end_of_the_run_waits_for_room(self, disk: SmallDisk, tmp_path: Path) -> None:
        display = Lines()

        class Fill(Lines):
            def line(self, text: str) -> None:
                display.line(text)

            def update(self, status: Any) -> None:
                if status.counts.get("FINISHED") == 2:
                    disk.fill()

        with in_background(lambda: search(lambda n: n, 2, disk.path / "project", display=Fill())) as running:
            eventually(lambda: any("cannot be recorded" in line for line in display.lines), "the user is told")
            disk.free()
            run = running.result(LONG_S)
        assert_complete(run, 2)

    def test_a_run_on_it_is_refused_before_anything_is_run(self, disk: SmallDisk) -> None:
        (disk.path / "project").mkdir()
        disk.fill()
        with pytest.raises(InvalidArguments, match=r"cannot be written.*has 0 B of 4\.0 MB free"):
            search(lambda n: n, 2, disk.path / "project")

    def test_without_inodes_it_is_the_same(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "few", "size=4m,nr_inodes=120") as disk:
            display = Lines()

            def train(n: int) -> float:
                if n == 2 and not (tmp_path / "filled").exists():
                    (tmp_path / "filled").touch()
                    try:
                        for number in range(200):
                            (disk.path / f"ballast-{number}").touch()
                    except OSError:
                        pass
                return float(n)

            with in_background(lambda: search(train, 5, disk.path / "project", display=display)) as running:
                told = eventually(lambda: [t for t in display.lines if "cannot be recorded" in t], "the user is told")
                assert "none of its 120 inodes" in told[0]
                for path in disk.path.glob("ballast-*"):
                    path.unlink()
                assert_complete(running.result(LONG_S), 5)


class TestAnotherDisk:
    """Failures of disks that are not the run's are the training function's own."""

    def test_a_full_one_of_the_users_fails_the_trial_once(self, disk: SmallDisk, tmp_path: Path) -> None:
        disk.fill()

        def train(n: int) -> float:
            with open(tmp_path / "calls", "a") as calls:
                calls.write(f"{n} ")
            if n == 1:
                with open(disk.path / "mine", "wb") as file:
                    file.write(b"x" * 100)
            if n == 2:
                Path("/dev/full").write_text("x")
            if n == 3:
                raise OSError(28, "No space left on device")
            return float(n)

        run = search(train, 5, tmp_path / "project")
        assert run.counts == {"FINISHED": 2, "FAILED": 3}
        assert {trial.cause for trial in run.trials if trial.cause} == {"exception"}
        assert (tmp_path / "calls").read_text() == "0 1 2 3 4 "

    def test_a_trial_that_needs_more_than_there_is_fails_in_the_end(self, disk: SmallDisk, tmp_path: Path) -> None:
        """It is the run's disk, and there is room again as soon as the trial has failed."""

        def train(n: int) -> float:
            with open(tmp_path / "calls", "a") as calls:
                calls.write(f"{n} ")
            if n == 1:
                large = disk.path / "large"
                try:
                    large.write_bytes(b"x" * (8 << 20))
                except OSError as error:
                    raise OSError(error.errno, error.strerror, str(large)) from None  # as many libraries do
                finally:
                    large.unlink()
            return float(n)

        run = search(train, 3, disk.path / "project", max_failures=1)
        assert run.counts == {"FINISHED": 2, "FAILED": 1}
        assert (tmp_path / "calls").read_text().split().count("1") == 10
        assert run.trials[1].cause == "storage"


class TestAbsent:
    def test_a_file_system_that_is_not_mounted_is_waited_for(self, disk: SmallDisk, tmp_path: Path) -> None:
        """Its mount point is empty then, which must not be taken for a deleted run, nor be written into."""
        mounted = tmp_path / "mounted"
        mounted.mkdir()

        def mount() -> None:
            subprocess.run(["mount", "--bind", str(disk.path), str(mounted)], check=True)

        try:
            self.search_without_its_disk(mounted, mount, tmp_path)
        finally:
            subprocess.run(["umount", "--lazy", str(mounted)], check=True)

    def search_without_its_disk(self, mounted: Path, mount: Callable[[], None], tmp_path: Path) -> None:

        def train(n: int) -> float:
            if n == 2 and not (tmp_path / "away").exists():
                (tmp_path / "away").touch()
                subprocess.run(["umount", "--lazy", str(mounted)], check=True)
            return float(n)

        mount()
        display = Lines()
        with in_background(lambda: search(train, 5, mounted / "project", display=display)) as running:
            try:
                eventually(lambda: any("cannot be recorded" in line for line in display.lines), "the user is told")
                assert list(mounted.iterdir()) == []
            finally:
                mount()
            run = running.result(LONG_S)
        assert_complete(run, 5)

    @pytest.mark.parametrize("what", ["run", "project"])
    def test_a_run_that_is_deleted_ends_with_that_message(self, tmp_path: Path, what: str) -> None:
        project = tmp_path / "project"

        def train(n: int) -> float:
            if n == 2:
                [run] = [path for path in (project / "Experiments").iterdir() if not path.name.startswith(".")]
                shutil.rmtree(run if what == "run" else project)
            time.sleep(0.1)
            return float(n)

        with pytest.raises(RunDeleted, match="deleted or moved while the run went on") as caught:
            search(train, 1000, project)
        assert not os.path.exists(caught.value.logdir)
        assert what == "run" or not project.exists()


class TestSetting:
    def test_it_is_one_of_each_call_and_of_the_project(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert Settings.load().storage_patience == 600.0
        monkeypatch.setenv("HOPSLITE_STORAGE_PATIENCE", "7.5")
        assert Settings.load().storage_patience == 7.5
        assert Settings.load(storage_patience=3).storage_patience == 3.0
        monkeypatch.setenv("HOPSLITE_STORAGE_PATIENCE", "soon")
        with pytest.raises(InvalidArguments, match="storage_patience='soon'; give a number of seconds above 0"):
            Settings.load()

    @pytest.mark.parametrize("value", [0, -1, "10", float("nan"), float("inf"), True])
    def test_what_is_no_number_of_seconds_is_refused(self, tmp_path: Path, value: Any) -> None:
        with pytest.raises(InvalidArguments, match="storage_patience="):
            search(lambda n: n, 1, tmp_path / "project", storage_patience=value)
        assert not (tmp_path / "project").exists()
