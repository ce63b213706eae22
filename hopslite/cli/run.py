"""The command `run`: runs a program once for each combination of its parameters, on Spark."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import Any

import click

from ..core.settings import Settings
from ..core.types import State
from ..driver.reservation import with_turn
from ..errors import TrialFailed
from ..result import Run
from ..submission.code_archive import pack
from ..submission.environment import env_option
from ..submission.inputs import locate_inputs
from ..submission.job import check_job, command_of, job_help, merged_job, split_command_line
from ..submission.job_file import is_job, job_record
from ..submission.options import command_options
from ..submission.profiles import add_profile
from ..submission.program_options import option_hints
from ..submission.recorded_command import record_call
from ..submission.requirements import AUTO, requirements_of, with_environment
from ..submission.startable import check_command
from ..submission.verb_call import VerbCall, verb_call
from ._detach import detach, is_detached, turn_of
from ._options import home, project_option
from ._sections import SectionedCommand

__all__ = ["run_command"]

INTERRUPTED = 130


@click.command(
    "run", cls=SectionedCommand, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("program")
@click.argument("parameters", nargs=-1, type=click.UNPROCESSED, metavar="[--NAME VALUE]...")
@command_options
@env_option
@project_option
def run_command(place: str | None, program: str, parameters: Sequence[str], **options: Any) -> int:
    """Run a PROGRAM once for each combination of its parameters, or search the best ones.

    PROGRAM is a Python script, a notebook (.ipynb), another command, a command line in quotes, or a job file (.yml).
    Options of hopslite come before it, the program's parameters after it. One that is a JSON list is tried with each of
    its values:

    \b
        hopslite run --metric accuracy train.py --lr '[0.1, 0.01]' --epochs 5

    One that is an axis is searched:

    \b
        hopslite run --metric loss --direction min --algorithm tpe --num-trials 40 --stopper median train.py
            --lr 'loguniform(1e-4, 1e-1)' --units 'int(8, 512, log)' --opt 'choice(adam, sgd)'

    The program gets them as they were typed, and as $HOPSLITE_PARAM_LR. It tells metrics in lines of its output, as
    {"metric": "loss", "value": 0.1, "step": 3}, with MLflow, or in TensorBoard's event files. What it writes in its
    working directory and in $HOPSLITE_OUTPUT is kept. Its folder travels with it, without what .hopsliteignore lists.

    Each option is a key of job files, with underscores: num_trials: 40. `hopslite run job.yml --help` shows the
    parameters of a job file. docs/cli.md has more.
    """
    if program.startswith("-"):
        raise click.NoSuchOption(program, possibilities=difflib.get_close_matches(program, _option_names(), 2))
    if is_job(program) and "--help" in parameters:
        click.echo(job_help(program))
        return 0
    if options.get("detach") and not is_detached():
        return detach()
    chosen = {name: value for name, value in options.items() if value not in (None, ())}
    if chosen.get("requirements") not in (None, AUTO):
        chosen["requirements"] = os.path.abspath(os.path.expanduser(chosen["requirements"]))
    program, parameters = split_command_line(program, parameters)
    job = merged_job(program, parameters, dict(chosen))
    settings = Settings.load()
    chosen |= add_profile(job, settings.profiles)
    check_job(job)
    requirements = requirements_of(job, os.path.dirname(os.path.abspath(program)), settings.frameworks)
    project = home(place or job.get("project"))
    job["inputs"] = locate_inputs(project, job["inputs"])
    kept = job_record(program, job["inputs"]) if is_job(program) else None
    job["call_record"] = record_call(program, parameters, chosen, job, kept)
    code = pack(os.path.abspath(job["code"]), job["secret"], project.url if project.is_local else None)
    command = command_of(job, code)
    check_command(job, command, has_environment=requirements is not None)
    for hint in option_hints(job, command, program, parameters, _option_names()):
        click.echo(hint, err=True)
    if requirements is not None:
        command = with_environment(command, requirements, lambda line: click.echo(line, err=True))
    with with_turn(turn_of(bool(job.get("queue")))):
        return _start(verb_call(project.url, job, command))


def _option_names() -> list[str]:
    """Options of the command, in all their spellings."""
    names = [name for option in run_command.params for name in (*option.opts, *option.secondary_opts)]
    return [name for name in names if name.startswith("--")]


def _start(call: VerbCall) -> int:
    """Run a job; returns the exit code."""
    from .. import experiment

    try:
        run: Run = getattr(experiment, call.verb)(*call.arguments, **call.keywords)
    except TrialFailed as failure:
        click.echo(f"{click.style('error', fg='red', bold=True)}: {failure}", err=True)
        return 1
    if run.state is State.STOPPED:
        return INTERRUPTED
    return 1 if run.counts.get(State.FAILED) else 0
