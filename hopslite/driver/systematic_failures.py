"""Detection of mistakes of the program that every trial would repeat, from the first failed trials."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection

from ..core.types import State
from ..result import Trial

__all__ = ["Mistake", "MistakeDetector"]

MIN_FAILURES = 3  # failures that count as a pattern
UNRELATED_CAUSES = ("lost", "inputs", "killed", "storage")  # not caused by the training function
PROGRAM_CAUSES = (
    "exception",
    "exit",
    "return-value",
    "configuration",
)  # causes that can be a mistake; memory and time depend on parameters
FRAME = re.compile(r'File "([^"]+)", line (\d+)')
GENERATED_FILE = "__autograph_generated_file"  # has a different name in each process


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A reason to end a run, and the first trial that showed it."""

    why: str
    trial: Trial


class MistakeDetector:
    """Examines the trials of one driver in the order of their ids, as long as none has a result."""

    def __init__(self) -> None:
        self._failed: dict[str, Trial] = {}
        self._signatures: dict[str, tuple[object, ...] | None] = {}
        self._without_metric: Trial | None = None
        self._not_loaded: Trial | None = None
        self._without_checkpoints: Trial | None = None
        self._is_decided = False  # the first trials have ended, in different ways

    def ended(self, trial: Trial) -> bool:
        """Note the end of a trial. Returns True if its failure is new: it repeats none, and does not end the run."""
        if trial.state is not State.FAILED or trial.cause in UNRELATED_CAUSES:
            return True
        signature = _signature(trial)
        is_repeated = signature is not None and signature in self._signatures.values()
        if trial.cause == "unpickling":
            self._not_loaded = self._not_loaded or trial
        if trial.cause == "checkpoints":
            self._without_checkpoints = self._without_checkpoints or trial
        if self._without_metric is None and self._has_no_metric(trial):
            self._without_metric = trial
        self._failed[trial.id], self._signatures[trial.id] = trial, signature
        decisive = (self._without_metric, self._not_loaded, self._without_checkpoints)
        return not is_repeated and decisive == (None, None, None)

    def detect(self, running: Collection[str], slots: int) -> Mistake | None:
        """The mistake that the trials so far have in common.

        Args:
            running: the ids of trials that have not ended; the first ones have to end before there is a decision.
            slots: number of trials that run side by side.
        """
        if self._not_loaded:
            return Mistake(f"a function that trial {self._not_loaded.id} cannot load", self._not_loaded)
        if self._without_metric:
            return Mistake(f"a missing metric in trial {self._without_metric.id}", self._without_metric)
        if self._without_checkpoints:
            return Mistake(f"no checkpoints of trial {self._without_checkpoints.id}", self._without_checkpoints)
        count = max(MIN_FAILURES, slots)
        if self._is_decided or len(self._failed) < count:
            return None
        ids = sorted([*self._failed, *running], key=int)[:count]
        if not self._failed.keys() >= set(ids):
            return None
        signatures = {self._signatures[trial_id] for trial_id in ids}
        self._is_decided = len(signatures) > 1 or None in signatures
        if self._is_decided:
            return None
        return Mistake(f"the same error in each of the first {count} trials", self._failed[ids[0]])

    def _has_no_metric(self, trial: Trial) -> bool:
        """True for a wrong name or type of the metric, in contrast to a value, such as None, of a single trial."""
        if trial.cause != "return-value":
            return False
        return trial.outputs is not None or all(other.cause == "return-value" for other in self._failed.values())


def _signature(trial: Trial) -> tuple[object, ...] | None:
    """A value that is equal for failures with the same exception at the same place; None: it cannot be compared."""
    if trial.cause not in PROGRAM_CAUSES:
        return None
    if not trial.traceback:
        return (trial.cause, trial.error)
    innermost = trial.traceback.rpartition("Traceback (most recent call last)")[2]  # of a chain: the final exception
    frames = [(os.path.basename(file), line) for file, line in FRAME.findall(innermost) if GENERATED_FILE not in file]
    match = re.search(r"^[ |+]*([A-Za-z_][\w.]*)(:|$)", FRAME.split(innermost)[-1].partition("\n")[2], re.MULTILINE)
    return (match[1] if match else trial.error, *frames[:1], *frames[-1:])
