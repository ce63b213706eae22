"""Job files of `hopslite run`: YAML whose mistakes are told with their lines."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable
from typing import Any

import yaml

from ..errors import InvalidArguments
from ..runtime.command import parameter_name, text_of
from ._text import read_text

__all__ = ["KEYS", "job_to_keep", "read_job", "written_params"]

CALL = "hopslite run"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))


def _is_params(value: Any) -> bool:
    is_named = isinstance(value, dict) and all(isinstance(name, str) for name in value)
    return (
        is_named
        and len({parameter_name(name) for name in value}) == len(value)
        and all(
            parameter_name(name).isidentifier()
            and (_is_scalar(each) or (isinstance(each, list) and each and all(map(_is_scalar, each))))
            for name, each in value.items()
        )
    )


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and _is_scalar(v) for k, v in value.items())


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_seconds(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


# What a job file may have: whether a value will do, and what is allowed.
KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "command": (lambda value: isinstance(value, str) and bool(value.strip()), "a text, such as: python train.py"),
    "name": (lambda value: isinstance(value, str), "a text"),
    "message": (lambda value: isinstance(value, str), "a text"),
    "params": (_is_params, "names with a value or a list of values, such as: {lr: [0.1, 0.01], epochs: 5}"),
    "env": (_is_texts, "names with texts or numbers"),
    "inputs": (_is_texts, "names with URLs or paths"),
    "code": (lambda value: isinstance(value, str), "the path of a folder"),
    "gpu": (_is_whole, "a whole number from 0"),
    "metric": (lambda value: isinstance(value, str), "the name of a metric"),
    "direction": (lambda value: value in ("max", "min"), "max or min"),
    "parallelism": (lambda value: _is_whole(value) and value > 0, "a whole number from 1"),
    "timeout": (_is_seconds, "a number of seconds above 0"),
    "trial_timeout": (_is_seconds, "a number of seconds above 0"),
}


def _fault(command: str) -> str | None:
    """Why a shell could not tell the words of a command."""
    try:
        return None if shlex.split(command)[0] else "command begins with no program"
    except ValueError as error:
        fault = str(error)[:1].lower() + str(error)[1:]  # "No closing quotation"
        return f"command is {command!r:.60}, and has {fault}; write a quote that is meant as such as \\' or \\\""


def read_job(path: str) -> dict[str, Any]:
    """What a job file says.

    Raises:
        InvalidArguments: it is no text in YAML, or has what it may not have; all problems, each with its line.
    """
    text = read_text(path)
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else path
        raise InvalidArguments(CALL, [f"{where}: this is not YAML: {getattr(error, 'problem', error)}"]) from None
    if not isinstance(values, dict) or node is None:
        raise InvalidArguments(CALL, [f"{path}: a job has the keys {', '.join(KEYS)}; this is no such list of keys"])
    problems, seen = [], set()
    for key, value in node.value:
        name, line = key.value, f"{path}, line {key.start_mark.line + 1}"
        if name in seen:
            problems.append(f"{line}: {name} is there twice")
        elif name not in KEYS:
            near = difflib.get_close_matches(str(name), KEYS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"keys: {', '.join(KEYS)}"
            problems.append(f"{line}: there is no key {name!r}; {hint}")
        elif not KEYS[name][0](values[name]):
            line = f"{path}, line {value.start_mark.line + 1}"
            problems.append(f"{line}: {name} is {values[name]!r:.60}; give {KEYS[name][1]}")
        elif name == "command" and (fault := _fault(values[name])):
            problems.append(f"{path}, line {value.start_mark.line + 1}: {fault}")
        seen.add(name)
    if "command" not in seen:
        problems.append(f"{path}: command is missing; it says what to run, such as: python train.py")
    if problems:
        raise InvalidArguments(CALL, problems)
    return values


def written_params(path: str) -> dict[str, list[str]]:
    """How the values of each parameter of a job file are to be given to the program: a number as it is in the file."""
    text = read_text(path)
    values = yaml.safe_load(text).get("params", {})
    node: Any = yaml.compose(text, yaml.SafeLoader)
    written = {key.value: value for top, params in node.value if top.value == "params" for key, value in params.value}
    return {name: _written(value, written.get(name)) for name, value in values.items()}


def _written(value: Any, node: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return [
        each.value if isinstance(each, yaml.ScalarNode) and each.tag in NUMBERS else text_of(one)
        for one, each in zip(values, nodes if len(nodes) == len(values) else [None] * len(values), strict=True)
    ]


def job_to_keep(path: str) -> str:
    """A job file without its comments, its variables, which may be secret, and the folder, which is another later."""
    node: Any = yaml.compose(read_text(path), yaml.SafeLoader)
    node.value = [(key, value) for key, value in node.value if key.value not in ("env", "code")]
    return str(yaml.serialize(node, allow_unicode=True))
