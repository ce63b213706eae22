"""MLflow calls of programs that `hopslite run` starts: the real client, and whatever else may connect."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hopslite import experiment, stop
from hopslite.errors import TrialFailed
from hopslite.programs import command, processes
from hopslite.programs.mlflow_stub import MlflowCalls
from hopslite.submission.code_archive import pack
from tests.helpers.observe import PATIENCE_S

# As quick as a program gets: it speaks to the server without MLflow's client, whose import takes seconds.
RAW = """
import json, os, sys, time, urllib.request

def call(name, **body):
    request = urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + name, json.dumps(body).encode(), method="POST"
    )
    return json.load(urllib.request.urlopen(request, timeout=120))

def begin(**more):
    return call("runs/create", experiment_id="0", **more)["run"]["info"]["run_id"]
"""


def run(folder: Path, program: str, metric: str | None = None, stopper: Any = None, **environment: str) -> Any:
    code = folder / "code"
    code.mkdir(exist_ok=True)
    (code / "train.py").write_text(program)
    job = command.Command(("train.py",), ("n",), pack(str(code)), environment, metric)
    options: dict[str, Any] = {"name": "job", "pool": "inline", "display": False}
    if metric is None:
        return experiment.launch(job, {"n": [1]}, **options)
    return experiment.grid_search(job, {"n": [1]}, "max", optimization_key=metric, stopper=stopper, **options)


def kept(run: Any) -> Path:
    return Path(run.trials[0].logdir, "output", "mlflow")


def runs_of(run: Any) -> dict[str, Any]:
    return {each["run_name"]: each for each in json.loads((kept(run) / "runs.json").read_text())["runs"]}


def outputs_of(run: Any) -> dict[str, Any]:
    return {name: value for name, value in run.trials[0].outputs.items() if name != "log"}


PLAIN = """
import matplotlib, mlflow
matplotlib.use("Agg")
from matplotlib import pyplot

mlflow.set_experiment("digits")
with mlflow.start_run(run_name="outer") as run:
    mlflow.log_param("lr", 0.1)
    mlflow.log_params({"layers": 2, "kind": "a b"})
    mlflow.set_tag("team", "blue")
    with mlflow.start_run(run_name="inner", nested=True):
        mlflow.log_metric("loss", 99.0, step=7)
        mlflow.log_metric("fold", 3.0)
    for step in range(4):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"accuracy": step / 4, "odd": float("nan"), "huge": float("inf")}, step=step)
    mlflow.log_metric("late", 1.0, step=2, synchronous=False)
    mlflow.log_artifact(__file__)
    mlflow.log_text("text", "notes/a b.txt")
    mlflow.log_dict({"a": 1}, "dict.json")
    mlflow.log_figure(pyplot.figure(), "plot.png")
    client = mlflow.MlflowClient()
    client.log_metric(run.info.run_id, "by_client", 5)
    found = client.get_run(run.info.run_id)
    assert found.data.params == {"lr": "0.1", "layers": "2", "kind": "a b"}, found
    assert found.data.tags["team"] == "blue" and found.data.metrics["loss"] == 0.25, found
    assert [each.value for each in client.get_metric_history(run.info.run_id, "accuracy")] == [0, 0.25, 0.5, 0.75]
    assert str(client.get_metric_history(run.info.run_id, "odd")[0].value) == "nan"
    assert sorted(each.path for each in client.list_artifacts(run.info.run_id)) == [
        "dict.json", "notes", "plot.png", "train.py"
    ]
assert mlflow.get_experiment_by_name("digits").experiment_id == found.info.experiment_id
assert sorted(mlflow.search_runs().run_id) == sorted(each.info.run_id for each in client.search_runs(["1"]))
"""

AUTOLOG = """
import mlflow, mlflow.sklearn
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

images, labels = load_iris(return_X_y=True)
mlflow.sklearn.autolog(log_models=False)
trained = DecisionTreeClassifier(max_depth=2, random_state=0).fit(images, labels)
mlflow.end_run()
with mlflow.start_run(run_name="model"):
    info = mlflow.sklearn.log_model(
        trained, name="tree", serialization_format="cloudpickle", pip_requirements=[], registered_model_name="iris"
    )
    assert list(mlflow.sklearn.load_model(info.model_uri).predict(images[:2])) == [0, 0]
    assert mlflow.register_model(info.model_uri, "iris").version in (2, "2")
"""


class TestClient:
    @pytest.mark.slow("MLflow")
    def test_all_that_a_program_logs(self, project: str, tmp_path: Path) -> None:
        result = run(tmp_path, PLAIN, "loss")
        assert result.best_metric == 0.25
        loss = result.reports().query("metric == 'loss'")
        assert loss[["step", "value"]].values.tolist() == [[0, 1], [1, 0.5], [2, 1 / 3], [3, 0.25]]
        outputs = outputs_of(result)
        assert {name: outputs[name] for name in ("accuracy", "late", "by_client")} == {
            "accuracy": 0.75, "late": 1.0, "by_client": 5.0
        }  # fmt: skip
        assert outputs["fold"] == 3.0, "a metric that only a nested run has is the trial's as well"
        assert str(outputs["odd"]) == "nan" and outputs["huge"] == float("inf")
        runs = runs_of(result)
        assert runs.keys() == {"outer", "inner"}
        outer = runs["outer"]
        assert (outer["experiment"], outer["status"], outer["tags"]) == ("digits", "FINISHED", {"team": "blue"})
        assert outer["params"] == {"lr": "0.1", "layers": "2", "kind": "a b"}
        assert outer["metrics"]["odd"] == "NaN"
        assert runs["inner"]["parent"] == outer["run_id"]
        files = kept(result) / outer["run_id"]
        assert (files / "train.py").read_text() == PLAIN
        assert (files / "notes" / "a b.txt").read_text() == "text"
        assert (files / "plot.png").stat().st_size > 100
        assert "View run" not in Path(result.trials[0].logdir, "output.log").read_text()

    @pytest.mark.slow("MLflow")
    def test_autologging_models_and_registrations(self, project: str, tmp_path: Path) -> None:
        result = run(tmp_path, AUTOLOG, "training_accuracy_score")
        assert result.best_metric == pytest.approx(0.96, abs=0.01)
        assert result.best_outputs["training_f1_score"] > 0.9
        record = json.loads((kept(result) / "runs.json").read_text())
        assert record["runs"][0]["params"]["max_depth"] == "2"
        [logged] = record["models"]
        assert (kept(result) / "models" / logged["model_id"] / "MLmodel").exists()
        assert [(each["name"], each["version"]) for each in record["registered"]] == [("iris", "1"), ("iris", "2")]

    @pytest.mark.slow("MLflow")
    def test_processes_that_it_starts(self, project: str, tmp_path: Path) -> None:
        program = """
import mlflow, multiprocessing

def work(number):
    with mlflow.start_run(run_name=f"worker {number}"):
        for step in range(20):
            mlflow.log_metric(f"m{number}", step, step=step)

if __name__ == "__main__":
    workers = [multiprocessing.get_context("fork").Process(target=work, args=(n,)) for n in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
"""
        result = run(tmp_path, program)
        assert outputs_of(result) == {f"m{n}": 19.0 for n in range(3)}
        assert {each["status"] for each in runs_of(result).values()} == {"FINISHED"}


class TestMetrics:
    def test_without_steps_are_counted(self, project: str, tmp_path: Path) -> None:
        program = (
            RAW + 'run = begin()\nfor v in (3, 2, 1): call("runs/log-metric", run_id=run, key="a", value=v, step=0)'
        )
        assert run(tmp_path, program, "a").reports()[["step", "value"]].values.tolist() == [[0, 3], [1, 2], [2, 1]]

    def test_the_last_is_that_of_the_greatest_step(self, project: str, tmp_path: Path) -> None:
        """Keras's autologging sends the first epoch last, and some values twice."""
        program = (
            RAW
            + """
values = [{"key": "a", "value": step, "step": step, "timestamp": 1000 + step} for step in (0, 0, 1, 2, 2, 1)]
call("runs/log-batch", run_id=begin(), metrics=values)
"""
        )
        result = run(tmp_path, program, "a")
        assert result.best_metric == 2.0
        assert result.reports()[["step", "value"]].values.tolist() == [[0, 0], [1, 1], [2, 2]]

    def test_of_outer_runs_go_over_those_of_nested_ones(self, project: str, tmp_path: Path) -> None:
        program = (
            RAW
            + """
outer = begin()
call("runs/log-metric", run_id=outer, key="a", value=1, step=0)
inner = begin(tags=[{"key": "mlflow.parentRunId", "value": outer}])
call("runs/log-metric", run_id=inner, key="a", value=2, step=1)
"""
        )
        result = run(tmp_path, program, "a")
        assert (result.best_metric, result.reports()["value"].tolist()) == (1.0, [1.0])

    @pytest.mark.parametrize("silent", [False, True])
    def test_reach_a_stopper_at_once(
        self, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool
    ) -> None:
        if not silent:
            monkeypatch.setattr(processes, "POLL_SECONDS", 60.0)
        program = RAW + ("os.close(1); os.close(2)\n" if silent else "") + "run = begin()\n"
        program += """
for step in range(200):
    call("runs/log-metric", run_id=run, key="a", value=5, step=step)
    time.sleep(0.1)
open(os.path.join(os.environ["HOPSLITE_OUTPUT"], "finished"), "w").close()
"""
        result = run(tmp_path, program, "a", stop.Threshold(upper=4.0))
        assert [str(trial.state) for trial in result.trials] == ["STOPPED"]
        assert not Path(result.trials[0].logdir, "output", "finished").exists()
        assert runs_of(result)["run-1"]["status"] == "RUNNING"

    @pytest.mark.slow("MLflow")
    def test_of_all_three_sources(self, project: str, tmp_path: Path) -> None:
        program = (
            RAW
            + """
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
def write(folder, tag):
    writer = EventFileWriter(folder)
    writer.add_event(Event(step=1, summary=Summary(value=[Summary.Value(tag=tag, simple_value=2.0)])))
    writer.close()
write("logs", "b")
call("runs/log-metric", run_id=begin(), key="a", value=1)
write(os.path.join(os.environ["HOPSLITE_OUTPUT"], "mlflow", "some-run"), "copied")
print('{"metric": "c", "value": 3}')
"""
        )
        assert outputs_of(run(tmp_path, program)) == {"a": 1.0, "b": 2.0, "c": 3.0}


class TestEnvironment:
    SHOWS = RAW + """
names = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "no_proxy", "NO_PROXY")
with open(os.path.join(os.environ["HOPSLITE_OUTPUT"], "env.json"), "w") as file:
    json.dump({name: os.environ.get(name) for name in names}, file)
"""  # fmt: skip

    def shown(self, result: Any) -> dict[str, str]:
        return dict(json.loads(Path(result.trials[0].logdir, "output", "env.json").read_text()))

    def test_a_server_that_the_program_is_given(self, project: str, tmp_path: Path) -> None:
        found = self.shown(run(tmp_path, self.SHOWS, MLFLOW_TRACKING_URI="http://there", MLFLOW_RUN_ID="its"))
        assert (found["MLFLOW_TRACKING_URI"], found["MLFLOW_RUN_ID"]) == ("http://there", "its")

    def test_the_drivers_server_and_run_are_not_the_programs(
        self, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")
        monkeypatch.setenv("MLFLOW_RUN_ID", "of the driver")
        found = self.shown(run(tmp_path, self.SHOWS))
        assert found["MLFLOW_TRACKING_URI"].startswith("http://127.0.0.1:")
        assert found["MLFLOW_RUN_ID"] is None

    def test_proxies_are_passed_by(self, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "example.org")
        monkeypatch.delenv("no_proxy", raising=False)
        program = (
            self.SHOWS
            + """
import requests
address = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/create"
requests.post(address, json={"experiment_id": "0"}, timeout=20).raise_for_status()
call("runs/log-metric", run_id=begin(), key="a", value=1)
"""
        )
        result = run(tmp_path, program)
        assert outputs_of(result) == {"a": 1.0}
        found = self.shown(result)
        assert found["no_proxy"] == found["NO_PROXY"] == "example.org,127.0.0.1"

    @pytest.mark.parametrize(("before", "after"), [("*", "*"), ("", "127.0.0.1"), ("a", "a,127.0.0.1")])
    def test_who_is_exempt_from_proxies(self, calls: MlflowCalls, before: str, after: str) -> None:
        assert calls.environment({"no_proxy": before})["NO_PROXY"] == after

    def test_a_failing_program_says_how_to_tell_its_metric(self, project: str, tmp_path: Path) -> None:
        with pytest.raises(TrialFailed, match=r"or call mlflow\.log_metric"):
            run(tmp_path, RAW, "a")
        assert not list(Path(project).rglob("mlflow")), "it has logged nothing"


class Taken:
    """Metrics as they come."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.all: list[tuple[str, float, int | None]] = []

    def take(self, name: str, value: float, step: int | None) -> None:
        self.values[name] = value
        self.all.append((name, value, step))


class Client:
    """One connection that is kept."""

    def __init__(self, calls: MlflowCalls) -> None:
        address = urlsplit(calls.environment({})["MLFLOW_TRACKING_URI"])
        self.prefix, self.address = address.path, (str(address.hostname), int(address.port or 0))
        self.connection = http.client.HTTPConnection(*self.address, timeout=20)

    def __call__(self, method: str, name: str, body: Any = None, base: str = "/api/2.0/mlflow/") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.connection.request(method, f"{self.prefix}{base}{name}", data)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def begin(self) -> str:
        return str(self("POST", "runs/create", {"experiment_id": "0"})[1]["run"]["info"]["run_id"])


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[MlflowCalls]:
    with MlflowCalls(str(tmp_path / "mlflow")) as calls:
        yield calls


@pytest.fixture
def client(calls: MlflowCalls) -> Client:
    return Client(calls)


class TestServer:
    @pytest.mark.parametrize(
        ("method", "name", "status", "code"),
        [
            ("GET", "nothing", 404, "ENDPOINT_NOT_FOUND"),
            ("POST", "runs/get", 404, "ENDPOINT_NOT_FOUND"),
            ("PUT", "", 404, "ENDPOINT_NOT_FOUND"),
            ("GET", "runs/get?run_id=x", 404, "RESOURCE_DOES_NOT_EXIST"),
            ("GET", "runs/get", 400, "INVALID_PARAMETER_VALUE"),
            ("GET", "logged-models/x", 404, "RESOURCE_DOES_NOT_EXIST"),
            ("GET", "registered-models/get?name=x", 404, "RESOURCE_DOES_NOT_EXIST"),
            ("GET", "../../../etc/passwd", 404, "ENDPOINT_NOT_FOUND"),
        ],
    )
    def test_what_it_has_not(self, client: Client, method: str, name: str, status: int, code: str) -> None:
        found, answer = client(method, name)
        assert (found, answer["error_code"]) == (status, code)
        assert answer["message"]

    @pytest.mark.parametrize(
        "body",
        [
            b"{", b"[]", b"3", b"\xff\xfe", b'"x"', b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000,
            {"run_id": 3}, {"run_id": ["x"]}, {"metrics": "x"}, {"metrics": [3]}, {"metrics": [{}]},
            {"metrics": [{"key": "a", "value": None}]}, {"metrics": [{"key": "a", "value": "x"}]},
            {"metrics": [{"key": "a", "value": True}]}, {"metrics": [{"key": "a", "value": {}}]},
            {"metrics": [{"key": 3, "value": 1}]}, {"metrics": [{"key": "a", "value": 1, "step": "x"}]},
            {"metrics": [{"key": "a", "value": 1, "step": float("inf")}]},
            {"metrics": [{"key": "a", "value": 10**400}]}, {"params": [{"key": "a", "value": []}]}, {"tags": {"a": 1}},
            {"metrics": [{"key": "a", "value": 1}, {"key": "b"}]},
        ],
    )  # fmt: skip
    def test_garbage_is_refused_and_the_connection_goes_on(self, calls: MlflowCalls, client: Client, body: Any) -> None:
        run_id = client.begin()
        status, answer = client(
            "POST", "runs/log-batch", {"run_id": run_id, **body} if isinstance(body, dict) else body
        )
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        calls.told_all(taken := Taken())
        assert taken.all == [], "half of a batch was taken"
        assert client("GET", f"runs/get?run_id={run_id}")[0] == 200

    @pytest.mark.parametrize(
        "sent",
        [
            b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\r\n" * 10, b"x" * 70_000,
            b"POST /a HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
            b"POST /a HTTP/1.1\r\nContent-Length: 9999999999999\r\n\r\n",
            b"POST /a HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
            b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nGET /a HTTP/1.1\r\n\r\n",
            b"GET http://[ HTTP/1.1\r\n\r\n", b"POST /a HTTP/1.1\r\nContent-Length: 50\r\n\r\nshort",
            b"BREW /pot HTTP/1.1\r\n\r\n",
        ],
    )  # fmt: skip
    def test_what_is_no_http(self, client: Client, capfd: pytest.CaptureFixture[str], sent: bytes) -> None:
        with socket.create_connection(client.address, timeout=PATIENCE_S) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        assert answer.count(b"HTTP/1.1 ") <= 1, "what follows a request that cannot be read was taken for another"
        assert client("GET", "experiments/get?experiment_id=0")[0] == 200
        assert capfd.readouterr().err == ""

    def test_only_who_knows_its_address(self, client: Client) -> None:
        client.prefix = ""
        assert client("GET", "experiments/get?experiment_id=0")[0] == 404

    def test_numbers_as_texts(self, calls: MlflowCalls, client: Client) -> None:
        run_id = client.begin()
        values = ["NaN", "Infinity", "-Infinity", "1.5"]
        for step, value in enumerate(values):
            body = {"run_id": run_id, "key": "a", "value": value, "step": str(step), "timestamp": "7"}
            assert client("POST", "runs/log-metric", body) == (200, {})
        calls.told_all(taken := Taken())
        assert str(taken.all) == "[('a', nan, 0), ('a', inf, 1), ('a', -inf, 2), ('a', 1.5, 3)]"
        _, found = client("GET", f"metrics/get-history?run_id={run_id}&metric_key=a")
        assert [each["value"] for each in found["metrics"]] == ["NaN", "Infinity", "-Infinity", 1.5]

    def test_a_huge_batch(self, calls: MlflowCalls, client: Client) -> None:
        run_id = client.begin()
        metrics = [{"key": f"k{n % 100}", "value": n, "step": n, "timestamp": n} for n in range(100_000)]
        assert client("POST", "runs/log-batch", {"run_id": run_id, "metrics": metrics}) == (200, {})
        calls.told_all(taken := Taken())
        assert len(taken.all) == 100_000
        assert taken.values["k99"] == 99_999

    def test_many_at_once(self, calls: MlflowCalls) -> None:
        experiments: list[str] = []
        interval = sys.getswitchinterval()

        def logs(number: int) -> None:
            mine = Client(calls)
            for n in range(20):
                name = f"of {number}, {n}"
                experiments.append(mine("POST", "experiments/create", {"name": name})[1]["experiment_id"])
            run_id = mine.begin()
            for step in range(50):
                mine("POST", "runs/log-metric", {"run_id": run_id, "key": f"m{number}", "value": step, "step": step})

        threads = [threading.Thread(target=logs, args=(n,)) for n in range(20)]
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        finally:
            sys.setswitchinterval(interval)
        assert sorted(experiments, key=int) == [str(n) for n in range(1, 401)]
        calls.told_all(taken := Taken())
        for number in range(20):
            assert [step for name, _, step in taken.all if name == f"m{number}"] == list(range(50))

    def test_an_experiment_that_only_the_usual_server_has(self, client: Client) -> None:
        _, found = client("POST", "runs/create", {"experiment_id": "1234"})
        assert found["run"]["info"]["experiment_id"] == "1234"
        assert client("POST", "experiments/create", {"name": "new"})[1] == {"experiment_id": "1235"}
        assert client("POST", "experiments/create", {"name": "new"})[1]["error_code"] == "RESOURCE_ALREADY_EXISTS"

    def test_artifacts_where_the_experiment_says(self, client: Client) -> None:
        body = {"name": "far", "artifact_location": "s3://bucket/far/"}
        _, made = client("POST", "experiments/create", body)
        _, found = client("POST", "runs/create", made)
        info = found["run"]["info"]
        assert info["artifact_uri"] == f"s3://bucket/far/{info['run_id']}/artifacts"

    def test_a_search_that_would_be_answered_wrongly(self, client: Client) -> None:
        client.begin()
        assert len(client("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 5})[1]["runs"]) == 1
        for more in ({"filter": "metrics.a > 1"}, {"order_by": ["metrics.a"]}):
            assert client("POST", "runs/search", {"experiment_ids": ["0"], **more})[0] == 400

    def test_tags_names_and_deletion(self, client: Client) -> None:
        run_id = client.begin()
        client("POST", "runs/set-tag", {"run_id": run_id, "key": "a", "value": "1"})
        assert client("POST", "runs/delete-tag", {"run_id": run_id, "key": "a"})[0] == 200
        assert client("POST", "runs/delete-tag", {"run_id": run_id, "key": "a"})[0] == 404
        _, found = client("POST", "runs/update", {"run_id": run_id, "run_name": "mine", "status": "FAILED"})
        assert (found["run_info"]["run_name"], found["run_info"]["status"]) == ("mine", "FAILED")
        client("POST", "runs/delete", {"run_id": run_id})
        assert client("POST", "runs/search", {"experiment_ids": ["0"]})[1]["runs"] == []
        client("POST", "runs/restore", {"run_id": run_id})
        assert len(client("POST", "runs/search", {"experiment_ids": ["0"]})[1]["runs"]) == 1

    def test_it_ends_with_the_trial(self, tmp_path: Path) -> None:
        before = threading.active_count(), len(os.listdir("/proc/self/fd"))
        with MlflowCalls(str(tmp_path / "mlflow")) as calls:
            client = Client(calls)
            client("GET", "experiments/get?experiment_id=0")  # its connection stays open
            idle = socket.create_connection(client.address)
        with pytest.raises(OSError):
            socket.create_connection(client.address, timeout=5).close()
        client.connection.close()
        idle.close()
        assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before
        assert not (tmp_path / "mlflow").exists()

    def test_a_program_without_mlflow_does_not_pay_for_it(self) -> None:
        program = """
import sys
from hopslite.programs import command, processes
from hopslite.programs.mlflow_stub import MlflowCalls
with MlflowCalls("nowhere") as calls:
    calls.environment({})
assert not {"http.server", "mlflow"} & set(sys.modules)
"""
        done = subprocess.run(
            [sys.executable, "-c", program], timeout=PATIENCE_S, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
