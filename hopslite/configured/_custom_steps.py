"""The epochs of a training with steps of one's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from ._trial_log import say

if TYPE_CHECKING:
    from .loops import CustomTrainLoop

__all__ = ["Steps"]

OUTPUTS = "outputs"


class Steps:
    """Runs a loop's steps over the batches of each epoch, with Keras's callbacks and the model's metrics."""

    def __init__(self, loop: CustomTrainLoop, model: Any, train: Any, validation: Any, callbacks: list[Any]) -> None:
        self._loop, self._model, self._train, self._validation = loop, model, train, validation
        self._callbacks = keras.callbacks.CallbackList(
            callbacks, model=model, epochs=loop.num_epochs, verbose=loop.verbose, steps=loop.num_train_steps
        )
        run = (lambda step: step) if loop.run_eagerly else tf.function
        self._train_step: Callable[..., Any] = run(self._on_train)
        self._valid_step: Callable[..., Any] = run(self._on_valid)

    def run(self) -> dict[str, float]:
        model, logs = self._model, dict[str, float]()
        model.stop_training = False
        self._build()
        self._callbacks.on_train_begin()
        for epoch in range(self._loop.num_epochs):
            self._callbacks.on_epoch_begin(epoch)
            logs = self._epoch(self._train, self._loop.num_train_steps, self._train_step, self._callbacks)
            if self._validation is not None and (epoch + 1) % self._loop.valid_freq == 0:
                values = self._epoch(self._validation, self._loop.num_valid_steps, self._valid_step, None)
                logs |= {f"val_{name}": value for name, value in values.items()}
            if self._loop.verbose:
                shown = " - ".join(f"{name}: {value:.4g}" for name, value in logs.items())
                say(f"Epoch {epoch + 1}/{self._loop.num_epochs} - {shown}")
            self._callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        self._callbacks.on_train_end(logs)
        return logs

    def _build(self) -> None:
        """Make the variables of the optimizer and of metrics, which cannot be made within a `tf.function`."""
        model = self._model
        batch = next(iter(self._train), None)
        if batch is None:
            raise ValueError("the training data has no batches")
        outputs = model(batch[0], training=False)
        self._loss(batch[1], outputs)
        model.compute_metrics(batch[0], batch[1], outputs)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)

    def _loss(self, targets: Any, outputs: Any) -> Any:
        return self._model.compute_loss(y=targets, y_pred=outputs)

    def _on_train(self, inputs: Any, targets: Any) -> Mapping[str, Any]:
        values = self._loop.train_step(self._model, inputs, targets, self._loss, self._model.optimizer)
        return self._measured(values, inputs, targets)

    def _on_valid(self, inputs: Any, targets: Any) -> Mapping[str, Any]:
        return self._measured(self._loop.valid_step(self._model, inputs, targets, self._loss), inputs, targets)

    def _measured(self, values: Mapping[str, Any], inputs: Any, targets: Any) -> Mapping[str, Any]:
        """The numbers that a step returned, after the model's metrics were updated with its outputs."""
        if OUTPUTS in values:
            self._model.compute_metrics(inputs, targets, values[OUTPUTS])
        return {name: value for name, value in values.items() if name != OUTPUTS}

    def _epoch(self, data: Any, steps: int | None, step: Callable[..., Any], callbacks: Any) -> dict[str, float]:
        """One pass over the data; the averages of what its steps return, and the metrics."""
        averages: dict[str, Any] = {}
        self._model.reset_metrics()
        for number, batch in enumerate(itertools.islice(data, steps)):
            if callbacks:
                callbacks.on_train_batch_begin(number)
            for name, value in step(batch[0], batch[1]).items():
                averages.setdefault(name, keras.metrics.Mean()).update_state(value)
            if callbacks:
                callbacks.on_train_batch_end(number, {name: float(mean.result()) for name, mean in averages.items()})
        if not averages:
            raise ValueError("the data has no batches, or the step returned no numbers")
        measured = {name: float(value) for name, value in self._model.get_metrics_result().items() if name != "loss"}
        return measured | {name: float(mean.result()) for name, mean in averages.items()}
