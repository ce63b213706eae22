"""Translation of a call of `lagom` to a call of one of hopslite's verbs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..core import signatures
from ..errors import InvalidArguments
from ..space import Space, choice
from ._bound import REPORTER, Bound, binding_problems
from ._config import AblationConfig, BaseConfig, HyperparameterOptConfig, LagomConfig
from ._distributed import Mirrored, Parallel, module_of, tf_problems, torch_problems
from ._optimizers import SINGLE, Algorithm, algorithm_of
from ._searchspace import space_of
from ._stopping import stopper_of
from ._tf_data import batch_notes, portable

__all__ = ["LagomCall", "plan_of"]

WHERE = "experiment.lagom()"
ROUND = "round"  # the only hyperparameter of identical trials; the function does not get it
OF_SEARCH = ("searchspace", "optimizer", "direction", "num_trials", "es_interval", "es_min", "es_policy")
OF_ABLATION = ("ablation_study", "ablator")
COMMON = ("name", "description", "hb_interval", "optimization_key", "model", "dataset")
OLD_FORM = (*OF_SEARCH, *OF_ABLATION, *COMMON, "experiment_type", "hparams")
KINDS = {
    "HyperparameterOptConfig": "search",
    "OptimizationConfig": "search",
    "AblationConfig": "ablation",
    "TfDistributedConfig": "tensorflow",
    "TorchDistributedConfig": "torch",
    "DistributedConfig": "torch",  # of Maggy's own classes
    "BaseConfig": "launch",
}


@dataclasses.dataclass(frozen=True)
class LagomCall:
    """Call to make: `getattr(experiment, verb)(train_fn, **arguments)`; `notes` are lines for the user.

    `kind` is search, ablation, distributed or launch, `title` Maggy's name of the optimizer, `hidden` the
    hyperparameters that the user's function does not get.
    """

    kind: str
    train_fn: Callable[..., Any]
    arguments: dict[str, Any]
    title: str = ""
    notes: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """The verb's name in `experiment`."""
        return self.kind


def plan_of(train_fn: Any, config: Any = None, keywords: Mapping[str, Any] | None = None) -> LagomCall:
    """Translate a call of `lagom`.

    Args:
        train_fn: the training function; None if the old `map_fun` is among the keywords.
        config: an object of one of the configuration classes, Maggy's own included, or None.
        keywords: those of Maggy's older form, and any that the verb takes, which are passed on.

    Raises:
        InvalidArguments: the call cannot work; the message lists all problems.
    """
    options = dict(keywords or {})
    if train_fn is None:
        train_fn = options.pop("map_fun", None)
    old = {name: options.pop(name) for name in OLD_FORM if name in options}
    problems: list[str] = []
    if not callable(train_fn):
        problems.append(f"train_fn is {train_fn!r}; give the training function")
    if config is None:
        config = _config_of(old, problems)
    elif old:
        problems.append(f"{', '.join(old)}: given in addition to a configuration; set them in the configuration")
    kind = _kind(config)
    if kind is None:
        problems.append(f"config={config!r:.80}; give a configuration of {', '.join(KINDS)}, or keywords")
    if problems:
        raise InvalidArguments(WHERE, problems)
    makers = {"search": _search, "ablation": _ablation, "tensorflow": _tensorflow, "torch": _torch, "launch": _launch}
    call = makers[str(kind)](train_fn, config)
    interval = getattr(config, "hb_interval", 1)
    notes = call.notes if interval == 1 else (*call.notes, f"hb_interval={interval!r} is not needed and not used")
    about = {"name": getattr(config, "name", "no-name"), "description": getattr(config, "description", None) or None}
    return dataclasses.replace(call, arguments={**about, **call.arguments, **options}, notes=notes)


def _config_of(old: dict[str, Any], problems: list[str]) -> LagomConfig | None:
    """The configuration for the keywords of the older form."""
    kind = old.pop("experiment_type", None)
    kind = kind or ("ablation" if "ablation_study" in old else None)
    common = {name: old[name] for name in COMMON if name in old}
    allowed: tuple[str, ...]
    if kind == "ablation":
        if old.get("ablation_study") is None:
            problems.append("ablation_study is missing; give a hopslite.ablation.AblationStudy")
        allowed = (*COMMON, *OF_ABLATION, "direction")
        made: Callable[..., LagomConfig] = AblationConfig
        options = {"ablation_study": None, **{name: old[name] for name in (*OF_ABLATION, "direction") if name in old}}
    elif kind not in (None, "optimization"):
        problems.append(f"experiment_type={kind!r}; allowed are 'optimization' and 'ablation'")
        return BaseConfig()
    elif any(name in old for name in ("searchspace", "optimizer", "num_trials")):
        allowed = (*COMMON, *OF_SEARCH)
        made = HyperparameterOptConfig
        options = {"num_trials": 1, "optimizer": "randomsearch", "searchspace": None}
        options |= {name: old[name] for name in OF_SEARCH if name in old}
    else:
        allowed = (*COMMON, "hparams")
        made = BaseConfig
        options = {"hparams": old.get("hparams")}
        common.pop("optimization_key", None)
    unused = [name for name in old if name not in allowed]
    if unused:
        problems.append(f"{', '.join(unused)}: not for this kind of experiment; leave it out")
    try:
        return made(**{"name": "no-name", **common, **options})
    except InvalidArguments as error:
        problems += error.problems
        return BaseConfig()


def _kind(config: Any) -> str | None:
    """Kind of a configuration, by its class's name, so that Maggy's own classes are recognised, too."""
    return next((KINDS[base.__name__] for base in type(config).__mro__ if base.__name__ in KINDS), None)


# --- searches


def _search(train_fn: Callable[..., Any], config: Any) -> LagomCall:
    problems: list[str] = []
    algorithm = _attempt(problems, algorithm_of, config.optimizer) or Algorithm("random", "")
    space = _attempt(problems, space_of, config.searchspace)
    hidden: tuple[str, ...] = ()
    name: Any = algorithm.name
    num_trials = None if algorithm.counts or name == SINGLE else config.num_trials
    if name == SINGLE:
        space, name, hidden = Space({ROUND: choice(range(config.num_trials))}), "grid", (ROUND,)
    if space is None and not problems:
        problems.append("searchspace is missing; give a Searchspace, or a dict of hopslite.space")
    visible = [name for name in space or () if name not in hidden]
    extra = {"model": getattr(config, "model", None), "dataset": getattr(config, "dataset", None)}
    problems += binding_problems(train_fn, [*visible, *([algorithm.budget] if algorithm.budget else [])], extra)
    stopper = _attempt(problems, _stopper, train_fn, config, algorithm)
    if problems:
        raise InvalidArguments(WHERE, problems)
    key = getattr(config, "optimization_key", None)
    arguments = {
        "space": space,
        "algorithm": name,
        "direction": config.direction,
        "num_trials": num_trials,
        "optimization_key": _key(key),
        "algorithm_options": algorithm.options or None,
        "stopper": stopper,
    }
    return LagomCall("search", Bound(train_fn, extra, hidden), arguments, algorithm.title, algorithm.notes, hidden)


def _attempt(problems: list[str], make: Callable[..., Any], *args: Any) -> Any:
    try:
        return make(*args)
    except InvalidArguments as error:
        problems += error.problems
        return None


def _stopper(train_fn: Callable[..., Any], config: Any, algorithm: Algorithm) -> Any:
    """The stopper; Maggy's default, the median rule, is not used without reports or with rungs."""
    policy = getattr(config, "es_policy", "median")
    if policy == "median" and (algorithm.budget or REPORTER not in signatures.parameters(train_fn).names):
        return None
    return stopper_of(policy, getattr(config, "es_interval", 1), getattr(config, "es_min", 10))


def _key(key: Any) -> Any:
    """The optimization key: "metric" for Maggy's default "Metric"; a dict with one number needs no key."""
    return "metric" if key is None or (isinstance(key, str) and key.lower() == "metric") else key


# --- the other kinds


def _ablation(train_fn: Callable[..., Any], config: Any) -> LagomCall:
    ablator = getattr(config, "ablator", "loco")
    name = ablator if isinstance(ablator, str) else getattr(ablator, "__name__", type(ablator).__name__)
    if name.lower() != "loco":
        raise InvalidArguments(
            WHERE, [f"ablator={ablator!r}; hopslite has only 'loco', which leaves out one component at a time"]
        )
    arguments = {
        "study": config.ablation_study,
        "direction": config.direction,
        "optimization_key": _key(getattr(config, "optimization_key", None)),
    }
    return LagomCall("ablation", train_fn, arguments, "LOCO")


def _tensorflow(train_fn: Callable[..., Any], config: Any) -> LagomCall:
    arguments = _config_values(config, "model")
    problems = [*tf_problems(config), *binding_problems(train_fn, [], arguments)]
    if problems:
        raise InvalidArguments(WHERE, problems)
    data = {name: _attempt(problems, portable, name, arguments[name]) for name in ("dataset", "train_set", "test_set")}
    if problems:
        raise InvalidArguments(WHERE, problems)
    wrapped = Mirrored(train_fn, {**arguments, **data}, getattr(config, "process_data", None))
    return LagomCall("distributed", wrapped, {"strategy": "multi_worker_mirrored"}, notes=batch_notes(arguments))


def _torch(train_fn: Callable[..., Any], config: Any) -> LagomCall:
    arguments = _config_values(config, "module")
    arguments["module"] = arguments["model"] = module_of(config)
    problems = [*torch_problems(config), *binding_problems(train_fn, [], arguments)]
    if problems:
        raise InvalidArguments(WHERE, problems)
    return LagomCall("distributed", Parallel(train_fn, arguments), {"strategy": "torch"})


def _config_values(config: Any, model: str) -> dict[str, Any]:
    names = (model, "dataset", "train_set", "test_set")
    return {**{name: getattr(config, name, None) for name in names}, "hparams": getattr(config, "hparams", None) or {}}


def _launch(train_fn: Callable[..., Any], config: Any) -> LagomCall:
    arguments = {name: getattr(config, name, None) for name in ("model", "dataset")}
    hparams = getattr(config, "hparams", None) or {}
    problems = binding_problems(train_fn, [], {**arguments, **hparams})
    if problems:
        raise InvalidArguments(WHERE, problems)
    return LagomCall("launch", Bound(train_fn, {**arguments, **hparams, "hparams": hparams}), {})
