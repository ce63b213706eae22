"""Announcements of dashboards on this machine: files of this user that say where one shows a project."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from ..errors import StoreError
from .fs.urls import local_path
from .local_io import read_content, temporary_file
from .machine_cache import state_folder
from .records import json_object

__all__ = ["RunPage", "announced", "dashboard_of", "run_page"]

ALIVE_SECONDS = 0.5  # for an answer of a dashboard on this machine
MOST_BYTES = 4096
LOOK_SECONDS = 5.0


@contextlib.contextmanager
def announced(project: str, address: str, identity: str) -> Iterator[None]:
    """Announce a dashboard for as long as the block lasts.

    Args:
        project: path or URL of the project.
        address: URL of the server, without a token: whoever reads a notebook's output must not get in by it.
        identity: what the server answers at `/alive`.
    """
    record = {"address": address, "identity": identity, "pid": os.getpid()}
    path = os.path.join(_folder(), f"{_key(project)}-{os.getpid()}.json")
    with temporary_file(path, json.dumps(record).encode(), private=True) as temporary:
        os.replace(temporary, path)  # whoever looks meanwhile would remove half an announcement
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def dashboard_of(project: str) -> str | None:
    """Address of a dashboard on this machine that shows a project; None if none answers.

    Announcements of dashboards that were killed are removed.
    """
    try:
        folder = _folder()
        prefix = f"{_key(project)}-"
        names = sorted(name for name in os.listdir(folder) if name.startswith(prefix) and name.endswith(".json"))
    except (OSError, StoreError):
        return None
    for name in names:
        path = os.path.join(folder, name)
        content = read_content(path, MOST_BYTES)
        record = json_object(content) if isinstance(content, bytes) else None
        if record is not None and _answers(record):
            return str(record["address"])
        if record is None or not _is_process(record.get("pid")):
            with contextlib.suppress(OSError):
                os.unlink(path)
    return None


def run_page(project: str, run_id: str) -> str | None:
    """Address of a run's page; None if no dashboard shows its project."""
    address = dashboard_of(project)
    return None if address is None else f"{address}/runs/{run_id}"


class RunPage:
    """Address of a run's page for a display that is drawn again and again: asking for it takes no time."""

    def __init__(self, project: str, run_id: str) -> None:
        self._project, self._run_id = project, run_id
        self._address: str | None = None
        self._asked = float("-inf")
        self._lock = threading.Lock()  # held by the thread that looks

    @property
    def address(self) -> str | None:
        """The address as of some seconds ago; None if no dashboard shows the project."""
        if time.monotonic() - self._asked > LOOK_SECONDS and self._lock.acquire(blocking=False):
            self._asked = time.monotonic()
            threading.Thread(target=self._look, name="hopslite-dashboard", daemon=True).start()
        return self._address

    def _look(self) -> None:
        try:
            self._address = run_page(self._project, self._run_id)
        finally:
            self._lock.release()


def _answers(record: dict[str, Any]) -> bool:
    """True if the dashboard of an announcement answers at its address, and not another program."""
    address = str(record.get("address"))
    if not address.startswith(("http://", "https://")):
        return False
    import http.client  # these take long, and are needed only where there is a dashboard
    import urllib.request

    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{address}/alive", timeout=ALIVE_SECONDS) as response:
            answer = json_object(response.read(MOST_BYTES)) or {}
    except (OSError, ValueError, http.client.HTTPException):  # the last: another program that speaks no HTTP
        return False
    return bool(record.get("identity")) and answer.get("dashboard") == record["identity"]


def _is_process(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, TypeError, ValueError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _folder() -> str:
    folder = os.path.join(state_folder(), "dashboards")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def _key(project: str) -> str:
    path = local_path(project)
    place = project.rstrip("/") if path is None else os.path.realpath(path)
    return hashlib.sha256(place.encode()).hexdigest()[:24]
