"""Plots of runs, as matplotlib figures: for a notebook, for a paper, and for the run's own directory.

```python
from hopslite import plots

plots.best_so_far(run)  # what a verb returned
plots.importance("digits")  # the newest run of that name, from its directory
plots.save(run)  # all that make sense, as PNG and as one HTML page
```

Every function takes a `Run`, or what `experiment.load` takes: a run's id, its name, `"NAME/VERSION"` or its directory.
The figures are made without pyplot: no backend is chosen and no setting of matplotlib's is changed. A notebook shows
them as they are, `figure.savefig("file.pdf")` writes them.

Of trials those are drawn that ended as FINISHED or STOPPED with a finite metric. Parameters are on a logarithmic scale
where the search space says so (`loguniform`, `integer(log=True)`), and where their values are positive and the largest
is 100 times the smallest or more; metrics in the latter case. A few metrics that are far worse than all others are
drawn at the edge, and the figure says so.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ._past import record_of
from ._runs import load, trial_of
from .errors import InvalidArguments, StoreError
from .result import Run
from .store import RunDir

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .figures.view import View

__all__ = [
    "best_so_far",
    "generations",
    "importance",
    "parallel_coordinates",
    "parameters",
    "reports",
    "save",
]

log = logging.getLogger(__name__)

FOLDER = "plots"
SHARPNESS = 160  # pixels in an inch of saved figures


def best_so_far(run: Run | str | os.PathLike[str], *, x: str = "trials", project: str | None = None) -> Figure:
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
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run is no search, or none of its trials has a metric.
        RunNotFound: there is no such run.
    """
    if x not in ("trials", "seconds"):
        raise InvalidArguments("best_so_far()", [f'x must be "trials" or "seconds", given {x!r}'])
    view = _view(run, project, "best_so_far()")
    from .figures import curves

    return curves.best_so_far(view, x == "seconds")


def reports(
    run: Run | str | os.PathLike[str], trials: Iterable[str] | str | None = None, *, project: str | None = None
) -> Figure:
    """What trials reported (see `hopslite.report`) against the step, the best trial's line highlighted.

    This is the only plot that also takes runs which optimise nothing, such as those of `launch`.

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
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: no trial has reported a finite value.
        RunNotFound: there is no such run, or no such trial.
    """
    found = _run(run, project, "reports()")
    wanted = [trials] if isinstance(trials, str) else None if trials is None else [str(each) for each in trials]
    chosen = None if wanted is None else [trial_of(found, each).id for each in wanted]
    known = _curves(found, chosen)
    if not known:
        which = "no trial" if chosen is None else f"none of the trials {', '.join(chosen[:5]) or '(none given)'}"
        what = f"{which} of {found.name!r:.100} version {found.version} ({found.verb}) has reported a finite value"
        raise InvalidArguments("reports()", [f"{what}; training functions do with hopslite.report(value, step)"])
    from .figures import curves

    return curves.reports(found, known, chosen)


def parallel_coordinates(run: Run | str | os.PathLike[str], *, project: str | None = None) -> Figure:
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
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run is no search, or none of its trials has a metric.
        RunNotFound: there is no such run.
    """
    view = _view(run, project, "parallel_coordinates()", parameters=True)
    from .figures import parallel

    return parallel.parallel_coordinates(view)


def parameters(run: Run | str | os.PathLike[str], *, project: str | None = None) -> Figure:
    """Each parameter against the metric, side by side; the star is the best trial.

    The points of a category are spread sideways, so that they do not hide each other.

    >>> from hopslite import experiment, plots
    >>> made = experiment.grid_search(lambda x, f: x, {"x": [1, 2], "f": ["a", "b"]}, pool="inline", display=False)
    >>> [axes.get_title(loc="left") for axes in plots.parameters(made).axes]
    ['x', 'f']

    Args:
        run: a run, or what `experiment.load` takes.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run is no search, or none of its trials has a metric.
        RunNotFound: there is no such run.
    """
    view = _view(run, project, "parameters()", parameters=True)
    from .figures import parameters as drawn

    return drawn.parameters(view)


def importance(run: Run | str | os.PathLike[str], *, project: str | None = None) -> Figure:
    """How much each parameter matters for the metric, among the values that were tried.

    It is the permutation importance of random forests (L. Breiman: Random Forests. Machine Learning 45, 5-32, 2001,
    section 10) that learn the ranks of metrics from the parameters: how much less of their variance is explained, on
    trials that a tree has not seen, when one parameter's values are exchanged among them. Whiskers are the standard
    deviation over eight forests with other seeds, which are always the same. Of parameters that only matter together
    each gets the share of both; one that was hardly varied cannot be important. With fewer trials than ten, or than two
    for each parameter, the figure only says that they are too few.

    >>> from hopslite import experiment, plots
    >>> space = {"x": [0.0, 1.0], "y": [0.0, 1.0]}
    >>> made = experiment.random_search(lambda x, y: 10 * x + y, space, samples=30, seed=1, pool="inline",
    ...                                 display=False)
    >>> [text.get_text() for text in plots.importance(made).axes[0].get_yticklabels()]  # the most important first
    ['x', 'y']

    Args:
        run: a run, or what `experiment.load` takes.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run is no search, or none of its trials has a metric.
        RunNotFound: there is no such run.
    """
    view = _view(run, project, "importance()", parameters=True)
    from .figures import parameters as drawn

    return drawn.importance(view)


def generations(run: Run | str | os.PathLike[str], *, project: str | None = None) -> Figure:
    """Differential evolution, generation by generation: the metrics, and how each parameter's values draw together.

    >>> from hopslite import experiment, plots
    >>> made = experiment.differential_evolution(lambda x: x, {"x": [0.0, 1.0]}, generations=2, population=4,
    ...                                          pool="inline", display=False)
    >>> [axes.get_title(loc="left") for axes in plots.generations(made).axes]
    ['', 'x']

    Args:
        run: a run of differential evolution, or what `experiment.load` takes.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Raises:
        InvalidArguments: the run has no generations, or none of its trials has a metric.
        RunNotFound: there is no such run.
    """
    view = _view(run, project, "generations()", parameters=True)
    from .figures import evolution

    return evolution.generations(view, "generations()")


def save(run: Run | str | os.PathLike[str], project: str | None = None) -> list[str]:
    """Write the plots that make sense for a run into its directory: a PNG each, and all in `plots/index.html`.

    The page is a single file: the plots, the run's facts and a table of its best trials. What is there already is
    replaced. A plot that cannot be drawn is left out; the page and the log say why.

    >>> from hopslite import experiment, plots
    >>> made = experiment.grid_search(lambda x: x, {"x": [1, 2]}, pool="inline", display=False)
    >>> plots.save(made)  # doctest: +NORMALIZE_WHITESPACE
    ['plots/best_so_far.png', 'plots/parallel_coordinates.png', 'plots/parameters.png', 'plots/importance.png',
     'plots/index.html']

    Args:
        run: a run, or what `experiment.load` takes.
        project: the directory or URL that holds the runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.

    Returns:
        The names of the files, in the run directory.

    Raises:
        RunNotFound: there is no such run.
        StoreError: its directory cannot be written.
    """
    from .figures.page import page
    from .figures.style import png

    found = _run(run, project, "save()")
    pictures: dict[str, tuple[str, bytes]] = {}
    failures: dict[str, str] = {}
    for name, plot in PLOTS.items():
        try:
            pictures[name] = (f"{name.replace('_', ' ')} of {found.name}", png(plot(found), SHARPNESS))
        except InvalidArguments:
            continue  # it makes no sense for this run
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {error}"
            log.warning("plots.%s of run %s could not be drawn", name, found.run_id, exc_info=True)
    files = {f"{FOLDER}/{name}.png": content for name, (_, content) in pictures.items()}
    files[f"{FOLDER}/index.html"] = page(found, pictures, failures).encode("utf-8", "replace")
    directory = RunDir(found.logdir)
    try:
        directory.makedirs(FOLDER)
        for name, content in files.items():
            directory.write_bytes(name, content)
    except OSError as error:
        raise StoreError(f"the plots of run {found.run_id} cannot be written to {directory.shown}: {error}") from error
    return list(files)


PLOTS: Mapping[str, Callable[[Run], Figure]] = {
    "best_so_far": best_so_far,
    "reports": reports,
    "parallel_coordinates": parallel_coordinates,
    "parameters": parameters,
    "importance": importance,
    "generations": generations,
}


def _run(run: Any, project: str | None, where: str) -> Run:
    if isinstance(run, Run):
        return run
    if isinstance(run, (str, os.PathLike)):
        return load(run, project=project)
    what = "give the run that a verb returned, or a run's id, name or directory"
    raise InvalidArguments(where, [f"run is a {type(run).__name__} ({run!r:.80}); {what}"])


def _view(run: Any, project: str | None, where: str, parameters: bool = False) -> View:
    from .figures.view import View

    found = _run(run, project, where)
    view = View.of(found, _space(found), where)
    if parameters and not view.columns:
        shown = f"{found.name!r:.100} version {found.version}"
        raise InvalidArguments(where, [f"the trials of {shown} have no parameters; plots.best_so_far(run) needs none"])
    return view


def _space(run: Run) -> Mapping[str, Any]:
    """The search space, where the run's directory is there and has it."""
    content = None
    with contextlib.suppress(OSError, ValueError):
        content = RunDir(run.logdir).read_many(["run.json"])[0]
    space = (record_of(content) or {}).get("space")
    return space if isinstance(space, Mapping) else {}


def _curves(run: Run, chosen: list[str] | None) -> dict[str, Any]:
    """The steps and values that trials have reported, by trial, without those that are not finite."""
    import numpy as np

    from .figures.view import within

    frame = run.reports()
    frame = frame[np.isfinite(frame["value"]) & np.isfinite(frame["step"])]
    if chosen is not None:
        frame = frame[frame["trial"].isin(chosen)]
    return {
        str(trial): (within(part["step"].to_numpy()), within(part["value"].to_numpy()))
        for trial, part in frame.groupby("trial", sort=True)
    }
