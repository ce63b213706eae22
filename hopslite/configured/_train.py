"""The call that trains a configuration: checked here, run as trials."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import experiment
from ..core.redaction import REDACTED
from ..core.types import DirectionName, State
from ..driver.keywords import SearchOptions
from ..driver.signatures import unknown_keywords, with_options
from ..errors import InvalidArguments, InvalidConfiguration
from ..result import Run
from ..storage.run_directory import RunDir
from ..submission.text_files import read_text
from ._allowed import Names
from ._axes import collect_axes, substitute
from ._check import check_document
from ._document import Document, Path, document_of
from ._registry import exported
from ._source import Arguments, exported_names, public_names
from ._training import FILE, Training, as_json

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["BEST", "METRIC", "best_config", "prepare", "redacted_places", "train"]

BEST = "best.json"
METRIC = "val_loss"
LOWER_IS_BETTER = ("loss", "error", "mse", "mae", "mape", "msle", "entropy", "hinge", "divergence", "perplexity")


@with_options(SearchOptions, package="configured")
def train(
    config: Any,
    algorithm: Any = "random",
    direction: Any = None,
    num_trials: int | None = None,
    name: str | None = None,
    local_logdir: bool = False,
    description: str | None = None,
    metric: str | Sequence[str] | None = None,
    *,
    algorithm_options: Mapping[str, Any] | None = None,
    allow: Sequence[str] = (),
    imports: Sequence[str | os.PathLike[str]] = (),
    **options: Unpack[SearchOptions],
) -> Run:
    """Train a configuration, or search for the best one where it has axes such as `{"$loguniform": [1e-4, 1e-1]}`.

    Everything that can be known to be wrong without Keras is an error before anything starts; the rest, such as the
    name of a submodel, before the first cycle trains. Each epoch is reported with all metrics, counted over the cycles.
    The trial's directory has its `config.json`, `model.keras`, and what callbacks write.

    >>> from hopslite import configured
    >>> configured.train([{"model": {"os.system": {"command": "ls"}}}])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ...
    hopslite.errors.InvalidConfiguration: ...

    Args:
        config: a list of cycles, one cycle, or the path of a file in .json, .hjson or .yaml.
        algorithm, num_trials, algorithm_options: of a search, as for `experiment.search`. An algorithm with budgets,
            such as "hyperband", gives each trial the value of `"${budget}"` in the configuration, as for `num_epochs`.
        direction: whether `metric` is to be "max" or "min"; default: "min" for losses and errors, otherwise "max".
        name: what the run is called; default: the file's name.
        local_logdir, description: as for `experiment.launch`.
        metric: the name in Keras's logs of what is optimised, or several; default: "val_loss". Without a search, the
            run's metric; default: none.
        allow: packages, modules or names that the configuration may use beside those of Keras and hopslite. All their
            public functions may then be called with any arguments.
        imports: Python files that are run in each trial before, whose classes and functions with the decorator
            `export_config` the configuration may use by their bare names.

    Returns:
        The run. A search keeps the best configuration as `best.json` in the run's directory; see `best_config`.

    Raises:
        InvalidConfiguration: the configuration cannot work; with the file, line and path of each problem.
        InvalidArguments, TrialFailed: as for `experiment.search` and `experiment.launch`.
    """
    if unknown := unknown_keywords(train, options):
        raise InvalidArguments("configured.train()", unknown)
    training, stem = prepare(config, allow, imports, frozenset(options.get("inputs") or ()))
    keywords: dict[str, Any] = {
        "local_logdir": local_logdir,
        "description": description,
        **options,
        "name": name or stem,
    }
    if not training.axes.dimensions:
        _refuse_search(algorithm, num_trials, algorithm_options, direction)
        names = _listed(metric)
        only = names[0] if names else None
        return experiment.launch(dataclasses.replace(training, metrics=names), metric_key=only, **keywords)
    key: str | Sequence[str] = metric or METRIC
    run = experiment.search(
        dataclasses.replace(training, metrics=_listed(key)),
        training.axes.dimensions,
        algorithm,
        direction=direction or (_direction(key) if isinstance(key, str) else [_direction(name) for name in key]),
        num_trials=num_trials,
        optimization_key=key,
        algorithm_options=algorithm_options,
        **keywords,
    )
    if not run.objectives and run.best_trial is not None:
        RunDir(run.logdir).write_bytes(BEST, as_json(best_config(run)))
    return run


def best_config(run: Run, original: Any = None) -> list[dict[str, Any]]:
    """The configuration of the best trial of a search, or of the only trial; it trains alone.

    Args:
        original: the configuration that was searched, as for `train`. Values that may be secret, such as a `token`, are
            in no record of a run, and so `(redacted)` in the result; they are taken from here.

    Raises:
        InvalidConfiguration: the run has no trained configuration, or `original` is another one than that of the run.
        InvalidArguments: `original` is a file that cannot be read as text.
    """
    trial = run.best_trial if run.direction is not None else next(iter(run.trials), None)
    content = None
    if trial is not None and trial.state in (State.FINISHED, State.STOPPED):
        with contextlib.suppress(OSError):
            content = RunDir(trial.logdir).read_bytes(FILE)
    if content is None:
        raise InvalidConfiguration([f"run {run.run_id} has no trial with a trained configuration"])
    values: list[dict[str, Any]] = json.loads(content)
    return values if trial is None or original is None else _completed(values, document_of(original), trial.params)


def _completed(values: Any, original: Document, params: Mapping[str, Any]) -> Any:
    """Values of a trial's configuration, with the secrets of the one that was searched."""
    axes, _ = collect_axes(original)
    try:
        complete = substitute(original.values, axes, params)
    except (LookupError, TypeError):  # it has other alternatives
        complete = None
    if complete is None or json.loads(as_json(complete)) != values:
        name = original.name or "the configuration"
        raise InvalidConfiguration([f"{name} is another one than that of the run, and so its secret values may be"])
    return complete


def redacted_places(values: Any, path: Path = ()) -> list[Path]:
    """Paths of the values that a record does not have."""
    if isinstance(values, Mapping | list):
        items = values.items() if isinstance(values, Mapping) else enumerate(values)
        return [place for key, item in items for place in redacted_places(item, (*path, key))]
    return [path] if values == REDACTED else []


def prepare(
    config: Any,
    allow: Sequence[str] = (),
    imports: Sequence[str | os.PathLike[str]] = (),
    inputs: frozenset[str] = frozenset(),
) -> tuple[Training, str]:
    """The training function of a configuration, and a name for its run.

    Raises:
        InvalidConfiguration: with all problems.
    """
    document = document_of(config)
    problems = [f"allow: {item!r} is no name of a package" for item in allow if not _is_package(item)]
    sources, declared = _sources(imports, problems)
    of_process = exported()
    names = Names(tuple(allow), {**of_process, **dict.fromkeys(declared)}, public_names)
    axes, wrong_axes = collect_axes(document)
    problems += check_document(document, names, declared, inputs) + wrong_axes
    problems += [
        f"{document.place(path)}: the value is secret, and so not in the record that this is from; write it here"
        for path in redacted_places(document.values)
    ]
    if problems:
        raise InvalidConfiguration(problems)
    text = json.dumps(document.values)
    used = {key: value for key, value in of_process.items() if key not in declared and key in text}
    stem = os.path.splitext(os.path.basename(document.name))[0]
    return Training(document, axes, tuple(allow), used, tuple(sources)), stem or "train"


def _sources(
    imports: Sequence[str | os.PathLike[str]], problems: list[str]
) -> tuple[list[tuple[str, str]], dict[str, Arguments]]:
    """Texts of Python files, and what they export."""
    sources: list[tuple[str, str]] = []
    declared: dict[str, Arguments] = {}
    for item in imports:
        path = os.fspath(item)
        if not path.endswith(".py") or not os.path.isfile(path):
            problems.append(f"imports: there is no Python file {path!r}")
            continue
        text = read_text(path)
        try:
            names = exported_names(text, path)
        except SyntaxError as error:
            problems.append(f"{path}, line {error.lineno}: this is not Python: {error.msg}")
            continue
        if not names:
            problems.append(f"{path}: nothing in it has the decorator @hopslite.configured.export_config")
        sources.append((os.path.basename(path), text))
        declared |= names
    return sources, declared


def _refuse_search(algorithm: Any, num_trials: Any, algorithm_options: Any, direction: Any) -> None:
    """Refuse what only a search has.

    Raises:
        InvalidConfiguration: there is such an argument.
    """
    of_search = {
        "algorithm": algorithm != "random",
        "num_trials": num_trials is not None,
        "algorithm_options": algorithm_options is not None,
        "direction": direction is not None,
    }
    if names := [name for name, is_used in of_search.items() if is_used]:
        raise InvalidConfiguration(
            [
                f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} for a search, and the "
                'configuration has no axis, such as {"$loguniform": [0.0001, 0.1]} in the place of a value'
            ]
        )


def _listed(metric: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if metric is None else (metric,) if isinstance(metric, str) else tuple(metric)


def _direction(metric: str) -> DirectionName:
    return "min" if any(word in metric.lower() for word in LOWER_IS_BETTER) else "max"


def _is_package(name: Any) -> bool:
    return isinstance(name, str) and all(part.isidentifier() and not part.startswith("_") for part in name.split("."))
