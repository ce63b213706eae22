"""Reports of a training function, and early stopping."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest

import hopslite
from hopslite import experiment, plots
from hopslite.channel.trial_pipe import TrialPipe
from hopslite.errors import InvalidArguments, ReportError, RunInterrupted, TrialFailed, TrialStopped
from hopslite.executor.reporter import Reporter, ReportSummary
from tests.helpers import ROOT


class Heard(Reporter):
    """A reporter with what it has sent, and a switch to stop it."""

    def __init__(self, direction: str | None = "MAX", key: str | None = None) -> None:
        self.sent: list[tuple[float, Any]] = []
        self.metrics: list[Any] = []
        self.stop: str | None = None
        super().__init__(ReportSummary(direction, key), self._note, lambda: self.stop)

    def _note(self, report: dict[str, Any]) -> None:
        self.sent.append((report["step"], report["value"]))
        self.metrics.append(report.get("metrics"))


@pytest.mark.parametrize("value", [1, 0.5, np.float32(2), np.int64(3), np.array(4.0), math.inf, -math.inf])
def test_any_real_number_can_be_reported(value: Any) -> None:
    reporter = Heard()
    reporter.report(value)
    assert reporter.sent == [(0, float(value))]
    assert all(type(part) in (int, float) for part in reporter.sent[0])


@pytest.mark.parametrize("value", ["0.5", None, True, [1.0], 1j, np.array([1.0, 2.0])])
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
    reporter = Reporter(ReportSummary("MAX"), None, lambda: None)
    reporter.report(1.0)
    reporter.report("no number", step=-1)


def test_outside_of_a_trial_it_says_how_to_be_in_one() -> None:
    with pytest.raises(ReportError, match=r"experiment\.search\(\)"):
        hopslite.report(1.0)


@pytest.fixture
def ends() -> Iterator[tuple[TrialPipe, Connection]]:
    ours, theirs = socket.socketpair()
    slot = Connection(ours.detach())
    yield TrialPipe(theirs.detach()), slot
    slot.close()


def test_a_slot_that_reads_nothing_never_blocks_and_gets_all_in_order_later(ends: tuple[TrialPipe, Connection]) -> None:
    wire, slot = ends
    for number in range(20_000):  # far more than a socket holds
        wire.send({"number": number})
    flushed = threading.Thread(target=wire.flush)
    flushed.start()
    assert [json.loads(slot.recv_bytes())["number"] for _ in range(20_000)] == list(range(20_000))
    flushed.join()


def test_the_slot_says_why_to_stop_and_when_to_end(ends: tuple[TrialPipe, Connection]) -> None:
    wire, slot = ends
    assert wire.stop_reason() is None
    slot.send_bytes(b'{"stop": "worse than the median"}')
    assert wire.stop_reason() == wire.stop_reason() == "worse than the median"
    slot.send_bytes(b'{"release": true}')
    wire.await_release()


def test_a_slot_that_is_gone_harms_nobody(ends: tuple[TrialPipe, Connection]) -> None:
    wire, slot = ends
    slot.close()
    wire.send({"a": 1})
    wire.send({"a": 2})
    wire.flush()
    assert wire.stop_reason() is None
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
    assert frame.columns.to_list() == ["trial", "step", "metric", "value"]
    assert set(frame["metric"]) == {"metric"}
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


# --- several metrics


def test_a_dict_has_the_optimised_metric_and_others() -> None:
    reporter = Heard(key="accuracy")
    reporter.report({"loss": np.float32(0.5), "accuracy": 0.25}, step=3)
    reporter.report(0.5)
    assert reporter.sent == [(3, 0.25), (4, 0.5)]
    assert reporter.metrics == [{"loss": 0.5, "accuracy": 0.25}, None]
    assert type(reporter.metrics[0]["loss"]) is float


def test_a_dict_without_the_optimised_metric_is_a_step_of_curves() -> None:
    reporter = Heard(key="accuracy")
    reporter.report({"accuracy": 0.25, "loss": 2})
    reporter.report({"loss": 1})
    assert reporter.sent == [(0, 0.25), (1, None)]
    summary = reporter.reported
    assert (summary.count, summary.step, summary.last, list(summary.names)) == (1, 1, 0.25, ["accuracy", "loss"])
    assert summary.outputs("last") == {"accuracy": 0.25, "loss": 2}


def test_with_the_default_key_a_single_number_needs_no_name_from_then_on() -> None:
    reporter = Heard()
    for report in ({"accuracy": 0.5}, {"loss": 1}, {"accuracy": 0.75, "loss": 2}, {"metric": 3, "accuracy": 1}):
        reporter.report(report)
    assert [value for _, value in reporter.sent] == [0.5, None, 0.75, 3]


def alone_at_first(x: float) -> None:
    """Reports a single number first, which is the metric from then on, and later others beside it."""
    hopslite.report({"accuracy": x})
    hopslite.report({"accuracy": 2 * x, "loss": 0.5})


def test_with_the_default_key_a_function_may_report_several_numbers_and_return_nothing() -> None:
    run = experiment.grid_search(alone_at_first, {"x": [1.0, 2.0]}, pool="inline", display=False)
    assert (run.best_metric, run.best_params) == (4, {"x": 2.0})
    assert {name: run.best_outputs[name] for name in ("metric", "accuracy", "loss")} == {
        "metric": 4,
        "accuracy": 4,
        "loss": 0.5,
    }
    search: dict[str, Any] = {"num_trials": 3, "algorithm": "random", "stopper": StopAt(1)}
    stopped = experiment.search(alone_at_first, {"x": [0.0, 1.0]}, **search, pool="inline", display=False)
    assert {str(trial.state) for trial in stopped.trials} == {"STOPPED"}
    assert all(trial.outputs["metric"] == trial.metric for trial in stopped.trials)
    launched = experiment.launch(alone_at_first, {"x": [1.0]}, pool="inline", display=False)
    assert {*launched.reports()["metric"]} == {"accuracy", "loss"}


def test_curves_of_other_metrics_have_steps_of_their_own() -> None:
    reporter = Heard(key="accuracy")
    reporter.report(0.5, 3)
    reporter.draw({"loss": np.float32(2), "n\n": 1.0}, 3)
    reporter.draw({"n\n": 1.0}, 4)
    reporter.draw({"loss": 1.0}, 0)
    reporter.report(0.6)
    assert reporter.sent == [(3, 0.5), (3, None), (0, None), (4, 0.6)]
    assert reporter.metrics == [None, {"loss": 2.0}, {"loss": 1.0}, None]
    Reporter(ReportSummary("MAX"), None, lambda: None).draw({"loss": 1.0}, 0)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ({}, "the dict is empty"),
        ({"loss": "0.5"}, "report.loss='0.5'.: a value is a real number, this is a str"),
        ({"loss": True}, "loss=True"),
        ({"loss": [1.0]}, "loss="),
        ({"a": 0.5, "loss": None}, "loss=None"),
        ({3: 0.5}, "3 is no name"),
        ({"": 0.5}, "'' is no name"),
        ({"a\n": 0.5}, "no name"),
        ({"a" * 251: 0.5}, "1 to 250 printable characters"),
    ],
)
def test_names_and_values_of_a_dict_are_checked_and_nothing_is_sent(report: Any, message: str) -> None:
    reporter = Heard()
    with pytest.raises(ReportError, match=message):
        reporter.report(report)
    assert (reporter.sent, reporter.reported.step) == ([], -1)


def check_scalars_of(module: str) -> None:
    framework = importlib.import_module(module)
    make = getattr(framework, "tensor", None) or getattr(framework, "constant", None) or framework.array
    reporter = Heard()
    reporter.report(make(0.5))
    reporter.report({"loss": make(0.25), "n": make(3)})
    assert (reporter.sent[0], reporter.metrics[1]) == ((0, 0.5), {"loss": 0.25, "n": 3})
    for wrong in (make([0.5, 1.0]), make(True)):
        with pytest.raises(ReportError, match="a value is a real number"):
            reporter.report(wrong)


@pytest.mark.slow("frameworks")
@pytest.mark.parametrize("module", ["torch", "tensorflow", "jax.numpy"])
def test_scalars_of_frameworks_are_numbers(module: str) -> None:
    """In a process of its own: a process in which JAX has computed warns at each later fork, also in other tests."""
    pytest.importorskip(module.partition(".")[0])
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed")
    program = f"from {__name__} import check_scalars_of; check_scalars_of({module!r})"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def several(x: float) -> None:
    for step in range(4):
        hopslite.report({"loss": 1 / (1 + step), "accuracy": x * step, "unstable": math.nan}, step)


def test_all_metrics_are_in_the_table_of_reports_and_among_the_outputs() -> None:
    run = experiment.grid_search(
        several, {"x": [1.0, 2.0]}, optimization_key="accuracy", stopper=StopAt(2), pool="inline", display=False
    )
    frame = run.reports()
    assert frame[(frame.trial == "0001") & (frame.metric == "accuracy")]["value"].to_list() == [0, 2, 4]
    assert frame[(frame.trial == "0001") & (frame.metric == "loss")]["value"].to_list() == [1, 1 / 2, 1 / 3]
    assert frame[frame.metric == "unstable"]["value"].isna().sum() == 6
    assert (run.best_metric, run.best_outputs["loss"], run.best_trial.state) == (4, 1 / 3, "STOPPED")
    wide = frame.pivot(index=["trial", "step"], columns="metric", values="value")
    assert wide.loc[("0000", 2), "accuracy"] == 2


def test_a_stopper_does_not_see_reports_without_its_metric() -> None:
    seen = []

    class Watching(StopAt):
        def report(self, trial_id: str, step: float, value: float) -> str | None:
            seen.append((step, value))
            return None

    def train(x: float) -> float:
        for step in range(4):
            hopslite.report({"loss": 1.0, **({"accuracy": x} if step % 2 else {})}, step)
        return x

    experiment.grid_search(
        train, {"x": [0.5]}, optimization_key="accuracy", stopper=Watching(), pool="inline", display=False
    )
    assert seen == [(1, 0.5), (3, 0.5)]


def test_a_function_that_never_reports_the_optimised_metric_is_told_of_it() -> None:
    def train(x: float) -> None:
        hopslite.report({"loss": x, "acc": x})

    with pytest.raises(TrialFailed, match="has reported 'loss', 'acc' but never 'accuracy'"):
        experiment.grid_search(train, {"x": [0.5]}, optimization_key="accuracy", pool="inline", display=False)


def test_a_stopper_that_gets_only_other_metrics_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def train(x: float) -> float:
        hopslite.report({"loss": x, "acc": x})
        return x

    experiment.grid_search(train, {"x": [0.5]}, optimization_key="accuracy", stopper=StopAt(), pool="inline")
    assert "reported 'loss', 'acc' but never 'accuracy', so the stopper can do nothing" in "".join(capsys.readouterr())


def test_one_metric_of_several_is_drawn() -> None:
    run = experiment.grid_search(several, {"x": [1.0, 2.0]}, optimization_key="accuracy", pool="inline", display=False)
    assert plots.reports(run).axes[0].get_ylabel() == "accuracy"
    assert plots.reports(run, metric="loss").axes[0].get_ylabel() == "loss"
    with pytest.raises(
        InvalidArguments, match=r"metric='los'; reported are loss, accuracy, unstable\. Did you mean 'loss'"
    ):
        plots.reports(run, metric="los")


def test_a_run_that_goes_on_has_its_reports(tmp_path: Any) -> None:
    @dataclasses.dataclass
    class Interrupting:
        def on_report(self, trial: Any, step: float, value: Any) -> None:
            self.values = [*getattr(self, "values", []), value]
            if trial.id == "0001":
                raise KeyboardInterrupt

    where = {"project": str(tmp_path), "pool": "inline", "display": False}
    watching = Interrupting()
    with pytest.raises(RunInterrupted) as caught:
        experiment.grid_search(several, {"x": [1.0, 2.0]}, optimization_key="accuracy", callbacks=[watching], **where)
    assert watching.values[1] == {"loss": 0.5, "accuracy": 1.0, "unstable": pytest.approx(math.nan, nan_ok=True)}
    run = experiment.resume(caught.value.run_id, project=str(tmp_path), pool="inline", display=False)
    frame = run.reports()
    assert frame[frame.metric == "accuracy"].groupby("trial")["value"].max().to_dict() == {"0000": 3, "0001": 6}
    study = run.to_optuna()
    assert study.trials[1].intermediate_values == {step: 2 * step for step in range(4)}
