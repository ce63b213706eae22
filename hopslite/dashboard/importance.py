"""Importance of parameters for the pages of runs: estimated in a process, one at a time, and kept."""

from __future__ import annotations

import asyncio

from ..storage.project import Project
from .subprocess_call import answer_of

__all__ = ["Estimates"]

SECONDS = 120.0
KEPT = 200  # estimates
GONE = '{"problem": "The importance could not be estimated."}'


class Estimates:
    """Estimates by run and number of trials that have ended; used in the event loop."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._turn = asyncio.Lock()
        self._known: dict[tuple[str, int], str] = {}

    async def of(self, run_id: str, ended: int) -> str:
        """Estimate as JSON."""
        key = (run_id, ended)
        if key in self._known:
            return self._known[key]  # without waiting for that of another run
        async with self._turn:
            if key in self._known:
                return self._known[key]
            answer = await self._estimate(run_id)
            if len(self._known) >= KEPT:
                self._known.clear()
            if answer != GONE:  # the next try may succeed
                self._known[key] = answer
            return answer

    async def _estimate(self, run_id: str) -> str:
        request = [self._project.url, run_id]
        return await answer_of("hopslite.dashboard.importance_process", request, SECONDS) or GONE
