"""Memory of GPUs: how trials share it, and how much of it they use."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopslite.core.types import Spec
from hopslite.executor import slot
from hopslite.executor.gpu_memory import JAX_MEMORY, TENSORFLOW, memory_growth
from hopslite.executor.job_spec import Job
from hopslite.executor.system_metrics import Sampler
from hopslite.serialization.values import serialize
from tests.helpers.orders import Orders

GROWTH = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


class Link(Orders):
    """The slot's end of a channel, with one trial."""

    def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "ended":
            self.outputs = message["result"]["outputs"]
            self.put({"type": "exit"})


def variables() -> dict[str, Any]:
    import os

    return {name: value for name, value in os.environ.items() if name.startswith(("TF_FORCE", "XLA_", "CUDA_"))}


def seen_in_a_trial(tmp_path: Path, gpus: list[str] | None, trials: int, **job: Any) -> dict[str, Any]:
    run = tmp_path / "Experiments" / "run_1"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    payload = serialize(variables, [])
    made = Job("run_1", "a", str(tmp_path), payload, None, 0, directory=str(tmp_path), needs_metric=False)
    link = Link({"type": "run", "spec": Spec("0000", {}, str(run / "trials/0000")).to_json()})
    try:
        slot.serve(link, dataclasses.replace(made, **job), gpus, trials)  # type: ignore[arg-type]
    finally:
        link.close()
    return {name: value for name, value in link.outputs.items() if name != "log"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (TENSORFLOW, *JAX_MEMORY):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_frameworks_of_trials_that_share_a_gpu_take_memory_as_they_need_it(tmp_path: Path, isolation: str) -> None:
    assert seen_in_a_trial(tmp_path, ["1"], 4, isolation=isolation) == {"CUDA_VISIBLE_DEVICES": "1", **GROWTH}


@pytest.mark.parametrize(("gpus", "trials"), [(["1"], 1), ([], 4)], ids=["one each", "none"])
def test_others_are_left_alone(tmp_path: Path, gpus: list[str], trials: int) -> None:
    seen = seen_in_a_trial(tmp_path, gpus, trials, isolation="none")
    assert seen == {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}


def test_what_the_program_or_the_executor_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_CLIENT_MEM_FRACTION", ".1")
    of_program = {TENSORFLOW: "false"}
    seen = seen_in_a_trial(tmp_path, ["1"], 2, isolation="none", environment=of_program)
    assert seen == {"CUDA_VISIBLE_DEVICES": "1", TENSORFLOW: "false", "XLA_CLIENT_MEM_FRACTION": ".1"}


@pytest.mark.parametrize("name", JAX_MEMORY)
def test_jax_is_left_alone_whichever_variable_is_set(name: str) -> None:
    assert memory_growth({name: "x"}) == {TENSORFLOW: "true"}


def test_samples_have_the_use_and_memory_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    library = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=40),
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=3 << 20, total=9 << 20),
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    sample = Sampler(os.getpid(), "GPU-a", started=0.0).sample()
    assert (sample["gpuGPU-a_percent"], sample["gpuGPU-a_memory_mb"]) == (40.0, 3.0)
