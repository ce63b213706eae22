"""Call of a training function as in Maggy: each argument by name, if the function has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..core import signatures

__all__ = ["Bound", "REPORTER", "binding_problems"]

REPORTER = "reporter"


def binding_problems(train_fn: Callable[..., Any], names: list[str], extra: Mapping[str, Any]) -> list[str]:
    takes = signatures.parameters(train_fn)
    function = getattr(train_fn, "__name__", type(train_fn).__name__)
    problems = []
    known = [*names, *extra, "hparams", REPORTER]
    unknown = [name for name in takes.required if name not in known]
    if unknown:
        problems.append(
            f"{function}() takes {', '.join(unknown)}, which it does not get; it can have {', '.join(known)}"
        )
    lost = [name for name in names if not takes.takes(name) and not takes.takes("hparams")]
    if lost:
        problems.append(
            f"{function}() has no parameter {', '.join(lost)}, and no hparams, which holds all of them in a dict"
        )
    return problems


class Bound:
    """Training function that is called with the arguments that it names: hyperparameters, `hparams`, `model` …"""

    __wrapped__: Callable[..., Any]

    def __init__(self, train_fn: Callable[..., Any], extra: Mapping[str, Any], hidden: tuple[str, ...] = ()) -> None:
        self._extra, self._hidden = dict(extra), hidden
        names = [REPORTER] if REPORTER in signatures.parameters(train_fn).names else []
        signatures.wrapped(self, train_fn, *names, any_name=True)

    def __call__(self, **params: Any) -> Any:
        fn = self.__wrapped__
        reporter = {REPORTER: params.pop(REPORTER)} if REPORTER in params else {}
        shown = {name: value for name, value in params.items() if name not in self._hidden}
        takes = signatures.parameters(fn)
        arguments = {"hparams": dict(shown), **self._extra, **reporter, **shown}
        if takes.open:  # **kwargs gets only hyperparameters
            arguments = {name: value for name, value in arguments.items() if name in takes.names or name in shown}
        return _with_metric(fn(**takes.choose(arguments)))


def _with_metric(returned: Any) -> Any:
    """The returned value, with Maggy's key "Metric" as the metric."""
    if not isinstance(returned, dict) or "metric" in returned:
        return returned
    return {"metric" if isinstance(k, str) and k.lower() == "metric" else k: value for k, value in returned.items()}
