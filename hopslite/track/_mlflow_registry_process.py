"""Registration of models in MLflow by a subprocess: MLflow may be slow, unreachable or outdated."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
from collections.abc import Mapping
from typing import Any

from ..storage.project import Project
from ._base import redact
from ._interpreter import boot

__all__ = ["register_model"]

log = logging.getLogger(__name__)

BACKGROUND_SECONDS = 600.0  # timeout


def register_model(
    project: Project, record: Mapping[str, Any], tracking_uri: str | None, wait: float | None
) -> dict[str, Any] | None:
    """Register a version of a model; idempotent.

    Without a tracking URI it is the one that the model's run was told to, else SQLite in a local project. Whatever goes
    wrong is one logged warning.

    Args:
        record: the version's record, see `storage.model_versions`.
        wait: how many seconds to wait for it; None: it goes on in the background.

    Returns:
        MLflow's `name` and `version`; None when it is not registered, or not yet.
    """
    if project.url.startswith("memory://") or (tracking_uri is None and not project.is_local and not record["run_id"]):
        return None
    call = {"function": "register", "project": project.url, "model": dict(record), "tracking_uri": tracking_uri}
    try:
        process = subprocess.Popen(
            boot("hopslite.track._mlflow_registry"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=wait is None,
        )
    except OSError as error:
        _warn(record, f"a process for it cannot be started ({error})")
        return None
    if wait is not None:
        return _outcome(process, call, record, wait)
    arguments = (process, call, record, BACKGROUND_SECONDS)
    threading.Thread(target=_outcome, args=arguments, name="hopslite-register", daemon=True).start()
    return None


def _outcome(
    process: subprocess.Popen[bytes], call: dict[str, Any], record: Mapping[str, Any], wait: float
) -> dict[str, Any] | None:
    try:
        output, _ = process.communicate(json.dumps(call).encode(), timeout=wait)  # not as arguments: `ps` shows those
    except subprocess.TimeoutExpired:
        _warn(record, f"MLflow did not respond within {wait:g} s")
        return None
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    try:
        answer = json.loads(output)
    except ValueError:
        _warn(record, f"the process for it ended unexpectedly (status {process.returncode})")
        return None
    if "warning" in answer:
        _warn(record, redact(answer["warning"], call["tracking_uri"]))
    registered: dict[str, Any] | None = answer.get("outcome")
    return registered


def _warn(record: Mapping[str, Any], why: str) -> None:
    log.warning(
        "version %s of model %r is exported, but is not in MLflow's model registry: %s",
        record["version"],
        record["name"],
        why,
    )
