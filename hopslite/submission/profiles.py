"""Profiles of hopslite.toml: options of `hopslite run` under one name, such as those of a machine or a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..core.suggestions import did_you_mean
from ..errors import InvalidArguments
from .options import OPTIONS, RESOURCES, TRIALS, Option, problem
from .requirements import AUTO

__all__ = ["PROFILE_KEYS", "add_profile"]

OF_PROGRAMS = ("requirements", "python", "framework")  # keys of other sections that are about machines, too
NOT_HERE = ("profile", "resume", "retry_failed", "force")  # they are about one run


def _keys() -> dict[str, Option]:
    """Options by the keys that a profile can have: those of job files, and the long forms of the command line."""
    allowed = [
        option
        for option in OPTIONS.values()
        if option.in_file
        and (option.section in (TRIALS, RESOURCES) or option.key in OF_PROGRAMS)
        and option.key not in NOT_HERE
    ]
    flags = {flag[2:].replace("-", "_"): option for option in allowed for flag in option.names if flag[:2] == "--"}
    return {**{option.key: option for option in allowed}, **flags}


PROFILE_KEYS: Mapping[str, Option] = _keys()


def add_profile(job: dict[str, Any], profiles: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Add the options of the job's profile, where the job has none itself; returns those that were added.

    Raises:
        InvalidArguments: there is no such profile, or it has keys or values that it cannot have; all problems.
    """
    name = job.get("profile")
    if name is None:
        return {}
    if name not in profiles:
        example = "hopslite.toml has none; add [profiles.gpu] and below it lines: gpus_per_trial = 1"
        known = f"there are {', '.join(profiles)}" if profiles else example
        raise InvalidArguments("hopslite run", [f"there is no profile {name!r}; {did_you_mean(name, profiles, known)}"])
    values, problems = {}, []
    for key, value in profiles[name].items():
        option = PROFILE_KEYS.get(key)
        if option is None:
            hint = did_you_mean(key, PROFILE_KEYS, f"keys: {', '.join(PROFILE_KEYS)}")
            problems.append(f"profile {name}: there is no key {key!r}; {hint}")
        elif (allowed := problem(option, value)) is not None:
            problems.append(f"profile {name}: {key} is {value!r:.60}; {allowed}")
        elif option.key in values:
            problems.append(f"profile {name}: {key} is there twice, under two names")
        else:
            values[option.key] = value
    if problems:
        raise InvalidArguments("hopslite.toml", problems)
    if values.get("requirements", AUTO) != AUTO:
        values["requirements"] = os.path.abspath(
            os.path.expanduser(values["requirements"])
        )  # relative to hopslite.toml
    added = {key: value for key, value in values.items() if job.get(key) is None}
    job |= added
    return added
