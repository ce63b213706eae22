"""Paths at which callbacks write: within the trial's directory, also after their fields are filled in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hopslite.configured._trial_paths import path_within

DOT = int.__doc__.index(".") if int.__doc__ else 0


@pytest.mark.parametrize(
    ("written", "inside"),
    [
        ("kept/log.csv", "kept/log.csv"),
        ("../../log.csv", "log.csv"),
        ("/etc/log.csv", "log.csv"),
        ("a/../../log.csv", "log.csv"),
        ("kept/{epoch}.keras", "kept/{epoch}.keras"),
    ],
)
def test_paths_lead_into_the_directory(tmp_path: Path, written: str, inside: str) -> None:
    assert path_within(str(tmp_path), written, is_template=False) == str(tmp_path / inside)
    assert os.path.isdir((tmp_path / inside).parent)


@pytest.mark.parametrize("written", ["", ".", "..", "/", "a/..", "a\0b"])
def test_paths_of_nothing_are_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(ValueError, match=r"names nothing|is no path"):
        path_within(str(tmp_path), written, is_template=False)


@pytest.mark.parametrize(
    "written",
    [
        f"a/{{epoch.__doc__[{DOT}]}}{{epoch.__doc__[{DOT}]}}/x.keras",
        "{epoch:c}{epoch:c}/x.keras",
        "{epoch:/>5}.keras",
        "{epoch!r}.keras",
        "{epoch:{val_loss}}.keras",
        "{epoch:999999999}.keras",
        "{}.keras",
        "{{{epoch:c}}}.keras",
        "{epoch",
    ],
)
def test_fields_make_only_numbers(tmp_path: Path, written: str) -> None:
    with pytest.raises(ValueError, match="has a field that is no metric"):
        path_within(str(tmp_path), written, is_template=True)
    assert os.listdir(tmp_path) == []


def test_fields_of_metrics_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "a{b}"
    written = path_within(str(folder), "kept/{epoch:02d}-{val_loss:.3f}-{val_top-5}-{{x}}.keras", is_template=True)
    values = {"epoch": 3, "val_loss": 0.25, "val_top-5": 1.0}
    assert written.format(**values) == str(folder / "kept" / "03-0.250-1.0-{x}.keras")
