"""Trials that go wrong, each in its own way: told apart in the record, and the search goes on."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.core.types import State
from hopslite.errors import TrialFailed
from tests.helpers.observe import Lines, eventually

LIMIT_S = 12.0  # trial_timeout: far more than any of these needs, except the one that hangs

# kind: (cause, words that the error must hold)
KINDS = {
    "good": (None, []),
    "raises": ("exception", ["ValueError", "wrong shape"]),
    "raises from": ("exception", ["RuntimeError", "outer"]),
    "raises what cannot be shown": ("exception", ["Unshowable"]),
    "raises a BaseException": ("exception", ["GeneratorExit"]),
    "raises KeyboardInterrupt": ("exception", ["KeyboardInterrupt"]),
    "sys.exit": ("exit", ["7"]),
    "os._exit": ("exit", ["3"]),
    "os._exit(0)": ("exit", ["0"]),
    "SIGKILL": ("signal", ["SIGKILL"]),
    "SIGTERM": ("signal", ["SIGTERM"]),
    "abort": ("signal", ["SIGABRT"]),
    "segfault": ("segfault", ["SIGSEGV"]),
    "MemoryError": ("out-of-memory", ["MemoryError"]),
    "NaN": ("not-a-number", ["nan"]),
    "infinite": ("not-a-number", ["inf"]),
    "None": ("return-value", ["None", "number"]),
    "list": ("return-value", ["list", "number"]),
    "text": ("return-value", ["str", "number"]),
    "bool": ("return-value", ["bool", "number"]),
    "empty dict": ("return-value", ["empty"]),
    "no key": ("return-value", ["'score'", "'accuracy'"]),
    "hangs": ("timeout", ["trial_timeout", "12"]),
    "returns too much": ("return-value", ["MB", "file"]),
    "says too much": ("exception", ["ValueError"]),
    "wants more": ("exception", ["ModuleNotFoundError", "nosuchmodule"]),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("failures") / "project")


@pytest.fixture(scope="module")
def failures(local_spark: Any, shared: str) -> experiment.Run:
    def where_it_hangs() -> None:
        import threading

        threading.Event().wait()

    def train(kind: str) -> Any:
        import ctypes
        import os
        import signal
        import sys

        print("before", kind)
        if kind == "raises":
            raise ValueError("wrong shape\nin two lines")
        if kind == "raises from":
            try:
                raise KeyError("inner")
            except KeyError as error:
                raise RuntimeError("outer") from error
        if kind == "raises what cannot be shown":

            class Unshowable(Exception):
                def __str__(self) -> str:
                    raise TypeError("no text")

            raise Unshowable
        if kind == "raises a BaseException":
            raise GeneratorExit("stop")
        if kind == "raises KeyboardInterrupt":
            raise KeyboardInterrupt
        if kind == "sys.exit":
            sys.exit(7)
        if kind.startswith("os._exit"):
            os._exit(0 if "0" in kind else 3)
        if kind in ("SIGKILL", "SIGTERM"):
            os.kill(os.getpid(), getattr(signal, kind))
        if kind == "abort":
            os.abort()
        if kind == "segfault":
            ctypes.string_at(0)
        if kind == "MemoryError":
            bytearray(1 << 60)
        if kind == "hangs":
            where_it_hangs()
        if kind == "says too much":
            raise ValueError("x" * (70 << 20))
        if kind == "wants more":
            import nosuchmodule  # type: ignore[import-not-found]  # noqa: F401
        returned = {
            "good": {"score": 1.0},
            "NaN": {"score": float("nan")},
            "infinite": {"score": float("inf")},
            "None": None,
            "list": [1.0],
            "text": "1.0",
            "bool": True,
            "empty dict": {},
            "no key": {"accuracy": 0.5, "loss": 0.1},
            "returns too much": {"score": 1.0, "weights": "x" * (70 << 20 if kind == "returns too much" else 1)},
        }
        return returned[kind]

    return experiment.grid_search(
        train,
        {"kind": list(KINDS)},
        optimization_key="score",
        max_retries=0,
        trial_timeout=LIMIT_S,
        project=shared,
        display=False,
    )


def of_kind(run: experiment.Run, kind: str) -> experiment.Trial:
    [found] = [trial for trial in run.trials if trial.params["kind"] == kind]
    return found


class TestEachKind:
    def test_the_search_goes_on(self, failures: experiment.Run) -> None:
        assert failures.state == "FINISHED"
        assert failures.best_params == {"kind": "good"}
        assert [t.params["kind"] for t in failures.trials] == list(KINDS)

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_is_told_apart(self, failures: experiment.Run, kind: str) -> None:
        trial = of_kind(failures, kind)
        cause, words = KINDS[kind]
        assert (str(trial.state), trial.cause) == ("FAILED" if cause else "FINISHED", cause), trial.error
        for word in words:
            assert word in (trial.error or "")
        assert trial.metric is None or kind == "good"
        assert "\n" not in (trial.error or "")

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_it_printed_before_is_kept(self, failures: experiment.Run, kind: str) -> None:
        assert f"before {kind}" in Path(of_kind(failures, kind).logdir, "output.log").read_text()

    @pytest.mark.parametrize("kind", ["raises", "raises from", "raises what cannot be shown", "wants more"])
    def test_exceptions_keep_their_traceback(self, failures: experiment.Run, kind: str) -> None:
        trial = of_kind(failures, kind)
        assert trial.traceback is not None
        assert "in train" in trial.traceback
        assert "execute.py" not in trial.traceback  # from the user's code on
        assert trial.traceback in Path(trial.logdir, "output.log").read_text()
        if kind == "raises from":
            assert "KeyError: 'inner'" in trial.traceback

    def test_a_trace_of_where_it_hung_is_in_the_log(self, failures: experiment.Run) -> None:
        trial = of_kind(failures, "hangs")
        log = Path(trial.logdir, "output.log").read_text()
        assert "where_it_hangs" in log
        assert trial.duration is not None and trial.duration >= LIMIT_S

    def test_a_segfault_leaves_a_trace_too(self, failures: experiment.Run) -> None:
        log = Path(of_kind(failures, "segfault").logdir, "output.log").read_text()
        assert "in train" in log

    def test_no_core_is_left(self, failures: experiment.Run) -> None:
        for kind in ("segfault", "abort", "hangs"):
            assert not [p for p in Path(of_kind(failures, kind).logdir).rglob("*") if p.name.startswith("core")]

    def test_values_that_were_returned_are_kept(self, failures: experiment.Run) -> None:
        trial = of_kind(failures, "NaN")
        assert trial.outputs is not None
        assert trial.outputs["score"] != trial.outputs["score"]

    def test_the_record_says_the_same(self, failures: experiment.Run) -> None:
        record = json.loads(Path(failures.logdir, "run.json").read_text())
        assert (record["state"], record["counts"]) == ("FINISHED", {"FINISHED": 1, "FAILED": len(KINDS) - 1})
        summary = json.loads(Path(failures.logdir, ".summary.json").read_text())
        assert [c["parameters"] for c in summary["combinations"]] == [{"kind": "good"}]


class TestHowManyMayFail:
    def test_all(self, local_spark: Any, shared: str) -> None:
        def train(x: int) -> None:
            raise ValueError(f"bad {x}")

        with pytest.raises(TrialFailed) as caught:
            experiment.grid_search(train, {"x": [1, 2]}, parallelism=1, project=shared, display=False)
        error = caught.value
        assert (error.trial_id, error.params, error.cause) == ("0000", {"x": 1}, "exception")
        assert "ValueError: bad 1" in str(error)
        assert "in train" in (error.traceback or "")
        assert error.logdir in str(error)
        assert "bad 1" in Path(error.log_path).read_text()
        assert json.loads(Path(error.logdir, "run.json").read_text())["state"] == "FAILED"

    def test_the_same_mistake_ends_the_run(self, local_spark: Any, shared: str) -> None:
        def train(x: float) -> dict[str, float]:
            time.sleep(0.05)
            return {"accuracy": x, "loss": 1 - x, "text": len(x)}  # type: ignore[arg-type]

        with pytest.raises(TrialFailed, match="the same error in each of the first 3 trials") as caught:
            experiment.random_search(train, {"x": [0.0, 1.0]}, samples=40, parallelism=2, project=shared, display=False)
        assert "TypeError: object of type 'float' has no len()" in str(caught.value)
        assert caught.value.result.counts[State.FAILED] >= 3  # type: ignore[attr-defined]
        assert len(caught.value.result.trials) < 20  # type: ignore[attr-defined]  # those that end meanwhile count, too

    def test_a_metric_that_is_not_there_ends_the_run(self, local_spark: Any, shared: str) -> None:
        def train(x: float) -> dict[str, float]:
            time.sleep(0.05)
            return {"accuracy": x, "loss": 1 - x}

        with pytest.raises(TrialFailed, match="Did you mean 'accuracy'") as caught:
            experiment.random_search(
                train, {"x": [0.0, 1.0]}, samples=40, optimization_key="acuracy", project=shared, display=False
            )
        assert caught.value.cause == "return-value"
        assert len(caught.value.result.trials) <= 8  # type: ignore[attr-defined]

    def test_max_failures(self, local_spark: Any, shared: str) -> None:
        def train(x: int) -> int:
            return 1 // x

        with pytest.raises(TrialFailed, match="max_failures") as caught:
            experiment.grid_search(
                train, {"x": [1, 0, 0.0, False, 2, 3]}, max_failures=1, parallelism=1, project=shared, display=False
            )
        assert [str(t.state) for t in caught.value.result.trials] == ["FINISHED", "FAILED", "FAILED"]  # type: ignore[attr-defined]


@pytest.fixture
def memory_limit() -> Iterator[Path]:
    """A control group of 64 MB, in which the kernel kills. Where none can be made there is nothing to test."""
    name = f"hopslite-{uuid.uuid4().hex[:8]}"
    group = _control_group(Path("/sys/fs/cgroup/memory"), name, "memory.limit_in_bytes")  # version 1
    group = group or _control_group(Path("/sys/fs/cgroup"), name, "memory.max")  # version 2
    if group is None:
        pytest.skip("this user cannot make a memory control group")
    members = group / "cgroup.procs"
    yield group
    eventually(lambda: not members.read_text().strip(), "the group is empty")
    group.rmdir()


def _control_group(parent: Path, name: str, limit: str) -> Path | None:
    group = parent / name
    try:
        group.mkdir()
    except OSError:
        return None
    try:
        (group / limit).write_text(str(64 << 20))
    except OSError:
        group.rmdir()
        return None
    with contextlib.suppress(OSError):
        (group / "memory.swap.max").write_text("0")
    return group


def test_the_kernels_memory_kill_is_told_apart(local_spark: Any, shared: str, memory_limit: Path) -> None:
    def train(group: str, hungry: bool) -> int:
        import os
        import pathlib

        if hungry:
            pathlib.Path(group, "cgroup.procs").write_text(str(os.getpid()))
            bytearray(256 << 20)
        return 1

    run = experiment.grid_search(
        train, {"group": [str(memory_limit)], "hungry": [True, False]}, parallelism=1, project=shared, display=False
    )
    hungry, modest = run.trials
    assert (str(hungry.state), hungry.cause) == ("FAILED", "out-of-memory"), hungry.error
    assert "memory" in (hungry.error or "")
    assert str(modest.state) == "FINISHED"


class TestLostSlots:
    """A trial whose slot is killed is run again, and no other trial is."""

    @pytest.fixture(autouse=True)
    def _own_warm_servers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that a slot has taken over is below another Python worker."""
        monkeypatch.setenv("HOPSLITE_WARM_SECONDS", "0")

    def search(self, tmp_path: Path, shared: str, victim: str, times: int, **options: Any) -> tuple[Any, Lines]:
        def train(n: int, folder: str, victim: str, times: int) -> int:
            import pathlib
            import threading

            import psutil

            attempts = pathlib.Path(folder)
            attempt = len(list(attempts.glob(f"{n}-*")))
            (attempts / f"{n}-{attempt}").touch()
            if n == 1 and attempt < times:
                fork_server, warm_server, python_worker, *_ = psutil.Process().parents()
                named = {"fork_server": fork_server, "warm_server": warm_server, "python worker": python_worker}
                named[victim].kill()
                threading.Event().wait()
            return n

        display = Lines()
        run = experiment.grid_search(
            train,
            {"n": [0, 1, 2, 3], "folder": [str(tmp_path)], "victim": [victim], "times": [times]},
            project=shared,
            display=display,
            **options,
        )
        return run, display

    @pytest.mark.parametrize("victim", ["fork_server", "warm_server", "python worker"])
    def test_the_trial_is_run_again_and_no_other(
        self, local_spark: Any, shared: str, tmp_path: Path, victim: str
    ) -> None:
        run, display = self.search(tmp_path, shared, victim, 1)
        assert [str(t.state) for t in run.trials] == ["FINISHED"] * 4
        assert sorted(os.listdir(tmp_path)) == ["0-0", "1-0", "1-1", "2-0", "3-0"]
        assert any("0001" in line and "again" in line for line in display.lines)

    @pytest.mark.parametrize("victim", ["fork_server", "python worker"])
    def test_one_that_is_lost_every_time_fails(
        self, local_spark: Any, shared: str, tmp_path: Path, victim: str
    ) -> None:
        run, _ = self.search(tmp_path, shared, victim, 99, max_retries=1)
        assert [str(t.state) for t in run.trials] == ["FINISHED", "FAILED", "FINISHED", "FINISHED"]
        assert run.trials[1].cause == "lost"
        assert "2 times" in run.trials[1].error
        assert sorted(os.listdir(tmp_path)) == ["0-0", "1-0", "1-1", "2-0", "3-0"]
