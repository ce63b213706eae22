"""Prepared view of an experiment in MLflow: all trials, the best first, with columns for metric and parameters.

MLflow's pages have a state (columns, order, filter) that can be shared under a key. It is a tag of the experiment, so
that it can be written without a browser and is there for everybody who opens the address with that key. MLflow 3.17
lists it among "Views" if it has a name; earlier versions, to 3.1, read the same state from the top level of the tag.
MLflow shows trials below their run, collapsed, as long as runs are sorted by their start (`attributes.start_time`);
which runs are expanded is not taken from a shared view. Sorted by anything else, all trials are visible.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.objectives import objectives_in
from ..core.types import Direction, metric_name
from ._mlflow_keys import key_of

__all__ = ["PREPARED_VIEW", "VIEW_TAG", "is_replaceable", "prepared_view"]

PREPARED_VIEW = "hopslite"  # key of the view in addresses, and its name
VIEW_TAG = f"mlflow.sharedViewState.{PREPARED_VIEW}"
MOST_COLUMNS = 40
LONGEST = 5000  # characters of a tag of an experiment, which some of these versions refuse beyond that
STATE = ("hopslite.state", "hopslite.version")
# All of the state's keys: MLflow 3.1 takes it as it is, without defaults.
DEFAULTS: dict[str, Any] = {
    "searchFilter": "",
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "modelVersionFilter": "All Runs",
    "datasetsFilter": [],
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
    "runsVisibilityMap": {},
    "runsHiddenMode": "FIRST_20_RUNS",
    "viewMaximized": False,
    "runListHidden": False,
    "isAccordionReordered": False,
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "groupBy": None,
    "groupsExpanded": {},
    "autoRefreshEnabled": True,
    "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
}


def prepared_view(data: Mapping[str, Any], started: float, metric: str | None, params: Iterable[str]) -> str:
    """Value of the experiment's tag with the view for a run.

    Args:
        data: the run's record.
        started: when the run began, in seconds since the epoch.
        metric: name under which trials have the metric, if one has ended.
        params: names of hyperparameters of trials, for runs without a space.
    """
    objectives = objectives_in(data.get("objectives"))
    metrics = [objective.name for objective in objectives]
    direction = objectives[0].direction if objectives else data.get("direction")  # None of a single training
    metrics = metrics or [metric or metric_name(data.get("optimization_key"), None)]
    space = data.get("space")
    names = space if isinstance(space, Mapping) and space else params
    order = {"orderByKey": f"metrics.`{key_of(metrics[0])}`", "orderByAsc": direction == Direction.MIN}
    time = int(started * 1000)
    head = {"name": PREPARED_VIEW, "createdAt": time, "updatedAt": time}
    params = list(names)
    views = (_view(head, {**DEFAULTS, **order}, _columns(metrics, params, most)) for most in range(MOST_COLUMNS, 0, -1))
    return next((view for view in views if len(view) <= LONGEST), _view(head, {**DEFAULTS, **order}, []))


def _view(head: Mapping[str, Any], state: Mapping[str, Any], columns: Sequence[str]) -> str:
    state = {**state, "selectedColumns": columns}
    return json.dumps({**head, "state": json.dumps(state), **state})


def _columns(metrics: Sequence[str], params: Sequence[str], most: int) -> list[str]:
    columns = [f"metrics.`{key_of(name)}`" for name in metrics]
    columns += [f"params.`{key_of(name)}`" for name in params]
    return ["attributes.`Duration`", *columns[:most], *(f"tags.`{name}`" for name in STATE)]


def is_replaceable(known: str | None, view: str) -> bool:
    """True if a view may replace the experiment's: it is of a later run, and no user has changed the known one."""
    try:
        earlier = json.loads(known or "{}")
        changed = earlier.get("updatedAt") != earlier.get("createdAt")
        return known != view and not changed and (earlier.get("createdAt") or 0) <= json.loads(view)["createdAt"]
    except (ValueError, AttributeError, TypeError):
        return False  # it is not ours
