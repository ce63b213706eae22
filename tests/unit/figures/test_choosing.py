"""Plots for choosing between trials and runs: slices, contours, distributions and timelines."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from hopslite import experiment, plots
from hopslite.core.types import Direction, State
from hopslite.errors import InvalidArguments
from hopslite.figures import columns, lanes, surface, theme
from hopslite.figures import timeline as timeline_figure
from hopslite.result import Run
from hopslite.runs.attempts import Attempt, Attempts

from .helpers import made, texts, trial

OPTIONS: dict[str, Any] = {"name": "digits", "pool": "inline", "display": False}


def searched(count: int = 30) -> Run:
    """A search with a log parameter, a category, a condition, stopped and failed trials."""
    rng = random.Random(5)
    trials = []
    for number in range(count):
        params: dict[str, Any] = {"lr": 10 ** rng.uniform(-5, -1), "net": rng.choice("ab"), "width": rng.random()}
        if params["net"] == "b":
            params["depth"] = rng.uniform(1, 9)
        state = (State.FAILED, State.STOPPED)[number % 2] if number % 5 == 4 else State.FINISHED
        trials.append(trial(number, None if state is State.FAILED else params["width"], state, params=params))
    return made(trials)


def marks(axes: Any, marker: str) -> list[list[float]]:
    return [point for line in axes.lines if line.get_marker() == marker for point in line.get_xydata().tolist()]


class TestSlice:
    def test_later_trials_are_darker(self) -> None:
        figure = plots.slice(made([trial(i, float(i)) for i in range(10)]))
        colors = figure.axes[0].collections[0].get_facecolor()
        brightness = np.asarray(colors)[:, :3].sum(axis=1)
        assert (np.diff(brightness) < 0).all()

    def test_failed_trials_are_crosses_at_the_bad_edge_of_their_value(self) -> None:
        trials = [trial(0, 1.0), trial(1, None, State.FAILED, params={"x": 7}), trial(2, 3.0)]
        for direction, edge in ((Direction.MAX, 0.0), (Direction.MIN, 1.0)):
            figure = plots.slice(made(trials, direction))
            assert marks(figure.axes[0], "x") == [[7.0, edge]]
            assert "failed (1)" in texts(figure)

    def test_some_parameters(self) -> None:
        figure = plots.slice(searched(), ["width", "lr"])
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["width", "lr (log)"]
        assert len(plots.slice(searched(), "lr").axes) == 1

    def test_names_that_are_wrong(self) -> None:
        with pytest.raises(InvalidArguments, match=r"'widht' is no parameter of this run; did you mean 'width'\?"):
            plots.slice(searched(), ["lr", "widht"])
        with pytest.raises(InvalidArguments, match=r"its parameters are .*lr, net"):
            plots.slice(searched(), "?")


class TestContour:
    def test_a_pair(self) -> None:
        run = searched()
        figure = plots.contour(run, ["lr", "width"])
        axes, bar = figure.axes
        assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("lr (log)", "width", "score")
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
        dots = sum(state is State.FINISHED for state in (each.state for each in run.trials))
        stopped = sum(each.state is State.STOPPED for each in run.trials)
        assert len(marks(axes, "o")) == dots + stopped
        assert len(marks(axes, "x")) == len(run.trials) - dots - stopped
        assert len(marks(axes, "*")) == 1
        assert axes.collections, "there is no surface"

    def test_pairs_of_several(self) -> None:
        figure = plots.contour(searched(), ["lr", "net", "width", "depth"])
        shown = [axes for axes in figure.axes if axes.get_visible()]
        assert len(shown) == 6 + 1
        assert [text for text in texts(figure) if text.endswith("without both")]

    def test_the_most_important_ones_without_names(self) -> None:
        rng = random.Random(1)
        params = [{name: rng.uniform(1, 2) for name in "abcdef"} for _ in range(80)]
        run = made([trial(i, p["b"] + p["d"] + p["f"], params=p) for i, p in enumerate(params)])
        axes = plots.contour(run).axes
        labels = {each.get_xlabel() for each in axes} | {each.get_ylabel() for each in axes}
        assert labels - {"", "score"} == {"b", "d", "f"}

    def test_what_cannot_be_drawn(self) -> None:
        with pytest.raises(InvalidArguments, match="have one parameter, 'x', and contours need two"):
            plots.contour(made([trial(0, 1.0)]))
        with pytest.raises(InvalidArguments, match="at least 2 names, given"):
            plots.contour(searched(), ["lr"])
        with pytest.raises(InvalidArguments, match="a name twice"):
            plots.contour(searched(), ["lr", "lr"])
        many = made([trial(i, float(i), params={f"p{n}": i for n in range(9)}) for i in range(9)])
        with pytest.raises(InvalidArguments, match="9 names; at most 6"):
            plots.contour(many, [f"p{n}" for n in range(9)])

    @pytest.mark.parametrize(("metrics", "why"), [([1.0] * 9, "All metrics are equal."), ([1.0], "Too few trials")])
    def test_no_surface_is_said(self, metrics: list[float], why: str) -> None:
        trials = [trial(i, metric, params={"x": i, "y": i % 3}) for i, metric in enumerate(metrics)]
        figure = plots.contour(made(trials))
        assert any(text.startswith(why) for text in texts(figure))
        assert len(figure.axes) == 1, "a colour bar without a surface"


class TestSurface:
    def column(self, values: Any, kind: columns.Kind = "linear", **more: Any) -> columns.Column:
        return columns.Column("x", kind, np.asarray(values, dtype=np.float64), **more)

    def test_it_follows_the_trials_and_keeps_within_their_range(self) -> None:
        points = np.random.default_rng(0).random((200, 2))
        metrics = points[:, 0] ** 2 + points[:, 1]
        made_surface = surface.surface(self.column(points[:, 0]), self.column(points[:, 1]), metrics)
        assert made_surface is not None
        x, y = np.meshgrid(made_surface.x, made_surface.y)
        known = np.isfinite(made_surface.values)
        assert known.mean() > 0.9
        assert np.abs(made_surface.values - (x**2 + y))[known].mean() < 0.08
        assert made_surface.values[known].min() >= metrics.min()
        assert made_surface.values[known].max() <= metrics.max()

    def test_noise_makes_it_smoother(self) -> None:
        rng = np.random.default_rng(1)
        points, noise = rng.random((200, 2)), rng.normal(size=200)
        made_surface = surface.surface(self.column(points[:, 0]), self.column(points[:, 1]), noise)
        assert made_surface is not None
        assert np.nanstd(made_surface.values) < 0.4 * noise.std()

    def test_nothing_is_known_far_from_all_trials(self) -> None:
        corner = np.array([0.0, 0.02, 0.04, 0.0, 0.05, 1.0])
        made_surface = surface.surface(self.column(corner), self.column(corner[::-1]), np.arange(6.0))
        assert made_surface is not None
        assert np.isnan(made_surface.values[40, 40])

    def test_categories_do_not_mix(self) -> None:
        kinds = self.column([0, 1] * 10, "category", labels=("a", "b"))
        made_surface = surface.surface(kinds, self.column(np.linspace(0, 1, 20)), np.tile([0.0, 1.0], 10))
        assert made_surface is not None
        assert np.nanmax(made_surface.values[:, 0]) == 0.0
        assert np.nanmin(made_surface.values[:, 1]) == pytest.approx(1.0)

    def test_between_listed_numbers_the_nearest_counts(self) -> None:
        sizes = self.column(np.repeat([16.0, 128.0], 10), "log", listed=(16.0, 128.0))
        made_surface = surface.surface(sizes, self.column(np.tile(np.linspace(0, 1, 10), 2)), np.repeat([0.0, 1.0], 10))
        assert made_surface is not None
        assert np.isfinite(made_surface.values).all()
        assert set(np.round(made_surface.values, 6).ravel().tolist()) == {0.0, 1.0}


class TestEdf:
    def test_shares(self) -> None:
        figure = plots.edf(made([trial(i, metric) for i, metric in enumerate([3.0, 1.0, 2.0, 2.0])]))
        line = next(line for line in figure.axes[0].lines if len(line.get_xdata()) > 1)
        assert list(line.get_ydata()) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
        assert list(line.get_xdata())[1:5] == [1.0, 2.0, 2.0, 3.0]
        assert marks(figure.axes[0], "*") == [[3.0, 1.0]]

    def test_several_runs(self) -> None:
        runs = [made([trial(i, float(i + n)) for i in range(5)], version=n + 1) for n in range(3)]
        figure = plots.edf(*runs)
        legend = figure.axes[0].get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == [f"digits version {n}: 5 trials" for n in (1, 2, 3)]
        styles = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines if line.get_marker() != "*"}
        assert len(styles) == 3
        assert to_rgba(theme.BEST) not in {to_rgba(color) for color, _ in styles}

    def test_failed_trials_are_counted_in_the_legend(self) -> None:
        run = made([trial(0, 1.0), trial(1, None, State.FAILED), trial(2, None, State.FAILED)])
        assert "digits version 3: 1 trial, failed 2" in texts(plots.edf(run))

    def test_runs_that_cannot_be_compared(self) -> None:
        one = made([trial(0, 1.0)])
        with pytest.raises(InvalidArguments, match=r"one metric and direction .* has score \(min\)"):
            plots.edf(one, made([trial(0, 1.0)], Direction.MIN))
        with pytest.raises(InvalidArguments, match="one metric and direction"):
            plots.edf(one, made([trial(0, 1.0)], optimization_key="loss"))
        with pytest.raises(InvalidArguments, match="at most 7 runs are drawn, given 8"):
            plots.edf(*[one] * 8)
        with pytest.raises(InvalidArguments, match="no run is given"):
            plots.edf()


def attempt(trial: str, slot: int | None, begin: float, end: float, outcome: Any = "finished", **more: Any) -> Attempt:
    facts: dict[str, Any] = {"number": 0, "host": "h", "members": (), **more}
    return Attempt(trial, slot=slot, begin=begin, end=end, outcome=outcome, **facts)


class TestTimeline:
    def drawn(self, *attempts: Attempt, resumed: tuple[float, ...] = ()) -> Any:
        best = trial(0, 1.0)
        return timeline_figure.timeline(made([best], best_trial=best), Attempts(attempts, 90.0, resumed))

    def bars(self, figure: Any) -> list[tuple[str, list[float]]]:
        """Colours and (x, width, y, height) of all bars."""
        names = {to_rgba(color): outcome for outcome, color in reversed(timeline_figure.COLORS.items())}
        result = []
        for patches in figure.axes[0].collections:
            for path in patches.get_paths():
                box = path.get_extents()
                place = [float(round(value, 3)) for value in (box.x0, box.width, box.y0, box.height)]
                result.append((names[to_rgba(patches.get_facecolor()[0])], place))
        return sorted(result, key=lambda bar: bar[1])

    def test_bars_are_attempts_in_the_rows_of_their_slots(self) -> None:
        figure = self.drawn(
            attempt("0000", 0, 100, 110), attempt("0001", 1, 101, 105, "retried"),
            attempt("0001", 0, 110, 113, "failed", number=1), attempt("0002", 1, 105, 106, "stopped"),
        )  # fmt: skip
        assert self.bars(figure) == [
            ("finished", [10.0, 10.0, -0.4, 0.8]),
            ("retried", [11.0, 4.0, 0.6, 0.8]),
            ("stopped", [15.0, 1.0, 0.6, 0.8]),
            ("failed", [20.0, 3.0, -0.4, 0.8]),
        ]
        assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["slot 0", "slot 1"]
        assert {"failed, tried again", "stopped early", "failed", "finished"} <= set(texts(figure))
        assert any("3 trials · 2 slots · 69 % busy" in text for text in texts(figure))
        assert marks(figure.axes[0], "*") == [[15.0, 0.0]]

    def test_a_gang_covers_the_rows_of_its_members(self) -> None:
        members = (("chief 0", "one"), ("worker 0", "two"))
        figure = self.drawn(
            attempt("0000", 0, 100, 110, members=members), attempt("0001", 1, 100, 110, members=members)
        )
        assert [place[2:] for _, place in self.bars(figure)] == [[-0.4, 1.8], [1.6, 1.8]]
        names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert names[:2] == ["gang 0: chief 0 (one)", "gang 0: worker 0 (two)"]
        assert any("2 gangs · 100 % busy" in text for text in texts(figure))

    def test_resumes_are_lines(self) -> None:
        figure = self.drawn(attempt("0000", 0, 100, 110, "cut off"), attempt("0000", 0, 210, 215), resumed=(200.0,))
        dashed = [line for line in figure.axes[0].lines if line.get_marker() != "*"]
        assert [list(line.get_xdata()) for line in dashed] == [[110.0, 110.0]]
        assert "driver ended" in texts(figure)
        assert any("the run was resumed (1 time)" in text for text in texts(figure))

    def test_journals_without_slots(self) -> None:
        rows, bars = lanes.lanes_of([attempt("0", None, 0, 5), attempt("1", None, 1, 3), attempt("2", None, 3, 4)])
        assert [bar.row for bar in bars] == [0, 1, 1]
        assert [row.name for row in rows] == ["slot 0", "slot 1"]

    @pytest.mark.parametrize(("count", "slots"), [(1, 1), (1000, 3), (1000, 300)])
    def test_any_number(self, count: int, slots: int) -> None:
        figure = self.drawn(
            *[attempt(f"{i:04d}", i % slots, 100.0 + i // slots, 100.9 + i // slots) for i in range(count)]
        )
        assert theme.png(figure).startswith(b"\x89PNG")
        assert 1 < figure.get_size_inches()[1] < 12

    def test_of_a_run(self, project: str) -> None:
        run = experiment.grid_search(lambda x: {"score": 1 / x}, {"x": [1, 2, 0]}, optimization_key="score", **OPTIONS)
        figure = plots.timeline(run)
        assert [name for name, _ in self.bars(figure)] == ["finished", "finished", "failed"]
        launched = experiment.launch(lambda: None, **OPTIONS)
        assert len(self.bars(plots.timeline(launched))) == 1
        with pytest.raises(InvalidArguments, match="no trial has begun according to the journal of 'digits' version 3"):
            plots.timeline(made([trial(0, 1.0)]))
