"""Tags and notes of runs: validation, and delivery to MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from .. import track
from ..core.settings import Settings
from ..errors import MissingExtra
from ..storage.run_directory import RunDir
from ._output import command

__all__ = ["check_text", "update_mlflow"]


def check_text(*texts: str) -> None:
    for text in texts:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise click.BadParameter(f"{text!r} is not UTF-8 text")


def update_mlflow(place: str | None, directory: RunDir, record: Mapping[str, Any], deleted: Sequence[str]) -> None:
    """Update a run's tags and note in MLflow, if it has the run; errors are only reported."""
    settings = Settings.load(project=place)
    if not directory.exists("mlflow.json") or not settings.tracks:
        return
    from ..track._mlflow_client import Rejected, prepare_environment
    from ..track._mlflow_notes import annotate

    prepare_environment()
    try:
        annotate(directory, record, deleted, settings.tracking_uri)
    except (MissingExtra, track.Unavailable, Rejected) as error:
        later = command(f"track {directory.url.rpartition('/')[2]}")
        click.echo(f"kept with the run, but MLflow could not be told ({error}); once it can: {later}", err=True)
