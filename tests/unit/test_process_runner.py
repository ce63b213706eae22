"""A slot whose trials have processes of their own: what it makes of those that crash, linger or are ended."""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite._trial import Result, Spec, State
from hopslite.runtime import slot
from hopslite.runtime.job import Job
from hopslite.runtime.values import serialize

CRASH = """
import os, pathlib, signal
with open({tally!r}, "a") as file:
    file.write("{name} ")
{statement}
"""


class Driver:
    """The driver's side of a slot: sends its trials one after the other, and what a test wants in between."""

    def __init__(
        self, directory: Path, trials: int, on: Callable[[Driver, dict[str, Any]], None] | None = None
    ) -> None:
        self.results: list[Result] = []
        self._directory, self._trials, self._on = directory, trials, on
        self._orders: deque[dict[str, Any]] = deque()
        self._bell, self._ring = os.pipe()

    def order(self, kind: str, **details: Any) -> None:
        self._orders.append({"type": kind, "trial": f"{len(self.results):04d}", **details})
        os.write(self._ring, b".")

    def next(self) -> None:
        if len(self.results) == self._trials:
            self.order("exit")
            return
        name = f"{len(self.results):04d}"
        self.order("run", spec=Spec(name, {}, str(self._directory / name)).to_json())

    def fileno(self) -> int:
        return self._bell

    def receive(self) -> dict[str, Any]:
        os.read(self._bell, 1)
        return self._orders.popleft()

    def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "ended":
            self.results.append(Result.from_json(message["result"]))
            self.next()
        if self._on:
            self._on(self, message)

    def close(self) -> None:
        os.close(self._bell)
        os.close(self._ring)


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
        on: Callable[[Driver, dict[str, Any]], None] | None = None,
        **options: Any,
    ) -> list[Result]:
        job = Job("run_1", "a", str(tmp_path), serialize(train, []), None, 0, needs_metric=False)
        driver = Driver(run / "trials", trials, on)
        made.append(driver)
        driver.next()
        slot.serve(driver, dataclasses.replace(job, import_path=(str(tmp_path / "lib"),), **options), None)
        return driver.results

    yield serve
    for driver in made:
        driver.close()


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
            import os
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
