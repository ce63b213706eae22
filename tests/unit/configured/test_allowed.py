"""Names that a configuration may use: what is refused, and that nothing is run by what is allowed."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from hopslite.configured._allowed import ALIASES, NAMESPACES, OWN, Names, Target
from hopslite.configured._check import check_document
from hopslite.configured._document import document_of
from hopslite.configured._resolve import Resolver
from hopslite.errors import InvalidConfiguration

KNOWN = {
    "keras.layers": ("Dense", "Dropout", "Lambda", "deserialize"),
    "keras.optimizers": ("Adam", "SGD"),
    "keras.losses": ("MeanSquaredError",),
}
NAMES = Names(known=KNOWN.get)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("keras.layers.Dense", ("keras.layers", "Dense")),
        ("tf.keras.layers.Dense", ("keras.layers", "Dense")),
        ("tensorflow.keras.optimizers.Adam", ("keras.optimizers", "Adam")),
        ("tf.losses.MeanSquaredError", ("keras.losses", "MeanSquaredError")),
        ("tf.keras.models.Sequential", ("keras", "Sequential")),
        ("tf.keras.optimizers.schedules.CosineDecay", ("keras.optimizers.schedules", "CosineDecay")),
        ("tf.keras.applications.MobileNetV2", ("keras.applications", "MobileNetV2")),
        ("keras.applications.vgg16.VGG16", ("keras.applications.vgg16", "VGG16")),
        ("tf.nn.relu", ("tensorflow.nn", "relu")),
        ("ktf.models.OneHeadNet", ("hopslite.configured.models", "OneHeadNet")),
        ("ktf.train.KerasTrainLoop", ("hopslite.configured.loops", "KerasTrainLoop")),
        ("hopslite.configured.datasets.arrays", ("hopslite.configured.datasets", "arrays")),
    ],
)
def test_names_and_what_they_stand_for(name: str, target: tuple[str, str]) -> None:
    found = NAMES.target(name)
    assert isinstance(found, Target), found
    assert (found.module, found.attribute) == target
    assert found.package == target[0].partition(".")[0]


def test_aliases_are_public_names() -> None:
    from hopslite import configured

    for name in OWN:
        *_, parent, last = name.split(".")
        assert last in (configured.datasets.__all__ if parent == "datasets" else configured.__all__)
    assert set(ALIASES.values()) <= set(OWN)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "importlib.import_module",
        "tf.io.gfile.remove",
        "tf.io.gfile.rmtree",
        "tf.io.write_file",
        "tf.py_function",
        "tf.numpy_function",
        "tf.load_op_library",
        "tf.load_library",
        "tf.saved_model.load",
        "tf.sysconfig.os.system",
        "tf.compat.v1.gfile.Remove",
        "tf.keras.models.load_model",
        "tf.keras.models.model_from_json",
        "tf.keras.utils.get_file",
        "keras.utils.get_file",
        "keras.utils.deserialize_keras_object",
        "keras.saving.load_model",
        "keras.saving.deserialize_keras_object",
        "keras.config.enable_unsafe_deserialization",
        "keras.layers.Lambda",
        "keras.layers.TFSMLayer",
        "keras.layers.TorchModuleWrapper",
        "keras.layers.JaxLayer",
        "keras.layers.deserialize",
        "keras.layers.Dense.from_config",
        "keras.losses.get",
        "keras.optimizers.deserialize",
        "keras.callbacks.LambdaCallback",
        "keras.callbacks.RemoteMonitor",
        "keras.callbacks.OrbaxCheckpoint",
        "keras.layers.os.system",
        "keras.src.utils.file_utils.os.system",
        "keras.src.layers.core.dense.Dense",
        "keras.datasets.mnist.load_data",
        "keras.backend.os.system",
        "keras.applications.imagenet_utils.json.load",
        "keras.__builtins__.eval",
        "keras.layers.__loader__",
        "keras.layers._os",
        "hopslite.hdfs.rmr",
        "hopslite.experiment.launch",
        "hopslite.configured.train",
        "hopslite.configured.export_config",
        "hopslite.configured.datasets.os.system",
        "hopslite.configured.models.keras.utils.get_file",
        "hopslite.programs.command.Command",
        "ktf.train.Environment",
        "ktf.os.system",
        "tf.keras",
        "keras.layers",
        "keras..layers",
        "keras.layers.Dense()",
        "keras.layers.Dense\n.x",
        "eval",
        "__import__",
        "",
    ],
)
def test_what_is_refused(name: str) -> None:
    assert isinstance(NAMES.target(name), str)
    problems = check_document(
        document_of([{"train_loop": {"keras.layers.Dense": {"x": {name: {}}, "y": f"${{{name}}}"}}}]), NAMES
    )
    about = [problem for problem in problems if "keras.layers.Dense > " in problem]
    assert any("> y: " in problem for problem in about)
    if "." in name and name.replace(".", "").isidentifier() and ".." not in name:
        assert any(f"{name}: " in problem for problem in about)


@pytest.mark.parametrize(
    "text",
    [
        "${__import__('os').system('ls')}",
        "${keras.layers.Dense(3)}",
        "${self.get_cache('a').__class__}",
        "${self.__class__}",
        "${keras.layers.Dense} ${keras.layers.Dense}",
        "${keras.layers.Dense",
        "${}",
        "${os.system}",
        "${inputs.x}",
    ],
)
def test_references_are_names_and_not_expressions(text: str) -> None:
    problems = check_document(document_of([{"optimizer": text}]), NAMES)
    assert any(problem.startswith("cycle 1 > optimizer: ") for problem in problems), problems


@pytest.mark.parametrize(
    "value",
    [
        {"class_name": "Lambda", "config": {}},
        {"module": "os", "class_name": "system", "config": {}, "registered_name": None},
        {"x": [{"class_name": "function"}]},
        {"$choice": [1, {"class_name": "Lambda", "config": {"function": "x"}}]},
    ],
)
def test_objects_that_keras_has_serialised_are_refused(value: Any) -> None:
    config = [{"model": {"keras.layers.Dense": {"activation": value}}}]
    problems = check_document(document_of(config), NAMES)
    assert any("an object that Keras has serialised" in problem for problem in problems)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that re-exports what is not its own, and tells where it was imported."""
    name = f"stub_{os.getpid()}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text(
        textwrap.dedent("""
        import functools, os, subprocess
        from os import system
        from subprocess import Popen, run as launch
        from pathlib import Path

        class Net:
            def __init__(self, units=1):
                self.units = units
            @classmethod
            def make(cls): return cls(99)

        def double(x): return 2 * x
        echo = functools.partial(system, "echo")
        bound = Net(3).make
        evaluate = eval
        LIMIT = 3
        """)
    )
    (folder / "__main__.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


def make(value: Any, *allow: str) -> Any:
    return Resolver(document_of([{"model": value}]), Names(allow, {}, KNOWN.get)).make(value, (0, "model"))


def test_classes_and_functions_of_an_allowed_package(package: str) -> None:
    nested = {f"{package}.double": {"x": {f"{package}.double": {"x": 4}}}}
    assert make(nested, package) == 16
    assert make({f"{package}.Net": {"units": nested}}, package).units == 16
    assert make(f"${{{package}.double}}", package)(5) == 10
    assert make({f"{package}.Net": None}, f"{package}.Net").units == 1


@pytest.mark.parametrize(
    "attribute",
    [
        "system", "Popen", "launch", "Path", "os", "subprocess", "os.system", "subprocess.Popen", "echo", "bound",
        "evaluate", "Net.make", "LIMIT", "missing", "__main__", "_hidden", "__builtins__",
    ],
)  # fmt: skip
def test_what_a_package_only_has_from_elsewhere_is_refused(package: str, attribute: str) -> None:
    for value in ({f"{package}.{attribute}": {}}, f"${{{package}.{attribute}}}"):
        with pytest.raises(InvalidConfiguration) as caught:
            make(value, package)
        assert f"{package}" in str(caught.value)


def test_packages_are_not_imported_unless_they_are_allowed(package: str) -> None:
    with pytest.raises(InvalidConfiguration, match=rf"--allow {package} \(allow=\['{package}'\]\)"):
        make({f"{package}.Net": {}})
    with pytest.raises(InvalidConfiguration, match="not allowed"):
        make({f"{package}.Net": {}}, package[:-1], f"{package}.Other")
    assert package not in sys.modules


def test_arguments_that_do_not_fit(package: str) -> None:
    with pytest.raises(InvalidConfiguration, match=r"cycle 1 > model > \S+: \S+: .*'unit'"):
        make({f"{package}.Net": {"unit": 3}}, package)
    with pytest.raises(TypeError, match="unsupported operand"):  # of the user's code, with its traceback
        make({f"{package}.double": {"x": None}}, package)


def test_a_nearest_name_is_that_of_any_namespace() -> None:
    assert "did you mean 'keras.optimizers.Adam'?" in str(NAMES.target("tf.keras.Adam"))
    assert "did you mean 'keras.layers.Dropout'?" in str(NAMES.target("keras.layers.Droput"))
    assert "did you mean 'hopslite.configured.datasets.tfrecords'?" in str(NAMES.target("ktf.datasets.tfrecord"))
    assert "did you mean 'Net'?" in str(Names(exported={"Net": None}).target("Nett"))


def test_the_installed_keras_has_the_namespaces() -> None:
    from hopslite.configured._source import public_names

    modules = set(sys.modules)
    for namespace in NAMESPACES:
        assert public_names(namespace), namespace
    assert "keras" not in set(sys.modules) - modules
