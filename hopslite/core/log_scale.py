"""Choice of a logarithmic axis, for figures and sparklines alike."""

from __future__ import annotations

__all__ = ["needs_log_scale"]

RATIO = 100.0  # of the largest to the smallest value


def needs_log_scale(low: float, high: float) -> bool:
    """True for positive values over two decades or more, of which a linear axis would not show the small ones."""
    return low > 0 and high / RATIO >= low
