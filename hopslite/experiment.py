"""The verbs: run a training function once, or over a search space, on Spark, recorded.

Signatures and return values are those of HopsML's `hops.experiment`; everything new is keyword-only. The keywords that
all verbs share are described at `launch`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import _study
from ._options import Call, RunOptions, TrialOptions, positive, whole, with_options
from ._plugins import load, names
from ._trial import Direction
from .config import Settings
from .display import choose
from .distribute import Layout, Size
from .pool import Resources
from .result import Run, Trial
from .runtime.context import current
from .runtime.ports import parse_ports
from .search import Search
from .search.differential_evolution import DifferentialEvolution
from .search.fixed import Fixed
from .search.grid import Grid
from .search.random import Random
from .space import Choice, Space
from .store import Project

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "Direction",
    "Run",
    "Trial",
    "checkpoint_dir",
    "collective_all_reduce",
    "differential_evolution",
    "distributed",
    "grid_search",
    "launch",
    "mirrored",
    "parameter_server",
    "random_search",
]


@with_options(TrialOptions)
def launch(
    train_fn: Callable[..., Any],
    args_dict: Mapping[str, Any] | None = None,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    metric_key: str | None = None,
    **options: Unpack[TrialOptions],
) -> Run:
    """Run a training function once, or once for each column of `args_dict`.

    >>> def train(lr):
    ...     return {"accuracy": 1 - lr}
    >>> run = launch(train, {"lr": [0.1]}, name="doc", pool="inline", display=False)
    >>> logdir, outputs = run
    >>> outputs["accuracy"]
    0.9

    Args:
        train_fn: the training function; it is sent to an executor, so it imports what it needs inside. It may return
            anything: a number, a dict of numbers, text and names of files that it wrote (those are kept with the
            trial), or nothing.
        args_dict: a list of values per argument, all of one length: the first trial takes the first of each, and so on.
        name: what the run is called; runs of one name get versions 1, 2, 3, …
        local_logdir: whether `tensorboard.logdir()` is a local scratch directory, copied to the trial's at its end.
        description: a text for the record and for MLflow.
        metric_key: the key of the returned dict that is the run's metric.
        parallelism: how many trials run at once at most; default: as many as the cluster has task slots.
        cpus_per_trial: cores for each trial; default: `spark.task.cpus`.
        gpus_per_trial: GPUs for each trial, which it sees in `CUDA_VISIBLE_DEVICES`; default: what Spark's
            configuration gives a task; 0: none, even where there are some.
        strategy: makes each trial a gang of `workers_per_trial` members that train together: "multi_worker_mirrored",
            "torch" or "jax", see `distributed`. CPUs and GPUs are then for each member, `parallelism` counts gangs.
        workers_per_trial: members of each trial, the chief included.
        seed: of the search; default: one is drawn and recorded.
        trial_timeout: seconds after which a trial is ended as FAILED; default: no limit.
        timeout: seconds after which the run ends: no more trials are started, running ones are KILLED.
        max_failures: how many trials may fail before the run is given up as FAILED; default: all but one.
        max_retries: how often a trial is run again that was lost with its executor.
        isolation: "process" gives each trial a process of its own, so that nothing it does can harm another; "none"
            runs it in the Spark worker, which saves a few milliseconds a trial.
        pool: where trials run: "spark", or "inline" for a debugger: in this process, one after the other.
        spark: a SparkSession; default: the active one, or else a new `local[*]` session.
        project: the directory or fsspec URL that holds runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.
        tracking_uri: MLflow's; default: `MLFLOW_TRACKING_URI`, or SQLite in the project; "off" for no MLflow.
        tags: text by text, for the record and for MLflow.
        verbose: whether what trials print is shown here, too; it is always in their `output.log`.
        display: False shows nothing; default: a progress bar, or a live table in notebooks.

    Returns:
        A `Run`, which unpacks as HopsML's `(logdir, outputs)`; `outputs` is None when there are several trials.

    Raises:
        InvalidArguments: something in the call cannot work; the message lists every problem.
        NotSerializable: the function refers to something that cannot be sent.
        TrialFailed: every trial failed, or more than `max_failures`; it carries the first one's traceback.
        RunInterrupted: Ctrl-C or a notebook's interrupt.
    """
    call = Call("launch", train_fn, name, dict(options))
    combinations = _zipped(call, args_dict)
    call.check_parameters(args_dict or () if isinstance(args_dict, (Mapping, type(None))) else ())
    return _run(
        call,
        "Launcher",
        Fixed(combinations, seed=call.seed),
        space={key: {"type": "list", "length": len(combinations)} for key in (combinations[0] if combinations else ())},
        choices=tuple(value for combination in combinations for value in combination.values()),
        name=name,
        local_logdir=local_logdir,
        description=description,
        optimization_key=metric_key,
        is_search=False,
    )


def _zipped(call: Call, args_dict: Any) -> list[dict[str, Any]]:
    if args_dict is None or args_dict == {}:
        return [{}]
    if not isinstance(args_dict, Mapping):
        call.problems.append(f"args_dict is {args_dict!r}; give a dict with a list of values per argument")
        return []
    columns = {str(key): call.attempt(Space.grid, {key: values}) for key, values in args_dict.items()}
    spaces = {key: space for key, space in columns.items() if space is not None}
    lists = {key: dim.values for key, space in spaces.items() if isinstance(dim := space[key], Choice)}
    lengths = {key: len(values) for key, values in lists.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{key}: {length}" for key, length in lengths.items())
        call.problems.append(f"Length of each function argument list must be equal; given are {shown}")
        return []
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


@with_options(TrialOptions)
def grid_search(
    train_fn: Callable[..., Any],
    grid_dict: Mapping[str, Any],
    direction: Direction | str = Direction.MAX,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str = "metric",
    **options: Unpack[TrialOptions],
) -> Run:
    """Try every combination of the listed values, the last key fastest.

    >>> def train(lr, depth):
    ...     return {"accuracy": depth - lr, "loss": lr}
    >>> grid = {"lr": [0.1, 0.5], "depth": [1, 2]}
    >>> run = grid_search(train, grid, optimization_key="accuracy", pool="inline", display=False)
    >>> best_logdir, best_params, best_outputs = run
    >>> best_params
    {'lr': 0.1, 'depth': 2}

    Args:
        train_fn: the training function; its arguments are the keys of the grid. It returns the metric, a number, or
            a dict with it; other numbers, text and names of files that it wrote are recorded.
        grid_dict: a list of values per argument; values may be of any kind.
        direction: whether the metric is to be maximised or minimised.
        optimization_key: the metric's key in a returned dict; not needed when the dict has a single number.

    The other arguments, and what is raised, are as for `launch`.

    Returns:
        A `Run`, which unpacks as HopsML's `(best_logdir, best_params, best_outputs)`.
    """
    call = Call("grid_search", train_fn, name, dict(options))
    towards = call.direction(direction)
    space = call.attempt(Space.grid, grid_dict)
    return _search(call, "Grid Search", space, Grid, {}, towards, name, local_logdir, description, optimization_key)


@with_options(TrialOptions)
def random_search(
    train_fn: Callable[..., Any],
    boundary_dict: Mapping[str, Any],
    direction: Direction | str = Direction.MAX,
    samples: int = 10,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str = "metric",
    **options: Unpack[TrialOptions],
) -> Run:
    """Try `samples` distinct random combinations (Bergstra and Bengio, 2012, JMLR 13).

    >>> def train(lr):
    ...     return -((lr - 0.3) ** 2)
    >>> run = random_search(train, {"lr": [0.0, 1.0]}, samples=20, seed=1, pool="inline", display=False)
    >>> 0.2 < run.best_params["lr"] < 0.4
    True

    Args:
        boundary_dict: the space: two numbers are bounds, in either order (two ints: whole numbers, both ends included;
            a float anywhere: continuous), texts are choices, or anything from `hopslite.space`.
        samples: how many trials; fewer run only where the space has fewer combinations, and a line says so.

    The other arguments are as for `grid_search` and `launch`.
    """
    call = Call("random_search", train_fn, name, dict(options))
    towards = call.direction(direction)
    space = call.attempt(Space.parse, boundary_dict)
    return _search(
        call,
        "Random Search",
        space,
        Random,
        {"samples": samples},
        towards,
        name,
        local_logdir,
        description,
        optimization_key,
    )


@with_options(TrialOptions)
def differential_evolution(
    train_fn: Callable[..., Any],
    boundary_dict: Mapping[str, Any],
    direction: Direction | str = Direction.MAX,
    generations: int = 4,
    population: int = 6,
    mutation: float = 0.5,
    crossover: float = 0.7,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str = "metric",
    *,
    synchronous: bool = False,
    initial: str = "lhs",
    **options: Unpack[TrialOptions],
) -> Run:
    """Let a population of combinations evolve (Storn and Price, 1997), `(generations + 1) * population` trials.

    A slot that ends its trial gets the next candidate at once; combinations already evaluated are not run again.

    >>> def train(x, y):
    ...     return (x - 3) ** 2 + y**2
    >>> space = {"x": [-9.0, 9.0], "y": [-9.0, 9.0]}
    >>> run = differential_evolution(train, space, direction="min", seed=1, pool="inline", display=False)
    >>> run.best_metric < 5
    True

    Args:
        boundary_dict: the space, as for `random_search`.
        generations: how often the population is renewed after the first.
        population: members; at least 4.
        mutation: the differential weight F, above 0 and at most 2.
        crossover: the crossover rate CR, from 0 to 1.
        synchronous: whether each generation waits for the one before.
        initial: the design of the first population: "lhs" (Latin hypercube) or "sobol".

    The other arguments are as for `grid_search` and `launch`.
    """
    call = Call("differential_evolution", train_fn, name, dict(options))
    towards = call.direction(direction)
    space = call.attempt(Space.parse, boundary_dict)
    chosen = {
        "generations": generations,
        "population": population,
        "mutation": mutation,
        "crossover": crossover,
        "synchronous": synchronous,
        "initial": initial,
    }
    return _search(
        call,
        "Differential Evolution",
        space,
        DifferentialEvolution,
        chosen,
        towards,
        name,
        local_logdir,
        description,
        optimization_key,
    )


@with_options(RunOptions)
def mirrored(
    train_fn: Callable[..., Any],
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    evaluator: bool = False,
    metric_key: str | None = None,
    *,
    num_workers: int | None = None,
    gpus_per_worker: int = 0,
    cpus_per_worker: int | None = None,
    on_failure: str = "fail",
    max_restarts: int = 3,
    forming_timeout: float = 600.0,
    evaluator_grace: float = 30.0,
    **options: Unpack[RunOptions],
) -> Run:
    """Train with TensorFlow's MirroredStrategy (one worker) or MultiWorkerMirroredStrategy (several).

    Every worker runs `train_fn`, which makes the strategy itself; `TF_CONFIG` tells it who the others are.

        >>> def train():
        ...     import tensorflow as tf, tf_keras
        ...     strategy = tf.distribute.MultiWorkerMirroredStrategy()
        ...     with strategy.scope():
        ...         model = ...
        >>> logdir, outputs = mirrored(train, num_workers=2)  # doctest: +SKIP

    Args:
        evaluator: whether one more member, with the task type "evaluator", runs `train_fn`, to evaluate what the chief
            writes to `tensorboard.logdir()`; it must not make the strategy.
        num_workers: how many train, the chief included; default: one for each of the cluster's executors (of which the
            evaluator takes one). With 1 there is no `TF_CONFIG`, and the worker has all its GPUs.

    The other arguments are as for `distributed` and `launch`.

    Returns:
        A `Run`, which unpacks as HopsML's `(logdir, outputs)` with what the chief returned.
    """
    return _distributed(
        "mirrored",
        train_fn,
        Layout("multi_worker_mirrored", Size(num_workers, 0, evaluator), forming_timeout, evaluator_grace),
        (name, local_logdir, description, metric_key),
        (gpus_per_worker, cpus_per_worker, on_failure, max_restarts),
        dict(options),
    )


collective_all_reduce = mirrored


@with_options(RunOptions)
def parameter_server(
    train_fn: Callable[..., Any],
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    evaluator: bool = False,
    metric_key: str | None = None,
    *,
    num_workers: int | None = None,
    num_ps: int = 1,
    every_member: bool = False,
    gpus_per_worker: int = 0,
    cpus_per_worker: int | None = None,
    on_failure: str = "fail",
    max_restarts: int = 3,
    forming_timeout: float = 600.0,
    evaluator_grace: float = 30.0,
    **options: Unpack[RunOptions],
) -> Run:
    """Train with TensorFlow's ParameterServerStrategy: the chief runs `train_fn` and gives the workers their work.

    Workers and parameter servers run TensorFlow's server, which is started and ended for them.

        >>> def train():
        ...     import tensorflow as tf
        ...     cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        ...     strategy = tf.distribute.ParameterServerStrategy(cluster)
        ...     coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        >>> logdir, outputs = parameter_server(train, num_workers=2, num_ps=1)  # doctest: +SKIP

    Args:
        num_workers: workers beside the chief; with `every_member` the chief is one of them. Default: as many as the
            cluster has executors for.
        num_ps: parameter servers; they never have a GPU, also where workers do.
        every_member: whether all members run `train_fn`, parameter servers too, as in HopsML and TensorFlow 1.

    The other arguments are as for `distributed` and `launch`.

    Returns:
        A `Run`, which unpacks as HopsML's `(logdir, outputs)` with what the chief returned.
    """
    return _distributed(
        "parameter_server",
        train_fn,
        Layout(
            "parameter_server", Size(num_workers, num_ps, evaluator, every_member), forming_timeout, evaluator_grace
        ),
        (name, local_logdir, description, metric_key),
        (gpus_per_worker, cpus_per_worker, on_failure, max_restarts),
        dict(options),
    )


@with_options(RunOptions)
def distributed(
    train_fn: Callable[..., Any],
    strategy: str = "multi_worker_mirrored",
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    evaluator: bool = False,
    metric_key: str | None = None,
    *,
    num_workers: int | None = None,
    num_ps: int = 0,
    every_member: bool = False,
    gpus_per_worker: int = 0,
    cpus_per_worker: int | None = None,
    on_failure: str = "fail",
    max_restarts: int = 3,
    forming_timeout: float = 600.0,
    evaluator_grace: float = 30.0,
    **options: Unpack[RunOptions],
) -> Run:
    """Run a training function on several executors at once, as the members of one job.

        >>> def train():
        ...     import torch.distributed as dist
        ...     dist.init_process_group("gloo")
        ...     return {"ranks": dist.get_world_size()}
        >>> logdir, outputs = distributed(train, strategy="torch", num_workers=2)  # doctest: +SKIP

    Args:
        train_fn: the training function, without arguments; members tell themselves apart by their environment.
        strategy: how members find each other: "multi_worker_mirrored" and "parameter_server" set `TF_CONFIG`; "torch"
            sets what `init_process_group()` reads, "jax" what `jax.distributed.initialize()` reads, without arguments.
        num_workers: members that train; default: one for each of the cluster's executors.
        gpus_per_worker: GPUs for each member that trains, which it sees in `CUDA_VISIBLE_DEVICES`. 0 asks for none:
            members have those that Spark's configuration gives every task, and otherwise none, but a single one has
            all that its machine shows it.
        cpus_per_worker: cores for each member; default: `spark.task.cpus`.
        on_failure: "fail" ends the run when a member fails; "restart" ends the other members and starts all again:
            `train_fn` finds what it saved in `checkpoint_dir()`.
        max_restarts: how often at most.
        forming_timeout: seconds to wait until the cluster has a slot for every member.
        evaluator_grace: seconds that the evaluator has after the chief has finished.

    The other arguments are as for `mirrored`, `parameter_server` and `launch`.

    Returns:
        A `Run`, which unpacks as HopsML's `(logdir, outputs)` with what the chief (rank 0) returned.

    Raises:
        InvalidArguments: something in the call cannot work; also more members than the cluster can ever run.
        SparkUnavailable: the members did not come together within `forming_timeout`.
        TrialFailed: a member failed; the message names it, with its traceback and its log.
    """
    return _distributed(
        "distributed",
        train_fn,
        Layout(strategy, Size(num_workers, num_ps, evaluator, every_member), forming_timeout, evaluator_grace),
        (name, local_logdir, description, metric_key),
        (gpus_per_worker, cpus_per_worker, on_failure, max_restarts),
        dict(options),
    )


def checkpoint_dir() -> str | None:
    """For training functions: a directory that is the same for all members and all attempts of the running trial.

    What is saved there is found again after a restart. None outside of a trial.
    """
    context = current()
    if context is None:
        return None
    if "://" not in context.checkpoints:
        os.makedirs(context.checkpoints, exist_ok=True)
    return context.checkpoints


def _distributed(
    verb: str,
    train_fn: Callable[..., Any],
    layout: Layout,
    texts: tuple[str, bool, str | None, str | None],
    demands: tuple[int, int | None, str, int],
    options: dict[str, Any],
) -> Run:
    """What the distributed verbs have in common."""
    name, local_logdir, description, metric_key = texts
    gpus, cpus, on_failure, max_restarts = demands
    call = Call(verb, train_fn, name, options)
    for taken in options.keys() - RunOptions.__annotations__.keys():
        instead = taken.replace("trial", "worker") if taken in ("cpus_per_trial", "gpus_per_trial") else ""
        call.check(
            taken not in TrialOptions.__annotations__,
            f"{taken} is for searches" + (f"; use {instead}" if instead else "; leave it out"),
        )
    size = layout.size
    call.problems += whole("num_workers", size.workers, 1)
    call.problems += whole("num_ps", size.ps, 0, optional=False)
    call.problems += whole("gpus_per_worker", gpus, 0, optional=False) + whole("cpus_per_worker", cpus, 1)
    call.problems += whole("max_restarts", max_restarts, 0, optional=False)
    call.problems += positive("forming_timeout", layout.forming_timeout)
    number = isinstance(layout.evaluator_grace, (int, float)) and layout.evaluator_grace >= 0
    call.check(number, f"evaluator_grace={layout.evaluator_grace!r}; give a number of seconds of at least 0")
    call.check(on_failure in ("fail", "restart"), f"on_failure={on_failure!r}; allowed are 'fail' and 'restart'")
    call.check_parameters(())
    if not call.problems:
        call.options = dataclasses.replace(
            call.options, gpus_per_trial=gpus or None, cpus_per_trial=cpus, max_retries=0
        )
    return _run(
        call,
        _title(layout.strategy),
        Fixed([{}], seed=call.seed),
        layout=layout,
        per="worker",
        space={},
        choices=(),
        name=name,
        local_logdir=local_logdir,
        description=description,
        optimization_key=metric_key,
        is_search=False,
        max_restarts=max_restarts if on_failure == "restart" else 0,
    )


def _title(strategy: str) -> str:
    return str(load("distribute", strategy).TITLE) if strategy in names("distribute") else strategy


def _search(
    call: Call,
    title: str,
    space: Space | None,
    algorithm: Callable[..., Search],
    chosen: dict[str, Any],
    direction: Direction,
    name: str,
    local_logdir: bool,
    description: str | None,
    optimization_key: str,
) -> Run:
    if space is not None:
        call.check_parameters(space.names)
    any_space = space if space is not None else Space.parse({"any": [0, 1]})  # to hear of the other problems, too
    search = call.attempt(algorithm, any_space, direction=direction, seed=call.seed, **chosen)
    return _run(
        call,
        title,
        search,
        space=any_space.to_json(),
        choices=tuple(v for dim in any_space.values() if isinstance(dim, Choice) for v in dim.values),
        name=name,
        local_logdir=local_logdir,
        description=description,
        optimization_key=optimization_key,
        direction=direction,
    )


def _run(
    call: Call,
    title: str,
    search: Search | None,
    layout: Layout | None = None,
    per: str = "trial",
    **plan: Any,
) -> Run:
    """Check the rest of the call and hand it to the study."""
    options = call.options
    layout = call.layout(layout)
    settings = Settings.load(project=options.place, tracking_uri=options.tracking_uri)
    for key in ("optimization_key", "description"):
        shown = key if plan.get("is_search", True) else key.replace("optimization", "metric")
        right = isinstance(plan[key], str) or (plan[key] is None and shown != "optimization_key")
        call.check(right, f"{shown}={plan[key]!r}; give a text")
    if layout is not None:
        call.attempt(parse_ports, settings.member_ports, "member_ports")
        layout = dataclasses.replace(layout, ports=settings.member_ports)
    project = call.attempt(Project, settings.project) if options.project is None or options.place else None
    if project is not None:
        call.problems += project.check_writable()
    call.check(
        not settings.project.startswith("memory:") or options.pool != "spark",
        f"project={settings.project!r} is in this process's memory, where Spark's executors cannot write; use another, "
        "or pool='inline'",
    )
    call.settle()
    assert search is not None
    return _study.run(
        _study.Plan(
            verb=call.verb,
            title=title,
            train_fn=call.train_fn,
            search=search,
            seed=call.seed,
            tags=options.tags or {},
            isolation=options.isolation,
            resources=Resources(options.parallelism, options.cpus_per_trial, options.gpus_per_trial, layout, per),
            trial_timeout=options.trial_timeout,
            timeout=options.timeout,
            max_failures=options.max_failures,
            max_retries=options.max_retries,
            verbose=options.verbose,
            **plan,
        ),
        settings,
        choose(options.display),
        options.pool,
        options.spark,
    )
