"""Where a path of `hopslite.hdfs` leads: from what a person writes to a file system and a path on it."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from typing import Any

from ..config import Settings
from ..errors import InvalidArguments
from ..runtime.context import current
from ..store._found import NotAFile
from ..store.filesystems import open_url, scheme_of, without_credentials

__all__ = ["FOLDERS", "Place", "project_url", "resolve", "without_address"]

FOLDERS = ("Experiments", "Models", "Resources", "Logs")  # what every project has, or will have


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A file or directory, or where one is to be. `url` is how people write it: a plain path on this machine.

    `project` is the URL of the project in which it was looked for; the place may be elsewhere.
    """

    fs: Any
    path: str
    url: str
    project: str

    @property
    def name(self) -> str:
        return posixpath.basename(self.url)

    def __truediv__(self, name: str) -> Place:
        return Place(self.fs, f"{self.path.rstrip('/')}/{name}", f"{self.url.rstrip('/')}/{name}", self.project)

    @property
    def is_project(self) -> bool:
        return self.url == self.project

    @property
    def is_known_folder(self) -> bool:
        """Whether it is one of the folders that every project has, if only later."""
        return posixpath.dirname(self.url) == self.project and self.name in FOLDERS

    def check_may_be_file(self) -> None:
        """Raise a `NotAFile` where a directory has to be: at the project, which need not be there yet, and above."""
        if f"{self.project}/".startswith(f"{self.url.rstrip('/')}/"):
            what = "is the project directory" if self.is_project else f"holds the project, {self.project}"
            raise NotAFile(f"{self.url} {what}, which cannot be a file; name a file in it")

    def url_of(self, path: str) -> str:
        """The URL of what lies below, from its path on the file system."""
        inside = path.rstrip("/")[len(self.path.rstrip("/")) :]
        return f"{self.url.rstrip('/')}{inside}" if inside else self.url


def resolve(path: Any, project: str | None = None) -> Place:
    """Where a path leads.

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
    return Place(fs, on_it.rstrip("/") or "/", url, home)


def project_url(project: str | None = None) -> str:
    """The URL, or the absolute local path, of the project directory: the running trial's, otherwise the settings'."""
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
    """The path of a URL, without the scheme, host, port or bucket."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    if scheme in ("memory", "file"):
        return "/" + rest.lstrip("/")
    return "/" + rest.partition("/")[2]


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
