"""The merged job of `hopslite run`: a job file, a program or a command line, overridden by options."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click

from ..errors import InvalidArguments
from ..programs.command import NOTEBOOK, PYTHONS, Argument, Command, parameter_name
from ..programs.shell_variables import escape_quoted_dollars
from ..space.notation import Axis
from .described_parameters import Description, help_of, unknown_name
from .environment import as_texts, check_names, env_files, names_in, variables
from .inputs import parse_input
from .job_file import axis_of, has_secrets, is_job, parameter_texts, read_job
from .options import OPTIONS, problem, search_only
from .parameters import Parameters, parse_parameters, texts_of, with_distinct_texts
from .secret_arguments import hide_secret_parameters, hide_secret_words
from .startable import is_binary, operator_problem
from .verb_call import budget_of, is_conditional

__all__ = ["check_job", "command_of", "job_help", "merged_job", "plain_options", "split_command_line"]


def split_command_line(program: str, parameters: Sequence[str]) -> tuple[str, list[str]]:
    """Program and parameters, where the whole command line may be one word: `'python train.py --x 1'`.

    Raises:
        UsageError: quotes in it are not closed.
    """
    words = [program, *parameters]
    if not os.path.exists(program) and len(program.split()) > 1:
        if problem := operator_problem(program):
            raise click.UsageError(problem)
        try:
            words = [*shlex.split(escape_quoted_dollars(program)), *parameters]
        except ValueError as error:
            fault = str(error)[:1].lower() + str(error)[1:]
            raise click.UsageError(f"{program}: {fault}") from None
    if words[0] in PYTHONS and words[1:] and words[1].endswith((".py", ".ipynb")):
        words = words[1:]
    return words[0], words[1:]


def merged_job(program: str, parameters: Sequence[str], chosen: dict[str, Any]) -> dict[str, Any]:
    """Job to run: the job file, overridden by the command line."""
    is_file = is_job(program)
    folder = _folder(program)
    job: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    if is_file:
        job, texts = read_job(program), parameter_texts(program)
        if job.get("project") and "://" not in job["project"]:
            job["project"] = os.path.join(folder, os.path.expanduser(job["project"]))
    else:
        if program.endswith((".py", ".ipynb")) and not os.path.isfile(program):
            raise InvalidArguments("hopslite run", [f"there is no program {program}"])
        job = {"command": shlex.quote(_inside(program, chosen.get("code") or folder))}
    environment = chosen.pop("environment", ())
    job["has_env"] = bool(job.get("env"))
    job["secret"] = [
        *env_files(environment),
        *([program] if is_file and (job["has_env"] or has_secrets(program)) else []),
    ]
    job["env"] = {**job.get("env", {}), **variables(environment)}
    options = plain_options(chosen)
    job["inputs"] = {name: parse_input(str(text), folder) for name, text in job.get("inputs", {}).items()}
    job["inputs"] |= options.pop("inputs")
    job["tags"] = {**job.get("tags", {}), **options.pop("tags")}
    descriptions = {parameter_name(name): item for name, item in job.pop("descriptions", {}).items()}
    flags = {name for name, item in descriptions.items() if item.type == "flag"}
    _add_parameters(job, parse_parameters(parameters), texts, flags)
    _check_described(job["params"], descriptions)
    hide_secret_parameters(job)
    job |= options
    if chosen.get("code"):
        job["code"] = os.path.abspath(os.path.expanduser(chosen["code"]))  # that of a job file is relative to the file
    job["has_code"] = bool(job.get("code"))
    job["code"] = os.path.join(folder, os.path.expanduser(job["code"])) if job.get("code") else folder
    if not os.path.isdir(job["code"]):
        raise InvalidArguments("hopslite run", [f"code: there is no folder {job['code']}"])
    job.setdefault("name", os.path.splitext(os.path.basename(program))[0] or "run")
    return job


def job_help(path: str) -> str:
    """Text that describes a job file and its parameters."""
    job = read_job(path)
    return help_of(path, job, job.get("descriptions", {}))


def _folder(program: str) -> str:
    """Folder of a program; of a binary, which may be any of the system's, and of a program in PATH, the current one."""
    is_here = is_job(program) or (os.path.isfile(program) and not is_binary(program))
    return os.path.dirname(os.path.abspath(program)) if is_here else os.getcwd()


def plain_options(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a command line as a job has them: inputs and tags by name, single values for lists of one."""
    return {
        "inputs": {
            name: parse_input(text, os.getcwd()) for name, text in _pairs("--input", chosen.get("inputs", ())).items()
        },
        "tags": _pairs("--tag", chosen.get("tags", ())),
        **{name: _single(name, value) for name, value in chosen.items() if name not in ("inputs", "tags")},
    }


def _single(name: str, value: Any) -> Any:
    """Value of an option, which is a list where it was given several times."""
    if name == "initial_params":
        value = [item for text in value for item in _combinations(text)]
    if not isinstance(value, (list, tuple)):
        return value
    values = list(value)
    if allowed := problem(OPTIONS[name], values):
        raise click.BadParameter(f"{values}; {allowed}", param_hint=OPTIONS[name].names[0])
    return values[0] if len(values) == 1 and name != "initial_params" else values


def _combinations(text: str) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise click.BadParameter(
            f"{text[:80]} is not JSON, such as '{{\"lr\": 0.1}}'", param_hint="--initial-params"
        ) from None
    return value if isinstance(value, list) else [value]


def _inside(program: str, code: str) -> str:
    """Program's path in the folder of its code, or an absolute one."""
    if not os.path.isfile(program):
        return program
    inside = os.path.relpath(program, code)
    if inside.startswith("-"):  # which Python would take for an option of its own
        return os.path.join(os.curdir, inside)
    if inside.startswith(os.pardir + os.sep) and is_binary(program):
        return os.path.abspath(program)
    return inside if program.endswith((".py", ".ipynb")) or os.path.dirname(inside) else os.path.join(os.curdir, inside)


def _add_parameters(
    job: dict[str, Any], typed: Parameters, texts: Mapping[str, list[str]], flags: Collection[str]
) -> None:
    """Merge the parameters of a job file and of the command line, which takes precedence.

    Args:
        flags: names of those whose options have no value.
    """
    of_file = job.get("params", {})
    job["params"], job["texts"], job["arguments"] = {}, {}, []
    job["described"] = [parameter_name(name) for name in of_file]  # by the job file, whatever the program declares
    for spelled, written in of_file.items():
        name = parameter_name(spelled)
        value = with_distinct_texts(axis_of(written) or written, texts[spelled])
        job["params"][name] = value
        job["texts"][name] = texts_of(value, texts[spelled])
        if name in flags:
            job["arguments"].append(Argument((f"--{spelled}",), name, is_flag=True))
        elif name not in typed.values:
            job["arguments"].append(Argument((f"--{spelled}", f"{{{name}}}"), name))
    job["params"] |= typed.values
    job["texts"] |= typed.texts
    job["arguments"] += [argument for argument in typed.arguments if argument.of not in flags]
    job["command"] = " ".join([job["command"], *map(_quoted, typed.words)])


def _check_described(params: Mapping[str, Any], descriptions: Mapping[str, Description]) -> None:
    """Check the values of parameters with the descriptions of a job file.

    Raises:
        InvalidArguments: a value is not allowed, or a name nearly is a described one.
    """
    problems = [
        f"there is no parameter {name!r}; {hint}" for name in params if (hint := unknown_name(name, descriptions))
    ]
    for name, description in descriptions.items():
        if problem := description.problem(params[name]):
            problems.append(f"--{name} {problem}")
    if problems:
        raise InvalidArguments("hopslite run", problems)


def _quoted(word: str) -> str:
    """Quote a word for a command without quoting its variables."""
    if "$" not in word:
        return shlex.quote(word)
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in texts)
    names = [text.partition("=")[0] for text in texts]
    if twice := [name for name in pairs if names.count(name) > 1]:
        raise click.BadParameter(f"{twice[0]} is given twice; give each name once", param_hint=option)
    if bad := [text for text in texts if not all(text.partition("=")[::2])]:
        raise click.BadParameter(f"{bad[0]!r}; give {OPTIONS[option[2:] + 's'].metavar}", param_hint=option)
    return pairs


def check_job(job: Mapping[str, Any]) -> None:
    """Check that the metric, the parameters and the options of a job fit together.

    Raises:
        UsageError: they do not.
    """
    if job.get("metric") and not job["params"]:
        raise click.UsageError(
            "a metric compares values of parameters, and there are none; add one, such as --lr '[0.1, 0.01]', or leave "
            "--metric out"
        )
    if not job.get("metric"):
        if useless := search_only([key for key, value in job.items() if value is not None]):
            verb = "are" if len(useless) > 1 else "is"
            raise click.UsageError(
                f"{' and '.join(useless)} {verb} about the values of a metric; add --metric, or leave it out"
            )
        if axes := [name for name, value in job["params"].items() if isinstance(value, Axis)]:
            raise click.UsageError(
                f"{', '.join(axes)}: a search compares trials by a metric; add --metric with the name of one that the "
                "program reports"
            )
    if "max_restarts" in job and job.get("on_failure") != "restart":
        raise click.UsageError("max_restarts is for runs with on_failure restart; add --on-failure restart")


def command_of(job: Mapping[str, Any], code: bytes) -> Command:
    """Training function of a job."""
    words = shlex.split(escape_quoted_dollars(job["command"]))
    if words[0] in PYTHONS and words[1:] and words[1].endswith((".py", ".ipynb")):
        words = words[1:]  # errors then have the program's name
    if words[0].endswith(".ipynb"):
        words = [*NOTEBOOK, *words]
    env = dict(job["env"])
    words = hide_secret_words(words, env, job["params"])
    environment = as_texts(env)
    named = names_in(words, job["arguments"], job["texts"])
    check_names(named, job["params"], job["inputs"], {**os.environ, **environment})
    return Command(
        words=tuple(words),
        names=(*job["params"], *budget_of(job)),
        optional=tuple(name for name, value in job["params"].items() if is_conditional(value)),
        code=code,
        environment=environment,
        typed_with={name: os.environ[name] for name in named if name in os.environ and name not in environment},
        metric=tuple(job["metric"]) if isinstance(job.get("metric"), list) else job.get("metric"),
        arguments=tuple(job["arguments"]),
        texts=job["texts"],
        call_record=job.get("call_record", {}),
        stop_grace=job.get("stop_grace", Command.stop_grace),
        mounts={name: item.mount for name, item in job["inputs"].items() if item.mount is not None},
    )
