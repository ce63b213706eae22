"""Calls that type checkers refuse. This module is checked, and not run.

Each wrong line is marked with the errors that mypy and pyright report for it: `# mypy: code; pyright: rule`.
"""

from __future__ import annotations

from typing import Any

import hopslite
from hopslite import experiment, stop


def train(lr: float) -> float:
    hopslite.report()  # mypy: call-arg; pyright: reportCallIssue
    hopslite.report(lr, step="first")  # mypy: arg-type; pyright: reportArgumentType
    hopslite.inputs["images"].shape  # mypy: attr-defined; pyright: reportAttributeAccessIssue
    hopslite.reprot(lr)  # mypy: attr-defined; pyright: reportAttributeAccessIssue
    return lr


def calls(space: dict[str, Any]) -> None:
    experiment.grid_search(train, space, "up")  # mypy: arg-type; pyright: reportArgumentType
    experiment.grid_search(train, space, seed="one")  # mypy: arg-type; pyright: reportArgumentType
    experiment.grid_search(train, space, sead=1)  # mypy: call-arg; pyright: reportCallIssue
    experiment.grid_search(train)  # mypy: call-arg; pyright: reportCallIssue
    experiment.grid_search(train, space, num_workers=2)  # mypy: call-arg; pyright: reportCallIssue
    experiment.random_search(train, space, samples="20")  # mypy: arg-type; pyright: reportArgumentType
    experiment.random_search(train, space, stopper="medium")  # mypy: arg-type; pyright: reportArgumentType
    experiment.random_search(train, space, stopper=object())  # mypy: arg-type; pyright: reportArgumentType
    experiment.random_search(train, space, report_as="first")  # mypy: arg-type; pyright: reportArgumentType
    experiment.differential_evolution(train, space, initial="grid")  # mypy: arg-type; pyright: reportArgumentType
    experiment.search(train, space, "tpee")  # mypy: arg-type; pyright: reportArgumentType
    experiment.search(train, space, direction=1)  # mypy: arg-type; pyright: reportArgumentType
    experiment.launch(train, isolation="thread")  # mypy: arg-type; pyright: reportArgumentType
    experiment.launch(train, stopper="median")  # mypy: call-arg; pyright: reportCallIssue
    experiment.mirrored(train, on_failure="retry")  # mypy: arg-type; pyright: reportArgumentType
    experiment.mirrored(train, parallelism=2)  # mypy: call-arg; pyright: reportCallIssue
    experiment.best("digits", direction="up")  # mypy: arg-type; pyright: reportArgumentType
    stop.Median(interval="one")  # mypy: arg-type; pyright: reportArgumentType


def results(space: dict[str, Any]) -> None:
    run = experiment.grid_search(train, space)
    logdir, outputs = run  # mypy: misc; pyright: reportAssignmentType
    best_logdir, best_params, best_outputs = run
    best_logdir.upper()  # mypy: union-attr; pyright: reportOptionalMemberAccess
    best_params["lr"]  # mypy: index; pyright: reportOptionalSubscript
    run.best_parameters  # mypy: attr-defined; pyright: reportAttributeAccessIssue
    logdir, params, outputs = experiment.launch(train)  # mypy: misc; pyright: reportAssignmentType
