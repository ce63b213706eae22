"""What every strategy of distributed training promises. A new one is found by its name and tested as it is."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from hopslite.core import plugins
from hopslite.core.types import Member
from hopslite.distribute import Placed, Size

HOSTS = ("10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.2", "10.0.0.4", "10.0.0.4")
NEEDS_PS = {"parameter_server"}


@pytest.fixture(params=plugins.names("distribute"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def strategy(name: str) -> Any:
    return plugins.load("distribute", name)


def a_size(name: str, workers: int = 3) -> Size:
    return Size(workers, ps=1 if name in NEEDS_PS else 0)


def gang(strategy: Any, size: Size, gpus: int = 0) -> list[Placed]:
    return [
        Placed(member, HOSTS[rank], 40000 + rank, tuple(f"{rank}{gpu}" for gpu in range(gpus if member.gpu else 0)))
        for rank, member in enumerate(strategy.members(size))
    ]


def test_it_has_a_title_for_sparks_user_interface(strategy: Any) -> None:
    assert isinstance(strategy.TITLE, str)
    assert strategy.TITLE


def test_a_plain_size_has_no_problems(strategy: Any, name: str) -> None:
    assert strategy.problems(a_size(name)) == []


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_chief_is_the_first_and_the_only_one(strategy: Any, name: str, workers: int) -> None:
    members = strategy.members(a_size(name, workers))
    assert [member.is_chief for member in members] == [True] + [False] * (len(members) - 1)
    assert members[0].trains
    assert not members[0].server


def test_members_differ_in_role_or_index(strategy: Any, name: str) -> None:
    files = [member.file for member in strategy.members(a_size(name, 5))]
    assert len(set(files)) == len(files)


def test_the_environment_is_text_and_depends_on_nothing_else(strategy: Any, name: str) -> None:
    placed = gang(strategy, a_size(name))
    for position in range(len(placed)):
        first, second = (strategy.environment(placed, position) for _ in range(2))
        assert first == second
        assert all(isinstance(part, str) for item in first.items() for part in item)


def test_each_member_is_told_who_it_is(strategy: Any, name: str) -> None:
    placed = gang(strategy, a_size(name))
    environments = [json.dumps(strategy.environment(placed, position)) for position in range(len(placed))]
    assert len(set(environments)) == len(placed)


def test_a_preset_never_changes_what_the_user_has_set(strategy: Any, name: str) -> None:
    members = strategy.members(a_size(name))
    variables = strategy.preset(members, {}, ["tf_keras"])
    given = dict.fromkeys(variables, "the user's")
    assert not strategy.preset(members, given, ["tf_keras"]).keys() & given.keys()


def test_members_have_a_json_form(strategy: Any, name: str) -> None:
    for member in strategy.members(a_size(name)):
        assert Member.from_json(json.loads(json.dumps(member.to_json()))) == member


# --- what each of ours sets


def config(name: str, size: Size, position: int) -> dict[str, Any]:
    strategy = plugins.load("distribute", name)
    return dict(json.loads(strategy.environment(gang(strategy, size), position)["TF_CONFIG"]))


def test_one_mirrored_worker_has_no_tf_config() -> None:
    strategy = plugins.load("distribute", "multi_worker_mirrored")
    assert strategy.environment(gang(strategy, Size(1)), 0) == {}
    assert strategy.preset(strategy.members(Size(1)), {}, ["tf_keras"]) == {}


def test_tf_config_of_mirrored_workers_is_that_of_hopsml() -> None:
    size = Size(3, evaluator=True)
    cluster = {
        "chief": ["10.0.0.1:40000"],
        "worker": ["10.0.0.1:40001", "10.0.0.2:40002"],
        "evaluator": ["10.0.0.3:40003"],
    }
    tasks = [("chief", 0), ("worker", 0), ("worker", 1), ("evaluator", 0)]
    for position, (role, index) in enumerate(tasks):
        expected = {"cluster": cluster, "task": {"type": role, "index": index}}
        assert config("multi_worker_mirrored", size, position) == expected


def test_a_coordinator_is_not_told_of_the_evaluator() -> None:
    size = Size(2, ps=1, evaluator=True)
    for position in range(4):
        assert config("parameter_server", size, position)["cluster"].keys() == {"chief", "worker", "ps"}
    assert "evaluator" in config("parameter_server", size, 4)["cluster"]


@pytest.mark.parametrize(("every", "workers", "servers"), [(False, 2, 3), (True, 1, 0)])
def test_who_serves_in_a_parameter_server_gang(every: bool, workers: int, servers: int) -> None:
    members = plugins.load("distribute", "parameter_server").members(Size(2, ps=1, every_member=every))
    assert sum(member.role == "worker" for member in members) == workers
    assert sum(member.server for member in members) == servers
    assert [member.gpu for member in members] == [
        member.role != "ps" and (every or not member.is_chief) for member in members
    ]
    assert not any(member.trains for member in members if member.role == "ps")


def test_parameter_servers_are_needed_and_only_there() -> None:
    assert plugins.load("distribute", "parameter_server").problems(Size(2, ps=0))
    for name in ("multi_worker_mirrored", "torch", "jax"):
        assert plugins.load("distribute", name).problems(Size(2, ps=1)), name


def test_torch_ranks_without_gpus_count_members_of_a_host() -> None:
    strategy = plugins.load("distribute", "torch")
    placed = gang(strategy, Size(5))
    found = [strategy.environment(placed, position) for position in range(5)]
    assert {(each["MASTER_ADDR"], each["MASTER_PORT"], each["WORLD_SIZE"]) for each in found} == {
        ("10.0.0.1", "40000", "5")
    }
    assert [each["RANK"] for each in found] == list("01234")
    assert [each["LOCAL_RANK"] for each in found] == list("01001")
    assert [each["LOCAL_WORLD_SIZE"] for each in found] == list("22212")


def test_a_torch_member_with_a_gpu_finds_it_as_its_local_rank() -> None:
    strategy = plugins.load("distribute", "torch")
    placed = gang(strategy, Size(3), gpus=1)
    for position in range(3):
        found = strategy.environment(placed, position)
        assert (found["LOCAL_RANK"], found["LOCAL_WORLD_SIZE"]) == ("0", "1")


def test_jax_has_one_coordinator_and_all_local_devices() -> None:
    strategy = plugins.load("distribute", "jax")
    found = [strategy.environment(gang(strategy, Size(2), gpus=2), position) for position in range(2)]
    assert {each["JAX_COORDINATOR_ADDRESS"] for each in found} == {"10.0.0.1:40000"}
    assert [each["JAX_PROCESS_ID"] for each in found] == ["0", "1"]
    assert [each["JAX_LOCAL_DEVICE_IDS"] for each in found] == ["0,1", "0,1"]


def test_addresses_of_version_6_have_brackets() -> None:
    assert Placed(Member("chief", 0), "fe80::1", 1).address == "[fe80::1]:1"


@pytest.mark.parametrize(
    ("installed", "given", "expected"),
    [(["tf_keras"], {}, {"TF_USE_LEGACY_KERAS": "1"}), ([], {}, {}), (["tf_keras"], {"TF_USE_LEGACY_KERAS": "0"}, {})],
)
def test_keras_2_is_preset_where_it_is_installed(
    installed: list[str], given: dict[str, str], expected: dict[str, str]
) -> None:
    strategy = plugins.load("distribute", "multi_worker_mirrored")
    assert strategy.preset(strategy.members(Size(2)), given, installed) == expected


def test_a_size_is_a_value() -> None:
    assert dataclasses.replace(Size(None), workers=2) == Size(2)
