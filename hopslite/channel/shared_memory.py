"""Shared memory through which a trial and its slot communicate after the trial has lost its socket.

A training function may close all descriptors of its process, reuse their numbers, or exhaust the limit. The
memory is mapped before the trial begins and needs no descriptor.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct

__all__ = ["RingBuffer", "SharedBuffers"]

TO_SLOT, TO_TRIAL = 1 << 20, 1 << 14  # bytes; what is not used takes no memory
_COUNTS = struct.Struct("QQ")  # bytes that were written and read since the beginning
_COUNT = struct.Struct("Q")


class RingBuffer:
    """Ring buffer in shared memory with one writing and one reading process. No method blocks."""

    def __init__(self, memory: mmap.mmap, start: int, size: int) -> None:
        self._memory, self._start = memory, start
        self._data, self._size = start + _COUNTS.size, size - _COUNTS.size

    @property
    def is_empty(self) -> bool:
        written, read = self._counts()
        return written == read

    @property
    def free_bytes(self) -> int:
        written, read = self._counts()
        return max(0, self._size - (written - read))

    def write(self, data: bytes | memoryview) -> int:
        """Write as many bytes as fit, and return their number."""
        accepted = min(len(data), self.free_bytes)
        written, _ = self._counts()
        until_wrap = min(accepted, self._size - written % self._size)
        offset = self._data + written % self._size
        self._memory[offset : offset + until_wrap] = data[:until_wrap]
        self._memory[self._data : self._data + accepted - until_wrap] = data[until_wrap:accepted]
        _COUNT.pack_into(self._memory, self._start, written + accepted)
        return accepted

    def read(self) -> bytes:
        """Take all bytes that have been written."""
        written, read = self._counts()
        count = written - read
        if not 0 <= count <= self._size:  # other code has overwritten the counters
            return b""
        until_wrap = min(count, self._size - read % self._size)
        offset = self._data + read % self._size
        data = self._memory[offset : offset + until_wrap] + self._memory[self._data : self._data + count - until_wrap]
        _COUNT.pack_into(self._memory, self._start + _COUNT.size, written)
        return data

    def _counts(self) -> tuple[int, int]:
        written, read = _COUNTS.unpack_from(self._memory, self._start)
        return written, read


class SharedBuffers:
    """Ring buffers for both directions; takes ownership of a descriptor from `create`."""

    def __init__(self, descriptor: int) -> None:
        try:
            self._memory = mmap.mmap(descriptor, TO_SLOT + TO_TRIAL)
        finally:
            os.close(descriptor)
        self.to_slot = RingBuffer(self._memory, 0, TO_SLOT)
        self.to_trial = RingBuffer(self._memory, TO_SLOT, TO_TRIAL)

    @staticmethod
    def create() -> tuple[SharedBuffers | None, list[int]]:
        """Create the memory, and a descriptor for the other process; neither where the system does not support it."""
        if not hasattr(os, "memfd_create"):
            return None, []
        with contextlib.suppress(OSError):  # no descriptors or no memory: the socket will do
            descriptor = os.memfd_create("hopslite-trial")
            try:
                os.ftruncate(descriptor, TO_SLOT + TO_TRIAL)
                return SharedBuffers(os.dup(descriptor)), [descriptor]
            except OSError:
                os.close(descriptor)
        return None, []

    def close(self) -> None:
        self._memory.close()
