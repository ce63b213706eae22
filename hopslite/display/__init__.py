"""Live display of a run's progress, and the table of its trials afterwards."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from ..core.objectives import Objective
from ..core.types import Direction, State
from ..result import Run, Trial
from ._curve_buffer import Curve, Point

log = logging.getLogger(__name__)

__all__ = ["Display", "GuardedDisplay", "NullDisplay", "Status", "choose"]


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """Status of a run. `total` is the number of trials expected (None: unknown), times are in seconds.

    `recent` holds a few trials that ended last, oldest first; `tensorboard_hint` is a command that opens TensorBoard
    again, `mlflow_hint` one, or a URL, that opens MLflow, `resume_hint` one that goes on with a run which broke off;
    `plots` is the page of plots to come, `dashboard_url` the run's page in a dashboard that runs. With several metrics,
    `objectives`, there is no best trial; `front` has the ids of those on the Pareto front.

    Of what came before there is a bounded number of points and lines: `metrics` of ended trials and `best_curve`, by
    how many had ended; `curves`, what some trials have reported; `printed`, the last lines that trials printed.
    """

    name: str
    version: int
    verb: str
    logdir: str
    total: int | None = None
    counts: Mapping[State, int] = dataclasses.field(default_factory=dict)
    direction: Direction | None = None
    best_trial: str | None = None
    best_params: Mapping[str, Any] | None = None
    best_metric: float | None = None
    elapsed: float = 0.0
    remaining: float | None = None
    slots_used: int = 0
    recent: tuple[Trial, ...] = ()
    tensorboard_url: str | None = None
    tensorboard_hint: str | None = None
    mlflow_hint: str | None = None
    plots: str | None = None
    resume_hint: str | None = None
    spark_url: str | None = None
    dashboard_url: str | None = None
    metric: str | None = None
    objectives: tuple[Objective, ...] = ()
    front: tuple[str, ...] = ()
    metrics: tuple[Point, ...] = ()
    best_curve: tuple[Point, ...] = ()
    curves: tuple[Curve, ...] = ()
    printed: tuple[str, ...] = ()

    @property
    def marked(self) -> tuple[str | None, ...]:
        """Ids of the trials that are marked in tables."""
        return self.front or (self.best_trial,)

    @property
    def done(self) -> int:
        """Number of trials that have ended, in any state."""
        return sum(count for state, count in self.counts.items() if state.final)

    @property
    def running(self) -> int:
        return self.counts.get(State.RUNNING, 0)

    @property
    def stopped(self) -> int:
        return self.counts.get(State.STOPPED, 0)

    @property
    def failed(self) -> int:
        return self.counts.get(State.FAILED, 0)


class Display(Protocol):
    """Display of one run: `start`, then any number of `update` and `line`, then `close`.

    Safe from many threads. `update` is cheap: it draws at most a few times a second and forgets what comes in between,
    so the loop calls it about once a second even when nothing has changed. `line` also works before and after.

    One that has `shows_output = True` shows `Status.printed`: what trials print is then sent while they run, whether or
    not the run is verbose, and is not given to `line`.
    """

    def start(self, status: Status) -> None:
        """Begin the display."""

    def update(self, status: Status) -> None:
        """Show a new status."""

    def line(self, text: str) -> None:
        """Show a line: a trial's output, a search's note, a warning. It never tears the progress bar."""

    def close(self, status: Status, run: Run | None) -> None:
        """Show the last status and the table of trials; `run` is None if there is nothing to show."""


class NullDisplay:
    """Display that shows nothing."""

    def start(self, status: Status) -> None:
        pass

    def update(self, status: Status) -> None:
        pass

    def line(self, text: str) -> None:
        pass

    def close(self, status: Status, run: Run | None) -> None:
        pass


class GuardedDisplay:
    """Display whose failures are logged once and then ignored: they must never end a run."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self.shows_output = bool(getattr(display, "shows_output", False))

    def _try(self, method: str, *args: Any) -> None:
        try:
            getattr(self._display, method)(*args)
        except Exception as error:  # noqa: BLE001 - a closed stream, a front end that is gone, a user's own display
            log.warning("the display failed and is switched off (%s: %s)", type(error).__name__, error)
            self._display = NullDisplay()

    def start(self, status: Status) -> None:
        self._try("start", status)

    def update(self, status: Status) -> None:
        self._try("update", status)

    def line(self, text: str) -> None:
        self._try("line", text)

    def close(self, status: Status, run: Run | None) -> None:
        self._try("close", status, run)


def choose(display: bool | Display = True) -> Display:
    """Display for this process: a notebook's output cell, or the terminal.

    `False` shows nothing; a display of one's own is taken as it is.
    """
    if display is False:
        return NullDisplay()
    if display is not True:
        return display
    if in_notebook():
        from .notebook import Notebook

        return Notebook()
    from .terminal import Terminal

    return Terminal()


def in_notebook() -> bool:
    """True if this process is a Jupyter kernel, whose front end shows rich output."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return any(base.__name__ == "ZMQInteractiveShell" for base in type(shell).__mro__)
