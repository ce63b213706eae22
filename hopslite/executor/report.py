"""`hopslite.report`: progress of a training function, and early stopping.

```python
import hopslite

def train(learning_rate):
    for epoch in range(20):
        ...
        hopslite.report(accuracy, step=epoch)
    return accuracy
```
"""

from __future__ import annotations

from typing import Any

from ..errors import ReportError
from .context import current_reporter

__all__ = ["report"]


def report(value: Any, step: float | None = None) -> None:
    """Report the running trial's metric, or several: for stoppers, for curves, and for the record.

    A report takes some microseconds and never waits for the network. In a distributed trial only the chief's reports
    count.

    >>> import hopslite
    >>> def train(lr):
    ...     for epoch in range(3):
    ...         hopslite.report(lr * epoch, step=epoch)
    ...     return lr * epoch
    >>> from hopslite import experiment
    >>> run = experiment.grid_search(train, {"lr": [0.1, 0.5]}, pool="inline", display=False)
    >>> run.best_params
    {'lr': 0.5}
    >>> def fit(lr):
    ...     for epoch in range(3):
    ...         hopslite.report({"accuracy": lr * epoch, "loss": 1 / (1 + epoch)}, step=epoch)
    ...     return {"accuracy": lr * epoch}
    >>> run = experiment.grid_search(fit, {"lr": [0.1]}, optimization_key="accuracy", pool="inline", display=False)
    >>> run.reports()["metric"].unique().tolist()
    ['accuracy', 'loss']

    Args:
        value: the current value of the optimised metric: any real number, also of NumPy, PyTorch, TensorFlow or JAX
            (0-d arrays and tensors); NaN counts as worse than any. Or a dict of such numbers by name, each of which
            becomes a curve of its own. The stopper gets the one that the run optimises (`optimization_key`); a report
            without it only draws curves. With the default key a dict with a single number needs no such name.
        step: the progress of the training, such as the epoch, from 0 on; it grows from report to report. Default: one
            more than the last step, from 0 on.

    Raises:
        ReportError: a value is not a number, a name is not a text, the step does not grow, or no trial runs here.
        TrialStopped: the trial is stopped early; a BaseException, which ends the training function.
    """
    reporter = current_reporter()
    if reporter is None:
        raise ReportError(
            "report(): no trial runs here; it is for use inside a training function that experiment.search(), "
            "grid_search() or another verb has started, or within `with experiment.start_run():`"
        )
    reporter.report(value, step)
