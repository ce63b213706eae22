"""A configuration as a training function: what is sent to the trials."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ..core.redaction import redact_value
from ..core.types import BUDGET
from ..executor.context import current_reporter
from ..executor.report import report
from ..tensorboard import logdir
from ._allowed import Names
from ._axes import BUDGET_REFERENCE, Axes, substitute
from ._document import Document
from ._registry import exported
from ._source import public_names

__all__ = ["FILE", "Training", "as_json"]

FILE = "config.json"  # in the directories of the run and of its trials


@dataclasses.dataclass(frozen=True)
class Training:
    """Training function of a configuration, whose parameters are its axes.

    Attributes:
        document: the configuration.
        axes: its axes.
        allow: packages that it may use, beside those that it always may.
        exported: objects of the driver's program, by the names that the configuration uses.
        sources: the names and texts of Python files that are run before, which export objects.
        metrics: the names of those that the run optimises.
    """

    document: Document
    axes: Axes
    allow: tuple[str, ...] = ()
    exported: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sources: tuple[tuple[str, str], ...] = ()
    metrics: tuple[str, ...] = ()

    @property
    def __name__(self) -> str:
        return "configured.train"

    @property
    def __signature__(self) -> inspect.Signature:
        kind = inspect.Parameter.KEYWORD_ONLY
        # a condition may leave any of them out
        axes = [inspect.Parameter(name, kind, default=None) for name in self.axes.dimensions]
        return inspect.Signature([inspect.Parameter(BUDGET, kind), *axes] if self.has_budget else axes)

    @property
    def has_budget(self) -> bool:
        """True if a value of the configuration is the budget of a trial."""
        return json.dumps(BUDGET_REFERENCE) in json.dumps(self.document.values)

    @property
    def snapshot_files(self) -> dict[str, bytes]:
        """Files that are kept in the run directory."""
        return {FILE: as_json(self.document.values)}

    def __call__(self, **params: Any) -> dict[str, Any]:
        return self.train(params, logdir() or os.getcwd(), _report)

    def train(
        self, params: Mapping[str, Any], folder: str, on_epoch: Callable[[int, dict[str, float]], object]
    ) -> dict[str, Any]:
        """Train in this process; returns the last metrics by name, and the file of the model."""
        values = substitute(self.document.values, self.axes, params)
        with open(os.path.join(folder, FILE), "wb") as file:
            file.write(as_json(values))
        for path, text in self.sources:
            _run_source(path, text)
        names = Names(self.allow, {**exported(), **self.exported}, public_names)
        from ._cycles import Cycles  # here for the first time Keras is imported
        from ._resolve import Resolver

        document = dataclasses.replace(self.document, values=values)
        return Cycles(Resolver(document, names, folder), folder, self.metrics, on_epoch).run()


def _report(epoch: int, metrics: dict[str, float]) -> None:
    if current_reporter() is not None:
        report(metrics, epoch)


def as_json(values: Any) -> bytes:
    """A configuration as JSON, without values that may be secret."""
    return (json.dumps(redact_value(values), indent=2, ensure_ascii=False) + "\n").encode()


def _run_source(path: str, text: str) -> None:
    """Run a program's text as a module, which may be imported by the ones that follow."""
    name = os.path.splitext(os.path.basename(path))[0]
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(text, path, "exec"), module.__dict__)
