"""Variables of programs: files of variables, and mistakes in `--env`."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopslite.errors import InvalidArguments
from hopslite.submission.environment import variables


def test_only_quotes_around_a_value_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "v.env"
    path.write_text("A=\"a b\"\nB='x'\nC=it's'\nD=\"\nexport E=\"a\" 'b'\nF=\n")
    assert variables([str(path)]) == {"A": "a b", "B": "x", "C": "it's'", "D": '"', "E": "\"a\" 'b'", "F": ""}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("nowhere.env", "--env 'nowhere.env': there is no such file"),
        ("", "--env '': there is no such file"),
        ("my-key=hunter22", "--env 'my-key': this is no name of a variable"),
    ],
)
def test_mistakes_are_said_without_values(option: str, message: str) -> None:
    with pytest.raises(InvalidArguments) as error:
        variables([option])
    assert error.value.problems[0].startswith(message) and "hunter22" not in str(error.value)
