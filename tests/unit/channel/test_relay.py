"""The channel through files: a real server, and a client that has no other way to it."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite.channel import relay
from hopslite.channel.client import ReconnectingClient
from hopslite.channel.relay import RelayEntrance, RelayExit
from hopslite.channel.server import Server, SlotSession
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import PATIENCE_S, eventually


class Driver:
    """A driver's server behind a relay, which keeps what it hears."""

    def __init__(self, url: str) -> None:
        self.messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.sessions: list[SlotSession] = []
        self.lost = threading.Event()
        self.outages: list[bool] = []
        self.server = Server("127.0.0.1", range(1), self._on_message, lambda _: self.lost.set())
        self.run = RunDir(url)
        self.exit = RelayExit(self.run, self.server.address, self.outages.append)

    def _on_message(self, session: SlotSession, message: dict[str, Any]) -> None:
        self.sessions.append(session)
        self.messages.put(message)

    def close(self) -> None:
        self.exit.close()
        self.server.close()


@pytest.fixture
def driver(store_url: str) -> Iterator[Driver]:
    made = Driver(store_url)
    yield made
    made.close()


@pytest.fixture
def local_driver(tmp_path: Path) -> Iterator[Driver]:
    made = Driver(str(tmp_path))
    yield made
    made.close()


@pytest.fixture
def slot(request: pytest.FixtureRequest) -> Iterator[Callable[[Driver], tuple[RelayEntrance, ReconnectingClient]]]:
    opened: list[Any] = []

    def make(driver: Driver) -> tuple[RelayEntrance, ReconnectingClient]:
        entrance = RelayEntrance(driver.exit.url)
        opened.append(entrance)
        client = ReconnectingClient(entrance.address, driver.server.key)
        opened.append(client)
        return entrance, client

    yield make
    for each in reversed(opened):
        each.close()


Slot = Callable[[Driver], tuple[RelayEntrance, ReconnectingClient]]


def next_message(client: ReconnectingClient) -> dict[str, Any]:
    while (message := client.receive())["type"] == "beat":
        pass
    return message


def test_messages_arrive_in_order_in_both_directions(driver: Driver, slot: Slot) -> None:
    """On each kind of store, with the handshake of the channel; large ones, too."""
    _, client = slot(driver)
    for number in range(5):
        client.send({"type": "report", "value": number, "text": "x" * 300_000 * (number % 2)})
    assert [driver.messages.get(timeout=PATIENCE_S)["value"] for _ in range(5)] == list(range(5))
    for number in range(5):
        driver.sessions[0].send({"type": "stop", "value": number})
    assert [next_message(client)["value"] for _ in range(5)] == list(range(5))
    client.close()
    assert driver.lost.wait(60)
    assert driver.sessions[0].said_goodbye


def test_nothing_is_left(local_driver: Driver, slot: Slot, tmp_path: Path) -> None:
    entrance, client = slot(local_driver)
    client.send({"type": "report"})
    local_driver.messages.get(timeout=PATIENCE_S)
    client.close()
    entrance.close(2.0)
    local_driver.close()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_driver_has_left_goes_with_the_next_one(local_driver: Driver, slot: Slot, tmp_path: Path) -> None:
    entrance, _ = slot(local_driver)
    local_driver.exit._closing.set()  # its threads end as if it were killed
    after = Driver(str(tmp_path))
    assert [path.name for path in (tmp_path / "relay").iterdir()] == [Path(after.exit.url).name]
    assert entrance._closing.wait(60)
    after.close()


def test_a_wrong_key_is_refused(local_driver: Driver, slot: Slot) -> None:
    entrance, _ = slot(local_driver)
    with pytest.raises(Exception, match=r"digest|rejected"):
        ReconnectingClient(entrance.address, b"another")


def test_strangers_on_the_machine_open_only_so_many(local_driver: Driver, slot: Slot) -> None:
    entrance, client = slot(local_driver)
    strangers = [socket.create_connection(entrance.address) for _ in range(3 * relay.MAX_STREAMS)]
    eventually(lambda: len(entrance._streams) == relay.MAX_STREAMS, "as many as are allowed")
    client.send({"type": "report"})
    assert local_driver.messages.get(timeout=PATIENCE_S)["type"] == "report"
    for stranger in strangers:
        stranger.close()


def test_a_driver_that_has_ended_is_noticed(local_driver: Driver, slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, it leaves its files, and the number in them rises no more."""
    monkeypatch.setattr(relay, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(relay, "SILENCE_SECONDS", 0.3)
    _, client = slot(local_driver)
    local_driver.exit._closing.set()  # its threads end as if it were killed
    with pytest.raises(EOFError):
        while True:
            client.receive()


def test_a_run_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no-such-place is not visible on"):
        RelayEntrance(str(tmp_path / "no-such-place"))


def test_an_outage_of_the_store_delays_messages(
    local_driver: Driver, slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "RETRY_SECONDS", 0.05)
    _, client = slot(local_driver)
    client.send({"type": "report", "value": 1})
    local_driver.messages.get(timeout=PATIENCE_S)
    is_out = threading.Event()
    is_out.set()

    def failing(method: str) -> None:
        original = getattr(RunDir, method)

        def call(self: RunDir, *args: Any, **kwargs: Any) -> Any:
            if is_out.is_set() and "relay" in self.url:
                raise OSError("the store does not answer")
            return original(self, *args, **kwargs)

        monkeypatch.setattr(RunDir, method, call)

    for method in ("list", "read_bytes", "write_bytes"):
        failing(method)
    client.send({"type": "report", "value": 2})
    eventually(lambda: local_driver.outages[-1], "the outage is noticed")
    time.sleep(0.2)
    assert local_driver.messages.empty()
    is_out.clear()
    assert local_driver.messages.get(timeout=PATIENCE_S)["value"] == 2
    eventually(lambda: not local_driver.outages[-1], "it is over")


def test_it_can_be_closed_while_connections_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = relay.RelayExit(RunDir(str(tmp_path)), ("127.0.0.1", 1), lambda is_out: None)
    first, later = socket.socket(), socket.socket()
    made._streams["first"] = first
    monkeypatch.setattr(relay, "shutdown_socket", lambda stream: made._streams.setdefault("later", later))
    made.close()
    later.close()
    assert first.fileno() == -1
