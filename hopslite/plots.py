"""Plots of runs, as matplotlib figures: for a notebook, for a paper, and for the run's own directory.

```python
from hopslite import plots

plots.best_so_far(run)  # what a verb returned
plots.importance("digits")  # the newest run of that name, from its directory
plots.save(run)  # all that apply to the run, as PNG and as one HTML page
```

Every function takes a `Run`, or what `experiment.load` takes: a run's id, its name, `"NAME/VERSION"` or its directory,
and needs `pip install "hopslite[plots]"`. The figures are made without pyplot: no backend is chosen and no setting of
matplotlib's is changed. A notebook shows them as they are, `figure.savefig("file.pdf")` writes them.

Only trials that ended as FINISHED or STOPPED with a finite metric are drawn. Parameters have a logarithmic scale if the
search space has one (`loguniform`, `integer(log=True)`), or if all values are positive and the largest is at least 100
times the smallest; the latter is also true for metrics. A few metrics that are far worse than all others are
drawn at the edge, and the figure says so.

With `interactive=True` every function returns a figure of plotly's, which responds to the mouse in a notebook. Where
plotly is installed, the page of `save` has them as well; it works offline.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, overload

from .core import extras
from .errors import InvalidArguments
from .figures import kinds, saving
from .result import Run
from .runs.lookup import load, trial_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as Plotly

RunLike = Run | str | os.PathLike[str]
Names = Iterable[str] | str | None
Place = str | None

__all__ = [
    "best_so_far",
    "contour",
    "edf",
    "generations",
    "importance",
    "parallel_coordinates",
    "parameters",
    "pareto_front",
    "reports",
    "save",
    "slice",
    "timeline",
]


@overload
def best_so_far(run: RunLike, *, x: str = ..., interactive: Literal[False] = ..., project: Place = ...) -> Figure: ...
@overload
def best_so_far(run: RunLike, *, x: str = ..., interactive: Literal[True], project: Place = ...) -> Plotly: ...
def best_so_far(
    run: RunLike, *, x: str = "trials", interactive: bool = False, project: str | None = None
) -> Figure | Plotly:
    """The best metric found so far, as trials end; each trial's own is a dot.

    Trials that were stopped early are hollow dots, those without a metric crosses at the edge.

    >>> from hopslite import experiment, plots
    >>> made = experiment.grid_search(lambda x: x * x, {"x": [3, 1, 2]}, direction="min", pool="inline", display=False)
    >>> figure = plots.best_so_far(made)
    >>> figure.axes[0].get_xlabel()
    'trials, in the order in which they ended'

    Args:
        run: a run, or what `experiment.load` takes.
        x: "trials" counts them in the order in which they ended; "seconds" is the time since the run began.
        interactive: a figure of plotly's instead of one of matplotlib's; needs `pip install "hopslite[interactive]"`.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run is no search, or none of its trials has a metric.
        RunNotFound: there is no such run.
    """
    if x not in ("trials", "seconds"):
        raise InvalidArguments("best_so_far()", [f'x must be "trials" or "seconds", given {x!r}'])
    loaded = _run(run, project, "best_so_far()", interactive)
    by_seconds = x == "seconds"
    if interactive:
        return kinds.to_plotly(kinds.interactive_best_so_far(loaded, by_seconds))
    return kinds.best_so_far(loaded, by_seconds)


@overload
def reports(
    run: RunLike,
    trials: Names = ...,
    *,
    metric: str | None = ...,
    interactive: Literal[False] = ...,
    project: Place = ...,
) -> Figure: ...
@overload
def reports(
    run: RunLike, trials: Names = ..., *, metric: str | None = ..., interactive: Literal[True], project: Place = ...
) -> Plotly: ...
def reports(
    run: RunLike,
    trials: Names = None,
    *,
    metric: str | None = None,
    interactive: bool = False,
    project: str | None = None,
) -> Figure | Plotly:
    """Reports of the trials (see `hopslite.report`) by step, with the best trial's line highlighted.

    Like `timeline`, it also takes runs which optimise nothing, such as those of `launch`.

    >>> import hopslite
    >>> from hopslite import experiment, plots
    >>> def train(lr):
    ...     for step in range(5):
    ...         hopslite.report(lr * step, step)
    ...     return lr
    >>> made = experiment.grid_search(train, {"lr": [0.1, 0.2]}, pool="inline", display=False)
    >>> plots.reports(made).axes[0].get_xlabel()
    'step'

    Args:
        run: a run, or what `experiment.load` takes.
        trials: the ids of those that are drawn, or `"best"`; default: all. Zeros in front may be left out.
        metric: its name, where trials report several; default: the optimised one, else the first.
        interactive: a figure of plotly's instead of one of matplotlib's; needs `pip install "hopslite[interactive]"`.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: no trial has reported a finite value, or this metric.
        RunNotFound: there is no such run, or no such trial.
    """
    loaded = _run(run, project, "reports()", interactive)
    wanted = [trials] if isinstance(trials, str) else None if trials is None else [str(trial) for trial in trials]
    chosen = None if wanted is None else [trial_of(loaded, trial).id for trial in wanted]
    if interactive:
        return kinds.to_plotly(kinds.interactive_reports(loaded, chosen, metric))
    return kinds.reports(loaded, chosen, metric)


@overload
def parallel_coordinates(run: RunLike, *, interactive: Literal[False] = ..., project: Place = ...) -> Figure: ...
@overload
def parallel_coordinates(run: RunLike, *, interactive: Literal[True], project: Place = ...) -> Plotly: ...
def parallel_coordinates(run: RunLike, *, interactive: bool = False, project: str | None = None) -> Figure | Plotly:
    """An axis for each parameter and one for the metric; each trial is a line through its values.

    Dark lines are good trials, and the best one is emphasised. Where a trial does not have a parameter, because its
    condition did not hold, the line passes below that axis. Lines of one category are fanned out, better ones higher.

    >>> from hopslite import experiment, plots
    >>> made = experiment.random_search(lambda x, y: x - y, {"x": [0.0, 1.0], "y": [1, 5]}, samples=6, pool="inline",
    ...                                 display=False)
    >>> [text.get_text() for text in plots.parallel_coordinates(made).axes[0].texts if text.get_text() in ("x", "y")]
    ['x', 'y']

    Args:
        run: a run, or what `experiment.load` takes.
        interactive: a figure of plotly's instead of one of matplotlib's; needs `pip install "hopslite[interactive]"`.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run is no search, or none of its trials has a metric.
        RunNotFound: there is no such run.
    """
    loaded = _run(run, project, "parallel_coordinates()", interactive)
    return (
        kinds.to_plotly(kinds.interactive_parallel_coordinates(loaded))
        if interactive
        else kinds.parallel_coordinates(loaded)
    )


@overload
def slice(  # noqa: A001 - the field's name
    run: RunLike, params: Names = ..., *, interactive: Literal[False] = ..., project: Place = ...
) -> Figure: ...
@overload
def slice(  # noqa: A001
    run: RunLike, params: Names = ..., *, interactive: Literal[True], project: Place = ...
) -> Plotly: ...
def slice(  # noqa: A001
    run: RunLike, params: Names = None, *, interactive: bool = False, project: str | None = None
) -> Figure | Plotly:
    """The metric by each parameter, in plots side by side; later trials are darker, the star is the best one.

    Hollow dots are trials that were stopped early, crosses at the edge those without a metric. The points of a category
    are spread sideways, so that they do not hide each other.

    >>> from hopslite import experiment, plots
    >>> made = experiment.grid_search(lambda x, f: x, {"x": [1, 2], "f": ["a", "b"]}, pool="inline", display=False)
    >>> [axes.get_title(loc="left") for axes in plots.slice(made).axes]
    ['x', 'f']

    Args:
        run: a run, or what `experiment.load` takes.
        params: the names of those that are drawn; default: all.
        interactive: a figure of plotly's instead of one of matplotlib's; needs `pip install "hopslite[interactive]"`.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run is no search, or none of its trials has a metric; there is no such parameter.
        RunNotFound: there is no such run.
    """
    loaded = _run(run, project, "slice()", interactive)
    names = _names(params)
    return kinds.to_plotly(kinds.interactive_slice(loaded, names)) if interactive else kinds.slice(loaded, names)


@overload
def pareto_front(
    run: RunLike, metrics: Iterable[str] | None = ..., *, interactive: Literal[False] = ..., project: Place = ...
) -> Figure: ...
@overload
def pareto_front(
    run: RunLike, metrics: Iterable[str] | None = ..., *, interactive: Literal[True], project: Place = ...
) -> Plotly: ...
def pareto_front(
    run: RunLike, metrics: Iterable[str] | None = None, *, interactive: bool = False, project: str | None = None
) -> Figure | Plotly:
    """Several metrics against each other: all finished trials, and the Pareto front.

    On the front are the trials than which none is better in all metrics; they are `run.pareto_trials`. Of two metrics
    there is one plot with the border of what the front dominates, of more a plot for each pair.

    >>> from hopslite import experiment, plots
    >>> made = experiment.grid_search(
    ...     lambda width: {"accuracy": width / (1 + width), "seconds": width}, {"width": [1, 2, 4]},
    ...     direction=["max", "min"], optimization_key=["accuracy", "seconds"], pool="inline", display=False)
    >>> plots.pareto_front(made).axes[0].get_xlabel()
    'accuracy, higher is better'

    Args:
        run: a run, or what `experiment.load` takes.
        metrics: the names of those that are drawn, at least two; default: all.
        interactive: a figure of plotly's instead of one of matplotlib's; needs `pip install "hopslite[interactive]"`.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run does not optimise several metrics, or not these; or no trial has finished.
        RunNotFound: there is no such run.
    """
    loaded = _run(run, project, "pareto_front()", interactive)
    chosen = None if metrics is None else list(metrics)
    if interactive:
        return kinds.to_plotly(kinds.interactive_pareto_front(loaded, chosen))
    return kinds.pareto_front(loaded, chosen)


def parameters(run: Run | str | os.PathLike[str], *, project: str | None = None) -> Figure:
    """The plot of `slice`, by its former name."""
    return slice(run, project=project)


@overload
def contour(
    run: RunLike, params: Names = ..., *, interactive: Literal[False] = ..., project: Place = ...
) -> Figure: ...
@overload
def contour(run: RunLike, params: Names = ..., *, interactive: Literal[True], project: Place = ...) -> Plotly: ...
def contour(
    run: RunLike, params: Names = None, *, interactive: bool = False, project: str | None = None
) -> Figure | Plotly:
    """The metric over the plane of two parameters, dark where it is good; for more than two, a plot for each pair.

    The surface is a mean of the trials nearby, which differ in their other parameters, too (E. A. Nadaraya 1964, G. S.
    Watson 1964); the width of its Gaussian kernel is the one of several that predicts each trial best from the others.
    It is blank where no trial is near. The marks are those of `slice`.

    >>> from hopslite import experiment, plots
    >>> made = experiment.random_search(lambda x, y: x * y, {"x": [0.0, 1.0], "y": [0.0, 1.0]}, samples=20,
    ...                                 pool="inline", display=False)
    >>> axes, color_bar = plots.contour(made).axes
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('x', 'y')

    Args:
        run: a run, or what `experiment.load` takes.
        params: the names of two to six parameters; default: all, or the three most important ones.
        interactive: a figure of plotly's instead of one of matplotlib's; needs `pip install "hopslite[interactive]"`.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run is no search, none of its trials has a metric, or it has only one parameter; there is
            no such parameter.
        RunNotFound: there is no such run.
    """
    loaded = _run(run, project, "contour()", interactive)
    names = _names(params)
    return kinds.to_plotly(kinds.interactive_contour(loaded, names)) if interactive else kinds.contour(loaded, names)


@overload
def edf(*runs: RunLike, interactive: Literal[False] = ..., project: Place = ...) -> Figure: ...
@overload
def edf(*runs: RunLike, interactive: Literal[True], project: Place = ...) -> Plotly: ...
def edf(*runs: RunLike, interactive: bool = False, project: str | None = None) -> Figure | Plotly:
    """The share of trials with at most each metric (empirical distribution function), of one run or of several.

    It compares searches by all their trials, not only by the best, which is a star: of two searches for the largest
    metric the one whose line is further right has better trials.

    >>> from hopslite import experiment, plots
    >>> made = [experiment.random_search(lambda x: x, {"x": [0.0, high]}, samples=9, pool="inline", display=False)
    ...         for high in (1.0, 2.0)]
    >>> plots.edf(*made).axes[0].get_ylabel()
    'trials with at most this metric'

    Args:
        runs: runs with one metric and direction, or what `experiment.load` takes.
        interactive: a figure of plotly's instead of one of matplotlib's; needs `pip install "hopslite[interactive]"`.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: a run is no search, or none of its trials has a metric; their metrics or directions differ.
        RunNotFound: there is no such run.
    """
    if not runs:
        raise InvalidArguments("edf()", ["no run is given; give the runs that are compared, one after the other"])
    loaded = [_run(run, project, "edf()", interactive) for run in runs]
    return kinds.to_plotly(kinds.interactive_edf(*loaded)) if interactive else kinds.edf(*loaded)


@overload
def timeline(run: RunLike, *, interactive: Literal[False] = ..., project: Place = ...) -> Figure: ...
@overload
def timeline(run: RunLike, *, interactive: Literal[True], project: Place = ...) -> Plotly: ...
def timeline(run: RunLike, *, interactive: bool = False, project: str | None = None) -> Figure | Plotly:
    """A row for each slot, with the trials that ran there from when to when, and how each attempt ended.

    Of a distributed trial, a row is a member, and the bar covers the rows of all. An attempt that was
    lost or failed and tried again has a bar of its own. Gaps are times in which a slot had nothing to run. It can also
    be drawn for runs that optimise nothing, and for those that are active.

    >>> from hopslite import experiment, plots
    >>> made = experiment.grid_search(lambda x: x, {"x": [1, 2]}, pool="inline", display=False)
    >>> plots.timeline(made).axes[0].get_xlabel()
    'time since the run began'

    Args:
        run: a run, or what `experiment.load` takes.
        interactive: a figure of plotly's instead of one of matplotlib's; needs `pip install "hopslite[interactive]"`.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: no trial has begun.
        RunNotFound: there is no such run.
    """
    loaded = _run(run, project, "timeline()", interactive)
    return kinds.to_plotly(kinds.interactive_timeline(loaded)) if interactive else kinds.timeline(loaded)


@overload
def importance(run: RunLike, *, interactive: Literal[False] = ..., project: Place = ...) -> Figure: ...
@overload
def importance(run: RunLike, *, interactive: Literal[True], project: Place = ...) -> Plotly: ...
def importance(run: RunLike, *, interactive: bool = False, project: str | None = None) -> Figure | Plotly:
    """Importance of each parameter for the metric, among the values that were tried.

    Random forests learn the ranks of metrics from the parameters. The share of the variance that they explain of trials
    that a tree has not seen (L. Breiman: Random Forests. Machine Learning 45, 5-32, 2001) is divided among the
    parameters by their Shapley effects (A. B. Owen: Sobol' indices and Shapley value. SIAM/ASA Journal on Uncertainty
    Quantification 2, 245-251, 2014): what comes from one alone, and an equal share of what several cause together. So
    bars are never negative, and add up to what is explained; the rest is noise, or not yet known. Whiskers are the
    standard deviation over eight forests with other seeds, which are always the same. A parameter that was hardly
    varied cannot be important. The figure has no bars, and says why, where the trials do not suffice: they are fewer
    than ten, or than two for each parameter, or the forests predict no better than chance would.

    >>> from hopslite import experiment, plots
    >>> space = {"x": [0.0, 1.0], "y": [0.0, 1.0]}
    >>> made = experiment.random_search(lambda x, y: 10 * x + y, space, samples=30, seed=1, pool="inline",
    ...                                 display=False)
    >>> [text.get_text() for text in plots.importance(made).axes[0].get_yticklabels()]  # the most important first
    ['x', 'y']

    Args:
        run: a run, or what `experiment.load` takes.
        interactive: a figure of plotly's instead of one of matplotlib's; needs `pip install "hopslite[interactive]"`.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run is no search, or none of its trials has a metric.
        RunNotFound: there is no such run.
    """
    loaded = _run(run, project, "importance()", interactive)
    return kinds.to_plotly(kinds.interactive_importance(loaded)) if interactive else kinds.importance(loaded)


@overload
def generations(run: RunLike, *, interactive: Literal[False] = ..., project: Place = ...) -> Figure: ...
@overload
def generations(run: RunLike, *, interactive: Literal[True], project: Place = ...) -> Plotly: ...
def generations(run: RunLike, *, interactive: bool = False, project: str | None = None) -> Figure | Plotly:
    """Differential evolution by generation: the metrics, and the convergence of each parameter's values.

    >>> from hopslite import experiment, plots
    >>> made = experiment.differential_evolution(lambda x: x, {"x": [0.0, 1.0]}, generations=2, population=4,
    ...                                          pool="inline", display=False)
    >>> [axes.get_title(loc="left") for axes in plots.generations(made).axes]
    ['', 'x']

    Args:
        run: a run of differential evolution, or what `experiment.load` takes.
        interactive: a figure of plotly's instead of one of matplotlib's; needs `pip install "hopslite[interactive]"`.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run has no generations, or none of its trials has a metric.
        RunNotFound: there is no such run.
    """
    loaded = _run(run, project, "generations()", interactive)
    return kinds.to_plotly(kinds.interactive_generations(loaded)) if interactive else kinds.generations(loaded)


def save(run: Run | str | os.PathLike[str], project: str | None = None) -> list[str]:
    """Write the plots that apply to a run into its directory: a PNG each, and all in `plots/index.html`.

    The page is a single file: the plots, the run's facts and a table of its best trials. What is there already is
    replaced. A plot that cannot be drawn is left out; the page and the log say why.

    >>> from hopslite import experiment, plots
    >>> made = experiment.grid_search(lambda x: x, {"x": [1, 2]}, pool="inline", display=False)
    >>> plots.save(made)  # doctest: +NORMALIZE_WHITESPACE
    ['plots/best_so_far.png', 'plots/parallel_coordinates.png', 'plots/slice.png', 'plots/edf.png',
     'plots/importance.png', 'plots/timeline.png', 'plots/index.html']

    Args:
        run: a run, or what `experiment.load` takes.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Returns:
        The names of the files, in the run directory.

    Raises:
        RunNotFound: there is no such run.
        StoreError: its directory cannot be written.
    """
    return saving.save(_run(run, project, "save()"))


def _names(params: Iterable[str] | str | None) -> list[str] | None:
    return None if params is None else [params] if isinstance(params, str) else [str(name) for name in params]


def _run(run: Any, project: str | None, where: str, interactive: bool = False) -> Run:
    extras.require("plots", f"hopslite.plots.{where}")
    if interactive:
        extras.require("interactive", f"hopslite.plots.{where} with interactive=True")
    if isinstance(run, Run):
        return run
    if isinstance(run, (str, os.PathLike)):
        return load(run, project=project)
    advice = "give the run that a verb returned, or a run's id, name or directory"
    raise InvalidArguments(where, [f"run is a {type(run).__name__} ({run!r:.80}); {advice}"])
