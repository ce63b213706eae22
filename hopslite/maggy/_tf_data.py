"""Data of a `TfDistributedConfig`, sharded and batched for each worker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..core.plain_values import is_integer
from ..errors import InvalidArguments

__all__ = ["batch_notes", "data_problems", "portable", "prepare"]

BATCH_SIZES = {"train_set": "train_batch_size", "test_set": "test_batch_size"}
DEFAULT_BATCH_SIZE = 32  # the default of Keras
CONFIG = "TfDistributedConfig"
ELSEWHERE = "make it in process_data, from paths, or in train_fn"
INFINITE = -1  # as in TensorFlow
MOST_BYTES = 256 << 20  # of a dataset that is sent to the workers


def prepare(arguments: Mapping[str, Any], process_data: Callable[..., Any] | None) -> dict[str, Any]:
    """The arguments of the training function on this worker: data is read by `process_data`, batched and sharded.

    `train_set` and `test_set` become a `tf.data.Dataset` each. `dataset` is unchanged, or the result of
    `process_data`.
    """
    prepared = {name: _unpacked(value) for name, value in arguments.items()}
    sets = [prepared.get(name) for name in BATCH_SIZES]
    if process_data is not None and _is_path(sets[0]):
        sets = _two(process_data(*sets))
    for (name, key), data in zip(BATCH_SIZES.items(), sets, strict=True):
        if data is not None:
            prepared[name] = _share(data, prepared["hparams"].get(key))
    if process_data is not None and prepared.get("dataset") is not None:
        prepared["dataset"] = process_data(prepared["dataset"])
    return prepared


def _two(processed: Any) -> list[Any]:
    if isinstance(processed, (tuple, list)) and len(processed) == len(BATCH_SIZES):
        return list(processed)
    raise ValueError(
        f"process_data returned {type(processed).__name__} {processed!r:.80}; it is to return two things, the training "
        "data and the test data, such as (x_train, y_train), (x_test, y_test)"
    )


def _share(data: Any, batch_size: int | None) -> Any:
    """This worker's share of arrays or of a `tf.data.Dataset`: every n-th item, in batches.

    Keras splits each batch among the workers; its own sharding of the data is switched off.
    """
    import tensorflow as tf

    if not isinstance(data, tf.data.Dataset):
        data = tf.data.Dataset.from_tensor_slices(_as_components(data))
    elif _is_batched(data, batch_size):
        batch_size = batch_size or _first_batch_size(data)
        data = data.unbatch()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return _equal_share(data, *_position()).batch(int(batch_size or DEFAULT_BATCH_SIZE)).with_options(options)


def _equal_share(items: Any, index: int, workers: int) -> Any:
    """Equal number of items for each worker, because a worker with more steps would wait for the others.

    If the number is not divisible, the first items are repeated; if it is unknown, the last items are left out.
    """
    import tensorflow as tf

    count = int(items.cardinality())
    if workers == 1 or count in (0, INFINITE):
        return items.shard(workers, index)
    if count > 0:
        return items.repeat().take(-(-count // workers) * workers).shard(workers, index)
    own_and_last = tf.data.Dataset.zip((items.shard(workers, index), items.shard(workers, workers - 1)))
    return own_and_last.map(lambda own, last: own)


def _first_batch_size(data: Any) -> int | None:
    import tensorflow as tf

    return next((len(tf.nest.flatten(batch)[0]) for batch in data.take(1)), None)


def _position() -> tuple[int, int]:
    """This worker's number, from 0, and the number of workers, including the chief."""
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    if not config:
        return 0, 1
    chiefs, workers = (len(config["cluster"].get(role, ())) for role in ("chief", "worker"))
    task = config["task"]
    return int(task["index"]) + (chiefs if task["type"] == "worker" else 0), chiefs + workers


def _as_components(data: Any) -> Any:
    """A list of arrays, `[x, y]`, as the tuple that TensorFlow expects; a list of rows stays one tensor."""
    return tuple(data) if isinstance(data, list) and all(len(getattr(part, "shape", ())) for part in data) else data


def _is_batched(data: Any, batch_size: int | None) -> bool:
    """True if the items of a dataset are batches: all parts of them have a first dimension of any size, or of this."""
    import tensorflow as tf

    shapes = [spec.shape for spec in tf.nest.flatten(data.element_spec)]
    return all(shape.rank and shape[0] in (None, batch_size) for shape in shapes)


# --- on the driver


class _Items:
    """A finite `tf.data.Dataset` as arrays of its items, because graphs cannot be pickled."""

    def __init__(self, items: list[Any], spec: Any) -> None:
        self._items, self._spec = items, spec

    def unpacked(self) -> Any:
        import tensorflow as tf

        def items() -> Iterator[Any]:
            yield from self._items

        made = tf.data.Dataset.from_generator(items, output_signature=self._spec)
        return made.apply(tf.data.experimental.assert_cardinality(len(self._items)))


def portable(name: str, value: Any) -> Any:
    """Data in a form that can be sent to the workers.

    Raises:
        InvalidArguments: it is a `tf.data.Dataset` that is too large, is infinite, or has items that are no arrays.
    """
    if isinstance(value, (list, tuple)) and any(map(_is_dataset, value)):
        return type(value)(portable(name, part) for part in value)
    if not _is_dataset(value):
        return value
    items, size = [], 0
    try:
        for item in value.as_numpy_iterator() if int(value.cardinality()) != INFINITE else ():
            items.append(item)
            size += _size_of(item)
            if size > MOST_BYTES:
                break
    except TypeError as error:
        raise InvalidArguments(
            CONFIG, [f"{name} is a tf.data.Dataset that cannot be sent: {error}; {ELSEWHERE}"]
        ) from error
    if size > MOST_BYTES or int(value.cardinality()) == INFINITE:
        reason = f"holds more than {MOST_BYTES >> 20} MB" if size else "repeats without end"
        raise InvalidArguments(CONFIG, [f"{name} is a tf.data.Dataset that {reason}; {ELSEWHERE}"])
    return _Items(items, value.element_spec)


def _size_of(item: Any) -> int:
    if isinstance(item, Mapping):
        return sum(map(_size_of, item.values()))
    if isinstance(item, (tuple, list)):
        return sum(map(_size_of, item))
    return int(getattr(item, "nbytes", 0)) or len(item)


def _unpacked(value: Any) -> Any:
    if isinstance(value, (list, tuple)) and any(isinstance(part, _Items) for part in value):
        return type(value)(map(_unpacked, value))
    return value.unpacked() if isinstance(value, _Items) else value


def _is_dataset(value: Any) -> bool:
    """True for a `tf.data.Dataset`; does not import TensorFlow."""
    return any(
        base.__name__ == "DatasetV2" and base.__module__.startswith("tensorflow") for base in type(value).__mro__
    )


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def data_problems(config: Any, hparams: Mapping[str, Any]) -> list[str]:
    """Problems with the data of a configuration."""
    process_data = getattr(config, "process_data", None)
    sets = {name: getattr(config, name, None) for name in BATCH_SIZES}
    paths = [name for name, value in sets.items() if _is_path(value)]
    problems = (
        [] if process_data is None or callable(process_data) else [f"process_data={process_data!r}; give a function"]
    )
    if paths and process_data is None:
        problems.append(
            f"{' and '.join(f'{name}={sets[name]!r}' for name in paths)}: a path, and no process_data; give "
            "process_data=, a function that takes both paths and returns (x_train, y_train), (x_test, y_test)"
        )
    if len(paths) == 1 and all(value is not None for value in sets.values()):
        problems.append(f"only {paths[0]} is a path; give train_set and test_set both as paths, or both as data")
    for key in BATCH_SIZES.values():
        size = hparams.get(key)
        if size is not None and not is_integer(size, 1):
            problems.append(f"hparams[{key!r}]={size!r}; give a whole number of at least 1")
    return problems


def batch_notes(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Lines for the user about batch sizes that were not given."""
    return tuple(
        f"{name} comes in batches of {DEFAULT_BATCH_SIZE}, because hparams has no {key!r}"
        for name, key in BATCH_SIZES.items()
        if arguments.get(name) is not None and not _is_dataset(arguments[name]) and key not in arguments["hparams"]
    )
