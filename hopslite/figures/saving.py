"""Files of a run's figures: a PNG each, and one page with all of them."""

from __future__ import annotations

import logging
from typing import Any

from ..errors import InvalidArguments, StoreError
from ..result import Run
from ..storage.run_directory import RunDir
from . import kinds, plotly_library

__all__ = ["save"]

log = logging.getLogger(__name__)

FOLDER = "plots"
SHARPNESS = 160  # pixels in an inch of saved figures


def save(run: Run) -> list[str]:
    """Save the figures that make sense for a run; returns the names of the files, in the run directory.

    Raises:
        StoreError: its directory cannot be written.
    """
    from .html_report import render_report
    from .theme import png

    pictures: dict[str, tuple[str, bytes]] = {}
    interactive: dict[str, Any] = {}
    failures: dict[str, str] = {}
    is_interactive = plotly_library.is_there()
    for name, plot in kinds.ALL.items():
        try:
            if is_interactive and name in kinds.BOTH:
                figure, interactive[name] = kinds.BOTH[name](run)
            else:
                figure = plot(run)
            pictures[name] = (f"{name.replace('_', ' ')} of {run.name}", png(figure, SHARPNESS))
            if is_interactive and name not in interactive:
                interactive[name] = kinds.INTERACTIVE[name](run)
        except InvalidArguments:
            continue  # not applicable to this run
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {error}"
            log.warning("plots.%s of run %s could not be drawn", name, run.run_id, exc_info=True)
    files = {f"{FOLDER}/{name}.png": content for name, (_, content) in pictures.items()}
    files[f"{FOLDER}/index.html"] = render_report(run, pictures, failures, interactive).encode("utf-8", "replace")
    directory = RunDir(run.logdir)
    try:
        directory.makedirs(FOLDER)
        for name, content in files.items():
            directory.write_bytes(name, content)
    except OSError as error:
        raise StoreError(f"the plots of run {run.run_id} cannot be written to {directory.shown}: {error}") from error
    return list(files)
