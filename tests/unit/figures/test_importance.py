"""Importance of parameters: against what is known of functions, against Optuna's evaluators, and as a figure."""

from __future__ import annotations

import random
import re
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from hopslite import plots
from hopslite.figures import importance, theme
from hopslite.figures.columns import Column

from .helpers import made, texts, trial


def columns(points: Any) -> list[Column]:
    return [Column(f"p{n}", "linear", values) for n, values in enumerate(np.asarray(points).T)]


def measured(points: Any, metrics: Any) -> importance.Importance:
    return importance.importances(columns(points), np.asarray(metrics, dtype=np.float64))


class TestKnownFunctions:
    """Shares that follow from the function: of a sum, those of the variances; of a product, halves."""

    @pytest.mark.slow("soak")
    @pytest.mark.parametrize(
        ("function", "shares"),
        [
            (lambda a, b, c: 3 * a + b, [0.9, 0.1, 0.0]),
            (lambda a, b, c: a + b + c, [1 / 3, 1 / 3, 1 / 3]),
            (lambda a, b, c: (a - 0.5) * (b - 0.5), [0.5, 0.5, 0.0]),
        ],
        ids=["unequal", "equal", "together"],
    )
    def test_shares(self, function: Any, shares: list[float]) -> None:
        points = np.random.default_rng(0).random((300, 3))
        result = measured(points, [function(*point) for point in points])
        assert (result.mean / result.mean.sum()).tolist() == pytest.approx(shares, abs=0.07)
        assert result.mean.sum() == pytest.approx(result.explained)
        assert 0.8 < result.explained < 1.0
        assert not result.is_chance

    def test_what_is_not_explained_is_nobodys(self) -> None:
        rng = np.random.default_rng(4)
        points = rng.random((400, 3))
        result = measured(points, points[:, 0] + rng.normal(0, 0.5, 400))  # a quarter of the variance
        assert 0.1 < result.explained < 0.35
        assert result.mean.sum() == pytest.approx(result.explained)
        assert result.mean[0] > 0.6 * result.explained
        assert (result.mean >= 0).all()

    @pytest.mark.slow("soak")
    def test_noise_is_chance(self) -> None:
        rng = np.random.default_rng(2)
        chance = [measured(rng.random((40, 2)), rng.random(40)).is_chance for _ in range(4)]
        assert sum(chance) >= 3

    def test_the_metrics_scale_does_not_matter(self) -> None:
        points = np.random.default_rng(0).random((60, 2))
        metrics = points[:, 0] + 0.1 * points[:, 1]
        assert measured(points, metrics).mean.tolist() == measured(points, np.exp(30 * metrics)).mean.tolist()


@pytest.mark.slow("soak")
def test_optunas_evaluators_agree() -> None:
    """Optuna's shares add up to 1; fANOVA leaves out what parameters do together, so the function is a sum."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, MeanDecreaseImpurityImportanceEvaluator

    points = np.random.default_rng(1).random((150, 3))
    metrics = 4 * points[:, 0] + 2 * points[:, 1] + 0.5 * points[:, 2]
    study = optuna.create_study()
    space = {f"p{n}": optuna.distributions.FloatDistribution(0, 1) for n in range(3)}
    for point, metric in zip(points, metrics, strict=True):
        params = {f"p{n}": float(value) for n, value in enumerate(point)}
        study.add_trial(optuna.create_trial(params=params, distributions=space, value=float(metric)))
    ours = measured(points, metrics)
    for evaluator in (FanovaImportanceEvaluator(seed=0), MeanDecreaseImpurityImportanceEvaluator(seed=0)):
        theirs = optuna.importance.get_param_importances(study, evaluator=evaluator)
        total = sum(theirs.values())
        shares = [theirs[f"p{n}"] / total for n in range(3)]
        assert (ours.mean / ours.mean.sum()).tolist() == pytest.approx(shares, abs=0.08)


class TestFigure:
    def test_what_matters_comes_first(self) -> None:
        rng = random.Random(1)
        params = [{"noise": rng.random(), "strong": rng.random(), "weak": rng.random(), "c": 1} for _ in range(80)]
        run = made([trial(i, 5 * p["strong"] + p["weak"], params=p) for i, p in enumerate(params)])
        figure = plots.importance(run)
        names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert names[:2] == ["strong", "weak"]
        widths = [bar.get_width() for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
        assert widths == sorted(widths, reverse=True)
        assert widths[-1] >= 0.0
        assert widths[0] > 0.7
        assert figure.axes[0].get_xlabel() == "explained share of the variance of the metric's ranks"
        assert figure.axes[0].get_xlim() == (0.0, pytest.approx(1.0, abs=0.15))
        shown = " ".join(" ".join(texts(figure)).split())
        percent = re.search(r"Together the parameters explain (\d\d) % of the variance of the ranks", shown)
        assert percent is not None
        assert sum(widths) == pytest.approx(int(percent[1]) / 100, abs=0.006), "the bars do not add up to what is said"
        whiskers = figure.axes[0].containers[1]
        assert len(whiskers) == 3  # a line, caps, bars
        again = plots.importance(run).axes[0].patches
        assert [bar.get_width() for bar in again] == widths  # type: ignore[attr-defined]

    def test_parameters_that_explain_nothing_are_said_to(self) -> None:
        rng = random.Random(2)
        figure = plots.importance(made([trial(i, rng.random(), params={"x": rng.random()}) for i in range(60)]))
        assert "predicts\nthe metric of trials that it has not seen no better than chance" in " ".join(texts(figure))
        assert not figure.axes[0].patches

    def test_metrics_of_which_only_equal_ones_are_drawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importance, "TRIALS", 10)
        figure = plots.importance(made([trial(i, float(i == 5), params={"x": i}) for i in range(200)]))
        assert "The trials do not suffice" in " ".join(texts(figure))

    @pytest.mark.parametrize(("count", "parameters"), [(9, 1), (19, 10)])
    def test_too_few_trials_are_said_to_be_too_few(self, count: int, parameters: int) -> None:
        params = [{f"p{n}": i * n for n in range(parameters)} for i in range(count + 1)]
        figure = plots.importance(made([trial(i, float(i), params=params[i]) for i in range(count)]))
        assert f"{count} trials with a metric: too few to say anything." in " ".join(texts(figure))
        assert f"at least {max(10, 2 * parameters)}" in " ".join(texts(figure))
        assert not figure.axes[0].patches
        enough = plots.importance(made([trial(i, float(i), params=params[i]) for i in range(count + 1)]))
        assert "too few" not in " ".join(texts(enough))

    def test_equal_metrics(self) -> None:
        shown = texts(plots.importance(made([trial(i, 1.0) for i in range(20)])))
        assert "all metrics are equal: nothing can matter" in shown

    def test_bars_have_the_colour_of_the_others(self) -> None:
        figure = plots.importance(made([trial(i, float(i)) for i in range(20)]))
        assert figure.axes[0].patches[0].get_facecolor()[:3] == to_rgba(theme.DOT)[:3]
