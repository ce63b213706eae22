"""Lanes of a timeline: a row for each slot, or for each member of a gang, with the attempts that ran there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..runs.attempts import Attempt

__all__ = ["Bar", "Lane", "lanes_of"]

Key = tuple[int, str]  # number of the slot, -1 where it is not known, and its host there


@dataclasses.dataclass(frozen=True)
class Lane:
    """Row of a timeline."""

    name: str
    host: str


@dataclasses.dataclass(frozen=True)
class Bar:
    """Attempt in a timeline; a gang's takes several rows from `row` on."""

    attempt: Attempt
    row: int
    rows: int = 1


def lanes_of(attempts: Sequence[Attempt]) -> tuple[list[Lane], list[Bar]]:
    """Rows in the order of slots, and a bar for each attempt."""
    placed = list(zip(_keys(attempts), attempts, strict=True))
    rows: dict[tuple[Key, int], int] = {}
    lanes: list[Lane] = []
    sizes: dict[Key, int] = {}
    for key, attempt in placed:
        sizes[key] = max(sizes.get(key, 1), len(attempt.members))
    names = dict.fromkeys(sorted(sizes))
    for number, key in enumerate(names):
        members = max((attempt.members for at, attempt in placed if at == key), key=len)
        hosts = {attempt.host for at, attempt in placed if at == key}
        for member in range(sizes[key]):
            rows[key, member] = len(lanes)
            host = members[member][1] if members else _one(hosts)
            lanes.append(Lane(_name(number, members[member][0] if members else None), host))
    bars = [Bar(attempt, rows[key, 0], max(1, len(attempt.members))) for key, attempt in placed]
    return lanes, bars


def _name(number: int, member: str | None) -> str:
    return f"slot {number}" if member is None else f"gang {number}: {member}"


def _one(hosts: set[str | None]) -> str:
    """Host of a slot; a slot that was lost may have gone on elsewhere."""
    known = sorted(host for host in hosts if host)
    return known[0] if len(known) == 1 else f"{len(known)} hosts" if known else ""


def _keys(attempts: Sequence[Attempt]) -> list[Key]:
    """Slot of each attempt; for journals without slots, the first one on the host that was free."""
    free_at: dict[Key, float] = {}
    keys = []
    for attempt in attempts:
        if attempt.slot is not None:
            keys.append((attempt.slot, ""))
            continue
        host = attempt.host or ""
        number = 0
        while free_at.get((number, host), float("-inf")) > attempt.begin:
            number += 1
        free_at[number, host] = attempt.end
        keys.append((number, host))
    return keys
