"""Metrics of a program: from lines of its output, event files and calls of MLflow to reports and curves."""

from __future__ import annotations

import contextlib
import json

from ..core.plain_values import is_integer
from ..errors import ReportError
from ..executor.context import current_reporter

__all__ = ["ProgramMetrics"]


class ProgramMetrics:
    """Latest value of each metric, and their curves; the optimised one is reported as it arrives.

    Others are drawn together with those of the same step, by `flush`.
    """

    def __init__(self, reported: str | None) -> None:
        self.values: dict[str, float] = {}
        self._reported = reported
        self._steps: dict[str, int] = {}  # the last one of each metric that is not optimised
        self._step = 0
        self._undrawn: dict[str, float] = {}

    def take(self, name: str, value: float, step: int | None) -> None:
        self.values[name] = value
        if name == self._reported:
            reporter = current_reporter()
            if reporter is not None and reporter.stop_reason() is None:  # what comes while it ends is no report
                with contextlib.suppress(ReportError):  # repeated step: a program writes lines and event files
                    reporter.report(value, step, raises=False)
            return
        last = self._steps.get(name, -1)
        position = last + 1 if step is None else step
        if position <= last:
            return  # repeated
        if position != self._step:
            self.flush()
        self._steps[name] = self._step = position
        self._undrawn[name] = value

    def flush(self) -> None:
        """Draw what has arrived."""
        reporter = current_reporter()
        if self._undrawn and reporter is not None:
            reporter.draw(self._undrawn, self._step)
        self._undrawn = {}

    def line(self, text: bytes) -> None:
        """Parse a line of the form `{"metric": "loss", "value": 0.1, "step": 3}`."""
        if not text.lstrip().startswith(b"{"):
            return
        try:
            record = json.loads(text)
            name, value, step = record["metric"], float(record["value"]), record.get("step")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return
        if isinstance(name, str):
            self.take(name, value, step if is_integer(step) else None)
