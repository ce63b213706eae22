"""What strategies share whose members are all equal and know themselves by a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._trial import Member
from . import Size

__all__ = ["Ranks"]


class Ranks:
    """The base of such strategies, which add `TITLE` and `environment`. Rank 0 is the chief."""

    ALL_LISTEN = False

    @classmethod
    def problems(cls, size: Size) -> list[str]:
        name = cls.__name__.lower()
        found = []
        if size.ps:
            found.append(f"num_ps={size.ps}; {name} has no parameter servers, leave num_ps out")
        if size.evaluator:
            found.append(f"evaluator=True; {name} has no evaluator, evaluate on rank 0")
        if size.every_member:
            found.append(f"every_member=True; all members of {name} run train_fn anyway, leave it out")
        return found

    @staticmethod
    def members(size: Size) -> list[Member]:
        assert size.workers is not None
        return [Member("worker" if rank else "chief", rank) for rank in range(size.workers)]

    @staticmethod
    def preset(gang: Sequence[Member], given: Mapping[str, str], installed: Sequence[str]) -> dict[str, str]:
        return {}
