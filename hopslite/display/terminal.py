"""Progress in a terminal: a bar on standard error, the table of trials on standard output."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

from .. import _format
from ..result import Run
from . import Status, _table

__all__ = ["Terminal"]

REFRESH_SECONDS = 0.1
FIRST_LINE_SECONDS = 10.0
LAST_LINE_SECONDS = 300.0
NAME_CHARS = 20


class _Bar(tqdm):  # type: ignore[type-arg]
    monitor_interval = 0  # no thread of tqdm's: the loop's updates are regular


class Terminal:
    """A tqdm bar where somebody looks at it; otherwise a plain line now and then, for a log.

    Lines of progress in a log come after 10 s at first, then ever more seldom, down to one in five minutes. The streams
    are those of the moment in which the run starts.
    """

    def __init__(
        self, out: TextIO | None = None, err: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._given_out, self._given_err = out, err
        self._clock = clock
        self._lock = threading.RLock()
        self._bar: _Bar | None = None
        self._drawn = 0.0
        self._next_line = FIRST_LINE_SECONDS

    @property
    def _out(self) -> TextIO:
        return sys.stdout if self._given_out is None else self._given_out

    @property
    def _err(self) -> TextIO:
        return sys.stderr if self._given_err is None else self._given_err

    def start(self, status: Status) -> None:
        head = f"{_table.title(status)}: {status.verb}, run directory {status.logdir}"
        if status.tensorboard_url:
            head += f", TensorBoard {status.tensorboard_url}"
        with self._lock:
            self._write(self._err, head)
            if _table.is_terminal(self._err):
                self._bar = _Bar(
                    total=status.total,
                    desc=_format.cut(status.name, NAME_CHARS),
                    file=self._err,
                    unit="trial",
                    dynamic_ncols=True,
                    bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"
                    if status.total
                    else "{desc}: {n_fmt} done{postfix}",
                )
            self._next_line = status.elapsed + FIRST_LINE_SECONDS

    def update(self, status: Status) -> None:
        with self._lock:
            if self._bar is None:
                if status.elapsed >= self._next_line:
                    self._log(status)
            elif self._clock() - self._drawn >= REFRESH_SECONDS:
                self._draw(self._bar, status)

    def line(self, text: str) -> None:
        lines = (part.rsplit("\r", 1)[-1] for part in text.rstrip("\r\n").split("\n"))  # a trial may draw bars too
        with self._lock:
            self._write(self._out, "\n".join(lines))

    def close(self, status: Status, run: Run | None) -> None:
        with self._lock:
            if self._bar is not None:
                self._draw(self._bar, status)
                self._bar.close()
                self._bar = None
            else:
                self._log(status)
            if run is not None:
                self._write(self._out, "\n".join(self._summary(status, run)))

    def _summary(self, status: Status, run: Run) -> list[str]:
        head = f"{_table.title(status)}: {run.state}"
        table = _table.summary(run, _table.width(self._out))
        pairs = _table.footer(status, run)
        label = max(len(name) for name, _ in pairs) + 2
        return ["", head, *table, "", *(f"{name + ':':<{label}}{text}" for name, text in pairs)]

    def _draw(self, bar: _Bar, status: Status) -> None:
        self._drawn = self._clock()
        bar.total = status.total
        bar.n = status.done
        bar.set_postfix_str(", ".join(_table.progress(status, short=True)), refresh=False)
        with contextlib.suppress(OSError, ValueError):  # nobody looks any more; the run goes on
            bar.refresh()

    def _log(self, status: Status) -> None:
        self._next_line = status.elapsed + min(LAST_LINE_SECONDS, max(FIRST_LINE_SECONDS, status.elapsed / 10))
        total = "" if status.total is None else f"/{status.total}"
        pieces = ", ".join(_table.progress(status))
        self._write(self._err, f"{_table.title(status)}: {status.done}{total} trials done, {pieces}")

    def _write(self, stream: TextIO, text: str) -> None:
        # bars are on standard error: clearing them there is right for a line on either stream of one terminal
        with contextlib.suppress(OSError, ValueError), _Bar.external_write_mode(file=self._err):
            stream.write(_encodable(text, stream) + "\n")
            stream.flush()


def _encodable(text: str, stream: TextIO) -> str:
    """The text as far as the stream's encoding has it."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
