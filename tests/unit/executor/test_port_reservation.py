"""Ports that are held for a framework: nobody else gets them, the framework does."""

from __future__ import annotations

import socket

import pytest

from hopslite.errors import InvalidArguments
from hopslite.executor.port_reservation import has_listener, hold_port, parse_ports


def listening(port: int, shares: bool) -> socket.socket:
    """A server as frameworks start theirs (`shares`), or as a stranger may."""
    server = socket.socket()
    if shares:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("", port))
        server.listen()
    except OSError:
        server.close()
        raise
    return server


def test_a_held_port_is_nobody_elses() -> None:
    with hold_port("0") as held:
        port = held.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            listening(port, shares=False)
        with pytest.raises(OSError, match="no free port"):
            hold_port(str(port))


def test_a_framework_can_listen_on_a_held_port() -> None:
    with hold_port("0") as held:
        port = held.getsockname()[1]
        assert not has_listener(held)
        with listening(port, shares=True) as server, socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"x")
                assert accepted.recv(1) == b"x"
            assert has_listener(held)


def test_a_port_is_free_again_when_it_is_given_back() -> None:
    with hold_port("0") as held:
        port = held.getsockname()[1]
    with hold_port(str(port)) as again:
        assert again.getsockname()[1] == port


def test_a_range_is_used_up_one_by_one() -> None:
    with hold_port("0") as first:
        low = first.getsockname()[1]
    text = f"{low}-{low + 1}"
    with hold_port(text) as first, hold_port(text) as second:
        assert {first.getsockname()[1], second.getsockname()[1]} == {low, low + 1}
        with pytest.raises(OSError, match="allow more"):
            hold_port(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("0", range(1)), ("40000", range(40000, 40001)), ("40000-40003", range(40000, 40004))]
)
def test_ports_are_read(text: str, expected: range) -> None:
    assert parse_ports(text, "channel_port") == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "70000", "40001-40000", "1-x", "40000-", "1-2-3", "1.5", "1-70000"])
def test_ports_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InvalidArguments, match=r"channel_port='.* neither a port nor a range"):
        parse_ports(text, "channel_port")
