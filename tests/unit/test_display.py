"""What is shown of a run in a terminal and in a log, with the real tqdm."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
import threading

import pytest

from hopslite import display
from hopslite._trial import Direction, State
from hopslite.display import Null, Status, _table
from hopslite.display.notebook import Notebook
from hopslite.display.terminal import Terminal
from hopslite.result import Run, Trial


def status(done=0, failed=0, running=2, **more):
    counts = {State.FINISHED: done, State.FAILED: failed, State.RUNNING: running}
    return Status(**{"name": "digits", "version": 3, "verb": "grid_search", "logdir": "/p/run", "total": 6,
                     "counts": counts, "direction": Direction.MAX, **more})  # fmt: skip


def trial(number, metric=None, state=State.FINISHED, **more):
    more.setdefault("params", {"lr": number / 10})
    return Trial(id=f"{number:04d}", state=state, metric=metric, duration=1.0, logdir=f"/t/{number}", **more)


def run(trials, best=None, **more):
    facts = {"is_search": True, "run_id": "r", "name": "digits", "version": 3, "verb": "grid_search",
             "logdir": "/p/run", "state": State.FINISHED, "direction": Direction.MAX}  # fmt: skip
    return Run(trials=trials, best_trial=best, **{**facts, **more})


class Screen:
    """A pseudo-terminal, 100 columns wide, and the lines that one would see on it."""

    def __init__(self):
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        self._data = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            try:
                chunk = os.read(self._master, 4096)
            except OSError:  # the other end is closed
                return
            self._data += chunk

    def lines(self):
        """Closes the terminal; what is left on it."""
        self.stream.close()
        self._reader.join(30)
        os.close(self._master)
        rows, row, column = [[]], 0, 0
        for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[\r\n]|.", self._data.decode()):
            if piece == "\r":
                column = 0
            elif piece == "\n":
                row += 1
                rows.extend([] for _ in range(row + 1 - len(rows)))
            elif piece.startswith("\x1b"):
                assert piece == "\x1b[A", "only cursor up is known here"
                row -= 1
            else:
                rows[row][column:] = [*rows[row][column:], *" " * (column - len(rows[row]))]
                rows[row][column : column + 1] = [piece]
                column += 1
        return ["".join(cells).rstrip() for cells in rows]


class Ticks:
    """A clock that is a second later at every look."""

    def __init__(self, step=1.0):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


class TestBar:
    def test_lines_never_tear_the_bar(self):
        screen = Screen()
        shown = Terminal(screen.stream, screen.stream, clock=Ticks())
        shown.start(status())
        for done in range(6):
            shown.update(status(done, failed=1 if done > 3 else 0, best_metric=0.5, best_trial="0001", elapsed=done))
            shown.line(f"0001: line {done}")
        ended = [trial(0, 0.5), trial(1, state=State.FAILED, error="ValueError: no")]
        shown.close(status(5, failed=1, running=0, elapsed=65.0), run(ended, ended[0]))
        lines = screen.lines()
        assert lines[0] == "digits version 3: grid_search, run directory /p/run"
        assert lines[1:7] == [f"0001: line {done}" for done in range(6)]
        assert re.fullmatch(r"digits: 100%\|█+\| 6/6, 0 running, 1 failed, 1 min 05 s", lines[7])
        assert sum("|" in line for line in lines) == 1
        assert "digits version 3: FINISHED" in lines

    def test_the_bar_says_how_it_goes(self):
        screen = Screen()
        shown = Terminal(io.StringIO(), screen.stream, clock=Ticks())
        shown.start(status(tensorboard_url="http://127.0.0.1:1"))
        shown.update(status(2, 1, elapsed=42, remaining=60, best_metric=0.9, best_trial="0001"))
        shown.close(status(2, 1, elapsed=43, remaining=60, best_metric=0.9, best_trial="0001"), None)
        lines = screen.lines()
        assert lines[0].endswith("TensorBoard http://127.0.0.1:1")
        assert "50%" in lines[1]
        assert lines[1].endswith("| 3/6, 2 running, 1 failed, best 0.9 (0001), 43 s, 1 min 00 s left")

    def test_it_is_drawn_a_few_times_a_second_at_most(self):
        screen = Screen()
        shown = Terminal(io.StringIO(), screen.stream, clock=Ticks(step=0.001))
        shown.start(status())
        for done in range(2000):
            shown.update(status(done, total=2000))
        shown.close(status(2000, total=2000), None)
        assert screen.lines()[1].startswith("digits: 100%")
        assert screen._data.count(b"\r") < 100  # 2000 updates take 2 to 4 seconds of this clock

    def test_a_total_that_is_not_known(self):
        screen = Screen()
        shown = Terminal(io.StringIO(), screen.stream, clock=Ticks())
        shown.start(status(total=None))
        shown.update(status(3, total=None))
        shown.close(status(4, total=None), None)
        assert screen.lines()[1].startswith("digits: 4 done, 2 running")

    def test_carriage_returns_of_a_trial_do_not_reach_the_terminal(self):
        out = io.StringIO()
        Terminal(out, io.StringIO()).line("epoch 1\repoch 2\r\n")
        assert out.getvalue() == "epoch 2\n"

    def test_no_thread_is_started(self):
        code = """
import io, threading
from hopslite.display import Status
from hopslite.display.terminal import Terminal

class Tty(io.StringIO):
    def isatty(self):
        return True

err = Tty()
shown, status = Terminal(io.StringIO(), err), Status("n", 1, "launch", "/l", total=1)
shown.start(status)
print("0/1" in err.getvalue(), threading.active_count())
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == "True 1\n"


class TestLog:
    def test_plain_lines_ever_more_seldom(self):
        err = io.StringIO()
        shown = Terminal(io.StringIO(), err)
        shown.start(status())
        for second in range(10 * 3600):
            shown.update(status(1, elapsed=float(second)))
        shown.close(status(6, elapsed=36000.0), None)
        text = err.getvalue()
        assert "\r" not in text
        assert "\x1b" not in text
        lines = text.splitlines()
        assert "1/6 trials done, 2 running, 10 s elapsed" in lines[1]
        assert "6/6 trials done" in lines[-1]
        assert 100 < len(lines) < 200

    def test_a_stream_that_is_closed_does_not_end_the_run(self):
        out, err = io.StringIO(), io.StringIO()
        shown = Terminal(out, err)
        shown.start(status())
        out.close()
        err.close()
        shown.update(status(elapsed=1e6))
        shown.line("lost")
        shown.close(status(6), run([trial(0, 1.0)]))

    def test_an_encoding_that_lacks_characters(self):
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, encoding="ascii")
        Terminal(out, io.StringIO()).line("accuracy ≥ 0.9")
        assert raw.getvalue() == b"accuracy ? 0.9\n"

    def test_the_streams_are_those_of_the_moment(self, capsys):
        shown = Terminal()
        shown.start(status())
        shown.line("a line")
        captured = capsys.readouterr()
        assert captured.out == "a line\n"
        assert "grid_search" in captured.err

    def test_many_threads(self):
        out = io.StringIO()
        shown = Terminal(out, io.StringIO())
        shown.start(status())
        text = "x" * 200
        threads = [threading.Thread(target=lambda: [shown.line(text) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert out.getvalue().splitlines() == [text] * 200


class TestSummary:
    def summary(self, ended, **more):
        out = io.StringIO()
        shown = Terminal(out, io.StringIO())
        shown.start(status())
        last = status(
            running=0,
            tensorboard_url="http://127.0.0.1:1",
            tensorboard_hint="tensorboard --logdir /p/run",
            mlflow_hint="mlflow ui --backend-store-uri sqlite:///m.db",
        )
        shown.close(last, run(ended, **more))
        return out.getvalue()

    def test_table_and_where_to_look_next(self):
        ended = [trial(0, 0.5), trial(1, 0.91), trial(2, state=State.FAILED, error="ValueError:\n  no")]
        text = self.summary(ended, best=ended[1])
        assert text == (
            "\n"
            "digits version 3: FINISHED\n"
            "   trial  params  metric  state     duration  error\n"
            "*  0001   lr=0.1  0.91    FINISHED  1.0 s\n"
            "   0000   lr=0    0.5     FINISHED  1.0 s\n"
            "   0002   lr=0.2          FAILED    1.0 s     ValueError: no\n"
            "\n"
            "best parameters: lr=0.1\n"
            "run directory:   /p/run\n"
            "TensorBoard:     http://127.0.0.1:1 until this program ends\n"
            "and later:       tensorboard --logdir /p/run\n"
            "MLflow:          mlflow ui --backend-store-uri sqlite:///m.db\n"
        )

    def test_it_does_not_wait_for_tensorboard(self):
        def wait():
            raise AssertionError("a program that is not up yet was waited for")

        assert "0000" in self.summary([trial(0, 1.0)], tensorboard_url=wait)

    def test_a_launch_without_a_metric(self):
        text = self.summary([trial(0, params={})], is_search=False, direction=None)
        assert "trial  state     duration\n" in text
        assert "0000   FINISHED  1.0 s\n" in text
        assert "best" not in text
        assert "None" not in text

    def test_no_trial_ran(self):
        assert "no trial ran" in self.summary([], state=State.KILLED, error="interrupted")

    def test_twenty_rows_with_the_first_failures(self):
        ended = [trial(i, float(i)) for i in range(50)]
        ended += [trial(50 + i, state=State.FAILED, error=f"E{i}") for i in range(9)]
        lines = _table.summary(run(ended, ended[49]), 100)
        ids = [re.search(r"\d{4}", line)[0] for line in lines[1:-1]]
        assert ids == [f"{i:04d}" for i in range(49, 32, -1)] + ["0050", "0051", "0052"]
        assert lines[-1] == "and 39 more"

    @pytest.mark.parametrize("columns", [80, 120, 300])
    def test_it_fits(self, columns):
        ended = [trial(0, 0.5, params={f"parameter{i}": i / 7 for i in range(9)})]
        ended += [trial(1, state=State.FAILED, params={"x": "y" * 99}, error="E" * 500)]
        lines = _table.summary(run(ended, ended[0]), columns)
        assert max(map(len, lines)) <= columns
        assert "…" in lines[1] or columns == 300


class TestChoose:
    def test_terminal_outside_a_notebook(self):
        assert isinstance(display.choose(), Terminal)

    def test_nothing_when_nothing_is_wanted(self, capsys):
        shown = display.choose(False)
        assert isinstance(shown, Null)
        shown.start(status())
        shown.update(status())
        shown.line("x")
        shown.close(status(), run([trial(0, 1.0)]))
        assert capsys.readouterr() == ("", "")

    def test_a_display_of_ones_own(self):
        own = Notebook()
        assert display.choose(own) is own

    def test_importing_loads_neither_ipython_nor_pandas_nor_pyspark(self):
        code = (
            "import sys, hopslite.result, hopslite.display as d; d.choose(); import hopslite.display.notebook; "
            "print(sorted({'IPython', 'pandas', 'pyspark', 'mlflow'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == "[]\n"
