"""Cells of the unit interval, one for each value of a finite dimension."""

from __future__ import annotations

__all__ = ["cell_index", "cell_middle"]

_BITS = 53  # of a float in [0, 1): integer arithmetic on them is exact for spaces of any size


def cell_index(u: float, size: int) -> int:
    """The index of the cell that holds `u`, of `size` equal ones."""
    return min(max((int(u * 2**_BITS) * size) >> _BITS, 0), size - 1)


def cell_middle(index: int, size: int) -> float:
    return (2 * index + 1) / (2 * size)
