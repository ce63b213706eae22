"""Data sets on a local disk: deletions beside uploads, killed uploads, damage, full disks, bad input, large files."""

from __future__ import annotations

import _thread
import gzip
import hashlib
import io
import os
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopslite import data
from hopslite.driver.data_calls import rm_call
from hopslite.errors import DataSetExists, DataSetNotFound, InvalidArguments, StoreError
from hopslite.storage.datasets import file_list, removal, scan, upload, uploads
from hopslite.storage.datasets.dataset import DataSet
from hopslite.storage.datasets.file_list import StoredFile, classes_of, decode, encode
from hopslite.storage.datasets.local_copy import copy_file
from hopslite.storage.datasets.objects import Objects
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from hopslite.storage.safe_extract import unpack_archive
from tests.helpers.data_files import TREE, Interference, make_tree, read_tree, stored_objects
from tests.helpers.small_disk import small_disk

UPLOAD = "import sys; from hopslite import data; data.upload('flowers', sys.argv[1])"


@pytest.fixture
def home(project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    data.create("flowers")
    return Project(project)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - compared by the caller
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


class TestDeletionBesideUploads:
    """Version 1 has the same files as an upload, and goes at some moment of that."""

    @pytest.mark.parametrize("at", range(1, 5))
    @pytest.mark.parametrize("method", ["write_bytes", "create"])
    def test_an_upload_keeps_what_it_needs(
        self, home: Project, tree: Path, monkeypatch: pytest.MonkeyPatch, method: str, at: int
    ) -> None:
        data.upload("flowers", tree)
        uploader = threading.get_ident()
        deleted: list[Any] = []

        def delete() -> None:
            monkeypatch.setattr(RunDir, method, hooked._method)
            thread, outcome = in_thread(lambda: data.rm("flowers", 1))
            thread.join(20)
            deleted.extend(outcome)
            assert threading.get_ident() == uploader

        (tree / "more.txt").write_text("more")
        hooked = Interference(getattr(RunDir, method), at, delete)
        monkeypatch.setattr(RunDir, method, hooked)
        version = data.upload("flowers", tree)
        if hooked.calls >= at:
            assert deleted == [None]
        assert read_tree(data.download(str(version))) == read_tree(tree)

    def test_an_upload_that_begins_during_a_deletion_waits(
        self, home: Project, tree: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data.upload("flowers", tree)
        began = threading.Event()
        wait, bury = uploads._wait_for_removal, removal._bury
        uploading: list[tuple[threading.Thread, list[Any]]] = []

        def waiting(*arguments: Any) -> None:
            began.set()
            wait(*arguments)

        def burying(*arguments: Any) -> None:
            uploading.append(in_thread(lambda: data.upload("flowers", tree)))
            assert began.wait(20)
            time.sleep(0.3)  # it would be done by now if it did not wait
            assert uploading[0][1] == []
            bury(*arguments)

        monkeypatch.setattr(uploads, "_wait_for_removal", waiting)
        monkeypatch.setattr(removal, "_bury", burying)
        data.rm("flowers", 1)
        thread, outcome = uploading[0]
        thread.join(30)
        assert [str(version) for version in outcome] == ["data:flowers/2"]
        assert read_tree(data.download("flowers")) == TREE

    def test_a_data_set_is_not_deleted_below_an_upload(
        self, home: Project, tree: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refused: list[Any] = []

        def delete() -> None:
            thread, outcome = in_thread(lambda: data.rm("flowers"))
            thread.join(20)
            refused.extend(outcome)

        monkeypatch.setattr(Objects, "put", Interference(Objects.put, 1, delete))
        data.upload("flowers", tree)
        assert [type(error) for error in refused] == [StoreError]
        assert "somebody is uploading" in str(refused[0])
        data.rm("flowers")
        assert data.ls() == []

    def test_an_unknown_record_keeps_all_content(self, home: Project, tree: Path) -> None:
        data.upload("flowers", tree)
        data.upload("flowers", tree)
        home.write_bytes("Datasets/flowers/versions/2.json", b'{"state": "OF A NEWER VERSION"}')
        there = stored_objects(home, "flowers")
        assert "version 2" in str(rm_call("flowers", 1, False, None))
        assert stored_objects(home, "flowers") == there


class TestInterruption:
    def test_a_killed_upload_goes_on_in_another_process(
        self, home: Project, tree: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for n in range(300):
            (tree / f"{n}.bin").write_bytes(os.urandom(100_000))
        process = subprocess.Popen([sys.executable, "-c", UPLOAD, str(tree)])
        deadline = time.monotonic() + 60
        while len(stored_objects(home, "flowers")) < 50 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
        assert data.versions("flowers") == []
        sound = {name for name in stored_objects(home, "flowers") if file_list.SHA256.fullmatch(name)}
        data.upload("flowers", make_tree(tree.parent / "other", {"x": b"x"}))
        data.rm("flowers", 1)  # the killed upload's content stays
        assert sound <= set(stored_objects(home, "flowers"))
        put = Interference(Objects.put, 0, lambda: None)
        monkeypatch.setattr(Objects, "put", put)
        assert str(data.upload("flowers", tree)) == "data:flowers/2"
        assert put.calls == 305 - len(sound)
        assert read_tree(data.download("flowers")) == read_tree(tree)
        data.rm("flowers", 2)

    def test_content_of_uploads_that_nobody_goes_on_with_goes_after_a_week(
        self, home: Project, tree: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise OSError("broken off")

        with monkeypatch.context() as patched:
            patched.setattr(Objects, "put", Interference(Objects.put, 4, fail))
            patched.setattr("hopslite.storage.datasets.upload.READERS", 1)
            with pytest.raises(OSError, match="broken off"):
                data.upload("flowers", tree)
        data_set = DataSet(home, "flowers")
        assert removal.remove_versions(data_set, []) is None
        assert len(stored_objects(home, "flowers")) == 3
        assert removal.remove_versions(data_set, [], lambda: time.time() + 8 * 24 * 3600) is None
        assert stored_objects(home, "flowers") == []
        assert home.list("Datasets/flowers/lists") == []

    def test_a_file_that_changes_is_an_error(self, home: Project, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def change() -> None:
            for name in ("train/tulip/ü 100%=?#.txt", "train/rose/1.txt", "large.bin", "zeros.bin"):
                (tree / name).write_bytes(b"changed")

        monkeypatch.setattr(Objects, "put", Interference(Objects.put, 1, change))
        with pytest.raises(StoreError, match="was changed while it was uploaded; upload it again"):
            data.upload("flowers", tree)
        assert data.versions("flowers") == []

    def test_a_full_disk(self, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with small_disk(tmp_path / "disk") as disk:
            monkeypatch.setenv("HOPSLITE_PROJECT", str(disk.path / "project"))
            data.create("flowers")
            (tree / "more.bin").write_bytes(os.urandom(5 << 20))
            with pytest.raises(StoreError, match=r"no room left for .*more.bin in .*; upload|file system .*disk has"):
                data.upload("flowers", tree)
            assert data.versions("flowers") == []
            (tree / "more.bin").write_bytes(os.urandom(1 << 20))
            assert read_tree(data.download(str(data.upload("flowers", tree)), local_path=tmp_path / "o")) == read_tree(
                tree
            )


class TestDamage:
    def test_is_noticed_and_mended_by_an_upload_with_check(self, home: Project, tree: Path) -> None:
        data.upload("flowers", tree)
        checksum = hashlib.sha256(TREE["large.bin"]).hexdigest()
        path = Path(home.path("Datasets/flowers/objects", checksum[:2], checksum))
        path.chmod(0o644)
        path.write_bytes(b"x" * len(TREE["large.bin"]))
        with pytest.raises(StoreError, match="is damaged: it has another content"):
            data.download("flowers")
        assert not os.path.exists("flowers-1")
        data.upload("flowers", tree, check=True)
        assert read_tree(data.download("flowers/1")) == TREE

    def test_a_missing_object(self, home: Project, tree: Path) -> None:
        data.upload("flowers", tree)
        checksum = hashlib.sha256(TREE["large.bin"]).hexdigest()
        os.unlink(home.path("Datasets/flowers/objects", checksum[:2], checksum))
        with pytest.raises(StoreError, match="content of the data set is missing"):
            data.download("flowers")
        data.upload("flowers", tree)
        assert read_tree(data.download("flowers/1")) == TREE

    @pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a//b", "", "a\0"])
    def test_a_list_with_a_name_that_leads_out(self, name: str) -> None:
        with pytest.raises(StoreError, match="leads out of the data set"):
            decode(*encode([StoredFile(name, 1, "0" * 64)]))

    @pytest.mark.parametrize("content", [b"", b"x", gzip.compress(b"[]\n", mtime=0), gzip.compress(b"", mtime=0)[:-3]])
    def test_a_damaged_list(self, content: bytes) -> None:
        with pytest.raises(StoreError, match="is damaged"):
            decode("0" * 64, content)


class TestBadInput:
    def test_of_names(self, home: Project, tree: Path) -> None:
        with pytest.raises(DataSetExists, match="there is a data set 'flowers'"):
            data.create("flowers")
        data.create("flowers", exist_ok=True)
        for name in ("", " ", "a/b", "..", ".x", "a\n", "a:b", "x" * 201, 3, None, "\udcff", " x"):
            with pytest.raises(InvalidArguments, match="the data set's name"):
                data.create(name)  # type: ignore[arg-type]
        with pytest.raises(InvalidArguments, match=r"'flowers/1' names a version; give .*'flowers'"):
            data.upload("flowers/1", tree)
        with pytest.raises(DataSetNotFound, match=r"no data set 'flowrs' .* did you mean 'flowers'"):
            data.upload("flowrs", tree)
        with pytest.raises(DataSetNotFound, match="has no version yet; hopslite data upload flowers PATH"):
            data.get("flowers")
        data.upload("flowers", tree)
        with pytest.raises(DataSetNotFound, match=r"version 7 .* does not exist; versions: 1"):
            data.get("flowers", 7)
        with pytest.raises(InvalidArguments, match="'two' is no version"):
            data.get("data:flowers/two")
        with pytest.raises(InvalidArguments, match="two versions; give one"):
            data.get("flowers/1", 2)
        with pytest.raises(InvalidArguments, match="name is a value of type int that is too large to be shown"):
            data.get(10**5000)  # type: ignore[arg-type]
        for version in (0, "1", True, 1.0, 10**5000, -(10**5000)):
            with pytest.raises(InvalidArguments, match="give a whole number from 1"):
                data.get("flowers", version)  # type: ignore[arg-type]

    def test_of_paths(self, home: Project, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "empty" / "inner").mkdir(parents=True)
        (tmp_path / "broken").symlink_to("nowhere")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
        os.mkfifo("pipe")
        cases = {
            "nothing": "there is nothing at nothing",
            "a\0b": r"'a\\x00b' has a NUL character",
            "tre": "there is nothing at tre; did you mean 'tree'",
            "empty": "nothing to upload: there is no file in empty",
            "broken": "broken is a broken link",
            "socket": "socket is a socket, and neither",
            "pipe": "pipe is a named pipe",
            "s3://bucket/x": "is a URL, and local files are uploaded",
            home.url: "contains the project .* itself",
            str(tmp_path): "contains the project .* itself",
            home.path("Datasets/flowers"): "belongs to a data set",
        }
        for path, message in cases.items():
            with pytest.raises(InvalidArguments, match=message):
                data.upload("flowers", path)
        with pytest.raises(InvalidArguments, match="nothing to upload"):
            data.upload("flowers", [])
        with pytest.raises(InvalidArguments, match="give a path, or a list of paths"):
            data.upload("flowers", 3)  # type: ignore[arg-type]
        for name, target in {"socket": tmp_path / "socket", "link": "nowhere", "project": home.url}.items():
            (tree / name).symlink_to(target)
        with pytest.raises(InvalidArguments) as refused:
            data.upload("flowers", tree)
        assert len(refused.value.problems) == 3, "all problems are said at once"
        assert data.versions("flowers") == []

    def test_several_paths_are_under_their_own_names(self, home: Project, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "one.txt").write_text("one")
        version = data.upload("flowers", [tree / "train", "one.txt"])
        assert set(version.files) == {"one.txt", *(name for name in TREE if name.startswith("train/"))}
        with pytest.raises(InvalidArguments, match=r"would both be 'one.txt'"):
            data.upload("flowers", ["one.txt", "./one.txt"])

    def test_links_are_followed_and_circles_are_not(self, home: Project, tree: Path) -> None:
        (tree / "up").symlink_to(tree)
        (tree / "again").symlink_to(tree / "train")
        assert data.upload("flowers", tree).num_files == len(TREE) + 3


def pack(path: Path, files: dict[str, bytes | str]) -> Path:
    """An archive; a text is the target of a symbolic link."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


class TestArchives:
    @pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.tar.gz", "a.ZIP".lower()])
    def test_are_unpacked(self, home: Project, tmp_path: Path, name: str) -> None:
        version = data.upload("flowers", pack(tmp_path / name, {**TREE}), extract=True)
        assert version.classes == {"train": {"rose": 2, "tulip": 1}}
        assert read_tree(data.download("flowers")) == TREE
        assert home.list("Datasets/flowers/unpacked") == []
        assert data.upload("flowers", tmp_path / name).num_files == 1

    def test_several_are_unpacked_at_the_top(self, home: Project, tmp_path: Path) -> None:
        train = pack(tmp_path / "train.tgz", {"train/a/1.txt": b"1"})
        test = pack(tmp_path / "test.zip", {"test/a/1.txt": b"2"})
        (tmp_path / "README").write_text("read")
        version = data.upload("flowers", [train, test, tmp_path / "README"], extract=True)
        assert set(version.files) == {"README", "train/a/1.txt", "test/a/1.txt"}
        with pytest.raises(InvalidArguments, match=r"would both be 'train/a/1.txt'"):
            data.upload("flowers", [train, pack(tmp_path / "b.zip", {"train/a/1.txt": b"3"})], extract=True)

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"../escaped": b"x"}, "its name leads out of the archive"),
            ({"/escaped": b"x"}, "its name leads out of the archive"),
            ({"link": "/etc/passwd"}, "it is a link that leads out"),
            ({"link": "..", "link/escaped": b"x"}, "below another member that is a link"),
            ({"a/link": "../../escaped"}, "it is a link that leads out"),
        ],
    )
    def test_that_escape_are_refused(self, home: Project, tmp_path: Path, files: Any, message: str) -> None:
        with pytest.raises(StoreError, match=message):
            data.upload("flowers", pack(tmp_path / "a.tar", files), extract=True)
        assert data.versions("flowers") == []
        assert not list(tmp_path.rglob("escaped"))
        assert home.list("Datasets/flowers/unpacked") == []

    @pytest.mark.parametrize("name", ["bomb.zip", "bomb.tgz"])
    def test_a_bomb_ends_at_the_limit(
        self, home: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        bomb = pack(tmp_path / name, {"zeros": bytes(20_000_000)})
        with pytest.raises(StoreError, match=r"unpacks to more than 5.0 MB, as max_unpacked .* says; give a larger"):
            data.upload("flowers", bomb, extract=True, max_unpacked=5_000_000)
        monkeypatch.setattr(scan, "LEAST_LIMIT", 1_000_000)
        with pytest.raises(StoreError, match="which protects from archive bombs"):
            data.upload("flowers", bomb, extract=True)
        assert data.upload("flowers", bomb, extract=True, max_unpacked=30_000_000).size == 20_000_000

    def test_links_multiply_neither_bytes_nor_files_without_bound(
        self, home: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        links = {f"link{n}": "file" for n in range(20)}
        many = pack(tmp_path / "bytes.tar", {"file": bytes(100_000), **links})
        with pytest.raises(StoreError, match=r"with the files that its links lead to, it unpacks to more than 1.0 MB"):
            data.upload("flowers", many, extract=True, max_unpacked=1_000_000)
        assert data.upload("flowers", many, extract=True, max_unpacked=3_000_000).num_files == 21
        tree: dict[str, bytes | str] = {"d0/file": b"x"}
        tree |= {f"d{n}/{m}": f"../d{n - 1}" for n in range(1, 9) for m in range(10)}  # 10 ** 8 files
        monkeypatch.setattr(scan, "LEAST_LINKED", 100)
        with pytest.raises(StoreError, match=r"more than 810 files; are there links that lead .* to each other"):
            data.upload("flowers", pack(tmp_path / "files.tar", tree), extract=True)

    def test_members_need_no_memory(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            for _ in range(3000):
                member = tarfile.TarInfo("folder")
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
        tracemalloc.start()
        try:
            assert unpack_archive(str(tmp_path / "a.tar"), str(tmp_path / "unpacked"), "a.tar") == 3000
            assert tracemalloc.get_traced_memory()[1] < 500_000  # a member takes a kilobyte
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("name", ["names.tar.gz", "links.zip"])
    def test_names_and_links_are_of_a_bounded_size(self, tmp_path: Path, name: str) -> None:
        """Archives have them as a whole, and compress them a thousand times."""
        size = 8 << 20
        if name.endswith(".zip"):
            link = zipfile.ZipInfo("link")
            link.external_attr, link.compress_type = (stat.S_IFLNK | 0o777) << 16, zipfile.ZIP_DEFLATED
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                archive.writestr(link, b"a" * size)
        else:
            member = tarfile.TarInfo("././@LongLink")
            member.type, member.size = tarfile.GNUTYPE_LONGNAME, size
            with gzip.open(tmp_path / name, "wb", 1) as packed:
                packed.write(member.tobuf(tarfile.GNU_FORMAT) + b"a" * size + tarfile.TarInfo("x").tobuf())
        with pytest.raises(StoreError, match=r"longer than \d+ bytes"):
            unpack_archive(str(tmp_path / name), str(tmp_path / "unpacked"), name)

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"a" * 300: b"x"}, "a name in it is too long"),
            ({"link": "a" * 5000}, "the target of the link is longer than 4095 bytes"),
            ({"a/" * 3000 + "b": b"x"}, "it is in more than 256 directories"),
        ],
    )
    def test_names_that_no_disk_can_hold(self, home: Project, tmp_path: Path, files: Any, message: str) -> None:
        with pytest.raises(StoreError, match=message) as refused:
            data.upload("flowers", pack(tmp_path / "a.tar", files), extract=True)
        assert len(str(refused.value)) < 1000
        assert home.list("Datasets/flowers/unpacked") == []

    def test_what_is_no_archive(self, home: Project, tree: Path, tmp_path: Path) -> None:
        with pytest.raises(InvalidArguments, match="none of the paths is an archive that can be unpacked"):
            data.upload("flowers", tree, extract=True)
        (tmp_path / "a.zip").write_bytes(b"x")
        with pytest.raises(StoreError, match="cannot be unpacked"):
            data.upload("flowers", tmp_path / "a.zip", extract=True)
        with pytest.raises(InvalidArguments, match="nothing to upload: there is no file in"):
            data.upload("flowers", pack(tmp_path / "b.tar", {}), extract=True)


class TestDownload:
    def test_places_that_cannot_be_written(self, home: Project, tree: Path, tmp_path: Path) -> None:
        data.upload("flowers", tree)
        (tmp_path / "file").write_text("x")
        for target in ("file/copy", "a" * 300):
            with pytest.raises(StoreError, match="version 1 of 'flowers' cannot be copied to"):
                data.download("flowers", 1, target)
        for wrong in ("a\0b", 5):
            with pytest.raises(InvalidArguments, match="give the path of a directory"):
                data.download("flowers", 1, wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidArguments, match="is no version"):
            data.get(f"flowers/{'1' * 5000}")

    def test_never_replaces_what_is_something_else(self, home: Project, tree: Path, tmp_path: Path) -> None:
        data.upload("flowers", tree)
        target = Path(data.download("flowers"))
        assert target == tmp_path / "flowers-1"
        before = target.stat().st_ino
        assert data.download("flowers", progress=False) == str(target)
        assert target.stat().st_ino == before, "copied again"
        (target / "large.bin").write_text("my own")  # a copy, and no link to the project's content
        with pytest.raises(FileExistsError, match="is not version 1 of 'flowers'"):
            data.download("flowers")
        assert (target / "large.bin").read_text() == "my own"
        data.download("flowers", overwrite=True)
        assert read_tree(target) == TREE
        for place in (".", "~", home.url):
            with pytest.raises(InvalidArguments, match="give another directory"):
                data.download("flowers", local_path=os.path.expanduser(place), overwrite=True)

    def test_a_full_disk_leaves_nothing(self, home: Project, tree: Path, tmp_path: Path) -> None:
        (tree / "more.bin").write_bytes(os.urandom(5 << 20))
        data.upload("flowers", tree)
        with small_disk(tmp_path / "disk") as disk:
            with pytest.raises(StoreError, match="no room for version 1 of 'flowers'"):
                data.download("flowers", local_path=disk.path / "out")
            assert os.listdir(disk.path) == []


def test_classes() -> None:
    assert classes_of(["a.txt", "train.csv"]) == {}
    assert classes_of(["train/1.png", "train/.x/1"]) == {"train": {".x": 1}}
    assert classes_of(["test/a/1"]) == {}
    assert classes_of(["Train/a/1", "Train/b/deep/1", "Train/b/.DS_Store", "val/a/2"]) == {
        "Train": {"a": 1, "b": 1},
        "val": {"a": 1},
    }
    assert classes_of(["flowers/train/a/1", "README"]) == {"train": {"a": 1}}


def test_a_copy_keeps_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    with source.open("wb") as file:
        file.seek(3 << 20)
        file.write(b"middle")
        file.truncate((5 << 20) + 7)
    assert copy_file(str(source), str(target)) == hashlib.sha256(source.read_bytes()).hexdigest()
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks + 16


MEASURED = """
import re, sys
from hopslite import data

def show(size):  # getrusage would count the memory of the process that has forked this one, too
    print(size, int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024)

version = data.upload("flowers", sys.argv[1], progress=False)
show(version.size)
data.download("flowers", progress=False)
show(version.size)
"""


def peak_megabytes(path: str) -> int:
    """Memory that an upload and a download of a file need, in a process of their own."""
    done = subprocess.run([sys.executable, "-c", MEASURED, path], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [int(size) for size, _ in lines] == [os.path.getsize(path)] * 2
    return max(int(megabytes) for _, megabytes in lines)


@pytest.mark.slow("stores")
def test_a_large_file_needs_little_memory(home: Project, tmp_path: Path) -> None:
    with open("large.bin", "wb") as file:
        file.truncate(2_000_000_000)
    assert peak_megabytes("large.bin") < 200
    assert os.stat("flowers-1/large.bin").st_blocks < 100


@pytest.mark.slow("stores")
def test_a_large_file_needs_little_memory_on_s3(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {**s3.environment, "HOPSLITE_PROJECT": s3.fresh()}.items():
        monkeypatch.setenv(name, value)
    data.create("flowers")
    Path("large.bin").write_bytes(os.urandom(300_000_000))  # zeros would be sent once
    assert peak_megabytes("large.bin") < 200


@pytest.mark.parametrize("phase", ["reading", "uploading"])
def test_an_interrupt_ends_an_upload_in_the_middle_of_a_large_file(
    home: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    with open("large.bin", "wb") as file:
        file.truncate(4_000_000_000)
    if phase == "uploading":
        monkeypatch.setattr(upload, "describe", lambda source, *_: StoredFile(source.name, 4_000_000_000, "0" * 64))
    done: list[int] = []

    class Interrupting:
        def __call__(self, count: int, total: int) -> None:
            if not any(earlier > 10_000_000 for earlier in done) and count > 10_000_000:
                _thread.interrupt_main()
            done.append(count)

        def __enter__(self) -> Interrupting:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    reporting = upload.Reporting(lambda line: None, lambda title: Interrupting())
    with pytest.raises(KeyboardInterrupt):
        upload.upload(DataSet(home, "flowers"), [scan.SourceFile("large.bin", "large.bin")], {}, reporting)
    assert max(done) < 2_000_000_000
    assert stored_objects(home, "flowers") == [], "a part of a file was left"
