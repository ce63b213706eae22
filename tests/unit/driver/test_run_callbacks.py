"""Callbacks in the driver: what they are called with and when, and what becomes of their errors."""

from __future__ import annotations

import http.server
import itertools
import json
import logging
import runpy
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import hopslite
from hopslite import errors, experiment
from hopslite.result import Run, Trial
from tests.helpers import ROOT

HERE: dict[str, Any] = {"pool": "inline", "display": False, "seed": 1}


@pytest.fixture(autouse=True)
def _project(project: str) -> None:
    """Every run here is in the test's own project."""


class Notes:
    """All calls, with what they got."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def on_run_start(self, run: Run) -> None:
        self.calls.append(("run start", (str(run.state), [t.id for t in run.trials])))
        assert Path(run.logdir, "run.json").exists()

    def on_trial_start(self, trial: Trial) -> None:
        self.calls.append(("start", (trial.id, str(trial.state), trial.params)))

    def on_report(self, trial: Trial, step: float, value: float) -> None:
        self.calls.append(("report", (trial.id, step, value)))

    def on_trial_end(self, trial: Trial) -> None:
        self.calls.append(("end", (trial.id, str(trial.state), trial.metric)))

    def on_run_end(self, run: Run) -> None:
        self.calls.append(("run end", (str(run.state), [t.id for t in run.trials])))


def train(x: float) -> float:
    hopslite.report(x / 2, step=0)
    if x == 2:
        raise ValueError(x)
    return x


EXPECTED = [
    ("run start", ("RUNNING", [])),
    ("start", ("0000", "RUNNING", {"x": 1})),
    ("report", ("0000", 0, 0.5)),
    ("end", ("0000", "FINISHED", 1)),
    ("start", ("0001", "RUNNING", {"x": 2})),
    ("report", ("0001", 0, 1.0)),
    ("end", ("0001", "FAILED", None)),
    ("run end", ("FINISHED", ["0000", "0001"])),
]


def test_each_is_called_in_the_order_of_events() -> None:
    notes, others = Notes(), Notes()
    experiment.grid_search(train, {"x": [1, 2]}, callbacks=[notes, others], **HERE)
    assert notes.calls == others.calls == EXPECTED


def test_on_spark_they_are_called_in_this_thread() -> None:
    notes, threads = Notes(), set()
    notes.on_trial_start = lambda trial: threads.add(threading.get_ident())  # type: ignore[method-assign]
    experiment.grid_search(train, {"x": [1, 2]}, callbacks=[notes], parallelism=1, display=False)
    assert notes.calls == [call for call in EXPECTED if call[0] != "start"]
    assert threads == {threading.get_ident()}


def test_what_they_raise_is_a_warning_once_for_each_and_kind(caplog: pytest.LogCaptureFixture) -> None:
    class Raises:
        def on_report(self, trial: Trial, step: float, value: float) -> None:
            raise OSError("no network")

        def on_run_end(self, run: Run, more: int) -> None: ...

    notes = Notes()
    with caplog.at_level(logging.WARNING):
        run = experiment.grid_search(train, {"x": [1, 2, 3]}, callbacks=[Raises(), notes, Raises()], **HERE)
    assert run.counts == {"FINISHED": 2, "FAILED": 1}
    assert len([call for call in notes.calls if call[0] == "report"]) == 3
    texts = [record.getMessage() for record in caplog.records if "Raises" in record.getMessage()]
    assert [text.partition(":")[0] for text in texts] == [
        *["Raises.on_report() raised OSError"] * 2,
        *["Raises.on_run_end() raised TypeError"] * 2,
    ]


def test_an_interrupt_in_a_callback_ends_the_run() -> None:
    class Interrupts(Notes):
        def on_trial_end(self, trial: Trial) -> None:
            super().on_trial_end(trial)
            if trial.id == "0000":
                raise KeyboardInterrupt

    notes = Interrupts()
    with pytest.raises(errors.RunInterrupted) as stopped:
        experiment.grid_search(train, {"x": [1, 3, 4]}, callbacks=[notes], **HERE)
    assert notes.calls[-1] == ("run end", ("KILLED", [trial.id for trial in stopped.value.result.trials]))


def test_a_resumed_run_calls_only_for_what_it_does() -> None:
    with pytest.raises(errors.RunInterrupted):
        experiment.grid_search(stops_at_three, {"x": [1, 3, 4]}, name="callbacks", **HERE)
    notes = Notes()
    experiment.grid_search(
        stops_at_three, {"x": [1, 3, 4]}, name="callbacks", resume="auto", force=True, callbacks=[notes], **HERE
    )
    assert notes.calls[0] == ("run start", ("RUNNING", ["0000"]))
    assert [call[1][0] for call in notes.calls if call[0] == "end"] == ["0001", "0002"]


BROKEN: list[float] = []


def stops_at_three(x: float) -> float:
    if x == 3 and not BROKEN:
        BROKEN.append(x)
        raise KeyboardInterrupt
    return x


def test_a_slow_one_delays_no_trial_that_has_a_slot() -> None:
    class Slow:
        def on_trial_end(self, trial: Trial) -> None:
            time.sleep(1.0)

    def naps(x: float) -> float:
        import time

        time.sleep(1.0)
        return x

    run = experiment.grid_search(naps, {"x": [1, 2, 3]}, callbacks=[Slow()], parallelism=1, display=False)
    starts = [trial.started_at or 0.0 for trial in run.trials]
    assert all(after - before < 1.7 for before, after in itertools.pairwise(starts))  # not 2


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Notes(), "give a list of objects"),
        ([Notes], "callbacks[0] is the class Notes; give an object of it: Notes()"),
        ([Notes(), 3], "callbacks[1]=3 has none of the methods on_run_start"),
        ([type("Ray", (), {"on_trial_complete": print})()], "did you mean 'on_trial_"),
    ],
)
def test_what_is_no_callback_is_refused(value: Any, problem: str) -> None:
    with pytest.raises(errors.InvalidArguments) as caught:
        experiment.grid_search(train, {"x": [1]}, callbacks=value, **HERE)
    assert problem in str(caught.value)


@pytest.fixture
def received() -> Any:
    """Address of a server, and the texts that were posted to it."""
    texts: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", texts
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_example_posts_to_a_server(received: Any) -> None:
    url, texts = received
    notify = runpy.run_path(str(ROOT / "examples" / "notifications.py"))["Notify"]
    experiment.grid_search(train, {"x": [1, 2, 3]}, name="told", callbacks=[notify(url)], **HERE)
    assert texts == ["told v1: best metric 1 (trial 0000)", "told v1: best metric 3 (trial 0002)", "told v1: FINISHED"]
    experiment.grid_search(train, {"x": [1]}, callbacks=[notify("http://127.0.0.1:9/none")], **HERE)


def test_a_second_interrupt_in_a_callback_leaves_the_run_resumable() -> None:
    class Impatient:
        def on_trial_end(self, trial: Trial) -> None:
            raise KeyboardInterrupt

        def on_run_end(self, run: Run) -> None:
            raise KeyboardInterrupt

    with pytest.raises(errors.RunInterrupted) as stopped:
        experiment.grid_search(lambda x: x, {"x": [1.0, 2.0]}, callbacks=[Impatient()], **HERE)
    run = experiment.resume(stopped.value.run_id, pool="inline", display=False)
    assert str(run.state) == "FINISHED"
