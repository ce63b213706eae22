"""The command `best`: the best trial of all runs of a name."""

from __future__ import annotations

from typing import Any

import click

from ..core.types import DirectionName
from ..errors import RunNotFound
from ..runs.lookup import find
from ._options import RUN, as_json, home, project_option
from ._output import write, write_json

__all__ = ["best_command"]


@click.command("best")
@click.argument("name", type=RUN)
@click.option("--metric", help="A number that the trials returned; default: what the runs optimised.")
@click.option("--direction", type=click.Choice(["max", "min"]), help="Default: that of the runs.")
@as_json
@project_option
def best_command(
    place: str | None, name: str, metric: str | None, direction: DirectionName | None, is_json: bool
) -> None:
    """Find the best trial of all runs of a NAME."""
    from ..runs.best import best

    project = home(place)
    if name not in {*_names(project, name)}:
        find(project, name)  # says which names there are, or that this is a run's id
        raise RunNotFound(f"{name!r} is a run, not a name of runs; hopslite show {name} best shows its best trial")
    result = best(name, metric, direction, project=place)
    if is_json:
        names = ("name", "version", "run_id", "metric", "value", "direction", "params", "outputs", "logdir")
        write_json({**{field: getattr(result, field) for field in names}, "trial": result.trial.id})
        return
    write(repr(result))


def _names(project: Any, name: str) -> list[str]:
    from ..storage.run_uris import versions_of

    return [name] if versions_of(project, name) else []
