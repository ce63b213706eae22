"""A project and its run directories: where everything that a run leaves behind is kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .._trial import json_safe
from ..errors import StoreError
from .filesystems import errors_of, is_local, open_url, without_credentials
from .transfer import download_tree, remove_at, upload_files

__all__ = ["Project", "RunDir"]

AT_ONCE = 32  # small files read in one go
AGAIN_SECONDS = (0.1, 0.5)  # after which a write is tried again that a store has refused
SLOW_SECONDS = 10.0  # a store that took so long to refuse is not asked again
FOLDER_BYTES = 100  # a name's part of a folder's name; file systems allow 255 bytes, some less
_FORBIDDEN = re.compile(r'[%/\\:*?"<>|\x00-\x1f\x7f]|^\.')


class RunDir:
    """One directory on one file system; paths of its methods are relative to it.

    Safe from many threads. Whole files are replaced atomically where the file system can. Whatever a file system of
    fsspec raises comes out as an `OSError`.
    """

    def __init__(self, url: str) -> None:
        self.fs, self._root = open_url(url)
        self.is_local = is_local(self.fs)
        scheme, separator, rest = url.partition("://")
        self._given = scheme + separator + rest.rstrip("/")  # fsspec's own form of it may lack host and port
        if self.is_local:
            self._root = os.path.abspath(self._root)
        self._root = self._root.rstrip("/") or "/"

    def __repr__(self) -> str:
        return f"RunDir({self.shown!r})"

    @property
    def url(self) -> str:
        """The directory itself: a plain absolute path when it is local, otherwise a URL."""
        return self.path()

    @property
    def shown(self) -> str:
        """`url` without a user's name and password, for people and records."""
        return without_credentials(self.url)

    def path(self, *parts: str) -> str:
        """The path or URL of something in the directory, as user code would open it."""
        return "/".join((self._root if self.is_local else self._given, *parts))

    def sub(self, *parts: str) -> RunDir:
        return RunDir(self.path(*parts))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _failures_of(self, name: str) -> contextlib.AbstractContextManager[None]:
        return errors_of(self.path(name))

    def _persist(self, name: str, action: Callable[[], Any]) -> None:
        """Write to a store that may fail now and then; doing it twice must not matter."""
        began = time.monotonic()
        for pause in (*AGAIN_SECONDS, None):
            try:
                with self._failures_of(name):
                    action()
                return
            except (FileNotFoundError, FileExistsError, PermissionError):
                raise
            except OSError:
                if pause is None or time.monotonic() - began > SLOW_SECONDS:
                    raise
                time.sleep(pause)

    def exists(self, name: str = "") -> bool:
        with self._failures_of(name):
            return bool(self.fs.exists(self._at(name)))

    def list(self, name: str = "") -> list[str]:
        """The names in a directory, sorted; none when it does not exist."""
        try:
            with self._failures_of(name):
                if not self.is_local:
                    self.fs.invalidate_cache()
                return sorted(os.path.basename(p.rstrip("/")) for p in self.fs.ls(self._at(name), detail=False))
        except FileNotFoundError:
            return []

    def upload(
        self, files: Mapping[str, str], done: Callable[[str], None] = lambda _: None, in_order: bool = False
    ) -> None:
        """Copy local files to here; `files` has the name of each by its path. Each one appears whole.

        Args:
            done, in_order: as for `transfer.upload_files`.
        """
        with self._failures_of(""):
            upload_files(self.fs, [(local, self._at(name)) for local, name in files.items()], done, in_order)

    def download_to(self, folder: str) -> None:
        """Copy all that is here into a local folder that does not exist yet; nothing when there is nothing."""
        with self._failures_of(""):
            if self.fs.exists(self._root):
                download_tree(self.fs, self._root, folder)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; it does not matter if some are gone already."""
        for name in names:
            with contextlib.suppress(FileNotFoundError), self._failures_of(name):
                self.fs.rm_file(self._at(name))

    def makedirs(self, name: str = "", exist_ok: bool = True) -> None:
        with self._failures_of(name):
            self.fs.makedirs(self._at(name), exist_ok=exist_ok)

    def read_bytes(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file's content, or the part from one byte up to another."""
        with self._failures_of(name):
            return bytes(self.fs.cat_file(self._at(name), start=start, end=end))

    def sizes(self) -> dict[str, int]:
        """The size in bytes of all files here, in folders too, by name."""
        with self._failures_of(""):
            self.fs.invalidate_cache()
            found = self.fs.find(self._root, detail=True)
        first = len(self._root.rstrip("/")) + 1
        return {path[first:]: info["size"] for path, info in found.items() if path[first:]}

    def read_many(self, names: Sequence[str]) -> Sequence[bytes | None]:
        """The contents of several files, read at once where the file system can; None for those that are not there."""
        if not names:
            return []
        with self._failures_of(names[0]):
            found = self.fs.cat_ranges([self._at(name) for name in names], None, None, on_error="return")
            for each in found:
                if isinstance(each, Exception) and not isinstance(each, (FileNotFoundError, NotADirectoryError)):
                    raise each
        return [None if isinstance(each, Exception) else bytes(each) for each in found]

    def write_bytes(self, name: str, data: bytes, durable: bool = False, private: bool = False) -> None:
        """Write a whole file; a reader sees the old one or the new one, never a part.

        Args:
            durable: return only when a power loss cannot undo it.
            private: a local file is for its owner's eyes only.
        """
        target = self._at(name)
        if not self.is_local:
            self._persist(name, lambda: self.fs.pipe_file(target, data))
            return
        with _written(target, data, durable, private) as temporary:
            os.replace(temporary, target)
        if durable:
            sync_folder(os.path.dirname(target))

    def create(self, name: str, data: bytes) -> bool:
        """Write a new file, or return False when it is there already; one of several callers wins."""
        try:
            if self.is_local:  # fsspec looks first and writes then, which two callers can do at once
                _create(self._at(name), data)
            else:
                with self._failures_of(name):
                    self.fs.pipe_file(self._at(name), data, mode="create")
        except FileExistsError:
            return False
        return True

    def remove_all(self) -> None:
        """Remove the directory with all that is in it. What is interrupted can be done again: run.json goes last."""
        if self.is_local:
            folder, name = os.path.split(self._root)
            gone = os.path.join(folder, f".deleted-{name}-{secrets.token_hex(4)}")
            os.rename(self._root, gone)
            shutil.rmtree(gone)
            return
        with self._failures_of(""):
            remove_at(self.fs, self._root, last=self._at("run.json"))

    def _remove_if_empty(self) -> None:
        with contextlib.suppress(OSError), self._failures_of(""):
            self.fs.rmdir(self._root)

    def read_json(self, name: str) -> Any:
        return json.loads(self.read_bytes(name))

    def write_json(self, name: str, value: Any) -> None:
        text = json.dumps(json_safe(value, strict=True), indent=2, allow_nan=False)
        self.write_bytes(name, f"{text}\n".encode())


class Project(RunDir):
    """The directory that holds a user's runs, below `Experiments/`."""

    def new_run(self, name: str) -> tuple[str, int, RunDir]:
        """Claim a new run id and the next version of `name`, and make the run's directory.

        Safe against other drivers: a version is claimed by creating a file that must not exist.

        Raises:
            StoreError: the project cannot be written.
        """
        try:
            self.makedirs("Experiments")
            run_id = _new_run_id()
            run = self.sub("Experiments", run_id)
            run.makedirs(exist_ok=False)
            with contextlib.ExitStack() as undo:
                undo.callback(run._remove_if_empty)
                version = self.claim_version(name, run_id)
                undo.pop_all()
            return run_id, version, run
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the project directory {self.shown} cannot be written ({error}); choose another with project=, "
                "HOPSLITE_PROJECT or hopslite.toml"
            ) from error

    def claim_version(self, name: str, run_id: str) -> int:
        """The next version of a name, which is this run's from now on."""
        folder = f"Experiments/.versions/{_as_folder(name)}"
        self.makedirs(folder)
        taken = [int(entry) for entry in self.list(folder) if entry.isdigit()]
        version = max(taken, default=0) + 1
        while not self.create(f"{folder}/{version}", run_id.encode()):
            version += 1
        return version

    def runs_named(self, name: str) -> Iterator[str]:
        """The ids of the runs of this name, the newest first, a few at a time."""
        folder = f"Experiments/.versions/{_as_folder(name)}"
        versions = sorted((int(entry) for entry in self.list(folder) if entry.isdecimal()), reverse=True)
        for first in range(0, len(versions), AT_ONCE):
            found = self.read_many([f"{folder}/{version}" for version in versions[first : first + AT_ONCE]])
            yield from (run_id for content in found if (run_id := (content or b"").decode(errors="replace").strip()))

    def check_writable(self) -> list[str]:
        """Why runs cannot be recorded here, or nothing. Leaves nothing behind."""
        probe = f".probe-{secrets.token_hex(4)}"
        made = _missing_folders(self._root) if self.is_local else []
        try:
            self.makedirs()
            self.write_bytes(probe, b"")
            with self._failures_of(probe):
                self.fs.rm_file(self._at(probe))
            for folder in made:
                with contextlib.suppress(OSError):  # somebody else has put something there meanwhile
                    os.rmdir(folder)
        except (OSError, ValueError) as error:
            return [f"the project directory {self.shown} cannot be written: {error}"]
        return []

    def run(self, run_id: str) -> RunDir:
        """The directory of an existing run."""
        found = self.sub("Experiments", run_id)
        if not found.exists("run.json"):
            raise StoreError(
                f"there is no run {run_id!r} in {self.shown}; runs: {', '.join(self.runs()[-5:]) or 'none'}"
            )
        return found

    def runs(self) -> list[str]:
        """All run ids, oldest first. They have no dots: what has is a file of others."""
        return [entry for entry in self.list("Experiments") if "." not in entry]


@contextlib.contextmanager
def _written(target: str, data: bytes, durable: bool = False, private: bool = False) -> Iterator[str]:
    """A new file beside `target`, which is gone afterwards unless it was renamed."""
    temporary = f"{target}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb", opener=_private if private else None) as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _create(target: str, data: bytes) -> None:
    """Write a new local file; nobody sees it before all of it is there, where the file system has hard links."""
    with _written(target, data) as temporary:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:
            with open(target, "xb") as file:
                file.write(data)


def sync_folder(path: str) -> None:
    """Make durable which files a local folder has."""
    with contextlib.suppress(OSError):  # not every file system can
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _missing_folders(path: str) -> list[str]:
    """The folders that have to be made for `path` to exist, the innermost first."""
    missing = []
    while not os.path.exists(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing


def _as_folder(name: str) -> str:
    """A folder's name for a run's name, another one for each; short enough for any file system."""
    folder = _FORBIDDEN.sub(lambda found: f"%{ord(found[0]):02X}", name)
    if len(folder.encode()) <= FOLDER_BYTES:
        return folder
    start = folder.encode()[: FOLDER_BYTES - 20].decode(errors="ignore")
    return f"{start}%~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _new_run_id() -> str:
    now = time.time()
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{int(now * 1000) % 1000:03d}-{secrets.token_hex(3)}"
