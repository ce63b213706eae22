"""Distributed training that goes wrong: the run ends soon, says which member it was and why, and leaves nothing."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hopslite import experiment
from hopslite.errors import InvalidArguments, SparkUnavailable, TrialFailed
from hopslite.pool._gang import PROBE_SECONDS
from tests.conftest import spark_session
from tests.helpers.observe import Lines, eventually, executor, files_below, in_background
from tests.helpers.stub_strategy import stub_strategy

pytestmark = pytest.mark.slow("clusters")

SLOTS = 3
END_S = 30.0  # within which a run has ended after one of its members has


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three executors with one slot each. Spark looks every 15 s, unless told, whether one that died has come back."""
    conf = {"spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s"}
    with spark_session(f"local-cluster[{SLOTS},1,1024]", conf) as spark:
        yield spark


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("failures") / "project")


def run_of(error: TrialFailed) -> experiment.Run:
    found: experiment.Run = error.result  # type: ignore[attr-defined]
    return found


def record(run: experiment.Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run.logdir, "run.json").read_text())
    return found


def assert_nothing_is_left(run: experiment.Run, processes: list[int]) -> None:
    """No process of any member, none that they started, and nobody who listens at their ports."""
    eventually(lambda: not [pid for pid in processes if alive(pid)], f"{processes} are gone", seconds=15)
    for member in record(run)["members"]:
        host, _, port = member["address"].rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=10).close()


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


Fit = Callable[[Callable[[int], None], Callable[[int], None]], list[float]]


def with_tensorflow() -> Fit:
    """Training on images, with what is called as an epoch begins and after a batch; the losses of all epochs."""

    def fit(epoch_begins: Callable[[int], None], batch_ends: Callable[[int], None]) -> list[float]:
        import tensorflow as tf
        import tf_keras as keras
        from sklearn.datasets import load_digits

        from hopslite import experiment

        images, labels = load_digits(return_X_y=True)
        images, labels = (images[:1536] / 16).astype("float32"), labels[:1536]
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        with strategy.scope():
            model = keras.Sequential([keras.layers.Dense(10, input_shape=(64,))])
            model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(128)
        callbacks = [
            keras.callbacks.BackupAndRestore(experiment.checkpoint_dir()),
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, logs: epoch_begins(epoch),
                on_batch_end=lambda batch, logs: batch_ends(batch),
            ),
        ]
        losses: list[float] = model.fit(data, epochs=4, verbose=0, callbacks=callbacks).history["loss"]
        return losses

    return fit


def with_sockets() -> Fit:
    """The same without a framework."""
    make = stub_strategy()

    def fit(epoch_begins: Callable[[int], None], batch_ends: Callable[[int], None]) -> list[float]:
        step = make()
        for epoch in range(4):
            epoch_begins(epoch)
            for batch in range(12):
                step()
                batch_ends(batch)
        return [0.0] * 4

    return fit


def mid_epoch(folder: Path, fit: Fit) -> Callable[[], dict[str, Any]]:
    """In the first attempt worker 0 is killed in the third of four epochs.

    Each process keeps a file of its own in `folder`: which epochs it began, and what it started.
    """

    def train() -> dict[str, Any]:
        import json
        import os
        import pathlib
        import signal
        import subprocess
        import time

        from hopslite import experiment

        task = json.loads(os.environ["TF_CONFIG"])["task"]
        name = f"{task['type']}_{task['index']}"
        helper = subprocess.Popen(["sleep", "600"])
        notes = {"name": name, "pids": [os.getpid(), helper.pid], "epochs": [], "saved": experiment.checkpoint_dir()}
        killed = pathlib.Path(folder, "killed")

        def epoch_begins(epoch: int) -> None:
            notes["epochs"].append(epoch)
            pathlib.Path(folder, f"{name}-{os.getpid()}.json").write_text(json.dumps(notes))

        def batch_ends(batch: int) -> None:
            if name == "worker_0" and notes["epochs"][-1] == 2 and batch == 5 and not killed.exists():
                killed.write_text(str(time.time()))
                os.kill(os.getpid(), signal.SIGKILL)

        losses = fit(epoch_begins, batch_ends)
        helper.kill()
        return {"loss": losses[-1], "epochs": len(losses)}

    return train


def notes_in(folder: Path, name: str = "") -> list[dict[str, Any]]:
    """The notes of the processes, in the order in which they began."""
    found = sorted(folder.glob(f"{name}*.json"), key=lambda path: path.stat().st_mtime)
    return [json.loads(path.read_text()) for path in found]


class TestKilledInMidEpoch:
    """Two workers, one of which is killed with SIGKILL."""

    @pytest.mark.slow("frameworks")
    def test_the_run_fails_soon_and_says_why(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        with pytest.raises(TrialFailed) as caught:
            experiment.mirrored(mid_epoch(tmp_path, with_sockets()), num_workers=2, project=shared, display=False)
        took = time.time() - float((tmp_path / "killed").read_text())
        assert took < END_S
        error, run = caught.value, run_of(caught.value)
        assert "worker 0" in str(error) and "SIGKILL" in str(error)
        assert error.cause == "signal"
        assert Path(error.log_path).name == "worker_0_output.log"
        assert error.log_path in str(error) and Path(error.log_path).is_file()
        assert (str(run.state), str(run.trials[0].state)) == ("FAILED", "FAILED")
        assert record(run)["state"] == "FAILED"
        assert [notes["epochs"] for notes in notes_in(tmp_path)] == [[0, 1, 2], [0, 1, 2]]
        assert_nothing_is_left(run, [pid for notes in notes_in(tmp_path) for pid in notes["pids"]])

    @pytest.mark.slow("frameworks")
    def test_restarted_it_goes_on_from_what_was_saved(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        display = Lines()
        run = experiment.mirrored(
            mid_epoch(tmp_path, with_tensorflow()),
            num_workers=2,
            on_failure="restart",
            max_restarts=1,
            project=shared,
            display=display,
        )
        assert str(run.state) == "FINISHED"
        for name in ("chief_0", "worker_0"):
            before, after = notes_in(tmp_path, name)
            assert before["epochs"] == [0, 1, 2]
            assert after["epochs"] == [2, 3]  # the epoch that was cut short is trained again, and no other
            assert before["saved"] == after["saved"]
        assert run[1]["epochs"] == 2
        assert any("worker 0" in line and "SIGKILL" in line for line in display.lines)
        assert_nothing_is_left(run, [pid for notes in notes_in(tmp_path) for pid in notes["pids"]])


def meeting(folder: Path, deed: Callable[[int], Any], members: int = SLOTS) -> Callable[[], Any]:
    """Each member notes its process and, once all are there, does something by its rank. No framework is needed."""

    def train() -> Any:
        import os
        import pathlib
        import time

        rank = int(os.environ["RANK"])
        pathlib.Path(folder, f"rank-{rank}-{os.getpid()}").touch()
        until = time.monotonic() + 120
        while len({name.split("-")[1] for name in os.listdir(folder) if name.startswith("rank-")}) < members:
            if time.monotonic() > until:
                raise TimeoutError("the others did not come")
            time.sleep(0.01)
        return deed(rank)

    return train


def processes_in(folder: Path) -> list[int]:
    return [int(path.name.split("-")[2]) for path in folder.glob("rank-*")]


class TestMembersThatEnd:
    """One member ends in its own way, the others would wait for ever."""

    WAYS = {
        "raises": ("exception", ["ValueError: wrong shape"]),
        "exits": ("exit", ["7"]),
        "killed": ("signal", ["SIGKILL"]),
        "segfault": ("segfault", ["SIGSEGV"]),
        "executor": ("lost", ["lost"]),
    }

    @pytest.mark.slow("frameworks")
    @pytest.mark.parametrize(
        ("way", "who"),
        [
            *(pytest.param(way, 2, id=f"{way}-worker") for way in WAYS),
            pytest.param("killed", 0, id="killed-chief"),
            *(
                pytest.param(way, 0, id=f"{way}-chief", marks=pytest.mark.slow("matrix"))
                for way in ("raises", "exits", "segfault", "executor")
            ),
        ],
    )
    def test_it_is_named(self, cluster: Any, shared: str, tmp_path: Path, way: str, who: int) -> None:
        def deed(rank: int) -> None:
            import ctypes
            import os
            import pathlib
            import signal
            import threading
            import time

            if rank != who:
                threading.Event().wait()
            pathlib.Path(tmp_path, "when").write_text(str(time.time()))
            if way == "raises":
                raise ValueError("wrong shape")
            if way == "exits":
                os._exit(7)
            if way == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if way == "segfault":
                ctypes.string_at(0)
            executor().kill()
            threading.Event().wait()

        with pytest.raises(TrialFailed) as caught:
            experiment.distributed(meeting(tmp_path, deed), strategy="torch", project=shared, display=False)
        assert time.time() - float((tmp_path / "when").read_text()) < END_S
        error, run = caught.value, run_of(caught.value)
        cause, words = self.WAYS[way]
        member = f"worker {who}" if who else "chief 0"
        assert error.cause == cause
        for word in [member, *words]:
            assert word in str(error)
        assert Path(error.log_path) == Path(run.trials[0].logdir, f"{member.replace(' ', '_')}_output.log")
        assert Path(error.log_path).is_file()
        if way == "raises":
            assert "in deed" in (error.traceback or "")
            assert "ValueError: wrong shape" in Path(error.log_path).read_text()
        assert (str(run.state), record(run)["state"]) == ("FAILED", "FAILED")
        assert len(processes_in(tmp_path)) == SLOTS
        assert_nothing_is_left(run, processes_in(tmp_path))

    @pytest.mark.slow("frameworks")
    def test_the_first_cause_is_named_not_what_follows_from_it(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        """The others see broken connections when a member dies, and may report that earlier."""

        def deed(rank: int) -> None:
            import os
            import pathlib
            import signal
            import threading

            import psutil

            if rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            [other] = [int(path.name.split("-")[2]) for path in pathlib.Path(tmp_path).glob("rank-1-*")]
            while psutil.pid_exists(other) and psutil.Process(other).status() != psutil.STATUS_ZOMBIE:
                threading.Event().wait(0.001)
            raise ConnectionResetError("the connection to rank 1 is gone")

        with pytest.raises(TrialFailed) as caught:
            experiment.distributed(meeting(tmp_path, deed), strategy="torch", project=shared, display=False)
        assert caught.value.cause == "signal"
        assert "worker 1" in str(caught.value) and "SIGKILL" in str(caught.value)

    def test_one_that_takes_too_long(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        def deed(rank: int) -> None:
            import threading

            threading.Event().wait()

        with pytest.raises(TrialFailed) as caught:
            experiment.distributed(
                meeting(tmp_path, deed), strategy="torch", trial_timeout=8, project=shared, display=False
            )
        assert caught.value.cause == "timeout"
        assert "trial_timeout" in str(caught.value)
        assert_nothing_is_left(run_of(caught.value), processes_in(tmp_path))


class TestRestart:
    def test_what_was_saved_is_found_in_every_attempt(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        def deed(rank: int) -> float:
            import os
            import pathlib
            import time

            from hopslite import experiment

            saved = pathlib.Path(str(experiment.checkpoint_dir()))
            pathlib.Path(tmp_path, f"place-{os.getpid()}").write_text(str(saved))
            if rank == 0:
                steps = len(list(saved.glob("step-*")))
                (saved / f"step-{steps}").touch()
                if steps == 2:
                    (saved / "enough").touch()
                    return steps
            until = time.monotonic() + 60
            while not (saved / "enough").exists() and time.monotonic() < until:
                attempts = len(list(tmp_path.glob("rank-1-*")))
                if rank == 1 and attempts < 3 and len(list(saved.glob("step-*"))) == attempts:
                    raise ValueError("once more")  # when the chief has saved what is new in this attempt
                time.sleep(0.01)
            return 0.0

        run = experiment.distributed(
            meeting(tmp_path, deed),
            strategy="torch",
            on_failure="restart",
            max_restarts=5,
            project=shared,
            display=False,
        )
        assert str(run.state) == "FINISHED"
        assert run[1]["metric"] == 2
        assert [len(list(tmp_path.glob(f"rank-{rank}-*"))) for rank in range(SLOTS)] == [3, 3, 3]
        places = {path.read_text() for path in tmp_path.glob("place-*")}
        assert len(places) == 1
        assert {path.name for path in Path(*places).iterdir()} == {"step-0", "step-1", "step-2", "enough"}

    def test_only_so_often(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        def deed(rank: int) -> None:
            import threading

            if rank == 1:
                raise ValueError("every time")
            threading.Event().wait()

        with pytest.raises(TrialFailed) as caught:
            experiment.distributed(
                meeting(tmp_path, deed),
                strategy="torch",
                on_failure="restart",
                max_restarts=2,
                project=shared,
                display=False,
            )
        assert "worker 1" in str(caught.value) and "ValueError: every time" in str(caught.value)
        assert len(list(tmp_path.glob("rank-1-*"))) == 3
        assert_nothing_is_left(run_of(caught.value), processes_in(tmp_path))

    @pytest.mark.slow("frameworks")
    def test_after_an_executor_was_lost(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        def deed(rank: int) -> float:
            import pathlib
            import threading

            if len(list(pathlib.Path(tmp_path).glob(f"rank-{rank}-*"))) == 1:  # the first attempt
                if rank == 1:
                    executor().kill()
                threading.Event().wait()
            return 1.5

        run = experiment.distributed(
            meeting(tmp_path, deed), strategy="torch", on_failure="restart", project=shared, display=False
        )
        assert str(run.state) == "FINISHED"
        assert run[1]["metric"] == 1.5
        assert len(list(tmp_path.glob("rank-1-*"))) == 2


class TestTheChiefIsDone:
    def test_workers_get_to_finish(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        def deed(rank: int) -> float:
            import pathlib
            import time

            if rank == 0:
                pathlib.Path(tmp_path, "chief").touch()
                return 0.5
            until = time.monotonic() + 60
            while not pathlib.Path(tmp_path, "chief").exists() and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(1.5)  # for a wrong driver to end this worker; a right one lets it, however long this takes
            pathlib.Path(tmp_path, f"finished-{rank}").touch()
            return 0.0

        run = experiment.distributed(meeting(tmp_path, deed), strategy="torch", project=shared, display=False)
        assert {path.name for path in tmp_path.glob("finished-*")} == {"finished-1", "finished-2"}
        assert run[1]["metric"] == 0.5

    @pytest.mark.parametrize("grace", [0.0, 3.0])
    def test_the_evaluator_has_its_grace_and_no_more(
        self, cluster: Any, shared: str, tmp_path: Path, grace: float
    ) -> None:
        def train() -> float:
            import json
            import os
            import pathlib
            import time

            role = json.loads(os.environ["TF_CONFIG"])["task"]["type"]
            beats = pathlib.Path(tmp_path, "beats")
            if role == "evaluator":
                pathlib.Path(tmp_path, "pid").write_text(str(os.getpid()))
                while True:  # it would evaluate for ever
                    beats.touch()
                    time.sleep(0.02)
            until = time.monotonic() + 60
            while not beats.exists() and time.monotonic() < until:
                time.sleep(0.01)
            pathlib.Path(tmp_path, "done").touch()
            return 0.5

        run = experiment.mirrored(
            train, num_workers=1, evaluator=True, evaluator_grace=grace, project=shared, display=False
        )
        ended = time.time()
        done, last = ((tmp_path / name).stat().st_mtime for name in ("done", "beats"))
        assert str(run.state) == "FINISHED"
        assert run[1]["metric"] == 0.5
        assert last - done >= grace * 0.8
        assert ended - done < grace + END_S
        assert_nothing_is_left(run, [int((tmp_path / "pid").read_text())])

    def test_an_evaluator_that_fails_afterwards_is_a_warning(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        def train() -> float:
            import json
            import os
            import pathlib
            import time

            import psutil

            role = json.loads(os.environ["TF_CONFIG"])["task"]["type"]
            if role == "chief":
                pathlib.Path(tmp_path, f"chief-{os.getpid()}").touch()
            if role == "evaluator":
                until = time.monotonic() + 60
                while not (chief := list(pathlib.Path(tmp_path).glob("chief-*"))) and time.monotonic() < until:
                    time.sleep(0.01)
                pid = int(chief[0].name.split("-")[1])
                # the driver lets the chief's process go when it knows of its end
                while psutil.pid_exists(pid) and time.monotonic() < until:
                    time.sleep(0.01)
                raise ValueError("no checkpoint")
            return 0.5

        run = experiment.mirrored(
            train, num_workers=2, evaluator=True, evaluator_grace=120, project=shared, display=False
        )
        assert (str(run.state), run[1]["metric"]) == ("FINISHED", 0.5)
        assert any("evaluator 0" in warning and "no checkpoint" in warning for warning in run.trials[0].warnings)


class TestReturns:
    """Only the chief's return value counts."""

    def test_what_cannot_be_recorded_is_an_error(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        def deed(rank: int) -> Any:
            import threading

            return threading.Lock()

        with pytest.raises(TrialFailed) as caught:
            experiment.distributed(
                meeting(tmp_path, deed, 2), strategy="torch", num_workers=2, project=shared, display=False
            )
        assert caught.value.cause == "return-value"
        assert "chief 0" in str(caught.value) and "lock" in str(caught.value)

    def test_other_members_may_return_anything(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        def deed(rank: int) -> Any:
            import threading

            return threading.Lock() if rank else 2.5

        run = experiment.distributed(
            meeting(tmp_path, deed, 2), strategy="torch", num_workers=2, project=shared, display=False
        )
        assert run[1]["metric"] == 2.5


def test_a_member_that_never_reaches_the_strategy_is_named(cluster: Any, shared: str, tmp_path: Path) -> None:
    """The chief would wait for it for an hour."""
    make = stub_strategy()

    def train() -> float:
        import json
        import os
        import pathlib

        if json.loads(os.environ["TF_CONFIG"])["task"]["type"] == "worker":
            return 0.0
        pathlib.Path(tmp_path, "chief").touch()
        make()
        return 1.0

    # `timeout` only bounds the test where nothing else ends the run
    with pytest.raises(TrialFailed) as caught:
        experiment.mirrored(train, num_workers=2, timeout=90, project=shared, display=False)
    assert (tmp_path / "chief").exists()
    assert "worker 0" in str(caught.value)
    assert "strategy" in str(caught.value).lower()


@pytest.mark.slow("frameworks")
def test_a_member_that_returns_before_the_chief_is_not_blamed(cluster: Any, shared: str, tmp_path: Path) -> None:
    """It has made the strategy, and the chief, which is asked whether it waits there, listens for its part."""
    asked_often = 4 * PROBE_SECONDS

    def train() -> float:
        import json
        import os
        import pathlib
        import time

        import tensorflow as tf

        tf.distribute.MultiWorkerMirroredStrategy()
        returns = pathlib.Path(tmp_path, "returns")
        if json.loads(os.environ["TF_CONFIG"])["task"]["type"] == "worker":
            returns.touch()
            return 0.0
        until = time.monotonic() + 60
        while not returns.exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(asked_often)
        return 1.0 if returns.exists() else 0.0

    run = experiment.mirrored(train, num_workers=2, timeout=200, project=shared, display=False)
    assert (str(run.state), run[1]["metric"], run.trials[0].warnings) == ("FINISHED", 1.0, ())


@contextlib.contextmanager
def occupied(spark: Any, slots: int, folder: Path) -> Iterator[None]:
    """Another Spark job that holds so many slots."""
    folder.mkdir()

    def hold(part: int) -> None:
        import time

        (folder / f"holds-{part}").touch()
        until = time.monotonic() + 120
        while not (folder / "release").exists() and time.monotonic() < until:
            time.sleep(0.02)

    context = spark.sparkContext
    job = threading.Thread(target=lambda: context.parallelize(range(slots), slots).foreach(hold))
    job.start()
    try:
        eventually(lambda: len(files_below(folder)) == slots, "the other job has its slots")
        yield
    finally:
        (folder / "release").touch()
        job.join(60)


class TestForming:
    @pytest.mark.slow("frameworks")
    def test_a_cluster_that_is_occupied(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        meet = tmp_path / "meet"
        meet.mkdir()
        train = meeting(meet, lambda rank: rank)
        began = time.monotonic()
        with (
            occupied(cluster, 1, tmp_path / "other"),
            pytest.raises(SparkUnavailable) as caught,
        ):
            experiment.distributed(train, strategy="torch", forming_timeout=4, project=shared, display=False)
        message = str(caught.value)
        assert time.monotonic() - began >= 4
        assert re.search(r"[012] of 3 members", message), message
        assert "forming_timeout=4" in message
        assert len(re.findall(r"1 of 1 cores free", message)) == 2, message
        assert len(re.findall(r"0 of 1 cores free", message)) == 1, message
        assert files_below(meet) == set()
        # nothing of it waits in Spark's queue: the same call has all slots now
        assert str(experiment.distributed(train, strategy="torch", project=shared, display=False).state) == "FINISHED"

    def test_it_waits_until_there_is_room(self, cluster: Any, shared: str, tmp_path: Path) -> None:
        meet = tmp_path / "meet"
        meet.mkdir()

        def call() -> experiment.Run:
            return experiment.distributed(
                meeting(meet, lambda rank: rank), strategy="torch", project=shared, display=display
            )

        display = Lines()
        with contextlib.ExitStack() as stack:
            other = stack.enter_context(occupied(cluster, 2, tmp_path / "other"))
            assert other is None
            running = stack.enter_context(in_background(call))
            assert display.started.wait(60)
            time.sleep(1)
            assert files_below(meet) == set()
            (tmp_path / "other" / "release").touch()
            assert str(running.result(200).state) == "FINISHED"


class TestRefused:
    """Before any task starts and any directory is made."""

    CALLS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
        "no workers": ("mirrored", {"num_workers": 0}, ["num_workers=0", "at least 1"]),
        "half a worker": ("mirrored", {"num_workers": 1.5}, ["num_workers=1.5"]),
        "more than the cluster has": ("mirrored", {"num_workers": 4}, ["4", "3"]),
        "no room for the evaluator": (
            "mirrored",
            {"num_workers": 3, "evaluator": True},
            ["4 members", "evaluator", "3"],
        ),
        "parameter servers that do not fit": ("parameter_server", {"num_workers": 2}, ["4 members", "1 ps", "3"]),
        "no parameter server": ("parameter_server", {"num_workers": 1, "num_ps": 0}, ["num_ps=0"]),
        "more GPUs than there are": ("mirrored", {"num_workers": 2, "gpus_per_worker": 1}, ["gpus_per_worker=1"]),
        "more cores than there are": ("mirrored", {"num_workers": 2, "cpus_per_worker": 2}, ["cpus_per_worker=2"]),
        "unknown strategy": ("distributed", {"strategy": "tpu"}, ["'tpu'", "torch", "parameter_server"]),
        "parameter servers elsewhere": ("distributed", {"strategy": "torch", "num_ps": 1}, ["num_ps=1", "torch"]),
        "an evaluator elsewhere": ("distributed", {"strategy": "jax", "evaluator": True}, ["evaluator", "jax"]),
        "on_failure": ("mirrored", {"on_failure": "perhaps"}, ["on_failure='perhaps'", "'restart'"]),
        "max_restarts": ("mirrored", {"max_restarts": -1}, ["max_restarts=-1"]),
        "forming_timeout": ("mirrored", {"forming_timeout": 0}, ["forming_timeout=0"]),
        "evaluator_grace": ("mirrored", {"evaluator_grace": -1}, ["evaluator_grace=-1"]),
        "not on Spark": ("mirrored", {"num_workers": 2, "pool": "inline"}, ["inline", "spark"]),
        "of a search": ("mirrored", {"num_workers": 2, "gpus_per_trial": 1}, ["gpus_per_worker"]),
        "half of a gang": ("launch", {"workers_per_trial": 2}, ["strategy", "workers_per_trial"]),
    }

    @pytest.mark.parametrize("case", CALLS)
    def test_at_once(self, cluster: Any, tmp_path: Path, case: str) -> None:
        verb, arguments, words = self.CALLS[case]
        # `timeout` only bounds the test where such a call is taken
        with pytest.raises(InvalidArguments) as caught:
            getattr(experiment, verb)(lambda: 1, **arguments, timeout=60, project=tmp_path / "project", display=False)
        for word in words:
            assert word in str(caught.value)
        assert not list((tmp_path / "project").rglob("run.json"))
        assert not cluster.sparkContext.statusTracker().getActiveJobsIds()

    def test_all_problems_together(self, cluster: Any, tmp_path: Path) -> None:
        with pytest.raises(InvalidArguments) as caught:
            experiment.mirrored(
                lambda needed: needed,
                num_workers=0,
                on_failure="perhaps",
                max_restarts=-1,
                project=tmp_path / "project",
                display=False,
            )
        problems = " | ".join(caught.value.problems)
        for word in ("needed", "num_workers=0", "on_failure='perhaps'", "max_restarts=-1"):
            assert word in problems

    def test_bad_ports(self, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOPSLITE_MEMBER_PORTS", "many")
        with pytest.raises(InvalidArguments, match=r"(?i)member_ports.*many|many.*member_ports"):
            experiment.mirrored(lambda: 1, num_workers=2, project=tmp_path / "project", display=False)


def test_outside_of_a_trial_there_is_no_checkpoint_dir() -> None:
    assert experiment.checkpoint_dir() is None
