"""Reads files of TFRecords for `datasets.tfrecords`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

__all__ = ["Reader"]

SHUFFLED = 10_000  # examples of a buffer
PARTS = 100  # into which examples are counted off for a split


@dataclasses.dataclass(frozen=True)
class Reader:
    """Parses examples to inputs and a target; the arguments are those of `datasets.tfrecords`."""

    features: Mapping[str, Any]
    target: str
    images: tuple[str, ...]
    image_size: tuple[int, ...] | None
    scale: float

    def datasets(
        self, files: Sequence[str], validation: Sequence[str] | None, batch_size: int, split: float, seed: int
    ) -> tuple[Any, Any]:
        """Training and validation data in batches, the latter None where no examples are for it."""
        records = tf.data.TFRecordDataset(list(files))
        if validation is not None:
            valid = tf.data.TFRecordDataset(list(validation))
        elif split:
            parts = round(split * PARTS)
            valid = records.enumerate().filter(lambda number, _: number * 37 % PARTS < parts).map(_record)
            records = records.enumerate().filter(lambda number, _: number * 37 % PARTS >= parts).map(_record)
        else:
            valid = None
        shuffled = records.shuffle(SHUFFLED, seed=seed)
        return self._batches(shuffled, batch_size), None if valid is None else self._batches(valid, batch_size)

    def _batches(self, records: Any, batch_size: int) -> Any:
        return records.map(self._parsed, tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)

    @functools.cached_property
    def _description(self) -> dict[str, Any]:
        described = {}
        for name, feature in self.features.items():
            kind, *shape = (feature,) if isinstance(feature, str) else feature
            described[name] = tf.io.FixedLenFeature(shape[0] if shape else [], tf.dtypes.as_dtype(kind))
        return described

    def _parsed(self, record: Any) -> tuple[Any, Any]:
        values = dict(tf.io.parse_single_example(record, self._description))
        for name in self.images:
            values[name] = self._decoded(values[name])
        target = values.pop(self.target)
        return (next(iter(values.values())) if len(values) == 1 else values), target

    def _decoded(self, encoded: Any) -> Any:
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        if self.image_size:
            image = tf.image.resize(image, self.image_size)
        return tf.cast(image, tf.float32) * self.scale


def _record(_: Any, record: Any) -> Any:
    return record
