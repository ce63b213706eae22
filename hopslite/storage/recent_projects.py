"""Projects that this user has opened in dashboards on this machine, for the list that changes between them."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any

from ..core.redaction import without_credentials
from ..errors import StoreError
from .local_io import read_content, temporary_file
from .machine_cache import state_folder
from .records import json_object

__all__ = ["recent_projects", "remember_project"]

MOST = 12
MOST_BYTES = 64 << 10


def remember_project(project: str) -> None:
    """Put a project at the head of the list. One whose URL holds a password is not kept, and failures do not matter.

    Args:
        project: URL, or path from the root.
    """
    if without_credentials(project) != project:
        return
    with contextlib.suppress(OSError, StoreError):
        others = [entry for entry in _entries() if entry["project"] != project and _is_there(entry["project"])]
        entries = [{"project": project, "used": time.time()}, *others][:MOST]
        path = _path()
        with temporary_file(path, json.dumps({"projects": entries}).encode(), private=True) as temporary:
            os.replace(temporary, path)


def recent_projects() -> list[str]:
    """URLs and paths of the projects that were opened, the last one first; local ones that are gone are left out."""
    try:
        projects = [str(entry["project"]) for entry in _entries()]
    except (OSError, StoreError):
        return []
    return [project for project in projects if _is_there(project)]


def _entries() -> list[dict[str, Any]]:
    content = read_content(_path(), MOST_BYTES)
    record = json_object(content) if isinstance(content, bytes) else None
    entries = (record or {}).get("projects")
    return [entry for entry in entries if _is_sound(entry)][:MOST] if isinstance(entries, list) else []


def _is_sound(entry: Any) -> bool:
    project = entry.get("project") if isinstance(entry, dict) else None
    return isinstance(project, str) and (os.path.isabs(project) or "://" in project) and project.isprintable()


def _is_there(project: str) -> bool:
    return "://" in project or os.path.isdir(project)


def _path() -> str:
    return os.path.join(state_folder(), "projects.json")
