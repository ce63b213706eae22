"""Local files that are to be uploaded: collected and checked before anything is sent."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence

from ...core.suggestions import did_you_mean
from ...errors import InvalidArguments, StoreError
from ..fs.file_info import size_text
from ..fs.urls import scheme_of
from ..safe_extract import ARCHIVES, Limits, unpack_archive
from .file_list import StoredFile
from .objects import ChangedFile

__all__ = ["SourceFile", "collect", "describe", "unpacked"]

MOST_FILES = 20_000_000  # more come from links that lead to each other
SHOWN = 5  # problems
LEAST_LIMIT, MOST_RATIO = 1 << 30, 250  # bytes to which any archive may unpack, and how many times its own size
LEAST_LINKED, MOST_LINKED = 10_000, 10  # files that an archive's links may make of it, and how many of each member
KINDS = ((stat.S_ISSOCK, "a socket"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISCHR, "a device"))


@dataclasses.dataclass(frozen=True, slots=True)
class SourceFile:
    """A local file, and its name in the data set."""

    path: str
    name: str


def collect(paths: Sequence[str], where: str, project: str | None, limits: Limits | None = None) -> list[SourceFile]:
    """The files at some paths: of a single directory its content, of several paths each under its own name.

    Links are followed. Directories without files are left out, as object stores have none.

    Args:
        where: what errors call the call.
        project: path of a local project, which is never uploaded to itself.
        limits: of the files of an archive, whose links can lead to each file many times.

    Raises:
        StoreError: there are more files, or bytes, than the limits say.
        InvalidArguments: there is nothing to upload, or something that cannot be; problems are listed together.
    """
    problems = [problem for path in paths if (problem := _path_problem(path, project))]
    if not paths:
        problems = ["nothing to upload: give the path of a file or directory"]
    if problems:
        raise InvalidArguments(where, problems)
    files: list[SourceFile] = []
    walk = _Walk(project, problems, limits)
    for path in paths:
        name = os.path.basename(os.path.abspath(path))
        if not os.path.isdir(path):
            files.append(SourceFile(path, name))
        else:
            files += walk.files(path, "" if len(paths) == 1 else f"{name}/")
    problems += _clashes(files)
    if not files and not problems:
        names = ", ".join(paths)
        problems = [f"nothing to upload: there is no file in {names}"]
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise InvalidArguments(where, [*problems[:SHOWN], *more])
    return files


def _path_problem(path: str, project: str | None) -> str | None:
    if "\0" in path:
        return f"{path!r:.80} has a NUL character, which no path has"
    if scheme_of(path) != "file" or path.startswith("file:"):
        return f"{path} is a URL, and local files are uploaded; fetch it first, for instance with hdfs.copy_to_local"
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return _missing(path, error)
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        return f"{path} is {_kind(mode)}, and neither a file nor a directory"
    if project is not None and os.path.exists(project):
        inside = os.path.realpath(path) + os.sep
        if (os.path.realpath(project) + os.sep).startswith(inside):
            return f"{path} contains the project {project} itself; upload a directory that does not"
        if inside.startswith(os.path.join(os.path.realpath(project), "Datasets") + os.sep):
            return f"{path} belongs to a data set of the project; copy it with hopslite data download first"
    return _unreadable(path)


def _missing(path: str, error: OSError) -> str:
    if os.path.islink(path):
        return f"{path} is a broken link: there is nothing where it leads"
    if not isinstance(error, FileNotFoundError):
        return f"{path}: {error.strerror}"
    folder, name = os.path.split(os.path.abspath(path))
    hint = ""
    with contextlib.suppress(OSError):
        hint = did_you_mean(name, os.listdir(folder))
    return f"there is nothing at {path}" + (f"; {hint}" if hint else "")


def _unreadable(path: str) -> str | None:
    mode = os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK
    return None if os.access(path, mode) else f"{path} cannot be read: no permission"


def _kind(mode: int) -> str:
    return next((text for is_kind, text in KINDS if is_kind(mode)), "a special file")


class _Walk:
    """Recursive listing that collects problems instead of failing at the first."""

    def __init__(self, project: str | None, problems: list[str], limits: Limits | None) -> None:
        self._problems, self._limits = problems, limits
        self._count = self._size = 0
        self._project: tuple[int, int] | None = None
        with contextlib.suppress(OSError):
            self._project = None if project is None else _identity(os.stat(project))

    def files(self, folder: str, prefix: str, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[SourceFile]:
        above |= {_identity(os.stat(folder))}
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            try:
                status = entry.stat()
            except OSError as error:
                self._problems.append(_missing(entry.path, error))
                continue
            if problem := self._problem(entry.path, status):
                self._problems.append(problem)
            elif stat.S_ISREG(status.st_mode):
                self._count += 1
                self._size += status.st_size
                self._check(folder)
                yield SourceFile(entry.path, f"{prefix}{entry.name}")
            elif _identity(status) not in above:  # a link to a directory that it is in is left out
                yield from self.files(entry.path, f"{prefix}{entry.name}/", above)

    def _check(self, folder: str) -> None:
        """Raise if there are too many files, or bytes."""
        limits = self._limits
        if limits is not None and self._size > limits.size:
            raise StoreError(f"with the files that its links lead to, {limits.problem}")
        most = MOST_FILES if limits is None else min(limits.members, MOST_FILES)
        if self._count > most:
            raise StoreError(
                f"{folder}: more than {most} files; are there links that lead in circles, or to each other?"
            )

    def _problem(self, path: str, status: os.stat_result) -> str | None:
        if stat.S_ISDIR(status.st_mode) and _identity(status) == self._project:
            return f"{path} is the project itself; upload a directory that does not contain it"
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
            return f"{path} is {_kind(status.st_mode)}, and neither a file nor a directory"
        return _unreadable(path)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _clashes(files: Sequence[SourceFile]) -> list[str]:
    """Names that two paths have, or that are a file in one and a directory in another."""
    by_name: dict[str, str] = {}
    problems = []
    for file in files:
        if file.name in by_name:
            problems.append(f"{by_name[file.name]} and {file.path} would both be {file.name!r} in the data set")
        by_name.setdefault(file.name, file.path)
    folders = {name[:index] for name in by_name for index, letter in enumerate(name) if letter == "/"}
    problems += [f"{name!r} would be a file and a directory in the data set" for name in sorted(folders & set(by_name))]
    return problems


@contextlib.contextmanager
def unpacked(
    paths: Sequence[str], where: str, most_bytes: int | None, scratch: str | None, project: str | None
) -> Iterator[list[SourceFile]]:
    """Files of some archives, unpacked into a temporary directory; other paths are as for `collect`.

    All archives are unpacked at the top, as `tar` would do one after the other.

    Args:
        most_bytes: to which an archive may unpack; default: 250 times its size, at least 1 GB.
        scratch: directory for the temporary one; default: that of the machine.
        project: as of `collect`.

    Raises:
        InvalidArguments: none of the paths is an archive, or two have a file of the same name.
        StoreError: an archive is damaged or dangerous.
    """
    problems = [problem for path in paths if (problem := _path_problem(path, project))]
    archives = [path for path in paths if path.lower().endswith(ARCHIVES) and os.path.isfile(path)]
    if not archives and not problems:
        problems = [f"none of the paths is an archive that can be unpacked: {', '.join(ARCHIVES)}"]
    if problems:
        raise InvalidArguments(where, problems)
    others = [path for path in paths if path not in archives]
    with tempfile.TemporaryDirectory(prefix="hopslite-data-", dir=scratch) as folder:
        files = []
        for number, archive in enumerate(archives):
            target = os.path.join(folder, str(number))
            limit = most_bytes or max(LEAST_LIMIT, MOST_RATIO * os.path.getsize(archive))
            limits = Limits(limit, MOST_FILES, _hint(limit, most_bytes))
            members = unpack_archive(archive, target, archive, limits)
            linked = dataclasses.replace(limits, members=max(LEAST_LINKED, MOST_LINKED * members))
            files += collect([target], where, None, linked) if any(os.scandir(target)) else []
        if others:
            files += _others(others, where, project)
        if not files:
            raise InvalidArguments(where, [f"nothing to upload: there is no file in {', '.join(archives)}"])
        if problems := _clashes(files):
            raise InvalidArguments(where, problems[:SHOWN])
        yield files


def _others(paths: Sequence[str], where: str, project: str | None) -> list[SourceFile]:
    """Files of paths that are no archives, each under its own name, beside the content of archives."""
    files = []
    for path in paths:
        name = os.path.basename(os.path.abspath(path))
        files += [
            file if not os.path.isdir(path) else SourceFile(file.path, f"{name}/{file.name}")
            for file in collect([path], where, project)
        ]
    return files


def _hint(limit: int, most_bytes: int | None) -> str:
    reason = "as max_unpacked (--max-unpacked) says" if most_bytes else "which protects from archive bombs"
    return f"it unpacks to more than {size_text(limit)}, {reason}; give a larger max_unpacked (--max-unpacked)"


def describe(file: SourceFile, piece_size: int, progress: Callable[[int], None] = lambda _: None) -> StoredFile:
    """Size and checksums of a local file, read in small pieces.

    Args:
        piece_size: of the objects of a large file; 0: it is stored whole.
        progress: is called with the number of bytes of each piece that was read.
    """
    whole = hashlib.sha256()
    piece = hashlib.sha256()
    pieces: list[str] = []
    size = in_piece = 0
    with open(file.path, "rb", buffering=0) as reader:
        expected = os.fstat(reader.fileno()).st_size
        is_large = bool(piece_size) and expected > piece_size
        buffer = memoryview(bytearray(max(1, min(1 << 20, piece_size or 1 << 20, expected or 1))))
        while count := reader.readinto(buffer[: piece_size - in_piece] if is_large else buffer):
            whole.update(buffer[:count])
            size += count
            progress(count)
            if is_large:
                piece.update(buffer[:count])
                in_piece += count
                if in_piece == piece_size:
                    pieces.append(piece.hexdigest())
                    piece, in_piece = hashlib.sha256(), 0
    if size != expected:
        raise ChangedFile(f"{file.path} was changed while it was read; upload it again when nobody writes to it")
    if not is_large:
        return StoredFile(file.name, size, whole.hexdigest())
    if in_piece:
        pieces.append(piece.hexdigest())
    return StoredFile(file.name, size, whole.hexdigest(), piece_size, tuple(pieces))
