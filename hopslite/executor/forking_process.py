"""A single-threaded process that forks children on request: its loop, and the reaping of what it has forked."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from .process_control import adopt_orphans, end_with_parent

__all__ = ["ForkingProcess"]

MAX_KILLS = 1000

Label = TypeVar("Label")


class ForkingProcess(Generic[Label]):
    """Serves requests from a socket, and reaps its children; all of them end with it.

    A request is a byte for its type, which may carry descriptors, and a frame of JSON. `_children` are labelled by the
    subclass, whose `_serve` handles a request and whose `_on_end` is called for each child that has ended. Children in
    `_independent` outlive this process.
    """

    def __init__(self, control: socket.socket) -> None:
        self._connect(control)
        self._children: dict[int, Label] = {}
        self._independent: set[int] = set()
        self._watch_children()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Children inherit the next two. Each page that a child writes costs a page fault, so it is done once, here.
        faulthandler.enable(2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        adopt_orphans()  # processes that a child leaves behind come here, to be killed

    def _watch_children(self) -> None:
        self._wakeup_reader, self._wakeup_writer = os.pipe()
        os.set_blocking(self._wakeup_writer, False)
        signal.set_wakeup_fd(self._wakeup_writer, warn_on_full_buffer=False)

    def _unwatch_children(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._wakeup_reader)
        os.close(self._wakeup_writer)

    def _connect(self, control: socket.socket) -> None:
        self._control = control
        self._connection = Connection(os.dup(control.fileno()))

    def _disconnect(self) -> None:
        self._control.close()
        self._connection.close()

    def serve(self, timeout: float | None = None) -> None:
        """Serve requests until the socket closes; `timeout` is the interval of `_on_idle` in seconds."""
        try:
            while True:
                sources = [self._control.fileno(), self._wakeup_reader, *self._other_sources()]
                readable, _, _ = select.select(sources, [], [], timeout)
                if self._wakeup_reader in readable:
                    os.read(self._wakeup_reader, 4096)
                    self._reap()
                if self._control.fileno() in readable:
                    request_type, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
                    if not request_type:
                        return
                    self._serve(request_type, descriptors, json.loads(self._connection.recv_bytes()))
                elif set(readable) & {*self._other_sources()}:
                    self._on_other_source()
                elif not readable and self._on_idle():
                    return
        except (EOFError, OSError):  # the other side has ended
            return
        finally:
            self._kill_all()

    def _serve(self, request_type: bytes, descriptors: list[int], request: dict[str, Any]) -> None:
        raise NotImplementedError

    def _on_end(self, label: Label, pid: int, status: int, usage: resource.struct_rusage) -> None:
        raise NotImplementedError

    def _on_idle(self) -> bool:
        """Called while there are no requests; True ends the process."""
        return False

    def _other_sources(self) -> list[int]:
        """Descriptors for which `_on_other_source` is called when they are readable."""
        return []

    def _on_other_source(self) -> None:
        raise NotImplementedError

    def _send(self, **message: Any) -> None:
        self._connection.send_bytes(json.dumps(message).encode())

    def _fork(self, label: Label, descriptors: list[int], run: Callable[[], None]) -> None:
        """Fork a child that runs a function and exits; it gets the descriptors, which are closed here."""
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_child(parent, run)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._children[pid] = label

    def _become_child(self, parent: int, run: Callable[[], None]) -> None:
        """Run the function in the child and exit; never returns into the loop."""
        code = 1
        try:
            os.setpgid(0, 0)
            end_with_parent(signal.SIGKILL)
            if os.getppid() != parent:  # it has ended before
                return
            self._unwatch_children()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._disconnect()
            run()
            code = 0
        except BaseException:  # noqa: BLE001 - after any error, this process must not continue as a second parent
            traceback.print_exc()
        finally:
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                if not self._children:
                    self._kill_adopted()
                return
            pid = ended.si_pid
            if pid in self._children:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)  # before reaping, while the process ids are certainly theirs
            _, status, usage = os.wait4(pid, 0)
            self._independent.discard(pid)
            if pid in self._children:
                self._on_end(self._children.pop(pid), pid, status, usage)
                self._kill_adopted()

    def _kill_all(self) -> None:
        for pid in self._children:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        for pid in self._children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._children.clear()
        for _ in range(MAX_KILLS):  # a process that dies may leave its own children to this process
            if not (adopted := self._kill_adopted()):
                return
            for pid in adopted:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _kill_adopted(self) -> set[int]:
        """Kill processes that children left outside of their process groups; they have become this process's own."""
        children: set[int] = set()
        for task in os.listdir("/proc/self/task") if sys.platform == "linux" else ():
            with contextlib.suppress(OSError):
                children |= {*map(int, Path("/proc/self/task", task, "children").read_text(encoding="ascii").split())}
        adopted = children - self._children.keys() - self._independent
        for pid in adopted:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return adopted
