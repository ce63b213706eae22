"""Values as people read them: durations, metrics, parameters, and which trials a table shows."""

from __future__ import annotations

import html
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from ._trial import Direction, State, finite

__all__ = ["cut", "duration", "exact_params", "html_table", "metric", "one_line", "params", "plain", "rank", "select"]

CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
VALUE_CHARS = 40
CELL_CHARS = 600  # of all parameters, in a table
SHOWN_FAILURES = 3
CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top"
BEST_ROW = "background:rgba(46,160,67,.2);font-weight:bold"
FAILED_ROW = "background:rgba(248,81,73,.15)"


class Row(Protocol):
    """What a table shows of a trial."""

    @property
    def id(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def state(self) -> State: ...
    @property
    def metric(self) -> float | None: ...
    @property
    def duration(self) -> float | None: ...
    @property
    def error(self) -> str | None: ...


R = TypeVar("R", bound=Row)


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units: `45 ms`, `4.2 s`, `12 min 05 s`, `3 h 07 min`, `2 d 03 h`."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    seconds = max(0.0, seconds)
    if 0 < seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def metric(number: float | None) -> str:
    """A metric with six significant digits; whole numbers in full."""
    if number is None:
        return ""
    if math.isfinite(number) and abs(number) < 1e15 and float(number).is_integer():
        return str(int(number))
    return f"{number:.6g}"


def cut(text: str, width: int) -> str:
    """`text` in at most `width` characters, the last one `…` when something is missing."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def one_line(text: str | None, width: int = 200) -> str:
    """The text with every run of white space as one space, cut to `width`; control sequences are dropped."""
    return cut(plain(" ".join(text[: 20 * width].split())), width) if text else ""


def plain(text: str) -> str:
    """One line without terminal control sequences and other characters that cannot be printed."""
    return "".join(c for c in CONTROL_SEQUENCE.sub("", text.expandtabs()) if c.isprintable())


def value(item: Any) -> str:
    """A parameter's value, short: six significant digits, functions and classes by name, anything else cut."""
    if isinstance(item, (bool, type(None))):
        return str(item)
    if isinstance(item, numbers.Integral):
        return str(int(item))
    if isinstance(item, numbers.Real):
        return f"{float(item):.6g}"
    return one_line(_text(item), VALUE_CHARS)


def params(items: Mapping[str, Any] | None) -> str:
    """Parameters in one line, values shortened: `learning_rate=0.001, dropout=0.45`."""
    return ", ".join(f"{name}={value(item)}" for name, item in (items or {}).items())


def exact_params(items: Mapping[str, Any] | None) -> str:
    """Parameters in one line, to copy from: numbers in full."""
    return ", ".join(f"{name}={_exact(item)}" for name, item in (items or {}).items())


def _exact(item: Any) -> str:
    if isinstance(item, (bool, str)):
        return one_line(repr(item))
    if isinstance(item, numbers.Integral):
        return str(int(item))
    if isinstance(item, numbers.Real):
        return repr(float(item))
    return one_line(_text(item))


def _text(item: Any) -> str:
    if isinstance(item, str):
        return item
    return getattr(item, "__qualname__", None) or repr(item)


def rank(trials: Iterable[R], direction: Direction | None) -> list[R]:
    """Trials with a metric, best first, then the others; equal ones keep their order. No direction: as given."""
    if direction is None:
        return list(trials)
    sign = -1.0 if direction is Direction.MAX else 1.0

    def key(trial: R) -> tuple[int, float]:
        if trial.metric is None or not finite(trial.metric):
            return (1, 0.0)
        return (0, sign * trial.metric)

    return sorted(trials, key=key)


def select(trials: Sequence[R], direction: Direction | None, best: R | None, limit: int) -> tuple[list[R], int]:
    """The trials that a table of at most `limit` rows shows, the best first, and how many are left out.

    The first few failures are always among them: what went wrong must not hide behind what went well.
    """
    ranked = rank(trials, direction)
    if best is not None and direction is not None:
        ranked = [best, *(trial for trial in ranked if trial.id != best.id)]
    if len(ranked) <= limit:
        return ranked, 0
    shown = {trial.id for trial in [t for t in trials if t.state is State.FAILED][:SHOWN_FAILURES]}
    for trial in ranked:
        if len(shown) >= limit:
            break
        shown.add(trial.id)
    rows = [trial for trial in ranked if trial.id in shown]
    return rows, len(ranked) - len(rows)


def html_table(trials: Iterable[Row], best_id: str | None = None, omitted: int = 0) -> str:
    """Trials as an HTML table, everything escaped; the best row is marked, failed rows say why."""
    head = "".join(f'<th style="{CELL}">{name}</th>' for name in ("trial", "params", "metric", "state", "duration", ""))
    rows = "".join(_html_row(trial, trial.id == best_id) for trial in trials)
    more = f"<p>and {omitted} more</p>" if omitted else ""
    return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}'


def _html_row(trial: Row, is_best: bool) -> str:
    style = BEST_ROW if is_best else FAILED_ROW if trial.state is State.FAILED else ""
    texts = (
        f"{trial.id} ★" if is_best else trial.id,
        cut(params(trial.params), CELL_CHARS),
        metric(trial.metric),
        str(trial.state),
        duration(trial.duration),
        one_line(trial.error),
    )
    cells = "".join(f'<td style="{CELL}">{html.escape(text)}</td>' for text in texts)
    return f'<tr style="{style}">{cells}</tr>'
