"""Base of strategies whose members are all equal and are identified by a rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.types import Member
from . import Size

__all__ = ["Ranks"]


class Ranks:
    """Base class, to which a strategy adds `TITLE` and `environment`. Rank 0 is the chief."""

    ALL_LISTEN = False

    @classmethod
    def problems(cls, size: Size) -> list[str]:
        name = cls.__name__.lower()
        problems = []
        if size.ps:
            problems.append(f"num_ps={size.ps}; {name} has no parameter servers, leave num_ps out")
        if size.evaluator:
            problems.append(f"evaluator=True; {name} has no evaluator, evaluate on rank 0")
        if size.every_member:
            problems.append(f"every_member=True; all members of {name} run train_fn anyway, leave it out")
        return problems

    @staticmethod
    def members(size: Size) -> list[Member]:
        assert size.workers is not None
        return [Member("worker" if rank else "chief", rank) for rank in range(size.workers)]

    @staticmethod
    def preset(gang: Sequence[Member], environ: Mapping[str, str], installed: Sequence[str]) -> dict[str, str]:
        return {}
