"""Metric over the plane of two parameters, smoothed from scattered trials.

The value at a point is the mean of the trials' metrics, weighted with a Gaussian kernel of their distance (E. A.
Nadaraya: On Estimating Regression, 1964; G. S. Watson: Smooth Regression Analysis, 1964). Unlike an interpolation it
does not go through every trial, since trials differ in their other parameters, too, and it never exceeds their range.
The width of the kernel is the one of several that predicts each trial best from all others. Distances are fractions of
the axes; trials with another category do not count.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from .columns import Column, Floats, Scale

__all__ = ["FEWEST", "Surface", "surface"]

FEWEST = 5  # trials, below which there is no surface
STEPS = 80  # of a grid along an axis of numbers
WIDTHS = (0.04, 0.06, 0.09, 0.13, 0.2, 0.3)  # in fractions of an axis
REACH = 2.5  # kernel widths from the nearest trial, beyond which nothing is known
TRIALS = 1500  # more say hardly more, and take long: so many are drawn


@dataclasses.dataclass(frozen=True)
class Surface:
    """Grid of values: NaN where no trial is near. `x` and `y` are in the units of the parameters."""

    x: Floats
    y: Floats
    values: Floats  # rows along y


def surface(x: Column, y: Column, values: Floats) -> Surface | None:
    """Surface of values at the trials of two columns; None with too few trials or equal values."""
    points = np.column_stack([_position(x), _position(y)])
    here = np.flatnonzero(np.isfinite(points).all(axis=1) & np.isfinite(values))
    if len(here) < FEWEST or np.ptp(values[here]) == 0:
        return None
    if len(here) > TRIALS:
        here = np.random.default_rng(0).permutation(here)[:TRIALS]
    points, values = points[here], values[here]
    is_category = np.array([x.kind == "category", y.kind == "category"])
    distances = _distances(points, points, is_category)
    width = min(WIDTHS, key=lambda width: _error(distances, values, width))
    (across, along), (shown_x, shown_y) = zip(*map(_grid, (x, y)), strict=True)
    across, along = _snapped(across, x), _snapped(along, y)
    grid = np.stack(np.meshgrid(across, along), axis=-1).reshape(-1, 2)
    away = _distances(grid, points, is_category)
    smooth = _means(away, values, width)
    smooth[away.min(axis=1) > (REACH * width) ** 2] = np.nan
    return Surface(shown_x, shown_y, smooth.reshape(len(along), len(across)))


def _position(column: Column) -> Floats:
    """Fractions of the axis; categories stay indices."""
    return column.values if column.kind == "category" else column.scale.unit(column.values)


def _grid(column: Column) -> tuple[Floats, Floats]:
    """Positions along an axis, as fractions or indices, and in the units of the parameter."""
    if column.kind == "category":
        places = np.arange(len(column.labels), dtype=np.float64)
        return places, places
    fractions = np.linspace(0.0, 1.0, STEPS)
    return fractions, _from_unit(column.scale, fractions)


def _snapped(fractions: Floats, column: Column) -> Floats:
    """Positions on the nearest of a list's numbers, between which there is nothing."""
    if column.kind == "category" or not column.listed:
        return fractions
    listed = column.scale.unit(np.array(column.listed))
    return np.asarray(listed[np.abs(fractions[:, None] - listed[None, :]).argmin(axis=1)], dtype=np.float64)


def _from_unit(scale: Scale, fractions: Floats) -> Floats:
    if scale.log:
        return np.asarray(np.exp(np.log(scale.low) + fractions * (np.log(scale.high) - np.log(scale.low))))
    return np.asarray(scale.low * (1 - fractions) + scale.high * fractions)


def _distances(ones: Floats, others: Floats, is_category: npt.NDArray[np.bool_]) -> Floats:
    """Squared distances; infinite between categories."""
    apart = (ones[:, None, :] - others[None, :, :]) ** 2
    apart[..., is_category] = np.where(apart[..., is_category] > 0, np.inf, 0.0)
    return np.asarray(apart.sum(axis=-1), dtype=np.float64)


def _means(distances: Floats, values: Floats, width: float) -> Floats:
    """Weighted means; where all weights would vanish, the nearest trial counts."""
    nearest = distances.min(axis=1, keepdims=True)
    nearest[~np.isfinite(nearest)] = 0.0
    weights = np.exp((nearest - distances) / (2 * width**2))
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, weights @ values / total, np.nan), dtype=np.float64)


def _error(distances: Floats, values: Floats, width: float) -> float:
    """Mean squared error of the prediction of each trial from the others."""
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    errors = (_means(others, values, width) - values) ** 2
    return float(np.nanmean(errors)) if np.isfinite(errors).any() else np.inf
