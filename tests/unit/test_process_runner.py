"""A slot whose trials have processes of their own: what it makes of those that crash, linger or are ended."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from orders import Orders

from hopslite._trial import Member, Result, Spec, State
from hopslite.runtime import _process_runner, slot
from hopslite.runtime.job import Job
from hopslite.runtime.values import serialize

CRASH = """
import os, pathlib, signal
with open({tally!r}, "a") as file:
    file.write("{name} ")
{statement}
"""


class Driver(Orders):
    """The driver's side of a slot: sends its trials one after the other, and what a test wants in between."""

    def __init__(self, directory: Path, trials: int, member: dict[str, Any] | None) -> None:
        super().__init__()
        self.results: list[Result] = []
        self._directory, self._trials, self._member = directory, trials, member

    def order(self, kind: str, **details: Any) -> None:
        self.put({"type": kind, "trial": f"{len(self.results):04d}", **details})

    def next(self) -> None:
        if len(self.results) == self._trials:
            self.order("exit")
            return
        name = f"{len(self.results):04d}"
        self.order("run", spec=Spec(name, {}, str(self._directory / name), member=self._member).to_json())

    def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "ended":
            self.results.append(Result.from_json(message["result"]))
            self.next()


Serve = Callable[..., list[Result]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Have a slot run trials of a function; returns their results."""
    run = tmp_path / "Experiments" / "run_1"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (tmp_path / "lib").mkdir()
    made: list[Driver] = []

    def serve(
        train: Callable[[], Any],
        trials: int = 1,
        member: dict[str, Any] | None = None,
        **options: Any,
    ) -> list[Result]:
        job = Job("run_1", "a", str(tmp_path), serialize(train, []), None, 0, needs_metric=False)
        driver = Driver(run / "trials", trials, member)
        made.append(driver)
        driver.next()
        slot.serve(driver, dataclasses.replace(job, import_path=(str(tmp_path / "lib"),), **options), None)
        return driver.results

    yield serve
    for driver in made:
        driver.close()


@pytest.fixture
def on_result(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the driver says of a trial while its result is in the slot already and its process still lives."""
    orders: list[dict[str, Any]] = []
    after_result = _process_runner.ProcessRunner._after_result

    def then_order(runner: Any, *arguments: Any) -> None:
        after_result(runner, *arguments)
        for order in orders:
            runner._link.order(**order)

    monkeypatch.setattr(_process_runner.ProcessRunner, "_after_result", then_order)
    return orders


@pytest.fixture
def framework(tmp_path: Path) -> Callable[..., Callable[[], list[str]]]:
    """Make a module with a framework's name; returns what tells how often it was imported."""
    tally = tmp_path / "imports"

    def make(name: str, statement: str = "") -> Callable[[], list[str]]:
        (tmp_path / "lib" / f"{name}.py").write_text(CRASH.format(tally=str(tally), name=name, statement=statement))
        return lambda: tally.read_text().split()

    return make


class TestImportsThatCrash:
    @pytest.mark.parametrize("ahead", [True, False])
    def test_the_trial_imports_by_itself_and_its_crash_is_told(
        self, serve: Serve, framework: Callable[..., Callable[[], list[str]]], ahead: bool
    ) -> None:
        """TensorFlow does so on a processor without AVX. Each slot would otherwise lose its parent again and again."""
        imports = framework("catboost", "os.kill(os.getpid(), signal.SIGILL)")

        def train() -> float:
            __import__("catboost")
            return 1.0

        results = serve(train, trials=3, preload=("catboost",) if ahead else ())

        first = results[0] if ahead else results[1]  # the first may die with its parent, which imports it meanwhile
        assert (first.cause, first.error) == ("signal", "the process was killed by SIGILL; see output.log")
        assert results[2].cause == "signal"
        assert len(imports()) <= 4
        told = [warning for result in results for warning in result.warnings]
        if ahead or told:
            [line] = told
            assert "was killed by SIGILL while it imported catboost ahead of trials" in line
        elif results[0].cause == "lost":
            assert "was killed by SIGILL while it imported catboost" in str(results[0].error)

    def test_a_parent_that_dies_otherwise_is_followed_by_one_that_has_imported_the_same(
        self, serve: Serve, framework: Callable[..., Callable[[], list[str]]], tmp_path: Path
    ) -> None:
        imports = framework("catboost")
        folder = str(tmp_path)

        def train() -> float:
            import pathlib
            import signal
            import sys

            import catboost

            turn = len(list(pathlib.Path(folder).glob("turn*")))
            pathlib.Path(folder, f"turn{turn}").touch()
            if turn == 1:
                os.kill(os.getppid(), signal.SIGKILL)
                signal.pause()
            return float(sys.getrefcount(catboost) > 0)

        results = serve(train, trials=4, preload=())

        assert [result.cause for result in results] == [None, "lost", None, None]
        assert "was killed by SIGKILL" in str(results[1].error)
        assert len(imports()) <= 3  # the first trial, the first parent meanwhile, the second parent
        assert [warning for result in results for warning in result.warnings] == []
        assert results[3].state is State.FINISHED


def lingering(seconds: float) -> Callable[[], float]:
    """A training function that leaves a thread at work."""

    def train() -> float:
        import threading

        import hopslite

        hopslite.report(0.1)
        threading.Thread(target=threading.Event().wait, args=[seconds]).start()
        return 0.9

    return train


class TestResultsOfProcessesThatLinger:
    def test_one_that_is_there_is_not_stopped_any_more(self, serve: Serve, on_result: list[dict[str, Any]]) -> None:
        on_result.append({"kind": "stop", "why": "it is hopeless"})
        [result] = serve(lingering(1.0), stop_grace=0.1)
        assert (result.state, result.metric, result.warnings) == (State.FINISHED, 0.9, ())

    def test_what_it_still_does_is_not_cut_by_a_stop(
        self, serve: Serve, on_result: list[dict[str, Any]], tmp_path: Path
    ) -> None:
        def train() -> float:
            def upload() -> None:
                time.sleep(1.0)
                Path(written).touch()

            threading.Thread(target=upload).start()
            return 0.9

        written = str(tmp_path / "written")
        on_result.append({"kind": "stop", "why": "it is hopeless"})
        serve(train, stop_grace=0.1)
        assert os.path.exists(written)

    def test_the_end_of_the_run_does_not_take_it_away(self, serve: Serve, on_result: list[dict[str, Any]]) -> None:
        on_result.append({"kind": "kill", "why": "the run is over"})
        [result] = serve(lingering(60.0))
        assert (result.state, result.metric, result.error) == (State.FINISHED, 0.9, None)

    def test_a_process_that_had_to_be_killed_is_told(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_process_runner, "GRACE_SECONDS", 0.2)
        [result] = serve(lingering(60.0))
        assert (result.state, result.metric) == (State.FINISHED, 0.9)
        [line] = result.warnings
        assert "still at work 0.2 s after the training function had ended" in line

    def test_a_member_that_waits_for_the_others_has_not_ended(
        self, serve: Serve, on_result: list[dict[str, Any]]
    ) -> None:
        on_result.append({"kind": "kill", "why": "another member failed"})
        member = Member("worker", 0, environment={}).to_json()
        [result] = serve(lambda: 0.9, member=member)
        assert (result.state, result.cause) == (State.KILLED, "killed")
