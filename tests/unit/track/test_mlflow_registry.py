"""Models in MLflow's registry: found and loaded by MLflow itself, and never a reason for an export to fail."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopslite import experiment, model, track
from hopslite.storage.project import Project
from hopslite.track._base import Context
from hopslite.track._delivery import Delivery
from hopslite.track._mlflow_registry import stages
from tests.helpers.observe import PATIENCE_S
from tests.helpers.servers import MlflowServer, empty_database, free_port, mlflow_client, read_mlflow, until, whole_run

LOADS = """
import json, sys, mlflow
from sklearn.datasets import load_iris
found = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(found.predict(load_iris().data[::30]).tolist()))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as MLflow saves it."""
    from sklearn.datasets import load_iris
    from sklearn.tree import DecisionTreeClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.sklearn

        folder = tmp_path_factory.mktemp("saved") / "model"
        trained = DecisionTreeClassifier(random_state=0).fit(*load_iris(return_X_y=True))
        mlflow.sklearn.save_model(trained, str(folder), serialization_format="cloudpickle", pip_requirements=[])
    return folder


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One for all tests here."""
    return empty_database(tmp_path_factory.mktemp("mlflow") / "mlflow.db")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    found = MlflowServer(tmp_path_factory.mktemp("server"))
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def use(project: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says which MLflow is in use; None for the project's own."""

    def choose(uri: str | None) -> None:
        if uri is None:
            monkeypatch.delenv("HOPSLITE_TRACKING_URI")
        else:
            monkeypatch.setenv("HOPSLITE_TRACKING_URI", uri)

    return choose


def loaded(uri: str, name: str) -> list[int]:
    """What a model predicts that MLflow finds and loads by itself, in a process that knows nothing of hopslite."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    command = [sys.executable, "-W", "ignore", "-c", LOADS, name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [int(each) for each in json.loads(done.stdout.splitlines()[-1])]


def versions(uri: str, name: str) -> dict[int, Any]:
    client = mlflow_client(uri)
    found = client.search_model_versions(f'name="{name}"')
    return {int(each.version): client.get_model_version(name, each.version) for each in found}


def aliases(uri: str, name: str) -> dict[str, int]:
    return {alias: int(version) for alias, version in mlflow_client(uri).get_registered_model(name).aliases.items()}


@pytest.mark.slow("MLflow")
def test_the_projects_own_database(project: str, use: Any, saved: Path) -> None:
    use(None)
    exported = model.export(saved, "iris trees 100%", metrics={"accuracy": 0.96}, description="a tree")
    uri = f"sqlite:///{project}/mlflow.db"
    assert loaded(uri, "models:/iris trees 100%/1") == [0, 0, 1, 1, 2]
    (found,) = versions(uri, "iris trees 100%").values()
    assert found.source == Path(exported.path).as_uri()
    assert found.description == "a tree"
    assert found.tags["hopslite.version"] == "1"
    assert found.tags["metric.accuracy"] == "0.96"
    assert found.tags["hopslite.project"] == project
    assert not found.run_id


@pytest.mark.slow("MLflow")
def test_versions_of_ours_are_found_by_their_alias(use: Any, saved: Path, database: str) -> None:
    use(database)
    for version in (7, 3):
        model.export(saved, "numbered", version)
    assert aliases(database, "numbered") == {"hopslite-7": 1, "hopslite-3": 2}


@pytest.mark.slow("MLflow")
def test_stages_by_versions_of_ours(use: Any, saved: Path, database: str, project: str, tmp_path: Path) -> None:
    """Aliases that users gave, and stages; those that hopslite gives are none."""
    use(database)
    for version in (7, 3):
        model.export(saved, "staged", version)
    client = mlflow_client(database)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # stages are deprecated
        client.transition_model_version_stage("staged", "1", "Production")
    client.set_registered_model_alias("staged", "champion", "1")
    client.set_registered_model_alias("staged", "a-candidate", "1")
    assert stages(Project(project), "staged", database) == {"7": ["a-candidate", "champion", "Production"]}
    assert stages(Project(project), "other", database) == {}
    assert stages(Project(project), "staged", f"sqlite:///{tmp_path}/none.db") == {}
    assert not list(tmp_path.glob("*none.db*"))


@pytest.mark.slow("MLflow")
def test_stages_are_not_asked_of_an_mlflow_that_only_the_project_names(
    use: Any, saved: Path, database: str, tmp_path: Path
) -> None:
    """A link in the place of its database, or a record, may lead to somebody else's; MLflow sends credentials there."""
    use(database)
    project = Project(str(tmp_path / "project"))
    model.export(saved, "theirs", project=project.url)
    mlflow_client(database).set_registered_model_alias("theirs", "champion", "1")
    assert stages(project, "theirs", database) == {"1": ["champion"]}
    project.new_run("x")[2].write_json("mlflow.json", {"tracking_uri": database})
    assert stages(project, "theirs", None) == {}
    (tmp_path / "project" / "mlflow.db").symlink_to(database.removeprefix("sqlite:///"))
    assert stages(project, "theirs", None) == {}


@pytest.mark.slow("MLflow")
def test_a_replaced_version_stays_one_version(use: Any, saved: Path, database: str) -> None:
    use(database)
    model.export(saved, "replaced", metrics={"accuracy": 0.5})
    model.export(saved, "replaced", 1, overwrite=True, metrics={"accuracy": 0.75}, description="better")
    (found,) = versions(database, "replaced").values()
    assert (found.tags["metric.accuracy"], found.description) == ("0.75", "better")
    assert aliases(database, "replaced") == {"hopslite-1": 1}


@pytest.mark.slow("MLflow")
def test_the_mlflow_run_of_its_trial(project: str, use: Any, saved: Path, database: str) -> None:
    use(database)
    run = Project(project).new_run("digits")[2]
    whole_run(run)
    ending = threading.Event()
    ending.set()
    delivery = Delivery("mlflow", Context(run, database, lambda _: None, lambda _: None), ending, grace=0.0)
    delivery.start()
    delivery.join(120)
    assert delivery.delivered
    run_id = run.url.rpartition("/")[2]
    for trial, name in (("0001", "of a trial"), ("0009", "of a trial that MLflow does not know yet")):
        run.makedirs(f"trials/{trial}")
        run.upload({str(path): f"trials/{trial}/{path.name}" for path in saved.iterdir() if path.is_file()})
        model.export(run.path("trials", trial), name)
        (found,) = versions(database, name).values()
        known = read_mlflow(database)
        assert found.run_id == known[trial if trial in known else None].info.run_id
        assert (found.tags["hopslite.run_id"], found.tags["hopslite.trial_id"]) == (run_id, trial)


@pytest.mark.slow("MLflow")
def test_a_trial_uses_the_mlflow_of_its_run(use: Any, saved: Path, database: str, tmp_path: Path) -> None:
    def train() -> None:
        model.export(saved, "inside")

    other = f"sqlite:///{tmp_path}/other.db"
    use(other)
    experiment.launch(train, tracking_uri="off", pool="inline", display=False)
    assert not (tmp_path / "other.db").exists()
    use("off")
    experiment.launch(train, tracking_uri=database, pool="inline", display=False)
    (found,) = versions(database, "inside").values()
    assert found.tags["hopslite.version"] == "2"


@pytest.mark.slow("MLflow")
def test_a_server_gets_a_copy_of_what_is_only_on_this_machine(use: Any, saved: Path, server: MlflowServer) -> None:
    use(server.uri)
    model.export(saved, "iris", metrics={"accuracy": 0.5})
    model.export(saved, "iris", 1, overwrite=True, metrics={"accuracy": 0.75})
    found = versions(server.uri, "iris")
    assert found[2].tags["metric.accuracy"] == "0.75"
    assert found[1].tags["hopslite.replaced_by"] == "2"
    assert aliases(server.uri, "iris") == {"hopslite-1": 2}
    assert loaded(server.uri, "models:/iris@hopslite-1") == [0, 0, 1, 1, 2]


@pytest.mark.slow("soak")
def test_many_at_once(use: Any, saved: Path, project: str) -> None:
    """Also when none of them finds the database there."""
    use(None)
    threads = [threading.Thread(target=model.export, args=(saved, "crowded")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    uri = f"sqlite:///{project}/mlflow.db"
    assert {each.tags["hopslite.version"] for each in versions(uri, "crowded").values()} == {"1", "2", "3"}


@pytest.mark.slow("MLflow")
def test_without_waiting(use: Any, saved: Path, database: str) -> None:
    use(database)
    model.export(saved, "later", synchronous=False)
    until(lambda: versions(database, "later"), "the model is registered", 120)


@pytest.mark.slow("MLflow")
@pytest.mark.parametrize(
    "kind",
    ["away", *(pytest.param(kind, marks=pytest.mark.slow("matrix")) for kind in ("silent", "no database", "unknown"))],
)
def test_mlflows_failures_are_a_warning(
    use: Any, saved: Path, caplog: pytest.LogCaptureFixture, kind: str, tmp_path: Path
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # and never answers
        silent = f"http://joe:hunter2@127.0.0.1:{listener.getsockname()[1]}"
        away = f"http://joe:hunter2@127.0.0.1:{free_port()}"
        (tmp_path / "text.db").write_text("this is no database")
        uris = {"away": away, "silent": silent, "no database": f"sqlite:///{tmp_path}/text.db", "unknown": "nosuch://x"}
        use(uris[kind])
        began = time.monotonic()
        with caplog.at_level(logging.WARNING):
            exported = model.export(saved, "kept", synchronous_timeout=3 if kind == "silent" else 120)
    assert model.get_model("kept") == exported
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "version 1 of model 'kept' is exported, but is not in MLflow's model registry" in warning
    assert "hunter2" not in warning
    if kind == "silent":
        assert "within 3 s" in warning
        assert time.monotonic() - began < 60


def test_no_mlflow_means_none(use: Any, saved: Path, monkeypatch: pytest.MonkeyPatch, project: str) -> None:
    monkeypatch.setattr(track, "register_model", None)  # calling it would fail
    use("off")
    assert model.export(saved, "quiet").version == 1
    assert not Path(project, "mlflow.db").exists()
