"""PyTorch and JAX on several members: their own start-up call needs no arguments, and they compute together."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from tests.conftest import spark_session

MEMBERS = 3


@pytest.fixture(scope="module")
def spark_conf() -> Mapping[str, str]:
    return {"spark.executorEnv.NCCL_SOCKET_IFNAME": "eth7"}


@pytest.fixture(scope="module")
def cluster(spark_conf: Mapping[str, str]) -> Iterator[Any]:
    """Three executors with one slot each."""
    with spark_session(f"local-cluster[{MEMBERS},1,1024]", spark_conf) as spark:
        yield spark


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("frameworks") / "project")


def tells_its_environment(folder: Path) -> Callable[[], dict[str, Any]]:
    """No framework: what a member is told, and where it may write."""

    def train() -> dict[str, Any]:
        import json
        import os
        import pathlib

        from hopslite import experiment, tensorboard

        logdir = str(tensorboard.logdir())
        pathlib.Path(logdir, "written").write_text("by a member")
        seen = {
            "environment": dict(os.environ),
            "logdir": logdir,
            "checkpoints": experiment.checkpoint_dir(),
        }
        pathlib.Path(folder, f"{os.getpid()}.json").write_text(json.dumps(seen))
        print("rank is", os.environ.get("RANK"))
        return {"rank": os.environ.get("RANK", "none")}

    return train


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.iterdir()]


def members(run: experiment.Run) -> list[dict[str, Any]]:
    record: dict[str, Any] = json.loads(Path(run.logdir, "run.json").read_text())
    return list(record["members"])


def executor_hosts(spark: Any) -> set[str]:
    """The names by which executors reach each other, as Spark has them."""
    found = spark.sparkContext._jsc.sc().statusStore().executorList(True)
    executors = [found.apply(index) for index in range(found.size())]
    return {executor.hostPort().rpartition(":")[0] for executor in executors if executor.id() != "driver"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torch")


@pytest.fixture(scope="module")
def run(cluster: Any, shared: str, folder: Path) -> experiment.Run:
    """As many members as there are executors, since no number is given."""
    return experiment.distributed(tells_its_environment(folder), strategy="torch", project=shared, display=False)


@pytest.fixture(scope="module")
def by_rank(run: experiment.Run, folder: Path) -> dict[int, dict[str, Any]]:
    return {int(seen["environment"]["RANK"]): seen for seen in told(folder)}


class TestTorchEnvironment:
    @pytest.mark.slow("frameworks")
    def test_one_member_for_each_executor(self, run: experiment.Run, by_rank: dict[int, dict[str, Any]]) -> None:
        assert by_rank.keys() == set(range(MEMBERS))
        assert {seen["environment"]["WORLD_SIZE"] for seen in by_rank.values()} == {str(MEMBERS)}
        assert run[1]["rank"] == "0"

    def test_all_know_one_master_by_an_address_that_executors_use(
        self, cluster: Any, run: experiment.Run, by_rank: dict[int, dict[str, Any]]
    ) -> None:
        masters = {
            (seen["environment"]["MASTER_ADDR"], seen["environment"]["MASTER_PORT"]) for seen in by_rank.values()
        }
        assert len(masters) == 1
        [(host, port)] = masters
        assert host in executor_hosts(cluster)
        assert members(run)[0]["address"] == f"{host}:{port}"

    def test_local_ranks_tell_members_of_one_machine_apart(self, by_rank: dict[int, dict[str, Any]]) -> None:
        """Without GPUs; all executors are on this machine."""
        found = [int(by_rank[rank]["environment"]["LOCAL_RANK"]) for rank in range(MEMBERS)]
        assert sorted(found) == list(range(MEMBERS))
        assert {seen["environment"]["LOCAL_WORLD_SIZE"] for seen in by_rank.values()} == {str(MEMBERS)}

    def test_they_are_in_the_logs_and_in_the_record(self, run: experiment.Run) -> None:
        names = ["chief_0", *(f"worker_{rank}" for rank in range(1, MEMBERS))]
        recorded = members(run)
        assert [f"{member['role']}_{member['index']}" for member in recorded] == names
        logs = {path.name: path.read_text() for path in Path(run.trials[0].logdir).glob("*_output.log")}
        assert logs.keys() == {f"{name}_output.log" for name in names}
        for rank, name in enumerate(names):
            first, *rest = logs[f"{name}_output.log"].splitlines()
            assert rest == [f"rank is {rank}"]
            for variable in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
                assert f"{variable}={recorded[rank]['environment'][variable]}" in first.split()

    def test_variables_of_the_cluster_are_left_as_they_are(self, by_rank: dict[int, dict[str, Any]]) -> None:
        assert {seen["environment"]["NCCL_SOCKET_IFNAME"] for seen in by_rank.values()} == {"eth7"}

    def test_only_rank_0_writes_to_the_trial(self, run: experiment.Run, by_rank: dict[int, dict[str, Any]]) -> None:
        trial = run.trials[0].logdir
        assert by_rank[0]["logdir"] == trial
        private = [by_rank[rank]["logdir"] for rank in range(1, MEMBERS)]
        assert len(set(private)) == MEMBERS - 1
        for path in private:
            assert not Path(path).is_relative_to(trial)
            assert not Path(path).exists()
        assert list(Path(run.logdir).rglob("written")) == [Path(trial, "written")]
        assert len({seen["checkpoints"] for seen in by_rank.values()}) == 1


@pytest.mark.slow("frameworks")
def test_ddp_gives_all_ranks_the_gradient_of_all_data(cluster: Any, shared: str, tmp_path: Path) -> None:
    """Each rank has half of the images and weights of its own to begin with; DDP makes both the same."""

    def train() -> dict[str, float]:
        import pathlib

        import torch
        from sklearn.datasets import load_digits

        torch.distributed.init_process_group("gloo")
        rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        torch.manual_seed(rank)
        images, labels = (torch.tensor(values) for values in load_digits(return_X_y=True))
        images, labels = (images[:1536] / 16).float(), labels[:1536]
        net = torch.nn.Linear(64, 10)
        together = torch.nn.parallel.DistributedDataParallel(net)
        optimizer = torch.optim.SGD(net.parameters(), 0.5)

        def gradient(model: Any, own: slice) -> Any:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[own]), labels[own]).backward()
            return torch.cat([parameter.grad.flatten() for parameter in net.parameters()])

        of_all = gradient(net, slice(None)).clone()
        of_own = gradient(net, slice(rank, None, size)).clone()
        with_others = gradient(together, slice(rank, None, size)).clone()
        for _ in range(5):
            optimizer.step()
            gradient(together, slice(rank, None, size))
        last = torch.cat([parameter.grad.flatten() for parameter in net.parameters()])
        torch.save([of_all, of_own, with_others, last], pathlib.Path(tmp_path, f"{rank}.pt"))
        torch.distributed.destroy_process_group()
        return {"ranks": size}

    import torch

    run = experiment.distributed(train, strategy="torch", num_workers=2, project=shared, display=False)
    assert run[1]["ranks"] == 2
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert (first[1] - second[1]).abs().max() > 1e-4  # alone, each would have had a gradient of its own
    assert torch.equal(first[2], second[2])
    assert torch.allclose(first[2], first[0], atol=1e-6)  # that of one process with all images
    assert torch.equal(first[3], second[3])  # and still so after some steps
    assert float(first[3].abs().max()) > 0


@pytest.mark.slow("frameworks")
def test_a_psum_over_two_jax_processes(cluster: Any, shared: str, tmp_path: Path) -> None:
    def train() -> dict[str, float]:
        import json
        import pathlib

        import jax
        import numpy as np
        from jax.sharding import NamedSharding, PartitionSpec

        jax.distributed.initialize()
        mesh = jax.make_mesh((jax.device_count(),), ("members",))
        everywhere = NamedSharding(mesh, PartitionSpec("members"))
        own = np.array([10.0 ** jax.process_index()], dtype=np.float32)
        values = jax.make_array_from_process_local_data(everywhere, own)
        add = jax.shard_map(
            lambda part: jax.lax.psum(part, "members"),
            mesh=mesh,
            in_specs=PartitionSpec("members"),
            out_specs=PartitionSpec(),
        )
        total = float(jax.jit(add)(values).addressable_data(0)[0])
        found = {"processes": jax.process_count(), "local": jax.local_device_count(), "total": total}
        pathlib.Path(tmp_path, f"{jax.process_index()}.json").write_text(json.dumps(found))
        return found

    run = experiment.distributed(train, strategy="jax", num_workers=2, project=shared, display=False)
    assert {path.name for path in tmp_path.iterdir()} == {"0.json", "1.json"}
    for path in tmp_path.iterdir():
        assert json.loads(path.read_text()) == {"processes": 2, "local": 1, "total": 11.0}
    assert run[1]["total"] == 11.0
    assert [(member["role"], member["index"]) for member in members(run)] == [("chief", 0), ("worker", 1)]
