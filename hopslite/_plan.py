"""What a verb decided: everything that the study needs to know of a run before it begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ._trial import Direction
from .pool import Resources
from .runtime.inputs import Input
from .search import Search
from .stop import Stopper

__all__ = ["Plan"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that a verb decided, checked: what to run, how to choose, when to end."""

    verb: str
    title: str
    name: str
    train_fn: Callable[..., Any]
    search: Search
    space: Any  # JSON form, for the record
    choices: tuple[Any, ...]  # values that hyperparameters can take, where they are listed
    seed: int
    is_search: bool = True
    direction: Direction | None = None
    optimization_key: str | None = None
    description: str | None = None
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    local_logdir: bool = False
    isolation: str = "process"
    resources: Resources = dataclasses.field(default_factory=Resources)
    trial_timeout: float | None = None
    timeout: float | None = None
    max_failures: int | None = None
    max_retries: int = 2
    max_restarts: int = 0
    verbose: bool = False
    stopper: Stopper | None = None
    report_as: str = "last"
    stop_grace: float = 10.0
    heartbeat_timeout: float | None = None
    inputs: tuple[Input, ...] = ()
