"""Import of TensorBoard without TensorFlow, which takes seconds and hundreds of megabytes to load."""

from __future__ import annotations

import sys
import types

__all__ = ["disable_tensorflow"]

MARKER = "tensorboard.compat.notf"  # TensorBoard does not import TensorFlow where this module can be imported


def disable_tensorflow() -> None:
    """Make TensorBoard use its own stub of TensorFlow in this process; call it before the first import."""
    sys.modules.setdefault(MARKER, types.ModuleType(MARKER))
