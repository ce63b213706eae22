"""HDFS by way of hdfs-native, with file names taken as they are, and files that appear whole."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from fsspec.callbacks import DEFAULT_CALLBACK
from hdfs_native import Client, WriteOptions
from hdfs_native.fsspec import BaseFileSystem

__all__ = ["Hdfs", "address_of", "open_hdfs"]

PIECE = 8 << 20
READ = 32 << 20
ANSWER_SECONDS = 30.0  # after which a NameNode that does not answer is given up on
SLOWEST = 1e6  # bytes in a second, below which a DataNode counts as one that does not answer
# hdfs-native tries again, for minutes, when no NameNode can be reached; with these it is some 5 s.
FAILOVER = {"dfs.client.failover.max.attempts": "3", "dfs.client.failover.sleep.max.millis": "2000"}
_REMOTE = re.compile(r'RPCError\("([\w.$]+)", "(.*)', re.DOTALL)


def open_hdfs(url: str) -> tuple[Hdfs, str]:
    scheme, _, rest = url.partition("://")
    kind = ViewFs if scheme == "viewfs" else Hdfs
    return kind(*address_of(rest)), kind._strip_protocol(url)


def address_of(rest: str) -> tuple[str | None, int | None]:
    """Host and port of a URL without its scheme; the host may be a name service's, in which large letters count."""
    match = re.fullmatch(r"(?:[^/]*@)?([^/]*?)(?::([0-9]+))?(?:/.*)?", rest, re.DOTALL)
    assert match is not None
    return match[1] or None, int(match[2]) if match[2] else None


class Hdfs(BaseFileSystem):  # type: ignore[misc]
    """hdfs-native's file system, in which a file appears under its name when it is complete.

    hdfs-native's own file system reads paths as URLs, so that `?` and `#` would end them, and a file is there, empty,
    from the moment in which it is opened for writing.
    """

    protocol = "hdfs"

    def __init__(self, host: str | None = None, port: int | None = None, **options: Any) -> None:
        super().__init__(host, port, **options)
        address = f"{self.protocol}://{host or ''}" + (f":{port}" if port else "")
        self.client = _Client(address, {**FAILOVER, **options})

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(single) for single in path]
        text = os.fspath(path)
        if "://" in text:
            text = "/" + text.partition("://")[2].partition("/")[2]
        return text.rstrip("/") or "/"

    def unstrip_protocol(self, name: str) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.protocol}://{self.host or ''}{port}{self._strip_protocol(name)}"

    def _convert_file_status(self, file_status: Any) -> dict[str, Any]:
        more = {"replication": file_status.replication, "block_size": file_status.blocksize}
        return {**super()._convert_file_status(file_status), **more}

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        self._write(path, mode, lambda file: file.write(value))

    def put_file(
        self, lpath: str, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **_: Any
    ) -> None:
        if os.path.isdir(lpath):
            self.makedirs(rpath, exist_ok=True)
            return
        callback.set_size(os.path.getsize(lpath))

        def copy(file: Any) -> None:
            with open(lpath, "rb") as source:
                while piece := source.read(PIECE):
                    file.write(piece)
                    callback.relative_update(len(piece))

        self._write(rpath, mode, copy)

    def get_file(self, rpath: str, lpath: str, callback: Any = DEFAULT_CALLBACK, **_: Any) -> None:
        reader = self.client.read(self._strip_protocol(rpath))
        callback.set_size(len(reader))
        with open(lpath, "wb") as file:
            for begin in range(0, len(reader), READ):  # a stream's pieces are small, and each has a wait of its own
                piece = reader.read_range(begin, min(READ, len(reader) - begin))
                file.write(piece)
                callback.relative_update(len(piece))

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        def copy(file: Any) -> None:
            with self.open(path1, "rb") as source:
                shutil.copyfileobj(source, file, PIECE)

        self._write(path2, "overwrite", copy)

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **kwargs: Any
    ) -> Any:
        if maxdepth is not None:
            return super().find(path, maxdepth, withdirs, detail, **kwargs)
        infos = {}
        with contextlib.suppress(FileNotFoundError):
            for status in self.client.list_status(self._strip_protocol(path), True):
                info = self._convert_file_status(status)
                if withdirs or info["type"] == "file":
                    infos[info["name"]] = info
        return infos if detail else sorted(infos)

    def _write(self, path: str, mode: str, fill: Callable[[Any], Any]) -> None:
        path = self._strip_protocol(path)
        folder, _, name = path.rpartition("/")
        partial = f"{folder}/.{name[:40]}.{secrets.token_hex(4)}.tmp"
        file = self.client.create(partial, WriteOptions())
        try:
            with file:
                fill(file)
            try:
                self.client.rename(partial, path, mode != "create")
            except OSError:
                if self.exists(partial) or not self.exists(path):
                    raise
                # Nobody else knows its first name: it was renamed, and only the answer was lost.
        except BaseException:
            with contextlib.suppress(OSError):
                self.client.delete(partial, False)
            raise


class _Client(Client):  # type: ignore[misc]
    """hdfs-native's client, which by itself waits for ever for a NameNode that accepts and does not answer."""

    inner: Any

    def __init__(self, address: str, options: dict[str, str]) -> None:
        super().__init__(address, options)
        self.inner = _Bounded(self.inner)
        _connected.add(self.inner)


class _Bounded:
    """The methods of one of hdfs-native's objects, each with a bounded wait and with errors of Python.

    Its asynchronous objects could be waited for without threads, but fail where they have to try again.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)
        return lambda *arguments: self._result(method, name, *arguments)

    def _result(self, method: Callable[..., Any], name: str, *arguments: Any) -> Any:
        seconds = ANSWER_SECONDS + self._size(name, arguments) / SLOWEST
        answer: list[Any] = []
        failure: list[BaseException] = []

        def ask() -> None:
            try:
                answer.append(method(*arguments))
            except BaseException as error:  # noqa: BLE001 - hdfs-native's own; raised in the caller's thread
                failure.append(error)

        asking = threading.Thread(target=ask, name="hopslite-hdfs", daemon=True)
        asking.start()
        asking.join(seconds)
        if failure:
            raise _python_error(failure[0]) from failure[0]
        if not answer:
            raise TimeoutError(f"HDFS has not answered for {seconds:.0f} s")
        value = answer[0]
        if name in ("list_status", "read_range_stream"):
            return self._items(value)
        return _Bounded(value) if type(value).__name__.startswith("Raw") else value

    def _items(self, iterator: Iterator[Any]) -> Iterator[Any]:
        end = object()
        while (item := self._result(next, "next", iterator, end)) is not end:
            yield item

    def _size(self, name: str, arguments: tuple[Any, ...]) -> int:
        if name == "write":
            return len(arguments[0])
        if name in ("read", "read_range") and isinstance(arguments[-1], int):  # of a file; a client's `read` opens one
            return arguments[-1] if arguments[-1] >= 0 else int(self._inner.file_length())
        return 0


_connected: weakref.WeakSet[_Bounded] = weakref.WeakSet()
_kept: list[_Bounded] = []
# A process that is forked, as by a data loader, has the clients without their threads. fsspec lets go of its file
# systems there, and a client that ends would wait for its threads for ever: so none ends there.
os.register_at_fork(before=lambda: _kept.extend(_connected), after_in_parent=_kept.clear)


def _python_error(error: BaseException) -> BaseException:
    """Python exception for one of HDFS, without Java's stack."""
    if not isinstance(error, Exception):
        return error
    remote = _REMOTE.search(str(error))
    if remote is None:
        text = re.split(r"\n|\\n", str(error))[0]
        known = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
        return type(error)(text) if isinstance(error, known) else OSError(text)
    kind = remote[1].rpartition(".")[2]
    text = re.split(r"\\n|\n", remote[2])[0].removesuffix('")').replace('\\"', '"')
    if kind in ("AccessControlException", "AuthorizationException"):
        return PermissionError(text)
    return OSError(f"{text} ({kind})")


class ViewFs(Hdfs):
    protocol = "viewfs"
