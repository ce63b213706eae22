"""Times of a run: until its first trial, in trials, after the last."""

from __future__ import annotations

import statistics

from ..result import Run
from ..result.timeline import Timeline

__all__ = ["seconds_of"]


def seconds_of(run: Run) -> dict[str, float | None]:
    """Seconds that a run spent on what; `busy` is the average number of busy slots."""
    spans = [(t.started_at, t.started_at + (t.duration or 0.0)) for t in run.trials if t.started_at is not None]
    lengths = [end - begin for begin, end in spans]
    timeline: Timeline = run._timeline
    first, last = timeline.first_start, max((end for _, end in spans), default=None)
    total = run.duration
    until_first = None if first is None else timeline.worked_until(first)
    until_last = None if last is None else timeline.worked_until(last)
    over = until_last - until_first if until_first is not None and until_last is not None else 0.0
    return {
        "total": total,
        "until_first_trial": until_first,
        "in_trials": sum(lengths),
        "median_trial": statistics.median(lengths) if lengths else None,
        "longest_trial": max(lengths, default=None),
        "after_last_trial": max(0.0, total - until_last) if total is not None and until_last is not None else None,
        "busy": sum(lengths) / over if over > 0 else None,
    }
