"""Functions and programs that certainly save no checkpoint are refused before the first trial, and no others."""

from __future__ import annotations

import collections
import functools
import importlib
import math
import os
import random
import subprocess
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopslite
from hopslite import experiment, space
from hopslite.cli import main
from hopslite.driver.checkpoint_use import checkpoint_problem
from hopslite.errors import InvalidArguments
from hopslite.experiment import checkpoint_dir as folder_of_state
from hopslite.search.pbt import Pbt
from hopslite.space import Space

RATES = {"lr": space.loguniform(1e-4, 1.0)}


class Model:
    """A model that is kept nowhere."""

    decay = 0.9

    def __init__(self, lr: float) -> None:
        self.lr = lr

    @property
    def loss(self) -> float:
        return math.exp(-self.lr) * self.decay

    @staticmethod
    def noise() -> float:
        return random.random()


class Saved(Model):
    """A model with a state."""

    def save(self) -> None:
        Path(experiment.checkpoint_dir() or "", "x").touch()


def plain(lr: float, budget: int) -> float:
    import json

    hopslite.report(0.0, step=0)
    model = Model(lr)
    return float(np.exp(model.loss)) + model.noise() + len(json.dumps([lr, budget]))


def inner(lr: float) -> None:
    Path(experiment.checkpoint_dir() or "", "x").write_text(str(lr))


def indirect(lr: float, budget: int) -> float:
    inner(lr)
    return lr


def renamed(lr: float, budget: int) -> float:
    Path(folder_of_state() or "", "x").touch()
    return lr


def by_class(lr: float, budget: int) -> float:
    Saved(lr).save()
    return lr


def by_path(lr: float, budget: int) -> float:
    Path("../checkpoints/x").touch()
    return lr


def by_process(lr: float, budget: int) -> float:
    subprocess.run(["train"], check=True)
    return lr


STATE = Path("../checkpoints") / "x"
TOOLS = types.SimpleNamespace(save=inner)
VIEW = types.MappingProxyType({"save": inner})
QUEUE = collections.deque([inner])


class Lazy:
    """Its folder is an attribute that is made when it is used."""

    @functools.cached_property
    def folder(self) -> str | None:
        return experiment.checkpoint_dir()


def by_path_of_module(lr: float, budget: int) -> float:
    STATE.touch()
    return lr


def by_namespace(lr: float, budget: int) -> float:
    TOOLS.save(lr)
    return lr


def by_view(lr: float, budget: int) -> float:
    VIEW["save"](lr)
    return lr


def by_queue(lr: float, budget: int) -> float:
    QUEUE[0](lr)
    return lr


def by_cached_property(lr: float, budget: int) -> float:
    return lr + len(Lazy().folder or "")


def by_shell(lr: float, budget: int) -> float:
    return lr + os.system("./finetune.sh")


def by_relative_import(lr: float, budget: int) -> float:
    from .io import save_state  # type: ignore[import-not-found]

    return float(save_state(lr))


def by_package(lr: float, budget: int) -> float:
    return float(importlib.import_module("my_company").train(lr))


def by_import(lr: float, budget: int) -> float:
    import my_company  # type: ignore[import-not-found]

    return float(my_company.train(lr))


def decorated(fn: Callable[..., float]) -> Callable[..., float]:
    @functools.wraps(fn)
    def wrapper(lr: float, budget: int) -> float:
        return fn(lr, budget)

    return wrapper


def problem_of(fn: Any) -> str | None:
    return checkpoint_problem(fn, "train", Pbt(Space(RATES)))


@pytest.mark.parametrize("fn", [plain, decorated(plain), functools.partial(plain, budget=3)])
def test_functions_whose_code_mentions_no_checkpoints_are_refused(fn: Any) -> None:
    assert "train() saves nothing in experiment.checkpoint_dir()" in str(problem_of(fn))


@pytest.mark.parametrize(
    "fn",
    [
        indirect,
        renamed,
        by_class,
        by_path,
        by_process,
        by_path_of_module,
        by_namespace,
        by_view,
        by_queue,
        by_cached_property,
        by_shell,
        by_relative_import,
        by_package,
        by_import,
        decorated(indirect),
        Saved(0.1).save,
        functools.partial(plain, budget=Saved(0.1)),
    ],
)
def test_functions_that_may_save_one_are_not(fn: Any) -> None:
    assert problem_of(fn) is None


def test_it_is_one_error_before_the_first_trial(project: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        experiment.search(plain, RATES, "pbt", project=project, pool="inline", display=False)
    [problem] = caught.value.problems
    assert "goes on from there: save the state" in problem
    assert not os.path.exists(f"{project}/Experiments")


@pytest.mark.parametrize(
    ("source", "is_refused"),
    [
        ("import numpy, parts\n", True),
        ("import os; os.environ['HOPSLITE_CHECKPOINT_DIR']\n", False),
        ("import my_company\n", False),
        ("import os; os.system('true')\n", False),
    ],
)
def test_programs(source: str, is_refused: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "parts.py").write_text("import json\n")
    program = textwrap.dedent("""
        import json, sys
        if "--ends" in sys.argv:
            sys.exit(3)
        print(json.dumps({"metric": "loss", "value": 1.0}))
    """)
    (code / "train.py").write_text(source + program)
    words = ["--metric", "loss", "--algorithm", "pbt(max_budget=2)", "--num-trials", "2", "--pool", "inline"]
    line = ["run", *words, "--project", f"{tmp_path}/p", str(code / "train.py"), "--lr", "uniform(0, 1)"]
    code_of_exit = main(line)
    error = capsys.readouterr().err
    assert code_of_exit != 0  # of the others the first trial fails
    assert ("train.py saves nothing in $HOPSLITE_CHECKPOINT_DIR" in error) == is_refused
    assert os.path.exists(tmp_path / "p" / "Experiments") != is_refused
