"""Secret arguments of programs, which become variables: they are in no record, and are given again at a resume."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from ..core.redaction import REDACTED, redact_value, redact_words
from ..programs.command import FIELD, Argument, parameter_name, text_of
from ..programs.shell_variables import expand, variable_names
from ..space.notation import Axis
from .parameters import by_value

__all__ = ["hide_secret_parameters", "hide_secret_words"]

PREFIX = "HOPSLITE_PARAM_"  # the variables in which a program finds its parameters


def hide_secret_parameters(job: dict[str, Any]) -> None:
    """Replace the secret values of a job's parameters by references to variables, which its `env` then has.

    A command is kept with a run without the values of its variables (`Command.without_values`). The search, and so all
    records, have a placeholder. Values that name a variable themselves, and axes, stay as they are.
    """
    for name, value in job["params"].items():
        values = [] if isinstance(value, Axis) else value if isinstance(value, list) else [value]
        texts = [job["texts"].get(name, {}).get(json.dumps(one), text_of(one)) for one in values]
        pairs = zip(values, texts, strict=True)
        if not any(_is_secret(one, name) and not _has_variables(text) for one, text in pairs):
            continue
        references = [
            text if _has_variables(text) else f"${_variable(job['env'], name, expand(text, {}))}" for text in texts
        ]
        placeholders = [f"{REDACTED} {number}" if number else REDACTED for number in range(len(values))]
        job["params"][name] = placeholders if isinstance(value, list) else placeholders[0]
        job["texts"][name] = by_value(placeholders, references)
    job["arguments"] = [_without_secrets(argument, job["env"], job["params"]) for argument in job["arguments"]]


def hide_secret_words(words: Sequence[str], env: dict[str, Any], params: Collection[str]) -> list[str]:
    """Words of a command line with references to variables, which are added to `env`, for those that are secret.

    Args:
        params: names of parameters, whose values come into the places of `{name}` in the words.
    """
    hidden, option = [], ""
    for word, kept in zip(words, redact_words(list(words)), strict=True):
        named, equals, value = word.partition("=")
        name = named if equals and kept.startswith(f"{named}=") else option
        if kept == word or _has_variables(word) or _has_fields(word, params):
            hidden.append(word)
        elif name == named:
            hidden.append(f"{named}=${{{_variable(env, name, expand(value, {}))}}}")
        else:
            hidden.append(f"${_variable(env, name, expand(word, {}))}")
        option = word if word.startswith("-") and not equals else ""
    return hidden


def _without_secrets(argument: Argument, env: dict[str, Any], params: Collection[str]) -> Argument:
    if argument.is_filled and argument.of is not None:
        return argument  # {name} is in the place of the value
    words = list(argument.words) if argument.is_expanded else [word.replace("$", "$$") for word in argument.words]
    hidden = hide_secret_words(words, env, params if argument.is_filled else ())
    return argument if hidden == words else dataclasses.replace(argument, words=tuple(hidden), is_expanded=True)


def _variable(env: dict[str, Any], name: str, text: str) -> str:
    """Name of the variable with a text; one that is not there yet is added."""
    stem = PREFIX + (re.sub(r"[^A-Z0-9_]", "_", name.lstrip("-").upper()) or "VALUE")
    number = 1
    while (variable := stem if number == 1 else f"{stem}__{number}") in env and env[variable] != text:
        number += 1
    env[variable] = text
    return variable


def _is_secret(value: Any, name: str) -> bool:
    return isinstance(value, (str, int, float)) and redact_value(value, name) != value


def _has_variables(text: str) -> bool:
    return next(variable_names(text), None) is not None


def _has_fields(text: str, params: Collection[str]) -> bool:
    return any(parameter_name(name) in params for name in FIELD.findall(text))
