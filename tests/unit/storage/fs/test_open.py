"""File systems that cannot be had: each failure is one clear error, in a bounded time, and tells no secret."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite.core.redaction import without_credentials
from hopslite.errors import MissingExtra, StoreError
from hopslite.hdfs import dump, load, open_file
from hopslite.storage.fs import azure as azure_module
from hopslite.storage.fs import gcs as gcs_module
from hopslite.storage.fs import hdfs
from hopslite.storage.fs import s3 as s3_module
from hopslite.storage.fs.open import open_url
from hopslite.storage.fs.urls import KINDS, access_variables, errors_of, forget_connections, is_local, scheme_of
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from tests.helpers.cloud_stores import Azurite, FakeGcs
from tests.helpers.observe import PATIENCE_S
from tests.helpers.servers import free_port
from tests.helpers.stores import S3, Hdfs

KEY, SECRET = "AKIA-of-ada", "s3cr3t-of-ada"
MOST_S = 60.0
CALLS: list[Callable[[RunDir], Any]] = [
    RunDir.exists,
    RunDir.list,
    lambda run: run.makedirs("deep"),
    lambda run: run.read_bytes("a"),
    lambda run: run.read_many(["a", "b"]),
    lambda run: run.create("a", b"1"),
]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port on 127.0.0.1 that accepts, takes what it is sent, and never answers."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    accepted: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                accepted.append(listener.accept()[0])
            except OSError:
                return

    accepting = threading.Thread(target=accept)
    accepting.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    accepting.join()
    for each in accepted:
        each.close()


@pytest.fixture
def access(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Set how S3 is reached; what was opened with another address or key is forgotten before and after."""

    def use(**variables: str) -> None:
        s3_module.S3.clear_instance_cache()
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    use(
        AWS_ACCESS_KEY_ID=KEY,
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_DEFAULT_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
    )
    yield use
    s3_module.S3.clear_instance_cache()


def refusal(call: Callable[[], Any], within: float = MOST_S) -> str:
    """What a person is told: the message of one StoreError or PermissionError that came in time."""
    began = time.monotonic()
    with pytest.raises((StoreError, PermissionError)) as caught:
        call()
    assert time.monotonic() - began < within
    text = str(caught.value)
    assert "\n" not in text
    for secret in (KEY, SECRET, "hunter2"):
        assert secret not in text
    return text


class TestMissingPackage:
    @pytest.mark.parametrize(
        ("url", "package", "install"),
        [
            ("hdfs://node/x", "hdfs_native", 'pip install "hopslite[hdfs]"'),
            ("viewfs://cluster/x", "hdfs_native", 'pip install "hopslite[hdfs]"'),
            ("s3://bucket/x", "s3fs", 'pip install "hopslite[s3]"'),
            ("s3a://bucket/x", "s3fs", 'pip install "hopslite[s3]"'),
            ("gs://bucket/x", "gcsfs", 'pip install "hopslite[gs]"'),
            ("az://box/x", "adlfs", 'pip install "hopslite[azure]"'),
        ],
    )
    def test_it_is_named(self, url: str, package: str, install: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtra) as caught:
            Project(url)
        assert url.partition("://")[0] + "://" in str(caught.value)
        assert repr(package) in str(caught.value)
        assert install in str(caught.value)

    def test_nothing_of_them_is_imported_before_it_is_needed(self) -> None:
        program = (
            "import sys, hopslite; from hopslite.storage.project import Project; Project('/nowhere');"
            "print({'s3fs', 'botocore', 'hdfs_native', 'aiohttp', 'gcsfs', 'adlfs', 'azure'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PATIENCE_S
        )
        assert done.stdout == "set()\n"


class TestTwoColons:
    """To fsspec `a::b` is a chain of URLs, of which it opens the first."""

    @pytest.mark.parametrize("prefix", ["", "file://", "local://"])
    def test_are_part_of_a_local_name(self, tmp_path: Path, prefix: str) -> None:
        fs, path = open_url(f"{prefix}{tmp_path}/keep::v1")
        assert (is_local(fs), path) == (True, f"{tmp_path}/keep::v1")
        RunDir(f"{prefix}{tmp_path}").sub("a::b").makedirs()
        assert os.listdir(tmp_path) == ["a::b"]

    @pytest.mark.parametrize("url", ["s3://bucket/keep::v1", "s3a://bucket/keep::v1", "memory://keep::v1"])
    def test_are_part_of_a_name_where_the_file_system_is_ours(self, url: str) -> None:
        assert open_url(url)[1].endswith("keep::v1")

    @pytest.mark.parametrize(
        "url", ["ftp://host/keep::v1", "simplecache::memory://x", "keep::v1://x", "memory::ftp://x"]
    )
    def test_are_refused_elsewhere(self, url: str) -> None:
        with pytest.raises(StoreError, match="'::' cannot be in a URL of this kind"):
            open_url(url)


class TestS3:
    def test_a_server_that_refuses_connections(self, access: Callable[..., None]) -> None:
        address = f"http://127.0.0.1:{free_port()}"
        access(AWS_ENDPOINT_URL=address)
        run = RunDir("s3://bucket/x")
        for call in CALLS:
            text = refusal(lambda call=call: call(run))  # type: ignore[misc]
            assert address in text
            assert "s3://bucket/x" in text

    def test_a_server_that_never_answers(
        self, access: Callable[..., None], silent: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert 2 * s3_module.ATTEMPTS * s3_module.READ_SECONDS < MOST_S  # twice when a file is read
        monkeypatch.setattr(s3_module, "READ_SECONDS", 0.3)
        access(AWS_ENDPOINT_URL=f"http://127.0.0.1:{silent}")
        run = RunDir("s3://bucket/x")
        for call in (*CALLS, lambda run: Project(run.url).new_run("x")):
            began = time.monotonic()
            assert f"http://127.0.0.1:{silent}" in refusal(lambda call=call: call(run))  # type: ignore[misc]
            assert time.monotonic() - began < 20
        (problem,) = Project("s3://bucket/x").check_writable()
        assert f"http://127.0.0.1:{silent}" in problem

    @pytest.mark.parametrize(
        ("key", "secret"), [(S3.KEY, SECRET), (KEY, S3.SECRET), (KEY, SECRET)], ids=["secret", "key", "both"]
    )
    def test_wrong_credentials(self, access: Callable[..., None], s3: S3, key: str, secret: str) -> None:
        access(**{**s3.environment, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret})
        url = s3.fresh()
        for call in (*CALLS, lambda run: run.write_bytes("a", b"1"), lambda run: Project(run.url).new_run("x")):
            text = refusal(lambda call=call: call(RunDir(url)))  # type: ignore[misc]
            assert s3.endpoint in text
            assert url in text
            assert S3.SECRET not in text
        (problem,) = Project(url).check_writable()
        assert s3.endpoint in problem

    def test_no_credentials(
        self, access: Callable[..., None], s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        access(**s3.environment, AWS_CONFIG_FILE=str(tmp_path), AWS_SHARED_CREDENTIALS_FILE=str(tmp_path))
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert "credentials" in refusal(lambda: Project(s3.fresh()).new_run("x"))

    def test_a_bucket_that_does_not_exist_is_told_and_not_made(self, access: Callable[..., None], s3: S3) -> None:
        access(**s3.environment)
        project = Project("s3://no-such-bucket/project")
        (problem,) = project.check_writable()
        assert f"there is no bucket 'no-such-bucket' at {s3.endpoint}" in problem
        assert "there is no bucket 'no-such-bucket'" in refusal(lambda: project.new_run("x"))
        with pytest.raises(FileNotFoundError, match="there is no bucket 'no-such-bucket'"):
            project.read_bytes("a")
        assert [bucket["Name"] for bucket in s3.client().list_buckets()["Buckets"]] == [S3.BUCKET]

    def test_credentials_in_a_url_are_refused(self) -> None:
        assert "AWS_ACCESS_KEY_ID" in refusal(lambda: Project("s3://joe:hunter2@bucket/x"))

    def test_marks_of_directories_are_no_files(self, access: Callable[..., None], s3: S3) -> None:
        access(**s3.environment)
        run = RunDir(s3.fresh())
        _, _, key = run.url.removeprefix("s3://").partition("/")
        for name in (f"{key}/", f"{key}/deep/"):
            s3.client().put_object(Bucket=S3.BUCKET, Key=name, Body=b"")
        run.write_bytes("deep/a", b"1")
        assert run.list() == ["deep"]
        assert run.list("deep") == ["a"]
        assert list(run.fs.find(f"{S3.BUCKET}/{key}")) == [f"{S3.BUCKET}/{key}/deep/a"]

    def test_a_file_is_read_in_one_request(
        self, access: Callable[..., None], s3: S3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Several requests cost more, and could meet several versions of the file."""
        access(**s3.environment)
        run = RunDir(s3.fresh())
        run.write_bytes("a", b"1")
        asked: list[str] = []
        call = s3_module.S3._call_s3

        async def counted(fs: Any, method: str, *args: Any, **options: Any) -> Any:
            asked.append(method)
            return await call(fs, method, *args, **options)

        monkeypatch.setattr(s3_module.S3, "_call_s3", counted)
        assert run.read_bytes("a") == b"1"
        assert asked == ["get_object"]
        assert run.read_many(["a", "b"]) == [b"1", None]
        assert asked == ["get_object"] * 3

    def test_two_that_write_at_the_same_moment_are_tried_again(
        self, access: Callable[..., None], s3: S3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SeaweedFS never answers so; AWS does, when another conditional write of the same key is going on."""
        from botocore.exceptions import ClientError
        from s3fs import S3FileSystem

        access(**s3.environment)
        run = RunDir(s3.fresh())
        answers = ["ConditionalRequestConflict"] * 2
        call = S3FileSystem._call_s3

        async def conflict(fs: Any, method: str, *args: Any, **options: Any) -> Any:
            if method == "put_object" and answers:
                response = {"Error": {"Code": answers.pop(), "Message": "conflict"}}
                raise OSError("conflict") from ClientError(response, "PutObject")
            return await call(fs, method, *args, **options)

        monkeypatch.setattr(S3FileSystem, "_call_s3", conflict)
        assert run.create("a", b"1")
        assert not answers
        assert not run.create("a", b"2")


class TestGoogleAndAzure:
    """gcsfs and adlfs, which by themselves try a server that is not there for 40 s and 90 s."""

    @pytest.fixture(params=["gs", "az"])
    def reached_at(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], str]:
        """Have the store reached at a port of this machine; returns the URL of a directory there."""

        def reach(port: int) -> str:
            forget_connections()
            server = f"http://127.0.0.1:{port}"
            if request.param == "gs":
                monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
            else:
                account = f"AccountName={Azurite.ACCOUNT};AccountKey={Azurite.KEY}"
                endpoint = f"BlobEndpoint={server}/{Azurite.ACCOUNT}"
                monkeypatch.setenv(
                    "AZURE_STORAGE_CONNECTION_STRING", f"DefaultEndpointsProtocol=http;{account};{endpoint};"
                )
            return f"{request.param}://bucket/x"

        return reach

    def test_a_server_that_refuses_connections(self, reached_at: Callable[[int], str]) -> None:
        port = free_port()
        url = reached_at(port)
        for call in CALLS[3:]:
            text = refusal(lambda call=call: call(RunDir(url)), within=20.0)  # type: ignore[misc]
            assert f"127.0.0.1:{port}" in text
            assert url in text
            assert Azurite.KEY not in text

    @pytest.mark.slow("stores")
    def test_a_server_that_never_answers(
        self, reached_at: Callable[[int], str], silent: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (azure_module, gcs_module):
            assert 2 * module.ATTEMPTS * module.READ_SECONDS < MOST_S
            monkeypatch.setattr(module, "READ_SECONDS", 0.3)
        url = reached_at(silent)
        for call in (RunDir.list, *CALLS[3:]):
            assert url in refusal(lambda call=call: call(RunDir(url)), within=20.0)  # type: ignore[misc]

    @pytest.mark.parametrize("kind", ["gs", "azure"])
    def test_a_bucket_that_does_not_exist_is_told_and_not_made(
        self, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = request.getfixturevalue(kind)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        forget_connections()
        project = Project(server.fresh().replace("://tests/", "://no-such-bucket/"))
        (problem,) = project.check_writable()
        if kind == "gs":
            assert f"the bucket 'no-such-bucket' does not exist at {server.endpoint}" in problem
        assert "does not exist" in problem
        assert "does not exist" in refusal(lambda: project.new_run("x"))
        assert not project.fs.exists("no-such-bucket")

    def test_an_object_of_google_is_not_replaced_by_appending(
        self, gs: FakeGcs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in gs.environment.items():
            monkeypatch.setenv(name, value)
        forget_connections()
        monkeypatch.setenv("HOPSLITE_PROJECT", gs.fresh())
        dump("abc", "Resources/x")
        with pytest.raises(StoreError, match="files in this store cannot be appended to"):
            open_file("Resources/x", flags="a")
        assert load("Resources/x") == b"abc"


class TestHdfs:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setitem(hdfs.FAILOVER, "dfs.client.failover.sleep.base.millis", "10")
        hdfs.Hdfs.clear_instance_cache()
        yield
        hdfs.Hdfs.clear_instance_cache()

    def test_a_name_node_that_refuses_connections(self) -> None:
        url = f"hdfs://127.0.0.1:{free_port()}/x"
        run = RunDir(url)
        for call in CALLS:
            text = refusal(lambda call=call: call(run))  # type: ignore[misc]
            assert url in text
            assert "refused" in text

    def test_a_name_node_that_never_answers(self, silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
        assert hdfs.ANSWER_SECONDS < MOST_S
        monkeypatch.setattr(hdfs, "ANSWER_SECONDS", 0.5)
        url = f"hdfs://127.0.0.1:{silent}/x"
        for call in (*CALLS, lambda run: Project(run.url).new_run("x")):
            began = time.monotonic()
            text = refusal(lambda call=call: call(RunDir(url)))  # type: ignore[misc]
            assert time.monotonic() - began < 20
            assert url in text
            assert "has not answered" in text

    def test_a_host_that_nobody_knows(self) -> None:
        assert "hdfs://no-such-host.invalid:8020/x" in refusal(
            lambda: RunDir("hdfs://no-such-host.invalid:8020/x").list()
        )

    def test_no_permission(self, hdfs_server: Hdfs, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HADOOP_USER_NAME", "joe")
        url = hdfs_server.fresh()
        run = RunDir(url)
        for call in (
            lambda: run.makedirs("deep"),
            lambda: run.create("a", b"1"),
            lambda: run.write_bytes("a", b"1"),
        ):
            with pytest.raises(PermissionError, match="Permission denied: user=joe") as caught:
                call()
            assert url in str(caught.value)
            assert "\n" not in str(caught.value)
        assert "Permission denied: user=joe" in refusal(lambda: Project(url).new_run("x"))

    def test_a_rename_of_which_only_the_answer_is_lost(
        self, hdfs_server: Hdfs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """hdfs-native asks again when a connection breaks, and is told that there is no such file."""
        run = RunDir(hdfs_server.fresh())
        rename = run.fs.client.rename

        def again(*arguments: Any) -> None:
            rename(*arguments)
            rename(*arguments)

        monkeypatch.setattr(run.fs.client, "rename", again)
        assert run.create("a", b"1")
        run.write_bytes("b", b"2")
        monkeypatch.undo()
        assert run.list() == ["a", "b"]
        assert not run.create("a", b"3")

    def test_a_write_that_fails_leaves_nothing(self, hdfs_server: Hdfs, tmp_path: Any) -> None:
        run = RunDir(hdfs_server.fresh())
        run.write_bytes("a", b"old")

        class Broken(bytes):
            def __len__(self) -> int:
                raise RuntimeError("out of order")

        with pytest.raises(StoreError, match="out of order"):
            run.create("b", Broken())
        assert run.list() == ["a"]
        assert run.read_bytes("a") == b"old"


def test_one_of_many_threads_creates_a_file_in_memory() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for turn in range(200):
            run = RunDir(f"memory://{secrets.token_hex(8)}")
            barrier = threading.Barrier(8)
            wins: list[bool] = []

            def create(run: RunDir = run, barrier: threading.Barrier = barrier, wins: list[bool] = wins) -> None:
                barrier.wait()
                wins.append(run.create("claim", b"1"))

            threads = [threading.Thread(target=create) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(wins) == [False] * 7 + [True], turn
    finally:
        sys.setswitchinterval(before)


class TestErrors:
    def test_the_kind_of_an_error_stays_and_its_place_is_told(self) -> None:
        for kind in KINDS:
            with pytest.raises(kind, match="s3://bucket/x: what happened") as caught, errors_of("s3://bucket/x"):
                raise kind("what happened\nand pages more")
            assert "pages" not in str(caught.value)
        for other in (OSError(5, "what happened"), RuntimeError("what happened"), TimeoutError("what happened")):
            with pytest.raises(StoreError, match=r"s3://bucket/x: .*what happened"), errors_of("s3://bucket/x"):
                raise other

    def test_an_error_that_says_where_stays_as_it_is(self) -> None:
        for error in (
            StoreError("a message"),
            FileNotFoundError(2, "No such file", "/a/b"),
            PermissionError("at s3://b/x"),
        ):
            with pytest.raises(OSError) as caught, errors_of("s3://b/x"):
                raise error
            assert caught.value is error

    def test_credentials_are_left_out(self) -> None:
        assert without_credentials("see webhdfs://joe:hunter2@node:1/x") == "see webhdfs://node:1/x"
        for kind in (PermissionError, OSError, RuntimeError):
            with pytest.raises(OSError, match="node") as caught, errors_of("webhdfs://joe:hunter2@node/x"):
                raise kind("no http://joe:hunter2@node/y")
            assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ("abfs://container@account.dfs.core.windows.net/a", "abfs://container@account.dfs.core.windows.net/a"),
            ("abfss://c@a/b", "abfss://c@a/b"),
            ("abfs://user:word@a/b", "abfs://a/b"),
            ("https://h/x.tar?X-Amz-Signature=abc", "https://h/x.tar"),
            ("at http://u:p@h/x?sig=abc: no", "at http://h/x no"),
            ("hdfs://a/b?c", "hdfs://a/b?c"),
            ("s3://key:secret@bucket/x", "s3://bucket/x"),
            ("http://ada:pw@host:5000/path", "http://host:5000/path"),
            ("https://u:pa/ss@h/x", "https://h/x"),
            ("https://u:p?w@h/x?sig=abc", "https://h/x"),
            ("https://h/x;v=1?sig=abc", "https://h/x;v=1"),
            ("https://h:8080/joe@corp/x", "https://h:8080/joe@corp/x"),
            ("mysql://u:pa/ss@host/db", "mysql://host/db"),
            ("mysql://u:p?a/s@s@host/db", "mysql://host/db"),
            ("mysql+pymysql://u:12/3@host/db", "mysql+pymysql://host/db"),
            ("postgresql+psycopg2://ada:p%40w@host/db?password=pw", "postgresql+psycopg2://host/db"),
            ("no postgresql://host/db?user=u&password=secret here", "no postgresql://host/db here"),
            ("jdbc:sqlserver://db;user=joe;pwd=hunter2", "jdbc:sqlserver://db"),
            ("sqlite:////home/joe@corp/mlflow.db", "sqlite:////home/joe@corp/mlflow.db"),
            ("databricks", "databricks"),
            ("s3://bucket/joe@corp/x?y=1", "s3://bucket/joe@corp/x?y=1"),
            ("s3://bucket/x?X-Amz-Signature=abc", "s3://bucket/x"),
            ("s3://k:s/s@bucket/x", "s3://bucket/x"),
            ("s3://k:s@bucket/joe@corp", "s3://bucket/joe@corp"),
            ("hdfs://node:8020/joe@corp/x", "hdfs://node:8020/joe@corp/x"),
            ("abfs://container@account/joe@corp", "abfs://container@account/joe@corp"),
            ("a=s3://b/x,c=mysql://u:p/w@h/d", "a=s3://b/x,c=mysql://h/d"),
            ("zip://a.csv::s3://k:s@b/x", "zip://a.csv::s3://b/x"),
            ("two s3://k:s@b/x and postgresql://u:p@h/d", "two s3://b/x and postgresql://h/d"),
        ],
    )
    def test_what_is_shown_of_a_url(self, given: str, shown: str) -> None:
        assert without_credentials(given) == shown

    def test_the_number_of_an_error_stays(self) -> None:
        full = OSError(errno.ENOSPC, "No space left on device")
        with pytest.raises(OSError, match=r"there: .*No space left") as caught, errors_of("there"):
            raise full
        assert caught.value.errno == errno.ENOSPC

    def test_a_name_service_keeps_its_letters(self) -> None:
        assert hdfs.address_of("ProdNS/a") == ("ProdNS", None)
        assert hdfs.address_of("Ann@Host:8020/a:1") == ("Host", 8020)
        assert hdfs.address_of("/a") == (None, None)

    def test_schemes(self) -> None:
        assert [scheme_of(url) for url in ("/a/b", "a", "file:///a", "s3://b/x", "C:\\a")] == [
            "file",
            "file",
            "file",
            "s3",
            "file",
        ]

    def test_what_others_need_to_reach_the_same_stores(self) -> None:
        access = {"AWS_ACCESS_KEY_ID": "k", "HADOOP_CONF_DIR": "/c", "MLFLOW_TRACKING_TOKEN": "t"}
        assert access_variables({**access, "HOME": "/root", "PATH": "/bin", "MLFLOW_RUN_ID": "r"}) == access

    def test_a_path_is_given_as_it_is(self, tmp_path: Any) -> None:
        assert open_url(f"{tmp_path}/a b")[1] == f"{tmp_path}/a b"
        assert open_url("hdfs://127.0.0.1:1/a?b#c%20 d/")[1] == "/a?b#c%20 d"
        assert open_url("s3://bucket/a?b#c%20 d")[1] == "bucket/a?b#c%20 d"


FORKS = """
import faulthandler, multiprocessing, os, sys
from hopslite.storage.fs.open import open_url

faulthandler.dump_traceback_later(60, exit=True)
fs, path = open_url(sys.argv[1])
fs.pipe_file(f"{path}/a", b"1")
del fs  # only fsspec has it now, and lets go of it in a fork

def read():
    fs, path = open_url(sys.argv[1])
    if "hdfs" not in fs.protocol:  # whose connections to DataNodes are dead in a forked process
        assert fs.cat_file(f"{path}/a") == b"1"
    os._exit(int(fs.info(f"{path}/a")["size"] != 1))

for _ in range(2):
    child = multiprocessing.get_context("fork").Process(target=read)
    child.start()
    child.join(20)
    assert child.exitcode == 0, child.exitcode
    assert open_url(sys.argv[1])[0].cat_file(f"{path}/a") == b"1"
os._exit(0)
"""


@pytest.mark.parametrize("kind", ["s3", "hdfs_server", "gs", "azure"])
def test_a_process_that_is_forked(kind: str, request: pytest.FixtureRequest) -> None:
    """As by a data loader with workers, in a program that has a project on a server."""
    server = request.getfixturevalue(kind)
    environment = {**os.environ, **server.environment}
    with subprocess.Popen(
        [sys.executable, "-c", FORKS, server.fresh()], env=environment, start_new_session=True
    ) as done:
        try:
            assert done.wait(100) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(done.pid, signal.SIGKILL)  # a child that hangs
