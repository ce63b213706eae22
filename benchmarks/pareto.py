"""Hypervolume of algorithms that optimise several metrics, on ZDT1 and DTLZ2; a part of `algorithms.py`.

ZDT1 (Zitzler, Deb and Thiele: Comparison of Multiobjective Evolutionary Algorithms, 2000) has two objectives, DTLZ2
(Deb, Thiele, Laumanns and Zitzler: Scalable Test Problems, 2002) three. The hypervolume is the volume between a
reference point and what the evaluated points dominate, as a share of that of the problem's whole front: 1 is best.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from _common import table
from de_quality import IN_FLIGHT, lognormal
from scipy.stats import mannwhitneyu

from hopslite.core.types import Direction, Result, State
from hopslite.search import make
from hopslite.space import Space, uniform

__all__ = ["MULTI", "Pareto", "hypervolume", "report_pareto", "tasks", "volume_of"]

Values = tuple[float, ...]
ALONE = "Optuna alone: "
MULTI = {"nsga2": 500}  # evaluations
OTHERS = ("random",)
POPULATION = 20


@dataclasses.dataclass(frozen=True)
class Problem:
    """A function of points in the unit cube; all its values are minimised."""

    function: Callable[[Sequence[float]], Values]
    dimension: int
    reference: Values
    front: float  # the hypervolume of its whole front


def zdt1(x: Sequence[float]) -> Values:
    g = 1 + 9 * statistics.fmean(x[1:])
    return x[0], g * (1 - math.sqrt(x[0] / g))


def dtlz2(x: Sequence[float]) -> Values:
    radius = 1 + sum((value - 0.5) ** 2 for value in x[2:])
    a, b = (math.pi / 2 * value for value in x[:2])
    return radius * math.cos(a) * math.cos(b), radius * math.cos(a) * math.sin(b), radius * math.sin(a)


PROBLEMS = {
    "ZDT1": Problem(zdt1, 5, (1.1, 2.0), 1.1 * 2.0 - 1 / 3),  # a third of the unit square is below its front
    "DTLZ2": Problem(dtlz2, 6, (1.2, 1.2, 1.2), 1.2**3 - math.pi / 6),  # an eighth of the unit ball is
}


@dataclasses.dataclass(frozen=True)
class Pareto:
    """One search; `system` is an algorithm, after `ALONE` for Optuna without hopslite."""

    system: str
    problem: str
    evaluations: int
    seed: int


def hypervolume(points: Sequence[Values], reference: Values) -> float:
    """Volume that the points dominate below the reference point, by slices along the last axis."""
    inside = sorted((p for p in points if all(v < r for v, r in zip(p, reference, strict=True))), key=lambda p: p[-1])
    if len(reference) == 1:
        return reference[0] - inside[0][0] if inside else 0.0
    volume = 0.0
    for number, point in enumerate(inside):
        above = inside[number + 1][-1] if number + 1 < len(inside) else reference[-1]
        if above > point[-1]:
            volume += (above - point[-1]) * hypervolume([p[:-1] for p in inside[: number + 1]], reference[:-1])
    return volume


def volume_of(task: Pareto) -> float:
    problem = PROBLEMS[task.problem]
    points = without(task, problem) if task.system.startswith(ALONE) else ours(task, problem)
    assert len(points) == task.evaluations
    return hypervolume(_front(points), problem.reference) / problem.front


def _front(points: Sequence[Values]) -> list[Values]:
    """The points that no other dominates; only they count, and slicing is quadratic."""
    array = np.array(points)
    return [tuple(p) for p in array if not ((array <= p).all(axis=1) & (array < p).any(axis=1)).any()]


def ours(task: Pareto, problem: Problem) -> list[Values]:
    space = Space({f"x{i}": uniform(0.0, 1.0) for i in range(problem.dimension)})
    directions = (Direction.MIN,) * len(problem.reference)
    options = {"population_size": POPULATION} if task.system == "nsga2" else {}
    search = make(
        task.system, space, direction=directions, seed=task.seed, num_trials=task.evaluations, options=options
    )
    lengths, names = lognormal(1000 + task.seed), map(str, itertools.count())
    running: list[tuple[float, str, list[float]]] = []
    points: list[Values] = []
    clock = 0.0
    while True:
        while len(running) < IN_FLIGHT and (suggestion := search.ask(name := next(names))) is not None:
            heapq.heappush(running, (clock + next(lengths), name, list(suggestion.params.values())))
        if not running:
            return points
        clock, name, point = heapq.heappop(running)
        points.append(problem.function(point))
        search.tell(Result(name, State.FINISHED, metrics={f"f{i}": value for i, value in enumerate(points[-1])}))


def without(task: Pareto, problem: Problem) -> list[Values]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(seed=task.seed, population_size=POPULATION)
    study = optuna.create_study(directions=["minimize"] * len(problem.reference), sampler=sampler)
    names = [f"x{i}" for i in range(problem.dimension)]
    study.optimize(
        lambda trial: problem.function([trial.suggest_float(name, 0.0, 1.0) for name in names]),
        n_trials=task.evaluations,
    )
    return [tuple(trial.values) for trial in study.trials]


def tasks(names: Sequence[str], seeds: int, quick: bool) -> list[Pareto]:
    made = []
    for name in names:
        evaluations = MULTI[name] if not quick else 100
        systems = (name, ALONE + name, *OTHERS)
        made += [Pareto(*key, evaluations, seed)
                 for key in itertools.product(systems, PROBLEMS) for seed in range(seeds)]  # fmt: skip
    return made


def report_pareto(names: Sequence[str], volumes: dict[Pareto, float], seeds: int) -> None:
    for name in names:
        rows: list[list[Any]] = []
        for problem in PROBLEMS:
            systems = (name, ALONE + name, *OTHERS)
            values = {s: [v for t, v in volumes.items() if (t.system, t.problem) == (s, problem)] for s in systems}
            p = float(mannwhitneyu(values[name], values[ALONE + name]).pvalue)
            rows.append([problem, *(statistics.median(values[system]) for system in systems), p])
        evaluations = max(task.evaluations for task in volumes)
        title = f"Hypervolume as a share of the front's: {evaluations} evaluations, median of {seeds} seeds"
        table(title, ["problem", f"{name}, {IN_FLIGHT} in flight", ALONE + name, *OTHERS, "p of the first two"], rows)
