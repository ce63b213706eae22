"""Runs over Spark Connect, on a real server: with no SparkContext in the driver."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from hopslite import experiment, util
from hopslite.core.types import State
from hopslite.errors import InvalidArguments, SparkUnavailable, TrialFailed
from tests.helpers import ROOT
from tests.helpers.connect_server import ConnectServer
from tests.helpers.observe import PATIENCE_S, eventually, in_background
from tests.helpers.programs import Program
from tests.helpers.spark_cluster import StandaloneCluster
from tests.helpers.stub_strategy import stub_strategy

pytestmark = pytest.mark.slow("Spark Connect")

FREE_S = 60.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("connect") / "project")


def states(run: experiment.Run) -> list[str]:
    return [str(trial.state) for trial in run.trials]


def assert_both_slots_are_free(session: Any) -> None:
    """Spark starts a barrier of two only when both cores are free; in a thread, as it would wait for ever."""

    def no_rows(batches: Any) -> Iterator[Any]:  # nested, since executors cannot import this module
        list(batches)
        yield from ()

    def barrier() -> int:
        return len(session.range(0, 2, 1, 2).mapInArrow(no_rows, "x string", barrier=True).collect())

    with in_background(barrier) as done:
        assert done.result(FREE_S) == 0


def test_a_search_with_reports_is_recorded_with_its_server(
    connect_server: ConnectServer, connect_spark: Any, shared: str
) -> None:
    def train(x: float, y: str) -> float:
        from hopslite import callbacks

        for step in range(5):
            callbacks.report(x + step, step=step)
        return x + 5

    run = experiment.search(
        train,
        {"x": (0.0, 1.0), "y": ["a", "b"]},
        num_trials=6,
        spark=connect_spark,
        project=shared,
        display=False,
    )
    assert states(run) == ["FINISHED"] * 6
    record = json.loads(Path(run.logdir, "run.json").read_text())
    spark = json.loads(Path(run.logdir, "spark.json").read_text())
    assert record["connect_server"] == spark["connect_server"] == connect_server.url
    assert record["application_id"] == spark["application_id"]
    assert record["application_id"].startswith("local-")
    assert spark["master"] == "local[2]"


def test_two_runs_at_once_on_one_session(connect_spark: Any, shared: str) -> None:
    def search(side: str) -> experiment.Run:
        def train(n: int) -> dict[str, Any]:
            return {"metric": n, "side": side}

        return experiment.grid_search(
            train, {"n": [1, 2, 3]}, name=side, parallelism=1, spark=connect_spark, project=shared, display=False
        )

    with in_background(lambda: search("left")) as left, in_background(lambda: search("right")) as right:
        runs = {"left": left.result(), "right": right.result()}
    for side, run in runs.items():
        assert [trial.outputs["side"] for trial in run.trials if trial.outputs] == [side] * 3


def test_without_isolation(connect_spark: Any, shared: str) -> None:
    run = experiment.launch(
        lambda a: a + 1, {"a": [1, 2]}, isolation="none", spark=connect_spark, project=shared, display=False
    )
    assert [trial.metric for trial in run.trials] == [2, 3]


def test_members_of_a_gang_start_together_and_find_each_other(connect_spark: Any, shared: str) -> None:
    make = stub_strategy()

    def train() -> int:
        step = make()
        for _ in range(3):
            step()
        return 1

    run = experiment.mirrored(train, num_workers=2, timeout=240, spark=connect_spark, project=shared, display=False)
    assert states(run) == ["FINISHED"], run.trials[0].error
    assert sorted(path.name for path in Path(run.trials[0].logdir).glob("*_output.log")) == [
        "chief_0_output.log",
        "worker_0_output.log",
    ]
    assert_both_slots_are_free(connect_spark)


def test_what_can_never_run_is_refused_before_the_run(connect_spark: Any, tmp_path: Path) -> None:
    call: dict[str, Any] = {"spark": connect_spark, "project": tmp_path / "project", "display": False}
    with pytest.raises(InvalidArguments, match=r"3 members.*the cluster has 2"):
        experiment.mirrored(lambda: 1, num_workers=3, **call)
    with pytest.raises(InvalidArguments, match=r"cpus_per_trial=64.*the machine of the Spark Connect server has 2"):
        experiment.launch(lambda: 1, cpus_per_trial=64, **call)
    assert not list(tmp_path.rglob("run.json"))
    assert util.num_executors(connect_spark) == 1


def test_a_run_that_is_ended_by_its_time_limit_frees_its_slots(connect_spark: Any, shared: str) -> None:
    """A function that runs in the slot itself does not answer; its queries are interrupted."""

    def train(n: int) -> int:
        import time

        time.sleep(600)
        return n

    with pytest.raises(TrialFailed, match="timeout"):
        experiment.grid_search(
            train, {"n": [1, 2]}, isolation="none", timeout=20, spark=connect_spark, project=shared, display=False
        )
    assert_both_slots_are_free(connect_spark)


PROGRAM = """
import os, sys, time
from hopslite import experiment

def train(n, marks):
    open(os.path.join(marks, f"{n}-{os.getpid()}"), "w").close()
    time.sleep(600)

experiment.grid_search(train, {"n": [1, 2], "marks": [sys.argv[1]]}, display=False)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_program_that_is_ended_leaves_no_slot(
    connect_server: ConnectServer, connect_spark: Any, tmp_path: Path, number: signal.Signals
) -> None:
    """The server is named by SPARK_REMOTE. When a driver is killed, its slots notice that."""
    marks = tmp_path / "marks"
    marks.mkdir()
    program = Program(tmp_path, PROGRAM, str(marks), SPARK_REMOTE=connect_server.url)
    try:
        eventually(lambda: len(list(marks.iterdir())) == 2 or program.process.poll() is not None, "both trials run")
        assert program.process.poll() is None, program.err.read_text()
        program.process.send_signal(number)
        program.process.wait(FREE_S)
        assert_both_slots_are_free(connect_spark)
    finally:
        program.process.kill()
    [record] = tmp_path.rglob("run.json")
    assert json.loads(record.read_text())["state"] == ("KILLED" if number is signal.SIGINT else "RUNNING")


def waits(folder: Path) -> Callable[[int], int]:
    def train(n: int) -> int:
        import pathlib
        import time

        pathlib.Path(folder, f"begun-{n}").touch()
        while n and not pathlib.Path(folder, "go").exists():
            time.sleep(0.02)
        return n

    return train


def test_a_run_whose_server_dies_can_be_resumed(tmp_path: Path) -> None:
    call: dict[str, Any] = {"project": str(tmp_path / "project"), "display": False}
    with ConnectServer() as server:

        def search() -> experiment.Run:
            return experiment.grid_search(waits(tmp_path), {"n": [0, 1, 2]}, spark=server.session(), **call)

        with in_background(search) as running:
            eventually(lambda: len(list(tmp_path.glob("begun-*"))) == 3, "all trials have begun")
            server.kill()
            killed = time.monotonic()
            with pytest.raises(SparkUnavailable, match=rf"{server.url} does not answer any more"):
                running.result(120)
            assert time.monotonic() - killed < 60
        [record] = tmp_path.rglob("run.json")
        described = json.loads(record.read_text())
        assert described["state"] == "FAILED"
        (tmp_path / "go").touch()
        server.start()
        run = experiment.resume(described["run_id"], spark=server.session(), **call)
    assert run.counts == {State.FINISHED: 3}


def test_gpus_by_resource_profile_on_a_cluster(standalone_cluster: StandaloneCluster, tmp_path: Path) -> None:
    """Each trial has GPUs of its own, which Spark assigns though the session is configured for none."""

    def train(n: int, folder: str) -> dict[str, Any]:
        import os
        import pathlib
        import time

        pathlib.Path(folder, f"begun-{n}").touch()
        until = time.monotonic() + 120
        while len(list(pathlib.Path(folder).glob("begun-*"))) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        return {"metric": n, "gpus": os.environ["CUDA_VISIBLE_DEVICES"]}

    script = standalone_cluster.folder / "gpus1.sh"
    conf = {"spark.executor.resource.gpu.amount": "2", "spark.executor.resource.gpu.discoveryScript": str(script)}
    with ConnectServer(standalone_cluster.url, conf) as server:
        session = server.session()
        call: dict[str, Any] = {"spark": session, "project": tmp_path / "project", "display": False}
        run = experiment.grid_search(
            train, {"n": [0, 1], "folder": [str(tmp_path)]}, gpus_per_trial=1, timeout=240, **call
        )
        assert states(run) == ["FINISHED"] * 2, [trial.error for trial in run.trials]
        gpus = [trial.outputs["gpus"] for trial in run.trials if trial.outputs]
        assert len(set(gpus)) == 2
        assert all("," not in gpu for gpu in gpus)
        with pytest.raises(InvalidArguments, match=r"gpus_per_trial=3.*has 2 GPUs"):
            experiment.launch(lambda: 1, gpus_per_trial=3, **call)
        assert util.num_executors(session) == 2


CELLS = (
    "from hopslite import experiment\n\ndef half(x):\n    return x / 2",
    "run = experiment.grid_search(lambda x: half(x), {'x': [2.0, 6.0]})\nrun.trials[1].metric, run.best_params",
)


def test_a_notebook(connect_server: ConnectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel has no session but that of SPARK_REMOTE; its functions are sent, and its cells are recorded."""
    monkeypatch.setenv("SPARK_REMOTE", connect_server.url)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=240, kernel_name="python3", resources=resources).execute()
    outputs = book.cells[1].outputs
    assert "(3.0, {'x': 6.0})" in [output["data"]["text/plain"] for output in outputs if "data" in output]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"]
    [record] = tmp_path.rglob("run.json")
    assert json.loads(record.read_text())["connect_server"] == connect_server.url
    assert "def half" in Path(record.parent, "program.py").read_text()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "sc://127.0.0.1:1",
            r"no Spark Connect server answers at sc://127.0.0.1:1 \(Connection refused\).*SPARK_REMOTE",
        ),
        ("sc://127.0.0.1:1/;token=hunter2", r"answers at sc://127.0.0.1:1 \(Connection refused\)"),
        ("http://127.0.0.1:1", "is not the address of a Spark Connect server; give sc://HOST:PORT"),
    ],
)
def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, url: str, says: str) -> None:
    source = "from hopslite import experiment\nexperiment.launch(lambda: 1, display=False)"
    program = Program(tmp_path, source, SPARK_REMOTE=url)
    assert program.process.wait(120) == 1
    error = program.err.read_text()
    assert re.search(rf"^hopslite.errors.SparkUnavailable: .*{says}", error, re.MULTILINE), error
    assert "grpc" not in error.lower()
    assert "hunter2" not in error
    assert not list(tmp_path.rglob("run.json"))


def test_the_doctor_describes_the_server_and_its_executors(connect_server: ConnectServer) -> None:
    command = [sys.executable, "-c", "import sys; from hopslite.cli import main; sys.exit(main())", "doctor", "--json"]
    environment = {**os.environ, "SPARK_REMOTE": connect_server.url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert findings["Spark"]["state"] == "ok", findings["Spark"]
    assert connect_server.url in findings["Spark"]["found"]
    assert "2 slots" in findings["Spark"]["found"]
    assert findings["Executors"]["state"] == "ok"
    assert "Java" not in findings


TRAIN = """
import importlib.util
import sys

assert importlib.util.find_spec("py4j") is None
assert importlib.util.find_spec("pyspark.core") is None

from hopslite import callbacks, experiment, stop


def train(x):
    import sys
    import hopslite
    callbacks.report(x, step=1)
    return {"metric": x, "python": "of " + sys.prefix, "hopslite": "from " + hopslite.__file__}


run = experiment.search(train, {"x": (0.0, 1.0)}, num_trials=3, project="project", tracking_uri="off")
print("OUTPUTS", [(trial.outputs["python"], trial.outputs["hopslite"]) for trial in run.trials])
"""
FOR_EXECUTORS = ("cloudpickle", "fsspec", "numpy", "psutil", "nvidia-ml-py", "pyarrow", "pandas<3")
FOR_CLIENTS = ("filelock", "scipy", "click", "pathspec", "pyyaml", "parso", "tqdm", "zstandard")


def environment(folder: Path, *requirements: str) -> Path:
    """The interpreter of a new environment."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin/python"
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), *requirements], check=True)
    return python


@pytest.mark.slow("environments of their own")
def test_a_client_without_spark_and_executors_without_hopslite(tmp_path: Path) -> None:
    """The program has `pyspark-client` only; executors get hopslite as a file of the session."""
    executors = environment(tmp_path / "executors", *FOR_EXECUTORS)
    client = environment(tmp_path / "client", *FOR_EXECUTORS, *FOR_CLIENTS, "pyspark-client>=4.2,<5")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(client), "--no-deps", str(ROOT)]
    subprocess.run(install, check=True)
    (tmp_path / "train.py").write_text(TRAIN)
    with ConnectServer(python=str(executors)) as server:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "SPARK", "PYSPARK"))}
        done = subprocess.run(
            [str(client), "train.py"],
            cwd=tmp_path,
            env={**inherited, "SPARK_REMOTE": server.url},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = done.stdout.partition("OUTPUTS ")[2]
    assert outputs.count(str(tmp_path / "executors")) == 3, done.stdout
    assert outputs.count(".zip.files/hopslite/__init__.py") == 3


WITHOUT_ROUTE = """
from hopslite import callbacks, experiment, stop

def train(n):
    import time
    for step in range(100):
        callbacks.report(n, step=step)
        time.sleep(0.05 * n)
    return n

run = experiment.grid_search(
    train, {"n": [0, 1, 2, 3]}, stopper=stop.Threshold(upper=2.5), project="project", direction="min"
)
print("STATES", sorted(str(trial.state) for trial in run.trials))
"""


@contextlib.contextmanager
def network(name: str, number: int) -> Iterator[tuple[str, str]]:
    """A network namespace that reaches this one and nothing else: the addresses of this side and of its side."""
    process = os.getpid()  # another test session may have networks, too
    net = f"10.{200 + process % 50}.{process // 50 % 60 * 4 + number}"
    here, there = f"{net}.1", f"{net}.2"
    link = f"hl{os.getpid() % 10000}{number}"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    try:
        ip("link", "add", f"{link}a", "type", "veth", "peer", "name", f"{link}b", "netns", name)
        ip("address", "add", f"{here}/30", "dev", f"{link}a")
        ip("link", "set", f"{link}a", "up")
        ip("-n", name, "address", "add", f"{there}/30", "dev", f"{link}b")
        ip("-n", name, "link", "set", f"{link}b", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield here, there
    finally:
        ip("link", "delete", f"{link}a")
        ip("netns", "delete", name)


@contextlib.contextmanager
def forwarded(listen: str, target: tuple[str, int]) -> Iterator[int]:
    """A port of this machine from which connections are forwarded, as by a gateway."""

    def copy(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                to.sendall(data)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(target)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server((listen, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def test_executors_without_a_way_to_the_program(tmp_path: Path) -> None:
    """Two networks with only a gateway between them: messages go through the project, and a line says so."""
    name = f"hopslite{os.getpid()}"
    with (
        network(f"{name}s", 1) as (_, server_host),
        network(f"{name}c", 2) as (gateway, _),
        ConnectServer(host=server_host, prefix=("ip", "netns", "exec", f"{name}s")) as server,
        forwarded(gateway, (server_host, server.port)) as port,
    ):
        (tmp_path / "program.py").write_text(WITHOUT_ROUTE)

        def run(channel: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["ip", "netns", "exec", f"{name}c", sys.executable, "program.py"],
                cwd=tmp_path,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith(("SPARK", "PYSPARK"))},
                    "PYTHONPATH": str(ROOT),
                    "SPARK_REMOTE": f"sc://{gateway}:{port}",
                    "HOPSLITE_CHANNEL": channel,
                },
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )

        refused, done = run("direct"), run("auto")
    assert refused.returncode == 1
    assert re.search(
        r"SparkUnavailable: executors on .* cannot connect to this machine at 10\.\d+\.\d+\.2:", refused.stderr
    )
    assert done.returncode == 0, done.stderr
    assert "STATES ['FINISHED', 'FINISHED', 'FINISHED', 'STOPPED']" in done.stdout
    assert "messages of trials go through the project (channel=relay)" in done.stdout + done.stderr
    [run_directory] = (tmp_path / "project/Experiments").glob("*/run.json")
    assert not (run_directory.parent / "relay").exists()
