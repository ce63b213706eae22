"""Training functions of Maggy's distributed configurations: what surrounds the user's function on every member."""

from __future__ import annotations

import functools
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import _binding
from ._bound import REPORTER

__all__ = ["Mirrored", "Parallel", "tf_problems", "torch_problems"]


class _Member:
    """A training function, called on each member with what it names of `model`, `dataset`, `hparams` and the like."""

    __wrapped__: Callable[..., Any]

    def __init__(self, train_fn: Callable[..., Any], given: Mapping[str, Any]) -> None:
        self._given = dict(given)
        names = [REPORTER] if REPORTER in _binding.parameters(train_fn).names else []
        _binding.wrapped(self, train_fn, *names)

    def _called(self, given: Mapping[str, Any], extra: Mapping[str, Any]) -> Any:
        fn = self.__wrapped__
        return fn(**_binding.parameters(fn).choose({**given, **extra}))


class Mirrored(_Member):
    """Runs the function in the scope of a MultiWorkerMirroredStrategy: models and optimizers it makes are mirrored."""

    def __init__(
        self, train_fn: Callable[..., Any], given: Mapping[str, Any], process_data: Callable[..., Any] | None = None
    ) -> None:
        super().__init__(train_fn, given)
        self._process_data = process_data

    def __call__(self, **extra: Any) -> Any:
        import tensorflow as tf

        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        given = dict(self._given)
        if self._process_data is not None:
            _process(self._process_data, given)
        with strategy.scope():
            return _first_of_list(self._called(given, extra))


def _process(process_data: Callable[..., Any], given: dict[str, Any]) -> None:
    if given.get("train_set") is not None:
        given["train_set"], given["test_set"] = process_data(given["train_set"], given.get("test_set"))
    if given.get("dataset") is not None:
        given["dataset"] = process_data(given["dataset"])


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
            given = {
                name: _shares(value, rank, size) if _is_data(name) else value for name, value in self._given.items()
            }
            given["module"] = _parallel(given.get("module"), torch.device("cuda", place) if on_gpu else None)
            returned = self._called(given, extra)
            everywhere: list[Any] = [None] * size
            dist.all_gather_object(everywhere, returned)
            return _first_of_list(_averaged(everywhere))
        finally:
            dist.destroy_process_group()


def _is_data(name: str) -> bool:
    return name in ("dataset", "train_set", "test_set")


def _shares(data: Any, rank: int, size: int) -> Any:
    if isinstance(data, (list, tuple)):
        return type(data)(_share(each, rank, size) for each in data)
    return _share(data, rank, size)


def _share(data: Any, rank: int, size: int) -> Any:
    """Every so-manieth item of an indexed dataset, as many for each rank; anything else as it is."""
    from torch.utils.data import Dataset, IterableDataset, Subset

    if size == 1 or not isinstance(data, Dataset) or isinstance(data, IterableDataset) or not hasattr(data, "__len__"):
        return data
    length = len(data)
    each = -(-length // size)  # the first items again where it does not come out even, or ranks would wait for others
    return Subset(data, [(rank + size * number) % length for number in range(each)]) if length else data


def _parallel(module: Any, device: Any) -> Any:
    if isinstance(module, (list, tuple)):
        return [_parallel(each, device) for each in module]
    return None if module is None else functools.wraps(module, updated=())(functools.partial(_made, module, device))


def _made(module: Callable[..., Any], device: Any, *args: Any, **kwargs: Any) -> Any:
    from torch.nn.parallel import DistributedDataParallel

    made = module(*args, **kwargs)
    if device is not None:
        made = made.to(device)
    return DistributedDataParallel(made) if any(p.requires_grad for p in made.parameters()) else made


def _averaged(everywhere: Sequence[Any]) -> Any:
    """The mean of numbers, also inside dicts and lists of one form; anything else as the first rank returned it."""
    first = everywhere[0]
    numbers_only = [_plain(value) for value in everywhere]
    if all(number is not None for number in numbers_only):
        return sum(number for number in numbers_only if number is not None) / len(everywhere)
    if isinstance(first, dict) and all(isinstance(each, dict) and each.keys() == first.keys() for each in everywhere):
        return {key: _averaged([each[key] for each in everywhere]) for key in first}
    if isinstance(first, (list, tuple)) and all(
        isinstance(e, type(first)) and len(e) == len(first) for e in everywhere
    ):
        return [_averaged(values) for values in zip(*everywhere, strict=True)]
    return first


def _plain(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, numbers.Real):
        return float(value)
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return _plain(item())
    return None


def tf_problems(config: Any) -> list[str]:
    """Why a `TfDistributedConfig` cannot be run."""
    found = []
    model = getattr(config, "model", None)
    models = model if isinstance(model, (list, tuple)) else [model]
    for each in models:
        if each is not None and not callable(each):
            found.append(f"model={each!r:.80}; give the class of the model, or a function that makes it, not an object")
        elif isinstance(each, type) and any(base.__module__.partition(".")[0] == "keras" for base in each.__mro__):
            found.append(
                f"model={each.__name__} is a Keras 3 model, which cannot train under MultiWorkerMirroredStrategy; "
                "derive it from tf_keras.Model (pip install tf_keras), or make it in a function that imports tf_keras"
            )
    if getattr(config, "mixed_precision", False):
        found.append(
            "mixed_precision=True did nothing in Maggy and does nothing here; call "
            "tf_keras.mixed_precision.set_global_policy('mixed_float16') in train_fn"
        )
    process_data = getattr(config, "process_data", None)
    if process_data is not None and not callable(process_data):
        found.append(f"process_data={process_data!r}; give a function")
    return found


def torch_problems(config: Any) -> list[str]:
    """Why a `TorchDistributedConfig` cannot be run."""
    found = []
    module = getattr(config, "module", None)
    for each in module if isinstance(module, (list, tuple)) else [module]:
        if not callable(each) or (hasattr(each, "state_dict") and not isinstance(each, type)):
            found.append(
                f"module={each!r:.80}; give the class of the module, or a function that makes it, not an object"
            )
    backend = getattr(config, "backend", "torch")
    if backend not in ("torch", "ddp"):
        found.append(f"backend={backend!r}; hopslite has 'torch' (DistributedDataParallel), not DeepSpeed")
    elif getattr(config, "deepspeed_config", None) or getattr(config, "ds_config", None):
        found.append("deepspeed_config; hopslite has DistributedDataParallel, not DeepSpeed: leave it out")
    level = getattr(config, "zero_lvl", 0)
    if level:
        found.append(
            f"zero_lvl={level!r}; hopslite has no sharded optimizers or models (ZeRO, fairscale): use zero_lvl=0, or "
            "torch.distributed.fsdp in train_fn with experiment.distributed(train_fn, strategy='torch')"
        )
    if getattr(config, "mixed_precision", False) or getattr(config, "ddp3_mp", False):
        found.append("mixed_precision=True; use torch.autocast in train_fn, hopslite does not do it for you")
    return found
