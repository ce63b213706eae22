"""Differential evolution against scipy's, on functions of the BBOB suite, and what asynchrony gains in time.

`python benchmarks/de_quality.py [--quick]` prints markdown tables. Both get the same population size and number of
evaluations; ours has four trials in flight, which end in an order of their own, scipy's evaluates one after the other.
"""

from __future__ import annotations

import argparse
import heapq
import statistics
import time
from collections.abc import Callable, Iterator

import ioh
import numpy as np
from _common import table
from scipy.optimize import differential_evolution

from hopslite.core.types import Direction, Result, State
from hopslite.search.differential_evolution import DifferentialEvolution
from hopslite.space import Space, uniform

FUNCTIONS = (1, 3, 6, 8, 10, 12, 15, 17, 20, 21)  # two of each of the suite's five groups
BUDGETS = {5: (20, 49), 10: (40, 49)}  # dimension: population, generations; so 200 evaluations a dimension
IN_FLIGHT = 4
LOW, HIGH = -5.0, 5.0


def simulate(
    search: DifferentialEvolution, evaluate: Callable[[list[float]], float], slots: int, lengths: Iterator[float]
) -> tuple[float, float]:
    """The best value found and the simulated time, every free slot asking for a trial at once."""
    running: list[tuple[float, int, list[float]]] = []
    clock, best, asked = 0.0, float("inf"), 0
    while True:
        while len(running) < slots and (suggestion := search.ask(str(asked))) is not None:
            heapq.heappush(running, (clock + next(lengths), asked, list(suggestion.params.values())))
            asked += 1
        if not running:
            return best, clock
        clock, number, point = heapq.heappop(running)
        value = evaluate(point)
        best = min(best, value)
        search.tell(Result(str(number), State.FINISHED, value))


def lognormal(seed: int) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:
        yield float(rng.lognormal(sigma=1.0))


def ours(problem: ioh.ProblemType, dimension: int, seed: int) -> float:
    population, generations = BUDGETS[dimension]
    space = Space({f"x{i}": uniform(LOW, HIGH) for i in range(dimension)})
    search = DifferentialEvolution(
        space, direction=Direction.MIN, seed=seed, generations=generations, population=population
    )
    return simulate(search, problem, IN_FLIGHT, lognormal(1000 + seed))[0] - problem.optimum.y


def scipys(problem: ioh.ProblemType, dimension: int, seed: int) -> float:
    population, generations = BUDGETS[dimension]
    found = differential_evolution(
        lambda x: problem(x.tolist()),
        [(LOW, HIGH)] * dimension,
        popsize=population // dimension,
        maxiter=generations,
        init="latinhypercube",
        polish=False,
        tol=0.0,  # no end before the evaluations are used
        rng=seed,
    )
    assert found.nfev == population * (generations + 1)
    return found.fun - problem.optimum.y


def quality(seeds: int) -> None:
    for dimension, (population, generations) in BUDGETS.items():
        evaluations = population * (generations + 1)
        wins, rows = 0, []
        for function in FUNCTIONS:
            problem = ioh.get_problem(function, instance=1, dimension=dimension, problem_class=ioh.ProblemClass.BBOB)
            a = statistics.median(ours(problem, dimension, seed) for seed in range(seeds))
            b = statistics.median(scipys(problem, dimension, seed) for seed in range(seeds))
            wins += a <= b
            rows.append([f"f{function} {problem.meta_data.name}", a, b, "yes" if a <= b else "no"])
        title = f"{dimension} dimensions, population {population}, {evaluations} evaluations, median of {seeds} seeds"
        table(title, ["BBOB function", f"hopslite, {IN_FLIGHT} in flight", "scipy", "no worse"], rows)
        print(f"\nNo worse on {wins} of {len(FUNCTIONS)}.")


def asynchrony(seeds: int) -> None:
    rows = []
    space = Space({f"x{i}": uniform(LOW, HIGH) for i in range(5)})
    for population, generations in ((6, 4), (10, 9), (20, 24)):
        mean = {}
        for synchronous in (True, False):
            times = []
            for seed in range(seeds):
                search = DifferentialEvolution(
                    space, seed=seed, generations=generations, population=population, synchronous=synchronous
                )
                times.append(simulate(search, lambda x: sum(v * v for v in x), IN_FLIGHT, lognormal(seed))[1])
            mean[synchronous] = statistics.fmean(times)
        gain = mean[True] / mean[False]
        sizes = f"{population} × {generations + 1}"
        rows.append([sizes, f"{mean[True]:.1f}", f"{mean[False]:.1f}", f"{gain:.2f} ×"])
    title = f"Simulated time of log-normal trials (σ = 1, mean of the seeds), {IN_FLIGHT} slots"
    table(title, ["population × (generations + 1)", "barrier", "asynchronous", "gain"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 seeds instead of 15")
    seeds = 3 if parser.parse_args().quick else 15
    start = time.perf_counter()
    quality(seeds)
    asynchrony(seeds)
    print(f"\n{time.perf_counter() - start:.0f} s on one core.")


if __name__ == "__main__":
    main()
