"""What a training function reports, and how it is told to stop."""

from __future__ import annotations

import json
import math
import pickle
import socket
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest

import hopslite
from hopslite import experiment
from hopslite.errors import InvalidArguments, ReportError, TrialStopped
from hopslite.runtime.report import Reported, Reporter
from hopslite.runtime.wire import Wire


class Heard(Reporter):
    """A reporter with what it has sent, and a switch to stop it."""

    def __init__(self, direction: str = "MAX") -> None:
        self.sent: list[tuple[float, float]] = []
        self.stop: str | None = None
        super().__init__(Reported(direction), lambda step, value: self.sent.append((step, value)), lambda: self.stop)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(2), np.int64(3), np.array(4.0), math.inf, -math.inf])
def test_any_real_number_can_be_reported(value: Any) -> None:
    reporter = Heard()
    reporter.report(value)
    assert reporter.sent == [(0, float(value))]
    assert all(type(part) in (int, float) for part in reporter.sent[0])


@pytest.mark.parametrize("value", ["0.5", None, True, [1.0], {"a": 1}, 1j, np.array([1.0, 2.0])])
def test_what_is_no_number_is_refused(value: Any) -> None:
    reporter = Heard()
    with pytest.raises(ReportError, match="a value is a real number"):
        reporter.report(value)
    assert reporter.sent == []


def test_steps_count_by_themselves_and_go_on_after_one_that_was_given() -> None:
    reporter = Heard()
    for step in (None, None, 10, None, 11.5, None):
        reporter.report(0.0, step)
    assert [step for step, _ in reporter.sent] == [0, 1, 10, 11, 11.5, 12]


@pytest.mark.parametrize("step", [4, 5, 4.5, -1, "6", math.nan, math.inf, True])
def test_a_step_that_does_not_go_on_is_refused_and_nothing_is_sent(step: Any) -> None:
    reporter = Heard()
    reporter.report(1.0, 5)
    with pytest.raises(ReportError, match="step"):
        reporter.report(2.0, step)
    assert reporter.sent == [(5, 1.0)]
    reporter.report(3.0, 6)


@pytest.mark.parametrize(("direction", "best"), [("MAX", 3.0), ("MIN", -1.0)])
def test_the_last_and_the_best_value_are_known(direction: str, best: float) -> None:
    reporter = Heard(direction)
    for value in (math.nan, 1.0, 3.0, -1.0, math.nan, 2.0):
        reporter.report(value)
    assert (reporter.reported.value("last"), reporter.reported.value("best")) == (2.0, best)


def test_a_stop_comes_with_the_report_and_passes_every_except_exception() -> None:
    reporter = Heard()
    reporter.report(1.0)
    reporter.stop = "worse than others"
    with pytest.raises(TrialStopped, match="worse"):
        try:
            reporter.report(2.0)
        except Exception:  # noqa: BLE001
            pytest.fail("a training loop's own handler took it")
    assert reporter.sent[-1] == (1, 2.0)  # what was reported counts
    with pytest.raises(TrialStopped):
        reporter.report(3.0)


def test_reports_of_many_threads_arrive_once_each_in_the_order_of_their_steps() -> None:
    reporter = Heard()
    threads = [threading.Thread(target=lambda: [reporter.report(0.0) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [step for step, _ in reporter.sent] == list(range(2000))


def test_members_beside_the_chief_are_not_heard_and_not_hindered() -> None:
    reporter = Reporter(Reported("MAX"), None, lambda: None)
    reporter.report(1.0)
    reporter.report("no number", step=-1)


def test_outside_of_a_trial_it_says_how_to_be_in_one() -> None:
    with pytest.raises(ReportError, match=r"experiment\.search\(\)"):
        hopslite.report(1.0)


@pytest.fixture
def ends() -> Iterator[tuple[Wire, Connection]]:
    ours, theirs = socket.socketpair()
    slot = Connection(ours.detach())
    yield Wire(Connection(theirs.detach())), slot
    slot.close()


def test_a_slot_that_reads_nothing_never_blocks_and_gets_all_in_order_later(ends: tuple[Wire, Connection]) -> None:
    wire, slot = ends
    for number in range(20_000):  # far more than a socket holds
        wire.send({"number": number})
    flushed = threading.Thread(target=wire.flush)
    flushed.start()
    assert [json.loads(slot.recv_bytes())["number"] for _ in range(20_000)] == list(range(20_000))
    flushed.join()


def test_the_slot_says_why_to_stop_and_when_to_end(ends: tuple[Wire, Connection]) -> None:
    wire, slot = ends
    assert wire.stop_asked() is None
    slot.send_bytes(b"worse than the median")
    assert wire.stop_asked() == wire.stop_asked() == "worse than the median"
    slot.send_bytes(b"")
    wire.await_release()


def test_a_slot_that_is_gone_harms_nobody(ends: tuple[Wire, Connection]) -> None:
    wire, slot = ends
    slot.close()
    wire.send({"a": 1})
    wire.send({"a": 2})
    wire.flush()
    assert wire.stop_asked() is None
    wire.await_release()


# --- in runs


class StopAt:
    """A stopper that ends every trial at one step."""

    def __init__(self, step: float = 3) -> None:
        self.step = step
        self.calls: list[str] = []

    def begin(self, direction: experiment.Direction) -> None:
        self.calls.append(f"begin {direction}")

    def started(self, trial_id: str) -> None:
        self.calls.append(f"started {trial_id}")

    def report(self, trial_id: str, step: float, value: float) -> str | None:
        return "far enough" if step >= self.step else None

    def ended(self, result: Any) -> None:
        self.calls.append(f"{result.state} {result.trial_id}")


def rising(x: float) -> float:
    for step in range(10):
        hopslite.report(x * (5 - abs(step - 2)), step)
    return x


@pytest.mark.parametrize(("report_as", "metric"), [("last", 4.0), ("best", 5.0)])
def test_a_stopped_trial_has_what_it_reported_as_its_result(report_as: str, metric: float) -> None:
    stopper = StopAt()
    run = experiment.grid_search(
        rising, {"x": [1.0]}, stopper=stopper, report_as=report_as, pool="inline", display=False
    )
    (trial,) = run.trials
    assert (trial.state, trial.metric, trial.error) == ("STOPPED", metric, "far enough")
    assert trial.outputs is not None
    assert trial.outputs["metric"] == metric
    assert run.state == "FINISHED"
    assert run.best_metric == metric
    assert stopper.calls == ["begin MAX", "started 0000", "STOPPED 0000"]


def test_the_curves_of_a_run_can_be_looked_at() -> None:
    run = experiment.grid_search(rising, {"x": [1.0, 2.0]}, stopper=StopAt(8), pool="inline", display=False)
    frame = pickle.loads(pickle.dumps(run)).reports()
    assert frame.columns.to_list() == ["trial", "step", "value"]
    assert frame[frame.trial == "0001"]["step"].to_list() == list(range(9))
    assert frame[frame.trial == "0001"]["value"].to_list() == [2.0 * (5 - abs(step - 2)) for step in range(9)]


def test_a_function_that_only_reports_needs_to_return_nothing() -> None:
    def train(x: float) -> None:
        hopslite.report(x)
        hopslite.report(2 * x)

    run = experiment.grid_search(train, {"x": [1.0, 2.0]}, pool="inline", display=False)
    assert run.best_metric == 4.0


def test_a_reporter_argument_is_given() -> None:
    def train(x: float, reporter: Any) -> float:
        reporter.broadcast(x)
        reporter.log("a line", jupyter=True)
        return x

    run = experiment.grid_search(train, {"x": [1.0]}, pool="inline", display=False)
    with open(f"{run.trials[0].logdir}/output.log", encoding="utf-8") as log:
        assert "a line" in log.read()


def test_a_wrong_report_fails_its_trial_only() -> None:
    def train(x: float) -> float:
        hopslite.report("high" if x == 1.0 else x)
        return x

    run = experiment.grid_search(train, {"x": [1.0, 2.0]}, pool="inline", display=False)
    assert [trial.state for trial in run.trials] == ["FAILED", "FINISHED"]
    assert "a value is a real number" in str(run.trials[0].error)


def test_a_stopper_without_reports_says_once_how_to_report(capsys: pytest.CaptureFixture[str]) -> None:
    run = experiment.grid_search(lambda x: x, {"x": [1.0, 2.0, 3.0]}, stopper="median", pool="inline")
    assert run.counts["FINISHED"] == 3
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count("hopslite.report(value, step)") == 1


class Says:
    """A stopper of one's own that answers every report the same."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def begin(self, direction: Any) -> None: ...

    def started(self, trial_id: str) -> None: ...

    def report(self, trial_id: str, step: float, value: float) -> Any:
        return self.answer

    def ended(self, result: Any) -> None: ...


def reports_once(x: float) -> float:
    hopslite.report(x)
    return x


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, None),
        (False, None),
        (np.bool_(False), None),
        (True, "the stopper has ended it"),
        (np.bool_(True), "the stopper has ended it"),
        ("", "the stopper has ended it"),
        ("too slow", "too slow"),
    ],
)
def test_a_stopper_may_answer_yes_or_no(answer: Any, why: str | None) -> None:
    options: dict[str, Any] = {"stopper": Says(answer), "pool": "inline", "display": False}
    (trial,) = experiment.grid_search(reports_once, {"x": [1.0]}, **options).trials
    assert (trial.state, trial.error) == ("STOPPED" if why else "FINISHED", why)


@pytest.mark.parametrize("answer", [3, 0.0, ["why"], b"why"])
def test_a_stopper_that_answers_something_else_ends_the_run_with_one_error(answer: Any) -> None:
    options: dict[str, Any] = {"stopper": Says(answer), "pool": "inline", "display": False}
    with pytest.raises(InvalidArguments, match=r"stopper: Says.report\(\) returned") as error:
        experiment.grid_search(reports_once, {"x": [1.0, 2.0]}, **options)
    assert repr(answer) in str(error.value)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"stopper": "medain"}, "median"),
        ({"stopper": 3}, "has no method"),
        ({"report_as": "first"}, "'last' and 'best'"),
        ({"stop_grace": 0}, "stop_grace"),
        ({"heartbeat_timeout": 1.0}, "heartbeat_timeout works only"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArguments, match=problem):
        experiment.grid_search(lambda x: x, {"x": [1]}, pool="inline", display=False, **options)
