"""Maggy's data loader for PyTorch, `maggy.core.patching` and, in older versions, `maggy.distributed.patching`.

```python
def train(module, train_set, hparams):
    from hopslite.maggy.patching import MaggyDataLoader

    for x, y in MaggyDataLoader(train_set, batch_size=64):
        ...
```
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from ..errors import InvalidArguments, MissingExtra

__all__ = ["MaggyDataLoader", "MaggyPetastormDataLoader"]

IS_SHARE = "hopslite_is_share"  # an attribute of datasets that `lagom` has divided among the ranks
PARQUET = (
    "hopslite does not read Petastorm; read Parquet with hopslite.pandas_helper.read_parquet() into a "
    "torch.utils.data.TensorDataset, which MaggyDataLoader divides among the ranks"
)
GONE = {
    "MaggyZero": "use torch.distributed.optim.ZeroRedundancyOptimizer(parameters, optimizer_class=…)",
    "get_maggy_": "the module that the training function gets is wrapped in DistributedDataParallel already",
    "MaggyDDP": "the module that the training function gets is wrapped in DistributedDataParallel already",
    "MaggyFairScale": "use torch.distributed.fsdp in the training function",
    "MaggyDeepSpeed": "hopslite has DistributedDataParallel, not DeepSpeed",
}


def MaggyDataLoader(
    dataset: Any,
    batch_size: int = 1,
    shuffle: bool = True,
    sampler: Any = None,
    batch_sampler: Any = None,
    **options: Any,
) -> Any:
    """A `torch.utils.data.DataLoader` of this rank's share of a dataset, whose batches are on this rank's GPU.

    If `lagom` has already divided the dataset (the configuration's `dataset`, `train_set` or `test_set`), it is not
    divided again. Without a GPU, batches stay in memory; without `torch.distributed` this is an ordinary loader. Each
    pass has a different order.

    Args:
        dataset: an indexed dataset; an iterable dataset is not divided.
        shuffle: whether the order is random.
        sampler, batch_sampler: not used, as in Maggy.
        options: other arguments of `DataLoader`.
    """
    import torch.distributed as dist
    from torch.utils.data import Dataset, DistributedSampler, IterableDataset

    if not isinstance(dataset, Dataset):
        raise InvalidArguments(
            "MaggyDataLoader", [f"dataset={dataset!r:.80}; give a torch.utils.data.Dataset. {PARQUET}"]
        )
    if isinstance(dataset, IterableDataset):
        return _loader()(dataset, batch_size, **options)
    is_divided = not dist.is_available() or not dist.is_initialized() or getattr(dataset, IS_SHARE, False)
    own: Any = None if is_divided else DistributedSampler(dataset, shuffle=shuffle)
    return _loader()(dataset, batch_size, shuffle=shuffle and own is None, sampler=own, **options)


def MaggyPetastormDataLoader(dataset: Any, batch_size: int = 1, **_: Any) -> NoReturn:
    """Maggy's reader of Petastorm datasets, which hopslite does not have.

    Raises:
        MissingExtra: always; the message says what to use.
    """
    raise MissingExtra(f"MaggyPetastormDataLoader({dataset!r:.80}, batch_size={batch_size}): {PARQUET}")


@functools.cache
def _loader() -> Any:
    """The class, created on first use, so that importing this module does not import PyTorch."""
    import torch
    from torch.utils.data import DataLoader, DistributedSampler

    class Loader(DataLoader):  # type: ignore[misc]
        """Moves batches to the current GPU, and draws a new order for each pass."""

        passes = 0

        def __iter__(self) -> Iterator[Any]:
            if isinstance(self.sampler, DistributedSampler):
                self.sampler.set_epoch(self.passes)
            self.passes += 1
            device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else None
            return (batch if device is None else _moved(batch, device) for batch in super().__iter__())

    return Loader


def _moved(batch: Any, device: Any) -> Any:
    if isinstance(batch, Mapping):
        return {name: _moved(part, device) for name, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_moved(part, device) for part in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(_moved(part, device) for part in batch)
    return batch.to(device, non_blocking=True) if hasattr(batch, "to") else batch


def __getattr__(name: str) -> Any:
    for beginning, instead in GONE.items():
        if name.startswith(beginning):
            raise ImportError(f"hopslite.maggy.patching has no {name}: {instead}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
