"""What the start of a session tells the user."""

from __future__ import annotations

import io
import sys

import pytest

from hopslite.pool._spark_session import _announce, without_announcement


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_start_is_announced_unless_nothing_is_to_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with without_announcement():
        _announce()
    assert terminal.getvalue() == ""
    _announce()
    assert terminal.getvalue() == "Starting Spark …\n"
