"""Parallel downloads of files and of ranges of large files, with retries and verification."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem
from fsspec.callbacks import Callback

from ...errors import StoreError
from .fast_read import fast_reader, is_hdfs
from .file_info import NEVER_AGAIN, FileInfo, NotThere, shown, stat, translate_errors
from .ranged_download import PIECE, Pieces, Received, md5_of, part_size, write_at

__all__ = ["Progress", "fetch_files", "has_no_room"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
T = TypeVar("T")
_Wanted = tuple[FileInfo, str]

ROUNDS = 3  # in which a file that changed or arrived damaged is fetched
AT_ONCE = 16
SMALL = 1 << 20
TOGETHER = 16  # small files that are asked for in one go
PAUSES = (0.2, 1.0, 3.0, 8.0)  # after which what failed is tried again: a server may be restarted
LOCAL_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG, errno.EMFILE)


def fetch_files(
    fs: AbstractFileSystem,
    wanted: Sequence[_Wanted],
    now: Callable[[Sequence[FileInfo]], Mapping[str, FileInfo]],
    progress: Progress | None,
) -> None:
    """Write files, each to a new local path, and verify them.

    Args:
        now: returns the present metadata of files, by path.

    Raises:
        StoreError: one does not arrive as the store says it is, or changes all the time.
    """
    counter = _Counter(sum(info.size for info, _ in wanted), progress)
    before: dict[str, str] = {}  # by path, the MD5 that arrived where the store says another one
    for _ in range(ROUNDS):
        got = _Round(fs, counter).run(wanted)
        rest = [(info, local) for info, local in wanted if not (info.md5 and got[local].is_exactly(info))]
        current = now([info for info, _ in rest]) if rest else {}
        again = []
        for info, local in rest:
            after = current.get(info.path)
            if after is None:
                raise NotThere(f"{shown(fs, info.path)} was removed while it was copied")
            if after.mark != info.mark:
                again.append((after, local))
            elif got[local].size != info.size:
                again.append((info, local))
            elif info.md5 and got[local].md5:
                if before.get(info.path) == got[local].md5:
                    # The same twice is what the store has; what it gives out as an MD5 is none (it encrypts, say).
                    log.debug("%s: its content has another MD5 than the store says", shown(fs, info.path))
                else:
                    before[info.path] = got[local].md5
                    again.append((info, local))
        if not again:
            return
        counter.again(again)
        wanted = again
    info, local = wanted[0]
    problem = f"{shown(fs, info.path)} could not be copied in {ROUNDS} attempts"
    if info.path in before:
        raise StoreError(f"{problem}: it arrived damaged, with the MD5 {before[info.path]} instead of {info.md5}")
    raise StoreError(f"{problem}: it changed each time, at last to {info.size} bytes; copy it when nobody writes it")


def has_no_room(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class _Stopped(StoreError):
    """Another file has failed, or the user has interrupted the download."""


class _Counter:
    """Counter of the bytes done, which reports progress from one thread at a time."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        if self._progress is not None and count:
            with self._lock:
                self._done += count
                self._progress(self._done, self._total)

    def again(self, files: Sequence[_Wanted]) -> None:
        with self._lock:
            self._done = max(0, self._done - sum(info.size for info, _ in files))


class _Round:
    """One attempt at all files that are still wanted."""

    def __init__(self, fs: AbstractFileSystem, counter: _Counter) -> None:
        self._fs, self._counter = fs, counter
        self._direct = fast_reader(fs)
        self._stop = threading.Event()
        self._streams = threading.Semaphore(self._direct.streams or AT_ONCE)

    def run(self, wanted: Sequence[_Wanted]) -> dict[str, Received]:
        """Write the files; returns the size and MD5 that arrived of each, by its local path."""
        if not (isinstance(self._fs, AsyncFileSystem) or is_hdfs(self._fs)):
            return self._do([functools.partial(self._whole, info, local) for info, local in wanted])
        jobs: list[Callable[[], dict[str, Received]]] = []
        large = []
        with contextlib.ExitStack() as opened:
            opened.callback(self._direct.close)
            for group in _groups([pair for pair in wanted if pair[0].size <= SMALL]):
                jobs.append(functools.partial(self._together, group))
            for info, local in wanted:
                if info.size > SMALL:
                    pieces = Pieces(info, local, part_size(self._fs, info), self._direct.piece)
                    opened.callback(pieces.close)
                    large.append(pieces)
                    jobs += [functools.partial(self._piece, pieces, *limits) for limits in pieces.ranges()]
            got = {**self._do(jobs), **{pieces.local: pieces.got() for pieces in large}}
        if self._direct.is_encrypted:
            got = {local: Received(arrived.size, "") for local, arrived in got.items()}
        return got

    def _do(self, jobs: Sequence[Callable[[], dict[str, Received]]]) -> dict[str, Received]:
        if len(jobs) == 1:
            try:
                return jobs[0]()
            finally:
                self._stop.set()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hopslite-download") as threads:
            begun = [threads.submit(job) for job in jobs]
            try:
                wait(begun, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()
                for future in begun:
                    future.cancel()
        failures = [future.exception() for future in begun if not future.cancelled()]
        for failure in failures:
            if failure is not None and not isinstance(failure, _Stopped):
                raise failure
        return {local: got for future in begun for local, got in future.result().items()}

    def _try(self, path: str, action: Callable[[], T]) -> T:
        """Call with retries, as a store may be unavailable for a while."""
        for pause in (*PAUSES, None):
            if self._stop.is_set():
                raise _Stopped("not needed any more")
            try:
                with translate_errors(self._fs, path):
                    return action()
            except (*NEVER_AGAIN, _Stopped):
                raise
            except OSError as error:
                if pause is None or error.errno in LOCAL_TROUBLE:
                    raise
                log.debug("%s: %s; is tried again", shown(self._fs, path), error)
                self._stop.wait(pause)
        raise AssertionError

    def _together(self, group: Sequence[_Wanted]) -> dict[str, Received]:
        """Download a group of small files with one call."""
        fs, arrived = self._fs, {}
        if self._stop.is_set():
            raise _Stopped("not needed any more")
        contents: list[Any] = [*self._direct.get_all([info for info, _ in group])]
        left = [index for index, content in enumerate(contents) if content is None]
        if left:
            paths = [group[index][0].path for index in left]
            answers = self._try(paths[0], lambda: fs.cat_ranges(paths, None, None, on_error="return"))
            for index, answer in zip(left, answers, strict=True):
                contents[index] = answer
        for (info, local), answer in zip(group, contents, strict=True):
            content = answer
            if isinstance(answer, Exception):
                content = self._try(info.path, functools.partial(fs.cat_file, info.path))
            with open(local, "wb") as file:
                file.write(content)
            arrived[local] = Received(len(content), md5_of(content, info))
            self._counter.add(len(content))
        return arrived

    def _piece(self, pieces: Pieces, begin: int, end: int) -> dict[str, Received]:
        path = pieces.info.path

        def get() -> bytes:
            if pieces.has_changed:
                return b""
            try:
                return bytes(self._fs.cat_file(path, start=begin, end=end))
            except Exception:  # each file system has exceptions of its own for what is beyond a file's end
                if stat(self._fs, path).mark == pieces.info.mark:
                    raise
                pieces.has_changed = True
                return b""

        def copy(file: int) -> int:
            count = self._try(path, lambda: self._direct.copy(path, begin, end, file, self._stop.is_set))
            if count is None:
                data = self._try(path, get)
                write_at(file, begin, data)
                count = len(data)
            return count

        with self._streams:
            self._counter.add(pieces.fill(begin, copy))
        return {}

    def _whole(self, info: FileInfo, local: str) -> dict[str, Received]:
        def get() -> None:
            callback = _ProgressCallback(self._counter, self._stop)
            try:
                self._fs.get_file(info.path, local, callback=callback)
            except BaseException:
                self._counter.add(-callback.done)
                raise
            self._counter.add(os.path.getsize(local) - callback.done)  # some tell nothing

        self._try(info.path, get)
        return {local: Received(os.path.getsize(local), "")}


class _ProgressCallback(Callback):  # type: ignore[misc]
    """fsspec callback that reports progress, and cancels a transfer that is not needed any more."""

    def __init__(self, counter: _Counter, stop: threading.Event) -> None:
        super().__init__()
        self._counter, self._stop = counter, stop
        self.done = 0

    def relative_update(self, inc: int = 1) -> None:
        if self._stop.is_set():
            raise _Stopped("not needed any more")
        self.done += inc
        self._counter.add(inc)

    def absolute_update(self, value: int) -> None:
        self.relative_update(value - self.done)


def _groups(files: Sequence[_Wanted]) -> Iterator[list[_Wanted]]:
    """Groups of files to request together, limited in number and in bytes held in memory."""
    group: list[_Wanted] = []
    size = 0
    for pair in files:
        if group and (len(group) == TOGETHER or size + pair[0].size > PIECE):
            yield group
            group, size = [], 0
        group.append(pair)
        size += pair[0].size
    if group:
        yield group
