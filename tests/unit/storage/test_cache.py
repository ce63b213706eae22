"""The cache of downloads: one for all processes of a machine, checked, and with nothing half of what it should be."""

from __future__ import annotations

import fcntl
import functools
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from hopslite.errors import StoreError
from hopslite.storage import cache, machine_cache
from hopslite.storage.cache import cache_folder, fetch, fetch_from, link
from hopslite.storage.cache_entry import is_cached
from hopslite.storage.fs import transfer
from hopslite.storage.fs.open import open_url
from tests.helpers.observe import eventually

WEEK = 7 * 24 * 3600


@pytest.fixture(autouse=True)
def spark_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Spark's scratch directory on this executor."""
    folder = tmp_path / "spark"
    folder.mkdir()
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(folder))
    return folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Spark: the directory for temporary files, which outlives the program."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.delenv("SPARK_LOCAL_DIRS")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What has been downloaded, instead of taken from the cache."""
    made: list[str] = []
    for name in ("download", "download_tree"):

        def count(real: Any, fs: Any, remote: str, *rest: Any) -> None:
            made.append(remote.rpartition("/")[2])
            real(fs, remote, *rest)

        monkeypatch.setattr(cache, name, functools.partial(count, getattr(transfer, name)))
    return made


def put(url: str, files: dict[str, bytes]) -> str:
    fs, root = open_url(url)
    for name, content in files.items():
        if isinstance(fs, LocalFileSystem):
            os.makedirs(os.path.dirname(f"{root}/{name}"), exist_ok=True)
        fs.pipe_file(f"{root}/{name}", content)
    return url


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.suffix not in (".lock", ".json"))


class TestFetch:
    def test_a_file_is_fetched_once(self, store_url: str, downloads: list[str], spark_dir: Path) -> None:
        put(store_url, {"a b.npy": b"one"})
        path = fetch(f"{store_url}/a b.npy")
        assert path.startswith(str(spark_dir))
        assert os.path.basename(path) == "a b.npy"
        assert Path(path).read_bytes() == b"one"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o444
        assert fetch(f"{store_url}/a b.npy") == path
        assert downloads == ["a b.npy"]

    def test_another_content_is_another_entry(self, store_url: str, downloads: list[str]) -> None:
        put(store_url, {"x": b"one"})
        first = fetch(f"{store_url}/x")
        put(store_url, {"x": b"TWO"})
        second = fetch(f"{store_url}/x")
        assert (Path(first).read_bytes(), Path(second).read_bytes()) == (b"one", b"TWO")
        assert downloads == ["x", "x"]

    def test_a_directory_is_fetched_once(self, store_url: str, downloads: list[str]) -> None:
        put(store_url, {"d/x": b"1", "d/deep/er/y": b"2"})
        path = Path(fetch(f"{store_url}/d"))
        assert path.name == "d"
        assert (path / "deep" / "er" / "y").read_bytes() == b"2"
        assert stat.S_IMODE((path / "deep").stat().st_mode) == 0o555
        assert fetch(f"{store_url}/d") == str(path)
        put(store_url, {"d/z": b"3"})
        assert sorted(os.listdir(fetch(f"{store_url}/d"))) == ["deep", "x", "z"]
        assert downloads == ["d", "d"]

    def test_with_a_known_fingerprint_the_store_is_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        url = put(f"memory://{uuid.uuid4().hex}", {"x": b"1"})
        path = fetch(f"{url}/x", "v1")

        def fail(*_: Any, **__: Any) -> None:
            raise AssertionError("asked")

        for name in ("info", "find", "ls", "cat_file", "get_file"):
            monkeypatch.setattr(MemoryFileSystem, name, fail)
        assert fetch(f"{url}/x", "v1") == path

    @pytest.mark.parametrize("folder", [False, True])
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda path: path.write_bytes(b"other"),
            lambda path: path.write_bytes(b"longer than it was"),
            lambda path: path.unlink(),
            lambda path: (path.parent / "more").write_bytes(b""),
            lambda path: (next(p for p in path.parents if (p / "entry.json").exists()) / "entry.json").write_text("{"),
        ],
    )
    def test_what_somebody_changed_is_fetched_again(
        self, downloads: list[str], folder: bool, spoil: Callable[[Path], Any], request: pytest.FixtureRequest
    ) -> None:
        if not folder and "spoil3" in request.node.name:
            pytest.skip("beside a file there is nothing of the entry's")
        url = put(f"memory://{uuid.uuid4().hex}", {"d/deep/x": b"right"})
        name = "d" if folder else "d/deep/x"
        path = Path(fetch(f"{url}/{name}"))
        changed = path / "deep" / "x" if folder else path
        for each in (changed, changed.parent):
            each.chmod(0o755)
        changed.write_bytes(b"right")  # the time counts, too
        spoil(changed)
        assert fetch(f"{url}/{name}") == str(path)
        assert changed.read_bytes() == b"right"
        assert len(downloads) == 2
        assert fetch(f"{url}/{name}") == str(path)
        assert len(downloads) == 2

    def test_what_is_not_there_leaves_nothing(self, store_url: str, spark_dir: Path) -> None:
        put(store_url, {"x": b""})
        with pytest.raises(FileNotFoundError, match="nothing does not exist"):
            fetch(f"{store_url}/nothing")
        with pytest.raises(FileNotFoundError, match="nothing does not exist"):
            fetch(f"{store_url}/nothing", "v1")
        assert entries(spark_dir) == ["hopslite-cache"]

    def test_a_full_disk_is_told_and_leaves_nothing(self, spark_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Full:
            free = 0

        url = put(f"memory://{uuid.uuid4().hex}", {"x": b"1"})
        with monkeypatch.context() as patch:
            patch.setattr(transfer.shutil, "disk_usage", lambda _: Full)
            with pytest.raises(StoreError, match=r"no room for memory:///.*x in .*: it has 1 byte, and 0 bytes are"):
                fetch(f"{url}/x")
        assert entries(spark_dir) == ["hopslite-cache"]
        assert Path(fetch(f"{url}/x")).read_bytes() == b"1"

    @pytest.mark.parametrize("name", ["ö" * 200, "x" * 300])
    def test_a_name_that_is_too_long_for_a_file_gets_another(self, name: str) -> None:
        url = put(f"memory://{uuid.uuid4().hex}", {name: b"1"})
        assert os.path.basename(fetch(f"{url}/{name}")) == "content"


ASK = """
import os, sys, time
from hopslite.storage import cache
from hopslite.storage.fs import transfer
url, log, start = sys.argv[1:]
def note(text):
    with open(log, "a") as file:
        file.write(text + "\\n")
def slow(*arguments):
    note("download")
    time.sleep(0.3)  # the others ask meanwhile
    transfer.download(*arguments)
cache.download = slow
note("ready")
while not os.path.exists(start):
    time.sleep(0.01)
with open(cache.fetch(url)) as file:
    note(file.read())
"""


class TestManyProcesses:
    def test_eight_that_ask_at_once_cause_one_download(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("content")
        log, start = tmp_path / "log", tmp_path / "start"
        command = [sys.executable, "-c", ASK, f"{tmp_path}/x", str(log), str(start)]
        processes = [subprocess.Popen(command) for _ in range(8)]
        eventually(lambda: log.exists() and log.read_text().count("ready") == 8, "all are ready", 120)
        start.touch()
        assert [process.wait(60) for process in processes] == [0] * 8
        assert sorted(log.read_text().split()) == ["content"] * 8 + ["download"] + ["ready"] * 8

    def test_a_killed_download_is_begun_anew(self, tmp_path: Path, spark_dir: Path) -> None:
        (tmp_path / "x").write_text("content")
        code = f"""
import os, time
from hopslite.storage import cache
def half(fs, remote, local, *rest):
    with open(local, "w") as file:
        file.write("half")
    print("writing", flush=True)
    time.sleep(600)
cache.download = half
cache.fetch({str(tmp_path / "x")!r})
"""
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"writing\n"
            (root,) = spark_dir.iterdir()
            assert [path.suffix for path in sorted(root.iterdir())] == [".lock", ".partial"]
            process.send_signal(signal.SIGKILL)
        path = Path(fetch(f"{tmp_path}/x"))
        assert path.read_text() == "content"
        assert sorted(each.suffix for each in root.iterdir()) == ["", ".lock"]


class TestScratch:
    def test_it_is_in_the_first_spark_directory_that_can_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_bytes(b"")
        (tmp_path / "good").mkdir()
        monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path}/missing,{tmp_path}/file,{tmp_path}/good,{tmp_path}/spark")
        assert cache_folder() == (f"{tmp_path}/good/hopslite-cache", False)
        assert stat.S_IMODE(os.stat(f"{tmp_path}/good/hopslite-cache").st_mode) == 0o700

    def test_without_spark_it_is_the_users_own(self, temporary: Path) -> None:
        assert cache_folder() == (f"{temporary}/hopslite-cache-{os.getuid()}", True)
        assert cache_folder()[1]

    @pytest.mark.parametrize("trap", ["open", "link", "file", "foreign"])
    def test_what_others_could_write_to_is_not_used(
        self, temporary: Path, trap: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = temporary / f"hopslite-cache-{os.getuid()}"
        if trap == "file":
            folder.write_bytes(b"")
        elif trap == "link":
            (temporary / "elsewhere").mkdir(mode=0o700)
            folder.symlink_to(temporary / "elsewhere")
        else:
            folder.mkdir(mode=0o700)
            if trap == "open":
                folder.chmod(0o777)
            else:
                user = os.getuid()
                monkeypatch.setattr(os, "getuid", lambda: user if sys._getframe(1).f_code.co_name == "scratch" else -1)
        with pytest.raises(StoreError, match="is not a directory that only this user can use"):
            cache_folder()

    def test_what_nobody_used_for_a_week_is_removed(self, temporary: Path) -> None:
        url = put(f"memory://{uuid.uuid4().hex}", {"old": b"1", "used": b"2", "new": b"3", "d/x": b"4"})
        old, used, folder = (fetch(f"{url}/{name}") for name in ("old", "used", "d"))
        root = Path(cache_folder()[0])
        (root / "0.lock").write_bytes(b"")
        (root / "0.partial").mkdir()
        for lock in root.glob("*.lock"):
            os.utime(lock, (time.time() - WEEK - 60,) * 2)
        assert fetch(f"{url}/used") == used
        assert os.path.exists(old)
        fetch(f"{url}/new")
        assert not os.path.exists(old)
        assert not os.path.exists(folder)
        assert Path(used).read_bytes() == b"2"
        assert len(list(root.iterdir())) == 4

    def test_what_is_being_fetched_is_not_removed(self, temporary: Path) -> None:
        url = put(f"memory://{uuid.uuid4().hex}", {"a": b"1", "b": b"2"})
        fetch(f"{url}/a")
        (lock,) = Path(cache_folder()[0]).glob("*.lock")
        os.utime(lock, (0, 0))
        with machine_cache.locked(str(lock), exclusive=True):
            fetch(f"{url}/b")
        assert lock.exists()

    def test_spark_removes_its_own(self, spark_dir: Path) -> None:
        url = put(f"memory://{uuid.uuid4().hex}", {"a": b"1", "b": b"2"})
        path = fetch(f"{url}/a")
        for lock in (spark_dir / "hopslite-cache").glob("*.lock"):
            os.utime(lock, (0, 0))
        fetch(f"{url}/b")
        assert os.path.exists(path)


class TestLink:
    def test_a_file_is_the_same_file(self, tmp_path: Path) -> None:
        url = put(f"memory://{uuid.uuid4().hex}", {"x": b"1"})
        cached = fetch(f"{url}/x")
        target = tmp_path / "here"
        target.write_bytes(b"old")
        for _ in range(2):
            link(cached, str(target))
            assert os.path.samefile(cached, target)
            assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "spark"]
        assert is_cached(str(target))
        assert not is_cached(str(tmp_path))
        (tmp_path / "mine").write_bytes(b"")
        os.link(tmp_path / "mine", tmp_path / "best")
        assert not is_cached(str(tmp_path / "mine"))
        assert fetch(f"{url}/x") == cached

    def test_a_directory_is_a_new_one_of_the_same_files(self, tmp_path: Path) -> None:
        url = put(f"memory://{uuid.uuid4().hex}", {"d/x": b"1", "d/deep/y": b"2"})
        cached = fetch(f"{url}/d")
        link(cached, str(tmp_path / "here"))
        assert os.path.samefile(f"{cached}/deep/y", tmp_path / "here" / "deep" / "y")
        (tmp_path / "here" / "deep" / "mine").write_bytes(b"")
        assert fetch(f"{url}/d") == cached

    def test_where_there_are_no_hard_links_it_is_a_copy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        url = put(f"memory://{uuid.uuid4().hex}", {"d/x": b"1"})
        cached = fetch(f"{url}/d")

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError("another disk")

        monkeypatch.setattr(os, "link", refuse)
        link(cached, str(tmp_path / "here"))
        assert (tmp_path / "here" / "x").read_bytes() == b"1"
        assert not os.path.samefile(f"{cached}/x", tmp_path / "here" / "x")


Member = tuple[str, str, Any]  # a name, a kind, and content or target


def tar(kind: str, members: list[Member]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{kind}") as archive:
        for name, what, content in members:
            info = tarfile.TarInfo(name)
            info.type = {
                "dir": tarfile.DIRTYPE,
                "link": tarfile.SYMTYPE,
                "hard": tarfile.LNKTYPE,
                "device": tarfile.CHRTYPE,
                "pipe": tarfile.FIFOTYPE,
            }.get(what, tarfile.REGTYPE)
            info.mode = 0o755 if what == "program" else 0o4666
            info.linkname = content if what in ("link", "hard") else ""
            data = content if what in ("file", "program") else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def zipped(members: list[Member]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, what, content in members:
            info = zipfile.ZipInfo(f"{name}/" if what == "dir" else name)
            modes = {"link": stat.S_IFLNK | 0o777, "device": stat.S_IFCHR, "program": stat.S_IFREG | 0o755}
            info.external_attr = modes.get(what, 0) << 16
            with warnings.catch_warnings():  # about names that are there twice
                warnings.simplefilter("ignore")
                archive.writestr(info, content if isinstance(content, (bytes, str)) else b"")
    return packed.getvalue()


PACKERS: dict[str, Callable[[list[Member]], bytes]] = {
    ".tar": lambda members: tar("", members),
    ".tgz": lambda members: tar("gz", members),
    ".tar.gz": lambda members: tar("gz", members),
    ".tar.bz2": lambda members: tar("bz2", members),
    ".tar.xz": lambda members: tar("xz", members),
    ".zip": zipped,
}
GOOD: list[Member] = [
    ("./data", "dir", None),
    ("data/größe 1.txt", "file", b"one"),
    ("data/deep/er/two", "file", b"two" * 1000),
    ("run.sh", "program", b"#!/bin/sh"),
    ("latest", "link", "data/deep"),
    ("data/up", "link", "../run.sh"),
    ("data/größe 1.txt", "file", b"replaced"),
    ("empty", "dir", None),
]
BAD: list[tuple[list[Member], str, str]] = [
    ([("../evil", "file", b"x")], "../evil", "leads out of the archive"),
    ([("a/../../evil", "file", b"x")], "a/../../evil", "leads out of the archive"),
    ([("/tmp/evil", "file", b"x")], "/tmp/evil", "leads out of the archive"),
    ([("../evil", "dir", None)], "../evil", "leads out of the archive"),
    ([("out", "link", "/etc")], "out", "a link that leads out"),
    ([("out", "link", "../..")], "out", "a link that leads out"),
    ([("a/out", "link", "../../evil")], "a/out", "a link that leads out"),
    ([("out", "link", "/etc"), ("out/passwd", "file", b"x")], "out", "a link that leads out"),
    ([("d", "link", "."), ("d/x", "file", b"x")], "d/x", "below another member that is a link"),
    ([("1/2/up", "link", "../.."), ("out", "link", "1/2/up/../evil")], "out", "a link that leads out"),
    ([("x", "file", b"1"), ("x/y", "file", b"2")], "x/y", "below another member that is a link or a file"),
    ([("x", "dir", None), ("x", "file", b"2")], "x", "a directory of this name"),
    ([("null", "device", None)], "null", "a device"),
]
BAD_TAR: list[tuple[list[Member], str, str]] = [
    ([("passwd", "hard", "/etc/passwd")], "/etc/passwd", "leads out of the archive"),
    ([("passwd", "hard", "../../etc/passwd")], "../../etc/passwd", "leads out of the archive"),
    ([("a", "hard", "missing")], "a", "not an earlier file"),
    ([("l", "link", "x"), ("a", "hard", "l")], "a", "not an earlier file"),
    ([("pipe", "pipe", None)], "pipe", "a device"),
]


class TestArchives:
    @pytest.mark.parametrize("ending", PACKERS)
    def test_an_archive_is_unpacked_once(self, ending: str, downloads: list[str], spark_dir: Path) -> None:
        url = put(f"memory://{uuid.uuid4().hex}", {f"digits{ending}": PACKERS[ending](GOOD)})
        folder = Path(fetch(f"{url}/digits{ending}", unpack=True))
        assert folder.name == "digits"
        assert sorted(os.listdir(folder)) == ["data", "empty", "latest", "run.sh"]
        assert (folder / "data" / "größe 1.txt").read_bytes() == b"replaced"
        assert (folder / "latest" / "er" / "two").read_bytes() == b"two" * 1000
        assert (folder / "data" / "up").read_bytes() == b"#!/bin/sh"
        modes = [stat.S_IMODE((folder / name).stat().st_mode) for name in ("run.sh", "latest/er/two", "data")]
        assert modes == [0o555, 0o444, 0o555]
        assert fetch(f"{url}/digits{ending}", unpack=True) == str(folder)
        assert os.path.basename(fetch(f"{url}/digits{ending}")) == f"digits{ending}"
        assert len(downloads) == 2
        assert not list(spark_dir.rglob(".*"))

    def test_it_comes_from_every_store(self, store_url: str) -> None:
        put(store_url, {"digits.tar.gz": PACKERS[".tar.gz"](GOOD)})
        assert (Path(fetch(f"{store_url}/digits.tar.gz", unpack=True)) / "run.sh").read_bytes() == b"#!/bin/sh"

    def test_hard_links_in_it_are_the_same_content(self) -> None:
        members: list[Member] = [("a", "file", b"1"), ("d/b", "hard", "a")]
        url = put(f"memory://{uuid.uuid4().hex}", {"x.tar": tar("", members)})
        assert (Path(fetch(f"{url}/x.tar", unpack=True)) / "d" / "b").read_bytes() == b"1"

    @pytest.mark.parametrize("ending", [".tar.gz", ".zip"])
    @pytest.mark.parametrize(("members", "member", "why"), BAD)
    def test_what_would_lead_out_is_refused(
        self, members: list[Member], member: str, why: str, ending: str, spark_dir: Path
    ) -> None:
        self.refuses(ending, members, member, why, spark_dir)

    @pytest.mark.parametrize(("members", "member", "why"), BAD_TAR)
    def test_what_only_a_tar_can_hold_is_refused(
        self, members: list[Member], member: str, why: str, spark_dir: Path
    ) -> None:
        self.refuses(".tar", members, member, why, spark_dir)

    def refuses(self, ending: str, members: list[Member], member: str, why: str, spark_dir: Path) -> None:
        before: list[Member] = [("first", "file", b"is written before the bad one")]
        url = put(f"memory://{uuid.uuid4().hex}", {f"x{ending}": PACKERS[ending](before + members)})
        with pytest.raises(StoreError) as caught:
            fetch(f"{url}/x{ending}", unpack=True)
        assert f"x{ending} is not unpacked, because of its member {member!r}: " in str(caught.value).replace(
            "evil/'", "evil'"
        )
        assert why in str(caught.value)
        assert entries(spark_dir) == ["hopslite-cache"]
        assert not list(spark_dir.parent.rglob("evil"))

    @pytest.mark.parametrize("ending", PACKERS)
    @pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"none" * 50, lambda _: b""])
    def test_a_damaged_one_is_told(self, ending: str, damage: Callable[[bytes], bytes], spark_dir: Path) -> None:
        members: list[Member] = [("x", "file", os.urandom(100_000))]
        url = put(f"memory://{uuid.uuid4().hex}", {f"x{ending}": damage(PACKERS[ending](members))})
        with pytest.raises(StoreError, match=f"x{ending} cannot be unpacked: "):
            fetch(f"{url}/x{ending}", unpack=True)
        assert entries(spark_dir) == ["hopslite-cache"]

    def test_an_encrypted_zip_is_told(self) -> None:
        content = bytearray(zipped([("x", "file", b"1")]))
        for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            content[content.index(signature) + offset] |= 1
        url = put(f"memory://{uuid.uuid4().hex}", {"x.zip": bytes(content)})
        with pytest.raises(StoreError, match="its member 'x': it is encrypted"):
            fetch(f"{url}/x.zip", unpack=True)

    def test_what_is_no_archive_is_told(self, store_url: str) -> None:
        put(store_url, {"x.rar": b"1", "d.zip/x": b"2"})
        with pytest.raises(StoreError, match=r"x.rar is not a supported archive: \.tar, \.tgz, "):
            fetch(f"{store_url}/x.rar", unpack=True)
        with pytest.raises(IsADirectoryError, match=r"d.zip is a directory; an archive is required"):
            fetch(f"{store_url}/d.zip", unpack=True)


def test_what_fetch_from_records_has_no_credentials(spark_dir: Path) -> None:
    class Shy(MemoryFileSystem):  # type: ignore[misc]
        def unstrip_protocol(self, name: str) -> str:
            return f"memory://joe:secret@host{name}"

    MemoryFileSystem().pipe_file("/shy/x", b"1")
    fetch_from(Shy(), "/shy/x")
    (record,) = spark_dir.rglob("entry.json")
    assert json.loads(record.read_text())["url"] == "memory://host/shy/x"


@pytest.mark.parametrize("name", ["entry.json", "content", "entry.json.tar"])
def test_a_file_may_have_any_name(name: str, tmp_path: Path) -> None:
    content = b"mine"
    if name.endswith(".tar"):
        (tmp_path / "x").write_bytes(content)
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            archive.add(tmp_path / "x", "x")
        content = (tmp_path / "a.tar").read_bytes()
    url = put(f"memory://{uuid.uuid4().hex}", {name: content})
    for _ in range(2):
        path = fetch(f"{url}/{name}", unpack=name.endswith(".tar"))
        assert (Path(path, "x") if name.endswith(".tar") else Path(path)).read_bytes() == (
            b"mine" if name.endswith(".tar") else content
        )


def test_a_process_that_was_forked_meanwhile_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    with machine_cache.locked(path, exclusive=True):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
    try:
        lock = os.open(path, os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
