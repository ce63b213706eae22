"""Warm servers: frameworks stay imported from run to run, and nothing of a run stays."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest

from hopslite.core.types import Result
from hopslite.executor import warm_server_process, warm_server_socket
from hopslite.executor.warm_server import WarmKey, WarmServer
from hopslite.executor.warm_server_socket import connect, socket_folder
from tests.helpers.observe import eventually
from tests.unit.executor.conftest import Serve

Framework = Callable[..., Callable[[], list[str]]]
WARM_S = 60.0


def waiting() -> list[psutil.Process]:
    """The warm servers that this test has started and that live."""
    servers = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            if "hopslite.executor.warm_server_process" in " ".join(child.cmdline()):
                servers.append(child)
    return servers


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An executor's scratch directory; warm servers end when it is removed."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(folder))
    monkeypatch.setattr("hopslite.executor.warm_server.CLOSE_SECONDS", 20.0)
    yield folder
    for process in waiting():
        process.kill()


def waits(folder: Path) -> bool:
    """True if a server can be taken over."""
    return any(not name.startswith(".") for name in os.listdir(folder))


def outputs(result: Result) -> dict[str, Any]:
    """The values that a training function has returned."""
    return {name: value for name, value in (result.outputs or {}).items() if name != "log"}


class TestFrameworks:
    def test_they_are_imported_once_for_all_runs(self, serve: Serve, framework: Framework, scratch: Path) -> None:
        imports = framework("catboost", is_installed=True)

        def train() -> dict[str, Any]:
            import catboost  # noqa: F401

            return {"parents": [process.pid for process in psutil.Process().parents()[:2]]}

        outcomes = [
            outputs(result)["parents"]
            for _ in range(2)
            for result in serve(train, trials=2, preimport=("catboost",), warm_seconds=WARM_S)
        ]
        assert imports() == ["catboost"]
        fork_servers, warm_servers = zip(*outcomes, strict=True)
        assert len(set(warm_servers)) == 1
        assert fork_servers[0] == fork_servers[1] != fork_servers[2] == fork_servers[3]  # one for each run

    def test_those_that_trials_turn_out_to_import_are_kept_too(
        self, serve: Serve, framework: Framework, scratch: Path
    ) -> None:
        imports = framework("catboost", is_installed=True)

        def train() -> None:
            __import__("catboost")

        for _ in range(2):
            assert [result.error for result in serve(train, trials=3, warm_seconds=WARM_S)] == [None] * 3
        assert len(imports()) <= 2  # the first trial, and the warm server meanwhile

    def test_a_run_of_one_trial_leaves_them_for_the_next(
        self, serve: Serve, framework: Framework, scratch: Path
    ) -> None:
        imports = framework("catboost", is_installed=True)

        def train() -> None:
            __import__("catboost")

        for _ in range(3):
            serve(train, repeats=False, warm_seconds=WARM_S)
        assert len(imports()) == 2  # the first trial, and the warm server after it

    def test_the_variables_that_they_set_reach_trials(
        self, serve: Serve, framework: Framework, scratch: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        framework("catboost", "os.environ.update(SET_BY_IT='1', SET_BY_BOTH='framework')", is_installed=True)
        environment = {"SET_BY_BOTH": "run"}

        def train() -> dict[str, Any]:
            return {name: os.environ.get(name) for name in ("SET_BY_IT", "SET_BY_BOTH")}

        for _ in range(2):
            [result] = serve(train, preimport=("catboost",), environment=environment, warm_seconds=WARM_S)
            assert outputs(result) == {"SET_BY_IT": "1", "SET_BY_BOTH": "run"}

    def test_their_warning_filters_reach_trials(self, serve: Serve, framework: Framework, scratch: Path) -> None:
        framework("catboost", "import warnings; warnings.filterwarnings('ignore', 'of catboost')", is_installed=True)

        def train() -> dict[str, Any]:
            import warnings

            return {"messages": [str(item[1].pattern) for item in warnings.filters if item[1] is not None]}

        for _ in range(2):
            [result] = serve(train, preimport=("catboost",), warm_seconds=WARM_S)
            assert "of catboost" in outputs(result)["messages"]

    def test_one_that_starts_a_thread_is_not_forked(self, serve: Serve, framework: Framework, scratch: Path) -> None:
        starts = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
        framework("catboost", starts, is_installed=True)

        def train() -> dict[str, Any]:
            import threading

            return {"threads": threading.active_count(), "loaded": "catboost" in sys.modules}

        results = serve(train, trials=2, preimport=("catboost",), warm_seconds=WARM_S)
        assert [outputs(result) for result in results] == [{"threads": 1, "loaded": False}] * 2
        [warning] = [warning for result in results for warning in result.warnings]
        assert "an imported module has started a thread" in warning

    def test_one_that_opens_a_gpu_is_not_forked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "_current_frames", lambda: {1: None})
        assert warm_server_process._why_not_to_fork() is None
        monkeypatch.setattr(os, "readlink", lambda path: "/dev/nvidia0")
        assert warm_server_process._why_not_to_fork() == "an imported module has opened a GPU"

    def test_a_module_of_the_user_is_no_framework(self, serve: Serve, framework: Framework, scratch: Path) -> None:
        imports = framework("catboost")

        def train() -> dict[str, Any]:
            return {"loaded": "catboost" in sys.modules}

        for _ in range(2):
            [result] = serve(train, preimport=("catboost",), warm_seconds=WARM_S)
            assert outputs(result) == {"loaded": True}  # as always: the run's fork server has imported it
        assert len(imports()) == 2


def state() -> dict[str, Any]:
    """The state of a trial's process that another run must not have changed."""
    import gc
    import linecache
    import locale
    import logging
    import random
    import resource
    import sys
    import tempfile
    import threading
    import warnings

    return {
        "environment": dict(sorted(os.environ.items())),
        "zone": time.tzname,
        "directory": Path.cwd().name,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "modules": sorted(name for name in sys.modules if "own" in name.partition(".")[0]),
        "main": sorted(vars(sys.modules["__main__"])),
        "arguments": sys.argv,
        "sources": sorted(name for name in linecache.cache if "own" in name),
        "random": random.random() == random.Random(0).random(),
        "threads": threading.active_count(),
        "handlers": len(logging.root.handlers),
        "level": logging.root.level,
        "filters": len(warnings.filters),
        "umask": os.umask(0o22),
        "recursion": sys.getrecursionlimit(),
        "locale": locale.setlocale(locale.LC_NUMERIC),
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
        "temporary": tempfile.gettempdir(),
        "frozen": gc.isenabled(),
    }


class TestOfARun:
    def test_nothing_stays(self, serve: Serve, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "lib" / "own_module.py").write_text("import random; random.seed(0)")

        def changes_everything() -> dict[str, Any]:
            import logging
            import resource
            import threading
            import time
            import warnings

            zone = time.tzname

            import own_module  # type: ignore[import-not-found]  # noqa: F401

            os.environ.update(OF_THE_RUN="1", TZ="Asia/Tokyo")
            os.chdir("/")
            os.open("/dev/null", os.O_RDONLY)
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            logging.basicConfig(level=logging.DEBUG)
            warnings.simplefilter("ignore")
            os.umask(0)
            sys.setrecursionlimit(5000)
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            return {"zone": zone[0], "of_worker": os.environ["OF_THE_WORKER"]}

        [before] = serve(state, warm_seconds=0.0)
        other = {"environment": {"TZ": "Asia/Tokyo", "OF_THE_JOB": "1", "TMPDIR": str(tmp_path)}, "arguments": ("x",)}
        monkeypatch.setenv("OF_THE_WORKER", "1")
        [changed] = serve(changes_everything, warm_seconds=WARM_S, **other)
        assert outputs(changed) == {"zone": "JST", "of_worker": "1"}
        monkeypatch.delenv("OF_THE_WORKER")
        [server] = waiting()
        [after] = serve(state, warm_seconds=WARM_S)
        assert server.is_running()
        assert waiting() == [server]  # it was the same one
        differing = {name for name in outputs(before) if outputs(before)[name] != outputs(after)[name]}
        differing -= {"environment"} if _comparable(before) == _comparable(after) else set()
        assert differing == set()

    def test_it_has_neither_its_program_nor_its_credentials(
        self, serve: Serve, scratch: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = "s3cr3t"
        of_run = {"access": {"AWS_SECRET_ACCESS_KEY": secret}, "environment": {"TOKEN": secret}}
        serve(lambda: None, warm_seconds=WARM_S, **of_run)
        [server] = waiting()
        assert secret not in str(server.environ())
        assert server.num_threads() == 1


def _comparable(result: Result) -> dict[str, str]:
    return {k: v for k, v in outputs(result)["environment"].items() if k != "HOPSLITE_PROGRAM"}


class TestKeys:
    @pytest.mark.parametrize(
        ("environment", "is_same"),
        [({"OMP_NUM_THREADS": "1"}, False), ({"KERAS_BACKEND": "jax"}, False), ({"MY_OWN": "1"}, True)],
    )
    def test_variables_that_are_read_once_are_a_part_of_them(
        self, serve: Serve, scratch: Path, environment: dict[str, str], is_same: bool
    ) -> None:
        serve(lambda: None, warm_seconds=WARM_S)
        first = waiting()
        [result] = serve(lambda: None, warm_seconds=WARM_S, environment=environment)
        assert result.error is None
        assert (waiting() == first) is is_same

    def test_so_are_the_modules_and_the_import_path(self) -> None:
        key = WarmKey.of(("a", "b"), ("numpy",), {"PATH": "/bin"})
        assert key == WarmKey.of(("a", "b"), ("numpy",), {})
        others = [WarmKey.of(("a",), ("numpy",), {}), WarmKey.of(("a", "b"), (), {})]
        assert len({key.digest, *(other.digest for other in others)}) == 3

    def test_a_package_that_is_installed_meanwhile_is_the_one_that_trials_have(
        self, serve: Serve, framework: Framework, scratch: Path, tmp_path: Path
    ) -> None:
        framework("catboost", "version = 1", is_installed=True)

        def train() -> float:
            import catboost  # type: ignore[import-not-found]

            return float(catboost.version)

        versions = []
        for version in (2, 2):
            [result] = serve(train, preimport=("catboost",), warm_seconds=WARM_S)
            versions.append(outputs(result)["metric"])
            framework("catboost", f"version = {version}  # a file of another size", is_installed=True)
            (tmp_path / "lib" / "site-packages" / "catboost-2.dist-info").mkdir(exist_ok=True)
        assert versions == [1.0, 2.0]

    @pytest.mark.slow("soak")
    def test_only_the_latest_are_kept(self, serve: Serve, scratch: Path) -> None:
        """Whoever changes variables from run to run must not fill the memory."""
        for number in range(5):
            serve(lambda: None, warm_seconds=WARM_S, environment={"OMP_NUM_THREADS": str(number + 1)})
        eventually(lambda: len(waiting()) <= 2, "older ones end")


class TestEnd:
    def test_without_warm_seconds(self, serve: Serve, scratch: Path) -> None:
        serve(lambda: None, warm_seconds=0.0)
        assert waiting() == []

    def test_without_a_scratch_directory(self, serve: Serve, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SPARK_LOCAL_DIRS")
        serve(lambda: None, warm_seconds=WARM_S)
        assert waiting() == []

    def test_when_no_run_comes(self, serve: Serve, scratch: Path) -> None:
        serve(lambda: None, warm_seconds=0.5)
        eventually(lambda: not waiting(), "it ends by itself")
        assert [name for name in os.listdir(scratch / "hopslite-warm") if not name.endswith(".lock")] == []
        [result] = serve(lambda: None, warm_seconds=0.5)
        assert result.error is None

    def test_with_the_scratch_directory(self, serve: Serve, scratch: Path) -> None:
        serve(lambda: None, warm_seconds=WARM_S)
        assert waiting()
        (scratch / "hopslite-warm").rename(scratch / "gone")
        eventually(lambda: not waiting(), "it ends with its executor's directory")

    def test_with_the_executor(self, scratch: Path) -> None:
        """It is a process above the Python worker, which Spark ends after a minute without work."""
        worker = (
            "import os, sys, time\n"
            "from hopslite.executor.warm_server import WarmKey, WarmServer\n"
            "server = WarmServer.acquire(WarmKey.of(sys.path, (), {}), {}, sys.argv[1], False)\n"
            "while len(os.listdir(sys.argv[1] + '/hopslite-warm')) < 2:\n"
            "    time.sleep(0.01)\n"
            "server.release((), 60.0)\n"
        )
        starts_worker = (
            f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}, sys.argv[1]]); input()"
        )
        executor = subprocess.Popen(
            [sys.executable, "-c", starts_worker, str(scratch)],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        folder = scratch / "hopslite-warm"
        eventually(lambda: folder.is_dir() and waits(folder), "it waits, without its worker")
        [name] = [name for name in os.listdir(folder) if not name.endswith(".lock")]
        server = psutil.Process(int(name.rpartition("-")[2]))
        assert server.is_running()
        executor.communicate(b"\n")
        eventually(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, "it ends")

    def test_when_memory_is_short(self, tmp_path: Path) -> None:
        meminfo, limit, used = (tmp_path / name for name in ("meminfo", "max", "current"))
        meminfo.write_text("MemTotal:       1000 kB\nMemAvailable:    500 kB\nHugePages_Total:       0\n")

        def is_short() -> bool:
            return warm_server_process._memory_is_short(str(meminfo), str(limit), str(used))

        assert not is_short()
        limit.write_text("max\n")
        used.write_text("999\n")
        assert not is_short()
        limit.write_text("1000\n")
        assert is_short()
        limit.unlink()
        meminfo.write_text("MemTotal:       1000 kB\nMemAvailable:    49 kB\n")
        assert is_short()

    def test_when_it_is_killed_the_next_run_has_another(self, serve: Serve, scratch: Path) -> None:
        serve(lambda: None, warm_seconds=WARM_S)
        [server] = waiting()
        server.kill()
        server.wait()
        [result] = serve(lambda: None, warm_seconds=WARM_S)
        assert (result.error, result.warnings) == (None, ())

    def test_when_it_is_stopped_the_next_run_goes_on(
        self, serve: Serve, scratch: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("hopslite.executor.process_runner.IMPORT_SECONDS", 2.0)
        serve(lambda: None, warm_seconds=WARM_S)
        [server] = waiting()
        server.suspend()
        [result] = serve(lambda: None, warm_seconds=WARM_S)
        assert result.error is None
        assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE

    def test_during_a_run_it_costs_that_trial(self, serve: Serve, scratch: Path, tmp_path: Path) -> None:
        folder = str(tmp_path)

        def train() -> None:
            turn = len(list(Path(folder).glob("turn*")))
            Path(folder, f"turn{turn}").touch()
            if turn == 0:
                os.kill(psutil.Process().parents()[1].pid, signal.SIGKILL)
                signal.pause()

        results = serve(train, trials=2, warm_seconds=WARM_S)
        assert [result.cause for result in results] == ["lost", None]


def slot_end(reads: int) -> socket.socket:
    """The fork server's end of a connection to a slot that ends after so many bytes."""
    own, other = socket.socketpair()
    threading.Thread(target=lambda: (own.recv(reads) if reads else b"", own.close())).start()
    return other


class TestASlotThatEndsAtOnce:
    @pytest.mark.parametrize("reads", [0, 1])
    def test_its_fork_server_ends_without_a_word(
        self, scratch: Path, capfd: pytest.CaptureFixture[str], reads: int
    ) -> None:
        server = WarmServer.acquire(WarmKey.of((), (), {}), dict(os.environ), str(scratch), is_new=True)
        server.fork(slot_end(reads).detach(), [])
        eventually(lambda: server._read() or server._exit_codes, "the fork server has ended")  # type: ignore[func-returns-value]
        server.kill()
        assert list(server._exit_codes.values()) == [0]
        assert capfd.readouterr().err == ""

    def test_a_waiting_server_waits_for_the_next(self, scratch: Path, capfd: pytest.CaptureFixture[str]) -> None:
        key = WarmKey.of((), (), {})
        server = WarmServer.acquire(key, dict(os.environ), str(scratch), is_new=True)
        eventually(server._listens, "it can be taken over")
        server.release([], WARM_S)
        folder = Path(socket_folder(str(scratch)) or "")
        eventually(lambda: waits(folder), "it waits")
        [process] = waiting()
        process.suspend()  # until the slot has gone
        connection = connect(str(folder), key.digest)
        assert connection
        connection.close()
        process.resume()
        after = connect(str(folder), key.digest)
        assert after
        with after:
            after.settimeout(60)
            assert after.recv(1)
        assert capfd.readouterr().err == ""


class TestSlotsOfOneExecutor:
    def test_each_has_its_own(self, scratch: Path) -> None:
        """Of several that come at once, one takes over the server that waits, and for each other one it is forked."""
        key = WarmKey.of([path for path in sys.path if path], (), {})
        first = WarmServer.acquire(key, dict(os.environ), str(scratch), False)
        folder = socket_folder(str(scratch))
        assert folder
        eventually(lambda: len(os.listdir(folder)) == 2, "it has started")  # its socket, and the lock
        first.release((), WARM_S)
        connections: list[socket.socket] = []

        def take() -> None:
            if connection := connect(folder, key.digest):
                connections.append(connection)

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        servers = [Connection(connection.detach()) for connection in connections]
        pids = {json.loads(server.recv_bytes())["pid"] for server in servers}
        assert len(servers) == len(pids) == 8
        for server in servers:
            server.close()
        eventually(lambda: not waiting(), "they end with their slots")

    def test_one_that_is_taken_while_another_slot_looks_is_forked_for_it(
        self, scratch: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The name that the other slot has read is gone."""
        key = WarmKey.of((), (), {})
        server = WarmServer.acquire(key, dict(os.environ), str(scratch), is_new=True)
        eventually(server._listens, "it can be taken over")
        server.release([], WARM_S)
        folder = socket_folder(str(scratch)) or ""
        taken: list[socket.socket] = []

        def entries(folder: str) -> list[Path]:
            names = [*Path(folder).iterdir()]
            monkeypatch.undo()
            taken.extend(filter(None, [connect(folder, key.digest)]))
            return names

        monkeypatch.setattr(warm_server_socket, "_entries", entries)
        second = connect(folder, key.digest)
        assert second
        servers = [Connection(connection.detach()) for connection in (*taken, second)]
        assert len({json.loads(server.recv_bytes())["pid"] for server in servers}) == 2
        for server in servers:
            server.close()
        eventually(lambda: not waiting(), "they end with their slots")

    def test_a_framework_is_imported_once_for_those_that_begin_together(
        self, serve: Serve, framework: Framework, scratch: Path
    ) -> None:
        imports = framework("catboost", "import time; time.sleep(0.5)", is_installed=True)

        def train() -> dict[str, Any]:
            return {"loaded": "catboost" in sys.modules}

        def slot(number: int) -> list[Result]:
            return serve(train, preimport=("catboost",), warm_seconds=WARM_S, folder=f"trials{number}")

        with ThreadPoolExecutor(4) as slots:
            results = [result for served in slots.map(slot, range(4)) for result in served]
        assert [(result.error, outputs(result)) for result in results] == [(None, {"loaded": True})] * 4
        assert imports() == ["catboost"]

    def test_one_that_cannot_be_forked_costs_the_other_nothing(
        self, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A module has started a thread meanwhile: a fork would lack it."""
        starts = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
        packages = tmp_path / "site-packages"
        packages.mkdir()
        (packages / "catboost.py").write_text(starts)
        path = [str(packages), *filter(None, sys.path)]
        key = WarmKey.of(path, (), {})
        first = WarmServer.acquire(key, dict(os.environ), str(scratch), False)
        own_end, its_end = socket.socketpair()
        first.fork(its_end.detach(), ())
        fork_server = Connection(own_end.detach())
        assert json.loads(fork_server.recv_bytes()).keys() == {"pid"}
        first.preimport(["catboost"])
        second = WarmServer.acquire(key, dict(os.environ), str(scratch), False)
        eventually(lambda: not second.is_usable, "the other slot is refused")
        third = WarmServer.acquire(key, dict(os.environ), str(scratch), False)
        assert first.is_usable
        assert third.is_usable  # another process
        assert not fork_server.poll(0.2)  # the run goes on
        for server in (first, second, third):
            server.close()

    @pytest.mark.parametrize("how", ["closed", "killed"])
    def test_one_that_is_forked_outlives_the_other(self, scratch: Path, how: str) -> None:
        key = WarmKey.of([path for path in sys.path if path], (), {})
        first, second = (WarmServer.acquire(key, dict(os.environ), str(scratch), False) for _ in range(2))
        eventually(lambda: second.is_usable and second._has_accepted, "it is forked")
        if how == "killed":
            first.kill()
        first.close()
        eventually(lambda: len(waiting()) <= 1 and not first.is_usable, "the first has ended")
        own_end, its_end = socket.socketpair()
        second.fork(its_end.detach(), ())
        assert json.loads(Connection(own_end.detach()).recv_bytes()).keys() == {"pid"}
        second.close()
        assert waiting() == []

    def test_a_folder_of_somebody_else_is_not_used(self, scratch: Path) -> None:
        folder = scratch / "hopslite-warm"
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        assert socket_folder(str(scratch)) is None
        folder.rmdir()
        folder.symlink_to("/tmp")
        assert socket_folder(str(scratch)) is None

    def test_a_long_path_is_no_hindrance(self, serve: Serve, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        deep = scratch.joinpath(*["a" * 60] * 4)
        deep.mkdir(parents=True)
        monkeypatch.setenv("SPARK_LOCAL_DIRS", str(deep))
        serve(lambda: None, warm_seconds=WARM_S)
        first = waiting()
        serve(lambda: None, warm_seconds=WARM_S)
        assert len(first) == 1
        assert waiting() == first
