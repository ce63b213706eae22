"""Pytest plug-in: the last line of a run says which slow tests it has left out, by kind.

A test is marked with the kind of reason for which it is slow, `@pytest.mark.slow("soak")`; `make test` runs all but
these, `make test-all` them as well.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

COUNTED = pytest.StashKey[Counter[str]]()
OUTPUT = "slow tests left out"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTED] = Counter()


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        slow = item.get_closest_marker("slow")
        if slow is not None and item.config.getoption("markexpr") == "not slow":
            item.config.stash[COUNTED][slow.args[0]] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[OUTPUT] = dict(session.config.stash[COUNTED])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Each worker of pytest-xdist collects all tests, so that the counts of one are those of the run."""
    counted = getattr(node, "workeroutput", {}).get(OUTPUT, {})
    node.config.stash[COUNTED] |= Counter(counted)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    counted = config.stash[COUNTED]
    if counted:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counted.items()))
        terminalreporter.section("left out")
        terminalreporter.line(f"`make test-all` also runs {counted.total()} slow tests: {kinds}")
