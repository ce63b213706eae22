"""Verbs that run a training function on Spark, once or over a search space, and record the run.

Signatures and return values are those of HopsML's `hops.experiment`; everything new is keyword-only. The keywords that
all verbs share are described at `launch`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from . import search as algorithms
from .core.types import Direction, DirectionName
from .distribute import Size
from .driver.arguments import Call
from .driver.define_by_run import by_trial
from .driver.keywords import (
    AblationOptions,
    DriverOptions,
    MemberOptions,
    ResumeOptions,
    SearchOptions,
    TrialOptions,
)
from .driver.run_call import About
from .driver.signatures import with_options
from .driver.verbs import ablated, launched, resumed, searched, searched_by_trial
from .driver.verbs import distributed as run_distributed
from .executor.context import current
from .predecessors import absent_name, current_keywords
from .result import Run, SearchRun, TrainingRun, Trial
from .runs.best import Best, best
from .runs.lookup import load
from .search.grid import Grid
from .space import Space

if TYPE_CHECKING:  # each is imported by the verbs that use it, so that the others start sooner
    import optuna
    from typing_extensions import Unpack

    from .ablation import AblationRun, AblationStudy
    from .driver.active_run import ActiveRun
    from .maggy import LagomResult

__all__ = [
    "ActiveRun",
    "Best",
    "Direction",
    "Run",
    "Trial",
    "ablation",
    "begin",
    "best",
    "checkpoint_dir",
    "collective_all_reduce",
    "differential_evolution",
    "distributed",
    "end",
    "grid_search",
    "lagom",
    "launch",
    "load",
    "mirrored",
    "parameter_server",
    "random_search",
    "resume",
    "search",
    "start_run",
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
) -> TrainingRun:
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

    Returns:
        A `Run`, which unpacks as HopsML's `(logdir, outputs)`. `logdir` is the trial's directory, in which the function
        wrote what it wrote to `tensorboard.logdir()`; `run.logdir` is the run's. With several trials `logdir` is the
        run's directory, and `outputs` is None.

    Raises:
        InvalidArguments: something in the call cannot work; the message lists every problem.
        NotSerializable: the function refers to something that cannot be sent.
        TrialFailed: every trial failed, the first ones failed with the same error, or more than `max_failures` failed;
            it has the traceback of the first failed trial.
        StorageUnavailable: the run could not be recorded for `storage_patience` seconds; it can be resumed.
        RunDeleted: the run's directory was deleted during the run.
        RunInterrupted: Ctrl-C or a notebook's interrupt.
    """
    call = Call(launch, train_fn, name, dict(options))
    return launched(call, About(name, local_logdir, description, metric_key), args_dict)


@with_options(SearchOptions, see=launch)
def grid_search(
    train_fn: Callable[..., Any],
    grid_dict: Mapping[str, Any],
    direction: Direction | DirectionName | Sequence[Direction | DirectionName] = Direction.MAX,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str | Sequence[str] = "metric",
    **options: Unpack[SearchOptions],
) -> SearchRun:
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
        direction: whether the metric is to be maximised or minimised; a list if `optimization_key` is a list.
        optimization_key: the metric's key in a returned dict; not needed when the dict has a single number. Or a list
            of keys, to optimise several metrics, with as many directions.

    The other arguments, and what is raised, are as for `launch`.

    Returns:
        A `Run`, which unpacks as HopsML's `(best_logdir, best_params, best_outputs)`.
    """
    call = Call(grid_search, train_fn, name, dict(options))
    about = About(name, local_logdir, description, optimization_key)
    return searched(call, about, "Grid Search", call.attempt(Space.grid, grid_dict), direction, Grid)


@with_options(SearchOptions, see=grid_search)
def random_search(
    train_fn: Callable[..., Any],
    boundary_dict: Mapping[str, Any],
    direction: Direction | DirectionName | Sequence[Direction | DirectionName] = Direction.MAX,
    samples: int = 10,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str | Sequence[str] = "metric",
    **options: Unpack[SearchOptions],
) -> SearchRun:
    """Try `samples` distinct random combinations (Bergstra and Bengio, 2012, JMLR 13).

    >>> def train(lr):
    ...     return -((lr - 0.3) ** 2)
    >>> run = random_search(train, {"lr": [0.0, 1.0]}, samples=20, seed=1, pool="inline", display=False)
    >>> 0.2 < run.best_params["lr"] < 0.4
    True

    Args:
        boundary_dict: the space: two numbers are bounds, in either order (two ints: whole numbers, both ends included;
            a float anywhere: continuous), texts are choices, or anything from `hopslite.space`.
        samples: how many trials; if the space has fewer combinations, fewer trials run, and a line says so.

    The other arguments are as for `grid_search` and `launch`.
    """
    from .search.random import Random

    call = Call(random_search, train_fn, name, dict(options))
    about = About(name, local_logdir, description, optimization_key)
    space = call.attempt(Space.parse, boundary_dict)
    return searched(call, about, "Random Search", space, direction, Random, Random.option_problems, samples=samples)


@with_options(SearchOptions, see=grid_search)
def differential_evolution(
    train_fn: Callable[..., Any],
    boundary_dict: Mapping[str, Any],
    direction: Direction | DirectionName = Direction.MAX,
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
    initial: Literal["lhs", "sobol"] = "lhs",
    **options: Unpack[SearchOptions],
) -> SearchRun:
    """Differential evolution (Storn and Price, 1997), with `(generations + 1) * population` trials.

    A slot gets the next candidate as soon as its trial ends; known combinations are not run again.

    >>> def train(x, y):
    ...     return (x - 3) ** 2 + y**2
    >>> space = {"x": [-9.0, 9.0], "y": [-9.0, 9.0]}
    >>> run = differential_evolution(train, space, direction="min", seed=1, pool="inline", display=False)
    >>> run.best_metric < 5
    True

    Args:
        boundary_dict: the space, as for `random_search`.
        generations: number of generations after the first population.
        population: members; at least 4.
        mutation: the differential weight F, above 0 and at most 2.
        crossover: the crossover rate CR, from 0 to 1.
        synchronous: whether each generation waits for the previous one.
        initial: the design of the first population: "lhs" (Latin hypercube) or "sobol".

    The other arguments are as for `grid_search` and `launch`.
    """
    from .search.differential_evolution import DifferentialEvolution

    call = Call(differential_evolution, train_fn, name, dict(options))
    return searched(
        call,
        About(name, local_logdir, description, optimization_key),
        "Differential Evolution",
        call.attempt(Space.parse, boundary_dict),
        direction,
        DifferentialEvolution,
        DifferentialEvolution.option_problems,
        generations=generations,
        population=population,
        mutation=mutation,
        crossover=crossover,
        synchronous=synchronous,
        initial=initial,
    )


@with_options(SearchOptions, see=grid_search)
def search(
    train_fn: Callable[..., Any],
    space: Mapping[str, Any] | None = None,
    algorithm: algorithms.AlgorithmName | algorithms.Sampler | Callable[..., algorithms.Search] = "random",
    direction: Direction | DirectionName | Sequence[Direction | DirectionName] = Direction.MAX,
    num_trials: int | None = None,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str | Sequence[str] = "metric",
    *,
    algorithm_options: Mapping[str, Any] | None = None,
    study: optuna.Study | None = None,
    **options: Unpack[SearchOptions],
) -> SearchRun:
    """Search a space with any algorithm, or run an objective of Optuna's, which suggests its parameters itself.

    >>> import hopslite
    >>> def train(x):
    ...     for step in range(10):
    ...         hopslite.report(-((x - 1) ** 2) - 1 / (step + 1), step)
    ...     return -((x - 1) ** 2)
    >>> run = search(train, {"x": [-2.0, 2.0]}, num_trials=20, stopper="median", seed=1, pool="inline", display=False)
    >>> len(run.trials)
    20

    Without a space, the function has an argument `trial` with the methods of Optuna's (define-by-run):

    >>> def objective(trial):
    ...     x = trial.suggest_float("x", -2.0, 2.0)
    ...     return (x - 1) ** 2
    >>> run = search(objective, num_trials=20, direction="min", seed=1, pool="inline", display=False)
    >>> list(run.best_params)
    ['x']

    Args:
        space: as `random_search`'s `boundary_dict`; None for a function with an argument `trial`, see docs/optuna.md.
        algorithm: "random", "grid", "differential_evolution"; through Optuna "tpe", "gp", "cmaes", "qmc", "nsga2" or a
            sampler object of Optuna's; "hyperband" or "asha", which pass the training function one more argument,
            `budget`, and let a promoted trial go on in `checkpoint_dir()`; "pbt", population based training, which
            changes parameters during a training in the same way; or a class of your own, see docs/search.md.
        num_trials: how many combinations are tried; default: 10, for "grid" all, for "hyperband" one round. For "pbt"
            it is the size of the population.
        algorithm_options: keywords for the algorithm, such as `{"max_budget": 27}` for "hyperband".
        study: a study of Optuna's, for a function with an argument `trial`: its sampler, pruner, direction and earlier
            trials are used, and the run's trials are added to it.

    The other arguments are as for `grid_search` and `launch`.
    """
    from .search._factory import option_problems

    call = Call(search, train_fn, name, dict(options))
    about = About(name, local_logdir, description, optimization_key)
    title = f"Search: {algorithm if isinstance(algorithm, str) else type(algorithm).__name__}"
    if by_trial(call, space):
        return searched_by_trial(call, about, title, direction, algorithm, num_trials, algorithm_options, study)
    call.check(study is None, "study and space exclude each other: a study is for a function with an argument trial")
    parsed = call.attempt(Space.grid if algorithm == "grid" else Space.parse, space)
    make = functools.partial(algorithms.make, algorithm)
    check = functools.partial(option_problems, algorithm)
    wanted = algorithm_options if algorithm_options is not None else {}
    return searched(call, about, title, parsed, direction, make, check, num_trials=num_trials, options=wanted)


@with_options(AblationOptions, see=grid_search)
def ablation(
    train_fn: Callable[..., Any],
    study: AblationStudy,
    direction: Direction | DirectionName = Direction.MAX,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str = "metric",
    **options: Unpack[AblationOptions],
) -> AblationRun:
    """Leave out one component at a time, and rank the components by the resulting loss of quality.

    >>> from hopslite.ablation import AblationStudy
    >>> def train(components):
    ...     return 0.5 + 0.3 * ("dropout" in components) + 0.1 * ("augment" in components)
    >>> study = AblationStudy(components={"augment": True, "dropout": 0.5})
    >>> run = ablation(train, study, pool="inline", display=False)
    >>> [ranked.component for ranked in run.ablation]
    ['dropout', 'augment']

    Args:
        train_fn: the training function; it gets those of `components`, `model_function`, `dataset_function` that it
            accepts.
        study: the parts to leave out: components of any kind, layers of a Keras model, features of a dataset; see
            `hopslite.ablation.AblationStudy`.

    The other arguments, and what is raised, are as for `grid_search`.

    Returns:
        A `Run` with the ranking as its attribute `ablation`.
    """
    call = Call(ablation, train_fn, name, dict(options))
    return ablated(call, About(name, local_logdir, description, optimization_key), study, direction)


def lagom(train_fn: Callable[..., Any] | None = None, config: Any = None, **keywords: Any) -> LagomResult:
    """Maggy's entry point: a search, an ablation study or distributed training, as the configuration says.

    >>> from hopslite.maggy import HyperparameterOptConfig, Searchspace
    >>> def train(hparams, reporter):
    ...     reporter.broadcast(hparams["x"], step=0)
    ...     return hparams["x"]
    >>> config = HyperparameterOptConfig(
    ...     num_trials=5, optimizer="randomsearch", searchspace=Searchspace(x=("DOUBLE", [0.0, 1.0]))
    ... )
    >>> result = lagom(train, config, pool="inline", display=False)
    >>> result["num_trials"], result.run.best_metric == result["best_val"]
    (5, True)

    Args:
        train_fn: the training function; it gets those arguments that it accepts: the hyperparameters, `hparams` (all of
            them in a dict), `reporter`, `model` and `dataset`.
        config: an object of one of the classes in `hopslite.maggy`; None if keywords are used instead.
        keywords: those of Maggy's older form (`searchspace`, `optimizer`, `num_trials`, …), and any of `launch`.

    Returns:
        Maggy's dict of results, with the `Run` as its attribute `run`.
    """
    from .maggy import lagom_result, plan_of

    keywords = current_keywords("lagom", () if train_fn is None else ("train_fn",), keywords)
    call = plan_of(keywords.pop("train_fn", train_fn), config, keywords)
    verbs: dict[str, Callable[..., Run]] = {
        "ablation": ablation,
        "distributed": distributed,
        "launch": launch,
        "search": search,
    }
    run = verbs[call.kind](call.train_fn, **call.arguments)
    result = lagom_result(run, call.title, call.kind, call.hidden)
    if call.arguments.get("display", True) is not False:
        print("\n".join([*call.notes, *result.lines()]))  # noqa: T201 - as Maggy does
    return result


@with_options(MemberOptions, see=launch)
def distributed(
    train_fn: Callable[..., Any],
    strategy: str = "multi_worker_mirrored",
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    evaluator: bool = False,
    metric_key: str | None = None,
    *,
    num_ps: int = 0,
    every_member: bool = False,
    **options: Unpack[MemberOptions],
) -> TrainingRun:
    """Run a training function on several executors at once, as the members of one job.

        >>> def train():
        ...     import torch.distributed as dist
        ...     dist.init_process_group("gloo")
        ...     return {"ranks": dist.get_world_size()}
        >>> logdir, outputs = distributed(train, strategy="torch", num_workers=2)  # doctest: +SKIP

    Args:
        train_fn: the training function, without arguments; its environment tells a member its role.
        strategy: how members find each other: "multi_worker_mirrored" and "parameter_server" set `TF_CONFIG`; "torch"
            sets what `init_process_group()` reads, "jax" what `jax.distributed.initialize()` reads, without arguments.

    The other arguments are as for `mirrored`, `parameter_server` and `launch`.

    Returns:
        A `Run`, which unpacks as HopsML's `(logdir, outputs)`: the chief's (rank 0's) `tensorboard.logdir()`, and what
        it returned.

    Raises:
        InvalidArguments: something in the call cannot work; also more members than the cluster can ever run.
        SparkUnavailable: the members did not come together within `forming_timeout`.
        TrialFailed: a member failed; the message names it, with its traceback and its log.
    """
    call = Call(distributed, train_fn, name, dict(options))
    size = Size(call.options["num_workers"], num_ps, evaluator, every_member)
    return run_distributed(call, About(name, local_logdir, description, metric_key), strategy, size)


@with_options(MemberOptions, see=distributed)
def mirrored(
    train_fn: Callable[..., Any],
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    evaluator: bool = False,
    metric_key: str | None = None,
    **options: Unpack[MemberOptions],
) -> TrainingRun:
    """Train with TensorFlow's MirroredStrategy (one worker) or MultiWorkerMirroredStrategy (several).

    Every worker runs `train_fn`, which creates the strategy; `TF_CONFIG` has the addresses of all workers.

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
        A `Run`, which unpacks as HopsML's `(logdir, outputs)`: the chief's `tensorboard.logdir()`, and what it
        returned.
    """
    call = Call(mirrored, train_fn, name, dict(options))
    size = Size(call.options["num_workers"], 0, evaluator)
    return run_distributed(call, About(name, local_logdir, description, metric_key), "multi_worker_mirrored", size)


collective_all_reduce = mirrored


@with_options(MemberOptions, see=distributed)
def parameter_server(
    train_fn: Callable[..., Any],
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    evaluator: bool = False,
    metric_key: str | None = None,
    *,
    num_ps: int = 1,
    every_member: bool = False,
    **options: Unpack[MemberOptions],
) -> TrainingRun:
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
        A `Run`, which unpacks as HopsML's `(logdir, outputs)`: the chief's `tensorboard.logdir()`, and what it
        returned.
    """
    call = Call(parameter_server, train_fn, name, dict(options))
    size = Size(call.options["num_workers"], num_ps, evaluator, every_member)
    return run_distributed(call, About(name, local_logdir, description, metric_key), "parameter_server", size)


@with_options(DriverOptions, see=launch)
def start_run(
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    metric_key: str | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    **options: Unpack[DriverOptions],
) -> ActiveRun:
    """Record code of this program as a run, without a training function and without Spark.

    The code in the block is the run's only trial. `hopslite.report`, `tensorboard.logdir()`, `checkpoint_dir()` and
    `model.export` work in it as in a training function; what it prints is shown here and kept in `output.log`. Runs may
    be nested, and several may go on at once in threads: each block is recorded in its own.

    >>> import hopslite
    >>> with start_run("estimate pi", params={"terms": 100}, display=False) as run:
    ...     pi = 4 * sum((-1) ** n / (2 * n + 1) for n in range(100))
    ...     run.outputs["pi"] = pi
    >>> run.result.state.value, round(run.result.trials[0].outputs["pi"], 2)
    ('FINISHED', 3.13)

    Args:
        name, local_logdir, description, metric_key, project, tracking_uri, tags, display: as for `launch`.
        params: hyperparameters by name, for the record: nothing else is done with them.

    Returns:
        The run, for `with`, or to call its `end(metric)`. What is put into its `outputs` is recorded like what a
        training function returns; without any, the last report is. If the block raises, the run ends as FAILED with
        this cause, and the exception is raised further. Ctrl-C and the end of the program end the run as KILLED. Such a
        run cannot be resumed, because no other driver has its code.

    Raises:
        InvalidArguments: something in the call cannot work; the message lists every problem.
        TrialFailed: at the end of the block: what is in `outputs` cannot be recorded.
    """
    from .driver.active_run import ActiveRun, code_of_the_driver

    call = Call(start_run, code_of_the_driver, name, dict(options))
    return ActiveRun(call, About(name, local_logdir, description, metric_key), params)


@with_options(DriverOptions, see=launch)
def begin(
    name: str = "no-name",
    local_logdir: bool = False,
    versioned_resources: Any = None,
    description: str | None = None,
    **options: Unpack[DriverOptions],
) -> str:
    """Begin a run of the code that follows, until `end`; the form of `start_run` in HopsML up to 0.10.

    >>> logdir = begin("calculate pi", display=False)
    >>> run = end(3.14)
    >>> run.trials[0].metric, run.trials[0].logdir == logdir
    (3.14, True)

    Args:
        versioned_resources: ignored, because the program is kept with the run anyway.

    The other arguments are as for `start_run`.

    Returns:
        The directory that `tensorboard.logdir()` is until the end.

    Raises:
        InvalidArguments: something in the call cannot work; or a run has begun and not ended.
    """
    from .driver.active_run import begin_run, code_of_the_driver

    call = Call(start_run, code_of_the_driver, name, dict(options))
    return begin_run(call, About(name, local_logdir, description, None))


def end(metric: Any = None) -> Run:
    """End the run that `begin` has begun, as FINISHED.

    Args:
        metric: the run's metric, a number; default: none.

    Raises:
        InvalidArguments: no run has begun.
    """
    from .driver.active_run import end_run

    return end_run(metric)


@with_options(ResumeOptions, see=launch)
def resume(
    run_id: str,
    train_fn: Callable[..., Any] | None = None,
    *,
    project: str | os.PathLike[str] | None = None,
    retry_failed: bool = False,
    force: bool = False,
    study: optuna.Study | None = None,
    **options: Unpack[ResumeOptions],
) -> Run:
    """Resume a run that was interrupted, with the arguments of its own call.

    Finished trials are not run again; trials that were running are. The algorithm gets all recorded results again from
    the journal. A verb does the same with `resume="auto"` or the id of a run.

    >>> def train(x):
    ...     return x
    >>> run = random_search(train, {"x": [0.0, 1.0]}, samples=3, pool="inline", display=False)
    >>> again = resume(run.run_id, pool="inline", display=False)
    >>> again.best_params == run.best_params
    True

    Args:
        run_id: which run, as for `load`: its id or the beginning of it, its name for the newest version,
            `NAME/VERSION`, or its directory.
        train_fn: the training function; default: the one that is stored with the run.
        project: the directory or URL that holds the run; default: as for `launch`.
        retry_failed: whether trials that FAILED are run again, too.
        force: whether to go on with a function that is not the one of the run.
        study: the study that a search has used (`experiment.search(study=…)`), which gets the trials that it lacks.

    Other arguments replace those of the run's original call; they are as for `launch`. `inputs` need
    only name those whose URLs hold secrets, such as signatures, which are not kept with a run.

    Raises:
        ResumeError: there is no such run, or it was made by a newer version, or what is stored cannot be read here, or
            an input or a variable has to be given again.
        RunIsRunning: a driver works on it.
        InvalidArguments: the function is another, or an input.
        ReplayError: the algorithm makes other suggestions than before, because one of its libraries has changed.
    """
    place = None if project is None else os.fspath(project)
    call = Call(resume, train_fn or resume, "resumed", dict(options))
    return resumed(call, run_id, train_fn, place, retry_failed, force, dict(options), study)


def checkpoint_dir() -> str | None:
    """Local directory for the checkpoints of the running trial, for training functions.

    Later attempts of the trial, and trials that continue it, find the files that were saved there. All members of a
    distributed trial share it in the run's directory. If the run is kept on another machine, it is a scratch directory
    of each member, whose files are copied to the run's directory during training. None outside of a trial.
    """
    context = current()
    if context is None:
        return None
    os.makedirs(context.checkpoints, exist_ok=True)
    return context.checkpoints


if not TYPE_CHECKING:  # type checkers are to know the names that are there

    def __getattr__(name: str) -> Any:
        if name == "ActiveRun":
            from .driver.active_run import ActiveRun

            return ActiveRun
        return absent_name(__name__, name)
