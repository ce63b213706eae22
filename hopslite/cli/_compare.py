"""The command `compare`: runs side by side."""

from __future__ import annotations

import hashlib
from typing import Any

import click

from .. import _format
from .._past import record_of
from .._runs import find, read
from .._trial import State
from ..result import Run
from ..store import RunDir
from ._common import RUN, as_json, home, moment, project_option, say, table
from ._show import seconds_of

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
        raise click.UsageError("give two runs, or more")
    directories = [find(project, run) for run in runs]
    found = [_comparable(read(project, directory), directory) for directory in directories]
    if is_json:
        say(found)
        return
    names = list(dict.fromkeys(name for each in found for name in each))
    rows = []
    for name in names:
        texts = [_short(each.get(name)) for each in found]
        is_same = len({repr(each.get(name)) for each in found}) == 1
        if any(texts) and not (different and is_same):
            rows.append(["" if is_same else "≠", name, *texts])
    heads = [f"{each['name']}/{each['version']}" for each in found]
    unique = [head if heads.count(head) == 1 else found[i]["run_id"] for i, head in enumerate(heads)]
    table(["", "fact", *unique], rows, elastic=["fact", *unique])


def _comparable(run: Run, directory: RunDir) -> dict[str, Any]:
    files = dict(zip(_FILES, directory.read_many(_FILES), strict=True))
    record, git = (record_of(files[name]) or {} for name in _FILES)
    function = record.get("function") or {}
    spaces = record.get("space")
    flat = {f"space {name}": value for name, value in spaces.items()} if isinstance(spaces, dict) else {"space": spaces}
    params = {f"best {name}": value for name, value in (run.best_params or {}).items()}
    time = seconds_of(run)
    return {
        "run_id": run.run_id,
        "name": run.name,
        "version": run.version,
        "verb": run.verb,
        "state": str(run.state),
        "note": run.description,
        **{f"tag {key}": value for key, value in sorted(run.tags.items())},
        run.optimization_key or "metric": run.best_metric,
        **params,
        "direction": str(run.direction or ""),
        **flat,
        "trials": len(run.trials),
        "failed": run.counts.get(State.FAILED, 0),
        "stopped": run.counts.get(State.STOPPED, 0),
        "duration": _format.duration(run.duration),
        "median trial": _format.duration(time["median_trial"]),
        "busy slots": None if time["busy"] is None else round(time["busy"], 1),
        "seed": run.seed,
        **{f"input {name}": value for name, value in (record.get("inputs") or {}).items()},
        "function": function.get("name"),
        "code": _digest(function.get("source")),
        "commit": str(git.get("commit") or "")[:12] or None,
        "started": moment(run.started.timestamp()) if run.started else "",
        "hopslite": record.get("hopslite"),
    }


_FILES = ["run.json", "git.json"]


def _digest(source: Any) -> str | None:
    """A few characters that are others for another source."""
    return hashlib.sha256(str(source).encode()).hexdigest()[:8] if source else None


def _short(value: Any) -> str:
    if isinstance(value, float):
        return _format.metric(value)
    return "" if value is None else _format.one_line(str(value))
