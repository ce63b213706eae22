"""User-provided description and tags of a run, in MLflow."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.redaction import without_credentials
from ..storage.annotations import Notes
from ..storage.run_directory import RunDir
from ._base import Unavailable
from ._mlflow_client import Connection, Write
from ._space_table import space_table

__all__ = ["NOTE", "annotate", "note_of"]

NOTE = "mlflow.note.content"  # a run's description, in Markdown


def note_of(notes: Notes, record: Mapping[str, Any], tensorboard: str | None) -> str:
    """Description of a run in MLflow: the user's note, the search space, and the address of its TensorBoard."""
    parts = [notes.text or str(record.get("description") or ""), space_table(record.get("space"))]
    if tensorboard:
        later = f"hopslite tensorboard {record.get('run_id')} --project {shlex.quote(str(record.get('project')))}"
        parts.append(f"TensorBoard: [{tensorboard}]({tensorboard}) while the driver is there; later `{later}`")
    return "\n\n".join(filter(None, parts))


def annotate(run: RunDir, record: Mapping[str, Any], deleted: Sequence[str], tracking_uri: str | None) -> None:
    """Update a run's description and tags in MLflow; does nothing for a run that MLflow does not have.

    Args:
        record: what `run.json` holds.
        deleted: names of tags that have been taken away.
        tracking_uri: the server with its credentials, which the run's record of it does not have.

    Raises:
        Unavailable: MLflow does not answer.
        Rejected: it does not have the run, or refuses a value.
    """
    recorded = dict(run.read_json("mlflow.json")) if run.exists("mlflow.json") else {}
    if not recorded.get("run_id"):
        return
    uri = str(recorded["tracking_uri"])
    if tracking_uri and without_credentials(tracking_uri) == uri:
        uri = tracking_uri
    path = uri.removeprefix("sqlite:///")
    if path != uri and not os.path.exists(path):
        raise Unavailable(f"MLflow's database {path} is not there any more")
    notes = Notes.read(run)
    connection = Connection(uri, run, str(record.get("name")))
    tags = {**(record.get("tags") or {}), **notes.tags, NOTE: note_of(notes, record, record.get("tensorboard_url"))}
    connection.log(str(recorded["run_id"]), Write(tags=tags), without=deleted)
