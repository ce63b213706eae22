"""What `inputs=` of a verb names, found and checked before any trial starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import InvalidArguments, StoreError
from .runtime.inputs import Input
from .store import Project
from .store._found import look
from .store.cache import ARCHIVES, identify
from .store.filesystems import is_local, open_url, without_credentials
from .store.references import resolve

__all__ = ["find_inputs"]


def find_inputs(project: Project, given: Any) -> tuple[Input, ...]:
    """The inputs of a run, each with the kind and the fingerprint of what is there now.

    Args:
        given: a URL or path by name; a path that is not absolute is one in the project.

    Raises:
        InvalidArguments: it is no such dict, or something is not there; all problems at once.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise InvalidArguments("inputs", [f"inputs={given!r:.80}; give a dict of URLs by name"])
    found, problems = [], []
    for name, url in given.items():
        if not isinstance(name, str) or not name or not isinstance(url, str) or not url:
            problems.append(f"inputs: {name!r}: {url!r:.80}; give a URL or path, as text, for a name")
            continue
        try:
            found.append(_find(project, name, url))
        except (OSError, ImportError, LookupError) as error:
            problems.append(f"inputs: {name!r}: {without_credentials(str(error))}")
    if problems:
        raise InvalidArguments("inputs", problems)
    return tuple(found)


def _find(project: Project, name: str, url: str) -> Input:
    where = resolve(project, url)
    fs, path = open_url(where)
    if is_local(fs):
        where = path  # without "file://"
    if is_local(fs) and look(fs, path).is_folder:
        return Input(name, where, "directory", "")  # it is used where it is
    found, tree, fingerprint = identify(fs, path)
    if tree is not None and not tree.files:
        raise StoreError(f"{without_credentials(where)} is an empty directory")
    is_archive = without_credentials(path).lower().endswith(ARCHIVES)
    return Input(name, where, "directory" if found.is_folder else "archive" if is_archive else "file", fingerprint)
