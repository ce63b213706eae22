"""Random number generators that a trial inherits from the process that it is forked from.

The trials of a slot are forked from one process, which has frameworks imported. A generator that exists there would
give all of them the same numbers, where separate programs draw different ones: PyTorch's and NumPy's global ones, and
any that a library keeps in one of its modules. Others need nothing: `random` and `tempfile` renew themselves after a
fork, `uuid4` and `secrets` read the kernel's random numbers, JAX's keys belong to the program, and TensorFlow's and
Keras's states are made at their first use. A generator that is made or seeded in the trial is not touched.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["InheritedGenerators"]


class InheritedGenerators:
    """The generators in this process's modules, to be reseeded in the processes that are forked from it."""

    def __init__(self) -> None:
        self._generators: dict[int, tuple[Any, Callable[[Any], None]]] = {}
        self._modules: set[str] = set()
        self._reseeding: dict[type, Callable[[Any], None] | None] = {}

    def find(self) -> None:
        """Find the generators in modules that were imported since the last call.

        It belongs in the process that has imported them, where memory is not shared yet: it touches all their values.
        """
        if len(sys.modules) == len(self._modules):
            return
        kinds = _kinds()
        self._reseeding.update(kinds)
        for name in sys.modules.keys() - self._modules:
            for value in list(getattr(sys.modules[name], "__dict__", {}).values()):
                kind = type(value)
                if kind not in self._reseeding:
                    self._reseeding[kind] = next((kinds[base] for base in kind.__mro__ if base in kinds), None)
                reseed = self._reseeding[kind]
                if reseed is not None:
                    self._generators[id(value)] = value, reseed
        self._modules = set(sys.modules)

    def reseed(self) -> None:
        """Give each generator a state of this process's own."""
        for generator, reseed in self._generators.values():
            reseed(generator)


def _kinds() -> dict[type, Callable[[Any], None]]:
    """Functions that reseed a generator, by its class, of the classes that are imported now."""
    kinds: dict[type, Callable[[Any], None]] = {random.Random: _seed}
    numpy, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    if numpy is not None:
        kinds |= {numpy.RandomState: _seed, numpy.Generator: _renew_generator, numpy.BitGenerator: _renew}
    if torch is not None:
        kinds[torch.Generator] = _seed
    return kinds


def _seed(generator: Any) -> None:
    generator.seed()


def _renew(bit_generator: Any) -> None:
    bit_generator.state = type(bit_generator)().state


def _renew_generator(generator: Any) -> None:
    _renew(generator.bit_generator)
