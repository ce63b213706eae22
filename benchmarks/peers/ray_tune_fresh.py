"""Ray Tune with a new actor for each trial, as a crash of one is not to harm others."""

from __future__ import annotations

import functools

from .ray_tune import run as run_tune

run = functools.partial(run_tune, reuse_actors=False)
