"""Modules that are imported by a string, which the contracts of import-linter do not see."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import hopslite

PACKAGE = Path(hopslite.__file__).parent
IMPORTERS = {"__import__", "import_module", "exec_module", "run_module", "run_path"}
# One entry for each import: a new one needs its reason here, and for a framework it is to be run in a trial's process.
ALLOWED = {
    "__init__.py": [  # the names of `import hopslite`, when they are used
        "f'hopslite.executor.{name}'",
        "f'hopslite.{name}'",
    ],
    "ablation/_keras.py": ["f\"{flavour.partition('.')[0]}.src.saving.serialization_lib\""],  # the model's own Keras
    "cli/__init__.py": ["f'.{name}_' if iskeyword(name) else f'.{name}'"],  # the command that is called
    "configured/__init__.py": ["f'hopslite.configured.{LAZY_CLASSES[name]}'"],  # classes of Keras's, when they are used
    "configured/_resolve.py": ["target.module"],  # in a trial; of the packages that a configuration may name
    "core/plugins.py": ["f'hopslite.{group}'", "f'hopslite.{group}.{name}'"],
    "executor/preimport.py": ["name"],  # frameworks that the program imports
    "maggy/__init__.py": ["f'hopslite.{name}'"],  # Maggy's submodules of public modules
    "serialization/broadcasts.py": ["name"],  # PySpark's, where the function refers to a broadcast variable
    "predecessors/_standins.py": ["parent"],  # the public module that has a predecessor's name now
    "search/_optuna_samplers.py": ["'torch'"],  # Optuna's GPSampler has imported it
    "storage/fs/open.py": ["package"],  # the fsspec implementation of a URL
}


def imports_by_string(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in IMPORTERS:
                yield ast.unparse(node.args[0])


def test_imports_by_string_are_named_here() -> None:
    imports = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if names := sorted(imports_by_string(ast.parse(path.read_text("utf-8")))):
            imports[path.relative_to(PACKAGE).as_posix()] = names
    assert imports == ALLOWED
