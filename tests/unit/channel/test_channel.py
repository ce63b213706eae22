"""The channel between driver and slots: who gets in, what a bad peer can do, where it listens."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import json
import multiprocessing
import os
import pickle
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge, wait
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from hopslite.channel import client, server
from hopslite.channel.framing import encode_frame
from hopslite.channel.handshake import Handshake
from hopslite.channel.message_log import encode_message
from hopslite.channel.server import ReconnectingClient, Server, SlotSession
from hopslite.errors import InvalidArguments
from tests.helpers.observe import PATIENCE_S, eventually, in_background
from tests.helpers.proxy import Proxy
from tests.helpers.spark_cluster import free_ports

ANY = range(1)


class Driver:
    """A server that keeps what it is told."""

    def __init__(self, host: str = "127.0.0.1", ports: range = ANY) -> None:
        self.messages: list[dict[str, Any]] = []
        self.sessions: list[SlotSession] = []
        self.lost: list[SlotSession] = []
        self.server = Server(host, ports, self._on_message, self.lost.append)

    def _on_message(self, session: SlotSession, message: dict[str, Any]) -> None:
        self.sessions.append(session)
        self.messages.append(message)

    def connect(self, key: bytes | None = None, through: Proxy | None = None) -> ReconnectingClient:
        address = through.address if through else self.server.address
        return ReconnectingClient(address, self.server.key if key is None else key)


@pytest.fixture
def driver() -> Iterator[Driver]:
    made = Driver()
    yield made
    made.server.close()


@pytest.fixture
def good(driver: Driver) -> Iterator[ReconnectingClient]:
    """A slot that did everything right; whatever another peer does must not concern it."""
    link = driver.connect()
    yield link
    link.send({"type": "proof"})
    eventually(lambda: {"type": "proof"} in driver.messages, "a message of the good peer")
    driver.sessions[-1].send({"type": "answer"})
    assert link.receive() == {"type": "answer"}
    link.close()


@pytest.fixture
def proxy(driver: Driver) -> Iterator[Proxy]:
    made = Proxy(driver.server.address)
    yield made
    made.close()


def received_by(link: ReconnectingClient) -> dict[str, Any]:
    """The driver's next message."""
    while (message := link.receive())["type"] == "beat":
        pass
    return message


@contextlib.contextmanager
def beating(link: ReconnectingClient, seconds: float = 0.02) -> Iterator[None]:
    """A thread that beats, as a slot's does."""
    done = threading.Event()

    def beat() -> None:
        with contextlib.suppress(OSError):
            while not done.wait(seconds):
                link.send({"type": "beat"})

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def wire(link: ReconnectingClient) -> Iterator[socket.socket]:
    """The link's connection, for bytes that a link would not send."""
    assert link._socket
    with socket.socket(fileno=os.dup(link._socket.fileno())) as connection:
        connection.settimeout(30)
        yield connection


@contextlib.contextmanager
def authenticated(driver: Driver) -> Iterator[socket.socket]:
    """A connection that knows the key and has said nothing yet."""
    with raw(driver) as connection:
        connection.settimeout(None)
        link = Connection(os.dup(connection.fileno()))
        answer_challenge(link, driver.server.key)
        deliver_challenge(link, driver.server.key)
        link.close()
        connection.settimeout(30)
        yield connection


def answer(connection: socket.socket) -> dict[str, Any]:
    with connection.makefile("rb", buffering=0) as stream:
        (size,) = struct.unpack("!i", stream.read(4))
        return dict(json.loads(stream.read(size)))


def raw(driver: Driver) -> socket.socket:
    return socket.create_connection(driver.server.address, timeout=PATIENCE_S)


def is_cut(connection: socket.socket) -> bool:
    """True if the other side ends the connection within the socket's time limit."""
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
        driver.sessions[0].send({"type": "reply", "number": number})
    assert [link.receive()["number"] for _ in range(500)] == list(range(500))
    link.close()
    eventually(lambda: driver.lost == [driver.sessions[0]], "the lost peer")
    assert driver.sessions[0].said_goodbye


def test_a_big_message_arrives_whole(driver: Driver) -> None:
    link = driver.connect()
    text = "x" * (5 << 20)
    link.send({"type": "big", "text": text})
    with in_background(lambda: received_by(link)) as reading:
        eventually(lambda: driver.messages, "the message")
        assert driver.messages[0]["text"] == text
        driver.sessions[0].send({"type": "big", "text": text})
        assert reading.result()["text"] == text
    link.close()


def test_what_was_sent_before_closing_is_delivered() -> None:
    driver = Driver()
    links = [driver.connect() for _ in range(4)]
    for link in links:
        link.send({"type": "ready"})
    eventually(lambda: len(driver.sessions) == 4, "four peers")
    for session in driver.sessions:
        session.send({"type": "exit"})
    driver.server.close()
    for link in links:
        assert link.receive() == {"type": "exit"}
        with pytest.raises(EOFError):
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
    monkeypatch.setattr(server, "HELLO_SECONDS", 0.2)
    driver = Driver()
    stranger = raw(driver)
    assert is_cut(stranger)
    driver.server.close()


class TestFloods:
    """Strangers without the key, more than the driver's process could hold."""

    def test_the_oldest_that_has_proven_nothing_makes_room(
        self, driver: Driver, good: ReconnectingClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "MAX_UNAUTHENTICATED", 4)
        with authenticated(driver) as silent_slot:
            strangers = [raw(driver) for _ in range(10)]
            assert all(is_cut(stranger) for stranger in strangers[:6])
            eventually(lambda: len(driver.server._unauthenticated) == 4, "the others stay")
            silent_slot.sendall(encode_message({"type": "hello", "session": "late", "received": 0}))
            assert answer(silent_slot) == {"type": "welcome", "received": 0}
        for stranger in strangers:
            stranger.close()

    @pytest.mark.skipif(sys.platform != "linux", reason="a second address of this machine")
    def test_it_is_one_of_the_host_that_has_the_most(self, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "MAX_UNAUTHENTICATED", 4)
        slow = socket.create_connection(driver.server.address, timeout=PATIENCE_S, source_address=("127.0.0.2", 0))
        eventually(lambda: len(driver.server._unauthenticated) == 1, "the first")
        strangers = [raw(driver) for _ in range(20)]
        assert is_cut(strangers[0])
        eventually(lambda: driver.server._unauthenticated.keys() and is_cut(strangers[15]), "only the last are left")
        assert "127.0.0.2" in [stranger.host for stranger in list(driver.server._unauthenticated)]
        for stranger in (slow, *strangers):
            stranger.close()

    def test_a_driver_of_few_descriptors_holds_out(self) -> None:
        """900 silent strangers, and a process that may open 200 files: slots stay, come back, and new ones get in."""
        with subprocess.Popen(
            [sys.executable, "-c", SCARCE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as driver:
            assert driver.stdin and driver.stdout
            port, key = driver.stdout.readline().split()
            address = ("127.0.0.1", int(port))
            proxy = Proxy(address)
            old = [ReconnectingClient(proxy.address, bytes.fromhex(key)) for _ in range(2)]
            strangers = []
            over = threading.Event()

            def flood() -> None:
                while len(strangers) < 900 or not over.wait(0.02):
                    with contextlib.suppress(OSError):
                        strangers.append(socket.create_connection(address, timeout=5))
                    if len(strangers) > 1200:
                        strangers.pop(0).close()

            with in_background(flood), beating(old[0]), beating(old[1]):
                try:
                    eventually(lambda: len(strangers) >= 900, "many strangers")
                    proxy.cut()
                    new = [ReconnectingClient(address, bytes.fromhex(key)) for _ in range(4)]
                    for link in (*old, *new):
                        link.send({"type": "note"})
                        assert received_by(link) == {"type": "noted"}
                    driver.stdin.write("scarcer\n")  # nothing at all can be opened for a while
                    driver.stdin.flush()
                    assert driver.stdout.readline() == "had none\n"
                    late = ReconnectingClient(address, bytes.fromhex(key))
                    late.send({"type": "note"})
                    assert received_by(late) == {"type": "noted"}
                finally:
                    over.set()
            driver.stdin.write("end\n")
            driver.stdin.flush()
            threads, most, lost = json.loads(driver.stdout.readline())
            for link in (*old, *new, late):
                link.close()
            for stranger in strangers:
                stranger.close()
            proxy.close()
        assert threads == 2
        assert most <= 64 + 7 + 20
        assert lost == 0

    def test_accepting_goes_on_after_any_failure(self, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
        failures = iter([OSError(errno.ECONNABORTED, "gone"), RuntimeError("can't start new thread"), MemoryError()])
        adopt = driver.server._start_connection

        async def fail(connection: socket.socket, host: str) -> None:
            if error := next(failures, None):
                connection.close()
                raise error
            await adopt(connection, host)

        monkeypatch.setattr(driver.server, "_start_connection", fail)
        link = driver.connect()  # tries again
        link.send({"type": "ready"})
        eventually(lambda: driver.messages, "the message")
        link.close()


SCARCE = """
import json, os, resource, sys, threading, time
from hopslite.channel.server import Server

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
lost = []
over = threading.Event()
server = Server("127.0.0.1", range(1), lambda peer, message: peer.send({"type": "noted"}), lost.append)
print(server.address[1], server.key.hex(), flush=True)
most = 0
for line in sys.stdin:
    most = max(most, len(os.listdir("/proc/self/fd")))
    if line == "end\\n":
        break
    taken = []
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        try:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            time.sleep(0.001)
    for descriptor in taken:
        os.close(descriptor)
    print("had none", flush=True)
print(json.dumps([threading.active_count(), most, len(lost)]), flush=True)
os._exit(0)
"""


class TestHandshake:
    @pytest.mark.parametrize("version", ["3.11", "3.12"])
    def test_it_is_that_of_every_python(self, version: str) -> None:
        """From 3.12 on Python names the digest, and it is SHA-256; before, it is MD5."""
        name, digest = (b"", "md5") if version == "3.11" else (b"{sha256}", "sha256")

        def proof(message: bytes) -> bytes:
            return name + hmac.new(b"key", message, digest).digest()

        handshake = Handshake(b"key")
        challenge = handshake.challenge[4:].removeprefix(b"#CHALLENGE#")
        assert handshake.answer(proof(challenge)) == encode_frame(b"#WELCOME#")
        mine = name + os.urandom(20)
        assert handshake.answer(b"#CHALLENGE#" + mine) == encode_frame(proof(mine))
        assert not handshake.completed
        assert handshake.answer(b"#WELCOME#") == b""
        assert handshake.completed

    def test_nothing_is_proven_to_who_has_proven_nothing(self) -> None:
        handshake = Handshake(b"key")
        assert handshake.answer(b"#CHALLENGE#" + os.urandom(20)) == encode_frame(b"#FAILURE#")
        assert not handshake.peer_verified


def test_a_slot_that_went_silent_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SILENCE_SECONDS", 0.6)
    driver = Driver()
    silent, alive = driver.connect(), driver.connect()
    silent.send({"type": "ready", "who": "silent"})
    alive.send({"type": "ready", "who": "alive"})
    eventually(lambda: len(driver.sessions) == 2, "two peers")
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.05):
            alive.send({"type": "beat"})

    beating = threading.Thread(target=beat)
    beating.start()
    eventually(lambda: driver.lost, "the silent one is lost")
    done.set()
    beating.join()
    who = {id(session): message["who"] for session, message in zip(driver.sessions, driver.messages, strict=True)}
    assert who[id(driver.lost[0])] == "silent"
    for link in (silent, alive):
        link.close()
    driver.server.close()


def test_after_the_driver_itself_was_stopped_no_slot_is_cut_before_it_could_speak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-Z stops driver and local slots alike; the silence meanwhile says nothing."""
    monkeypatch.setattr(server, "SILENCE_SECONDS", 3.0)
    driver = Driver()
    alive, silent = driver.connect(), driver.connect()
    for link, who in ((alive, "alive"), (silent, "silent")):
        link.send({"type": "ready", "who": who})
    eventually(lambda: len(driver.sessions) == 2, "two peers")
    who = {session: message["who"] for session, message in zip(driver.sessions, driver.messages, strict=True)}
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
        assert [who[session] for session in driver.lost] == ["silent"]
    finally:
        done.set()
        beating.join()
        for link in (alive, silent):
            link.close()
        driver.server.close()


def test_a_wrong_key_is_refused(driver: Driver, good: ReconnectingClient) -> None:
    with pytest.raises((multiprocessing.AuthenticationError, EOFError, OSError)):
        driver.connect(key=b"k" * 32)
    assert driver.messages == []


def test_a_server_that_does_not_know_the_key_gets_nothing(driver: Driver) -> None:
    """A slot must not take orders from whoever listens at the address."""
    with socket.create_server(("127.0.0.1", 0)) as impostor:
        outcome: list[BaseException] = []

        def slot() -> None:
            try:
                ReconnectingClient(impostor.getsockname()[:2], driver.server.key)
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
    "a message without a number": encode_message({"type": "ready"}),
    "a message out of turn": encode_message({"type": "ready", "n": 2}),
    "received what was never sent": encode_message({"type": "beat", "received": 1}),
    "received less than nothing": encode_message({"type": "beat", "received": -1}),
    "received something": encode_message({"type": "beat", "received": "all"}),
}
HELLOS = {
    "no session": encode_message({"type": "hello", "received": 0}),
    "a strange session": encode_message({"type": "hello", "session": [], "received": 0}),
    "a new session with messages": encode_message({"type": "hello", "session": "x", "received": 3}),
    "a session that has ended": encode_message({"type": "hello", "session": "x", "received": 3, "resumed": True}),
}


@pytest.mark.parametrize("sent", STRANGE.values(), ids=STRANGE.keys())
def test_a_bad_frame_costs_only_its_sender(
    driver: Driver, good: ReconnectingClient, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    bad = driver.connect()
    with wire(bad) as connection:
        connection.sendall(sent)
        assert is_cut(connection)
    bad.close()
    assert driver.messages == []
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.parametrize("sent", {**STRANGE, **HELLOS}.values(), ids={**STRANGE, **HELLOS}.keys())
def test_a_bad_hello_costs_only_its_sender(
    driver: Driver, good: ReconnectingClient, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with authenticated(driver) as connection:
        connection.sendall(sent)
        assert is_cut(connection)
    assert driver.messages == []
    assert driver.lost == []
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_a_peer_that_says_no_hello_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HELLO_SECONDS", 0.2)
    driver = Driver()
    with authenticated(driver) as connection:
        assert is_cut(connection)
    driver.server.close()


@pytest.mark.parametrize("sent", STRANGE.values(), ids=STRANGE.keys())
def test_bad_bytes_before_the_handshake_cost_only_their_sender(
    driver: Driver, good: ReconnectingClient, sent: bytes
) -> None:
    with raw(driver) as stranger:
        stranger.sendall(sent)
        with contextlib.suppress(OSError):  # it may be cut already
            stranger.shutdown(socket.SHUT_WR)
        assert is_cut(stranger)
    assert driver.messages == []


def test_nothing_is_unpickled(driver: Driver, good: ReconnectingClient, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "boom",))

    bad = driver.connect()
    bomb = pickle.dumps(Bomb())
    with wire(bad) as connection:
        connection.sendall(struct.pack("!i", len(bomb)) + bomb)
        assert is_cut(connection)
    bad.close()
    assert not (tmp_path / "boom").exists()


def test_half_a_frame_is_waited_for(driver: Driver) -> None:
    link = driver.connect()
    frame = encode_message({"type": "slow", "n": 1})
    with wire(link) as connection:
        for index in range(len(frame)):
            connection.sendall(frame[index : index + 1])
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


class TestWhatTheNetworkDoes:
    @pytest.mark.parametrize("hard", [False, True], ids=["end", "reset"])
    def test_a_cut_costs_nothing(self, driver: Driver, proxy: Proxy, hard: bool) -> None:
        link = driver.connect(through=proxy)
        link.send({"type": "ready"})
        eventually(lambda: driver.messages, "a message")
        [session] = driver.sessions
        with beating(link):
            proxy.cut(hard)
            for number in range(10):
                link.send({"type": "note", "number": number})
                session.send({"type": "reply", "number": number})
            assert [received_by(link)["number"] for _ in range(10)] == list(range(10))
            eventually(lambda: len(driver.messages) == 11, "ten messages more")
        assert [message.get("number") for message in driver.messages] == [None, *range(10)]
        assert proxy.accepted == 2
        assert (set(driver.sessions), driver.lost) == ({session}, [])
        link.close()

    @pytest.mark.parametrize("reader", ["both", "beats only"])
    def test_messages_arrive_once_and_in_order_through_a_network_that_breaks(
        self, driver: Driver, proxy: Proxy, reader: str
    ) -> None:
        """With "beats only" the slot's main thread trains: until the end, only its beats touch the link."""
        count = 2000
        proxy.delay = 0.001
        link = driver.connect(through=proxy)
        link.send({"type": "ready"})
        eventually(lambda: driver.sessions, "the peer")
        session = driver.sessions[0]
        done = threading.Event()
        random = Random(1)
        cuts = 0

        def cutter() -> None:
            nonlocal cuts
            while not done.wait(random.uniform(0.05, 0.4)):
                proxy.cut(hard=random.random() < 0.5)
                cuts += 1

        def replies() -> list[int]:
            return [received_by(link)["number"] for _ in range(count)]

        def speak(say: Callable[[dict[str, Any]], None]) -> None:
            for number in range(count):
                say({"type": "note", "number": number, "text": "x" * random.randrange(2000)})
                time.sleep(0.001)

        with (
            beating(link),
            in_background(cutter),
            in_background(lambda: speak(session.send)) as driver_speaks,
            in_background(lambda: speak(link.send)) as slot_speaks,
        ):
            try:
                if reader == "both":
                    assert replies() == list(range(count))
                eventually(lambda: len(driver.messages) > count, "all messages")
                slot_speaks.result()
                driver_speaks.result()
                if reader != "both":
                    assert replies() == list(range(count))
            finally:
                done.set()
        assert [message["number"] for message in driver.messages[1:]] == list(range(count))
        assert driver.lost == []
        assert cuts > 3 and proxy.accepted > 3
        link.close()

    def test_silence_of_the_network_changes_nothing(self, driver: Driver, proxy: Proxy) -> None:
        link = driver.connect(through=proxy)
        link.send({"type": "ready"})
        eventually(lambda: driver.sessions, "the peer")
        with beating(link):
            proxy.freeze()
            link.send({"type": "note"})
            driver.sessions[0].send({"type": "reply"})
            time.sleep(0.3)  # several beats
            assert driver.messages == [{"type": "ready"}]
            proxy.thaw()
            assert received_by(link) == {"type": "reply"}
            eventually(lambda: len(driver.messages) == 2, "the note")
        assert proxy.accepted == 1
        link.close()

    def test_a_slot_that_comes_too_late_is_refused(
        self, driver: Driver, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "RECONNECT_SECONDS", 600.0)
        link = driver.connect(through=proxy)
        link.send({"type": "ready"})
        eventually(lambda: driver.sessions, "the peer")
        monkeypatch.setattr(server, "RESUME_SECONDS", 0.3)
        with in_background(lambda: received_by(link)) as reading:
            proxy.down()
            eventually(lambda: driver.lost == [driver.sessions[0]], "the lost slot")
            assert not driver.sessions[0].said_goodbye
            driver.sessions[0].send({"type": "too late"})
            proxy.up()
            with pytest.raises(EOFError):
                reading.result()
        with pytest.raises(OSError, match="over"):
            link.send({"type": "note"})
        with pytest.raises(OSError, match="over"):
            link.send({"type": "beat"})
        assert len(driver.lost) == 1
        assert driver.messages == [{"type": "ready"}]
        link.close()

    def test_a_session_that_was_dropped_is_not_resumed(
        self, driver: Driver, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its connection broke before the driver could say so."""
        monkeypatch.setattr(client, "RECONNECT_SECONDS", 600.0)
        link = driver.connect(through=proxy)
        link.send({"type": "ready"})
        eventually(lambda: driver.sessions, "the peer")
        proxy.freeze()
        driver.sessions[0].request_drop()
        eventually(lambda: driver.lost == [driver.sessions[0]], "the lost slot")
        proxy.cut()
        proxy.thaw()
        with in_background(lambda: received_by(link)) as reading, pytest.raises(EOFError):
            reading.result()
        assert proxy.accepted == 2
        assert len(driver.lost) == 1
        link.close()

    def test_a_slot_that_is_dropped_learns_it_at_once(self, driver: Driver) -> None:
        link = driver.connect()
        link.send({"type": "ready"})
        eventually(lambda: driver.sessions, "the peer")
        driver.sessions[0].send({"type": "last"})
        driver.sessions[0].request_drop()
        assert received_by(link) == {"type": "last"}
        with pytest.raises(EOFError):
            link.receive()
        link.close()

    def test_a_slot_gives_up_after_a_while(self, driver: Driver, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        link = driver.connect(through=proxy)
        monkeypatch.setattr(client, "RECONNECT_SECONDS", 0.5)
        proxy.down()
        with in_background(lambda: received_by(link)) as reading, pytest.raises(EOFError):
            reading.result()
        assert link.session_over.is_set()
        link.close()

    def test_a_slot_that_is_refused_gives_up_sooner(self, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        """The machine is there, but nobody listens on it: the driver has ended."""
        driver = Driver()
        through = Proxy(driver.server.address)
        link = driver.connect(through=through)
        monkeypatch.setattr(client, "RECONNECT_SECONDS", 600.0)
        monkeypatch.setattr(client, "REFUSED_SECONDS", 0.3)
        through.close()
        with in_background(lambda: received_by(link)) as reading, pytest.raises(EOFError):
            reading.result()
        link.close()
        driver.server.close()

    def test_a_stranger_in_the_drivers_place_is_refused(
        self, driver: Driver, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another run's driver may have got the port."""
        monkeypatch.setattr(client, "RECONNECT_SECONDS", 600.0)
        other = Driver()
        link = driver.connect(through=proxy)
        proxy.target = other.server.address
        proxy.cut()
        with in_background(lambda: received_by(link)) as reading, pytest.raises(EOFError):
            reading.result()
        assert other.messages == [] and other.lost == []
        link.close()
        other.server.close()

    def test_the_newest_connection_of_a_session_counts(self, driver: Driver) -> None:
        """The driver may learn late, or never, that the one before is broken."""
        hello = {"type": "hello", "session": "s", "received": 0}
        with authenticated(driver) as first, authenticated(driver) as second:
            first.sendall(encode_message(hello) + encode_message({"type": "note", "n": 1}))
            assert answer(first) == {"type": "welcome", "received": 0}
            eventually(lambda: driver.messages, "the first message")
            second.sendall(encode_message({**hello, "resumed": True}) + encode_message({"type": "note", "n": 2}))
            assert answer(second) == {"type": "welcome", "received": 1}
            assert is_cut(first)
            eventually(lambda: len(driver.messages) == 2, "the second message")
            assert len(set(driver.sessions)) == 1
            driver.sessions[0].send({"type": "reply"})
            assert answer(second) == {"type": "reply", "n": 1}
            assert driver.lost == []

    def test_a_lie_about_what_was_received_costs_only_the_liar(self, driver: Driver, good: ReconnectingClient) -> None:
        with authenticated(driver) as liar:
            liar.sendall(encode_message({"type": "hello", "session": good._name, "received": 7, "resumed": True}))
            assert is_cut(liar)
        assert driver.lost == []

    def test_what_cannot_be_dealt_with_ends_the_session(
        self, driver: Driver, good: ReconnectingClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        link = driver.connect()
        driver.server._on_message, before = lambda session, message: {}[message["type"]], driver.server._on_message
        link.send({"type": "unheard of"})
        with pytest.raises(EOFError):
            received_by(link)
        driver.server._on_message = before
        eventually(lambda: driver.lost, "the lost slot")
        assert "unheard of" in caplog.text
        link.close()


class TestSlots:
    """Properties of the channel that slots rely on."""

    def test_sending_never_waits_for_the_driver(self, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client, "UNCONFIRMED_SECONDS", 600.0)
        link = driver.connect()
        link.send({"type": "ready"})
        eventually(lambda: driver.sessions, "the peer")
        awake = threading.Event()
        driver.server._loop.call_soon_threadsafe(awake.wait, 120)  # it reads nothing

        def speak() -> None:
            for number in range(64):
                link.send({"type": "note", "number": number, "text": "x" * (1 << 20)})
                link.send({"type": "beat"})

        try:
            with in_background(speak) as speaking:
                speaking.result()
                assert len(driver.messages) == 1
        finally:
            awake.set()
        with in_background(lambda: received_by(link)) as reading:
            eventually(lambda: len(driver.messages) == 65, "all messages")
            driver.sessions[0].send({"type": "thanks"})
            reading.result()
        assert [message["number"] for message in driver.messages[1:]] == list(range(64))
        link.close()

    def test_what_the_network_did_not_take_at_once_needs_no_other_message(self, driver: Driver) -> None:
        link = driver.connect()
        assert link._socket
        link._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        text = "x" * 900_000  # too little for the driver to acknowledge at once
        link.send({"type": "note", "text": text})
        assert link._output
        with in_background(lambda: received_by(link)) as reading:
            eventually(lambda: driver.messages, "the message")
            driver.sessions[0].send({"type": "thanks"})
            reading.result()
        assert driver.messages[0]["text"] == text
        link.close()

    def test_what_was_acknowledged_is_forgotten(self, driver: Driver) -> None:
        link = driver.connect()
        for number in range(100):
            link.send({"type": "note", "number": number})
        eventually(lambda: len(driver.messages) == 100, "all messages")
        [session] = set(driver.sessions)
        for number in range(100):
            session.send({"type": "reply", "number": number})
        for _ in range(100):
            received_by(link)
        logs = [link._log, session._log]
        assert [len(log._unacked) for log in logs] == [100, 100]
        with beating(link):
            eventually(lambda: not any(log._unacked or log._pending for log in logs), "all is forgotten")
        link.close()

    def test_much_is_acknowledged_before_the_next_beat(self, driver: Driver) -> None:
        link = driver.connect()
        text = "x" * (1 << 20)
        link.send({"type": "ready"})
        eventually(lambda: driver.sessions, "the peer")
        [session] = driver.sessions

        def look() -> bool:
            return len(link._log._unacked) < 10 and len(session._log._unacked) < 10

        with in_background(lambda: [received_by(link) for _ in range(21)]) as reading:
            for _ in range(20):  # too few to be acknowledged for their number
                session.send({"type": "reply", "text": text})
                link.send({"type": "note", "text": text})
            eventually(look, "the most is forgotten")
            session.send({"type": "last"})
            reading.result()
        link.close()

    def test_a_message_that_the_beat_has_read_wakes_the_slot(self, driver: Driver) -> None:
        link = driver.connect()
        link.send({"type": "ready"})
        eventually(lambda: driver.sessions, "the peer")
        driver.sessions[0].send({"type": "run"})

        def beaten() -> bool:
            link.send({"type": "beat"})
            return bool(link._inbox)

        eventually(beaten, "a beat that reads the message")
        links: list[Any] = [link]
        assert wait(links, 0)
        assert link.receive() == {"type": "run"}
        while wait(links, 0):
            assert link.receive() == {"type": "beat"}
        link.close()

    def test_a_slot_that_was_woken_is_not_held_up(self, driver: Driver) -> None:
        """The event that woke it may have been handled by a heartbeat in between, without a message for it."""
        link = driver.connect()
        for _ in range(server.ACKNOWLEDGE_MESSAGES):
            link.send({"type": "note"})
        link.send({"type": "beat"})  # which the driver answers
        links: list[Any] = [link]
        assert wait(links, 60)
        link.send({"type": "beat"})
        with in_background(link.receive) as reading:
            assert reading.result() == {"type": "beat"}
        eventually(lambda: not (wait(links, 0) and link.receive()), "quiet")
        link.close()

    @pytest.mark.parametrize("hard", [False, True])
    def test_a_slot_that_was_woken_by_a_cut_is_not_held_up(self, driver: Driver, proxy: Proxy, hard: bool) -> None:
        """Its own message may find the connection broken, before it checks why it was woken."""
        link = driver.connect(through=proxy)
        link.send({"type": "ready"})
        eventually(lambda: driver.sessions, "the peer")
        links: list[Any] = [link]
        proxy.cut(hard)
        assert wait(links, 60)

        def noticed() -> bool:
            link.send({"type": "note"})
            return link._socket is None or driver.messages.count({"type": "note"}) > 0

        eventually(noticed, "the connection is broken")
        with in_background(link.receive) as reading:
            assert reading.result() == {"type": "beat"}
        eventually(lambda: {"type": "note"} in driver.messages, "the slot is back")
        eventually(lambda: not (wait(links, 0) and link.receive()), "quiet")
        link.close()

    def test_a_slot_that_was_woken_to_write_is_not_held_up(self, driver: Driver) -> None:
        """Data that the network had not accepted may have been written by a heartbeat in between."""
        link = driver.connect()
        assert link._socket
        link._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        link.send({"type": "note", "text": "x" * 900_000})
        assert link._output
        links: list[Any] = [link]

        def written() -> bool:
            assert wait(links, 60)
            link.send({"type": "beat"})
            return not link._output

        eventually(written, "all is written")
        with in_background(link.receive) as reading:
            assert reading.result() == {"type": "beat"}
        link.close()

    def test_waiting_for_messages_survives_the_connection(self, driver: Driver, proxy: Proxy) -> None:
        """A slot waits for its link and its trial at once; the link's descriptor must be the same afterwards."""
        link = driver.connect(through=proxy)
        link.send({"type": "ready"})
        eventually(lambda: driver.sessions, "the peer")
        links: list[Any] = [link]
        woken: list[dict[str, Any]] = []

        def loop() -> None:
            while {"type": "run"} not in woken:
                assert wait(links, 60)
                woken.append(link.receive())

        with in_background(loop) as looping:
            proxy.down()
            eventually(lambda: woken, "the slot is woken by the cut")
            so_far = len(woken)
            time.sleep(0.3)
            assert len(woken) <= so_far + 1  # it does not spin while there is no connection
            proxy.up()
            driver.sessions[0].send({"type": "run"})
            looping.result()
        link.close()

    def test_closing_delivers_what_was_sent_and_ends_the_session(
        self, driver: Driver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "RESUME_SECONDS", 600.0)
        link = driver.connect()
        link.send({"type": "note", "text": "x" * (5 << 20)})
        link.close()
        link.close()
        eventually(lambda: driver.lost, "the end of the session")
        assert [len(message["text"]) for message in driver.messages] == [5 << 20]

    def test_closing_ends_the_search_for_the_driver(self, driver: Driver, proxy: Proxy) -> None:
        before = set(threading.enumerate())
        link = driver.connect(through=proxy)
        proxy.down()
        with contextlib.suppress(EOFError):
            link.receive()
        eventually(lambda: "hopslite-reconnect" in [t.name for t in threading.enumerate()], "a search")
        link.close()
        eventually(lambda: "hopslite-reconnect" not in [t.name for t in set(threading.enumerate()) - before], "its end")
