"""Addresses of this machine."""

from __future__ import annotations

import contextlib
import socket

__all__ = ["interface_towards", "is_local_address"]


def is_local_address(host: str) -> bool:
    """True if an address is one of this machine's."""
    try:
        family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def interface_towards(host: str) -> str:
    """The address of this machine from which packets to a host are sent; empty if there is no way. Sends nothing."""
    with contextlib.suppress(OSError, UnicodeError):
        family, kind, protocol, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    return ""
