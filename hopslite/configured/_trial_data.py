"""Conversion of returned data sets to training and validation data for Keras."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["as_data", "element_inputs"]

BATCH = 32  # examples of a batch, of arrays without one
FORM = "a data set is (training, validation), each a tf.data.Dataset or a pair of arrays, the latter may be None"


def as_data(made: Any) -> tuple[Any, Any]:
    """Training and validation data from what a function returned.

    Raises:
        ValueError: it is something else, with what may be returned.
    """
    if made is None or isinstance(made, str | bytes | dict):
        raise ValueError(f"{FORM}; this is {'None' if made is None else type(made).__name__}")
    if not isinstance(made, tuple | list):
        return _one(made), None
    if len(made) != 2:
        raise ValueError(f"{FORM}; these are {len(made)} values")
    if hasattr(made[0], "shape") and hasattr(made[1], "shape"):  # inputs and targets
        return _one(tuple(made)), None
    if made[0] is None:
        raise ValueError(f"{FORM}; the training data is None")
    return _one(made[0]), None if made[1] is None else _one(made[1])


def _one(data: Any) -> Any:
    if isinstance(data, tuple | list):
        return tf.data.Dataset.from_tensor_slices(tuple(data)).batch(BATCH)
    if isinstance(data, tf.data.Dataset | keras.utils.PyDataset):
        return data
    raise ValueError(f"{FORM}; given {type(data).__name__}")


def element_inputs(data: Any) -> Any:
    """Inputs by which a model learns their shape: placeholders, or the first batch where shapes are not known."""
    if isinstance(data, tf.data.Dataset):
        inputs = data.element_spec[0] if isinstance(data.element_spec, tuple) else data.element_spec
        specs = tf.nest.flatten(inputs)
        if all(isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None for spec in specs):
            return tf.nest.map_structure(_placeholder, inputs)
    batch = next(iter(data))
    return batch[0] if isinstance(batch, tuple | list) else batch


def _placeholder(spec: Any) -> Any:
    return keras.KerasTensor(tuple(spec.shape), dtype=spec.dtype.name)
