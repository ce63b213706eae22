"""Options of `hopslite run`: one table for the keys of a job file, the command line, and the keywords of the verbs.

Types, checks and defaults of the keywords that verbs share are those of `driver.keywords`; a keyword that is declared
there and not listed here becomes an option by itself. `ROWS` has what is only of the command, and short help texts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import click

from ..driver import checks
from ..driver.checks import Check
from ..driver.declarations import declarations
from ..driver.keywords import SearchOptions, TrialOptions
from ..search import AlgorithmName
from ..stop import StopperName

__all__ = ["OPTIONS", "Option", "SECTIONS", "command_options", "problem", "search_only"]

SECTIONS = ("Program", "Metric and search", "Trials", "Resources", "Record")
PROGRAM, SEARCH, TRIALS, RESOURCES, RECORD = SECTIONS
PYTHON_ONLY = ("callbacks",)  # objects
ALSO_WITHOUT_METRIC = ("stop_grace",)  # a program that is out of time has it, too
DIRECTIONS = Literal["max", "min"]


class _Number(click.ParamType):  # type: ignore[type-arg]
    """A number, which stays an integer if it is written as one."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(value)
        return self.fail(f"{value!r} is not a number", param, ctx)


@dataclasses.dataclass(frozen=True)
class Option:
    """Option of `hopslite run`, and key of a job file.

    Attributes:
        key: in the job file; the option is `--key` with dashes, unless `flags` has others.
        keyword: of the verbs; None for what is only of the command.
        check: the problems of a value, as in `driver.checks`.
        kind: type of the values on the command line; bool for a flag.
        is_repeated: whether the option can be given several times, for a list.
        in_file: whether a job file has this key.
        for_search: whether it has a meaning only with a metric.
    """

    key: str
    help: str
    section: str
    keyword: str | None = None
    check: Check = checks.any_value
    kind: Any = str
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    is_repeated: bool = False
    in_file: bool = True
    for_search: bool = False
    is_declared: bool = False  # its check is that of a keyword

    @property
    def names(self) -> tuple[str, ...]:
        """The option as it is written, first the long form that messages have."""
        return self.flags or (f"--{self.key.replace('_', '-')}",)


def _refused(is_allowed: bool, allowed: str) -> list[str]:
    """Problem of a value, which is not shown: a YAML file of some lines can hold one of gigabytes."""
    return [] if is_allowed else [f"; give {allowed}"]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) and value else [value]


def _text(name: str, value: Any) -> list[str]:
    return _refused(_is_text(value), "a text")


def _version(name: str, value: Any) -> list[str]:
    return _refused(_is_text(value), 'a version in quotes, such as "3.12"')


def _texts(name: str, value: Any) -> list[str]:
    """Check for a text, or a list of texts."""
    return _refused(all(map(_is_text, _items(value))), "a text, or a list of them")


def _directions(name: str, value: Any) -> list[str]:
    return _refused(all(item in get_args(DIRECTIONS) for item in _items(value)), "max or min, or a list of them")


def _named(kind: str) -> Check:
    """Check for a name, which may have options: `median`, `median(min_trials=3)`, `{median: {min_trials: 3}}`."""

    def check(name: str, value: Any) -> list[str]:
        is_mapping = isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), dict)
        return _refused(is_mapping or _is_text(value), f"the name of {kind}, or a mapping from the name to its options")

    return check


def _scalars(name: str, value: Any) -> list[str]:
    """Check for a mapping of texts and numbers by name."""
    is_mapping = isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(item, (str, int, float, bool)) for key, item in value.items()
    )
    return _refused(is_mapping, "names with texts or numbers")


def _combinations(name: str, value: Any) -> list[str]:
    is_list = all(isinstance(item, dict) and all(isinstance(key, str) for key in item) for item in _items(value))
    return _refused(is_list, "mappings from parameters to values, or a list of them")


ALGORITHM_HELP = f"{', '.join(get_args(AlgorithmName))}; options in brackets: 'hyperband(max_budget=27)'."
STOPPER_HELP = f"Ends bad trials early: {', '.join(get_args(StopperName))}; options in brackets."

# What declarations do not say: the order, the words for a terminal, and names that differ from the keywords.
ROWS = (
    Option("name", "The run's name; default: the program's.", PROGRAM, "name", _text, metavar="NAME"),
    Option("message", "A note on the run.", PROGRAM, "description", _text, metavar="TEXT", flags=("--message", "-m")),
    Option(
        "inputs", "Data, in $HOPSLITE_INPUT_NAME: a path, a URL, data:NAME/VERSION, or RUN/TRIAL[/PATH].", PROGRAM,
        metavar="NAME=URL[:/PATH]", flags=("--input",), check=_scalars, is_repeated=True,
    ),
    Option(
        "requirements", "Packages of the program; auto: the requirements.txt of its folder.", PROGRAM, check=_text,
        metavar="FILE|auto",
    ),
    Option("python", "Python of the program, such as 3.12; default: this.", PROGRAM, check=_version, metavar="VERSION"),
    Option("framework", "Packages that hopslite.toml has under this name.", PROGRAM, check=_text, metavar="NAME"),
    Option("code", "The folder that travels with it; default: the program's.", PROGRAM, check=_text, metavar="DIR"),
    Option(
        "metric", "What is optimised, or several; without it all trials are equal.", SEARCH, "optimization_key", _texts,
        metavar="NAME", is_repeated=True,
    ),
    Option(
        "direction", "One per metric; default: max.", SEARCH, "direction", _directions,
        click.Choice(get_args(DIRECTIONS)), is_repeated=True, for_search=True,
    ),
    Option(
        "algorithm", ALGORITHM_HELP, SEARCH, "algorithm", _named("an algorithm"), metavar="NAME", for_search=True
    ),
    Option(
        "num_trials", "How many combinations are tried.", SEARCH, "num_trials", checks.whole_number(1), int, "N",
        for_search=True,
    ),
    Option("stopper", STOPPER_HELP, SEARCH, "stopper", _named("a stopper"), metavar="NAME", for_search=True),
    Option("stop_grace", "Time to save for a program that is ended; default: 10.", TRIALS, metavar="SECONDS"),
    Option("report_as", "The metric of a stopped trial: its last or best report.", SEARCH),
    Option("target_metric", "End when the metric is this, or better.", SEARCH, metavar="NUMBER"),
    Option("no_improvement", "End after N trials without a better one.", SEARCH, metavar="N"),
    Option("seed", "Random seed of the search.", SEARCH, metavar="N"),
    Option(
        "initial_params", "A combination to try first, as JSON.", SEARCH, "initial_params", _combinations,
        metavar="JSON", is_repeated=True,
    ),
    Option(
        "warm_start", "An earlier run whose trials the algorithm knows.", SEARCH, "warm_start", _texts, metavar="RUN",
        is_repeated=True,
    ),
    Option("detach", "Return at once; the run needs no terminal.", TRIALS, None, checks.flag, bool, in_file=False),
    Option("queue", "Wait until queued runs before it on this machine end.", TRIALS, check=checks.flag, kind=bool),
    Option("timeout", "For all of it.", TRIALS, metavar="SECONDS"),
    Option("trial_timeout", "For each trial.", TRIALS, metavar="SECONDS"),
    Option("heartbeat_timeout", "For the time between two values of the metric.", TRIALS, metavar="SECONDS"),
    Option("on_failure", "For a trial that fails; default: fail.", TRIALS),
    Option("max_restarts", "How often with restart; default: 3.", TRIALS, metavar="N"),
    Option("max_failures", "Give up after more than N failed trials.", TRIALS, metavar="N"),
    Option("max_retries", "For trials lost with their executor; default: 2.", TRIALS, metavar="N"),
    Option("resume", "auto, or a run that broke off and goes on.", TRIALS, metavar="RUN"),
    Option("retry_failed", "With --resume: also failed trials.", TRIALS),
    Option("force", "With --resume: although the program or space is another.", TRIALS),
    Option(
        "profile", "Options that hopslite.toml has under this name.", RESOURCES, check=_text, metavar="NAME",
        flags=("--profile", "--instance"),
    ),
    Option("parallelism", "How many trials at a time.", RESOURCES, metavar="N"),
    Option(
        "gpu", "GPUs for each trial; 0.25: four trials on each.", RESOURCES, "gpus_per_trial", metavar="N",
        flags=("--gpu", "--gpus-per-trial"),
    ),
    Option("cpus_per_trial", "Cores for each trial.", RESOURCES, metavar="N"),
    Option(
        "master", "Spark's; default: what spark-defaults.conf says, or local[*].", RESOURCES, "spark", _text,
        metavar="URL",
    ),
    Option("pool", "Where trials run: spark, or inline for a debugger.", RESOURCES, metavar="NAME"),
    Option("isolation", "Trials in processes of their own, or in Spark's workers (none).", RESOURCES),
    Option("strategy", "Trials of several members: torch, jax, multi_worker_mirrored.", RESOURCES, metavar="NAME"),
    Option("workers_per_trial", "Members of each trial.", RESOURCES, metavar="N"),
    Option("storage_patience", "Wait for storage that is full or gone; default: 600.", RESOURCES, metavar="SECONDS"),
    Option(
        "tags", "For the record.", RECORD, "tags", _scalars, metavar="KEY=VALUE", flags=("--tag",), is_repeated=True
    ),
    Option("tracking_uri", "MLflow's; off for none.", RECORD, metavar="URL"),
    Option("display", "A progress bar.", RECORD),
    Option("verbose", "Show what trials print.", RECORD),
    Option(
        "local_logdir", "TensorBoard's files of a trial first on local disk.", RECORD, "local_logdir", checks.flag, bool
    ),
)  # fmt: skip


def _kind(annotation: Any) -> Any:
    """Type of a declared keyword's values on the command line."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    for kind in kinds:
        if get_origin(kind) is Literal:
            return click.Choice(get_args(kind))
    for kind in (bool, float, int):
        if kind in kinds:
            return _Number() if kind is float else kind
    return str


def _declared(option: Option) -> Option:
    """Option with the type and check of its keyword's declaration."""
    keyword = option.keyword or option.key
    declared = declarations(SearchOptions)
    if keyword not in declared:
        return option
    kind = _kind(get_args(SearchOptions.__annotations__[keyword])[0]) if option.kind is str else option.kind
    is_own = option.check is not checks.any_value
    return dataclasses.replace(
        option,
        keyword=keyword,
        kind=kind if not option.is_repeated and not is_own else option.kind,
        check=option.check if is_own else declared[keyword].check,
        is_declared=not is_own,
        for_search=option.for_search or keyword not in (*declarations(TrialOptions), *ALSO_WITHOUT_METRIC),
    )


@functools.cache
def _all() -> Mapping[str, Option]:
    options = {option.key: _declared(option) for option in ROWS}
    known = {option.keyword for option in options.values()}
    for name, keyword in declarations(SearchOptions).items():
        if name not in known and name not in (*PYTHON_ONLY, "project"):
            options[name] = _declared(Option(name, keyword.help.replace("`", ""), TRIALS))
    return options


OPTIONS: Mapping[str, Option] = _all()


def problem(option: Option, value: Any) -> str | None:
    """Allowed values, if a value is not allowed; None if it is."""
    if option.is_declared and isinstance(value, (list, dict)):
        value = type(value)()  # none of these keywords takes one, and messages of checks have the whole value
    problems = option.check(option.key, value)
    if not problems:
        return None
    allowed = problems[0].partition("; ")[2] or problems[0]
    return allowed.replace(", or None for no limit", "").replace(", or None for none", "")


def search_only(keys: Sequence[str]) -> list[str]:
    """Those of some keys that have a meaning only with a metric, or with a search."""
    return [key for key in keys if key in OPTIONS and OPTIONS[key].for_search]


def command_options(
    function: Callable[..., Any], without: Sequence[str] = (), only: Sequence[str] | None = None
) -> Callable[..., Any]:
    """Add the options of the table to a command of Click's; each is a keyword of its function, None or () if absent.

    Args:
        without: keys that are left out.
        only: keys of those that are added; default: all.
    """
    keys = [key for key in OPTIONS if key not in without and (only is None or key in only)]
    for option in [OPTIONS[key] for key in reversed(keys)]:
        names = (f"{option.names[0]}/--no-{option.names[0][2:]}",) if option.kind is bool else option.names
        function = click.option(
            *names,
            option.key,
            type=None if option.kind is bool else option.kind,
            multiple=option.is_repeated,
            default=None,
            metavar=option.metavar,
            help=option.help,
            callback=_checked(option),
        )(function)
    return function


def _checked(option: Option) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Callback that refuses values which the check of the option's keyword refuses; lists are checked with the job."""

    def check(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if value is None or option.is_repeated:
            return value
        if allowed := problem(option, value):
            raise click.BadParameter(f"{value}; {allowed}")
        return value

    return check
