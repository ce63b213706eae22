"""Handle of a slot on a run's fork server, the parent process of its trials.

The fork server is a child of a warm server (`warm_server`), from which it has imported frameworks, and of nothing else,
so that a trial inherits nothing of the Spark worker. It has the user's program loaded, is single-threaded, and forks a
child per trial (`fork_server_process`). Requests go over one socket: a byte for the type (`R` run, with the trial's
socket and shared memory as descriptors; `P` preimport), then a JSON frame. The fork server sends a frame with its
process id, one for each child that has ended, and one for each module that it or the warm server imports (`importing`;
null: none), since an import may crash it. When the socket closes it kills its children and ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..channel.framing import FrameSocket, encode_frame
from ..channel.shared_memory import SharedBuffers
from ..channel.slot_pipe import SlotPipe
from ..core.types import Spec
from ..serialization.program import program_file
from .context import TrialContext
from .job_spec import NOT_SENT, Job
from .warm_server import WarmServer
from .workdir import scratch_disk

__all__ = ["ForkServer"]

CLOSE_SECONDS = 5.0


class ForkServer:
    """A slot's handle on its fork server, whose methods do not block, except `close` for some seconds.

    `has_forked`: a trial has begun. `preimport` are the modules to import before the first trial.
    """

    def __init__(
        self, warm_server: WarmServer, job: Job, environment: Mapping[str, str], preimport: Sequence[str]
    ) -> None:
        slot_end, child_end = socket.socketpair()
        self._resources = contextlib.ExitStack()
        program = self._resources.enter_context(program_file(job.payload, scratch_disk()))
        self._warm_server = warm_server
        self._pid: int | None = None
        self._importing: str | None = None
        self.has_forked = False
        self.pipe = FrameSocket(slot_end)
        warm_server.fork(child_end.detach(), preimport)
        setup = {
            "job": {f.name: getattr(job, f.name) for f in dataclasses.fields(job) if f.name not in NOT_SENT},
            "environment": {**environment, **program},
            "preimport": list(preimport),
        }
        self.pipe.send(encode_frame(json.dumps(setup).encode()) + encode_frame(job.payload))

    @property
    def importing(self) -> str | None:
        """The module that is imported ahead of trials now; None: none is."""
        return self._importing or self._warm_server.importing

    @property
    def has_begun(self) -> bool:
        """True if the process has been forked."""
        return self._pid is not None

    def run(self, spec: Spec, context: TrialContext, cwd: str) -> SlotPipe:
        """Run a trial in a forked child; returns the connection to the child."""
        slot_end, child_end = socket.socketpair()
        shared_buffers, descriptors = SharedBuffers.create()
        request = {"spec": spec.to_json(), "context": dataclasses.asdict(context), "cwd": cwd}
        self._send_request(b"R", request, [child_end.detach(), *descriptors])
        return SlotPipe(slot_end, shared_buffers, spec.trial_id)

    def preimport(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        """Import modules ahead of the next trials, with the environment of the trial that imported them."""
        self._send_request(b"P", {"modules": list(modules), "environment": dict(environment)})

    def _send_request(self, kind: bytes, request: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        self.pipe.send(kind, descriptors)
        self.pipe.send(encode_frame(json.dumps(request).encode()))

    def ends(self) -> Iterator[dict[str, Any]]:
        """Yield the messages about children that have ended, of those that are available now."""
        for message in map(json.loads, self.pipe.read()):
            if "importing" in message:
                self._importing = message["importing"]
            elif "pid" in message:
                self._pid = message["pid"]
            else:
                yield message

    def kill(self) -> None:
        """Kill the process; one that is not forked yet, with the process that was to fork it."""
        if self._pid is None:
            self._warm_server.kill()
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def close(self) -> int | None:
        """End the process, and with it its children; returns its exit code, if that is known."""
        self._resources.close()
        self.pipe.close()
        code = self._warm_server.exit_code(self._pid, CLOSE_SECONDS)
        if code is None and self._pid is not None:  # importing a framework, or stopped
            self.kill()
            code = self._warm_server.exit_code(self._pid, CLOSE_SECONDS)
        return code
