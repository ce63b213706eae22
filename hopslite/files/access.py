"""Owners and permissions, as far as a store has them, and what Hadoop's configuration says."""

from __future__ import annotations

import getpass
import grp
import os
import shutil
from typing import Any
from xml.etree import ElementTree

from ..errors import InvalidArguments, StoreError
from ..store._found import told
from ..store.filesystems import is_local, scheme_of
from .install import found_at
from .listing import of_place
from .paths import Place

__all__ = ["allowed", "change_mode", "change_owner", "property_of_site", "total_capacity", "user_name"]


def user_name() -> str:
    """The user towards Hadoop."""
    return os.environ.get("HADOOP_USER_NAME") or os.environ.get("HDFS_USER") or getpass.getuser()


def change_mode(place: Place, mode: Any) -> None:
    """As `hdfs.chmod`."""
    if isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode <= 0o7777:
        raise InvalidArguments("chmod", [f"mode={mode!r}; give permissions as a number, such as 0o640"])
    with told(place.fs, place.path):
        if is_local(place.fs):
            os.chmod(place.path, mode)
        else:
            _hdfs(place, "permissions").set_permission(place.path, mode)


def change_owner(place: Place, user: str, group: str) -> None:
    """As `hdfs.chown`."""
    with told(place.fs, place.path):
        if not is_local(place.fs):
            _hdfs(place, "owners").set_owner(place.path, user or None, group or None)
        elif user or group:
            try:
                shutil.chown(place.path, user or None, group or None)  # type: ignore[arg-type]
            except LookupError as error:
                raise InvalidArguments("chown", [f"{error}; give a user and a group of this machine"]) from error


def allowed(place: Place, mode: int) -> bool:
    """As `hdfs.access`."""
    if found_at(place) is None:
        return False
    if mode == os.F_OK:
        return True
    if is_local(place.fs):
        return os.access(place.path, mode)
    _hdfs(place, "permissions")
    facts = of_place(place)
    groups = {grp.getgrgid(each).gr_name for each in os.getgroups() if _has_name(each)}
    shift = 6 if facts["owner"] == user_name() else 3 if facts["group"] in groups else 0
    return int(facts["permissions"]) >> shift & mode == mode


def total_capacity(place: Place) -> int:
    """As `hdfs.capacity`."""
    if not is_local(place.fs):
        raise StoreError(f"{scheme_of(place.url)}:// does not tell how much it can hold; a local disk does")
    folder = place.path
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).total


def property_of_site(name: str, file: str = "", default: str | None = None) -> str:
    """A setting from a file in `HADOOP_CONF_DIR`; without a file, from the environment.

    Raises:
        StoreError: it is not set.
    """
    if not file:
        if name not in os.environ:
            raise StoreError(f"the variable {name} is not set; it is, only on Hopsworks")
        return os.environ[name]
    folder = os.environ.get("HADOOP_CONF_DIR")
    if not folder:
        raise StoreError(f"the variable HADOOP_CONF_DIR is not set; it names the directory with {file}")
    path = os.path.join(folder, file)
    try:
        found = [each.findtext("value", "") for each in ElementTree.parse(path).iter() if each.findtext("name") == name]
    except (OSError, ElementTree.ParseError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if not found and default is None:
        raise StoreError(f"{name} is not set in {path}")
    return found[-1].strip() if found else str(default)


def _hdfs(place: Place, what: str) -> Any:
    if place.fs.protocol not in ("hdfs", "viewfs"):
        raise StoreError(f"{scheme_of(place.url)}:// has no {what} of files; local disks and HDFS have")
    return place.fs.client


def _has_name(group: int) -> bool:
    try:
        grp.getgrgid(group)
    except KeyError:
        return False
    return True
