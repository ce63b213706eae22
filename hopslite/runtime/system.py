"""What a trial uses while it runs: CPU, memory, GPUs."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

__all__ = ["Sampler", "kernel_oom_kills", "visible_gpus"]


class Sampler:
    """Samples a process and its descendants. CPU in percent of one core, memory (resident) in MB.

    `since` is when the process began, by `time.monotonic`.
    """

    def __init__(self, pid: int, devices: str | None, since: float) -> None:
        self._pid = pid
        self._cpu: dict[int, float] = {}
        self._time = since
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
        used = sum(value - self._cpu.get(pid, 0.0) for pid, value in seconds.items())
        elapsed = max(now - self._time, 1e-3)
        self._cpu, self._time = seconds, now
        return {
            "cpu_percent": round(100 * used / elapsed, 1),
            "memory_mb": round(memory / 2**20, 1),
            **self._gpus.sample(),
        }


class _Gpus:
    """NVML's view of the devices that a trial may use; nothing where there is no driver."""

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
        found: dict[str, float] = {}
        for name, handle in self._handles.items():
            with contextlib.suppress(Exception):
                import pynvml

                found[f"gpu{name}_percent"] = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
                found[f"gpu{name}_memory_mb"] = round(pynvml.nvmlDeviceGetMemoryInfo(handle).used / 2**20, 1)
        return found


def visible_gpus() -> list[str]:
    """The GPUs that this process may use: CUDA_VISIBLE_DEVICES where set, otherwise all that NVML finds."""
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
    """How often this machine's kernel has killed a process for memory; 0 where it does not say."""
    try:
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
