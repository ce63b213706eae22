"""Progress in a terminal: a bar on standard error, the table of trials on standard output."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

from ..core import formatting
from ..core.text_table import is_terminal, terminal_width
from ..result import Run
from . import Status, _text_table
from ._text_table import FILE_WIDTH

__all__ = ["Lines", "Terminal"]

REFRESH_SECONDS = 0.1
FIRST_LINE_SECONDS = 10.0
LAST_LINE_SECONDS = 300.0
NAME_CHARS, SHORT_NAME_CHARS = 20, 12  # the shorter one in narrow terminals
NARROW = 100  # characters in a line
BAR_CHARS = 6  # at least


class _Bar(tqdm):  # type: ignore[type-arg]
    monitor_interval = 0  # without tqdm's thread, since the loop updates regularly


class Terminal:
    """Progress bar of tqdm in an interactive terminal; otherwise plain lines at intervals, for a log.

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
        self._name = ""  # beside the bar
        self._drawn = 0.0
        self._next_line = FIRST_LINE_SECONDS

    @property
    def _out(self) -> TextIO:
        return sys.stdout if self._given_out is None else self._given_out

    @property
    def _err(self) -> TextIO:
        return sys.stderr if self._given_err is None else self._given_err

    @property
    def _columns(self) -> int:
        return terminal_width(self._err) or FILE_WIDTH

    def start(self, status: Status) -> None:
        head = f"{_text_table.title(status)}: {status.verb}, run directory {status.logdir}"
        if status.tensorboard_url:
            head += f", TensorBoard {status.tensorboard_url}"
        with self._lock:
            self._write(self._err, head)
            if is_terminal(self._err):
                self._name = formatting.cut(status.name, SHORT_NAME_CHARS if self._columns < NARROW else NAME_CHARS)
                self._bar = _Bar(
                    total=status.total,
                    desc=self._name,
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
        head = f"{_text_table.title(status)}: {run.state}"
        table = _text_table.summary(run, _text_table.width(self._out))
        pairs = _text_table.footer(status, run)
        label = max(len(name) for name, _ in pairs) + 2
        return ["", head, *table, "", *(f"{name + ':':<{label}}{text}" for name, text in pairs)]

    def _draw(self, bar: _Bar, status: Status) -> None:
        self._drawn = self._clock()
        bar.total = status.total
        bar.n = status.done
        counts = f"{status.done}/{status.total}" if status.total else f"{status.done} done"
        bar_chars = len(" 100%||") + BAR_CHARS if status.total else 0
        room = self._columns - len(f"{self._name}:  {counts}") - bar_chars - 1  # the last column stays empty
        bar.set_postfix_str(", ".join(_text_table.progress(status, room)), refresh=False)
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone; the run goes on
            bar.refresh()

    def _log(self, status: Status) -> None:
        self._next_line = status.elapsed + min(LAST_LINE_SECONDS, max(FIRST_LINE_SECONDS, status.elapsed / 10))
        total = "" if status.total is None else f"/{status.total}"
        pieces = ", ".join(_text_table.progress(status))
        self._write(self._err, f"{_text_table.title(status)}: {status.done}{total} trials done, {pieces}")

    def _write(self, stream: TextIO, text: str) -> None:
        # bars are on standard error: clearing them there is right for a line on either stream of one terminal
        with contextlib.suppress(OSError, ValueError), _Bar.external_write_mode(file=self._err):
            stream.write(_encodable(text, stream) + "\n")
            stream.flush()


class Lines(Terminal):
    """Line at the beginning of a run and table at its end, without a bar, for a program that prints itself."""

    def start(self, status: Status) -> None:
        self._write(self._err, f"{_text_table.title(status)}: {status.verb}, run directory {status.logdir}")

    def update(self, status: Status) -> None:
        pass

    def close(self, status: Status, run: Run | None) -> None:
        if run is not None:
            self._write(self._out, "\n".join(self._summary(status, run)))


def _encodable(text: str, stream: TextIO) -> str:
    """Text restricted to the characters of the stream's encoding."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
