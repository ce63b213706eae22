"""Ctrl-C during a run: held between the waits of the loop, delivered in them, and the program's own handler after."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from hopslite._interrupts import Interrupts


def own_handler(number: int, frame: FrameType | None) -> None:
    """What the program had for SIGINT before."""
    raise AssertionError("the handler of before was called during the run")


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    before = signal.signal(signal.SIGINT, own_handler)
    made = Interrupts()
    made.take()
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
    with interrupts.allowed():
        reached.append("first wait")
    held_interrupt()
    reached.append("a step of the loop")
    with pytest.raises(KeyboardInterrupt), interrupts.allowed():
        reached.append("second wait")
    assert reached == ["first wait", "a step of the loop"]


def test_one_during_a_wait_comes_out_there(interrupts: Interrupts) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts.allowed():
        interrupt()
        pytest.fail("the wait went on")


def test_after_a_wait_they_are_held_again(interrupts: Interrupts) -> None:
    with interrupts.allowed():
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
            made.take()
            seen.append(signal.getsignal(signal.SIGINT))
            with made.allowed():
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
