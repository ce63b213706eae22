"""Event files: what the HParams dashboard makes of them, and that they are functions of the journal."""

from __future__ import annotations

import threading
from pathlib import Path

import fsspec
from servers import Script, sessions, tensorboard, until, whole_run

from hopslite.store import Project, RunDir
from hopslite.track._deliver import Delivery
from hopslite.track._tracker import Context


def deliver(run: RunDir) -> list[str]:
    """Warnings of a delivery in this process."""
    warnings: list[str] = []
    ending = threading.Event()
    ending.set()
    delivery = Delivery("tensorboard", Context(run, None, lambda _: None, warnings.append), ending, grace=0.0)
    delivery.start()
    delivery.join(60)
    assert delivery.delivered, warnings
    return warnings


def event_files(run: RunDir) -> dict[str, bytes]:
    folders = ["", *(f"trials/{trial}" for trial in run.list("trials"))]
    names = [f"{folder}/{name}".lstrip("/") for folder in folders for name in run.list(folder) if "tfevents" in name]
    return {name: run.read_bytes(name) for name in names}


def test_the_space_and_the_metrics_are_described(tmp_path: Path) -> None:
    run = Project(str(tmp_path)).new_run("digits")[2]
    mixed = {"type": "choice", "values": [1, "a", None]}
    script = Script(run, space={"mixed": mixed, "flag": {"type": "choice", "values": [True, False]}})
    script.begin()
    script.trial("0000", mixed=1, flag=True)
    script.end("0000")
    script.trial("0001", mixed="a", flag=False)
    script.end("0001", metric=0.25, outputs={"accuracy": 0.25, "loss": float("nan"), "late": float("inf")})
    script.finish()
    script.close()

    assert deliver(run) == []
    with tensorboard(run.url) as ask:
        found = until(lambda: len(groups := sessions(ask)) == 2 and groups, "TensorBoard has loaded the run")
        experiment = ask("plugin/hparams/experiment", {"experimentName": "", "includeMetrics": True})

    infos = {info["name"]: info for info in experiment["hparamInfos"]}
    assert (infos["lr"]["type"], infos["act"]["type"]) == ("DATA_TYPE_FLOAT64", "DATA_TYPE_STRING")
    assert infos["mixed"]["domainDiscrete"] == ["1", "a", "null"]
    assert infos["flag"]["domainDiscrete"] == [True, False]
    assert experiment["name"] == "digits v1"
    assert [info["name"]["tag"] for info in experiment["metricInfos"]] == ["metric", "accuracy", "late", "loss"]
    assert found["0000"]["hparams"] == {"mixed": "1", "flag": True, "lr": 0.5, "units": 3, "act": "relu"}
    values = {value["name"]["tag"]: value["value"] for value in found["0001"]["metricValues"]}
    assert values == {"metric": 0.25, "accuracy": 0.25, "loss": "NaN", "late": "Infinity"}


def test_intervals_are_domains(tmp_path: Path) -> None:
    run = Project(str(tmp_path)).new_run("digits")[2]
    whole_run(run)
    assert deliver(run) == []
    with tensorboard(run.url) as ask:
        until(lambda: len(sessions(ask)) == 3, "TensorBoard has loaded the run")
        experiment = ask("plugin/hparams/experiment", {"experimentName": "", "includeMetrics": False})
    domains = {info["name"]: info.get("domainInterval") for info in experiment["hparamInfos"]}
    assert domains["lr"] == {"minValue": 0.1, "maxValue": 1.0}
    assert domains["units"] == {"minValue": 1.0, "maxValue": 8.0}


def test_a_second_delivery_writes_the_same_bytes(tmp_path: Path) -> None:
    run = Project(str(tmp_path)).new_run("digits")[2]
    whole_run(run)

    deliver(run)
    first = event_files(run)
    run.write_bytes("trials/0000/events.out.tfevents.0.hopslite", first["events.out.tfevents.0.hopslite"] * 9)
    deliver(run)

    assert len(first) == 4
    assert event_files(run) == first


def test_other_file_systems_get_the_same_bytes(tmp_path: Path) -> None:
    fsspec.filesystem("memory").store.clear()
    run_id, _, elsewhere = Project("memory://project").new_run("digits")
    local = RunDir(str(tmp_path / run_id))
    local.makedirs()
    whole_run(elsewhere)
    whole_run(local)

    deliver(elsewhere)
    deliver(local)

    assert event_files(elsewhere) == event_files(local)
    assert len(event_files(local)) == 4
