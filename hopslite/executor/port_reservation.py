"""Reservation of ports for members of distributed trials, from their announcement until the trial's end."""

from __future__ import annotations

import socket

from ..errors import InvalidArguments

__all__ = ["ReservedPort", "has_listener", "hold_port", "parse_ports"]


def parse_ports(text: str, setting: str) -> range:
    """The range of ports in "0" (any), "40000" or "40000-40100".

    Raises:
        InvalidArguments: the text has another form; the message names the setting that it came from.
    """
    low, dash, high = text.partition("-")
    try:
        ports = range(int(low), int(high if dash else low) + 1)
    except ValueError:
        ports = range(0)
    if not ports or ports[0] < 0 or ports[-1] > 65535:
        raise InvalidArguments(setting, [f"{setting}={text!r} is neither a port nor a range such as 40000-40100"])
    return ports


def has_listener(reserved: socket.socket) -> bool:
    """True if a framework listens on a reserved port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", reserved.getsockname()[1])) == 0


def hold_port(ports: str) -> socket.socket:
    """Bind one of the given ports without listening on it; closing the socket releases the port.

    The port is bound exclusively (`bind` fails if another socket has it), and only then made shareable: Linux lets a
    program that sets `SO_REUSEADDR`, as the servers of TensorFlow, PyTorch and JAX do, bind a port whose other holders
    share it and do not listen. So the framework can bind the port at any time, and no other program gets it before.

    Raises:
        OSError: all of them are taken.
    """
    for port in parse_ports(ports, "member_ports"):
        reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            reserved.bind(("", port))
        except OSError:
            reserved.close()
            continue
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return reserved
    raise OSError(f"no free port among {ports} on {socket.gethostname()}; allow more (member_ports)")


class ReservedPort:
    """The port that a slot holds for a member, one at a time."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def reserve(self, ports: str) -> int:
        """Hold one of some ports instead of the current one; returns its number.

        Raises:
            OSError: all of them are taken.
        """
        self.release()
        self._socket = hold_port(ports)
        return int(self._socket.getsockname()[1])

    def has_listener(self) -> bool:
        """True if a port is held and a framework listens on it."""
        return self._socket is not None and has_listener(self._socket)

    def release(self) -> None:
        """Give the port back, if one is held."""
        if self._socket:
            self._socket.close()
            self._socket = None
