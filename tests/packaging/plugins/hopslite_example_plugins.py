"""One plug-in for each group, on top of what hopslite exports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from hopslite.core.types import Direction, Event
from hopslite.distribute import Member, Placed, Size
from hopslite.pool.inline import Inline
from hopslite.search.random import Random
from hopslite.space import Space
from hopslite.stop import Median
from hopslite.track import Context


class ExampleRandom(Random):
    """Random search with random numbers of its own."""

    def __init__(self, space: Space, *, direction: Direction, seed: int = 0, num_trials: int | None = None) -> None:
        super().__init__(space, direction=direction, seed=seed + 1_000_003, samples=num_trials or 10)


class ExampleMedian(Median):
    """The median rule that begins after two trials."""

    def __init__(self, *, min_trials: int = 2) -> None:
        super().__init__(min_trials=min_trials)


class ExampleRing:
    """Equal members, each of which knows its neighbour."""

    TITLE = "example ring"
    ALL_LISTEN = False

    @staticmethod
    def problems(size: Size) -> list[str]:
        return [f"num_ps={size.ps}; a ring has no parameter servers"] if size.ps else []

    @staticmethod
    def members(size: Size) -> list[Member]:
        return [Member("worker" if rank else "chief", rank) for rank in range(size.workers or 1)]

    @staticmethod
    def environment(gang: Sequence[Placed], position: int) -> dict[str, str]:
        return {"RING_RANK": str(position), "RING_NEXT": gang[(position + 1) % len(gang)].address}

    @staticmethod
    def preset(gang: Sequence[Member], given: Mapping[str, str], installed: Sequence[str]) -> dict[str, str]:
        return {}


class ExampleHere(Inline):
    """Trials in the driver's process."""


class ExampleLines:
    """Appends each event to a file of the run, one line of JSON each."""

    def __init__(self, context: Context) -> None:
        self._run = context.run
        self._lines: list[str] = []

    def handle(self, events: Sequence[Event]) -> None:
        self._lines += [json.dumps({"kind": event.kind, "trial": event.trial}) for event in events]

    def flush(self) -> None:
        """The file has all events from the first on, so that a second delivery writes the same."""
        self._run.write_bytes("example.jsonl", "\n".join([*self._lines, ""]).encode())

    def close(self) -> None: ...
