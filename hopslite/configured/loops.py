"""Training loops for configurations: that of Keras, and one with a step of one's own."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

__all__ = ["CustomTrainLoop", "KerasTrainLoop", "TrainLoop"]

Load = str | Sequence[Any] | Mapping[str, str | None] | None


class TrainLoop:
    """Base of training loops: a cycle's length, its callbacks, and submodels that are frozen, saved and loaded.

    A loop of your own is a subclass with `run`, with the decorator `export_config`.

    Args:
        num_epochs: how often all training data is seen.
        num_train_steps: batches of an epoch; default: all.
        num_valid_steps: batches of a validation; default: all.
        valid_freq: epochs between validations.
        callbacks: Keras callbacks; what they write goes into the trial's directory.
        verbose: what is printed: 0 nothing, 1 a bar, 2 a line for each epoch.
        run_eagerly: whether steps run without being compiled, to find a mistake in them.
        freeze_submodels: names of submodels whose weights stay as they are in this cycle; `base_model@block_1` is one
            inside of another.
        save: names of submodels whose weights are kept at the end of the cycle, for `load` of later cycles, and as
            files in the trial's directory.
        load: submodels that get weights before the cycle: a list of names (what an earlier cycle saved under the
            name), of `[name, file]`, or a mapping of files by name; a text is a file for the whole model (.weights.h5,
            .h5).
        keep_weights: whether the cycle begins with the weights of the one before and leaves its own to the next one.
        num_steps, save_submodels, pretrained_weights, save_dir, force_gc: ktf's names: of `num_train_steps`, `save` and
            `load`; `"save_dir": null` is `keep_weights` false (another folder is not used, weights stay with the
            trial); `force_gc` collects Python's garbage after each epoch.
    """

    def __init__(
        self,
        *,
        num_epochs: int = 10,
        num_train_steps: int | None = None,
        num_valid_steps: int | None = None,
        valid_freq: int = 1,
        callbacks: Any = None,
        verbose: int = 2,
        run_eagerly: bool = False,
        freeze_submodels: Sequence[str] = (),
        save: Sequence[str] = (),
        load: Load = None,
        keep_weights: bool = True,
        num_steps: int | None = None,
        save_submodels: Sequence[str] = (),
        pretrained_weights: Load = None,
        save_dir: str | None = "",
        force_gc: bool = False,
    ) -> None:
        self.num_epochs = _count("num_epochs", num_epochs)
        steps = num_steps if num_train_steps is None else num_train_steps
        self.num_train_steps = None if steps is None else _count("num_train_steps", steps)
        self.num_valid_steps = None if num_valid_steps is None else _count("num_valid_steps", num_valid_steps)
        self.valid_freq = _count("valid_freq", valid_freq)
        self.callbacks = [] if callbacks is None else callbacks if isinstance(callbacks, list) else [callbacks]
        if wrong := [item for item in self.callbacks if not isinstance(item, keras.callbacks.Callback)]:
            raise ValueError(f"callbacks are Keras callbacks; given {wrong[0]!r}")
        self.verbose, self.run_eagerly = verbose, run_eagerly
        self.freeze_submodels = _names("freeze_submodels", freeze_submodels)
        self.save = _names("save", [*save, *save_submodels])
        self.load = _loads(load if load is not None else pretrained_weights)
        self.keep_weights = keep_weights and save_dir is not None
        if force_gc:
            self.callbacks.append(_CollectGarbage())

    def run(self, model: Any, train: Any, validation: Any, callbacks: list[Any]) -> dict[str, float]:
        """Train a compiled model; `train` and `validation` are data sets, the latter or None.

        Returns:
            The last metrics by name, those of the validation with `val_` before their names.
        """
        raise NotImplementedError(f"{type(self).__name__} has no run()")


class KerasTrainLoop(TrainLoop):
    """Training with Keras's own loop, `model.fit`. The arguments are those of `TrainLoop`."""

    def run(self, model: Any, train: Any, validation: Any, callbacks: list[Any]) -> dict[str, float]:
        """Train with `fit`."""
        history = model.fit(
            train,
            epochs=self.num_epochs,
            steps_per_epoch=self.num_train_steps,
            validation_data=validation,
            validation_steps=self.num_valid_steps if validation is not None else None,
            validation_freq=self.valid_freq,
            callbacks=callbacks,
            verbose=self.verbose,
        )
        logs = {name: float(values[-1]) for name, values in history.history.items() if values}
        if validation is not None and any(getattr(item, "restore_best_weights", False) for item in callbacks):
            final = model.evaluate(validation, steps=self.num_valid_steps, verbose=0, return_dict=True)
            logs |= {f"val_{name}": float(value) for name, value in final.items()}
        return logs


Step = Callable[..., Any]


class CustomTrainLoop(TrainLoop):
    """Training with a step of one's own, compiled as a `tf.function`.

    >>> @export_config                                                            # doctest: +SKIP
    ... def clipped_step(model, inputs, targets, loss, optimizer):
    ...     with tf.GradientTape() as tape:
    ...         outputs = model(inputs, training=True)
    ...         value = loss(targets, outputs)
    ...     gradients = tape.gradient(value, model.trainable_variables)
    ...     gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
    ...     optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    ...     return {"loss": value}

    In a configuration: `{"hopslite.configured.CustomTrainLoop": {"step": "${clipped_step}", "num_epochs": 5}}`. A
    subclass may define `train_step` and `valid_step` instead. Both return numbers by name, or the loss alone, which are
    averaged over the epoch; `"outputs"` beside them are the model's outputs, with which its metrics are updated.

    Args:
        step: a function of the model, one batch of inputs and targets, the loss function and the optimizer, which
            changes the weights; default: the gradient of the loss.
        valid_step: a function of the model, inputs, targets and the loss function; default: the loss.
        options: the arguments of `TrainLoop`.
    """

    def __init__(self, step: Step | None = None, valid_step: Step | None = None, **options: Any) -> None:
        super().__init__(**options)
        for name, function in (("step", step), ("valid_step", valid_step)):
            if function is not None and not callable(function):
                raise ValueError(f'{name} is a function, such as "${{my_step}}"; given {function!r}')
        self._step, self._valid_step = step, valid_step

    def train_step(self, model: Any, inputs: Any, targets: Any, loss: Any, optimizer: Any) -> Mapping[str, Any]:
        """One step of training; returns numbers by name, and the model's `outputs` for its metrics."""
        import tensorflow as tf

        if self._step is not None:
            return _by_name(self._step(model, inputs, targets, loss, optimizer))
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            value = loss(targets, outputs)
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return {"loss": value, "outputs": outputs}

    def valid_step(self, model: Any, inputs: Any, targets: Any, loss: Any) -> Mapping[str, Any]:
        """One step of validation; returns as `train_step` does."""
        if self._valid_step is not None:
            return _by_name(self._valid_step(model, inputs, targets, loss))
        outputs = model(inputs, training=False)
        return {"loss": loss(targets, outputs), "outputs": outputs}

    def run(self, model: Any, train: Any, validation: Any, callbacks: list[Any]) -> dict[str, float]:
        """Train epoch by epoch."""
        from ._custom_steps import Steps

        return Steps(self, model, train, validation, callbacks).run()


class _CollectGarbage(keras.callbacks.Callback):  # type: ignore[misc]
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        gc.collect()


def _by_name(returned: Any) -> Mapping[str, Any]:
    return returned if isinstance(returned, Mapping) else {"loss": returned}


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is a whole number from 1; given {value!r}")
    return value


def _names(name: str, values: Any) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(value, str) and value for value in values):
        raise ValueError(f'{name} is a list of names of submodels, such as ["base_model"]; given {values!r}')
    return tuple(values)


def _loads(load: Load) -> tuple[tuple[str, str | None], ...]:
    """Submodels with their files, None for what an earlier cycle saved; the name of the whole model is empty."""
    if load is None:
        return ()
    if isinstance(load, str):
        return (("", load),)
    items = list(load.items()) if isinstance(load, Mapping) else load
    pairs = [(item, None) if isinstance(item, str) else tuple(item) for item in items]
    for pair in pairs:
        if len(pair) != 2 or not isinstance(pair[0], str) or not isinstance(pair[1], str | None):
            raise ValueError(f'load is a list of names or of [name, file], such as ["base_model"]; given {load!r}')
    return tuple((str(name), file) for name, file in pairs)
