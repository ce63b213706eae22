"""Parts of a model by name: `base_model@layer1@resample` is a layer of a layer of the base model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import keras

from ..core.suggestions import did_you_mean

__all__ = ["find_submodel", "freeze", "load_file", "save_file", "set_weights", "trainable_flags", "unfreeze"]

SEPARATOR = "@"
SHOWN = 8  # names in a message
ENDINGS = (".weights.h5", ".h5")  # other files of Keras hold models, which are programs


def find_submodel(model: Any, name: str) -> Any:
    """The layer of a model that has a name, or that is an attribute of this name; nested with `@`.

    Raises:
        ValueError: there is none; with the names that there are.
    """
    layer = model
    for depth, part in enumerate(name.split(SEPARATOR)):
        parts = dict(_parts(layer))
        if part not in parts:
            above = SEPARATOR.join(name.split(SEPARATOR)[:depth])
            near = did_you_mean(part, parts)
            names = ", ".join([*parts][:SHOWN]) + (f", … ({len(parts)})" if len(parts) > SHOWN else "")
            where = f"in {above!r}" if above else "in the model"
            raise ValueError(f"no submodel {part!r} {where}{f'; {near}' if near else ''}; there are {names or 'none'}")
        layer = parts[part]
    return layer


def _parts(layer: Any) -> Iterator[tuple[str, Any]]:
    """The layers directly below one, by their attributes and by their names, which come first."""
    below = list(getattr(layer, "layers", None) or layer._layers)  # the latter of layers that are no models
    for attribute, value in vars(layer).items():
        if isinstance(value, keras.Layer) and not attribute.startswith("_") and any(value is part for part in below):
            yield attribute, value
    for part in below:
        yield part.name, part


def freeze(model: Any, name: str) -> None:
    """Keep the weights of a submodel as they are; layers such as batch normalisation then work as in inference."""
    find_submodel(model, name).trainable = False


def trainable_flags(model: Any) -> list[tuple[Any, bool]]:
    """All layers with their flags, from the outside to the inside."""
    return [(layer, bool(layer._trainable)) for layer in model._flatten_layers()]


def unfreeze(flags: list[tuple[Any, bool]]) -> None:
    """Restore flags of `trainable_flags`."""
    for layer, flag in flags:  # a layer sets the flags of those inside, which follow
        layer.trainable = flag


def load_file(submodel: Any, file: str) -> None:
    """Load the weights of a submodel from a file.

    Raises:
        ValueError: it is none of weights, or of another model.
        OSError: it cannot be read.
    """
    if not file.endswith(ENDINGS):
        raise ValueError(f"weights are in files {' or '.join(ENDINGS)}; given {file!r}")
    if not os.path.isfile(file):
        raise FileNotFoundError(f"there is no file {file!r}")
    keras.saving.load_weights(submodel, file)


def save_file(submodel: Any, file: str) -> None:
    """Save the weights of a submodel in a file, whose name ends in `.weights.h5`."""
    os.makedirs(os.path.dirname(file), exist_ok=True)
    keras.saving.save_weights(submodel, file)


def set_weights(submodel: Any, weights: list[Any]) -> bool:
    """Set the weights of a submodel, if they are of the same shapes; False otherwise."""
    if [tuple(weight.shape) for weight in submodel.weights] != [tuple(weight.shape) for weight in weights]:
        return False
    submodel.set_weights(weights)
    return True
