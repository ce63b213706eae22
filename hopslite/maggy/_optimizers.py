"""Maggy's optimizers as algorithms of hopslite with options."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

from ..errors import InvalidArguments

__all__ = ["Algorithm", "Asha", "GP", "GridSearch", "RandomSearch", "SingleRun", "TPE", "algorithm_of"]

SINGLE = "none"
PRUNER_OPTIONS = {"min_budget": "min_budget", "max_budget": "max_budget", "eta": "reduction_factor"}
WARMUP_TRIALS = 15


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """An algorithm of `experiment.search` with its options; `title` is Maggy's name for it.

    `name` is "none" for identical trials. `counts` is true if the algorithm determines the number of trials, and
    `num_trials` is ignored.
    """

    name: Any
    title: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    counts: bool = False

    @property
    def budget(self) -> str | None:
        """Name of the argument that trials get in addition to their hyperparameters."""
        return "budget" if self.name in ("asha", "hyperband") else None


@dataclasses.dataclass(kw_only=True)
class _Optimizer:
    pruner: Any = None
    pruner_kwargs: dict[str, Any] | None = None


@dataclasses.dataclass
class RandomSearch(_Optimizer):
    """Random combinations."""


@dataclasses.dataclass
class GridSearch(_Optimizer):
    """All combinations; `num_trials` is ignored."""


@dataclasses.dataclass
class SingleRun(_Optimizer):
    """The same trial `num_trials` times, without hyperparameters."""


@dataclasses.dataclass
class Asha(_Optimizer):
    """Successive halving: `num_trials` configurations, of which the best are trained longer; trials get a `budget`."""

    reduction_factor: int = 2
    resource_min: int = 1
    resource_max: int = 4


@dataclasses.dataclass(kw_only=True)
class _Model(_Optimizer):
    num_warmup_trials: int = WARMUP_TRIALS
    random_fraction: float = 0.33
    interim_results: bool = False
    interim_results_interval: int = 10


@dataclasses.dataclass
class TPE(_Model):
    """The tree-structured Parzen estimator, of Optuna."""

    gamma: float = 0.15
    n_samples: int = 24
    bw_estimation: str = "normal_reference"
    bw_factor: int = 3


@dataclasses.dataclass
class GP(_Model):
    """A Gaussian process, of Optuna."""

    async_strategy: str = "impute"
    impute_strategy: str = "cl_min"
    acq_fun: Any = None
    acq_fun_kwargs: dict[str, Any] | None = None
    acq_optimizer: str = "lbfgs"
    acq_optimizer_kwargs: dict[str, Any] | None = None


class _Good:
    """Number of trials that TPE considers good, as a callable for Optuna."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, trials: int) -> int:
        return math.ceil(self.share * trials)

    def __repr__(self) -> str:
        return f"{self.share:g} of the trials"


@dataclasses.dataclass(frozen=True)
class _Meaning:
    name: str
    holder: type[_Optimizer]
    options: dict[str, str] = dataclasses.field(default_factory=dict)  # Maggy's name by hopslite's
    aliases: tuple[str, ...] = ()
    special: dict[str, Callable[[Any], Any]] = dataclasses.field(default_factory=dict)


class _Known:
    """Algorithms by the names of Maggy's classes."""

    MEANINGS: ClassVar[dict[str, _Meaning]] = {
        "RandomSearch": _Meaning("random", RandomSearch, aliases=("randomsearch", "random")),
        "GridSearch": _Meaning("grid", GridSearch, aliases=("gridsearch", "grid")),
        "SingleRun": _Meaning(SINGLE, SingleRun, aliases=("none", "singlerun")),
        "Asha": _Meaning(
            "asha",
            Asha,
            {"reduction_factor": "reduction_factor", "min_budget": "resource_min", "max_budget": "resource_max"},
            aliases=("asha",),
        ),
        "TPE": _Meaning(
            "tpe",
            TPE,
            {"n_startup_trials": "num_warmup_trials", "n_ei_candidates": "n_samples", "gamma": "gamma"},
            aliases=("tpe",),
            special={"gamma": _Good},
        ),
        "GP": _Meaning("gp", GP, {"n_startup_trials": "num_warmup_trials"}, aliases=("gp",)),
    }
    ALIASES: ClassVar[dict[str, str]] = {alias: name for name, m in MEANINGS.items() for alias in m.aliases}


def algorithm_of(optimizer: Any) -> Algorithm:
    """Algorithm for one of Maggy's names or objects; other values unchanged.

    Raises:
        InvalidArguments: the object is a custom algorithm for Maggy, or has a pruner that is not Hyperband.
    """
    if isinstance(optimizer, type) and optimizer.__name__ in _Known.MEANINGS:
        optimizer = _Known.MEANINGS[optimizer.__name__].aliases[0]
    if isinstance(optimizer, str):
        title = _Known.ALIASES.get(optimizer.strip().lower())
        if title is None:
            return Algorithm(optimizer, optimizer)
        return _translated(title, _Known.MEANINGS[title].holder())
    name = next((base.__name__ for base in type(optimizer).__mro__ if base.__name__ in _Known.MEANINGS), None)
    if name is not None:
        return _translated(name, optimizer)
    if callable(getattr(optimizer, "get_suggestion", None)):
        raise InvalidArguments(
            "",
            [
                f"optimizer={type(optimizer).__name__}() is an algorithm for Maggy (get_suggestion); hopslite's have "
                "ask() and tell(), see docs/search.md, and are given as optimizer= here, too"
            ],
        )
    return Algorithm(optimizer, getattr(optimizer, "__name__", type(optimizer).__name__))


def _translated(title: str, optimizer: Any) -> Algorithm:
    meaning = _Known.MEANINGS[title]
    defaults = {field.name: field.default for field in dataclasses.fields(meaning.holder)}
    options = {}
    for ours, theirs in meaning.options.items():
        value = getattr(optimizer, theirs, defaults[theirs])
        if theirs in meaning.special:  # only if it differs from the common default
            if value != defaults[theirs]:
                options[ours] = meaning.special[theirs](value)
        else:
            options[ours] = value
    unused = _unused(
        optimizer, {k: v for k, v in defaults.items() if k not in {*meaning.options.values(), "pruner_kwargs"}}
    )
    notes = _not_used(title, unused)
    pruner = getattr(optimizer, "pruner", None)
    if pruner is None:
        return Algorithm(meaning.name, title, options, tuple(notes), meaning.name == "grid")
    changed = [
        f"{theirs}={getattr(optimizer, theirs, None)!r}"
        for theirs in meaning.options.values()
        if getattr(optimizer, theirs, defaults[theirs]) != defaults[theirs]
    ]
    return _pruned(title, meaning.name, optimizer, pruner, [*notes, *_not_used("hyperband", changed)])


def _not_used(title: str, unused: list[str]) -> list[str]:
    return [f"{title}: no counterpart in hopslite, not used: {', '.join(unused)}"] if unused else []


def _unused(optimizer: Any, defaults: dict[str, Any]) -> list[str]:
    """Parameters that are ignored."""
    unused = []
    for name, default in defaults.items():
        value = getattr(optimizer, name, default)
        plain = isinstance(value, (str, int, float, dict, type(None)))
        if name != "pruner" and plain and value != default:
            unused.append(f"{name}={value!r}")
    return unused


def _pruned(title: str, sampler: str, optimizer: Any, pruner: Any, notes: list[str]) -> Algorithm:
    """Hyperband, which gets its configurations from the optimizer."""
    kind = pruner if isinstance(pruner, str) else type(pruner).__name__
    if kind.lower() != "hyperband":
        raise InvalidArguments("", [f"pruner={kind!r}; hopslite has 'hyperband'"])
    if sampler in ("asha", SINGLE, "grid"):
        raise InvalidArguments("", [f"pruner='hyperband' with {title}; use it with RandomSearch, TPE or GP"])
    wanted = dict(getattr(optimizer, "pruner_kwargs", None) or {})
    if not isinstance(pruner, str):
        wanted = {name: getattr(pruner, name) for name in (*PRUNER_OPTIONS, "n_iterations") if hasattr(pruner, name)}
    options = {ours: wanted.pop(theirs) for theirs, ours in PRUNER_OPTIONS.items() if theirs in wanted}
    notes = [*notes, *_not_used("hyperband, whose brackets run once", [f"{k}={v!r}" for k, v in wanted.items()])]
    return Algorithm("hyperband", f"{title} with Hyperband", {**options, "sampler": sampler}, tuple(notes), counts=True)
