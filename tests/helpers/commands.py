"""Programs as trials in the tests of `hopslite run`, in this process and without Spark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hopslite import experiment
from hopslite.programs.command import Command
from hopslite.submission.code_archive import pack

OPTIONS: dict[str, Any] = {"pool": "inline", "display": False}


def run_program(
    code: Path, program: str, params: dict[str, Any], words: tuple[str, ...] = ("train.py",), **changes: Any
) -> Any:
    """The run of a program, written as `train.py` into the folder `code`, with all combinations of `params`."""
    (code / "train.py").write_text(program)
    of_verb = ("optimization_key", "direction", "inputs", "stopper", "project")
    options = {key: changes.pop(key) for key in of_verb if key in changes}
    command = Command(words, tuple(params), pack(str(code)), **changes)
    lists = {name: value if isinstance(value, list) else [value] for name, value in params.items()}
    if "optimization_key" in options:
        return experiment.grid_search(command, lists, name="job", **options, **OPTIONS)
    return experiment.launch(command, lists or None, name="job", **options, **OPTIONS)


def call_of(run: Any) -> Any:
    """The arguments, variables and folder that the first trial's program, RECORDS_CALL, was started with."""
    return json.loads(Path(run.trials[0].logdir, "output", "call.json").read_text())


RECORDS_CALL = """
import json, os, sys
env = {k: v for k, v in os.environ.items() if k.startswith(("HOPSLITE_P", "HOPSLITE_I", "MY"))}
call = {"argv": sys.argv[1:], "env": env,
        "here": sorted(os.listdir()), "cwd": os.getcwd(), "trial": os.environ["HOPSLITE_TRIAL_ID"]}
open(os.path.join(os.environ["HOPSLITE_OUTPUT"], "call.json"), "w").write(json.dumps(call))
"""
