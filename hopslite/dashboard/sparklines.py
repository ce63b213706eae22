"""Small curves of ended runs: the best metric after each trial, from their journals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.types import Direction, Event, State, finite, is_better
from ..storage.journal import parse_event, segment_name, segments
from ..storage.records import is_sound
from ..storage.run_directory import RunDir

__all__ = ["best_so_far", "thinned"]

POINTS = 40
SEGMENTS, MOST_BYTES = 64, 32 << 20  # of a journal; the curve of a larger one is left out
START = b'{"kind": "ended"'


def best_so_far(run: RunDir, record: Mapping[str, Any]) -> list[float] | None:
    """Best metric after each trial that has ended, thinned; None if there is none, or the journal is very large."""
    direction = str(record.get("direction"))
    if direction not in Direction.__members__:
        return None
    try:
        numbers = segments(run)
        if len(numbers) > SEGMENTS:
            return None
        contents = run.read_each([f"journal/{segment_name(number)}" for number in numbers], MOST_BYTES)
    except OSError:
        return None
    if any(isinstance(content, bytes) and len(content) > MOST_BYTES for content in contents):
        return None
    lines = [line for content in contents if isinstance(content, bytes) for line in content.split(b"\n")]
    events = [event for line in lines if line.startswith(START) and (event := parse_event(line)) and is_sound(event)]
    return _best_of(events, Direction(direction))


def _best_of(events: Sequence[Event], direction: Direction) -> list[float] | None:
    best: float | None = None
    values = []
    for event in events:
        metric: float | None = event.data.get("metric")
        is_scored = event.data.get("state") in (State.FINISHED.value, State.STOPPED.value)
        if is_scored and metric is not None and finite(metric):
            best = metric if best is None or is_better(metric, best, direction) else best
            values.append(best)
    return thinned(values) if len(values) > 1 else None


def thinned(values: Sequence[float]) -> list[float]:
    """At most some dozen of the values, evenly spaced, the last one always."""
    if len(values) <= POINTS:
        return list(values)
    return [values[round(place * (len(values) - 1) / (POINTS - 1))] for place in range(POINTS)]
