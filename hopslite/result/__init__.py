"""Results of the verbs: runs, which unpack like HopsML's tuples, and their trials."""

from __future__ import annotations

import collections
import datetime
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ..core import extras
from ..core.objectives import Objective, described, pareto_front
from ..core.redaction import without_credentials
from ..core.types import DEFAULT_KEY, Direction, State
from ..errors import InvalidArguments, StoreError
from . import _optuna, summary
from .schedule import Schedule, Stretch, schedule_of
from .table import csv_of, table_of
from .timeline import NO_TIMELINE, Timeline
from .trial import Trial, moment

if TYPE_CHECKING:
    import optuna
    import pandas
    from typing_extensions import TypeVarTuple, Unpack

    Items = TypeVarTuple("Items", default=Unpack[tuple[Any, ...]])

__all__ = ["Run", "Schedule", "SearchRun", "Stretch", "TrainingRun", "Trial"]

Lazy = Callable[[], str | None] | str | None
Wait = Callable[[float | None], bool]
Reports = Callable[[], Iterable[tuple[str, float, str, float]]]
Write = Callable[[str, bytes], None]
Page = Callable[[str, str], str | None]


class Run(tuple["Unpack[Items]"]):
    """A run that ended. It is the tuple that HopsML returned, with attributes.

    A search unpacks as `best_logdir, best_params, best_outputs` (all None when no trial has a metric, or several are
    optimised); `launch` and
    distributed training as `logdir, outputs`. The first item is the directory of the best or only trial, in which
    its function wrote (`tensorboard.logdir()`), with its `.outputs.json`. With several launched trials it is the run's
    directory, and `outputs` is None. A run is read-only and can be pickled; a pickle contains the current values of
    `tensorboard_url` and `mlflow_run_id`.

    Attributes:
        run_id, name, version, verb, project, description, tags: identification of the run.
        logdir: the run directory, also if the first item is another one; `best_logdir` is the best trial's.
        state: FINISHED, STOPPED (by `hopslite stop`), FAILED or KILLED; `error` says why it is not FINISHED.
        direction, optimization_key: of the optimised metric; None if nothing was optimised, or several metrics.
        objectives: the names and directions of several optimised metrics; otherwise empty.
        trials: every trial, in the order of their ids.
        best_trial, best_params, best_metric, best_outputs: None when no trial has a metric. With "hyperband" and "asha"
            the best of the trials with the largest budget. With several metrics no trial is the best, and they raise
            InvalidArguments: choose one of `pareto_trials`.
        pareto_trials: with several metrics, the finished trials than which none is better in all of them.
        started, duration: when the run began (UTC, with its time zone), and its length in seconds.
        seed: the seed of the search, also when it was drawn.
    """

    run_id: str
    name: str
    version: int
    verb: str
    logdir: str
    state: State
    direction: Direction | None
    optimization_key: str | None
    trials: tuple[Trial, ...]
    objectives: tuple[Objective, ...] = ()
    pareto_trials: tuple[Trial, ...] = ()
    _best: Trial | None
    started: datetime.datetime | None
    duration: float | None
    seed: int | None
    project: str | None
    description: str | None
    tags: dict[str, str]
    error: str | None
    _tensorboard_url: Lazy
    _mlflow_run_id: Lazy
    _wait_until_tracked: Wait | None = None
    _reports: Reports | None
    _write: Write | None = None  # to a path or URL
    _page: Page | None = None  # in a dashboard, of a project and a run
    _timeline: Timeline = NO_TIMELINE
    _space: Any = None  # JSON form
    _ranked_by: str | None = None  # the argument whose largest value the best trial has

    def __new__(
        cls,
        *,
        is_search: bool,
        run_id: str,
        name: str,
        version: int,
        verb: str,
        logdir: str,
        state: State,
        trials: Iterable[Trial] = (),
        best_trial: Trial | None = None,
        direction: Direction | None = None,
        optimization_key: str | None = None,
        objectives: tuple[Objective, ...] = (),
        started_at: float | None = None,
        duration: float | None = None,
        seed: int | None = None,
        project: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        error: str | None = None,
        tensorboard_url: Lazy = None,
        mlflow_run_id: Lazy = None,
        wait_until_tracked: Wait | None = None,
        reports: Reports | None = None,
        write: Write | None = None,
        page: Page | None = None,
        timeline: Timeline = NO_TIMELINE,
        space: Any = None,
        ranked_by: str | None = None,
    ) -> Run:
        trials = tuple(trials)
        values: tuple[Any, ...]
        if is_search:
            values = (best_trial.logdir, best_trial.params, best_trial.outputs) if best_trial else (None, None, None)
        else:
            values = (trials[0].logdir, trials[0].outputs) if len(trials) == 1 else (logdir, None)
        facts = {
            "run_id": run_id,
            "name": name,
            "version": version,
            "verb": verb,
            "logdir": logdir,
            "state": state,
            "trials": trials,
            "_best": best_trial,
            "objectives": objectives,
            "pareto_trials": tuple(pareto_front(trials, objectives)),
            "direction": direction,
            "optimization_key": optimization_key,
            "started": moment(started_at),
            "duration": duration,
            "seed": seed,
            "project": project,
            "description": description,
            "tags": dict(tags or {}),
            "error": error,
            "_tensorboard_url": tensorboard_url,
            "_mlflow_run_id": mlflow_run_id,
            "_wait_until_tracked": wait_until_tracked,
            "_reports": reports,
            "_write": write,
            "_page": page,
            "_timeline": timeline,
            "_space": space,
            "_ranked_by": ranked_by,
        }
        return _restore(cls, values, facts)

    @classmethod
    def of(cls: type[R], run: Run) -> R:
        """The same run as an object of this class."""
        return _restore(cls, tuple[Any, ...](run), run.__dict__)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a run is read-only: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a run is read-only: cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        resolved = {
            "_tensorboard_url": self.tensorboard_url,
            "_mlflow_run_id": self.mlflow_run_id,
            "_wait_until_tracked": None,
        }
        return (_restore, (type(self), tuple[Any, ...](self), {**self.__dict__, **resolved}))

    @property
    def best_trial(self) -> Trial | None:
        if self.objectives:
            problem = f"the run optimises {described(self.objectives)}, so that no trial is the best; choose one of"
            raise InvalidArguments(
                "run.best_trial", [f"{problem} run.pareto_trials ({len(self.pareto_trials)} of them)"]
            )
        return self._best

    @property
    def _chosen(self) -> tuple[Trial, ...]:
        """The trials that are marked in tables: the best one, or those on the Pareto front."""
        return self.pareto_trials or ((self._best,) if self._best else ())

    @property
    def _front(self) -> set[str] | None:
        """Ids of the trials on the Pareto front; None for a run with one metric."""
        return {trial.id for trial in self.pareto_trials} if self.objectives else None

    @property
    def best_logdir(self) -> str | None:
        return self.best_trial.logdir if self.best_trial else None

    @property
    def best_params(self) -> dict[str, Any] | None:
        return self.best_trial.params if self.best_trial else None

    @property
    def best_metric(self) -> float | None:
        return self.best_trial.metric if self.best_trial else None

    @property
    def best_outputs(self) -> dict[str, Any] | None:
        return self.best_trial.outputs if self.best_trial else None

    @property
    def best_schedule(self) -> Schedule | None:
        """The hyperparameters of the best trial's training, step by step, through all trials that it continues.

        With "pbt" they change during the training. None when no trial has a metric, and without an algorithm that
        passes a `budget`.
        """
        return schedule_of(self.trials, self._best) if self._best else None

    @property
    def tensorboard_url(self) -> str | None:
        """URL of the run's TensorBoard; None when it is not running."""
        return _resolve(self._tensorboard_url)

    @property
    def mlflow_run_id(self) -> str | None:
        """The MLflow parent run; None as long as the tracking server has not been reached."""
        return _resolve(self._mlflow_run_id)

    def dashboard(self) -> str | None:
        """URL of the run's page in a dashboard of this machine; None if none shows its project: `hopslite dashboard`.

        The browser that opened the dashboard can open the page; another one asks for its token.
        """
        return self._page(self.project, self.run_id) if self._page and self.project else None

    def wait_until_tracked(self, timeout: float | None = None) -> bool:
        """Wait until MLflow and TensorBoard have all of the run with its trials, `timeout` seconds at most.

        Returns False if they have not, or will not, as a server was down until shortly after the run's end;
        `hopslite track` delivers the run later. True at once if there is nothing to tell, because both are turned off.
        Only the program that made the run can wait for it: for a run that was loaded or unpickled, the answer is False
        at once.
        """
        return self._wait_until_tracked(timeout) if self._wait_until_tracked else False

    @property
    def counts(self) -> dict[State, int]:
        """Number of trials in each state."""
        return dict(collections.Counter(trial.state for trial in self.trials))

    def reports(self) -> pandas.DataFrame:
        """Reports of all trials: columns `trial`, `step`, `metric` (its name) and `value`, from the run's journal.

        If a trial was run again, only those of its last attempt. With a column for each metric:
        `run.reports().pivot(index=["trial", "step"], columns="metric", values="value")`.
        """
        extras.require("pandas", "run.reports()")
        import pandas as pd

        rows = list(self._reports()) if self._reports else []
        frame = pd.DataFrame(rows, columns=["trial", "step", "metric", "value"])
        numbers: pandas.DataFrame = frame.astype({"step": "float64", "value": "float64"})
        return numbers

    def _optimised_reports(self) -> list[tuple[str, float, float]]:
        """Reports of the optimised metric: trial, step and value."""
        rows = list(self._reports()) if self._reports else []
        names = {name for _, _, name, _ in rows}
        key = self.optimization_key or DEFAULT_KEY
        if key not in names and len(names) == 1:
            key = names.pop()
        return [(trial, step, value) for trial, step, name, value in rows if name == key]

    def to_pandas(self) -> pandas.DataFrame:
        """One row per trial, in the order of their ids.

        Columns: `id`, `state`, `metric` (with several metrics `pareto`: whether no trial is better in all of them),
        each parameter under its own name, each output as `outputs.<name>`, `generation` and `continues` (the trial that
        it went on from) where the search has them, `error`, `started` (UTC), `duration` (seconds), `logdir`. Of a
        parameter with such a name it is `params.<name>`. What a trial does not have is missing (NaN, NaT or None).
        """
        extras.require("pandas", "run.to_pandas()")
        return table_of(self.trials, self._front)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one line per trial as comma-separated values, with the columns of `to_pandas`; needs no pandas.

        Numbers are exact, times in ISO 8601 (UTC), lists and dicts JSON; what a trial does not have is empty. A file
        that is there already is replaced.

        Args:
            path: a file, also on other file systems, such as `"s3://bucket/trials.csv"`.

        Raises:
            StoreError: it cannot be written.
        """
        place, content = os.fspath(path), csv_of(self.trials, self._front).encode("utf-8", "replace")
        try:
            if self._write is None:
                with open(place, "wb") as file:
                    file.write(content)
            else:
                self._write(place, content)
        except OSError as error:
            shown = without_credentials(place)
            raise StoreError(f"the trials of run {self.run_id} cannot be written to {shown}: {error}") from error

    def to_optuna(self) -> optuna.Study:
        """A study of Optuna's with all trials, for `optuna.visualization`, Optuna Dashboard and other programs.

        Stopped trials, and those of `"hyperband"` and `"asha"` without the largest budget, are PRUNED, others without a
        result FAIL. `add_trials(study.trials)` of a study with a database stores the trials there.
        """
        study: optuna.Study = _optuna.study_of(self)
        return study

    def __repr__(self) -> str:
        return summary.text_of(self)

    def _repr_html_(self) -> str:
        return summary.html_of(self)


SearchRun = Run[str | None, dict[str, Any] | None, dict[str, Any] | None]
"""For annotations: a `Run` that unpacks as `best_logdir, best_params, best_outputs`, each None without a best trial."""

TrainingRun = Run[str, dict[str, Any] | None]
"""For annotations: a `Run` that unpacks as `logdir, outputs`."""


R = TypeVar("R", bound=Run)


def _restore(cls: type[R], values: tuple[Any, ...], facts: dict[str, Any]) -> R:
    run = tuple.__new__(cls, values)
    if "best_trial" in facts:  # a pickle of an older version
        facts = {**facts, "_best": facts["best_trial"]}
    run.__dict__.update(facts)
    return run


def _resolve(value: Lazy) -> str | None:
    return value() if callable(value) else value
