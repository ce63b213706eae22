"""How much each parameter matters: permutation importance of random forests (Breiman 2001).

A forest predicts each trial by those of its trees that were not grown from it ("out of bag"), once as it is and once
with one parameter's values exchanged among all trials. What the prediction loses is the parameter's importance: half
the increase of the squared error, which is the share of variance that comes from the parameter, alone and together with
others. Forests learn the ranks of metrics, so that one diverged trial does not outweigh all others, and neither the
metric's unit nor its logarithm matters.

L. Breiman: Random Forests. Machine Learning 45, 5-32 (2001), section 10.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .view import Column, Floats

__all__ = ["FORESTS", "Importance", "fewest", "importances"]

FORESTS, TREES = 8, 30
TRIALS = 1000  # more say hardly more, and take long: so many are drawn


@dataclasses.dataclass(frozen=True)
class Importance:
    """Mean and standard deviation over forests, of each parameter, and which share of the variance all explain."""

    mean: Floats
    deviation: Floats
    explained: float


def fewest(parameters: int) -> int:
    """With fewer trials nothing can be said."""
    return max(10, 2 * parameters)


def importances(columns: Sequence[Column], metrics: Floats, seed: int = 0) -> Importance:
    """How much of the variance of the metrics' ranks is no longer explained when a parameter is shuffled."""
    from sklearn.ensemble import RandomForestRegressor

    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(metrics))[:TRIALS]
    x = np.column_stack([_feature(column)[chosen] for column in columns])
    y = _ranks(metrics[chosen])
    lost, explained = np.zeros((FORESTS, len(columns))), np.zeros(FORESTS)
    for number in range(FORESTS):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, max_features=1.0, random_state=seed + number)
        errors = _errors(forest.fit(x, y), x, y, generator) / y.var()
        lost[number], explained[number] = (errors[1:] - errors[0]) / 2, 1 - errors[0]
    return Importance(lost.mean(axis=0), lost.std(axis=0), float(explained.mean()))


def _errors(forest: Any, x: Floats, y: Floats, generator: np.random.Generator) -> Floats:
    """The mean squared error out of bag, as things are, then with each parameter shuffled."""
    count, features = x.shape
    variants = np.repeat(x[None], features + 1, axis=0)
    for feature in range(features):
        variants[feature + 1, :, feature] = generator.permutation(x[:, feature])
    total, votes = np.zeros((features + 1, count)), np.zeros(count)
    for tree, bag in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        outside = np.setdiff1d(np.arange(count), bag)
        if len(outside):
            predicted = tree.predict(variants[:, outside].reshape(-1, features))
            total[:, outside] += predicted.reshape(features + 1, -1)
            votes[outside] += 1
    known = votes > 0
    return np.asarray(((total[:, known] / votes[known] - y[known]) ** 2).mean(axis=1), dtype=np.float64)


def _feature(column: Column) -> Floats:
    """A parameter as trees take it; where it is missing a value below all others, so that a split can tell."""
    values = np.log10(column.values) if column.kind == "log" else column.values
    present = values[column.present]
    below = (present.min() - 1.0 - np.ptp(present)) if len(present) else 0.0
    return np.where(column.present, values, below)


def _ranks(values: Floats) -> Floats:
    """From 0 to 1; equal values have equal ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(middle[inverse] / max(1, len(values) - 1), dtype=np.float64)
