"""The cycles of a training: all are prepared before the first one trains, so that no mistake is met hours later."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras

from ..errors import InvalidConfiguration
from ._document import Path
from ._resolve import Resolver
from ._submodels import find_submodel, freeze, load_file, save_file, set_weights, trainable_flags, unfreeze
from ._trial_data import as_data, element_inputs
from ._trial_log import say
from .loops import KerasTrainLoop, TrainLoop

__all__ = ["Cycles"]

T = TypeVar("T")
OnEpoch = Callable[[int, dict[str, float]], object]


@dataclasses.dataclass(frozen=True)
class _Cycle:
    """One cycle with its objects."""

    index: int
    train: Any
    validation: Any
    model: Any
    loop: TrainLoop
    compiled: dict[str, Any]  # arguments of `model.compile`
    flags: list[tuple[Any, bool]]  # which layers are trainable without `freeze_submodels`
    where: Mapping[str, Path]


class Cycles:
    """The cycles of one configuration; undefined components are those of the cycle before.

    Args:
        resolver: the configuration, without axes.
        folder: the trial's directory.
        metrics: the names of those that the run optimises.
        on_epoch: called after each epoch with its number, counted over the cycles from 0, and its metrics by name.

    Raises:
        InvalidConfiguration: anything that can be known to be wrong before training.
    """

    def __init__(self, resolver: Resolver, folder: str, metrics: tuple[str, ...], on_epoch: OnEpoch) -> None:
        self._resolver, self._folder, self._metrics, self._on_epoch = resolver, folder, metrics, on_epoch
        self._cycles: list[_Cycle] = []
        self._models: dict[Path, Any] = {}  # by the place of their definition
        self._datasets: dict[Path, tuple[Any, Any]] = {}
        self._saved: dict[str, list[Any]] = {}  # weights of submodels by their names
        where: dict[str, Path] = {}
        for index, cycle in enumerate(resolver.document.values):
            where |= {key: (index, key) for key, value in cycle.items() if value is not None}
            self._cycles.append(self._prepared(index, dict(where)))
        self._check_metric()

    def run(self) -> dict[str, Any]:
        """Train all cycles; returns the last metrics by name, and the file of the trained model."""
        kept: tuple[Any, list[Any]] | None = None  # a model and its weights
        logs: dict[str, float] = {}
        epochs = 0
        for cycle in self._cycles:
            say(f"cycle {cycle.index + 1} of {len(self._cycles)}: {cycle.loop.num_epochs} epochs of {cycle.model.name}")
            if kept and cycle.loop.keep_weights and kept[0] is not cycle.model:
                fits = set_weights(cycle.model, kept[1])
                say("weights of the cycle before" if fits else "another model than before, whose weights are its own")
            logs = self._train(cycle, epochs)
            epochs += cycle.loop.num_epochs
            if cycle.loop.keep_weights:
                kept = (cycle.model, cycle.model.get_weights())
        return {**logs, "model": self._save(self._cycles[-1].model)}

    def _train(self, cycle: _Cycle, epochs: int) -> dict[str, float]:
        model, loop = cycle.model, cycle.loop
        unfreeze(cycle.flags)
        for name, file in loop.load:
            self._load(cycle, name, file)
        for name in loop.freeze_submodels:
            freeze(model, name)
        model.compile(**cycle.compiled)  # after freezing, which it takes into account
        logs = loop.run(model, cycle.train, cycle.validation, [*loop.callbacks, _Epochs(self._on_epoch, epochs)])
        for name in loop.save:
            submodel = find_submodel(model, name)
            self._saved[name] = submodel.get_weights()
            save_file(submodel, os.path.join(self._folder, "weights", f"{cycle.index + 1}-{name}.weights.h5"))
        return {str(name): float(value) for name, value in logs.items()}

    def _load(self, cycle: _Cycle, name: str, file: str | None) -> None:
        submodel = find_submodel(cycle.model, name) if name else cycle.model
        try:
            if file is not None:
                load_file(submodel, file)
            elif not set_weights(submodel, self._saved[name]):
                raise ValueError(f"the weights that were saved as {name!r} are of other shapes")
        except (ValueError, OSError) as error:
            raise self._problem(cycle.where["train_loop"], f"load: {error}") from error
        say(f"weights of {name or 'the model'}: {file or 'saved by an earlier cycle'}")

    def _save(self, model: Any) -> str:
        path = os.path.join(self._folder, "model.keras")
        try:
            model.save(path)
        except (NotImplementedError, TypeError, ValueError) as error:  # a class of the user's without get_config
            say(f"the model's weights are saved alone, since its class cannot be: {' '.join(str(error).split())[:200]}")
            path = os.path.join(self._folder, "model.weights.h5")
            save_file(model, path)
        return path

    def _problem(self, path: Path, text: str) -> InvalidConfiguration:
        return self._resolver.problem(path, text)

    def _made(self, where: Mapping[str, Path], key: str, default: Any = None) -> Any:
        if key not in where:
            return default
        path = where[key]
        return self._resolver.make(self._resolver.document.values[path[0]][key], path)

    def _attempt(self, path: Path, make: Callable[[], T]) -> T:
        """The value of `make`, whose errors are those of the configuration."""
        try:
            return make()
        except InvalidConfiguration:
            raise
        except (ValueError, TypeError, OSError) as error:
            raise self._problem(path, " ".join(str(error).split())) from error

    def _prepared(self, index: int, where: Mapping[str, Path]) -> _Cycle:
        loop = self._loop(index, where)
        train, validation = self._data(where)
        model = self._model(where, loop, train)
        compiled = self._compiled(index, where)
        self._attempt((index,), lambda: model.compile(**compiled))
        cycle = _Cycle(
            index, train, validation, model, loop, {**compiled, "run_eagerly": loop.run_eagerly},
            trainable_flags(model), {"train_loop": (index,), **where},
        )  # fmt: skip
        self._check_submodels(cycle)
        return cycle

    def _loop(self, index: int, where: Mapping[str, Path]) -> TrainLoop:
        loop = self._made(where, "train_loop")
        if loop is None:
            return KerasTrainLoop()
        if not isinstance(loop, TrainLoop):
            raise self._problem(
                where["train_loop"],
                f"a training loop is KerasTrainLoop, CustomTrainLoop or a subclass of one; this is {_kind(loop)}",
            )
        return loop

    def _data(self, where: Mapping[str, Path]) -> tuple[Any, Any]:
        path = where["datasets"]
        if path not in self._datasets:
            made = self._made(where, "datasets")
            self._datasets[path] = self._attempt(path, lambda: as_data(made))
        return self._datasets[path]

    def _model(self, where: Mapping[str, Path], loop: TrainLoop, train: Any) -> Any:
        """The model, built; that of an earlier cycle if it is defined there."""
        path = where["model"]
        if path in self._models and loop.keep_weights:
            return self._models[path]
        model = self._made(where, "model")
        if not isinstance(model, keras.Model):
            raise self._problem(path, f"a model is a keras.Model; this is {_kind(model)}")
        if not model.built:
            self._attempt(path, lambda: model(element_inputs(train)))
        if loop.keep_weights:
            self._models[path] = model
        return model

    def _compiled(self, index: int, where: Mapping[str, Path]) -> dict[str, Any]:
        metrics = self._made(where, "metrics")
        made = {
            "optimizer": self._made(where, "optimizer", "adam"),
            "loss": self._made(where, "loss"),
            "loss_weights": self._made(where, "loss_weights"),
            "metrics": metrics if metrics is None or isinstance(metrics, list | dict) else [metrics],
        }
        getters = {"optimizer": keras.optimizers.get, "loss": keras.losses.get, "metrics": keras.metrics.get}
        for key, get in getters.items():
            for item in made[key] if isinstance(made[key], list) else [made[key]]:
                if isinstance(item, str) and item not in ("accuracy", "acc", "crossentropy", "ce"):
                    self._attempt(where.get(key, (index,)), lambda item=item, get=get: get(item))  # type: ignore[misc]
        return made

    def _check_submodels(self, cycle: _Cycle) -> None:
        """Check the names of submodels, and that what is to be loaded is there."""
        path, loop = cycle.where["train_loop"], cycle.loop
        earlier = {name for before in self._cycles for name in before.loop.save}
        for key, names in (("freeze_submodels", loop.freeze_submodels), ("save", loop.save)):
            for name in names:
                self._attempt(path, lambda name=name, key=key: self._find(cycle.model, name, key))  # type: ignore[misc]
        for name, file in loop.load:
            if name:
                self._attempt(path, lambda name=name: self._find(cycle.model, name, "load"))  # type: ignore[misc]
            if file is None and name not in earlier:
                saved = f"saved are: {', '.join(sorted(earlier)) or 'none'}"
                raise self._problem(path, f"load: no earlier cycle saves {name!r}; {saved}. A file is [{name!r}, file]")
            if file is not None and not os.path.isfile(file):
                raise self._problem(path, f"load: there is no file {file!r}")

    @staticmethod
    def _find(model: Any, name: str, key: str) -> Any:
        try:
            return find_submodel(model, name)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None

    def _check_metric(self) -> None:
        """Check that the last cycle has the metric of the run, as far as its name is known before training."""
        cycle = self._cycles[-1]
        metrics = cycle.compiled["metrics"] or []
        if not isinstance(metrics, list) or not isinstance(cycle.loop, KerasTrainLoop):
            return
        names = ["loss", *(item if isinstance(item, str) else str(getattr(item, "name", "")) for item in metrics)]
        names = [name for name in names if name]
        known = [*names, *(f"val_{name}" for name in names if cycle.validation is not None)]
        is_single = not isinstance(cycle.compiled["loss"], list | dict)
        for missing in [name for name in self._metrics if is_single and name not in known]:
            has = "" if cycle.validation is not None else "; there are no validation data"
            raise self._problem(
                (cycle.index,), f"there is no metric {missing!r}; metrics: {', '.join(known)}{has}. Give --metric"
            )


class _Epochs(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls a function at the end of each epoch, counted over the cycles."""

    def __init__(self, on_epoch: OnEpoch, epochs: int) -> None:
        super().__init__()
        self._call, self._epochs = on_epoch, epochs

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._call(self._epochs + epoch, {name: float(value) for name, value in (logs or {}).items()})


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
