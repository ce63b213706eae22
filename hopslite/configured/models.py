"""Models for configurations."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["OneHeadNet"]


@keras.saving.register_keras_serializable("hopslite")
class OneHeadNet(keras.Model):  # type: ignore[misc]
    """A base model with one dense head.

    In a configuration:

        {"hopslite.configured.OneHeadNet": {
            "base_model": {"keras.applications.MobileNetV2": {
                "include_top": false, "input_shape": [40, 40, 3], "pooling": "avg"}},
            "num_outputs": 10,
            "dropout": 0.4
        }}

    The base model is the submodel `base_model` (for `freeze_submodels`, `save` and `load`), the dense layer `head`.
    Outputs of the base that are images or sequences are averaged over their positions before the head.

    Args:
        num_outputs: the units of the head, such as the number of classes.
        base_model: a model or layer without a head; default: two convolutions for images (height, width, channels), and
            one dense layer of 128 units for anything else.
        dropout: the share of the base's outputs that is dropped in training, from 0 to below 1.
        activation: the head's; default: none, so that a loss needs `"from_logits": true`.
        name: the model's.
        kwargs: the other arguments of `keras.Model`.
    """

    def __init__(
        self,
        num_outputs: int,
        base_model: Any = None,
        dropout: float = 0.0,
        activation: Any = None,
        name: str = "one_head_net",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if base_model is not None and not isinstance(base_model, keras.Layer):
            raise ValueError(f"base_model is a Keras model or layer; given {type(base_model).__name__}")
        self.num_outputs, self.dropout = num_outputs, dropout
        self._has_own_base = base_model is None
        self.base_model: Any = base_model
        self.dropping = keras.layers.Dropout(dropout, name="dropping")
        self.head = keras.layers.Dense(num_outputs, activation=activation, name="head")

    def build(self, input_shape: Any) -> None:
        """Make the default base for this shape of inputs, and the weights of all layers."""
        if self.base_model is None:
            self.base_model = _default_base(len(input_shape))
        base: Any = self.base_model
        if not base.built:
            base.build(input_shape)
        features = base.compute_output_shape(input_shape)
        self.head.build((features[0], features[-1]))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The outputs of the head: one row of `num_outputs` numbers for each example."""
        features = self.base_model(inputs, training=training)
        if len(features.shape) > 2:
            features = keras.ops.mean(features, axis=tuple(range(1, len(features.shape) - 1)))
        return self.head(self.dropping(features, training=training))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this model, for `model.save`."""
        return {
            "num_outputs": self.num_outputs,
            "base_model": None if self._has_own_base else keras.saving.serialize_keras_object(self.base_model),
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.head.activation),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> OneHeadNet:
        base = config.pop("base_model")
        if base is not None:
            base = keras.saving.deserialize_keras_object(base, custom_objects=custom_objects)
        return cls(base_model=base, **config)


def _default_base(rank: int) -> Any:
    layers = keras.layers
    if rank == 4:
        parts = [
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(padding="same"),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(padding="same"),
            layers.Flatten(),
        ]
    else:
        parts = [layers.Flatten(), layers.Dense(128, activation="relu")]
    return keras.Sequential(parts, name="default_base")
