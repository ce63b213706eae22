"""How a training function is called with hyperparameters by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from hopslite.serialization.values import call_arguments

REPORTER = object()


def plain(lr: float, reporter: Any = None) -> Any:
    return lr, reporter


@functools.wraps(plain)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return plain(*args, **kwargs)


def declared(*args: Any, **kwargs: Any) -> Any:
    return plain(*args, **kwargs)


declared.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]


def by_position(lr: float, /, reporter: Any = None) -> Any:
    return lr, reporter


class Trainer:
    def __call__(self, lr: float, reporter: Any = None) -> Any:
        return lr, reporter


@pytest.mark.parametrize(
    "fn", [plain, wrapped, declared, by_position, functools.partial(plain), Trainer(), Trainer().__call__]
)
def test_a_function_has_the_parameters_that_its_signature_tells(fn: Callable[..., Any]) -> None:
    args, kwargs = call_arguments(fn, {"lr": 0.1}, REPORTER)
    assert fn(*args, **kwargs) == (0.1, REPORTER)
