"""The command `train`: trains a configuration, or searches for the best one."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

import click

from ..core.types import State
from ..driver.reservation import with_turn
from ..errors import InvalidArguments, TrialFailed
from ..result import Run
from ..storage.run_directory import RunDir
from ..submission.inputs import locate_inputs
from ..submission.job import plain_options
from ..submission.options import command_options
from ..submission.verb_call import algorithm_keywords, shared_keywords
from ._detach import detach, is_detached, turn_of
from ._options import home, project_option
from ._output import command, write
from ._sections import SectionedCommand

__all__ = ["train_command"]

BEST = "best.json"
OF_PROGRAMS = ("code", "requirements", "python", "framework")  # options that configurations have no use for


@click.command("train", cls=SectionedCommand)
@click.argument("config", type=click.Path())
@click.option("--check", "is_check", is_flag=True, help="Only say what is wrong with it; nothing is run.")
@click.option("--best", metavar="FILE", help=f"Where a search writes the best configuration; default: {BEST}.")
@click.option("--import", "imports", multiple=True, metavar="FILE.py", help="A program with @export_config.")
@click.option("--allow", multiple=True, metavar="PACKAGE", help="A package that the configuration may use.")
@functools.partial(command_options, without=OF_PROGRAMS)
@project_option
def train_command(
    place: str | None,
    config: str,
    is_check: bool,
    best: str | None,
    imports: tuple[str, ...],
    allow: tuple[str, ...],
    **options: Any,
) -> int:
    """Train a configuration of Keras: a file in .json, .hjson or .yaml.

    With axes in the place of values, such as {"$loguniform": [1e-4, 1e-1]}, it is a search, whose best configuration is
    written as best.json and trains alone:

    \b
        hopslite train digits.hjson --algorithm tpe --num-trials 20 --stopper asha
        hopslite train best.json

    The metric is one of Keras's logs; default: val_loss. Losses and errors are minimised, other metrics maximised.
    Data of --input NAME=… is at ${inputs.NAME} in the configuration.
    """
    from .. import configured
    from ..configured._train import prepare

    job = plain_options({name: value for name, value in options.items() if value not in (None, ())})
    job["command"] = f"hopslite train {os.path.basename(config)}"
    training, _ = prepare(config, allow, imports, frozenset(job["inputs"]))
    is_search = bool(training.axes.dimensions)
    if best is not None and not is_search:
        raise click.UsageError(
            f"--best is for a search, and {config} has no axis, such as {{$loguniform: [1e-4, 0.1]}}"
        )
    target = _target(best or BEST, config) if is_search else None
    if is_check:
        axes = ", ".join(training.axes.dimensions)
        write(f"{config}: nothing is wrong that can be seen without Keras" + (f"; axes: {axes}" if axes else ""))
        return 0
    if job.pop("detach", False) and not is_detached():
        return detach()
    project = home(place)
    job["inputs"] = locate_inputs(project, job["inputs"])
    keywords = shared_keywords(job) | {"metric": job.get("metric"), "allow": allow, "imports": imports}
    keywords.pop("optimization_key", None)
    if "algorithm" in job or "num_trials" in job:
        keywords |= algorithm_keywords({"algorithm": "random", **job})
    try:
        with with_turn(turn_of(bool(job.get("queue")))):
            run = configured.train(config, project=project.url, **keywords)
    except TrialFailed as failure:
        click.echo(f"{click.style('error', fg='red', bold=True)}: {failure}", err=True)
        return 1
    if target is not None:
        _write_best(run, target, config)
    return 1 if run.counts.get(State.FAILED) else 0


def _target(best: str, config: str) -> str:
    """The file for the best configuration, checked before the search.

    Raises:
        InvalidArguments: it is the configuration itself, or cannot be written.
    """
    if os.path.exists(best) and os.path.samefile(best, config):
        raise InvalidArguments("hopslite train", [f"{best} is the configuration itself; give --best another file"])
    folder = os.path.dirname(os.path.abspath(best))
    if os.path.isdir(best) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise InvalidArguments("hopslite train", [f"--best {best}: a file cannot be written there"])
    return best


def _write_best(run: Run, target: str, config: str) -> None:
    """Write the best configuration, with the secret values of the one that was searched; records have none."""
    from ..configured import best_config
    from ..configured._document import shown_path
    from ..configured._train import redacted_places

    if run.objectives or run.best_trial is None:
        return
    secret = [shown_path(path) for path in redacted_places(best_config(run))]
    try:
        values, note = best_config(run, config), f"it has the secret values of {config} ({', '.join(secret)})"
    except InvalidArguments:  # the file has changed meanwhile
        values, note = best_config(run), f"write into it what is in no record: {', '.join(secret)}"
    content = (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
    RunDir(os.path.abspath(target)).write_bytes("", content, private=bool(secret))
    write(f"best configuration, of trial {run.best_trial.id}: {target}; it trains alone: {command(f'train {target}')}")
    if secret:
        write(f"{target}: {note}")
