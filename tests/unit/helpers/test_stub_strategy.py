"""The stub of a framework waits for all members, notices one that is gone, and listens until its process ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from hopslite.executor.port_reservation import has_listener, hold_port
from tests.helpers import ROOT
from tests.helpers.observe import eventually

MEMBER = """
import sys
from tests.helpers.stub_strategy import stub_strategy

step = stub_strategy()()
print("made", flush=True)
for line in sys.stdin:
    step()
    print("stepped", flush=True)
    del step
    sys.stdin.read()
"""


@pytest.fixture
def ports() -> Iterator[list[socket.socket]]:
    """Two, held as a member's slot holds them."""
    held = [hold_port("0") for _ in range(2)]
    yield held
    for port in held:
        port.close()


def member(ports: list[socket.socket], role: str) -> subprocess.Popen[str]:
    chief, worker = (f"127.0.0.1:{port.getsockname()[1]}" for port in ports)
    config = {"cluster": {"chief": [chief], "worker": [worker]}, "task": {"type": role, "index": 0}}
    return subprocess.Popen(
        [sys.executable, "-c", MEMBER],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(config)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def test_two_members(ports: list[socket.socket]) -> None:
    with member(ports, "chief") as chief:
        eventually(lambda: has_listener(ports[0]), "the chief listens, and goes on when somebody has looked")
        with member(ports, "worker") as worker:
            both = (chief, worker)
            assert [said(process) for process in both] == ["made", "made"]
            go(chief)
            go(worker)
            assert [said(process) for process in both] == ["stepped", "stepped"]
            assert all(has_listener(port) for port in ports)
            for process in both:
                process.communicate(timeout=60)
                assert process.returncode == 0


def test_one_that_is_gone(ports: list[socket.socket]) -> None:
    with member(ports, "chief") as chief:
        with member(ports, "worker") as worker:
            assert (said(chief), said(worker)) == ("made", "made")
            worker.kill()
        _, error = chief.communicate("go\n", timeout=60)
        assert "Error" in error.splitlines()[-1]
        assert chief.returncode == 1
