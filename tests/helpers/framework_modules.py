"""Modules of hopslite that import a framework: tests that look at all modules leave them to a process that has it."""

from __future__ import annotations

import ast

from tests.helpers import ROOT

FRAMEWORKS = {"keras", "tensorflow"}


def imports_a_framework(module: str) -> bool:
    """True if importing the module imports a framework."""
    path = ROOT.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    statements = ast.parse(file.read_text()).body
    names = [alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in statements if isinstance(node, ast.ImportFrom) and not node.level]
    local = {node.module for node in statements if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module}
    package = module.rpartition(".")[0]
    return any(name.partition(".")[0] in FRAMEWORKS for name in names) or (
        module.startswith("hopslite.configured.") and any(imports_a_framework(f"{package}.{name}") for name in local)
    )
