"""TensorBoard server of one view: on 127.0.0.1 only, without TensorFlow, ending with the program that started it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..core import extras
from ..storage.run_directory import RunDir
from ._base import redact
from ._interpreter import boot, own_stdout
from ._tensorboard_event_sync import EventFiles
from ._tensorboard_import import disable_tensorflow
from ._tensorboard_ui import adapted

__all__ = ["TensorBoardServer", "local_logdir", "mount"]

RELOAD_SECONDS = 5
REMOTE_SECONDS = 10.0  # between two looks at a run that is kept elsewhere
NICE = 5
REMOVALS = 3


class TensorBoardServer:
    """TensorBoard server for a run's directory, in a process of its own, until `close` or this program's end.

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
        self._scratch = tempfile.mkdtemp(prefix="hopslite-tensorboard-")  # removed by whoever outlives the other
        try:
            self._process = subprocess.Popen(
                boot(
                    "hopslite.track._tensorboard_server",
                    json.dumps({"": logdir} if isinstance(logdir, str) else dict(logdir)),
                    str(port),
                    self._scratch,
                ),
                env={**os.environ, "TMPDIR": self._scratch},  # for what TensorBoard makes and leaves when it is killed
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self._remove_scratch()
            self._take({"warning": f"TensorBoard could not be started ({error})"})
            self._known.set()
            return
        threading.Thread(target=self._listen, args=(self._process,), name="hopslite-tensorboard", daemon=True).start()

    def url(self, timeout: float) -> str | None:
        """Server's URL; None if it does not answer within `timeout` seconds, or cannot run."""
        self._known.wait(timeout)
        return self._url

    def close(self, timeout: float = 5.0) -> None:
        """Stop the server; waits a short time for its end."""
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
        self._remove_scratch()

    def _remove_scratch(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        said_something = False
        with process.stdout:
            for line in process.stdout:
                with contextlib.suppress(ValueError):  # incomplete line: the process was killed
                    self._take(json.loads(line))
                    said_something = True
                    self._known.set()
        code = process.wait()
        self._remove_scratch()
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
    """Serve TensorBoard: print its URL, or why there is none, as one line of JSON; ends when standard input does."""
    logdirs, port, scratch = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    own = own_stdout()
    os.nice(NICE)
    try:
        message = {"url": _launch(local_logdir(logdirs, scratch), port)}
    except ImportError as error:
        message = {"warning": f"TensorBoard cannot be imported ({error}): {extras.pip_install(['tensorboard'])}"}
    except Exception as error:  # noqa: BLE001  any failure of a foreign program is the same to the run
        message = {"warning": redact(f"TensorBoard could not be started ({type(error).__name__}: {error})", None)}
    with contextlib.suppress(OSError):
        own.write(json.dumps(message) + "\n")
        own.close()
    if "url" in message:
        while os.read(0, 4096):
            pass
    sys.stderr.flush()
    for _ in range(REMOVALS):  # threads may write while they go
        shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0 if "url" in message else 1)  # not delayed by the threads of the server


def local_logdir(logdirs: Mapping[str, str], scratch: str) -> str:
    """Local directory with links to several directories."""
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
    disable_tensorflow()
    from tensorboard import program

    default = program.create_port_scanning_werkzeug_server
    options = {"logdir": logdir, "host": "127.0.0.1", "port": str(port)}
    return str(_program(options, lambda app, flags: default(adapted(app), flags)).launch())


def mount(logdir: str, path: str, title: str) -> Any:
    """WSGI application for a directory, under a path."""
    captured: list[Any] = []

    class Capture:
        """Stand-in for TensorBoard's own server: the application is served with others."""

        def __init__(self, app: Any, flags: Any) -> None:
            captured.append(app)

        def serve_forever(self) -> None:
            pass

        def get_url(self) -> str:
            return path

    _program({"logdir": logdir, "path_prefix": path, "window_title": title}, Capture).launch()
    return adapted(captured[0])


def _program(options: Mapping[str, str], server_class: Any) -> Any:
    disable_tensorflow()
    from tensorboard import default, program

    server = program.TensorBoard(plugins=default.get_plugins(), server_class=server_class)
    options = {
        **options,
        "reload_interval": str(RELOAD_SECONDS),
        "reload_multifile": "true",  # the training program and hopslite write to the same directory
    }
    server.configure(argv=["tensorboard", *(f"--{name}={value}" for name, value in options.items())])
    return server
