"""What a training function tells of its progress, and how it hears that it is to stop.

```python
import hopslite

def train(learning_rate):
    for epoch in range(20):
        ...
        hopslite.report(accuracy, step=epoch)
    return accuracy
```
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from .._trial import Direction, is_better
from ..errors import ReportError, TrialStopped
from .context import current_reporter
from .outputs import number

__all__ = ["REPORT_SECONDS", "Reported", "Reporter", "report"]

REPORT_SECONDS = 0.02  # a slot passes on what was reported meanwhile: to be woken by each report slows training down

Send = Callable[[float, float], None]


class Reported:
    """What has been reported so far, summed up: the last step, and the last and the best value."""

    __slots__ = ("_direction", "best", "count", "last", "step")

    def __init__(self, direction: str | None) -> None:
        self._direction = Direction(direction or Direction.MAX)
        self.count = 0
        self.step = -1.0
        self.last = self.best = float("nan")

    def add(self, step: float, value: float) -> None:
        self.count += 1
        self.step, self.last = step, value
        if math.isnan(self.best) or is_better(value, self.best, self._direction):
            self.best = value

    def anew(self) -> Reported:
        """The same, before anything was reported."""
        return Reported(self._direction)

    def value(self, report_as: str) -> float:
        return self.best if report_as == "best" else self.last


class Reporter:
    """Takes the reports of one trial. Safe from many threads.

    Args:
        reported: sums up what is reported.
        send: passes on a step and a value, without waiting for anybody; None: nobody listens, as on members of a
            distributed trial other than the chief.
        stop_asked: why the trial is to stop, or None.
    """

    def __init__(self, reported: Reported, send: Send | None, stop_asked: Callable[[], str | None]) -> None:
        self.reported = reported
        self._send, self._stop_asked = send, stop_asked
        self._lock = threading.Lock()

    def report(self, value: Any, step: Any = None) -> None:
        """See `hopslite.report`."""
        if self._send is None:
            return
        measured = number(value)
        if measured is None:
            raise ReportError(
                f"report(value={value!r:.80}): a value is a real number, this is a {type(value).__name__}"
            )
        with self._lock:
            last = self.reported.step
            at = int(last) + 1 if step is None else number(step)
            if at is None or not math.isfinite(at):
                raise ReportError(f"report(step={step!r:.80}): a step is a number that grows, such as the epoch")
            if at <= last:
                raise ReportError(
                    f"report(step={at:g}): steps must grow, and the last one was {last:g}; report once for each step"
                    if last >= 0
                    else f"report(step={at:g}): steps start at 0"
                )
            self.reported.add(at, float(measured))
            self._send(at, float(measured))
        why = self._stop_asked()
        if why is not None:
            raise TrialStopped(why)

    def broadcast(self, metric: Any, step: Any = None) -> None:
        """Maggy's name for `report`."""
        self.report(metric, step)

    def log(self, message: Any, jupyter: bool = False) -> None:
        """Maggy's way to print; the line is in the trial's log, and is shown where the run is `verbose`."""
        print(message)  # noqa: T201


def report(value: Any, step: float | None = None) -> None:
    """Tell how the running trial does, so far: for stoppers, for curves, and for the record.

    A report takes some microseconds and never waits for the network. In a distributed trial the chief's count.

    >>> import hopslite
    >>> def train(lr):
    ...     for epoch in range(3):
    ...         hopslite.report(lr * epoch, step=epoch)
    ...     return lr * epoch
    >>> from hopslite import experiment
    >>> run = experiment.grid_search(train, {"lr": [0.1, 0.5]}, pool="inline", display=False)
    >>> run.best_params
    {'lr': 0.5}

    Args:
        value: the metric that is optimised, as it is now: any real number; NaN counts as worse than any.
        step: how far the training is, such as the epoch, from 0 on; it grows from report to report. Default: one more
            than the last, from 0 on.

    Raises:
        ReportError: the value is not a number, the step does not grow, or no trial runs here.
        TrialStopped: the trial is to end early; a BaseException, which ends the training function.
    """
    reporter = current_reporter()
    if reporter is None:
        raise ReportError(
            "report(): no trial runs here; it is for use inside a training function that experiment.search(), "
            "grid_search() or another verb has started"
        )
    reporter.report(value, step)
