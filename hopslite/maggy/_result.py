"""Result of `lagom`: Maggy's dict, with the run as an attribute."""

from __future__ import annotations

import json
from typing import Any

from ..core import formatting
from ..core.types import Direction, State, json_safe
from ..result import Run, Trial

__all__ = ["LagomResult", "lagom_result"]


class LagomResult(dict[str, Any]):
    """Maggy's result, a dict; `run` is hopslite's `Run`, with all other information.

    Keys after a search or an ablation study: `best_id`, `best_val`, `best_config`, the same with `worst_`, `avg`,
    `metric_list`, `num_trials`, `early_stopped` and `trial_id` (of the first trial); failed trials have no metric and
    do not count. After distributed training: `test result`. After a single run: the returned value.
    """

    run: Run
    title: str

    def __init__(self, values: dict[str, Any], run: Run, title: str = "") -> None:
        super().__init__(values)
        self.run = run
        self.title = title

    def __reduce__(self) -> tuple[Any, ...]:
        return (LagomResult, (dict(self), self.run, self.title))

    def lines(self) -> list[str]:
        """Lines of Maggy's summary of a search; for other runs one line with the result."""
        total = f"Total job time {formatting.duration(self.run.duration)}"
        if "best_id" not in self:
            return [f"Result: {dict(self)}", total, "Finished experiment."]
        direction = "max" if self.run.direction is Direction.MAX else "min"
        return [
            f"------ {self.title} Results ------ direction({direction})",
            f"BEST combination {_json(self['best_config'])} -- metric {self['best_val']}",
            f"WORST combination {_json(self['worst_config'])} -- metric {self['worst_val']}",
            f"AVERAGE metric -- {self['avg']}",
            f"EARLY STOPPED Trials -- {self['early_stopped']}",
            total,
            "Finished experiment.",
        ]


def _json(params: dict[str, Any]) -> str:
    return json.dumps(json_safe(params))


def lagom_result(run: Run, title: str, kind: str, hidden: tuple[str, ...] = ()) -> LagomResult:
    """Maggy's form of a run.

    Args:
        title: Maggy's name of the optimizer.
        kind: search, ablation, distributed or launch.
        hidden: parameters that the training function did not get.
    """
    if kind in ("search", "ablation"):
        return LagomResult(_of_search(run, hidden), run, title)
    outputs = {key: value for key, value in (run.trials[0].outputs or {}).items() if key != "log"} if run.trials else {}
    if kind == "distributed":
        return LagomResult({"test result": _test_result(outputs)}, run, title)
    return LagomResult(outputs, run, title)


def _test_result(outputs: dict[str, Any]) -> Any:
    """The metric, or the only value, or all of them."""
    if "metric" in outputs:
        return outputs["metric"]
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _of_search(run: Run, hidden: tuple[str, ...]) -> dict[str, Any]:
    measured = [(trial, trial.metric) for trial in run.trials if trial.metric is not None]
    if not measured:
        return {"best_val": "n.a.", "num_trials": 0, "early_stopped": 0}
    sign = 1.0 if run.direction is Direction.MAX else -1.0
    best, best_val = max(measured, key=lambda pair: sign * pair[1])  # as in Maggy, whatever their budgets
    worst, worst_val = min(measured, key=lambda pair: sign * pair[1])
    metrics = [metric for _, metric in measured]

    def config(trial: Trial) -> dict[str, Any]:
        return {name: value for name, value in trial.params.items() if name not in hidden}

    return {
        "best_id": best.id,
        "best_val": best_val,
        "best_config": config(best),
        "worst_id": worst.id,
        "worst_val": worst_val,
        "worst_config": config(worst),
        "avg": sum(metrics) / len(metrics),
        "metric_list": metrics,
        "num_trials": len(metrics),
        "early_stopped": sum(trial.state is State.STOPPED for trial in run.trials),
        "trial_id": measured[0][0].id,
    }
