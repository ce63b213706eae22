"""Safe extraction of untrusted archives: no member ends up outside the target directory."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from ..errors import StoreError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ARCHIVES", "Limits", "stem", "unpack_archive"]

ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".zip")
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeError, ValueError)
NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
PIECE = 1 << 20
MOST_PATH, MOST_DEPTH = 4095, 256  # bytes of a path that Linux accepts, and directories above a file
MOST_HEADER = 4 << 20  # bytes of a member's names and attributes, which are read as a whole


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and members to which an archive may unpack; `problem` is the text for more bytes."""

    size: int
    members: int
    problem: str


def stem(name: str) -> str:
    """Archive's name without its suffix: `digits` for `digits.tar.gz`."""
    ending = max((suffix for suffix in ARCHIVES if name.lower().endswith(suffix)), key=len, default="")
    return name[: len(name) - len(ending)] or "content"


def unpack_archive(archive: str, folder: str, where: str, limits: Limits | None = None) -> int:
    """Extract an archive into a new directory; returns the number of its members.

    Args:
        where: what errors call the archive.
        limits: default: the room on the disk.

    Raises:
        StoreError: it is none of `ARCHIVES` or is damaged; a member has an absolute name or one with `..`, is a link
            that leads out of it, or a device; it is larger than `limits`. The directory may then be there in part; it
            is the caller's to remove.
    """
    os.mkdir(folder)
    target = _Target(os.path.realpath(folder), where, limits)
    try:
        if where.lower().endswith(".zip"):
            _unzip(archive, target)
        elif where.lower().endswith(ARCHIVES):
            _untar(archive, target)
        else:
            raise StoreError(f"{where} is not a supported archive: {', '.join(ARCHIVES)}")
        target.check_links()
        return target.members
    except StoreError:
        raise
    except DAMAGED as error:
        raise StoreError(f"{where} cannot be unpacked: {error or type(error).__name__}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(f"no room left in {os.path.dirname(folder)} to unpack {where}") from error
        if error.errno == errno.ENAMETOOLONG:
            raise StoreError(f"{where} cannot be unpacked: a name in it is too long for the disk") from error
        if error.errno is not None:
            raise
        raise StoreError(f"{where} cannot be unpacked: {error}") from error  # raised by bz2, for instance


class _Target:
    """Target directory of an extraction. Members are never written through links."""

    def __init__(self, root: str, where: str, limits: Limits | None) -> None:
        self._root, self._where, self._limits = root, where, limits
        self._size = self.members = 0
        self._links: list[tuple[str, str]] = []

    def path(self, name: str) -> str | None:
        """Path of a member, whose parents are created; None for the directory itself."""
        self.members += 1
        if self._limits is not None and self.members > self._limits.members:
            raise StoreError(f"{self._where} is not unpacked: it has more than {self._limits.members} members")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\0" in name:
            raise self.refused(name, "its name leads out of the archive")
        if len(parts) > MOST_DEPTH + 1:
            raise self.refused(name, f"it is in more than {MOST_DEPTH} directories")
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
            while piece := content.read(PIECE):
                self._count(len(piece))
                file.write(piece)
        if mode & stat.S_IXUSR:
            os.chmod(path, 0o755)

    def make_link(self, name: str, to: str) -> None:
        if to.startswith("/") or not to:
            raise self.refused(name, f"it is a link that leads out of the archive: {to!r:.200}")
        if len(os.fsencode(to)) > MOST_PATH:
            raise self.refused(name, f"the target of the link is longer than {MOST_PATH} bytes")
        path = self._new(name)
        os.symlink(to, path)
        self._links.append((name, path))

    def make_copy(self, name: str, of: str) -> None:
        """Copy an earlier member, for a hard link in a tar."""
        source = self.path(of)
        if source is None or os.path.islink(source) or not os.path.isfile(source):
            raise self.refused(name, f"it is a link to {of!r:.200}, which is not an earlier file of the archive")
        path = self._new(name)
        self._count(os.path.getsize(source))
        shutil.copyfile(source, path)

    def check_links(self) -> None:
        """Check the targets of symbolic links at the end, since they depend on each other."""
        for name, path in self._links:
            if os.path.islink(path) and not f"{os.path.realpath(path)}/".startswith(f"{self._root}/"):
                raise self.refused(name, f"it is a link that leads out of the archive: {os.readlink(path)!r}")

    def refused(self, name: str, why: str) -> StoreError:
        return StoreError(f"{self._where} is not unpacked, because of its member {name!r:.200}: {why}")

    def _count(self, size: int) -> None:
        self._size += size
        if self._limits is not None and self._size > self._limits.size:
            raise StoreError(f"{self._where} is not unpacked: {self._limits.problem}")

    def _new(self, name: str) -> str:
        path = self.path(name)
        if path is None:
            raise self.refused(name, "it has no name")
        self._clear(name, path)
        return path

    def _clear(self, name: str, path: str) -> None:
        """Remove an earlier member of the same name, which a later one replaces."""
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        elif os.path.lexists(path):
            raise self.refused(name, "the archive also has a directory of this name")


class _Member(tarfile.TarInfo):
    """Member of a tar whose names, which tarfile reads as a whole into memory, are of a bounded size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in NAMES and member.size > MOST_HEADER:
            raise tarfile.ReadError(f"the names of a member are longer than {MOST_HEADER} bytes")
        return member


def _untar(archive: str, target: _Target) -> None:
    with tarfile.open(archive, "r:*", tarinfo=_Member) as packed:
        while (member := packed.next()) is not None:
            # otherwise a million members are in memory, a kilobyte each
            packed.members.clear()  # type: ignore[attr-defined]
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
                raise target.refused(member.name, "it is a device or another special file")


def _unzip(archive: str, target: _Target) -> None:
    with _as_damaged(), zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            mode = member.external_attr >> 16
            if member.flag_bits & 1:
                raise target.refused(member.filename, "it is encrypted")
            if member.is_dir():
                target.make_folder(member.filename)
            elif stat.S_ISLNK(mode):
                target.make_link(member.filename, _link_target(packed, member))
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                with packed.open(member) as content:
                    target.write(member.filename, content, mode)
            else:
                raise target.refused(member.filename, "it is a device or another special file")


def _link_target(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """Target of a symbolic link, which is the content of its member; at most one byte more than it may have."""
    with packed.open(member) as content:
        return os.fsdecode(content.read(MOST_PATH + 1))


@contextlib.contextmanager
def _as_damaged() -> Iterator[None]:
    """Report a compression that zipfile does not support as a damaged archive."""
    try:
        yield
    except NotImplementedError as error:
        raise zipfile.BadZipFile(str(error)) from error
