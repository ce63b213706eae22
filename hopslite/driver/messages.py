"""Messages of a run to its user: failed trials, a resumption, a stopper without reports."""

from __future__ import annotations

from ..core.types import Result, State
from ..display import GuardedDisplay
from ..result import Trial
from .open_trial import OpenTrial
from .resume import Resumption

__all__ = ["Messages"]

SHOWN_FAILURES = 10


class Messages:
    """Lines about one run on its display."""

    def __init__(self, display: GuardedDisplay) -> None:
        self._display = display
        self._first_was_silent: bool | None = None  # the first trial that finished has made no report

    def failure(self, trial: Trial, count: int) -> None:
        """Show a failed trial, if it is one of the first; `count` is the number of failed trials."""
        if count <= SHOWN_FAILURES:
            self._display.line(f"trial {trial.id} failed: {trial.error} (log: {trial.logdir}/{trial.log})")
        if count == SHOWN_FAILURES:
            self._display.line("further failures are counted, and are in the table of trials")

    def warn_without_reports(self, trial: OpenTrial, result: Result) -> None:
        """Warn once if a stopper has no reports to decide on."""
        if self._first_was_silent is None and result.state is State.FINISHED:
            self._first_was_silent = not trial.reported.count
            if self._first_was_silent and trial.reported.names:
                self._display.line(
                    f"trial {result.trial_id} reported {', '.join(map(repr, trial.reported.names))} but never "
                    f"{trial.reported.key!r}, so the stopper can do nothing; report that, too, or say which metric is "
                    "optimised with optimization_key="
                )
            elif self._first_was_silent:
                self._display.line(
                    f"trial {result.trial_id} finished without a report, so the stopper can do nothing; call "
                    "hopslite.report(value, step) in the training loop, or use hopslite.callbacks.KerasEpochEnd()"
                )

    def resumption(self, resumption: Resumption, ended: int, retried: int) -> None:
        """Show that a run is resumed, with the numbers of trials that have ended and that are run again."""
        for note in resumption.notes:
            self._display.line(note)
        rest = f"{retried} that had begun or failed are run again" if retried else "none was under way"
        self._display.line(f"run {resumption.record['run_id']} goes on: {ended} trials are done, {rest}")
