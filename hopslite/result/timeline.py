"""Times at which a run was worked on."""

from __future__ import annotations

import dataclasses

__all__ = ["NO_TIMELINE", "Timeline"]


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Times at which drivers worked on a run, and its first trial began, in seconds since the epoch."""

    spans: tuple[tuple[float, float], ...] = ()
    first_start: float | None = None

    def worked_until(self, moment: float) -> float:
        """Seconds of work up to a moment; the time between two drivers of a resumed run does not count."""
        return sum(max(0.0, min(end, moment) - begin) for begin, end in self.spans)


NO_TIMELINE = Timeline()  # of runs that nothing is known of
