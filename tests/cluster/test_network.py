"""Slots and driver while the network breaks, a slot is suspended or the driver is gone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hopslite import experiment
from hopslite.channel import server as channel_server
from hopslite.core.types import Spec
from hopslite.pool import _spark_slots
from tests.helpers import ROOT
from tests.helpers.observe import eventually, in_background, text_of
from tests.helpers.programs import Program
from tests.helpers.proxy import Proxy

STEPS = 80
HANGS_S = 200.0  # `timeout` of a run: many times what it takes


class Network:
    """Between the executors and the pools that a test makes."""

    def __init__(self) -> None:
        self.proxy: Proxy
        self.heard: list[dict[str, Any]] = []
        self.sessions: set[Any] = set()
        self.lost: list[Any] = []

    def reports(self, trial: str = "0000") -> list[float]:
        return [m["step"] for m in self.heard if m["type"] == "report" and m["trial"] == trial]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    made = Network()

    class Through(channel_server.Server):
        def __init__(self, host: str, ports: range, on_message: Any, on_lost: Any) -> None:
            def hear(session: Any, message: dict[str, Any]) -> None:
                made.sessions.add(session)
                made.heard.append(dict(message))
                on_message(session, message)

            def lose(session: Any) -> None:
                made.lost.append(session)
                on_lost(session)

            super().__init__(host, ports, hear, lose)
            made.proxy = Proxy(self.address)
            self.address = made.proxy.address

    monkeypatch.setattr(_spark_slots, "Server", Through)
    yield made
    made.proxy.close()


def steadily(folder: Path) -> Callable[[int], float]:
    """A training function that reports for some seconds, and notes each attempt."""

    def train(n: int) -> float:
        import os
        import pathlib
        import time

        import hopslite

        rank = os.environ.get("RANK", "0")
        attempt = len(list(pathlib.Path(folder).glob(f"{n}-{rank}-*")))
        pathlib.Path(folder, f"{n}-{rank}-{attempt}").touch()
        for step in range(STEPS):
            hopslite.report(float(step), step)
            time.sleep(0.06)
        return float(n)

    return train


def stays(folder: Path) -> Callable[[int], float]:
    """A training function that stays in its first attempt for ever, and in others until it may go."""

    def train(n: int) -> float:
        import os
        import pathlib
        import threading
        import time

        attempt = len(list(pathlib.Path(folder).glob(f"{n}-*")))
        partial = pathlib.Path(folder, f".{n}-{attempt}")
        partial.write_text(f"{os.getpid()} {os.getppid()}")
        partial.rename(pathlib.Path(folder, f"{n}-{attempt}"))
        if n == 0 and attempt == 0:
            threading.Event().wait()
        until = time.monotonic() + 120
        while n == 0 and not pathlib.Path(folder, "go").exists():
            if time.monotonic() > until:
                raise TimeoutError("may not go")
            time.sleep(0.01)
        return float(n)

    return train


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("network") / "project")


@pytest.mark.slow("clusters")
class TestOnExecutors:
    @pytest.fixture(autouse=True)
    def _own_warm_servers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that a slot has taken over is below another Python worker."""
        monkeypatch.setenv("HOPSLITE_WARM_SECONDS", "0")

    @pytest.mark.parametrize("isolation", ["process", "none"])
    def test_a_cut_of_some_seconds_costs_nothing(
        self, local_cluster: Any, network: Network, shared: str, tmp_path: Path, isolation: str
    ) -> None:
        def search() -> experiment.Run:
            return experiment.grid_search(
                steadily(tmp_path),
                {"n": [0, 1]},
                isolation=isolation,
                timeout=HANGS_S,
                project=shared,
                display=False,
            )

        with in_background(search) as running:
            eventually(lambda: len(network.reports("0000")) > 5 and len(network.reports("0001")) > 5, "some reports")
            network.proxy.down()
            eventually(
                lambda: not any(session._connection for session in network.sessions), "what was on its way is read"
            )
            before = len(network.heard)
            time.sleep(3)
            assert len(network.heard) == before
            assert network.lost == []
            network.proxy.up()
            eventually(lambda: len(network.heard) > before, "the slots are back")
            assert network.lost == []
            run = running.result(HANGS_S)
        assert [str(trial.state) for trial in run.trials] == ["FINISHED"] * 2, [t.error for t in run.trials]
        assert sorted(os.listdir(tmp_path)) == ["0-0-0", "1-0-0"]
        for trial in ("0000", "0001"):
            assert network.reports(trial) == list(range(STEPS))
            kinds = [m["type"] for m in network.heard if m.get("trial") == trial]
            assert kinds.count("started") == 1
        assert sum(m["type"] == "ended" for m in network.heard) == 2
        assert sum(m["type"] == "ready" for m in network.heard) == 2

    def test_it_costs_members_of_a_gang_nothing_either(
        self, local_cluster: Any, network: Network, shared: str, tmp_path: Path
    ) -> None:
        def train() -> experiment.Run:
            return experiment.launch(
                steadily(tmp_path),
                {"n": [0]},
                strategy="torch",
                workers_per_trial=2,
                timeout=HANGS_S,
                project=shared,
                display=False,
            )

        with in_background(train) as running:
            eventually(lambda: len(network.reports()) > 5, "some reports")
            network.proxy.down()
            time.sleep(1)
            network.proxy.up()
            run = running.result(HANGS_S)
        assert [str(trial.state) for trial in run.trials] == ["FINISHED"], run.trials[0].error
        assert sorted(os.listdir(tmp_path)) == ["0-0-0", "0-1-0"]
        assert network.reports() == list(range(STEPS))

    def test_a_cut_that_lasts_costs_the_trial_an_attempt(
        self, local_cluster: Any, network: Network, shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The trial that was given up must not go on beside its next attempt."""
        monkeypatch.setattr(channel_server, "RESUME_SECONDS", 1.0)

        def search() -> experiment.Run:
            return experiment.grid_search(
                stays(tmp_path), {"n": [0, 1]}, timeout=HANGS_S, project=shared, display=False
            )

        with in_background(search) as running:
            eventually((tmp_path / "0-0").exists, "the trial runs")
            eventually((tmp_path / "1-0").exists, "the other slot is there, too")
            network.proxy.down()
            eventually(lambda: len(network.lost) == 2, "both slots are lost")
            network.proxy.up()
            pids = [int(pid) for pid in (tmp_path / "0-0").read_text().split()]
            eventually(lambda: all(map(gone, pids)), "the first attempt is gone")
            eventually((tmp_path / "0-1").exists, "the trial runs again")
            (tmp_path / "go").touch()
            run = running.result(HANGS_S)
        assert [str(trial.state) for trial in run.trials] == ["FINISHED"] * 2, [t.error for t in run.trials]
        assert {"0-0", "0-1"} <= set(os.listdir(tmp_path))
        assert not (tmp_path / "0-2").exists()

    @pytest.mark.parametrize("trials", [1, 3])
    def test_a_slot_that_stands_still_is_lost_and_replaced(
        self,
        local_cluster: Any,
        network: Network,
        shared: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        trials: int,
    ) -> None:
        """Spark would wait for it for ever, and with it a run that needs no other slot."""
        monkeypatch.setattr(channel_server, "SILENCE_SECONDS", 5.0)

        def search() -> experiment.Run:
            return experiment.grid_search(
                stays(tmp_path), {"n": list(range(trials))}, timeout=HANGS_S, project=shared, display=False
            )

        with in_background(search) as running:
            eventually((tmp_path / "0-0").exists, "the trial runs")
            trial, fork_server = (int(pid) for pid in (tmp_path / "0-0").read_text().split())
            _warm_server, slot, *_ = psutil.Process(fork_server).parents()
            slot.suspend()
            try:
                eventually((tmp_path / "0-1").exists, "the trial runs again")
                eventually(lambda: gone(trial) and gone(fork_server), "the first attempt is gone")
            finally:
                with contextlib.suppress(psutil.NoSuchProcess):
                    slot.resume()
            (tmp_path / "go").touch()
            run = running.result(HANGS_S)
        assert [str(trial.state) for trial in run.trials] == ["FINISHED"] * trials, [t.error for t in run.trials]
        assert sorted(os.listdir(tmp_path)) == ["0-0", "0-1", *(f"{n}-0" for n in range(1, trials)), "go"]

    def test_a_slot_that_is_killed_is_not_waited_for(
        self, local_cluster: Any, network: Network, shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Spark knows that it will not come back."""
        monkeypatch.setattr(channel_server, "RESUME_SECONDS", 10 * HANGS_S)

        def search() -> experiment.Run:
            return experiment.grid_search(
                stays(tmp_path), {"n": [0, 1]}, timeout=HANGS_S, project=shared, display=False
            )

        with in_background(search) as running:
            eventually((tmp_path / "0-0").exists, "the trial runs")
            _, fork_server = (int(pid) for pid in (tmp_path / "0-0").read_text().split())
            _warm_server, slot, *_ = psutil.Process(fork_server).parents()
            slot.kill()
            eventually((tmp_path / "0-1").exists, "the trial runs again")
            (tmp_path / "go").touch()
            run = running.result(HANGS_S)
        assert [str(trial.state) for trial in run.trials] == ["FINISHED"] * 2, [t.error for t in run.trials]


SLOT = """
import sys
from hopslite.pool._spark_task import run_slot
from hopslite.executor.job_spec import Job
from hopslite.serialization.values import serialize

folder, isolation, host, port, key = sys.argv[1:]

def train():
    import os, pathlib, threading, time
    pathlib.Path(folder, ".pid").write_text(str(os.getpid()))
    pathlib.Path(folder, ".pid").rename(pathlib.Path(folder, "pid"))
    while True:
        time.sleep(0.01)

job = Job(
    "run_1", "a", folder, serialize(train, []), None, 0, isolation=isolation, directory=folder, needs_metric=False
)
print(list(run_slot(iter([0]), address=(host, int(port)), key=bytes.fromhex(key), job=job)))
"""

DRIVER = """
import json, sys, threading
from hopslite.core.types import Spec
from hopslite.pool import _spark_slots
from hopslite.channel.server import Server

def on_message(session, message):
    if message["type"] == "ready":
        spec = Spec("0000", {}, sys.argv[1] + "/Experiments/run_1/trials/0000")
        session.send({"type": "run", "spec": spec.to_json()})

server = Server("127.0.0.1", range(1), on_message, lambda session: None)
print(json.dumps([*server.address, server.key.hex()]), flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("isolation", ["process", "none"])
class TestSlotsWithoutSpark:
    """A slot as a program of its own: nothing but its link can tell it that it has no driver any more."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        run = tmp_path / "Experiments" / "run_1"
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        return tmp_path

    @contextlib.contextmanager
    def program(self, folder: Path, source: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (folder / "errors").open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", source, str(folder), *arguments],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def trial(self, folder: Path) -> int:
        eventually((folder / "pid").exists, "the trial runs")
        return int((folder / "pid").read_text())

    def assert_ends(self, slot: subprocess.Popen[bytes], pid: int, folder: Path) -> None:
        eventually(lambda: slot.poll() is not None and gone(pid), "slot and trial are gone", 40)
        assert "Traceback" not in text_of(folder / "errors")

    def test_a_driver_that_is_killed_takes_them_along(self, folder: Path, isolation: str) -> None:
        with self.program(folder, DRIVER) as driver:
            assert driver.stdout
            host, port, key = json.loads(driver.stdout.readline())
            with self.program(folder, SLOT, isolation, host, str(port), key) as slot:
                pid = self.trial(folder)
                driver.send_signal(signal.SIGKILL)
                self.assert_ends(slot, pid, folder)

    def test_a_driver_that_has_given_them_up_takes_them_along(self, folder: Path, isolation: str) -> None:
        """They were stopped for too long, and the network forgot their connection meanwhile."""
        sessions: list[Any] = []
        lost: list[Any] = []

        def on_message(session: Any, message: dict[str, Any]) -> None:
            if message["type"] == "ready":
                sessions.append(session)
                session.send(
                    {"type": "run", "spec": Spec("0000", {}, f"{folder}/Experiments/run_1/trials/0000").to_json()}
                )

        server = channel_server.Server("127.0.0.1", range(1), on_message, lost.append)
        proxy = Proxy(server.address)
        try:
            host, port = proxy.address
            with self.program(folder, SLOT, isolation, host, str(port), server.key.hex()) as slot:
                pid = self.trial(folder)
                proxy.freeze()
                slot.send_signal(signal.SIGSTOP)
                sessions[0].request_drop()
                eventually(lambda: lost == sessions, "the slot is lost")
                proxy.cut()
                proxy.thaw()
                slot.send_signal(signal.SIGCONT)
                self.assert_ends(slot, pid, folder)
            assert lost == sessions and len(sessions) == 1
        finally:
            server.close()
            proxy.close()


FLOODED = """
import json, os, resource, threading
from hopslite import experiment
from hopslite.channel import server
from hopslite.pool import _spark_slots

class Told(server.Server):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 120, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        print("PORT", json.dumps(self.address[1]), flush=True)

_spark_slots.Server = Told

folder = os.getcwd()

def train(n):
    import os, time
    import hopslite
    for step in range(5000):
        hopslite.report(float(step), step)
        time.sleep(0.02)
        if step > 5 and os.path.exists(f"{folder}/over"):
            break
    return float(n)

run = experiment.grid_search(
    train, {"n": list(range(8))}, max_retries=0, timeout=200, tracking_uri="off", display=False
)
print("RUN", json.dumps([[str(trial.state), trial.error] for trial in run.trials]), flush=True)
"""


@pytest.mark.slow("faults")
def test_strangers_however_many_cost_a_driver_of_few_descriptors_nothing(tmp_path: Path) -> None:
    program = Program(tmp_path, FLOODED, HOPSLITE_TENSORBOARD="0")
    strangers: list[socket.socket] = []
    try:
        address = ("127.0.0.1", program.said("PORT"))
        for _ in range(800):
            with contextlib.suppress(OSError):
                strangers.append(socket.create_connection(address, timeout=5))
        (tmp_path / "over").touch()
        assert program.said("RUN") == [["FINISHED", None]] * 8
    finally:
        program.kill()
        for stranger in strangers:
            stranger.close()
    assert len(strangers) >= 700
