"""Figures of a run, one function each; matplotlib is loaded when one is called.

The interactive ones are JSON for plotly.js.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.objectives import Objective
from ..core.suggestions import did_you_mean
from ..errors import InvalidArguments
from ..result import Run
from ..runs.attempts import Attempts, attempts_of
from ..storage.run_directory import RunDir
from ..storage.run_records import record_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as Plotly

    from .data import View

__all__ = [
    "ALL",
    "BOTH",
    "INTERACTIVE",
    "best_so_far",
    "both_importances",
    "contour",
    "edf",
    "generations",
    "importance",
    "interactive_best_so_far",
    "interactive_contour",
    "interactive_edf",
    "interactive_generations",
    "interactive_importance",
    "interactive_parallel_coordinates",
    "interactive_pareto_front",
    "interactive_reports",
    "interactive_slice",
    "interactive_timeline",
    "parallel_coordinates",
    "pareto_front",
    "reports",
    "slice",
    "timeline",
    "to_plotly",
]


def best_so_far(run: Run, by_seconds: bool = False) -> Figure:
    view = _view(run, "best_so_far()")
    from . import progress

    return progress.best_so_far(view, by_seconds)


def reports(run: Run, chosen: list[str] | None = None, metric: str | None = None) -> Figure:
    name, curves = _reported(run, chosen, metric)
    from . import progress

    return progress.reports(run, curves, chosen, name)


def parallel_coordinates(run: Run) -> Figure:
    view = _view(run, "parallel_coordinates()", parameters=True)
    from . import parallel_coordinates as module

    return module.parallel_coordinates(view)


def slice(run: Run, params: Sequence[str] | None = None) -> Figure:  # noqa: A001 - the field's name
    view = _view(run, "slice()", parameters=True)
    from . import slices

    return slices.slices(view, params)


def contour(run: Run, params: Sequence[str] | None = None) -> Figure:
    view = _view(run, "contour()", parameters=True)
    from . import contours

    return contours.contours(view, params)


def edf(*runs: Run) -> Figure:
    views = [_view(run, "edf()") for run in runs]
    from . import distribution

    return distribution.distributions(views)


def timeline(run: Run) -> Figure:
    read = _attempts(run)
    from . import timeline as module

    return module.timeline(run, read)


def importance(run: Run) -> Figure:
    view = _view(run, "importance()", parameters=True)
    from . import importance_bars

    return importance_bars.importance(view, importance_bars.estimate(view))


def pareto_front(run: Run, metrics: Sequence[str] | None = None) -> Figure:
    objectives = _objectives(run, metrics)
    from . import pareto

    return pareto.pareto_front(run, objectives)


def _objectives(run: Run, metrics: Sequence[str] | None) -> list[Objective]:
    """Metrics of a Pareto front that are drawn."""
    known = [objective.name for objective in run.objectives]
    shown = f"{run.name!r:.100} version {run.version}"
    if not known:
        problem = f"{shown} does not optimise several metrics; plots.best_so_far(run) draws the one of a search"
        raise InvalidArguments("pareto_front()", [problem])
    chosen = known if metrics is None else list(metrics)
    if unknown := [name for name in chosen if name not in known]:
        hint = did_you_mean(str(unknown[0]), known, start=" Did you mean")
        raise InvalidArguments("pareto_front()", [f"metrics={metrics!r}; the run has {', '.join(known)}.{hint}"])
    if len(chosen) < 2 or len(set(chosen)) < len(chosen):
        raise InvalidArguments("pareto_front()", [f"metrics={metrics!r}; give at least two different ones"])
    if not run.pareto_trials:
        raise InvalidArguments("pareto_front()", [f"no trial of {shown} has finished"])
    return [objective for objective in run.objectives if objective.name in chosen]


def generations(run: Run) -> Figure:
    view = _view(run, "generations()", parameters=True)
    from . import differential_evolution

    return differential_evolution.generations(view, "generations()")


Spec = dict[str, Any]  # of plotly.js: {"data": […], "layout": {…}}

ALL: Mapping[str, Callable[[Run], Figure]] = {
    "best_so_far": best_so_far,
    "reports": reports,
    "parallel_coordinates": parallel_coordinates,
    "slice": slice,
    "contour": contour,
    "edf": edf,
    "importance": importance,
    "generations": generations,
    "pareto_front": pareto_front,
    "timeline": timeline,
}


def interactive_best_so_far(run: Run, by_seconds: bool = False) -> Spec:
    view = _view(run, "best_so_far()")
    from . import interactive_search

    return interactive_search.best_so_far(view, by_seconds)


def interactive_reports(run: Run, chosen: list[str] | None = None, metric: str | None = None) -> Spec:
    name, curves = _reported(run, chosen, metric)
    from . import interactive_search

    return interactive_search.reports(run, curves, chosen, name)


def interactive_parallel_coordinates(run: Run) -> Spec:
    view = _view(run, "parallel_coordinates()", parameters=True)
    from . import interactive_search

    return interactive_search.parallel_coordinates(view)


def interactive_importance(run: Run) -> Spec:
    view = _view(run, "importance()", parameters=True)
    from . import importance_bars, interactive_search

    return interactive_search.importance(view, importance_bars.estimate(view))


def both_importances(run: Run) -> tuple[Figure, Spec]:
    """The figure and its interactive form, from forests that are grown once."""
    view = _view(run, "importance()", parameters=True)
    from . import importance_bars, interactive_search

    estimated = importance_bars.estimate(view)
    return importance_bars.importance(view, estimated), interactive_search.importance(view, estimated)


def interactive_generations(run: Run) -> Spec:
    view = _view(run, "generations()", parameters=True)
    from . import interactive_search

    return interactive_search.generations(view, "generations()")


def interactive_slice(run: Run, params: Sequence[str] | None = None) -> Spec:
    view = _view(run, "slice()", parameters=True)
    from . import interactive

    return interactive.slices(view, params)


def interactive_contour(run: Run, params: Sequence[str] | None = None) -> Spec:
    view = _view(run, "contour()", parameters=True)
    from . import interactive

    return interactive.contours(view, params)


def interactive_edf(*runs: Run) -> Spec:
    views = [_view(run, "edf()") for run in runs]
    from . import interactive

    return interactive.distributions(views)


def interactive_pareto_front(run: Run, metrics: Sequence[str] | None = None) -> Spec:
    objectives = _objectives(run, metrics)
    from . import interactive

    return interactive.pareto_front(run, objectives)


def interactive_timeline(run: Run) -> Spec:
    read = _attempts(run)
    from . import interactive

    return interactive.timeline(run, read)


INTERACTIVE: Mapping[str, Callable[[Run], Spec]] = {
    "best_so_far": interactive_best_so_far,
    "reports": interactive_reports,
    "parallel_coordinates": interactive_parallel_coordinates,
    "slice": interactive_slice,
    "contour": interactive_contour,
    "edf": interactive_edf,
    "importance": interactive_importance,
    "generations": interactive_generations,
    "pareto_front": interactive_pareto_front,
    "timeline": interactive_timeline,
}


BOTH: Mapping[str, Callable[[Run], tuple[Figure, Spec]]] = {"importance": both_importances}  # whose data take long


def to_plotly(spec: Spec) -> Plotly:
    """Figure of plotly's, for notebooks."""
    from plotly.graph_objects import Figure as Plotly

    return Plotly(spec)


def _view(run: Run, caller: str, parameters: bool = False) -> View:
    from .data import View

    view = View.of(run, _space(run), caller)
    if parameters and not view.columns:
        shown = f"{run.name!r:.100} version {run.version}"
        raise InvalidArguments(caller, [f"the trials of {shown} have no parameters; plots.best_so_far(run) needs none"])
    return view


def _attempts(run: Run) -> Attempts:
    attempts = Attempts((), None, ())
    with contextlib.suppress(OSError):
        attempts = attempts_of(run.logdir)
    if not attempts.attempts:
        shown = f"{run.name!r:.100} version {run.version} ({run.state})"
        raise InvalidArguments(
            "timeline()", [f"no trial has begun according to the journal of {shown} in {run.logdir}"]
        )
    return attempts


def _space(run: Run) -> Mapping[str, Any]:
    """Search space of a run; empty if its directory is gone or lacks it."""
    record = None
    with contextlib.suppress(OSError, ValueError):
        record = record_in(RunDir(run.logdir))
    space = (record or {}).get("space")
    return space if isinstance(space, Mapping) else {}


def _reported(run: Run, chosen: list[str] | None, metric: str | None) -> tuple[str | None, dict[str, Any]]:
    """The name of a metric and its curves; raises InvalidArguments if there are none."""
    name, curves = _curves(run, chosen, metric)
    if not curves:
        which = "no trial" if chosen is None else f"none of the trials {', '.join(chosen[:5]) or '(none given)'}"
        problem = f"{which} of {run.name!r:.100} version {run.version} ({run.verb}) has reported a finite value"
        raise InvalidArguments("reports()", [f"{problem}; training functions do with hopslite.report(value, step)"])
    return name, curves


def _curves(run: Run, chosen: list[str] | None, metric: str | None) -> tuple[str | None, dict[str, Any]]:
    """The name of a metric, and its finite reports: steps and values, by trial."""
    import numpy as np

    from .columns import within

    frame = run.reports()
    names = list(dict.fromkeys(frame["metric"]))
    if metric is not None and metric not in names:
        known = f"reported are {', '.join(names)}" if names else "nothing is reported"
        raise InvalidArguments(
            "reports()", [f"metric={metric!r}; {known}.{did_you_mean(metric, names, start=' Did you mean')}"]
        )
    name = metric or run.optimization_key
    name = name if name in names or not names else names[0]
    frame = frame[frame["metric"] == name]
    frame = frame[np.isfinite(frame["value"]) & np.isfinite(frame["step"])]
    if chosen is not None:
        frame = frame[frame["trial"].isin(chosen)]
    return name, {
        str(trial): (within(part["step"].to_numpy()), within(part["value"].to_numpy()))
        for trial, part in frame.groupby("trial", sort=True)
    }
