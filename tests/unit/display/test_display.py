"""What is shown of a run in a terminal and in a log, with the real tqdm."""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import re
import struct
import subprocess
import sys
import termios
import threading
import time
import xml.etree.ElementTree as ET

import pytest

import hopslite
from hopslite import display, experiment
from hopslite.core.types import Direction, State
from hopslite.display import NullDisplay, Status, _sparklines, _text_table
from hopslite.display._curve_buffer import CURVE_POINTS, CURVES, POINTS, History, Series, clean_line
from hopslite.display.notebook import Notebook
from hopslite.display.terminal import Terminal
from hopslite.executor.trial_log import LogTail
from hopslite.result import Run, Trial
from tests.helpers.observe import PATIENCE_S


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

    @pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
    def test_a_narrow_terminal_has_a_bar_and_the_time_left(self, monkeypatch, columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        screen = Screen()
        shown = Terminal(io.StringIO(), screen.stream, clock=Ticks())
        of = {"elapsed": 4000, "remaining": 5000, "best_metric": 0.123456, "best_trial": "0123", "slots_used": 8}
        shown.start(status(name="a name that is long, as many are"))
        shown.update(status(200, 11, total=1000, name="a name that is long, as many are", **of))
        text = _text_table.progress(status(200, 11, total=1000, **of), columns - 40)
        assert ("1 h 23 min left" in text) == (columns > 50)
        assert ("best 0.123456 (0123)" in text) == (columns > 80)
        assert text == [
            piece for piece in _text_table.progress(status(200, 11, total=1000, **of), 500) if piece in text
        ]
        assert sum(len(piece) + 2 for piece in text) <= max(0, columns - 40)

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
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S
        )
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
            plots="/p/run/plots/index.html",
            resume_hint="hopslite resume r",
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
            "plots:           /p/run/plots/index.html in some seconds\n"
            "TensorBoard:     http://127.0.0.1:1 until this program ends\n"
            "and later:       tensorboard --logdir /p/run\n"
            "MLflow:          mlflow ui --backend-store-uri sqlite:///m.db\n"
        )

    def test_a_run_that_broke_off_can_go_on(self):
        for state, is_told in ((State.KILLED, True), (State.FAILED, False), (State.FINISHED, False)):
            text = self.summary([trial(0, 0.5)], state=state)
            assert bool(re.search(r"^go on with: +hopslite resume r$", text, re.MULTILINE)) is is_told

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
        lines = _text_table.summary(run(ended, ended[49]), 100)
        ids = [re.search(r"\d{4}", line)[0] for line in lines[1:-1]]
        assert ids == [f"{i:04d}" for i in range(49, 32, -1)] + ["0050", "0051", "0052"]
        assert lines[-1] == "and 39 more"

    @pytest.mark.parametrize("columns", [80, 120, 300])
    def test_it_fits(self, columns):
        ended = [trial(0, 0.5, params={f"parameter{i}": i / 7 for i in range(9)})]
        ended += [trial(1, state=State.FAILED, params={"x": "y" * 99}, error="E" * 500)]
        lines = _text_table.summary(run(ended, ended[0]), columns)
        assert max(map(len, lines)) <= columns
        assert "…" in lines[1] or columns == 300


class TestSeries:
    def test_few_points_are_all_there(self):
        series = Series(8)
        for x in range(5):
            series.add(x, x * x)
        assert series.points == ((0, 0), (1, 1), (2, 4), (3, 9), (4, 16))

    @pytest.mark.parametrize("count", [7, 8, 9, 100, 12_345])
    def test_many_are_thinned_evenly_and_the_last_is_there(self, count):
        series = Series(8)
        for x in range(count):
            series.add(x, -x)
        places = [x for x, _ in series.points]
        assert len(places) <= 9
        assert (places[0], places[-1]) == (0, count - 1)
        gaps = {b - a for a, b in itertools.pairwise(places[:-1])}
        assert len(gaps) == 1
        assert len(places) > 3


def ended(number, metric, state=State.FINISHED):
    return trial(number, metric, state)


class TestHistory:
    @pytest.mark.parametrize(
        ("direction", "best"), [(Direction.MAX, [(1, 2.0), (4, 3.0)]), (Direction.MIN, [(1, 2.0), (2, 1.0)])]
    )
    def test_the_best_so_far_by_trials_that_ended(self, direction, best):
        history = History(direction)
        for number, metric in enumerate([2.0, 1.0, None, 3.0, float("nan")]):
            history.ended(ended(number, metric, State.FINISHED if metric else State.FAILED))
        assert history.facts()["best_curve"] == tuple(best)
        assert history.facts()["metrics"] == ((1, 2.0), (2, 1.0), (4, 3.0))

    def test_without_a_direction_there_is_no_best(self):
        history = History(None)
        history.ended(ended(0, 1.0))
        assert history.facts()["best_curve"] == ()

    def test_reports_of_trials(self):
        history = History(Direction.MAX)
        history.report("0000", 0, 0.5)
        history.report("0001", 0, 0.1)
        history.report("0000", 1, float("nan"))
        history.report("0000", 2, 0.75)
        history.ended(ended(0, 0.75))
        first, second = history.facts()["curves"]
        assert (first.trial, first.points, first.ended) == ("0000", ((0, 0.5), (2, 0.75)), True)
        assert (second.trial, second.points, second.ended) == ("0001", ((0, 0.1),), False)

    def test_each_metric_has_curves_and_a_drawing_the_optimised_one_first(self):
        history = History(Direction.MAX)
        for step in range(2):
            for number, name in enumerate(["loss", "accuracy", *"abcdef"]):
                history.report("0000", step, number + step, name)
        shown = status(metric="accuracy", **history.facts())
        assert [curve.metric for curve in shown.curves] == ["loss", "accuracy", *"abcd"]  # bounded
        drawn = _sparklines.reports(shown)
        assert drawn.count("<svg") == 6
        assert drawn.index("reported accuracy") < drawn.index("reported loss")

    def test_a_trial_that_is_run_again_begins_anew(self):
        history = History(Direction.MAX)
        history.started("0000")
        history.report("0000", 0, 0.5)
        history.started("0000")
        history.report("0000", 0, 0.25)
        assert [curve.points for curve in history.facts()["curves"]] == [((0, 0.25),)]

    def test_curves_that_ended_first_make_room_but_never_the_best_ones(self):
        history = History(Direction.MAX)
        for number in range(3 * CURVES):
            history.report(f"{number:04d}", 0, 0.5)
            history.ended(ended(number, 9.0 if number == 3 else 0.5))
        shown = [curve.trial for curve in history.facts()["curves"]]
        assert shown == ["0003", *(f"{number:04d}" for number in range(2 * CURVES + 1, 3 * CURVES))]

    def test_a_curve_for_which_there_was_no_room_does_not_begin_in_the_middle(self):
        history = History(Direction.MAX)
        for step in range(3):
            for number in range(CURVES + 5):
                history.report(f"{number:04d}", step, 0.5)
            if step == 0:
                history.ended(ended(0, 0.9))
                history.ended(ended(1, 0.1))  # makes room, as it is not the best
        curves = {curve.trial: curve.points for curve in history.facts()["curves"]}
        assert all(points[0][0] == 0 for points in curves.values())
        assert f"{CURVES + 1:04d}" not in curves
        for number in range(2, CURVES + 5):
            history.ended(ended(number, 0.1))
        assert history._refused == set()
        history.report("9999", 0, 0.5)
        assert history.facts()["curves"][-1].trial == "9999"

    def test_memory_and_time_do_not_grow(self):
        history = History(Direction.MIN)

        def trials(first, count):
            began = time.process_time()
            for number in range(first, first + count):
                for step in range(5):
                    history.report(f"{number:04d}", step, number / (step + 1))
                history.printed(f"{number:04d}", ["x" * 10**6, "y"])
                history.ended(ended(number, 1.0 / (number + 1)))
            return time.process_time() - began

        early = trials(0, 2000)
        late = trials(30_000, 2000)
        facts = history.facts()
        assert len(facts["metrics"]) <= POINTS + 1
        assert len(facts["best_curve"]) <= POINTS + 1
        assert len(facts["curves"]) <= CURVES
        assert max(len(curve.points) for curve in facts["curves"]) <= CURVE_POINTS + 1
        assert sum(map(len, facts["printed"])) < 3000
        assert len(history._refused) == 0
        assert late < 5 * early + 0.05

    def test_lines_are_as_a_terminal_would_show_them(self):
        assert clean_line("epoch 1: 10%\repoch 1: 99%\n") == "epoch 1: 99%"
        assert clean_line("\x1b[31mred\x1b[0m\x00") == "red"
        began = time.process_time()
        assert len(clean_line("x" * 3 * 10**7)) == 300
        assert time.process_time() - began < 0.5


class TestTailOfALog:
    def test_a_glance_has_the_newest_lines_and_skips_what_it_has_passed(self, tmp_path):
        log = tmp_path / "output.log"
        log.write_text("".join(f"line {n}\n" for n in range(100)) + "half")
        tail = LogTail(str(log))
        assert tail.read(max_lines=3) == ["line 97", "line 98", "line 99"]
        assert tail.read(max_lines=3) == []
        assert tail.read(include_partial=True, max_lines=3) == ["half"]
        assert len(LogTail(str(log)).read()) == 41  # all that is shown where a run is verbose, and what is left out


class Watcher:
    """A display that keeps what it is told."""

    def __init__(self, shows_output=False):
        self.shows_output = shows_output
        self.seen, self.lines = [], []

    def start(self, status):
        self.seen.append(status)

    def update(self, status):
        self.seen.append(status)

    def line(self, text):
        self.lines.append(text)

    def close(self, status, run):
        self.seen.append(status)


class TestStatusOfARun:
    """Real runs, in this process."""

    def test_it_knows_the_past(self, project):
        def train(x):
            if x == 3:
                raise ValueError("no")
            for step in range(3):
                hopslite.report(x * step, step)
            return {"score": x}

        shown = Watcher()
        experiment.grid_search(train, {"x": [2, 1, 3, 5]}, optimization_key="score", pool="inline", display=shown)
        first, last = shown.seen[0], shown.seen[-1]
        assert (first.metrics, first.best_curve, first.curves) == ((), (), ())
        assert last.metric == "score"
        assert last.metrics == ((1, 2), (2, 1), (4, 5))
        assert last.best_curve == ((1, 2), (4, 5))
        assert [curve.trial for curve in last.curves] == ["0000", "0001", "0003"]
        assert last.curves[2].points == ((0, 0), (1, 5), (2, 10))
        assert last.spark_url is None
        assert first.metrics == ()  # what was told before has not changed

    def test_a_resumed_run_shows_what_was_before(self, project, tmp_path):
        flag = tmp_path / "broken"
        flag.touch()

        def train(x):
            if x == 3 and flag.exists():
                raise KeyboardInterrupt
            return x

        with pytest.raises(KeyboardInterrupt) as stopped:
            experiment.grid_search(train, {"x": [2, 1, 3, 5]}, pool="inline", display=False)
        flag.unlink()
        shown = Watcher()
        experiment.resume(stopped.value.run_id, train, pool="inline", display=shown)
        assert shown.seen[0].best_curve == ((1, 2),)
        assert shown.seen[-1].best_curve == ((1, 2), (3, 3), (4, 5))

    @pytest.mark.parametrize(
        ("shows", "verbose", "tail"), [(True, False, True), (False, False, False), (False, True, True)]
    )
    def test_output_is_sent_to_displays_that_show_it(self, project, monkeypatch, shows, verbose, tail):
        from hopslite.pool.inline import Inline

        jobs = []
        start = Inline.start
        monkeypatch.setattr(Inline, "start", lambda pool, job, *rest: (jobs.append(job), start(pool, job, *rest))[1])
        shown = Watcher(shows)
        experiment.launch(lambda: None, pool="inline", display=shown, verbose=verbose)
        assert (jobs[0].tail, jobs[0].verbose) == (tail, verbose)

    @pytest.mark.parametrize("shows", [True, False])
    def test_what_trials_print(self, project, monkeypatch, shows):
        from hopslite.core.types import Event
        from hopslite.pool.inline import Inline

        wait = Inline.wait

        def talkative(pool, timeout):
            events = list(wait(pool, timeout))
            said = [Event("output", 0.0, event.trial, {"lines": ["one", "two\x1b[0m"]}) for event in events]
            return [*said, *events]

        monkeypatch.setattr(Inline, "wait", talkative)
        shown = Watcher(shows)
        experiment.launch(lambda: None, pool="inline", display=shown)
        assert shown.seen[-1].printed == ("0000  one", "0000  two")
        assert ("[0000] one" in shown.lines) is not shows


class TestCurves:
    def of(self, **more):
        history = History(more.get("direction", Direction.MAX))
        for number in range(300):
            history.report(f"{number:04d}", 0, 0.1)
            history.report(f"{number:04d}", 1, number / 300)
            if number < 290:
                history.ended(ended(number, number / 300))
        return status(
            290, total=1000, best_trial="0289", best_metric=0.96, metric="accuracy", **history.facts(), **more
        )

    def drawn(self, text):
        return ET.fromstring(text)

    def test_the_best_so_far(self):
        svg = self.drawn(_sparklines.best_so_far(self.of()))
        frame, dots, best = svg.iter("path")
        assert frame is not dots
        assert dots.get("d").count("M") <= POINTS + 1
        levels = [float(y) for y in re.findall(r"V([\d.]+)", best.get("d"))]
        assert levels == sorted(levels, reverse=True)  # upwards
        assert best.get("stroke") == _sparklines.BEST
        assert "best accuracy so far (max)" in [text.text for text in svg.iter("text")]
        assert "290 trials" in [text.text for text in svg.iter("text")]
        assert max(float(x) for x in re.findall(r"H([\d.]+)", best.get("d"))) == _sparklines.RIGHT

    def test_downwards_where_less_is_better(self):
        history = History(Direction.MIN)
        for number in range(5):
            history.ended(ended(number, 5.0 - number))
        text = _sparklines.best_so_far(status(5, direction=Direction.MIN, **history.facts()))
        levels = [float(y) for y in re.findall(r"V([\d.]+)", list(self.drawn(text).iter("path"))[2].get("d"))]
        assert levels == sorted(levels)
        assert "(min)" in text

    def test_reports_with_the_best_highlighted(self):
        svg = self.drawn(_sparklines.reports(self.of()))
        _, faint, clear, best = svg.iter("path")
        assert (faint.get("d").count("M"), clear.get("d").count("M"), best.get("d").count("M")) == (CURVES - 11, 10, 1)
        assert best.get("stroke") == _sparklines.BEST

    def test_nothing_is_drawn_of_nothing(self):
        assert _sparklines.best_so_far(status()) == _sparklines.reports(status()) == _sparklines.bars((), 0) == ""

    @pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [1e308, -1e308], [5e-324, 1e308], [1.0, float("inf")]])
    def test_any_values(self, values):
        history = History(Direction.MIN)
        for number, value in enumerate(values):
            history.report("0000", number, value)
            history.ended(ended(number, value))
        shown = status(len(values), **history.facts())
        for text in (_sparklines.best_so_far(shown), _sparklines.reports(shown)):
            places = re.findall(
                r"[MLHV ](-?[\d.]+|nan|inf)", " ".join(p.get("d") for p in self.drawn(text).iter("path"))
            )
            assert all(0 <= float(place) <= 320 for place in places)

    def test_one_diverged_trial_does_not_flatten_the_others(self):
        history = History(Direction.MIN)
        for number in range(40):
            history.ended(ended(number, -1e9 if number == 99 else 1e9 if number == 7 else number / 40 - 0.1))
        dots = list(self.drawn(_sparklines.best_so_far(status(40, **history.facts()))).iter("path"))[1].get("d")
        heights = {float(y) for y in re.findall(r"M[\d.]+ ([\d.]+)", dots)}
        assert len(heights) > 15

    def test_as_text(self):
        assert _sparklines.bars(((1, 0.0), (3, 0.5), (4, 1.0)), 8, columns=8) == "▁▁▅█████"
        assert len(_sparklines.bars(tuple((x, x) for x in range(100)), 5000)) == 24
        assert _sparklines.bars(((2, 1.0),), 4, columns=4) == " ▅▅▅"


class Front:
    """A front end: what is shown at the moment."""

    def __init__(self, shown, first):
        shown._handle, shown._status = self, first
        self.bundles = []

    def update(self, bundle, raw):
        assert raw
        self.bundles.append(bundle)


class TestNotebook:
    def bundle(self, given, run=None, lines=()):
        shown = Notebook(clock=Ticks())
        front = Front(shown, given)
        for text in lines:
            shown.line(text)
        if run is None:
            shown.update(given)
        else:
            shown.close(given, run)
        return front.bundles[-1]

    def test_while_it_goes_on(self):
        history = History(Direction.MAX)
        for number in range(4):
            history.report(f"{number:04d}", 0, 0.1)
            history.ended(ended(number, number / 4))
        history.printed("0004", ["epoch 1 <b>"])
        given = status(
            3, 1, total=20, best_trial="0003", best_metric=0.75, best_params={"lr": 0.3}, elapsed=65, remaining=260,
            metric="accuracy", slots_used=2, recent=(ended(3, 0.75),), spark_url="http://127.0.0.1:4040",
            tensorboard_url="http://127.0.0.1:6006", mlflow_hint="mlflow ui", **history.facts(),
        )  # fmt: skip
        bundle = self.bundle(given, lines=["a note"])
        page = bundle["text/html"]
        assert [content.count("TensorBoard") for content in bundle.values()] == [1, 1]
        for part in ("4 of 20 trials done", "3 finished", "1 failed", "2 running", "2 slots", "1 min 05 s elapsed",
                     "about 4 min 20 s left", "best accuracy <b>0.75</b> (trial 0003): lr=0.3", "0003 ★", "a note",
                     "0004  epoch 1 &lt;b&gt;", "<code>mlflow ui</code>", '<a href="http://127.0.0.1:4040"',
                     '<a href="http://127.0.0.1:6006"', "best accuracy so far (max)", "reported metric"):  # fmt: skip
            assert part in page, part
        assert "<script" not in page
        widths = [float(w) for w in re.findall(r"width:([\d.]+)%;height:100%", page)]
        assert widths == [15.0, 5.0, 10.0]
        ET.fromstring(page.replace("&nbsp;", " "))  # all is closed
        text = bundle["text/plain"].splitlines()
        assert text[0].startswith(
            "digits version 3: 4 of 20 trials done, 2 running on 2 slots, 1 failed, best 0.75 (tri"
        )
        assert "best so far ▁▃▆█ 0.75" in text
        assert "best: lr=0.3" in text
        assert "Spark: http://127.0.0.1:4040" in text
        assert text[-2:] == ["a note", "0004  epoch 1 <b>"]

    def test_before_anything_is_known(self):
        bundle = self.bundle(status(total=None, running=0))
        assert "0 trials done" in bundle["text/html"]
        assert "<svg" not in bundle["text/html"]
        assert "best" not in bundle["text/plain"]

    def test_at_the_end_the_table_with_the_best_row_marked(self):
        trials = [ended(0, 0.5), ended(1, 0.9), trial(2, state=State.FAILED, error="ValueError: no")]
        bundle = self.bundle(status(2, 1, running=0, printed=("0002  last words",)), run(trials, trials[1]))
        assert "0001 ★" in bundle["text/html"]
        assert "last words" not in bundle["text/html"]
        assert "*  0001" in bundle["text/plain"]

    @pytest.mark.parametrize("over", [False, True])
    def test_its_size_is_bounded(self, over):
        history = History(Direction.MAX)
        big = {f"p{i}" * 50: "v" * 10**5 for i in range(200)}
        long = "e" * 10**6
        trials = [trial(i, i / 7, params=big, error=long) for i in range(10_000)]
        for number, each in enumerate(trials):
            for step in range(3):
                history.report(each.id, step * 1.000001, number * 1.000001)
            history.ended(each)
        history.printed("9999", ["p" * 10**6] * 100)
        given = status(
            10_000, total=10_000, best_trial="9999", best_metric=9999 / 7, best_params=big, metric="m" * 10**5,
            recent=tuple(trials[-5:]), **history.facts(),
        )  # fmt: skip
        lines = ["x" * 10**6, "y\n" * 10**5, "z" * 10**6 + "\n" * 20]
        began = time.process_time()
        bundle = self.bundle(given, run(trials, trials[-1]) if over else None, lines)
        assert time.process_time() - began < 5
        assert len(bundle["text/html"]) < 150_000
        assert len(bundle["text/plain"]) < 30_000

    def test_a_slow_front_end_is_drawn_less_often(self):
        now = [0.0]
        shown = Notebook(clock=lambda: now[0])
        drawn = []

        class Slow:
            def update(self, bundle, raw):
                drawn.append(now[0])
                time.sleep(0.02)

        shown._handle = Slow()
        for tick in range(400):
            now[0] = tick / 100
            shown.update(status(1))
        gaps = [b - a for a, b in itertools.pairwise(drawn)]
        assert drawn[0] == pytest.approx(0.25)
        assert min(gaps) == pytest.approx(1.0)

    def test_it_shows_output_itself(self):
        assert display.GuardedDisplay(Notebook()).shows_output
        assert not display.GuardedDisplay(Terminal()).shows_output
        assert not display.GuardedDisplay(NullDisplay()).shows_output


class TestChoose:
    def test_terminal_outside_a_notebook(self):
        assert isinstance(display.choose(), Terminal)

    def test_nothing_when_nothing_is_wanted(self, capsys):
        shown = display.choose(False)
        assert isinstance(shown, NullDisplay)
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
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S
        )
        assert done.stdout == "[]\n"
