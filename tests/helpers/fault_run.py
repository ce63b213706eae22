"""A search in which something breaks every few hundred milliseconds, and the count of what became of its trials.

For the tests and for benchmarks/faults.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from hopslite import experiment
from hopslite.channel import server
from hopslite.pool import _spark_slots
from hopslite.storage.journal import JournalReader
from hopslite.storage.run_directory import RunDir
from tests.helpers.proxy import Proxy
from tests.helpers.servers import read_mlflow

MARK = "HOPSLITE_TEST_SESSION"  # in the environment of everything that a test session starts
STEPS = 3
STEP_S = 0.05
BETWEEN_S = (0.15, 0.45)  # two faults
MOMENT_S = (0.1, 2.0)  # how long a network is down or a slot stands still: less than makes it count as lost
FIND_S = 5.0  # for something to be there that can be spared; then it is another fault's turn
TOLD_S = 180.0  # for the companion to deliver everything
RETRIES = 1000  # a trial may be hit any number of times
DECK = {"fork_server": 4, "warm_server": 2, "slot": 3, "executor": 1, "pause": 4, "cut": 5, "outage": 3}
RUDE = {"burst": 4, "garbage": 4, "tracker": 1}  # what trials do themselves, and kills of the companion
HEARTBEAT_S = 3.0  # for a trial that hangs after a burst of reports
CAUSES = {"burst": "timeout", "garbage": "garbage"}  # of the failure that such a trial has to have
EXECUTORS = 2  # that are killed in all: to start one takes longer than everything else together


class Network:
    """A proxy between the executors and the pool of the run that is made meanwhile."""

    proxy: Proxy | None = None

    @contextlib.contextmanager
    def between(self) -> Iterator[Network]:
        network = self

        class Through(server.Server):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                network.proxy = Proxy(self.address)
                self.address = network.proxy.address

        before, _spark_slots.Server = _spark_slots.Server, Through  # type: ignore[misc]
        try:
            yield self
        finally:
            _spark_slots.Server = before  # type: ignore[misc]
            if self.proxy:
                self.proxy.close()


def warm_servers() -> list[psutil.Process]:
    """Warm servers with a fork server; they lead sessions, and what is below them has the same command line."""
    at_work = set()
    for process in fork_servers():
        with contextlib.suppress(psutil.Error):
            at_work.add(process.ppid())
    return [process for process in _servers() if process.pid in at_work]


def fork_servers() -> list[psutil.Process]:
    """Fork servers, of the processes that lead no session those below one that does; the others are trials."""
    servers = {process.pid: process for process in _servers()}
    leaders = {pid for pid in servers if _leads(pid)}
    with contextlib.suppress(psutil.Error):
        return [process for pid, process in servers.items() if pid not in leaders and process.ppid() in leaders]
    return []


def _leads(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) == pid
    return False


def slots() -> list[psutil.Process]:
    """The Python workers of Spark, below the process that forks them."""
    workers = _with("pyspark.daemon")
    daemons = {process.pid for process in workers}
    with contextlib.suppress(psutil.Error):
        return [process for process in workers if process.ppid() in daemons]
    return []


def _servers() -> list[psutil.Process]:
    return _with("hopslite.executor.warm_server_process")


def _with(command: str) -> list[psutil.Process]:
    """Processes of this test session with a text in their command."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _has(process, command) and process.environ().get(MARK) == os.environ.get(MARK):
                processes.append(process)
    return processes


def _has(process: psutil.Process, command: str) -> bool:
    return any(command in part for part in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE


def executors_at_work() -> list[psutil.Process]:
    """JVMs that have slots and are not the driver's."""
    found: dict[int, psutil.Process] = {}
    for slot in slots():
        with contextlib.suppress(psutil.Error):
            for above in slot.parents():
                if any("CoarseGrainedExecutorBackend" in part for part in above.cmdline()):
                    found[above.pid] = above
    return list(found.values())


def companions() -> list[psutil.Process]:
    """Processes of this one that deliver its runs to MLflow and TensorBoard."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            is_companion = "hopslite.companion.process" in " ".join(process.cmdline())
            if is_companion and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def spare(found: list[psutil.Process]) -> list[psutil.Process]:
    """Those that may be killed: none where it is the last one, so that the run goes on however slow the machine is."""
    return found if len(found) > 1 else []


class Faults:
    """Breaks something every few hundred milliseconds, from a thread of its own, until `stop`."""

    def __init__(self, seed: int, network: Network, marks: Path, kinds: dict[str, int]) -> None:
        self._marks = marks
        self.done: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._network = network
        self._deck = [kind for kind, count in kinds.items() for _ in range(count)]
        self._mending: list[threading.Timer] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="faults", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(FIND_S + 10)
        for timer in self._mending:
            timer.join()

    def _work(self) -> None:
        while True:
            kinds = self._random.sample(self._deck, len(self._deck))  # all of them are met, in any order
            for kind in kinds:
                if self._over.wait(self._random.uniform(*BETWEEN_S)):
                    return
                if getattr(self, f"_{kind}")():
                    self.done[kind] += 1

    def _fork_server(self) -> bool:
        return self._kill(lambda: spare(fork_servers()))

    def _warm_server(self) -> bool:
        return self._kill(lambda: spare(warm_servers()))

    def _slot(self) -> bool:
        return self._kill(lambda: spare(slots()))

    def _executor(self) -> bool:
        return self.done["executor"] < EXECUTORS and self._kill(lambda: spare(executors_at_work()))

    def _tracker(self) -> bool:
        return self._kill(companions)

    def _burst(self) -> bool:
        return self._ask("burst")

    def _garbage(self) -> bool:
        return self._ask("garbage")

    def _ask(self, kind: str) -> bool:
        """Have a trial do it, the next one that looks."""
        wanted = self._marks / kind
        wanted.touch()
        until = time.monotonic() + FIND_S
        while wanted.exists() and not self._over.is_set() and time.monotonic() < until:
            time.sleep(0.02)
        try:
            wanted.unlink()
        except FileNotFoundError:
            return True
        return False

    def _kill(self, find: Callable[[], list[psutil.Process]]) -> bool:
        for victim in self._one_of(find):
            with contextlib.suppress(psutil.Error):
                victim.kill()
                return True
        return False

    def _pause(self) -> bool:
        for victim in self._one_of(slots):
            with contextlib.suppress(psutil.Error):
                victim.suspend()
                self._mend(victim.resume)
                return True
        return False

    def _cut(self) -> bool:
        proxy = self._proxy()
        proxy.cut(hard=self._random.random() < 0.5)
        return True

    def _outage(self) -> bool:
        proxy = self._proxy()
        proxy.down()
        self._mend(proxy.up)
        return True

    def _proxy(self) -> Proxy:
        assert self._network.proxy is not None
        return self._network.proxy

    def _mend(self, action: Callable[[], None]) -> None:
        def mend() -> None:
            with contextlib.suppress(psutil.Error):
                action()

        timer = threading.Timer(self._random.uniform(*MOMENT_S), mend)
        timer.daemon = True
        timer.start()
        self._mending.append(timer)

    def _one_of(self, find: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
        """One of those that there are, in a list; waits a while for one."""
        until = time.monotonic() + FIND_S
        while not self._over.is_set() and time.monotonic() < until:
            if found := find():
                return [self._random.choice(sorted(found, key=lambda process: process.pid))]
            time.sleep(0.02)
        return []


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a run's trials.

    Attributes:
        lost: trials that do not have exactly one end in the result and in the journal: FINISHED, or, of those that did
            something to end themselves, FAILED with the cause that this has.
        rude: trials that did something to end themselves, by what it was.
        twice: trials of which something began after their end was recorded.
        disordered: trials whose last attempt's reports are not all there, each once and in order.
        attempts: that were begun, by what the trials themselves wrote down.
        repeated: attempts that came to their end, beyond the first: of a slot that was lost before it could tell.
        untold: trials that MLflow does not show with their end when the companion has delivered; then again when the
            run has been delivered once more. None: it was not looked at.
    """

    run: experiment.Run
    seconds: float
    faults: Counter[str]
    lost: list[str]
    twice: list[str]
    disordered: list[str]
    attempts: int
    repeated: int
    rude: Counter[str]
    untold: tuple[int, int] | None = None


def carry_out(
    folder: Path,
    trials: int,
    seed: int | None,
    at_least: int = 0,
    timeout: float = 600.0,
    kinds: dict[str, int] | None = None,
) -> Outcome:
    """A grid search of short trials on the active session.

    Args:
        seed: of the faults; None for none.
        at_least: the last trial waits for so many faults.
        kinds: of faults, with how often each comes; None: `DECK`.
    """
    marks = folder / "marks"
    marks.mkdir(parents=True)
    enough = marks / "enough"
    if not at_least:
        enough.touch()
    with Network().between() as network:
        kinds = kinds or DECK
        faults = Faults(seed or 0, network, marks, kinds)
        watcher = threading.Thread(target=_tell_when_enough, args=(faults, at_least, enough), daemon=True)
        began = time.monotonic()

        class Starter:
            """Nothing breaks before the run has begun."""

            def start(self, status: Any) -> None:
                if seed is not None:
                    faults.start()
                    watcher.start()

            def update(self, status: Any) -> None: ...
            def line(self, text: str) -> None: ...
            def close(self, status: Any, run: Any) -> None: ...

        try:
            run = experiment.grid_search(
                short(marks, trials - 1),
                {"n": list(range(trials))},
                name="faults",
                project=folder / "project",
                max_retries=RETRIES,
                heartbeat_timeout=HEARTBEAT_S if "burst" in kinds else None,
                timeout=timeout,
                display=Starter(),
            )
            seconds = time.monotonic() - began
        finally:
            enough.touch()
            if seed is not None:
                faults.stop()
    outcome = counted(run, marks, trials, seconds, faults.done)
    return dataclasses.replace(outcome, untold=untold(run)) if "tracker" in kinds else outcome


def untold(run: experiment.Run) -> tuple[int, int]:
    """See `Outcome.untold`."""
    run.wait_until_tracked(TOLD_S)
    first = _untold(run)
    subprocess.run([sys.executable, "-m", "hopslite.track", run.logdir, "--tracker", "mlflow"], check=False)
    return first, _untold(run)


def _untold(run: experiment.Run) -> int:
    shown = read_mlflow(f"sqlite:///{Path(run.logdir).parents[1]}/mlflow.db", "faults")
    states = {str(trial): mlflow_run.info.status for trial, mlflow_run in shown.items()}
    return sum(states.get(trial.id) != trial.state.value for trial in run.trials)


def _tell_when_enough(faults: Faults, at_least: int, enough: Path) -> None:
    while sum(faults.done.values()) < at_least and not enough.exists():
        time.sleep(0.05)
    enough.touch()


def short(marks: Path, last: int) -> Callable[[int], float]:
    """A training function of a moment, which notes when it began and when it ended."""
    folder = str(marks)

    def train(n: int) -> float:
        import os
        import time

        import hopslite

        def note(what: str) -> None:
            out = os.open(f"{folder}/{what}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(out, f"{n} {time.time()!r}\n".encode())  # one write: lines of several processes do not mix
            os.close(out)

        note("began")

        def rude() -> None:
            for kind in CAUSES:
                try:
                    os.rename(f"{folder}/{kind}", f"{folder}/{kind}-{n}-{os.getpid()}")
                except FileNotFoundError:
                    continue
                if kind == "burst":
                    for step in range(STEPS, 10_000):
                        hopslite.report(0.0, step)
                else:
                    for number in range(3, 64):
                        if os.path.exists(f"/proc/self/fd/{number}") and "socket:" in os.readlink(
                            f"/proc/self/fd/{number}"
                        ):
                            with contextlib.suppress(OSError):  # one of the reserve, which is not connected
                                os.write(number, b"epoch 1: loss 0.5\n")
                threading.Event().wait()

        for step in range(STEPS):
            hopslite.report(float(n + step), step)
            time.sleep(STEP_S)
        rude()
        step = STEPS
        while n == last and not os.path.exists(f"{folder}/enough"):
            hopslite.report(float(n), step)  # so that it does not count as hanging
            step += 1
            time.sleep(STEP_S)
        note("ended")
        return float(n)

    return train


def counted(run: experiment.Run, marks: Path, trials: int, seconds: float, faults: Counter[str]) -> Outcome:
    ids = [f"{number:04d}" for number in range(trials)]
    events = list(JournalReader(RunDir(run.logdir)).new())
    did = {kind: {f"{int(mark.name.split('-')[1]):04d}" for mark in marks.glob(f"{kind}-*")} for kind in CAUSES}
    rude = {
        event.trial: kind
        for event in events
        for kind in CAUSES
        if event.kind == "ended" and event.trial in did[kind] and event.data["cause"] == CAUSES[kind]
    }
    ends = {
        event.trial: event
        for event in events
        if event.kind == "ended" and (event.data["state"] == "FINISHED" or event.trial in rude)
    }
    how_many = Counter(event.trial for event in events if event.kind == "ended")
    results = Counter(trial.id for trial in run.trials if trial.state == "FINISHED" or trial.id in rude)
    lost = [name for name in ids if not how_many[name] == results[name] == len([name] if name in ends else []) == 1]
    reports: dict[str, list[float]] = {}
    over: set[str] = set()
    twice: set[str] = set()
    for event in events:
        name = event.trial or ""
        if event.kind == "started":
            reports[name] = []
            twice |= {name} & over
        elif event.kind == "report":
            reports.setdefault(name, []).append(event.data["step"])
            twice |= {name} & over
        elif event.kind == "ended":
            over.add(name)
    began = _noted(marks / "began")
    for number, moment in began:
        name = f"{number:04d}"
        if name in ends and moment > ends[name].time:
            twice.add(name)
    return Outcome(
        run,
        seconds,
        faults,
        lost,
        sorted(twice),
        [name for name in ids if rude.get(name) != "burst" and not _in_order(reports.get(name, []))],
        len(began),
        len(_noted(marks / "ended")) - trials + len(rude),
        Counter(rude.values()),
    )


def _in_order(steps: list[float]) -> bool:
    return steps == list(range(max(STEPS, len(steps))))


def _noted(path: Path) -> list[tuple[int, float]]:
    lines = [line.split() for line in path.read_text().splitlines()]
    return [(int(number), float(moment)) for number, moment in lines]
