"""Resource usage of a trial while it runs: CPU, memory, disk, GPUs."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

__all__ = ["Sampler", "kernel_oom_kills", "visible_gpus"]


class Sampler:
    """Samples the CPU (in percent of one core), memory (resident, in MB), disk and GPUs of a process tree.

    `started` is the start of the process by `time.monotonic`.
    """

    def __init__(self, pid: int, devices: str | None, started: float) -> None:
        self._pid = pid
        self._cpu_seconds: dict[int, float] = {}
        self._disk = _Disk()
        self._sampled_at = started
        self._gpus = _Gpus(devices)

    def sample(self) -> dict[str, float]:
        """Metrics since the last call; empty when the process is gone."""
        import psutil

        try:
            root = psutil.Process(self._pid)
            processes = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return {}
        now = time.monotonic()
        seconds: dict[int, float] = {}
        memory = 0
        for process in processes:
            with contextlib.suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                seconds[process.pid] = times.user + times.system
                memory += process.memory_info().rss
                self._disk.add(process)
        cpu_seconds = sum(value - self._cpu_seconds.get(pid, 0.0) for pid, value in seconds.items())
        elapsed = max(now - self._sampled_at, 1e-3)
        self._cpu_seconds, self._sampled_at = seconds, now
        return {
            "cpu_percent": round(100 * cpu_seconds / elapsed, 1),
            "memory_mb": round(memory / 2**20, 1),
            **self._disk.rates(elapsed),
            **self._gpus.sample(),
        }


class _Disk:
    """Bytes that processes have read from disks and written to them; what the page cache answers is none."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[int, int]] = {}
        self._now: dict[int, tuple[int, int]] = {}

    def add(self, process: Any) -> None:
        """Add a process to the sample."""
        with contextlib.suppress(AttributeError, OSError, NotImplementedError):  # other systems do not count them
            counters = process.io_counters()
            self._now[process.pid] = (counters.read_bytes, counters.write_bytes)

    def rates(self, seconds: float) -> dict[str, float]:
        """MB per second since the last sample; empty where nothing is counted."""
        before, now = self._before, self._now
        self._before, self._now = now, {}
        if not now:
            return {}
        read, written = (
            sum(max(0, counts[kind] - before.get(pid, (0, 0))[kind]) for pid, counts in now.items()) for kind in (0, 1)
        )
        return {
            "disk_read_mb_per_s": round(read / 2**20 / seconds, 2),
            "disk_write_mb_per_s": round(written / 2**20 / seconds, 2),
        }


class _Gpus:
    """NVML's handles of the devices that a trial may use; empty if there is no driver."""

    def __init__(self, devices: str | None) -> None:
        self._handles: dict[str, Any] = {}
        with contextlib.suppress(Exception):  # no driver, no library, a device that is gone
            import pynvml

            pynvml.nvmlInit()
            names = devices.split(",") if devices is not None else map(str, range(pynvml.nvmlDeviceGetCount()))
            for name in filter(None, names):
                by_index = name.isdigit()
                handle = (
                    pynvml.nvmlDeviceGetHandleByIndex(int(name)) if by_index else pynvml.nvmlDeviceGetHandleByUUID(name)
                )
                self._handles[name] = handle

    def sample(self) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for name, handle in self._handles.items():
            with contextlib.suppress(Exception):
                import pynvml

                metrics[f"gpu{name}_percent"] = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
                metrics[f"gpu{name}_memory_mb"] = round(pynvml.nvmlDeviceGetMemoryInfo(handle).used / 2**20, 1)
        return metrics


def visible_gpus() -> list[str]:
    """The GPUs that this process may use: CUDA_VISIBLE_DEVICES if set, otherwise all of NVML's devices."""
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    if devices is not None:
        return [name for name in devices.split(",") if name.strip() and name.strip() != "-1"]
    try:
        import pynvml

        pynvml.nvmlInit()
        return [str(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 - no driver, no library
        return []


def kernel_oom_kills() -> int:
    """Number of processes that this machine's kernel has killed for memory; 0 if it is not known."""
    try:
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
