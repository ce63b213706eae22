"""docs/migrating.md lists every name of the predecessors as the list in the package has it."""

from __future__ import annotations

import importlib.util

from hopslite.predecessors import HOPSML_VERSIONS, MAGGY_VERSIONS, MODULES, RENAMED, UNUSED
from tests.helpers import ROOT

PAGE = ROOT / "docs" / "migrating.md"


def test_the_table_of_names_is_made_from_the_list():
    spec = importlib.util.spec_from_file_location("names", ROOT / "docs" / "hooks" / "names.py")
    assert spec
    assert spec.loader
    names = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(names)
    text = PAGE.read_text()
    assert text == names.with_names(text), "run `.venv/bin/python docs/hooks/names.py`"
    shown = [line for line in text.splitlines() if line.startswith("|")]
    for module in MODULES:
        assert any(line.startswith(f"| `{module.old}` |") for line in shown), module.old
        for name in module.names():
            assert any(f"`{name.name}`" in line and f"| {name.status.value} |" in line for line in shown), name.old


def test_the_page_says_which_versions_and_which_older_keywords():
    text = PAGE.read_text()
    assert f"(`hops` {HOPSML_VERSIONS})" in text
    assert f"({MAGGY_VERSIONS})" in text
    older = {name for table in (*RENAMED.values(), *UNUSED.values()) for name in table}
    assert [name for name in sorted(older) if f"`{name}=`" not in text] == []
