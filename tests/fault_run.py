"""A search in which something breaks every few hundred milliseconds, and the count of what became of its trials.

For the tests and for benchmarks/faults.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from proxy import Proxy

from hopslite import experiment
from hopslite.pool import _channel, spark
from hopslite.store import JournalReader, RunDir

STEPS = 3
STEP_S = 0.05
BETWEEN_S = (0.15, 0.45)  # two faults
MOMENT_S = (0.1, 2.0)  # how long a network is down or a slot stands still: less than makes it count as lost
FIND_S = 5.0  # for something to be there that can be spared; then it is another fault's turn
RETRIES = 1000  # a trial may be hit any number of times
DECK = {"zygote": 4, "slot": 3, "executor": 1, "pause": 4, "cut": 5, "outage": 3}
EXECUTORS = 2  # that are killed in all: to start one takes longer than everything else together


class Network:
    """A proxy between the executors and the pool of the run that is made meanwhile."""

    proxy: Proxy | None = None

    @contextlib.contextmanager
    def between(self) -> Iterator[Network]:
        network = self

        class Through(_channel.Server):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                network.proxy = Proxy(self.address)
                self.address = network.proxy.address

        before, spark.Server = spark.Server, Through  # type: ignore[misc]
        try:
            yield self
        finally:
            spark.Server = before  # type: ignore[misc]
            if self.proxy:
                self.proxy.close()


def zygotes() -> list[psutil.Process]:
    """Of all slots below this process; a trial has the same command line, and a zygote above it."""
    return [zygote for zygote, _ in _pairs()]


def slots() -> list[psutil.Process]:
    """The Python workers of Spark in which slots are."""
    return [slot for _, slot in _pairs()]


def _pairs() -> list[tuple[psutil.Process, psutil.Process]]:
    """Each zygote with its slot. What is not below this process is none: an orphan's parent may be anybody."""
    below = {process.pid: process for process in psutil.Process().children(recursive=True)}
    found = []
    for process in below.values():
        with contextlib.suppress(psutil.Error):
            above = below.get(process.ppid())
            if above is not None and _is_zygote(process) and not _is_zygote(above):
                found.append((process, above))
    return found


def executors_at_work() -> list[psutil.Process]:
    """JVMs that have slots and are not the driver's."""
    found: dict[int, psutil.Process] = {}
    for slot in slots():
        with contextlib.suppress(psutil.Error):
            for above in slot.parents():
                if any("CoarseGrainedExecutorBackend" in part for part in above.cmdline()):
                    found[above.pid] = above
    return list(found.values())


def spare(found: list[psutil.Process]) -> list[psutil.Process]:
    """Those that may be killed: none where it is the last one, so that the run goes on however slow the machine is."""
    return found if len(found) > 1 else []


def _is_zygote(process: psutil.Process) -> bool:
    return any("hopslite.runtime.zygote" in part for part in process.cmdline())


class Faults:
    """Breaks something every few hundred milliseconds, from a thread of its own, until `stop`."""

    def __init__(self, seed: int, network: Network, kinds: dict[str, int] | None = None) -> None:
        self.done: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._network = network
        self._deck = [kind for kind, count in (kinds or DECK).items() for _ in range(count)]
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

    def _zygote(self) -> bool:
        return self._kill(lambda: spare(zygotes()))

    def _slot(self) -> bool:
        return self._kill(lambda: spare(slots()))

    def _executor(self) -> bool:
        return self.done["executor"] < EXECUTORS and self._kill(lambda: spare(executors_at_work()))

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
    """What became of a run's trials.

    Attributes:
        lost: trials that do not have exactly one end, FINISHED, in the result and in the journal.
        twice: trials of which something began after their end was recorded.
        disordered: trials whose last attempt's reports are not all there, each once and in order.
        attempts: that were begun, by what the trials themselves wrote down.
        repeated: attempts that came to their end, beyond the first: of a slot that was lost before it could tell.
    """

    run: experiment.Run
    seconds: float
    faults: Counter[str]
    lost: list[str]
    twice: list[str]
    disordered: list[str]
    attempts: int
    repeated: int


def carry_out(folder: Path, trials: int, seed: int | None, at_least: int = 0, timeout: float = 600.0) -> Outcome:
    """A grid search of short trials on the active session.

    Args:
        seed: of the faults; None for none.
        at_least: the last trial waits for so many faults.
    """
    marks = folder / "marks"
    marks.mkdir(parents=True)
    enough = marks / "enough"
    if not at_least:
        enough.touch()
    with Network().between() as network:
        faults = Faults(seed or 0, network)
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
                timeout=timeout,
                display=Starter(),
            )
            seconds = time.monotonic() - began
        finally:
            enough.touch()
            if seed is not None:
                faults.stop()
    return counted(run, marks, trials, seconds, faults.done)


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
        for step in range(STEPS):
            hopslite.report(float(n + step), step)
            time.sleep(STEP_S)
        while n == last and not os.path.exists(f"{folder}/enough"):
            time.sleep(STEP_S)
        note("ended")
        return float(n)

    return train


def counted(run: experiment.Run, marks: Path, trials: int, seconds: float, faults: Counter[str]) -> Outcome:
    ids = [f"{number:04d}" for number in range(trials)]
    events = list(JournalReader(RunDir(run.logdir)).new())
    ends = {event.trial: event for event in events if event.kind == "ended" and event.data["state"] == "FINISHED"}
    how_many = Counter(event.trial for event in events if event.kind == "ended")
    results = Counter(trial.id for trial in run.trials if trial.state == "FINISHED")
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
        [name for name in ids if reports.get(name) != list(range(STEPS))],
        len(began),
        len(_noted(marks / "ended")) - trials,
    )


def _noted(path: Path) -> list[tuple[int, float]]:
    lines = [line.split() for line in path.read_text().splitlines()]
    return [(int(number), float(moment)) for number, moment in lines]
