"""Requests of a trial to the driver over its pipe."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hopslite.channel.shared_memory import SharedBuffers
from hopslite.channel.slot_pipe import SlotPipe
from hopslite.channel.trial_pipe import TrialPipe

Ends = tuple[TrialPipe, SlotPipe]


@pytest.fixture(params=[True, False], ids=["shared memory", "no shared memory"])
def has_fallback(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def ends(has_fallback: bool) -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    buffers, descriptors = SharedBuffers.create()
    trial_buffers = SharedBuffers(descriptors[0]) if has_fallback else None
    if not has_fallback:
        for descriptor in descriptors:
            os.close(descriptor)
    slot = SlotPipe(ours, buffers if has_fallback else None, "0000")
    theirs.setblocking(False)
    yield TrialPipe(theirs.detach(), trial_buffers), slot
    slot.close()


def served(slot: SlotPipe, respond: Callable[[dict[str, Any]], None], until: threading.Event) -> threading.Thread:
    def serve() -> None:
        while not until.wait(0.001):
            for message in slot.messages():
                respond(message)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_each_request_gets_its_own_answer(ends: Ends) -> None:
    pipe, slot = ends
    over = threading.Event()

    def respond(message: dict[str, Any]) -> None:
        request = message["ask"]
        slot.send_answer({"number": -1, "value": "another's"})
        slot.send_stop("in between")
        slot.send_answer({"number": request["number"], "value": request["suggest"]})

    thread = served(slot, respond, over)
    assert [pipe.ask({"suggest": name})["value"] for name in "abc"] == ["a", "b", "c"]
    assert pipe.stop_reason() == "in between"
    over.set()
    thread.join()


def test_a_socket_that_is_lost_with_the_request(ends: Ends, has_fallback: bool) -> None:
    pipe, slot = ends
    over, closed = threading.Event(), threading.Event()

    def respond(message: dict[str, Any]) -> None:
        if not closed.is_set():  # the trial closes its socket before the first answer arrives
            closed.set()
            os.close(pipe._descriptor)
            return
        slot.send_answer({"number": message["ask"]["number"], "value": 1})

    thread = served(slot, respond, over)
    if has_fallback:
        assert pipe.ask({"suggest": "x"})["value"] == 1
        assert pipe.ask({"suggest": "y"})["value"] == 1
    else:
        with pytest.raises(ConnectionError):
            pipe.ask({"suggest": "x"})
    over.set()
    thread.join()
    pipe._socket.detach()


def test_a_slot_that_is_gone_ends_the_wait(ends: Ends) -> None:
    pipe, slot = ends
    timer = threading.Timer(0.1, slot.close)
    timer.start()
    with pytest.raises(ConnectionError, match="gone"):
        pipe.ask({"suggest": "x"})
    timer.join()


def test_a_forked_process_cannot_ask(ends: Ends) -> None:
    pipe, _ = ends
    child = os.fork()
    if not child:
        status = 1
        try:
            pipe.ask({"suggest": "x"})
        except ConnectionError:
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    "request_", [1, {}, {"number": 1}, {"number": 1, "suggest": 3}, {"number": "1", "prune": True}]
)
def test_what_is_no_request_is_refused(ends: Ends, request_: Any) -> None:
    pipe, slot = ends
    pipe.send({"ask": request_})
    with pytest.raises(ValueError, match="not a message of a trial"):
        list(slot.messages())
