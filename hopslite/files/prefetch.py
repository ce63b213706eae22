"""Sequence of a store's files as local ones, with the next ones downloaded in advance."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from multiprocessing.util import Finalize
from typing import Any, overload

from ..core.plain_values import is_integer, plain
from ..errors import InvalidArguments
from ..storage.fs.transfer import download
from ..storage.fs.urls import is_local
from .copy import file_to_read
from .paths import ResolvedPath, resolve

__all__ = ["Localized"]


class Localized(Sequence[str]):
    """Local paths of files, in order; access waits for the download. Safe from many threads.

    What cannot be downloaded is told when its path is asked for. Files that the caller keeps only some of (`keep`) are
    this object's own, and are removed with it.
    """

    def __init__(self, urls: Sequence[str], ahead: int, keep: int | None) -> None:
        ahead, keep = plain(ahead), plain(keep)
        for name, value, least in (("ahead", ahead, 0), ("keep", keep, 1)):
            if value is not None and not is_integer(value, least):
                raise InvalidArguments("localize", [f"{name}={value!r}; give a whole number of at least {least}"])
        self._urls, self._ahead, self._keep = list(urls), ahead, keep
        if keep is not None:
            self._ahead = min(ahead, keep - 1)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._asked: dict[int, Future[str]] = {}
        self._lock = threading.Lock()
        self._folder = tempfile.mkdtemp(prefix="hopslite-") if self._keep is not None else None
        if self._folder is not None:
            # also when a process of multiprocessing ends, such as one that loads data, which ends without `atexit`
            Finalize(self, _remove, (self._folder, self._pid), exitpriority=0)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments only: another process does its own downloads."""
        return Localized, (self._urls, self._ahead, self._keep)

    def __repr__(self) -> str:
        return f"<{len(self)} files, {sum(future.done() for future in self._asked.values())} of them downloaded>"

    def __len__(self) -> int:
        return len(self._urls)

    def __iter__(self) -> Iterator[str]:
        for index in range(len(self)):
            yield self[index]

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(len(self))[index]]
        first = range(len(self))[index]
        if os.getpid() != self._pid:  # forked, without the threads that download
            self._begin_anew()
        with self._lock:
            self._drop(first)
            for position in range(first, min(first + self._ahead + 1, len(self))):
                if position not in self._asked:
                    self._asked[position] = self._begin(position)
            wanted = self._asked[first]
        try:
            return wanted.result()
        except BaseException:
            with self._lock:
                self._asked.pop(first, None)  # the next access retries
            raise

    def _begin(self, index: int) -> Future[str]:
        future: Future[str] = Future()
        work = threading.Thread(target=self._fetch, args=(index, future), name="hopslite-localize", daemon=True)
        work.start()
        return future

    def _fetch(self, index: int, future: Future[str]) -> None:
        try:
            future.set_result(self._local(index))
        except BaseException as error:  # noqa: BLE001 - told to who asks for the file
            future.set_exception(error)

    def _local(self, index: int) -> str:
        resolved: ResolvedPath = resolve(self._urls[index])
        if self._folder is None or is_local(resolved.fs):
            return file_to_read(resolved.url)
        folder = os.path.join(self._folder, str(index))
        os.makedirs(folder, exist_ok=True)
        local = os.path.join(folder, resolved.name)
        download(resolved.fs, resolved.path, local)
        return local

    def _drop(self, first: int) -> None:
        """Remove the oldest files, so that at most `keep` remain together with the requested ones."""
        if self._folder is None or self._keep is None:
            return
        for index in sorted(self._asked):
            before = first - (self._keep - 1 - self._ahead)
            if index < before or index > first + self._ahead:
                self._asked.pop(index)
                shutil.rmtree(os.path.join(self._folder, str(index)), ignore_errors=True)


def _remove(folder: str, pid: int) -> None:
    if os.getpid() == pid:  # a forked process does not own it
        shutil.rmtree(folder, ignore_errors=True)
