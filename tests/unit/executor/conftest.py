"""A slot that is served by a test: its trials, and frameworks of the test's own."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite.core.types import Result, Spec
from hopslite.executor import slot
from hopslite.executor.job_spec import Job
from hopslite.serialization.values import serialize
from tests.helpers.orders import Orders

CRASH = """
import os, pathlib, signal
with open({tally!r}, "a") as file:
    file.write("{name} ")
{statement}
"""


class Driver(Orders):
    """The driver's side of a slot: sends its trials one after the other, and what a test wants in between."""

    PARAMS: dict[str, Any] = {}

    def __init__(self, directory: Path, trials: int, member: dict[str, Any] | None) -> None:
        super().__init__()
        self.results: list[Result] = []
        self.reports: list[float] = []
        self.on_report: dict[str, Any] | None = None  # an order, half a second after a trial's first report
        self._directory, self._trials, self._member = directory, trials, member

    def order(self, kind: str, **details: Any) -> None:
        self.put({"type": kind, "trial": f"{len(self.results):04d}", **details})

    def next(self) -> None:
        if len(self.results) == self._trials:
            self.order("exit")
            return
        name = f"{len(self.results):04d}"
        self.order("run", spec=Spec(name, self.PARAMS, str(self._directory / name), member=self._member).to_json())

    def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "report":
            self.reports.append(message["value"])
            if self.on_report and message["step"] == 0:
                threading.Timer(0.5, self.order, kwargs=self.on_report).start()
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
    packages = tmp_path / "lib" / "site-packages"
    packages.joinpath("__pycache__").mkdir(parents=True)  # as each has; adding it counts as an installation
    made: list[Driver] = []

    def serve(
        train: Callable[[], Any],
        trials: int = 1,
        member: dict[str, Any] | None = None,
        at_once: dict[str, Any] | None = None,
        on_report: dict[str, Any] | None = None,
        reports: list[float] | None = None,
        folder: str = "trials",
        **options: Any,
    ) -> list[Result]:
        job = Job("run_1", "a", str(tmp_path), serialize(train, []), None, 0, needs_metric=False)
        driver = Driver(run / folder, trials, member)
        driver.on_report = on_report
        driver.reports = driver.reports if reports is None else reports
        made.append(driver)
        driver.next()
        if at_once:
            driver.order(**at_once)
        slot.serve(driver, dataclasses.replace(job, import_path=(str(packages.parent), str(packages)), **options), None)
        return driver.results

    yield serve
    for driver in made:
        driver.close()


@pytest.fixture
def framework(tmp_path: Path) -> Callable[..., Callable[[], list[str]]]:
    """Make a module with a framework's name, installed or the user's; returns what tells how often it was imported."""
    tally = tmp_path / "imports"

    def make(name: str, statement: str = "", is_installed: bool = False) -> Callable[[], list[str]]:
        folder = tmp_path / "lib" / "site-packages" if is_installed else tmp_path / "lib"
        (folder / f"{name}.py").write_text(CRASH.format(tally=str(tally), name=name, statement=statement))
        return lambda: tally.read_text().split()

    return make
