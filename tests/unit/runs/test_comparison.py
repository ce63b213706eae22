"""Differences between runs."""

from __future__ import annotations

from hopslite.runs.comparison import packages_in, source_difference


def test_packages_are_read_from_the_record() -> None:
    text = "# Python 3.11.7 on Linux-6.1\nNumPy==2.0\nlocal @ file:///x\ntorch==2.3+cpu\n"
    assert packages_in(text) == {"Python": "3.11.7", "platform": "Linux-6.1", "numpy": "2.0", "torch": "2.3+cpu"}
    assert packages_in("") == {}


def test_the_difference_of_sources_names_files() -> None:
    before, after = {"train.py": "a\nb\n", "old.py": "x\n"}, {"train.py": "a\nc\n"}
    lines = source_difference(before, after, ("one", "two"))
    assert lines[:2] == ["--- train.py (one)", "+++ train.py (two)"]
    assert "-b" in lines and "+c" in lines and "-x" in lines
    assert source_difference(before, before, ("one", "two")) == []
