"""The clean, single-threaded parent of a slot's trials: it imports frameworks once and forks a child per trial.

A program of its own, so that a trial inherits nothing of the Spark worker. It talks with the slot over
one socket: a byte that says what follows (`R` run, with the trial's own socket as a descriptor; `P` preload), then a
JSON frame. It answers with a frame per child that ended, and tells what it imports (`importing`; null: no more), since
a framework may kill it. When the socket closes it kills its children and ends.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import faulthandler
import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .._trial import Spec, State
from .capture import flush_c_streams, redirected
from .context import TrialContext, keep_for_trials
from .execute import execute
from .job import Job
from .linux import adopt_orphans, end_with_parent
from .overlay import protect
from .preload import Watcher, framework_environment, import_all, loaded_frameworks
from .report import Reported, Reporter
from .wire import Wire

__all__ = ["Zygote", "main"]

MAX_KILLS = 1000


class Zygote:
    """The slot's handle on a zygote process.

    `importing` is the module that it imports ahead of trials, as it has told; `has_forked`: a trial has begun.
    """

    def __init__(self, job: Job, environment: dict[str, str], preload: bool) -> None:
        ours, theirs = socket.socketpair()
        path = [entry for entry in (*sys.path, *job.import_path) if entry]
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"from hopslite.runtime.zygote import main; main({theirs.fileno()})"],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))},
        )
        theirs.close()
        self.importing: str | None = None
        self.has_forked = False
        self._socket = ours
        self.link = Connection(os.dup(ours.fileno()))
        setup = {f.name: getattr(job, f.name) for f in dataclasses.fields(job) if f.name != "payload"}
        if not preload:
            setup["preload"] = ()
        self.link.send_bytes(json.dumps(setup).encode())
        self.link.send_bytes(job.payload)

    def run(self, spec: Spec, context: TrialContext, cwd: str) -> Connection:
        """Have a child run a trial; returns the connection to the child."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._socket, [b"R"], [theirs.fileno()])
        request = {"spec": spec.to_json(), "context": dataclasses.asdict(context), "cwd": cwd}
        self.link.send_bytes(json.dumps(request).encode())
        return Connection(ours.detach())

    def preload(self, modules: list[str], environment: dict[str, str]) -> None:
        self._socket.sendall(b"P")
        self.link.send_bytes(json.dumps({"modules": modules, "environment": environment}).encode())

    def close(self) -> None:
        """End the process and, with it, whatever it still runs."""
        self._socket.close()
        self.link.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:  # importing a framework, or stopped
            self.process.kill()
            self.process.wait()


def main(descriptor: int) -> None:
    """The program: serve one slot until its socket closes."""
    keep_for_trials()
    server = _Server(socket.socket(fileno=descriptor))
    with contextlib.suppress(EOFError, OSError):
        server.serve()
    server.kill_all()
    os._exit(0)


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._link = Connection(os.dup(control.fileno()))
        setup = json.loads(self._link.recv_bytes())
        self._job = Job(**setup, payload=self._link.recv_bytes())
        self._children: dict[int, tuple[str, int]] = {}
        self._environment: dict[str, str] | None = None  # as it was, when a preload has changed it
        self._wake, wake_writer = os.pipe()
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Children inherit the next two. A page that a child touches costs it a page fault, so what can be done once is.
        faulthandler.enable(2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        adopt_orphans()  # what a trial leaves running comes here, to be killed

    def serve(self) -> None:
        self._import(self._job.preload)
        gc.collect()
        gc.freeze()
        while True:
            ready, _, _ = select.select([self._control.fileno(), self._wake], [], [])
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._control.fileno() in ready:
                self._serve_request()

    def _import(self, modules: Sequence[str]) -> None:
        if modules:
            import_all(modules, lambda name: self._send(importing=name))
            self._send(importing=None)

    def _send(self, **message: Any) -> None:
        self._link.send_bytes(json.dumps(message).encode())

    def _serve_request(self) -> None:
        what, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        if not what:
            raise EOFError
        request = json.loads(self._link.recv_bytes())
        if what == b"P":
            if request["environment"] and self._environment is None:
                self._environment = dict(os.environ)
            os.environ.update(request["environment"])  # what the trial had set before it imported the framework
            self._import(request["modules"])
            gc.freeze()
            return
        spec, context = Spec(**request["spec"]), TrialContext(**request["context"])
        pid = os.fork()
        if pid == 0:
            self._become_trial(spec, context, request["cwd"], Connection(descriptors[0]))
        os.close(descriptors[0])
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._children[pid] = spec.trial_id, spec.attempt

    def _become_trial(self, spec: Spec, context: TrialContext, cwd: str, link: Connection) -> None:
        """In the child: run the trial and exit; never returns into the zygote's loop."""
        code = 1
        try:
            os.setpgid(0, 0)
            end_with_parent(signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._control.close()
            self._link.close()
            _run_trial(self._job, spec, context, cwd, link, self._environment)
            code = 0
        except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as a second zygote
            traceback.print_exc()
        finally:
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                if not self._children:
                    self._kill_adopted()
                return
            pid = found.si_pid
            if pid in self._children:
                with contextlib.suppress(OSError):
                    os.killpg(pid, signal.SIGKILL)  # before reaping, while the number is surely theirs
            _, status, usage = os.wait4(pid, 0)
            if pid in self._children:
                trial_id, attempt = self._children.pop(pid)
                self._send(trial=trial_id, attempt=attempt, status=status, usage=_used(usage))
                self._kill_adopted()

    def kill_all(self) -> None:
        for pid in self._children:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            for _ in range(MAX_KILLS):  # each that dies may leave its own children to this process
                self._kill_adopted()
                os.waitpid(-1, 0)

    def _kill_adopted(self) -> None:
        """Kill what trials left running outside of their process groups; it has become this process's child."""
        for task in os.listdir("/proc/self/task") if sys.platform == "linux" else ():
            with contextlib.suppress(OSError):
                children = Path("/proc/self/task", task, "children").read_text(encoding="ascii")
                for pid in {*map(int, children.split())}.difference(self._children):
                    os.kill(pid, signal.SIGKILL)


def _used(*usages: resource.struct_rusage) -> dict[str, float]:
    return {
        "cpu_seconds": round(sum(usage.ru_utime + usage.ru_stime for usage in usages), 3),
        "max_memory_mb": round(
            max(usage.ru_maxrss for usage in usages) / (1024 if sys.platform == "linux" else 1 << 20), 1
        ),
    }


def _run_trial(
    job: Job, spec: Spec, context: TrialContext, cwd: str, link: Connection, environment: dict[str, str] | None
) -> None:
    wire = Wire(link)

    def tell(**message: Any) -> None:
        wire.send(message)

    if environment is not None:  # what another trial had set is not this one's
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
    part = spec.part
    if part:
        os.environ.update(part.environment)
    before = framework_environment()

    def changed() -> dict[str, str]:
        return {k: v for k, v in framework_environment().items() if before.get(k) != v}

    tell(pid=os.getpid())
    redirected(context.log)
    if part:
        shown = " ".join(f"{name}={value}" for name, value in part.environment.items())
        where = f"process {os.getpid()} on {socket.gethostname()}"
        where += f", GPUs {gpus}" if (gpus := os.environ.get("CUDA_VISIBLE_DEVICES")) else ""
        sys.stderr.write(f"hopslite: {part}, attempt {spec.attempt + 1}, {where}, {shown or 'alone'}\n")
    os.chdir(cwd)
    protect(cwd, job.directory)
    _reseed()
    already = loaded_frameworks()
    sys.meta_path.insert(0, Watcher(lambda name: tell(loading=name, environment=changed())))
    heard = part is None or part.is_chief
    reporter = Reporter(
        Reported(job.direction),
        (lambda step, value: wire.send({"report": [step, value]})) if heard else None,
        wire.stop_asked,
    )
    result = execute(job, spec, context, reporter)
    if result.traceback:
        sys.stderr.write(result.traceback)
    elif result.error:
        sys.stderr.write(result.error + "\n")
    usage = _used(resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    result = dataclasses.replace(result, usage=usage)
    tell(result=result.to_json(), modules=sorted(loaded_frameworks() - already), environment=changed())
    wire.flush()
    if part and result.state is State.FINISHED:
        wire.await_release()  # until all members are done
    # As a normal exit would: writers flush, loggers close. Finalising the interpreter itself is slow and can crash
    # inside frameworks, so it is left out.
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    flush_c_streams()


def _reseed() -> None:
    """Children of one zygote must not share numpy's legacy random state (`random` sees to itself)."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
