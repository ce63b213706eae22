"""Handle of a slot on a warm server, a process that holds imported frameworks for the fork servers of runs.

A warm server is a program of its own, so that nothing of the Spark worker is inherited; it never has the user's
program, environment or modules. Between two runs it waits for the next slot of its executor (`warm_server_socket`). It
is kept by the executor and not by the Python worker, since Spark ends Python workers that are idle for a minute.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .. import __version__
from ..channel.framing import FrameSocket, encode_frame, wait_readable
from ..core.child_python import python_command
from ..runs.function_fingerprint import is_installed
from .warm_server_socket import connect, evict, listens, offer, server_pid, socket_folder, starting_lock

__all__ = ["WarmKey", "WarmServer"]

CLOSE_SECONDS = 5.0

# Variables that the interpreter, the C library or a framework reads once. All others are set when a run begins.
_READ_ONCE = (
    "ABSL_",
    "CUDA_",
    "GLIBC_",
    "GRPC_",
    "HF_",
    "JAX_",
    "KERAS_",
    "KMP_",
    "LANG",
    "LC_",
    "LD_",
    "LIGHTGBM_",
    "MALLOC_",
    "MKL_",
    "MPL",
    "NCCL_",
    "NPY_",
    "NUMBA_",
    "NUMEXPR_",
    "NVIDIA_",
    "OMP_",
    "OPENBLAS_",
    "PANDAS_",
    "PROTOCOL_BUFFERS_",
    "PYTHON",
    "PYTORCH_",
    "SCIPY_",
    "SKLEARN_",
    "TF_",
    "TF2_",
    "TORCH",
    "TRANSFORMERS_",
    "XLA_",
)


@dataclasses.dataclass(frozen=True, slots=True)
class WarmKey:
    """Properties that a warm server shares with the runs that it serves; the environment is that of its process."""

    import_path: tuple[tuple[str, int], ...]  # with the times of changes, which installing a package makes
    preimport: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, import_path: Sequence[str], preimport: Sequence[str], environment: Mapping[str, str]) -> WarmKey:
        """The key of a run with these modules to import and these environment variables."""
        read_once = {name: value for name, value in environment.items() if name.startswith(_READ_ONCE)}
        path = tuple((entry, _installed_time(entry)) for entry in import_path)
        return cls(path, tuple(sorted(preimport)), tuple(sorted(read_once.items())))

    @property
    def digest(self) -> str:
        """A short name of the key, with the interpreter and the version of hopslite."""
        facts = [sys.executable, sys.version, __version__, *dataclasses.astuple(self)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _installed_time(entry: str) -> int:
    """The time of the latest change to a folder of installed packages; 0 for others, to which programs write."""
    try:
        return os.stat(entry).st_mtime_ns if is_installed(os.path.join(entry, "")) else 0
    except OSError:
        return 0


class WarmServer:
    """A slot's handle on a warm server process; no method blocks but `exit_code` and `close`, for some seconds.

    `importing` is the module that the process imports now, `problem` the reason why it forks no more.
    """

    def __init__(
        self,
        connection: socket.socket,
        folder: str | None,
        key: str,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._pipe = FrameSocket(connection)
        self._folder, self._key = folder, key
        self._process = process
        # of one that another slot has started, until it has said its own, the process that is to accept or to fork it
        self._pid = process.pid if process else server_pid(connection)
        self._has_accepted = False
        self._importing: str | None = None
        self._problem: str | None = None
        self._exit_codes: dict[int, int] = {}

    @classmethod
    def acquire(cls, key: WarmKey, environment: Mapping[str, str], scratch: str | None, is_new: bool) -> WarmServer:
        """A warm server for a run: an existing one with this key, or a new process, as always with `is_new`.

        Args:
            environment: variables of a new process, without those that belong to a run.
            scratch: the executor's scratch directory; None: servers do not wait for runs.
        """
        folder = socket_folder(scratch)
        with contextlib.ExitStack() as stack:
            lock = -1
            if folder is not None and not is_new:
                with contextlib.suppress(OSError):  # no room, or the executor has ended
                    lock = stack.enter_context(starting_lock(folder, key.digest))
                if connection := connect(folder, key.digest):
                    return cls(connection, folder, key.digest)
                evict(folder, key.digest)
            return cls._start(key, environment, folder, lock)

    @classmethod
    def _start(cls, key: WarmKey, environment: Mapping[str, str], folder: str | None, lock: int = -1) -> WarmServer:
        own_end, its_end = socket.socketpair()
        command, path = python_command(
            "from hopslite.executor.warm_server_process import main; "
            f"main({its_end.fileno()}, {os.getppid()}, {folder!r}, {key.digest!r}, {lock})",
            [entry for entry, _ in key.import_path],
        )
        process = subprocess.Popen(
            command,
            pass_fds=(its_end.fileno(), *([lock] if lock >= 0 else ())),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**environment, **dict(key.environment), **path},
        )
        its_end.close()
        return cls(own_end, folder, key.digest, process)

    def fork(self, descriptor: int, modules: Sequence[str]) -> None:
        """Fork a fork server that is reached over a socket, after importing modules; the descriptor is closed here."""
        self._send(b"F", {"modules": list(modules)}, [descriptor])

    def preimport(self, modules: Sequence[str]) -> None:
        """Import modules for the fork servers to come."""
        self._send(b"I", {"modules": list(modules)})

    def _send(self, kind: bytes, request: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        self._pipe.send(kind, descriptors)
        self._pipe.send(encode_frame(json.dumps(request).encode()))

    @property
    def importing(self) -> str | None:
        self._read()
        return self._importing

    @property
    def problem(self) -> str | None:
        self._read()
        return self._problem

    def exit_code(self, pid: int | None, timeout: float) -> int | None:
        """The exit code of a fork server, or of this process where it has ended; None if it is not known in time."""
        deadline = time.monotonic() + timeout
        while True:
            self._read()
            if pid in self._exit_codes:
                return self._exit_codes[pid]
            remaining = max(0.0, deadline - time.monotonic())
            if self._pipe.eof:
                return self._wait(remaining)
            if not remaining or pid is None:
                return None
            wait_readable([self._pipe], remaining)

    def _wait(self, timeout: float) -> int | None:
        """The exit code of this process; None if it has not ended in time, or is not this worker's child."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def _read(self) -> None:
        while not self._pipe.eof:
            for message in map(json.loads, self._pipe.read()):
                self._on_message(message)
            if not self._pipe.has_more:
                return

    def _on_message(self, message: dict[str, Any]) -> None:
        if "importing" in message:
            self._importing = message["importing"]
        elif "problem" in message:
            self._problem = message["problem"]
        elif "pid" in message:
            self._pid, self._has_accepted = message["pid"], True
        else:
            self._exit_codes[message["ended"]] = message["status"]

    @property
    def is_usable(self) -> bool:
        """True while the process runs and can fork."""
        self._read()
        return not self._pipe.eof and self._problem is None

    def release(self, modules: Sequence[str], warm_seconds: float) -> None:
        """Let the process wait for another run; until then it imports modules."""
        if not warm_seconds or not self.is_usable or not self._listens():
            self.close()
            return
        self._send(b"K", {"modules": list(modules), "warm_seconds": warm_seconds})
        self._pipe.close()
        offer(str(self._folder), self._key, self._pid or 0)

    def _listens(self) -> bool:
        """True if another slot can take the process over."""
        return self._folder is not None and self._pid is not None and listens(self._folder, self._key, self._pid)

    def kill(self) -> None:
        """Kill the process, and with it the fork server that it has forked."""
        self._read()
        with contextlib.suppress(ProcessLookupError):
            if self._pid is not None:
                os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process."""
        self._read()
        self._pipe.close()
        if self._process is None:
            if self._has_accepted and self._pid is not None:
                _end(self._pid)
        elif self._wait(CLOSE_SECONDS) is None:  # importing a framework, or stopped
            self._process.kill()
            self._process.wait()


def _end(pid: int) -> None:
    """Wait for the end of a process that is not a child, and kill it if that takes too long."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, AttributeError):  # it has ended; or another system than Linux
        return
    try:
        if not select.select([descriptor], [], [], CLOSE_SECONDS)[0]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    finally:
        os.close(descriptor)
