"""Optuna's studies in memory; Optuna is imported when one is made."""

from __future__ import annotations

import logging
from typing import Any

from .objectives import Directions
from .types import Direction

__all__ = ["new_study"]

NAME = "hopslite"


def new_study(direction: Directions, sampler: Any, pruner: Any = None) -> Any:
    """A study in memory, without a message of Optuna's about it."""
    import optuna

    storage = optuna.storages.InMemoryStorage()
    logging.getLogger(type(storage).__module__).addFilter(_not_ours)
    return optuna.create_study(
        storage=storage,
        study_name=NAME,
        sampler=sampler,
        pruner=pruner,
        directions=[
            "maximize" if one is Direction.MAX else "minimize"
            for one in (direction if isinstance(direction, tuple) else (direction,))
        ],
    )


def _not_ours(record: logging.LogRecord) -> bool:
    """Filter for Optuna's logger that drops the messages about studies made here."""
    return not record.getMessage().endswith(f"name: {NAME}")
