"""What users import: complete, documented by `__all__`, and light."""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import subprocess
import sys
import typing
from types import ModuleType

import pytest

import hopslite
from hopslite import errors
from tests.helpers import ROOT
from tests.helpers.framework_modules import imports_a_framework
from tests.helpers.observe import PATIENCE_S

FRAMEWORKS = ("pyspark", "tensorflow", "torch", "mlflow", "pandas", "scipy", "tensorboard", "matplotlib", "sklearn")
NO_MODULES = ("inputs", "report")
PUBLIC = ("hopslite", *(f"hopslite.{name}" for name in hopslite.__all__ if name not in NO_MODULES))
EXCEPTIONS = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]


def module_names() -> list[str]:
    """Every module of the package that imports no framework, found without importing any."""
    files = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "hopslite").rglob("*.py"))
    names = (".".join(path.parts).removesuffix(".__init__") for path in files if path.name != "__main__")
    return sorted(name for name in names if not imports_a_framework(name))


def load(name: str) -> ModuleType:
    """Import a module; the test is skipped when an optional package that the module needs is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").startswith("hopslite") or name in PUBLIC:
            raise
        pytest.skip(f"{name}: {error}")


@pytest.mark.parametrize("statement", ["import hopslite", f"from hopslite import {', '.join(hopslite.__all__)}"])
def test_importing_loads_no_framework(statement):
    code = f"import sys; {statement}; print(*({set(FRAMEWORKS)} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_the_verbs_import_one_package():
    code = "import sys; from hopslite import experiment; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert set(done.stdout.split()) - sys.stdlib_module_names - {"__main__"} == {"cloudpickle", "hopslite"}


def test_the_names_of_the_package_are_these():
    assert hopslite.__all__ == [
        "ablation",
        "callbacks",
        "configured",
        "data",
        "devices",
        "errors",
        "experiment",
        "hdfs",
        "inputs",
        "maggy",
        "model",
        "numpy_helper",
        "pandas_helper",
        "plots",
        "report",
        "space",
        "stop",
        "tensorboard",
        "util",
    ]
    assert inspect.getdoc(hopslite.report)
    assert inspect.getdoc(hopslite.inputs)
    assert set(hopslite.__all__) <= set(dir(hopslite))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hopslite.nothing


@pytest.mark.parametrize("name", module_names())
def test_all_is_sorted_without_doubles_and_exists(name):
    module = load(name)
    exported = getattr(module, "__all__", [])
    assert list(exported) == sorted(set(exported))
    lazy = getattr(module, "LAZY_CLASSES", ())  # which the tests of configured/ look at
    assert [each for each in exported if each not in lazy and not hasattr(module, each)] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_exports_all_that_it_defines(name):
    module = load(name)
    defined = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == name
    }
    assert defined <= set(module.__all__)
    for exported in [name for name in module.__all__ if name not in getattr(module, "LAZY_CLASSES", ())]:
        if typing.get_origin(getattr(module, exported)) is typing.Literal:  # which can have no docstring of its own
            continue
        assert inspect.getdoc(getattr(module, exported)), f"{name}.{exported} has no docstring"


@pytest.mark.parametrize("cls", EXCEPTIONS)
def test_exceptions_have_one_root_and_are_exported(cls):
    assert issubclass(cls, errors.HopsliteError)
    assert cls.__name__ in errors.__all__


@pytest.mark.parametrize("name", module_names())
def test_a_module_defines_no_exception_of_another_root(name):
    for value in vars(load(name)).values():
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == name:
            assert issubclass(value, errors.HopsliteError), value


@pytest.mark.parametrize("cls", EXCEPTIONS)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_exceptions_survive_pickling_with_their_attributes(cls, protocol):
    if cls is errors.InvalidArguments:
        error, expected = cls("launch()", ["one", "two"]), {"problems": ("one", "two")}
    elif cls is errors.InvalidConfiguration:
        error, expected = cls(["one", "two"]), {"problems": ("one", "two")}
    else:
        expected = {"trial_id": "0007", "params": {"lr": 0.1}, "traceback": None}
        error = cls("it failed", **expected)
    copy = pickle.loads(pickle.dumps(error, protocol))
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert copy.args == error.args
    assert vars(copy) == expected
