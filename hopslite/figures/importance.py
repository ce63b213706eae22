"""Importance of parameters: Shapley effects of random forests, scaled to what they explain of trials not seen.

A forest learns the metric from the parameters. Each trial is predicted by the trees that were not grown from it ("out
of bag"). What these predictions explain of the variance is divided among the parameters in the proportions of their
Shapley effects on the forest: the variance of its prediction that comes from a parameter alone, and an equal share of
what it causes together with others. Shapley effects are never negative and add up to the whole variance, so the
importances add up to what is explained. Without the out-of-bag predictions, a forest that has learnt nothing but noise
would have important parameters, too.

Forests learn the ranks of metrics, so that one diverged trial does not outweigh all others, and neither the metric's
unit nor its logarithm matters; the variance is that of the ranks. Parameters vary independently of each other, with the
values that were tried.

- L. Breiman: Random Forests. Machine Learning 45, 5-32 (2001).
- A. B. Owen: Sobol' indices and Shapley value. SIAM/ASA Journal on Uncertainty Quantification 2, 245-251 (2014).
- T. Goda: A simple algorithm for global sensitivity analysis with Shapley effects. Reliability Engineering & System
  Safety 213, 107702 (2021): the estimator.
- F. Hutter, H. Hoos, K. Leyton-Brown: An efficient approach for assessing hyperparameter importance. ICML 2014: the
  same idea, with what parameters cause together apart and without out-of-bag predictions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .columns import Column, Floats

__all__ = ["FORESTS", "Importance", "fewest", "importances"]

FORESTS, TREES = 8, 30
LEAVES = (2, 8)  # least trials of a leaf: few where the metric follows the parameters, more where it is noisy
TRIALS = 1000  # more say hardly more, and take long: so many are drawn
SAMPLES, PREDICTIONS = 2048, 20_000  # of one forest for the effects: at most
CHANCE = 1.645  # standard deviations that a correlation of independent values exceeds in one case of twenty


@dataclasses.dataclass(frozen=True)
class Importance:
    """Mean and standard deviation of each parameter's importance over forests.

    Attributes:
        explained: the share of the ranks' variance that all parameters explain, in trials that were not seen. It may
            be negative, as predictions may be worse than the mean.
        is_chance: the predictions are not better than those from unrelated parameters would be; no parameter has then
            an importance.
    """

    mean: Floats
    deviation: Floats
    explained: float
    is_chance: bool


def fewest(parameters: int) -> int:
    """Minimum number of trials for an estimate."""
    return max(10, 2 * parameters)


def importances(columns: Sequence[Column], metrics: Floats, seed: int = 0, forests: int = FORESTS) -> Importance:
    """Shares of the variance of the metrics' ranks that the parameters explain."""
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(metrics))[:TRIALS]
    x = np.column_stack([_feature(column)[chosen] for column in columns])
    y = _ranks(metrics[chosen])
    nothing = Importance(np.zeros(len(columns)), np.zeros(len(columns)), 0.0, True)
    if not y.var():  # as where nearly all trials have one metric, and the others were not drawn
        return nothing
    grown, unseen = min((_grown(x, y, leaf, seed, forests) for leaf in LEAVES), key=lambda pair: _error(pair[1], y))
    explained = 1 - _error(unseen, y)
    if explained <= 0 or np.corrcoef(unseen, y)[0, 1] * np.sqrt(len(y)) < CHANCE:
        return dataclasses.replace(nothing, explained=explained)
    shares = explained * np.array([_shares(forest, x, generator) for forest in grown])
    return Importance(shares.mean(axis=0), shares.std(axis=0), explained, False)


def _grown(x: Floats, y: Floats, leaf: int, seed: int, count: int) -> tuple[list[Any], Floats]:
    """Forests, and the prediction of each trial by the trees that were not grown from it."""
    from sklearn.ensemble import RandomForestRegressor

    forests = [
        RandomForestRegressor(TREES, min_samples_leaf=leaf, random_state=seed + number).fit(x, y)
        for number in range(count)
    ]
    return forests, _out_of_bag(forests, x)


def _error(predicted: Floats, y: Floats) -> float:
    """Mean squared error as a share of the variance."""
    return float(((predicted - y) ** 2).mean() / y.var())


def _out_of_bag(forests: Sequence[Any], x: Floats) -> Floats:
    total, votes = np.zeros(len(x)), np.zeros(len(x))
    for forest in forests:
        for tree, bag in zip(forest.estimators_, forest.estimators_samples_, strict=True):
            outside = np.setdiff1d(np.arange(len(x)), bag)
            if len(outside):
                total[outside] += tree.predict(x[outside])
                votes[outside] += 1
    return np.asarray(total / votes, dtype=np.float64)  # of so many trees no trial is in all bags


def _shares(forest: Any, x: Floats, generator: np.random.Generator) -> Floats:
    """Shapley effects of the features on a forest's prediction, as shares that add up to 1 (Goda 2021, algorithm 1).

    In each sample the features of one point are exchanged for those of another, one after the other in random order.
    """
    count, features = x.shape
    samples = min(SAMPLES, PREDICTIONS // (features + 1))
    ones, others = (
        np.take_along_axis(x, generator.integers(count, size=(samples, features)), axis=0) for _ in range(2)
    )
    order = generator.permuted(np.tile(np.arange(features), (samples, 1)), axis=1)
    place = order.argsort(axis=1)
    points = np.concatenate([np.where(place < done, others, ones) for done in range(features + 1)])
    values = forest.predict(points).reshape(features + 1, samples)
    terms = (values[0] - (values[:-1] + values[1:]) / 2) * (values[:-1] - values[1:])
    effects = np.bincount(order.T.ravel(), weights=terms.ravel(), minlength=features)
    effects = np.maximum(effects, 0.0)  # below zero they are errors of the estimate
    return np.asarray(effects / max(effects.sum(), 1e-300), dtype=np.float64)


def _feature(column: Column) -> Floats:
    """Feature column of a parameter; a missing value is below all others, so that a split can separate it."""
    values = np.log10(column.values) if column.kind == "log" else column.values
    present = values[column.present]
    below = (present.min() - 1.0 - np.ptp(present)) if len(present) else 0.0
    return np.where(column.present, values, below)


def _ranks(values: Floats) -> Floats:
    """Ranks from 0 to 1; equal values have equal ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(middle[inverse] / max(1, len(values) - 1), dtype=np.float64)
