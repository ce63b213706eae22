"""Estimates of importance: one at a time, kept, and tried again after a failure."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hopslite.dashboard.importance import GONE, Estimates
from hopslite.storage.project import Project


class Slow(Estimates):
    """Estimates that wait until they may end."""

    def __init__(self, project: Project, answers: list[str]) -> None:
        super().__init__(project)
        self.answers = answers
        self.may_end = asyncio.Event()

    async def _estimate(self, run_id: str) -> str:
        if run_id == "slow":
            await self.may_end.wait()
        return self.answers.pop(0)


def test_failures_are_not_kept_and_known_ones_do_not_wait(tmp_path: Path) -> None:
    async def work() -> list[str]:
        estimates = Slow(Project(str(tmp_path)), [GONE, "known", "other"])
        texts = [await estimates.of("a", 1), await estimates.of("a", 1)]
        slow = asyncio.ensure_future(estimates.of("slow", 1))
        await asyncio.sleep(0)  # it has its turn
        texts.append(await asyncio.wait_for(estimates.of("a", 1), 30))
        estimates.may_end.set()
        return [*texts, await slow]

    assert asyncio.run(work()) == [GONE, "known", "known", "other"]
