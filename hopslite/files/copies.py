"""Records of local copies, by which a later `copy_to_local` recognises an outdated copy."""

from __future__ import annotations

import contextlib
import hashlib
import os

from ..executor.context import in_trial
from ..storage.cache_entry import file_stamps, is_cached
from ..storage.run_directory import RunDir

__all__ = ["content_id", "copied_content", "remember"]

LINKED = "linked to the executor's copy"
MANY = 1000  # records, among which those of files that are gone are removed


def content_id(url: str, mark: str) -> str:
    """Hash of a URL's content id; it reveals nothing of the URL, which may hold secrets."""
    return hashlib.sha256(f"{url} {mark}".encode(errors="replace")).hexdigest()


def copied_content(target: str) -> str | None:
    """Id of the content copied to a local path, if that is unchanged; None otherwise."""
    if _is_linked(target):
        return LINKED
    try:
        record = _folder().read_json(_name_of(target))
        return str(record["content"]) if record["stamps"] == _stamps_of(target) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(target: str, content: str) -> None:
    """Record the content of a local path; nothing is recorded if the home directory cannot be written."""
    if _is_linked(target):
        return
    with contextlib.suppress(OSError):
        folder = _folder()
        folder.makedirs()
        _remove_outdated(folder)
        record = {"path": os.path.realpath(target), "content": content, "stamps": _stamps_of(target)}
        folder.write_json(_name_of(target), record)


def _folder() -> RunDir:
    """Directory of the records, in the user's cache: copies outlive Spark's scratch and temporary directories."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return RunDir(os.path.join(cache, "hopslite", "copies"))


def _name_of(target: str) -> str:
    """Name of a path's record; a trial resolves its links to the driver's copies."""
    return f"{hashlib.sha256(os.fsencode(os.path.realpath(target))).hexdigest()[:32]}.json"


def _stamps_of(target: str) -> str:
    return hashlib.sha256(repr(sorted(file_stamps(os.path.realpath(target)))).encode(errors="replace")).hexdigest()


def _remove_outdated(folder: RunDir) -> None:
    names = folder.list()
    if len(names) >= MANY:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # somebody has written into one
            folder.remove([name for name in names if not os.path.lexists(folder.read_json(name)["path"])])


def _is_linked(target: str) -> bool:
    """True if a trial has linked the path to the executor's cache: a file, or a directory of such files only."""
    if not in_trial():
        return False
    if not os.path.isdir(target) or os.path.islink(target):
        return is_cached(target)
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(target) for name in names]
    return bool(paths) and all(map(is_cached, paths))
