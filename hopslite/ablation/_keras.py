"""Removal of layers from a Keras model, by editing its configuration and building it again.

Works on what `get_config` says, for Keras 3 and `tf_keras`, sequential and functional; imports neither.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..core.suggestions import did_you_mean
from ..errors import InvalidArguments
from ._parts import Group

__all__ = ["left_out", "problems"]

Config = dict[str, Any]
Reference = tuple[str, int, int]  # the output number `[2]` of the call number `[1]` of a layer


def left_out(model: Any, group: Group) -> Any:
    """The same model without some layers: `group.names`, or those whose names begin with `group.prefix`.

    Layers that are the same in both keep their weights; a compiled model is compiled in the same way.

    Raises:
        InvalidArguments: the layers cannot be left out.
    """
    config = _config(model)
    wrong = problems(config, [group])
    if wrong:
        raise InvalidArguments("the ablated model", wrong)
    edited = _without(config, _chosen(config, group))
    try:
        with _functions_allowed(model):
            ablated = type(model).from_config(edited, custom_objects=_custom_objects(model))
    except Exception as error:
        raise InvalidArguments(
            "the ablated model",
            [f"without {', '.join(_chosen(config, group))} the layers that are left do not fit together: {error}"],
        ) from error
    _take_over_weights(model, ablated)
    _compile_alike(model, ablated)
    return ablated


def problems(config: Config, groups: Iterable[Group]) -> list[str]:
    """Problems with leaving the groups out of the model with this configuration; none if all can be left out."""
    return [problem for group in groups for problem in _group_problems(config, group)]


def _group_problems(config: Config, group: Group) -> list[str]:
    names, fixed = _names(config), _fixed(config)
    removable = ", ".join(name for name in names if name not in fixed) or "none"
    wrong = []
    for name in group.names:
        if name not in names:
            hint = did_you_mean(name, names, start=" Did you mean")
            wrong.append(f"the base model has no layer {name!r}; those that can be left out: {removable}.{hint}")
        elif name in fixed:
            wrong.append(f"layer {name!r} is the first or the last of the base model, which cannot be left out")
    if group.prefix is not None and not _chosen(config, group):
        wrong.append(f"no layer between the first and the last has the prefix {group.prefix!r}; there are: {removable}")
    if wrong:
        return wrong
    try:
        _without(config, _chosen(config, group))
    except InvalidArguments as error:
        return list(error.problems)
    return []


def _config(model: Any) -> Config:
    try:
        config = model.get_config()
    except (AttributeError, NotImplementedError):
        config = None
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise InvalidArguments(
            "the base model",
            [
                f"{type(model).__name__} does not list its layers; only sequential and functional Keras models do. For "
                "others use add_custom_model_generator(), or components="
            ],
        )
    return config


def _names(config: Config) -> list[str]:
    return [_name(layer) for layer in config["layers"]]


def _name(layer: Config) -> str:
    return str(layer.get("name") or layer["config"]["name"])


def _is_functional(config: Config) -> bool:
    return "output_layers" in config


def _fixed(config: Config) -> set[str]:
    """The first and the last layers; of a functional model, its inputs and those whose outputs are the model's."""
    names = _names(config)
    if not _is_functional(config):
        return {names[0], names[-1]} if names else set()
    ends = [*_references(config["input_layers"], names), *_references(config["output_layers"], names)]
    return {name for name, _, _ in ends}


def _chosen(config: Config, group: Group) -> list[str]:
    members = group.members(_names(config))
    return members if group.prefix is None else [name for name in members if name not in _fixed(config)]


def _without(config: Config, names: Sequence[str]) -> Config:
    """The configuration without some layers; the successors of a removed layer are connected to its predecessor."""
    edited = copy.deepcopy(config)
    if _is_functional(edited):
        for name in names:  # in graph order: a sum can be left out after all its inputs have become one
            _bypass(edited, name)
    edited["layers"] = [layer for layer in edited["layers"] if _name(layer) not in names]
    for layer in edited["layers"]:
        layer.pop("build_config", None)  # the old shapes
    return edited


def _bypass(config: Config, name: str) -> None:
    names = _names(config)
    layer = next(layer for layer in config["layers"] if _name(layer) == name)
    inputs = [list(dict.fromkeys(_references(node, names))) for node in layer["inbound_nodes"]]
    several = [sources for sources in inputs if len(sources) != 1]
    if several:
        sources = ", ".join(dict.fromkeys(source for source, _, _ in several[0])) or "none"
        raise InvalidArguments(
            "",
            [f"layer {name!r} cannot be left out: it has several inputs ({sources}), and either could take its place"],
        )
    places = [
        config["output_layers"],
        *(node for other in config["layers"] for node in other.get("inbound_nodes") or ()),
    ]
    used = [reference for place in places for reference in _references(place, names) if reference[0] == name]
    if any(output for _, _, output in used):
        raise InvalidArguments("", [f"layer {name!r} cannot be left out: it has several outputs"])
    first = min((call for _, call, _ in used), default=0)  # a model that is a layer counts its calls from 1
    instead = {(name, first + number, 0): sources[0] for number, sources in enumerate(inputs)}
    while any(source in instead for source in instead.values()):  # a layer that was applied to its own output
        instead = {call: instead.get(source, source) for call, source in instead.items()}
    for place in places:
        _replace(place, names, instead)


def _references(data: Any, names: Sequence[str]) -> Iterator[Reference]:
    """All references to layers' outputs inside a part of a configuration."""
    for reference in _reference_lists(data, names):
        yield reference[0], reference[1], reference[2]


def _replace(data: Any, names: Sequence[str], instead: dict[Reference, Reference]) -> None:
    for reference in list(_reference_lists(data, names)):
        reference[:3] = instead.get((reference[0], reference[1], reference[2]), reference[:3])


def _reference_lists(data: Any, names: Sequence[str]) -> Iterator[list[Any]]:
    """References `[layer, call, output]`, in tf_keras with the call's other arguments as a fourth item."""
    if isinstance(data, dict):
        for value in data.values():
            yield from _reference_lists(value, names)
    elif isinstance(data, (list, tuple)):
        if isinstance(data, list) and 3 <= len(data) <= 4 and data[0] in names and _whole(data[1]) and _whole(data[2]):
            yield data
        for value in data:
            yield from _reference_lists(value, names)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _custom_objects(model: Any) -> dict[str, Any]:
    """Layer classes of the user's program; Keras knows their names only if they are registered."""
    kinds = {type(layer) for layer in _all_layers(model)}
    return {kind.__name__: kind for kind in kinds if kind.__module__.partition(".")[0] not in ("keras", "tf_keras")}


def _all_layers(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _all_layers(layer)


@contextlib.contextmanager
def _functions_allowed(model: Any) -> Iterator[None]:
    """Allow lambda layers: Keras loads their code only if it is trusted, and it comes from the caller."""
    scope = _safe_mode_scope(model)
    if scope is None:
        yield
        return
    with scope(False):
        yield


def _safe_mode_scope(model: Any) -> Callable[[bool], contextlib.AbstractContextManager[Any]] | None:
    flavour = next((base.__module__ for base in type(model).__mro__ if "keras" in base.__module__), "keras")
    try:
        library = importlib.import_module(f"{flavour.partition('.')[0]}.src.saving.serialization_lib")
    except ImportError:
        return None
    scope: Callable[[bool], contextlib.AbstractContextManager[Any]] | None = getattr(library, "SafeModeScope", None)
    return scope


def _take_over_weights(model: Any, ablated: Any) -> None:
    """Copy pretrained or initial weights to each layer whose shapes are the same."""
    before = {layer.name: layer for layer in model.layers}
    for layer in ablated.layers:
        other = before.get(layer.name)
        if other is None or not layer.built or not other.built:
            continue
        weights = other.get_weights()
        if weights and [w.shape for w in weights] == [w.shape for w in layer.get_weights()]:
            layer.set_weights(weights)


def _compile_alike(model: Any, ablated: Any) -> None:
    try:
        compiled = model.get_compile_config()
        if compiled:
            ablated.compile_from_config(compiled)
    except Exception as error:
        raise InvalidArguments(
            "the ablated model",
            [f"the base model is compiled with what Keras cannot copy ({error}); compile it in train_fn instead"],
        ) from error


def main() -> None:
    """Check the base model in this subprocess: a pickled generator and groups in, problems out as JSON."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that output of frameworks and generators does not mix with the answer
    generator, groups = pickle.load(sys.stdin.buffer)
    model = generator()
    try:
        wrong = problems(_config(model), groups)
    except InvalidArguments as error:
        wrong = list(error.problems)
    with answer:
        json.dump(wrong, answer)
