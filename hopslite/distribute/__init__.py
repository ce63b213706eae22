"""How the members of a distributed trial find each other: a strategy is one file of pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from .._trial import Member

__all__ = ["Layout", "Member", "Placed", "Size", "Strategy"]


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """How many members of each kind; `workers` None: as many as the cluster has executors."""

    workers: int | None
    ps: int = 0
    evaluator: bool = False
    every_member: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """What a verb decided about a gang; times are in seconds.

    `ports` are those that members may take ("0": any). `per` is how the call's keywords for a member's CPUs and GPUs
    end: "trial" in a search, "worker" in a distributed verb.
    """

    strategy: str
    size: Size
    forming_timeout: float = 600.0
    evaluator_grace: float = 30.0
    ports: str = "0"
    per: str = "trial"


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """A member that has its slot: `host` is the name by which executors reach each other, `port` is held for it."""

    member: Member
    host: str
    port: int
    gpus: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Strategy(Protocol):
    """A class of static functions; a new one is one file, or an entry point in `hopslite.distribute`."""

    TITLE: str  # for Spark's user interface
    ALL_LISTEN: bool  # whether every member that trains listens on its port as soon as it has met the others

    @staticmethod
    def problems(size: Size) -> list[str]:
        """Why a gang of this size cannot be; nothing when it can."""

    @staticmethod
    def members(size: Size) -> list[Member]:
        """Everyone in the gang, the chief first."""

    @staticmethod
    def environment(gang: Sequence[Placed], position: int) -> dict[str, str]:
        """The variables by which the member at `position` finds the others."""

    @staticmethod
    def preset(gang: Sequence[Member], given: Mapping[str, str], installed: Sequence[str]) -> dict[str, str]:
        """Variables that must be there before a framework is imported.

        Args:
            given: the environment as it is; what the user has set is never changed.
            installed: the names of optional packages that can be imported where the member runs.
        """
