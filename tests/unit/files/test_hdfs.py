"""`hopslite.hdfs` on each kind of store: HopsML's functions with HopsML's meaning."""

from __future__ import annotations

import contextlib
import getpass
import importlib
import json
import os
import pickle
import shutil
import stat as modes
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite import hdfs
from hopslite.core.settings import Settings
from hopslite.errors import InvalidArguments, StoreError
from hopslite.executor.context import TrialContext, trial_context
from hopslite.files import copies, notebook_import, prefetch
from hopslite.files import copy as copying
from hopslite.storage.fs import transfer
from hopslite.storage.project import Project
from tests.helpers.observe import PATIENCE_S, eventually


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; downloads are shared nowhere else."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "spark").mkdir()
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "spark"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    return folder


@pytest.fixture
def store(store_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The project, on each kind of store; what URLs in it begin with."""
    url = f"{store_url}/a b=%é/project"
    monkeypatch.setenv("HOPSLITE_PROJECT", url)
    return url


@pytest.fixture
def trial(store: str) -> Iterator[None]:
    with trial_context(TrialContext("run", "0000", "", "", project=store)):
        yield


def is_s3(url: str) -> bool:
    return url.startswith("s3")


# For what a path alone decides, or this machine: a store that is copied from, and one that is not.
HERE_ONLY = pytest.mark.parametrize("store_url", ["memory", "file"], indirect=True)


class TestPaths:
    def test_the_project(self, store: str) -> None:
        assert hdfs.project_path() == f"{store}/"
        assert hdfs.project_name() == "project"
        assert hdfs.project_path("project") == f"{store}/"
        assert hdfs.project_path("other") == f"{store.rpartition('/')[0]}/other/"
        hdfs.dump(b"1", hdfs.project_path() + "Resources/train.tfrecords")
        assert hdfs.load("Resources/train.tfrecords") == b"1"
        plain = hdfs.project_path(exclude_nn_addr=True)
        assert plain.startswith("/")
        assert plain.endswith("a b=%é/project/")
        assert hdfs.load(f"{plain}Resources/train.tfrecords") == b"1"

    def test_a_trial_has_its_runs_project(self, store: str, tmp_path: Path) -> None:
        with trial_context(TrialContext("run", "0000", "", "", project=str(tmp_path / "another"))):
            assert hdfs.project_path() == f"{tmp_path}/another/"
        assert hdfs.project_path() == f"{store}/"

    @HERE_ONLY
    @pytest.mark.parametrize(
        ("path", "inside"),
        [
            ("a", "/a"),
            ("a//b", "/a/b"),
            ("./a/", "/a/"),
            ("a//", "/a/"),
            ("a/../", "/"),
            ("a/../b", "/b"),
            ("", ""),
            (".", ""),
            ("a/./b", "/a/b"),
        ],
    )
    def test_relative_paths_are_in_the_project(self, store: str, path: str, inside: str) -> None:
        assert hdfs.abs_path(path) == f"{store}{inside}"
        assert hdfs.abs_path(path.encode()) == f"{store}{inside}"  # type: ignore[arg-type]
        assert hdfs.abs_path(f"{hdfs.project_path()}/{path}") == f"{store}{inside if path else '/'}"
        plain = hdfs.project_path(exclude_nn_addr=True).rstrip("/")
        assert hdfs.get_plain_path(path) == f"{plain}{inside}"

    @HERE_ONLY
    @pytest.mark.parametrize("path", ["..", "../other", "a/../../other", "../project2/x"])
    def test_they_do_not_leave_it(self, store: str, path: str) -> None:
        hdfs.dump("x", f"{store}/../other/secret")
        for function in (hdfs.abs_path, hdfs.load, hdfs.ls, hdfs.exists, hdfs.rmr, hdfs.copy_to_local, hdfs.localize):
            with pytest.raises(InvalidArguments, match=r"leads out of the project by '\.\.'"):
                function(path)  # type: ignore[operator]
        with pytest.raises(InvalidArguments):
            hdfs.dump("x", path)

    @HERE_ONLY
    @pytest.mark.parametrize("path", [None, 3, "a\0b", ["a"]])
    def test_what_is_no_path_is_told(self, store: str, path: Any) -> None:
        with pytest.raises(InvalidArguments, match="is no path"):
            hdfs.load(path)

    @HERE_ONLY
    @pytest.mark.parametrize("name", ["", "..", "a/b", 3])
    def test_what_is_no_project_is_told(self, store: str, name: Any) -> None:
        with pytest.raises(InvalidArguments, match="is not a project's name"):
            hdfs.project_path(name)

    def test_another_project_is_beside_this_one(self, store: str) -> None:
        hdfs.dump("theirs", f"{hdfs.project_path('other')}Resources/x")
        assert hdfs.exists("Resources/x", project="other")
        assert not hdfs.exists("Resources/x")
        assert hdfs.open_file("Resources/x", project="other").read() == b"theirs"
        assert [each["size"] for each in hdfs.lsl("Resources", project="other")] == [6]

    @pytest.mark.parametrize(
        ("project", "path", "expected"),
        [
            ("hdfs://node:8020/Projects/demo", "/Projects/other/x", "hdfs://node:8020/Projects/other/x"),
            ("hdfs://node:8020/Projects/demo", "/Resources/x", "hdfs://node:8020/Projects/demo/Resources/x"),
            ("hdfs://node:8020/Projects/demo", "/user/joe", "hdfs://node:8020/user/joe"),
            ("hdfs://node:8020/Projects/demo", "hdfs://other/x//y", "hdfs://other/x/y"),
            ("s3://bucket/a/demo", "/b/x", "s3://bucket/b/x"),
            ("s3://bucket/a/demo", "/Models", "s3://bucket/a/demo/Models"),
            ("memory://a/demo", "/b/x", "memory://b/x"),
            ("/data/demo", "/Resources/x", "/Resources/x"),
            ("/data/demo", "//tmp/../x", "/x"),
            ("s3://bucket/demo", "/data/../x", "s3://bucket/x"),
            ("/data/demo", "file:///x/y", "/x/y"),
        ],
    )
    def test_absolute_paths(self, monkeypatch: pytest.MonkeyPatch, project: str, path: str, expected: str) -> None:
        monkeypatch.setenv("HOPSLITE_PROJECT", project)
        monkeypatch.setattr("hopslite.files.paths.open_url", lambda url: (None, url))
        assert hdfs.abs_path(path) == expected

    def test_plain_paths(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hopslite.files.paths.open_url", lambda url: (None, url))
        assert hdfs.get_plain_path("hdfs://10.0.2.15:8020/Projects/x/Models/") == "/Projects/x/Models/"
        assert hdfs.get_plain_path("s3://bucket/a/b") == "/a/b"
        assert hdfs.get_plain_path("/a//b") == "/a/b"

    @pytest.mark.parametrize("url", ["s3://bucket", "hdfs://node"])
    def test_a_project_without_a_directory_above_has_none_beside(
        self, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        monkeypatch.setenv("HOPSLITE_PROJECT", url)
        with pytest.raises(InvalidArguments, match="has no other projects beside it"):
            hdfs.project_path("other")

    @pytest.mark.parametrize("where", ["variable", "file"])
    def test_a_project_at_home_is_the_one_that_runs_have(
        self, where: str, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("HOPSLITE_PROJECT", raising=False)
        if where == "variable":
            monkeypatch.setenv("HOPSLITE_PROJECT", "~/digits")
        else:
            (here / "hopslite.toml").write_text('project = "~/digits"')
        assert hdfs.project_path() == f"{tmp_path}/digits/"
        assert Settings.load().project == Project(Settings.load().project).url == f"{tmp_path}/digits"
        assert Settings.load(project="~/other").project == f"{tmp_path}/other"
        hdfs.dump("x", "Resources/x")
        assert (tmp_path / "digits" / "Resources" / "x").read_text() == "x"
        assert not (here / "~").exists()
        assert Settings.load(project="s3://bucket/~").project == "s3://bucket/~"

    @HERE_ONLY
    def test_an_unknown_kind_of_store_is_told(self, store: str) -> None:
        with pytest.raises(OSError, match="nosuch"):
            hdfs.load("nosuch://joe:secret@host/x")

    def test_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HADOOP_USER_NAME", "demo__joe")
        monkeypatch.setenv("HOPSWORKS_PROJECT_ID", "119")
        assert (hdfs.project_user(), hdfs.project_id()) == ("demo__joe", "119")
        monkeypatch.delenv("HADOOP_USER_NAME")
        monkeypatch.setenv("HDFS_USER", "jim")
        monkeypatch.delenv("HOPSWORKS_PROJECT_ID")
        assert hdfs.project_user() == "jim"
        monkeypatch.delenv("HDFS_USER")
        monkeypatch.setenv("HOPSLITE_PROJECT", "/tmp/digits")
        monkeypatch.setattr(getpass, "getuser", lambda: "joe")
        assert (hdfs.project_name(), hdfs.project_user()) == (
            "digits",
            "digits__joe",
        )  # `name in user`, as on Hopsworks
        monkeypatch.setattr(getpass, "getuser", lambda: {}["no such user"])
        assert hdfs.project_user() == f"digits__{os.getuid()}"
        with pytest.raises(StoreError, match="HOPSWORKS_PROJECT_ID is not set"):
            hdfs.project_id()
        hdfs.close()

    def test_hadoops_configuration(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(StoreError, match="HADOOP_CONF_DIR is not set"):
            hdfs.is_tls_enabled()
        monkeypatch.setenv("HADOOP_CONF_DIR", str(here))
        with pytest.raises(StoreError, match=r"core-site\.xml cannot be read"):
            hdfs.is_tls_enabled()
        site = "<configuration><property><name>{}</name><value> {} </value></property></configuration>"
        (here / "core-site.xml").write_text(site.format("x", "y"))
        assert not hdfs.is_tls_enabled()
        (here / "core-site.xml").write_text(site.format("ipc.server.ssl.enabled", "True"))
        assert hdfs.is_tls_enabled()
        (here / "hdfs-site.xml").write_text(site.format("dfs.namenode.http-address", "node:50070"))
        assert (hdfs.get_webhdfs_host(), hdfs.get_webhdfs_port()) == ("node", "50070")
        (here / "hdfs-site.xml").write_text(site.format("x", "y"))
        with pytest.raises(StoreError, match=r"dfs\.namenode\.http-address is not set in"):
            hdfs.get_webhdfs_host()


class TestLooking:
    def test_what_is_there(self, store: str) -> None:
        hdfs.dump("1", "Resources/d/x")
        facts = [
            [test(f"Resources/{name}") for name in ("d/x", "d", "n")] for test in (hdfs.exists, hdfs.isfile, hdfs.isdir)
        ]
        assert facts == [[True, True, False], [True, False, False], [False, True, False]]

    def test_listing(self, store: str) -> None:
        for name in ("b", "a 1", "d/x", "d/deep/y", "é%20*"):
            hdfs.dump(name, f"Resources/{name}")
        root = f"{store}/Resources"
        assert hdfs.ls("Resources") == [f"{root}/{name}" for name in ("a 1", "b", "d", "é%20*")]
        assert hdfs.ls("Resources/b") == [f"{root}/b"]
        below = ["a 1", "b", "d", "d/deep", "d/deep/y", "d/x", "é%20*"]
        assert hdfs.ls("Resources/", recursive=True) == [f"{root}/{name}" for name in below]
        assert (
            hdfs.ls("Resources", exclude_nn_addr=True)[0] == f"{hdfs.project_path(exclude_nn_addr=True)}Resources/a 1"
        )
        assert [hdfs.load(each) for each in hdfs.ls("Resources") if hdfs.isfile(each)] == [
            b"a 1",
            b"b",
            "é%20*".encode(),
        ]
        assert f"{store}/Resources" in hdfs.ls()
        with pytest.raises(FileNotFoundError, match="nothing does not exist"):
            hdfs.ls("nothing")

    def test_our_own_records_are_not_listed(self, store: str) -> None:
        for name in ("Models/m/1/x", "Models/m/.records/1/claim", "Experiments/.versions/n/1", "Resources/.records/a"):
            hdfs.dump("", name)
        listed = [each.removeprefix(f"{store}/") for each in hdfs.ls(recursive=True)]
        assert [each for each in listed if hdfs.isfile(each)] == ["Models/m/1/x", "Resources/.records/a"]
        assert not [each for each in listed if "Models/m/." in each or "Experiments/." in each]
        assert hdfs.ls("Models/m") == [each["path"] for each in hdfs.lsl("Models/m")] == [f"{store}/Models/m/1"]
        assert hdfs.glob("Models/m/.*") == []
        assert hdfs.ls("Models/m/.records") == [f"{store}/Models/m/.records/1"]
        hdfs.rmr("Models/m/1")
        with pytest.raises(StoreError, match="is not empty"):
            hdfs.delete("Models/m")

    def test_facts(self, store: str) -> None:
        before = time.time()
        hdfs.dump("four", "Resources/x")
        hdfs.mkdir("Resources/d")
        folder, file = hdfs.lsl("Resources")
        assert (folder["kind"], file["kind"]) == ("directory", "file")
        assert file["name"] == file["path"] == f"{store}/Resources/x"
        assert file["size"] == 4
        assert before - 60 < file["last_mod"] < before + 60
        assert [*file] == [*folder]
        fact = hdfs.stat("Resources/x")
        assert (fact.kind, fact.st_size, fact.st_mtime) == ("file", 4, file["last_mod"])
        if store.startswith("hdfs"):
            assert (file["replication"], file["block_size"]) == (1, 128 << 20)
        if store.startswith(("hdfs", "/")):
            assert file["permissions"] == fact.st_mode == 0o644
            assert file["owner"] == fact.st_uid == hdfs.project_user().removeprefix("project__")
        with pytest.raises(FileNotFoundError, match="nothing does not exist"):
            hdfs.stat("nothing")

    def test_patterns(self, store: str) -> None:
        for name in ("a.json", "b.json", "c.txt", ".hidden.json", "d/e.json", "d/f/g.json", "[x].json"):
            hdfs.dump("", f"Resources/{name}")

        def found(pattern: str, recursive: bool = False) -> list[str]:
            return [each.removeprefix(f"{store}/Resources/") for each in hdfs.glob(pattern, recursive)]

        assert found("Resources/*.json") == ["[x].json", "a.json", "b.json"]
        assert found("Resources/?.json") == ["a.json", "b.json"]
        assert found("Resources/[ab].json") == ["a.json", "b.json"]
        assert found("Resources/.*") == [".hidden.json"]
        assert found("Resources/*/*.json") == ["d/e.json"]
        assert found("Resources/*.json", recursive=True) == ["[x].json", "a.json", "b.json", "d/e.json", "d/f/g.json"]
        assert found("Resources/**/g.json") == ["d/f/g.json"]
        assert found("Resources/c.txt") == ["c.txt"]
        assert found("Resources/none*") == []
        assert hdfs.glob(f"{hdfs.project_path()}Resources/c*") == [f"{store}/Resources/c.txt"]
        assert hdfs.glob(f"{hdfs.project_path(exclude_nn_addr=True)}Resources/c*") == [f"{store}/Resources/c.txt"]
        with pytest.raises(FileNotFoundError, match="nothing does not exist"):
            hdfs.glob("nothing/*.json")


class TestChanging:
    def test_directories_are_made(self, store: str) -> None:
        hdfs.mkdir("Resources/a/b")
        hdfs.mkdir("Resources/a/b")
        assert hdfs.isdir("Resources/a/b")
        assert hdfs.ls("Resources/a/b") == []
        hdfs.dump("", "Resources/x")
        with pytest.raises(FileExistsError, match="x is a file"):
            hdfs.mkdir("Resources/x")

    def test_deleting(self, store: str) -> None:
        hdfs.dump("1", "Resources/d/x")
        hdfs.mkdir("Resources/d/empty")
        with pytest.raises(OSError, match="d is not empty; recursive=True"):
            hdfs.delete("Resources/d")
        assert hdfs.load("Resources/d/x") == b"1"
        hdfs.delete("Resources/d/empty")
        assert not hdfs.exists("Resources/d/empty")
        hdfs.delete("Resources/d/x")
        hdfs.mkdir("Resources/d/deep/er")
        hdfs.dump("1", "Resources/d/deep/er/x")
        hdfs.rmr("Resources/d")
        eventually(lambda: not hdfs.exists("Resources/d"), "it is gone")  # SeaweedFS takes a moment
        for function in (hdfs.delete, hdfs.rmr):
            with pytest.raises(FileNotFoundError, match="d does not exist"):
                function("Resources/d")

    def test_the_project_itself_is_not_deleted(self, store: str) -> None:
        hdfs.dump("1", "x")
        for path in ("", ".", "a/..", hdfs.project_path()):
            with pytest.raises(InvalidArguments, match="is the project itself"):
                hdfs.rmr(path)
        assert hdfs.load("x") == b"1"

    def test_what_holds_the_project_is_not_deleted(self, store: str) -> None:
        hdfs.dump("1", "Resources/x")
        for above in (store.rpartition("/")[0], store.rpartition("/")[0].rpartition("/")[0]):
            with pytest.raises(InvalidArguments, match="holds the project"):
                hdfs.rmr(above)
        assert hdfs.load("Resources/x") == b"1"

    def test_copying(self, store: str) -> None:
        hdfs.dump("1", "Resources/d/deep/x")
        hdfs.dump("2", "Resources/y")
        hdfs.cp("Resources/y", "Resources/new/z")
        hdfs.cp("Resources/y", "Resources/d")
        hdfs.cp("Resources/d", "Resources/copy")
        assert hdfs.load("Resources/new/z") == b"2"
        names = [each.removeprefix(f"{store}/Resources/copy/") for each in hdfs.ls("Resources/copy", recursive=True)]
        assert names == ["deep", "deep/x", "y"]
        with pytest.raises(OSError, match=r"d/y is there already; overwrite=True"):
            hdfs.cp("Resources/y", "Resources/d")
        hdfs.dump("3", "Resources/y")
        hdfs.cp("Resources/y", "Resources/d", overwrite=True)
        assert hdfs.load("Resources/d/y") == b"3"
        assert hdfs.load("Resources/d/deep/x") == b"1"
        with pytest.raises(InvalidArguments, match="itself or inside of it"):
            hdfs.cp("Resources/d", "Resources/d/deep")
        with pytest.raises(FileNotFoundError):
            hdfs.cp("Resources/nothing", "Resources/z")

    @pytest.mark.parametrize("name", ["run[1]", "a*", "b?", "**"])
    def test_a_name_that_looks_like_a_pattern(self, store: str, name: str) -> None:
        others = ["run1", "ab", "aa/b", "bc"]
        for each in [name, *others]:
            hdfs.dump("1", f"Resources/{each}/f")
        hdfs.move(f"Resources/{name}", "Logs")
        assert hdfs.load(f"Logs/{name}/f") == b"1"
        hdfs.rmr(f"Logs/{name}")
        assert hdfs.ls("Logs") == []
        hdfs.dump("1", f"Resources/{name}")
        hdfs.delete(f"Resources/{name}")
        assert all(hdfs.exists(f"Resources/{each}/f") for each in others)
        assert not hdfs.exists(f"Resources/{name}")

    def test_copying_between_stores(self, store: str, tmp_path: Path) -> None:
        hdfs.dump("1", "Resources/d/x")
        hdfs.cp("Resources/d", f"file://{tmp_path}/copy")
        hdfs.cp("Resources/d/x", f"file://{tmp_path}/y")
        assert (tmp_path / "copy" / "x").read_bytes() == (tmp_path / "y").read_bytes() == b"1"
        hdfs.cp(f"file://{tmp_path}/copy", "Resources/back")
        assert hdfs.load("Resources/back/x") == b"1"

    def test_a_directory_copied_between_stores_again_replaces_it(self, store: str, tmp_path: Path) -> None:
        elsewhere = tmp_path / "out"
        elsewhere.mkdir()
        for content in ("1", "2"):
            hdfs.dump(content, "Resources/mnist/a")
            hdfs.cp("Resources/mnist", f"file://{elsewhere}", overwrite=True)
            assert (elsewhere / "mnist" / "a").read_text() == content
        assert os.listdir(elsewhere / "mnist") == ["a"]

    def test_moving(self, store: str) -> None:
        hdfs.dump("1", "Resources/d/x")
        hdfs.dump("2", "Resources/y")
        hdfs.move("Resources/y", "Resources/d")
        hdfs.move("Resources/d/x", "Resources/z/x")
        hdfs.rename("Resources/d", "Resources/e/d")
        assert hdfs.ls("Resources", recursive=True) == [
            f"{store}/Resources/{name}" for name in ("e", "e/d", "e/d/y", "z", "z/x")
        ]
        assert (hdfs.load("Resources/e/d/y"), hdfs.load("Resources/z/x")) == (b"2", b"1")
        with pytest.raises(FileExistsError, match="z is there already"):
            hdfs.rename("Resources/e/d/y", "Resources/z")
        with pytest.raises(InvalidArguments, match="cannot be moved into itself"):
            hdfs.rename("Resources/z", "Resources/z/z")
        hdfs.rename("Resources/z", "Resources/z")
        assert hdfs.load("Resources/z/x") == b"1"

    def test_files_are_opened_as_usual(self, store: str) -> None:
        with hdfs.open_file("Resources/new/x", flags="wt") as file:
            file.write("one\ntwö\n")
            assert not hdfs.exists("Resources/new/x")
        with hdfs.open_file("Resources/new/x") as file:
            assert [file.read(2), file.readline(), *file] == [b"on", b"e\n", "twö\n".encode()]
            file.seek(0)
            assert file.read() == "one\ntwö\n".encode()
            assert file.seek(-3, os.SEEK_END) == file.tell() == 6
        with hdfs.open_file("Resources/new/x", flags="rt", buff_size=3) as file:
            assert list(file) == ["one\n", "twö\n"]
        with hdfs.open_file("Resources/new/x", flags="a") as file:
            file.write(b"three")
        assert hdfs.load("Resources/new/x") == "one\ntwö\nthree".encode()
        with hdfs.open_file("Resources/new/y", flags="at") as file:
            file.write("new")
        assert hdfs.load("Resources/new/y") == b"new"
        with pytest.raises(FileNotFoundError, match="nothing does not exist"):
            hdfs.open_file("Resources/nothing")
        with pytest.raises(IsADirectoryError, match="new is a directory"):
            hdfs.load("Resources/new")
        with pytest.raises(InvalidArguments, match="flags='x'"):
            hdfs.open_file("Resources/new/x", flags="x")

    def test_what_is_not_finished_is_not_written(self, store: str) -> None:
        hdfs.dump("old", "Resources/x")
        with pytest.raises(ZeroDivisionError), hdfs.open_file("Resources/x", flags="w") as file:
            file.write(b"half of it")
            file.flush()
            1 / 0  # noqa: B018
        with pytest.raises(ZeroDivisionError), hdfs.open_file("Resources/x", flags="wt") as file:
            file.write("half of it")
            1 / 0  # noqa: B018
        file = hdfs.open_file("Resources/x", flags="wt")
        file.write("half of it")
        del file
        assert hdfs.load("Resources/x") == b"old"
        assert hdfs.ls("Resources") == [f"{store}/Resources/x"]

    def test_dump_takes_text_and_bytes(self, store: str) -> None:
        for data in ("é", "é".encode(), bytearray("é".encode())):
            hdfs.dump(data, "x")  # type: ignore[arg-type]
            assert hdfs.load("x") == "é".encode()
        with pytest.raises(InvalidArguments, match="data is a dict"):
            hdfs.dump({}, "x")  # type: ignore[arg-type]


class TestAccess:
    def test_permissions(self, store: str) -> None:
        hdfs.dump("1", "Resources/x")
        assert hdfs.access("Resources/x", os.F_OK)
        assert not hdfs.access("Resources/nothing", os.F_OK)
        assert hdfs.get().exists(hdfs.abs_path("Resources/x"))
        assert hdfs.get_fs() is hdfs.get()
        if not store.startswith(("hdfs", "/")):
            for function, argument in ((hdfs.chmod, 0o640), (hdfs.access, os.R_OK)):
                with pytest.raises(
                    StoreError, match=r"(memory|s3):// has no permissions of files; local disks and HDFS"
                ):
                    function("Resources/x", argument)  # type: ignore[operator]
            with pytest.raises(StoreError, match="has no owners of files"):
                hdfs.chown("Resources/x", "joe", "users")
            return
        hdfs.chmod("Resources/x", 0o640)
        assert hdfs.stat("Resources/x").st_mode == 0o640
        assert hdfs.access("Resources/x", os.R_OK | os.W_OK)
        assert not hdfs.access("Resources/x", os.X_OK)
        hdfs.chown("Resources/x", hdfs.project_user(), "")
        with pytest.raises(InvalidArguments, match="give permissions as a number"):
            hdfs.chmod("Resources/x", "u+x")  # type: ignore[arg-type]
        with pytest.raises(FileNotFoundError):
            hdfs.chmod("Resources/nothing", 0o640)

    def test_owners_on_hdfs(self, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if not store.startswith("hdfs"):
            pytest.skip("needs a store that knows any owner")
        hdfs.dump("1", "x")
        hdfs.chown("x", "joe", "artists")
        hdfs.chmod("x", 0o604)
        assert (hdfs.stat("x").st_uid, hdfs.stat("x").st_gid) == ("joe", "artists")
        assert hdfs.access("x", os.R_OK)
        assert not hdfs.access("x", os.W_OK)
        monkeypatch.setenv("HADOOP_USER_NAME", "joe")
        assert hdfs.access("x", os.W_OK)

    def test_capacity(self, store: str) -> None:
        if store.startswith("/"):
            assert hdfs.capacity() == shutil.disk_usage("/tmp").total
        else:
            with pytest.raises(StoreError, match=":// does not report its capacity"):
                hdfs.capacity()


def test_a_name_with_two_colons_is_no_other_one(store: str) -> None:
    if store.startswith("hdfs"):
        pytest.skip("HDFS has no names with a colon")
    hdfs.dump("a", "Resources/a")
    hdfs.dump("both", "Resources/a::b.txt")
    hdfs.dump("kept", "Resources/keep/file")
    hdfs.dump("old", "Resources/keep::v1/file")
    hdfs.cp("Resources/a::b.txt", "Resources/c::d")
    hdfs.rmr("Resources/keep::v1")
    assert [hdfs.load(f"Resources/{each}").decode() for each in ("a", "a::b.txt", "c::d", "keep/file")] == [
        "a",
        "both",
        "both",
        "kept",
    ]
    assert not hdfs.exists("Resources/keep::v1")


class TestToLocal:
    def test_a_file(self, store: str, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hdfs.dump("one", "Resources/x 1")
        assert hdfs.copy_to_local("Resources/x 1") == str(here / "x 1")
        assert (here / "x 1").read_text() == "one"
        (here / "x 1").write_text("new")  # the size is the same, which counts as the same
        with monkeypatch.context() as patch:
            patch.setattr(copying, "download", None)
            hdfs.copy_to_local("Resources/x 1")
        hdfs.copy_to_local("Resources/x 1", overwrite=True)
        assert (here / "x 1").read_text() == "one"
        (tmp_path / "else").mkdir()
        assert hdfs.copy_to_local(f"{store}//Resources/x 1", str(tmp_path / "else")) == f"{tmp_path}/else/x 1"
        assert hdfs.copy_to_local("Resources/x 1", "../else") == f"{tmp_path}/else/x 1"

    @pytest.mark.parametrize("where", ["driver", "trial"])
    def test_what_has_changed_in_the_project_is_fetched_anew(
        self, where: str, store: str, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context = TrialContext("run", "0000", "", "", project=store)
        with trial_context(context) if where == "trial" else contextlib.nullcontext():
            hdfs.dump("one", "Resources/x")
            hdfs.dump("a", "Resources/d/a")
            hdfs.dump("b", "Resources/d/b")
            for name in ("x", "d"):
                hdfs.copy_to_local(f"Resources/{name}")
            with monkeypatch.context() as patch:
                for function in ("download", "download_tree"):
                    patch.setattr(copying, function, None)
                for name in ("x", "d"):  # nothing has changed
                    hdfs.copy_to_local(f"Resources/{name}")
            time.sleep(1.1 if is_s3(store) else 0.01)  # for stores that tell times in seconds
            for content in ("longer", "as long"[:6], ""):
                hdfs.dump(content, "Resources/x")
                hdfs.copy_to_local("Resources/x")
                assert (here / "x").read_text() == content
            hdfs.dump("A", "Resources/d/a")
            hdfs.rmr("Resources/d/b")
            hdfs.dump("c", "Resources/d/deep/c")
            hdfs.copy_to_local("Resources/d")
            assert (here / "d" / "a").read_text() == "A"
            assert sorted(os.listdir(here / "d")) == ["a", "deep"]
            hdfs.dump("of the same name", "Resources/other/x")
            hdfs.copy_to_local("Resources/other/x")
            assert (here / "x").read_text() == "of the same name"
        assert store not in "".join(path.read_text() for path in here.parent.glob("cache/**/*.json"))

    @HERE_ONLY
    def test_a_copy_that_was_changed_here_stays(self, store: str, here: Path) -> None:
        hdfs.dump("one", "Resources/x")
        (here / hdfs.copy_to_local("Resources/x")).write_text("my own notes")
        hdfs.dump("three", "Resources/x")
        with pytest.raises(FileExistsError, match="overwrite=True"):
            hdfs.copy_to_local("Resources/x")
        hdfs.copy_to_local("Resources/x", overwrite=True)
        hdfs.dump("four", "Resources/x")
        hdfs.copy_to_local("Resources/x")
        assert (here / "x").read_text() == "four"

    @HERE_ONLY
    def test_a_trial_is_shown_the_drivers_copy(self, store: str, here: Path, tmp_path: Path) -> None:
        hdfs.dump("one", "Resources/x")
        hdfs.copy_to_local("Resources/x")
        own = tmp_path / "trial"
        own.mkdir()
        (own / "x").symlink_to(here / "x")
        hdfs.dump("three", "Resources/x")
        with trial_context(TrialContext("run", "0000", "", "", project=store)):
            hdfs.copy_to_local("Resources/x", str(own))
        assert ((own / "x").read_text(), (here / "x").read_text()) == ("three", "one")

    @HERE_ONLY
    def test_a_home_that_cannot_be_written_to(self, store: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/cache")
        hdfs.dump("one", "Resources/x")
        assert hdfs.copy_to_local("Resources/x") == hdfs.copy_to_local("Resources/x")

    @HERE_ONLY
    def test_only_records_of_what_is_there_are_kept(
        self, store: str, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(copies, "MANY", 3)
        for number in range(4):
            hdfs.dump("one", f"Resources/{number}")
            copy = Path(hdfs.copy_to_local(f"Resources/{number}"))
            if number < 3:
                copy.unlink()
        assert len(list(tmp_path.glob("cache/**/*.json"))) == 1

    @HERE_ONLY
    def test_something_else_of_that_name_stays(self, store: str, here: Path) -> None:
        hdfs.dump("one", "Resources/x")
        hdfs.dump("1", "Resources/d/x")
        (here / "x").write_text("something else")
        (here / "d").mkdir()
        (here / "d" / "mine").write_text("mine")
        for name in ("x", "d"):
            with pytest.raises(FileExistsError, match=f"{name} is there already and differs from .*; overwrite=True"):
                hdfs.copy_to_local(f"Resources/{name}")
        assert (here / "x").read_text() == "something else"
        for name in ("x", "d"):
            hdfs.copy_to_local(f"Resources/{name}", overwrite=True)
        assert (here / "x").read_text() == "one"
        assert os.listdir(here / "d") == ["x"]
        (here / "d" / "x").unlink()
        (here / "d").rmdir()
        (here / "d").write_text("a file")
        hdfs.copy_to_local("Resources/d", overwrite=True)
        assert os.listdir(here / "d") == ["x"]
        assert sorted(os.listdir(here)) == ["d", "x"]

    def test_a_directory(self, store: str, here: Path) -> None:
        hdfs.dump("1", "Resources/d/x")
        hdfs.dump("22", "Resources/d/deep/y")
        assert hdfs.copy_to_local("Resources/d") == str(here / "d")
        assert (here / "d" / "deep" / "y").read_text() == "22"
        assert hdfs.copy_to_local("Resources/d") == str(here / "d")
        (here / "d" / "deep" / "y").write_text("3")
        with pytest.raises(FileExistsError):
            hdfs.copy_to_local("Resources/d")

    def test_bad_input(self, store: str, here: Path) -> None:
        with pytest.raises(FileNotFoundError, match="nothing does not exist"):
            hdfs.copy_to_local("Resources/nothing")
        hdfs.dump("1", "Resources/x")
        with pytest.raises(OSError, match=r"missing is not a directory; local_path= is the directory"):
            hdfs.copy_to_local("Resources/x", "missing")
        assert os.listdir(here) == []

    @HERE_ONLY
    def test_a_full_disk_is_noticed_before(self, store: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Full:
            free = 2

        hdfs.dump("123", "Resources/x")
        hdfs.dump("123", "Resources/d/x")
        monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: Full)
        for name in ("x", "d"):
            with pytest.raises(
                StoreError, match=f"no room for .*/Resources/{name} in {here}: it has 3 bytes, and 2 bytes"
            ):
                hdfs.copy_to_local(f"Resources/{name}")
        assert os.listdir(here) == []

    def test_in_a_trial_it_is_fetched_once(self, store: str, trial: None, here: Path, tmp_path: Path) -> None:
        hdfs.dump("one", "Resources/x")
        hdfs.dump("1", "Resources/d/x")
        hdfs.copy_to_local("Resources/x")
        hdfs.copy_to_local("Resources/d")
        assert (here / "x").read_text() == "one"
        assert modes.S_IMODE((here / "x").stat().st_mode) == 0o444
        (tmp_path / "second").mkdir()
        hdfs.copy_to_local("Resources/x", str(tmp_path / "second"))
        hdfs.copy_to_local("Resources/d", str(tmp_path / "second"))
        assert os.path.samefile(here / "x", tmp_path / "second" / "x")
        assert os.path.samefile(here / "d" / "x", tmp_path / "second" / "d" / "x")
        (here / "d" / "mine").write_text("directories are the trial's own")
        (here / "x").unlink()
        (here / "x").write_text("something else")
        with pytest.raises(FileExistsError):
            hdfs.copy_to_local("Resources/x")
        hdfs.copy_to_local("Resources/x", overwrite=True)
        assert (tmp_path / "second" / "x").read_text() == "one"


class TestToStore:
    def test_a_file(self, store: str, here: Path, tmp_path: Path) -> None:
        (here / "x").write_text("one")
        assert hdfs.copy_to_hdfs("x", "Resources") == f"{store}/Resources/x"
        assert hdfs.copy_to_hdfs("x", "/Models/" if not store.startswith("/") else "Models/") == f"{store}/Models/x"
        hdfs.copy_to_hdfs("x", "data/y")
        hdfs.copy_to_hdfs("x", "data")
        hdfs.copy_to_hdfs("x", "new/")
        (tmp_path / "z").write_text("two")
        hdfs.copy_to_hdfs(str(tmp_path / "z"), "data")
        names = ("Resources/x", "data/y", "data/x", "new/x", "data/z")
        assert [hdfs.load(name) for name in names] == [b"one"] * 4 + [b"two"]
        with pytest.raises(OSError, match=r"Resources/x is there already; overwrite=True"):
            hdfs.copy_to_hdfs("x", "Resources")
        (here / "x").write_text("three")
        hdfs.copy_to_hdfs("x", "Resources", overwrite=True)
        hdfs.copy_to_hdfs("x", "data/y", overwrite=True)
        assert (hdfs.load("Resources/x"), hdfs.load("data/y")) == (b"three", b"three")
        with pytest.raises(FileNotFoundError, match=r"no local file or directory .*/nothing"):
            hdfs.copy_to_hdfs("nothing", "Resources")

    def test_a_project_that_is_not_there_yet_is_a_directory(self, store: str, here: Path) -> None:
        (here / "x").write_text("one")
        other = f"{store.rpartition('/')[0]}/other"
        for write in (
            lambda: hdfs.dump("x", ""),
            lambda: hdfs.dump("x", store),
            lambda: hdfs.dump("x", store.rpartition("/")[0]),
            lambda: hdfs.open_file("", flags="a"),
            lambda: hdfs.open_file("", project="other", flags="w"),
            lambda: copying.write_whole("").__enter__(),
            lambda: hdfs.copy_to_hdfs("x", store.rpartition("/")[0], overwrite=True),
        ):
            with pytest.raises(IsADirectoryError, match=r"the project.*cannot be a file; name a file in it"):
                write()
        assert hdfs.copy_to_hdfs("x", "") == f"{store}/x"
        assert hdfs.copy_to_hdfs("x", store, overwrite=True) == f"{store}/x"
        assert hdfs.copy_to_hdfs("x", "", project="other") == f"{other}/x"
        assert hdfs.copy_to_hdfs("x", "Models", project="other") == f"{other}/Models/x"
        assert hdfs.load("x") == b"one"
        hdfs.rmr("x")
        hdfs.cp(f"{other}/x", "")
        assert hdfs.load("x") == b"one"
        hdfs.rmr("x")
        if store.startswith("/"):
            Path(store).rmdir()
        with pytest.raises(OSError, match=r"cannot be a file|is there already"):
            hdfs.rename(f"{other}/x", "")
        hdfs.move(f"{other}/x", "")
        assert hdfs.ls() == [f"{store}/x"]

    def test_a_directory(self, store: str, here: Path) -> None:
        for name in ("d/x", "d/deep/y", "d/a b=%é"):
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).write_text(name)
        (here / "d" / "loop").symlink_to(here / "d")
        assert hdfs.copy_to_hdfs("d", "Resources") == f"{store}/Resources/d"
        root = f"{store}/Resources/d/"
        below = [each.removeprefix(root) for each in hdfs.ls("Resources/d", recursive=True) if hdfs.isfile(each)]
        assert below == ["a b=%é", "deep/y", "x"]
        with pytest.raises(FileExistsError, match="d is there already"):
            hdfs.copy_to_hdfs("d", "Resources")
        (here / "d" / "x").unlink()
        (here / "d" / "new").write_text("new")
        hdfs.copy_to_hdfs("d", "Resources", overwrite=True)
        below = [each.removeprefix(root) for each in hdfs.ls("Resources/d", recursive=True) if hdfs.isfile(each)]
        assert below == ["a b=%é", "deep/y", "new"]
        assert hdfs.ls("Resources") == [f"{store}/Resources/d"]

    def test_a_directory_replaces_a_file_and_no_file_a_directory(self, store: str, here: Path) -> None:
        (here / "x").write_text("file")
        hdfs.dump("1", "Resources/x/x")
        for replace in (
            lambda: hdfs.copy_to_hdfs("x", "Resources", overwrite=True),
            lambda: hdfs.cp("Resources/x/x", "Resources", overwrite=True),
        ):
            with pytest.raises(FileExistsError, match="Resources/x is a directory; delete it first"):
                replace()
            assert hdfs.load("Resources/x/x") == b"1"
        hdfs.rmr("Resources/x")
        hdfs.dump("file", "Resources/x")
        (here / "x").unlink()
        (here / "x").mkdir()
        (here / "x" / "y").write_text("in it")
        hdfs.copy_to_hdfs("x", "Resources", overwrite=True)
        assert hdfs.load("Resources/x/y") == b"in it"

    def test_a_directory_that_cannot_be_copied_leaves_the_old_one(
        self, store: str, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hdfs.dump("old", "Resources/d/x")
        (here / "d").mkdir()
        (here / "d" / "y").symlink_to("nowhere")
        with pytest.raises(FileNotFoundError, match=f"{here}/d/y is a broken link"):
            hdfs.copy_to_hdfs("d", "Resources", overwrite=True)
        assert hdfs.ls("Resources", recursive=True) == [f"{store}/Resources/d", f"{store}/Resources/d/x"]


class TestLinks:
    """In a project on this machine."""

    @pytest.fixture(autouse=True)
    def linked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """`Resources/d`: a file, links to a file and to a directory outside, and one to itself."""
        monkeypatch.setenv("HOPSLITE_PROJECT", str(tmp_path / "project"))
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "f").write_text("far")
        folder = tmp_path / "project" / "Resources" / "d"
        folder.mkdir(parents=True)
        (folder / "x").write_text("here")
        (folder / "file").symlink_to(tmp_path / "outside" / "f")
        (folder / "folder").symlink_to(tmp_path / "outside")
        (folder / "loop").symlink_to(folder)
        return folder

    def test_they_are_followed(self, linked: Path, here: Path) -> None:
        expected = {"x": "here", "file": "far", "folder/f": "far"}
        copied = Path(hdfs.copy_to_local("Resources/d"))
        hdfs.cp("Resources/d", "Resources/e")
        for root in (copied, linked.parent / "e"):
            assert {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()} == expected
            assert not [p for p in root.rglob("*") if p.is_symlink()]
        facts = {Path(each["name"]).name: (each["kind"], each["size"]) for each in hdfs.lsl("Resources/d")}
        assert (facts["file"], facts["folder"][0]) == (("file", 3), "directory")
        assert hdfs.glob("Resources/d/*/f") == [f"{linked}/folder/f"]
        assert hdfs.glob("Resources/d/**/f") == [f"{linked}/folder/f"]
        assert f"{linked}/folder/f" in hdfs.ls("Resources/d", recursive=True)
        assert [Path(path).read_text() for path in hdfs.localize("Resources/d/*/f")] == ["far"]

    def test_a_broken_one_is_named(self, linked: Path, here: Path) -> None:
        (linked / "broken").symlink_to("nowhere")
        assert f"{linked}/broken" in hdfs.ls("Resources/d")
        assert f"{linked}/broken" in hdfs.ls("Resources/d", recursive=True)
        assert not hdfs.exists("Resources/d/broken")
        for call in (
            lambda: hdfs.copy_to_local("Resources/d"),
            lambda: hdfs.cp("Resources/d", "Resources/e"),
            lambda: hdfs.load("Resources/d/broken"),
            lambda: hdfs.copy_to_local("Resources/d/broken"),
        ):
            with pytest.raises(FileNotFoundError, match=f"{linked}/broken (is a broken link|does not exist)"):
                call()
        assert not (here / "d").exists()
        assert not hdfs.exists("Resources/e")
        hdfs.delete("Resources/d/folder", recursive=True)
        assert (linked.parent.parent.parent / "outside" / "f").exists(), "what a link leads to was deleted"


class TestModules:
    @pytest.fixture(autouse=True)
    def own_path(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(sys, "path", [*sys.path])
        yield
        sys.modules.pop("some_module", None)

    def test_a_python_file(self, store: str, here: Path) -> None:
        hdfs.dump("value = 1", "Resources/some_module.py")
        assert hdfs.add_module("Resources/some_module.py") == f"{here}/localized_deps/some_module.py"
        assert importlib.import_module("some_module").value == 1
        hdfs.dump("value = 20", "Resources/some_module.py")
        hdfs.add_module("Resources/some_module.py")
        assert importlib.import_module("some_module").value == 20
        assert sys.path.count(f"{here}/localized_deps") == 1

    @HERE_ONLY
    def test_a_notebook(self, store: str, here: Path) -> None:
        cells = [
            {"cell_type": "markdown", "source": ["not code"]},
            {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install x\n", "value = 1\n", "if value:\n"]},
            {"cell_type": "code", "source": "%%bash\nls /"},
            {"cell_type": "code", "source": "value += 1"},
        ]
        cells[1]["source"] = [*cells[1]["source"], "    %time x\n", "    value = 2"]
        hdfs.dump(json.dumps({"cells": cells, "nbformat": 4}), "Resources/some_module.ipynb")
        path = hdfs.add_module("Resources/some_module.ipynb")
        assert path == f"{here}/localized_deps/some_module.py"
        assert importlib.import_module("some_module").value == 3

    @pytest.mark.parametrize(
        ("cell", "expected"),
        [
            ("msg = (\n 'loss %f'\n    % 0.5\n)", "loss 0.500000"),
            ("%time x\nmsg = (\n 'loss %f'\n    % 0.5\n)", "loss 0.500000"),
            ("!ls\nmsg = 'a(' # it's (\n?len\nmsg += \\\n  'b'", "a(b"),
            ('len?\nmsg = """\n%time\n!ls\nlen?\n"""', "\n%time\n!ls\nlen?\n"),
            ("msg = 1\nmsg.real??  # what\nfiles = !ls\na.b, c = %time 3\nos.*dir*?", 1),
            ("!pip install a \\\n  b\nmsg = 7 \\\n    % 4", 3),
            ("if True:\n    !ls\n    msg = r'\\'' ' '  # why?\n%ls", "\\' "),
            ("msg = '%d' % 3\nwhat = msg == 'x?'  # len?\n%ls\nmsg != '!'", "3"),
        ],
    )
    def test_what_only_a_notebook_can_do_is_left_out(self, cell: str, expected: Any) -> None:
        names: dict[str, Any] = {}
        exec(notebook_import._code(cell), names)
        assert names["msg"] == expected

    @HERE_ONLY
    def test_bad_input(self, store: str) -> None:
        hdfs.dump("not json", "x.ipynb")
        hdfs.dump("", "my-module.py")
        with pytest.raises(StoreError, match=r"x\.ipynb is not a Jupyter notebook"):
            hdfs.add_module("x.ipynb")
        with pytest.raises(InvalidArguments, match=r"cannot be imported under its name; call it my_module\.py"):
            hdfs.add_module("my-module.py")
        with pytest.raises(InvalidArguments, match=r"neither a \.py nor an \.ipynb"):
            hdfs.add_module("x.txt")
        with pytest.raises(FileNotFoundError):
            hdfs.add_module("nothing.py")


class TestLocalize:
    @pytest.fixture
    def parts(self, store: str) -> list[bytes]:
        contents = [bytes([number]) * 10 for number in range(6)]
        for number, content in enumerate(contents):
            hdfs.dump(content, f"Resources/part-{number}.tfrecords")
        hdfs.dump("not one", "Resources/other.txt")
        return contents

    def test_all_in_order(self, store: str, parts: list[bytes]) -> None:
        files = hdfs.localize("Resources/*.tfrecords")
        assert len(files) == 6
        assert [Path(path).read_bytes() for path in files] == parts
        assert [Path(path).read_bytes() for path in list(files)] == parts
        assert Path(files[-1]).read_bytes() == parts[-1]
        assert [Path(path).read_bytes() for path in files[1:3]] == parts[1:3]
        with pytest.raises(IndexError):
            files[6]

    def test_a_file_and_a_directory(self, store: str, parts: list[bytes]) -> None:
        assert [Path(path).read_bytes() for path in hdfs.localize("Resources/part-3.tfrecords")] == [parts[3]]
        hdfs.dump("", "Resources/_SUCCESS")
        assert [Path(path).name for path in hdfs.localize("Resources")] == [
            "other.txt",
            *(f"part-{number}.tfrecords" for number in range(6)),
        ]
        for path in ("Resources/none*", "Resources/none"):
            with pytest.raises(FileNotFoundError, match=r"does not exist|there is no file"):
                hdfs.localize(path)

    @HERE_ONLY
    def test_the_next_ones_are_fetched_meanwhile_and_no_more(
        self, store: str, parts: list[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        real = prefetch.file_to_read
        lock = threading.Lock()

        def fetch(path: str) -> str:
            with lock:
                asked.append(path[-len("0.tfrecords")])
            return real(path)

        monkeypatch.setattr(prefetch, "file_to_read", fetch)
        files = iter(hdfs.localize("Resources/*.tfrecords", ahead=2))
        assert asked == []
        next(files)
        deadline = time.monotonic() + 60
        while len(asked) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sorted(asked) == ["0", "1", "2"]
        next(files)
        while len(asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sorted(asked) == ["0", "1", "2", "3"]

    def test_what_goes_wrong_is_told_at_that_file(self, store: str, parts: list[bytes]) -> None:
        if store.startswith("/"):
            pytest.skip("nothing is copied")
        files = hdfs.localize("Resources/*.tfrecords", ahead=5)
        hdfs.delete("Resources/part-2.tfrecords")
        seen = iter(files)
        assert [Path(next(seen)).read_bytes() for _ in range(2)] == parts[:2]
        with pytest.raises(FileNotFoundError, match=r"part-2.tfrecords does not exist"):
            next(seen)
        assert Path(files[3]).read_bytes() == parts[3]
        hdfs.dump(parts[2], "Resources/part-2.tfrecords")
        assert Path(files[2]).read_bytes() == parts[2]

    @HERE_ONLY
    @pytest.mark.parametrize("keep", [1, 2, 4])
    def test_only_some_are_kept(self, store: str, parts: list[bytes], keep: int, tmp_path: Path) -> None:
        if store.startswith("/"):
            pytest.skip("nothing is copied")
        files = hdfs.localize("Resources/*.tfrecords", keep=keep)
        assert files._folder is not None
        for path, content in zip(files, parts, strict=True):
            assert Path(path).read_bytes() == content
            assert len([each for each in Path(files._folder).rglob("*") if each.is_file()]) <= keep
        assert list((tmp_path / "spark").iterdir()) == []
        folder = files._folder
        del files
        assert not os.path.exists(folder)

    def test_another_process_gets_it_by_pickle(self, store: str, parts: list[bytes]) -> None:
        for keep in (None, 2):
            files = hdfs.localize("Resources/*.tfrecords", ahead=1, keep=keep)
            assert Path(files[0]).read_bytes() == parts[0]
            again = pickle.loads(pickle.dumps(files))
            assert again._folder is None or again._folder != files._folder
            assert [Path(path).read_bytes() for path in again] == parts

    @HERE_ONLY
    @pytest.mark.parametrize("options", [{"ahead": -1}, {"ahead": 1.5}, {"keep": 0}, {"keep": True}])
    def test_bad_options_are_told(self, store: str, parts: list[bytes], options: dict[str, Any]) -> None:
        with pytest.raises(InvalidArguments, match="give a whole number"):
            hdfs.localize("Resources/*.tfrecords", **options)


WORKERS = """
import multiprocessing, os
from hopslite import hdfs

def work(found, told):
    open(found[1]).read()
    told.put(found._folder)

hdfs.dump("0", "Resources/part-0")
hdfs.dump("1", "Resources/part-1")
found = hdfs.localize("Resources/part-*", keep=2)
for method in ("fork", "spawn") if __name__ == "__main__" else ():
    context = multiprocessing.get_context(method)
    told = context.Queue()
    worker = context.Process(target=work, args=(found, told))
    worker.start()
    folder = told.get(timeout=60)
    worker.join(60)
    assert worker.exitcode == 0
    assert folder != found._folder and not os.path.exists(folder), method
assert os.path.isdir(found._folder)
if __name__ == "__main__":
    print(found._folder)
"""


def test_processes_that_load_data_leave_nothing(here: Path) -> None:
    (here / "workers.py").write_text(WORKERS)
    ran = subprocess.run(
        [sys.executable, "workers.py"],
        check=False,
        env={**os.environ, "HOPSLITE_PROJECT": "memory://project"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert ran.returncode == 0, ran.stderr
    assert not os.path.exists(ran.stdout.strip())


FORKS = """
import faulthandler, os, sys
from hopslite import hdfs

faulthandler.dump_traceback_later(60, exit=True)
for number in range(4):
    hdfs.dump(str(number), f"Resources/part-{number}")
found = hdfs.localize("Resources/part-*", ahead=2, keep=None if sys.argv[1] == "all" else 3)
assert open(found[0]).read() == "0"
with found._lock:
    child = os.fork()
    if not child:
        os._exit(int(open(found[1]).read() != "1"))
assert os.waitpid(child, 0)[1] == 0
assert open(found[0]).read() == "0", "the child removed what is the parent's"
"""


@pytest.mark.parametrize("keep", ["all", "three"])
def test_a_process_that_is_forked_while_files_are_fetched(keep: str, here: Path) -> None:
    """As a worker of a data loader: the threads that download are not in it."""
    environment = {**os.environ, "HOPSLITE_PROJECT": "memory://forks"}
    command = [sys.executable, "-c", FORKS, keep]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
