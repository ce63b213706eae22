"""A slot whose trials have processes of their own: what it makes of those that crash, linger or are ended."""

from __future__ import annotations

import json
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopslite.core.types import Member, Result, State
from hopslite.executor import process_runner, trial_process
from hopslite.programs.command import Command
from hopslite.submission.code_archive import pack
from tests.unit.executor.conftest import Driver, Serve


@pytest.fixture
def on_result(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Orders of the driver about a trial whose result has arrived and whose process still lives."""
    orders: list[dict[str, Any]] = []
    after_result = process_runner.ProcessRunner._after_result

    def then_order(runner: Any, *arguments: Any) -> None:
        after_result(runner, *arguments)
        for order in orders:
            runner._driver.order(**order)

    monkeypatch.setattr(process_runner.ProcessRunner, "_after_result", then_order)
    return orders


class TestIdle:
    """The slot's process leaves its cores to the trial."""

    @pytest.mark.parametrize("reports", [0, 1, 3])
    def test_a_slot_sleeps_while_a_trial_computes(
        self, serve: Serve, reports: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[float] = []
        wait_readable = process_runner.wait_readable

        def counted(sources: Any, timeout: float) -> Any:
            waits.append(timeout)
            return wait_readable(sources, timeout)

        monkeypatch.setattr(process_runner, "wait_readable", counted)

        def train() -> float:
            import time

            import hopslite

            for step in range(reports):
                hopslite.report(0.5, step)
            time.sleep(2.0)
            return 0.5

        [result] = serve(train)
        assert result.state is State.FINISHED
        assert len(waits) < 100, "it looks again and again"


class TestProgramsOfHopsliteRun:
    """The slot keeps the files of a program whose process was ended."""

    @pytest.mark.parametrize(
        ("then", "options", "error"),
        [
            ("time.sleep(300)", {"trial_timeout": 2.0}, "ran longer than trial_timeout=2 s and was ended"),
            ("os.killpg(0, 9)", {}, "the process was killed by SIGKILL"),
            ("sys.exit(3)", {}, "train.py ended with exit status 3"),
            ("pass", {"isolation": "none"}, None),
        ],
    )
    def test_what_it_had_written_is_kept(
        self, serve: Serve, tmp_path: Path, then: str, options: dict[str, Any], error: str | None
    ) -> None:
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "train.py").write_text(
            f"import os, sys, time\nos.mkdir('out')\nopen('out/checkpoint.txt', 'w').write('7')\n{then}\n"
        )
        [result] = serve(Command(("train.py",), (), pack(str(tmp_path / "code"))), **options)
        directory = tmp_path / "Experiments" / "run_1" / "trials" / "0000"
        assert (directory / "out" / "checkpoint.txt").read_text() == "7"
        assert not (directory / "train.py").exists()
        assert result.error == error or (error and str(result.error).startswith(error))
        assert result.warnings == ()


class TestImportsThatCrash:
    @pytest.mark.parametrize("ahead", [True, False])
    def test_the_trial_imports_by_itself_and_its_crash_is_told(
        self, serve: Serve, framework: Callable[..., Callable[[], list[str]]], ahead: bool
    ) -> None:
        """TensorFlow does so on a processor without AVX. Each slot would otherwise lose its parent again and again."""
        imports = framework("catboost", "os.kill(os.getpid(), signal.SIGILL)")

        def train() -> float:
            __import__("catboost")
            return 1.0

        results = serve(train, trials=3, preimport=("catboost",) if ahead else ())

        first = results[0] if ahead else results[1]  # the first may die with its parent, which imports it meanwhile
        assert (first.cause, first.error) == ("signal", "the process was killed by SIGILL; see output.log")
        assert results[2].cause == "signal"
        assert len(imports()) <= 4
        outcomes = [warning for result in results for warning in result.warnings]
        if ahead or outcomes:
            [line] = outcomes
            assert "was killed by SIGILL while it imported catboost ahead of trials" in line
        elif results[0].cause == "lost":
            assert "was killed by SIGILL while it imported catboost" in str(results[0].error)

    def test_a_parent_that_dies_otherwise_is_followed_by_one_that_has_imported_the_same(
        self, serve: Serve, framework: Callable[..., Callable[[], list[str]]], tmp_path: Path
    ) -> None:
        imports = framework("catboost")
        folder = str(tmp_path)

        def train() -> float:
            import pathlib
            import signal
            import sys

            import catboost

            turn = len(list(pathlib.Path(folder).glob("turn*")))
            pathlib.Path(folder, f"turn{turn}").touch()
            if turn == 1:
                os.kill(os.getppid(), signal.SIGKILL)
                signal.pause()
            return float(sys.getrefcount(catboost) > 0)

        results = serve(train, trials=4, preimport=())

        assert [result.cause for result in results] == [None, "lost", None, None]
        assert "was killed by SIGKILL" in str(results[1].error)
        assert len(imports()) <= 3  # the first trial, the first parent meanwhile, the second parent
        assert [warning for result in results for warning in result.warnings] == []
        assert results[3].state is State.FINISHED


def lingering(seconds: float) -> Callable[[], float]:
    """A training function that leaves a thread at work."""

    def train() -> float:
        import threading

        import hopslite

        hopslite.report(0.1)
        threading.Thread(target=threading.Event().wait, args=[seconds]).start()
        return 0.9

    return train


class TestResultsOfProcessesThatLinger:
    def test_one_that_is_there_is_not_stopped_any_more(self, serve: Serve, on_result: list[dict[str, Any]]) -> None:
        on_result.append({"kind": "stop", "why": "it is hopeless"})
        [result] = serve(lingering(1.0), stop_grace=0.1)
        assert (result.state, result.metric, result.warnings) == (State.FINISHED, 0.9, ())

    def test_what_it_still_does_is_not_cut_by_a_stop(
        self, serve: Serve, on_result: list[dict[str, Any]], tmp_path: Path
    ) -> None:
        def train() -> float:
            def upload() -> None:
                time.sleep(1.0)
                Path(written).touch()

            threading.Thread(target=upload).start()
            return 0.9

        written = str(tmp_path / "written")
        on_result.append({"kind": "stop", "why": "it is hopeless"})
        serve(train, stop_grace=0.1)
        assert os.path.exists(written)

    def test_the_end_of_the_run_does_not_take_it_away(self, serve: Serve, on_result: list[dict[str, Any]]) -> None:
        on_result.append({"kind": "kill", "why": "the run is over"})
        [result] = serve(lingering(60.0))
        assert (result.state, result.metric, result.error) == (State.FINISHED, 0.9, None)

    def test_a_process_that_had_to_be_killed_is_told(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process_runner, "EXIT_GRACE_SECONDS", 0.2)
        [result] = serve(lingering(60.0))
        assert (result.state, result.metric) == (State.FINISHED, 0.9)
        [line] = result.warnings
        assert "still running 0.2 s after the training function had ended" in line

    def test_a_member_that_waits_for_the_others_has_not_ended(
        self, serve: Serve, on_result: list[dict[str, Any]]
    ) -> None:
        on_result.append({"kind": "kill", "why": "another member failed"})
        member = Member("worker", 0, environment={}).to_json()
        [result] = serve(lambda: 0.9, member=member)
        assert (result.state, result.cause) == (State.KILLED, "killed")


def burst() -> float:
    """Report more than the socket takes, and hang."""
    import hopslite

    for step in range(10_000):
        hopslite.report(0.5, step)
    threading.Event().wait()
    return 0.0


def half() -> float:
    """Send the half of a frame, as a full socket takes it, and hang."""
    import hopslite

    hopslite.report(0.5)
    [own] = wires()
    os.write(own, struct.pack("!i", 100) + b'{"report"')
    threading.Event().wait()
    return 0.0


@pytest.mark.parametrize("train", [burst, half])
class TestTrialsThatHangAfterABurstOfReports:
    """The socket is full, the last frame that came may be half a one, and the trial says nothing any more."""

    @pytest.mark.parametrize("limit", ["trial_timeout", "heartbeat_timeout"])
    def test_a_limit_ends_it(self, serve: Serve, limit: str, train: Callable[[], float]) -> None:
        [result] = serve(train, **{limit: 2.0})
        assert (result.state, result.cause) == (State.FAILED, "timeout")
        assert limit in str(result.error)

    @pytest.mark.parametrize("order", ["stop", "kill"])
    def test_so_does_an_order(self, serve: Serve, order: str, train: Callable[[], float]) -> None:
        [result] = serve(train, on_report={"kind": order, "why": "enough"}, stop_grace=0.5)
        assert result.state is (State.STOPPED if order == "stop" else State.KILLED)


def test_all_reports_of_a_burst_arrive_in_order(serve: Serve) -> None:
    def train() -> float:
        import hopslite

        for step in range(20_000):
            hopslite.report(float(step), step)
        return 1.0

    reports: list[float] = []
    [result] = serve(train, reports=reports)
    assert result.state is State.FINISHED
    assert reports == list(range(20_000))


def wires() -> list[int]:
    """This process's connected Unix sockets: in a trial, the one to its slot."""
    import socket

    descriptors = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                connection = socket.socket(fileno=int(name))
                try:
                    connection.getpeername()
                    descriptors.append(int(name))
                except OSError:
                    pass
                connection.detach()
        except OSError:
            continue
    return descriptors


def frame(value: Any) -> bytes:
    text = json.dumps(value).encode()
    return struct.pack("!i", len(text)) + text


GARBAGE = {
    "text": b"loss: 0.1\n",
    "a huge length": struct.pack("!i", 2**31 - 1) + b"x" * 100,
    "a negative length": struct.pack("!i", -1) + b"x" * 100,
    "no JSON": struct.pack("!i", 3) + b"\xff{]",
    "deep JSON": struct.pack("!i", 200_000) + b"[" * 200_000,
    "no object": frame([1]),
    "no message": frame({"hello": 1}),
    "a report of text": frame({"report": {"step": 0, "value": "0.5"}}),
    "half a report": frame({"report": {"step": 0}}),
    "a report of nothing": frame({"report": {"step": 0, "value": None}}),
    "a report of named text": frame({"report": {"step": 0, "value": None, "metrics": {"loss": "x"}}}),
    "a process that is none": frame({"pid": "me"}),
    "every process": frame({"pid": -1}),
    "a module that is none": frame({"loading": 3, "environment": {}}),
    "an environment that is none": frame({"loading": "torch", "environment": [1]}),
    "a result that is none": frame({"result": 0.5, "modules": [], "environment": {}}),
    "another trial's result": frame(
        {"result": Result("0007", State.FINISHED, metric=1.0).to_json(), "modules": [], "environment": {}}
    ),
    "a result without an end": frame(
        {"result": Result("0000", State.RUNNING).to_json(), "modules": [], "environment": {}}
    ),
    "a metric of text": frame(
        {"result": {**Result("0000", State.FINISHED).to_json(), "metric": "x"}, "modules": [], "environment": {}}
    ),
    "half a frame": struct.pack("!i", 60_000_000) + b"{",
}


def number() -> int:
    """This trial's, from 0 on."""
    from hopslite.executor import context

    trial = context.current()
    assert trial is not None
    return int(trial.trial_id)


class TestGarbageOnATrialsSocket:
    @pytest.mark.slow("soak")
    def test_it_costs_that_trial_and_is_named(self, serve: Serve) -> None:
        def train() -> float:
            if number() == len(all_sent):
                return 0.5
            [own] = wires()
            sent = all_sent[number()]
            os.write(own, sent)
            time.sleep(0.0 if sent.endswith(b"{") else 60.0)  # half a frame is one only when no more comes
            return 0.1

        all_sent = [sent.replace(b"0000", f"{n:04d}".encode()) for n, sent in enumerate(GARBAGE.values())]
        *bad, good = serve(train, trials=len(GARBAGE) + 1)
        assert (good.state, good.metric) == (State.FINISHED, 0.5)
        for name, result in zip(GARBAGE, bad, strict=True):
            assert (name, result.state, result.cause) == (name, State.FAILED, "garbage")
            assert "wrote into the connection to its slot" in str(result.error)

    def test_it_does_not_take_away_a_result(self, serve: Serve) -> None:
        def train() -> float:
            import atexit

            atexit.register(lambda: os.write(wires()[0], b"goodbye"))
            return 0.5

        for result in serve(train, trials=2):
            assert (result.state, result.metric) == (State.FINISHED, 0.5)


def close_all() -> None:
    os.closerange(0, 1 << 16)


def close_others() -> None:
    os.closerange(3, 1 << 16)


def replace_all() -> None:
    """A file of the program's under every number."""
    for name in os.listdir("/proc/self/fd"):
        own = os.open("/dev/null", os.O_RDWR)
        os.dup2(own, int(name))


def use_up() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        while True:
            os.dup(0)
    except OSError:
        pass


def write_nothing() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def without_streams() -> None:
    import sys

    sys.stdin.close()
    sys.stdout = None  # type: ignore[assignment]
    sys.stderr.close()


def with_others() -> None:
    import io
    import sys

    sys.stdout = sys.stderr = io.StringIO()


def forget_sockets() -> None:
    """Close them, and have the program's own under their numbers."""
    import socket

    close_others()
    for _ in range(8):
        socket.socketpair()[0].detach()


DEEDS = [close_all, close_others, replace_all, use_up, write_nothing, without_streams, with_others, forget_sockets]


class TestWhatATrialDoesToItsOwnProcess:
    def test_its_result_is_told(self, serve: Serve) -> None:
        def train() -> float:
            DEEDS[number()]()
            return 0.5

        results = serve(train, trials=len(DEEDS))
        outcomes = {deed.__name__: (result.state, result.metric) for deed, result in zip(DEEDS, results, strict=True)}
        assert outcomes == dict.fromkeys(outcomes, (State.FINISHED, 0.5))

    def test_its_failure_is_told(self, serve: Serve) -> None:
        def train() -> float:
            DEEDS[number()]()
            raise ValueError("the true cause")

        results = serve(train, trials=len(DEEDS))
        outcomes = {deed.__name__: (result.state, result.error) for deed, result in zip(DEEDS, results, strict=True)}
        assert outcomes == dict.fromkeys(outcomes, (State.FAILED, "ValueError: the true cause"))
        assert all("the true cause" in str(result.traceback) for result in results)

    def test_its_reports_are_heard_and_it_is_stopped(self, serve: Serve) -> None:
        def train() -> float:
            import hopslite

            hopslite.report(0.0)
            DEEDS[number()]()
            for step in range(1, 1000):
                hopslite.report(float(step), step)
                time.sleep(0.02)
            return 0.5

        reports: list[float] = []
        order = {"kind": "stop", "why": "enough"}
        results = serve(train, trials=len(DEEDS), reports=reports, on_report=order, stop_grace=60.0)
        outcomes = {deed.__name__: (result.state, result.warnings) for deed, result in zip(DEEDS, results, strict=True)}
        assert outcomes == dict.fromkeys(outcomes, (State.STOPPED, ()))
        assert [0.0, 1.0] * len(DEEDS) == [value for value in reports if value < 2]


def test_a_program_s_own_files_get_nothing_that_is_hopslites(serve: Serve, tmp_path: Path) -> None:
    """After a `closerange` the program's next file or connection has the number of the trial's socket."""

    def train() -> float:
        import socket

        import hopslite

        close_others()
        pairs = [socket.socketpair() for _ in range(8)]
        for here, there in pairs:
            here.setblocking(False)
            there.setblocking(False)
        hopslite.report(0.5)
        received = 0
        for connection in (end for pair in pairs for end in pair):
            try:
                received += len(connection.recv(100))
            except BlockingIOError:
                continue
        return float(received)

    reports: list[float] = []
    [result] = serve(train, reports=reports)
    assert (result.metric, reports) == (0.0, [0.5])


class TestProcessesOfATrial:
    def test_a_fork_that_returns_from_the_function_tells_nothing(self, serve: Serve) -> None:
        def train() -> float:
            import hopslite

            hopslite.report(0.1, 0)
            if os.fork() == 0:
                time.sleep(0.3)
                return 0.1
            threading.Thread(target=time.sleep, args=[1.0]).start()
            return 0.9

        for result in serve(train, trials=2):
            assert (result.state, result.metric) == (State.FINISHED, 0.9)

    def test_one_that_holds_the_socket_holds_up_nothing(self, serve: Serve) -> None:
        def train() -> float:
            if os.fork() == 0:
                os.setsid()
                time.sleep(60)
            os._exit(3)

        began = time.monotonic()
        for result in serve(train, trials=2):
            assert (result.state, result.cause) == (State.FAILED, "exit")
        assert time.monotonic() - began < 50

    def test_reports_of_a_fork_arrive_whole_and_take_no_order_away(self, serve: Serve) -> None:
        def train() -> float:
            import hopslite

            for step in range(9_000):  # more than is taken at once
                hopslite.report(0.0, step)
            trial_process = os.fork()
            if trial_process == 0:
                for step in range(9_000, 9_200):
                    try:
                        hopslite.report(0.0, step)
                    except hopslite.TrialStopped:
                        break
                    time.sleep(0.001)
                os._exit(0)
            os.waitpid(trial_process, 0)
            for step in range(9_200, 12_000):
                time.sleep(0.02)
                hopslite.report(0.0, step)
            return 0.5

        [result] = serve(train, on_report={"kind": "stop", "why": "enough"}, stop_grace=60.0)
        assert (result.state, result.warnings) == (State.STOPPED, ())

    def test_one_that_has_left_its_group_is_ended(self, serve: Serve) -> None:
        def train() -> float:
            import signal

            signal.signal(signal.SIGABRT, signal.SIG_IGN)
            os.setpgid(0, os.getpgid(os.getppid()))
            threading.Event().wait()
            return 0.0

        [result] = serve(train, trial_timeout=0.5)
        assert result.cause == "timeout"


class TestParentsThatHang:
    """While a framework is imported ahead of it, a trial has not begun, and has no limit of its own."""

    @pytest.mark.parametrize("params", [0, 1 << 20], ids=["small", "more than a socket takes"])
    def test_an_order_ends_the_trial_all_the_same(
        self,
        serve: Serve,
        framework: Callable[..., Callable[[], list[str]]],
        monkeypatch: pytest.MonkeyPatch,
        params: int,
    ) -> None:
        monkeypatch.setattr(trial_process, "FORK_SECONDS", 0.2)
        framework("catboost", "import time; time.sleep(600)")
        monkeypatch.setattr(Driver, "PARAMS", {"x": "x" * params})
        [result] = serve(lambda x: 0.5, preimport=("catboost",), at_once={"kind": "kill", "why": "enough"})
        assert (result.state, result.error) == (State.KILLED, "ended: enough; see output.log")

    def test_it_begins_without_what_cannot_be_imported(
        self, serve: Serve, framework: Callable[..., Callable[[], list[str]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process_runner, "IMPORT_SECONDS", 1.0)
        framework("catboost", "import time; time.sleep(600)")
        first, second = serve(lambda: 0.5, trials=2, preimport=("catboost",))
        assert (first.state, second.state) == (State.FINISHED, State.FINISHED)
        assert "while it imported catboost" in first.warnings[0]


def test_a_trial_that_cannot_begin_says_why(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "Experiments/run_1/trials/0000/output.log").mkdir(parents=True)
    [result] = serve(lambda: 0.5)
    assert result.cause == "exception"
    assert "IsADirectoryError" in str(result.error)


def test_memory_that_is_used_up_is_told(serve: Serve) -> None:
    def train() -> float:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), resource.getrlimit(resource.RLIMIT_AS)[1]))
        held: list[Any] = []
        for size in (1 << 17, 1 << 7, 1):  # to the last bytes, which the traceback keeps
            try:
                while True:
                    held.append([held] * size)
            except MemoryError:
                continue
        raise MemoryError

    for result in serve(train, trials=2):
        assert (result.state, result.cause) == (State.FAILED, "out-of-memory")
        assert str(result.error).startswith("MemoryError")
