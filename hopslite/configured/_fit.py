"""Training of a configuration in this process, without Spark and without a record."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.suggestions import did_you_mean
from ..errors import InvalidConfiguration
from ..space import When
from ._train import prepare

__all__ = ["fit"]


def fit(
    config: Any,
    params: Mapping[str, Any] | None = None,
    *,
    folder: str | os.PathLike[str] = ".",
    on_epoch: Callable[[int, dict[str, float]], object] | None = None,
    allow: Sequence[str] = (),
    imports: Sequence[str | os.PathLike[str]] = (),
) -> dict[str, Any]:
    """Train a configuration in this process, without Spark and without a record.

    For tests, and for programs that `hopslite run` starts. The mistakes that `train` finds are found here as well.

    >>> from hopslite import configured
    >>> configured.fit({"model": {"os.system": {"command": "ls"}}})  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ...
    hopslite.errors.InvalidConfiguration: ...

    Args:
        config: a list of cycles, one cycle, or the path of a file in .json, .hjson or .yaml.
        params: the value of each axis by its parameter's name, as in the trials of a search.
        folder: where `model.keras`, `config.json` and the files of callbacks are written; it is made.
        on_epoch: called after each epoch with its number, counted over the cycles from 0, and its metrics by name.
        allow, imports: as for `train`.

    Returns:
        The metrics of the last epoch by name, and the name of the model's file as `model`.

    Raises:
        InvalidConfiguration: the configuration cannot work, or `params` are not those of its axes.
    """
    training, _ = prepare(config, allow, imports)
    values, axes = dict(params or {}), training.axes.dimensions
    known = f"parameters: {', '.join(axes) or 'none'}"
    problems = [
        f"there is no parameter {name!r}; {did_you_mean(name, axes, known)}" for name in values if name not in axes
    ]
    missing = [name for name, axis in axes.items() if name not in values and not isinstance(axis, When)]
    problems += [f"the configuration has the axis {name}; give params={{{name!r}: …}}" for name in missing]
    if problems:
        raise InvalidConfiguration(problems)
    os.makedirs(folder, exist_ok=True)
    return training.train(values, os.path.abspath(folder), on_epoch or _ignore)


def _ignore(epoch: int, metrics: dict[str, float]) -> None:
    pass
