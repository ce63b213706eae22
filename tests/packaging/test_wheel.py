"""The wheel, installed alone into an environment of its own: what users have after `pip install hopslite`."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

from hopslite import __version__
from tests.docs.test_readme import BLOCKS
from tests.helpers import ROOT

pytestmark = pytest.mark.slow("environments of their own")

EXTRAS = {"mlflow", "tensorboard", "matplotlib", "sklearn", "pandas", "optuna", "s3fs", "tensorflow", "torch"}
INLINE = """
import sys
from hopslite import experiment
run = experiment.grid_search(lambda x: x * x, {"x": [3, 1, 2]}, direction="min", pool="inline")
assert run.best_params == {"x": 1}, run
assert not %r & set(sys.modules)
"""
ON_EXECUTORS = """
import os, sys
from pyspark.sql import SparkSession
from hopslite import experiment
spark = SparkSession.builder.master("local-cluster[1,1,1024]").config("spark.ui.enabled", "false").getOrCreate()
def train(x):
    import os, sys
    print("in", sys.prefix)
    return x * x
run = experiment.grid_search(train, {"x": [3, 1, 2, 4]}, direction="min", spark=spark)
assert run.best_params == {"x": 1}, run
assert os.environ["EXECUTORS"] in open(os.path.join(run.trials[0].logdir, "output.log")).read()
spark.stop()
"""


class Environment(NamedTuple):
    """A virtual environment."""

    path: Path

    @property
    def python(self) -> str:
        return str(self.path / "bin/python")

    @classmethod
    def make(cls, path: Path, *requirements: str) -> Environment:
        venv.create(path)
        environment = cls(path)
        environment.install(*requirements)
        return environment

    def install(self, *requirements: str) -> None:
        uv = str(Path(sys.executable).with_name("uv"))  # seconds of processor time where pip takes minutes
        # Without its cache, which would keep pyspark anew in each run (0.5 GB).
        command = [uv, "pip", "install", "--quiet", "--no-cache", "--python", self.python, *requirements]
        subprocess.run(command, check=True)

    def run(self, *command: str, cwd: Path, **variables: str) -> str:
        """The output of a command that knows nothing of this checkout or of this process's environment."""
        clean = {"PATH": f"{self.path}/bin:{os.environ['PATH']}", "HOME": str(cwd), "SPARK_LOCAL_IP": "127.0.0.1"}
        clean |= {name: os.environ[name] for name in ("JAVA_HOME", "HOPSLITE_TEST_SESSION") if name in os.environ}
        done = subprocess.run(
            command,
            check=False,
            cwd=cwd,
            env={**clean, **variables},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "hopslite", source / "hopslite", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(built), str(source)], check=True)
    [path] = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel and its dependencies."""
    built = tmp_path_factory.mktemp("pyspark")
    # Its wheel, which pip has kept from making this environment, where uv would build it anew (40 s of processor time).
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built)]
    subprocess.run([*pip, f"pyspark=={importlib.metadata.version('pyspark')}"], check=True)
    path = tmp_path_factory.mktemp("bare") / "environment"
    return Environment.make(path, "--find-links", str(built), str(wheel))


@pytest.fixture(scope="module")
def executors(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment made with the two lines of docs/clusters.md, without pyspark."""
    section = (ROOT / "docs/clusters.md").read_text().partition("## Packages on executors")[2].partition("\n## ")[0]
    lines = re.findall(r"^pip install ([^#\n]*)", section, re.MULTILINE)
    assert lines[0].split() == ["--no-deps", "hopslite"]
    environment = Environment.make(tmp_path_factory.mktemp("executors") / "environment", "--no-deps", str(wheel))
    environment.install(*lines[1].split())
    return environment


def test_command_and_module_have_the_version(bare: Environment, tmp_path: Path) -> None:
    assert __version__ in bare.run("hopslite", "--version", cwd=tmp_path)
    assert (
        bare.run(bare.python, "-c", "import hopslite; print(hopslite.__version__)", cwd=tmp_path) == f"{__version__}\n"
    )


def test_every_module_can_be_imported_or_names_its_extra(bare: Environment, tmp_path: Path) -> None:
    code = """
import importlib, pkgutil, hopslite
for module in pkgutil.walk_packages(hopslite.__path__, "hopslite."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            print(module.name, error.name)
"""
    lines = [line.split() for line in bare.run(bare.python, "-c", code, cwd=tmp_path).splitlines()]
    optional = {"hopslite.configured", "hopslite.dashboard", "hopslite.figures", "hopslite.storage"}
    assert {module.rpartition(".")[0] for module, _ in lines} <= {*optional, "hopslite.storage.fs"}, lines


def test_grid_in_the_driver_is_recorded_and_one_line_says_what_is_missing(bare: Environment, tmp_path: Path) -> None:
    output = bare.run(bare.python, "-c", INLINE % EXTRAS, cwd=tmp_path)
    assert output.count("not installed") == 1
    assert 'pip install "hopslite[mlflow,tensorboard,plots]"' in output
    assert "1 run" in bare.run("hopslite", "doctor", "--no-spark", cwd=tmp_path)
    assert "FINISHED" in bare.run("hopslite", "ls", cwd=tmp_path)


def test_grid_on_executors_that_have_less(bare: Environment, executors: Environment, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(ON_EXECUTORS)
    place = str(executors.path)
    bare.run(bare.python, str(program), cwd=tmp_path, PYSPARK_PYTHON=executors.python, EXECUTORS=place)


@pytest.mark.parametrize(
    ("place", "code"),
    [block for block in BLOCKS if block[0].startswith("docs/search.md") and 'pool="inline"' in block[1]],
)
def test_documentation_block(place: str, code: str, bare: Environment, tmp_path: Path) -> None:
    if any(
        re.search(rf"\b{package}\b", code)
        for package in ("sklearn", "pandas", "optuna", "tpe", "nsga2", "plots", "reports")
    ):
        pytest.skip("it uses an extra")
    (tmp_path / "block.py").write_text(code)
    bare.run(bare.python, "block.py", cwd=tmp_path)
