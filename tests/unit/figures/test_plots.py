"""What figures of runs contain: axes, names, lines and points; not pixels. Warnings of matplotlib's are errors here."""

from __future__ import annotations

import base64
import math
import random
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

import hopslite
from hopslite import experiment, plots, space
from hopslite.core.types import Direction, State
from hopslite.errors import InvalidArguments, RunNotFound, StoreError
from hopslite.figures import axes, kinds, plotly_library, theme
from hopslite.figures import columns as view
from hopslite.result import Run
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import PATIENCE_S, eventually

from .helpers import made, texts, trial

OTHERS = ("timeline", "pareto_front")  # they need a journal, or several metrics
PLOTS: dict[str, Any] = {name: getattr(plots, name) for name in kinds.ALL if name not in OTHERS}

OPTIONS: dict[str, Any] = {"name": "digits", "pool": "inline", "display": False}
BEST = to_rgba(theme.BEST)
GARBAGE = [
    "$x_1$ \\frac{1}{2}",
    "100% $\\alpha",
    "n" * 500,
    "line\nbreak\ttab",
    "日本語 naïve 🙂",
    "",
    "<script>alert(1)</script>",
]


def train(x: float, y: float = 0.0) -> dict[str, float]:
    if x < 0:
        raise ValueError("no <b>negative</b> numbers")
    return {"score": x - y}


def searched(*values: float, direction: str = "max", **changes: Any) -> Run:
    given = {"direction": direction, "optimization_key": "score", **OPTIONS, **changes}
    return experiment.grid_search(train, {"x": list(values)}, **given)


def line(figure: Figure, label: str) -> Any:
    (found,) = [each for axes in figure.axes for each in axes.lines if str(each.get_label()).startswith(label)]
    return found


def dots(figure: Figure, axes: int = 0) -> list[Any]:
    return [each for each in figure.axes[axes].collections if isinstance(each, PathCollection)]


def highlighted(figure: Figure) -> list[list[float]]:
    """The values of lines in the colour of the best."""
    return [list(each.get_ydata()) for axes in figure.axes for each in axes.lines if to_rgba(each.get_color()) == BEST]


@pytest.mark.usefixtures("project")
class TestBestSoFar:
    @pytest.mark.parametrize(
        ("direction", "best", "place"), [("max", [2.0, 2.0, 3.0, 3.0], 2), ("min", [2.0, 1.0, 1.0, 0.0], 3)]
    )
    def test_what_it_shows(self, direction: str, best: list[float], place: int) -> None:
        figure = plots.best_so_far(searched(2, 1, 3, 0, direction=direction))
        (axes,) = figure.axes
        assert axes.get_xlabel() == "trials, in the order in which they ended"
        assert axes.get_ylabel() == "score"
        assert list(line(figure, "best so far").get_ydata()) == [*best, best[-1]]
        assert [tuple(at) for at in dots(figure)[0].get_offsets()] == [(1, 2), (2, 1), (3, 3), (4, 0)]
        star = line(figure, "best: ")
        assert (list(star.get_xdata()), star.get_marker()) == ([place + 1], "*")
        assert star.get_label() == f"best: {best[-1]:g} (trial 000{place})"
        towards = "higher" if direction == "max" else "lower"
        assert f"digits version 1 · grid_search · score, {towards} is better · 4 trials" in texts(figure)

    @pytest.mark.parametrize(("direction", "edge"), [("max", 0.0), ("min", 1.0)])
    def test_failed_trials_are_crosses_at_the_bad_edge(self, direction: str, edge: float) -> None:
        figure = plots.best_so_far(searched(2, -1, 3, -2, direction=direction))
        crosses = line(figure, "failed (2)")
        assert (list(crosses.get_xdata()), list(crosses.get_ydata())) == ([2, 4], [edge, edge])
        assert crosses.get_transform() == figure.axes[0].get_xaxis_transform()
        assert list(line(figure, "best so far").get_xdata()) == [1, 3, 4]  # to the last trial, which failed

    def test_stopped_trials_are_hollow(self) -> None:
        figure = plots.best_so_far(made([trial(0, 1.0), trial(1, 2.0, State.STOPPED), trial(2, 3.0)]))
        whole, hollow = dots(figure)
        assert (len(whole.get_offsets()), whole.get_label()) == (2, "finished")
        assert (len(hollow.get_offsets()), hollow.get_label()) == (1, "stopped early")
        assert len(hollow.get_facecolors()) == 0
        assert len(whole.get_facecolors()) == 1

    def test_the_order_is_that_of_the_ends(self) -> None:
        slow = trial(0, 5.0, started_at=1e9, duration=100.0)
        figure = plots.best_so_far(made([slow, trial(1, 1.0), trial(2, 2.0)], started_at=1e9 - 3))
        assert list(line(figure, "best so far").get_ydata()) == [1.0, 2.0, 5.0, 5.0]
        by_time = plots.best_so_far(made([slow, trial(1, 1.0), trial(2, 2.0)], started_at=1e9 - 3), x="seconds")
        assert list(line(by_time, "best so far").get_xdata()) == [18.0, 28.0, 103.0, 103.0]
        assert by_time.axes[0].get_xlabel() == "time since the run began"
        by_time.draw_without_rendering()
        assert "60 s" in [text.get_text() for text in by_time.axes[0].get_xticklabels()]

    def test_hours(self) -> None:
        figure = plots.best_so_far(made([trial(i, 1.0, duration=3600.0 * i) for i in range(1, 9)]), x="seconds")
        figure.draw_without_rendering()
        shown = [text.get_text() for text in figure.axes[0].get_xticklabels()]
        assert {"1 h", "5 h"} <= set(shown)

    def test_what_is_not_finite_is_left_out_and_said(self) -> None:
        figure = plots.best_so_far(made([trial(0, 1.0), trial(1, math.nan), trial(2, math.inf), trial(3, 2.0)]))
        assert "2 trials with a metric that is not finite left out." in texts(figure)
        assert list(line(figure, "best so far").get_ydata()) == [1.0, 2.0, 2.0]

    def test_another_axis_is_an_error(self) -> None:
        with pytest.raises(InvalidArguments, match=r'x must be "trials" or "seconds", given \'hours\''):
            plots.best_so_far(searched(1), x="hours")


class TestReports:
    def test_what_it_shows(self, project: str) -> None:
        def curve(x: float) -> float:
            for step in range(4):
                hopslite.report(x * step, step)
            return x * 3

        run = experiment.grid_search(curve, {"x": [1, 3, 2]}, **OPTIONS)
        figure = plots.reports(run.run_id, project=project)
        (others,) = [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]
        assert sorted(path.vertices[-1].tolist() for path in others.get_paths()) == [[3, 3], [3, 6]]
        assert highlighted(figure) == [[0, 3, 6, 9]]
        assert figure.axes[0].get_xlabel() == "step"
        legend = figure.axes[0].get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["2 other trials", "best: 9 (trial 0001)"]

    def test_chosen_trials(self) -> None:
        rows = [(f"{i:04d}", 0.0, "score", float(i)) for i in range(3)]
        run = made([trial(i, float(i)) for i in range(3)], best_trial=trial(2, 2.0), reports=lambda: rows)
        assert highlighted(plots.reports(run, trials="best")) == [[2.0]]
        figure = plots.reports(run, trials=["0", "0001"])
        assert highlighted(figure) == []
        assert "2 trials with reports · of 3" in " ".join(texts(figure))
        with pytest.raises(RunNotFound, match="has no trial '7'"):
            plots.reports(run, trials=["7"])

    def test_long_curves_are_thinned_and_keep_their_end(self) -> None:
        values = [float(i) for i in range(9999)]
        rows = [("0000", float(step), "score", value) for step, value in enumerate(values)]
        figure = plots.reports(made([trial(0, 1.0)], reports=lambda: rows))
        (paths,) = [each.get_paths() for each in figure.axes[0].collections if isinstance(each, LineCollection)]
        assert 300 < len(paths[0].vertices) <= 402
        assert paths[0].vertices[-1].tolist() == [9998, 9998]

    def test_lines_get_fainter_as_they_become_many(self) -> None:
        def alpha(count: int) -> float:
            rows = [(f"{i:04d}", float(step), "score", float(i)) for i in range(count) for step in range(3)]
            run = made([trial(i, float(i)) for i in range(count)], reports=lambda: rows)
            return float(plots.reports(run).axes[0].collections[0].get_alpha() or 0)

        assert alpha(3) > 0.5 > alpha(300) > alpha(1000) > 0

    def test_a_run_that_searches_nothing(self, project: str) -> None:
        def lonely() -> None:
            hopslite.report(1.0)
            hopslite.report(math.nan)
            hopslite.report(3.0)

        run = experiment.launch(lonely, **OPTIONS)
        figure = plots.reports(run)
        assert figure.axes[0].get_ylabel() == "metric"
        assert [p.vertices.tolist() for p in figure.axes[0].collections[0].get_paths()] == [[[0, 1], [2, 3]]]

    def test_ends_of_stopped_trials_are_marked(self) -> None:
        rows = [("0000", 0.0, "score", 1.0), ("0000", 1.0, "score", 2.0), ("0001", 0.0, "score", 0.5)]
        run = made([trial(0, 2.0), trial(1, 0.5, State.STOPPED)], best_trial=trial(0, 2.0), reports=lambda: rows)
        figure = plots.reports(run)
        hollow = dots(figure)[-1]
        assert hollow.get_offsets().tolist() == [[0.0, 0.5]]
        assert "stopped early" in texts(figure)

    def test_nothing_was_reported(self, project: str) -> None:
        with pytest.raises(InvalidArguments, match=r"no trial of 'digits' version 1 .* hopslite.report\(value, step\)"):
            plots.reports(searched(1, 2))


@pytest.mark.usefixtures("project")
class TestParallelCoordinates:
    def test_axes_and_lines(self) -> None:
        found = {"x": space.loguniform(1e-4, 1.0), "y": space.uniform(0, 1), "n": space.choice(["a", "b"])}
        run = experiment.random_search(lambda x, y, n: x - y, found, samples=20, seed=1, direction="min", **OPTIONS)
        figure = plots.parallel_coordinates(run)
        shown = texts(figure)
        assert [name for name in shown if name in ("x", "y", "n", "metric")] == ["x", "y", "n", "metric"]
        assert shown.count("log") == 1
        assert {"a", "b", "0.001"} <= set(shown)
        (lines,) = [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]
        assert len(lines.get_paths()) == 19
        (best,) = [ydata for ydata in highlighted(figure) if ydata]
        assert len(best) == 4
        assert best[-1] == 0.0  # the smallest, at the bottom
        assert best[0] == pytest.approx(1 + math.log10(run.best_params["x"]) / 4)  # type: ignore[index]

    def test_better_is_darker_whatever_the_direction(self) -> None:
        trials = [trial(i, float(i)) for i in range(5)]
        for direction, worst in ((Direction.MAX, 0.0), (Direction.MIN, 1.0)):
            figure = plots.parallel_coordinates(made(trials, direction))
            (lines,) = [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]
            brightness = np.asarray(lines.get_colors())[:, :3].sum(axis=1)
            assert (np.diff(brightness) < 0).all()  # drawn from the worst to the best, which lies on top
            assert lines.get_paths()[0].vertices[-1, 1] == worst

    def test_trials_without_a_parameter_pass_below_its_axis(self) -> None:
        trials = [trial(i, float(i), params={"a": i, **({"b": i / 2} if i % 3 else {})}) for i in range(9)]
        figure = plots.parallel_coordinates(made(trials))
        assert "not set (3)" in texts(figure)
        (lines,) = [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]
        heights = [path.vertices[1, 1] for path in lines.get_paths()]
        assert sum(height < 0 for height in heights) == 3

    def test_categories_are_fanned_out_better_ones_higher(self) -> None:
        column = view.column("c", ["u"] * 4 + ["v"] * 4, {})
        from hopslite.figures.parallel_coordinates import _place

        goodness = np.array([0.1, 0.9, 0.5, 0.3] * 2)
        y = _place(column, goodness)
        assert list(np.argsort(y[:4])) == list(np.argsort(goodness[:4]))
        assert y[:4].max() < 0.5 < y[4:].min()

    def test_many_parameters_those_that_vary_first(self) -> None:
        trials = [trial(i, float(i), params={f"p{n:02d}": i if n >= 20 else 1 for n in range(40)}) for i in range(3)]
        figure = plots.parallel_coordinates(made(trials))
        names = [text for text in texts(figure) if re.fullmatch(r"p\d\d", text)]
        assert names == [f"p{n:02d}" for n in range(20, 40)]
        assert "20 of 40 parameters left out." in " ".join(texts(figure))


@pytest.mark.usefixtures("project")
class TestSlice:
    def test_panels(self) -> None:
        space_of = {"lr": [0.001, 0.01, 0.1], "units": [16, 32, 64], "net": ["small", "large"], "flag": [True, False]}
        run = experiment.grid_search(lambda lr, units, net, flag: lr * units, space_of, direction="min", **OPTIONS)
        figure = plots.slice(run)
        shown = [axes for axes in figure.axes if axes.get_visible()]
        assert [axes.get_title(loc="left") for axes in shown] == ["lr (log)", "units (log)", "net", "flag"]
        assert [axes.get_xscale() for axes in shown] == ["log", "log", "linear", "linear"]
        assert [text.get_text() for text in shown[2].get_xticklabels()] == ["small", "large"]
        assert [text.get_text() for text in shown[3].get_xticklabels()] == ["True", "False"]
        assert [axes.get_ylabel() for axes in shown] == ["metric (log)", "", "", "metric (log)"]
        assert all(sum(len(d.get_offsets()) for d in dots(figure, n)) == 36 for n in range(4))
        medians = [each for each in shown[2].lines if len(each.get_xdata()) == 2]
        assert len(medians) == 2
        figure.draw_without_rendering()
        assert {"16", "32", "64"} == {text.get_text() for text in shown[1].get_xticklabels()}

    def test_the_star_is_the_best_trial(self) -> None:
        figure = plots.slice(searched(0.5, 0.9, 0.1, direction="min"))
        (star,) = [each for each in figure.axes[0].lines if each.get_marker() == "*"]
        assert star.get_xydata().tolist() == [[0.1, 0.1]]

    def test_points_of_a_category_do_not_hide_each_other(self) -> None:
        figure = plots.slice(made([trial(i, 1.0 + i / 100, params={"c": "ab"[i % 2]}) for i in range(40)]))
        places = dots(figure)[0].get_offsets()[:, 0]
        assert len(set(places.tolist())) == 40
        assert np.abs(places - np.round(places)).max() < 0.35
        again = plots.slice(made([trial(i, 1.0 + i / 100, params={"c": "ab"[i % 2]}) for i in range(40)]))
        assert dots(again)[0].get_offsets().tolist() == dots(figure)[0].get_offsets().tolist()

    def test_a_condition_that_did_not_hold(self) -> None:
        parts = {"net": space.choice(["a", "b"]), "depth": space.when("net", "b", space.integer(1, 9))}
        run = experiment.random_search(lambda net, depth=0: depth, parts, samples=10, seed=2, **OPTIONS)
        without = sum("depth" not in each.params for each in run.trials)
        assert without
        figure = plots.slice(run)
        assert f"{without} without it" in texts(figure)
        assert len(dots(figure, 1)[0].get_offsets()) == 10 - without

    def test_far_worse_metrics_are_drawn_at_the_edge_and_it_is_said(self) -> None:
        trials = [trial(i, -1e9 if i == 7 else 0.5 + i / 100) for i in range(20)]
        figure = plots.slice(made(trials))
        low = dots(figure)[0].get_offsets()[:, 1].min()
        assert -5 < low < 0.5
        assert re.search(r"1 trial worse than -?[\d.]+ drawn at the edge", " ".join(texts(figure)))


class TestScales:
    @pytest.mark.parametrize(
        ("values", "described", "kind"),
        [
            ([0.1, 0.2], {}, "linear"),
            ([1, 100], {}, "log"),
            ([1, 99], {}, "linear"),
            ([0, 1000], {}, "linear"),
            ([-1, 1000], {}, "linear"),
            ([16, 32, 64], {}, "log"),
            ([1, 2, 3], {}, "linear"),
            ([0.1, 0.2], {"type": "loguniform", "low": 0.1, "high": 0.2}, "log"),
            ([1, 2], {"type": "integer", "low": 1, "high": 9, "log": True}, "log"),
            ([1e-6, 0.9], {"type": "uniform", "low": 0.0, "high": 1.0}, "linear"),
            (["a", "b"], {}, "category"),
            ([True, False], {}, "category"),
            ([1, None, 3], {}, "category"),
            ([[1, 2], [3]], {}, "category"),
            ([*range(20), None], {}, "linear"),
            ([10**400, 1], {}, "linear"),
        ],
    )
    def test_kinds(self, values: list[Any], described: dict[str, Any], kind: str) -> None:
        assert view.column("x", values, described).kind == kind

    def test_categories_are_in_the_order_of_the_space_and_rare_ones_together(self) -> None:
        described = {"type": "choice", "values": ["small", "medium", "large"]}
        assert view.column("x", ["large", "small"], described).labels == ("small", "large")
        many = view.column("x", ["often"] * 9 + [f"v{i}" for i in range(50)], {})
        assert len(many.labels) == view.CATEGORIES
        assert many.labels[-1] == "(36 others)"
        assert int(many.values.max()) == view.CATEGORIES - 1

    def test_equal_texts_of_unequal_values_are_two_categories(self) -> None:
        assert view.column("x", ["1", 1, True, None], {}).labels == ("1", "1", "None", "True")

    def test_an_axis_reaches_as_far_as_the_space(self) -> None:
        scale = view.column("x", [0.2, 0.3], {"type": "uniform", "low": 0.0, "high": 1.0}).scale
        assert (scale.low, scale.high) == (0.0, 1.0)

    def test_ticks_are_round_and_told_apart(self) -> None:
        assert axes.ticks(1e-5, 1e-1, True) == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
        assert axes.ticks(0.002, 0.8, True) == pytest.approx([0.003, 0.01, 0.03, 0.1, 0.3])
        assert axes.ticks(5, 5, False) == [5]
        assert axes.numbers([1000.0, 1e6, 1e-5, -0.5]) == ["1000", "1e6", "1e−5", "−0.5"]
        close = [0.9999999, 0.99999990025, 0.9999999005]
        assert len(set(axes.numbers(close))) == 3


@pytest.mark.usefixtures("project")
class TestGenerations:
    def evolved(self) -> Run:
        return experiment.differential_evolution(
            lambda x, kind: (x - 1) ** 2 + (kind == "b"), {"x": [-3.0, 3.0], "kind": ["a", "b"]},
            generations=4, population=6, direction="min", seed=3, **OPTIONS,
        )  # fmt: skip

    def test_metrics_and_parameters(self) -> None:
        run = self.evolved()
        figure = plots.generations(run)
        metrics, x, kind = figure.axes
        assert (metrics.get_xlabel(), x.get_title(loc="left"), kind.get_title(loc="left")) == (
            "generation",
            "x",
            "kind",
        )
        best = line(figure, "best so far")
        assert list(best.get_xdata()) == [0, 1, 2, 3, 4]
        own = [min(t.metric or 0.0 for t in run.trials if t.generation == g) for g in range(5)]
        assert list(best.get_ydata()) == np.minimum.accumulate(own).tolist()
        assert len(dots(figure, 0)[0].get_offsets()) == len(dots(figure, 1)[0].get_offsets()) == len(run.trials)
        totals: dict[float, float] = {}
        for bar in kind.patches:
            totals[bar.get_x()] = totals.get(bar.get_x(), 0.0) + bar.get_height()
        assert len(totals) == 5
        assert list(totals.values()) == pytest.approx([1.0] * 5)
        legend = kind.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]

    def test_a_run_without_generations(self) -> None:
        with pytest.raises(InvalidArguments, match="run of grid_search have no generations; those of differential_ev"):
            plots.generations(searched(1, 2))


class TestWhatCannotBeDrawn:
    @pytest.mark.parametrize("plot", [plot for name, plot in PLOTS.items() if name != "reports"])
    def test_every_plot_says_why(self, plot: Any, project: str) -> None:
        name = plot.__name__
        launched = experiment.launch(train, {"x": [1]}, metric_key="score", **OPTIONS)
        with pytest.raises(
            InvalidArguments, match=rf"{name}\(\): digits version 1 is a run of launch, which optimises"
        ):
            plot(launched)
        with pytest.raises(InvalidArguments, match=rf"{name}\(\): digits version 3 \(KILLED\) has no trials"):
            plot(made([], state=State.KILLED))
        failed = [trial(i, None, State.FAILED, error="ValueError: no") for i in range(2)]
        with pytest.raises(
            InvalidArguments, match=r"no trial .* \(trials: 2 FAILED\); the first error: ValueError: no"
        ):
            plot(made(failed))
        for wrong in (5, None, ("logdir", {}, {})):
            with pytest.raises(
                InvalidArguments, match=rf"{name}\(\): run is a {type(wrong).__name__} .*; give the run"
            ):
                plot(wrong)
        with pytest.raises(RunNotFound, match="there is no run 'digitz'"):
            plot("digitz", project=project)

    @pytest.mark.parametrize("name", ["parallel_coordinates", "slice", "importance", "contour"])
    def test_without_parameters(self, name: str) -> None:
        with pytest.raises(InvalidArguments, match="have no parameters"):
            PLOTS[name](made([trial(0, 1.0, params={})]))

    def test_a_run_is_found_by_name_and_directory(self, project: str) -> None:
        run = searched(1, 2)
        for which in ("digits", "digits/1", run.run_id, run.logdir, Path(run.logdir)):
            assert plots.best_so_far(which, project=project).axes


class TestAnyText:
    def garbage(self, count: int = 24) -> Run:
        params = [{name: GARBAGE[(i + n) % len(GARBAGE)] if n % 2 else i for n, name in enumerate(GARBAGE)}
                  for i in range(count)]  # fmt: skip
        rows = [(f"{i:04d}", float(s), "score", s * i) for i in range(count) for s in range(3)]
        trials = [trial(i, float(i), params=params[i], generation=i // 8) for i in range(count)]
        return made(trials, name="$\\name_%\n" * 40, optimization_key="$m^{", verb="differential_evolution",
                    reports=lambda: rows, best_trial=trials[-1])  # fmt: skip

    @pytest.mark.slow("soak")
    @pytest.mark.parametrize("name", PLOTS)
    def test_nothing_is_parsed_and_everything_is_cut(self, name: str) -> None:
        figure = PLOTS[name](self.garbage())
        assert theme.png(figure).startswith(b"\x89PNG")
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            if "$" in text.get_text():
                assert not text.get_parse_math()
                assert not text.get_usetex()
        for shown in texts(figure):
            assert len(max(shown.splitlines(), key=len)) < 160
            assert "n" * 60 not in shown
        assert any("$" in shown for shown in texts(figure))

    def test_texts_of_ticks_are_plain_when_they_are_drawn(self) -> None:
        figure = plots.slice(self.garbage())
        figure.draw_without_rendering()
        ticks = [tick for axes in figure.axes for tick in axes.get_xticklabels() if "$" in tick.get_text()]
        assert ticks
        assert not any(tick.get_parse_math() for tick in ticks)

    def test_a_text_keeps_within_its_room(self) -> None:
        assert theme.fit("short", 2.0) == "short"
        wide, narrow = theme.fit("W" * 99, 1.0), theme.fit("i" * 99, 1.0)
        assert wide.endswith("…") and narrow.endswith("…")
        assert len(wide) < len(narrow) / 2

    def test_characters_that_no_font_has_become_boxes(self) -> None:
        assert theme.drawable("aé\U0001f9ea\ue000") in ("aé□□", "aé\U0001f9ea□")


class TestSizes:
    @pytest.mark.parametrize("count", [1, 2, 5000])
    @pytest.mark.parametrize("name", PLOTS)
    def test_any_number_of_trials(self, name: str, count: int) -> None:
        rng = random.Random(count)
        trials = [
            trial(i, rng.gauss(0, 1), params={"x": rng.random(), "k": rng.choice("abc")}, generation=i // 50)
            for i in range(count)
        ]
        rows = [(f"{i:04d}", float(s), "score", rng.random()) for i in range(count) for s in range(2)]
        figure = PLOTS[name](made(trials, reports=lambda: rows))
        assert theme.png(figure).startswith(b"\x89PNG")
        width, height = figure.get_size_inches()
        assert 4 < width < 21 and 1 < height < 12

    @pytest.mark.parametrize("name", PLOTS)
    @pytest.mark.parametrize("value", [0.0, 1e-320, -1e308, 1e308, 7])
    def test_constants(self, name: str, value: float) -> None:
        trials = [trial(i, value, params={"x": value, "k": None}, generation=0) for i in range(12)]
        rows = [(t.id, 0.0, "score", value) for t in trials]
        assert theme.png(PLOTS[name](made(trials, reports=lambda: rows)))

    @pytest.mark.parametrize("name", PLOTS)
    def test_the_ends_of_the_numbers(self, name: str) -> None:
        values = [1e308, -1e308, 5e-324, 0.0, 1e-300]
        trials = [
            trial(i, value, params={"x": value, "y": abs(value) or 1}, generation=i) for i, value in enumerate(values)
        ]
        rows = [(t.id, float(i), "score", values[i]) for i, t in enumerate(trials)]
        assert theme.png(PLOTS[name](made(trials, reports=lambda: rows)))


@pytest.fixture(params=["local", "memory"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = str(tmp_path / "project") if request.param == "local" else f"memory://{uuid.uuid4().hex}"
    monkeypatch.setenv("HOPSLITE_PROJECT", url)
    monkeypatch.chdir(tmp_path)
    return url


class TestSave:
    @pytest.mark.slow("soak")
    def test_files(self, anywhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plotly_library, "is_there", lambda: False)
        run = searched(1, 3, -1, 2, description="a <b>note</b> & more", tags={"who": "<me>"})
        names = plots.save("digits", anywhere)
        pictures = ("best_so_far", "parallel_coordinates", "slice", "edf", "importance", "timeline")
        assert names == [*(f"plots/{name}.png" for name in pictures), "plots/index.html"]
        directory = RunDir(run.logdir)
        assert directory.list("plots") == sorted(name.removeprefix("plots/") for name in names)
        page = directory.read_bytes("plots/index.html").decode()
        for name in names[:-1]:
            picture = directory.read_bytes(name)
            assert picture.startswith(b"\x89PNG")
            assert base64.b64encode(picture).decode() in page
        assert "0001 ★" in page
        assert "a &lt;b&gt;note&lt;/b&gt; &amp; more" in page
        assert "&lt;me&gt;" in page
        assert "no &lt;b&gt;negative&lt;/b&gt; numbers" in page
        assert "prefers-color-scheme: dark" in page
        assert "<script" not in page
        assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
        assert "default-src 'none'" in page
        assert plots.save(run) == names  # again, over what is there

    def test_a_plot_that_fails_does_not_cost_the_others(
        self, anywhere: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(run: Run) -> Figure:
            raise ZeroDivisionError("<oops>")

        monkeypatch.setattr(kinds, "ALL", {**kinds.ALL, "slice": broken})
        run = searched(1, 2)
        names = plots.save(run)
        assert "plots/slice.png" not in names
        assert {"plots/importance.png", "plots/best_so_far.png"} <= set(names)
        page = RunDir(run.logdir).read_bytes("plots/index.html").decode()
        assert "slice could not be drawn: ZeroDivisionError: &lt;oops&gt;" in page
        assert "plots.slice of run" in caplog.text

    def test_a_run_without_anything_to_draw_has_its_page(self, anywhere: str) -> None:
        run = experiment.launch(train, {"x": [1]}, **OPTIONS)
        assert plots.save(run) == ["plots/timeline.png", "plots/index.html"]
        page = RunDir(run.logdir).read_bytes("plots/index.html").decode()
        assert '<h2 id="trials">Trials</h2>' in page
        links = re.findall(r'<a href="#(\w+)">', page)
        assert links[-1] == "trials"
        assert all(f'id="{name}"' in page for name in links)
        assert page.index("<nav") < page.index("<figure")

    def test_a_directory_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="the plots of run r cannot be written to"):
            plots.save(made([trial(0, 1.0)], logdir=str(tmp_path / "file")))


class TestMatplotlibIsLeftAlone:
    @pytest.mark.slow("soak")
    def test_no_pyplot_no_backend_no_setting(self) -> None:
        code = """
import sys, hopslite, hopslite.plots
assert "matplotlib" not in sys.modules, "imported by hopslite.plots"
import matplotlib
def settings():  # a look at the backend would choose one
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}

before = settings()
from hopslite import experiment, plots
made = experiment.grid_search(lambda x: x, {"x": list(range(20))}, pool="inline", display=False)
for plot in (plots.best_so_far, plots.slice, plots.parallel_coordinates, plots.importance):
    plot(made)._repr_png_()
assert "matplotlib.pyplot" not in sys.modules
assert settings() == before
print("clean")
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.stdout == "clean\n", done.stderr

    def test_a_users_style_does_not_reach_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import matplotlib

        for name, value in {"figure.facecolor": "black", "axes.facecolor": "black", "text.color": "white",
                            "text.usetex": True, "axes.grid": True}.items():  # fmt: skip
            monkeypatch.setitem(matplotlib.rcParams, name, value)
        figure = plots.best_so_far(made([trial(i, float(i), params={"x": i}) for i in range(5)]))
        assert to_rgba(figure.get_facecolor()) == to_rgba(figure.axes[0].get_facecolor()) == (1, 1, 1, 1)
        assert not any(text.get_usetex() for text in figure.findobj(Text) if isinstance(text, Text))

    def test_a_figure_is_as_before_when_its_picture_is_made(self) -> None:
        figure = plots.best_so_far(made([trial(0, 1.0)]))
        canvas, size = figure.canvas, tuple(figure.get_size_inches())
        picture = theme.png(figure, 160)
        assert int.from_bytes(picture[16:20]) == int(160 * size[0])
        assert figure.canvas is canvas
        assert (figure.get_dpi(), tuple(figure.get_size_inches())) == (theme.DPI, size)

    def test_a_figure_shows_itself_in_a_notebook(self) -> None:
        from IPython.core.formatters import DisplayFormatter

        figure = plots.best_so_far(made([trial(0, 1.0)]))
        data, metadata = DisplayFormatter().format(figure)
        picture = base64.b64decode(data["image/png"])
        assert picture.startswith(b"\x89PNG")
        width, height = figure.get_size_inches()
        assert metadata["image/png"] == {"width": round(100 * width), "height": round(100 * height)}
        assert int.from_bytes(picture[16:20]) == 2 * metadata["image/png"]["width"]  # for sharp screens
        assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_a_search_leaves_its_plots(project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPSLITE_PLOTS", "1")
    options: dict[str, Any] = {"pool": "inline", "display": False}
    run = experiment.random_search(lambda x: x, {"x": [0.0, 1.0]}, samples=3, name="drawn", **options)
    eventually(lambda: Path(run.logdir, "plots", "index.html").exists(), "the plots of a search", 250)
    assert Path(run.logdir, "plots", "best_so_far.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setenv("HOPSLITE_PLOTS", "0")
    quiet = experiment.random_search(lambda x: x, {"x": [0.0, 1.0]}, samples=3, name="quiet", **options)
    assert not Path(quiet.logdir, "plots").exists()
