"""Execution of a plan: its slots, its record and the loop."""

from __future__ import annotations

import contextlib
import dataclasses

from ..core.settings import Settings
from ..core.types import State
from ..display import Display, GuardedDisplay, NullDisplay
from ..errors import HopsliteError, StoreError
from ..pool import Pool, make, runs_in_process
from ..pool._spark_session import without_announcement
from ..result import Run
from ..serialization.values import Values
from ..storage.project import Project
from .job import serialize_program
from .keywords import Options
from .loop import RunLoop
from .plan import Plan
from .recorder import Recorder
from .reservation import Reservation, current_turn, reserve
from .resume import Resumption

__all__ = ["execute"]


def execute(plan: Plan, settings: Settings, display: Display, options: Options, resumption: Resumption | None) -> Run:
    """Carry out a plan, or the remainder of it when resuming.

    Args:
        options: those of the call, of which `pool`, `spark` and `callbacks` count.

    Raises:
        RunTakenOver: another driver has resumed the run while this one did not answer.
        StorageUnavailable: the run could not be recorded for `storage_patience` seconds.
        RunDeleted: its directory is gone.
        TrialFailed: every trial failed, or more than `max_failures`; the first failure's cause is in the message.
        RunInterrupted: an interrupt ended the run, which is KILLED, or a user has stopped it before there was a metric.
    """
    turn, reservation = current_turn(), None
    try:
        if turn is not None:
            reservation = reserve(plan, Project(settings.project), turn, resumption)
            reservation.wait(display.line)
        return _execute(plan, settings, display, options, resumption, reservation)
    finally:
        if resumption:  # where it did not come to a run
            resumption.lease.release()
        if reservation:
            reservation.release()


def _execute(
    plan: Plan,
    settings: Settings,
    display: Display,
    options: Options,
    resumption: Resumption | None,
    reservation: Reservation | None,
) -> Run:
    pool, values = options["pool"], Values(plan.choices)
    if not runs_in_process(pool):
        plan = dataclasses.replace(plan, program=plan.program or serialize_program(plan, values, display))
    announcement = without_announcement() if isinstance(display, NullDisplay) else contextlib.nullcontext()
    try:
        with announcement:
            slots = _slots(plan, settings, options)
    except BaseException as error:
        if reservation:
            reservation.end(State.FAILED, f"{type(error).__name__}: {error}")
        raise
    for note in getattr(slots, "notes", ()):
        display.line(note)
    try:
        project = Project(settings.project)
        recorder = Recorder(plan, settings, project, slots.facts, display.line, resumption, reservation)
    except BaseException as error:
        slots.close()
        if isinstance(error, OSError) and not isinstance(error, HopsliteError):
            place = Project(settings.project).shown
            raise StoreError(f"the run cannot be recorded in {place}: {error}") from error
        raise
    run = RunLoop(plan, settings, GuardedDisplay(display), slots, recorder, values, options["callbacks"])
    return run.carry_out(resumption)


def _slots(plan: Plan, settings: Settings, options: Options) -> Pool:
    """The pool of a plan; a Spark session may be given as a function that opens it when it is needed."""
    pool, spark = options["pool"], options["spark"]
    if not isinstance(pool, str):
        return pool
    return make(pool, plan.resources, spark() if callable(spark) else spark, settings)
