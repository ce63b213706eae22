"""Checks of a configuration before anything is imported: its form, the names it uses, and their arguments."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..core.plain_values import short
from ..core.suggestions import closest, did_you_mean
from ._allowed import ALIASES, OWN, Names, Target, is_dotted
from ._axes import BUDGET_REFERENCE, NAME, VALUES_OF, is_axis
from ._document import Document, Path
from ._source import Arguments, arguments_of

__all__ = ["COMPONENTS", "INPUT", "REFERENCE", "check_document", "object_name"]

COMPONENTS = {  # of a cycle, with what each is
    "datasets": "the training and the validation data",
    "model": "a Keras model",
    "loss": "a loss",
    "loss_weights": "numbers",
    "metrics": "a list of metrics",
    "optimizer": "an optimizer",
    "train_loop": "a training loop",
    "cache": "a mapping of names",
}
EXAMPLES = {
    "datasets": "hopslite.configured.datasets.image_folder",
    "model": "hopslite.configured.OneHeadNet",
    "loss": "keras.losses.SparseCategoricalCrossentropy",
    "optimizer": "keras.optimizers.Adam",
    "train_loop": "hopslite.configured.KerasTrainLoop",
    "metrics": "keras.metrics.SparseCategoricalAccuracy",
}
FIRST = ("datasets", "model")  # components that the first cycle must have
REFERENCE = re.compile(r"\$\{\s*(?:self\.get_cache\(\s*['\"](?P<cache>[^'\"]*)['\"]\s*\)|(?P<name>[^{}()]*?))\s*\}")
INPUT = "inputs."
SERIALIZED = ("class_name", "registered_name", "module")  # Keras builds objects of any class from such mappings
ROOTS = ("keras", "tf", "tensorflow", "ktf", "hopslite")
WITH_LOSS = ("hopslite.configured.KerasTrainLoop", "hopslite.configured.CustomTrainLoop")
SIMILAR = 0.75


def object_name(value: Any, exported: Mapping[str, object]) -> str | None:
    """The name of the object that a value describes, as `{"keras.layers.Dense": {"units": 3}}` does; else None."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    name = next(iter(value))
    return name if is_dotted(name) or name in exported else None


@dataclasses.dataclass
class _Check:
    document: Document
    names: Names
    arguments: Callable[[Target], Arguments | None]
    inputs: frozenset[str]
    problems: list[str] = dataclasses.field(default_factory=list)

    def problem(self, path: Path, text: str) -> None:
        self.problems.append(f"{self.document.place(path)}: {text}")

    def cycle(self, index: int, cycle: Any) -> None:
        if not isinstance(cycle, dict) or is_axis(cycle):
            self.problem((index,), f"a cycle is a mapping with {', '.join(COMPONENTS)}; given {short(cycle)}")
            return
        for key, value in cycle.items():
            if key == "meta":
                self.problem((index, key), "hopslite has no meta; a search space is written as {'$choice': [1, 2]}")
            elif key not in COMPONENTS:
                hint = did_you_mean(key, COMPONENTS, f"a cycle has {', '.join(COMPONENTS)}")
                self.problem((index, key), f"a cycle has no {key!r}; {hint}")
            elif value is not None:
                self.component(key, value, (index, key))

    def component(self, key: str, value: Any, path: Path) -> None:
        """Check a component, whose value may be a choice of several."""
        if is_axis(value):
            self.axis(value, path, lambda item, place: self.component(key, item, place))
        elif key == "cache" and isinstance(value, dict):
            for name, item in value.items():
                self.value(item, (*path, name))
        elif self.is_in_form(key, value):
            self.value(value, path)
        else:
            example = f', such as {{"{EXAMPLES[key]}": {{…}}}}' if key in EXAMPLES else ""
            self.problem(path, f"{key} is {COMPONENTS[key]}{example}; {self.unfit(value)}")

    def unfit(self, value: Any) -> str:
        if isinstance(value, dict) and len(value) == 1:
            return str(self.names.target(next(iter(value))))
        return f"given {short(value)}"

    def is_in_form(self, key: str, value: Any) -> bool:
        if object_name(value, self.names.exported) or (isinstance(value, str) and value.startswith("${")):
            return True
        if key == "datasets":
            return isinstance(value, list) and len(value) == 2
        if key in ("loss", "metrics"):
            return isinstance(value, str | list) or (isinstance(value, dict) and len(value) > 1)
        if key == "optimizer":
            return isinstance(value, str)
        return key == "loss_weights" and isinstance(value, int | float | list | dict)

    def axis(self, value: dict[str, Any], path: Path, check: Callable[[Any, Path], None]) -> None:
        """Check the alternatives of an axis; the axis itself is checked where the search space is made."""
        for key, item in value.items():
            if key in VALUES_OF:
                values = item.get("values") if isinstance(item, dict) else item
                for index, alternative in enumerate(values if isinstance(values, list) else []):
                    check(alternative, (*path, key, index))
            elif key != NAME:
                self.value(item, (*path, key))

    def value(self, value: Any, path: Path) -> None:
        if isinstance(value, str):
            self.text(value, path)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.value(item, (*path, index))
        elif is_axis(value):
            self.axis(value, path, self.value)
        elif isinstance(value, dict):
            self.mapping(value, path)

    def text(self, value: str, path: Path) -> None:
        """Check a reference, `${keras.optimizers.Adam}`; other texts are values."""
        if not value.startswith("${") or value == BUDGET_REFERENCE:
            return
        match = REFERENCE.fullmatch(value)
        if match is None:
            self.problem(
                path, f"{value!r} is no reference, such as ${{keras.optimizers.Adam}}; expressions are not run"
            )
        elif match["cache"] is not None:
            if match["cache"] not in (cached := self.cached(path)):
                self.problem(path, f"the cache has no {match['cache']!r}; it has {', '.join(cached) or 'nothing'}")
        elif match["name"].startswith(INPUT):
            if (name := match["name"].removeprefix(INPUT)) not in self.inputs:
                known = ", ".join(sorted(self.inputs)) or "none"
                self.problem(path, f"there is no input {name!r}; inputs: {known}. Give --input {name}=… (inputs=)")
        else:
            self.target(match["name"], path)

    def cached(self, path: Path) -> Mapping[str, Any]:
        """The cache of a value's cycle, or of the nearest one before that has a cache."""
        cycles = self.document.values[: int(path[0]) + 1]
        caches = [cycle.get("cache") for cycle in cycles if isinstance(cycle, dict)]
        return next((cache for cache in reversed(caches) if isinstance(cache, dict)), {})

    def target(self, name: str, path: Path) -> Target | None:
        target = self.names.target(name)
        if isinstance(target, str):
            self.problem(path, target)
            return None
        return target

    def mapping(self, value: dict[str, Any], path: Path) -> None:
        """Check an object, or a mapping of values."""
        name = object_name(value, self.names.exported)
        if name is not None:
            self.object(name, value[name], (*path, name))
        elif serialized := [key for key in SERIALIZED if key in value]:
            self.problem(
                path,
                f"a mapping with {serialized[0]!r} is an object that Keras has serialised, which may be of any class; "
                'write such as {"keras.layers.Dense": {"units": 10}}',
            )
        elif len(value) > 1 and any(is_dotted(key) and key.partition(".")[0] in ROOTS for key in value):
            self.problem(path, f"an object is a mapping of one name; here are {', '.join(value)}. Several are a list")
        elif len(value) == 1 and self.may_be_object(*next(iter(value.items()))):
            self.target(next(iter(value)), path)
        else:
            for key, item in value.items():
                self.value(item, (*path, key))

    def may_be_object(self, name: str, item: Any) -> bool:
        """True if a mapping of one bare name looks like an object of a class that is not exported."""
        if not isinstance(item, dict) or not name.isidentifier():
            return False
        return name[:1].isupper() or closest(name, self.names.exported, SIMILAR) is not None

    def object(self, name: str, arguments: Any, path: Path) -> None:
        target = self.target(name, path)
        if arguments is not None and (not isinstance(arguments, dict) or is_axis(arguments)):
            self.problem(path, f"the arguments of {name} are a mapping of their names; given {short(arguments)}")
            return
        named = arguments or {}
        if target is not None:
            self.call(target, named, path)
        for key, item in named.items():
            self.value(item, (*path, key))

    def call(self, target: Target, named: Mapping[str, Any], path: Path) -> None:
        """Check the arguments of an object, as far as they are known."""
        takes = self.arguments(target)
        if takes is None:
            return
        for key in named:
            near = closest(key, takes.names, SIMILAR)
            if key in takes.names or (takes.is_open and near is None):
                continue
            hint = f"did you mean {near!r}?" if near else f"it takes {', '.join(takes.names) or 'none'}"
            self.problem((*path, key), f"{target.name} has no argument {key!r}; {hint}")
        if missing := [key for key in takes.names if key in takes.required and key not in named]:
            are = "is" if len(missing) == 1 else "are"
            self.problem(path, f"{' and '.join(missing)} {are} missing; {target.name} takes {', '.join(takes.names)}")

    def complete(self) -> None:
        """Check that the first cycle has what each needs, and that loops of this package have a loss."""
        first = self.document.values[0]
        if not isinstance(first, dict):
            return
        for key in FIRST:
            if first.get(key) is None:
                self.problem((0,), f'{key} is missing: {COMPONENTS[key]}, such as {{"{EXAMPLES[key]}": {{…}}}}')
        loss = loop = None
        for index, cycle in enumerate(self.document.values):
            if isinstance(cycle, dict):
                loss, loop = cycle.get("loss") or loss, cycle.get("train_loop") or loop
            name = object_name(loop, self.names.exported)
            if loss is None and (loop is None or ALIASES.get(name or "", name) in WITH_LOSS):
                self.problem((index,), f'loss is missing, such as {{"{EXAMPLES["loss"]}": {{…}}}}')
                break


def check_document(
    document: Document,
    names: Names,
    declared: Mapping[str, Arguments] | None = None,
    inputs: frozenset[str] = frozenset(),
) -> list[str]:
    """The problems of a configuration, each with its file, line and path.

    Args:
        document: the configuration.
        names: the names that it may use.
        declared: the arguments of exported objects whose source was read.
        inputs: the names of the call's inputs.
    """

    def arguments(target: Target) -> Arguments | None:
        if target.name in OWN or target.package == "keras":
            return arguments_of(target.module, target.attribute)
        if declared and target.attribute in declared:
            return declared[target.attribute]
        return None if target.module else _live_arguments(names.exported.get(target.attribute))

    check = _Check(document, names, arguments, inputs)
    for index, cycle in enumerate(document.values):
        check.cycle(index, cycle)
    check.complete()
    return check.problems


def _live_arguments(target: object) -> Arguments | None:
    """The arguments of an object of this process."""
    if not callable(target):
        return None
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Arguments(
        tuple(p.name for p in named),
        frozenset(p.name for p in named if p.default is p.empty),
        len(named) < len(parameters),
    )
