"""Event files: what the HParams dashboard makes of them, and that they are functions of the journal."""

from __future__ import annotations

import gzip
import threading
import urllib.request
import zipfile
from pathlib import Path

import fsspec
import pytest

from hopslite.core.types import State
from hopslite.storage.journal import JournalReader
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from hopslite.track import TensorBoardServer
from hopslite.track._base import Context
from hopslite.track._delivery import Delivery
from hopslite.track._tensorboard_ui import CHANGES, rewritten
from hopslite.track.tensorboard import CURVE_FILE, Tensorboard
from tests.helpers.servers import START_S, Script, sessions, tensorboard, until, whole_run


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
    assert [info["name"]["tag"] for info in experiment["metricInfos"]] == ["accuracy", "loss", "late"]
    assert found["0000"]["hparams"] == {"mixed": "1", "flag": True, "lr": 0.5, "units": 3, "act": "relu"}
    values = {value["name"]["tag"]: value["value"] for value in found["0001"]["metricValues"]}
    assert values == {"accuracy": 0.25, "loss": "NaN", "late": "Infinity"}


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

    assert len(first) == 5
    assert event_files(run) == first


def test_a_trial_that_is_run_again_ends_once(tmp_path: Path) -> None:
    """However much of the journal there was when TensorBoard's files were written."""
    run = Project(str(tmp_path)).new_run("digits")[2]
    script = Script(run)
    script.begin()
    for trial, state in (("0000", State.FAILED), ("0001", State.KILLED)):
        script.trial(trial, reports=1)
        script.end(trial, state, None, outputs={"accuracy": 0.125, "loss": 1.0})
    script.finish(State.FAILED, None, None)
    script.writer.close()
    journal = JournalReader(run)
    following = Tensorboard(Context(run, None, lambda _: None, pytest.fail))
    following.handle(list(journal.new()))
    following.flush()
    first = event_files(run)

    script.writer = JournalWriter(run)
    script.add("resumed", fresh=False, session=2)
    script.add("again", "0000")
    for trial in ("0000", "0001"):
        script.add("started", trial, host="worker", attempt=1, gpus=[])
        script.add("report", trial, step=1, value=0.5)
    script.close()
    following.handle(list(journal.new()))
    following.flush()
    with tensorboard(run.url) as ask:
        groups = until(lambda: len(found := sessions(ask)) == 2 and found, "TensorBoard has loaded the run")
    assert {group["sessions"][0]["status"] for group in groups.values()} == {"STATUS_UNKNOWN"}

    script.writer = JournalWriter(run)
    for trial in ("0000", "0001"):
        script.end(trial, metric=0.75)
    script.finish(metric=0.75)
    script.close()
    following.handle(list(journal.new()))
    following.flush()
    following.close()
    told_all_along = event_files(run)
    deliver(run)

    assert first.keys() | {CURVE_FILE} == told_all_along.keys()
    assert event_files(run) == told_all_along
    with tensorboard(run.url) as ask:
        groups = until(lambda: len(found := sessions(ask)) == 2 and found, "TensorBoard has loaded the run")
        points = ask("plugin/scalars/scalars", run="trials/0000", tag="accuracy")
    assert {group["sessions"][0]["status"] for group in groups.values()} == {"STATUS_SUCCESS"}
    metrics = {value["name"]["tag"]: value["value"] for value in groups["0000"]["metricValues"]}
    assert metrics["accuracy"] == 0.75
    assert [(step, value) for _, step, value in points] == [(0, 0.0), (1, 0.75)]


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
    assert len(event_files(local)) == 5


def test_the_first_view_has_curves(tmp_path: Path) -> None:
    """The best so far as a curve of the run; results without reports one next to the other."""
    run = Project(str(tmp_path)).new_run("digits")[2]
    script = Script(run)
    script.begin()
    for number, metric in enumerate((0.5, 0.25, 0.75)):
        name = f"{number:04d}"
        script.trial(name, reports=0)
        script.end(name, metric=metric, outputs={"accuracy": metric, "size": number})
    script.finish()
    script.close()
    deliver(run)
    with tensorboard(run.url) as ask:
        best = ask("plugin/scalars/scalars", run=".", tag="accuracy/best so far")
        last = ask("plugin/scalars/scalars", run="trials/0002", tag="size")
    assert [(step, value) for _, step, value in best] == [(1, 0.5), (2, 0.5), (3, 0.75)]
    assert [(step, value) for _, step, value in last] == [(2, 2.0)]


def test_the_curve_knows_the_budget_of_a_trial_that_was_run_again(tmp_path: Path) -> None:
    run = Project(str(tmp_path)).new_run("digits")[2]
    script = Script(run, ranked_by="budget")
    script.begin()
    for name, budget in (("0000", 1), ("0001", 9)):
        script.trial(name, reports=0, budget=budget)
        script.end(name, *((State.KILLED, None) if budget == 9 else (State.FINISHED, 0.9)))
    script.add("again", "0001")
    script.add("started", "0001", host="worker", attempt=1, gpus=[])
    script.end("0001", metric=0.5)
    script.finish()
    script.close()
    deliver(run)
    with tensorboard(run.url) as ask:
        best = ask("plugin/scalars/scalars", run=".", tag="accuracy/best so far")
    assert best[-1][2] == 0.5


def test_no_pattern_looks_on_from_each_letter_of_a_word() -> None:
    """The script has words of a million letters, for which that takes seconds at each view of the page."""
    assert not [pattern for pattern, _ in CHANGES if pattern.lstrip(b"(").startswith(rb"\w")]


def test_the_page_shows_integers_and_logarithmic_axes(tmp_path: Path) -> None:
    """All of the changes apply to the version of TensorBoard that is installed."""
    import tensorboard as package

    with zipfile.ZipFile(Path(package.__file__).with_name("webfiles.zip")) as files:
        script = files.read("index.js")
    changed, taken = rewritten(script)
    assert taken == len(CHANGES)
    assert rewritten(b"another version") == (b"another version", 0)
    run = Project(str(tmp_path)).new_run("digits")[2]
    space = {"lr": {"type": "loguniform", "low": 0.1, "high": 1.0}, "units": {"type": "integer", "low": 1, "high": 8}}
    whole_run(run, space=space)
    deliver(run)
    server = TensorBoardServer(run.url)
    try:
        url = server.url(START_S)
        with urllib.request.urlopen(f"{url}index.js", timeout=START_S) as answer:
            assert answer.read() == changed
        request = urllib.request.Request(f"{url}index.js", headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=START_S) as answer:
            assert gzip.decompress(answer.read()) == changed
    finally:
        server.close()
