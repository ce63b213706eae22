"""The TensorBoard program: up, without TensorFlow, and gone with the driver."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import psutil
import pytest

from hopslite.track import TensorBoardServer
from tests.helpers.servers import until

DRIVER = """
import signal, sys
from hopslite.track import TensorBoardServer
server = TensorBoardServer(sys.argv[1])
print(server._process.pid, server.url(60), flush=True)
signal.pause()
"""

pytestmark = pytest.mark.usefixtures("temporary")


def test_serves_on_this_machine_only_and_closes(tmp_path: Path, temporary: Path) -> None:
    ready = threading.Event()
    seen: list[str] = []
    server = TensorBoardServer(str(tmp_path), on_ready=lambda url: (seen.append(url), ready.set())[0])
    try:
        assert ready.wait(60)
        url = server.url(0)
        assert seen == [url]
        assert url is not None
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}data/logdir", timeout=30) as answer:
            assert str(tmp_path) in answer.read().decode()
        assert server._process is not None
        process = psutil.Process(server._process.pid)
        loaded = {Path(mapped.path).parts for mapped in process.memory_maps()}
        assert not any("tensorflow" in parts for parts in loaded)
        listening = [c for p in (process, *process.children(True)) for c in p.net_connections("inet") if not c.raddr]
        assert {connection.laddr.ip for connection in listening} <= {"127.0.0.1", "::1"}
    finally:
        server.close()
    assert not psutil.pid_exists(process.pid)
    assert list(temporary.iterdir()) == []


def test_those_that_are_not_waited_for_leave_nothing(tmp_path: Path, temporary: Path) -> None:
    servers = [TensorBoardServer({"a": str(tmp_path), "b": str(tmp_path)}) for _ in range(2)]
    assert servers[0].url(60) is not None
    assert list(temporary.glob("*/a"))
    for server in servers:  # the second one is still importing
        server.close(0.0)
    assert list(temporary.iterdir()) == []


def test_ends_with_a_killed_driver(tmp_path: Path, temporary: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    pid, url = driver.stdout.readline().split()
    assert url.startswith("http://")
    process = psutil.Process(int(pid))
    driver.kill()
    driver.wait()
    driver.stdout.close()
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "TensorBoard ends")
    assert list(temporary.iterdir()) == []


def test_without_tensorboard_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tensorboard"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    warnings: list[str] = []

    server = TensorBoardServer(str(tmp_path), on_warning=warnings.append)

    assert server.url(60) is None
    assert len(warnings) == 1
    assert 'pip install "hopslite[tensorboard]"' in warnings[0]
    server.close()
