"""Process that estimates the importance of a run's parameters, so that the server goes on meanwhile."""

from __future__ import annotations

import json
import os
import sys

import numpy as np

from ..core import extras
from ..errors import HopsliteError
from ..figures.data import View
from ..figures.importance import fewest, importances
from ..runs.lookup import read
from ..storage.project import Project

__all__ = ["main"]

BARS = 20  # parameters at most
NICENESS = 10


def main() -> int:
    """Estimate for the run whose project and id come by standard input, and print it as JSON."""
    os.nice(NICENESS)
    project, run_id = json.loads(sys.stdin.buffer.read())
    try:
        answer = _estimate(Project(project), run_id)
    except HopsliteError as error:
        answer = {"problem": str(error)}
    sys.stdout.write(json.dumps(answer))
    return 0


def _estimate(project: Project, run_id: str) -> dict[str, object]:
    extras.require("plots", "the importance of parameters")
    run = read(project, project.sub("Experiments", run_id))
    view = View.of(run, run._space if isinstance(run._space, dict) else {}, "importance")
    columns, needed = view.columns, fewest(len(view.columns))
    if not columns:
        return {"problem": "The trials have no parameters."}
    if len(view.trials) < needed:
        return {"problem": f"{len(view.trials)} trials with a metric say too little: {needed} are needed."}
    if np.ptp(view.metrics) == 0:
        return {"problem": "All metrics are equal: nothing can matter."}
    measured = importances(columns, view.metrics, forests=4)
    if measured.is_chance:
        return {"problem": "The trials do not suffice: the parameters predict the metric no better than chance would."}
    order = np.argsort(-measured.mean, kind="stable")[:BARS]
    bars = [[columns[at].name, round(float(measured.mean[at]), 4)] for at in order]
    return {"problem": "", "bars": bars, "explained": round(measured.explained, 4)}
