"""Job files of `hopslite run`: YAML whose errors are reported with their lines."""

from __future__ import annotations

import os
import re
import reprlib
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from ..core.redaction import redact_value
from ..core.suggestions import did_you_mean
from ..driver.checks import path as path_check
from ..errors import InvalidArguments
from ..programs.command import parameter_name, text_of
from ..space.notation import FORMS, Axis, parse_mapping, parse_text
from .described_parameters import Description, default_of, description_problems, is_described
from .inputs import JobInput
from .options import OPTIONS, Option, problem
from .text_files import read_text
from .yaml_document import Document, load_document

__all__ = ["KEYS", "axis_of", "has_secrets", "has_variables", "is_job", "job_record", "parameter_texts", "read_job"]


CALL = "hopslite run"
JOB_BYTES = 1 << 20  # larger YAML files are not job files
ENV_KEY = re.compile(r"""(?:^|[{,])\s*["']?env["']?\s*:""", re.MULTILINE)  # a quick look before YAML's slow one
AXIS_DEPTH = 4  # of the lists and mappings of an axis
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def is_job(path: str) -> bool:
    return path.lower().endswith((".yml", ".yaml"))


def has_variables(path: str) -> bool:
    """True if a file is a job file with variables, or may be one but cannot be read."""
    with open(path, "rb") as file:
        text = file.read(JOB_BYTES + 1).decode(errors="replace")
    if len(text) > JOB_BYTES or not ENV_KEY.search(text):
        return False
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return "command" in text
    if not isinstance(node, yaml.MappingNode):
        return False
    keys = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    return "env" in keys and bool(keys["env"].value) and ("command" in keys or keys.keys() <= KEYS.keys())


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))


def _is_values(value: Any) -> bool:
    """True for one value, a list of them, or a mapping that is, or may be, an axis."""
    if isinstance(value, list):
        return bool(value) and all(map(_is_scalar, value))
    return _is_scalar(value) or (isinstance(value, dict) and len(value) == 1 and _is_flat(value, AXIS_DEPTH))


def _is_flat(value: Any, depth: int) -> bool:
    """True if a value is not nested more deeply; a YAML file of some lines can hold one of gigabytes."""
    if isinstance(value, (list, dict)):
        return depth > 0 and all(
            _is_flat(item, depth - 1) for item in (value if isinstance(value, list) else value.values())
        )
    return value is None or _is_scalar(value)


def _is_params(value: Any) -> bool:
    is_named = isinstance(value, dict) and all(isinstance(name, str) for name in value)
    return (
        is_named
        and len({parameter_name(name) for name in value}) == len(value)
        and all(
            parameter_name(name).isidentifier() and (is_described(item) or _is_values(item))
            for name, item in value.items()
        )
    )


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and _is_scalar(v) for k, v in value.items())


def _is_command(name: str, value: Any) -> list[str]:
    is_text = isinstance(value, str) and bool(value.strip())
    return [] if is_text else ["; give a text, such as: python train.py"]


def _check_params(name: str, value: Any) -> list[str]:
    example = "{lr: [0.1, 0.01], epochs: 5, units: {int: [8, 512, log]}}"
    if _is_params(value):
        return []
    return [f"; give names with a value, a list of values, or an axis, such as: {example}"]


def _check_env(name: str, value: Any) -> list[str]:
    is_set = _is_texts(value) and not any(name == "" or "=" in name for name in value)
    return [] if is_set else ["; give names, without =, with texts or numbers"]


KEYS: dict[str, Option] = {
    "command": Option("command", "", "", check=_is_command),
    "params": Option("params", "", "", check=_check_params),
    "env": Option("env", "", "", check=_check_env),
    "project": Option("project", "", "", check=path_check),
    **{key: option for key, option in OPTIONS.items() if option.in_file},
}


def _fault(command: str) -> str | None:
    """Syntax error of a command's quoting; None if there is none."""
    try:
        return None if shlex.split(command)[0] else "command begins with no program"
    except ValueError as error:
        fault = str(error)[:1].lower() + str(error)[1:]  # "No closing quotation"
        return f"command is {command!r:.60}, and has {fault}; write a quote that is meant as such as \\' or \\\""


def read_job(path: str) -> dict[str, Any]:
    """Read and validate a job file.

    Raises:
        InvalidArguments: it is no text in YAML, or has what it may not have; all problems, each with its line.

    Returns:
        The values by key. `params` has no descriptions: these are in `descriptions`, by the names in the file.
    """
    if not os.path.isfile(path):
        raise InvalidArguments(CALL, [f"there is no job file {path}"])
    node, values, faults = _parsed(path)
    if not isinstance(values, dict) or node is None:
        raise InvalidArguments(CALL, [f"{path}: a job file is a mapping with the keys {', '.join(KEYS)}"])
    problems = [f"{path}, line {line}: {fault}" for line, fault in faults]
    seen = set()
    for key, value in node.value:
        name, line = key.value, f"{path}, line {key.start_mark.line + 1}"
        if name in seen:
            continue  # said already
        if name not in KEYS:
            problems.append(f"{line}: there is no key {name!r}; {_hint(str(name))}")
        elif values[name] is None and name != "command":
            pass  # as if it were left out
        elif allowed := problem(KEYS[name], values[name]):
            line = f"{path}, line {value.start_mark.line + 1}"
            problems.append(f"{line}: {name} is {reprlib.repr(values[name]):.60}; {allowed}")
        elif name == "command" and (fault := _fault(values[name])):
            problems.append(f"{path}, line {value.start_mark.line + 1}: {fault}")
        elif name == "params":
            problems += _parameter_problems(path, value, values[name])
        seen.add(name)
    if "command" not in seen:
        problems.append(f"{path}: command is missing; it says what to run, such as: python train.py")
    if problems:
        raise InvalidArguments(CALL, problems)
    job = {name: value for name, value in values.items() if value is not None}
    if "params" in job:
        items = {name: item for name, item in job["params"].items() if is_described(item)}
        job["descriptions"] = {name: Description.of(item) for name, item in items.items()}
        job["params"] |= {name: description.default for name, description in job["descriptions"].items()}
    return job


def _hint(name: str) -> str:
    """Key that was meant by an unknown one, which may be a verb's keyword."""
    for key, option in KEYS.items():
        if option.keyword == name:
            return f"it is called {key} here"
    return did_you_mean(name, KEYS, f"keys: {', '.join(KEYS)}")


def _parameter_problems(path: str, node: Any, params: dict[str, Any]) -> list[str]:
    """Problems of parameters that are described, or written as axes of a search space."""
    problems = []
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        item = params.get(key.value)
        texts = description_problems(item) if isinstance(item, dict) and is_described(item) else []
        default = default_of(item)
        try:
            axis = axis_of(default)
            if axis is None and isinstance(default, dict):
                texts.append(f"{reprlib.repr(default):.60} is no axis; axes: {', '.join(FORMS)}")
            elif not texts and isinstance(item, dict) and is_described(item):
                texts += _default_problems(item, axis)
        except InvalidArguments as error:
            texts += error.problems
        problems += [f"{path}, line {value.start_mark.line + 1}: {key.value}: {text}" for text in texts]
    return problems


def _default_problems(item: dict[str, Any], axis: Axis | None) -> list[str]:
    if not _is_values(item["default"]):
        return [f"default is {reprlib.repr(item['default']):.60}; give a value, a list of values, or an axis"]
    description = Description.of(item)
    problem = description.problem(axis or description.default)
    return [f"default {problem}"] if problem else []


def axis_of(value: Any) -> Axis | None:
    """Axis that a parameter's value is, as text or as a mapping; None for other values.

    Raises:
        InvalidArguments: it is one with a mistake.
    """
    return parse_text(value) if isinstance(value, str) else parse_mapping(value)


def _parsed(path: str) -> Document:
    """Parse a YAML file.

    Raises:
        InvalidArguments: it is none.
    """
    text = read_text(path)
    try:
        return load_document(text, numbers_in="params")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else path
        problem = f"{where}: this is not YAML: {getattr(error, 'problem', error)}"
    except ValueError as error:  # a number of thousands of digits, a 30th of February
        problem = f"{path}: a value cannot be read ({error}); write one that is meant as text in quotes"
    except RecursionError:
        problem = f"{path}: lists or mappings are nested too deeply to be read; a job has a value or a list of values"
    raise InvalidArguments(CALL, [problem])


def parameter_texts(path: str) -> dict[str, list[str]]:
    """Texts of the values of each parameter of a job file: a number is passed on as it is written there."""
    node, job, _ = _parsed(path)
    values = job.get("params") or {}
    written = {key.value: value for top, params in node.value if top.value == "params" for key, value in params.value}
    return {
        name: _written(default_of(value), _default_node(written[name]) if is_described(value) else written.get(name))
        for name, value in values.items()
    }


def _default_node(description: Any) -> Any:
    return next(value for key, value in description.value if key.value == "default")


def _written(value: Any, node: Any) -> list[str]:
    if isinstance(value, dict):
        return _written_in_axis(value, node)
    values = value if isinstance(value, list) else [value]
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return [
        scalar.value if isinstance(scalar, yaml.ScalarNode) and scalar.tag in NUMBERS else text_of(one)
        for one, scalar in zip(values, nodes if len(nodes) == len(values) else [None] * len(values), strict=True)
    ]


def _written_in_axis(axis: dict[str, Any], node: Any) -> list[str]:
    """Texts of the values that an axis lists; none for one that lists none."""
    [(kind, inner)] = axis.items()
    [(_, inner_node)] = node.value
    if isinstance(inner, dict) and "values" in inner:
        inner_node = {key.value: item for key, item in inner_node.value}["values"]
        inner = inner["values"]
    if kind == "when":
        is_axis = isinstance(inner, list) and len(inner) == 3 and isinstance(inner[2], dict)
        return _written_in_axis(inner[2], inner_node.value[2]) if is_axis else []
    return _written(inner, inner_node) if isinstance(inner, list) else []


def job_record(path: str, inputs: Mapping[str, JobInput]) -> str:
    """Job file for the record, without comments, variables, secrets and the folder, which will be another.

    Args:
        inputs: those of the job, whose paths are absolute, as the folder will be another.
    """
    node: Any = yaml.compose(read_text(path), yaml.SafeLoader)
    node.value = [(key, value) for key, value in node.value if key.value not in ("env", "code")]
    for key, value in node.value:
        for name, text in value.value if key.value == "inputs" and isinstance(value, yaml.MappingNode) else ():
            if name.value in inputs:
                text.value, text.tag = inputs[name.value].text, "tag:yaml.org,2002:str"
    _redact(node, "")
    return str(yaml.serialize(node, allow_unicode=True))


def has_secrets(path: str) -> bool:
    """True if a job file has values that are no part of a record."""
    node: Any = yaml.compose(read_text(path), yaml.SafeLoader)
    before = yaml.serialize(node)
    _redact(node, "")
    return bool(yaml.serialize(node) != before)


def _redact(node: Any, name: str) -> None:
    """Redact the secrets of a YAML document, in which keys name values."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _redact(value, str(key.value))
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _redact(child, name)
    elif isinstance(node, yaml.ScalarNode) and (kept := redact_value(node.value, name)) != node.value:
        node.value, node.tag = kept, "tag:yaml.org,2002:str"
