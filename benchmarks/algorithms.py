"""The algorithms on functions of the BBOB suite, and Optuna's samplers against Optuna run alone.

`python benchmarks/algorithms.py [--quick] [--only tpe,gp,nsga2]` prints markdown tables; that of nsga2, which optimises
several metrics, is in `pareto.py`. hopslite has four trials in flight,
which end in an order of their own; Optuna alone evaluates one after the other, so that it knows of all results before
it suggests, and once more with four in flight, which shows what knowing less costs. All get the same number of
evaluations.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import itertools
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch: a process for each core, and a thread for each process

import ioh
from _common import table
from de_quality import FUNCTIONS, HIGH, IN_FLIGHT, LOW, lognormal, simulate
from pareto import MULTI, Pareto, report_pareto, tasks, volume_of
from scipy.stats import mannwhitneyu, rankdata

from hopslite.core.types import Direction, Result
from hopslite.search import Suggestion, make
from hopslite.space import Space, uniform

DIMENSION = 5
EVALUATIONS = {"tpe": 150, "cmaes": 150, "gp": 40}  # a Gaussian process takes 20 times as long to suggest as TPE
FEW = (1, 6, 10, 15, 20)  # the functions for `gp`: one of each of the suite's five groups
OTHERS = ("differential_evolution", "random")  # at the same numbers of evaluations
ALONE = "Optuna alone: "
PARALLEL = f"Optuna, {IN_FLIGHT} in flight: "
LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class Task:
    """One search; `system` is the name of an algorithm, after `ALONE` or `PARALLEL` for Optuna without hopslite."""

    system: str
    function: int
    evaluations: int
    seed: int


def problem(function: int) -> ioh.ProblemType:
    return ioh.get_problem(function, instance=1, dimension=DIMENSION, problem_class=ioh.ProblemClass.BBOB)


def run(task: Task | Pareto) -> float:
    """How far above the optimum the best evaluation was; with several objectives the hypervolume."""
    if isinstance(task, Pareto):
        return volume_of(task)
    found = without(task) if task.system.startswith("Optuna") else ours(task)
    return found - problem(task.function).optimum.y


def ours(task: Task) -> float:
    space = Space({f"x{i}": uniform(LOW, HIGH) for i in range(DIMENSION)})
    search = make(task.system, space, direction=Direction.MIN, seed=task.seed, num_trials=task.evaluations)
    evaluate = Counted(problem(task.function))
    best, _ = simulate(search, evaluate, IN_FLIGHT, lognormal(1000 + task.seed))
    assert evaluate.count == task.evaluations
    return best


class Study:
    """As much of a search as `simulate` needs, on an Optuna study."""

    def __init__(self, study: Any, evaluations: int) -> None:
        self.study, self.left, self.running = study, evaluations, {}

    def ask(self, trial_id: str) -> Suggestion | None:
        if not self.left:
            return None
        self.left -= 1
        trial = self.running[trial_id] = self.study.ask()
        return Suggestion(suggested(trial))

    def tell(self, result: Result) -> None:
        self.study.tell(self.running.pop(result.trial_id), result.metric)


def suggested(trial: Any) -> dict[str, float]:
    return {f"x{i}": trial.suggest_float(f"x{i}", LOW, HIGH) for i in range(DIMENSION)}


def without(task: Task) -> float:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler: dict[str, Callable[[], Any]] = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=task.seed, multivariate=True, constant_liar=True),
        "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=task.seed),
        "gp": lambda: optuna.samplers.GPSampler(seed=task.seed),
    }
    evaluate = Counted(problem(task.function))
    study = optuna.create_study(sampler=sampler[task.system.split(": ")[1]]())
    if task.system.startswith(ALONE):
        study.optimize(lambda trial: evaluate(list(suggested(trial).values())), n_trials=task.evaluations)
    else:
        simulate(Study(study, task.evaluations), evaluate, IN_FLIGHT, lognormal(1000 + task.seed))
    assert evaluate.count == task.evaluations
    best: float = study.best_value
    return best


class Counted:
    def __init__(self, function: Callable[[list[float]], float]) -> None:
        self.function, self.count = function, 0

    def __call__(self, point: list[float]) -> float:
        self.count += 1
        return self.function(point)


def stratified(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[float, float]:
    """How often the first of two beats the second, and the p-value that they differ.

    The rank sum test with one stratum for each function (van Elteren 1960): differences between functions do not count.
    """
    wins = expected = variance = cells = 0.0
    for a, b in pairs:
        ranks = rankdata([*a, *b])
        m, n = len(a), len(b)
        u = sum(ranks[:m]) - m * (m + 1) / 2  # the pairs in which `a` is larger: worse
        ties = sum(count**3 - count for count in (list(ranks).count(rank) for rank in set(ranks)))
        wins += m * n - u
        expected += m * n / 2
        variance += m * n / 12 * ((m + n + 1) - ties / ((m + n) * (m + n - 1)))
        cells += m * n
    z = (wins - expected) / math.sqrt(variance) if variance else 0.0
    return wins / cells, math.erfc(abs(z) / math.sqrt(2))


def measure(tasks: list[Any]) -> dict[Any, float]:
    """All tasks, one at a time on each core; the slowest first."""
    tasks = sorted(tasks, key=lambda task: ("gp" not in task.system, "tpe" not in task.system))
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        return dict(zip(tasks, pool.map(run, tasks), strict=True))


def systems_of(names: Sequence[str]) -> list[str]:
    return [*(prefix + name for name in names for prefix in ("", PARALLEL, ALONE)), *OTHERS]


def plan(names: Sequence[str], seeds: int, quick: bool) -> list[Task]:
    tasks = set()
    for name in names:
        functions = (FEW if name == "gp" else FUNCTIONS)[: 2 if quick else None]
        evaluations = EVALUATIONS[name] if not quick else min(EVALUATIONS[name], 30)
        for system, function, seed in itertools.product(systems_of([name]), functions, range(seeds)):
            tasks.add(Task(system, function, evaluations, seed))
    return list(tasks)


def report(names: Sequence[str], found: dict[Task, float], seeds: int) -> None:
    for evaluations in sorted({task.evaluations for task in found}, reverse=True):
        here = {task: value for task, value in found.items() if task.evaluations == evaluations}
        systems = [s for s in systems_of(names) if any(task.system == s for task in here)]
        functions = sorted({task.function for task in here})
        rows = []
        for function in functions:
            label = f"f{function} {problem(function).meta_data.name}"
            cells = [[v for t, v in here.items() if (t.system, t.function) == (s, function)] for s in systems]
            rows.append([label, *(statistics.median(values) if values else "" for values in cells)])
        title = f"Distance to the optimum: {DIMENSION} dimensions, {evaluations} evaluations, median of {seeds} seeds"
        heads = [s if s.startswith("Optuna") else f"{s}, {IN_FLIGHT} in flight" for s in systems]
        table(title, ["BBOB function", *heads], rows)
    verdicts = [verdict(system, name, found, seeds) for name in names for system in (name, PARALLEL + name)]
    head = [
        "system", "functions", "better than alone, share of pairs of seeds", "p over all functions",
        "smallest p of a function", f"functions that differ (p < {LEVEL} / functions)", "within noise",
    ]  # fmt: skip
    title = f"{IN_FLIGHT} in flight against Optuna alone, one after the other (rank sum tests, {seeds} seeds)"
    table(title, head, verdicts)


def verdict(system: str, name: str, found: dict[Task, float], seeds: int) -> list[Any]:
    """How a system with several trials in flight compares with Optuna alone."""
    pairs = []
    for function, evaluations in sorted({(t.function, t.evaluations) for t in found if t.system == system}):
        a, b = (
            [found[Task(each, function, evaluations, seed)] for seed in range(seeds)] for each in (system, ALONE + name)
        )
        pairs.append((a, b))
    better, p = stratified(pairs)
    single = [float(mannwhitneyu(a, b).pvalue) for a, b in pairs]
    apart = sum(value < LEVEL / len(single) for value in single)
    noise = "yes" if p >= LEVEL else "better" if better > 1 / 2 else "no"
    label = f"{system}, {IN_FLIGHT} in flight" if system == name else system
    return [label, len(pairs), f"{better:.0%}", p, min(single), apart, noise]


def main() -> None:
    known = [*EVALUATIONS, *MULTI]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 seeds, 2 functions, at most 30 evaluations")
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--only", default=",".join(known), help="some of " + ", ".join(known))
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    names, several = [name for name in chosen if name in EVALUATIONS], [name for name in chosen if name in MULTI]
    seeds = 3 if arguments.quick else arguments.seeds
    start = time.perf_counter()
    if names:
        report(names, measure(plan(names, seeds, arguments.quick)), seeds)
    if several:
        report_pareto(several, measure(tasks(several, seeds, arguments.quick)), seeds)
    print(f"\n{time.perf_counter() - start:.0f} s on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
