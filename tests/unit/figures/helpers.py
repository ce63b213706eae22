"""Runs that no verb made, and what their figures hold."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text

from hopslite.core.types import Direction, State
from hopslite.result import Run, Trial

__all__ = ["made", "texts", "trial"]


def trial(number: int, metric: float | None, state: State = State.FINISHED, **more: Any) -> Trial:
    facts = {"params": {"x": number}, "started_at": 1e9 + 10 * number, "duration": 5.0, **more}
    return Trial(id=f"{number:04d}", state=state, metric=metric, **facts)


def made(trials: list[Trial], direction: Direction | None = Direction.MAX, **more: Any) -> Run:
    """A run that no verb made: its directory is not there."""
    facts: dict[str, Any] = {"run_id": "r", "name": "digits", "version": 3, "verb": "random_search",
                             "logdir": "/no/run", "state": State.FINISHED, "is_search": True,
                             "optimization_key": "score"}  # fmt: skip
    return Run(trials=trials, direction=direction, **{**facts, **more})


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
