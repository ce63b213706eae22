"""A gang as its slots see it: what is said to whom when members come, end, fail and vanish."""

from __future__ import annotations

from typing import Any

import pytest

from hopslite.core.types import Event, Result, Spec, State
from hopslite.distribute import Layout, Size
from hopslite.pool import _gang
from hopslite.pool._gang import Gang, MemberSlot


class SlotSession:
    """A slot's connection that remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.was_cut = False

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def request_drop(self) -> None:
        self.was_cut = True

    @property
    def orders(self) -> list[str]:
        return [message["type"] for message in self.sent]


class Driver:
    """A gang with everything around it."""

    def __init__(self, strategy: str, size: Size, attempt: int = 0, **times: float) -> None:
        from hopslite.core import plugins

        self.events: list[Event] = []
        self.members = plugins.load("distribute", strategy).members(size)
        self.sessions = [SlotSession() for _ in self.members]
        member_slots = {rank: MemberSlot(session, f"host{rank}", ()) for rank, session in enumerate(self.sessions)}  # type: ignore[arg-type]
        self.gang = Gang(
            Spec("0000", {}, "/d", attempt=attempt),
            Layout(strategy, size, **times),
            self.members,
            member_slots,
            self.events.append,
        )
        self.gang.reserve_ports()

    def say(self, rank: int, kind: str, **details: Any) -> None:
        self.gang.on_message(rank, {"type": kind, "trial": "0000", **details})

    def form(self) -> Driver:
        for rank in range(len(self.sessions)):
            self.say(rank, "reserved", port=1000 + rank, attempt=0)
        for rank in range(len(self.sessions)):
            self.say(rank, "started", host=f"host{rank}", gpus=None)
        return self

    def end(self, rank: int, state: State = State.FINISHED, **details: Any) -> None:
        result = Result("0000", state, log=f"{self.members[rank].file}_output.log", **details)
        self.say(rank, "ended", result=result.to_json())

    def end_killed(self) -> None:
        """All slots that were told to end their member have done so."""
        for rank, session in enumerate(self.sessions):
            if "kill" in session.orders:
                self.end(rank, State.KILLED, cause="killed", error="ended")

    @property
    def result(self) -> Result:
        (event,) = [event for event in self.events if event.kind == "ended"]
        return Result.from_json(event.data)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All deadlines expire at the next tick."""
    monkeypatch.setattr(_gang, "ROOT_CAUSE_SECONDS", 0.0)
    monkeypatch.setattr(_gang, "KILL_SECONDS", 0.0)


def test_nobody_starts_before_all_have_a_port() -> None:
    driver = Driver("torch", Size(3))
    for rank in (2, 0):
        driver.say(rank, "reserved", port=1, attempt=0)
    assert [session.orders for session in driver.sessions] == [["reserve"]] * 3
    driver.say(1, "reserved", port=1, attempt=0)
    assert [session.orders for session in driver.sessions] == [["reserve", "run"]] * 3
    assert [session.sent[1]["spec"]["member"]["environment"]["RANK"] for session in driver.sessions] == ["0", "1", "2"]


def test_the_record_has_every_member_with_its_address() -> None:
    driver = Driver("torch", Size(2)).form()
    (event,) = [event for event in driver.events if event.kind == "members"]
    assert [(m["role"], m["index"], m["address"], m["log"]) for m in event.data["members"]] == [
        ("chief", 0, "host0:1000", "chief_0_output.log"),
        ("worker", 1, "host1:1001", "worker_1_output.log"),
    ]


def test_members_are_released_together_and_the_result_is_the_chiefs() -> None:
    driver = Driver("torch", Size(2)).form()
    driver.say(0, "done")
    assert "release" not in driver.sessions[0].orders
    driver.say(1, "done")
    assert [session.orders[-1] for session in driver.sessions] == ["release", "release"]
    driver.end(1)
    assert not driver.gang.over
    driver.end(0, outputs={"a": 1})
    assert driver.gang.over
    assert (driver.result.state, driver.result.outputs) == (State.FINISHED, {"a": 1})


def test_a_member_that_fails_ends_the_others_and_is_named() -> None:
    driver = Driver("multi_worker_mirrored", Size(3)).form()
    driver.end(2, State.FAILED, cause="exception", error="ValueError: x", traceback="trace")
    driver.gang.tick()
    assert ["kill" in session.orders for session in driver.sessions] == [True, True, False]
    driver.end_killed()
    result = driver.result
    assert (result.state, result.cause, result.traceback) == (State.FAILED, "exception", "trace")
    assert "worker 1 on host2: ValueError: x" in str(result.error)
    assert result.log == "worker_1_output.log"


@pytest.mark.parametrize("cause", ["signal", "segfault", "out-of-memory", "lost"])
def test_what_made_the_others_fail_is_the_cause_even_when_it_is_heard_of_later(cause: str) -> None:
    driver = Driver("torch", Size(3)).form()
    driver.end(0, State.FAILED, cause="exception", error="connection reset")
    if cause == "lost":
        driver.gang.on_lost(1)
    else:
        driver.end(1, State.FAILED, cause=cause, error="died")
    driver.gang.tick()
    driver.end_killed()
    assert driver.result.cause == cause
    assert "worker 1" in str(driver.result.error)


def test_servers_end_when_the_chief_has() -> None:
    driver = Driver("parameter_server", Size(2, ps=1)).form()
    driver.say(0, "done")
    assert [session.orders[-1] for session in driver.sessions] == ["release", "run", "run", "run"]
    driver.end(0, metric=1.0)
    assert [session.orders[-1] for session in driver.sessions[1:]] == ["kill"] * 3
    driver.end_killed()
    assert (driver.result.state, driver.result.metric, driver.result.warnings) == (State.FINISHED, 1.0, ())


def test_the_evaluator_has_its_grace() -> None:
    driver = Driver("multi_worker_mirrored", Size(1, evaluator=True), evaluator_grace=1e6).form()
    driver.say(0, "done")
    driver.end(0)
    driver.gang.tick()
    assert driver.sessions[1].orders == ["reserve", "run"]
    driver.say(1, "done")
    assert driver.sessions[1].orders[-1] == "release"
    driver.end(1)
    assert driver.result.state is State.FINISHED


def test_an_evaluator_that_goes_on_is_ended_after_its_grace() -> None:
    driver = Driver("multi_worker_mirrored", Size(1, evaluator=True), evaluator_grace=0.0).form()
    driver.say(0, "done")
    driver.end(0)
    driver.gang.tick()
    assert driver.sessions[1].orders[-1] == "kill"
    driver.end_killed()
    assert (driver.result.state, driver.result.warnings) == (State.FINISHED, ())


def test_an_evaluator_that_fails_after_the_chief_has_finished_is_a_warning() -> None:
    driver = Driver("multi_worker_mirrored", Size(1, evaluator=True)).form()
    driver.say(0, "done")
    driver.end(0)
    driver.end(1, State.FAILED, cause="exception", error="KeyError: y")
    assert driver.result.state is State.FINISHED
    assert "evaluator 0 failed after the chief had finished: KeyError: y" in driver.result.warnings


def test_a_worker_that_never_ends_is_ended_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gang, "WORKER_GRACE_SECONDS", 0.0)
    driver = Driver("torch", Size(2)).form()
    driver.say(0, "done")
    driver.gang.tick()
    assert [session.orders[-1] for session in driver.sessions] == ["release", "kill"]
    driver.end_killed()
    driver.end(0)
    assert driver.result.state is State.FINISHED
    assert "worker 1 was ended" in driver.result.warnings[0]


def test_a_worker_that_fails_while_the_chief_waits_fails_the_trial() -> None:
    driver = Driver("torch", Size(2)).form()
    driver.say(0, "done")
    driver.end(1, State.FAILED, cause="exception", error="ValueError: late")
    driver.gang.tick()
    driver.end_killed()
    assert driver.result.state is State.FAILED
    assert "worker 1" in str(driver.result.error)


def test_a_slot_without_a_port_fails_the_trial_before_anything_runs() -> None:
    driver = Driver("torch", Size(2))
    driver.say(0, "reserved", error="no free port among 1-2", attempt=0)
    assert "no free port" in str(driver.result.error)
    driver.say(1, "reserved", port=1, attempt=0)
    assert driver.sessions[1].orders == ["reserve"]


@pytest.mark.parametrize("formed", [True, False])
def test_a_gang_can_be_killed_at_any_moment(formed: bool) -> None:
    driver = Driver("torch", Size(2))
    if formed:
        driver.form()
    driver.gang.kill("timeout=1 s")
    driver.gang.kill("again")
    driver.end_killed()
    assert driver.gang.over
    assert (driver.result.state, driver.result.cause) == (State.KILLED, "killed")
    assert "timeout=1 s" in str(driver.result.error)


@pytest.mark.parametrize("state", [State.FINISHED, State.STOPPED])
def test_what_had_ended_stays_so_when_it_is_killed_while_a_process_lingers(state: State) -> None:
    driver = Driver("torch", Size(2)).form()
    driver.say(0, "done")
    driver.say(1, "done")
    driver.gang.kill("timeout=1 s")
    for rank in range(2):
        driver.end(rank, state if rank == 0 else State.FINISHED, metric=0.9 if rank == 0 else None)
    assert (driver.result.state, driver.result.metric) == (state, 0.9)


def test_a_slot_that_does_not_end_its_member_is_cut_off() -> None:
    driver = Driver("torch", Size(2)).form()
    driver.gang.kill("why")
    driver.gang.tick()
    assert [session.was_cut for session in driver.sessions] == [True, True]
    for rank in range(2):
        driver.gang.on_lost(rank)
    assert driver.result.state is State.KILLED


def test_what_a_slot_says_of_another_trial_does_not_count() -> None:
    driver = Driver("torch", Size(1)).form()
    driver.gang.on_message(0, {"type": "done", "trial": "0007"})
    assert "release" not in driver.sessions[0].orders


def test_lines_that_members_print_have_their_names() -> None:
    driver = Driver("torch", Size(2)).form()
    driver.say(1, "output", lines=["loss 3"])
    assert driver.events[-1].data == {"lines": ["worker 1: loss 3"]}


def test_a_member_that_returned_without_the_strategy_is_named_when_another_waits_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_gang, "PROBE_SECONDS", 0.0)
    driver = Driver("multi_worker_mirrored", Size(2)).form()
    driver.say(1, "done", listening=False)
    driver.gang.tick()
    assert driver.sessions[0].orders[-1] == "probe"
    driver.say(0, "probed", listening=False)  # still importing
    assert "kill" not in driver.sessions[0].orders
    driver.gang.tick()
    driver.say(0, "probed", listening=True)
    driver.end_killed()
    assert driver.result.state is State.FAILED
    assert "worker 0" in str(driver.result.error)
    assert "strategy" in str(driver.result.error)
    assert driver.result.log == "worker_0_output.log"


@pytest.mark.parametrize(("strategy", "listening"), [("multi_worker_mirrored", True), ("torch", False)])
def test_a_member_that_is_done_early_is_not_blamed_for_it(strategy: str, listening: bool) -> None:
    driver = Driver(strategy, Size(2)).form()
    driver.say(1, "done", listening=listening)
    driver.gang.tick()
    assert driver.sessions[0].orders == ["reserve", "run"]


def test_a_worker_that_may_still_finish_is_not_cut_off_with_a_late_evaluator() -> None:
    driver = Driver("multi_worker_mirrored", Size(2, evaluator=True), evaluator_grace=0.0).form()
    driver.say(0, "done")
    driver.gang.tick()  # the evaluator's grace is over
    assert "kill" in driver.sessions[2].orders
    driver.gang.tick()  # and so is its slot's time to end it
    assert [session.was_cut for session in driver.sessions] == [False, False, True]
    driver.gang.on_lost(2)
    driver.say(1, "done")
    for rank in range(2):
        driver.end(rank)
    assert driver.result.state is State.FINISHED


def test_a_slot_that_does_not_end_its_server_is_cut_off() -> None:
    driver = Driver("parameter_server", Size(1, ps=1)).form()
    driver.say(0, "done")
    driver.end(0)
    driver.gang.tick()
    assert [session.was_cut for session in driver.sessions] == [False, True, True]
    for rank in (1, 2):
        driver.gang.on_lost(rank)
    assert driver.result.state is State.FINISHED


def test_a_port_that_an_earlier_attempt_was_told_does_not_count() -> None:
    driver = Driver("torch", Size(2), attempt=1)
    assert [session.sent[0]["attempt"] for session in driver.sessions] == [1, 1]
    for rank in range(2):
        driver.say(rank, "reserved", port=7, attempt=0)
    assert [session.orders for session in driver.sessions] == [["reserve"]] * 2
