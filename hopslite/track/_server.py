"""The TensorBoard program of a run: on 127.0.0.1 only, without TensorFlow, gone when the driver is."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Mapping
from typing import Any

from ..store import RunDir
from ._events import EventFiles
from ._process import boot
from ._tracker import redact

__all__ = ["TensorBoardServer"]

RELOAD_SECONDS = 5
REMOTE_SECONDS = 10.0  # between two looks at a run that is kept elsewhere
NICE = 5
KEEP = 3

# Of the whole process, because what it bounds is: a notebook with a hundred runs must not keep a hundred programs.
_retired: collections.deque[TensorBoardServer] = collections.deque()
_retiring = threading.Lock()


class TensorBoardServer:
    """TensorBoard over a run's directory, in a process of its own, from now until `close` or the driver's end.

    `logdir` may be several, by the names that TensorBoard shows for them. Of a run that is kept elsewhere it shows what
    was written up to some seconds ago. `port` 0 is any free one.

    `on_ready` gets the URL and `on_warning` why there is none, each from a thread. Safe from many threads.
    """

    def __init__(
        self,
        logdir: str | Mapping[str, str],
        on_ready: Callable[[str], None] | None = None,
        on_warning: Callable[[str], None] | None = None,
        port: int = 0,
    ) -> None:
        self._on_ready = on_ready
        self._on_warning = on_warning
        self._url: str | None = None
        self._known = threading.Event()
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                boot(
                    "hopslite.track._server",
                    json.dumps({"": logdir} if isinstance(logdir, str) else dict(logdir)),
                    str(port),
                ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self._take({"warning": f"TensorBoard could not be started ({error})"})
            self._known.set()
            return
        threading.Thread(target=self._listen, args=(self._process,), name="hopslite-tensorboard", daemon=True).start()

    def url(self, timeout: float) -> str | None:
        """Where it answers; None when it does not within `timeout` seconds, or cannot run."""
        self._known.wait(timeout)
        return self._url

    def retire(self) -> None:
        """The run has ended: keep it for the user, but only those of the latest runs of this driver."""
        with _retiring:
            _retired.append(self)
            surplus = [_retired.popleft() for _ in range(len(_retired) - KEEP)]
        for server in surplus:
            server.close(0.0)

    def close(self, timeout: float = 5.0) -> None:
        """End it; waits for the end for a short time."""
        process, self._closed = self._process, True
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        said_something = False
        with process.stdout:
            for line in process.stdout:
                said_something = True
                self._take(json.loads(line))
                self._known.set()
        code = process.wait()
        if not said_something and not self._closed:
            self._take({"warning": f"TensorBoard could not be started (status {code})"})
        self._known.set()

    def _take(self, message: dict[str, Any]) -> None:
        if "url" in message:
            self._url = message["url"]
            if self._on_ready is not None:
                self._on_ready(message["url"])
        elif self._on_warning is not None:
            self._on_warning(message["warning"])


def main() -> int:
    """The program: one line of JSON with its URL or why there is none; ends when standard input does."""
    logdirs, port = json.loads(sys.argv[1]), int(sys.argv[2])
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.nice(NICE)
    scratch = tempfile.mkdtemp(prefix="hopslite-tensorboard-")
    try:
        message = {"url": _launch(_local(logdirs, scratch), port)}
    except ImportError as error:
        message = {"warning": f"TensorBoard is not installed ({error}): pip install tensorboard"}
    except Exception as error:  # noqa: BLE001  any failure of a foreign program is the same to the run
        message = {"warning": redact(f"TensorBoard could not be started ({type(error).__name__}: {error})", None)}
    with contextlib.suppress(OSError):
        own.write(json.dumps(message) + "\n")
        own.close()
    if "url" in message:
        while os.read(0, 4096):
            pass
    sys.stderr.flush()
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0 if "url" in message else 1)  # not delayed by the threads of the server


def _local(logdirs: Mapping[str, str], scratch: str) -> str:
    """One local directory with all of them, below their names."""
    for name, logdir in logdirs.items():
        run = RunDir(logdir)
        if run.is_local and not name:
            return logdir
        if run.is_local:
            os.symlink(run.url, os.path.join(scratch, name))
        else:
            EventFiles(run, os.path.join(scratch, name)).follow(REMOTE_SECONDS)
    return scratch


def _launch(logdir: str, port: int) -> str:
    # TensorBoard looks for this module to learn that it must not load TensorFlow
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
    from tensorboard import default, program

    server = program.TensorBoard(plugins=default.get_plugins())
    options = {
        "--logdir": logdir,
        "--host": "127.0.0.1",
        "--port": str(port),
        "--reload_interval": str(RELOAD_SECONDS),
        "--reload_multifile": "true",  # the training program and hopslite write to the same directory
    }
    server.configure(argv=["tensorboard", *(part for option in options.items() for part in option)])
    return str(server.launch())
