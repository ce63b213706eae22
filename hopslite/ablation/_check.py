"""Check of the base model before the first trial, in a subprocess, as the driver loads no framework."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle

from ..core.child_python import python_command
from ._parts import Group

__all__ = ["model_problems"]

log = logging.getLogger(__name__)

SECONDS = 120.0
LIBRARIES = ("keras", "tf_keras", "tensorflow")


def model_problems(generator: Callable[..., Any], groups: Sequence[Group]) -> list[str]:
    """Problems with leaving groups of layers out of the model; none if all can be left out, or it cannot be checked.

    If the driver has no Keras, or not the files that the generator reads, the trials check their models.
    """
    if not groups or not any(importlib.util.find_spec(name) for name in LIBRARIES):
        return []
    try:
        payload = cloudpickle.dumps((generator, list(groups)))
    except Exception:  # noqa: BLE001 - the verb says so, with the culprit's name
        return []
    command, path = python_command(
        "from hopslite.ablation._keras import main; main()", [os.path.abspath(entry) for entry in sys.path]
    )
    environment = {**os.environ, **path, "CUDA_VISIBLE_DEVICES": ""}  # GPUs are for trials
    try:
        done = subprocess.run(
            command,
            input=payload,
            capture_output=True,
            env=environment,
            timeout=SECONDS,
            check=False,
        )
        problems: list[str] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        log.warning("the base model took more than %g s to build; its layers are checked in the trials", SECONDS)
    except ValueError:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"exit code {done.returncode}"
        log.warning("the base model cannot be built here (%s); its layers are checked in the trials", said)
    else:
        return problems
    return []
