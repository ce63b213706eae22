"""Fixtures of several rooms."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder
