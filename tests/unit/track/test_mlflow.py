"""What MLflow is told, with an SQLite database in this process."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from PIL import Image

from hopslite import cli
from hopslite.core.redaction import without_credentials
from hopslite.core.types import Result, State
from hopslite.storage import driver_lease
from hopslite.storage.annotations import Notes
from hopslite.storage.journal import JournalReader
from hopslite.storage.journal_writer import JournalWriter
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from hopslite.track import __main__ as track_main
from hopslite.track import mlflow
from hopslite.track._base import Context, redact
from hopslite.track._delivery import Delivery
from hopslite.track._mlflow_client import Connection, Rejected, Write, target_uri
from hopslite.track._mlflow_keys import key_of, keys_of
from hopslite.track._mlflow_view import VIEW_TAG, prepared_view
from hopslite.track._space_table import space_table
from tests.helpers.observe import PATIENCE_S
from tests.helpers.servers import SPACE, T0, Script, empty_database, free_port, mlflow_client, read_mlflow, whole_run


@pytest.fixture(autouse=True)
def quick_and_quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own imports, in threads too
        yield


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One for all tests here."""
    return empty_database(tmp_path_factory.mktemp("mlflow") / "mlflow.db")


class Delivered:
    """A journal's delivery in a thread of this process."""

    def __init__(self, run: RunDir, uri: str | None, name: str = "mlflow", grace: float = 0.0) -> None:
        self.warnings: list[str] = []
        self.told: list[dict[str, Any]] = []
        ending = threading.Event()
        ending.set()
        context = Context(run, uri, self.told.append, self.warnings.append)
        delivery = Delivery(name, context, ending, grace=grace)
        delivery.start()
        delivery.join(120)
        self.ok = delivery.delivered


def new_run(project: Path | str) -> RunDir:
    return Project(str(project)).new_run("digits")[2]


def artifacts(uri: str, run_id: str, folder: str | None = None) -> dict[str, int]:
    """The files in a run's folder in MLflow, with their sizes."""
    return {entry.path: entry.file_size for entry in mlflow_client(uri).list_artifacts(run_id, folder)}


def test_what_a_run_was_made_from_and_its_plots(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    whole_run(run, name="files")
    files = {name: name.encode() for name in ("program.ipynb", "code.zip", "environment.txt", "plots/importance.png")}
    run.makedirs("plots")
    for name, content in {**files, "plan.pkl": b"secret"}.items():
        run.write_bytes(name, content)

    assert Delivered(run, database).ok

    parent = read_mlflow(database, "files")[None].info.run_id
    assert artifacts(database, parent).keys() == {"program.ipynb", "code.zip", "environment.txt", "plots"}
    assert artifacts(database, parent, "plots") == {"plots/importance.png": len(files["plots/importance.png"])}


def test_plots_that_are_drawn_later(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "ATTACH_SECONDS", 3.0)
    run = new_run(tmp_path)
    run.write_json("run.json", {"name": "late"})
    run.makedirs("late")
    run.write_bytes("late/index.html", b"<p>")
    assert not mlflow.attach(run, ["late/index.html"], database)  # MLflow is never told of it

    monkeypatch.setattr(mlflow, "ATTACH_SECONDS", 60.0)
    attached: list[bool] = []
    attaching = threading.Thread(target=lambda: attached.append(mlflow.attach(run, ["late/index.html"], database)))
    attaching.start()
    whole_run(run, name="late")
    run.write_bytes("late/index.html", b"<p>again")
    assert Delivered(run, database).ok
    attaching.join(60)

    assert attached == [True]
    parent = read_mlflow(database, "late")[None].info.run_id
    assert artifacts(database, parent, "late") == {"late/index.html": len(b"<p>again")}


def picture(form: str, mode: str = "RGB") -> bytes:
    content = io.BytesIO()
    Image.new(mode, (30, 20), 1).save(content, form)
    return content.getvalue()


def test_pictures_are_among_the_charts(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    pictures = {
        "confusion.png": picture("PNG"),
        "deep/er/photo (1).JPG": picture("JPEG", "CMYK"),
        "mask.webp": picture("WEBP", "RGBA"),
        "no picture.png": b"\x89PNG",
        "empty.gif": b"",
        "cut.jpeg": picture("JPEG")[:-200],
        "text.txt": b"text",
    }
    for name, content in pictures.items():
        run.makedirs(f"trials/0000/{os.path.dirname(name)}")
        run.write_bytes(f"trials/0000/{name}", content)
    script = Script(run, name="pictures")
    script.begin()
    script.trial("0000")
    script.end("0000", artifacts=(*pictures, "missing.png"))
    script.finish()
    script.close()

    delivered = Delivered(run, database)

    assert (delivered.ok, delivered.warnings) == (True, [])
    trial = read_mlflow(database, "pictures")["0000"]
    shown = {path.partition("+")[0] for path in artifacts(database, trial.info.run_id, "images")}
    assert shown == {"images/confusion.png", "images/deep~er~photo _1_.JPG-a458ef", "images/mask.webp"}
    assert trial.data.tags["mlflow.loggedImages"] == "True"
    before = artifacts(database, trial.info.run_id, "images")
    Connection(database, run, "pictures").show_images(trial.info.run_id, run.sub("trials", "0000"), pictures)
    assert artifacts(database, trial.info.run_id, "images") == before  # a delivery that broke off is made again
    assert artifacts(database, trial.info.run_id)["no picture.png"] == 4  # as the trial left it


def test_nothing_from_outside_of_a_run_is_uploaded(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path / "project")
    (tmp_path / "secret.png").write_bytes(picture("PNG"))
    outside = [f"{tmp_path}/secret.png", os.path.relpath(tmp_path / "secret.png", run.path("trials", "0000"))]
    outside += [f"../../../../../../../../{tmp_path}/secret.png"]  # from wherever it is looked for
    run.makedirs("trials/0000")
    script = Script(run, name="outside")
    script.begin()
    script.trial("0000")
    script.end("0000", artifacts=tuple(outside))
    for stray in ("../../../..", "0001"):
        script.trial("0001")
        script.end(stray, artifacts=("secret.png",))
    script.add("ended", "0001", **Result("../../../..", State.FINISHED, 0.5, artifacts=("secret.png",)).to_json())
    script.finish()
    script.close()

    assert Delivered(run, database).ok
    found = read_mlflow(database, "outside")
    assert found.keys() == {None, "0000", "0001"}
    assert [artifacts(database, each.info.run_id) for each in found.values()] == [{}, {}, {}]


def test_the_description_leads_to_tensorboard(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    script = Script(run, name="linked", project="/a project")
    script.begin()
    script.add("tensorboard", url="http://127.0.0.1:6006/")
    script.trial("0000")
    script.end("0000")
    script.finish()
    script.close()

    assert Delivered(run, database).ok

    def note() -> tuple[str, str]:
        tags = read_mlflow(database, "linked")[None].data.tags
        return tags["mlflow.note.content"], tags["hopslite.tensorboard"]

    link = (
        "TensorBoard: [http://127.0.0.1:6006/](http://127.0.0.1:6006/) while the driver is there; later "
        f"`hopslite tensorboard {script.data['run_id']} --project '/a project'`"
    )
    table = space_table(SPACE)
    assert note() == (f"a search\n\n{table}\n\n{link}", "http://127.0.0.1:6006/")
    Notes(text="a better one").write(run)
    assert Delivered(run, database).ok
    assert note()[0] == f"a better one\n\n{table}\n\n{link}"


def test_its_pages_are_those_for_training(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    whole_run(run, name="kind")
    assert Delivered(run, database).ok
    kind = mlflow_client(database).get_experiment_by_name("kind").tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"


def own_metrics(run: Any) -> dict[str, float]:
    """Metrics of a run in MLflow, without those of the system."""
    return {name: value for name, value in run.data.metrics.items() if not name.startswith("system/")}


def test_parent_and_children(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    whole_run(run, name="parents", program="train.py")

    delivered = Delivered(run, database)

    assert (delivered.ok, delivered.warnings) == (True, [])
    found = read_mlflow(database, "parents")
    parent = found[None]
    assert parent.info.run_name == "parents v1"
    assert parent.info.start_time == (T0 + 0.25) * 1000
    assert parent.data.params["direction"] == "MAX"
    assert parent.data.tags["best/lr"] == "0.25"
    assert json.loads(parent.data.params["space/act"]) == SPACE["act"]
    assert parent.data.metrics == {"accuracy": 0.5}
    note = f"a search\n\n{space_table(SPACE)}"
    expected = {"team": "vision", "mlflow.note.content": note, "mlflow.source.name": "train.py"}
    assert expected.items() <= parent.data.tags.items()
    failed = found["0002"]
    assert failed.info.run_name == "0002"
    assert failed.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert failed.data.tags["hopslite.error"] == "ValueError: no"
    assert found["0001"].data.tags["hopslite.state"] == "STOPPED"
    assert found["0001"].data.tags["hopslite.generation"] == "1"
    assert found["0000"].data.metrics["system/cpu_percent"] == 50.0
    assert found["0000"].info.end_time - found["0000"].info.start_time > 0
    assert run.read_json("mlflow.json")["run_id"] == parent.info.run_id
    assert {"mlflow_run_id": parent.info.run_id} in delivered.told


def test_tags_and_a_note_that_were_given_later(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    whole_run(run, name="noted")
    assert Delivered(run, database).ok
    Notes({"team": "audio", "owner": "me"}, "a better one").write(run)
    assert Delivered(run, database).ok
    tags = read_mlflow(database, "noted")[None].data.tags
    note = f"a better one\n\n{space_table(SPACE)}"
    assert {"team": "audio", "owner": "me", "mlflow.note.content": note}.items() <= tags.items()


def test_the_commands_tell_of_tags_and_notes(
    tmp_path: Path, database: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path)
    script = Script(run, name="told")
    script.begin()
    script.add("tensorboard", url="http://127.0.0.1:6006/")
    script.finish()
    script.close()
    record = {"run_id": script.data["run_id"], "name": "told", "description": "a search", "tags": {"team": "vision"}}
    record |= {"version": 1, "state": "FINISHED", "space": SPACE}
    run.write_json(
        "run.json", {**record, "tensorboard_url": "http://127.0.0.1:6006/", "project": script.data["project"]}
    )
    assert Delivered(run, database).ok
    before = read_mlflow(database, "told")[None].data.tags
    capfd.readouterr()  # MLflow tells of the tables that it makes
    monkeypatch.setenv("HOPSLITE_TRACKING_URI", "http://127.0.0.1:9/another")  # which does not have the run

    def told(*words: str) -> dict[str, str]:
        assert cli.main([words[0], run.url, *words[1:]]) == 0
        assert capfd.readouterr().err == ""
        return dict(read_mlflow(database, "told")[None].data.tags)

    told("tag", "a b=1", "a?b=2", "a_b=3", "owner=me", "team=audio")
    tags = told("note", "better")
    assert {name: tags[name] for name in ("a b", "a_b", key_of("a?b"), "owner", "team")} == {
        "a b": "1", "a_b": "3", key_of("a?b"): "2", "owner": "me", "team": "audio",
    }  # fmt: skip
    assert tags["mlflow.note.content"] == before["mlflow.note.content"].replace("a search", "better")
    told("tag", "-d", "owner", "-d", "a?b", "-d", "a b", "-d", "a_b")
    assert told("note", "") == {**before, "team": "audio"}

    run.write_json("mlflow.json", {**run.read_json("mlflow.json"), "tracking_uri": f"sqlite:///{tmp_path}/gone.db"})
    assert cli.main(["tag", run.url, "b=2"]) == 0
    said = capfd.readouterr().err
    assert f"MLflow could not be told (MLflow's database {tmp_path}/gone.db is not there any more)" in said
    assert f"hopslite track {run.url.rpartition('/')[2]}" in said and not (tmp_path / "gone.db").exists()


def test_a_run_on_another_file_system_has_its_artifacts(database: str) -> None:
    fsspec.filesystem("memory").store.clear()
    run = new_run("memory://project")
    whole_run(run, name="elsewhere")

    assert Delivered(run, database).ok
    client = mlflow_client(database)
    child = read_mlflow(database, "elsewhere")["0000"].info.run_id
    names = {file.path for file in client.list_artifacts(child)}
    assert names == {"plot.png", "output.log", ".outputs.json"}


def test_without_a_place_for_a_database_one_warning(tmp_path: Path) -> None:
    fsspec.filesystem("memory").store.clear()
    run = new_run("memory://project")
    whole_run(run)

    delivered = Delivered(run, None)

    assert not delivered.ok
    assert len(delivered.warnings) == 1
    assert "MLFLOW_TRACKING_URI" in delivered.warnings[0]
    assert delivered.told == [{"unavailable": "mlflow"}]


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`hopslite track` changes the process that it has for itself."""
    monkeypatch.setattr(track_main, "prepare_environment", lambda: None)
    monkeypatch.setattr(track_main, "disable_tensorflow", lambda: None)
    for name in ("MLFLOW_TRACKING_URI", "HOPSLITE_TRACKING_URI"):
        monkeypatch.setenv(name, "")  # and back to what it was
    monkeypatch.chdir(tmp_path)


def names_in(uri: str) -> set[str]:
    return {experiment.name for experiment in mlflow_client(uri).search_experiments()}


@pytest.mark.usefixtures("in_this_process")
class TestTrackCommand:
    @pytest.mark.parametrize("said", ["argument", "variable", "hopslite.toml", "mlflow.json"])
    def test_the_server_is_what_says_it_first(
        self, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch, said: str
    ) -> None:
        run = new_run(tmp_path / "project")
        whole_run(run, name=f"told by {said}")
        places = ["mlflow.json", "hopslite.toml", "variable", "argument"]
        uris = dict.fromkeys(places[: places.index(said)], "http://127.0.0.1:1") | {said: database}
        arguments = ["--tracking-uri", uris["argument"]] if "argument" in uris else []
        run.write_json("mlflow.json", {"tracking_uri": uris["mlflow.json"]})
        if "hopslite.toml" in uris:
            (tmp_path / "hopslite.toml").write_text(f'tracking_uri = "{uris["hopslite.toml"]}"')
        if "variable" in uris:
            monkeypatch.setenv("HOPSLITE_TRACKING_URI", uris["variable"])
        assert cli.main(["track", run.url, *arguments]) == 0
        assert f"told by {said}" in names_in(database)

    def test_a_run_that_goes_on_is_refused(
        self, tmp_path: Path, database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fsspec.filesystem("memory").store.clear()
        for number, place in enumerate((tmp_path, "memory://project")):
            run = new_run(place)
            script = Script(run, name=f"going on {number}")
            script.begin()
            script.trial("0000")
            script.close()
            session = driver_lease.claim(run)
            try:
                assert cli.main(["track", run.url, "--tracking-uri", database]) == 1
            finally:
                session.release()
            assert "RunIsRunning" in capsys.readouterr().err
            assert f"going on {number}" not in names_in(database)
            assert not run.exists("mlflow.json")
            assert cli.main(["track", run.url, "--tracking-uri", database]) == 0
            assert read_mlflow(database, f"going on {number}")["0000"].info.status == "KILLED"

    def test_of_a_driver_elsewhere_it_waits_for_a_sign(
        self, tmp_path: Path, database: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = new_run(tmp_path)
        whole_run(run, name="elsewhere, dead")
        run.makedirs("sessions")
        run.write_json("sessions/0001.json", {"pid": 7, "host": "elsewhere", "token": "another", "period": 0.25})
        assert cli.main(["track", run.url, "--tracking-uri", database]) == 0
        assert "process 7 on host elsewhere" in capsys.readouterr().err

    def test_without_an_address_it_has_failed(self, capsys: pytest.CaptureFixture[str]) -> None:
        fsspec.filesystem("memory").store.clear()
        run = new_run("memory://project")
        whole_run(run)
        assert cli.main(["track", run.url]) == 1
        assert "this run is not tracked in MLflow" in capsys.readouterr().err

    def test_off_means_that_others_are_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "hopslite.toml").write_text('tracking_uri = "off"')
        run = new_run(tmp_path / "project")
        whole_run(run)
        assert cli.main(["track", run.url]) == 0
        assert "MLflow is told nothing" in capsys.readouterr().err
        assert not run.exists("mlflow.json")
        assert list((tmp_path / "project").rglob("*tfevents*"))


def test_what_mlflow_would_refuse_is_made_to_fit(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    script = Script(run, name="odd", tags={"with?mark": "x" * 9000})
    script.begin()
    script.trial("0000", **{"läyer/../size": "v" * 9000, "a:b": [1, {"c": None}], "p?": 1, "p!": 2})
    outputs = {"loss%": math.nan, "gain": math.inf, "n": 10**400, "flag": True, "text": "t"}
    script.end("0000", metric=0.5, outputs=outputs)
    script.finish()
    script.close()

    delivered = Delivered(run, database)

    assert (delivered.ok, delivered.warnings) == (True, [])
    child = read_mlflow(database, "odd")["0000"]
    assert child.data.params["a:b"] == '[1, {"c": null}]'
    assert (child.data.params[key_of("p?")], child.data.params[key_of("p!")]) == ("1", "2")
    assert any(value.startswith("vvv") for value in child.data.params.values())
    assert {key_of("loss%"), "gain", "accuracy"} <= child.data.metrics.keys()
    assert math.isnan(child.data.metrics[key_of("loss%")])
    assert not {"n", "flag", "text"} & child.data.metrics.keys()


def test_several_metrics_and_the_front_which_may_change_with_a_resume(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    objectives = [{"name": "accuracy", "direction": "MAX"}, {"name": "latency", "direction": "MIN"}]
    script = Script(run, name="front", direction=None, optimization_key=None, objectives=objectives)
    script.begin()
    for number in range(3):
        name = f"{number:04d}"
        script.trial(name, reports=0)
        metrics = {"accuracy": number / 4, "latency": 2.0}
        script.end(name, metric=None, metrics=metrics, outputs=metrics)
        ended = {"state": "KILLED", "best_trial": None, "metric": None, "pareto_trials": [name]}
        if number:
            script.add("run_ended", **ended)
            script.add("resumed", fresh=False, session=number + 1)
    script.add("run_ended", **{**ended, "state": "FINISHED", "pareto_trials": ["0000", "0002"]})
    script.close()

    assert Delivered(run, database).ok
    seen = read_mlflow(database, "front")
    assert own_metrics(seen["0001"]) == {"accuracy": 0.25, "latency": 2.0}
    assert {name: seen[name].data.tags.get("hopslite.pareto") for name in ("0000", "0001", "0002")} == {
        "0000": "true",
        "0001": "false",
        "0002": "true",
    }
    assert seen[None].data.params["objectives"] == "accuracy (max), latency (min)"
    assert seen[None].data.tags["hopslite.pareto_trials"] == "0000, 0002"
    assert not {"metric", "accuracy"} & seen[None].data.metrics.keys()


def test_many_values_go_in_batches(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    script = Script(run, name="many")
    script.begin()
    script.trial("0000", reports=1500, **{f"p{number}": number for number in range(150)})
    script.end("0000")
    script.finish()
    script.close()

    assert Delivered(run, database).ok
    child = read_mlflow(database, "many")["0000"]
    assert len(child.data.params) == 153
    history = mlflow_client(database).get_metric_history(child.info.run_id, "accuracy")
    assert [point.step for point in history] == [*range(1500), 1499]


def test_a_killed_run_can_go_on(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    script = Script(run, name="resumed")
    script.begin()
    script.trial("0000")
    script.end("0000")
    script.trial("0001")
    script.close()
    assert Delivered(run, database).ok
    killed = read_mlflow(database, "resumed")

    script = Script(run, name="resumed")
    script.begin()
    script.trial("0001")
    script.end("0001", metric=0.75)
    script.finish(best="0001", metric=0.75)
    script.close()
    assert Delivered(run, database).ok
    resumed = read_mlflow(database, "resumed")

    assert (killed[None].info.status, killed["0001"].info.status) == ("KILLED", "KILLED")
    assert {run.info.status for run in resumed.values()} == {"FINISHED"}
    assert {trial: r.info.run_id for trial, r in resumed.items()} == {t: r.info.run_id for t, r in killed.items()}


class Following:
    """A tracker that follows a run whose driver lives: `flush` tells it what is in the journal by now."""

    def __init__(self, run: RunDir, uri: str) -> None:
        self._events = JournalReader(run)
        self._tracker = mlflow.Mlflow(Context(run, uri, lambda _: None, pytest.fail))

    def flush(self) -> None:
        self._tracker.handle(list(self._events.new()))
        self._tracker.flush()


def with_a_failure(run: RunDir, name: str) -> Script:
    """The journal of a run that has ended, with a trial that failed."""
    script = Script(run, name=name)
    script.begin()
    script.trial("0000", lr=0.25, act="tanh", depth=2)
    script.end("0000")
    script.trial("0001", reports=1)
    run.makedirs("trials/0001")
    run.write_bytes("trials/0001/shot.png", picture("PNG"))
    script.end("0001", State.FAILED, None, error="ValueError: no", cause="exception", artifacts=("shot.png",))
    script.finish(State.FAILED)
    script.close()
    return script


def go_on(run: RunDir, ended: Script) -> Script:
    """A later driver's journal."""
    script = Script(run, name=ended.data["name"])
    script.time = ended.time
    script.add("resumed", fresh=False, session=2)
    return script


@pytest.mark.parametrize("how", ["told at its end", "told all along", "told by a process that had seen the first end"])
def test_a_failed_trial_that_is_run_again(tmp_path: Path, database: str, how: str) -> None:
    run = new_run(tmp_path)
    name = f"again, {how}"
    first = with_a_failure(run, name)
    assert Delivered(run, database).ok
    failed = read_mlflow(database, name)
    same_process = Following(run, database)
    if how == "told by a process that had seen the first end":
        same_process.flush()

    script = go_on(run, first)
    script.add("again", "0001")
    script.add("started", "0001", host="worker", attempt=1, gpus=[])
    script.writer.close()
    if how != "told at its end":
        same_process.flush()
        now = read_mlflow(database, name)
        assert (now[None].info.status, now["0001"].info.status) == ("RUNNING", "RUNNING")
        assert not {"hopslite.state", "hopslite.error", "hopslite.cause"} & {
            *now[None].data.tags,
            *now["0001"].data.tags,
        }
    script.writer = JournalWriter(run)
    script.add("report", "0001", step=0, value=0.75)
    run.write_bytes("trials/0001/output.log", b"better\n")
    script.end("0001", metric=0.75, artifacts=("shot.png",))
    script.finish(best="0001", metric=0.75)
    script.close()
    if how == "told at its end":
        assert Delivered(run, database).warnings == []
    else:
        same_process.flush()
    told = read_mlflow(database, name)
    assert Delivered(run, database).warnings == []  # and once more
    again = read_mlflow(database, name)

    assert (failed[None].info.status, failed["0001"].info.status) == ("FAILED", "FAILED")
    for found in (told, again):
        trial, parent = found["0001"], found[None]
        assert (trial.info.run_id, parent.info.run_id) == (failed["0001"].info.run_id, failed[None].info.run_id)
        assert {each.info.status for each in found.values()} == {"FINISHED"}
        assert (trial.data.tags["hopslite.state"], trial.data.tags["hopslite.attempt"]) == ("FINISHED", "1")
        assert not {"hopslite.error", "hopslite.cause"} & trial.data.tags.keys()
        assert own_metrics(trial) == {"accuracy": 0.75, "loss": 2.0}
        assert artifacts(database, trial.info.run_id)["output.log"] == len(b"better\n")
        shots = [path for path in artifacts(database, trial.info.run_id, "images") if path.endswith(".png")]
        assert sorted(path.partition("+timestamp")[0] for path in shots) == [
            f"images/shot.png+step+{n}" for n in (0, 1)
        ]
        assert (parent.data.tags["hopslite.best_trial"], parent.data.metrics["accuracy"]) == ("0001", 0.75)
        best = {name: value for name, value in parent.data.tags.items() if name.startswith("best/")}
        assert best == {"best/lr": "0.5", "best/units": "3", "best/act": "relu"}  # and no more of the one before


def test_an_end_is_told_once(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads: list[str] = []
    upload = Connection.upload
    monkeypatch.setattr(Connection, "upload", lambda self, *rest: [uploads.append(rest[0]), upload(self, *rest)])
    run = new_run(tmp_path)
    run.write_bytes("program.py", b"pass")
    following = Following(run, database)
    first = with_a_failure(run, "once")
    following.flush()
    following.flush()
    parent = read_mlflow(database, "once")[None].info.run_id
    assert uploads.count(parent) == 1

    script = go_on(run, first)
    script.trial("0002")
    script.writer.close()
    for _ in range(2):
        following.flush()
        assert read_mlflow(database, "once")[None].info.status == "RUNNING"
    assert uploads.count(parent) == 1
    script.writer = JournalWriter(run)
    script.end("0002")
    script.finish()
    script.close()
    following.flush()
    assert uploads.count(parent) == 2
    assert read_mlflow(database, "once")[None].info.status == "FINISHED"


@pytest.mark.parametrize(("record", "status"), [({"state": "RUNNING"}, "KILLED"), ({"state": "FAILED"}, "FAILED")])
def test_a_resumption_that_came_to_nothing(tmp_path: Path, database: str, record: dict[str, Any], status: str) -> None:
    """Its driver has died, or has put the record back."""
    run = new_run(tmp_path)
    name = f"nothing but {status}"
    first = with_a_failure(run, name)
    assert Delivered(run, database).ok
    run.write_json("run.json", record)
    go_on(run, first).close()
    assert Delivered(run, database).ok
    assert read_mlflow(database, name)[None].info.status == status


def test_a_killed_trial_that_goes_on_loses_what_its_end_had_said(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    first = Script(run, name="killed")
    first.begin()
    first.trial("0000")
    first.end("0000", State.KILLED, None, error="given up", cause="killed")
    first.finish(State.KILLED, None, None)
    first.close()
    assert Delivered(run, database).ok
    script = go_on(run, first)
    script.add("started", "0000", host="worker", attempt=1, gpus=[])
    script.writer.close()
    Following(run, database).flush()
    assert {each.info.status for each in read_mlflow(database, "killed").values()} == {"RUNNING"}
    script.writer = JournalWriter(run)
    script.end("0000")
    script.finish()
    script.close()
    assert Delivered(run, database).ok
    found = read_mlflow(database, "killed")
    assert {each.info.status for each in found.values()} == {"FINISHED"}
    assert not {"hopslite.error", "hopslite.cause"} & found["0000"].data.tags.keys()


def test_an_imported_run_has_the_name_that_its_record_says(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    run.write_json("run.json", {"name": "renamed", "version": 5, "project": "/elsewhere", "state": "FINISHED"})
    whole_run(run, name="digits", version=3, project="/home")
    assert Delivered(run, database).ok
    parent = read_mlflow(database, "renamed")[None]
    assert (parent.info.run_name, parent.data.tags["hopslite.version"]) == ("renamed v5", "5")


def test_a_deleted_experiment_is_restored(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    client = mlflow_client(database)
    identifier = client.create_experiment("deleted", artifact_location=str(tmp_path))
    client.delete_experiment(identifier)
    whole_run(run, name="deleted")

    assert Delivered(run, database).ok
    assert read_mlflow(database, "deleted")[None].info.experiment_id == identifier


def test_artifacts_of_a_database_are_in_the_project(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "cwd"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    run = new_run(tmp_path / "project")
    whole_run(run, name="my run/one")

    assert Delivered(run, database).ok
    assert len(list((tmp_path / "project/mlartifacts").rglob("plot.png"))) == 1
    assert os.listdir(elsewhere) == []


def test_a_refused_artifact_is_one_warning(tmp_path: Path, database: str) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where a directory should be")
    mlflow_client(database).create_experiment("blocked", artifact_location=str(blocked / "below"))
    run = new_run(tmp_path)
    whole_run(run, name="blocked")

    delivered = Delivered(run, database)

    assert delivered.ok
    assert len(delivered.warnings) == 1
    assert "artifacts could not be stored" in delivered.warnings[0]
    assert {child.info.status for child in read_mlflow(database, "blocked").values()} == {
        "FINISHED",
        "FAILED",
        "KILLED",
    }


def test_a_dead_server_is_given_up_with_the_command(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    whole_run(run)
    uri = f"http://ada:s3cr3t@127.0.0.1:{free_port()}"

    delivered = Delivered(run, uri)

    assert not delivered.ok
    assert len(delivered.warnings) == 1
    assert "Connection refused" in delivered.warnings[0]
    assert f"-m hopslite.track {run.url}" in delivered.warnings[0]
    assert "s3cr3t" not in delivered.warnings[0] + run.read_bytes("mlflow.json").decode()
    assert target_uri(run, None) == without_credentials(uri)  # the later delivery goes to the same server


def test_messages_lose_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-123")
    text = "GET http://ada:p%40w@host failed:\n  p@w is wrong, tok-123 too, see https://x:y@z/"
    assert (
        redact(text, "http://ada:p%40w@host")
        == "GET http://host failed: (redacted) is wrong, (redacted) too, see https://z/"
    )
    uri = "mysql://u:pa/s?@host/db?ssl_key=geheim"
    text = f"({uri}) refused pa/s?, geheim; see mysql://u:pa/s?@other/db?ssl_key=x"
    assert redact(text, uri) == "(mysql://host/db refused (redacted), (redacted); see mysql://other/db"


def test_keys_are_valid_and_different() -> None:
    names = ["a b", "a?", "a!", "..", "/x", "", "x" * 300, "x" * 301, "ü", "p@k", "p_k", "p?k"]
    keys = keys_of(names)
    assert len(set(keys.values())) == len(names)
    assert all(keys[name] == name for name in ("a b", "ü", "p_k"))
    assert all(0 < len(key) <= 250 and not key.startswith(("/", "..")) for key in keys.values())


def test_a_name_that_mlflow_refuses_never_takes_the_place_of_a_valid_one(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    script = Script(run, name="similar")
    script.begin()
    for trial, name in (("0000", "p@k"), ("0001", "p_k")):
        script.trial(trial, reports=0)
        script.add("report", trial, step=0, value=0.5, metrics={"accuracy": 0.5, name: 0.25}, attempt=0)
    script.end("0000", outputs={"p_k": 0.75, "p@k": 0.25})
    script.end("0001", outputs={"p_k": 0.25})
    script.finish()
    script.close()

    assert Delivered(run, database).ok

    seen = read_mlflow(database, "similar")
    assert own_metrics(seen["0000"]) == {"accuracy": 0.5, key_of("p@k"): 0.25, "p_k": 0.75}
    assert own_metrics(seen["0001"]) == {"accuracy": 0.5, "p_k": 0.25}


def test_the_best_so_far_is_the_curve_of_the_run(tmp_path: Path, database: str) -> None:
    run = new_run(tmp_path)
    script = Script(run, name="curve")
    script.begin()
    for number, metric in enumerate((0.25, 0.125, 0.75, 0.5)):
        script.trial(f"{number:04d}")
        script.end(f"{number:04d}", metric=metric)
    script.add("run_ended", state="FINISHED", best_trial="0002", metric=0.75)
    script.close()

    for _ in range(2):
        assert Delivered(run, database).ok
        parent = read_mlflow(database, "curve")[None]
        points = mlflow_client(database).get_metric_history(parent.info.run_id, "accuracy")
        assert [(point.step, point.value) for point in points] == [(1, 0.25), (3, 0.75), (4, 0.75)]
        assert parent.data.metrics == {"accuracy": 0.75}


class TestPreparedView:
    """The view that `hopslite ui` opens; tests/cluster/test_in_browser.py has what MLflow makes of it."""

    @staticmethod
    def view(database: str, name: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(mlflow_client(database).get_experiment_by_name(name).tags[VIEW_TAG])
        return value

    def test_has_the_metric_the_parameters_and_the_state(self, tmp_path: Path, database: str) -> None:
        run = new_run(tmp_path)
        whole_run(run, name="viewed", direction="MIN", optimization_key="top 1 %", objectives=None)
        assert Delivered(run, database).ok
        state = json.loads(self.view(database, "viewed")["state"])
        metric = f"metrics.`{key_of('top 1 %')}`"
        params = [f"params.`{name}`" for name in SPACE]
        tags = ["tags.`hopslite.state`", "tags.`hopslite.version`"]
        assert state["selectedColumns"] == ["attributes.`Duration`", metric, *params, *tags]
        assert (state["orderByKey"], state["orderByAsc"]) == (metric, True)
        assert state.items() <= self.view(database, "viewed").items()  # for MLflow 3.1
        assert run.read_json("mlflow.json")["view"] == "hopslite"
        stopped = read_mlflow(database, "viewed")["0001"]
        assert (stopped.info.status, stopped.data.tags["hopslite.version"]) == ("KILLED", "1")

    def test_has_as_many_columns_as_the_tag_can_hold(self) -> None:
        """MLflow 3.1 refuses a tag of an experiment with more than 5000 characters."""
        space = {f"{'x' * 100}{number}": {} for number in range(60)}
        view = prepared_view({"space": space, "direction": "MIN", "optimization_key": "loss"}, T0, None, ())
        assert len(view) <= 5000
        state = json.loads(json.loads(view)["state"])
        metric, first, *_ = state["selectedColumns"][1:]
        assert (metric, first) == ("metrics.`loss`", f"params.`{'x' * 100}0`")
        assert state["selectedColumns"][-1] == "tags.`hopslite.version`"

    def test_is_of_the_latest_run_unless_a_user_has_changed_it(self, tmp_path: Path, database: str) -> None:
        def deliver(started: float, key: str) -> str:
            run = new_run(tmp_path)
            script = Script(run, name="shared", optimization_key=key)
            script.time = started
            script.begin()
            script.close()
            assert Delivered(run, database).ok
            return str(json.loads(self.view(database, "shared")["state"])["orderByKey"])

        assert deliver(T0, "first") == "metrics.`first`"
        assert deliver(T0 + 100, "second") == "metrics.`second`"
        assert deliver(T0 + 50, "delivered late") == "metrics.`second`"
        client = mlflow_client(database)
        changed = {**self.view(database, "shared"), "updatedAt": 1}
        experiment = client.get_experiment_by_name("shared").experiment_id
        client.set_experiment_tag(experiment, VIEW_TAG, json.dumps(changed))
        assert deliver(T0 + 200, "third") == "metrics.`second`"
        client.set_experiment_tag(experiment, VIEW_TAG, "deflate;garbage")
        with pytest.raises(ValueError, match="Expecting value"):
            deliver(T0 + 300, "fourth")  # what is not ours stays


def test_a_refused_value_takes_no_others_with_it(tmp_path: Path, database: str) -> None:
    connection = Connection(database, new_run(tmp_path), "refused")
    run = connection.create("0000", T0, {"hopslite.run_id": "refused"})
    connection.log(run.id, Write({"lr": 0.1}))
    with pytest.raises(Rejected):
        connection.log(run.id, Write({"lr": 0.2}, {"t": "v"}, [("m", 0.5, T0, 0)]))
    data = mlflow_client(database).get_run(run.id).data
    assert (data.params, data.tags["t"], data.metrics) == ({"lr": "0.1"}, "v", {"m": 0.5})


def test_writing_the_same_twice_changes_nothing(tmp_path: Path, database: str) -> None:
    connection = Connection(database, new_run(tmp_path), "twice")
    run = connection.create("0000", T0, {"hopslite.run_id": "r"})
    write = Write({"lr": 0.1}, {"t": "v"}, [("m", 0.5, T0, 0), ("m", 0.5, T0, 0), ("m", 0.75, T0 + 1, 1)])

    connection.log(run.id, write)
    connection.log(run.id, write)
    connection.terminate(run.id, "FINISHED", T0 + 2)

    history = mlflow_client(database).get_metric_history(run.id, "m")
    assert [(point.step, point.value) for point in history] == [(0, 0.5), (1, 0.75)]
    assert connection.find("r")[None].status == State.FINISHED.value


KILLED = """
import os, signal, sys, threading
from sqlalchemy import event
from sqlalchemy.engine import Engine
from hopslite.storage.run_directory import RunDir
from hopslite.track import deliver, prepare_environment

@event.listens_for(Engine, "before_cursor_execute")
def kill(connection, cursor, statement, parameters, context, executemany):
    if "CREATE TABLE _alembic_tmp_" in statement:
        cursor.execute(statement, parameters)
        connection.connection.commit()
        os.kill(os.getpid(), signal.SIGKILL)

prepare_environment()
over = threading.Event()
over.set()
deliver(RunDir(sys.argv[1]), ["mlflow"], over, print)
"""


@pytest.mark.slow("MLflow")
def test_a_process_that_is_killed_while_it_makes_the_tables_leaves_no_database(project: str) -> None:
    run = Project(project).new_run("digits")[2]
    whole_run(run)
    killed = subprocess.run([sys.executable, "-c", KILLED, run.url], check=False, timeout=PATIENCE_S)
    assert killed.returncode == -signal.SIGKILL
    assert track_main.main([run.url, "--tracker", "mlflow"]) == 0
    assert set(read_mlflow(f"sqlite:///{project}/mlflow.db")) == {None, "0000", "0001", "0002"}
    assert sorted(path.name for path in Path(project).glob(".mlflow.db*")) == [".mlflow.db.lock"]
