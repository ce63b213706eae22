"""Project templates of `hopslite new`: each folder here has a program, its job file, a README and tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile

from ..core.suggestions import did_you_mean
from ..errors import InvalidArguments

__all__ = ["create", "descriptions"]

HERE = os.path.dirname(__file__)


def descriptions() -> dict[str, str]:
    """Title of each template by its name, from its README."""
    names = sorted(entry.name for entry in os.scandir(HERE) if os.path.isfile(os.path.join(entry.path, "job.yml")))
    return {name: _title(name) for name in names}


def _title(name: str) -> str:
    with open(os.path.join(HERE, name, "README.md"), encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()


def create(template: str, folder: str) -> list[str]:
    """Copy a template to a new folder, which appears as a whole.

    Args:
        template: name of the template.
        folder: path of a folder that does not exist, or is empty.

    Returns:
        The names of the files, sorted.

    Raises:
        InvalidArguments: there is no such template, the folder has files, or it cannot be written.
    """
    names = descriptions()
    if template not in names:
        hint = did_you_mean(template, names, f"templates: {', '.join(names)}")
        raise InvalidArguments("hopslite new", [f"there is no template {template!r}; {hint}"])
    target = os.path.abspath(folder)
    try:
        _copy(os.path.join(HERE, template), target)
    except FileExistsError:
        raise InvalidArguments("hopslite new", [f"{folder} exists; give the path of a folder that does not"]) from None
    except OSError as error:
        problem = f"{folder} cannot be written ({error.strerror or error}); give another path"
        raise InvalidArguments("hopslite new", [problem]) from None
    return sorted(os.listdir(target))


def _copy(source: str, target: str) -> None:
    if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
        raise FileExistsError(target)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    # Beside it and renamed, so that nobody finds a part of it; an empty folder is replaced, one with files is not.
    with tempfile.TemporaryDirectory(prefix=".hopslite-new-", dir=os.path.dirname(target)) as beside:
        whole = os.path.join(beside, "folder")
        shutil.copytree(
            source, whole, ignore=shutil.ignore_patterns("__pycache__", ".*"), copy_function=shutil.copyfile
        )
        try:
            os.rename(whole, target)
        except OSError:
            with contextlib.suppress(OSError):
                if os.listdir(target):
                    raise FileExistsError(target) from None
            raise
