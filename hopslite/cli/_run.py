"""The command `run`: a program, once for each combination of its parameters, on Spark."""

from __future__ import annotations

import difflib
import itertools
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from .._trial import State
from ..errors import InvalidArguments, TrialFailed
from ..pool._session import session
from ..runtime.command import PYTHONS, Argument, Command, parameter_name
from ._code import packed
from ._common import home, project_option
from ._given import recorded
from ._jobfile import job_to_keep, read_job, written_params
from ._parameters import Parameters, by_value, parsed
from ._text import read_text

__all__ = ["run_command"]


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("program")
@click.argument("parameters", nargs=-1, type=click.UNPROCESSED, metavar="[--NAME VALUE]...")
@click.option("--name", help="The run's name; default: the program's.")
@click.option("-m", "--message", help="A note on the run.")
@click.option("--env", "environment", multiple=True, metavar="FILE", help="Variables for it, as lines KEY=VALUE.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=URL", help="Data, in $HOPSLITE_INPUT_NAME.")
@click.option("--code", metavar="DIR", help="The folder that travels with it; default: the program's.")
@click.option("--gpu", type=click.IntRange(0), metavar="N", help="GPUs for each trial.")
@click.option("--metric", help="What is optimised; without it all trials are equal.")
@click.option("--direction", type=click.Choice(["max", "min"]), help="Default: max.")
@click.option("--parallelism", type=click.IntRange(1), metavar="N", help="How many trials at a time.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="For all of it.")
@click.option("--trial-timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="For each trial.")
@click.option("--master", metavar="URL", help="Spark's; default: what spark-defaults.conf says, or local[*].")
@project_option
def run_command(place: str | None, program: str, parameters: Sequence[str], **options: Any) -> int:
    """Run a PROGRAM once for each combination of its parameters.

    PROGRAM is a Python script or another command, or a job file (.yml). Options of hopslite come before it, the
    program's parameters after it; one that is a JSON list is tried with each of its values:

    \b
        hopslite run --metric accuracy train.py --lr '[0.1, 0.01]' --epochs 5

    The program gets them as they were typed, and as $HOPSLITE_PARAM_LR. It tells metrics in lines of its output, as
    {"metric": "loss", "value": 0.1, "step": 3}, with MLflow, or in TensorBoard's event files. What it leaves in
    $HOPSLITE_OUTPUT is kept. Its folder travels with it, without what .hopsliteignore lists.
    """
    if program.startswith("-"):
        known = [name for option in run_command.params for name in option.opts if name.startswith("--")]
        raise click.NoSuchOption(program, possibilities=difflib.get_close_matches(program, known, 2))
    given = {name: value for name, value in options.items() if value not in (None, ())}
    job = _job(program, parameters, {name: value for name, value in given.items() if name != "master"})
    kept = job_to_keep(program) if _is_job(program) else None
    job["given"] = recorded(program, parameters, given, job, kept)
    params = {name: value if isinstance(value, list) else [value] for name, value in job.get("params", {}).items()}
    if job.get("metric") and not params:
        raise click.UsageError(
            "a metric compares values of parameters, and there are none; add one, such as --lr '[0.1, 0.01]', or leave "
            "--metric out"
        )
    command = _commanded(job, packed(os.path.abspath(job["code"]), job["secret"]))
    return _launch(place, job, command, params, given.get("master"))


def _commanded(job: Mapping[str, Any], code: bytes) -> Command:
    words = shlex.split(job["command"])
    if words[0] in PYTHONS and words[1:] and words[1].endswith(".py"):
        words = words[1:]  # errors then have the program's name
    return Command(
        words=tuple(words),
        names=tuple(job["params"]),
        code=code,
        environment={
            name: value if isinstance(value, str) else json.dumps(value) for name, value in job["env"].items()
        },
        metric=job.get("metric"),
        arguments=tuple(job["arguments"]),
        texts=job["texts"],
        given=job.get("given", {}),
    )


def _launch(
    place: str | None, job: Mapping[str, Any], command: Command, params: Mapping[str, list[Any]], master: str | None
) -> int:
    from .. import experiment

    shared: dict[str, Any] = {
        "name": job["name"],
        "project": home(place).url,
        "description": job.get("message"),
        "tags": {"command": job["command"]},
        "inputs": job["inputs"] or None,
        "gpus_per_trial": job.get("gpu"),
        "timeout": job.get("timeout"),
        "trial_timeout": job.get("trial_timeout"),
        "parallelism": job.get("parallelism"),
    }
    shared = {name: value for name, value in shared.items() if value is not None}
    if master is not None:
        shared["spark"] = session(master=master)
    try:
        if job.get("metric"):
            direction = job.get("direction", "max")
            run = experiment.grid_search(command, params, direction, optimization_key=job["metric"], **shared)
        else:
            shared.pop("parallelism", None)
            combinations = list(itertools.product(*params.values()))
            lists = {name: [each[index] for each in combinations] for index, name in enumerate(params)}
            run = experiment.launch(command, lists or None, **shared)
    except TrialFailed as failure:
        click.echo(f"{click.style('error', fg='red', bold=True)}: {failure}", err=True)
        return 1
    return 1 if run.counts.get(State.FAILED) else 0


def _job(program: str, parameters: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
    """What is to be run: the job file, and over it what the command line says."""
    is_file = _is_job(program)
    folder = os.path.dirname(os.path.abspath(program)) if is_file or os.path.exists(program) else os.getcwd()
    job: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    if is_file:
        if not os.path.isfile(program):
            raise InvalidArguments("hopslite run", [f"there is no job file {program}"])
        job, texts = read_job(program), written_params(program)
    else:
        if program.endswith(".py") and not os.path.isfile(program):
            raise InvalidArguments("hopslite run", [f"there is no program {program}"])
        job = {"command": shlex.quote(_inside(program, given.get("code") or folder))}
    files = given.pop("environment", ())
    job["secret"] = [*files, *([program] if job.get("env") else [])]
    job["env"] = {**job.get("env", {}), **{name: value for path in files for name, value in _variables(path).items()}}
    job["inputs"] = {**job.get("inputs", {}), **_inputs(given.pop("inputs", ()))}
    _add_parameters(job, parsed(parameters), texts)
    job |= given
    if given.get("code"):
        job["code"] = os.path.abspath(given["code"])  # that of a job file is relative to the file
    job["has_code"] = bool(job.get("code"))
    job["code"] = os.path.join(folder, job["code"]) if job.get("code") else folder
    if not os.path.isdir(job["code"]):
        raise InvalidArguments("hopslite run", [f"code: there is no folder {job['code']}"])
    job.setdefault("name", os.path.splitext(os.path.basename(program))[0] or "run")
    return job


def _is_job(program: str) -> bool:
    return program.endswith((".yml", ".yaml"))


def _inside(program: str, code: str) -> str:
    """How a program is called in the folder of its code."""
    if not os.path.isfile(program):
        return program
    inside = os.path.relpath(program, code)
    return inside if program.endswith(".py") or os.path.dirname(inside) else os.path.join(os.curdir, inside)


def _add_parameters(job: dict[str, Any], typed: Parameters, texts: Mapping[str, list[str]]) -> None:
    """Put the parameters of a job file and of the command line together; of both, the command line's counts."""
    of_file = job.get("params", {})
    job["params"], job["texts"], job["arguments"] = {}, {}, []
    for spelled, value in of_file.items():
        name = parameter_name(spelled)
        job["params"][name] = value
        job["texts"][name] = by_value(value if isinstance(value, list) else [value], texts[spelled])
        if name not in typed.values:
            job["arguments"].append(Argument((f"--{spelled}", f"{{{name}}}"), name))
    job["params"] |= typed.values
    job["texts"] |= typed.texts
    job["arguments"] += typed.arguments
    job["command"] = " ".join([job["command"], *map(shlex.quote, typed.words)])


def _variables(path: str) -> dict[str, str]:
    found = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.removeprefix("export ").partition("=")
        if not equals or not name.strip().isidentifier():
            raise InvalidArguments(path, [f"{path}, line {number}: {name.strip()[:40]!r} is no KEY=VALUE"])
        found[name.strip()] = value.strip().strip("\"'")
    return found


def _inputs(given: Sequence[str]) -> dict[str, str]:
    found = dict(each.partition("=")[::2] for each in given)
    if bad := [name for name, url in found.items() if not name or not url]:
        raise click.BadParameter(f"{bad[0]!r}; give NAME=URL", param_hint="--input")
    return found
