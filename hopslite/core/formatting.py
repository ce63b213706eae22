"""Formatting for people: durations, metrics, parameters, and the selection of trials that a table shows."""

from __future__ import annotations

import html
import math
import numbers
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from .plain_values import is_integer, is_number, is_time
from .redaction import is_secret, redact, redact_value
from .types import Direction, State, finite

__all__ = ["cut", "duration", "exact_params", "html_table", "metric", "one_line", "param", "params", "plain"]
__all__ += ["printable", "rank", "score", "select"]

CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
VALUE_CHARS = 40
LOOKED_AT = 400  # characters of a value searched for secrets before truncation
CELL_CHARS = 600  # maximum width of all parameters in a table
SHOWN_FAILURES = 3
CELL = "padding:2px 10px 2px 0;text-align:left;vertical-align:top"
BEST_ROW = "background:rgba(46,160,67,.2);font-weight:bold"
FAILED_ROW = "background:rgba(248,81,73,.15)"


class Row(Protocol):
    """Row of a table of trials."""

    @property
    def id(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def state(self) -> State: ...
    @property
    def metric(self) -> float | None: ...
    @property
    def metrics(self) -> Mapping[str, float] | None: ...
    @property
    def duration(self) -> float | None: ...
    @property
    def error(self) -> str | None: ...


R = TypeVar("R", bound=Row)


def duration(seconds: float | None) -> str:
    """Length of time in its two largest units: `45 ms`, `4.2 s`, `12 min 05 s`, `3 h 07 min`, `2 d 03 h`."""
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
    """Metric with six significant digits; whole numbers in full."""
    if number is None:
        return ""
    if math.isfinite(number) and abs(number) < 1e15 and float(number).is_integer():
        return str(int(number))
    return f"{number:.6g}"


def score(trial: Row) -> str:
    """The metric of a trial, or several by name."""
    return params(trial.metrics) if trial.metrics is not None else metric(trial.metric)


def cut(text: str, width: int) -> str:
    """Truncate `text` to at most `width` characters; `…` marks that something is missing."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def one_line(text: str | None, width: int = 200) -> str:
    """Collapse white space to single spaces, drop control sequences, and truncate to `width` characters."""
    return cut(plain(" ".join(text[: 20 * width].split())), width) if text else ""


def plain(text: str) -> str:
    """One line without terminal control sequences and other characters that cannot be printed."""
    return "".join(c for c in CONTROL_SEQUENCE.sub("", text.expandtabs()) if c.isprintable())


def printable(text: str) -> str:
    """Lines of a text without terminal control sequences and other characters that cannot be printed."""
    return "\n".join(map(plain, text.splitlines()))


def value(item: Any) -> str:
    """Shortened value of a parameter: six significant digits, functions and classes by name, the rest truncated."""
    if isinstance(item, (bool, type(None))):
        return str(item)
    if is_integer(item):
        return str(int(item))
    if is_number(item):
        return f"{float(item):.6g}"
    return one_line(_text(item), VALUE_CHARS)


def params(items: Mapping[str, Any] | None) -> str:
    """Parameters in one line, with shortened values: `learning_rate=0.001, dropout=0.45`."""
    return ", ".join(f"{plain(name)}={param(name, item)}" for name, item in (items or {}).items())


def param(name: str, item: Any) -> str:
    """Shortened value of one parameter."""
    return value(_safe(item, name))


def exact_params(items: Mapping[str, Any] | None) -> str:
    """Parameters in one line with numbers in full, to be copied."""
    return ", ".join(f"{plain(name)}={_exact(_safe(item, name))}" for name, item in (items or {}).items())


def _safe(item: Any, name: str) -> Any:
    """Redact a value for display; numbers stay as they are, others become the redacted beginning of their text."""
    if isinstance(item, (numbers.Number, bool, type(None))) and not is_secret(name):
        return item
    kept = redact_value(item, name) if is_secret(name) else item
    return redact(kept[:LOOKED_AT]) if isinstance(kept, str) else _Text(redact(_text(kept)[:LOOKED_AT]))


class _Text(str):
    """Text that stands for a value of another type; it is shown without quotes."""


def _exact(item: Any) -> str:
    if isinstance(item, (bool, str)) and not isinstance(item, _Text):
        return one_line(repr(item))
    if is_integer(item):
        return str(int(item))
    if is_number(item):
        return repr(float(item))
    return one_line(_text(item))


def _text(item: Any) -> str:
    if isinstance(item, str) or is_time(item):
        return str(item)
    return getattr(item, "__qualname__", None) or repr(item)


def rank(trials: Iterable[R], direction: Direction | None) -> list[R]:
    """Sort trials by metric, best first, those without a metric last; stable. Without a direction the order is kept."""
    if direction is None:
        return list(trials)
    sign = -1.0 if direction is Direction.MAX else 1.0

    def key(trial: R) -> tuple[int, float]:
        if trial.metric is None or not finite(trial.metric):
            return (1, 0.0)
        return (0, sign * trial.metric)

    return sorted(trials, key=key)


def select(trials: Sequence[R], direction: Direction | None, chosen: Sequence[R], limit: int) -> tuple[list[R], int]:
    """Select at most `limit` trials for a table, best first; returns them and the number of trials left out.

    `chosen` is the best one, or those between which the user has to choose: they come first. The first few failures are
    always among them: what went wrong must not hide behind what went well.
    """
    ranked = rank(trials, direction)
    marked = {trial.id for trial in chosen}
    ranked = [*chosen, *(trial for trial in ranked if trial.id not in marked)]
    if len(ranked) <= limit:
        return ranked, 0
    shown = {trial.id for trial in [t for t in trials if t.state is State.FAILED][:SHOWN_FAILURES]}
    for trial in ranked:
        if len(shown) >= limit:
            break
        shown.add(trial.id)
    rows = [trial for trial in ranked if trial.id in shown]
    return rows, len(ranked) - len(rows)


def html_table(trials: Iterable[Row], marked: Collection[str | None] = (), omitted: int = 0) -> str:
    """HTML table of trials with everything escaped; the `marked` rows are highlighted, failed rows show their error."""
    head = "".join(f'<th style="{CELL}">{name}</th>' for name in ("trial", "params", "metric", "state", "duration", ""))
    rows = "".join(_html_row(trial, trial.id in marked) for trial in trials)
    more = f"<p>and {omitted} more</p>" if omitted else ""
    return f'<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}'


def _html_row(trial: Row, is_best: bool) -> str:
    style = BEST_ROW if is_best else FAILED_ROW if trial.state is State.FAILED else ""
    texts = (
        f"{trial.id} ★" if is_best else trial.id,
        cut(params(trial.params), CELL_CHARS),
        score(trial),
        str(trial.state),
        duration(trial.duration),
        one_line(trial.error),
    )
    cells = "".join(f'<td style="{CELL}">{html.escape(text)}</td>' for text in texts)
    return f'<tr style="{style}">{cells}</tr>'
