"""Pytest plug-in: which tests are slow, and a last line of a run that says which of them it has left out.

`make test` runs all tests but the slow ones, `make test-all` these as well. A test is slow when one of its fixtures
starts a browser or a server that takes long, when it or its module imports a second framework, or when it is marked by
hand, with the kind of reason: `@pytest.mark.slow("soak")`.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

SLOW = {  # fixtures, and parameters
    "azure": "stores",
    "browser": "browsers",
    "connect_server": "Spark Connect",
    "gp": "frameworks",  # Optuna's sampler computes with PyTorch
    "gs": "stores",
    "hdfs_server": "stores",
    "jupyterlab": "browsers",
    "mlflow_postgres": "MLflow",
    "spark_connect": "Spark Connect",
    "standalone_cluster": "clusters",
}
SECOND_FRAMEWORK = re.compile(r"^\s*(import|from) (torch|jax)\b|importorskip\(.(torch|jax)\b", re.MULTILINE)

COUNTED = pytest.StashKey[Counter[str]]()
OUTPUT = "slow tests left out"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTED] = Counter()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        kind = kind_of(item)
        if kind and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.slow(kind))


def kind_of(item: pytest.Item) -> str | None:
    """The reason why a test is slow without being marked."""
    chosen = getattr(item, "callspec", None)
    named = [value for value in chosen.params.values() if isinstance(value, str)] if chosen else []
    for name in sorted({*getattr(item, "fixturenames", ()), *named} & SLOW.keys()):
        return SLOW[name]
    source = inspect.getsource(item.function) if isinstance(item, pytest.Function) else ""
    return "frameworks" if SECOND_FRAMEWORK.search(source) or imports_a_second_framework(item.path) else None


@functools.cache
def imports_a_second_framework(module: Path) -> bool:
    """True if the module itself does, before any of its tests."""
    return any(SECOND_FRAMEWORK.match(line) and not line[0].isspace() for line in module.read_text().splitlines())


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
