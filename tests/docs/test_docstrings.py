"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import hopslite
from tests.helpers.framework_modules import imports_a_framework

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(hopslite.__path__, "hopslite.")
    if not module.name.endswith("__main__") and not imports_a_framework(module.name)
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # examples write files
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_every_verb_has_an_example() -> None:
    experiment = importlib.import_module("hopslite.experiment")
    for verb in ("launch", "grid_search", "random_search", "differential_evolution"):
        assert ">>>" in getattr(experiment, verb).__doc__, verb
