"""Calling a training function as Maggy did: each argument by its name, as far as the function has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import _binding

__all__ = ["Bound", "REPORTER", "binding_problems"]

REPORTER = "reporter"


def binding_problems(train_fn: Callable[..., Any], names: list[str], extra: Mapping[str, Any]) -> list[str]:
    takes = _binding.parameters(train_fn)
    function = getattr(train_fn, "__name__", type(train_fn).__name__)
    found = []
    known = [*names, *extra, "hparams", REPORTER]
    unknown = [name for name in takes.required if name not in known]
    if unknown:
        found.append(f"{function}() takes {', '.join(unknown)}, which nobody gives; it can have {', '.join(known)}")
    lost = [name for name in names if not takes.takes(name) and not takes.takes("hparams")]
    if lost:
        found.append(
            f"{function}() has no parameter {', '.join(lost)}, and no hparams, which holds all of them in a dict"
        )
    return found


class Bound:
    """A training function that gets what it names: hyperparameters, all of them as `hparams`, `model`, `reporter`…"""

    __wrapped__: Callable[..., Any]

    def __init__(self, train_fn: Callable[..., Any], extra: Mapping[str, Any], hidden: tuple[str, ...] = ()) -> None:
        self._extra, self._hidden = dict(extra), hidden
        names = [REPORTER] if REPORTER in _binding.parameters(train_fn).names else []
        _binding.wrapped(self, train_fn, *names, any_name=True)

    def __call__(self, **params: Any) -> Any:
        fn = self.__wrapped__
        reporter = {REPORTER: params.pop(REPORTER)} if REPORTER in params else {}
        shown = {name: value for name, value in params.items() if name not in self._hidden}
        takes = _binding.parameters(fn)
        given = {"hparams": dict(shown), **self._extra, **reporter, **shown}
        if takes.open:  # what is not named goes to **kwargs: hyperparameters only
            given = {name: value for name, value in given.items() if name in takes.names or name in shown}
        return _with_metric(fn(**takes.choose(given)))


def _with_metric(returned: Any) -> Any:
    """A dict's "Metric", in Maggy's spelling, is the metric."""
    if not isinstance(returned, dict) or "metric" in returned:
        return returned
    return {"metric" if isinstance(k, str) and k.lower() == "metric" else k: value for k, value in returned.items()}
