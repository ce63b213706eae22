"""Values that cross boundaries between modules, processes and machines: frozen dataclasses with a JSON form."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import numbers
from typing import Any, Literal, TypeVar

from .plain_values import is_time

__all__ = [
    "BUDGET",
    "DEFAULT_KEY",
    "Direction",
    "DirectionName",
    "Event",
    "LOG_NAME",
    "Member",
    "RUN_STOPPED",
    "Result",
    "Spec",
    "State",
    "is_better",
    "is_cut_off",
    "json_safe",
    "metric_name",
]

BUDGET = "budget"  # argument that says how long to train
DEFAULT_KEY = "metric"  # name of a metric that has no other
RUN_STOPPED = "run-stopped"  # cause of a trial that a user has stopped together with its run; a resume runs it again
LOG_NAME = "output.log"  # of a trial's output; of a member's with the member's name and an underscore in front


class State(str, enum.Enum):
    """State of a trial or run. A run is never PENDING, a trial is never QUEUED."""

    QUEUED = "QUEUED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def final(self) -> bool:
        return self not in (State.QUEUED, State.PENDING, State.RUNNING)

    def __str__(self) -> str:
        return self.value


class Direction(str, enum.Enum):
    """Direction of the optimisation; strings in any case ("max", "MIN") work too."""

    MAX = "MAX"
    MIN = "MIN"

    def __str__(self) -> str:
        return self.value


DirectionName = Literal["max", "min", "MAX", "MIN"]


def is_better(a: float, b: float | None, direction: Direction) -> bool:
    """True if metric `a` is strictly better than `b`; any metric is better than none."""
    if b is None:
        return True
    return a > b if direction is Direction.MAX else a < b


def metric_name(key: str | None, outputs: dict[str, Any] | None) -> str:
    """Name under which a trial's metric is shown: the key or, with the default one, that of its only number."""
    numbers = [n for n, v in (outputs or {}).items() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if key in (None, DEFAULT_KEY) and DEFAULT_KEY not in (outputs or {}) and len(numbers) == 1:
        return numbers[0]
    return key or DEFAULT_KEY


V = TypeVar("V", bound="_Value")


class _Value:
    """Frozen dataclass with a JSON round-trip; unknown keys, of newer versions, are ignored."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}  # type: ignore[attr-defined]

    @classmethod
    def from_json(cls: type[V], data: dict[str, Any]) -> V:
        known = cls.__dataclass_fields__  # type: ignore[attr-defined] # fields() takes longer than all else here
        return cls(**{name: value for name, value in data.items() if name in known})


@dataclasses.dataclass(frozen=True, slots=True)
class Member(_Value):
    """Process of a distributed trial; `environment` is how it finds the other members.

    `server` members run the strategy's server instead of the training function; those without `gpu` never get one.
    """

    role: str
    index: int
    gpu: bool = True
    server: bool = False
    environment: dict[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.role} {self.index}"

    @property
    def file(self) -> str:
        """Prefix of the names of its files."""
        return f"{self.role}_{self.index}"

    @property
    def is_chief(self) -> bool:
        return self.role == "chief"

    @property
    def trains(self) -> bool:
        """True if the trial lasts until this member is done."""
        return not self.server and self.role not in ("ps", "evaluator")


@dataclasses.dataclass(frozen=True, slots=True)
class Spec(_Value):
    """Specification of a trial for a slot. `params` are in wire form (see `serialization.values`)."""

    trial_id: str
    params: dict[str, Any]
    logdir: str
    generation: int | None = None
    attempt: int = 0
    member: dict[str, Any] | None = None  # JSON form of a `Member`, where the trial has several
    checkpoints: str | None = None  # those of the trial that this one goes on from; None: its own
    copies: str | None = None  # those that its own begin with a copy of

    @property
    def part(self) -> Member | None:
        """Member that is to be run; None for a trial of one process."""
        return Member.from_json(self.member) if self.member else None


@dataclasses.dataclass(frozen=True, slots=True)
class Result(_Value):
    """Result of a trial. `metric` is a finite number or None; `started` is in seconds since the epoch.

    `metrics` are those of a run that optimises several, by name and in their order; `metric` is then None.

    `cause` names the kind of failure: `exception`, `return-value`, `segfault`, `exit`, `signal`, `out-of-memory`,
    `timeout`, `lost`, `killed`, `storage` (a disk was full, or could not be written), `inputs` (one could not be had),
    `unpickling` (the training function cannot be loaded), `checkpoints` (it left none, or those that it goes on from
    are gone), `garbage` (its process wrote into the connection to its slot), and of a STOPPED trial `run-stopped` (a
    user has stopped the run); `error` is its message in one line and `traceback` the training function's trace. A
    STOPPED trial's metric is what it reported.
    """

    trial_id: str
    state: State
    metric: float | None = None
    outputs: dict[str, Any] | None = None
    error: str | None = None
    cause: str | None = None
    traceback: str | None = None
    started: float = 0.0
    duration: float = 0.0
    host: str | None = None
    warnings: tuple[str, ...] = ()
    usage: dict[str, float] | None = None
    artifacts: tuple[str, ...] = ()
    log: str = LOG_NAME
    metrics: dict[str, float] | None = None

    @property
    def is_cut_off(self) -> bool:
        """True if the trial ended only because its run did: a resume runs it again."""
        return is_cut_off(self.state, self.cause)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        known["state"] = State(known["state"])
        for name in ("warnings", "artifacts"):
            known[name] = tuple(known.get(name) or ())
        return cls(**known)


@dataclasses.dataclass(frozen=True, slots=True)
class Event(_Value):
    """Line of the journal. `time` is in seconds since the epoch; `trial` is None for events of the run.

    | kind | data |
    |---|---|
    | `run_started` | what `run.json` held at the start |
    | `asked` | `params` (JSON form), `generation`, `continues` (the trial that it goes on from), `copies` (a copy of
    its checkpoints, not the same directory) |
    | `started` | `slot` (its number; of a gang, that of its group of slots), `host`, `attempt`, `gpus` |
    | `members` | `members`: each one's `role`, `index`, `host`, `address`, `gpus`, `environment`, `log` |
    | `report` | `step`, `value` (of the optimised metric, or None), `metrics` (by name, if it was a dict), `attempt` |
    | `stop` | `why`, `step`, `value`: it was decided to end the trial early |
    | `sample` | system metrics by name: `cpu_percent`, `memory_mb`, `disk_read_mb_per_s`, `gpu0_percent`, … |
    | `suggested` | `params`, `distributions`: by name, what a define-by-run trial has got, and from which |
    | `user_attr` | `values`: by name, values that a define-by-run trial has set |
    | `retry` | `attempt`, `cause`, `error`: this attempt failed, and the trial will be run again |
    | `ended` | a `Result` |
    | `again` | a trial that had failed is run again, after a resume |
    | `known` | `params`, `of`: what was suggested was found before, as this other trial, and is not run |
    | `queued` | the run waits for its turn, see `driver.reservation`; `run_started` follows |
    | `resumed` | `fresh`: the algorithm begins anew; `session`: the number of the driver that goes on |
    | `run_ended` | `state`, `best_trial`, `metric`, `duration`, `error` |
    """

    kind: str
    time: float
    trial: str | None = None
    data: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_line(self) -> str:
        return json.dumps(self.to_json(), default=json_safe)


def json_safe(value: Any, strict: bool = False) -> Any:
    """JSON form of any value, for records: numbers stay numbers, arrays and sets become lists, the rest its `repr`.

    It is the same in every process: the items of a set are in the order of their JSON.

    JSON has no NaN and no infinities. Python's reader and writer have, so that they stay numbers on the way to the
    driver and the trackers; `strict` makes them text ("NaN", "Infinity"), for files that any program may read.
    """
    if isinstance(value, (str, bool, type(None))):
        return value
    if is_time(value):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return json.dumps(number) if strict and not math.isfinite(number) else number
    if isinstance(value, dict):
        return {str(k): json_safe(v, strict) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(v, strict) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((json_safe(v, strict) for v in value), key=lambda item: json.dumps(item, sort_keys=True))
    to_list = getattr(value, "tolist", None)  # numpy scalars and arrays
    if callable(to_list) and not isinstance(value, type):
        if getattr(getattr(value, "dtype", None), "kind", None) in ("M", "m"):  # times, whose unit tolist may lose
            array: Any = value
            return json_safe(list(array) if array.ndim else array[()], strict)
        return json_safe(to_list(), strict)
    return getattr(value, "__qualname__", None) or repr(value)


def is_cut_off(state: State, cause: str | None) -> bool:
    """True if a trial ended only because its run did."""
    return state is State.KILLED or (state is State.STOPPED and cause == RUN_STOPPED)


def finite(value: float | None) -> bool:
    """True if a metric is a number that can be compared."""
    return value is not None and math.isfinite(value)
