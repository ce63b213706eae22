"""Training in this process: which parameters are refused before Keras is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hopslite import configured
from hopslite.errors import InvalidConfiguration
from tests.helpers import ROOT

CONFIG = str(ROOT / "hopslite" / "templates" / "config" / "config.hjson")


@pytest.mark.parametrize(
    ("params", "problems"),
    [
        (
            None,
            [
                "has the axis dropout",
                "has the axis learning_rate",
                "has the axis num_epochs; give params={'num_epochs'",
            ],
        ),
        ({"dropout": 0.1, "num_epochs": 1, "learning_rat": 0.1}, ["'learning_rat'; did you mean 'learning_rate'?"]),
        (
            {"dropout": 0.1, "num_epochs": 1, "learning_rate": 0.1, "zzz": 1},
            ["there is no parameter 'zzz'; parameters: dropout, learning_rate, num_epochs"],
        ),
    ],
)
def test_parameters_are_those_of_the_axes(params: dict[str, Any] | None, problems: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        configured.fit(CONFIG, params, folder=tmp_path / "out")
    for problem in problems:
        assert problem in str(refused.value)
    assert os.listdir(tmp_path) == []


def test_mistakes_need_no_keras() -> None:
    program = (
        "import sys; from hopslite import configured, errors\n"
        "try: configured.fit({'model': {'os.system': {'command': 'ls'}}})\n"
        "except errors.InvalidConfiguration: print('keras' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == "False\n"
