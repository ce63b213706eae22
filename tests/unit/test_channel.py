"""The channel between driver and slots: who gets in, what a bad peer can do, where it listens."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import pickle
import socket
import struct
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import pytest
from observe import eventually
from spark_cluster import free_ports

from hopslite.errors import InvalidArguments
from hopslite.pool import _channel
from hopslite.pool._channel import ClientLink, Peer, Server

ANY = range(1)


class Driver:
    """A server that keeps what it is told."""

    def __init__(self, host: str = "127.0.0.1", ports: range = ANY) -> None:
        self.messages: list[dict[str, Any]] = []
        self.peers: list[Peer] = []
        self.lost: list[Peer] = []
        self.server = Server(host, ports, self._on_message, self.lost.append)

    def _on_message(self, peer: Peer, message: dict[str, Any]) -> None:
        self.peers.append(peer)
        self.messages.append(message)

    def connect(self, key: bytes | None = None) -> ClientLink:
        return ClientLink(self.server.address, self.server.key if key is None else key)


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.server.close()


@pytest.fixture
def good(driver: Driver) -> Iterator[ClientLink]:
    """A slot that did everything right; whatever another peer does must not concern it."""
    link = driver.connect()
    yield link
    link.send({"type": "proof"})
    eventually(lambda: {"type": "proof"} in driver.messages, "a message of the good peer")
    driver.peers[-1].send({"type": "answer"})
    assert link.receive() == {"type": "answer"}
    link.close()


def raw(driver: Driver) -> socket.socket:
    return socket.create_connection(driver.server.address, timeout=30)


def is_cut(connection: socket.socket) -> bool:
    """Whether the other side ends the connection (within the socket's time limit)."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def test_messages_go_both_ways_in_order(driver: Driver) -> None:
    link = driver.connect()
    for number in range(500):
        link.send({"type": "note", "number": number, "text": "é" * number})
    eventually(lambda: len(driver.messages) == 500, "500 messages")
    assert [message["number"] for message in driver.messages] == list(range(500))
    for number in range(500):
        driver.peers[0].send({"type": "reply", "number": number})
    assert [link.receive()["number"] for _ in range(500)] == list(range(500))
    link.close()
    eventually(lambda: driver.lost == [driver.peers[0]], "the lost peer")


def test_a_big_message_arrives_whole(driver: Driver) -> None:
    link = driver.connect()
    text = "x" * (5 << 20)
    link.send({"type": "big", "text": text})
    eventually(lambda: driver.messages, "the message")
    assert driver.messages[0]["text"] == text
    driver.peers[0].send({"type": "big", "text": text})
    assert link.receive()["text"] == text
    link.close()


def test_what_was_sent_before_closing_is_delivered() -> None:
    driver = Driver()
    links = [driver.connect() for _ in range(4)]
    for link in links:
        link.send({"type": "ready"})
    eventually(lambda: len(driver.peers) == 4, "four peers")
    for peer in driver.peers:
        peer.send({"type": "exit"})
    driver.server.close()
    for link in links:
        assert link.receive() == {"type": "exit"}
        with pytest.raises((EOFError, OSError)):
            link.receive()
        link.close()


def test_a_silent_stranger_holds_up_nobody(driver: Driver) -> None:
    strangers = [raw(driver) for _ in range(20)]
    link = driver.connect()
    link.send({"type": "ready"})
    eventually(lambda: driver.messages, "a message beside 20 silent strangers")
    link.close()
    for stranger in strangers:
        stranger.close()


def test_a_silent_stranger_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_channel, "HANDSHAKE_SECONDS", 0.2)
    driver = Driver()
    stranger = raw(driver)
    assert is_cut(stranger)
    driver.server.close()


def test_a_slot_that_went_silent_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_channel, "SILENCE_SECONDS", 0.6)
    driver = Driver()
    silent, alive = driver.connect(), driver.connect()
    silent.send({"type": "ready", "who": "silent"})
    alive.send({"type": "ready", "who": "alive"})
    eventually(lambda: len(driver.peers) == 2, "two peers")
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.05):
            alive.send({"type": "beat"})

    beating = threading.Thread(target=beat)
    beating.start()
    eventually(lambda: driver.lost, "the silent one is lost")
    done.set()
    beating.join()
    who = {id(peer): message["who"] for peer, message in zip(driver.peers, driver.messages, strict=True)}
    assert who[id(driver.lost[0])] == "silent"
    for link in (silent, alive):
        link.close()
    driver.server.close()


def test_after_the_driver_itself_was_stopped_no_slot_is_cut_before_it_could_speak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-Z stops driver and local slots alike; the silence meanwhile says nothing."""
    monkeypatch.setattr(_channel, "SILENCE_SECONDS", 3.0)
    driver = Driver()
    alive, silent = driver.connect(), driver.connect()
    for link, who in ((alive, "alive"), (silent, "silent")):
        link.send({"type": "ready", "who": who})
    eventually(lambda: len(driver.peers) == 2, "two peers")
    who = {peer: message["who"] for peer, message in zip(driver.peers, driver.messages, strict=True)}
    awake, done = threading.Event(), threading.Event()

    def stopped() -> None:
        time.sleep(4.0)  # the loop stands still, as in a process that got SIGSTOP
        awake.set()

    def beat() -> None:
        awake.wait(60)
        with contextlib.suppress(OSError):  # cut off, which the test sees
            while not done.wait(0.05):
                alive.send({"type": "beat"})

    beating = threading.Thread(target=beat)
    beating.start()
    driver.server._loop.call_soon_threadsafe(stopped)
    try:
        eventually(lambda: driver.lost, "the silent one is lost")
        with contextlib.suppress(OSError):
            alive.send({"type": "note"})
        eventually(lambda: driver.messages[-1] == {"type": "note"} or len(driver.lost) == 2, "what became of the other")
        assert [who[peer] for peer in driver.lost] == ["silent"]
    finally:
        done.set()
        beating.join()
        for link in (alive, silent):
            link.close()
        driver.server.close()


def test_a_wrong_key_is_refused(driver: Driver, good: ClientLink) -> None:
    with pytest.raises((multiprocessing.AuthenticationError, EOFError, OSError)):
        driver.connect(key=b"k" * 32)
    assert driver.messages == []


def test_a_server_that_does_not_know_the_key_gets_nothing(driver: Driver) -> None:
    """A slot must not take orders from whoever listens at the address."""
    with socket.create_server(("127.0.0.1", 0)) as impostor:
        outcome: list[BaseException] = []

        def slot() -> None:
            try:
                ClientLink(impostor.getsockname()[:2], driver.server.key)
            except (multiprocessing.AuthenticationError, EOFError, OSError) as error:
                outcome.append(error)

        thread = threading.Thread(target=slot)
        thread.start()
        connection, _ = impostor.accept()
        link = Connection(connection.detach())
        link.send_bytes(b"#CHALLENGE#" + os.urandom(20))
        link.recv_bytes()
        link.send_bytes(b"#WELCOME#")
        link.recv_bytes()  # its challenge, which only the key can answer
        link.send_bytes(hashlib.md5(b"guess").digest())
        thread.join(30)
        link.close()
    assert len(outcome) == 1


STRANGE = {
    "no frame at all": b"GET / HTTP/1.1\r\n\r\n" * 50,
    "a huge length": struct.pack("!i", 2**31 - 1) + b"x" * 100,
    "a negative length": struct.pack("!i", -5) + b"x" * 100,
    "not JSON": struct.pack("!i", 5) + b"hello",
    "not text": struct.pack("!i", 4) + b"\xff\xfe\xfd\xfc",
    "nothing in it": struct.pack("!i", 0),
    "JSON, but no message": struct.pack("!i", 2) + b"[]",
    "JSON, but no type": struct.pack("!i", 2) + b"{}",
    "very deep JSON": struct.pack("!i", 200_000) + b"[" * 200_000,
}


@pytest.mark.parametrize("sent", STRANGE.values(), ids=STRANGE.keys())
def test_a_bad_frame_costs_only_its_sender(
    driver: Driver, good: ClientLink, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    bad = driver.connect()
    with socket.socket(fileno=os.dup(bad.fileno())) as wire:
        wire.settimeout(30)
        wire.sendall(sent)
        assert is_cut(wire)
    bad.close()
    assert driver.messages == []


@pytest.mark.parametrize("sent", STRANGE.values(), ids=STRANGE.keys())
def test_bad_bytes_before_the_handshake_cost_only_their_sender(driver: Driver, good: ClientLink, sent: bytes) -> None:
    with raw(driver) as stranger:
        stranger.sendall(sent)
        with contextlib.suppress(OSError):  # it may be cut already
            stranger.shutdown(socket.SHUT_WR)
        assert is_cut(stranger)
    assert driver.messages == []


def test_nothing_is_unpickled(driver: Driver, good: ClientLink, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "boom",))

    bad = driver.connect()
    bad._link.send_bytes(pickle.dumps(Bomb()))
    with socket.socket(fileno=os.dup(bad.fileno())) as wire:
        wire.settimeout(30)
        assert is_cut(wire)
    bad.close()
    assert not (tmp_path / "boom").exists()


def test_half_a_frame_is_waited_for(driver: Driver) -> None:
    link = driver.connect()
    frame = json.dumps({"type": "slow"}).encode()
    frame = struct.pack("!i", len(frame)) + frame
    with socket.socket(fileno=os.dup(link.fileno())) as wire:
        for index in range(len(frame)):
            wire.sendall(frame[index : index + 1])
    eventually(lambda: driver.messages == [{"type": "slow"}], "the message")
    link.close()


def test_it_listens_on_the_given_host_only(driver: Driver) -> None:
    port = driver.server.address[1]
    listening = [
        c.laddr.ip for c in psutil.Process().net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port
    ]
    assert listening == ["127.0.0.1"]


def test_every_run_has_a_key_of_its_own(driver: Driver) -> None:
    other = Driver()
    assert other.server.key != driver.server.key
    assert len(other.server.key) >= 16
    other.server.close()


def test_a_range_of_ports_is_respected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        driver = Driver(ports=range(first, first + 20))
        assert driver.server.address[1] in range(first + 1, first + 20)
        driver.server.close()


def test_no_port_left_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidArguments, match=f"channel_port.*{port}"):
            Driver(ports=range(port, port + 1))


def test_closing_ends_the_thread_and_frees_the_port() -> None:
    [port] = free_ports(1)
    before = set(threading.enumerate())
    driver = Driver(ports=range(port, port + 1))
    link = driver.connect()
    link.send({"type": "ready"})
    eventually(lambda: driver.messages, "a message")
    driver.server.close()
    link.close()
    eventually(lambda: set(threading.enumerate()) <= before, "all threads have ended")
    again = Driver(ports=range(port, port + 1))
    again.server.close()
