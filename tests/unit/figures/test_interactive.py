"""Interactive figures: what plotly accepts and shows, in notebooks and in the page of a run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import sys
from typing import Any

import pytest
from plotly.graph_objects import Figure

import hopslite
from hopslite import experiment, plots
from hopslite.core import extras
from hopslite.core.types import Direction, State
from hopslite.errors import InvalidArguments, MissingExtra
from hopslite.figures import interactive, kinds, plotly_library
from hopslite.result import Run
from hopslite.runs.attempts import Attempt, Attempts
from hopslite.storage.run_directory import RunDir

from .helpers import made, trial
from .test_choosing import searched

OPTIONS: dict[str, Any] = {"name": "digits", "pool": "inline", "display": False}
BAD = "</script><b>x</b> & $"
OF_VIEWS: tuple[Any, ...] = (
    kinds.interactive_best_so_far, kinds.interactive_parallel_coordinates, kinds.interactive_slice,
    kinds.interactive_contour, kinds.interactive_edf, kinds.interactive_importance,
)  # fmt: skip


def attempts(*outcomes: Any) -> Attempts:
    return Attempts(tuple(Attempt(f"{number:04d}", 0, number % 2, BAD, (), 100.0 + number, 101.5 + number, outcome, BAD)
                          for number, outcome in enumerate(outcomes)), 90.0, (101.0,))  # fmt: skip


def markers(figure: Figure, name: str) -> int:
    return sum(len(trace.x) for trace in figure.data if trace.name == name)


class TestFigures:
    """`Figure` refuses properties that plotly.js does not have."""

    def test_slice(self) -> None:
        run = searched()
        figure = plots.slice(run, ["lr", "net"], interactive=True)
        assert isinstance(figure, Figure)
        assert [figure.layout.xaxis.title.text, figure.layout.xaxis2.title.text] == ["lr (log)", "net"]
        assert (figure.layout.xaxis.type, figure.layout.xaxis2.ticktext) == ("log", ("a", "b"))
        states = [each.state for each in run.trials]
        assert markers(figure, "finished") == 2 * states.count(State.FINISHED)
        assert markers(figure, "stopped early") == 2 * states.count(State.STOPPED)
        assert markers(figure, f"failed ({states.count(State.FAILED)})") == 2 * states.count(State.FAILED)
        assert markers(figure, "best") == 2
        assert re.fullmatch(r"trial \d{4}: 0\.\d+", figure.data[0].text[0])

    def test_contour(self) -> None:
        figure = plots.contour(searched(), ["lr", "width", "net"], interactive=True)
        assert [trace.type for trace in figure.data if trace.type != "scatter"] == ["contour", "heatmap", "heatmap"]
        assert figure.layout.coloraxis.colorbar.title.text == "score"
        dark_is_good = figure.layout.coloraxis.colorscale
        low = kinds.interactive_contour(made(list(searched().trials), Direction.MIN), ["lr", "width"])
        assert dark_is_good[0][1] == low["layout"]["coloraxis"]["colorscale"][-1][1]

    def test_edf(self) -> None:
        runs = [made([trial(i, float(i)) for i in range(4)], version=n) for n in (1, 2)]
        figure = plots.edf(*runs, interactive=True)
        assert [trace.name for trace in figure.data] == ["digits version 1: 4 trials", "digits version 2: 4 trials"]
        assert list(figure.data[0].y) == [0.25, 0.5, 0.75, 1.0]
        assert {trace.line.shape for trace in figure.data} == {"hv"}

    @pytest.mark.parametrize("x", ["trials", "seconds"])
    def test_best_so_far(self, x: str) -> None:
        run = searched()
        figure = plots.best_so_far(run, x=x, interactive=True)
        states = [each.state for each in run.trials]
        line = figure.data[0]
        assert (line.name, line.line.shape, max(line.y)) == (
            "best so far",
            "hv",
            pytest.approx(max(each.metric or 0.0 for each in run.trials if each.state is not State.FAILED)),
        )
        assert list(line.y) == sorted(line.y)
        assert markers(figure, "finished") == states.count(State.FINISHED)
        assert markers(figure, "stopped early") == states.count(State.STOPPED)
        assert markers(figure, f"failed ({states.count(State.FAILED)})") == states.count(State.FAILED)
        assert figure.layout.yaxis.title.text == "score"

    def test_reports(self, project: str) -> None:
        def train(x: float) -> float:
            for step in range(4):
                hopslite.report({"metric": x * step, "loss": 1.0}, step)
            return x * 3

        run = experiment.grid_search(train, {"x": [1.0, 2.0, 3.0]}, **OPTIONS)
        figure = plots.reports(run, interactive=True)
        others, best = figure.data
        assert (list(best.x), list(best.y)) == ([0, 1, 2, 3, None], [0, 3, 6, 9, None])
        assert list(others.y) == [0, 1, 2, 3, None, 0, 2, 4, 6, None]
        assert [others.text[0], best.name] == ["trial 0000", "best: 9 (trial 0002)"]
        assert plots.reports(run, "0001", metric="loss", interactive=True).layout.yaxis.title.text == "loss"
        with pytest.raises(InvalidArguments, match="has reported a finite value"):
            plots.reports(run, [], interactive=True)

    def test_parallel_coordinates(self) -> None:
        run = searched()
        figure = plots.parallel_coordinates(run, interactive=True)
        assert "lr (log)" in figure.layout.xaxis.ticktext
        lines = {trace.name: trace for trace in figure.data if trace.mode == "lines"}
        measured = sum(each.metric is not None for each in run.trials)
        assert sum(list(trace.y).count(None) for trace in lines.values()) == measured
        assert list(lines["best"].y).count(None) == 1
        marks = next(trace for trace in figure.data if trace.mode == "markers")
        assert len(marks.text) == measured
        assert re.match(r"trial \d{4}: .*<br>.*lr=", marks.text[0])

    def test_importance(self) -> None:
        trials = [trial(i, float(i % 8), params={"x": i % 8, "y": i % 3}) for i in range(60)]
        figure = plots.importance(made(trials), interactive=True)
        assert list(figure.layout.yaxis.ticktext) == ["x", "y"]
        assert figure.data[0].x[0] > 10 * figure.data[0].x[1]
        assert "explain" in figure.layout.title.text
        assert "too few" in plots.importance(made(trials[:4]), interactive=True).layout.annotations[0].text

    def test_generations(self) -> None:
        trials = [trial(i, float(i), params={"x": i / 7, "k": "ab"[i % 2]}, generation=i // 4) for i in range(12)]
        figure = plots.generations(made(trials), interactive=True)
        assert markers(figure, "trial") == 3 * 12
        assert next(list(trace.y) for trace in figure.data if trace.name == "median") == [1.5, 5.5, 9.5]
        with pytest.raises(InvalidArguments, match="have no generations"):
            plots.generations(searched(), interactive=True)

    def test_timeline(self) -> None:
        spec = interactive.timeline(made([trial(0, 1.0)]), attempts("finished", "retried", "finished"))
        figure = Figure(spec)
        bars = {trace.name: (trace.base, trace.x, trace.y) for trace in figure.data}
        assert bars == {"finished": ((10.0, 12.0), (1.5, 1.5), (0, 0)), "failed, tried again": ((11.0,), (1.5,), (1,))}
        assert figure.layout.shapes[0].x0 == 11.0
        assert figure.layout.yaxis.ticktext[0].startswith("slot 0")

    def test_pareto_front_and_timeline_of_several_metrics(self, project: str) -> None:
        run = experiment.grid_search(
            lambda width: {"accuracy": width, "seconds": width if width < 4 else 9}, {"width": [1, 2, 3, 4, 5]},
            direction=["max", "min"], optimization_key=["accuracy", "seconds"], **OPTIONS,
        )  # fmt: skip
        figure = plots.pareto_front(run, interactive=True)
        assert (markers(figure, "Pareto front"), markers(figure, "other trials")) == (4, 1)
        assert figure.layout.xaxis.title.text == "accuracy, higher is better"
        assert "trial 0004<br>accuracy: 5<br>seconds: 9" in figure.data[1].text
        assert markers(plots.timeline(run, interactive=True), "finished") == 5
        stars = [line for line in plots.timeline(run).axes[0].lines if line.get_marker() == "*"]
        assert len(stars[0].get_xdata()) == 4
        assert "pareto_front" in json.loads(re.findall(r'id="figures">([^<]*)<', TestPage().page(run))[0])

    def test_of_a_run(self, project: str) -> None:
        run = experiment.grid_search(lambda x: x, {"x": [1, 2, 3]}, **OPTIONS)
        figure = plots.timeline(run.run_id, interactive=True)
        assert markers(figure, "finished") == 3

    @pytest.mark.slow("soak")
    @pytest.mark.parametrize("count", [1, 2, 1000])
    def test_any_number_of_trials(self, count: int) -> None:
        params = [{"x": i % 7 + 1.0, "y": i % 3, "k": "ab"[i % 2]} for i in range(count)]
        run = made([trial(i, float(i % 11), params=params[i]) for i in range(count)])
        for draw in OF_VIEWS:
            assert len(json.dumps(draw(run), allow_nan=False)) < 600_000

    @pytest.mark.parametrize("value", [0.0, 1e-320, -1e308, 1e308])
    def test_constants(self, value: float) -> None:
        run = made([trial(i, value, params={"x": value, "y": i, "k": None}) for i in range(12)])
        for draw in OF_VIEWS:
            assert Figure(json.loads(json.dumps(draw(run), allow_nan=False))).layout.title.text

    def test_names_are_shown_as_they_are(self) -> None:
        trials = [trial(i, float(i), params={BAD: i, "c": BAD * (i % 2)}) for i in range(8)]
        run = made(trials, name=BAD, optimization_key=BAD)
        specs = [*(draw(run) for draw in OF_VIEWS), interactive.timeline(run, attempts("failed"))]
        for spec in specs:
            shown = json.dumps(spec)
            assert "&lt;/script&gt;" in shown
            assert "</script" not in shown
            assert "<b>x" not in shown

    @pytest.mark.parametrize("name", list(kinds.INTERACTIVE))
    def test_plotly_is_an_extra(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(extras.PACKAGES, "interactive", ("no_plotly",))
        with pytest.raises(MissingExtra, match=r"interactive=True needs no_plotly.*hopslite\[interactive\]"):
            getattr(plots, name)(searched(), interactive=True)


class TestPage:
    def page(self, run: Run) -> str:
        plots.save(run)
        return RunDir(run.logdir).read_bytes("plots/index.html").decode()

    def test_it_has_the_library_and_the_figures(self, project: str) -> None:
        run = experiment.grid_search(lambda x, y: x * y, {"x": [1, 2, 3], "y": [1, 2, 3]}, **OPTIONS)
        page = self.page(run)
        packed = re.search(r'<script type="text/plain" id="plotly">([^<]*)</script>', page)
        figures = re.search(r'<script type="application/json" id="figures">([^<]*)</script>', page)
        assert packed is not None
        assert figures is not None
        assert b"plotly.js" in gzip.decompress(base64.b64decode(packed[1]))[:200]
        drawn = json.loads(figures[1])
        assert list(drawn) == [
            "best_so_far", "parallel_coordinates", "slice", "contour", "edf", "importance", "timeline",
        ]  # fmt: skip
        assert drawn["importance"]["layout"]["annotations"], "nine trials do not suffice"
        assert all(f'<figure id="{name}">' in page for name in drawn), "a figure has no place"
        assert page.count("data:image/png") >= 6, "the pictures are gone"
        assert len(page) < 3_500_000

    def test_only_its_own_script_may_run(self, project: str) -> None:
        page = self.page(experiment.grid_search(lambda x: x, {"x": [1, 2]}, **{**OPTIONS, "name": "digits"}))
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
        start = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
        assert policy is not None
        assert start is not None
        digest = base64.b64encode(hashlib.sha256(start[1].encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}' blob:" in policy[1]
        assert "unsafe-eval" not in policy[1]
        assert "default-src 'none'" in policy[1]
        assert page.count("<script") == 3

    def test_without_plotly_it_has_no_script(self, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plotly_library, "is_there", lambda: False)
        assert "<script" not in self.page(experiment.grid_search(lambda x: x, {"x": [1, 2]}, **OPTIONS))

    def test_the_page_needs_no_import_of_plotly(self, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
        assert 'id="figures"' in self.page(experiment.grid_search(lambda x: x, {"x": [1, 2]}, **OPTIONS))
