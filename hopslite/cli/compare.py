"""The command `compare`: runs side by side."""

from __future__ import annotations

from typing import Any

import click

from ..core import formatting
from ..runs.comparison import comparable
from ..runs.lookup import find, read
from ._options import RUN, as_json, home, project_option
from ._output import local_time, write_json, write_table

__all__ = ["compare_command"]


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=RUN)
@click.option("-d", "--different", is_flag=True, help="Only what is not the same.")
@as_json
@project_option
def compare_command(place: str | None, runs: tuple[str, ...], different: bool, is_json: bool) -> None:
    """Compare runs side by side: metrics, parameters, spaces, code and data."""
    project = home(place)
    if len(runs) < 2:
        raise click.UsageError("give at least two runs")
    directories = [find(project, run) for run in runs]
    facts = [comparable(read(project, directory), directory, local_time) for directory in directories]
    if is_json:
        write_json(facts)
        return
    names = list(dict.fromkeys(name for fact in facts for name in fact))
    rows = []
    for name in names:
        texts = [_short(fact.get(name)) for fact in facts]
        is_same = len({repr(fact.get(name)) for fact in facts}) == 1
        if any(texts) and not (different and is_same):
            rows.append(["" if is_same else "≠", name, *texts])
    heads = [f"{fact['name']}/{fact['version']}" for fact in facts]
    unique = [head if heads.count(head) == 1 else facts[i]["run_id"] for i, head in enumerate(heads)]
    write_table(["", "fact", *unique], rows, elastic=["fact", *unique])


def _short(value: Any) -> str:
    if isinstance(value, float):
        return formatting.metric(value)
    return "" if value is None else formatting.one_line(str(value))
