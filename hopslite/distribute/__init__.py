"""Strategies for distributed trials: the members of a gang, and the environment by which they find each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from ..core.plain_values import plain
from ..core.types import Member

__all__ = ["Layout", "Member", "Placed", "Size", "Strategy"]


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """Number of members of each role; `workers` None: one per executor of the cluster."""

    workers: int | None
    ps: int = 0
    evaluator: bool = False
    every_member: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Strategy, size and limits of a gang; times are in seconds.

    `ports` are the ports that members may use ("0": any). `per` is the suffix of the call's keywords for a member's
    CPUs and GPUs: "trial" in a search, "worker" in a distributed verb.
    """

    strategy: str
    size: Size
    forming_timeout: float = 600.0
    evaluator_grace: float = 30.0
    ports: str = "0"
    per: str = "trial"


@dataclasses.dataclass(frozen=True, slots=True)
class Placed:
    """A member with its slot; `host` is its name for other executors, `port` is reserved for it."""

    member: Member
    host: str
    port: int
    gpus: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Strategy(Protocol):
    """Interface of a strategy: static functions in one module, or an entry point in `hopslite.distribute`."""

    TITLE: str  # for Spark's user interface
    ALL_LISTEN: bool  # True if every training member listens on its port as soon as the members are connected

    @staticmethod
    def problems(size: Size) -> list[str]:
        """Reasons why a gang of this size is not possible; empty when it is."""

    @staticmethod
    def members(size: Size) -> list[Member]:
        """All members of a gang, the chief first."""

    @staticmethod
    def environment(gang: Sequence[Placed], position: int) -> dict[str, str]:
        """Environment variables by which the member at `position` finds the others."""

    @staticmethod
    def preset(gang: Sequence[Member], environ: Mapping[str, str], installed: Sequence[str]) -> dict[str, str]:
        """Environment variables that must be set before a framework is imported.

        Args:
            given: the current environment; variables that the user has set are never changed.
            installed: the names of optional packages that can be imported where the member runs.
        """
