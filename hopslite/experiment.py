"""The verbs: run a training function once, or over a search space, on Spark, recorded.

Signatures and return values are those of HopsML's `hops.experiment`; everything new is keyword-only. The keywords that
all verbs share are described at `launch`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import search as algorithms
from ._best import Best, best
from ._options import Call, MemberOptions, ResumeOptions, SearchOptions, TrialOptions, with_options
from ._runs import load
from ._trial import Direction
from ._verbs import About, ablated, launched, resumed, searched
from ._verbs import distributed as run_distributed
from .ablation import AblationRun, AblationStudy
from .distribute import Size
from .maggy import LagomResult, lagom_result, plan_of
from .result import Run, Trial
from .runtime.context import current
from .search.differential_evolution import DifferentialEvolution
from .search.grid import Grid
from .search.random import Random
from .space import Space

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "Best",
    "Direction",
    "Run",
    "Trial",
    "ablation",
    "best",
    "checkpoint_dir",
    "collective_all_reduce",
    "differential_evolution",
    "distributed",
    "grid_search",
    "lagom",
    "launch",
    "load",
    "mirrored",
    "parameter_server",
    "random_search",
    "resume",
    "search",
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
        heartbeat_timeout: seconds without a report (see `hopslite.report`) after which a trial counts as hanging and is
            ended as FAILED; default: no limit.
        isolation: "process" gives each trial a process of its own, so that nothing it does can harm another; "none"
            runs it in the Spark worker, which saves a few milliseconds a trial.
        pool: where trials run: "spark", or "inline" for a debugger: in this process, one after the other.
        spark: a SparkSession; default: the active one, or else a new `local[*]` session.
        project: the directory or fsspec URL that holds runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.
        tracking_uri: MLflow's; default: `MLFLOW_TRACKING_URI`, or SQLite in the project; "off" for no MLflow.
        tags: text by text, for the record and for MLflow.
        inputs: data for the trials, as URLs or paths by name, which the training function finds as local paths in
            `hopslite.inputs[name]`: a file, a directory, or an archive (.tar, .tar.gz, .zip …), which is unpacked. It
            is fetched once per executor, and is read-only. A relative path is one in the project;
            `runs:/NAME/VERSION/trials/0004` is a directory of an earlier run.
        resume: "auto" goes on with the newest run of this name, verb, function, space and inputs that broke off, if
            there is one; a run's id goes on with that one. What had finished is not run again.
        retry_failed: with `resume`, whether trials that FAILED are run again.
        force: with `resume`, whether to go on although the function, the space, the direction or an input is another.
            With another space or direction the algorithm begins anew, and takes from what was found what it suggests
            again.
        verbose: whether what trials print is shown here, too; it is always in their `output.log`. A notebook has the
            last lines in any case.
        display: False shows nothing; default: a progress bar, or a live table in notebooks.

    Returns:
        A `Run`, which unpacks as HopsML's `(logdir, outputs)`; `outputs` is None when there are several trials.

    Raises:
        InvalidArguments: something in the call cannot work; the message lists every problem.
        NotSerializable: the function refers to something that cannot be sent.
        TrialFailed: every trial failed, or more than `max_failures`; it carries the first one's traceback.
        RunInterrupted: Ctrl-C or a notebook's interrupt.
    """
    call = Call("launch", TrialOptions, train_fn, name, dict(options))
    return launched(call, About(name, local_logdir, description, metric_key), args_dict)


@with_options(SearchOptions)
def grid_search(
    train_fn: Callable[..., Any],
    grid_dict: Mapping[str, Any],
    direction: Direction | str = Direction.MAX,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str = "metric",
    **options: Unpack[SearchOptions],
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
    call = Call("grid_search", SearchOptions, train_fn, name, dict(options))
    about = About(name, local_logdir, description, optimization_key)
    return searched(call, about, "Grid Search", call.attempt(Space.grid, grid_dict), direction, Grid)


@with_options(SearchOptions)
def random_search(
    train_fn: Callable[..., Any],
    boundary_dict: Mapping[str, Any],
    direction: Direction | str = Direction.MAX,
    samples: int = 10,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str = "metric",
    **options: Unpack[SearchOptions],
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
    call = Call("random_search", SearchOptions, train_fn, name, dict(options))
    about = About(name, local_logdir, description, optimization_key)
    space = call.attempt(Space.parse, boundary_dict)
    return searched(call, about, "Random Search", space, direction, Random, samples=samples)


@with_options(SearchOptions)
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
    **options: Unpack[SearchOptions],
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
    call = Call("differential_evolution", SearchOptions, train_fn, name, dict(options))
    return searched(
        call,
        About(name, local_logdir, description, optimization_key),
        "Differential Evolution",
        call.attempt(Space.parse, boundary_dict),
        direction,
        DifferentialEvolution,
        generations=generations,
        population=population,
        mutation=mutation,
        crossover=crossover,
        synchronous=synchronous,
        initial=initial,
    )


@with_options(SearchOptions)
def search(
    train_fn: Callable[..., Any],
    space: Mapping[str, Any],
    algorithm: Any = "random",
    direction: Direction | str = Direction.MAX,
    num_trials: int | None = None,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str = "metric",
    *,
    algorithm_options: Mapping[str, Any] | None = None,
    **options: Unpack[SearchOptions],
) -> Run:
    """Search a space with any algorithm.

    >>> import hopslite
    >>> def train(x):
    ...     for step in range(10):
    ...         hopslite.report(-((x - 1) ** 2) - 1 / (step + 1), step)
    ...     return -((x - 1) ** 2)
    >>> run = search(train, {"x": [-2.0, 2.0]}, num_trials=20, stopper="median", seed=1, pool="inline", display=False)
    >>> len(run.trials)
    20

    Args:
        space: as `random_search`'s `boundary_dict`.
        algorithm: "random", "grid", "differential_evolution"; through Optuna "tpe", "gp", "cmaes", "qmc" or a sampler
            object of Optuna's; "hyperband" or "asha", which pass the training function one more argument, `budget`, and
            let a promoted trial go on in `checkpoint_dir()`; or a class of your own, see docs/search.md.
        num_trials: how many combinations are tried; default: 10, for "grid" all, for "hyperband" one round.
        algorithm_options: keywords for the algorithm, such as `{"max_budget": 27}` for "hyperband".
        stopper: a rule that ends trials early, by what they report: "median", "asha", "threshold", "patience", or an
            object from `hopslite.stop`.
        report_as: what counts as the metric of a trial that was stopped: its "last" or its "best" report.
        stop_grace: seconds that a trial has to make its next report, with which it is stopped; then it is killed.

    The other arguments are as for `grid_search` and `launch`.
    """
    call = Call("search", SearchOptions, train_fn, name, dict(options))
    about = About(name, local_logdir, description, optimization_key)
    parsed = call.attempt(Space.grid if algorithm == "grid" else Space.parse, space)
    title = f"Search: {algorithm if isinstance(algorithm, str) else type(algorithm).__name__}"
    make = functools.partial(algorithms.make, algorithm)
    return searched(call, about, title, parsed, direction, make, num_trials=num_trials, options=algorithm_options)


@with_options(SearchOptions)
def ablation(
    train_fn: Callable[..., Any],
    study: AblationStudy,
    direction: Direction | str = Direction.MAX,
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    optimization_key: str = "metric",
    **options: Unpack[SearchOptions],
) -> AblationRun:
    """Leave out one component at a time, and rank the components by what that costs.

    >>> from hopslite.ablation import AblationStudy
    >>> def train(components):
    ...     return 0.5 + 0.3 * ("dropout" in components) + 0.1 * ("augment" in components)
    >>> study = AblationStudy(components={"augment": True, "dropout": 0.5})
    >>> run = ablation(train, study, pool="inline", display=False)
    >>> [ranked.component for ranked in run.ablation]
    ['dropout', 'augment']

    Args:
        train_fn: the training function; it gets what it names of `components`, `model_function` and `dataset_function`.
        study: what to leave out: components of any kind, layers of a Keras model, features of a dataset; see
            `hopslite.ablation.AblationStudy`.

    The other arguments, and what is raised, are as for `grid_search`.

    Returns:
        A `Run` with the ranking as its attribute `ablation`.
    """
    call = Call("ablation", SearchOptions, train_fn, name, dict(options))
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
        train_fn: the training function; it gets by name what it takes of the hyperparameters, `hparams` (all in a
            dict), `reporter`, `model` and `dataset`.
        config: an object of one of the classes in `hopslite.maggy`; None: the keywords say it.
        keywords: those of Maggy's older form (`searchspace`, `optimizer`, `num_trials`, …), and any of `launch`.

    Returns:
        Maggy's dict of results, with the `Run` as its attribute `run`.
    """
    call = plan_of(train_fn, config, keywords)
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


@with_options(MemberOptions)
def mirrored(
    train_fn: Callable[..., Any],
    name: str = "no-name",
    local_logdir: bool = False,
    description: str | None = None,
    evaluator: bool = False,
    metric_key: str | None = None,
    **options: Unpack[MemberOptions],
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
    call = Call("mirrored", MemberOptions, train_fn, name, dict(options))
    size = Size(call.options.num_workers, 0, evaluator)
    return run_distributed(call, About(name, local_logdir, description, metric_key), "multi_worker_mirrored", size)


collective_all_reduce = mirrored


@with_options(MemberOptions)
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
    call = Call("parameter_server", MemberOptions, train_fn, name, dict(options))
    size = Size(call.options.num_workers, num_ps, evaluator, every_member)
    return run_distributed(call, About(name, local_logdir, description, metric_key), "parameter_server", size)


@with_options(MemberOptions)
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
    call = Call("distributed", MemberOptions, train_fn, name, dict(options))
    size = Size(call.options.num_workers, num_ps, evaluator, every_member)
    return run_distributed(call, About(name, local_logdir, description, metric_key), strategy, size)


@with_options(ResumeOptions)
def resume(
    run_id: str,
    train_fn: Callable[..., Any] | None = None,
    *,
    project: str | os.PathLike[str] | None = None,
    retry_failed: bool = False,
    force: bool = False,
    **options: Unpack[ResumeOptions],
) -> Run:
    """Go on with a run that broke off, with what its own call said.

    Trials that had finished are not run again; those that were under way are. What the algorithm had learned is learned
    again from the journal. The same can be had from the verb itself, with `resume="auto"` or a run's id.

    >>> def train(x):
    ...     return x
    >>> run = random_search(train, {"x": [0.0, 1.0]}, samples=3, pool="inline", display=False)
    >>> again = resume(run.run_id, pool="inline", display=False)
    >>> again.best_params == run.best_params
    True

    Args:
        run_id: as in `Run.run_id` and in the name of the run's directory.
        train_fn: the training function; default: the one that is stored with the run.
        project: the directory or URL that holds the run; default: as for `launch`.
        retry_failed: whether trials that FAILED are run again, too.
        force: whether to go on with a function that is not the one of the run.

    The other arguments, where given, take the place of those of the run's call; they are as for `launch`. `inputs` need
    only name those whose URLs hold secrets, such as signatures, which are not kept with a run.

    Raises:
        ResumeError: there is no such run, or it was made by a newer version, or what is stored cannot be read here, or
            an input has to be given again.
        RunIsRunning: a driver works on it.
        InvalidArguments: the function is another, or an input.
        ReplayError: the algorithm does not come to the same suggestions again: one of its libraries has changed.
    """
    place = None if project is None else os.fspath(project)
    return resumed(run_id, train_fn, place, retry_failed, force, dict(options))


def checkpoint_dir() -> str | None:
    """For training functions: a local directory for what the running trial needs to go on after a restart.

    What is saved there is found again by later attempts of the trial, and by the trials that go on from it. It is the
    run's own directory, which all members of a distributed trial share; or, where the run is kept on another machine, a
    scratch directory of each member, whose files are copied there while it trains. None outside of a trial.
    """
    context = current()
    if context is None:
        return None
    os.makedirs(context.checkpoints, exist_ok=True)
    return context.checkpoints
