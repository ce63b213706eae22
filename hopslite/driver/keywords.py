"""The keywords that verbs have in common, each declared once: type, default, help and check.

To add a keyword, declare it here in the class of the verbs that take it. Its place in their signatures and docstrings,
its default and its check follow (`signatures`, `options`), as does its place in the reference
(`docs/hooks/docstrings.py`). Type checkers and editors read the classes, by `**options: Unpack[TrialOptions]`.
"""

# Annotations are evaluated here, as they hold the declarations.
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from ..display import Display
from ..pool import Pool
from . import checks
from .declarations import Keyword
from .search_keywords import GoalOptions, PriorOptions, StoppingOptions

__all__ = [
    "AblationOptions",
    "DriverOptions",
    "MemberOptions",
    "Options",
    "RestartOptions",
    "ResumeOptions",
    "RunOptions",
    "SearchOptions",
    "TrialOptions",
]

Isolation = Literal["process", "none"]
OnFailure = Literal["fail", "restart"]


class DisplayOptions(TypedDict, total=False):
    """Keywords of all verbs: what is shown and tracked."""

    tracking_uri: Annotated[
        str | None,
        Keyword(
            None,
            'MLflow\'s; default: `MLFLOW_TRACKING_URI`, or SQLite in the project; "off" for no MLflow.',
            checks.path,
        ),
    ]
    display: Annotated[
        bool | Display,
        Keyword(True, "False shows nothing; default: a progress bar, or a live table in notebooks.", checks.display),
    ]


class ProjectOptions(TypedDict, total=False):
    """Keywords of the verbs that begin a run: where it is kept."""

    project: Annotated[
        str | os.PathLike[str] | None,
        Keyword(
            None,
            "the directory or fsspec URL that holds runs; default: `HOPSLITE_PROJECT` or `./hopslite_project`.",
            checks.path,
        ),
    ]
    tags: Annotated[
        dict[str, str] | None, Keyword(None, "text by text, for the record and for MLflow.", checks.tags, planned=True)
    ]


class ExecutionOptions(TypedDict, total=False):
    """Keywords of the verbs that run a training function, also again."""

    trial_timeout: Annotated[
        float | None,
        Keyword(
            None,
            "seconds after which a trial is ended as FAILED; default: no limit.",
            checks.seconds(unlimited=True),
            planned=True,
        ),
    ]
    heartbeat_timeout: Annotated[
        float | None,
        Keyword(
            None,
            "seconds without a report (see `hopslite.report`) after which a trial counts as hanging and is ended as "
            "FAILED; default: no limit.",
            checks.seconds(unlimited=True),
            planned=True,
        ),
    ]
    timeout: Annotated[
        float | None,
        Keyword(
            None,
            "seconds after which the run ends: no more trials are started, running ones are KILLED.",
            checks.seconds(unlimited=True),
            planned=True,
        ),
    ]
    storage_patience: Annotated[
        float | None,
        Keyword(
            None,
            "seconds for which the run waits when its project, or the disks of trials, are full or cannot be reached: "
            "no trials are started, and those that failed because of it are run again. Afterwards it ends with "
            "`StorageUnavailable`, to be resumed; default: the setting `storage_patience`, 600.",
            checks.seconds(default=True),
        ),
    ]
    pool: Annotated[
        str | Pool,
        Keyword(
            "spark",
            'where trials run: "spark", or "inline" for a debugger: in this process, one after the other.',
            checks.pool,
        ),
    ]
    spark: Annotated[Any, Keyword(None, "a SparkSession; default: the active one, or else a new `local[*]` session.")]
    inputs: Annotated[
        Mapping[str, str] | None,
        Keyword(
            None,
            "data for the trials, as URLs or paths by name, which the training function finds as local paths in "
            "`hopslite.inputs[name]`: a file, a directory, or an archive (.tar, .tar.gz, .zip …), which is unpacked. "
            "It is fetched once per executor, and is read-only. A relative path is one in the project; "
            "`runs:/NAME/VERSION/trials/0004` is a directory of an earlier run, and `data:NAME/VERSION` a data set; "
            "`data:NAME` is its newest version when the run begins.",
        ),
    ]
    callbacks: Annotated[
        Sequence[Any] | None,
        Keyword(
            None,
            "objects with any of the methods `on_run_start`, `on_trial_start`, `on_report`, `on_trial_end` and "
            "`on_run_end`, which are called in this process, see docs/trials.md; what they raise is a warning.",
            checks.callbacks,
        ),
    ]
    verbose: Annotated[
        bool,
        Keyword(
            False,
            "whether what trials print is shown here, too; it is always in their `output.log`. A notebook has the last "
            "lines in any case.",
            planned=True,
        ),
    ]


class ResourceOptions(TypedDict, total=False):
    """Keywords of the verbs with any number of trials: how many at once, and with what."""

    parallelism: Annotated[
        int | None,
        Keyword(
            None,
            "how many trials run at once at most; default: as many as the cluster has task slots.",
            checks.whole_number(1, optional=True),
        ),
    ]
    cpus_per_trial: Annotated[
        int | None,
        Keyword(None, "cores for each trial; default: `spark.task.cpus`.", checks.whole_number(1, optional=True)),
    ]
    gpus_per_trial: Annotated[
        float | None,
        Keyword(
            None,
            "GPUs for each trial, which it sees in `CUDA_VISIBLE_DEVICES`; a share such as 0.25 puts four trials on "
            "one GPU; default: what Spark's configuration gives a task; 0: none, even where there are some.",
            checks.gpus,
        ),
    ]
    max_failures: Annotated[
        int | None,
        Keyword(
            None,
            "how many trials may fail before the run is given up as FAILED; default: all but one, unless the first "
            "trials show a mistake that all would repeat (see docs/trials.md).",
            checks.whole_number(0, optional=True),
            planned=True,
        ),
    ]
    max_retries: Annotated[
        int,
        Keyword(
            2, "how often a trial is run again that was lost with its executor.", checks.whole_number(0), planned=True
        ),
    ]


class RestartOptions(TypedDict, total=False):
    """Keywords for running a trial again that failed."""

    on_failure: Annotated[
        OnFailure,
        Keyword(
            "fail",
            '"fail" leaves a failed trial as it is, and ends a distributed run when a member fails; "restart" runs the '
            "trial again, with all members that it has: `train_fn` finds what it saved in `checkpoint_dir()`.",
            checks.one_of(OnFailure),
        ),
    ]
    max_restarts: Annotated[
        int, Keyword(3, 'with on_failure="restart", how often a trial is run again at most.', checks.whole_number(0))
    ]


class RunOptions(ExecutionOptions, ProjectOptions, DisplayOptions, total=False):
    """Keywords of all verbs that run a training function."""

    seed: Annotated[
        int | None,
        Keyword(
            None,
            "random seed of the search; default: one is drawn and recorded.",
            checks.whole_number(0, optional=True),
        ),
    ]
    resume: Annotated[
        str | None,
        Keyword(
            None,
            '"auto" goes on with the newest run of this name, verb, function, space and inputs that broke off, if '
            "there is one; a run's id or name, as for `load`, goes on with that one. What had finished is not run "
            "again.",
            checks.run_reference,
        ),
    ]
    retry_failed: Annotated[
        bool, Keyword(False, "with `resume`, whether trials that FAILED are run again.", checks.flag)
    ]
    force: Annotated[
        bool,
        Keyword(
            False,
            "with `resume`, whether to go on although the function, the space, the direction or an input is another. "
            "With another space or direction the algorithm begins anew, and takes over the results of the "
            "combinations that it suggests again.",
            checks.flag,
        ),
    ]


class TrialOptions(ResourceOptions, RestartOptions, RunOptions, total=False):
    """Keywords of the verbs with any number of trials."""

    strategy: Annotated[
        str | None,
        Keyword(
            None,
            'makes each trial a gang of `workers_per_trial` members that train together: "multi_worker_mirrored", '
            '"torch" or "jax", see `distributed`. CPUs and GPUs are then for each member, `parallelism` counts gangs.',
        ),
    ]
    workers_per_trial: Annotated[
        int | None,
        Keyword(None, "members of each trial, the chief included.", checks.whole_number(1, optional=True)),
    ]
    isolation: Annotated[
        Isolation,
        Keyword(
            "process",
            '"process" gives each trial a process of its own, so that nothing it does can harm another; "none" runs it '
            "in the Spark worker, which saves a few milliseconds a trial.",
            checks.one_of(Isolation),
            planned=True,
        ),
    ]


class AblationOptions(TrialOptions, StoppingOptions, total=False):
    """Keywords of the verbs whose trials have a metric."""


class SearchOptions(AblationOptions, GoalOptions, PriorOptions, total=False):
    """Keywords of the verbs that optimise a metric."""


class GangOptions(TypedDict, total=False):
    """Keywords of the members of a distributed trial."""

    num_workers: Annotated[
        int | None,
        Keyword(
            None,
            "members that train; default: one for each of the cluster's executors.",
            checks.whole_number(1, optional=True),
        ),
    ]
    gpus_per_worker: Annotated[
        int,
        Keyword(
            0,
            "GPUs for each member that trains, which it sees in `CUDA_VISIBLE_DEVICES`. 0 asks for none: members have "
            "those that Spark's configuration gives every task, and otherwise none, but a single one has all that its "
            "machine shows it.",
            checks.gpus_of_member,
        ),
    ]
    cpus_per_worker: Annotated[
        int | None,
        Keyword(None, "cores for each member; default: `spark.task.cpus`.", checks.whole_number(1, optional=True)),
    ]
    forming_timeout: Annotated[
        float,
        Keyword(600.0, "seconds to wait until the cluster has a slot for every member.", checks.seconds()),
    ]
    evaluator_grace: Annotated[
        float,
        Keyword(30.0, "seconds that the evaluator has after the chief has finished.", checks.seconds(zero=True)),
    ]


class EnvironmentOptions(TypedDict, total=False):
    """Keywords for going on with a run whose secret values are not kept."""

    env: Annotated[
        Mapping[str, str] | None,
        Keyword(
            None,
            "the variables that a program of `hopslite run` was given, and secret parameters such as `token` as "
            "`HOPSLITE_PARAM_TOKEN`: their values are not kept with the run. Those that are missing here are taken "
            "from this process's environment.",
            checks.variables,
        ),
    ]


class DriverOptions(ProjectOptions, DisplayOptions, total=False):
    """Keywords of `start_run`."""


class MemberOptions(GangOptions, RestartOptions, RunOptions, total=False):
    """Keywords of the verbs with a single distributed trial."""


class ResumeOptions(GoalOptions, ResourceOptions, ExecutionOptions, DisplayOptions, EnvironmentOptions, total=False):
    """Keywords that can be another when a run is resumed."""


class Options(SearchOptions, GangOptions, EnvironmentOptions, total=False):
    """All keywords, with their values in one call."""
