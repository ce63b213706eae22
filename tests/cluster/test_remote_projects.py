"""Projects on S3 and HDFS, with executors that share nothing with the driver: real servers, also when they go away."""

from __future__ import annotations

import http.client
import json
import os
import signal
import tarfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from observe import Lines, eventually, text_of
from programs import Program
from proxy import Proxy
from servers import mlflow_client

from hopslite import experiment, model
from hopslite.errors import InvalidArguments
from hopslite.store import JournalReader, Project, RunDir
from hopslite.store.filesystems import forget_connections

AWAY_S = 10.0


@pytest.fixture(params=["s3", "hdfs"])
def remote(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server of each kind, which this process can reach; `fresh()` is a new directory on it."""
    yield from reached(request.getfixturevalue({"s3": "s3", "hdfs": "hdfs_server"}[request.param]), monkeypatch)


@pytest.fixture
def bucket(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    yield from reached(s3, monkeypatch)


def reached(server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    forget_connections()
    yield server
    forget_connections()


def ends(run: RunDir) -> Counter[str]:
    return Counter(str(event.trial) for event in JournalReader(run).new() if event.kind == "ended")


def starts(run: RunDir) -> Counter[str]:
    return Counter(str(event.trial) for event in JournalReader(run).new() if event.kind == "started")


def fits(units: int) -> dict[str, Any]:
    """A small Keras model on real images, with TensorBoard, a checkpoint and a file that is returned."""
    import keras
    from sklearn.datasets import load_digits

    from hopslite import experiment, tensorboard

    images, labels = load_digits(return_X_y=True)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    logdir = tensorboard.logdir()
    assert logdir is not None
    fitted = model.fit(
        images[:600] / 16, labels[:600], epochs=2, verbose=2, callbacks=[keras.callbacks.TensorBoard(logdir)]
    )
    model.save(f"{experiment.checkpoint_dir()}/last model.keras")
    with open("history.json", "w", encoding="utf-8") as file:
        json.dump(fitted.history, file)
    return {"accuracy": fitted.history["accuracy"][-1], "history": "history.json"}


@pytest.mark.timeout(400)
def test_a_grid_search_of_a_keras_model(local_cluster: Any, remote: Any) -> None:
    project = remote.fresh()
    run = experiment.grid_search(
        fits, {"units": [4, 16]}, optimization_key="accuracy", direction="max", project=project, display=False
    )
    assert run.logdir.startswith(f"{project}/Experiments/")
    assert [str(trial.state) for trial in run.trials] == ["FINISHED"] * 2
    assert not any(trial.warnings for trial in run.trials)
    for trial in run.trials:
        kept = RunDir(trial.logdir)
        files = kept.sizes()
        assert {".hparams.json", ".outputs.json", ".metric", "output.log", "history.json"} <= files.keys()
        assert files["checkpoints/last model.keras"] > 1000
        assert any("train/events.out.tfevents" in name for name in files)
        assert b"accuracy" in kept.read_bytes("output.log")
        assert kept.read_json(".outputs.json")["accuracy"] == trial.metric
        assert len(kept.read_json("history.json")["accuracy"]) == 2
    record = RunDir(run.logdir).read_json("run.json")
    assert (record["state"], record["metric"]) == ("FINISHED", run.best_metric)
    assert Project(project).runs() == [run.run_id]
    kept = RunDir(run.logdir)
    if secret := remote.environment.get("AWS_SECRET_ACCESS_KEY"):
        assert [name for name in kept.sizes() if secret.encode() in kept.read_bytes(name)] == []


NOTED = """
import json, os, sys, time
from hopslite import experiment

FOLDER = sys.argv[1]

def train(x):
    with open(f"{FOLDER}/began-{x}", "a") as file:
        file.write("once ")
    while x >= 4 and not os.path.exists(f"{FOLDER}/go"):
        time.sleep(0.05)
    return x

run = experiment.grid_search(train, {"x": list(range(8))}, name="broken", resume="auto", display=False)
print("RUN", json.dumps([run.run_id, {t.id: t.metric for t in run.trials}]), flush=True)
"""


def test_a_run_on_s3_whose_driver_is_killed_goes_on(bucket: Any, tmp_path: Path) -> None:
    """What had finished is not run again."""
    project = bucket.fresh()
    environment = {**bucket.environment, "HOPSLITE_PROJECT": project}
    first = Program(tmp_path, NOTED, str(tmp_path), name="first-", **environment)
    second = None
    try:

        def begun() -> list[str]:
            return sorted(path.name for path in tmp_path.glob("began-*"))

        eventually(lambda: begun() == [f"began-{x}" for x in range(6)], "two trials wait", 120)
        [run_id] = Project(project).runs()
        run = Project(project).run(run_id)
        eventually(lambda: len(ends(run)) == 4, "four have ended in the journal")
        first.remember_family()
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(30)
        eventually(lambda: not first.survivors(), "nothing of it is left")
        (tmp_path / "go").touch()
        second = Program(tmp_path, NOTED, str(tmp_path), name="second-", **environment)
        resumed, metrics = second.said("RUN")
    finally:
        for program in filter(None, (first, second)):
            program.kill()
    assert resumed == run_id
    assert metrics == {f"{n:04d}": n for n in range(8)}
    assert ends(run) == Counter(metrics.keys())
    assert [text_of(tmp_path / f"began-{x}").split() for x in range(4)] == [["once"]] * 4


def takes_its_time(n: int) -> int:
    import time

    time.sleep(0.5)
    print("done", n)
    return n


@pytest.mark.timeout(400)
def test_a_server_that_goes_away_for_ten_seconds_costs_nothing(local_cluster: Any, remote: Any) -> None:
    display = Lines()
    found: list[Any] = []

    def search() -> None:
        found.append(
            experiment.grid_search(
                takes_its_time, {"n": list(range(30))}, project=project, display=display, max_retries=0
            )
        )

    project = remote.fresh()
    thread = threading.Thread(target=search)
    thread.start()
    try:
        eventually(lambda: display.statuses and display.statuses[-1].counts.get("FINISHED", 0) >= 4, "it goes on", 120)
        remote.stop()
        time.sleep(AWAY_S)
    finally:
        remote.start()
        thread.join(240)
    [run] = found
    assert [trial.metric for trial in run.trials] == list(range(30))
    assert not any(trial.warnings for trial in run.trials)
    kept = RunDir(run.logdir)
    assert starts(kept) == ends(kept) == Counter(trial.id for trial in run.trials)
    logs = kept.read_many([f"trials/{trial.id}/output.log" for trial in run.trials])
    assert [log for log in logs if log is None or b"done" not in log] == []
    assert kept.read_json("run.json")["state"] == "FINISHED"


@pytest.mark.timeout(400)
def test_mlflow_over_postgresql_has_a_run_on_s3(local_cluster: Any, bucket: Any, mlflow_postgres: Any) -> None:
    run = experiment.grid_search(
        nothing,
        {"n": [1, 2, 3]},
        name="on-postgresql",
        project=bucket.fresh(),
        tracking_uri=mlflow_postgres.uri,
        display=False,
    )
    client = mlflow_client(mlflow_postgres.uri)

    def told() -> list[Any]:
        found = client.search_experiments(filter_string="name = 'on-postgresql'")
        runs = list(client.search_runs([found[0].experiment_id])) if found else []
        return runs if [each.info.status for each in runs] == ["FINISHED"] * 4 else []

    runs = eventually(told, "the run and its trials are there", 200)
    trials = {each.data.tags.get("hopslite.trial_id"): each for each in runs}
    assert {trial.id: float(trials[trial.id].data.params["n"]) for trial in run.trials} == {
        trial.id: trial.metric for trial in run.trials
    }
    shown = json.dumps([[each.data.tags, each.data.params] for each in runs])
    assert bucket.SECRET not in shown
    assert bucket.KEY not in shown


class Counting(Proxy):
    """Counts the requests that pass by."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.requests: Counter[str] = Counter()
        super().__init__(target)

    def passes(self, data: bytes) -> None:
        for method in (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE "):
            if data.startswith(method):
                self.requests[method.decode().strip()] += 1


def nothing(n: int) -> int:
    return n


def test_a_trial_costs_few_requests(local_cluster: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, journal and sessions of a hundred trials together; a run's own are counted by a run of one trial."""
    proxy = Counting(("127.0.0.1", bucket.port))
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.address[1]}")
        forget_connections()

        def requests(trials: int) -> int:
            before = proxy.requests.total()
            run = experiment.grid_search(nothing, {"n": list(range(trials))}, project=bucket.fresh(), display=False)
            assert len(run.trials) == trials
            return proxy.requests.total() - before

        alone, many = requests(1), requests(101)
    finally:
        proxy.close()
    assert alone > 10, "requests are not counted"
    assert (many - alone) / 100 <= 8, f"{many} requests of 101 trials, {alone} of one: {proxy.requests}"


def sees(n: int, together: str) -> dict[str, Any]:
    """Reads what it was given, once so many trials run at once."""
    import time
    from pathlib import Path

    import hopslite

    Path(together, str(n)).touch()
    until = time.monotonic() + 60
    while len(os.listdir(together)) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    images = Path(hopslite.inputs["images"])
    assert dict(hopslite.inputs).keys() == {"images", "words", "earlier"}
    return {
        "metric": n,
        "files": sorted(str(path.relative_to(images)) for path in images.rglob("*") if path.is_file()),
        "text": (images / "a" / "one.txt").read_text(),
        "inode": os.stat(images / "a" / "one.txt").st_ino,
        "writable": oct(os.stat(images / "a" / "one.txt").st_mode & 0o222),
        "words": Path(hopslite.inputs["words"]).read_text(),
        "earlier": Path(hopslite.inputs["earlier"], "output.log").exists(),
    }


def test_inputs_are_fetched_once_and_unpacked(local_cluster: Any, bucket: Any, tmp_path: Path) -> None:
    project = Project(bucket.fresh())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_text("first")
    (tmp_path / "a" / "two é.txt").write_text("second")
    with tarfile.open(tmp_path / "images.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a", "a")
    project.upload({str(tmp_path / "images.tar.gz"): "Resources/images.tar.gz", str(tmp_path / "a/two é.txt"): "w.txt"})
    (tmp_path / "together").mkdir()
    experiment.grid_search(nothing, {"n": [1]}, name="before", project=project.url, display=False)
    run = experiment.grid_search(
        sees,
        {"n": list(range(6)), "together": [str(tmp_path / "together")]},
        inputs={
            "images": "Resources/images.tar.gz",
            "words": project.path("w.txt"),
            "earlier": "runs:/before/1/trials/0000",
        },
        project=project.url,
        display=False,
    )
    outputs = [trial.outputs for trial in run.trials]
    assert all(each is not None for each in outputs), [trial.error for trial in run.trials]
    for each in filter(None, outputs):
        assert each["files"] == ["a/one.txt", "a/two é.txt"]
        assert (each["text"], each["words"], each["earlier"], each["writable"]) == ("first", "second", True, "0o0")
    assert len({each["inode"] for each in filter(None, outputs)}) <= 2, "more copies than executors"
    assert RunDir(run.logdir).read_json("run.json")["inputs"].keys() == {"images", "words", "earlier"}


def test_an_input_that_is_not_there_is_said_before_anything_starts(bucket: Any) -> None:
    project = bucket.fresh()
    with pytest.raises(InvalidArguments) as refused:
        experiment.grid_search(
            nothing, {"n": [1]}, inputs={"a": "s3://tests/nowhere.tar", "b": 3}, project=project, display=False
        )
    assert "s3://tests/nowhere.tar" in str(refused.value)
    assert "'b'" in str(refused.value)
    assert Project(project).runs() == []


def exports(depth: int) -> float:
    """Trains a tree on real data and exports it from where it runs."""
    import mlflow.sklearn
    from sklearn.datasets import load_iris
    from sklearn.tree import DecisionTreeClassifier

    from hopslite import model

    images, labels = load_iris(return_X_y=True)
    trained = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(images, labels)
    mlflow.sklearn.save_model(trained, "model", serialization_format="cloudpickle", pip_requirements=[])
    accuracy = float(trained.score(images, labels))
    model.export("model", "iris", metrics={"accuracy": accuracy})
    return accuracy


def test_models_exported_by_trials_are_in_mlflows_registry(local_cluster: Any, bucket: Any, tmp_path: Path) -> None:
    """Two at once get a version each; MLflow loads the best of them from S3 by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow.pyfunc
    from sklearn.datasets import load_iris

    project, uri = bucket.fresh(), f"sqlite:///{tmp_path}/mlflow.db"
    run = experiment.grid_search(
        exports, {"depth": [1, 4]}, name="trees", project=project, tracking_uri=uri, display=False
    )
    assert [str(trial.state) for trial in run.trials] == ["FINISHED"] * 2, [trial.error for trial in run.trials]
    best = model.get_best_model("iris", "accuracy", model.Metric.MAX, project_name=project)
    assert (best.run_id, best.trial_id) == (run.run_id, "0001")
    versions = mlflow_client(uri).search_model_versions("name='iris'")
    [found] = [each for each in versions if each.tags["hopslite.version"] == str(best.version)]
    assert len(versions) == 2
    assert found.source == best.path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        loaded = mlflow.pyfunc.load_model(found.source)
    assert loaded.predict(load_iris().data[::30]).tolist() == [0, 0, 1, 1, 2]


def saves_and_dies(n: int) -> int:
    """Goes on from where an attempt was that lost its slot."""
    import signal
    import time
    from pathlib import Path

    from hopslite import experiment

    folder = Path(str(experiment.checkpoint_dir()))
    saved = folder / "state.txt"
    if saved.exists():
        return int(saved.read_text()) + 1
    saved.write_text("41")
    time.sleep(3.0)  # until it has been copied
    zygote = os.getppid()
    slot = int(Path(f"/proc/{zygote}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(slot, signal.SIGKILL)
    time.sleep(60)
    return -1


def test_a_checkpoint_outlives_its_machine(local_cluster: Any, remote: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPSLITE_SYNC_INTERVAL", "0.5")
    run = experiment.grid_search(saves_and_dies, {"n": [1]}, project=remote.fresh(), display=False)
    assert run.best_metric == 42
    assert starts(RunDir(run.logdir)) == Counter({"0000": 2})


def logs_scalars(n: int, go: str) -> int:
    import time

    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    from hopslite import tensorboard

    writer = EventFileWriter(str(tensorboard.logdir()))
    writer.add_event(Event(wall_time=1.0, step=1, summary=Summary(value=[Summary.Value(tag="loss", simple_value=0.5)])))
    writer.flush()
    until = time.monotonic() + 200
    while not os.path.exists(go) and time.monotonic() < until:
        time.sleep(0.05)
    return n


@pytest.mark.timeout(400)
def test_tensorboard_shows_a_remote_run_live(
    local_cluster: Any, remote: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOPSLITE_TENSORBOARD", "1")
    monkeypatch.setenv("HOPSLITE_SYNC_INTERVAL", "1")
    display, go, found = Lines(), tmp_path / "go", []
    project = remote.fresh()

    def launch() -> None:
        found.append(
            experiment.grid_search(logs_scalars, {"n": [1], "go": [str(go)]}, project=project, display=display)
        )

    def shown() -> Any:
        lines = [line for line in display.lines if line.startswith("TensorBoard: ")]
        if not lines:
            return None
        address = lines[0].removeprefix("TensorBoard: http://").rstrip("/")
        connection = http.client.HTTPConnection(address, timeout=10)
        try:
            connection.request("GET", "/data/plugin/scalars/tags")
            return json.loads(connection.getresponse().read())
        except (OSError, ValueError):
            return None
        finally:
            connection.close()

    thread = threading.Thread(target=launch)
    thread.start()
    try:
        eventually(lambda: "loss" in json.dumps(shown()), "TensorBoard shows what a running trial wrote", 150)
        assert not found, "the run is over"
    finally:
        go.touch()
        thread.join(120)
    assert found[0].best_metric == 1
