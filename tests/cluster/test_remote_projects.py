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

from hopslite import data, experiment, model, space
from hopslite.errors import InvalidArguments
from hopslite.storage.fs.urls import forget_connections
from hopslite.storage.journal import JournalReader
from hopslite.storage.project import Project
from hopslite.storage.run_directory import RunDir
from tests.helpers.observe import Lines, eventually, text_of
from tests.helpers.programs import Program
from tests.helpers.proxy import Proxy
from tests.helpers.servers import empty_database, mlflow_client

AWAY_S = 10.0


@pytest.fixture(params=["s3", pytest.param("hdfs", marks=pytest.mark.slow("matrix"))])
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


@pytest.mark.slow("stores")
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


@pytest.mark.slow("stores")
def test_a_run_on_s3_whose_driver_is_killed_goes_on(bucket: Any, tmp_path: Path) -> None:
    """Trials that had finished are not run again."""
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
        first.process.wait()
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


@pytest.mark.slow("stores")
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
    assert [sum(words in line for line in display.lines) for words in ("cannot be recorded", "recorded again")] == [
        1,
        1,
    ]
    kept = RunDir(run.logdir)
    assert starts(kept) == ends(kept) == Counter(trial.id for trial in run.trials)
    logs = kept.read_many([f"trials/{trial.id}/output.log" for trial in run.trials])
    assert [log for log in logs if log is None or b"done" not in log] == []
    assert kept.read_json("run.json")["state"] == "FINISHED"


@pytest.mark.slow("MLflow")
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


@pytest.mark.slow("stores")
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
    assert dict(hopslite.inputs).keys() == {"images", "words", "earlier", "flowers"}
    return {
        "metric": n,
        "files": sorted(str(path.relative_to(images)) for path in images.rglob("*") if path.is_file()),
        "text": (images / "a" / "one.txt").read_text(),
        "inode": os.stat(images / "a" / "one.txt").st_ino,
        "writable": oct(os.stat(images / "a" / "one.txt").st_mode & 0o222),
        "words": Path(hopslite.inputs["words"]).read_text(),
        "earlier": Path(hopslite.inputs["earlier"], "output.log").exists(),
        "flowers": Path(hopslite.inputs["flowers"], "a", "two é.txt").read_text(),
    }


@pytest.mark.slow("stores")
def test_inputs_are_fetched_once_and_unpacked(local_cluster: Any, bucket: Any, tmp_path: Path) -> None:
    project = Project(bucket.fresh())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_text("first")
    (tmp_path / "a" / "two é.txt").write_text("second")
    with tarfile.open(tmp_path / "images.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a", "a")
    project.upload({str(tmp_path / "images.tar.gz"): "Resources/images.tar.gz", str(tmp_path / "a/two é.txt"): "w.txt"})
    (tmp_path / "together").mkdir()
    data.create("flowers", project=project.url)
    data.upload("flowers", tmp_path / "images.tar.gz", extract=True, project=project.url)
    experiment.grid_search(nothing, {"n": [1]}, name="before", project=project.url, display=False)
    run = experiment.grid_search(
        sees,
        {"n": list(range(6)), "together": [str(tmp_path / "together")]},
        inputs={
            "images": "Resources/images.tar.gz",
            "words": project.path("w.txt"),
            "earlier": "runs:/before/1/trials/0000",
            "flowers": "data:flowers",
        },
        project=project.url,
        display=False,
    )
    outputs = [trial.outputs for trial in run.trials]
    assert all(each is not None for each in outputs), [trial.error for trial in run.trials]
    for each in filter(None, outputs):
        assert each["files"] == ["a/one.txt", "a/two é.txt"]
        assert (each["text"], each["words"], each["earlier"], each["writable"]) == ("first", "second", True, "0o0")
        assert each["flowers"] == "second"
    assert len({each["inode"] for each in filter(None, outputs)}) <= 2, "more copies than executors"
    assert RunDir(run.logdir).read_json("run.json")["inputs"].keys() == {"images", "words", "earlier", "flowers"}


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
    model.export("model", "iris", metrics={"accuracy": accuracy}, synchronous_timeout=600)
    return accuracy


@pytest.mark.slow("MLflow")
def test_models_exported_by_trials_are_in_mlflows_registry(local_cluster: Any, bucket: Any, tmp_path: Path) -> None:
    """Two at once get a version each; MLflow loads the best of them from S3 by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow.pyfunc
    from sklearn.datasets import load_iris

    project, uri = bucket.fresh(), empty_database(tmp_path / "mlflow.db")
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
    import time
    from pathlib import Path

    import psutil

    from hopslite import experiment

    folder = Path(str(experiment.checkpoint_dir()))
    saved = folder / "state.txt"
    if saved.exists():
        return int(saved.read_text()) + 1
    saved.write_text("41")
    time.sleep(3.0)  # until it has been copied
    _fork_server, _warm_server, slot, *_ = psutil.Process().parents()
    slot.kill()
    time.sleep(60)
    return -1


@pytest.mark.slow("stores")
def test_a_checkpoint_outlives_its_machine(local_cluster: Any, remote: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPSLITE_SYNC_INTERVAL", "0.5")
    monkeypatch.setenv("HOPSLITE_WARM_SECONDS", "0")  # a warm server that a slot has taken over is below another one
    run = experiment.grid_search(saves_and_dies, {"n": [1]}, project=remote.fresh(), display=False)
    assert run.best_metric == 42
    assert starts(RunDir(run.logdir)) == Counter({"0000": 2})


def trains_in_shards(lr: float, budget: int, folder: str) -> dict[str, Any]:
    """A training whose checkpoint is a shard under a new name and then an index, which names it.

    The first attempts of second intervals are killed when their shard is in the store and their index is not.
    """
    import time
    import uuid
    from pathlib import Path

    import psutil

    from hopslite import experiment
    from hopslite.executor.context import current

    place = Path(str(experiment.checkpoint_dir()))
    index = place / "index.json"
    saved: dict[str, Any] = json.loads(index.read_text()) if index.exists() else {"shard": None, "rates": []}
    before = [path.name for path in place.glob("shard-*")]
    if before != ([saved["shard"]] if saved["shard"] else []):
        raise ValueError(f"{saved['shard']} is in the index, and there are {before}")
    rates = saved["rates"] + [lr] * (budget - len(saved["rates"]))
    shard = f"shard-{uuid.uuid4().hex}"
    (place / shard).write_bytes(os.urandom(1 << 20))
    for name in before:
        (place / name).unlink()
    context = current()
    assert context is not None
    mark = Path(folder, context.trial_id)
    if budget == 2 and not mark.exists():
        mark.touch()
        stored = RunDir(f"{context.project}/Experiments/{context.run_id}/trials/{context.trial_id}/checkpoints")
        until = time.monotonic() + 100
        while not stored.exists(shard) and time.monotonic() < until:
            time.sleep(0.1)
        _fork_server, _warm_server, slot, *_ = psutil.Process().parents()
        slot.kill()
        time.sleep(60)
    index.write_text(json.dumps({"shard": shard, "rates": rates}))
    return {"metric": sum(rates), "rates": rates}


@pytest.mark.slow("stores")
def test_members_of_a_population_continue_from_whole_checkpoints(
    local_cluster: Any, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from that of a trial whose earlier attempt had uploaded a part of its own."""
    monkeypatch.setenv("HOPSLITE_SYNC_INTERVAL", "0.5")
    monkeypatch.setenv("HOPSLITE_WARM_SECONDS", "0")  # a warm server that a slot has taken over is below another one
    folder = str(tmp_path)
    run = experiment.search(
        lambda lr, budget: trains_in_shards(lr, budget, folder), {"lr": space.uniform(0.1, 1.0)}, "pbt",
        num_trials=2, algorithm_options={"interval": 1, "max_budget": 4, "quantile": 0.5}, parallelism=1, seed=1,
        project=bucket.fresh(), display=False,
    )  # fmt: skip
    assert run.counts == {"FINISHED": 8}, [trial.error for trial in run.trials]
    kept, killed = RunDir(run.logdir), {"0002", "0003"}
    assert starts(kept) == Counter({trial.id: 1 + (trial.id in killed) for trial in run.trials})
    assert killed & {trial.continues for trial in run.trials}
    rates = {trial.id: (trial.outputs or {})["rates"] for trial in run.trials}
    for trial in run.trials:
        assert rates[trial.id] == (rates[trial.continues] if trial.continues else []) + [trial.params["lr"]]
    for trial_id in ("0006", "0007"):  # those of the last interval stay
        place = kept.sub("trials", trial_id, "checkpoints")
        assert sorted(place.sizes()) == ["index.json", place.read_json("index.json")["shard"]]


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


@pytest.mark.slow("stores")
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
        if not display.statuses:
            return None
        address, _, run_id = display.statuses[0].tensorboard_url.removeprefix("http://").rstrip("/").partition("/")
        connection = http.client.HTTPConnection(address, timeout=10)
        try:
            connection.request("GET", f"/{run_id}/data/plugin/scalars/tags")
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
