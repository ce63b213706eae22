"""Owners and permissions, as far as a store supports them, and Hadoop's configuration."""

from __future__ import annotations

import getpass
import grp
import os
import posixpath
import shutil
from typing import Any
from xml.etree import ElementTree

from ..core.plain_values import is_integer, plain
from ..errors import InvalidArguments, StoreError
from ..storage.fs.file_info import translate_errors
from ..storage.fs.urls import is_local, scheme_of
from .listing import details_of
from .paths import ResolvedPath
from .put import info_at

__all__ = [
    "allowed",
    "change_mode",
    "change_owner",
    "property_of_site",
    "total_capacity",
    "user_name",
    "user_of_project",
]


def user_name() -> str:
    """User name for Hadoop; the numeric id for a user without a name, as in containers."""
    named = os.environ.get("HADOOP_USER_NAME") or os.environ.get("HDFS_USER")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def user_of_project(project: str) -> str:
    """As `hdfs.project_user`."""
    named = os.environ.get("HADOOP_USER_NAME") or os.environ.get("HDFS_USER")
    return named or f"{project}__{user_name()}"


def change_mode(resolved: ResolvedPath, mode: Any) -> None:
    """As `hdfs.chmod`."""
    mode = plain(mode)
    if not is_integer(mode, 0) or mode > 0o7777:
        raise InvalidArguments("chmod", [f"mode={mode!r}; give permissions as a number, such as 0o640"])
    with translate_errors(resolved.fs, resolved.path):
        if is_local(resolved.fs):
            os.chmod(resolved.path, mode)
        else:
            _hdfs(resolved, "permissions").set_permission(resolved.path, mode)


def change_owner(resolved: ResolvedPath, user: str, group: str) -> None:
    """As `hdfs.chown`; the project's user stands for the current one."""
    user = user_name() if user == user_of_project(posixpath.basename(resolved.project)) else user
    with translate_errors(resolved.fs, resolved.path):
        if not is_local(resolved.fs):
            _hdfs(resolved, "owners").set_owner(resolved.path, user or None, group or None)
        elif user or group:
            try:
                shutil.chown(resolved.path, user or None, group or None)  # type: ignore[arg-type]
            except LookupError as error:
                raise InvalidArguments("chown", [f"{error}; give a user and a group of this machine"]) from error


def allowed(resolved: ResolvedPath, mode: int) -> bool:
    """As `hdfs.access`."""
    if info_at(resolved) is None:
        return False
    if mode == os.F_OK:
        return True
    if is_local(resolved.fs):
        return os.access(resolved.path, mode)
    _hdfs(resolved, "permissions")
    facts = details_of(resolved)
    groups = {grp.getgrgid(group).gr_name for group in os.getgroups() if _has_name(group)}
    shift = 6 if facts["owner"] == user_name() else 3 if facts["group"] in groups else 0
    return int(facts["permissions"]) >> shift & mode == mode


def total_capacity(resolved: ResolvedPath) -> int:
    """As `hdfs.capacity`."""
    if not is_local(resolved.fs):
        raise StoreError(f"{scheme_of(resolved.url)}:// does not report its capacity; local disks do")
    folder = resolved.path
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).total


def property_of_site(name: str, file: str = "", default: str | None = None) -> str:
    """Property from a file in `HADOOP_CONF_DIR`; without a file, from the environment.

    Raises:
        StoreError: it is not set.
    """
    if not file:
        if name not in os.environ:
            raise StoreError(f"the variable {name} is not set; only Hopsworks sets it")
        return os.environ[name]
    folder = os.environ.get("HADOOP_CONF_DIR")
    if not folder:
        raise StoreError(f"the variable HADOOP_CONF_DIR is not set; it names the directory with {file}")
    path = os.path.join(folder, file)
    try:
        values = [
            element.findtext("value", "")
            for element in ElementTree.parse(path).iter()
            if element.findtext("name") == name
        ]
    except (OSError, ElementTree.ParseError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if not values and default is None:
        raise StoreError(f"{name} is not set in {path}")
    return values[-1].strip() if values else str(default)


def _hdfs(resolved: ResolvedPath, feature: str) -> Any:
    if resolved.fs.protocol not in ("hdfs", "viewfs"):
        raise StoreError(f"{scheme_of(resolved.url)}:// has no {feature} of files; local disks and HDFS have")
    return resolved.fs.client


def _has_name(group: int) -> bool:
    try:
        grp.getgrgid(group)
    except KeyError:
        return False
    return True
