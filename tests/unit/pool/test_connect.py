"""Spark Connect without a server: which session a run takes, a cluster's capacity, and what is sent to executors."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from hopslite.errors import InvalidArguments, MissingExtra, SparkUnavailable
from hopslite.pool import _connect_backend, _connect_server, _connect_session, _connect_task, _spark_session
from hopslite.pool._connect_cluster import ConnectCluster
from hopslite.pool._connect_session import Endpoint, error_line, is_wanted, open_session, remote_address
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import in_background


@pytest.fixture(autouse=True)
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that has made none, whatever other tests of this process have."""
    for name in ("SPARK_REMOTE", "PYSPARK_SUBMIT_ARGS", "SPARK_CONNECT_MODE_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    for name in ("pyspark.core.context", "pyspark.context", "pyspark.sql.connect.session"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def session_of(port: int, answers: threading.Event) -> Any:
    """A session of a server on this machine, whose version is known when `answers` is set."""

    class Session:
        is_stopped = False
        client = SimpleNamespace(_builder=SimpleNamespace(endpoint=f"127.0.0.1:{port}"))

        @property
        def version(self) -> str:
            answers.wait()
            return "4.0.0"

    return Session()


class TestWhichSession:
    def test_by_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not is_wanted(None)
        monkeypatch.setenv("SPARK_REMOTE", "sc://host")
        assert is_wanted(None)
        assert not is_wanted(object())
        context = SimpleNamespace(SparkContext=SimpleNamespace(_active_spark_context=object()))
        monkeypatch.setitem(sys.modules, "pyspark.core.context", context)  # type: ignore[arg-type]
        assert not is_wanted(None)  # the program has made a classic session

    @pytest.mark.parametrize(
        ("options", "address"),
        [
            ("--remote sc://a:1 pyspark-shell", "sc://a:1"),
            ("--conf spark.remote=sc://b pyspark-shell", "sc://b"),
            ("--master local[2] pyspark-shell", None),
            ("--conf 'unclosed", None),
        ],
    )
    def test_by_the_options_of_spark_submit(
        self, options: str, address: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", options)
        assert remote_address() == address

    def test_the_active_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kind = SimpleNamespace(getActiveSession=lambda: None, _get_default_session=lambda: "the default one")
        monkeypatch.setitem(
            sys.modules,
            "pyspark.sql.connect.session",
            SimpleNamespace(SparkSession=kind),  # type: ignore[arg-type]
        )
        assert is_wanted(None)
        assert _connect_session.current_session() == "the default one"

    def test_a_master_and_a_server_are_one_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SPARK_REMOTE", "sc://host/;token=hunter2")
        monkeypatch.setattr(_spark_session, "_active_session", lambda: None)
        with pytest.raises(
            SparkUnavailable, match=r"master is local\[2\], and SPARK_REMOTE=sc://host.*one of them"
        ) as e:
            _spark_session.open_session(master="local[2]")
        assert "hunter2" not in str(e.value)


class TestErrors:
    def test_missing_packages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hopslite.core.extras._is_installed", lambda package: package != "grpc")
        with pytest.raises(MissingExtra, match=r"Spark Connect needs grpc.*hopslite\[connect\]"):
            open_session(remote="sc://127.0.0.1:1")

    def test_a_client_without_a_server_to_talk_to(self) -> None:
        with pytest.raises(SparkUnavailable, match="SPARK_REMOTE=sc://HOST:15002"):
            open_session()

    def test_a_session_that_was_stopped(self) -> None:
        with pytest.raises(InvalidArguments, match="this session was stopped"):
            open_session(SimpleNamespace(is_stopped=True))

    def test_an_old_server(self) -> None:
        session = SimpleNamespace(is_stopped=False, version="3.5.9", client=SimpleNamespace())
        with pytest.raises(SparkUnavailable, match=r"runs Spark 3\.5\.9; trials need 4\.0"):
            open_session(session)

    def test_a_server_that_accepts_connections_and_says_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_connect_session, "ANSWER_SECONDS", 0.1)
        silent = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            with pytest.raises(SparkUnavailable, match=rf"answers at sc://127.0.0.1:{port} \(no answer within 0.1 s"):
                open_session(session_of(port, silent))
        silent.set()

    def test_a_server_that_answers_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is busy: whoever waits looks at it several times before there is an answer."""
        monkeypatch.setattr(_connect_session, "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(_connect_session, "GONE_SECONDS", 1e-9)
        looked = threading.Semaphore(0)
        answers = threading.Event()

        def look(endpoint: Endpoint) -> None:
            looked.release()

        monkeypatch.setattr(Endpoint, "problem", look)
        session = session_of(1, answers)
        with in_background(lambda: open_session(session)) as opened:
            for _ in range(5):
                looked.acquire()
            answers.set()
            assert opened.result() is session

    def test_a_server_that_goes_away_before_it_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_connect_session, "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(_connect_session, "GONE_SECONDS", 0.1)
        silent = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(SparkUnavailable, match=rf"answers at sc://127.0.0.1:{port} \(Connection refused\)"):
            open_session(session_of(port, silent))
        silent.set()

    def test_the_line_of_a_grpc_error_that_says_something(self) -> None:
        text = (
            '<_MultiThreadedRendezvous of RPC that terminated with:\n\tstatus = X\n\tdetails = "no such token"\n\tdebug'
        )
        assert error_line(RuntimeError(text)) == "no such token"
        assert error_line(ValueError("first\nsecond")) == "first"
        assert error_line(ValueError()) == "ValueError"

    @pytest.mark.parametrize(
        ("facts", "says"),
        [
            ({"problem": "No module named 'cloudpickle'"}, "fails to load hopslite .*cloudpickle.*docs/clusters.md"),
            ({"route": "timed out"}, r"cannot connect to this machine at 10.0.0.9:4000 \(timed out\).*CHANNEL_HOST"),
        ],
    )
    def test_of_executors(self, facts: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
        backend = backend_with(
            {"host": "w1", "executable": "/usr/bin/python3", "python": "3.11.2", **facts}, monkeypatch
        )
        with pytest.raises(SparkUnavailable, match=says):
            backend.check(SimpleNamespace(), ("10.0.0.9", 4000))

    def test_where_executors_cannot_connect_messages_go_through_the_project(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = backend_with({"host": "w1", "route": "timed out"}, monkeypatch)
        backend._channel = "auto"
        backend.check(SimpleNamespace(), ("10.0.0.9", 4000))
        assert backend.notes == (
            "executors on w1 cannot connect to this machine at 10.0.0.9:4000 (timed out), so messages of trials go "
            "through the project (channel=relay)",
        )
        url = backend.start_relay(RunDir(str(tmp_path)), SimpleNamespace(address=("127.0.0.1", 1)))
        assert Path(url, "alive").exists()
        backend._relay.close()
        assert not list(tmp_path.iterdir())

    def test_hopslite_is_sent_once_to_executors_without_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = [{"problem": "No module named 'hopslite'"}, {"host": "w1"}]
        sent: list[str] = []
        backend = backend_with({}, monkeypatch)
        monkeypatch.setattr(backend, "_probe", lambda address: answers.pop(0))
        monkeypatch.setattr(_connect_backend, "add_hopslite", lambda session: sent.append("it") or "hopslite.zip")
        backend.check(SimpleNamespace(), ("h", 1))
        backend.check(SimpleNamespace(), ("h", 1))
        assert (sent, backend._archive, answers) == (["it"], "hopslite.zip", [])  # asked once per session


def backend_with(facts: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    backend = _connect_backend.ConnectBackend.__new__(_connect_backend.ConnectBackend)
    server = SimpleNamespace(
        session=SimpleNamespace(),
        facts={"connect_server": "sc://h:1", "version": "4.3.0"},
        query=lambda *_: [json.dumps(facts)],
    )
    backend._server, backend._channel = server, "direct"  # type: ignore[assignment]
    return backend


class Server:
    """A server of which only facts are known."""

    def __init__(self, master: str, cores: int, host: str = "127.0.0.1", **conf: str) -> None:
        settings = {name.replace("__", "."): value for name, value in conf.items()}
        self.facts = {"master": master, "version": "4.3.0", "conf": settings}
        self.endpoint = Endpoint(host, 15002)
        self.session = SimpleNamespace()
        self._cores = cores

    def cores(self) -> int:
        return self._cores

    def answer(self, request: Any) -> Any:
        return request()


def cluster(server: Server, cpus: int | None = None, gpus: float | None = None, **options: Any) -> ConnectCluster:
    return ConnectCluster(server, cpus, gpus, **options)  # type: ignore[arg-type]


class TestCapacity:
    def test_of_cores(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hopslite.pool._connect_cluster._create_profile", lambda *_: 7)
        assert cluster(Server("local[4]", 4)).capacity() == 4
        assert cluster(Server("local[4]", 4), cpus=2).capacity() == 2
        assert cluster(Server("spark://m:7077", 12)).capacity() == 12
        assert cluster(Server("spark://m:7077", 12), cpus=4).capacity() == 3
        assert cluster(Server("spark://m:7077", 12), cpus=4).profile.id == 7
        assert cluster(Server("local-cluster[2,3,1024]", 2)).max_slots(1) == 6  # executors are still starting

    def test_of_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hopslite.pool._connect_cluster._create_profile", lambda *_: 7)
        conf = {"spark__executor__cores": "4", "spark__executor__resource__gpu__amount": "2"}
        assert cluster(Server("yarn", 12, **conf), gpus=1).capacity() == 6
        assert cluster(Server("yarn", 12, **conf), gpus=0.5).capacity() == 12
        assert "has 2 GPUs" in cluster(Server("yarn", 12, **conf), gpus=3).problems()[0]

    def test_requests_of_the_profile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        requests: list[Any] = []
        monkeypatch.setattr(
            "hopslite.pool._connect_cluster._create_profile", lambda session, *made: requests.append(made) or 1
        )
        made = cluster(Server("yarn", 4, spark__executor__resource__gpu__amount="1"), cpus=2, gpus=1)
        assert not requests  # before anybody has looked whether that is possible
        assert made.profile.id == 1
        assert requests == [({"cpus": 2, "gpu": 1.0}, {}, "", "")]

    def test_requests_of_executors_that_spark_starts_for_the_profile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        requests: list[Any] = []
        monkeypatch.setattr(
            "hopslite.pool._connect_cluster._create_profile", lambda session, *made: requests.append(made) or 1
        )
        conf = {
            "spark__dynamicAllocation__enabled": "true",
            "spark__executor__cores": "4",
            "spark__executor__resource__gpu__amount": "2",
            "spark__executor__resource__gpu__discoveryScript": "/opt/gpus.sh",
        }
        assert cluster(Server("yarn", 4, **conf), gpus=1).profile.id == 1
        assert cluster(Server("yarn", 4, **conf), cpus=2).profile.id == 1
        assert requests == [
            ({"cpus": 1, "gpu": 1.0}, {"cores": 4, "gpu": 2}, "/opt/gpus.sh", ""),
            ({"cpus": 2}, {"cores": 4}, "/opt/gpus.sh", ""),
        ]


class TestAddress:
    def test_on_one_machine(self) -> None:
        made = cluster(Server("local[2]", 2))
        assert (made.driver_host, made.bind_address) == ("127.0.0.1", "127.0.0.1")

    def test_of_a_server_beside_the_program_whose_executors_are_elsewhere(self) -> None:
        """They reach the server at spark.driver.host, which is this machine."""
        made = cluster(Server("spark://m:7077", 2, spark__driver__host="127.0.0.3"))
        assert made.driver_host == "127.0.0.3"

    def test_that_the_settings_say(self) -> None:
        made = cluster(Server("local[2]", 2), host="192.0.2.7")  # not of this machine: connections are forwarded
        assert (made.driver_host, made.bind_address) == ("192.0.2.7", "0.0.0.0")


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    for row in range(rows):
        yield pa.RecordBatch.from_pydict({"id": [row]})


def echo_ranks(ranks: Any) -> Iterator[str]:
    return (f"rank {rank}" for rank in ranks)


class TestFunctions:
    def test_executors_need_no_hopslite_to_load_them(self) -> None:
        from pyspark import cloudpickle

        for function in (
            _connect_task.slot_function(len, [0], "hopslite.zip"),  # type: ignore[arg-type]
            _connect_task.probe_function(("h", 1)),
            _connect_task.gpu_function(),
        ):
            assert b"hopslite.pool._connect_task" not in cloudpickle.dumps(function)

    def test_each_task_has_its_rank(self) -> None:
        function = _connect_task.slot_function(echo_ranks, [3, 5], "")
        assert [batch.to_pydict() for batch in function(batches(2))] == [{"answer": ["rank 3"]}, {"answer": ["rank 5"]}]

    def test_the_archive_is_unpacked_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import zipfile

        archive = tmp_path / "own-1.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("only_in_the_archive.py", "VALUE = 1")
        for _ in range(2):
            monkeypatch.setattr(sys, "path", [str(archive), *sys.path])
            list(_connect_task.slot_function(echo_ranks, [0], "own-1.zip")(batches(1)))
            assert sys.path[0] == f"{archive}.files"
        assert [path.name for path in sorted(tmp_path.iterdir())] == ["own-1.zip", "own-1.zip.files"]

    def test_the_probe_tells_of_the_way_to_the_driver(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            [answer] = _connect_task.probe_function(listener.getsockname())(batches(1))
        facts = json.loads(answer.to_pydict()["answer"][0])
        assert facts["rows"] == 1
        assert "problem" not in facts
        assert "route" not in facts
        [answer] = _connect_task.probe_function(("127.0.0.1", 1))(batches(1))
        assert "refused" in json.loads(answer.to_pydict()["answer"][0])["route"]


class Session(SimpleNamespace):
    """Has what a real one has, weak references included."""


class TestWatch:
    @pytest.fixture
    def watched(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, Any]]:
        """A server's port and what watches it, with short patience."""
        for name in ("WATCH_SECONDS", "GONE_SECONDS", "REFRESH_SECONDS"):
            monkeypatch.setattr(_connect_server, name, 0.05)
        listener = socket.create_server(("127.0.0.1", 0))
        host, port = listener.getsockname()
        closed: list[bool] = []
        session = Session(
            is_stopped=False,
            version="4.3.0",
            client=SimpleNamespace(
                _builder=SimpleNamespace(endpoint=f"{host}:{port}"),
                _channel=SimpleNamespace(close=lambda: closed.append(True)),
            ),
            conf=SimpleNamespace(getAll={"spark.master": "local[3]", "spark.app.id": "a"}),
            range=lambda n: SimpleNamespace(_explain_string=lambda: "*(1) Range (0, 1, step=1, splits=3)"),
            closed=closed,
        )
        server = _connect_server.ConnectServer(session)
        yield listener, server
        server.close()
        listener.close()

    def test_a_server_that_ends_is_noticed(self, watched: tuple[socket.socket, Any]) -> None:
        listener, server = watched
        assert (server.cores(), server.stop_reason) == (3, None)
        listener.close()
        deadline = time.monotonic() + 30
        while server.stop_reason is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "does not answer any more (Connection refused)" in str(server.stop_reason)
        server.close()
        assert server.session.closed  # otherwise pyspark tries for ten minutes, also when the program ends

    def test_a_session_that_ends_is_noticed(self, watched: tuple[socket.socket, Any]) -> None:
        _, server = watched

        def gone(n: int) -> Any:
            raise RuntimeError("[INVALID_HANDLE.SESSION_CLOSED] The handle 1 is invalid. Session was closed.")

        server.session.range = gone
        deadline = time.monotonic() + 30
        while server.stop_reason is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "SESSION_CLOSED" in str(server.stop_reason)

    def test_an_interrupt_does_not_wait_for_a_server_that_hangs(
        self, watched: tuple[socket.socket, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, server = watched
        monkeypatch.setattr(_connect_server, "INTERRUPT_SECONDS", 0.05)
        wait = threading.Event()
        server.session.interruptTag = lambda tag: wait.wait(60)
        began = time.monotonic()
        server.interrupt("tag")
        assert time.monotonic() - began < 30
        wait.set()


def test_a_call_does_not_wait() -> None:
    wait = threading.Event()
    future = _connect_session.call(lambda: wait.wait(60))
    with pytest.raises(FutureTimeoutError):
        future.result(0.01)
    wait.set()
    assert future.result(60)
