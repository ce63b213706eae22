"""Files of the project on any file system: the functions of HopsML's `hops.hdfs`.

```python
from hopslite import hdfs

images = hdfs.copy_to_local("Resources/mnist")      # a local directory
dataset = tf.data.TFRecordDataset(list(hdfs.localize("Resources/*.tfrecords")))
hdfs.copy_to_hdfs("confusion.png", "Resources/plots", overwrite=True)
```

A path is one of these, and `a//b` is `a/b` in all of them:

- relative, `Resources/x`: in the project (`project=`, `HOPSLITE_PROJECT` or `hopslite.toml`; in a trial, its run's).
  `..` cannot lead out of it. With the argument `project="demo"` it is in the project of that name beside this one.
- a URL, `s3://bucket/x`: unchanged.
- absolute, `/a/b`: on the file system of the project. If this is the local file system, it is a local path; on HDFS a
  path of the same NameNode (`/Projects/demo/…`); on S3, Google's and Azure's stores a path in the same bucket; and
  likewise in `memory://`. Except on this machine, `/Resources/x` and the other folders of a project (`Experiments`,
  `Models`, `Logs`) mean the project's, as in HopsML.

An operation that a store does not support raises an error with the reason. All errors of stores are
`hopslite.errors.StoreError`, which is an `OSError` (HopsML's `IOError`), and also a `FileNotFoundError`,
`FileExistsError`, `IsADirectoryError` or `PermissionError` where one of these applies."""

from __future__ import annotations

import dataclasses
import posixpath
from typing import TYPE_CHECKING, Any

from .errors import InvalidArguments
from .files import notebook_import
from .files.copy import copy, move_to, remove, to_local, to_store
from .files.file_objects import open_path
from .files.listing import details_of, files_of, list_path, matches
from .files.paths import project_url, resolve, with_slash_of, without_address
from .files.permissions import allowed, change_mode, change_owner, property_of_site, total_capacity, user_of_project
from .files.prefetch import Localized
from .files.put import info_at, make_folder
from .predecessors import absent_name

__all__ = [
    "Stat",
    "abs_path",
    "access",
    "add_module",
    "capacity",
    "chmod",
    "chown",
    "close",
    "copy_to_hdfs",
    "copy_to_local",
    "cp",
    "delete",
    "dump",
    "exists",
    "get",
    "get_fs",
    "get_plain_path",
    "get_webhdfs_host",
    "get_webhdfs_port",
    "glob",
    "is_tls_enabled",
    "isdir",
    "isfile",
    "load",
    "localize",
    "ls",
    "lsl",
    "mkdir",
    "move",
    "open_file",
    "project_id",
    "project_name",
    "project_path",
    "project_user",
    "rename",
    "rmr",
    "stat",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Stat:
    """Result of `stat`, with the names of `os.stat_result`; owner and group by name, None for unknown values.

    Times are in seconds since the epoch; `st_size` is in bytes; `kind` is "file" or "directory".
    """

    kind: str
    st_mode: int | None
    st_size: int
    st_uid: str | None
    st_gid: str | None
    st_mtime: int | None
    st_atime: int | None
    st_blksize: int | None
    st_nlink: int = 1


def get() -> Any:
    """The fsspec file system of the project.

    >>> dump("four", "Resources/a")
    >>> get().size(abs_path("Resources/a"))
    4
    """
    return resolve("").fs


def get_fs() -> Any:
    """The same as `get`; HopsML had two."""
    return get()


def close() -> None:
    """No operation, for programs for HopsML: there is no connection to close."""


def project_path(project: str | None = None, exclude_nn_addr: bool = False) -> str:
    """The project directory, with a `/` at the end, so that the path of something in it can be appended.

    Args:
        project: the name of a project beside this one; default: this one.
        exclude_nn_addr: leave out scheme and address: `/Projects/demo/` instead of
            `hdfs://10.0.2.15:8020/Projects/demo/`.

    >>> project_path() + "Resources/train.tfrecords" == abs_path("Resources/train.tfrecords")
    True
    >>> posixpath.basename(project_path("demo").rstrip("/"))
    'demo'
    """
    url = project_url(project).rstrip("/")
    return f"{without_address(url) if exclude_nn_addr else url}/"


def project_name() -> str:
    """The name of the project: that of its directory.

    >>> project_path(project_name()) == project_path()
    True
    """
    return posixpath.basename(project_url())


def project_user() -> str:
    """The user in the project: `HADOOP_USER_NAME` or `HDFS_USER`; elsewhere made as on Hopsworks, `project__user`.

    >>> project_user().split("__")[0] == project_name()
    True
    """
    return user_of_project(project_name())


def project_id() -> str:
    """The number of the project on Hopsworks.

    Raises:
        StoreError: it is not set (`HOPSWORKS_PROJECT_ID`); it is, only there.
    """
    return property_of_site("HOPSWORKS_PROJECT_ID")


def abs_path(path: str) -> str:
    """The URL of a path; where the project is on this machine, the absolute path. Nothing need be there.

    A `/` at the end stays, so that a name can be appended.

    >>> abs_path("Resources//a/./b") == abs_path("Resources/a/b") == project_path() + "Resources/a/b"
    True
    >>> abs_path("Resources/") == project_path() + "Resources/"
    True
    """
    return with_slash_of(path, resolve(path).url)


def get_plain_path(abs_path: str) -> str:
    """A path or URL as a plain path, without scheme, host and port. A `/` at the end stays.

    >>> get_plain_path("hdfs://10.0.2.15:8020/Projects/demo/Models/")
    '/Projects/demo/Models/'
    """
    return with_slash_of(abs_path, without_address(resolve(abs_path).url))


def copy_to_hdfs(local_path: str, relative_hdfs_path: str, overwrite: bool = False, project: str | None = None) -> str:
    """Copy a local file or directory into the project.

    A file appears when it is complete. A directory appears as a whole if the store can rename (a local disk, HDFS);
    otherwise its files appear one by one.

    Args:
        local_path: relative to the working directory, or absolute.
        relative_hdfs_path: an existing directory, the project ("") or one of its own folders, into which it is put
            under its own name; otherwise, or without a `/` at the end, the new name. Missing directories are made.
        overwrite: replace the file or directory that has the name already.
        project: the name of another project.

    Returns:
        The URL of the copy.

    Raises:
        FileExistsError: it is there already, and `overwrite` is false.

    >>> with open("data.txt", "w") as file:
    ...     _ = file.write("1 2 3")
    >>> copy_to_hdfs("data.txt", "Resources") == abs_path("Resources/data.txt")
    True
    >>> load("Resources/data.txt")
    b'1 2 3'
    """
    place = resolve(relative_hdfs_path, project)
    return to_store(local_path, place, str(relative_hdfs_path).endswith("/"), overwrite)


def copy_to_local(hdfs_path: str, local_path: str = "", overwrite: bool = False, project: str | None = None) -> str:
    """Copy a file or directory to this machine; returns its local path.

    The copy appears when it is complete; its size and, if the store has one, its checksum are verified. An existing
    copy is only replaced if the original in the project has changed. An existing file that is not such a copy counts as
    the same if its size is equal (a directory if the names and sizes in it are equal).

    In a trial it is fetched once for all trials of an executor. The files are then hard links to the executor's copy,
    and read-only (copies, where `local_path` is on another disk): to change one, copy it first. A trial's results do
    not include them.

    Args:
        hdfs_path: the file or directory to copy.
        local_path: the directory to copy into; default: the working directory.
        overwrite: replace another file or directory of this name, or a copy that was changed.
        project: the name of another project.

    Raises:
        FileNotFoundError: there is no such file, or no such local directory.
        FileExistsError: another file or a changed copy has this name, and `overwrite` is false.
        StoreError: there is no room for it.

    >>> dump("1 2 3", "Resources/numbers.txt")
    >>> with open(copy_to_local("Resources/numbers.txt")) as file:
    ...     file.read()
    '1 2 3'
    """
    return to_local(resolve(hdfs_path, project), local_path, overwrite)


def cp(src_hdfs_path: str, dest_hdfs_path: str, overwrite: bool = False) -> None:
    """Copy a file or directory, also from one store to another.

    Args:
        src_hdfs_path: the file or directory to copy.
        dest_hdfs_path: an existing directory to copy into, or the new name.
        overwrite: replace the file or directory that has the name already.

    Raises:
        FileExistsError: it is there already, and `overwrite` is false.

    >>> dump("x", "Resources/one")
    >>> cp("Resources/one", "Resources/two")
    >>> load("Resources/two")
    b'x'
    """
    copy(resolve(src_hdfs_path), resolve(dest_hdfs_path), overwrite)


def move(src: str, dest: str) -> None:
    """Move a file or directory into an existing directory, or to a new name.

    At once on a local disk and on HDFS; elsewhere it is copied, file by file, and then deleted.

    >>> dump("x", "Resources/a")
    >>> mkdir("Resources/old")
    >>> move("Resources/a", "Resources/old")
    >>> exists("Resources/a"), exists("Resources/old/a")
    (False, True)
    """
    move_to(resolve(src), resolve(dest), into=True)


def rename(src: str, dest: str) -> None:
    """Give a file or directory another name, which must be free.

    >>> dump("x", "Resources/draft")
    >>> rename("Resources/draft", "Resources/final")
    >>> exists("Resources/draft"), exists("Resources/final")
    (False, True)
    """
    move_to(resolve(src), resolve(dest), into=False)


def delete(hdfs_path: str, recursive: bool = False) -> None:
    """Delete a file or directory.

    Raises:
        FileNotFoundError: it is not there.
        StoreError: it is a directory with something in it, and `recursive` is false.

    >>> dump("x", "Resources/trash/a")
    >>> delete("Resources/trash", recursive=True)
    >>> exists("Resources/trash/a")
    False
    """
    remove(resolve(hdfs_path), recursive)


def rmr(hdfs_path: str, project: str | None = None) -> None:
    """Delete a file, or a directory recursively.

    >>> dump("x", "Resources/trash/a")
    >>> rmr("Resources/trash")
    >>> exists("Resources/trash")
    False
    """
    remove(resolve(hdfs_path, project), True)


def mkdir(hdfs_path: str, project: str | None = None) -> None:
    """Create a directory and its parents; no error if it exists.

    >>> mkdir("Resources/images")
    >>> isdir("Resources/images")
    True
    """
    make_folder(resolve(hdfs_path, project))


def ls(hdfs_path: str = "", recursive: bool = False, exclude_nn_addr: bool = False) -> list[str]:
    """The URLs (where the project is on this machine, the absolute paths) of what is in a directory, sorted.

    The records that hopslite keeps of models and runs (`.records`, `.versions`) are not among them.

    Args:
        hdfs_path: a directory; of a file, its own is returned. Default: the project.
        recursive: all that is below it.
        exclude_nn_addr: leave out scheme and address.

    >>> dump("x", "Resources/letters/a")
    >>> ls("Resources/letters") == [project_path() + "Resources/letters/a"]
    True
    """
    names = [str(entry["name"]) for entry in list_path(resolve(hdfs_path), recursive)]
    return [without_address(name) for name in names] if exclude_nn_addr else names


def lsl(hdfs_path: str = "", recursive: bool = False, project: str | None = None) -> list[dict[str, Any]]:
    """Detailed listing of a directory: a dict with all metadata for each entry.

    The keys are `kind` ("file" or "directory"), `name` and `path` (both as `ls` returns them), `size` in bytes,
    `last_mod` and `last_access` in seconds since the epoch, `owner`, `group`, `permissions` (a number, such as 0o644),
    `replication` and `block_size`; values that the store does not know are None.

    >>> dump("four", "Resources/words/a")
    >>> [(entry["kind"], entry["size"]) for entry in lsl("Resources/words")]
    [('file', 4)]
    """
    return list_path(resolve(hdfs_path, project), recursive)


def glob(hdfs_path: str, recursive: bool = False, project: str | None = None) -> list[str]:
    """The sorted URLs of all files and directories that match a pattern, as `ls` returns them.

    `*` and `?` stand for anything but a `/`, `[ab]` for one of these, `**` for any directories. Names that begin with a
    dot are only found by a pattern that does.

    Args:
        hdfs_path: the pattern.
        recursive: look for the last part of the pattern in all directories below, too.
        project: the name of another project.

    Raises:
        FileNotFoundError: the directory in front of the pattern is not there.

    >>> for name in ("a.json", "b.json", "c.txt"):
    ...     dump("{}", f"Resources/found/{name}")
    >>> [posixpath.basename(entry) for entry in glob("Resources/found/*.json")]
    ['a.json', 'b.json']
    """
    return matches(hdfs_path, recursive, project)


def exists(hdfs_path: str, project: str | None = None) -> bool:
    """True if the file or directory exists.

    >>> exists("Resources/nothing")
    False
    """
    return info_at(resolve(hdfs_path, project)) is not None


def isdir(hdfs_path: str, project: str | None = None) -> bool:
    """True if the path is an existing directory.

    >>> isdir("Resources/nothing")
    False
    """
    info = info_at(resolve(hdfs_path, project))
    return info is not None and info.is_folder


def isfile(hdfs_path: str, project: str | None = None) -> bool:
    """True if the path is an existing file.

    >>> isfile("Resources/nothing")
    False
    """
    info = info_at(resolve(hdfs_path, project))
    return info is not None and not info.is_folder


def stat(hdfs_path: str) -> Stat:
    """Metadata of a file or directory, with the names of `os.stat`.

    >>> dump("four", "Resources/a")
    >>> stat("Resources/a").st_size
    4
    """
    facts = details_of(resolve(hdfs_path))
    return Stat(
        kind=facts["kind"],
        st_mode=facts["permissions"],
        st_size=facts["size"],
        st_uid=facts["owner"],
        st_gid=facts["group"],
        st_mtime=facts["last_mod"],
        st_atime=facts["last_access"],
        st_blksize=facts["block_size"],
    )


def access(hdfs_path: str, mode: int, project: str | None = None) -> bool:
    """True if this user may read (`os.R_OK`), write (`os.W_OK`) or execute (`os.X_OK`) it, or it exists (`os.F_OK`).

    On HDFS the result follows from owner, group and permissions; the server may know more groups, and superusers.

    Raises:
        StoreError: the store has no permissions (all but local disks and HDFS), and more than `os.F_OK` is asked.

    >>> import os
    >>> access("Resources/nothing", os.F_OK)
    False
    """
    return allowed(resolve(hdfs_path, project), mode)


def chmod(hdfs_path: str, mode: int, project: str | None = None) -> None:
    """Set the permissions of a file or directory, such as `0o640`, on a local disk or HDFS.

    >>> dump("x", "Resources/a")
    >>> chmod("Resources/a", 0o640)
    >>> oct(stat("Resources/a").st_mode)
    '0o640'
    """
    change_mode(resolve(hdfs_path, project), mode)


def chown(hdfs_path: str, user: str, group: str, project: str | None = None) -> None:
    """Set the owner and the group of a file or directory, on a local disk or HDFS; an empty one stays as it is.

    >>> dump("x", "Resources/a")
    >>> chown("Resources/a", stat("Resources/a").st_uid, "")
    """
    change_owner(resolve(hdfs_path, project), user, group)


def capacity() -> int:
    """Total capacity of the project's store in bytes; known only for local disks.

    >>> capacity() > 0
    True
    """
    return total_capacity(resolve(""))


def open_file(hdfs_path: str, project: str | None = None, flags: str = "rw", buff_size: int = 0) -> Any:
    """Open a file as Python's `open` does; close it, best by `with`.

    Args:
        hdfs_path: the file.
        project: the name of another project.
        flags: 'r' to read, 'w' to write a new file or replace one, 'a' to append; with a 't' behind it text (UTF-8),
            otherwise bytes. 'rw', HopsML's default, is 'r'.
        buff_size: how many bytes are read at once; 0: a usual number.

    Data written with 'w' is in the store, completely, when the file is closed. If the file is not closed, or its `with`
    block ends with an error, nothing is changed.

    >>> with open_file("Resources/notes.txt", flags="wt") as file:
    ...     _ = file.write("one\\ntwo\\n")
    >>> with open_file("Resources/notes.txt", flags="rt") as file:
    ...     file.readlines()
    ['one\\n', 'two\\n']
    """
    return open_path(resolve(hdfs_path, project), flags, buff_size)


def dump(data: str | bytes, hdfs_path: str) -> None:
    """Write a file; it replaces the one that is there. Text is written as UTF-8.

    >>> dump("one", "Resources/a")
    >>> load("Resources/a")
    b'one'
    """
    if not isinstance(data, (str, bytes, bytearray, memoryview)):
        raise InvalidArguments("dump", [f"data is a {type(data).__name__}; give text or bytes"])
    with open_file(hdfs_path, flags="w") as file:
        file.write(data.encode() if isinstance(data, str) else data)


def load(hdfs_path: str) -> bytes:
    """The content of a file.

    >>> dump(b"\\x00\\x01", "Resources/a")
    >>> load("Resources/a")
    b'\\x00\\x01'
    """
    with open_file(hdfs_path, flags="r") as file:
        return bytes(file.read())


def add_module(hdfs_path: str, project: str | None = None) -> str:
    """Make a Python file or a notebook of the project importable; returns the path of the local file.

    It is copied to `./localized_deps`, which is added to `sys.path`. Of a notebook, only the code cells are copied;
    notebook commands (`%matplotlib`, `!pip`, `%%bash`) are commented out. The next `import` loads the new file.

    >>> dump("answer = 42", "Resources/questions.py")
    >>> _ = add_module("Resources/questions.py")
    >>> import questions
    >>> questions.answer
    42
    """
    return notebook_import.add(resolve(hdfs_path, project))


def localize(path_or_glob: str, ahead: int = 2, keep: int | None = None, project: str | None = None) -> Localized:
    """Files of the project as local ones, of which the next are downloaded while the first are used.

    Returns a sequence of local paths, in the order of the names. Iteration starts at once and waits only for files that
    are not downloaded yet; an error with a file is raised when its path is requested. The files are read-only, and
    downloaded once per executor. If the project is on this machine, they are the original files.

    Args:
        path_or_glob: a file, a pattern as for `glob`, or a directory, whose files it is then.
        ahead: how many files are downloaded beyond the one that is asked for.
        keep: how many files are on this machine's disk at most: the oldest are removed. They are then not shared with
            other trials. Default: all.
        project: the name of another project.

    Raises:
        FileNotFoundError: there is no such file.

    >>> dump("x", "Resources/1.tfrecords")
    >>> dump("y", "Resources/2.tfrecords")
    >>> for path in localize("Resources/*.tfrecords"):
    ...     with open(path) as file:
    ...         print(file.read())
    x
    y
    """
    return Localized(files_of(path_or_glob, project), ahead, keep)


def is_tls_enabled() -> bool:
    """True if Hadoop's servers use TLS: `ipc.server.ssl.enabled` in `core-site.xml` of `HADOOP_CONF_DIR`.

    Raises:
        StoreError: there is no such file.
    """
    return property_of_site("ipc.server.ssl.enabled", "core-site.xml", "false").lower() == "true"


def get_webhdfs_host() -> str:
    """The host of the NameNode's web interface: `dfs.namenode.http-address` in `hdfs-site.xml` of `HADOOP_CONF_DIR`.

    Raises:
        StoreError: there is no such file or setting.
    """
    return property_of_site("dfs.namenode.http-address", "hdfs-site.xml").rpartition(":")[0]


def get_webhdfs_port() -> str:
    """The port of the NameNode's web interface, as text; see `get_webhdfs_host`."""
    return property_of_site("dfs.namenode.http-address", "hdfs-site.xml").rpartition(":")[2]


if not TYPE_CHECKING:  # type checkers are to know the names that are there

    def __getattr__(name: str) -> Any:
        return absent_name(__name__, name)
