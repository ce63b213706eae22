"""The values that cross boundaries between modules, processes and machines: frozen, with a JSON form."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import numbers
from typing import Any, TypeVar

__all__ = ["Direction", "Event", "Member", "Result", "Spec", "State", "is_better", "json_safe"]


class State(str, enum.Enum):
    """The states of trials and runs. A run is never PENDING or STOPPED."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def final(self) -> bool:
        return self not in (State.PENDING, State.RUNNING)

    def __str__(self) -> str:
        return self.value


class Direction(str, enum.Enum):
    """Whether the metric is to be maximised or minimised; strings in any case ("max", "MIN") work too."""

    MAX = "MAX"
    MIN = "MIN"

    def __str__(self) -> str:
        return self.value


def is_better(a: float, b: float | None, direction: Direction) -> bool:
    """Whether metric `a` is strictly better than `b`; anything is better than no metric at all."""
    if b is None:
        return True
    return a > b if direction is Direction.MAX else a < b


V = TypeVar("V", bound="_Value")


class _Value:
    """A frozen dataclass with a JSON round-trip; unknown keys of newer versions are ignored when reading."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls: type[V], data: dict[str, Any]) -> V:
        known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{k: v for k, v in data.items() if k in known})


@dataclasses.dataclass(frozen=True, slots=True)
class Member(_Value):
    """One process of a trial that is distributed over several; `environment` is how it finds the others.

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
        """What its files' names begin with."""
        return f"{self.role}_{self.index}"

    @property
    def is_chief(self) -> bool:
        return self.role == "chief"

    @property
    def trains(self) -> bool:
        """Whether the trial is over only when this member is."""
        return not self.server and self.role not in ("ps", "evaluator")


@dataclasses.dataclass(frozen=True, slots=True)
class Spec(_Value):
    """What a slot is asked to run. `params` are in wire form (see `runtime.values`)."""

    trial_id: str
    params: dict[str, Any]
    logdir: str
    generation: int | None = None
    attempt: int = 0
    member: dict[str, Any] | None = None  # JSON form of a `Member`, where the trial has several
    checkpoints: str | None = None  # those of the trial that this one goes on from; None: its own

    @property
    def part(self) -> Member | None:
        """The member that is to be run; None for a trial of one process."""
        return Member.from_json(self.member) if self.member else None


@dataclasses.dataclass(frozen=True, slots=True)
class Result(_Value):
    """How a trial ended. `metric` is a finite number or None; `started` is in seconds since the epoch.

    `cause` names the kind of failure: `exception`, `return-value`, `segfault`, `exit`, `signal`, `out-of-memory`,
    `timeout`, `lost`, `killed`, `inputs` (one could not be had); `error` is its message in one line and `traceback` the
    training function's trace. A STOPPED trial's metric is what it reported.
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
    log: str = "output.log"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        known = {f.name: data[f.name] for f in dataclasses.fields(cls) if f.name in data}
        known["state"] = State(known["state"])
        for name in ("warnings", "artifacts"):
            known[name] = tuple(known.get(name) or ())
        return cls(**known)


@dataclasses.dataclass(frozen=True, slots=True)
class Event(_Value):
    """One line of the journal. `time` is in seconds since the epoch; `trial` is None for events of the run.

    | kind | data |
    |---|---|
    | `run_started` | what `run.json` held at the start |
    | `asked` | `params` (JSON form), `generation`, `continues` (the trial that it goes on from) |
    | `started` | `host`, `attempt`, `gpus` |
    | `members` | `members`: each one's `role`, `index`, `host`, `address`, `gpus`, `environment`, `log` |
    | `report` | `step`, `value`, `attempt` |
    | `stop` | `why`, `step`, `value`: it was decided to end the trial early |
    | `sample` | system metrics by name: `cpu_percent`, `memory_mb`, `gpu0_percent`, … |
    | `ended` | a `Result` |
    | `again` | a trial that had failed is run again, after a resume |
    | `known` | `params`, `of`: what was suggested was found before, as this other trial, and is not run |
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
    """A JSON form of any value, for records: numbers stay numbers, arrays become lists, the rest its `repr`.

    JSON has no NaN and no infinities. Python's reader and writer have, so that they stay numbers on the way to the
    driver and the trackers; `strict` makes them text ("NaN", "Infinity"), for files that any program may read.
    """
    if isinstance(value, (str, bool, type(None))):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return json.dumps(number) if strict and not math.isfinite(number) else number
    if isinstance(value, dict):
        return {str(k): json_safe(v, strict) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_safe(v, strict) for v in value]
    to_list = getattr(value, "tolist", None)  # numpy scalars and arrays
    if callable(to_list) and not isinstance(value, type):
        return json_safe(to_list(), strict)
    return getattr(value, "__qualname__", None) or repr(value)


def finite(value: float | None) -> bool:
    """Whether a metric can take part in a comparison."""
    return value is not None and math.isfinite(value)
