"""Optuna's samplers as search algorithms: `tpe`, `gp`, `cmaes`, `qmc`, and any sampler object.

Optuna is imported here and nowhere else, and only when one of them is used. The study is kept in memory: the run's
journal is the record.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import inspect
import itertools
import logging
import math
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._dimensions import Choice, Dimension, Integer, LogUniform, Uniform
from .._trial import Direction, Result, finite
from ..errors import InvalidArguments, MissingExtra
from ..space import Space
from . import Suggestion
from ._common import check_options, random_below, recorded, replay_error, whole_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

__all__ = ["NAMES", "Optuna", "is_sampler"]

NAMES = {"tpe": "TPESampler", "gp": "GPSampler", "cmaes": "CmaEsSampler", "qmc": "QMCSampler"}
NEEDS = {"gp": ("torch", "pip install torch"), "cmaes": ("cmaes", 'pip install "hopslite[optuna]"')}
STATELESS = ("TPESampler", "GPSampler", "RandomSampler")  # all that they know is in the study
FIXED = ("gp", "cmaes", "qmc")  # have models of all parameters or none: they are given those that do not exist, too
STUDY = "hopslite"
REDRAWS = 4  # suggestions known already before a random combination is taken
FEWER_REDRAWS = {"GPSampler": 2}  # slow, and says much the same when asked again
MAX_REPEATS = 1000  # random combinations known already, after which a continuous space counts as used up
EXACT = 2**53  # up to here floats, which Optuna calculates with, tell integers apart

Raw = dict[str, Any]  # values as Optuna has them: the place of a choice, the index of a step
_constructing = threading.Lock()  # `catch_warnings` changes what all threads see


class Optuna:
    """`num_trials` suggestions of an Optuna sampler, with any number of trials under way.

    The sampler knows of those, and no combination is suggested twice: where the sampler repeats itself it is asked
    again, then a random combination is taken that was not tried. A finite space that is used up ends the search.
    Failed trials count as failed, those that were stopped early with the metric they had.

    - A named sampler gets Optuna's defaults, except that `tpe` draws parameters together, also where some are
      conditional, that random trials under way count among `n_startup_trials`, up to half of them, and that `qmc`
      scrambles its sequence, so that the seed has a say. `options` are passed on to it.
    - `cmaes` learns from results that come when their generation is complete, which Optuna ignores.
    - `gp`, `cmaes` and `qmc` need the same parameters in all trials: they are asked for conditional ones, too, and what
      they say of one that does not exist in a combination is ignored (`gp` is told the middle of its interval).
      `cmaes` has no model of choices: they are drawn at random.
    - A sampler object is copied, and has its own seed. It is asked for conditional parameters only where they exist.
    """

    def __init__(
        self,
        space: Space,
        *,
        direction: Direction = Direction.MAX,
        seed: int = 0,
        num_trials: int = 10,
        sampler: Any = "tpe",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        name = sampler if isinstance(sampler, str) else type(sampler).__name__
        problems = whole_number("num_trials", num_trials, 1) + whole_number("seed", seed, 0)
        if name not in NAMES and not is_sampler(sampler):
            problems.append(f"sampler must be an Optuna sampler or one of {', '.join(NAMES)}, given {sampler!r:.80}")
        if problems:
            raise InvalidArguments(name, problems)
        self._optuna = _package(name)
        self._space, self._seed, self._num_trials = space, seed, num_trials
        self._axes = {each: _Axis(each, dimension, self._optuna.distributions) for each, dimension in space.items()}
        self._order = [*(each for each in space if each not in space.conditions), *space.conditions]
        self._flat = name in FIXED
        self._fresh: Callable[[int], BaseSampler] | None = None
        self._running: dict[str, tuple[int, tuple[Any, ...]]] = {}
        if isinstance(sampler, str):
            build = self._named(name, dict(options or {}))
            first = build(_number(seed))
            self._fresh = build if NAMES[name] in STATELESS else None
        else:
            check_options(name, dict(options or {}), [])
            first = copy.deepcopy(sampler)
        self._by_asking = type(first).__name__ not in STATELESS
        self._generational = type(first).__name__ == "CmaEsSampler"
        self._redraws = FEWER_REDRAWS.get(type(first).__name__, REDRAWS)
        self._calm = _one_thread if type(first).__name__ == "GPSampler" else contextlib.nullcontext
        self._study = self._new_study(first, direction)
        self._known: dict[tuple[Any, ...], float | None] = {}  # metrics of all combinations ever suggested
        self._asked = 0
        self._ended = False
        self._notes = self._remarks(name)

    @property
    def total(self) -> int:
        if self._ended:
            return self._asked
        return self._num_trials if self._space.size is None else min(self._num_trials, self._space.size)

    @property
    def done(self) -> bool:
        return self._asked >= self.total

    def ask(self, trial_id: str) -> Suggestion | None:
        if self.done:
            return None
        proposal = self._propose()
        if proposal is None:
            self._ended = True
            return None
        return self._open(trial_id, *proposal)

    def adopt(self, trial_id: str, params: dict[str, Any]) -> Suggestion:
        """Take up the parameters as they are.

        A sampler with a state of its own is asked as well, so that it goes on from where it was.

        Raises:
            ReplayError: the parameters do not lie in the space.
        """
        raw = self._read(params)
        if raw is None:
            raise replay_error(trial_id, params, None)
        proposal = self._propose() if self._by_asking else None
        if proposal is not None and self._key(proposal[1]) == self._key(raw):
            return self._open(trial_id, *proposal)
        if proposal is not None:
            self._tell(proposal[0], None)
        return self._open(trial_id, self._add(raw), raw)

    def tell(self, result: Result) -> None:
        number, key = self._running.pop(result.trial_id)
        value = result.metric if finite(result.metric) else None
        self._known[key] = value
        self._tell(number, value)

    def notes(self) -> list[str]:
        notes, self._notes = self._notes, []
        return notes

    # --- the study

    def _new_study(self, sampler: BaseSampler, direction: Direction) -> Any:
        storage = self._optuna.storages.InMemoryStorage()
        logging.getLogger(type(storage).__module__).addFilter(_not_ours)
        study = self._optuna.create_study(
            storage=storage,
            study_name=STUDY,
            sampler=sampler,
            direction="maximize" if direction is Direction.MAX else "minimize",
        )
        study.stop = self._end  # what a sampler calls that has nothing left; Optuna's own works in its loop only
        return study

    def _end(self) -> None:
        self._ended = True

    def _named(self, name: str, options: dict[str, Any]) -> Callable[[int], BaseSampler]:
        """How to make a sampler with a seed.

        Raises:
            InvalidArguments: an option is unknown, or Optuna refuses a value.
        """
        kind = getattr(self._optuna.samplers, NAMES[name])
        known = inspect.signature(kind).parameters
        check_options(name, options, [each for each in known if each != "seed"])
        wanted: dict[str, Any] = {"warn_independent_sampling": False}
        if name == "tpe":
            wanted = {"multivariate": True, "constant_liar": True, "group": bool(self._space.conditional)}
            if options.get("multivariate") is False:
                wanted["group"] = False
        elif name == "qmc":
            wanted["scramble"] = True
        given = {key: value for key, value in wanted.items() if key in known} | options
        with _constructing, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                kind(seed=0, **given)
            except (TypeError, ValueError) as error:
                raise InvalidArguments(name, [str(error)]) from error
        experimental = self._optuna.exceptions.ExperimentalWarning
        for warning in caught:
            if not issubclass(warning.category, experimental):
                warnings.warn(warning.message, warning.category, stacklevel=4)

        start = given.get("n_startup_trials", getattr(known.get("n_startup_trials"), "default", 0))
        if problems := whole_number("n_startup_trials", start, 0):
            raise InvalidArguments(name, problems)

        def build(seed: int) -> BaseSampler:
            if (
                NAMES[name] in STATELESS
            ):  # Optuna counts those that have ended: with many under way, many more are random
                given["n_startup_trials"] = max((start + 1) // 2, start - len(self._running))
            with _silent() if caught else contextlib.nullcontext():
                made: BaseSampler = kind(seed=seed, **given)
                return made

        return build

    def _remarks(self, name: str) -> list[str]:
        choices = [each for each, dimension in self._space.items() if isinstance(dimension, Choice)]
        if name != "cmaes" or not choices:
            return []
        return [f"cmaes has no model of choices: {', '.join(choices)} is drawn at random, the rest learned"]

    # --- suggestions

    def _propose(self) -> tuple[int, Raw] | None:
        """A combination that was never suggested, and its number in the study; None when there is no other."""
        for attempt in range(self._redraws):
            if self._fresh is not None:  # so that a suggestion depends on what is known, not on how it came about
                self._study.sampler = self._fresh(_number(self._seed, self._asked, attempt))
            with self._calm():
                trial = self._study.ask()
                raw = self._drawn(trial)
            key = self._key(raw)
            if key not in self._known:
                if self._by_asking or not self._space.conditional:
                    return trial.number, raw
                self._tell(trial.number, None)  # or what it said of parameters that do not exist would count
                raw = self._settled(raw)
                return self._add(raw), raw
            # What is known is news for a sampler that waits for its generation to be complete.
            self._tell(trial.number, self._known[key] if self._by_asking else None)
        found = self._untried()
        return None if found is None else (self._add(found), found)

    def _drawn(self, trial: Trial) -> Raw:
        """What the sampler suggests, parents before what depends on them."""
        raw: Raw = {}
        for name in self._order:
            if self._flat or self._holds(name, raw):
                raw[name] = self._axes[name].suggest(trial)
        return raw

    def _holds(self, name: str, raw: Raw) -> bool:
        condition = self._space.conditions.get(name)
        if condition is None:
            return True
        parent = condition.parent
        return parent in raw and self._axes[parent].index(raw[parent]) in condition.indices

    def _exists(self, raw: Raw) -> set[str]:
        """The parameters that the combination has."""
        there: Raw = {}
        for name in self._order:
            if name in raw and self._holds(name, there):
                there[name] = raw[name]
        return set(there)

    def _key(self, raw: Raw) -> tuple[Any, ...]:
        exists = self._exists(raw)
        return tuple(self._axes[name].place(raw[name]) if name in exists else None for name in self._space)

    def _settled(self, raw: Raw) -> Raw:
        """The combination with nothing but what the sampler is to know of parameters that do not exist."""
        exists = self._exists(raw)
        if not self._flat:
            return {name: raw[name] for name in self._order if name in exists}
        return {name: raw[name] if name in exists else self._axes[name].raw(0.5) for name in self._order}

    def _untried(self) -> Raw | None:
        """A random combination that was never suggested."""
        rng, size = np.random.default_rng([self._seed, self._asked]), self._space.size
        start = 0 if size is None else random_below(rng, size)
        for attempt in range(MAX_REPEATS) if size is None else range(size):
            units = (
                rng.random(len(self._space)).tolist() if size is None else self._space.units((start + attempt) % size)
            )
            pairs = zip(self._axes.items(), units, strict=True)
            raw = self._settled({name: axis.raw(unit) for (name, axis), unit in pairs})
            if self._key(raw) not in self._known:
                return raw
        return None

    def _read(self, params: dict[str, Any]) -> Raw | None:
        """The combination that a journal has a record of; None when it is not one of the space."""
        if not params.keys() <= set(self._space):
            return None
        places = {name: self._axes[name].read(value) for name, value in params.items()}
        found = None
        for values in itertools.islice(itertools.product(*places.values()), MAX_REPEATS):
            raw = dict(zip(places, values, strict=True))
            if self._exists(raw) != set(raw) or len(raw) < sum(self._holds(name, raw) for name in self._space):
                continue
            found = self._settled({name: raw.get(name) for name in self._space} if self._flat else raw)
            if self._key(found) not in self._known:
                return found
        return found

    def _open(self, trial_id: str, number: int, raw: Raw) -> Suggestion:
        key = self._key(raw)
        self._running[trial_id] = (number, key)
        self._known[key] = None
        self._asked += 1
        exists = self._exists(raw)
        return Suggestion({name: axis.value(raw[name]) for name, axis in self._axes.items() if name in exists})

    def _add(self, raw: Raw, marks: dict[str, Any] | None = None) -> int:
        """Put a running trial into the study without asking the sampler."""
        trial = self._optuna.trial.create_trial(
            state=self._optuna.trial.TrialState.RUNNING,
            params=raw,
            distributions={name: self._axes[name].distribution for name in raw},
            system_attrs=marks,
        )
        self._study.add_trial(trial)
        return len(self._study.get_trials(deepcopy=False)) - 1

    def _tell(self, number: int, value: float | None) -> None:
        if value is not None and self._generational:
            number = self._in_time(number)
        if value is None:
            self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def _in_time(self, number: int) -> int:
        """The trial, or where CMA-ES has gone on to the next generation meanwhile, a copy that belongs to that one.

        It would ignore what comes late: three trials of each generation with four under way.
        """
        trials = self._study.get_trials(deepcopy=False)
        late = trials[number]
        marks = {key: value for key, value in late.system_attrs.items() if ":optimizer" not in key}
        for key in marks:
            if key.endswith(":generation"):
                marks[key] = max(trial.system_attrs.get(key, -1) for trial in trials)
        if marks.items() <= late.system_attrs.items():
            return number
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        return self._add(late.params, marks)


class _Axis:
    """A dimension as Optuna sees it.

    Choices are told apart by their places, and multiples of a step by their indices, so that values of any kind come
    back exactly as they were given. What floats cannot hold is a fraction of the interval.
    """

    def __init__(self, name: str, dimension: Dimension, distributions: Any) -> None:
        self._name, self._dimension = name, dimension
        self._indexed = self._fraction = False
        self.distribution: BaseDistribution
        if isinstance(dimension, Choice):
            self._indexed = True
            self.distribution = distributions.CategoricalDistribution(tuple(range(dimension.size)))
        elif isinstance(dimension, Integer) and max(abs(dimension.low), abs(dimension.high)) <= EXACT:
            low, high = dimension.low, dimension.high
            self.distribution = distributions.IntDistribution(low, high, log=dimension.log, step=dimension.step)
        elif isinstance(dimension, Uniform | Integer) and (dimension.size or math.inf) <= EXACT:
            self._indexed = True
            self.distribution = distributions.IntDistribution(0, (dimension.size or 1) - 1)
        elif isinstance(dimension, Uniform | LogUniform) and math.isfinite(dimension.high - dimension.low):
            log = isinstance(dimension, LogUniform)
            self.distribution = distributions.FloatDistribution(dimension.low, dimension.high, log=log)
        else:
            self._fraction = True
            self.distribution = distributions.FloatDistribution(0.0, 1.0)

    def suggest(self, trial: Trial) -> Any:
        shape: Any = self.distribution
        if isinstance(self._dimension, Choice):
            return trial.suggest_categorical(self._name, shape.choices)
        suggest: Any = trial.suggest_int if isinstance(shape.low, int) else trial.suggest_float
        return suggest(self._name, shape.low, shape.high, step=shape.step, log=shape.log)

    def value(self, raw: Any) -> Any:
        """What the training function gets."""
        dimension = self._dimension
        if self._fraction:
            return dimension.from_unit(raw)
        if self._indexed:
            return dimension.at(int(raw))  # type: ignore[union-attr]  # only finite ones are
        assert not isinstance(dimension, Choice)
        return min(max(raw, dimension.low), dimension.high)

    def place(self, raw: Any) -> Any:
        """Equal for two values exactly when they are the same to the training function."""
        return raw if self._indexed else self.value(raw)

    def index(self, raw: Any) -> int:
        """The index of a value of a finite dimension."""
        if self._indexed:
            return int(raw)
        place: int = self._dimension.places(self.value(raw))[0]  # type: ignore[union-attr]
        return place

    def raw(self, unit: float) -> Any:
        """The value at a fraction of the interval."""
        if self._fraction:
            return unit
        return self._dimension.index(unit) if self._indexed else self._dimension.from_unit(unit)  # type: ignore[union-attr]

    def read(self, value: Any) -> list[Any]:
        """The values of which a journal has this record: none if it is not in the dimension."""
        dimension = self._dimension
        if isinstance(dimension, Choice):
            record = recorded(value)
            return [place for place, known in enumerate(dimension.values) if recorded(known) == record]
        try:
            unit = dimension.to_unit(value)
        except InvalidArguments:
            return []
        if self._indexed:
            return [dimension.index(unit)]  # type: ignore[union-attr]
        return [unit if self._fraction else value]


def is_sampler(given: Any) -> bool:
    """Whether this is one of Optuna's samplers, or a subclass's; Optuna is not imported to find out."""
    optuna = sys.modules.get("optuna")
    return optuna is not None and isinstance(given, optuna.samplers.BaseSampler)


def _package(name: str) -> Any:
    """The package `optuna`, once all that the sampler needs is there."""
    try:
        with _silent():  # about progress bars in notebooks, which are not used
            import optuna
    except ImportError as error:
        message = f'the algorithm {name!r} needs Optuna, which is not installed: pip install "hopslite[optuna]"'
        raise MissingExtra(message) from error
    package, install = NEEDS.get(name, ("optuna", ""))
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(f"the algorithm {name!r} needs the package {package!r}, which is not installed: {install}")
    return optuna


def _number(*entropy: int) -> int:
    """A seed of 32 bits, as Optuna needs it, that depends on all of the numbers."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """No warnings that nobody here can act on: of experimental features, of packages that Optuna misses."""
    with _constructing, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch in one thread: for matrices this small, several wait for each other ten times as long as they work."""
    torch = importlib.import_module("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _not_ours(record: logging.LogRecord) -> bool:
    """For Optuna's logger: all messages but that of the studies made here."""
    return not record.getMessage().endswith(f"name: {STUDY}")
