"""Ports for members of distributed trials, held from the moment their number is told until the trial's end."""

from __future__ import annotations

import socket

from ..errors import InvalidArguments

__all__ = ["has_listener", "hold_port", "parse_ports"]


def parse_ports(text: str, setting: str) -> range:
    """Ports to try, from "0" (any), "40000" or "40000-40100".

    Raises:
        InvalidArguments: the text is none of these; the message names the setting that it came from.
    """
    low, dash, high = text.partition("-")
    try:
        ports = range(int(low), int(high if dash else low) + 1)
    except ValueError:
        ports = range(0)
    if not ports or ports[0] < 0 or ports[-1] > 65535:
        raise InvalidArguments(setting, [f"{setting}={text!r} is neither a port nor a range such as 40000-40100"])
    return ports


def has_listener(held: socket.socket) -> bool:
    """Whether a framework listens on a held port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", held.getsockname()[1])) == 0


def hold_port(ports: str) -> socket.socket:
    """Bind one of some ports without listening on it; closing the socket gives the port back.

    The port is taken as nobody else's (`bind` fails where anybody has it), and only then opened to sharing: Linux lets
    a program that sets `SO_REUSEADDR`, as the servers of TensorFlow, PyTorch and JAX do, bind a port whose other
    holders share it and do not listen. So the framework can take the port at any time and nobody gets it before.

    Raises:
        OSError: all of them are taken.
    """
    for port in parse_ports(ports, "member_ports"):
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            held.bind(("", port))
        except OSError:
            held.close()
            continue
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return held
    raise OSError(f"no free port among {ports} on {socket.gethostname()}; allow more (member_ports)")
