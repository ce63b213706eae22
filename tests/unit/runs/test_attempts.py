"""Attempts of trials as a journal tells them: where, from when to when, and how they ended."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from hopslite import experiment
from hopslite.core.types import Event
from hopslite.runs.attempts import attempts_of
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.run_directory import RunDir


def read(tmp_path: Path, *events: tuple[str, float, str | None, dict[str, Any]]) -> Any:
    writer = JournalWriter(RunDir(str(tmp_path)))
    for kind, time, trial, data in events:
        writer.append(Event(kind, time, trial, data))
    writer.close()
    return attempts_of(str(tmp_path))


def started(trial: str, time: float, slot: int | None = 0, attempt: int = 0) -> tuple[str, float, str, dict[str, Any]]:
    return ("started", time, trial, {"slot": slot, "host": "h", "attempt": attempt})


def ended(trial: str, time: float, state: str = "FINISHED", **more: Any) -> tuple[str, float, str, dict[str, Any]]:
    return ("ended", time, trial, {"trial_id": trial, "state": state, **more})


BEGUN = ("run_started", 90.0, None, {})


def test_states_and_times(tmp_path: Path) -> None:
    attempts = read(
        tmp_path, BEGUN, started("0000", 100), started("0001", 101, 1), ended("0000", 104),
        started("0002", 105), ended("0001", 106, "STOPPED", error="poor"), ended("0002", 107, "FAILED", error="no"),
    )  # fmt: skip
    assert attempts.began == 90
    assert [(a.trial, a.slot, a.begin, a.end, a.outcome, a.problem) for a in attempts.attempts] == [
        ("0000", 0, 100, 104, "finished", None),
        ("0001", 1, 101, 106, "stopped", "poor"),
        ("0002", 0, 105, 107, "failed", "no"),
    ]


def test_a_retry_is_an_attempt_of_its_own(tmp_path: Path) -> None:
    failed = ("retry", 103.0, "0000", {"attempt": 0, "cause": "lost", "error": "its executor was lost"})
    attempts = read(tmp_path, BEGUN, started("0000", 100), failed, started("0000", 110, 1, 1), ended("0000", 120))
    first, second = attempts.attempts
    assert (first.end, first.outcome, first.problem) == (103, "retried", "its executor was lost")
    assert (second.slot, second.number, second.begin, second.outcome) == (1, 1, 110, "finished")


def test_earlier_journals_have_no_retries(tmp_path: Path) -> None:
    attempts = read(tmp_path, BEGUN, started("0000", 100, None), started("0000", 110, None, 1), ended("0000", 120))
    assert [(a.slot, a.end, a.outcome) for a in attempts.attempts] == [(None, 110, "retried"), (None, 120, "finished")]


def test_a_driver_that_ended_cuts_attempts_off(tmp_path: Path) -> None:
    report = ("report", 104.0, "0000", {"step": 1, "value": 2.0, "attempt": 0})
    attempts = read(
        tmp_path, BEGUN, started("0000", 100), report, ("resumed", 200.0, None, {}), started("0000", 201),
        ended("0000", 210), ("run_ended", 211.0, None, {"state": "FINISHED"}),
    )  # fmt: skip
    assert attempts.resumed == (200.0,)
    assert [(a.begin, a.end, a.outcome) for a in attempts.attempts] == [(100, 104, "cut off"), (201, 210, "finished")]


def test_what_still_runs_lasts_until_the_last_event(tmp_path: Path) -> None:
    (attempt,) = read(tmp_path, BEGUN, started("0000", 100), ("sample", 130.0, "0000", {"cpu_percent": 5.0})).attempts
    assert (attempt.end, attempt.outcome, attempt.seconds) == (130, "running", 30)


def test_members_of_a_gang(tmp_path: Path) -> None:
    members = [{"role": "chief", "index": 0, "host": "one"}, {"role": "worker", "index": 0, "host": "two"}]
    (attempt,) = read(tmp_path, BEGUN, ("members", 99.0, "0000", {"members": members}), started("0000", 100)).attempts
    assert attempt.members == (("chief 0", "one"), ("worker 0", "two"))


def test_of_a_run_that_retries(project: str) -> None:
    def train(x: int) -> float:
        if not Path(project, f"been here {x}").exists():
            Path(project, f"been here {x}").touch()
            raise ConnectionError("busy")
        return float(x)

    run = experiment.grid_search(
        train, {"x": [1, 2]}, on_failure="restart", max_restarts=1, pool="inline", display=False
    )
    attempts = attempts_of(run.logdir).attempts
    assert [(a.trial, a.number, a.slot, a.outcome) for a in attempts] == [
        ("0000", 0, 0, "retried"), ("0000", 1, 0, "finished"), ("0001", 0, 0, "retried"), ("0001", 1, 0, "finished"),
    ]  # fmt: skip
    assert attempts[0].problem == "ConnectionError: busy"
    assert all(one.end <= other.begin for one, other in itertools.pairwise(attempts))


def test_a_directory_without_a_journal(tmp_path: Path) -> None:
    assert attempts_of(str(tmp_path)).attempts == ()
