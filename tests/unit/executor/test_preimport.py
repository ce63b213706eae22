"""Detection of the frameworks that a trial imports."""

from __future__ import annotations

import subprocess
import sys

from tests.helpers.observe import PATIENCE_S

CODE = """
import sys
from hopslite.executor.preimport import ImportWatcher

sys.meta_path.insert(0, ImportWatcher(lambda name: print(name)))
import importlib.util
importlib.util.find_spec("sklearn")
{statement}
"""


def seen(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(statement=statement)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return set(done.stdout.split())


def test_an_import_is_seen() -> None:
    assert seen("import numpy") == {"numpy"}
    assert seen("import importlib; importlib.import_module('numpy')") == {"numpy"}


def test_a_question_whether_there_is_one_is_no_import() -> None:
    assert seen("pass") == set()
