"""docs/faults.md names tests: they exist."""

from __future__ import annotations

import re

import pytest

from tests.helpers import ROOT

NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+)::(\w+)`", (ROOT / "docs" / "faults.md").read_text())))


def test_every_row_names_one() -> None:
    rows = re.findall(r"^\| (?!what breaks|---)[^`|]+\|.*$", (ROOT / "docs" / "faults.md").read_text(), re.MULTILINE)
    assert len(rows) > 20
    assert [row for row in rows if "tests/" not in row and not row.startswith("| |")] == []


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_it_exists(file: str, name: str) -> None:
    assert re.search(rf"^ *def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
