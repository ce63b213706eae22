"""Optional dependencies: the extras of pyproject.toml, and the message for those who need one that is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from ..errors import MissingExtra

__all__ = ["PACKAGES", "missing", "pip_install", "require"]

# The modules that an extra brings and hopslite imports. Stores and Optuna name theirs where they are opened.
PACKAGES = {
    "mlflow": ("mlflow",),
    "tensorboard": ("tensorboard",),
    "plots": ("matplotlib", "sklearn", "pandas", "PIL"),
    "interactive": ("plotly",),
    "pandas": ("pandas",),
    "optuna": ("optuna",),
    "environments": ("uv",),
    "notebooks": ("nbclient", "ipykernel"),
    "train": ("hjson",),
    "dashboard": ("nicegui",),
    "ship": ("venv_pack", "conda_pack"),
    "connect": ("grpc", "grpc_status", "pyarrow", "pandas"),
}


def missing(extras: Iterable[str]) -> list[str]:
    """Those of `extras` that are not installed; a name that is no extra needs nothing."""
    return [extra for extra in extras if not all(map(_is_installed, PACKAGES.get(extra, ())))]


def require(extra: str, feature: str) -> None:
    """Check that an extra is installed, without importing it.

    Raises:
        MissingExtra: it is not; the message names `feature` and the `pip install` line.
    """
    absent = [package for package in PACKAGES[extra] if not _is_installed(package)]
    if absent:
        packages = " and ".join(absent)
        is_or_are = "is" if len(absent) == 1 else "are"
        raise MissingExtra(f"{feature} needs {packages}, which {is_or_are} not installed: {pip_install([extra])}")


def pip_install(extras: Iterable[str]) -> str:
    """The command that installs extras."""
    return f'pip install "hopslite[{",".join(extras)}]"'


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # it is loaded, from a place that has no specification
        return True
