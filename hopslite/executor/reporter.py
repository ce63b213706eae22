"""Validation and summary of a trial's reports, and their transfer to the slot."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..core.types import DEFAULT_KEY, Direction, is_better
from ..errors import ReportError, TrialStopped
from .outputs import to_number

__all__ = ["REPORT_SECONDS", "ReportSummary", "Reporter", "is_metric_name"]

REPORT_SECONDS = 0.02  # a slot forwards reports in batches: waking it for each report slows training down

MAX_NAME = 250  # characters of a metric's name, as in MLflow

Send = Callable[[dict[str, Any]], None]
Ask = Callable[[dict[str, Any]], dict[str, Any]]


class ReportSummary:
    """Summary of the reports so far: the last step, and the last and the best value of the optimised metric.

    Args:
        direction: None if no metric or several metrics are optimised.
        key: the name of the optimised metric; None: it has none.
        objectives: the names of the optimised metrics, if there are several.

    Attributes:
        count: the number of reports with the optimised metric, or with all of them.
        names: the names of the metrics that were reported in dicts.
        latest: the metrics of the last dict, by name, also without the optimised one.
    """

    __slots__ = (
        "_best",
        "_direction",
        "_last",
        "best",
        "count",
        "key",
        "last",
        "latest",
        "names",
        "objectives",
        "step",
    )

    def __init__(self, direction: str | None, key: str | None = None, objectives: tuple[str, ...] = ()) -> None:
        self._direction = Direction(direction or Direction.MAX)
        self.key = key or DEFAULT_KEY
        self.objectives = objectives
        self.count = 0
        self.step = -1.0
        self.last = self.best = float("nan")
        self.names: dict[str, None] = {}
        self.latest: dict[str, float] = {}
        self._last: dict[str, float] = dict.fromkeys(objectives or [self.key], self.last)
        self._best = self._last

    def add(self, report: dict[str, Any]) -> None:
        """Add a report: the data of a `report` event."""
        self.step, value, metrics = report["step"], report["value"], report.get("metrics")
        if metrics:
            self.names.update(dict.fromkeys(metrics))
            self.latest = metrics
        if self.objectives and metrics and all(name in metrics for name in self.objectives):
            self.count += 1
            self._last = self._best = metrics
        if value is None:
            return
        self.count += 1
        self.last, self._last = value, self._named(value, metrics)
        if math.isnan(self.best) or is_better(value, self.best, self._direction):
            self.best, self._best = value, self._last

    def _named(self, value: float, metrics: dict[str, float] | None) -> dict[str, float]:
        """All metrics of a report, in the form of a returned dict: only one that is alone may lack the key."""
        if not metrics:
            return {self.key: value}
        return metrics if self.key in metrics or len(metrics) == 1 else {**metrics, self.key: value}

    def cleared(self) -> ReportSummary:
        """An empty summary of the same metric."""
        return ReportSummary(self._direction, self.key, self.objectives)

    def value(self, report_as: str) -> float:
        return self.best if report_as == "best" else self.last

    def outputs(self, report_as: str) -> dict[str, float]:
        """All metrics of the report with `value(report_as)`, by name."""
        return self._best if report_as == "best" else self._last


class Reporter:
    """Thread-safe receiver of one trial's reports.

    Args:
        reported: the summary that reports are added to.
        send: sends a report, the data of a `report` event, without waiting; None: reports are ignored, as on members
            of a distributed trial other than the chief.
        stop_reason: returns the reason why the trial is to stop, or None.
        ask: sends a request to the driver and returns its answer; None: it cannot be asked.
    """

    def __init__(
        self,
        reported: ReportSummary,
        send: Send | None,
        stop_reason: Callable[[], str | None],
        ask: Ask | None = None,
    ) -> None:
        self.reported = reported
        self._send, self._stop_reason, self._ask = send, stop_reason, ask
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._only: str | None = None  # with the default key: the name in the first dict with a single metric

    def report(self, value: Any, step: Any = None, raises: bool = True) -> None:
        """Add a report; see `hopslite.report`. Without `raises` the trial goes on even if it is to stop."""
        self._check_process()
        if self._send is None:
            return
        numbers = _numbers(value)
        with self._lock:
            last = self.reported.step
            position = int(last) + 1 if step is None else to_number(step)
            if position is None or not math.isfinite(position):
                raise ReportError(f"report(step={step!r:.80}): a step is a number that grows, such as the epoch")
            if position <= last:
                raise ReportError(
                    f"report(step={position:g}): steps must grow, the last one was {last:g}; report once for each step"
                    if last >= 0
                    else f"report(step={position:g}): steps start at 0"
                )
            report = {"step": position, **self._values(numbers)}
            self.reported.add(report)
            self._send(report)
        reason = self._stop_reason()
        if reason is not None and raises:
            raise TrialStopped(reason)

    def draw(self, metrics: dict[str, float], step: int) -> None:
        """Add a step to the curves of metrics that are not optimised, each of which has steps of its own.

        For programs that write metrics one by one; invalid names are left out.
        """
        self._check_process()
        valid = {name: float(value) for name, value in metrics.items() if is_metric_name(name)}
        if self._send is not None and valid:
            with self._lock:
                self._send({"step": step, "value": None, "metrics": valid})

    def _check_process(self) -> None:
        """Refuse a process that the training function has forked, which would write between the trial's own messages.

        Raises:
            ReportError: this is one.
        """
        if os.getpid() != self._process:
            raise ReportError(
                "report(): only the process that runs the training function can report, and this is one that it has "
                "forked; send the value there, for example through a multiprocessing.Queue"
            )

    def _values(self, numbers: float | dict[str, float]) -> dict[str, Any]:
        """The optimised value of a report, None if it lacks it, and the metrics of a dict."""
        objectives = self.reported.objectives
        if not isinstance(numbers, dict):
            if objectives:
                raise ReportError(
                    f"report(value={numbers:g}): the run optimises {', '.join(objectives)}; give a dict with the "
                    "metrics by name"
                )
            return {"value": numbers}
        if objectives:
            return {"value": None, "metrics": numbers}
        key = self.reported.key
        if key == DEFAULT_KEY and key not in numbers:  # as in a returned dict, a single number needs no key
            if self._only is None and len(numbers) == 1:
                self._only = next(iter(numbers))
            key = self._only or key
        return {"value": numbers.get(key), "metrics": numbers}

    @property
    def sends(self) -> bool:
        """True if reports count, as on the chief of a distributed trial."""
        return self._send is not None

    def stop_reason(self) -> str | None:
        """The reason why the trial is to stop, as far as is known here."""
        return self._stop_reason() if os.getpid() == self._process else None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The driver's answer to a request; threads of a trial ask one after the other."""
        assert self._ask is not None
        self._check_process()
        with self._lock:
            return self._ask(request)

    def broadcast(self, metric: Any, step: Any = None) -> None:
        """Maggy's name for `report`."""
        self.report(metric, step)

    def log(self, message: Any, jupyter: bool = False) -> None:
        """Maggy's name for `print`; the line is in the trial's log, and is shown if the run is `verbose`."""
        print(message)  # noqa: T201


def is_metric_name(name: Any) -> bool:
    """True if a metric can be recorded under a name."""
    return isinstance(name, str) and bool(name.strip()) and name.isprintable() and len(name) <= MAX_NAME


def _numbers(value: Any) -> float | dict[str, float]:
    """Convert a reported value, or a dict of them, to Python numbers.

    Raises:
        ReportError: it is neither a number nor a dict of numbers by valid names.
    """
    if not isinstance(value, Mapping):
        return _number(value, "value")
    if not value:
        raise ReportError("report({}): the dict is empty; give the metrics by name")
    for name in value:
        if not is_metric_name(name):
            raise ReportError(
                f"report(): {name!r:.80} is no name of a metric; give a text of 1 to {MAX_NAME} printable characters"
            )
    return {name: _number(item, name) for name, item in value.items()}


def _number(value: Any, name: str) -> float:
    number = to_number(value)
    if number is None:
        raise ReportError(
            f"report({name}={value!r:.80}): a value is a real number, this is a {type(value).__name__}; to report "
            "several metrics, give a dict of numbers by name"
        )
    return float(number)
