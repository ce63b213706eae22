"""The process of a warm server, which holds frameworks and nothing of a user's, and forks a fork server per run.

While a slot uses it, it ends with the slot. Between two runs it waits for the next slot of its executor, and ends when
none comes in time, when memory is short, or when the executor ends.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import resource
import select
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.process_role import keep_for_trials
from ..runs.function_fingerprint import is_installed
from .fork_server_process import ForkServerProcess
from .forking_process import ForkingProcess
from .inherited_generators import InheritedGenerators
from .preimport import import_all
from .process_control import adopt_orphans
from .warm_server_socket import WarmServerSocket

__all__ = ["WarmServerProcess", "main"]

CHECK_SECONDS = 2.0  # between two checks of what ends it
CONTROL_GROUP = "/sys/fs/cgroup/memory"
LEAST_MEMORY = 0.05  # of this machine's, or of what this process's control group may use


def main(descriptor: int, executor: int, folder: str | None, key: str, lock: int) -> None:
    """Entry point of the process: serve slot after slot of an executor.

    Args:
        descriptor: the connection to the first slot.
        executor: the process whose end this process notices between two runs.
        folder: folder for the socket to which other slots connect; None: it serves one only.
        key: the properties of runs that it can serve, as a part of the socket's name.
        lock: descriptor to close when the socket is there; -1: none.
    """
    keep_for_trials()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # a process that Java starts has SIGQUIT blocked
    server = WarmServerProcess(socket.socket(fileno=descriptor), executor, folder, key)
    if lock >= 0:
        os.close(lock)
    server.serve_all()
    os._exit(0)


class WarmServerProcess(ForkingProcess[None]):
    """The warm server in its own process; its children are the fork servers of runs, one after another.

    A slot that connects while another one uses this server gets a fork of it, which has the same frameworks imported in
    the same memory, and is independent of it.
    """

    def __init__(self, control: socket.socket, executor: int, folder: str | None, key: str) -> None:
        self._folder, self._key = folder, key
        self._listener: WarmServerSocket | None = None
        self._listen()
        self._initial_filters = list(warnings.filters)
        self._initial_environment = dict(os.environ)
        self._executor, self._executor_started = executor, _start_time(executor)  # both are empty without /proc
        self._warm_seconds = 0.0
        self._problem: str | None = None  # it may fork no more
        self._generators = InheritedGenerators()
        self._modules_to_keep: list[str] | None = None  # to import between two runs; None: the slot has not released it
        super().__init__(control)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # the executor has ended
            self._listener = WarmServerSocket(self._folder, self._key) if self._folder else None

    def serve_all(self) -> None:
        """Serve slot after slot."""
        self._generators.find()
        _freeze()
        while True:
            self.serve(CHECK_SECONDS)
            if not (self._listener and self._await_slot(self._listener)):
                break
        if self._listener:
            self._listener.remove()

    def _other_sources(self) -> list[int]:
        return [self._listener.fileno()] if self._listener else []

    def _on_other_source(self) -> None:
        """Fork a server for another slot."""
        assert self._listener
        try:
            connection = self._listener.accept()
        except OSError:  # it has gone, or there are no descriptors left
            return
        if self._fork_independent():
            connection.close()  # the other slot then tries again, or starts a server of its own
            return
        os.setsid()
        adopt_orphans()
        self._children.clear()
        self._independent.clear()
        self._unwatch_children()
        self._watch_children()
        self._disconnect()
        self._listener.close()
        self._listener = None
        self._listen()
        self._connect(connection)
        self._send(pid=os.getpid())

    def _fork_independent(self) -> bool:
        """Fork a process that outlives this one; False in that process, and True also where it could not be forked.

        A failure concerns the other slot only: it must not end the run of the slot that uses this server.
        """
        if self._find_problem():
            return True
        try:
            pid = os.fork()
        except OSError:
            return True
        if pid:
            self._independent.add(pid)
        return bool(pid)

    def _find_problem(self) -> str | None:
        """The reason why this process may fork no more; other slots then do not find it either."""
        self._problem = self._problem or _why_not_to_fork()
        if self._problem and self._listener:
            self._listener.remove()
            self._listener = None
        return self._problem

    def _serve(self, request_type: bytes, descriptors: list[int], request: dict[str, Any]) -> None:
        """Import modules (`I`); also fork the fork server of a run (`F`); or wait for the next slot (`K`)."""
        if request_type == b"K":
            self._modules_to_keep, self._warm_seconds = request["modules"], request["warm_seconds"]
            raise EOFError
        self._import(request["modules"])
        if request_type == b"F":
            self._fork_server(descriptors[0])

    def _fork_server(self, descriptor: int) -> None:
        connection = socket.socket(fileno=descriptor)
        if self._find_problem():
            self._send(problem=self._problem)  # before the slot can see the end of the connection
            connection.close()
            return
        variables = {k: v for k, v in os.environ.items() if self._initial_environment.get(k) != v}

        def run() -> None:
            if self._listener:
                self._listener.close()
            with contextlib.suppress(EOFError, ConnectionError):  # the slot has ended meanwhile
                ForkServerProcess(connection, variables, self._initial_filters, self._generators).serve()

        self._fork(None, [], run)
        connection.close()

    def _import(self, modules: list[str]) -> None:
        if self._import_installed(modules, lambda name: self._send(importing=name)):
            self._send(importing=None)

    def _import_installed(self, modules: list[str], on_import: Callable[[str], None]) -> bool:
        """Import those of the modules that belong to installed packages; False if there are none to import."""
        installed = [name for name in modules if name not in sys.modules and _is_installed(name)]
        if installed:
            import_all(installed, on_import)
            self._generators.find()
            _freeze()
        return bool(installed)

    def _on_end(self, label: None, pid: int, status: int, usage: resource.struct_rusage) -> None:
        self._send(ended=pid, status=os.waitstatus_to_exitcode(status))

    def _on_idle(self) -> bool:
        return not self._executor_lives()

    def _await_slot(self, listener: WarmServerSocket) -> bool:
        """Wait for the next slot, and connect to it; False: this process is to end."""
        if self._modules_to_keep is None:
            return False
        self._disconnect()
        self._import_installed(self._modules_to_keep, lambda _: None)
        self._modules_to_keep = None
        over = time.monotonic() + self._warm_seconds
        while time.monotonic() < over and self._executor_lives() and listener.is_reachable and not _memory_is_short():
            if self._find_problem():
                break
            self._reap()
            readable, _, _ = select.select([listener], [], [], min(CHECK_SECONDS, max(0.0, over - time.monotonic())))
            if readable and self._accept(listener):
                return True
        return False

    def _accept(self, listener: WarmServerSocket) -> bool:
        """Connect to a slot; False if it has gone again."""
        try:
            self._connect(listener.accept())
            self._send(pid=os.getpid())
        except OSError:
            return False
        return True

    def _executor_lives(self) -> bool:
        return _start_time(self._executor) == self._executor_started


def _freeze() -> None:
    """Exempt what there is from garbage collection, which in a fork server would visit, and so copy, all its pages."""
    gc.collect()
    gc.freeze()


def _is_installed(name: str) -> bool:
    """True if a module belongs to an installed package; one from the user's folders is not for other runs."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return False
    return spec is not None and is_installed(spec.origin or "")


def _why_not_to_fork() -> str | None:
    """The reason why a child of this process could hang or fail; threads of C libraries do no harm."""
    if count := len(sys._current_frames()) - 1:
        return f"an imported module has started {'a thread' if count == 1 else f'{count} threads'}"
    for descriptor in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith("/dev/nvidia"):
                return "an imported module has opened a GPU"
        except OSError:  # the descriptor of the listing itself
            continue
    return None


def _start_time(pid: int) -> str:
    """The start time of a process, which tells it from a later one with the same id; empty if it has ended."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if fields and fields[0] != "Z" else ""


def _memory_is_short(
    meminfo: str = "/proc/meminfo", limit: str = f"{CONTROL_GROUP}.max", used: str = f"{CONTROL_GROUP}.current"
) -> bool:
    lines = _text(meminfo).splitlines()
    values = {name: int(text.split()[0]) for name, _, text in (line.partition(":") for line in lines) if text}
    if values and values["MemAvailable"] < LEAST_MEMORY * values["MemTotal"]:
        return True
    most, bytes_used = _text(limit).strip(), _text(used).strip()
    return most.isdecimal() and bytes_used.isdecimal() and int(bytes_used) > (1 - LEAST_MEMORY) * int(most)


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
