"""Ablation study: the components that each trial leaves out, and the wrapped training function."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ..core import signatures
from ..errors import InvalidArguments
from ..result import Run
from ._check import model_problems
from ._keras import left_out
from ._parts import NOTHING, Components, Features, Group, Layers, Model
from ._ranking import KEYS, Ranking, rank

__all__ = ["AblationStudy", "study_of"]

REPORTER = "reporter"
NO_GROUP = Group()
FEATURE, LAYER, COMPONENT = KEYS
NO_GENERATOR = (
    "there is no dataset generator: Maggy read the training dataset from Hopsworks' feature store, which hopslite does "
    "not have; give a function that reads it, with AblationStudy(dataset_generator=...) or set_dataset_generator(); it "
    "gets ablated_feature=, the name of the feature to leave out, or None"
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    """Component that one trial leaves out: `label` is recorded under `key`."""

    key: str
    label: str
    group: Group = NO_GROUP
    custom: Callable[..., Any] | None = None


class AblationStudy:
    """Components to leave out, one at a time, in order to rank them.

    >>> study = AblationStudy(components={"augment": True, "dropout": 0.5})
    >>> study.trials()
    [{'ablated': 'None'}, {'ablated': 'augment'}, {'ablated': 'dropout'}]

    The training function gets the following arguments, as far as it accepts them: `components`, a dict of the
    remaining components; `model_function`, which builds the Keras model without the layers that this trial leaves out;
    `dataset_function`, which calls the dataset generator with `ablated_feature=`; `hparams`, the record of what this
    trial leaves out; `reporter`.

    Args:
        training_dataset_name, training_dataset_version, label_name: only recorded; Maggy used them to find the dataset.
        dataset_generator: a function that returns the dataset without the feature `ablated_feature`, or with all
            features if it is None; the training function passes its other arguments.
        components: values of any kind by name, each of which is left out once.
        check_model: whether the names of layers are checked before any trial starts. For this the base model is
            built in another process, which takes some seconds. If false, each trial checks its own names.
    """

    def __init__(
        self,
        training_dataset_name: str | None = None,
        training_dataset_version: int | None = None,
        label_name: str | None = None,
        dataset_generator: Callable[..., Any] | None = None,
        *,
        components: Mapping[str, Any] | None = None,
        check_model: bool = True,
    ) -> None:
        self.training_dataset_name = training_dataset_name
        self.training_dataset_version = training_dataset_version
        self.label_name = label_name
        self.check_model = check_model
        self.features = Features()
        self.model = Model()
        self.components = Components()
        self.dataset_generator: Callable[..., Any] | None = None
        if dataset_generator is not None:
            self.set_dataset_generator(dataset_generator)
        if components is not None:
            self.components.include(components)

    def set_dataset_generator(self, dataset_generator: Callable[..., Any]) -> None:
        """The function that returns the dataset without the feature `ablated_feature`."""
        if not callable(dataset_generator):
            raise InvalidArguments(
                "set_dataset_generator()", [f"given {dataset_generator!r}; give the function that makes the dataset"]
            )
        self.dataset_generator = dataset_generator

    def to_dict(self) -> dict[str, Any]:
        """The study in plain values, for the record."""
        layers = self.model.layers
        return {
            "training_dataset_name": self.training_dataset_name,
            "training_dataset_version": self.training_dataset_version,
            "label_name": self.label_name,
            "included_features": list(self.features.included),
            "included_layers": list(layers.included),
            "included_layer_groups": [group.label(layers.WHAT) for group in layers.groups],
            "custom_models": [identifier for _, identifier in self.model.custom_model_generators],
            "custom_dataset_generator": self.dataset_generator is not None,
            "components": list(self.components.included),
            "component_groups": [group.label(self.components.WHAT) for group in self.components.groups],
        }

    def trials(self) -> list[dict[str, Any]]:
        """The hyperparameters of each trial: the base first, which leaves out nothing.

        Raises:
            InvalidArguments: the study includes nothing, or two parts have the same name.
        """
        entries = self._entries()
        labels = Counter((entry.key, entry.label) for entry in entries)
        wrong = [f"two things to leave out are called {label!r}" for (_, label), count in labels.items() if count > 1]
        if not entries:
            wrong.append(
                "there is nothing to leave out; give components=, features.include(), model.layers.include(), "
                "include_groups() or add_custom_model_generator()"
            )
        if wrong:
            raise InvalidArguments("the ablation study", wrong)
        base = dict.fromkeys(self._keys(entries), NOTHING)
        return [base, *({**base, entry.key: entry.label} for entry in entries)]

    def wrap(self, train_fn: Callable[..., Any]) -> Callable[..., Any]:
        """The training function, to be called with the hyperparameters of a trial.

        Raises:
            InvalidArguments: it cannot work; the message lists all problems known so far.
        """
        wrong = self._problems(train_fn) if callable(train_fn) else []
        base = self.model.base_model_generator
        if not wrong and base is not None and self.check_model and callable(train_fn):
            groups = [entry.group for entry in self._entries() if entry.key == LAYER and entry.custom is None]
            wrong = model_problems(base, groups)
        if wrong:
            raise InvalidArguments("the ablation study", wrong)
        return _Ablated(train_fn, self)

    @staticmethod
    def rank(run: Run) -> Ranking:
        """Ranking of the components by the cost of leaving them out."""
        return rank(run)

    def _entries(self) -> list[_Entry]:
        """The components of all trials except the base trial."""
        layers, components = self.model.layers, self.components
        return [
            *(_Entry(FEATURE, name) for name in self.features.included),
            *(_Entry(LAYER, name, Group((name,))) for name in layers.included),
            *(_Entry(LAYER, group.label(layers.WHAT), group) for group in layers.groups),
            *(_Entry(LAYER, f"Custom model: {name}", custom=fn) for fn, name in self.model.custom_model_generators),
            *(_Entry(COMPONENT, name, Group((name,))) for name in components.included),
            *(_Entry(COMPONENT, group.label(components.WHAT), group) for group in components.groups),
        ]

    @staticmethod
    def _keys(entries: list[_Entry]) -> list[str]:
        """Keys of the hyperparameters; studies of models or datasets always have both of Maggy's keys."""
        used = {entry.key for entry in entries}
        return [key for key in KEYS if key in used or (key != COMPONENT and used & {FEATURE, LAYER})]

    def _problems(self, train_fn: Callable[..., Any]) -> list[str]:
        takes = signatures.parameters(train_fn)
        name = getattr(train_fn, "__name__", type(train_fn).__name__)
        used = {entry.key for entry in self._entries()}
        wrong = []
        for key, parameter, parts in (
            (FEATURE, "dataset_function", "features"),
            (LAYER, "model_function", "layers"),
            (COMPONENT, "components", "components"),
        ):
            if key in used and not takes.takes(parameter):
                wrong.append(f"{name}() has no parameter {parameter}, so that leaving out {parts} would change nothing")
        known = ("dataset_function", "model_function", "components", "hparams", REPORTER)
        unknown = [argument for argument in takes.required if argument not in known]
        if unknown:
            wrong.append(f"{name}() takes {', '.join(unknown)}; an ablation study gives {', '.join(known)}")
        if self.dataset_generator is None and (FEATURE in used or "dataset_function" in takes.names):
            wrong.append(NO_GENERATOR)
        elif self.dataset_generator is not None and FEATURE in used:
            generator = self.dataset_generator
            if not signatures.parameters(generator).takes("ablated_feature"):
                called = getattr(generator, "__name__", "the dataset generator")
                wrong.append(
                    f"{called}() has no parameter ablated_feature, so that leaving out features changes nothing"
                )
        if self.model.base_model_generator is None and (LAYER in used or "model_function" in takes.names):
            wrong.append("there is no base model; give the function that builds it to model.set_base_model_generator()")
        return [*wrong, *_group_problems(self.components)]


def _group_problems(components: Components) -> list[str]:
    wrong = []
    for group in components.groups:
        unknown = [name for name in group.names if name not in components.included]
        if unknown or not group.members(components.included):
            which = ", ".join(unknown) or f"anything with the prefix {group.prefix!r}"
            wrong.append(f"a group names {which}; the components are {', '.join(components.included) or 'none'}")
    return wrong


class _Ablated:
    """Training function that is called without the components that a trial leaves out."""

    __name__: str
    __wrapped__: Callable[..., Any]

    def __init__(self, train_fn: Callable[..., Any], study: AblationStudy) -> None:
        entries = study._entries()
        self._entries = {(entry.key, entry.label): entry for entry in entries}
        self._base = study.model.base_model_generator
        self._generator = study.dataset_generator
        self._components = dict(study.components.values)
        takes = signatures.parameters(train_fn)
        names = [*study._keys(entries), *([REPORTER] if REPORTER in takes.names else [])]
        signatures.wrapped(self, train_fn, *names)

    def __call__(self, **params: Any) -> Any:
        fn = self.__wrapped__
        reporter = {REPORTER: params.pop(REPORTER)} if REPORTER in params else {}
        left = {key: self._entries.get((key, label)) for key, label in params.items() if label != NOTHING}
        unknown = [params[key] for key, entry in left.items() if entry is None]
        if unknown:
            raise InvalidArguments("the ablation study", [f"it does not include {', '.join(map(repr, unknown))}"])
        offered = {"hparams": dict(params), **reporter}
        if self._generator is not None:
            offered["dataset_function"] = self._dataset_function(left.get(FEATURE))
        if self._base is not None or left.get(LAYER) is not None:
            offered["model_function"] = self._model_function(left.get(LAYER))
        if self._components:
            offered["components"] = self._left_in(left.get(COMPONENT))
        return fn(**signatures.parameters(fn).choose(offered))

    def _dataset_function(self, entry: _Entry | None) -> Callable[..., Any]:
        generator = self._generator
        assert generator is not None
        if not signatures.parameters(generator).takes("ablated_feature"):
            return generator
        return functools.partial(generator, ablated_feature=entry.label if entry is not None else None)

    def _model_function(self, entry: _Entry | None) -> Callable[..., Any]:
        base = self._base
        if entry is not None and entry.custom is not None:
            return entry.custom
        assert base is not None
        if entry is None:
            return base
        group = entry.group

        def model_function(*args: Any, **kwargs: Any) -> Any:
            return left_out(base(*args, **kwargs), group)

        return model_function

    def _left_in(self, entry: _Entry | None) -> dict[str, Any]:
        gone = entry.group.members(self._components) if entry is not None else ()
        return {name: value for name, value in self._components.items() if name not in gone}


def study_of(given: Any) -> AblationStudy:
    """The study itself, or the counterpart of an object of Maggy's `AblationStudy`.

    Raises:
        InvalidArguments: the object is neither of these.
    """
    if isinstance(given, AblationStudy):
        return given
    features: Any = getattr(given, "features", None)
    model: Any = getattr(given, "model", None)
    layers: Any = getattr(model, "layers", None)
    if not hasattr(features, "included_features") or not hasattr(layers, "included_layers"):
        raise InvalidArguments("the ablation study", [f"given {given!r}; give a hopslite.ablation.AblationStudy"])
    study = AblationStudy(
        getattr(given, "hops_training_dataset_name", None),
        getattr(given, "hops_training_dataset_version", None),
        getattr(given, "label_name", None),
        getattr(given, "custom_dataset_generator", None) or None,
    )
    study.features.include(sorted(features.included_features))
    study.model.layers.include(sorted(layers.included_layers))
    for names in sorted(getattr(layers, "included_groups", ()), key=sorted):
        _take_group(study.model.layers, sorted(names))
    if getattr(model, "base_model_generator", None):
        study.model.set_base_model_generator(model.base_model_generator)
    for generator, identifier in getattr(model, "custom_model_generators", ()):
        study.model.add_custom_model_generator(generator, identifier)
    return study


def _take_group(layers: Layers, names: list[str]) -> None:
    """Add a group of Maggy's, in which a group of one name is a prefix."""
    if len(names) == 1:
        layers.include_groups(prefix=names[0])
    else:
        layers.include_groups(names)
