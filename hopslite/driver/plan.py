"""The checked decisions of a verb: the complete description of a run before it begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..core.objectives import Objective
from ..core.types import Direction
from ..executor.inputs import Input
from ..pool import Resources
from ..programs.command import Command
from ..search import Search
from ..stop import Stopper
from .keywords import Options

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
    options: Options  # the planned ones
    is_search: bool = True
    direction: Direction | None = None
    optimization_key: str | None = None
    objectives: tuple[Objective, ...] = ()  # of a run that optimises several metrics; it has no direction and no key
    description: str | None = None
    local_logdir: bool = False
    resources: Resources = dataclasses.field(default_factory=Resources)
    max_restarts: int = 0
    stopper: Stopper | None = None
    inputs: tuple[Input, ...] = ()
    prior: dict[str, Any] = dataclasses.field(default_factory=dict)  # what the search knew, for the record
    secrets: Mapping[str, str] | None = dataclasses.field(default=None, repr=False)  # texts that are not stored
    resumable: bool = True  # another driver can go on with it
    program: bytes | None = dataclasses.field(default=None, repr=False)  # train_fn, serialized with its program

    @property
    def term_seconds(self) -> float:
        """Seconds between SIGTERM and SIGKILL for trials that end early; 0 for functions, which get no SIGTERM."""
        return self.train_fn.stop_grace if isinstance(self.train_fn, Command) else 0.0

    @property
    def ranked_by(self) -> str | None:
        """The argument whose largest value the best trial has, as the budget of `hyperband`; None: any may be best."""
        return getattr(self.search, "budget", None) if getattr(self.search, "ranks_by_budget", False) else None
