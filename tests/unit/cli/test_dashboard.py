"""The command `dashboard`."""

from __future__ import annotations

import os

import pytest

from hopslite.cli import dashboard


def test_programs_that_it_starts_do_not_get_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dashboard.PASSWORD, "secret")
    assert dashboard._password(asks=False) == "secret"
    assert dashboard.PASSWORD not in os.environ
