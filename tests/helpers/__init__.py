"""Real clusters, servers, disks and programs that the tests share."""

from pathlib import Path

__all__ = ["ROOT"]

ROOT = Path(__file__).resolve().parents[2]  # of this checkout
