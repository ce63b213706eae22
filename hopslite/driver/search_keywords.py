"""The keywords that only searches have: early stopping, when a metric is good enough, what is known before.

They are declared as in `keywords`, which has the classes of the verbs.
"""

# Annotations are evaluated here, as they hold the declarations.
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from ..stop import Pruner, Stopper, StopperName
from . import checks
from .declarations import Keyword

__all__ = ["GoalOptions", "PriorOptions", "StoppingOptions"]

ReportAs = Literal["last", "best"]


class StoppingOptions(TypedDict, total=False):
    """Keywords for ending trials early."""

    stopper: Annotated[
        StopperName | Stopper | type[Stopper] | Pruner | None,
        Keyword(
            None,
            'a rule that ends trials early, by what they report: "median", "asha", "threshold", "patience", an '
            "object from `hopslite.stop`, or a pruner of Optuna's.",
        ),
    ]
    report_as: Annotated[
        ReportAs,
        Keyword(
            "last",
            'what counts as the metric of a trial that was stopped: its "last" or its "best" report.',
            checks.one_of(ReportAs),
            planned=True,
        ),
    ]
    stop_grace: Annotated[
        float,
        Keyword(
            10.0,
            "seconds that a trial has to make its next report, with which it is stopped; then it is killed.",
            checks.seconds(),
            planned=True,
        ),
    ]


class GoalOptions(TypedDict, total=False):
    """Keywords for ending a search when its metric is good enough."""

    target_metric: Annotated[
        float | None,
        Keyword(
            None,
            "the run ends as soon as a trial has this metric or a better one; running trials are KILLED.",
            checks.finite_number(optional=True),
            planned=True,
        ),
    ]
    no_improvement: Annotated[
        int | None,
        Keyword(
            None,
            "the run ends when the last so many trials that ended were not better than the best before them; running "
            "trials are KILLED.",
            checks.whole_number(1, optional=True),
            planned=True,
        ),
    ]


class PriorOptions(TypedDict, total=False):
    """Keywords for what a search knows before it begins."""

    initial_params: Annotated[
        Sequence[Mapping[str, Any]] | None,
        Keyword(
            None,
            "combinations to try first, as dicts of values by name; the algorithm adds the parameters that one lacks. "
            "They count among the trials.",
        ),
    ]
    warm_start: Annotated[
        Any,
        Keyword(
            None,
            "earlier trials that the algorithm knows from the beginning and does not run again: a run (its name, id or "
            "object), a list of runs, or a data frame or list of dicts with parameters and their metric.",
        ),
    ]
