"""Unpacking archives that nobody has checked: nothing of them may end up outside of the directory meant for them."""

from __future__ import annotations

import contextlib
import errno
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from ..errors import StoreError

__all__ = ["ARCHIVES", "stem", "unpack_archive"]

ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".zip")
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeError, ValueError)
PIECE = 1 << 20


def stem(name: str) -> str:
    """An archive's name without what says that it is one: `digits` for `digits.tar.gz`."""
    ending = max((each for each in ARCHIVES if name.lower().endswith(each)), key=len, default="")
    return name[: len(name) - len(ending)] or "content"


def unpack_archive(archive: str, folder: str, where: str) -> None:
    """Unpack an archive into a new directory.

    Args:
        where: what errors call the archive.

    Raises:
        StoreError: it is none of `ARCHIVES` or is damaged; a member has an absolute name or one with `..`, is a link
            that leads out of it, or a device. The directory may then be there in part; it is the caller's to remove.
    """
    os.mkdir(folder)
    target = _Target(os.path.realpath(folder), where)
    try:
        if where.lower().endswith(".zip"):
            _unzip(archive, target)
        elif where.lower().endswith(ARCHIVES):
            _untar(archive, target)
        else:
            raise StoreError(f"{where} is no archive that can be unpacked: {', '.join(ARCHIVES)}")
        target.check_links()
    except StoreError:
        raise
    except DAMAGED as error:
        raise StoreError(f"{where} cannot be unpacked: {error or type(error).__name__}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(f"no room left in {os.path.dirname(folder)} to unpack {where}") from error
        if error.errno is not None:
            raise
        raise StoreError(f"{where} cannot be unpacked: {error}") from error  # bz2's, for one


class _Target:
    """The directory that is written to. No member goes through a link, so names lead where they say."""

    def __init__(self, root: str, where: str) -> None:
        self._root, self._where = root, where
        self._links: list[tuple[str, str]] = []

    def path(self, name: str) -> str | None:
        """Where a member belongs, with its parents made; None for the directory itself."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise self.refused(name, "its name leads out of the archive")
        path = self._root
        for part in parts[:-1]:
            path = os.path.join(path, part)
            if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
                raise self.refused(name, "it is below another member that is a link or a file")
            if not os.path.isdir(path):
                os.mkdir(path)
        return os.path.join(path, parts[-1]) if parts else None

    def make_folder(self, name: str) -> None:
        path = self.path(name)
        if path is not None and (os.path.islink(path) or not os.path.isdir(path)):
            self._clear(name, path)
            os.mkdir(path)

    def write(self, name: str, content: IO[bytes], mode: int) -> None:
        path = self._new(name)
        with open(path, "xb") as file:
            shutil.copyfileobj(content, file, PIECE)
        if mode & stat.S_IXUSR:
            os.chmod(path, 0o755)

    def make_link(self, name: str, to: str) -> None:
        if to.startswith("/") or not to:
            raise self.refused(name, f"it is a link that leads out of the archive: {to!r}")
        path = self._new(name)
        os.symlink(to, path)
        self._links.append((name, path))

    def make_copy(self, name: str, of: str) -> None:
        """A hard link in a tar: the same content under another name."""
        source = self.path(of)
        if source is None or os.path.islink(source) or not os.path.isfile(source):
            raise self.refused(name, f"it is a link to {of!r}, which is no file that comes before it in the archive")
        path = self._new(name)
        shutil.copyfile(source, path)

    def check_links(self) -> None:
        """Where links lead depends on other links, so it is seen when all are there."""
        for name, path in self._links:
            if os.path.islink(path) and not f"{os.path.realpath(path)}/".startswith(f"{self._root}/"):
                raise self.refused(name, f"it is a link that leads out of the archive: {os.readlink(path)!r}")

    def refused(self, name: str, why: str) -> StoreError:
        return StoreError(f"{self._where} is not unpacked, because of its member {name!r}: {why}")

    def _new(self, name: str) -> str:
        path = self.path(name)
        if path is None:
            raise self.refused(name, "it has no name")
        self._clear(name, path)
        return path

    def _clear(self, name: str, path: str) -> None:
        """A later member of the same name replaces an earlier one."""
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        elif os.path.lexists(path):
            raise self.refused(name, "it has the name of a directory that is in it, too")


def _untar(archive: str, target: _Target) -> None:
    with tarfile.open(archive, "r:*") as packed:
        for member in packed:
            if member.isdir():
                target.make_folder(member.name)
            elif member.issym():
                target.make_link(member.name, member.linkname)
            elif member.islnk():
                target.make_copy(member.name, member.linkname)
            elif member.isfile():
                content = packed.extractfile(member)
                assert content is not None
                with content:
                    target.write(member.name, content, member.mode)
            else:
                raise target.refused(member.name, "it is a device or something else that is no file")


def _unzip(archive: str, target: _Target) -> None:
    with _as_damaged(), zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            mode = member.external_attr >> 16
            if member.flag_bits & 1:
                raise target.refused(member.filename, "it is encrypted")
            if member.is_dir():
                target.make_folder(member.filename)
            elif stat.S_ISLNK(mode):
                target.make_link(member.filename, os.fsdecode(packed.read(member)))
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                with packed.open(member) as content:
                    target.write(member.filename, content, mode)
            else:
                raise target.refused(member.filename, "it is a device or something else that is no file")


@contextlib.contextmanager
def _as_damaged() -> Iterator[None]:
    """What zipfile raises for a compression that it does not know is no error of an archive's."""
    try:
        yield
    except NotImplementedError as error:
        raise zipfile.BadZipFile(str(error)) from error
