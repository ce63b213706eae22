"""Inputs of `hopslite run`: paths, URLs, versions of data sets, and what earlier trials have left."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping

from ..core.redaction import without_credentials
from ..errors import HopsliteError, InvalidArguments, RunNotFound, StoreError
from ..runs.lookup import find, read, trial_of
from ..storage.project import Project

__all__ = ["JobInput", "locate_inputs", "parse_input"]

AS_THEY_ARE = ("runs:/", "data:")  # forms that the verbs resolve
MOUNT = re.compile(r"(?P<source>.+):(?P<mount>/(?!/).*)")


@dataclasses.dataclass(frozen=True)
class JobInput:
    """Input of a job.

    Attributes:
        source: a path, a URL, `data:NAME/VERSION` or `RUN/TRIAL[/PATH]`.
        mount: the path at which programs see it, besides the variable; None if there is none.
        folder: the one that a relative path is in.
    """

    source: str
    mount: str | None
    folder: str

    @property
    def text(self) -> str:
        """The form of the command line."""
        return self.source if self.mount is None else f"{self.source}:{self.mount}"


def parse_input(text: str, folder: str) -> JobInput:
    """Parse `SOURCE` or `SOURCE:/mount/point`.

    >>> parse_input("s3://bucket/digits:/data", "/home").mount
    '/data'
    >>> parse_input("runs:/digits/3/trials/0004", "/home").mount is None
    True

    Raises:
        InvalidArguments: the mount point is the root of the file system.
    """
    prefix = next((form for form in (*AS_THEY_ARE, "file:/") if text.startswith(form)), "")
    match = MOUNT.fullmatch(text[len(prefix) :])
    if match is None:
        return JobInput(text, None, folder)
    mount = os.path.normpath(match["mount"])
    if mount == "/":
        raise InvalidArguments(
            "inputs", [f"{without_credentials(text)}: an input cannot be at /; give a path below it"]
        )
    return JobInput(prefix + match["source"], mount, folder)


def locate_inputs(project: Project, inputs: Mapping[str, JobInput]) -> dict[str, JobInput]:
    """Inputs with sources that mean the same anywhere: absolute paths, URLs and forms that the verbs resolve.

    Raises:
        InvalidArguments: a name is no variable's, two inputs have one variable or one mount point, a mount point is in
            another, or there is nothing at a path; all problems are in one message.
    """
    located: dict[str, JobInput] = {}
    mounts: dict[str, str] = {}
    problems: list[str] = []
    variables: dict[str, str] = {}
    for name, item in inputs.items():
        if not name.isidentifier():
            problems.append(f"inputs: {name!r} cannot be in a variable's name; use letters, digits and _")
        if (other := variables.setdefault(name.upper(), name)) != name:
            problems.append(f"inputs: {other} and {name} have one variable, $HOPSLITE_INPUT_{name.upper()}")
        if item.mount and mounts.setdefault(item.mount, name) != name:
            problems.append(f"inputs: {mounts[item.mount]} and {name} are both at {item.mount}")
        try:
            located[name] = dataclasses.replace(item, source=_located(project, item))
        except (HopsliteError, OSError) as error:
            problems.append(f"inputs: {name}: {error}")
    for path, name in mounts.items():
        outer = next((other for other in mounts if path.startswith(f"{other}/")), None)
        if outer is not None:  # a link there would be made in that input, which may be the user's own folder
            problems.append(f"inputs: {name} is at {path}, which is in {mounts[outer]} at {outer}; give another path")
    if problems:
        raise InvalidArguments("hopslite run", problems)
    return located


def _located(project: Project, item: JobInput) -> str:
    source = item.source
    if "://" in source or source.startswith(AS_THEY_ARE):
        return source
    path = os.path.join(item.folder, os.path.expanduser(source))
    if os.path.lexists(path) or os.path.isabs(os.path.expanduser(source)):
        return os.path.normpath(path)
    try:
        if project.exists(source):
            return source
        reason = "" if ".." in source.split("/") else _of_trial(project, source)
    except RunNotFound as error:
        reason = f"; as a trial's: {error}"
    if reason.startswith("runs:/"):
        return reason
    raise StoreError(f"there is no {source} in {item.folder}, and none in the project{reason}")


def _of_trial(project: Project, source: str) -> str:
    """The `runs:/` URL of `RUN/TRIAL[/PATH]` or `NAME/VERSION/TRIAL[/PATH]`; nothing for another form.

    Raises:
        RunNotFound: there is no such run or trial.
    """
    parts = [part for part in source.split("/") if part not in ("", ".")]
    if len(parts) < 2:
        return ""
    with_version = len(parts) > 2 and parts[1].isdecimal() and (parts[2].isdecimal() or parts[2] == "best")
    run_name, (trial, *rest) = ("/".join(parts[:2]), parts[2:]) if with_version else (parts[0], parts[1:])
    directory = find(project, run_name)
    run = read(project, directory)
    return "/".join(["runs:", run.run_id or "", "trials", trial_of(run, trial).id, *rest])
