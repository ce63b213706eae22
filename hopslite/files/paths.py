"""Resolution of the paths of `hopslite.hdfs` to a file system and a path on it."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from typing import Any

from ..core.redaction import without_credentials
from ..core.settings import Settings
from ..errors import InvalidArguments
from ..executor.context import current
from ..storage.fs.file_info import NotAFile
from ..storage.fs.open import open_url
from ..storage.fs.urls import scheme_of

__all__ = ["FOLDERS", "ResolvedPath", "project_url", "resolve", "with_slash_of", "without_address"]

FOLDERS = ("Experiments", "Models", "Resources", "Logs")  # standard folders of a project


@dataclasses.dataclass(frozen=True, slots=True)
class ResolvedPath:
    """Resolved path of a file or directory. `url` is the form for people: a plain path on this machine.

    `project` is the URL of the project in which it was looked for; the place may be elsewhere.
    """

    fs: Any
    path: str
    url: str
    project: str

    @property
    def name(self) -> str:
        return posixpath.basename(self.url)

    def __truediv__(self, name: str) -> ResolvedPath:
        return ResolvedPath(self.fs, f"{self.path.rstrip('/')}/{name}", f"{self.url.rstrip('/')}/{name}", self.project)

    @property
    def is_project(self) -> bool:
        return self.url == self.project

    @property
    def is_known_folder(self) -> bool:
        """True for the standard folders of every project, even before they exist."""
        return posixpath.dirname(self.url) == self.project and self.name in FOLDERS

    def check_may_be_file(self) -> None:
        """Raise `NotAFile` for the project and the directories above it."""
        if f"{self.project}/".startswith(f"{self.url.rstrip('/')}/"):
            role = "is the project directory" if self.is_project else f"holds the project, {self.project}"
            raise NotAFile(f"{self.url} {role}, which cannot be a file; name a file in it")

    def url_of(self, path: str) -> str:
        """URL of a path below this one on the same file system."""
        inside = path.rstrip("/")[len(self.path.rstrip("/")) :]
        return f"{self.url.rstrip('/')}{inside}" if inside else self.url


def resolve(path: Any, project: str | None = None) -> ResolvedPath:
    """Resolve a path.

    Args:
        path: a URL; an absolute path; or one in the project.
        project: the name of a project beside this one; default: this one.

    Raises:
        InvalidArguments: it is no path, or one that leaves the project by `..`.
    """
    text = _text(path)
    home = project_url(project)
    if "://" in text:
        url = _normal_url(text)
    elif text.startswith("/"):
        url = _absolute(text, home)
    else:
        url = _in_project(text, home)
    fs, on_it = open_url(url)
    return ResolvedPath(fs, on_it.rstrip("/") or "/", url, home)


def project_url(project: str | None = None) -> str:
    """URL or absolute local path of the project directory: the running trial's, otherwise the settings'."""
    context = current()
    url = _normal_url(getattr(context, "project", "") or Settings.load().project)
    if project is None:
        return url
    if not isinstance(project, str) or not project or "/" in project or project in (".", ".."):
        raise InvalidArguments("project", [f"{project!r:.80} is not a project's name; give one, such as 'demo'"])
    scheme, separator, rest = url.rpartition("://")
    parent, _, name = rest.rpartition("/")
    if name == project:
        return url
    if not parent and scheme not in ("", "memory", "file"):
        raise InvalidArguments("project", [f"{without_credentials(url)} has no other projects beside it; give a URL"])
    return f"{scheme}{separator}{parent}/{project}" if parent or not scheme else f"{scheme}://{project}"


def without_address(url: str) -> str:
    """Path of a URL, without scheme, host, port or bucket."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    if scheme in ("memory", "file"):
        return "/" + rest.lstrip("/")
    return "/" + rest.partition("/")[2]


def with_slash_of(path: Any, url: str) -> str:
    """URL with a trailing `/` if the path has one."""
    return f"{url.rstrip('/')}/" if _text(path).endswith("/") else url


def _text(path: Any) -> str:
    if isinstance(path, (str, bytes, os.PathLike)):
        text = os.fsdecode(path)
        if "\0" not in text:
            return text
    raise InvalidArguments("path", [f"{path!r:.80} is no path; give a URL or a path in the project, as text"])


def _in_project(path: str, project: str) -> str:
    inside = posixpath.normpath(path) if path else "."
    if inside == ".." or inside.startswith("../"):
        raise InvalidArguments(
            "path", [f"{path!r} leads out of the project by '..'; give an absolute path or a URL, or project="]
        )
    return project if inside == "." else f"{project.rstrip('/')}/{inside}"


def _absolute(path: str, project: str) -> str:
    scheme, separator, rest = project.partition("://")
    if not separator:
        return _normal_url(path)
    if path.strip("/").partition("/")[0] in FOLDERS:
        return _in_project(path.lstrip("/"), project)
    address = "" if scheme == "memory" else f"{rest.partition('/')[0]}/"
    return _normal_url(f"{scheme}://{address}{path.lstrip('/')}")


def _normal_url(url: str) -> str:
    if scheme_of(url) in ("file", "local"):
        return "/" + os.path.abspath(url.partition("://")[2] or url).lstrip("/")
    scheme, _, rest = url.partition("://")
    address, _, path = (rest.lstrip("/") if scheme == "memory" else rest).partition("/")
    path = posixpath.normpath(path) if path else "."
    if path == ".." or path.startswith("../"):
        raise InvalidArguments("path", [f"{without_credentials(url)!r} leads out of the file system by '..'"])
    path = path.strip("/")
    return f"{scheme}://{address}" if path in ("", ".") else f"{scheme}://{address}/{path}"
