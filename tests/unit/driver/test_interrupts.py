"""Ctrl-C during a run: held between the waits of the loop, delivered in them, and the program's own handler after."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from hopslite.driver.interrupts import Interrupts
from hopslite.storage.project import Project
from tests.helpers.observe import PATIENCE_S


def own_handler(number: int, frame: FrameType | None) -> None:
    """The program's previous handler of SIGINT."""
    raise AssertionError("the handler of before was called during the run")


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = signal.signal(signal.SIGINT, own_handler)
    made = Interrupts()
    made.install()
    yield made
    made.restore()
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def held_interrupt() -> None:
    try:
        interrupt()
    except KeyboardInterrupt:  # as it is, it would end the test session
        pytest.fail("the interrupt was not held")


def test_one_between_two_waits_comes_out_in_the_next(interrupts: Interrupts) -> None:
    reached = []
    with interrupts.interruptible():
        reached.append("first wait")
    held_interrupt()
    reached.append("a step of the loop")
    with pytest.raises(KeyboardInterrupt), interrupts.interruptible():
        reached.append("second wait")
    assert reached == ["first wait", "a step of the loop"]


def test_one_during_a_wait_comes_out_there(interrupts: Interrupts) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts.interruptible():
        interrupt()
        pytest.fail("the wait went on")


def test_after_a_wait_they_are_held_again(interrupts: Interrupts) -> None:
    with interrupts.interruptible():
        pass
    held_interrupt()


def test_a_second_one_is_not_held(interrupts: Interrupts) -> None:
    held_interrupt()
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_while_cleaning_up_none_comes_out(interrupts: Interrupts) -> None:
    held_interrupt()
    interrupts.ignore()
    held_interrupt()
    held_interrupt()


def test_the_handler_of_before_is_put_back(interrupts: Interrupts) -> None:
    assert signal.getsignal(signal.SIGINT) is not own_handler
    held_interrupt()
    interrupts.restore()
    assert signal.getsignal(signal.SIGINT) is own_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.restore()  # a second time leaves alone what was set since
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_in_another_thread_nothing_is_touched() -> None:
    before = signal.signal(signal.SIGINT, own_handler)
    seen: list[object] = []

    def run() -> None:
        try:
            made = Interrupts()
            made.install()
            seen.append(signal.getsignal(signal.SIGINT))
            with made.interruptible():
                pass
            made.ignore()
            made.restore()
            seen.append(signal.getsignal(signal.SIGINT))
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            seen.append(error)

    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(30)
        assert seen == [own_handler, own_handler]
    finally:
        signal.signal(signal.SIGINT, before)


PROGRAM = """
import os, signal, sys, time
from hopslite import experiment

def train(x):
    if x == 1:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    return x

if sys.argv[1] == "early":
    from hopslite.driver import run_call
    def interrupted(*args):
        raise KeyboardInterrupt
    run_call.find_inputs = interrupted
if sys.argv[1] == "own hook":
    sys.excepthook = lambda kind, error, trace: print("OWN", kind.__name__, file=sys.stderr)
if sys.argv[1] in ("caught", "own hook"):
    try:
        experiment.grid_search(train, {"x": [0, 1]}, name="n", pool="inline", display=False)
    except KeyboardInterrupt:
        raise ValueError("another one")
experiment.grid_search(train, {"x": [0, 1]}, name="n", pool="inline", display=False)
"""


def stderr_of(project: str, how: str) -> list[str]:
    environment = {**os.environ, "PATH": os.defpath}  # as without an activated environment
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()


def test_one_that_nobody_catches_is_one_line_that_says_how_to_resume(project: str) -> None:
    [line] = stderr_of(project, "run")
    [run] = Project(project).runs()
    assert line.startswith(f"hopslite.errors.RunInterrupted: run {run} was interrupted; the 1 trials that had finished")
    assert (
        f"Go on with it: {shlex.quote(str(Path(sys.executable).parent / 'hopslite'))} resume {run} --project {project}"
        in line
    )


def test_one_before_the_run_is_one_line_too(project: str) -> None:
    assert stderr_of(project, "early") == [
        "hopslite.errors.RunInterrupted: experiment.grid_search() was interrupted before its trials had begun"
    ]


def test_other_errors_are_shown_as_ever(project: str) -> None:
    lines = stderr_of(project, "caught")
    assert lines[-1] == "ValueError: another one"
    assert "Traceback (most recent call last):" in lines
    assert stderr_of(project, "own hook") == ["OWN ValueError"]


def test_a_notebook_shows_one_line() -> None:
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell.instance()
    shown: list[Any] = []
    shell._showtraceback = lambda kind, error, lines: shown.extend(lines)
    shell.run_cell(
        "from hopslite.errors import RunInterrupted\n"
        "raise RunInterrupted('run 1 was interrupted. Go on with it: hopslite resume 1', run_id='1')"
    )
    assert shown == ["RunInterrupted: run 1 was interrupted. Go on with it: hopslite resume 1"]


AT_THE_END = """
import os, signal, sys, threading
from hopslite.companion import registry
from hopslite.companion.client import Companion, FollowedRun
from hopslite.storage.run_directory import RunDir

registry.QUIET_SECONDS = 0.05
companion = Companion(sys.argv[1], {}, False)
for number in range(2):
    run = RunDir(f"{sys.argv[1]}/Experiments/run{number}")
    never_told = FollowedRun(run, companion, ["mlflow"], lambda line: print(line, flush=True))
    companion._runs[number] = never_told
    never_told.finish()
registry._of_process._companions.append(companion)
threading.Thread(target=lambda: (sys.stdin.readline(), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
print("LAST", flush=True)
"""


def test_while_the_program_ends_the_wait_is_announced_and_left_without_a_word(tmp_path: Path) -> None:
    command = [sys.executable, "-c", AT_THE_END, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "LAST\n"
        assert process.stdout.readline() == (
            "waiting for up to 60 s until MLflow and TensorBoard have been told all of runs run0, run1; with Ctrl-C "
            "this goes on in the background\n"
        )
        process.stdin.write("\n")
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
