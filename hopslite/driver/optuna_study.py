"""Searches on a study of Optuna's: what is taken from it before the run, and added to it after."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..core.types import DEFAULT_KEY, Direction
from ..result import Run
from ..result._optuna import FIXED, ORIGIN, add_trials, waiting_trials
from ..search import Search
from ..stop import OptunaPruner
from .keywords import Options
from .study_writer import StudyWriter
from .warm_start import Prior

if TYPE_CHECKING:
    from .arguments import Call

__all__ = ["EarlierTrials", "collected", "problems", "settings_of", "with_enqueued"]


def problems(study: Any, algorithm: Any, direction: Any) -> list[str]:
    """Problems of a study, and of arguments that contradict it."""
    if not all(hasattr(study, name) for name in ("sampler", "pruner", "directions", "add_trial")):
        return [f"study={study!r:.80}; give a study of Optuna's, such as optuna.create_study()"]
    contradictions = []
    if algorithm != "random":
        contradictions.append(
            "algorithm and study exclude each other, since a study has its sampler; leave out algorithm"
        )
    ours = _directions(study)
    if str(getattr(direction, "value", direction)).upper() == "MIN" and ours == [Direction.MAX]:
        contradictions.append("direction is min and the study maximises; leave out direction")
    if isinstance(direction, (list, tuple)):
        contradictions.append(f"direction={direction!r:.60} and study: a study has its directions; leave out direction")
    return contradictions


def _directions(study: Any) -> list[Direction]:
    return [Direction.MAX if one.name == "MAXIMIZE" else Direction.MIN for one in study.directions]


def plan_problems(study: Any, plan: Any) -> list[str]:
    """The problem of a study that cannot take the trials of a run."""
    ours = [objective.direction for objective in plan.objectives] or [plan.direction or Direction.MAX]
    if study is None or _directions(study) == ours:
        return []
    shown = [", ".join(one.lower() for one in some) for some in (_directions(study), ours)]
    return [f"study has the directions {shown[0]}, and the run {shown[1]}; give another study"]


def settings_of(call: Call, study: Any, key: Any) -> tuple[Any, Any, Any]:
    """The sampler, the directions and the key of a study; its pruner becomes the stopper, unless the call has one.

    A study with several objectives has a list of directions; its metric names are the keys, unless `key` is a list.
    """
    directions = _directions(study)
    if len(directions) > 1:
        names = getattr(study, "metric_names", None)
        return study.sampler, directions, names if key == DEFAULT_KEY and names else key
    if call.options["stopper"] is None and type(study.pruner).__name__ != "NopPruner":
        call.options["stopper"] = OptunaPruner(study.pruner, needs_reports=False)
    return study.sampler, directions[0], key


@dataclasses.dataclass(frozen=True)
class EarlierTrials:
    """The trials that a study has before a run, for its search; `run_id` is that of a run that is resumed."""

    study: Any = dataclasses.field(repr=False)
    prior: Prior
    run_id: str | None = None

    def prepare(self, search: Search) -> None:
        """Pass them to a new search, without those of the run itself, which are replayed."""
        begins_with: Callable[[list[Any]], None] = search.begin_with  # type: ignore[attr-defined]
        begins_with([trial for trial in self.study.get_trials(deepcopy=False) if not self._is_own(trial)])
        self.prior.prepare(search)

    def _is_own(self, trial: Any) -> bool:
        origin = str(trial.user_attrs.get(ORIGIN) or "")
        return self.run_id is not None and origin.rpartition("/")[0] == self.run_id

    def notes(self, search: Search) -> list[str]:
        """Lines about earlier trials that are not the study's."""
        return self.prior.notes(search)

    def to_json(self) -> dict[str, Any]:
        """The fields of a run's record."""
        return self.prior.to_json()


def with_enqueued(prior: Prior, study: Any, total: int, past: Mapping[str, Any]) -> Prior:
    """Add the values that `study.enqueue_trial` has given to a search's prior, for its first trials.

    Args:
        past: the record of a run that is resumed, which has them.
    """
    if past:
        return dataclasses.replace(prior, initial=past.get("initial_params", prior.initial))
    if not isinstance(prior.initial, (list, tuple, type(None))):
        return prior
    points = [trial.system_attrs[FIXED] for trial in waiting_trials(study)]
    room = max(0, total - len(prior.initial or ()))
    return dataclasses.replace(prior, initial=[*points[:room], *(prior.initial or ())]) if points else prior


@contextmanager
def collected(study: Any, options: Options, initial: Callable[[], Sequence[Mapping[str, Any]]]) -> Iterator[list[Run]]:
    """Add the trials of a run with these options to the study, unless it is None, while the run goes.

    Afterwards those are added that the study lacks: of the run that is put into the list, or of one that failed.

    Args:
        initial: returns the values of the run's first trials.
    """
    runs: list[Run] = []
    if study is None:
        yield runs
        return
    writer = StudyWriter(study, initial)
    options["callbacks"] = [*(options["callbacks"] or ()), writer]
    try:
        yield runs
    except BaseException as error:
        if isinstance(result := getattr(error, "result", None), Run):
            runs.append(result)
        raise
    finally:
        writer.close()
        for run in runs:
            add_trials(study, run, initial())
