"""Keras callbacks that report metrics, for training functions; for Keras 3 (`keras`, `tf.keras`) and `tf_keras`.

```python
from hopslite.callbacks import KerasEpochEnd

def train(learning_rate):
    ...
    model.fit(x, y, epochs=20, validation_data=(x_test, y_test), callbacks=[KerasEpochEnd(metric="val_accuracy")])
```
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from .core.suggestions import did_you_mean
from .errors import ReportError
from .executor.context import current_reporter
from .executor.report import report

__all__ = ["KerasBatchEnd", "KerasEpochEnd"]


def _unused(*args: Any, **kwargs: Any) -> None:
    """Callback hook without an effect."""


_unused._is_default = True  # type: ignore[attr-defined]  # so that Keras 3 does not wait for it after each batch


class _Callback:
    """Interface of callbacks in all versions of Keras; a base class of Keras would have to be imported."""

    batches = False  # true if the hook at the end of a batch has an effect
    async_safe = False  # Keras 3 would call it from several threads, which could swap reports
    _supports_tf_logs = False  # so that tf_keras passes numbers

    def __init__(self, reporter: Any, metric: str, all_logs: bool) -> None:
        if isinstance(reporter, str):
            raise ReportError(f"{type(self).__name__}({reporter!r}): the metric has a name: metric={reporter!r}")
        self.metric = metric
        self.model: Any = None
        self.params: dict[str, Any] = {}
        self._report: Callable[[Any, int], None] = report if reporter is None else reporter.report
        self._reporter, self._all_logs = reporter, all_logs
        self._offset, self._last = 0, -1

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return _unused
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def set_model(self, model: Any) -> None:
        self.model = model

    def _implements_train_batch_hooks(self) -> bool:
        return self.batches

    def _implements_test_batch_hooks(self) -> bool:
        return False

    def _implements_predict_batch_hooks(self) -> bool:
        return False

    def _pass_on(self, step: int, logs: Mapping[str, Any] | None) -> None:
        value: Any = self._value(logs or {})
        if self._all_logs:
            value = self._metrics(logs or {}, value)
        self._last = step
        self._report(value, step)

    def _value(self, logs: Mapping[str, Any]) -> float:
        if self.metric in logs:
            return float(logs[self.metric])
        logged = ", ".join(map(repr, sorted(logs))) or "nothing"
        hint = did_you_mean(self.metric, logs, start=" Did you mean")
        if self.metric.startswith("val_") and not any(name.startswith("val_") for name in logs):
            hint = (
                " Metrics with val_ need validation_data or validation_split in fit(); where fit() is given "
                "validation_freq, give it here, too."
            )
        raise ReportError(f"{type(self).__name__}(metric={self.metric!r}): Keras logged {logged}.{hint}")

    def _metrics(self, logs: Mapping[str, Any], value: float) -> dict[str, Any]:
        """All logs by name, the metric under the name of the one that the run optimises."""
        reporter = self._reporter if self._reporter is not None else current_reporter()
        reported = getattr(reporter, "reported", None)
        if getattr(reported, "objectives", ()):  # each under its own name
            return dict(logs)
        key = getattr(reported, "key", self.metric)
        if key in logs and key != self.metric:
            raise ReportError(
                f"{type(self).__name__}(metric={self.metric!r}, all_logs=True): the run optimises {key!r}, which Keras "
                f"logs, too; give metric={key!r}, or another optimization_key to the verb"
            )
        return {key: value, **{name: item for name, item in logs.items() if name != self.metric}}


class KerasEpochEnd(_Callback):
    """Report a metric at the end of each epoch, with the epoch as the step.

    A second `fit` with the same callback goes on counting where the first one ended. A metric that Keras does not log
    is a `ReportError` that lists what it logs.

    Args:
        reporter: what the training function got as its parameter `reporter`; default: `hopslite.report`.
        metric: the metric's name in Keras's logs.
        validation_freq: where `fit` is given it, the same here: the other epochs have no validation metrics.
        all_logs: report all that Keras logs, each under its name; `metric` is reported as the metric that the run
            optimises, whatever the latter's name.
    """

    def __init__(
        self,
        reporter: Any = None,
        metric: str = "val_loss",
        *,
        validation_freq: int | Sequence[int] = 1,
        all_logs: bool = False,
    ) -> None:
        super().__init__(reporter, metric, all_logs)
        self._validation_freq = validation_freq

    def on_train_begin(self, logs: Any = None) -> None:
        self._offset = -1  # until the first epoch's number is known

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._offset < 0:
            self._offset = self._last + 1 if epoch <= self._last else 0
        if self.metric not in (logs or {}) and self.metric.startswith("val_") and not self._validates(epoch + 1):
            return
        self._pass_on(self._offset + epoch, logs)

    def _validates(self, epoch: int) -> bool:
        """True if `fit` validates after an epoch, counted from 1."""
        freq = self._validation_freq
        return epoch in freq if isinstance(freq, Container) else epoch % freq == 0


class KerasBatchEnd(_Callback):
    """Report a metric after each batch, with the number of batches so far, over all epochs, as the step.

    A metric that Keras does not log is a `ReportError` that lists what it logs.

    Args:
        reporter: what the training function got as its parameter `reporter`; default: `hopslite.report`.
        metric: the metric's name in Keras's logs.
        all_logs: as for `KerasEpochEnd`.
    """

    batches = True

    def __init__(self, reporter: Any = None, metric: str = "loss", *, all_logs: bool = False) -> None:
        super().__init__(reporter, metric, all_logs)
        self._lock = threading.Lock()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._offset = self._last + 1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        with self._lock:
            step = self._offset + batch
            if step > self._last:  # a callback that is not in a list is called from several threads by Keras 3
                self._pass_on(step, logs)
