"""Training functions of Maggy's distributed configurations: the wrapper around the user's function on every member."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core import signatures
from ..core.plain_values import is_number, is_time
from ._bound import REPORTER
from ._tf_data import data_problems, prepare
from .patching import IS_SHARE

__all__ = ["Mirrored", "Parallel", "module_of", "tf_problems", "torch_problems"]


class _Member:
    """A training function, called on each member with those of `model`, `dataset`, `hparams` … that it accepts."""

    __wrapped__: Callable[..., Any]

    def __init__(self, train_fn: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self._arguments = dict(arguments)
        names = [REPORTER] if REPORTER in signatures.parameters(train_fn).names else []
        signatures.wrapped(self, train_fn, *names)

    def _called(self, arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
        fn = self.__wrapped__
        return fn(**signatures.parameters(fn).choose({**arguments, **extra}))


class Mirrored(_Member):
    """Runs the function in the scope of a MultiWorkerMirroredStrategy: models and optimizers it makes are mirrored.

    Its data is prepared as `_tf_data.prepare` says.
    """

    def __init__(
        self, train_fn: Callable[..., Any], arguments: Mapping[str, Any], process_data: Callable[..., Any] | None = None
    ) -> None:
        super().__init__(train_fn, arguments)
        self._process_data = process_data

    def __call__(self, **extra: Any) -> Any:
        import tensorflow as tf

        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        arguments = prepare(self._arguments, self._process_data)
        with strategy.scope():
            return _first_of_list(self._called(arguments, extra))


def _first_of_list(returned: Any) -> Any:
    """Keras' `evaluate` returns a list with the loss first, which was Maggy's metric."""
    if isinstance(returned, (list, tuple)) and returned:
        return {"metric": returned[0], "results": list(returned)}
    return returned


class Parallel(_Member):
    """Gives the function modules that are wrapped in DistributedDataParallel, and this rank's share of the data.

    The numbers that the ranks return are averaged.
    """

    def __call__(self, **extra: Any) -> Any:
        import torch
        import torch.distributed as dist

        on_gpu = torch.cuda.is_available()
        place = int(os.environ.get("LOCAL_RANK", "0"))
        if on_gpu:
            torch.cuda.set_device(place)
        dist.init_process_group("nccl" if on_gpu else "gloo")
        try:
            rank, size = dist.get_rank(), dist.get_world_size()
            arguments = {
                name: _shares(value, rank, size) if _is_data(name) else value for name, value in self._arguments.items()
            }
            module = _parallel(arguments.get("module"), torch.device("cuda", place) if on_gpu else None)
            arguments["module"] = arguments["model"] = module
            returned = self._called(arguments, extra)
            everywhere: list[Any] = [None] * size
            dist.all_gather_object(everywhere, returned)
            return _first_of_list(_averaged(everywhere))
        finally:
            dist.destroy_process_group()


def _is_data(name: str) -> bool:
    return name in ("dataset", "train_set", "test_set")


def _shares(data: Any, rank: int, size: int) -> Any:
    if isinstance(data, (list, tuple)):
        return type(data)(_share(item, rank, size) for item in data)
    return _share(data, rank, size)


def _share(data: Any, rank: int, size: int) -> Any:
    """This rank's equal share of an indexed dataset (every n-th item); other values unchanged."""
    from torch.utils.data import Dataset, IterableDataset, Subset

    if size == 1 or not isinstance(data, Dataset) or isinstance(data, IterableDataset) or not hasattr(data, "__len__"):
        return data
    length = len(data)
    # if the length is not a multiple of the size, the first items are repeated, because all ranks need equally many
    per_rank = -(-length // size)
    share = Subset(data, [(rank + size * number) % length for number in range(per_rank)]) if length else data
    setattr(share, IS_SHARE, True)
    return share


def _parallel(module: Any, device: Any) -> Any:
    if isinstance(module, (list, tuple)):
        return [_parallel(item, device) for item in module]
    return None if module is None else functools.wraps(module, updated=())(functools.partial(_made, module, device))


def _made(module: Callable[..., Any], device: Any, *args: Any, **kwargs: Any) -> Any:
    from torch.nn.parallel import DistributedDataParallel

    made = module(*args, **kwargs)
    if device is not None:
        made = made.to(device)
    return DistributedDataParallel(made) if any(p.requires_grad for p in made.parameters()) else made


def _averaged(everywhere: Sequence[Any]) -> Any:
    """The mean of numbers, also inside dicts and lists of equal structure; other values are those of the first rank."""
    first = everywhere[0]
    numbers_only = [_plain(value) for value in everywhere]
    if all(number is not None for number in numbers_only):
        return sum(number for number in numbers_only if number is not None) / len(everywhere)
    if isinstance(first, dict) and all(
        isinstance(values, dict) and values.keys() == first.keys() for values in everywhere
    ):
        return {key: _averaged([values[key] for values in everywhere]) for key in first}
    if isinstance(first, (list, tuple)) and all(
        isinstance(e, type(first)) and len(e) == len(first) for e in everywhere
    ):
        return [_averaged(values) for values in zip(*everywhere, strict=True)]
    return first


def _plain(value: Any) -> float | None:
    if is_number(value):
        return float(value)
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == () and not is_time(value):
        return _plain(item())
    return None


def tf_problems(config: Any) -> list[str]:
    """Problems of a `TfDistributedConfig`."""
    problems = []
    model = getattr(config, "model", None)
    models = model if isinstance(model, (list, tuple)) else [model]
    for candidate in models:
        if candidate is not None and not callable(candidate):
            problems.append(
                f"model={candidate!r:.80}; give the class of the model, or a function that makes it, not an object"
            )
        elif isinstance(candidate, type) and any(
            base.__module__.partition(".")[0] == "keras" for base in candidate.__mro__
        ):
            problems.append(
                f"model={candidate.__name__} is a Keras 3 model, which cannot train under MultiWorkerMirroredStrategy; "
                "set TF_USE_LEGACY_KERAS=1 in the environment of the program, which makes tf.keras Keras 2 "
                "(pip install tf_keras), or derive the model from tf_keras.Model"
            )
    if getattr(config, "mixed_precision", False):
        problems.append(
            "mixed_precision=True did nothing in Maggy and does nothing here; call "
            "tf_keras.mixed_precision.set_global_policy('mixed_float16') in train_fn"
        )
    return problems + data_problems(config, getattr(config, "hparams", None) or {})


def module_of(config: Any) -> Any:
    """The module of a configuration; in some versions of Maggy it is called `model`."""
    module = getattr(config, "module", None)
    return getattr(config, "model", None) if module is None else module


def torch_problems(config: Any) -> list[str]:
    """Problems of a `TorchDistributedConfig`."""
    problems = []
    module = module_of(config)
    if module is None:
        problems.append("module is missing; give the class of the module, or a function that makes it")
        return problems
    for candidate in module if isinstance(module, (list, tuple)) else [module]:
        if not callable(candidate) or (hasattr(candidate, "state_dict") and not isinstance(candidate, type)):
            problems.append(
                f"module={candidate!r:.80}; give the class of the module, or a function that makes it, not an object"
            )
    backend = getattr(config, "backend", "torch")
    if backend not in ("torch", "ddp"):
        problems.append(f"backend={backend!r}; hopslite has 'torch' (DistributedDataParallel), not DeepSpeed")
    elif getattr(config, "deepspeed_config", None) or getattr(config, "ds_config", None):
        problems.append("deepspeed_config; hopslite uses DistributedDataParallel, not DeepSpeed; leave it out")
    level = getattr(config, "zero_lvl", 0)
    if level:
        problems.append(
            f"zero_lvl={level!r}; hopslite has no sharded optimizers or models (ZeRO, fairscale): use zero_lvl=0, or "
            "torch.distributed.fsdp in train_fn with experiment.distributed(train_fn, strategy='torch')"
        )
    if getattr(config, "mixed_precision", False) or getattr(config, "ddp3_mp", False):
        problems.append("mixed_precision=True is not supported; use torch.autocast in train_fn")
    return problems
