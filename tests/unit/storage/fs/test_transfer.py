"""Files between a store and this machine: whole, verified, at once, and nothing left after an error."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.server
import io
import itertools
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from hopslite.errors import StoreError
from hopslite.storage.fs import download as _fetch
from hopslite.storage.fs import fast_read, ranged_download, transfer
from hopslite.storage.fs.file_info import FileInfo, fingerprint, list_tree, size_text, stat
from hopslite.storage.fs.open import open_url
from hopslite.storage.fs.ranged_download import Digest, md5_of
from hopslite.storage.fs.transfer import Bar, download, download_tree, upload_files
from tests.helpers.small_disk import small_disk
from tests.helpers.stores import S3, Hdfs

NAMES = ["plain.txt", "a b.txt", "x=1&y%2F.bin", "größe-学.dat", "deep/er/file", "deep/.hidden", "[1]*?.txt", "#tag"]


def put(url: str, files: dict[str, bytes]) -> tuple[Any, str]:
    fs, root = open_url(url)
    for name, content in files.items():
        path = f"{root}/{name}"
        if isinstance(fs, LocalFileSystem):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        fs.pipe_file(path, content)
    return fs, root


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Requests(AsyncFileSystem):  # type: ignore[misc]
    """A store that is asked by requests, as S3 is, and does what a test wants when it is."""

    protocol = "requests"
    cachable = False

    def __init__(self, files: dict[str, bytes], md5: bool = True) -> None:
        super().__init__()
        self.files, self.md5 = files, md5
        self.asked = itertools.count(1)
        self.before: Callable[[int, str], Any] = lambda number, path: None
        self.damaged: Callable[[int, bytes], bytes] = lambda number, data: data
        self.lock = threading.Lock()

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.entry(path)

    def entry(self, path: str) -> dict[str, Any]:
        content = self.files[path]
        tag = hashlib.md5(content).hexdigest() if self.md5 else f"v{hash(content)}"
        return {"name": path, "type": "file", "size": len(content), "ETag": f'"{tag}"'}

    async def _find(self, path: str, **_: Any) -> dict[str, Any]:
        return {name: self.entry(name) for name in self.files if name.startswith(f"{path}/")}

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        with self.lock:
            number = next(self.asked)
            self.before(number, path)
        return self.damaged(number, self.files[path][start:end])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between two attempts, and small pieces."""
    monkeypatch.setattr(_fetch, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(_fetch, "SMALL", 10)
    monkeypatch.setattr(ranged_download, "PIECE", 7)


class TestDownload:
    @pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 40 << 20])
    def test_a_file_arrives(self, store_url: str, tmp_path: Path, size: int) -> None:
        content = os.urandom(1 << 10) * (size >> 10) + b"x" * (size & 1023)
        fs, root = put(store_url, {"a b=%é": content})
        seen: list[tuple[int, int]] = []
        download(fs, f"{root}/a b=%é", str(tmp_path / "here"), lambda *told: seen.append(told))
        assert (tmp_path / "here").read_bytes() == content
        if size:
            assert seen[-1] == (size, size)
            assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert sorted(path.name for path in tmp_path.iterdir() if path.name != "project") == ["here"]

    def test_it_replaces_a_file_and_leaves_the_old_one_after_an_error(self, store_url: str, tmp_path: Path) -> None:
        fs, root = put(store_url, {"x": b"new"})
        target = tmp_path / "x"
        target.write_bytes(b"old")
        with pytest.raises(FileNotFoundError, match="nothing does not exist") as caught:
            download(fs, f"{root}/nothing", str(target))
        assert isinstance(caught.value, StoreError)
        assert target.read_bytes() == b"old"
        download(fs, f"{root}/x", str(target))
        assert target.read_bytes() == b"new"

    def test_a_directory_is_refused(self, store_url: str, tmp_path: Path) -> None:
        fs, root = put(store_url, {"d/x": b""})
        with pytest.raises(IsADirectoryError, match="/d is a directory, and a file is due") as caught:
            download(fs, f"{root}/d", str(tmp_path / "x"))
        assert isinstance(caught.value, StoreError)

    def test_a_target_without_its_directory_is_told(self, store_url: str, tmp_path: Path) -> None:
        fs, root = put(store_url, {"x": b"1"})
        with pytest.raises(StoreError, match=r"no directory .*missing to copy .*/x to; make it first"):
            download(fs, f"{root}/x", str(tmp_path / "missing" / "x"))

    def test_what_is_damaged_on_the_way_is_fetched_again(self, tmp_path: Path, quick: None) -> None:
        for content in (b"small", b"larger than ten"):
            fs = Requests({"x": content})
            fs.damaged = lambda number, data: data[:-1] + b"?" if number == 1 else data
            seen: list[int] = []
            download(fs, "x", str(tmp_path / "x"), lambda done, _, seen=seen: seen.append(done))
            assert (tmp_path / "x").read_bytes() == content
            assert seen[-1] == len(content)

    def test_what_arrives_short_is_fetched_again_also_without_a_checksum(self, tmp_path: Path, quick: None) -> None:
        for content in (b"small", b"larger than ten"):
            fs = Requests({"x": content}, md5=False)
            fs.damaged = lambda number, data: data[:-1] if number == 1 else data
            download(fs, "x", str(tmp_path / "x"))
            assert (tmp_path / "x").read_bytes() == content

    def test_what_is_always_damaged_is_told_and_nothing_is_left(self, tmp_path: Path, quick: None) -> None:
        for content in (b"small", b"larger than ten"):
            fs = Requests({"x": content})
            fs.damaged = lambda number, data: data[:-1] + bytes([number])
            with pytest.raises(StoreError, match="requests://x could not be copied in 3 attempts: it arrived damaged"):
                download(fs, "x", str(tmp_path / "x"))
            assert list(tmp_path.iterdir()) == []

    def test_an_etag_that_is_no_md5_does_not_matter_when_the_content_is_the_same_twice(
        self, tmp_path: Path, quick: None
    ) -> None:
        fs = Requests({"x": b"what an encrypting store gives out"})
        fs.entry = lambda path: {**Requests.entry(fs, path), "ETag": f'"{"0" * 32}"'}  # type: ignore[method-assign]
        download(fs, "x", str(tmp_path / "x"))
        assert (tmp_path / "x").read_bytes() == fs.files["x"]

    @pytest.mark.parametrize("md5", [True, False])
    @pytest.mark.parametrize("after", [b"shorter", b"this is now longer than it was before", b"AS LONG AS BEFORE"])
    def test_a_file_that_changes_is_fetched_again(self, tmp_path: Path, quick: None, md5: bool, after: bytes) -> None:
        fs = Requests({"x": b"as long as before"}, md5)

        def change(number: int, path: str) -> None:
            if number == 2:
                fs.files["x"] = after

        fs.before = change
        download(fs, "x", str(tmp_path / "x"))
        assert (tmp_path / "x").read_bytes() == after

    def test_a_file_that_changes_all_the_time_is_given_up(self, tmp_path: Path, quick: None) -> None:
        fs = Requests({"x": b""}, md5=False)
        fs.before = lambda number, path: fs.files.update(x=b"x" * number)
        with pytest.raises(StoreError, match="it changed each time, at last to 3 bytes"):
            download(fs, "x", str(tmp_path / "x"))
        assert next(fs.asked) == 4
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_goes_away_is_told(self, tmp_path: Path, quick: None) -> None:
        fs = Requests({"x": b"12345678901234567890"})
        fs.before = lambda number, path: fs.files.pop("x", None)
        fs.damaged = lambda number, data: data
        with pytest.raises(StoreError):
            download(fs, "x", str(tmp_path / "x"))
        assert list(tmp_path.iterdir()) == []

    def test_a_store_that_fails_now_and_then_is_asked_again(self, tmp_path: Path, quick: None) -> None:
        for content in (b"small", b"larger than ten bytes"):
            fs = Requests({"x": content})

            def fail(number: int, path: str) -> None:
                if number <= 2:
                    raise ConnectionResetError("gone")

            fs.before = fail
            download(fs, "x", str(tmp_path / "x"))
            assert (tmp_path / "x").read_bytes() == content

    def test_a_store_that_fails_is_given_up(self, tmp_path: Path, quick: None) -> None:
        fs = Requests({"x": b"larger than ten bytes"})

        def fail(number: int, path: str) -> None:
            raise RuntimeError("the store's own error, from http://joe:secret@host/")

        fs.before = fail
        with pytest.raises(StoreError, match="x: the store's own error") as caught:
            download(fs, "x", str(tmp_path / "x"))
        assert "secret" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    def test_no_permission_is_told_at_once(self, tmp_path: Path) -> None:
        fs = Requests({"x": b"1"})

        def refuse(number: int, path: str) -> None:
            raise PermissionError("Forbidden")

        fs.before = refuse
        with pytest.raises(PermissionError, match="no permission for requests://x: Forbidden"):
            download(fs, "x", str(tmp_path / "x"))
        assert next(fs.asked) <= 4

    def test_an_interrupt_leaves_nothing(self, tmp_path: Path, quick: None) -> None:
        fs = Requests({"x": b"larger than ten bytes"})

        def interrupt(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            download(fs, "x", str(tmp_path / "x"), interrupt)
        assert list(tmp_path.iterdir()) == []

    def test_no_room_is_told_before_anything_is_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Full:
            free = 1500

        monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: Full)
        fs = Requests({"x": b"x" * 2000})
        with pytest.raises(StoreError, match=r"no room for requests://x in .*: it has 2.0 kB, and 1.5 kB are free"):
            download(fs, "x", str(tmp_path / "x"))
        assert next(fs.asked) == 1

    def test_a_disk_that_is_full_meanwhile_is_told(self, full_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Plenty:
            free = 1 << 40

        monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: Plenty)
        fs = Requests({"x": bytes(3 << 20), "d/x": bytes(3 << 20)})
        with pytest.raises(StoreError, match=f"no room left in {full_disk} for requests://x"):
            download(fs, "x", str(full_disk / "x"))
        with pytest.raises(StoreError, match=f"no room left in {full_disk} for requests://d"):
            download_tree(fs, "d", str(full_disk / "d"))
        assert list(full_disk.iterdir()) == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "size=1m") as disk:
        yield disk.path


class TestChecksums:
    @pytest.mark.parametrize("part", [None, 5, 8, 10])
    def test_an_md5_is_right_in_whatever_order_the_pieces_arrive(self, tmp_path: Path, part: int | None) -> None:
        content = b"twenty-three bytes long"
        found = FileInfo("x", len(content), "", f"{'0' * 32}{f'-{-(-23 // part)}' if part else ''}")
        step = part or len(content)
        parts = [content[at : at + step] for at in range(0, len(content), step)]
        joined = b"".join(hashlib.md5(each).digest() for each in parts)
        expected = f"{hashlib.md5(joined).hexdigest()}-{len(parts)}" if part else hashlib.md5(content).hexdigest()
        ranges = [
            (at, min(at + 2, end))
            for first in range(0, 23, step)
            for end in [min(first + step, 23)]
            for at in range(first, end, 2)
        ]
        for order in (ranges, ranges[::-1], ranges[::2] + ranges[1::2]):
            with open(tmp_path / "x", "w+b") as file:
                digest = Digest(file.fileno(), len(content), part)
                for begin, end in order:
                    os.pwrite(file.fileno(), content[begin:end], begin)
                    digest.add(begin, end - begin)
                assert digest.text() == expected
        assert md5_of(content, found) == ("" if part else expected)

    def test_an_object_uploaded_in_parts_is_verified(
        self, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        fs, path = open_url(f"{s3.fresh()}/x")
        content = os.urandom(1 << 20) * 13
        (tmp_path / "x").write_bytes(content)
        fs.put_file(str(tmp_path / "x"), path, chunksize=5 << 20)
        found = stat(fs, path)
        assert found.md5.endswith("-3")
        compared: list[tuple[str, str]] = []
        monkeypatch.setattr(
            ranged_download.Received,
            "is_exactly",
            lambda got, found: compared.append((got.md5, found.md5)) or got.md5 == found.md5,
        )
        download(fs, path, str(tmp_path / "y"))
        assert (tmp_path / "y").read_bytes() == content
        assert compared == [(found.md5, found.md5)]

    @pytest.mark.parametrize("trouble", ["a proxy in between", "another status", "half of it"])
    def test_what_plain_http_cannot_read_s3fs_does(
        self, trouble: str, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        files = {f"{number}": os.urandom(number << 18) for number in range(10)}
        fs, root = put(s3.fresh(), files)
        tried: list[dict[str, str]] = []
        get = aiohttp.ClientSession.get

        def fails(session: Any, url: Any, headers: dict[str, str], **_: Any) -> Any:
            tried.append(headers)
            begin, end = map(int, headers["Range"].removeprefix("bytes=").split("-"))
            if trouble == "a proxy in between":
                raise OSError(trouble)
            return get(session, url, headers={} if "status" in trouble else {"Range": f"bytes={begin}-{end // 2}"})

        monkeypatch.setattr(aiohttp.ClientSession, "get", fails)
        download_tree(fs, root, str(tmp_path / "here"))
        assert contents(tmp_path / "here") == files
        assert 3 <= len(tried) < 25

    def test_a_large_file_on_hdfs_comes_in_stretches(
        self, hdfs_server: Hdfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fast_read._Hdfs, "piece", 1_000_000)
        fs, path = open_url(f"{hdfs_server.fresh()}/x")
        content = os.urandom(3_333_333)
        fs.pipe_file(path, content)
        seen: list[int] = []
        download(fs, path, str(tmp_path / "x"), lambda done, _: seen.append(done))
        assert (tmp_path / "x").read_bytes() == content
        assert len(seen) == 4
        assert seen[-1] == len(content)

    def test_hdfs_itself_notices_a_damaged_block(self, hdfs_server: Hdfs, tmp_path: Path) -> None:
        fs, path = open_url(f"{hdfs_server.fresh()}/x")
        marker = uuid.uuid4().hex.encode()
        fs.pipe_file(path, marker * 1000)
        blocks = [block for block in Path(hdfs_server._folder, "data").rglob("blk_*") if block.suffix != ".meta"]
        (block,) = [block for block in blocks if read_if_there(block).startswith(marker)]
        with open(block, "r+b") as file:
            file.seek(100)
            file.write(b"?")
        with pytest.raises(StoreError), pytest.MonkeyPatch.context() as patch:
            patch.setattr(_fetch, "PAUSES", ())
            download(fs, path, str(tmp_path / "x"))
        assert list(tmp_path.iterdir()) == []


def read_if_there(path: Path) -> bytes:
    """Blocks of files that other tests have deleted go a little later."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


class TestTree:
    def test_a_directory_arrives(self, store_url: str, tmp_path: Path) -> None:
        files = {name: os.urandom(10 + number) for number, name in enumerate(NAMES)}
        fs, root = put(store_url, files)
        seen: list[tuple[int, int]] = []
        download_tree(fs, root, str(tmp_path / "here"), lambda *told: seen.append(told))
        assert contents(tmp_path / "here") == files
        assert seen[-1] == (sum(map(len, files.values())),) * 2
        with pytest.raises(FileExistsError, match="here is there already"):
            download_tree(fs, root, str(tmp_path / "here"))

    def test_empty_directories_come_along_where_there_are_any(self, store_url: str, tmp_path: Path) -> None:
        if store_url.startswith("s3"):
            pytest.skip("an object store has none")
        fs, root = put(store_url, {"x": b""})
        fs.makedirs(f"{root}/empty/er")
        download_tree(fs, root, str(tmp_path / "here"))
        assert (tmp_path / "here" / "empty" / "er").is_dir()

    def test_a_file_or_nothing_is_no_directory(self, store_url: str, tmp_path: Path) -> None:
        fs, root = put(store_url, {"x": b"1"})
        for name in ("x", "nothing"):
            with pytest.raises(StoreError, match=f"{name} (is a file, not a directory|does not exist)"):
                download_tree(fs, f"{root}/{name}", str(tmp_path / "here"))
        assert not (tmp_path / "here").exists()

    def test_files_of_all_sizes_at_once(self, tmp_path: Path, quick: None) -> None:
        files = {f"d/{number}": os.urandom(number) for number in range(40)}
        for md5 in (True, False):
            fs = Requests(files, md5)
            download_tree(fs, "d", str(tmp_path / str(md5)))
            assert contents(tmp_path / str(md5)) == {name[2:]: content for name, content in files.items()}

    def test_files_that_change_are_fetched_again(self, tmp_path: Path, quick: None) -> None:
        for md5 in (True, False):
            fs = Requests({f"d/{number}": b"before, and long" for number in range(8)}, md5)

            def change(number: int, path: str, fs: Requests = fs) -> None:
                if number == 5:
                    fs.files["d/3"] = fs.files["d/4"] = b"after"

            fs.before = change
            download_tree(fs, "d", str(tmp_path / str(md5)))
            assert contents(tmp_path / str(md5)) == {name[2:]: content for name, content in fs.files.items()}

    def test_after_an_error_nothing_is_left_and_no_more_is_fetched(self, tmp_path: Path, quick: None) -> None:
        fs = Requests({f"d/{number:03}": b"longer than ten" for number in range(500)})

        def refuse(number: int, path: str) -> None:
            if path == "d/003":
                raise PermissionError("not this one")
            if number > 32:
                time.sleep(0.01)  # all would take a quarter of a minute

        fs.before = refuse
        with pytest.raises(PermissionError, match="d/003"):
            download_tree(fs, "d", str(tmp_path / "here"))
        assert list(tmp_path.iterdir()) == []
        assert next(fs.asked) < 900

    def test_names_that_lead_out_are_refused(self, tmp_path: Path) -> None:
        fs = Requests({"d/../../evil": b"1", "d/x": b"2"})
        with pytest.raises(StoreError, match=r"evil has a name that leads out of the directory"):
            download_tree(fs, "d", str(tmp_path / "a" / "b"))
        assert list(tmp_path.iterdir()) == []

    def test_a_name_that_is_file_and_directory_is_told(self, tmp_path: Path) -> None:
        fs = Requests({"d/x": b"1", "d/x/y": b"2"})
        with pytest.raises(OSError, match="x"):
            download_tree(fs, "d", str(tmp_path / "here"))
        assert list(tmp_path.iterdir()) == []

    def test_a_device_in_a_local_directory_is_told(self, tmp_path: Path) -> None:
        fs, root = put(str(tmp_path / "store"), {"x": b""})
        os.mkfifo(f"{root}/pipe")
        with pytest.raises(StoreError, match="pipe is neither a file nor a directory"):
            list_tree(fs, root)


class TestUpload:
    def test_files_are_there_whole(self, store_url: str, tmp_path: Path) -> None:
        files = {name: os.urandom(10 + number) for number, name in enumerate(NAMES)}
        for name, content in files.items():
            (tmp_path / "from" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "from" / name).write_bytes(content)
        fs, root = open_url(store_url)
        upload_files(fs, [])
        upload_files(fs, [(str(tmp_path / "from" / name), f"{root}/to/{name}") for name in files])
        assert {name: fs.cat_file(f"{root}/to/{name}") for name in files} == files
        assert len(fs.find(f"{root}/to")) == len(files)
        (tmp_path / "new").write_bytes(b"new")
        upload_files(fs, [(str(tmp_path / "new"), f"{root}/to/plain.txt")])
        assert fs.cat_file(f"{root}/to/plain.txt") == b"new"

    def test_a_directory_is_no_file(self, store_url: str, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        fs, path = open_url(store_url)
        with pytest.raises(IsADirectoryError, match="folder is a directory, and only files are uploaded"):
            upload_files(fs, [(str(tmp_path / "folder"), f"{path}/x")])
        assert not fs.exists(f"{path}/x")

    def test_the_others_are_copied_when_one_cannot_be(
        self, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transfer, "LARGE", 2)
        (tmp_path / "a").write_bytes(b"1")
        (tmp_path / "b").write_bytes(b"large")
        fs, root = open_url(store_url)
        with pytest.raises(FileNotFoundError):
            pairs = [(str(tmp_path / name), f"{root}/{name}") for name in ("a", "missing", "b")]
            upload_files(fs, pairs)
        assert [fs.cat_file(f"{root}/{name}") for name in ("a", "b")] == [b"1", b"large"]
        assert not fs.exists(f"{root}/missing")

    def test_a_reader_of_a_shared_disk_never_sees_a_part(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "from").write_bytes(b"new")
        (tmp_path / "to").write_bytes(b"old")

        def fail(*_: Any) -> None:
            assert (tmp_path / "to").read_bytes() == b"old"
            raise OSError("the disk is gone")

        monkeypatch.setattr(transfer.os, "replace", fail)
        with pytest.raises(OSError, match="the disk is gone"):
            upload_files(LocalFileSystem(), [(str(tmp_path / "from"), str(tmp_path / "to"))])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["from", "to"]


class TestFound:
    def test_a_fingerprint_changes_with_the_content(self, store_url: str) -> None:
        fs, root = put(store_url, {"x": b"one"})
        before = stat(fs, f"{root}/x").mark
        assert stat(fs, f"{root}/x").mark == before
        fs.pipe_file(f"{root}/x", b"TWO")
        assert stat(fs, f"{root}/x").mark != before

    def test_what_stores_tell_of_a_content_is_understood(self) -> None:
        md5 = hashlib.md5(b"x")
        fs = MemoryFileSystem()
        base = {"name": "/x", "type": "file", "size": 1}
        google = {**base, "md5Hash": "nd1KFE5XAgNV8sVTmlYzeg=="}
        azure = {**base, "etag": "0x8D", "content_settings": {"content_md5": bytearray(md5.digest())}}
        for info in ({**base, "ETag": f'"{md5.hexdigest()}"'}, azure):
            fs.info = lambda path, info=info: info  # type: ignore[misc]
            assert stat(fs, "/x").md5 == md5.hexdigest()
        fs.info = lambda path: google
        assert len(stat(fs, "/x").md5) == 32
        fs.info = lambda path: {**base, "ETag": '"0x8DC-no-md5"'}
        assert stat(fs, "/x").md5 == ""
        assert fingerprint({**base, "etag": "1"}) != fingerprint({**base, "etag": "2"})

    def test_sizes_are_readable(self) -> None:
        sizes = [size_text(size) for size in (0, 1, 812, 1500, 2_000_000, 1_500_000_000, 3e12)]
        assert sizes == ["0 bytes", "1 byte", "812 bytes", "1.5 kB", "2.0 MB", "1.5 GB", "3.0 TB"]


class TestBar:
    def test_it_is_shown_for_large_files_to_somebody_who_looks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        for stream, size, is_shown in (
            (Terminal(), 60_000_000, True),
            (Terminal(), 40_000_000, False),
            (io.StringIO(), 60_000_000, False),
        ):
            monkeypatch.setattr("sys.stderr", stream)
            monkeypatch.delitem(__import__("sys").modules, "ipykernel", raising=False)
            with Bar("train.bin") as bar:
                bar(size // 2, size)
                bar(size, size)
            assert ("train.bin" in stream.getvalue()) == is_shown
            assert ("100%" in stream.getvalue()) == is_shown


class TestWhatServersDo:
    """What an S3 may answer besides the bytes that were asked for."""

    @pytest.fixture
    def fs(self, s3: S3, monkeypatch: pytest.MonkeyPatch) -> Any:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        return open_url(s3.fresh())

    @pytest.mark.parametrize("size", [1000, 18 << 20])
    def test_an_object_is_its_bytes_also_when_they_are_called_compressed(
        self, fs: Any, size: int, tmp_path: Path
    ) -> None:
        fs, root = fs
        content = gzip.compress(os.urandom(size) + b"0" * size, 1)
        bucket, _, key = root.partition("/")
        fs.call_s3("put_object", Bucket=bucket, Key=f"{key}/x.gz", Body=content, ContentEncoding="gzip")
        download(fs, f"{root}/x.gz", str(tmp_path / "x.gz"))
        assert (tmp_path / "x.gz").read_bytes() == content

    def test_a_redirection_is_not_followed(self, fs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another host would get the credentials, and its answer be taken for the object."""
        fs, root = fs
        fs.pipe_file(f"{root}/x", b"right")
        get, seen = aiohttp.ClientSession.get, []

        def sent_elsewhere(session: Any, url: Any, **options: Any) -> Any:
            seen.append(url)
            return get(session, f"http://127.0.0.1:{away.port}/", **options)

        with Away() as away:
            monkeypatch.setattr(aiohttp.ClientSession, "get", sent_elsewhere)
            download(fs, f"{root}/x", str(tmp_path / "x"))
        assert seen
        assert away.asked == ["/"]
        assert (tmp_path / "x").read_bytes() == b"right"

    def test_an_encrypted_object_is_fetched_once(
        self, fs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the store gives out as its MD5 is none, and only its answer to the download says so."""
        fs, root = fs
        fs.pipe_file(f"{root}/x", b"encrypted")
        real, asked = fast_read._Signed._receive, []

        async def encrypted(reader: Any, path: str, *rest: Any) -> Any:
            asked.append(path)
            reader.is_encrypted = True
            return await real(reader, path, *rest)

        monkeypatch.setattr(fast_read._Signed, "_receive", encrypted)
        found = dataclasses.replace(stat(fs, f"{root}/x"), md5="0" * 32)
        monkeypatch.setattr(transfer, "stat", lambda *_: found)
        download(fs, f"{root}/x", str(tmp_path / "x"))
        assert (tmp_path / "x").read_bytes() == b"encrypted"
        assert len(asked) == 1


class Away:
    """A server that sends everybody elsewhere."""

    def __enter__(self) -> Away:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(307)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_directories_in_a_removed_one_go_with_it(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """On S3 an empty object stands for an empty directory, which listings of files leave out."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    fs, root = open_url(f"{s3.fresh()}/a")
    key = root.partition("/")[2]
    fs.pipe_file(f"{root}/file", b"1")
    deleted: list[str] = []
    call = type(fs).call_s3

    def called(fs: Any, method: str, **options: Any) -> Any:
        if method == "list_objects_v2":  # as S3 has it; SeaweedFS keeps directories of its own
            return {"Contents": [{"Key": f"{key}/file"}, {"Key": f"{key}/b/empty/"}]}
        if method == "delete_object":
            deleted.append(options["Key"])
        return call(fs, method, **options)

    monkeypatch.setattr(type(fs), "call_s3", called)
    transfer.remove_at(fs, root)
    assert deleted == [f"{key}/b/empty/", f"{key}/"]


class TestUploadsInOrder:
    def test_what_comes_after_a_failure_is_not_begun(self, tmp_path: Path) -> None:
        fs, root = open_url(f"memory://{uuid.uuid4().hex}")
        pairs = []
        for name in ("c", "a", "b"):
            if name != "a":
                (tmp_path / name).write_text(name)
            pairs.append((str(tmp_path / name), f"{root}/{name}"))
        arrived: list[str] = []
        with pytest.raises(OSError, match="a"):
            upload_files(fs, pairs, arrived.append, in_order=True)
        assert arrived == [str(tmp_path / "c")]
        assert [each.rpartition("/")[2] for each in fs.find(root)] == ["c"]
        arrived.clear()
        with pytest.raises(OSError, match="a"):
            upload_files(fs, pairs, arrived.append)
        assert sorted(arrived) == [str(tmp_path / "b"), str(tmp_path / "c")]
