"""Trials that are gangs of members: as many side by side as fit, and none waits for what another one holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment
from hopslite.errors import InvalidArguments
from tests.conftest import spark_session
from tests.helpers.spark_cluster import StandaloneCluster

HANGS_S = 200.0  # `timeout` of a run: many times what it takes; a deadlock ends as a failure of the test
PAIRS: dict[str, Any] = {"strategy": "torch", "workers_per_trial": 2}


def usual(project: str | Path) -> dict[str, Any]:
    """Arguments that all calls here have in common."""
    return {"timeout": HANGS_S, "project": project, "display": False}


def gang(folder: Path, together: int = 1, linger: float = 0.0) -> Callable[[int], float]:
    """A training function whose members note from when to when they ran.

    Args:
        together: the first trials wait until so many have begun with all of their members.
        linger: seconds that each member stays at least.
    """

    def train(n: int) -> float:
        import os
        import pathlib
        import time

        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        note = pathlib.Path(folder, f"{n}-{rank}")
        note.touch()
        until = time.monotonic() + 120

        def began(trial: int) -> bool:
            return all(pathlib.Path(folder, f"{trial}-{other}").exists() for other in range(size))

        while not began(n) or (n < together and not all(began(trial) for trial in range(together))):
            if time.monotonic() > until:
                raise TimeoutError("the others did not come")
            time.sleep(0.005)
        time.sleep(linger)
        note.with_suffix(".end").touch()
        return n + rank / 10

    return train


def spans(folder: Path, trials: int, workers: int = 2) -> list[tuple[float, float]]:
    """From when to when each trial ran: the first of its members to begin, the last to end."""
    found = []
    for n in range(trials):
        began = [(folder / f"{n}-{rank}").stat().st_mtime for rank in range(workers)]
        ended = [(folder / f"{n}-{rank}.end").stat().st_mtime for rank in range(workers)]
        found.append((min(began), max(ended)))
    return found


def most_at_once(found: list[tuple[float, float]]) -> int:
    return max(sum(began <= moment < ended for began, ended in found) for moment, _ in found)


def assert_all_finished(run: experiment.Run) -> None:
    assert [str(trial.state) for trial in run.trials] == ["FINISHED"] * len(run.trials), [t.error for t in run.trials]


@pytest.fixture(scope="class")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("gangs") / "project")


@pytest.fixture(scope="class")
def four_slots() -> Iterator[Any]:
    with spark_session("local-cluster[2,2,1024]", {}) as spark:
        yield spark


@pytest.fixture(scope="class")
def three_slots() -> Iterator[Any]:
    with spark_session("local-cluster[3,1,1024]", {}) as spark:
        yield spark


@pytest.fixture(scope="class")
def one_machine() -> Iterator[Any]:
    with spark_session("local[2]", {}) as spark:
        yield spark


class TestOneMachine:
    """Spark in local mode: the driver is the only executor."""

    def test_members_are_processes_of_their_own(self, one_machine: Any, shared: str, tmp_path: Path) -> None:
        run = experiment.launch(gang(tmp_path), {"n": [0]}, **PAIRS, **usual(shared))
        assert_all_finished(run)
        assert {path.name for path in tmp_path.iterdir()} == {"0-0", "0-1", "0-0.end", "0-1.end"}

    def test_one_executor_means_one_member(self, one_machine: Any, shared: str) -> None:
        def train() -> str:
            import os

            return os.environ.get("TF_CONFIG", "none")

        run = experiment.mirrored(train, **usual(shared))
        assert run[1]["metric"] == "none"
        assert [path.name for path in Path(run.trials[0].logdir).glob("*_output.log")] == ["chief_0_output.log"]

    def test_no_room_for_an_evaluator(self, one_machine: Any, tmp_path: Path) -> None:
        with pytest.raises(InvalidArguments, match=r"3 members.*evaluator.*2"):
            experiment.mirrored(lambda: 1, num_workers=2, evaluator=True, **usual(tmp_path / "project"))
        assert not list(tmp_path.rglob("run.json"))


@pytest.mark.slow("clusters")
class TestFourSlots:
    def test_two_gangs_at_once_and_the_third_after(self, four_slots: Any, shared: str, tmp_path: Path) -> None:
        run = experiment.grid_search(gang(tmp_path, together=2), {"n": [0, 1, 2]}, **PAIRS, **usual(shared))
        assert_all_finished(run)
        found = spans(tmp_path, 3)
        assert most_at_once(found[:2]) == 2
        assert most_at_once(found) == 2
        assert found[2][0] >= min(found[0][1], found[1][1])
        assert run.best_params == {"n": 2}
        assert [trial.metric for trial in run.trials] == [0, 1, 2]  # the chiefs', not those of rank 1

    def test_each_trial_has_the_logs_and_the_record_of_its_own_members(
        self, four_slots: Any, shared: str, tmp_path: Path
    ) -> None:
        def train(n: int) -> float:
            import json
            import os

            task = json.loads(os.environ["TF_CONFIG"])["task"]
            print(f"trial {n}, {task['type']} {task['index']}")
            return n

        run = experiment.grid_search(
            train, {"n": [0, 1]}, strategy="multi_worker_mirrored", workers_per_trial=2, **usual(shared)
        )
        assert_all_finished(run)
        for trial in run.trials:
            logs = {path.name: path.read_text() for path in Path(trial.logdir).glob("*_output.log")}
            assert logs.keys() == {"chief_0_output.log", "worker_0_output.log"}
            for name, text in logs.items():
                first, said = text.splitlines()
                config = json.JSONDecoder().raw_decode(first.partition("TF_CONFIG=")[2])[0]
                role, index = config["task"]["type"], config["task"]["index"]
                assert (name, said) == (f"{role}_{index}_output.log", f"trial {trial.params['n']}, {role} {index}")
                assert {kind: len(addresses) for kind, addresses in config["cluster"].items()} == {
                    "chief": 1,
                    "worker": 1,
                }

    def test_parallelism_counts_gangs(self, four_slots: Any, shared: str, tmp_path: Path) -> None:
        run = experiment.grid_search(
            gang(tmp_path, linger=0.2), {"n": [0, 1, 2]}, **PAIRS, parallelism=1, **usual(shared)
        )
        assert_all_finished(run)
        assert most_at_once(spans(tmp_path, 3)) == 1

    def test_one_bad_gang_does_not_end_the_search(self, four_slots: Any, shared: str) -> None:
        def train(n: int) -> float:
            import os
            import signal
            import threading

            if n == 1 and os.environ["RANK"] == "1":
                os.kill(os.getpid(), signal.SIGKILL)
            if n == 1:
                threading.Event().wait()
            return n

        run = experiment.grid_search(train, {"n": [0, 1, 2]}, **PAIRS, **usual(shared))
        assert [str(trial.state) for trial in run.trials] == ["FINISHED", "FAILED", "FINISHED"]
        assert run.trials[1].cause == "signal"
        assert "worker 1" in (run.trials[1].error or "") and "SIGKILL" in (run.trials[1].error or "")
        assert run.best_params == {"n": 2}

    @pytest.mark.parametrize("verb", ["random_search", "differential_evolution", "launch"])
    def test_every_search_verb_takes_gangs(self, four_slots: Any, shared: str, verb: str) -> None:
        def train(x: float) -> float:
            import os

            return x if os.environ["WORLD_SIZE"] == "2" and os.environ["RANK"] == "0" else -1000.0

        arguments: dict[str, Any] = {
            "random_search": {"boundary_dict": {"x": [0.0, 1.0]}, "samples": 3},
            "differential_evolution": {"boundary_dict": {"x": [0.0, 1.0]}, "generations": 1, "population": 4},
            "launch": {"args_dict": {"x": [0.5, 1.0]}, "metric_key": None},
        }[verb]
        run = getattr(experiment, verb)(train, **arguments, **PAIRS, **usual(shared))
        assert_all_finished(run)
        assert len(run.trials) >= 2
        for trial in run.trials:
            assert trial.metric == pytest.approx(trial.params["x"])

    @pytest.mark.slow("soak")
    def test_fifty_gangs_two_at_a_time(self, four_slots: Any, shared: str, tmp_path: Path) -> None:
        check_fifty(shared, tmp_path, at_most=2)


@pytest.mark.slow("clusters")
class TestThreeSlots:
    """Room for one gang and a half: the half must not be taken by another one."""

    def test_one_gang_at_a_time(self, three_slots: Any, shared: str, tmp_path: Path) -> None:
        run = experiment.grid_search(gang(tmp_path, linger=0.3), {"n": [0, 1, 2]}, **PAIRS, **usual(shared))
        assert_all_finished(run)
        assert most_at_once(spans(tmp_path, 3)) == 1

    @pytest.mark.slow("soak")
    def test_fifty_gangs_one_after_the_other(self, three_slots: Any, shared: str, tmp_path: Path) -> None:
        check_fifty(shared, tmp_path, at_most=1)

    def test_two_searches_at_once_do_not_hold_half_each(self, three_slots: Any, shared: str, tmp_path: Path) -> None:
        """Two runs of one driver, each of whose gangs needs two of the three slots."""
        from tests.helpers.observe import in_background

        folders = [tmp_path / "one", tmp_path / "two"]
        for folder in folders:
            folder.mkdir()

        def search(folder: Path) -> experiment.Run:
            return experiment.grid_search(gang(folder), {"n": [0, 1, 2, 3]}, **PAIRS, **usual(shared))

        with in_background(lambda: search(folders[0])) as one, in_background(lambda: search(folders[1])) as two:
            for running in (one, two):
                assert_all_finished(running.result(HANGS_S))

    def test_a_gang_that_can_never_be_is_refused(self, three_slots: Any, tmp_path: Path) -> None:
        with pytest.raises(InvalidArguments, match=r"(?s)4.*3"):
            experiment.grid_search(
                gang(tmp_path), {"n": [0, 1]}, strategy="torch", workers_per_trial=4, **usual(tmp_path / "project")
            )
        assert not list(tmp_path.rglob("run.json"))


def check_fifty(shared: str, folder: Path, at_most: int) -> None:
    run = experiment.grid_search(gang(folder), {"n": list(range(50))}, **PAIRS, **usual(shared))
    assert_all_finished(run)
    assert len(run.trials) == 50
    assert most_at_once(spans(folder, 50)) <= at_most


@pytest.fixture(scope="class")
def gpu_cluster() -> Iterator[StandaloneCluster]:
    """Two machines with two cores and two GPUs each."""
    with StandaloneCluster(workers=2, cores=2, gpus_per_worker=2) as cluster:
        yield cluster


@pytest.fixture(scope="class")
def with_gpus(gpu_cluster: StandaloneCluster) -> Iterator[Any]:
    conf: Mapping[str, str] = {"spark.executor.resource.gpu.amount": "2"}
    with spark_session(gpu_cluster.url, conf) as spark:
        yield spark


def notes_gpus(folder: Path, at_once: int = 1) -> Callable[..., float]:
    """Each member notes its GPUs; all members of the first `at_once` trials are there at the same time."""

    def train(n: int = 0) -> float:
        import json
        import os
        import pathlib
        import time

        from hopslite import devices

        if "TF_CONFIG" in os.environ:
            task = json.loads(os.environ["TF_CONFIG"])["task"]
            name = f"{task['type']}_{task['index']}"
            expected = sum(map(len, json.loads(os.environ["TF_CONFIG"])["cluster"].values()))
        else:
            name, expected = f"rank_{os.environ['RANK']}", int(os.environ["WORLD_SIZE"])
        seen = {
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "not set"),
            "count": devices.get_num_gpus(),
            "local": os.environ.get("LOCAL_RANK"),
        }
        partial = pathlib.Path(folder, f".{n}-{name}")
        partial.write_text(json.dumps(seen))
        partial.rename(pathlib.Path(folder, f"{n}-{name}.json"))
        until = time.monotonic() + 120
        for trial in range(at_once) if n < at_once else [n]:
            while len(list(pathlib.Path(folder).glob(f"{trial}-*.json"))) < expected:
                if time.monotonic() > until:
                    raise TimeoutError("the others did not come")
                time.sleep(0.01)
        return float(n)

    return train


def noted(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def recorded_gpus(run: experiment.Run) -> dict[str, list[str]]:
    members = json.loads(Path(run.logdir, "run.json").read_text())["members"]
    return {f"{member['role']}_{member['index']}": member["gpus"] for member in members}


@pytest.mark.slow("clusters")
class TestGpus:
    """Addresses that Spark assigns, of GPUs that are not there."""

    def test_parameter_servers_have_none_and_workers_one_each(
        self, with_gpus: Any, gpu_cluster: StandaloneCluster, shared: str, tmp_path: Path
    ) -> None:
        run = experiment.parameter_server(
            notes_gpus(tmp_path), num_workers=3, num_ps=1, every_member=True, gpus_per_worker=1, **usual(shared)
        )
        assert str(run.state) == "FINISHED"
        found = noted(tmp_path)
        assert found.keys() == {"0-chief_0", "0-worker_0", "0-worker_1", "0-ps_0"}
        assert (found["0-ps_0"]["gpus"], found["0-ps_0"]["count"]) == ("", 0)
        announced = {address for addresses in gpu_cluster.gpu_addresses for address in addresses}
        given = [seen["gpus"] for name, seen in found.items() if name != "0-ps_0"]
        assert set(given) <= announced
        assert len(set(given)) == 3
        assert {seen["count"] for name, seen in found.items() if name != "0-ps_0"} == {1}
        assert recorded_gpus(run) == {
            name.removeprefix("0-"): [seen["gpus"]] if seen["gpus"] else [] for name, seen in found.items()
        }

    def test_nor_has_a_parameter_server_that_hopslite_runs(self, with_gpus: Any, shared: str) -> None:
        run = experiment.parameter_server(lambda: 1.0, num_workers=2, num_ps=1, gpus_per_worker=1, **usual(shared))
        found = recorded_gpus(run)
        assert found["ps_0"] == []
        assert [len(found[name]) for name in ("worker_0", "worker_1")] == [1, 1]
        assert found["worker_0"] != found["worker_1"]

    def test_a_worker_can_have_all_gpus_of_a_machine(
        self, with_gpus: Any, gpu_cluster: StandaloneCluster, shared: str, tmp_path: Path
    ) -> None:
        experiment.distributed(
            notes_gpus(tmp_path), strategy="torch", num_workers=2, gpus_per_worker=2, **usual(shared)
        )
        found = noted(tmp_path)
        given = sorted(sorted(seen["gpus"].split(",")) for seen in found.values())
        assert given == [sorted(addresses) for addresses in gpu_cluster.gpu_addresses]
        assert {seen["local"] for seen in found.values()} == {"0"}  # of the devices that it sees, the first is its own

    def test_gangs_side_by_side_never_share_a_gpu(
        self, with_gpus: Any, gpu_cluster: StandaloneCluster, shared: str, tmp_path: Path
    ) -> None:
        run = experiment.grid_search(
            notes_gpus(tmp_path, at_once=2), {"n": [0, 1, 2, 3]}, **PAIRS, gpus_per_trial=1, **usual(shared)
        )
        assert_all_finished(run)
        found = noted(tmp_path)
        assert len(found) == 8
        assert {seen["count"] for seen in found.values()} == {1}
        for n in range(4):
            assert found[f"{n}-rank_0"]["gpus"] != found[f"{n}-rank_1"]["gpus"]
        side_by_side = [found[f"{n}-rank_{rank}"]["gpus"] for n in (0, 1) for rank in (0, 1)]
        assert sorted(side_by_side) == sorted(address for each in gpu_cluster.gpu_addresses for address in each)

    def test_more_than_there_are_is_refused(self, with_gpus: Any, tmp_path: Path) -> None:
        for arguments, words in (
            ({"num_workers": 2, "gpus_per_worker": 3}, r"gpus_per_worker=3.*2"),
            ({"num_workers": 3, "gpus_per_worker": 2}, r"(?s)3.*2"),
        ):
            with pytest.raises(InvalidArguments, match=words):
                experiment.mirrored(lambda: 1, **arguments, **usual(tmp_path / "project"))
        assert not list(tmp_path.rglob("run.json"))
