"""On a standalone cluster whose workers announce GPUs (that are not there): who gets which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyspark
import pytest

from hopslite import experiment
from hopslite.errors import InvalidArguments
from tests.helpers.observe import PATIENCE_S, files_below
from tests.helpers.spark_cluster import StandaloneCluster


@pytest.fixture(scope="module")
def standalone_cluster() -> Iterator[StandaloneCluster]:
    """Two cores a worker, so that two trials are side by side on one machine."""
    with StandaloneCluster(workers=2, cores=2, gpus_per_worker=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def spark_conf() -> Mapping[str, str]:
    return {"spark.executor.resource.gpu.amount": "2"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("standalone") / "project")


def uses(n: int, folder: str, together: int) -> dict[str, Any]:
    """Tells its GPUs and when it had them; the first trials wait until so many run at once."""
    import os
    import time
    from pathlib import Path

    from hopslite import devices

    began = time.time()
    Path(folder, str(n)).touch()
    until = time.monotonic() + 90
    while len(os.listdir(folder)) < together:
        if time.monotonic() > until:
            raise TimeoutError(f"only {len(os.listdir(folder))} at once")
        time.sleep(0.01)
    return {
        "metric": n,
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "not set"),
        "count": devices.get_num_gpus(),
        "growth": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH"),
        "began": began,
        "ended": time.time(),
    }


def search(folder: Path, shared: str, trials: int, together: int, **options: Any) -> list[dict[str, Any]]:
    run = experiment.grid_search(
        uses,
        {"n": list(range(trials)), "folder": [str(folder)], "together": [together]},
        project=shared,
        display=False,
        **options,
    )
    assert [str(t.state) for t in run.trials] == ["FINISHED"] * trials, [t.error for t in run.trials]
    return [t.outputs or {} for t in run.trials]


def overlapping(uses: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for index, one in enumerate(uses):
        for other in uses[index + 1 :]:
            if one["began"] < other["ended"] and other["began"] < one["ended"]:
                yield one, other


@pytest.mark.slow("clusters")
def test_two_trials_never_share_a_gpu(
    standalone: Any, standalone_cluster: StandaloneCluster, shared: str, tmp_path: Path
) -> None:
    outputs = search(tmp_path, shared, trials=12, together=4, gpus_per_trial=1)
    announced = {address for addresses in standalone_cluster.gpu_addresses for address in addresses}
    assert {out["count"] for out in outputs} == {1}
    assert {out["gpus"] for out in outputs} == announced
    pairs = list(overlapping(outputs))
    assert len(pairs) >= 6  # the first four, at least
    assert all(one["gpus"] != other["gpus"] for one, other in pairs)


@pytest.mark.slow("clusters")
def test_a_trial_can_have_all_gpus_of_a_machine(
    standalone: Any, standalone_cluster: StandaloneCluster, shared: str, tmp_path: Path
) -> None:
    outputs = search(tmp_path, shared, trials=4, together=2, gpus_per_trial=2)
    machines = [sorted(addresses) for addresses in standalone_cluster.gpu_addresses]
    assert {out["count"] for out in outputs} == {2}
    assert all(sorted(out["gpus"].split(",")) in machines for out in outputs)
    for one, other in overlapping(outputs):
        assert not set(one["gpus"].split(",")) & set(other["gpus"].split(","))


def shared_by(uses: list[dict[str, Any]]) -> dict[str, int]:
    """The largest number of trials that had a GPU at the same time, by its address."""
    return {
        gpu: max(sum(other["gpus"] == gpu and overlap(one, other) for other in uses) for one in uses)
        for gpu in {out["gpus"] for out in uses}
    }


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """True if one was there when the other began."""
    return bool(one["began"] <= other["began"] < one["ended"])


@pytest.mark.slow("clusters")
@pytest.mark.skipif(not pyspark.__version__.startswith("4"), reason="Spark 3 shares GPUs by its configuration alone")
def test_trials_share_gpus_by_a_request_of_the_call(
    standalone: Any, standalone_cluster: StandaloneCluster, shared: str, tmp_path: Path
) -> None:
    """Of the two GPUs of each machine, two trials have half of one each, and a later call has whole ones again."""
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    halves = search(folders[0], shared, trials=8, together=4, gpus_per_trial=0.5)
    assert {out["count"] for out in halves} == {1}
    assert {out["gpus"] for out in halves} <= {gpu for gpus in standalone_cluster.gpu_addresses for gpu in gpus}
    assert max(shared_by(halves).values()) <= 2
    assert {out["growth"] for out in halves} == {"true"}
    whole = search(folders[1], shared, trials=4, together=4, gpus_per_trial=1)
    assert set(shared_by(whole).values()) == {1}
    assert {out["growth"] for out in whole} == {None}


def test_no_gpus_means_none(standalone: Any, shared: str, tmp_path: Path) -> None:
    outputs = search(tmp_path, shared, trials=2, together=2, gpus_per_trial=0)
    assert {(out["gpus"], out["count"]) for out in outputs} == {("", 0)}


@pytest.mark.slow("clusters")
def test_all_cores_of_a_machine_for_a_trial(standalone: Any, shared: str, tmp_path: Path) -> None:
    outputs = search(tmp_path, shared, trials=6, together=2, cpus_per_trial=2)
    for one in outputs:
        assert sum(other["began"] <= one["began"] < other["ended"] for other in outputs) <= 2


@pytest.mark.slow("clusters")
def test_one_at_a_time(standalone: Any, shared: str, tmp_path: Path) -> None:
    outputs = search(tmp_path, shared, trials=4, together=1, gpus_per_trial=1, parallelism=1)
    assert list(overlapping(outputs)) == []


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"gpus_per_trial": 3}, "gpus_per_trial=3.*2"),
        ({"cpus_per_trial": 3}, "cpus_per_trial=3.*2"),
    ],
    ids=["gpus", "cpus"],
)
def test_more_than_any_worker_has_is_refused_before_any_task(
    standalone: Any, tmp_path: Path, option: dict[str, Any], words: str
) -> None:
    # `timeout` only bounds the test where such a call is taken
    with pytest.raises(InvalidArguments, match=words):
        experiment.grid_search(
            uses,
            {"n": [1], "folder": [str(tmp_path)], "together": [1]},
            timeout=PATIENCE_S,
            project=tmp_path / "project",
            display=False,
            **option,
        )
    assert files_below(tmp_path) == set()
    assert not standalone.sparkContext.statusTracker().getActiveJobsIds()
