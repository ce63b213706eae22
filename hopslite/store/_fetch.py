"""The engine of downloads: pieces and files at once, each tried again when it fails, and verified."""

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

from ..errors import StoreError
from ._direct import direct, is_hdfs
from ._found import NEVER_AGAIN, Found, NotThere, look, shown, told
from ._pieces import PIECE, Got, Pieces, md5_of, part_size, write_at

__all__ = ["Progress", "fetch_files", "has_no_room"]

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
T = TypeVar("T")
_Wanted = tuple[Found, str]

ROUNDS = 3  # in which a file that changed or arrived damaged is fetched
AT_ONCE = 16
SMALL = 1 << 20
TOGETHER = 16  # small files that are asked for in one go
PAUSES = (0.2, 1.0, 3.0, 8.0)  # after which what failed is tried again: a server may be restarted
LOCAL_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.ENAMETOOLONG, errno.EMFILE)


def fetch_files(
    fs: AbstractFileSystem,
    wanted: Sequence[_Wanted],
    now: Callable[[Sequence[Found]], Mapping[str, Found]],
    progress: Progress | None,
) -> None:
    """Write files, each to a new local path, and verify them.

    Args:
        now: tells what the files are now, by path.

    Raises:
        StoreError: one does not arrive as the store says it is, or changes all the time.
    """
    counter = _Counter(sum(found.size for found, _ in wanted), progress)
    before: dict[str, str] = {}  # by path, the MD5 that arrived where the store says another one
    for _ in range(ROUNDS):
        got = _Round(fs, counter).run(wanted)
        rest = [(found, local) for found, local in wanted if not (found.md5 and got[local].is_exactly(found))]
        current = now([found for found, _ in rest]) if rest else {}
        again = []
        for found, local in rest:
            after = current.get(found.path)
            if after is None:
                raise NotThere(f"{shown(fs, found.path)} was removed while it was copied")
            if after.mark != found.mark:
                again.append((after, local))
            elif got[local].size != found.size:
                again.append((found, local))
            elif found.md5 and got[local].md5:
                if before.get(found.path) == got[local].md5:
                    # The same twice is what the store has; what it gives out as an MD5 is none (it encrypts, say).
                    log.debug("%s: its content has another MD5 than the store says", shown(fs, found.path))
                else:
                    before[found.path] = got[local].md5
                    again.append((found, local))
        if not again:
            return
        counter.again(again)
        wanted = again
    found, local = wanted[0]
    problem = f"{shown(fs, found.path)} could not be copied in {ROUNDS} attempts"
    if found.path in before:
        raise StoreError(f"{problem}: it arrived damaged, with the MD5 {before[found.path]} instead of {found.md5}")
    raise StoreError(f"{problem}: it changed each time, at last to {found.size} bytes; copy it when nobody writes it")


def has_no_room(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class _Stopped(StoreError):
    """Another file has failed, or the user has interrupted."""


class _Counter:
    """How many bytes are done, told one at a time."""

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
            self._done = max(0, self._done - sum(found.size for found, _ in files))


class _Round:
    """One attempt at all files that are still wanted."""

    def __init__(self, fs: AbstractFileSystem, counter: _Counter) -> None:
        self._fs, self._counter = fs, counter
        self._direct = direct(fs)
        self._stop = threading.Event()
        self._streams = threading.Semaphore(self._direct.streams or AT_ONCE)

    def run(self, wanted: Sequence[_Wanted]) -> dict[str, Got]:
        """Write the files; returns what has arrived of each, by its local path."""
        if not (isinstance(self._fs, AsyncFileSystem) or is_hdfs(self._fs)):
            return self._do([functools.partial(self._whole, found, local) for found, local in wanted])
        jobs: list[Callable[[], dict[str, Got]]] = []
        large = []
        with contextlib.ExitStack() as opened:
            opened.callback(self._direct.close)
            for group in _groups([each for each in wanted if each[0].size <= SMALL]):
                jobs.append(functools.partial(self._together, group))
            for found, local in wanted:
                if found.size > SMALL:
                    pieces = Pieces(found, local, part_size(self._fs, found), self._direct.piece)
                    opened.callback(pieces.close)
                    large.append(pieces)
                    jobs += [functools.partial(self._piece, pieces, *each) for each in pieces.ranges()]
            got = {**self._do(jobs), **{pieces.local: pieces.got() for pieces in large}}
        if self._direct.is_encrypted:
            got = {local: Got(each.size, "") for local, each in got.items()}
        return got

    def _do(self, jobs: Sequence[Callable[[], dict[str, Got]]]) -> dict[str, Got]:
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
                for each in begun:
                    each.cancel()
        failures = [each.exception() for each in begun if not each.cancelled()]
        for failure in failures:
            if failure is not None and not isinstance(failure, _Stopped):
                raise failure
        return {local: got for each in begun for local, got in each.result().items()}

    def _try(self, path: str, action: Callable[[], T]) -> T:
        """Do something that a store may refuse for a while."""
        for pause in (*PAUSES, None):
            if self._stop.is_set():
                raise _Stopped("not needed any more")
            try:
                with told(self._fs, path):
                    return action()
            except (*NEVER_AGAIN, _Stopped):
                raise
            except OSError as error:
                if pause is None or error.errno in LOCAL_TROUBLE:
                    raise
                log.debug("%s: %s; is tried again", shown(self._fs, path), error)
                self._stop.wait(pause)
        raise AssertionError

    def _together(self, group: Sequence[_Wanted]) -> dict[str, Got]:
        """Small files, in one go."""
        fs, arrived = self._fs, {}
        if self._stop.is_set():
            raise _Stopped("not needed any more")
        contents: list[Any] = [*self._direct.get_all([found for found, _ in group])]
        left = [index for index, content in enumerate(contents) if content is None]
        if left:
            paths = [group[index][0].path for index in left]
            answers = self._try(paths[0], lambda: fs.cat_ranges(paths, None, None, on_error="return"))
            for index, answer in zip(left, answers, strict=True):
                contents[index] = answer
        for (found, local), answer in zip(group, contents, strict=True):
            content = answer
            if isinstance(answer, Exception):
                content = self._try(found.path, functools.partial(fs.cat_file, found.path))
            with open(local, "wb") as file:
                file.write(content)
            arrived[local] = Got(len(content), md5_of(content, found))
            self._counter.add(len(content))
        return arrived

    def _piece(self, pieces: Pieces, begin: int, end: int) -> dict[str, Got]:
        path = pieces.found.path

        def get() -> bytes:
            if pieces.has_changed:
                return b""
            try:
                return bytes(self._fs.cat_file(path, start=begin, end=end))
            except Exception:  # each file system has exceptions of its own for what is beyond a file's end
                if look(self._fs, path).mark == pieces.found.mark:
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

    def _whole(self, found: Found, local: str) -> dict[str, Got]:
        def get() -> None:
            told_so_far = _Told(self._counter, self._stop)
            try:
                self._fs.get_file(found.path, local, callback=told_so_far)
            except BaseException:
                self._counter.add(-told_so_far.done)
                raise
            self._counter.add(os.path.getsize(local) - told_so_far.done)  # some tell nothing

        self._try(found.path, get)
        return {local: Got(os.path.getsize(local), "")}


class _Told(Callback):  # type: ignore[misc]
    """Passes on how far a file system has come with a file, and ends it when it is not wanted any more."""

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
    """Files that are asked for together: not too many, and not too much for the memory."""
    group: list[_Wanted] = []
    size = 0
    for each in files:
        if group and (len(group) == TOGETHER or size + each[0].size > PIECE):
            yield group
            group, size = [], 0
        group.append(each)
        size += each[0].size
    if group:
        yield group
